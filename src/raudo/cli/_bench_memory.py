"""Bytes an entry: how much a process of its own grows, before anything is evicted and after.

Keys and values exist beforehand and are not counted. Of a hot set a hundred caches are filled, as
the memory of one would be lost among the pages of a process. After as many evictions as there are
entries, what a strategy remembers of those that left (ghosts) is in the figure too.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from raudo.cli._bench_calls import keys_of, put_all
from raudo.cli._bench_peers import PEERS, Peer

__all__ = ["bytes_per_entry", "fill_and_weigh", "measure"]

N_HOT_CACHES = 100


def fill_and_weigh(name: str, n_entries: int, n_caches: int) -> tuple[float, float | None]:
    """Return the growth of this process in bytes an entry: filled, and once as many were evicted
    (None where nothing is)."""
    import psutil

    (peer,) = (each for each in PEERS if each.name == name)
    process = psutil.Process()
    bounded = peer.make(1).bounded  # imports are not the entries' weight
    keys = keys_of("int", range(1 << 20, (1 << 20) + 2 * n_entries))
    first, second = keys[:n_entries], keys[n_entries:]
    gc.collect()
    gc.disable()
    before = process.memory_info().rss
    subjects = [peer.make(n_entries) for _ in range(n_caches)]

    def fill(some: Sequence[Any]) -> float:
        for subject in subjects:
            put_all(subject, some)
            if subject.size is not None:
                subject.size()
        return float(process.memory_info().rss - before) / (n_entries * n_caches)

    return fill(first), fill(second) if bounded else None


def bytes_per_entry(peer: Peer, n_entries: int, n_caches: int = 1) -> tuple[float, float | None]:
    """Weigh in a process of its own, so that no peer finds another's memory."""
    command = [sys.executable, "-m", __name__, peer.name, str(n_entries), str(n_caches)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    filled, evicting = json.loads(done.stdout)
    return filled, evicting


def measure(
    peers: Sequence[Peer], sizes: Sequence[int], say: Callable[[str], None]
) -> dict[str, Any]:
    """Return bytes an entry of every peer; the largest size is the one to quote."""
    by_size: dict[str, dict[str, float]] = {}
    columns = []
    for n_entries in sizes:
        n_caches = N_HOT_CACHES if n_entries <= 1_000 else 1
        say(f"memory: bytes an entry of {n_entries:,}, a process each")
        columns += [f"{n_entries:,}", f"{n_entries:,} evicting"]
        for peer in peers:
            filled, evicting = bytes_per_entry(peer, n_entries, n_caches)
            row = by_size.setdefault(peer.name, {})
            row[columns[-2]] = round(filled, 1)
            if evicting is not None:
                row[columns[-1]] = round(evicting, 1)
    return {
        "n_entries": sizes[-1],
        "per_entry": {name: row[f"{sizes[-1]:,}"] for name, row in by_size.items()},
        "columns": columns,
        "by_size": by_size,
    }


if __name__ == "__main__":
    print(json.dumps(fill_and_weigh(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
