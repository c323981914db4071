"""Kills a process in the middle of its writes, many times over, and looks at what it left.

    python crash_disk_tier.py [ROUNDS]

One process imports the library and forks the victims, so that a round takes some ten milliseconds.
A victim does numbered operations and acknowledges each; what was acknowledged has to be there.
"""

import os
import random
import signal
import sys
import tempfile
import threading

from raudo.cache.tiers import DiskTier
from raudo.types import Blob

N_KEYS = 120
MAX_BYTES = 1 << 19  # segments of 32 KiB: they roll, retire and are compacted all the time


def open_tier(folder):
    return DiskTier(folder, max_bytes=MAX_BYTES)


def operation(n):
    """Return the key and the new value, None for a drop, of the n-th operation."""
    chance = random.Random(n)
    key = b"%d" % chance.randrange(N_KEYS)
    if chance.random() < 0.15:
        return key, None
    return key, b"%d," % n * chance.randrange(1, 200)


def victim(folder, n, pipe):
    tier = open_tier(folder)
    while True:
        key, value = operation(n)
        if value is None:
            tier.drop_nowait(key)
        else:
            tier.put_nowait(key, Blob(value, "bytes", len(value)))
        os.write(pipe, b"%d\n" % n)
        n += 1


def acknowledged_before_kill(folder, n, n_wanted, late_s):
    """Run a victim from operation n, kill it after some answers, return the next number."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        try:
            victim(folder, n, writer)
        finally:
            os._exit(1)
    os.close(writer)
    said = b""
    while said.count(b"\n") < n_wanted:
        more = os.read(reader, 65536)
        assert more, "the victim ended by itself"
        said += more
    threading.Event().wait(late_s)  # so that the kill falls anywhere within an operation
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while more := os.read(reader, 65536):
        said += more
    os.close(reader)
    return int(said[: said.rindex(b"\n")].rsplit(b"\n", 1)[-1]) + 1


def main(folder, rounds):
    chance = random.Random(5)
    expected = {}
    n = 0
    for _ in range(rounds):
        reached = acknowledged_before_kill(
            folder, n, chance.randrange(1, 250), chance.random() / 5000
        )
        for each in range(n, reached):
            key, value = operation(each)
            expected[key] = value
        n = reached
        unfinished, new = operation(n)
        tier = open_tier(folder)
        for key, value in expected.items():
            found = tier.get_nowait(key)
            payload = None if found is None else found.payload
            assert payload == value or (key == unfinished and payload == new), (key, n)
        assert set(tier.live_keys()) <= {*expected, unfinished}
        tier.close()
    print(f"{rounds} kills, {n} operations: well")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(os.path.join(name, "tier"), int(sys.argv[1]) if len(sys.argv) > 1 else 50)
