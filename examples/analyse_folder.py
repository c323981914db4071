"""Near-duplicates among a folder's documents, a page to look at, and a question about them.

    python examples/analyse_folder.py FOLDER [OUT]

OUT (analysis-out) gets documents.jsonl, groups.jsonl, summary.json and report.html. What was
learned of the documents is kept in OUT/cache: the next run reads the files and counts no word
again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from raudo.analysis import DocumentAnalyzer, FileSource


def main(folder: str, out: Path) -> None:
    analyzer = DocumentAnalyzer(cache=out / "cache")
    report = analyzer.analyze(FileSource([folder]), threshold=0.8, k=3)
    print(f"{len(report)} documents, {report.n_duplicates} more than one of each")
    for group in report.groups[:5]:
        print(f"  alike: {', '.join(map(str, group.members))}")
    report.save(out)
    (out / "report.html").write_text(report.to_html(f"Documents of {folder}"), encoding="utf-8")
    for found in analyzer.similar("how the cache decides what to keep", k=3):
        print(f"  {found.similarity:.2f}  {found.id}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else "analysis-out"))
