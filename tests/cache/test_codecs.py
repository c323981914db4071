"""Values come back type for type, and hostile bytes call nothing."""

import contextlib
import copyreg
import datetime as dt
import ipaddress
import os
import pickle
import struct
import threading
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raudo.cache import codecs as codecs_module
from raudo.cache.codecs import (
    BlobCodec,
    Lz4Codec,
    PickleSerializer,
    Signer,
    ZstdCodec,
    train_zstd,
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


plain = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.complex_numbers(allow_nan=False),
        st.text(st.characters()),
        st.binary(),
        st.binary().map(bytearray),
        st.decimals(allow_nan=False),
        st.fractions(),
        st.datetimes(timezones=st.sampled_from([None, dt.UTC])),
        st.dates(),
        st.times(),
        st.timedeltas(),
        st.uuids(),
    ),
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.lists(inner).map(deque),
        st.dictionaries(st.text(), inner),
        st.dictionaries(st.text(), inner).map(OrderedDict),
        st.frozensets(st.integers()),
        st.sets(st.text()),
    ),
    max_leaves=12,
)


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


# --- compression ------------------------------------------------------------------------------


def test_compression_only_where_it_pays():
    codec = BlobCodec()
    records = [{"id": n, "name": f"name {n}", "tags": ["a", "b"]} for n in range(40)]
    assert codec.encode(records).codec == "plain+lz4"
    assert codec.encode("a" * 1000).codec == "str+lz4"
    assert codec.encode(os.urandom(1000)).codec == "bytes"
    assert codec.encode("a" * 100).codec == "str"
    assert codec.encode(np.zeros(1000, np.float32)).codec == "plain"
    assert codec.encode({"v": np.zeros(1000, np.float32), "n": 1}).codec == "plain"
    assert codec.encode(np.zeros(1000, np.int32)).codec == "plain+lz4"
    assert BlobCodec(compression=False).encode("a" * 1000).codec == "str"
    assert BlobCodec(compression="zstd").encode("a" * 1000).codec == "str+zstd"


def test_a_reader_knows_the_compressors_it_does_not_use():
    blob = BlobCodec(compression="zstd").encode("a" * 1000)
    assert BlobCodec(compression=False).decode(blob, trusted=True) == "a" * 1000


def test_zstd_of_large_values_through_shared_buffers(monkeypatch):
    monkeypatch.setattr(codecs_module, "POOLED_FROM_BYTES", 1000)
    codec = BlobCodec(compression="zstd")
    values = [{"a": [bytes([i]) * 2000, bytearray(2000)], "b": "text " * i} for i in range(3)]
    values += ["text" * 1000, b"bytes" * 1000, dt.date(2020, 1, 1), [dt.date(2020, 1, 1)] * 1000]
    blobs = [codec.encode(value) for value in values]
    made = [codec.decode(blob, trusted=False) for blob in blobs]
    assert made == values
    assert type(made[4]) is bytes
    blob = blobs[0]
    for payload in (blob.payload[:-5], b"", blob.payload[:40] + b"!" + blob.payload[41:]):
        with pytest.raises(CorruptEntry):
            codec.decode(replace(blob, payload=payload), trusted=True)
    with pytest.raises(CorruptEntry):
        codec.decode(replace(blob, raw_bytes=1 << 61), trusted=True)
    assert codec.decode(blob, trusted=True) == values[0]


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_forged_size_is_corrupt_before_memory_is_taken(compression):
    blob = BlobCodec(compression=compression).encode("a" * 1000)
    for size in (0, 999, 1001, 2**40):
        with pytest.raises(CorruptEntry):
            BlobCodec().decode(replace(blob, raw_bytes=size), trusted=False)


def small_records(n):
    return [
        {"id": k, "name": f"someone {k}", "status": "active", "email": f"p{k}@example.org"}
        for k in range(n)
    ]


def test_a_dictionary_makes_small_values_small():
    records = small_records(600)
    codec = train_zstd(records[:500], size=2048)
    trained, plain = BlobCodec(compression=codec), BlobCodec(compression="zstd")
    blobs = [trained.encode(record) for record in records]
    assert {blob.codec for blob in blobs} == {"plain+zstd"}
    assert plain.encode(records[0]).codec == "plain"
    assert sum(len(blob.payload) for blob in blobs) * 2 < sum(blob.raw_bytes for blob in blobs)
    # By another process that was given the same dictionary, which reads frames without one too.
    again = BlobCodec(compression=ZstdCodec(dictionary=codec.dictionary))
    assert [again.decode(blob, trusted=False) for blob in blobs] == records
    assert again.decode(plain.encode("a" * 1000), trusted=False) == "a" * 1000


