"""Whole exports: streaming, parts, atomicity, determinism, cancellation, arguments."""

import asyncio
import errno
import gzip
import hashlib
import itertools
import json
import os
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import pytest

from raudo.errors import ExportError, MissingExtra
from raudo.export import ExportResult, export, export_async
from raudo.export._blocks import BATCH_ROWS
from raudo.export.formats.jsonl import JsonLines
from raudo.export.sinks.file import FileSink


def rows_of(n: int) -> Iterator[dict[str, Any]]:
    return ({"id": i, "text": f"row {i}"} for i in range(n))


def read(path: str | Path) -> list[Any]:
    data = Path(path).read_bytes()
    if str(path).endswith(".gz"):
        data = gzip.decompress(data)
    elif str(path).endswith(".lz4"):
        data = lz4.frame.decompress(data)
    elif str(path).endswith(".zst"):
        import zstandard

        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return [json.loads(line) for line in data.splitlines()]


@pytest.mark.parametrize("suffix", ["", ".gz", ".lz4", ".zst"])
@pytest.mark.parametrize("n", [0, 1, BATCH_ROWS, BATCH_ROWS + 1, 3 * BATCH_ROWS])
def test_rows_come_back_from_each_compression(tmp_path: Path, suffix: str, n: int) -> None:
    path = tmp_path / f"rows.jsonl{suffix}"
    result = export(rows_of(n), path)
    assert read(path) == list(rows_of(n))
    assert (result.paths, result.rows, result.manifest) == ((str(path),), n, None)
    assert result.bytes == path.stat().st_size
    assert result.seconds >= 0
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("compression", ["none", "gzip", "lz4", "zstd"])
def test_compression_by_argument(tmp_path: Path, compression: str) -> None:
    suffix = {"none": "", "gzip": ".gz", "lz4": ".lz4", "zstd": ".zst"}[compression]
    export(rows_of(9), tmp_path / "data", format="jsonl", compression=compression)
    os.rename(tmp_path / "data", tmp_path / f"data{suffix}")
    assert read(tmp_path / f"data{suffix}") == list(rows_of(9))


def test_zstd_without_zstandard_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    with pytest.raises(MissingExtra, match=r"raudo\[zstd\]"):
        export(rows_of(1), tmp_path / "rows.csv.zst")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "csv.lz4", "csv.zst", "npy.gz", "npy"])
def test_same_rows_make_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        export(({"x": i} for i in range(5000)), tmp_path / folder / f"rows.{suffix}", parts=2)
    for name in os.listdir(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    if suffix == "jsonl.gz":
        assert (tmp_path / "a/rows-00000-of-00002.jsonl.gz").read_bytes()[4:8] == bytes(4)


def test_npy_through_compression_and_url(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).random((2 * BATCH_ROWS + 7, 3), "float32")
    export(matrix, tmp_path / "m.npy")
    assert (np.load(tmp_path / "m.npy", mmap_mode="r") == matrix).all()
    export(matrix, tmp_path / "m.npy.gz")
    with gzip.open(tmp_path / "m.npy.gz") as file:
        assert (np.load(file) == matrix).all()
    result = export(iter(matrix), "memory://export-test/m.npy")
    import fsspec

    with fsspec.open("memory://export-test/m.npy") as file:
        data = file.read()
    assert len(data) == result.bytes
    assert data == (tmp_path / "m.npy").read_bytes()


def test_arrow_tables_and_batches_are_rows(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"id": range(10_000)})
    for rows in (table, iter(table.to_batches(max_chunksize=100))):
        assert export(rows, tmp_path / "rows.jsonl").rows == 10_000
        assert read(tmp_path / "rows.jsonl")[-1] == {"id": 9999}


@pytest.mark.parametrize("compression", ["auto", "none", "zstd", "gzip"])
def test_parquet_compresses_inside(tmp_path: Path, compression: str) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "rows.parquet"
    export(rows_of(5000), path, compression=compression)
    column = parquet.read_metadata(path).row_group(0).column(0)
    wanted = {"auto": "LZ4", "none": "UNCOMPRESSED"}.get(compression, compression.upper())
    assert column.compression == wanted
    assert parquet.read_table(path).num_rows == 5000


# --- streaming ------------------------------------------------------------------------------------


class Row(dict[str, Any]):
    """A dict that can be watched."""


def test_memory_holds_a_batch_not_the_input(tmp_path: Path) -> None:
    alive: weakref.WeakSet[Row] = weakref.WeakSet()
    most = 0

    class Watched(Row):
        __hash__ = object.__hash__  # type: ignore[assignment]

    def endless() -> Iterator[Row]:
        nonlocal most
        for i in range(8 * BATCH_ROWS):
            row = Watched(i=i)
            alive.add(row)
            most = max(most, len(alive))
            yield row

    export(endless(), tmp_path / "rows.jsonl")
    assert most <= 2 * BATCH_ROWS + 2


