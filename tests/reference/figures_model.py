"""What `raudo._core.figures` computes, in plain Python. Slow; the oracle of its tests."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from reference.text_model import words as words_of

STOP, FULL_STOP, CLOSER = "[.!?…‼⁇⁈⁉؟۔।॥։]", "[。！？｡．]", "[\"')\\]}»›’”」』）】]"
END = re.compile(rf"{STOP}(?:{STOP}|{CLOSER})*(?=\s|\Z)|{FULL_STOP}|\n[^\S\n]*(?=\n)")


def sentences(text: str) -> int:
    return sum(1 for part in END.split(text) if re.search(r"\w", part))


def spoken_words(text: str) -> list[str]:
    return re.findall(r"\w[\w'’]*", text)


def syllables(word: str) -> int:
    low = "".join(c.lower() if c.isascii() else c for c in word)
    groups = len(re.findall("[aeiouy]+", low))
    plain = re.sub("['’]", "", low)
    silent = re.search("(?<![aeiouy])e$", plain) and not re.search("[^aeiouy]le$", plain)
    silent = silent or re.search("[^aeiouytd]ed$", plain)
    return max(1, groups - bool(silent))


def reading_ease(text: str) -> float | None:
    words = spoken_words(text)
    if not words:
        return None
    n_syllables = sum(map(syllables, words))
    return 206.835 - 1.015 * len(words) / sentences(text) - 84.6 * n_syllables / len(words)


def entropy(text: str) -> float:
    return sum(-n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def weights(corpus: Sequence[str]) -> list[dict[str, float]]:
    """The weight of each word in each document."""
    counts = [Counter(words_of(text)) for text in corpus]
    frequency = Counter(word for each in counts for word in each)
    idf = {word: math.log((1 + len(corpus)) / (1 + n)) + 1 for word, n in frequency.items()}
    return [{word: (1 + math.log(n)) * idf[word] for word, n in c.items()} for c in counts]
