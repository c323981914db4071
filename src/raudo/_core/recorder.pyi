import os
from typing import final

LIMIT_BYTES: int
MAGIC: bytes
TEXT_MAGIC: bytes

@final
class Recorder:
    """Records lookups in a new file at `path`, 8 bytes each, in blocks of 4,096.

    With `keys` a lookup is a line, the key's `repr`, and a block is 32 KB. A key whose `repr` fails or is
    longer than that is lost.

    What is in the last block is written by `flush`, by `close`, when the cache goes and when the
    interpreter ends; a process that is killed loses it. Before 1 GiB is full the recording ends. A write that fails
    ends it too: `error` says why, and a RuntimeWarning is given, once. A forked child does not record.

    Raises OSError where the file cannot be made, and FileExistsError where something else than an older
    recording, which is replaced, is there. One process records at a path. Thread-safe.
    """

    def __new__(cls, path: str | os.PathLike[str], *, keys: bool = False) -> Recorder: ...
    @property
    def has_keys(self) -> bool: ...
    @property
    def path(self) -> str: ...
    @property
    def n_recorded(self) -> int: ...
    @property
    def n_lost(self) -> int: ...
    @property
    def error(self) -> str | None:
        """What ended the recording before its time, None where nothing did."""
    @property
    def is_recording(self) -> bool: ...
    def flush(self) -> None:
        """Hand what is buffered to the system."""
    def close(self) -> None:
        """Write what is buffered and end the recording; later lookups are not recorded."""
