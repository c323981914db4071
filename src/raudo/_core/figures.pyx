"""Figures of documents that follow from their characters: one pass over each text, without the GIL."""

from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH, PyUnicode_KIND
from libc.math cimport log, log2
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free, malloc

import numpy as np

from raudo._core.shares import in_threads, ranges

cdef extern from "Python.h":
    bint Py_UNICODE_ISALNUM(Py_UCS4 point)
    bint Py_UNICODE_ISSPACE(Py_UCS4 point)

# What ends a sentence where white space or the end follows; what does so by itself; what may come
# between a stop and the white space.
STOPS = ".!?…‼⁇⁈⁉؟۔।॥։"
FULL_STOPS = "。！？｡．"
CLOSERS = "\"')]}»›’”」』）】"

cdef enum:
    N_POINTS = 0x110000
    WORD = 1
    SPACE = 2
    STOP = 4
    FULL_STOP = 8
    CLOSER = 16

cdef uint8_t *KINDS = NULL


cdef int _load_kinds() except -1:
    """Fill KINDS from the interpreter's tables; about 10 ms, once."""
    global KINDS
    cdef Py_UCS4 point
    cdef uint8_t *kinds
    if KINDS != NULL:
        return 0
    kinds = <uint8_t *> calloc(N_POINTS, 1)
    if kinds == NULL:
        raise MemoryError
    for point in range(N_POINTS):
        if Py_UNICODE_ISALNUM(point) or point == 95:
            kinds[point] = WORD
        elif Py_UNICODE_ISSPACE(point):
            kinds[point] = SPACE
    for chars, kind in ((STOPS, STOP), (FULL_STOPS, FULL_STOP), (CLOSERS, CLOSER)):
        for each in chars:
            kinds[<Py_UCS4> ord(each)] |= <uint8_t> <int> kind
    KINDS = kinds
    return 0


cdef struct Measured:
    int64_t sentences
    int64_t words
    int64_t syllables
    double entropy


cdef inline uint32_t point_at(const void *data, Py_ssize_t i, int width) noexcept nogil:
    if width == 1:
        return (<const uint8_t *> data)[i]
    if width == 2:
        return (<const uint16_t *> data)[i]
    return (<const uint32_t *> data)[i]


cdef inline bint is_vowel(uint32_t c) noexcept nogil:
    return c == c'a' or c == c'e' or c == c'i' or c == c'o' or c == c'u' or c == c'y'


cdef inline int64_t syllables_of(int64_t groups, const uint32_t *last) noexcept nogil:
    """Groups of vowels, less one for a silent -e or -ed; `last` are the last three letters."""
    if groups > 1 and last[2] == c'e' and not is_vowel(last[1]):
        if not (last[1] == c'l' and not is_vowel(last[0])):
            groups -= 1
    elif groups > 1 and last[2] == c'd' and last[1] == c'e':
        if not is_vowel(last[0]) and last[0] != c't' and last[0] != c'd':
            groups -= 1
    return groups if groups > 1 else 1


