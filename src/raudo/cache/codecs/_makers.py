"""What an untrusted record may call: immutable makers, one per admitted class.

A pickle that others could have written names what it calls and may then set attributes on it
(`BUILD`). So no class that can be changed is ever put on its stack: a UUID, a Fraction, a NumPy
array or an instance of an allowed class is written as a call of a maker below, an object without a
`__dict__`, and the reader hands out makers and unchangeable built-in classes alone. NumPy's own
pickles are not admitted: their `__setstate__` takes dtype flags on faith, which can make pointers
of bytes.
"""

from __future__ import annotations

import importlib
import pickle
import sys
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from typing import Any
from uuid import UUID

__all__ = ["MAKERS", "NewInstance", "Resolver", "reduce_allowed", "reduction_of"]

Reduction = tuple[Any, ...]


class _Maker:
    """A callable that cannot be changed, pickled by the name it has in this module."""

    __slots__ = ("_build", "_name")
    _build: Callable[..., Any]
    _name: str

    def __init__(self, name: str, build: Callable[..., Any]) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_build", build)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a maker cannot be changed")

    def __call__(self, *args: Any) -> Any:
        return self._build(*args)

    def __reduce__(self) -> str:
        return self._name


def _array(descr: Any, shape: tuple[int, ...], fortran: bool, data: bytes | bytearray) -> Any:
    import numpy as np
    from numpy.lib.format import descr_to_dtype

    dtype = descr_to_dtype(descr)
    if dtype.hasobject:
        raise ValueError("an array of objects is not made of bytes")
    # What was read-only memory comes as bytes; an array that is read back can always be written to.
    flat = np.frombuffer(data if isinstance(data, bytearray) else bytearray(data), np.uint8)
    array = np.ndarray(tuple(shape), dtype, buffer=flat, order="F" if fortran else "C")
    if array.nbytes != flat.nbytes:
        raise ValueError(f"{flat.nbytes} bytes do not fill an array of {array.nbytes}")
    return array


def _objects(shape: tuple[int, ...], items: list[Any]) -> Any:
    import numpy as np

    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array.reshape(tuple(shape))


def _scalar(descr: Any, data: bytes) -> Any:
    return _array(descr, (), False, data)[()]


def _numpy_text(value: str | bytes) -> Any:
    import numpy as np

    return np.str_(value) if isinstance(value, str) else np.bytes_(value)


def _dtype(descr: Any) -> Any:
    from numpy.lib.format import descr_to_dtype

    return descr_to_dtype(descr)


def _path(text: str) -> Any:
    from pathlib import Path

    return Path(text)


def _slice(start: Any, stop: Any, step: Any) -> slice:
    return slice(start, stop, step)


_ADDRESSES = frozenset(
    f"IPv{version}{what}" for version in "46" for what in ("Address", "Interface", "Network")
)


def _address(kind: str, text: str) -> Any:
    import ipaddress

    if kind not in _ADDRESSES:
        raise ValueError(f"no kind of address: {kind!r}")
    return getattr(ipaddress, kind)(text)


def _zone(key: str) -> Any:
    from zoneinfo import ZoneInfo

    return ZoneInfo(key)


MAKE_ARRAY = _Maker("MAKE_ARRAY", _array)
MAKE_OBJECTS = _Maker("MAKE_OBJECTS", _objects)
MAKE_SCALAR = _Maker("MAKE_SCALAR", _scalar)
MAKE_NUMPY_TEXT = _Maker("MAKE_NUMPY_TEXT", _numpy_text)
MAKE_DTYPE = _Maker("MAKE_DTYPE", _dtype)
MAKE_UUID = _Maker("MAKE_UUID", lambda data: UUID(bytes=data))
MAKE_FRACTION = _Maker("MAKE_FRACTION", lambda top, bottom: Fraction(top, bottom))
MAKE_DECIMAL = _Maker("MAKE_DECIMAL", lambda text: Decimal(text))
MAKE_COUNTER = _Maker("MAKE_COUNTER", lambda counts: Counter(dict(counts)))
MAKE_PATH = _Maker("MAKE_PATH", _path)
MAKE_SLICE = _Maker("MAKE_SLICE", _slice)
MAKE_ADDRESS = _Maker("MAKE_ADDRESS", _address)
MAKE_ZONE = _Maker("MAKE_ZONE", _zone)


