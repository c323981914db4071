"""`Content-Type` by suffix: the same on every machine, which `mimetypes` with its files is not."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from pathlib import PurePosixPath

__all__ = ["is_text", "media_type"]

_TYPES = {
    ".arrow": "application/vnd.apache.arrow.file",
    ".avif": "image/avif",
    ".br": "application/x-brotli",
    ".geojson": "application/geo+json",
    ".gz": "application/gzip",
    ".js": "text/javascript",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".lz4": "application/x-lz4",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".ndjson": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
    ".zst": "application/zstd",
}
_TEXT = {
    "application/geo+json",
    "application/json",
    "application/jsonl",
    "application/manifest+json",
    "application/wasm",  # no text, but shrinks as one
    "application/x-ndjson",
    "application/xml",
    "image/svg+xml",
}
_STANDARD = mimetypes.MimeTypes()


def media_type(name: str, given: Mapping[str, str]) -> str:
    """Return the type for a file name; text is taken to be UTF-8."""
    suffix = PurePosixPath(name).suffix.lower()
    found = given.get(suffix) or _TYPES.get(suffix)
    if found is None:
        found = _STANDARD.types_map[True].get(suffix, "application/octet-stream")
    if found.startswith("text/") and "charset" not in found:
        found += "; charset=utf-8"
    return found


def is_text(media: str) -> bool:
    """Say whether what is of this type gets much smaller by compression."""
    plain = media.partition(";")[0].strip()
    return plain.startswith("text/") or plain in _TEXT
