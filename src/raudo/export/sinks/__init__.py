"""Where exported bytes go: local files, and any URL that fsspec knows.

A new place is a class that follows `raudo.types.Sink`, offered by an entry point of the group
`raudo.sinks` whose name is the URL scheme; it goes before fsspec.
"""

from __future__ import annotations

import re
from importlib.metadata import entry_points

from raudo.export.sinks.file import FileSink
from raudo.types import Sink

__all__ = ["ENTRY_POINTS", "sink_for"]

ENTRY_POINTS = "raudo.sinks"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(?:://|::)")


def sink_for(path: str) -> tuple[Sink, str]:
    """Return a fresh sink for a path or URL, and the path as the sink wants it."""
    found = _SCHEME.match(path)
    if found is None:
        return FileSink(), path
    scheme = found[1].lower()
    if scheme == "file":
        return FileSink(), path[len("file://") :]
    for point in entry_points(group=ENTRY_POINTS, name=scheme):
        plugged: Sink = point.load()()
        return plugged, path
    from raudo.export.sinks.fsspec import FsspecSink

    return FsspecSink(), path
