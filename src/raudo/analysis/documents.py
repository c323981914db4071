"""One shape for what callers hand in as documents."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Document", "Documents", "as_documents"]


@dataclass(frozen=True, slots=True)
class Document:
    """A text, what it is called, and the file it came from."""

    id: Hashable
    text: str
    path: str | None = None


Documents = (
    Iterable[str]
    | Iterable[tuple[Hashable, str]]
    | Iterable[Document]
    | Iterable[Mapping[str, Any]]
    | Mapping[Any, str]
)


def as_documents(documents: Documents) -> Iterator[Document]:
    """Yield each document; nothing is read ahead of what is asked for.

    Accepts texts (numbered from 0), `(id, text)` pairs, a mapping from id to text, `Document`s, and
    records: mappings with `text` and perhaps `id` and `path`, or objects with such attributes.
    """
    if isinstance(documents, str | bytes):
        raise TypeError(
            f"documents is one {type(documents).__name__}, wanted an iterable of documents"
        )
    items: Iterable[Any] = documents.items() if isinstance(documents, Mapping) else documents
    for number, item in enumerate(items):
        document = _document(number, item)
        if not isinstance(document.text, str):
            raise TypeError(
                f"document {document.id!r} has text of {type(document.text).__name__}, wanted str"
            )
        yield document


def _document(number: int, item: Any) -> Document:
    if isinstance(item, str):
        return Document(number, item)
    if isinstance(item, Document):
        return item
    if isinstance(item, tuple) and len(item) == 2:
        return Document(item[0], item[1])
    if isinstance(item, Mapping) and "text" in item:
        return Document(item.get("id", number), item["text"], item.get("path"))
    if hasattr(item, "text"):
        path = getattr(item, "path", None)
        return Document(getattr(item, "id", number), item.text, None if path is None else str(path))
    raise TypeError(
        f"documents[{number}] is {type(item).__name__}, wanted str, (id, text), a mapping with "
        "'text', or an object with .text"
    )
