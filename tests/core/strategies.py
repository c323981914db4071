"""The strategies that every test of the core runs under."""

from __future__ import annotations

COMPILED = ("adaptive", "fifo", "lfu", "lru", "ml", "s3fifo", "sieve", "tinylfu", "ttl")
