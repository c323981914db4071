"""Hits of memoised functions beside `functools.lru_cache`, and awaited hits beside an `async def`.

    python benchmarks/bench_cache_memo.py

Each row is the best of many short rounds in ns a call, the empty loop taken off; rivals take turns,
so that a drift of the machine's speed hits both.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import time
from collections.abc import Callable
from typing import Any

import raudo
from raudo._core.ready import Ready

N = 1000
ROUNDS = 60
Loop = Callable[[Any, list[Any]], None]


def _same(*args: object, **kwargs: object) -> object:
    return args


def _one(fn: Any, keys: list[Any]) -> None:
    for key in keys:
        fn(key)


def _two(fn: Any, keys: list[Any]) -> None:
    for key in keys:
        fn(key, 7)


def _three(fn: Any, keys: list[Any]) -> None:
    for key in keys:
        fn(key, "a", 7)


def _keyword(fn: Any, keys: list[Any]) -> None:
    for key in keys:
        fn(key, b=7)


def _keywords(fn: Any, keys: list[Any]) -> None:
    for key in keys:
        fn(a=key, b=7)


def _none(fn: Any, keys: list[Any]) -> None:
    for _ in keys:
        fn()


def _empty(fn: Any, keys: list[Any]) -> None:
    for _ in keys:
        pass


def _method(fn: Any, keys: list[Any]) -> None:
    for key in keys:
        fn.method(key)


def _method_two(fn: Any, keys: list[Any]) -> None:
    for key in keys:
        fn.method(key, 7)


INTS = list(range(1000, 1000 + N))
CALLS: dict[str, tuple[Loop, list[Any]]] = {
    "one int": (_one, INTS),
    "one str": (_one, [str(i) for i in INTS]),
    "one float": (_one, [i + 0.5 for i in INTS]),
    "one tuple": (_one, [(i, i + 1) for i in INTS]),
    "two positional": (_two, INTS),
    "three positional": (_three, INTS),
    "positional and keyword": (_keyword, INTS),
    "two keywords": (_keywords, INTS),
    "no argument": (_none, INTS),
}
METHODS: dict[str, tuple[Loop, list[Any]]] = {
    "method, one int": (_method, INTS),
    "method, two positional": (_method_two, INTS),
}


def _with_method(decorate: Callable[[Any], Any]) -> Any:
    class Owner:
        @decorate
        def method(self, *args: object) -> object:
            return args

    return Owner()


def _best(runs: dict[str, Callable[[], None]], n: int) -> dict[str, float]:
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):
        for name, run in runs.items():
            begin = time.perf_counter_ns()
            run()
            best[name] = min(best[name], (time.perf_counter_ns() - begin) / n)
    return best


def memo() -> None:
    """Print a row for each kind of call."""
    print(f"{'ns a hit':32}{'functools':>10}{'lru_cache':>18}{'cached':>18}")
    settings: list[dict[str, Any]] = [{}, {"typed": True}, {"maxsize": None}]
    rows: list[tuple[str, Loop, list[Any], dict[str, Any], bool]] = [
        (name, loop, keys, {}, False) for name, (loop, keys) in CALLS.items()
    ]
    rows += [
        (f"{name}, {next(iter(more))}={next(iter(more.values()))}", *CALLS[name], more, False)
        for more, name in itertools.product(settings[1:], ("one int", "two positional"))
    ]
    rows += [(name, loop, keys, {}, True) for name, (loop, keys) in METHODS.items()]
    for name, loop, keys, more, is_method in rows:
        size = {"maxsize": 2 * N, **more}
        makers: dict[str, Any] = {
            "functools": functools.lru_cache(**size),
            "lru_cache": raudo.lru_cache(**size),
            "cached": raudo.cached(**{k: v for k, v in size.items() if k != "typed"}),
        }
        subjects = {
            each: _with_method(make) if is_method else make(_same) for each, make in makers.items()
        }
        # Equal keys, but not the objects that are stored.
        again = [type(key)(str(key)) if isinstance(key, int | float) else key for key in keys]
        for subject in subjects.values():
            loop(subject, keys)
        best = _best(
            {
                "": functools.partial(_empty, None, again),
                **{each: functools.partial(loop, s, again) for each, s in subjects.items()},
            },
            N,
        )
        net = {each: best[each] - best[""] for each in subjects}
        ratio = {each: net[each] / net["functools"] for each in net}
        print(
            f"{name:32}{net['functools']:10.1f}{net['lru_cache']:10.1f} ({ratio['lru_cache']:.2f}x)"
            f"{net['cached']:10.1f} ({ratio['cached']:.2f}x)"
        )


async def awaits() -> None:
    """Print what awaiting a hit takes."""
    known = {i: str(i) for i in INTS}

    async def plain(key: int) -> str:
        return known[key]

    @raudo.cached(maxsize=2 * N)
    async def remembered(key: int) -> str:
        return known[key]

    smart = raudo.SmartCache(10 * N)
    for key in INTS:
        await smart.set(key, known[key])
        await remembered(key)

    async def empty() -> None:
        for _ in INTS:
            pass

    def loop_over(fn: Any) -> Any:
        async def loop() -> None:
            for key in INTS:
                await fn(key)

        return loop

    loops = {
        "": empty,
        "async def over a dict": loop_over(plain),
        "Ready": loop_over(Ready),
        "cached coroutine function": loop_over(remembered),
        "SmartCache.get": loop_over(smart.get),
    }
    best = dict.fromkeys(loops, float("inf"))
    for _ in range(ROUNDS):
        for name, loop in loops.items():
            begin = time.perf_counter_ns()
            await loop()
            best[name] = min(best[name], (time.perf_counter_ns() - begin) / N)
    base = best["async def over a dict"] - best[""]
    print(f"\n{'ns an awaited hit':32}")
    for name in list(loops)[1:]:
        net = best[name] - best[""]
        print(f"{name:32}{net:10.1f} ({net / base:.2f}x)")
    await smart.close()


if __name__ == "__main__":
    memo()
    asyncio.run(awaits())
