"""The files that paths lead to, folder by folder, with stamps that tell whether one changed.

Nothing is opened. A folder is listed in one call (`_core/walk`), and what is plain about it is
handled by the array, so that a walk costs little more than the system's part.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from raudo._core.walk import STAMP_NUMBERS, list_folder
from raudo.analysis.sources.tally import Tally
from raudo.concurrency._workers.cpus import usable_cpus

__all__ = ["STDIN", "Listing", "Walk"]

STDIN = "-"
# Folders of caches and of other people's code; a PATH that is one of them is walked all the same.
_LEFT_OUT = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})


class Listing(NamedTuple):
    """Files to read: their names behind `folder`, and (n, STAMP_NUMBERS) int64 stamps: device,
    inode, bytes, times of content and of state in ns. A pipe, or standard input, has none.
    """

    folder: str
    names: list[str]
    stamps: NDArray[np.int64] | None
    is_named: bool


class Walk:
    """Lists what paths lead to, once; of several links to a file the first counts."""

    def __init__(self, paths: list[Path], exclude: Iterable[str | os.PathLike[str]], tally: Tally):
        self._paths, self._tally = paths, tally
        self._excluded = {os.path.realpath(path) for path in exclude}
        self._excluded_names = {os.path.basename(path) for path in self._excluded}
        self._roots = tuple(
            os.path.join(os.path.realpath(path), "") for path in paths if path.is_dir()
        )
        self._n_jobs = usable_cpus()
        self._met: dict[int, set[int]] = {}  # inodes by device

    def listings(self) -> Iterator[Listing]:
        """Yield the files in order: those of a folder by name, then those of its folders."""
        for path in self._paths:
            if str(path) == STDIN:
                yield Listing("", [STDIN], None, True)
            elif path.is_dir():
                yield from self._folder(str(path))
            else:
                yield from self._named(str(path))

    def _named(self, name: str) -> Iterator[Listing]:
        try:
            status = os.stat(name)
        except OSError:
            self._tally.skip("unreadable", name)
            return
        if stat.S_ISFIFO(status.st_mode):
            yield Listing("", [name], None, True)
        elif not stat.S_ISREG(status.st_mode):
            self._tally.skip("not a regular file", name)  # a device would block
        else:
            stamps = np.array([_stamp(status)], np.int64)
            if self._unmet("", [name], stamps).all():
                yield Listing("", [name], stamps, True)

    def _folder(self, folder: str) -> Iterator[Listing]:
        try:
            names, modes, stamps = list_folder(folder, n_jobs=self._n_jobs)
        except OSError:
            self._tally.skip("unreadable", folder)
            return
        prefix = os.path.join(folder, "")
        kept = (modes & stat.S_IFMT(0xFFFF)) == stat.S_IFREG
        folders = []
        for i in np.flatnonzero(~kept).tolist():
            name, mode = names[i], int(modes[i])
            if name.startswith("."):
                self._tally.skip("hidden", prefix + name)
            elif self._is_excluded(prefix, name):
                continue
            elif stat.S_ISDIR(mode):
                folders.append(name)
            elif (status := self._followed(prefix + name, mode)) is not None:
                kept[i], stamps[i] = True, _stamp(status)
        for name in self._excluded_names.intersection(names) if self._excluded_names else ():
            if self._is_excluded(prefix, name):
                kept[names.index(name)] = False
        if not kept.all():
            names, stamps = _only(kept, names, stamps)
        unmet = self._unmet(prefix, names, stamps)
        if not unmet.all():
            names, stamps = _only(unmet, names, stamps)
        if names:
            yield Listing(prefix, names, stamps, False)
        for name in folders:
            if name in _LEFT_OUT:
                self._tally.skip("cache or dependency folder", prefix + name)
            else:
                yield from self._folder(prefix + name)

    def _followed(self, path: str, mode: int) -> os.stat_result | None:
        """Return the state of the file that a link leads to; None, and say why, for no such."""
        try:
            status = os.stat(path)
            if stat.S_ISLNK(mode):
                target = os.path.realpath(path)
                if stat.S_ISDIR(status.st_mode):
                    self._tally.skip("symbolic link to a folder", path)
                    return None
                if target.startswith(self._roots):
                    self._tally.skip("symbolic link to a file that is read itself", path)
                    return None
        except OSError:  # a link that leads nowhere, or in a circle
            self._tally.skip("unreadable", path)
            return None
        if not stat.S_ISREG(status.st_mode):
            self._tally.skip("not a regular file", path)  # a pipe or a device would block
            return None
        return status

    def _unmet(self, prefix: str, names: list[str], stamps: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which were not met before: one more link to a file is not one more document."""
        unmet = np.ones(len(names), bool)
        for device in set(stamps[:, 0].tolist()):
            rows = np.flatnonzero(stamps[:, 0] == device)
            inodes = stamps[rows, 1].tolist()
            met = self._met.setdefault(device, set())
            mine = set(inodes)
            if len(mine) == len(inodes) and met.isdisjoint(mine):
                met |= mine
                continue
            for i, inode in zip(rows.tolist(), inodes, strict=True):
                if inode in met:
                    self._tally.skip("named twice", prefix + names[i])
                    unmet[i] = False
                met.add(inode)
        return unmet

    def _is_excluded(self, prefix: str, name: str) -> bool:
        # To resolve a path costs a look at each of its folders: only for a name that is among
        # these.
        return name in self._excluded_names and os.path.realpath(prefix + name) in self._excluded


def _only(
    kept: NDArray[np.bool_], names: list[str], stamps: NDArray[np.int64]
) -> tuple[list[str], NDArray[np.int64]]:
    return [names[i] for i in np.flatnonzero(kept).tolist()], stamps[kept]


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    assert len(stamp) == STAMP_NUMBERS
    return stamp
