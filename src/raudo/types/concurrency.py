"""What goes into a processor and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Task:
    """A call to be made: `fn(*args, **kwargs)`."""

    fn: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task: its value or its error, and what it took. Times are seconds."""

    index: int
    value: Any = None
    error: BaseException | None = None
    attempts: int = 1
    waited_s: float = 0.0
    ran_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it has a value and no error."""
        return self.error is None

    def unwrap(self) -> Any:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value