# --- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 10, 3 * BATCH_ROWS, 7 * BATCH_ROWS + 5])
def test_parts_hold_all_rows_once_and_the_manifest_says_so(tmp_path: Path, n: int) -> None:
    result = export(rows_of(n), tmp_path / "rows.jsonl.gz", parts=3, n_jobs=2)
    assert [Path(path).name for path in result.paths] == [
        f"rows-0000{i}-of-00003.jsonl.gz" for i in range(3)
    ]
    parts = [read(path) for path in result.paths]
    assert sorted(row["id"] for part in parts for row in part) == list(range(n))
    for part in parts:
        assert part == sorted(part, key=lambda row: row["id"])
    assert max(map(len, parts)) - min(map(len, parts)) <= BATCH_ROWS
    assert result.manifest == str(tmp_path / "rows.manifest.json")
    manifest = json.loads(Path(result.manifest).read_text())
    assert manifest["format"] == "jsonl"
    assert manifest["compression"] == "gzip"
    assert manifest["rows"] == result.rows == n
    assert manifest["bytes"] == result.bytes
    for part, rows in zip(manifest["parts"], parts, strict=True):
        data = (tmp_path / part["path"]).read_bytes()
        assert part["rows"] == len(rows)
        assert part["bytes"] == len(data)
        assert part["sha256"] == hashlib.sha256(data).hexdigest()
    assert len(os.listdir(tmp_path)) == 4


def test_a_short_input_fills_all_parts_in_order(tmp_path: Path) -> None:
    result = export(rows_of(10), tmp_path / "rows.jsonl", parts=4)
    assert [len(read(path)) for path in result.paths] == [3, 3, 3, 1]
    assert list(itertools.chain(*map(read, result.paths))) == list(rows_of(10))


def test_one_part_still_has_a_manifest(tmp_path: Path) -> None:
    result = export(rows_of(5), tmp_path / "rows.jsonl", parts=1)
    assert len(result.paths) == 1
    assert result.manifest is not None
    assert read(result.paths[0]) == list(rows_of(5))


def test_all_parts_have_the_same_header(tmp_path: Path) -> None:
    rows = [{"a": 1}] * 10 + [{"b": 2}]
    result = export(rows, tmp_path / "rows.csv", parts=5)
    assert {Path(path).read_text().splitlines()[0] for path in result.paths} == {"a,b"}


def test_no_thread_outlives_an_export(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    export(rows_of(20_000), tmp_path / "rows.jsonl", parts=3)
    with pytest.raises(ZeroDivisionError):
        export(({"a": 1 / (9000 - i)} for i in range(20_000)), tmp_path / "b.jsonl", parts=3)
    assert set(threading.enumerate()) <= before


# --- whole or not at all --------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [None, 1, 3])
@pytest.mark.parametrize("suffix", ["jsonl", "csv.gz", "jsonl.lz4", "npy", "npy.gz", "parquet"])
@pytest.mark.parametrize("at", [0, 5000, 19_999])
def test_error_of_the_rows_leaves_nothing(
    tmp_path: Path, suffix: str, parts: int | None, at: int
) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")

    def rows() -> Iterator[dict[str, int]]:
        for i in range(20_000):
            if i == at:
                raise OSError(errno.EIO, "the source broke")
            yield {"id": i}

    with pytest.raises(OSError, match="the source broke") as caught:
        export(rows(), tmp_path / f"rows.{suffix}", parts=parts)
    assert type(caught.value) is OSError
    assert os.listdir(tmp_path) == []


def test_failed_export_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    export(rows_of(3), path)
    with pytest.raises(TypeError):
        export([{"a": 1}, {"a": object()}], path)
    assert read(path) == list(rows_of(3))
    assert os.listdir(tmp_path) == ["rows.jsonl"]


class Full:
    """A disk that has room for so many bytes; it stands before the real file."""

    def __init__(self, file: Any, room: int) -> None:
        self._file, self._room = file, room

    def write(self, data: Any) -> int:
        self._room -= memoryview(data).nbytes
        if self._room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.parametrize("parts", [None, 2])
@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "csv.zst", "csv.lz4", "npy", "npy.gz"])
@pytest.mark.parametrize("room", [0, 20, 2000])
def test_full_disk_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    parts: int | None,
    room: int,
) -> None:
    real = FileSink.open
    monkeypatch.setattr(FileSink, "open", lambda self, path: Full(real(self, path), room))
    noise = np.random.default_rng(0).integers(0, 2**60, 50_000)
    with pytest.raises(ExportError) as caught:
        export(({"id": int(each)} for each in noise), tmp_path / f"rows.{suffix}", parts=parts)
    assert caught.value.errno == errno.ENOSPC
    assert str(tmp_path) in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_real_full_device() -> None:
    # /dev/full accepts nothing; the sink is given it in place of its own file.
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")

    class Device(FileSink):
        def open(self, path: str) -> Any:
            return open("/dev/full", "wb", buffering=1 << 18)

    from raudo.export import _part

    part = _part.Part("/rows.jsonl", JsonLines(), "none", hashed=False)
    part._sink = Device()
    part.open([])
    part.write([{"a": 1}])
    with pytest.raises(ExportError) as caught:
        part.finish()
    part.abort()
    assert caught.value.errno == errno.ENOSPC


