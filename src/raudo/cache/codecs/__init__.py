"""Values to blobs and back: a serializer, then a compressor where it pays.

`Blob.codec` names the steps: `bytes` and `str` (as they are), `plain` (a pickle that any reader may
load), `pickle` (a pickle that only a reader who trusts its source loads), or a user's serializer;
`+lz4` or `+zstd` where compression took off at least a tenth; `+signed` where an HMAC leads.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from raudo._core.plain import load_plain
from raudo.cache.codecs.compressors import Lz4Codec, ZstdCodec, compressor_named
from raudo.cache.codecs.pickles import PickleSerializer
from raudo.cache.tiers.blobs import BLOBS
from raudo.errors import CorruptEntry, ForbiddenType
from raudo.memory.buffer_pool import POOLED_FROM_BYTES
from raudo.types import Blob, Codec, Serializer

__all__ = ["BlobCodec", "Lz4Codec", "PickleSerializer", "Signer", "ZstdCodec", "train_zstd"]

# Of a compressor that does not say below how many bytes it gains nothing.
_MIN_COMPRESSED_BYTES = 256
_MAX_KNOWN_CODECS = 64  # whose names are taken apart once
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PICKLES = frozenset({"plain", "pickle"})
_OWN_SERIALIZERS = frozenset({"bytes", "str", "plain", "pickle"})
_OWN_PACKINGS = frozenset({"lz4", "zstd", "signed"})


class BlobCodec:
    """Makes a `Blob` of a value and the value of it again. Thread-safe."""

    def __init__(
        self,
        serializer: str | Serializer = "pickle",
        compression: bool | str | Codec = True,
        allow: Iterable[type] = (),
    ) -> None:
        self._pickle = PickleSerializer(allow)
        self._serializer: Serializer = self._pickle
        if not isinstance(serializer, str):
            if not all(hasattr(serializer, name) for name in ("name", "dumps", "loads")):
                raise TypeError(f"serializer must be 'pickle' or a Serializer, got {serializer!r}")
            if not isinstance(serializer, PickleSerializer):
                _check_name("serializer", serializer.name, _OWN_SERIALIZERS)
            self._serializer = serializer
        elif serializer != "pickle":
            raise ValueError(f"serializer must be 'pickle' or a Serializer, got {serializer!r}")
        self._compressor: Codec | None = None
        self._compressors: dict[str, Codec] = {}
        self._steps: dict[str, tuple[str, tuple[Codec, ...]]] = {}
        if compression is not False:
            self._compressor = _compressor_of("lz4" if compression is True else compression)
            self._compressors[self._compressor.name] = self._compressor
        self._min_bytes: int = getattr(self._compressor, "min_bytes", _MIN_COMPRESSED_BYTES)

    def encode(
        self,
        value: Any,
        expires_ns: int = 0,
        tags: tuple[tuple[str, int], ...] = (),
        *,
        pauses: bool = False,
    ) -> Blob:
        """Make a blob of the value; raises what the serializer raises where it cannot.

        With `pauses`, for a large value and a thread beside an event loop, it lets others run.
        """
        kind = type(value)
        may_shrink = True
        if kind is bytes:
            name, raw = "bytes", value
        elif kind is str:
            name, raw = "str", value.encode("utf-8", "surrogatepass")
        elif self._serializer is self._pickle:
            raw, is_plain, float_bytes = self._pickle.dump(value, pauses)
            name = "plain" if is_plain else "pickle"
            # The mantissas of floats are noise to a compressor: 0.99 measured on embeddings.
            may_shrink = float_bytes * 2 < len(raw)
        else:
            name, raw = self._serializer.name, self._serializer.dumps(value)
        payload = raw
        if self._compressor is not None and may_shrink and len(raw) >= self._min_bytes:
            packed = self._compressor.compress(raw)
            if len(packed) * 10 <= len(raw) * 9:
                name, payload = f"{name}+{self._compressor.name}", packed
        blob: Blob = BLOBS.new(payload, name, len(raw), expires_ns, tags)
        return blob

    def decode(self, blob: Blob, *, trusted: bool, pauses: bool = False) -> Any:
        """Make the value again; `CorruptEntry` or `ForbiddenType` where the blob is unfit.

        `trusted` says that nobody but this cache could have written the blob; `pauses` is as for
        `encode`.
        """
        steps = self._steps.get(blob.codec)
        if steps is None:
            steps = self._steps_of(blob.codec)
        name, codecs = steps
        raw: Any = blob.payload
        # Such a pickle is read once and dropped; what is handed to others is bytes of their own.
        is_shared = name in _PICKLES and blob.raw_bytes >= POOLED_FROM_BYTES
        for codec in codecs:
            decompress = codec.decompress
            if is_shared:
                decompress = getattr(codec, "decompress_shared", decompress)
            raw = decompress(raw, blob.raw_bytes)
        if name == "plain":  # by far most values; no source has to be trusted for it
            try:
                value = load_plain(raw, pauses)
            except ValueError as error:
                raise CorruptEntry(f"a stored value cannot be made again: {error}") from error
            if value is not NotImplemented:
                return value
        if name == "bytes":
            return raw
        try:
            if name == "str":
                return raw.decode("utf-8", "surrogatepass")
            if name in _PICKLES:
                if trusted:
                    return self._pickle.loads(raw)
                return self._pickle.loads_untrusted(raw)
            if name == self._serializer.name:
                return self._serializer.loads(raw)
        except (CorruptEntry, ForbiddenType):
            raise
        except Exception as error:
            raise CorruptEntry(f"a stored value cannot be made again: {error!r}") from error
        raise CorruptEntry(f"a stored value is of an unknown codec, {blob.codec!r}")

    def _steps_of(self, codec: str) -> tuple[str, tuple[Codec, ...]]:
        """Return what made a blob's payload, and what to undo first to last."""
        name, *packing = codec.split("+")
        steps = name, tuple(self._compressor_for(step) for step in reversed(packing))
        if len(self._steps) < _MAX_KNOWN_CODECS:
            self._steps[codec] = steps
        return steps

    def _compressor_for(self, name: str) -> Codec:
        found = self._compressors.get(name)
        if found is None:
            try:
                found = self._compressors[name] = compressor_named(name)
            except (ValueError, ImportError) as error:
                raise CorruptEntry(f"a stored value needs the codec {name!r}: {error}") from error
        return found

    @staticmethod
    def may_travel(blob: Blob) -> bool:
        """Say whether a reader who does not trust the blob's source would admit it."""
        return blob.codec.partition("+")[0] != "pickle"


