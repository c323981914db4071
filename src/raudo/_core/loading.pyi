from typing import Any, ClassVar

class Load:
    """A load under way: the thread that runs it, and what the others wait for."""

    waiting: ClassVar[dict[int, Load]]
    owner: int
    pid: int
    value: Any
    error: BaseException | None
    def __init__(self) -> None: ...
    def is_over(self) -> bool:
        """Say whether nobody is at it: it is done, or runs in the process that this one forked from."""
    def finish(self, value: Any) -> None: ...
    def fail(self, error: BaseException) -> None: ...
    def may_be_awaited(self) -> bool:
        """Say whether waiting ends: not where the load waits for this very thread in the end."""
    def wait(self) -> bool:
        """Wait for the end; False where the load was broken off and somebody else has to load."""
    def result(self) -> Any:
        """Return what was loaded, or raise what the loader raised."""
