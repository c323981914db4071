"""Instructions per operation of the cache core, counted by callgrind, beside those of a dict.

A count hardly depends on the machine and not at all on what else it runs, so that it can be
recorded and compared where a timing cannot; of what the memory costs it knows nothing.

    python benchmarks/instructions.py            the table, beside the recorded counts
    python benchmarks/instructions.py --check    fails where something needs 5 % more than recorded
    python benchmarks/instructions.py --record   writes the counts to benchmarks/instructions.json

One process runs all operations under valgrind, which writes down its count at each call of the C
library's `getppid`: one before each loop, and one after it. The empty loop is taken off.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raudo import Cache, cached, lru_cache
from raudo._core.ready import Ready

RECORD = Path(__file__).with_suffix(".json")
SIZE = 1000
ROUNDS = 20
TOLERANCE = 1.05


def _filled(strategy: str) -> Cache[Any, Any]:
    cache: Cache[Any, Any] = Cache(SIZE, strategy=strategy)
    for i in range(SIZE):
        cache[i] = i
    return cache


def _calls(call: Callable[[Any], object], first: int = 0) -> Callable[[int], None]:
    keys = list(range(first, first + SIZE))

    def run(rounds: int) -> None:
        for _ in range(rounds):
            for key in keys:
                call(key)

    return run


def _subscripts(mapping: Any) -> Callable[[int], None]:
    def run(rounds: int) -> None:
        for _ in range(rounds):
            for key in range(SIZE):
                mapping[key]

    return run


def _stores(mapping: Any, is_new: bool) -> Callable[[int], None]:
    def run(rounds: int) -> None:
        for i in range(rounds):
            first = (i + 1) * SIZE if is_new else 0
            for key in range(first, first + SIZE):
                mapping[key] = None

    return run


def _many(cache: Cache[Any, Any]) -> Callable[[int], None]:
    parts = [list(range(at, at + 100)) for at in range(0, SIZE, 100)]

    def run(rounds: int) -> None:
        for _ in range(rounds):
            for part in parts:
                cache.get_many(part)

    return run


def _empty(rounds: int) -> None:
    for _ in range(rounds):
        for _key in range(SIZE):
            pass


OPERATIONS: dict[str, Callable[[], Callable[[int], None]]] = {
    "empty loop": lambda: _empty,
    "dict: get, hit": lambda: _calls(dict.fromkeys(range(SIZE), 0).get),
    "dict: get, miss": lambda: _calls(dict.fromkeys(range(SIZE), 0).get, SIZE),
    "dict: d[k]": lambda: _subscripts(dict.fromkeys(range(SIZE), 0)),
    "dict: update": lambda: _stores(dict.fromkeys(range(SIZE), 0), False),
    "adaptive: get, hit": lambda: _calls(_filled("adaptive").get),
    "adaptive: get, miss": lambda: _calls(_filled("adaptive").get, SIZE),
    "adaptive: c[k]": lambda: _subscripts(_filled("adaptive")),
    "adaptive: update": lambda: _stores(_filled("adaptive"), False),
    "adaptive: insert, evict": lambda: _stores(_filled("adaptive"), True),
    "adaptive: get_many(100), a key": lambda: _many(_filled("adaptive")),
    "ml: get, hit": lambda: _calls(_filled("ml").get),
    "ml: insert, evict": lambda: _stores(_filled("ml"), True),
    "lru: get, hit": lambda: _calls(_filled("lru").get),
    "lru: insert, evict": lambda: _stores(_filled("lru"), True),
    "lru_cache: hit": lambda: _calls(_remembered()),
    "lru_cache: hit, two arguments": lambda: _pairs(_remembered()),
    "lru_cache: hit, a keyword": lambda: _by_name(_remembered()),
    "cached: hit of a method": lambda: _methods(),
    "await: async def over a dict": lambda: _awaits(_plain_coroutine()),
    "await: Ready": lambda: _awaits(Ready),
    "await: cached, hit": lambda: _awaits(_remembered_coroutine()),
}


def _remembered() -> Callable[..., Any]:
    @lru_cache(maxsize=SIZE)
    def same(n: int, more: int = 0) -> int:
        return n

    for i in range(SIZE):
        same(i)
    return same


def _pairs(call: Callable[..., object]) -> Callable[[int], None]:
    def run(rounds: int) -> None:
        for _ in range(rounds):
            for key in range(SIZE):
                call(key, 7)

    return run


def _by_name(call: Callable[..., object]) -> Callable[[int], None]:
    def run(rounds: int) -> None:
        for _ in range(rounds):
            for key in range(SIZE):
                call(key, more=7)

    return run


def _methods() -> Callable[[int], None]:
    class Owner:
        @cached(maxsize=SIZE)
        def same(self, n: int) -> int:
            return n

    owner = Owner()

    def run(rounds: int) -> None:
        for _ in range(rounds):
            for key in range(SIZE):
                owner.same(key)

    return run


def _awaits(call: Callable[[int], Any]) -> Callable[[int], None]:
    async def loop(rounds: int) -> None:
        for _ in range(rounds):
            for key in range(SIZE):
                await call(key)

    return lambda rounds: asyncio.run(loop(rounds))


def _plain_coroutine() -> Callable[[int], Any]:
    known = dict.fromkeys(range(SIZE), 0)

    async def plain(key: int) -> int:
        return known[key]

    return plain


def _remembered_coroutine() -> Callable[[int], Any]:
    return cached(maxsize=SIZE)(_plain_coroutine())


def _run_all() -> None:
    for prepare in OPERATIONS.values():
        run = prepare()
        run(1)
        os.getppid()
        run(ROUNDS)
        os.getppid()


def count() -> dict[str, float]:
    """Return the instructions that one operation takes, by name."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                *("valgrind", "--tool=callgrind", "--dump-before=getppid"),
                *(f"--callgrind-out-file={folder}/counts", sys.executable, __file__, "--run"),
            ],
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": "0", "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
        )
        parts = [Path(folder, f"counts.{n + 1}") for n in range(2 * len(OPERATIONS))]
        if done.returncode or not all(part.exists() for part in parts):
            sys.exit(f"valgrind did not count (exit {done.returncode}):\n{done.stderr[-2000:]}")
        loops = [_total(part) for part in parts[1::2]]
    each = [loop / (ROUNDS * SIZE) for loop in loops]
    counts = {name: round(n - each[0], 1) for name, n in zip(OPERATIONS, each, strict=True)}
    del counts["empty loop"]
    return counts


def _total(part: Path) -> int:
    found = re.search(r"^(?:totals|summary): (\d+)", part.read_text(), re.MULTILINE)
    if found is None:
        sys.exit(f"no total in what valgrind wrote: {part.name}")
    return int(found[1])


def _build() -> str:
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    return f"{platform.machine()} CPython {platform.python_version()} {compiler}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true")
    what.add_argument("--record", action="store_true")
    what.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        _run_all()
        return 0
    if shutil.which("valgrind", path="/usr/bin:/bin") is None:
        print("no valgrind here: instructions are not counted")
        return 0
    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    before = recorded.get(_build(), {})
    if args.check and not before:
        print(f"nothing is recorded for {_build()}: instructions are not compared")
        return 0
    counts = count()
    print(f"instructions per operation, {_build()}\n{'':32}{'now':>8}{'recorded':>10}")
    for name, now in counts.items():
        print(f"{name:32}{now:8.1f}{before.get(name, '-'):>10}")
    if args.record:
        RECORD.write_text(json.dumps({**recorded, _build(): counts}, indent=2) + "\n")
    slower = [name for name, now in counts.items() if now > TOLERANCE * before.get(name, now)]
    if args.check and slower:
        print("slower than recorded: " + ", ".join(slower), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
