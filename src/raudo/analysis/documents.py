"""One shape for what callers hand in as documents."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

__all__ = ["Batch", "BatchSource", "Document", "Documents", "as_batches", "as_documents"]

# A batch is large enough to repay the hand-over between threads and small enough that three of them
# (one being read, one waiting, one being analysed) are little beside what is learned of them.
BATCH_CHARS = 8 << 20
BATCH_DOCUMENTS = 1 << 15


@dataclass(frozen=True, slots=True)
class Document:
    """A text, what it is called, and the file it came from."""

    id: Hashable
    text: str
    path: str | None = None


@dataclass(slots=True)
class Batch:
    """Documents as columns of one length: what sources hand on."""

    ids: list[Hashable] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    paths: list[str | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def extend(self, other: Batch) -> None:
        self.ids += other.ids
        self.texts += other.texts
        self.paths += other.paths


@runtime_checkable
class BatchSource(Protocol):
    """A source that makes batches of its own; it sees to it that ids are distinct."""

    def batches(self, batch_chars: int, batch_documents: int) -> Iterator[Batch]: ...


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
    if not hasattr(documents, "__iter__") and not hasattr(documents, "__getitem__"):
        raise TypeError(f"documents is {type(documents).__name__}, wanted an iterable of documents")
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


def as_batches(
    documents: Documents | BatchSource,
    batch_chars: int = BATCH_CHARS,
    batch_documents: int = BATCH_DOCUMENTS,
) -> Iterator[Batch]:
    """Yield the documents in batches; a source that makes batches of its own is asked for those.

    Raises:
        ValueError: Two documents have one id. Sources see to it themselves that they have not.
    """
    if isinstance(documents, BatchSource):
        yield from documents.batches(batch_chars, batch_documents)
        return
    seen: set[Hashable] = set()
    batch, n_chars = Batch(), 0
    for document in as_documents(documents):
        if document.id in seen:
            raise ValueError(f"two documents have the id {document.id!r}, wanted distinct ids")
        seen.add(document.id)
        batch.ids.append(document.id)
        batch.texts.append(document.text)
        batch.paths.append(document.path)
        n_chars += len(document.text)
        if n_chars >= batch_chars or len(batch) >= batch_documents:
            yield batch
            batch, n_chars = Batch(), 0
    if len(batch):
        yield batch
