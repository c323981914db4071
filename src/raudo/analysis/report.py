"""What an analysis found, as data: rows to export, a summary, and one page to look at."""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo.analysis.distributions import distributions
from raudo.analysis.figures import Figures
from raudo.analysis.neighbours import Neighbours
from raudo.analysis.picture import Sample
from raudo.analysis.stages import Stage, hit_ratio
from raudo.memory.gc import gc_paused

__all__ = ["AnalysisReport", "Group", "Similar"]


@dataclass(frozen=True, slots=True)
class Similar:
    """A document that is like another, and their cosine."""

    id: Hashable
    similarity: float


@dataclass(frozen=True, slots=True)
class Group:
    """Near-duplicates of each other. The representative is the first that was read.

    `similarities[i]` is that of `members[i]` to the representative; where others link the two, it
    may be below the threshold.
    """

    number: int
    representative: Hashable
    members: tuple[Hashable, ...]
    similarities: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.members)


@dataclass(frozen=True, slots=True)
class AnalysisReport:
    """The outcome of `DocumentAnalyzer.analyze`.

    Documents keep the order in which they were read; `group_of[i]` is the number of document i's
    group, -1 where it has none; `skipped` maps a reason to what was skipped for it, and
    `badly_encoded` names what is not UTF-8 and was read as Latin-1. `sample` is what the map of the
    page shows, `texts` are all texts where the analyzer keeps them, `peak_bytes` is the most memory
    that the process has held, and `figures` are those of each document where they were asked for.
    """

    ids: tuple[Hashable, ...]
    paths: tuple[str | None, ...]
    chars: NDArray[np.int64]
    words: NDArray[np.int64]
    groups: tuple[Group, ...]
    group_of: NDArray[np.int64]
    neighbours: Neighbours
    threshold: float
    measure: str
    duplicates_method: str
    stages: tuple[Stage, ...]
    notes: tuple[str, ...] = ()
    skipped: dict[str, list[str]] = field(default_factory=dict)
    badly_encoded: tuple[str, ...] = ()
    sample: Sample | None = None
    texts: Sequence[str] | None = None
    peak_bytes: int = 0
    figures: Figures | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def seconds(self) -> float:
        """What all stages took together."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def rate(self) -> float | None:
        """Documents a second, all stages together; None where there are none."""
        return len(self) / self.seconds if len(self) and self.seconds else None

    @property
    def n_duplicates(self) -> int:
        """Documents that could go if one of each group is kept."""
        return sum(len(group) - 1 for group in self.groups)

    def similar(self, document: Hashable) -> list[Similar]:
        """Return the documents most similar to one, best first.

        Args:
            document: Its number in the order of reading, or its id where that is no int
                (found in O(n)).

        Raises:
            KeyError: No document has this id.
            IndexError: There are not as many documents.
        """
        i = self._number_of(document)
        return [
            Similar(self.ids[j], round(float(cosine), 4))
            for j, cosine in zip(
                self.neighbours.ids[i].tolist(),
                self.neighbours.similarities[i].tolist(),
                strict=True,
            )
            if j >= 0
        ]

    def _number_of(self, document: Hashable) -> int:
        if not isinstance(document, int | np.integer):
            try:
                return self.ids.index(document)
            except ValueError:
                raise KeyError(f"no document has the id {document!r}") from None
        if not 0 <= document < len(self):
            raise IndexError(f"document is {document}, wanted 0 to {len(self) - 1} or an id")
        return int(document)

    def document_rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row a document: id, path, group (None: in none), similar, chars, words; then,
        where they were asked for, sentences, language, top_terms, readability, entropy.
        """
        for start in range(0, len(self), _ROWS_AT_ONCE):
            with gc_paused():  # some ten containers a row, none of them in a cycle
                rows = self._rows(slice(start, start + _ROWS_AT_ONCE))
                if self.figures is not None:
                    for i, row in enumerate(rows, start):
                        row.update(self.figures.row(i))
            yield from rows
            del rows  # memory holds some once, not twice

    def _rows(self, part: slice) -> list[dict[str, Any]]:
        """Return rows of some documents, whose numbers leave NumPy together."""
        ids, near = self.ids, self.neighbours
        cosines = np.round(near.similarities[part].astype(np.float64), 4)
        similar = [
            [
                {"id": ids[j], "similarity": cosine}
                for j, cosine in zip(*each, strict=True)
                if j >= 0
            ]
            for each in zip(near.ids[part].tolist(), cosines.tolist(), strict=True)
        ]
        columns = (self.group_of[part], self.chars[part], self.words[part])
        numbers = (column.tolist() for column in columns)
        return [
            {
                "id": id_,
                "path": path,
                "group": None if group < 0 else group,
                "similar": alike,
                "chars": n_chars,
                "words": n_words,
            }
            for id_, path, alike, group, n_chars, n_words in zip(
                ids[part], self.paths[part], similar, *numbers, strict=True
            )
        ]

    def group_rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row a group: group, representative, members, similarities."""
        for group in self.groups:
            yield {
                "group": group.number,
                "representative": group.representative,
                "members": list(group.members),
                "similarities": [round(each, 6) for each in group.similarities],
            }

    def summary(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        return {
            "documents": len(self),
            "chars": int(self.chars.sum()),
            "words": int(self.words.sum()),
            "groups": len(self.groups),
            "documents_in_groups": sum(map(len, self.groups)),
            "duplicates": self.n_duplicates,
            "threshold": self.threshold,
            "measure": self.measure,
            "methods": {"duplicates": self.duplicates_method, "similar": self.neighbours.method},
            "skipped": {reason: len(names) for reason, names in self.skipped.items()},
            "skipped_names": self.skipped,
            "badly_encoded": list(self.badly_encoded),
            "seconds": round(self.seconds, 6),
            "documents_per_s": _rounded(self.rate, 1),
            "cache_hit_ratio": _rounded(hit_ratio(self.stages)),
            "peak_bytes": self.peak_bytes,
            "stages": [
                {
                    "name": stage.name,
                    "seconds": round(stage.seconds, 6),
                    "items": stage.items,
                    "items_per_s": _rounded(stage.rate, 1),
                    "cache_hits": stage.hits,
                    "cache_misses": stage.misses,
                    "cache_hit_ratio": _rounded(stage.hit_ratio),
                    "saved_s": round(stage.saved_s, 6),
                }
                for stage in self.stages
            ],
            "distributions": distributions(self).as_json(),
            "notes": list(self.notes),
        }

    def save(
        self, folder: str | os.PathLike[str], *, format: str = "jsonl", n_jobs: int | None = None
    ) -> list[Path]:
        """Write `documents.<format>`, `groups.<format>` and `summary.json`; return their paths.

        Formats are those of `raudo.export`; columns that hold lists are JSON text in csv. Each file
        appears whole or not at all, the summary last.
        """
        from raudo.export import export

        if format not in _FORMATS:
            raise ValueError(f"format is {format!r}, wanted one of {', '.join(_FORMATS)}")
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        documents, groups = target / f"documents.{format}", target / f"groups.{format}"
        flat = format == "csv"
        export(
            map(_flattened, self.document_rows()) if flat else self.document_rows(),
            str(documents),
            format=format,
            compression="none",
            n_jobs=n_jobs,
        )
        export(
            map(_flattened, self.group_rows()) if flat else self.group_rows(),
            str(groups),
            format=format,
            compression="none",
            n_jobs=n_jobs,
        )
        summary = target / "summary.json"
        write_whole(summary, json.dumps(self.summary(), indent=2, default=str) + "\n")
        return [documents, groups, summary]

    def to_html(
        self, title: str = "Document analysis", documents: Iterable[Any] | None = None
    ) -> str:
        """Return one self-contained page: figures, map, groups, plots, timings. Loads nothing.

        Args:
            title: Its heading.
            documents: What was analysed, to be read again for the texts that the page quotes (a few
                thousand at most). Not needed where the analyzer keeps the texts; without either
                documents are shown by their names alone.
        """
        from raudo.analysis.page import render

        return render(self, title, documents).html


def _rounded(value: float | None, digits: int = 6) -> float | None:
    return None if value is None else round(value, digits)


# Rows that are made at once: with 10 neighbours they take 2 KB each.
_ROWS_AT_ONCE = 1024
_FORMATS = ("jsonl", "csv", "parquet", "arrow")


def _flattened(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: json.dumps(value, ensure_ascii=False, default=str)
        if isinstance(value, list)
        else value
        for name, value in row.items()
    }


def write_whole(path: Path, content: str) -> None:
    """Write a text file that appears complete or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(content, encoding="utf-8", errors="backslashreplace")
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