def test_a_frame_of_another_dictionary_is_corrupt():
    blob = BlobCodec(compression=train_zstd(small_records(500), size=2048)).encode(
        small_records(1)[0]
    )
    others = [{"quite": "other", "n": n, "things": ["are", "in", str(n)]} for n in range(500)]
    for other in (BlobCodec(), BlobCodec(compression=train_zstd(others, size=2048))):
        with pytest.raises(CorruptEntry):
            other.decode(blob, trusted=True)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="samples"):
        train_zstd([1, 2])
    with pytest.raises(ValueError, match="dictionary"):
        ZstdCodec(dictionary=b"not one")
    with pytest.raises(ValueError, match="level"):
        ZstdCodec(0)
    with pytest.raises(ValueError, match="serializer"):
        BlobCodec(serializer="json")
    with pytest.raises(ValueError, match="compression"):
        BlobCodec(compression="brotli")
    with pytest.raises(TypeError, match="allow"):
        BlobCodec(allow=["Pair"])
    with pytest.raises(ValueError, match="secret"):
        Signer("short")
    with pytest.raises(TypeError, match="secret"):
        Signer(5)


class Json:
    name = "json"

    def dumps(self, value):
        import json

        return json.dumps(value).encode()

    def loads(self, data):
        import json

        return json.loads(data)


def test_a_serializer_of_ones_own():
    codec = BlobCodec(Json())
    blob = codec.encode({"a": [1]})
    assert blob.codec == "json"
    assert codec.decode(blob, trusted=False) == {"a": [1]}
    with pytest.raises(TypeError):
        codec.encode({1, 2})
    with pytest.raises(CorruptEntry):
        codec.decode(replace(blob, payload=b"{"), trusted=False)


def test_values_that_cannot_be_pickled_raise():
    for value in (lambda: 1, threading.Lock(), (x for x in ())):
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            BlobCodec().encode(value)


# --- signatures -------------------------------------------------------------------------------

SECRET = b"0123456789abcdef"


def test_a_signed_record_is_good_for_its_key_and_content_alone():
    codec, signer = BlobCodec(), Signer(SECRET)
    blob = codec.encode([1, 2], expires_ns=9, tags=(("t", 1),))
    signed = signer.sign(b"k", blob)
    assert signer.verify(b"k", signed) == blob
    flipped = bytes([signed.payload[0] ^ 1]) + signed.payload[1:]
    for key, forged in [
        (b"other", signed),
        (b"k", replace(signed, expires_ns=10)),
        (b"k", replace(signed, tags=())),
        (b"k", replace(signed, raw_bytes=3)),
        (b"k", replace(signed, codec="str+signed")),
        (b"k", replace(signed, payload=flipped)),
        (b"k", replace(signed, payload=signed.payload + b"x")),
        (b"k", replace(signed, payload=b"")),
        (b"k", blob),
        (b"k", Signer(b"another secret of ours").sign(b"k", blob)),
    ]:
        with pytest.raises(CorruptEntry):
            signer.verify(key, forged)


def test_struct_sized_garbage_is_no_signature():
    with pytest.raises(CorruptEntry):
        Signer(SECRET).verify(b"k", Blob(struct.pack("<32s", b""), "plain+signed", 0))


class Reversed:
    """A serializer, and a compressor too."""

    def __init__(self, name):
        self.name = name

    def dumps(self, value):
        return pickle.dumps(value)[::-1]

    def loads(self, data):
        return pickle.loads(data[::-1])

    def compress(self, data):
        return data[::-1]

    def decompress(self, data, raw_bytes):
        return data[::-1]


@pytest.mark.parametrize("name", ["", "a+b", "é", "x" * 65, "a b", None, 3])
def test_names_that_a_blob_cannot_carry_are_refused(name):
    for options in ({"serializer": Reversed(name)}, {"compression": Reversed(name)}):
        with pytest.raises(ValueError, match="its name must be"):
            BlobCodec(**options)


@pytest.mark.parametrize("name", ["plain", "pickle", "bytes", "str"])
def test_a_serializer_may_not_pass_for_one_of_ours(name):
    with pytest.raises(ValueError, match="is raudo's own"):
        BlobCodec(Reversed(name))
    assert BlobCodec(PickleSerializer()).encode([1]).codec == "pickle"


@pytest.mark.parametrize("name", ["lz4", "zstd", "signed"])
def test_a_compressor_may_not_pass_for_one_of_ours(name):
    with pytest.raises(ValueError, match="is raudo's own"):
        BlobCodec(compression=Reversed(name))
    assert BlobCodec(compression=Lz4Codec()).encode("x" * 1000).codec == "str+lz4"