cdef void read_text(const void *data, Py_ssize_t n, int width, const uint8_t *classes, uint32_t *seen,
                    Measured *out, int64_t *letters) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint32_t point, low
    cdef uint8_t kind
    cdef bint said = False, stopped = False, at_line = False, inside = False, vowel = False
    cdef int64_t groups = 0
    cdef double share, entropy = 0
    cdef uint32_t[3] last
    last[0] = last[1] = last[2] = 0
    out.sentences = out.words = out.syllables = 0
    for i in range(n):
        point = point_at(data, i, width)
        kind = KINDS[point]
        seen[point] += 1
        letters[classes[point]] += 1
        if kind & WORD:
            said, stopped, at_line = True, False, False
            if not inside:
                inside, vowel, groups = True, False, 0
                last[0] = last[1] = last[2] = 0
                out.words += 1
            low = point
            if c'A' <= point <= c'Z':
                low = point | 0x20
            groups += is_vowel(low) and not vowel
            vowel = is_vowel(low)
            last[0], last[1], last[2] = last[1], last[2], low
            continue
        if inside:
            if point == c"'" or point == 0x2019:
                vowel = False
            else:
                out.syllables += syllables_of(groups, last)
                inside = False
        if kind & SPACE:
            if stopped or (point == c'\n' and at_line):
                out.sentences += said
                said = False
            stopped = False
            at_line = at_line or point == c'\n'
        else:
            at_line = False
            if kind & FULL_STOP:
                out.sentences += said
                said = stopped = False
            elif kind & STOP:
                stopped = True
            elif not kind & CLOSER:
                stopped = False
    out.sentences += said
    if inside:
        out.syllables += syllables_of(groups, last)
    # The counts are cleared as they are read, so that a text pays for its own characters only.
    for i in range(n):
        point = point_at(data, i, width)
        if seen[point]:
            share = <double> seen[point] / <double> n
            entropy -= share * log2(share)
            seen[point] = 0
    out.entropy = entropy if entropy > 0 else 0


def measure(list texts not None, const uint8_t[::1] classes not None, Py_ssize_t n_classes, *, n_jobs=1):
    cdef Py_ssize_t n = len(texts)
    sentences = np.empty(n, np.int64)
    spoken = np.empty(n, np.int64)
    syllables = np.empty(n, np.int64)
    entropy = np.empty(n, np.float64)
    letters = np.zeros((n, n_classes), np.int64)
    cdef int64_t[::1] sentences_out = sentences
    cdef int64_t[::1] spoken_out = spoken
    cdef int64_t[::1] syllables_out = syllables
    cdef double[::1] entropy_out = entropy
    cdef int64_t[:, ::1] letters_out = letters
    _load_kinds()

    def work(piece):
        cdef Py_ssize_t i, lo = piece[0], hi = piece[1], length
        cdef Measured measured
        cdef const void *data
        cdef int width
        cdef str text
        cdef uint32_t *seen = <uint32_t *> calloc(N_POINTS, sizeof(uint32_t))
        if seen == NULL:
            raise MemoryError
        try:
            for i in range(lo, hi):
                text = texts[i]
                data, length, width = PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text), PyUnicode_KIND(text)
                with nogil:
                    read_text(data, length, width, &classes[0], seen, &measured, &letters_out[i, 0])
                sentences_out[i] = measured.sentences
                spoken_out[i] = measured.words
                syllables_out[i] = measured.syllables
                entropy_out[i] = measured.entropy
        finally:
            free(seen)

    in_threads(work, ranges(n, 512), n_jobs)
    return sentences, spoken, syllables, entropy, letters


def top_words(const int64_t[::1] offsets not None, const uint32_t[::1] counts not None,
              const uint32_t[::1] terms not None, const double[::1] idf not None, Py_ssize_t k, *, n_jobs=1):
    cdef Py_ssize_t n = offsets.shape[0] - 1
    found = np.full((n, k), -1, np.int64)
    cdef int64_t[:, ::1] out = found
    if n == 0 or counts.shape[0] == 0:
        return found

    def work(piece):
        cdef Py_ssize_t i, lo = piece[0], hi = piece[1], slot, kept
        cdef int64_t at
        cdef double weight
        cdef double *best = <double *> malloc(k * sizeof(double))
        if best == NULL:
            raise MemoryError
        with nogil:
            for i in range(lo, hi):
                kept = 0
                for at in range(offsets[i], offsets[i + 1]):
                    weight = (1 + log(counts[at])) * idf[terms[at]]
                    if kept == k and weight <= best[k - 1]:
                        continue
                    slot = kept if kept < k else k - 1
                    while slot > 0 and best[slot - 1] < weight:
                        best[slot] = best[slot - 1]
                        out[i, slot] = out[i, slot - 1]
                        slot -= 1
                    best[slot] = weight
                    out[i, slot] = at
                    kept += kept < k
        free(best)

    in_threads(work, ranges(n, 4096), n_jobs)
    return found
