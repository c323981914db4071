"""The comparison of caches: it refuses wrong answers, counts right, and shows losses."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from raudo.cli import _bench_cache, _bench_peers, bench
from raudo.cli._bench_cache import OPERATIONS, check, keys_of, measure, prepare, steps_of
from raudo.cli._bench_peers import PEERS, Peer, Subject, installed
from raudo.cli._bench_report import losses, render
from raudo.cli._bench_timing import summary

TINY = _bench_cache.Plan("tiny set", "int", 32, 64, 2)


def peer_named(name: str) -> Peer:
    return next(peer for peer in PEERS if peer.name == name)


@pytest.mark.parametrize("peer", list(installed()), ids=lambda peer: peer.name)
@pytest.mark.parametrize("kind", ["int", "str"])
def test_every_installed_peer_answers_right(peer: Peer, kind: str) -> None:
    prepared = prepare(peer, keys_of(kind, range(100)))
    assert check(prepared, kind, 100) is None
    assert set(steps_of(prepared)) <= set(OPERATIONS)


def test_ours_can_do_everything() -> None:
    assert set(steps_of(prepare(peer_named("raudo"), keys_of("int", range(32))))) == set(OPERATIONS)


class Forgetful(dict[Any, Any]):
    def get(self, key: Any, default: Any = None) -> Any:
        return None if key == 7 else super().get(key, default)


class Wrong(dict[Any, Any]):
    def __getitem__(self, key: Any) -> Any:
        return -1


def made(kind: type, **changes: Any) -> Peer:
    def make(capacity: int) -> Subject:
        cache = kind()
        return Subject(get=cache.get, mapping=cache, size=lambda: len(cache), **changes)

    return Peer("made", "", make)


@pytest.mark.parametrize(
    ("peer", "complaint"),
    [
        (made(Forgetful), "only 31 of 32"),
        (made(Wrong), "another value"),
        (made(dict, miss="never"), "never set"),
        (made(dict, memo=lambda key: "yes"), "memoised"),
    ],
)
def test_wrong_answers_are_named_and_not_timed(peer: Peer, complaint: str) -> None:
    table = measure(TINY, [peer, peer_named("dict")])
    assert complaint in table["wrong"]["made"]
    assert list(table["ns"]) == ["dict"]


def test_a_cache_that_does_not_evict_is_named() -> None:
    prepared = prepare(made(dict), keys_of("int", range(32)))
    for key in range(1000):
        prepared.full.mapping[key] = key
    assert "holds 1000 entries" in str(check(prepared, "int", 32))


def test_tables_have_the_figures_of_each_operation() -> None:
    table = measure(TINY, [peer_named(n) for n in ("dict", "functools.lru_cache", "raudo lru")])
    assert set(table["ns"]["raudo lru"]) == set(OPERATIONS)
    assert set(table["ns"]["dict"]) == {"get hit", "c[k] hit", "get miss", "update"}
    assert set(table["ns"]["functools.lru_cache"]) == {"insert+evict", "memo hit"}
    for figures in table["ns"].values():
        for each in figures.values():
            assert 0 <= each["best"] <= each["median"]


def test_the_loop_is_taken_off_and_never_below_nothing() -> None:
    assert summary([10.0, 12.0, 50.0], 8.0)["median"] == 4.0
    assert summary([5.0], 8.0) == {"median": 0.0, "low": 0.0, "high": 0.0, "best": 0.0}


def test_keys_are_equal_but_other_objects() -> None:
    for kind in ("int", "str"):
        first, second = keys_of(kind, range(1000, 1010)), keys_of(kind, range(1000, 1010))
        assert first == second
        assert not any(a is b for a, b in zip(first, second, strict=True))


def result_with(ours: float, rival: float, weight: float) -> dict[str, Any]:
    ns = {
        "dict": {"get hit": {"median": 20.0}},
        "raudo": {"get hit": {"median": ours}},
        "raudo lru": {"get hit": {"median": 1.0}},
        "lru-dict": {"get hit": {"median": rival}},
    }
    table = {"title": "hot", "rounds": 1, "calls_a_round": 1, "loop_ns": 8.0, "ns": ns, "wrong": {}}
    weights = {"dict": 40.0, "raudo": weight, "raudo lru": 1.0, "lru-dict": 90.0}
    return {
        "command": "raudo bench cache",
        "machine": dict.fromkeys(("cpu", "cpus", "load", "system", "python", "compiler"), "x"),
        "versions": {"raudo": "0"},
        "tables": [table],
        "bytes": {"n_entries": 10, "per_entry": weights},
    }


def test_losses_are_shown_against_bounded_rivals_only() -> None:
    assert losses(result_with(30.0, 40.0, 50.0)) == []
    assert losses(result_with(30.0, 29.5, 91.0)) == []  # within the noise
    (slower,) = losses(result_with(30.0, 20.0, 50.0))
    assert slower == "hot, get hit: raudo 30.0 ns, lru-dict 20.0 ns (1.50x)"
    assert losses(result_with(30.0, 40.0, 100.0)) == ["bytes an entry: raudo 100.0, lru-dict 90.0"]


def test_report_has_command_ratios_and_losses() -> None:
    text = "\n".join(render(result_with(30.0, 20.0, 50.0)))
    assert text.startswith("$ raudo bench cache\n")
    assert "30.0  1.50x" in text
    assert text.endswith("raudo 30.0 ns, lru-dict 20.0 ns (1.50x)")


def test_the_command_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [peer_named(name) for name in ("dict", "functools.lru_cache", "raudo", "cachetools LRU")]
    if _bench_peers.version_of("cachetools") is None:
        few.pop()
    monkeypatch.setattr(_bench_cache, "installed", lambda: few)
    monkeypatch.setattr(_bench_cache, "plans", lambda quick, everything: [TINY])
    monkeypatch.setattr(_bench_cache, "bytes_per_entry", lambda peer, n: 48.0)
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    path = tmp_path / "figures.json"
    assert bench.run(parser.parse_args(["cache", "--quick", "--json", str(path)])) == 0
    out = capsys.readouterr().out
    assert "tiny set" in out
    assert "Where another cache beats" in out
    assert set(json.loads(path.read_text())["tables"][0]["ns"]) == {peer.name for peer in few}


def test_weighing_happens_in_a_process_of_its_own() -> None:
    weight = _bench_cache.bytes_per_entry(peer_named("functools.lru_cache"), 20_000)
    assert 40 < weight < 400
