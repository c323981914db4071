"""Where exported bytes go: local files, S3, and any URL that fsspec knows.

A new place is a class that follows `raudo.types.Sink`, offered by an entry point of the group
`raudo.sinks` whose name is the URL scheme; it goes before ours, and is given the options of the
URL, where there are any, by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from raudo._plugins import entry_points
from raudo.export.sinks.file import FileSink
from raudo.types import Sink

__all__ = ["ENTRY_POINTS", "scheme_of", "sink_for"]

ENTRY_POINTS = "raudo.sinks"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(?:://|::)")


def scheme_of(path: str) -> str | None:
    """Return the scheme of a URL, of a chain the first; None of a local path and a `file://`."""
    found = _SCHEME.match(path)
    scheme = found[1].lower() if found else "file"
    return None if scheme == "file" else scheme


def sink_for(path: str, options: Mapping[str, Any] | None = None) -> tuple[Sink, str]:
    """Return a fresh sink for a path or URL, and the path as the sink wants it."""
    scheme = scheme_of(path)
    if scheme is None:
        if options:
            raise ValueError(f"storage_options are for URLs, {path!r} is a local path")
        return FileSink(), path[len("file://") :] if _SCHEME.match(path) else path
    for point in entry_points(group=ENTRY_POINTS, name=scheme):
        plugged: Sink = point.load()(**options or {})
        return plugged, path
    if scheme in ("s3", "s3a"):
        from raudo.export.sinks.s3 import S3Sink

        return S3Sink(options), path
    from raudo.export.sinks.fsspec import FsspecSink

    return FsspecSink(options), path