def test_failed_commit_of_a_part_drops_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FileSink.commit

    def commit(self: FileSink, path: str) -> None:
        if "00001-of" in path:
            raise OSError(errno.EDQUOT, "quota")
        real(self, path)

    monkeypatch.setattr(FileSink, "commit", commit)
    with pytest.raises(ExportError, match="quota"):
        export(rows_of(9), tmp_path / "rows.jsonl", parts=3)
    assert os.listdir(tmp_path) == ["rows-00000-of-00003.jsonl"]  # and no manifest that lists it


# --- async ----------------------------------------------------------------------------------------


async def async_rows(n: int) -> AsyncIterator[dict[str, Any]]:
    for row in rows_of(n):
        yield row


@pytest.mark.parametrize("parts", [None, 3])
async def test_async_writes_what_sync_writes(tmp_path: Path, parts: int | None) -> None:
    n = 3 * BATCH_ROWS + 10
    for folder in ("sync", "rows", "arows"):
        (tmp_path / folder).mkdir()
    export(rows_of(n), tmp_path / "sync" / "rows.jsonl.gz", parts=parts)
    await export_async(rows_of(n), tmp_path / "rows" / "rows.jsonl.gz", parts=parts)
    result = await export_async(async_rows(n), tmp_path / "arows" / "rows.jsonl.gz", parts=parts)
    assert isinstance(result, ExportResult)
    for name in os.listdir(tmp_path / "sync"):
        wanted = (tmp_path / "sync" / name).read_bytes()
        assert (tmp_path / "rows" / name).read_bytes() == wanted
        assert (tmp_path / "arows" / name).read_bytes() == wanted


async def test_loop_goes_on_during_an_export(tmp_path: Path) -> None:
    turns = 0

    async def spin() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    spinner = asyncio.create_task(spin())
    await export_async(rows_of(20_000), tmp_path / "rows.jsonl")
    spinner.cancel()
    assert turns > 5


@pytest.mark.parametrize("parts", [None, 2])
async def test_cancelled_export_leaves_nothing(tmp_path: Path, parts: int | None) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[dict[str, int]]:
        for i in itertools.count():
            if i == 3 * BATCH_ROWS:
                started.set()
                await asyncio.Event().wait()
            yield {"id": i}

    task = asyncio.create_task(export_async(endless(), tmp_path / "rows.csv", parts=parts))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert os.listdir(tmp_path) == []


async def test_cancel_during_a_write_waits_for_it(tmp_path: Path) -> None:
    loop, begun, go = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def rows() -> Iterator[dict[str, int]]:
        yield {"id": 1}
        loop.call_soon_threadsafe(begun.set)
        go.wait(10)
        yield {"id": 2}

    task = asyncio.create_task(export_async(rows(), tmp_path / "rows.csv"))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert os.listdir(tmp_path) == []


async def test_async_error_passes_through(tmp_path: Path) -> None:
    async def bad() -> AsyncIterator[dict[str, int]]:
        yield {"id": 1}
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await export_async(bad(), tmp_path / "rows.csv")
    with pytest.raises(ZeroDivisionError):
        await export_async(({"id": 1 // (1 - i)} for i in range(3)), tmp_path / "rows.csv")
    assert os.listdir(tmp_path) == []


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("rows", {}, "suffix names no format"),
        ("rows.gz", {}, "suffix names no format"),
        ("a.b/rows", {}, "suffix names no format"),
        (".csv", {}, "suffix names no format"),
        ("rows.csv", {"format": "xlsx"}, "format is 'xlsx', wanted one of jsonl"),
        ("rows.csv", {"compression": "rar"}, "compression is 'rar', wanted auto or one of none"),
        ("rows.csv.gz", {"compression": "lz4"}, "path ends in .gz, but compression is 'lz4'"),
        ("rows.csv.gz", {"compression": "none"}, "path ends in .gz"),
        ("rows.parquet.gz", {}, "compresses inside its files"),
        ("rows.arrow", {"compression": "gzip"}, "arrow has lz4, zstd, none"),
        ("rows.csv", {"parts": 0}, "parts is 0, wanted a whole number >= 1"),
        ("rows.csv", {"n_jobs": -1}, "n_jobs is -1"),
    ],
)
def test_wrong_value_is_named(path: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        export([], path, **options)


def test_wrong_type_is_named(tmp_path: Path) -> None:
    for rows in ("text", {"a": 1}, 7, np.array(7)):
        with pytest.raises(TypeError, match="rows is"):
            export(rows, tmp_path / "rows.csv")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"parts is 2\.0"):
        export([], tmp_path / "rows.csv", parts=2.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path is bytes"):
        export([], b"rows.csv")  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


def test_explicit_format_goes_before_the_suffix(tmp_path: Path) -> None:
    export([{"a": 1}], tmp_path / "rows.txt.gz", format="csv")
    assert gzip.decompress((tmp_path / "rows.txt.gz").read_bytes()) == b"a\n1\n"
