from typing import final

from typing_extensions import Buffer

TAKEN: int
FREE: int
ABANDONED: int

def note_fork() -> None:
    """Have all leases that there are now abandon their pages instead of giving them back."""

def count_mapped() -> int:
    """Return how many `Pages` there are; the system bounds them (Linux: 65,530)."""

@final
class Pages:
    """The first `n_bytes` of a file, mapped shared and writable: a buffer of bytes."""

    state: int
    @property
    def n_bytes(self) -> int: ...
    def __new__(cls, fd: int, n_bytes: int) -> Pages: ...
    def write(self, at: int, data: Buffer) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Lease:
    """A buffer of all bytes of `pages`; when it dies their state is `FREE` again."""

    def __new__(cls, pages: Pages) -> Lease: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
