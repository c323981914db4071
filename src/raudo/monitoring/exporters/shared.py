"""One set of samples for the processes of a service: what gunicorn and its like need.

A scrape reaches one worker process; it is to tell of all. Each worker's monitor writes its samples
to a file of its own in a folder, and whichever is asked reads them all.

    shared = SharedSamples("/run/shop/metrics")
    monitor.export_to(shared)
    PrometheusExporter(registry, source=shared.collect)    # or exposition(shared.collect())

Counters and histograms are added up, also those of processes that have ended, so that none of them
ever goes back; gauges are told of each live process, by a label `pid`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from raudo.errors import Closed
from raudo.monitoring.series import Key, key_of
from raudo.types import Sample

if sys.platform != "win32":
    import fcntl

__all__ = ["SharedSamples"]

_FILE = re.compile(r"(\d+)-(\d+)\.json")
_PAST = "past.json"


class SharedSamples:
    """Share samples by files in `folder`, which is made if it is not there.

    The folder belongs to one service; empty it before that starts anew, or its counters go on. A
    file is written whole, by a rename; one that cannot be read is passed over. What others show is
    as old as their monitor's interval. POSIX only; a local file system.
    """

    name = "shared"

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._is_closed = False

    def export(self, samples: Sequence[Sample]) -> None:
        """Write this process's samples for the others."""
        if self._is_closed:
            raise Closed("the shared exporter is closed")
        pid = os.getpid()
        self._write(f"{pid}-{_started(pid)}.json", samples)

    def close(self) -> None:
        """Write no more. What was written stays, and is taken for a process that ended in time."""
        self._is_closed = True

    def collect(self) -> tuple[Sample, ...]:
        """Return the samples of all processes."""
        with self._locked():
            live, past = self._sorted_out()
        found: dict[Key, Sample] = {}
        for sample in past:
            _add(found, sample)
        for pid, samples in live:
            for sample in samples:
                if sample.kind == "gauge":
                    sample = sample._replace(labels=(*sample.labels, ("pid", str(pid))))
                _add(found, sample)
        # The parts of a histogram must stay together.
        order = {name: n for n, name in enumerate(dict.fromkeys(name for name, _ in found))}
        return tuple(sorted(found.values(), key=lambda sample: order[sample.name]))

    def _sorted_out(self) -> tuple[list[tuple[int, list[Sample]]], list[Sample]]:
        """Return what live processes wrote, and what the ended ones counted, which is kept."""
        past = {key_of(sample): sample for sample in self._read(self._folder / _PAST)}
        live, ended = [], []
        for path in sorted(self._folder.iterdir()):
            match = _FILE.fullmatch(path.name)
            if match is None:
                continue
            pid, started = int(match[1]), int(match[2])
            samples = self._read(path)
            if _started(pid) == started:
                live.append((pid, samples))
                continue
            ended.append(path)
            for sample in samples:
                if sample.kind != "gauge":
                    _add(past, sample)
        if ended:
            # In this order a crash in between counts twice, and never loses: rates see a step once.
            self._write(_PAST, past.values())
            for path in ended:
                path.unlink(missing_ok=True)
        return live, list(past.values())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self._folder / "lock", "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _read(self, path: Path) -> list[Sample]:
        try:
            return [_sample(each) for each in json.loads(path.read_bytes())]
        except (OSError, ValueError, TypeError, KeyError):
            return []

    def _write(self, name: str, samples: Iterable[Sample]) -> None:
        path = self._folder / name
        aside = path.with_suffix(f".{os.getpid()}.new")
        aside.write_text(json.dumps([tuple(sample) for sample in samples]))
        aside.replace(path)


def _sample(given: Any) -> Sample:
    name, kind, value, labels, text = given
    if kind not in ("counter", "gauge", "histogram"):
        raise ValueError(f"kind is {kind!r}")
    pairs = tuple((str(key), str(label)) for key, label in labels)
    return Sample(str(name), kind, float(value), pairs, str(text))


def _add(found: dict[Key, Sample], sample: Sample) -> None:
    key = key_of(sample)
    known = found.get(key)
    if known is not None and sample.kind != "gauge":
        sample = sample._replace(value=known.value + sample.value)
    found[key] = sample


def _started(pid: int) -> int:
    """Return when a process began, which tells it from a later one of its number; 0 when gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        # psutil adds the boot time, which moves with the wall clock; ticks since boot do not.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return 0 if fields[0] in "ZX" else int(fields[19])
    if Path("/proc/self/stat").exists():
        return 0
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return 0
        return int(process.create_time() * 100)
    except psutil.Error:
        return 0
