"""Makes OpenTelemetry spans of what the rooms do: tasks of processors, loads of caches, stages of
analyses.

| span | attributes |
|---|---|
| `raudo.task`, one for each attempt | `code.function.name`, `raudo.attempt`, `raudo.kind` |
| `raudo.cache.load` | `raudo.cache` |
| `raudo.analysis.<stage>` | `raudo.documents` |

A span nests in the one that is current where the task was called; what a task runs on the loop
nests in the task's. Keys, arguments and values are never told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from raudo import _trace
from raudo._version import __version__
from raudo.errors import MissingExtra

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer, TracerProvider

__all__ = ["trace"]

_log = logging.getLogger("raudo.monitoring")


def trace(tracer_provider: TracerProvider | None = None) -> Callable[[], None]:
    """Make spans from now on, with the application's global provider when None.

    Return a function that ends it. The latest call wins. Until it is called, and after it has been
    ended, tracing costs nothing; a batch of coroutine functions that is under way is not traced.
    While it is on, each attempt of a task is run by Python instead of compiled code.

    Needs the `otel` extra.
    """
    try:
        from opentelemetry import trace as api
    except ImportError as error:
        raise MissingExtra("tracing", "otel") from error
    provider = api.get_tracer_provider() if tracer_provider is None else tracer_provider
    tracer = provider.get_tracer("raudo", __version__)

    def begin(name: str, attributes: _trace.Attributes) -> _Traced:
        return _Traced(tracer, name, attributes)

    _trace.begin = begin

    def end() -> None:
        if _trace.begin is begin:
            _trace.begin = None

    return end


class _Traced:
    """A span around a block. A tracer that fails is logged, and the block runs all the same."""

    __slots__ = ("_attributes", "_manager", "_name", "_span", "_tracer")

    def __init__(self, tracer: Tracer, name: str, attributes: _trace.Attributes) -> None:
        self._tracer, self._name, self._attributes = tracer, name, attributes
        self._manager: AbstractContextManager[Span] | None = None
        self._span: Span | None = None

    def __enter__(self) -> _trace.Note:
        try:
            manager = self._tracer.start_as_current_span(self._name, attributes=self._attributes)
            self._span = manager.__enter__()
            self._manager = manager
        except Exception:
            _log.exception("a span of %s could not begin", self._name)
        return self._note

    def _note(self, name: str, value: _trace.Attribute) -> None:
        if self._span is not None:
            self._span.set_attribute(name, value)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._manager is None:
            return
        try:
            self._manager.__exit__(kind, error, trace)
        except BaseException as raised:
            if raised is not error:
                _log.exception("a span of %s could not end", self._name)
