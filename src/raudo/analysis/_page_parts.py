"""What the parts of the page share: safe text, names, and the texts that are quoted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from raudo.analysis.documents import as_documents

if TYPE_CHECKING:
    from raudo.analysis.report import AnalysisReport

__all__ = ["Names", "amount", "figure", "language_name", "percent", "read_texts", "safe"]

# Control characters have no place in HTML (NUL is dropped in silence), and those that turn the
# order of letters about make a name look like another: they become a visible mark.
_ORDER = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(127, 160), *_ORDER), "\ufffd")

_LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "fr": "French", "he": "Hebrew",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch",
    "pl": "Polish", "pt": "Portuguese", "ru": "Russian", "sv": "Swedish", "th": "Thai",
    "tr": "Turkish", "uk": "Ukrainian", "und": "undetermined", "zh": "Chinese",
}  # fmt: skip


def safe(value: object) -> str:
    """Escape for HTML text and quoted attributes; what UTF-8 cannot spell becomes `\\udXXX`."""
    text = str(value).encode("utf-8", "backslashreplace").decode("utf-8")
    return escape(text.translate(_CONTROLS), quote=True)


def figure(value: int | float, shown: str) -> str:
    """Return a number as it is shown, with what it is exactly."""
    return f"<data value='{value}'>{shown}</data>"


def amount(n: int) -> str:
    """Shorten a count to three or four digits."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if n >= size:
            scale = 1000 if unit == "k" else size
            return f"{n / scale:.1f} {unit}"
    return f"{n:,}"


def percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def language_name(code: str) -> str:
    return _LANGUAGES.get(code, code)


@dataclass(frozen=True, slots=True)
class Names:
    """Names of documents, without the folder that all are in, isolated from what is beside them."""

    prefix: str

    @classmethod
    def of(cls, report: AnalysisReport) -> Names:
        folders = {os.path.dirname(path) for path in report.paths if path}
        try:
            common = os.path.commonpath(folders)
        except ValueError:
            return cls("")
        return cls(common + os.sep if common and common != os.sep else "")

    def plain(self, name: object) -> str:
        return safe(str(name).removeprefix(self.prefix))

    def __call__(self, name: object) -> str:
        return f"<bdi>{self.plain(name)}</bdi>"


def read_texts(
    report: AnalysisReport, documents: Iterable[Any] | None, numbers: Iterable[int]
) -> dict[int, str]:
    """Return the texts of these documents, as far as there are any, by number.

    They come from the report, else from the documents, which are read again up to the last that is
    wanted. What is not what it was at its place is left out.
    """
    wanted = set(numbers)
    if report.texts is not None:
        return {i: report.texts[i] for i in wanted}
    found: dict[int, str] = {}
    if documents is None or not wanted:
        return found
    last = max(wanted)
    for i, document in enumerate(as_documents(documents)):
        if i in wanted and i < len(report) and report.ids[i] == document.id:
            found[i] = document.text
        if i >= last:
            break
    return found
