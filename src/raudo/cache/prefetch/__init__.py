"""Foresees which keys will be asked for, and has them loaded while that pays.

Two finders propose keys: `strides` for integers, `sequences` for keys of any kind. The `ledger`
compares what they propose with what is then asked for, kind by kind, and lets through the kinds of
which at least half come true: a stream without a pattern costs bookkeeping and no load.
"""

from __future__ import annotations

from raudo.cache.prefetch.prefetcher import Prefetcher

__all__ = ["Prefetcher"]
