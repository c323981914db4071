"""How blobs are packed, named and signed: compressors, dictionaries, serializers of others."""

import datetime as dt
import os
import pickle
import struct
import threading
from dataclasses import replace

import numpy as np
import pytest

from raudo.cache import codecs as codecs_module
from raudo.cache.codecs import (
    BlobCodec,
    Lz4Codec,
    PickleSerializer,
    Signer,
    ZstdCodec,
    train_zstd,
)
from raudo.errors import CorruptEntry
from raudo.types import Blob

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