def train_zstd(
    values: Iterable[Any],
    *,
    size: int = 8192,
    level: int = 1,
    serializer: str | Serializer = "pickle",
) -> ZstdCodec:
    """Return a compressor for `SmartCache(compression=...)` that has seen values like these.

    Args:
        values: Some hundreds of values as they will be cached.
        size: Bytes of the dictionary.
        level: zstd's, 1 (fastest) to 22.
        serializer: The cache's.
    """
    codec = BlobCodec(serializer, compression=False)
    return ZstdCodec.trained(
        [codec.encode(value).payload for value in values], size=size, level=level
    )


def _compressor_of(compression: str | Codec) -> Codec:
    if isinstance(compression, str):
        return compressor_named(compression)
    if not all(hasattr(compression, name) for name in ("name", "compress", "decompress")):
        raise TypeError(
            f"compression must be True, False, 'lz4', 'zstd' or a Codec, got {compression!r}"
        )
    if not isinstance(compression, Lz4Codec | ZstdCodec):
        _check_name("compression", compression.name, _OWN_PACKINGS)
    return compression


def _check_name(argument: str, name: Any, own: frozenset[str]) -> None:
    """Refuse a name that `Blob.codec` cannot carry, or that stands for something else there."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"{argument}: its name must be 1 to 64 letters, digits and any of _.-, got {name!r}"
        )
    if name in own:
        raise ValueError(f"{argument}: the name {name!r} is raudo's own, choose another")


class Signer:
    """Signs blobs together with their key, so that no record can be forged or put under another.

    HMAC-SHA256 over key, codec, expiry, tags and payload. An authentic old record that someone puts
    back is not recognised: a signature does not know what is newest.
    """

    _SIZE = 32

    def __init__(self, secret: bytes | str) -> None:
        if not isinstance(secret, bytes | str):
            raise TypeError(f"secret must be bytes or str, got {type(secret).__name__}")
        material = secret.encode() if isinstance(secret, str) else secret
        if len(material) < 16:
            raise ValueError(f"secret must have at least 16 bytes, got {len(material)}")
        self._key = hashlib.sha256(b"raudo cache record v1\0" + material).digest()

    def _digest(self, key: bytes, blob: Blob, payload: bytes) -> bytes:
        head = repr((key, blob.codec, blob.raw_bytes, blob.expires_ns, blob.tags)).encode()
        mac = hmac.new(self._key, len(head).to_bytes(8, "big"), hashlib.sha256)
        mac.update(head)
        mac.update(payload)
        return mac.digest()

    def sign(self, key: bytes, blob: Blob) -> Blob:
        named = replace(blob, codec=f"{blob.codec}+signed")
        return replace(named, payload=self._digest(key, named, blob.payload) + blob.payload)

    def verify(self, key: bytes, blob: Blob) -> Blob:
        """Return the blob without its signature; `CorruptEntry` where it does not check out."""
        name, plus, last = blob.codec.rpartition("+")
        mac, payload = blob.payload[: self._SIZE], blob.payload[self._SIZE :]
        if not plus or last != "signed":
            raise CorruptEntry("a stored record is not signed")
        if not hmac.compare_digest(mac, self._digest(key, blob, payload)):
            raise CorruptEntry("the signature of a stored record does not check out")
        return replace(blob, codec=name, payload=payload)
