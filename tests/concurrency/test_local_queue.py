"""The in-process queue keeps the contract of sources."""

from __future__ import annotations

from raudo.concurrency import LocalQueue
from raudo.testing import MessageSourceContract


class TestLocalQueue(MessageSourceContract):
    def make_source(self, queue):
        if getattr(self, "queue", None) is None or self.queue.name != queue:
            self.queue = LocalQueue(name=queue)
        return self.queue

    async def dead(self, queue):
        return [(letter.message.body, letter.reason) for letter in self.queue.dead]
