"""Memoised functions, methods and ready awaitables keep nothing that they should not."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from contextlib import suppress
from typing import Any

from counting import assert_no_growth

from raudo._core.ready import Ready
from raudo.cache import lru_cache


class Argument:
    pass


def work() -> None:
    for settings in ({}, {"maxsize": 3}, {"maxsize": None}, {"maxsize": 0}, {"typed": True}):

        @lru_cache(**settings)
        def remember(*args: Any, **kwargs: Any) -> Any:
            if args and args[0] == "fail":
                raise ZeroDivisionError
            return [args, kwargs]

        for i in range(5):
            remember()
            remember(i)
            remember(str(i))
            remember(i, i)
            remember(i, key=i)
            remember(key=i, other=[i] and i)
            remember(Argument())
            for bad in ([], {}):
                with suppress(TypeError):
                    remember(bad)
                with suppress(TypeError):
                    remember(i, key=bad)
            with suppress(ZeroDivisionError):
                remember("fail")
        remember.cache_info()
        remember.cache_clear()

    class Owner:
        @lru_cache(maxsize=4)
        def method(self, x: int) -> Any:
            return [self, x]

    owner = Owner()
    for i in range(6):
        owner.method(i)
    ref = weakref.ref(owner)
    Owner.method.cache_clear()
    del owner
    gc.collect()
    assert ref() is None


def references() -> None:
    """A hit hands out one reference and keeps none of the arguments."""
    value, argument = [1], Argument()
    function = lru_cache(maxsize=8)(lambda x, y=0: value)
    function(argument)
    function(argument, y=argument)
    before = sys.getrefcount(value), sys.getrefcount(argument)
    for _ in range(100):
        function(argument)
        function(argument, y=argument)
    assert (sys.getrefcount(value), sys.getrefcount(argument)) == before
    function.cache_clear()
    assert sys.getrefcount(argument) == 2


def ready() -> None:
    async def main() -> None:
        thing = Argument()
        before = sys.getrefcount(thing)
        for _ in range(5):
            assert await Ready(thing) is thing
            Ready(thing).close()
            awaitable = Ready(thing)
            with suppress(StopIteration):
                awaitable.send(None)
            with suppress(ZeroDivisionError):
                Ready(thing).throw(ZeroDivisionError())
            assert await asyncio.gather(Ready(thing), Ready(thing)) == [thing, thing]
            assert await asyncio.wait_for(Ready(thing), 5) is thing
            Ready(thing)
        await asyncio.sleep(0)
        del awaitable
        gc.collect()
        assert sys.getrefcount(thing) <= before + 1

    asyncio.run(main())


assert_no_growth("memo", work)
references()
assert_no_growth("ready", ready)
