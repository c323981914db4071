"""The comparison of levels: it runs, and names who gives other bytes than were set."""

import argparse
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from raudo.cli import _bench_tiers, bench


def test_tiers_are_compared(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    out = tmp_path / "figures.json"
    assert bench.run(parser.parse_args(["tiers", "--quick", "--json", str(out)])) == 0
    text = capsys.readouterr().out
    assert "raudo L3" in text
    assert "reopen in" in text
    figures = json.loads(out.read_text())
    assert set(figures["levels"]["await_get_us"]) == {"l1", "l2", "l3"}
    assert not any(table["wrong"] for table in figures["tables"])


def test_a_store_that_gives_other_bytes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def opened(folder: Path) -> Iterator[_bench_tiers.Opened]:
        yield _bench_tiers.Opened(lambda key, data: None, lambda key: b"other")

    wrong = _bench_tiers.Store("liar", "disk", None, opened)
    assert _bench_tiers.measure(wrong, 5, 10)[2] is False
    right = _bench_tiers.STORES[1]
    assert _bench_tiers.measure(right, 5, 10)[2] is True
