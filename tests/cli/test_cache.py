"""`raudo cache advise` and `raudo cache replay`."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raudo import Cache
from raudo.cli import main

pytestmark = pytest.mark.parallel_threads(1)  # one output, one folder


@pytest.fixture
def loop(tmp_path: Path) -> str:
    """A loop over 150 keys of 1,000 bytes, 3,000 requests in an hour."""
    keys = np.arange(3000) % 150
    np.savez(tmp_path / "loop.npz", k=keys, size=[1000] * 3000, t=np.linspace(0, 3600, 3000))
    return str(tmp_path / "loop.npz")


def rows(out: str) -> dict[str, list[str]]:
    cells = [line.split() for line in out.splitlines()]
    return {row[0]: row[1:] for row in cells if row and row[0].replace(",", "").isdecimal()}


def test_advise_prints_hit_rates_bytes_and_the_cheapest(
    loop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--size", "100", "--size", "150", "--size", "100%", "--size", "50%"]
    prices = ["--cost-per-miss", "0.01", "--cost-per-gb-hour", "1"]
    assert main(["cache", "advise", loop, *sizes, *prices]) == 0
    out = capsys.readouterr().out
    assert "3,000 requests of 150 keys" in out
    table = rows(out)
    assert list(table) == ["75", "100", "150"]
    assert table["100"] == ["66.67%", "0.00%", "100,000", "30.0001"]
    assert table["150"] == ["100.00%", "95.00%", "150,000", "1.50015", "cheapest"]


def test_advise_chooses_sizes_and_draws(
    loop: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "curve.svg"
    assert main(["cache", "advise", loop, "--plot", str(plot)]) == 0
    table = rows(capsys.readouterr().out)
    assert list(table)[-1] == "150"
    assert len(table) >= 10
    root = ElementTree.fromstring(plot.read_text(encoding="utf-8"))
    assert len(root.findall(".//{http://www.w3.org/2000/svg}polyline")) == 2


def test_advise_gives_factors_of_one_size(loop: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "advise", loop, "--size", "75"]) == 0
    table = rows(capsys.readouterr().out)
    assert [row[-1] for row in table.values()] == ["0.5x", "1x", "2x", "4x"]
    assert list(table) == ["38", "75", "150", "300"]
    assert table["150"] == ["100.00%", "95.00%", "150,000", "2x"]
    assert main(["cache", "advise", loop, "--size", "75kB"]) == 0
    assert rows(capsys.readouterr().out)["150"] == ["100.00%", "95.00%", "150,000", "2x"]


def test_replay_by_bytes(loop: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["cache", "replay", loop, "--strategy", "lru", "--strategy", "fifo"]
    assert main([*command, "--size", "75KB", "--size", "0.15MB"]) == 0
    out = capsys.readouterr().out
    found = {line[:24].strip(): line[24:].split() for line in out.splitlines()}
    assert found["bytes"] == ["75,000", "150,000"]
    assert found["raudo lru"][0::3] == found["cachetools LRU"][0::3] == ["0.00", "95.00"]
    assert "raudo sieve" not in found
    assert found["no bound at all"] == ["95.00", "95.00"]
    for sizes, says in (
        (["--size", "75KB", "--size", "10"], "all in bytes or none"),
        (["--size", "1XB"], "such as 1000, 10% or 64MB, got '1XB'"),
    ):
        try:
            code = main([*command, *sizes])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        assert code == 2
        assert says in capsys.readouterr().err


def test_bytes_need_a_trace_with_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "keys.txt").write_text("a\nb\na\n")
    assert main(["cache", "replay", str(tmp_path / "keys.txt"), "--size", "1MB"]) == 2
    assert "bytes need a trace with sizes" in capsys.readouterr().err


def test_replay_draws(loop: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "a.svg"
    assert main(["cache", "replay", loop, "--size", "75", "--no-peers", "--plot", str(plot)]) == 0
    root = ElementTree.fromstring(plot.read_text(encoding="utf-8"))
    lines = root.findall(".//{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 4
    assert "prefers-color-scheme:dark" in plot.read_text(encoding="utf-8")


def test_a_large_file_is_read_up_to_the_limit_and_says_so(
    loop: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raudo.cli._cache_read.MOST_REQUESTS", 1000)
    monkeypatch.setattr("raudo.cli._cache_read._LARGE_BYTES", 1)
    assert main(["cache", "advise", loop]) == 0
    done = capsys.readouterr()
    assert "1,000 requests of 150 keys" in done.out
    assert "note: " in done.err
    assert "the first 1,000 requests; --limit N reads N" in done.err
    assert "raudo cache advise: read " in done.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--cost-per-miss", "1"], "--cost-per-miss and --cost-per-gb-hour: give both or none"),
        (["--cost-per-miss", "1", "--cost-per-gb-hour", "1"], "--bytes-per-entry: wanted"),
        (
            [*"--cost-per-miss 1 --cost-per-gb-hour 1 --bytes-per-entry 9".split()],
            "--requests-per-hour: wanted",
        ),
    ],
)
def test_prices_that_lack_something_are_refused(
    options: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keys.txt").write_text("a\nb\na\n")
    assert main(["cache", "advise", str(tmp_path / "keys.txt"), *options]) == 2
    assert says in capsys.readouterr().err


def test_replay_prints_strategies_peers_and_the_optimum(
    loop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", "replay", loop, "--size", "75"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {line[:24].strip(): line[24:].split() for line in lines}
    assert found["raudo lru"][0] == "0.00"
    assert found["cachetools LRU"][0] == "0.00"
    assert "raudo adaptive" in found
    assert 40 < float(found["Belady (the optimum)"][0]) < 50


def test_replay_reads_what_a_cache_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recording"
    cache = Cache[Any, int](20, strategy="lru", record=path)
    for n in range(6000):
        key = f"user {n * n % 97}"
        if cache.get(key) is None:
            cache[key] = n
    assert cache.recorder is not None
    cache.recorder.close()
    hit_rate = cache.stats()["hit_rate"]
    command = ["cache", "replay", str(path), "--strategy", "lru", "--size", "20", "--no-peers"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert f" {100 * hit_rate:.2f} " in out
    assert "raudo sieve" not in out
    assert "cachetools" not in out
    path.write_bytes(path.read_bytes()[:-5])
    assert main(command) == 0
    assert "torn block" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["advise", "replay"])
def test_a_bad_trace_is_named(
    action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.bin").write_bytes(b"x" * 25)
    assert main(["cache", action, str(tmp_path / "a.bin")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"raudo cache {action}: error: ")
    assert "1 bytes after request 1 at byte 24" in error
    assert main(["cache", action, str(tmp_path / "none")]) == 1
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["0", "-1", "x", "0%", "101%", "nan%", "1.5"])
def test_wrong_sizes_are_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["cache", "advise", "a", f"--size={size}"])
    assert exit_.value.code == 2
    assert "--size" in capsys.readouterr().err
