"""Appends samples to a file or stream, one JSON object a line.

    {"time": 1700000000.5, "name": "raudo_cache_hits_total", "kind": "counter", "value": 3,
     "labels": {"cache": "users"}}

`time` is seconds since 1970. A value that JSON has no number for (NaN, infinity) is null. Lines are
written whole: with several processes appending to one file none is torn.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from raudo._clock import SYSTEM_CLOCK, Clock
from raudo.errors import Closed
from raudo.monitoring.series import is_bucket
from raudo.types import Sample

__all__ = ["JsonLinesExporter"]


class JsonLinesExporter:
    """Write samples to `target`, a path or an open text stream.

    Args:
        target: A file is created or appended to; a stream is flushed, and left open by `close`.
        max_bytes: A file that would grow beyond this is first renamed to `<name>.1`, that one to
            `<name>.2`, and so on; it never is when None. For one writing process.
        backups: How many renamed files are kept.
        clock: Where time comes from.
    """

    name = "jsonlines"

    def __init__(
        self,
        target: str | os.PathLike[str] | TextIO,
        *,
        max_bytes: int | None = None,
        backups: int = 3,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if max_bytes is not None and not max_bytes > 0:
            raise ValueError(f"max_bytes is {max_bytes!r}, wanted None or a number > 0")
        if backups < 0:
            raise ValueError(f"backups is {backups!r}, wanted a number >= 0")
        self._path: Path | None = None
        self._stream: TextIO | None = None
        if isinstance(target, (str, os.PathLike)):
            self._path = Path(target)
            self._append(b"")  # a path that cannot be written is told at once
        elif callable(getattr(target, "write", None)):
            self._stream = target
        else:
            raise TypeError(f"target is {target!r}, wanted a path or a text stream")
        self._max_bytes = max_bytes
        self._backups = backups
        self._clock = clock
        self._is_closed = False

    def export(self, samples: Sequence[Sample]) -> None:
        """Append a line for each sample, all of them in one write."""
        if self._is_closed:
            raise Closed("the jsonlines exporter is closed")
        time = self._clock.time_ns() / 1e9
        text = "".join(_line(time, each) for each in samples if not is_bucket(each))
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()
        else:
            data = text.encode()
            self._make_room(len(data))
            self._append(data)

    def close(self) -> None:
        """Write no more. Files are open during a write only."""
        self._is_closed = True

    def _append(self, data: bytes) -> None:
        assert self._path is not None
        with open(self._path, "ab", buffering=0) as file:
            while data:  # a full disk may take a part, then raise
                data = data[file.write(data) :]

    def _make_room(self, n_bytes: int) -> None:
        path = self._path
        assert path is not None
        if self._max_bytes is None:
            return
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return
        if not size or size + n_bytes <= self._max_bytes:
            return
        for number in range(self._backups, 0, -1):
            older = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number}"))
        if not self._backups:
            path.unlink()


def _line(time: float, sample: Sample) -> str:
    record = {
        "time": time,
        "name": sample.name,
        "kind": sample.kind,
        "value": +sample.value if math.isfinite(sample.value) else None,
        "labels": dict(sample.labels),
    }
    return json.dumps(record, allow_nan=False) + "\n"
