"""How a worker's exception reaches the process that asked for the work. It always does.

An exception travels, in this order of preference, as its own pickle; as its class, arguments and
attributes (a class whose `__init__` takes other arguments than it hands to `Exception` cannot be
rebuilt by its pickle); as either by value, if it is of a notebook; as a `RemoteError` that names
its type. The worker's traceback comes along as text and is shown as the cause.
"""

from __future__ import annotations

import pickle
import traceback
from typing import Any

from raudo.concurrency._workers.pickling import Encoder

__all__ = ["RemoteTraceback", "decode_error", "encode_error"]

_Failure = tuple[bytes | None, str, str, str]


class RemoteTraceback(Exception):
    """The traceback of an exception that was raised in a worker process."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def _rebuild(
    kind: type[BaseException], args: tuple[Any, ...], attributes: dict[str, Any]
) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


def _portable(error: BaseException) -> bytes | None:
    """Pickle the exception so that it is known to come back as its own type, else return None."""
    encoder = Encoder()
    for form in (error, _Rebuilt(error)):
        try:
            data = bytes(encoder.encode(form).payload)
            if type(pickle.loads(data)) is type(error):
                return data
        except Exception:  # a user's class may fail in any way here; the next form is tried
            continue
    return None


class _Rebuilt:
    """Pickles as a call of `_rebuild`."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        error = self._error
        return _rebuild, (type(error), error.args, dict(error.__dict__))


def _describe(error: BaseException) -> tuple[str, str, str]:
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    try:
        message = str(error)
    except Exception as second:  # a broken __str__ must not hide the failure
        message = f"<str() of it raised {type(second).__name__}>"
    try:
        trace = "".join(traceback.format_exception(error))
    except Exception:
        trace = "".join(traceback.format_tb(error.__traceback__)) + f"{kind}: {message}\n"
    return kind, message, trace


def encode_error(error: BaseException) -> bytes:
    """Make bytes of an exception; never fails."""
    failure: _Failure = (_portable(error), *_describe(error))
    return pickle.dumps(failure, protocol=5)


def decode_error(data: bytes | bytearray | memoryview) -> BaseException:
    """Make the exception again, or a `RemoteError` where its class is not to be had here."""
    from raudo.errors import RemoteError

    portable, kind, message, trace = pickle.loads(data)
    error: BaseException | None = None
    if portable is not None:
        try:
            error = pickle.loads(portable)
        except Exception:  # its module may not be importable here
            error = None
    if not isinstance(error, BaseException):
        error = RemoteError(f"{kind}: {message}" if message else kind)
    error.__cause__ = RemoteTraceback(trace)
    return error
