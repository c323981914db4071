"""The terminal of `raudo top`: the other screen while it runs, single keys, its size as it changes.

Plain escape sequences that every terminal knows; nothing is drawn that did not change lines.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
from typing import Any, Self

__all__ = ["Screen"]


class Screen:
    """Takes the terminal over between `with` and the end of it, and gives it back as it was."""

    def __init__(self) -> None:
        self._keys = -1
        self._before: list[Any] | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        # A pipe that a signal writes to: a change of size ends the wait for a key.
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._stack.callback(os.close, self._reader)
        self._stack.callback(os.close, self._writer)
        if sys.stdin.isatty():
            import termios
            import tty

            self._keys = sys.stdin.fileno()
            before = termios.tcgetattr(self._keys)
            self._stack.callback(termios.tcsetattr, self._keys, termios.TCSADRAIN, before)
            tty.setcbreak(self._keys)
        resized = signal.signal(signal.SIGWINCH, self._on_resize)
        self._stack.callback(signal.signal, signal.SIGWINCH, resized)
        ended = signal.signal(signal.SIGTERM, _interrupt)
        self._stack.callback(signal.signal, signal.SIGTERM, ended)
        self._stack.callback(self._write, "\x1b[?25h\x1b[?1049l")
        self._write("\x1b[?1049h\x1b[?25l")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def size(self) -> tuple[int, int]:
        """Return columns and lines."""
        size = shutil.get_terminal_size()
        return size.columns, size.lines

    def show(self, lines: list[str]) -> None:
        """Put these lines on the screen, and nothing else."""
        self._write("\x1b[H" + "\x1b[K\n".join(lines) + "\x1b[K\x1b[J")

    def wait(self, seconds: float) -> str:
        """Wait for a key, a change of size or the time; return the key, "" if there was none."""
        watched = [self._reader, *([self._keys] if self._keys >= 0 else [])]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._reader in ready:
            os.read(self._reader, 64)
        if self._keys in ready:
            return os.read(self._keys, 1).decode("ascii", "replace")
        return ""

    def _on_resize(self, _number: int, _frame: object) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"\0")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _interrupt(_number: int, _frame: object) -> None:
    raise SystemExit(143)
