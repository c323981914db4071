"""Reads request traces: which keys were asked for, in order.

Formats, told apart by what a file begins with and by its name:

    recording      what `Cache(record=PATH)` wrote
    npz            NumPy archive: array `k` (keys), optional `size` (bytes) and `t` (seconds)
    oracleGeneral  of libCacheSim (https://github.com/1a1a11a/libCacheSim): 24 bytes a request, u32
                   time in seconds, u64 id, u32 size, i64 number of the id's next request
    csv            one request a row; with a header its columns `key`, `size` and `time`, else the
                   first column
    text           one key a line; empty lines do not count

Each also compressed, by its name's last suffix: .gz, .bz2, .xz, .zst (extra `zstd`). A file that is
cut off or is not what it should be is a `BadTrace` that names the file and the place; only a
recording may end in a torn block or line, as the process that wrote it may have been killed.
"""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

from raudo._core.recorder import MAGIC, TEXT_MAGIC
from raudo.cache.trace_files import Report, open_trace
from raudo.cache.trace_formats import FORMATS, Trace
from raudo.errors import BadTrace

__all__ = ["FORMATS", "Trace", "read_trace"]


def read_trace(
    path: str | os.PathLike[str],
    *,
    format: str = "auto",
    limit: int | None = None,
    report: Report | None = None,
) -> Trace:
    """Return the requests of a trace file, at most `limit` of them.

    What is after the limit is not read. Memory: some 16 bytes a request, and for text, CSV and keys
    that are strings a dict of them too; an `.npz` is read as a whole. `report` is called with the
    bytes of the file that have been read, and with its size.

    Raises `BadTrace` for what is not a whole trace, `OSError` for what cannot be read and
    `ValueError` for another format than `FORMATS` has.
    """
    if format != "auto" and format not in FORMATS:
        raise ValueError(f"format: wanted one of auto, {', '.join(FORMATS)}, got {format!r}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit: wanted a number >= 1 or None, got {limit!r}")
    file = Path(path)
    with open_trace(file, report) as stream:
        name = _format_of(file, stream) if format == "auto" else format
        trace = FORMATS[name](file, stream, limit)
        if len(trace.keys) == limit and name != "npz" and stream.peek(1):
            trace = replace(trace, is_whole=False)
    if not len(trace.keys):
        raise BadTrace(f"{file}: no request in {file.stat().st_size} bytes of {name}")
    return trace


def _format_of(file: Path, stream: io.BufferedReader) -> str:
    start = stream.peek(len(TEXT_MAGIC))
    if start.startswith((MAGIC, TEXT_MAGIC)):
        return "recording"
    if start.startswith(b"PK\x03\x04"):
        return "npz"
    names = [suffix.lower() for suffix in file.suffixes]
    if ".npz" in names:
        return "npz"  # which will say what is wrong with it
    if "oraclegeneral" in file.name.lower() or ".bin" in names:
        return "oracleGeneral"
    return "csv" if ".csv" in names or ".tsv" in names else "text"
