"""From a path to a format, a compression and the names of the parts."""

from __future__ import annotations

from typing import NamedTuple

from raudo.export.compression import COMPRESSIONS, compression_of_suffix
from raudo.export.formats import format_names, format_of_suffix, load_format
from raudo.types import Format

__all__ = ["Layout", "plan"]


class Layout(NamedTuple):
    """How an export is to be written."""

    format: Format
    compression: str
    """As the user would name it, wherever it happens."""
    outer: str
    """What is wrapped around the format's own bytes; "none" where the format compresses itself."""
    paths: tuple[str, ...]
    manifest: str | None


def _split(path: str) -> tuple[str, str, str]:
    """Split `a/rows.jsonl.gz` into `a/rows`, `.jsonl`, `.gz`; either suffix may be empty."""
    start = max(path.rfind("/"), path.rfind(":")) + 1
    stem, outer = path, ""
    dot = stem.rfind(".")
    if dot > start and compression_of_suffix(stem[dot:]) is not None:
        stem, outer = stem[:dot], stem[dot:]
    dot = stem.rfind(".")
    return (stem[:dot], stem[dot:], outer) if dot > start else (stem, "", outer)


def plan(path: str, format: str | None, compression: str, parts: int | None) -> Layout:
    """Decide the layout; `ValueError` names the argument that does not fit."""
    stem, suffix, outer_suffix = _split(path)
    format_name = format if format is not None else format_of_suffix(suffix)
    if format_name is None:
        raise ValueError(
            f"path is {path!r}, whose suffix names no format: give format=, one of "
            f"{', '.join(format_names())}"
        )
    kind = load_format(format_name)
    inner: tuple[str, ...] = getattr(kind, "compressions", ())
    if compression not in ("auto", *COMPRESSIONS):
        raise ValueError(
            f"compression is {compression!r}, wanted auto or one of {', '.join(COMPRESSIONS)}"
        )
    of_suffix = compression_of_suffix(outer_suffix)
    if of_suffix is not None and compression not in ("auto", of_suffix):
        raise ValueError(f"path ends in {outer_suffix}, but compression is {compression!r}")
    if inner:
        if of_suffix is not None:
            raise ValueError(
                f"path ends in {outer_suffix}, but {format_name} compresses inside its files: "
                f"leave the suffix out and give compression={of_suffix!r}"
            )
        used = inner[0] if compression == "auto" else compression
        if used not in inner:
            raise ValueError(f"compression is {used!r}, {format_name} has {', '.join(inner)}")
        writer_of: Format = kind(used)  # type: ignore[call-arg]
        outer = "none"
    else:
        used = outer = (of_suffix or "none") if compression == "auto" else compression
        writer_of = kind()
    if parts is None:
        return Layout(writer_of, used, outer, (path,), None)
    names = (f"{stem}-{i:05d}-of-{parts:05d}{suffix}{outer_suffix}" for i in range(parts))
    return Layout(writer_of, used, outer, tuple(names), f"{stem}.manifest.json")
