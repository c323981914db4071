"""What `raudo._core.text` computes, in a page of plain Python. Slow; the oracle of its tests."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

P0, P1, P2, P3 = 0x2D358DCCAA6C78A5, 0x8BB84B93962EACC9, 0x4B33A62ED433D4A3, 0x4D5A2DA51DE1AA47
U64, U32 = (1 << 64) - 1, (1 << 32) - 1


def mix(a: int, b: int) -> int:
    product = a * b
    return (product & U64) ^ (product >> 64)


def hash_bytes(data: bytes, seed: int = 0) -> int:
    h = seed ^ P0
    for at in range(0, len(data), 16):
        block = data[at : at + 16].ljust(16, b"\0")
        lo, hi = int.from_bytes(block[:8], "little"), int.from_bytes(block[8:], "little")
        h = mix(lo ^ P1, hi ^ h)
    return mix(h ^ P2, len(data) ^ P3)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def tokens(text: str, seed: int) -> list[int]:
    return [hash_bytes(word.encode("utf-8", "surrogatepass"), seed) for word in words(text)]


def shingles(hashes: Sequence[int], width: int) -> list[int]:
    if width == 1 or not hashes:
        return list(hashes)
    runs = []
    for at in range(max(1, len(hashes) - width + 1)):
        h = P0
        for each in hashes[at : at + width]:
            h = mix(h ^ each, P1)
        runs.append(h)
    return runs


def embed(corpus: Sequence[Sequence[int]], dimensions: int) -> list[list[float]]:
    frequency = Counter(word for document in corpus for word in set(document))
    rows = []
    for document in corpus:
        row = [0.0] * dimensions
        for word, count in sorted(Counter(document).items()):
            idf = math.log((1 + len(corpus)) / (1 + frequency[word])) + 1
            weight = (1 + math.log(count)) * idf
            row[(word & 0x7FFFFFFF) % dimensions] += -weight if word & 0x80000000 else weight
        length = math.sqrt(sum(each * each for each in row))
        rows.append([each / length for each in row] if length else row)
    return rows


def permuted(x: int, seed: int) -> int:
    x ^= seed
    x ^= x >> 16
    x = x * 0x85EBCA6B & U32
    x ^= x >> 13
    x = x * 0xC2B2AE35 & U32
    return x ^ x >> 16


def minhash(members: Iterable[int], seeds: Iterable[int]) -> list[int]:
    folded = [(each ^ each >> 32) & U32 for each in members]
    return [min((permuted(each, seed) for each in folded), default=U32) for seed in seeds]


def jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b) if a & b else 0.0


def components(sets: Sequence[set[int]], threshold: float) -> list[list[int]]:
    """Groups of two and more among all pairs that reach the threshold, by first member."""
    root = list(range(len(sets)))
    for i, mine in enumerate(sets):
        for j in range(i):
            if mine and jaccard(mine, sets[j]) >= threshold:
                keep, drop = sorted((root[i], root[j]))
                root = [keep if each == drop else each for each in root]
    groups: dict[int, list[int]] = {}
    for i, each in enumerate(root):
        groups.setdefault(each, []).append(i)
    return [group for group in groups.values() if len(group) > 1]
