"""Rows to files: cut into blocks, deal these to the parts, commit all or nothing.

    rows -> blocks -> batches of 4,096 rows, one a part -> writer -> compressor -> counter -> sink

One file that is compressed, or of columns, is compressed and written by other threads than the
caller's; of several files, each is written whole by a thread of its own. Memory is bounded by two
batches for each part, 8 MiB of encoded bytes (on S3 32 MiB for each part), and the row group of
Parquet that is gathered. Nothing has its final name before the last row is written; an exception
anywhere (the rows' own iterator included) drops every part.
"""

from __future__ import annotations

import contextlib
import dataclasses
import operator
import os
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from raudo.export._blocks import async_blocks, blocks, check_rows, cut
from raudo.export._manifest import Manifest
from raudo.export._naming import Layout, plan
from raudo.export._part import Part

__all__ = ["ExportResult", "export", "export_async"]

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export wrote: the files in order, and the manifest where there are parts."""

    paths: tuple[str, ...]
    rows: int
    bytes: int
    seconds: float
    manifest: str | None = None


class _Export:
    """One export under way; fed by one thread at a time, it ends in `finish` or `abort`."""

    def __init__(self, layout: Layout, n_jobs: int, options: Mapping[str, Any] | None) -> None:
        self._layout, self._start, self._opened = layout, time.monotonic(), False
        self._options = options
        hashed = layout.manifest is not None
        self._manifest: Part | None = None
        self._n_rows = 0
        self._running: list[Future[None] | None] = [None] * len(layout.paths)
        self._deals = len(layout.paths) > 1
        # Of one file, one thread more drains what the others compress: it must not wait for itself.
        n_threads = n_jobs if self._deals else n_jobs + 1
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="raudo-export")
        # Text that is not compressed is not worth the hand-over of the interpreter lock: 66 ms
        # against 80 for 28 MB of JSON lines (raudo bench export, 2026-11-29). Columns are: they
        # are compressed without it.
        works_unlocked = layout.outer != "none" or self.is_columnar
        is_behind = n_jobs > 1 and not self._deals and works_unlocked
        behind = self._pool if is_behind else None
        self._parts = [
            Part(path, layout.format, layout.outer, hashed, behind, options)
            for path in layout.paths
        ]

    @property
    def is_columnar(self) -> bool:
        """Whether the format takes Arrow record batches as they are."""
        return bool(getattr(self._layout.format, "is_columnar", False))

    def write(self, block: Sequence[Any]) -> None:
        """Deal a block of rows to the parts, a batch each."""
        if not self._opened:
            self._open(block)
        for i, batch in enumerate(cut(block, len(self._parts))):
            if not self._deals:
                self._parts[i].write(batch, self._n_rows)
            else:
                # One batch a part in flight: rows keep their order in it, and memory its bound.
                self._settle(i)
                self._running[i] = self._pool.submit(self._parts[i].write, batch, self._n_rows)
            self._n_rows += len(batch)

    def _open(self, sample: Sequence[Any]) -> None:
        self._opened = True
        for part in self._parts:
            part.open(sample)

    def _settle(self, i: int) -> None:
        running, self._running[i] = self._running[i], None
        if running is not None:
            running.result()

    def finish(self) -> ExportResult:
        """Complete all parts, then put them in their places, the manifest last."""
        if not self._opened:
            self._open(())
        for i in range(len(self._parts)):
            self._settle(i)
        if self._deals:
            for done in [self._pool.submit(part.finish) for part in self._parts]:
                done.result()
        else:
            self._parts[0].finish()
        self._pool.shutdown()
        result = ExportResult(
            paths=self._layout.paths,
            rows=sum(part.rows for part in self._parts),
            bytes=sum(part.bytes for part in self._parts),
            seconds=time.monotonic() - self._start,
            manifest=self._layout.manifest,
        )
        if result.manifest is not None:
            self._manifest = Part(
                result.manifest, Manifest(), "none", hashed=False, options=self._options
            )
            self._manifest.open(())
            self._manifest.write([self._description(result)])
            self._manifest.finish()
        for part in self._parts:
            part.commit()
        if self._manifest is not None:
            self._manifest.commit()
        return dataclasses.replace(result, seconds=time.monotonic() - self._start)

    def _description(self, result: ExportResult) -> dict[str, Any]:
        return {
            "format": self._layout.format.name,
            "compression": self._layout.compression,
            "rows": result.rows,
            "bytes": result.bytes,
            "parts": [
                {
                    "path": part.path.rpartition("/")[2],
                    "rows": part.rows,
                    "bytes": part.bytes,
                    "sha256": part.sha256,
                }
                for part in self._parts
            ],
        }

    def abort(self) -> None:
        """Drop everything that is not in its place yet."""
        if self._deals:
            self._pool.shutdown(wait=True, cancel_futures=True)
        for part in self._parts:
            part.abort()
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._manifest is not None:
            self._manifest.abort()


async def _off_loop_blocks(source: Iterator[T]) -> AsyncGenerator[T, None]:
    while (block := await _off_loop(next, source, None)) is not None:
        yield block


async def _off_loop(fn: Callable[..., T], *args: Any) -> T:
    """Run a call in a thread; when cancelled, wait for it first, because it cannot be stopped."""
    import asyncio  # here, as most exports need no loop

    call = asyncio.get_running_loop().run_in_executor(None, fn, *args)
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        while not call.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([call])
        call.cancelled() or call.exception()  # seen: the cancellation is what is reported
        raise


def _start(
    path: str | os.PathLike[str],
    format: str | None,
    compression: str,
    parts: int | None,
    n_jobs: int | None,
    options: Mapping[str, Any] | None,
) -> _Export:
    location = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(location, str):
        raise TypeError(f"path is {type(path).__name__}, wanted str or a path of str")
    layout = plan(location, format, compression, _count("parts", parts))
    n_threads = _count("n_jobs", n_jobs) or os.cpu_count() or 1
    if len(layout.paths) > 1:
        n_threads = min(len(layout.paths), n_threads)
    return _Export(layout, n_threads, options)


def _count(name: str, value: int | None) -> int | None:
    if value is None:
        return None
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, wanted a whole number >= 1 or None") from None
    if number < 1:
        raise ValueError(f"{name} is {number}, wanted a whole number >= 1 or None")
    return number


def export(
    rows: Iterable[Any],
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    compression: str = "auto",
    parts: int | None = None,
    n_jobs: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> ExportResult:
    """Write rows to a file, or to several in parallel, whole or not at all.

    Rows are read once, a few thousand at a time, so an iterator of any length does. If anything
    fails, nothing is left behind, and what was at `path` before is untouched.

    Args:
        rows: Mappings or dataclass instances; Arrow tables and batches; for npy also arrays and
            sequences of numbers.
        path: A local path or any URL that fsspec knows (`memory://`, `s3://`). Its folder or bucket
            must exist.
        format: `jsonl`, `csv`, `npy`, `parquet`, `arrow` or a plug-in's; None takes it from the
            suffix (`rows.jsonl.gz`).
        compression: `none`, `gzip`, `lz4`, `zstd`; `auto` takes it from the suffix.
        parts: Write this many files, `rows-00000-of-00004.jsonl` and so on, and then
            `rows.manifest.json`, which lists them with rows, bytes and SHA-256. Batches are dealt
            in turn; within a part rows keep their order.
        n_jobs: Threads that write parts, or that compress and write one file beside the caller's
            (1: in it); None for the number of CPUs.
        storage_options: Of the URL's file system, as for fsspec (`endpoint_url`, `key`, ...).

    Raises:
        ExportError: The place cannot be written (an `OSError`, with its `errno`).
        MissingExtra: The format, compression or URL needs a package that is not installed.
        BadRowValue, BadRowType: A row that the format cannot hold (a `ValueError`, a `TypeError`),
            with its `row` and `column`.
        ValueError, TypeError: An argument, or what a plug-in's format raises.

    What the iterator of the rows raises passes through unchanged.
    """
    check_rows(rows)
    job = _start(path, format, compression, parts, n_jobs, storage_options)
    try:
        for block in blocks(rows, parts or 1, job.is_columnar):
            job.write(block)
            del block  # before the next one is read
        return job.finish()
    except BaseException:
        job.abort()
        raise


async def export_async(
    rows: Iterable[Any] | AsyncIterable[Any],
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    compression: str = "auto",
    parts: int | None = None,
    n_jobs: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> ExportResult:
    """Do as `export` does, off the event loop; rows may also come from an async iterable.

    A cancelled export drops its files before the cancellation goes on; it waits for the block in
    hand.
    """
    if not isinstance(rows, AsyncIterable):
        check_rows(rows)
    job = _start(path, format, compression, parts, n_jobs, storage_options)
    if isinstance(rows, AsyncIterable):
        source = async_blocks(rows, parts or 1)
    else:
        source = _off_loop_blocks(blocks(rows, parts or 1, job.is_columnar))
    try:
        async with contextlib.aclosing(source):
            async for block in source:
                await _off_loop(job.write, block)
                del block  # before the next one is read
        return await _off_loop(job.finish)
    except BaseException:
        await _off_loop(job.abort)
        raise
