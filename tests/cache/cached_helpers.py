"""What the tests of `cached` share."""

import asyncio

from raudo.cache import cached


class Owner:
    def __init__(self, base=0):
        self.base = base
        self.calls = 0

    @cached
    def add(self, n):
        self.calls += 1
        return self.base + n

    @cached(maxsize=4)
    def me(self):
        return self

    @cached
    async def add_async(self, n):
        await asyncio.sleep(0)
        self.calls += 1
        return self.base + n

    @classmethod
    @cached
    def of_class(cls, n):
        return cls, n, object()

    @staticmethod
    @cached
    def static(n):
        return n, object()

    @cached
    @classmethod
    def of_class_within(cls, n):
        return cls, n, object()

    @cached
    @staticmethod
    def static_within(n):
        return n, object()

    @cached(key=lambda self, n: (self.base, n))
    def by_base(self, n):
        self.calls += 1
        return self.base * n


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))
