"""Values come back type for type, and hostile bytes call nothing."""

import contextlib
import copyreg
import datetime as dt
import ipaddress
import os
import pickle
from collections import Counter, defaultdict, deque, namedtuple
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.codec_helpers import plain
from raudo.cache.codecs import (
    BlobCodec,
    PickleSerializer,
)
from raudo.cache.codecs import pickles as pickles_module
from raudo.errors import CorruptEntry, ForbiddenType
from raudo.types import Blob


@dataclass
class Pair:
    left: object
    right: object = None


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a

    def __eq__(self, other):
        return type(other) is Slotted and other.a == self.a

    __hash__ = None


class Colour(Enum):
    RED = 1


class Evil:
    def __reduce__(self):
        return os.system, ("exit 3",)


Point = namedtuple("Point", "x y")


def same(a, b):
    """Equal, and of the same types all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and (a.tolist() == b.tolist() or a is b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple | deque):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


@given(plain, st.sampled_from([True, False, "zstd"]))
def test_plain_values_survive_a_reader_that_trusts_nobody(value, compression):
    codec = BlobCodec(compression=compression)
    blob = codec.encode(value)
    assert codec.may_travel(blob)
    assert same(codec.decode(blob, trusted=False), value)
    assert same(codec.decode(blob, trusted=True), value)


@pytest.mark.parametrize(
    "value",
    [
        np.arange(12).reshape(3, 4),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(24)[::2],
        np.zeros((0, 3), np.float32),
        np.array(3.5),
        np.array(["a", "bc"]),
        np.array([b"a", b"bc"]),
        np.array(["2020-01-01"], "M8[D]"),
        np.array([1, 2], "m8[s]"),
        np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
        np.array([1, "x", None, [2]], dtype=object),
        np.array([True, False]),
        np.arange(3, dtype=">i4"),
        np.float32(1.5),
        np.int64(-3),
        np.bool_(True),
        np.str_("a\0"),
        np.bytes_(b"a\0"),
        np.datetime64("2020-01-01"),
        np.complex64(1j),
        np.dtype("f4"),
        np.dtype([("a", "i4")]),
        {"vector": np.ones(5, np.float32), "ids": [np.int32(1)]},
        uuid4(),
        Path("a/b"),
        Counter("abca"),
        defaultdict(list, a=[1]),
        range(1, 9, 2),
        slice(1, None, 2),
        dt.timezone(dt.timedelta(hours=2)),
        ZoneInfo("UTC"),
        dt.datetime(2024, 2, 29, tzinfo=ZoneInfo("UTC")),
        *map(ipaddress.ip_address, ("10.0.0.1", "fe80::1%eth0")),
        *map(ipaddress.ip_interface, ("10.0.0.1/8", "::1/64")),
        *map(ipaddress.ip_network, ("10.0.0.0/8", "2001:db8::/32")),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}",
)
def test_values_of_admitted_classes_survive(value):
    codec = BlobCodec()
    blob = codec.encode(value)
    assert codec.may_travel(blob)
    for trusted in (False, True):
        back = codec.decode(blob, trusted=trusted)
        assert same(back, value)
        if isinstance(value, np.ndarray):
            assert back.flags.writeable
            assert back.flags.f_contiguous or not value.flags.f_contiguous


def test_a_read_only_array_comes_back_writable():
    value = np.arange(100.0)
    value.flags.writeable = False
    codec = BlobCodec()
    back = codec.decode(codec.encode(value), trusted=False)
    assert same(back, value)
    back[0] = 5


def test_shared_and_cyclic_values_keep_their_shape():
    inner = [1]
    value = {"a": inner, "b": inner}
    value["self"] = value
    codec = BlobCodec(allow=[Pair])
    back = codec.decode(codec.encode(value), trusted=False)
    assert back["a"] is back["b"]
    assert back["self"] is back
    pair = Pair(1)
    pair.right = pair
    back = codec.decode(codec.encode(pair), trusted=False)
    assert back.right is back


@pytest.mark.parametrize(
    "value", [Pair(1, [Pair(2)]), Slotted(3), Colour.RED, Point(1, 2), [Pair(1), Pair(2)]], ids=repr
)
def test_allowed_classes_travel_and_others_do_not(value):
    kind = type(value[0]) if isinstance(value, list) else type(value)
    open_codec, shut_codec = BlobCodec(allow=[kind]), BlobCodec()
    blob = open_codec.encode(value)
    assert open_codec.may_travel(blob)
    assert same(open_codec.decode(blob, trusted=False), value)
    assert same(open_codec.decode(blob, trusted=True), value)
    with pytest.raises(ForbiddenType, match=kind.__name__):
        shut_codec.decode(blob, trusted=False)
    blob = shut_codec.encode(value)
    assert not shut_codec.may_travel(blob)
    assert same(shut_codec.decode(blob, trusted=True), value)
    with pytest.raises(ForbiddenType):
        shut_codec.decode(blob, trusted=False)


def test_a_value_says_whether_it_holds_a_class_that_may_not_travel():
    codec = BlobCodec()
    for value in (print, Pair, [1, {"a": Pair}], np.ma.array([1]), defaultdict(print), Evil()):
        assert not codec.may_travel(codec.encode(value))
    for value in (int, [dict, list], defaultdict(int)):
        assert codec.may_travel(codec.encode(value))


def test_admitted_classes_cannot_be_changed():
    for found in pickles_module.ADMITTED.values():
        with pytest.raises((TypeError, AttributeError)):
            found.planted = 1
        assert not hasattr(found, "__dict__") or isinstance(found, type)


def hostile(*lines):
    return b"\x80\x05" + b"".join(lines) + b"."


def call(module, name, *args):
    return hostile(
        pickle.dumps(module, 0)[:-1],
        pickle.dumps(name, 0)[:-1],
        b"\x93",
        pickle.dumps(args, 3)[2:-1],
        b"R",
    )


MAKERS = "raudo.cache.codecs._makers"


@pytest.mark.parametrize(
    "payload",
    [
        pickle.dumps(Evil()),
        pickle.dumps(Evil(), 0),
        call("os", "system", "exit 3"),
        call("posix", "system", "exit 3"),
        call("builtins", "eval", "1/0"),
        call("builtins", "getattr", [], "append"),
        call("builtins", "__import__", "os"),
        call("subprocess", "Popen", ["true"]),
        call("functools", "partial", print),
        call("operator", "attrgetter", "x"),
        call("numpy", "load", "x"),
        call("numpy._core.multiarray", "_reconstruct"),
        call("numpy", "dtype", "O"),
        call("datetime", "sys.exit", 1),
        call("collections", "_sys.exit", 1),
        call("builtins", "type", "X", (), {}),
        call("builtins", "object.__subclasses__"),
        call("builtins", "str.format", "{0.__class__}", 1),
        call(MAKERS, "_resolve_any", "os:system"),
        call(MAKERS, "importlib.import_module", "os"),
        call(MAKERS, "RESOLVE", "os:system"),
        call(MAKERS, "RESOLVE", "builtins:eval"),
        call(MAKERS, "NewInstance", "x", dict),
        call(MAKERS, "MAKE_ARRAY.__call__", 1),
        hostile(b"cos\nsystem\n(S'exit 3'\ntR"),
        hostile(b"(S'exit 3'\nios\nsystem\n"),
    ],
    ids=range(26),
)
def test_hostile_pickles_are_forbidden_before_anything_is_called(payload, monkeypatch):
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("called"))
    blob = Blob(payload, "plain", len(payload))
    with pytest.raises(ForbiddenType):
        BlobCodec(allow=[Pair]).decode(blob, trusted=False)
    with pytest.raises(ForbiddenType):
        BlobCodec().decode(replace(blob, codec="pickle"), trusted=False)


@pytest.mark.parametrize(
    "payload",
    [
        # BUILD upon an admitted class or maker: (None, {name: value}) would set attributes of it.
        hostile(b"cdatetime\ndatetime\n(N}S'x'\nI1\nstb"),
        hostile(f"c{MAKERS}\nMAKE_UUID\n(N}}S'_build'\nc{MAKERS}\nMAKE_PATH\nstb".encode()),
        hostile(f"c{MAKERS}\nMAKE_UUID\n}}S'_build'\nI1\nsb".encode()),
        hostile(f"c{MAKERS}\nRESOLVE\n(N}}S'_build'\nI1\nstb".encode()),
        call(MAKERS, "MAKE_ARRAY", "|O", (1,), False, b"\0" * 8),
        call(MAKERS, "MAKE_ARRAY", [("a", "|O")], (1,), False, b"\x01" * 8),
        call(MAKERS, "MAKE_ARRAY", "<f8", (100,), False, b"\0" * 8),
        call(MAKERS, "MAKE_ARRAY", "<f8", (-1, 1), False, b"\0" * 8),
        call(MAKERS, "MAKE_ARRAY", "<f8", (1,), False, b"\0" * 80),
        call(MAKERS, "MAKE_SCALAR", "|O", b"\0" * 8),
        hostile(b"P1\n"),  # a persistent id
        hostile(b"\x97"),  # a buffer out of band
        b"",
        b".",
        b"\x80\x05",
        b"\x80\x05K",
        b"garbage",
        pickle.dumps([1] * 50)[:-20],
    ],
    ids=range(18),
)
def test_unfit_pickles_are_corrupt_and_change_nothing(payload):
    with pytest.raises(CorruptEntry):
        BlobCodec().decode(Blob(payload, "plain", len(payload)), trusted=False)
    value = uuid4()
    codec = BlobCodec()
    assert codec.decode(codec.encode(value), trusted=False) == value


def test_keys_of_tuples_too_deep_to_hash_are_corrupt():
    payload = b"\x80\x05})" + b"\x85" * 3_000_000 + b"Ns."
    with pytest.raises(CorruptEntry, match="500 deep"):
        BlobCodec().decode(Blob(payload, "plain", len(payload)), trusted=False)


def test_an_allowed_class_cannot_be_changed_by_a_record():
    payload = hostile(f"c{MAKERS}\nRESOLVE\n(S'{__name__}:Pair'\ntR(N}}S'left'\nI1\nstb".encode())
    with pytest.raises(CorruptEntry):
        BlobCodec(allow=[Pair]).decode(Blob(payload, "plain", 1), trusted=False)
    assert not hasattr(Pair, "left")


def test_extension_codes_are_forbidden():
    copyreg.add_extension("os", "system", 77)
    try:
        payload = hostile(b"\x82" + bytes([77]))
        pickle.loads(payload)  # the process has met the code: find_class is not asked any more
        with pytest.raises(ForbiddenType):
            PickleSerializer().loads_untrusted(payload)
    finally:
        copyreg.remove_extension("os", "system", 77)


@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_else(data):
    for codec in ("plain", "pickle+lz4", "str", "plain+zstd", "what", "plain+what", ""):
        with contextlib.suppress(CorruptEntry, ForbiddenType):
            BlobCodec().decode(Blob(data, codec, 100), trusted=False)
