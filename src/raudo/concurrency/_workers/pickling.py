"""Pickles what goes to a worker process.

Plain pickle first: it is fast, and refers to functions by name. What it refuses (lambdas, closures,
functions of a notebook) goes by value through cloudpickle where that is installed.
"""

from __future__ import annotations

import importlib
import pickle
import re
from typing import NamedTuple

from raudo.concurrency._workers.main_module import find_main

__all__ = ["Encoded", "Encoder", "name_of"]

_NAMES_MAIN = re.compile(rb"__(mp_)?main__")
_OUT_OF_BAND_BYTES = 16 * 1024  # smaller buffers are cheaper inside the pickle
_MAX_KEPT_BYTES = 8 << 20  # of memory for the next pickle


class Encoded(NamedTuple):
    """An object ready to be sent: its pickle, and the buffers that stay outside it."""

    payload: bytes | memoryview
    buffers: list[memoryview]


class _Memory:
    """A file to pickle into, whose memory is kept for the next.

    It is never resized, so that a view which somebody still has, a traceback say, is in nobody's
    way. `io.BytesIO` will not do: the collector crashes the interpreter (CPython 3.12) where it
    finds one in a cycle together with a view of it.
    """

    __slots__ = ("_bytes", "_n_bytes")

    def __init__(self) -> None:
        self._bytes, self._n_bytes = bytearray(), 0

    def write(self, data: bytes | bytearray | memoryview | pickle.PickleBuffer) -> int:
        view = memoryview(data)
        begin, end = self._n_bytes, self._n_bytes + view.nbytes
        if end > len(self._bytes):
            grown = bytearray(max(end, 2 * len(self._bytes)))
            grown[:begin] = memoryview(self._bytes)[:begin]
            self._bytes = grown
        self._bytes[begin:end] = view
        self._n_bytes = end
        return view.nbytes

    def written(self) -> memoryview:
        return memoryview(self._bytes)[: self._n_bytes]

    def rewind(self) -> None:
        if self._n_bytes > _MAX_KEPT_BYTES:
            self._bytes = bytearray()
        self._n_bytes = 0


class Encoder:
    """Pickles objects, one after another, into memory of its own.

    Used by one thread at a time; an `Encoded` is valid until the next. Large contiguous buffers
    stay out of the pickle. What plain pickle refuses, or would name something in a `__main__` that
    nobody else can import, goes by value through cloudpickle, if that is installed.

    Args:
        shares_main: Whether who reads it can import this program's `__main__`, if anyone can.
    """

    def __init__(self, shares_main: bool = True) -> None:
        self._memory = _Memory()
        self._shares_main = shares_main

    def encode(self, value: object) -> Encoded:
        """Pickle `value`; raises what pickling it raises."""
        try:
            encoded = self._encode(pickle.Pickler, value)
            is_main_known = self._shares_main and find_main() is not None
            if is_main_known or not _NAMES_MAIN.search(encoded.payload):
                return encoded
        except Exception:
            by_value = _pickler_by_value()
            if by_value is None:
                raise
        else:
            by_value = _pickler_by_value()
            if by_value is None:
                return encoded
        return self._encode(by_value, value)

    def _encode(self, pickler: type[pickle.Pickler], value: object) -> Encoded:
        self._memory.rewind()
        buffers: list[memoryview] = []

        def stays_inside(buffer: pickle.PickleBuffer) -> bool:
            try:
                view = buffer.raw()
            except BufferError:  # not contiguous
                return True
            if view.nbytes < _OUT_OF_BAND_BYTES:
                return True
            buffers.append(view)
            return False

        # Into memory that is there already: `pickle.dumps` of 100 blobs of 10 KB takes six times as
        # long, most of it for growing its result.
        pickler(self._memory, 5, buffer_callback=stays_inside).dump(value)
        return Encoded(self._memory.written(), buffers)


def _pickler_by_value() -> type[pickle.Pickler] | None:
    try:
        found: type[pickle.Pickler] = importlib.import_module("cloudpickle").Pickler
    except ImportError:
        return None
    return found


def name_of(fn: object) -> str:
    """Return how to call a function in messages."""
    wrapped = getattr(fn, "func", fn)  # functools.partial
    name = getattr(wrapped, "__qualname__", None) or type(wrapped).__qualname__
    return str(name)
