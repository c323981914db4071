"""Pickle, protocol 5, with the rule of who may be read how.

`dumps` says of each value whether a restricted reader would admit it. Bytes from the cache's own
memory or private folder are read by plain pickle. Bytes that others could have written are read by
an unpickler that admits plain built-in types, the standard library's plain values, NumPy arrays and
the classes the user allowed; anything else raises `ForbiddenType` before it is called. Exhausting
memory is not guarded against: a record can always ask for much of it.
"""

from __future__ import annotations

import copyreg
import datetime
import io
import pickle
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from typing import Any, ClassVar

from raudo.cache._checks import iterable_of
from raudo.cache.codecs._makers import (
    MAKERS,
    NewInstance,
    Resolver,
    path_of,
    reduce_allowed,
    reduction_of,
)
from raudo.errors import CorruptEntry, ForbiddenType

__all__ = ["PickleSerializer"]

_MAKERS_MODULE = "raudo.cache.codecs._makers"

# Classes that cannot be changed by what is done with them on an unpickler's stack (a test asserts
# it). `bytes` and `bytearray` are not among them: pickle has opcodes for their values.
_BUILTINS = (bool, int, float, complex, str, list, tuple, dict, set, frozenset, range)
_STANDARD = (
    OrderedDict,
    defaultdict,
    deque,
    datetime.date,
    datetime.datetime,
    datetime.time,
    datetime.timedelta,
    datetime.timezone,
)
ADMITTED: dict[tuple[str, str], Any] = {
    **{(kind.__module__, kind.__qualname__): kind for kind in (*_BUILTINS, *_STANDARD)},
    **{(_MAKERS_MODULE, name): maker for name, maker in MAKERS.items()},
}
# What pickle itself writes by reduction, and the reader admits.
_PLAIN_KINDS = frozenset({complex, range, *_STANDARD})
_ADMITTED_CLASSES = frozenset({*_BUILTINS, *_STANDARD})


_STACK_GLOBAL = b"\x93"


_PAUSE_S = 20e-6  # as long as a waiting thread takes to wake up: it has to get the GIL first


class _Pausing:
    """A file that pickle writes to every 64 KB, some 0.5 ms of its work: then others run."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        self._parts.append(bytes(data))
        time.sleep(_PAUSE_S)

    def getvalue(self) -> bytes:
        return b"".join(self._parts)


class _Pickler(pickle.Pickler):
    """Watches the objects that pass: those of built-in types never reach `reducer_override`."""

    def __init__(self, file: io.BytesIO | _Pausing, allowed: dict[type, NewInstance]) -> None:
        super().__init__(file, protocol=5)
        self.allowed = allowed
        self.is_plain = True
        self.saw_class = False
        self.float_bytes = 0

    def reducer_override(self, value: Any) -> Any:
        self.saw_class = True
        kind = type(value)
        if kind in _PLAIN_KINDS:
            return NotImplemented
        if kind is type and value in _ADMITTED_CLASSES:
            return NotImplemented
        if isinstance(value, (Resolver, NewInstance)) or value in _MAKER_SET_BY_ID:
            return NotImplemented
        maker = self.allowed.get(kind)
        reduced = reduction_of(value) if maker is None else reduce_allowed(value, maker)
        if reduced is None:
            self.is_plain = False
            return NotImplemented
        if kind.__name__ == "ndarray" and value.dtype.kind in "fc":
            self.float_bytes += value.nbytes
        return reduced


class _IdentitySet:
    """Membership by identity: an object of the user's may compare in its own way, or not at all."""

    __slots__ = ("_ids",)

    def __init__(self, items: Iterable[object]) -> None:
        self._ids = frozenset(map(id, items))

    def __contains__(self, item: object) -> bool:
        return id(item) in self._ids


_MAKER_SET_BY_ID = _IdentitySet(MAKERS.values())


class _Restricted(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, resolver: Resolver) -> None:
        super().__init__(file)
        self._resolver = resolver

    def find_class(self, module: str, name: str) -> Any:
        found = ADMITTED.get((module, name))
        if found is not None:
            return found
        if module == _MAKERS_MODULE and name == "RESOLVE":
            return self._resolver
        raise ForbiddenType(
            f"a stored value asks for {module}.{name}, which may not be loaded from where others "
            "could write: name its class in allow=, or sign the records with secret="
        )


class PickleSerializer:
    """Makes bytes of any picklable value and back, type for type."""

    name: ClassVar[str] = "pickle"

    def __init__(self, allow: Iterable[type] = ()) -> None:
        self._allowed: dict[type, NewInstance] = {}
        # Types whose pickles are worth watching from the start. A dictionary of arrays makes all
        # dictionaries such, which costs time and nothing else.
        self._names_classes: set[type] = set()
        for kind in iterable_of("allow", allow, "a collection of classes"):
            if not isinstance(kind, type):
                raise TypeError(f"allow holds classes, got {kind!r}")
            self._allowed[kind] = NewInstance(path_of(kind), kind)
        by_path = {path_of(kind): maker for kind, maker in self._allowed.items()}

        def resolve(path: str) -> NewInstance:
            if path not in by_path:
                raise ForbiddenType(f"a stored value asks for {path}, which is not in allow=")
            return by_path[path]

        self._resolver = Resolver("RESOLVE", resolve)

    def dump(self, value: Any, pauses: bool = False) -> tuple[bytes, bool, int]:
        """Pickle the value; raises what pickle raises.

        Returns:
            The pickle, whether a restricted reader admits it, and the bytes of floats in arrays.
        """
        kind = type(value)
        if kind not in self._names_classes and not getattr(copyreg, "_extension_registry", True):
            # Without the one opcode that names a class the pickle is plain, and need not be
            # watched: three times as fast. Text may hold the byte too; then it is made again.
            data = _dump_pausing(value) if pauses else pickle.dumps(value, 5)
            if _STACK_GLOBAL not in data:
                return data, True, 0
        file = _Pausing() if pauses else io.BytesIO()
        pickler = _Pickler(file, self._allowed)
        pickler.dump(value)
        if pickler.saw_class and len(self._names_classes) < 1000:
            self._names_classes.add(kind)
        return file.getvalue(), pickler.is_plain, pickler.float_bytes

    def dumps(self, value: Any) -> bytes:
        return self.dump(value)[0]

    def loads(self, data: bytes | memoryview) -> Any:
        """Load bytes that nobody else could have written."""
        return pickle.loads(data)

    def loads_untrusted(self, data: bytes | memoryview) -> Any:
        """Load bytes that others could have written; `ForbiddenType` or `CorruptEntry` if unfit."""
        try:
            self._refuse_extensions(data)
            return _Restricted(io.BytesIO(data), self._resolver).load()
        except ForbiddenType:
            raise
        except Exception as error:
            raise CorruptEntry(f"a stored value cannot be unpickled: {error}") from error

    @staticmethod
    def _refuse_extensions(data: bytes | memoryview) -> None:
        # An extension code that this process has met before is not passed to find_class.
        if not getattr(copyreg, "_extension_cache", None):
            return
        import pickletools  # for those few who have met one

        opcodes = (opcode.name for opcode, _, _ in pickletools.genops(bytes(data)))
        if any(name.startswith("EXT") for name in opcodes):
            raise ForbiddenType("a stored value uses a pickle extension code")


def _dump_pausing(value: Any) -> bytes:
    file = _Pausing()
    pickle.Pickler(file, 5).dump(value)
    return file.getvalue()
