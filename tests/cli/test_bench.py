"""The comparison of caches: it refuses wrong answers, counts right, and shows losses."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from raudo.cli import _bench_cache, _bench_memory, _bench_peers, bench, main
from raudo.cli._bench_cache import SECTIONS
from raudo.cli._bench_calls import OPERATIONS, Plan, check, keys_of, measure, prepare, steps_of
from raudo.cli._bench_peers import PEERS, Peer, Subject, installed
from raudo.cli._bench_report import losses, render
from raudo.cli._bench_timing import summary

TINY = Plan("tiny set", "int", 32, 64, 2)


def peer_named(name: str) -> Peer:
    return next(peer for peer in PEERS if peer.name == name)


@pytest.mark.parametrize("peer", list(installed()), ids=lambda peer: peer.name)
@pytest.mark.parametrize("kind", ["int", "str", "tuple"])
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
    assert set(table["ns"]["functools.lru_cache"]) == {
        "insert+evict",
        "insert+evict random",
        "memo hit",
    }
    for figures in table["ns"].values():
        for each in figures.values():
            assert 0 <= each["best"] <= each["median"]


def test_the_loop_is_taken_off_and_never_below_nothing() -> None:
    assert summary([10.0, 12.0, 50.0], 8.0)["median"] == 4.0
    assert summary([5.0], 8.0) == {"median": 0.0, "low": 0.0, "high": 0.0, "best": 0.0}


def test_keys_are_equal_but_other_objects() -> None:
    for kind in ("int", "str", "tuple"):
        first, second = keys_of(kind, range(1000, 1010)), keys_of(kind, range(1000, 1010))
        assert first == second
        assert not any(a is b for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("sameness", ["equal", "same", "fresh"])
def test_keys_asked_for_are_of_the_kind_that_is_said(sameness: str) -> None:
    asked: list[Any] = []

    class Noting(dict[Any, Any]):
        def __getitem__(self, key: Any) -> Any:
            asked.append(key)
            return super().__getitem__(key)

    plan = Plan("tiny", "str", 8, 8, 1, operations=("c[k] hit",), sameness=sameness)
    made_of: list[Noting] = []

    def make(capacity: int) -> Subject:
        made_of.append(Noting())
        return Subject(mapping=made_of[-1])

    measure(plan, [Peer("made", "", make)])
    passes = [asked[-16:-8], asked[-8:]]  # the round that warms up, and the one that counts
    stored = {id(key) for cache in made_of for key in cache}
    assert all((id(key) in stored) is (sameness == "same") for keys in passes for key in keys)
    assert sorted(passes[0]) == sorted(passes[1])
    again = {id(key) for key in passes[0]} & {id(key) for key in passes[1]}
    assert bool(again) is (sameness == "same")


def result_with(ours: float, rival: float, weight: float) -> dict[str, Any]:
    ns = {
        "dict": {"get hit": {"median": 20.0}},
        "raudo": {"get hit": {"median": ours}},
        "raudo sieve": {"get hit": {"median": 1.0}},
        "lru-dict": {"get hit": {"median": rival}},
    }
    table = {
        "title": "hot",
        "columns": ["get hit"],
        "base": {"get hit": "dict"},
        "rounds": 1,
        "calls_a_round": 1,
        "loop_ns": 8.0,
        "ns": ns,
        "wrong": {},
    }
    weights = {"dict": 40.0, "raudo": weight, "raudo sieve": 1.0, "lru-dict": 90.0}
    return {
        "command": "raudo bench cache",
        "machine": dict.fromkeys(("cpu", "cpus", "load", "system", "python", "compiler"), "x"),
        "versions": {"raudo": "0"},
        "tables": [table],
        "bytes": {
            "n_entries": 10,
            "per_entry": weights,
            "columns": ["10"],
            "by_size": {name: {"10": each} for name, each in weights.items()},
        },
    }


def test_losses_are_shown_against_bounded_rivals_only() -> None:
    assert losses(result_with(30.0, 40.0, 50.0)) == []
    assert losses(result_with(30.0, 29.5, 91.0)) == []  # within the noise
    (slower,) = losses(result_with(30.0, 20.0, 50.0))
    assert slower == "hot, get hit: raudo 30.0 ns, lru-dict 20.0 ns (1.50x)"
    (heavier,) = losses(result_with(30.0, 40.0, 100.0))
    assert heavier == "bytes an entry, 10: raudo 100.0 B, lru-dict 90.0 B (1.11x)"


def test_losses_of_exact_lru_are_named_too_and_throughput_counts_upwards() -> None:
    result = result_with(30.0, 40.0, 50.0)
    result["tables"][0]["ns"]["raudo lru"] = {"get hit": {"median": 80.0}}
    result["threads"] = {
        "n_keys": 1,
        "columns": ["1 thread", "2 threads"],
        "calls_per_s": {
            "raudo": {"1 thread": 9e6, "2 threads": 8e6},
            "lru-dict": {"1 thread": 5e6, "2 threads": 10e6},
        },
    }
    assert losses(result) == [
        "hot, get hit: raudo lru 80.0 ns, lru-dict 40.0 ns (2.00x)",
        "threads on one cache, 2 threads: raudo 8.00 M calls/s, lru-dict 10.00 M calls/s (0.80x)",
    ]
    assert "10.00  2.00x" in "\n".join(render(result))  # to its own one thread


def test_report_has_command_ratios_and_losses() -> None:
    text = "\n".join(render(result_with(30.0, 20.0, 50.0)))
    assert text.startswith("$ raudo bench cache\n")
    assert "30.0  1.50x" in text
    assert text.endswith("raudo 30.0 ns, lru-dict 20.0 ns (1.50x)")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> list[Peer]:
    peers = [peer_named(name) for name in ("dict", "functools.lru_cache", "raudo", "raudo lru")]
    if _bench_peers.version_of("cachetools") is not None:
        peers.append(peer_named("cachetools LRU"))
    monkeypatch.setattr(_bench_cache, "installed", lambda: peers)
    return peers


def test_the_command_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], few: list[Peer]
) -> None:
    path = tmp_path / "figures.json"
    assert main(["bench", "cache", "--quick", "--only", "hot", "--json", str(path)]) == 0
    out, progress = capsys.readouterr()
    assert "hot set: 1,000 int keys" in out
    assert "Where another cache beats" in out
    assert "bench: hot: " in progress
    (table,) = json.loads(path.read_text())["tables"]
    assert table["section"] == "hot"
    assert set(table["ns"]) == {peer.name for peer in few}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_runs_by_itself(
    section: str,
    few: list[Peer],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_bench_memory, "bytes_per_entry", lambda *_: (48.0, 60.0))
    assert main(["bench", "cache", "--quick", "--only", section, "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    for table in result["tables"]:
        assert {"raudo", "raudo lru"} <= set(table["ns"])
        for row in table["ns"].values():
            assert set(row) <= set(table["columns"])
    figures = {"memory": "bytes", "pauses": "pauses", "threads": "threads"}.get(section)
    assert bool(result["tables"]) is (figures is None)
    assert figures is None or set(result[figures]["columns"])
    assert len(list(render(result))) > 10


def test_all_runs_every_section_and_the_default_only_some(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []
    for name, section in SECTIONS.items():
        fake = dataclasses.replace(section, measure=lambda *_, name=name: ran.append(name) or {})
        monkeypatch.setitem(SECTIONS, name, fake)
    assert main(["bench", "--all"]) == 0
    assert "about " in capsys.readouterr().err
    assert ran == list(SECTIONS)
    ran.clear()
    assert main(["bench"]) == 0
    assert ran == ["hot", "large", "memory"]
    ran.clear()
    assert main(["bench", "--only", "threads,hot"]) == 0
    assert ran == ["hot", "threads"]


@pytest.mark.parametrize("only", ["nothing", "hot,warm", "", ","])
def test_a_section_that_is_not_there_is_named(
    only: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bench", "--only", only])
    assert stop.value.code == 2
    assert "there are hot, large" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (tmp_path / "no such folder" / "b.json", tmp_path):
        with pytest.raises(SystemExit) as stop:
            main(["bench", "--json", str(path)])
        assert stop.value.code == 2
        assert f"--json: cannot write {path}" in capsys.readouterr().err


def test_looking_whether_a_file_can_be_written_changes_nothing(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    there, new = tmp_path / "there.json", tmp_path / "new.json"
    there.write_text("old figures")
    for path in (there, new):
        assert parser.parse_args(["--json", str(path)]).json == str(path)
    assert there.read_text() == "old figures"
    assert not new.exists()


def test_weighing_happens_in_a_process_of_its_own() -> None:
    filled, evicting = _bench_memory.bytes_per_entry(peer_named("functools.lru_cache"), 20_000)
    assert 40 < filled < 400
    assert evicting is not None
    assert filled - 40 < evicting < 400
    assert _bench_memory.bytes_per_entry(peer_named("dict"), 20_000)[1] is None