class NewInstance:
    """Makes a bare instance of one allowed class, or calls the class, without exposing it."""

    __slots__ = ("_kind", "_path")
    _kind: type
    _path: str

    def __init__(self, path: str, kind: type) -> None:
        object.__setattr__(self, "_path", path)
        object.__setattr__(self, "_kind", kind)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a maker cannot be changed")

    def __call__(self, bare: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        kind: Any = self._kind
        return kind.__new__(kind, *args, **kwargs) if bare else kind(*args, **kwargs)

    def __reduce__(self) -> Reduction:
        return RESOLVE, (self._path,)


def path_of(kind: type) -> str:
    """Return how a record names a class."""
    return f"{kind.__module__}:{kind.__qualname__}"


class Resolver(_Maker):
    """Finds an allowed class by the name that a record gives."""

    __slots__ = ()


def _resolve_any(path: str) -> NewInstance:
    module, _, name = path.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return NewInstance(path, found)


# As named in this module it imports freely: only a reader of trusted bytes gets this one. A reader
# of others' bytes puts one of its own in its place, which knows the allowed classes alone.
RESOLVE = Resolver("RESOLVE", _resolve_any)

MAKERS: dict[str, _Maker] = {
    name: value
    for name, value in globals().items()
    if isinstance(value, _Maker) and not isinstance(value, Resolver)
}


def _reduce_array(array: Any) -> Reduction | None:
    import numpy as np
    from numpy.lib.format import dtype_to_descr

    if array.dtype.kind == "O":
        return MAKE_OBJECTS, (array.shape, array.reshape(-1).tolist())
    descr = _descr_of(array.dtype, dtype_to_descr)
    if descr is None:
        return None
    fortran = bool(array.flags.f_contiguous and not array.flags.c_contiguous)
    plain = array.T if fortran else np.ascontiguousarray(array)
    # In band, but without a copy of ours: the pickler reads the array's own memory.
    flat: Any = plain.reshape(-1).view(np.uint8)
    data = pickle.PickleBuffer(flat) if plain.nbytes else b""
    return MAKE_ARRAY, (descr, array.shape, fortran, data)


def _descr_of(dtype: Any, to_descr: Callable[[Any], Any]) -> Any:
    """Return what the dtype can be made of again, None where that would not be the same dtype."""
    from numpy.lib.format import descr_to_dtype

    if dtype.hasobject or dtype.kind not in "biufcmMSUV" or dtype.metadata:
        return None
    try:
        descr = to_descr(dtype)
        return descr if descr_to_dtype(descr) == dtype else None
    except (TypeError, ValueError):
        return None


def _reduce_numpy(value: Any) -> Reduction | None:
    import numpy as np
    from numpy.lib.format import dtype_to_descr

    kind = type(value)
    if kind is np.ndarray:
        return _reduce_array(value)
    if kind in (np.str_, np.bytes_):
        # By the base class's methods: NumPy's own drop trailing zeros.
        plain = str.__str__(value) if kind is np.str_ else bytes.__getitem__(value, slice(None))
        return MAKE_NUMPY_TEXT, (plain,)
    if isinstance(value, np.generic) and kind is value.dtype.type:
        descr = _descr_of(value.dtype, dtype_to_descr)
        return None if descr is None else (MAKE_SCALAR, (descr, value.tobytes()))
    if isinstance(value, np.dtype):
        descr = _descr_of(value, dtype_to_descr)
        return None if descr is None else (MAKE_DTYPE, (descr,))
    return None


_REDUCTIONS: dict[type, Callable[[Any], Reduction]] = {
    UUID: lambda value: (MAKE_UUID, (value.bytes,)),
    Fraction: lambda value: (MAKE_FRACTION, (value.numerator, value.denominator)),
    Decimal: lambda value: (MAKE_DECIMAL, (str(value),)),
    Counter: lambda value: (MAKE_COUNTER, (dict(value),)),
    slice: lambda value: (MAKE_SLICE, (value.start, value.stop, value.step)),
}


def reduction_of(value: Any) -> Reduction | None:
    """Return how an object of an admitted class is made again, None for any other object."""
    kind = type(value)
    reduce = _REDUCTIONS.get(kind)
    if reduce is not None:
        return reduce(value)
    if str(kind.__module__).partition(".")[0] == "numpy":
        return _reduce_numpy(value)
    if isinstance(value, PurePath) and kind is _native_path():
        return MAKE_PATH, (str(value),)
    # Looked up by name: neither module is imported before there is such a value.
    if kind.__name__ in _ADDRESSES and kind is _class_in("ipaddress", kind.__name__):
        return MAKE_ADDRESS, (kind.__name__, str(value))
    if kind.__name__ == "ZoneInfo" and kind is _class_in("zoneinfo", "ZoneInfo") and value.key:
        return MAKE_ZONE, (value.key,)
    return None


def _class_in(module: str, name: str) -> Any:
    return getattr(sys.modules.get(module), name, None)


def _native_path() -> type:
    from pathlib import Path

    return type(Path())


def reduce_allowed(value: Any, maker: NewInstance) -> Reduction | None:
    """Return how an instance of an allowed class is made again without naming the class itself."""
    import copyreg

    kind = type(value)
    reduced = value.__reduce_ex__(5)
    if not isinstance(reduced, tuple):
        return None
    fn, args, *rest = reduced
    if fn is copyreg.__newobj__ and args[0] is kind:  # type: ignore[attr-defined]
        return maker, (True, tuple(args[1:]), {}), *rest
    if fn is copyreg.__newobj_ex__ and args[0] is kind:  # type: ignore[attr-defined]
        return maker, (True, tuple(args[1]), dict(args[2])), *rest
    if fn is kind:
        return maker, (False, tuple(args), {}), *rest
    return None
