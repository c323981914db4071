"""Words of documents as 64-bit hashes: cut, count and weigh, without the GIL.

Many documents are one CSR pair: document i is `words[offsets[i]:offsets[i + 1]]`. Functions take arrays
as they are (C order, the dtype that the stub names) and trust the room above to have checked them.
Each call is deterministic: the number of threads never shows in a result.
"""

from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH, PyUnicode_KIND
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

import numpy as np

from raudo._core.shares import in_threads, ranges

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    bint Py_UNICODE_ISALNUM(Py_UCS4 point)
    Py_UCS4 Py_UNICODE_TOLOWER(Py_UCS4 point)

# Hashes are stored in caches: a change of these, or of the scheme in csrc, is a new format.
WORD_SEED = 0x7261_7564_6F31
HASH_VERSION = 1

# A block is what one thread takes at a time: large enough to repay the hand-over, small enough to share.
cdef Py_ssize_t BLOCK_CHARS = 1 << 20
cdef Py_ssize_t BLOCK_DOCUMENTS = 1 << 14


# --- what Unicode says ------------------------------------------------------------------------

cdef raudo_chars CHARS
CHARS.pages = NULL
CHARS.entries = NULL


cdef int32_t _entry(Py_UCS4 point) except? -1:
    cdef Py_UCS4 lowered = Py_UNICODE_TOLOWER(point)
    cdef int32_t bits = RAUDO_CHAR_OWN_WORD if Py_UNICODE_ISALNUM(point) or point == 95 else 0
    if lowered != point:
        text = chr(point).lower()
        # The capital sigma is lowered by its neighbours, a dotted capital I to two code points.
        if point == 0x3A3 or len(text) != 1 or ord(text) != lowered:
            return bits | RAUDO_CHAR_SPECIAL | RAUDO_CHAR_WORD
    if Py_UNICODE_ISALNUM(lowered) or lowered == 95:
        bits |= RAUDO_CHAR_WORD
    return (<int32_t> lowered - <int32_t> point) * 8 + bits


cdef int _load_chars() except -1:
    """Fill CHARS from the interpreter's tables; about 20 ms, once, at the first text beyond ASCII."""
    cdef Py_ssize_t page, i, n_pages = 0x110000 >> 8, kept = 0
    cdef int32_t block[256]
    cdef uint16_t *pages
    cdef int32_t *entries
    if CHARS.pages != NULL:
        return 0
    pages = <uint16_t *> malloc(n_pages * sizeof(uint16_t))
    entries = <int32_t *> malloc(n_pages * 256 * sizeof(int32_t))
    if pages == NULL or entries == NULL:
        free(pages)
        free(entries)
        raise MemoryError
    numbers = {}
    for page in range(n_pages):
        for i in range(256):
            block[i] = _entry(<Py_UCS4> (page * 256 + i))
        key = (<char *> block)[:sizeof(block)]
        if key not in numbers:
            memcpy(entries + kept * 256, block, sizeof(block))
            numbers[key] = kept
            kept += 1
        pages[page] = <uint16_t> <Py_ssize_t> numbers[key]
    CHARS.entries = <int32_t *> realloc(entries, kept * 256 * sizeof(int32_t))
    CHARS.pages = pages
    return 0


# --- documents --------------------------------------------------------------------------------


cdef class _Texts:
    """The memory of many str, readable without the GIL while this lives."""

    cdef raudo_text *texts
    cdef list kept
    cdef readonly Py_ssize_t n

    def __cinit__(self, texts):
        cdef Py_ssize_t i
        cdef bint ascii_only = True
        self.kept = list(texts)
        self.n = len(self.kept)
        self.texts = <raudo_text *> calloc(self.n + 1, sizeof(raudo_text))
        if self.texts == NULL:
            raise MemoryError
        for i in range(self.n):
            text = self.kept[i]
            if not isinstance(text, str):
                raise TypeError(f"texts[{i}] is {type(text).__name__}, wanted str")
            self.point_to(i, text)
            ascii_only = ascii_only and self.texts[i].is_ascii
        if not ascii_only:
            _load_chars()

    def __dealloc__(self):
        free(self.texts)

    cdef void point_to(self, Py_ssize_t i, text):
        self.texts[i].data = PyUnicode_DATA(text)
        self.texts[i].length = PyUnicode_GET_LENGTH(text)
        self.texts[i].kind = PyUnicode_KIND(text)
        self.texts[i].is_ascii = PyUnicode_IS_ASCII(text)

    cdef int lower_special(self, Py_ssize_t lo, Py_ssize_t hi) except -1:
        """Let Python lower those texts of [lo, hi) that a table cannot."""
        cdef Py_ssize_t i
        cdef bint special
        for i in range(lo, hi):
            if self.texts[i].is_ascii or self.texts[i].kind == 1 or self.texts[i].lowered:
                continue
            with nogil:
                special = raudo_needs_lower(&self.texts[i], &CHARS)
            if special:
                lowered = self.kept[i].lower()
                self.kept[i] = lowered
                self.point_to(i, lowered)
                self.texts[i].lowered = True
        return 0

    def blocks(self):
        cdef Py_ssize_t i, lo = 0, size = 0
        cut = []
        for i in range(self.n):
            size += self.texts[i].length
            if size >= BLOCK_CHARS or i + 1 - lo >= BLOCK_DOCUMENTS:
                cut.append((lo, i + 1))
                lo, size = i + 1, 0
        if lo < self.n:
            cut.append((lo, self.n))
        return cut


cdef class _Block:
    """The words of documents [lo, hi); owns its memory."""

    cdef uint64_t *words
    cdef uint32_t *counts
    cdef int64_t *sizes
    cdef int64_t *lengths
    cdef size_t n, room
    cdef Py_ssize_t lo, hi

    def __cinit__(self, Py_ssize_t lo, Py_ssize_t hi):
        self.lo, self.hi = lo, hi
        self.sizes = <int64_t *> malloc((hi - lo + 1) * sizeof(int64_t))
        self.lengths = <int64_t *> malloc((hi - lo + 1) * sizeof(int64_t))
        if self.sizes == NULL or self.lengths == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.words)
        free(self.counts)
        free(self.sizes)
        free(self.lengths)

    cdef int reserve(self, size_t more, bint counted) except -1 nogil:
        cdef size_t room = self.room * 2
        cdef void *grown
        if self.n + more <= self.room:
            return 0
        if room < self.n + more:
            room = self.n + more
        grown = realloc(self.words, room * sizeof(uint64_t))
        if grown == NULL:
            with gil:
                raise MemoryError
        self.words = <uint64_t *> grown
        if counted:
            grown = realloc(self.counts, room * sizeof(uint32_t))
            if grown == NULL:
                with gil:
                    raise MemoryError
            self.counts = <uint32_t *> grown
        self.room = room
        return 0

    cdef int fill(self, const raudo_text *texts, uint64_t seed, size_t shingle, bint distinct,
                  bint counted) except -1 nogil:
        """Read the documents: their words in order, or with `distinct` the sorted set of them."""
        cdef Py_ssize_t i
        cdef size_t most = 0, n, kept
        cdef uint64_t *scratch = NULL
        cdef uint32_t *heads = NULL
        cdef uint64_t *words
        for i in range(self.hi - self.lo):
            if texts[i].length > most:
                most = texts[i].length
        most = most // 2 + 1
        try:
            if distinct:
                scratch = <uint64_t *> malloc(most * sizeof(uint64_t))
                heads = <uint32_t *> malloc(raudo_sort_heads(most) * sizeof(uint32_t))
                if scratch == NULL or heads == NULL:
                    with gil:
                        raise MemoryError
            for i in range(self.hi - self.lo):
                self.reserve(texts[i].length // 2 + 1, counted)
                words = self.words + self.n
                n = raudo_words(&texts[i], &CHARS, seed, words)
                self.lengths[i] = n
                kept = raudo_shingle(words, n, shingle)
                if distinct:
                    raudo_sort_hashes(words, kept, scratch, heads)
                    kept = raudo_distinct(words, kept, self.counts + self.n if counted else NULL)
                self.sizes[i] = kept
                self.n += kept
        finally:
            free(scratch)
            free(heads)
        return 0


cdef _Block _read_block(_Texts texts, Py_ssize_t lo, Py_ssize_t hi, uint64_t seed, size_t shingle,
                        bint distinct, bint counted):
    cdef _Block block = _Block(lo, hi)
    texts.lower_special(lo, hi)
    with nogil:
        block.fill(texts.texts + lo, seed, shingle, distinct, counted)
    return block


def _read(texts, n_jobs, seed, shingle, distinct, counted):
    """Return (offsets, words, counts or None, lengths) of the texts."""
    cdef _Texts held = _Texts(texts)
    cdef _Block block
    cdef Py_ssize_t n = held.n
    offsets = np.zeros(n + 1, np.int64)
    lengths = np.zeros(n, np.int64)
    cdef int64_t[::1] ends = offsets
    cdef int64_t[::1] sizes = lengths
    cdef Py_ssize_t i
    cdef int64_t at = 0
    blocks = in_threads(
        lambda piece: _read_block(held, piece[0], piece[1], seed, shingle, distinct, counted),
        held.blocks(), n_jobs,
    )
    for block in blocks:
        for i in range(block.hi - block.lo):
            at += block.sizes[i]
            ends[block.lo + i + 1] = at
            sizes[block.lo + i] = block.lengths[i]
    words = np.empty(at, np.uint64)
    counts = np.empty(at if counted else 0, np.uint32)
    cdef uint64_t[::1] words_out = words
    cdef uint32_t[::1] counts_out = counts
    at = 0
    for block in blocks:
        if block.n > 0:
            memcpy(&words_out[at], block.words, block.n * sizeof(uint64_t))
            if counted:
                memcpy(&counts_out[at], block.counts, block.n * sizeof(uint32_t))
            at += block.n
    return offsets, words, counts if counted else None, lengths


def tokenise(texts, *, n_jobs=1, seed=WORD_SEED):
    offsets, words, _, _ = _read(texts, n_jobs, seed, 1, False, False)
    return offsets, words


def count_words(texts, *, n_jobs=1, seed=WORD_SEED):
    return _read(texts, n_jobs, seed, 1, True, True)


def word_sets(texts, *, shingle=1, n_jobs=1, seed=WORD_SEED):
    offsets, words, _, _ = _read(texts, n_jobs, seed, shingle, True, False)
    return offsets, words


def content_keys(texts):
    cdef _Texts held = _Texts(texts)
    cdef Py_ssize_t i
    cdef size_t n_bytes
    cdef raudo_text *text
    keys = np.empty((held.n, 2), np.uint64)
    cdef uint64_t[:, ::1] out = keys
    with nogil:
        for i in range(held.n):
            text = &held.texts[i]
            n_bytes = text.length * text.kind
            # CPython stores a text in one way only: the narrowest that holds it.
            raudo_hash_twice(text.data, n_bytes, text.kind, text.kind + 0x9E3779B97F4A7C15u, &out[i, 0])
    return keys


def hash_bytes(data, seed=0):
    cdef const unsigned char[::1] view = memoryview(data).cast("B")
    cdef uint64_t start = seed, result
    cdef Py_ssize_t n = view.shape[0]
    cdef unsigned char nothing = 0
    cdef const unsigned char *bytes_ = &view[0] if n > 0 else &nothing
    with nogil:
        result = raudo_hash_bytes(bytes_, n, start)
    return result


# --- weights ----------------------------------------------------------------------------------


def vocabulary(const uint64_t[::1] words not None):
    cdef Py_ssize_t n = words.shape[0]
    cdef int failed = 0
    cdef raudo_vocabulary *known
    numbers = np.empty(n, np.uint32)
    cdef uint32_t[::1] terms = numbers
    known = raudo_vocabulary_new(&words[0] if n > 0 else NULL, n)
    if known == NULL:
        raise MemoryError
    try:
        if n > 0:
            with nogil:
                failed = raudo_vocabulary_add(known, &words[0], n, &terms[0])
        if failed:
            raise MemoryError
        return numbers, raudo_vocabulary_size(known)
    finally:
        raudo_vocabulary_free(known)


def find_among(const uint64_t[::1] words not None, const uint64_t[::1] wanted not None):
    cdef Py_ssize_t n = words.shape[0], n_wanted = wanted.shape[0]
    cdef int64_t n_found
    if n == 0 or n_wanted == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    # Of what is not written the system makes no pages.
    at, which = np.empty(n, np.int64), np.empty(n, np.int64)
    cdef int64_t[::1] at_out = at, which_out = which
    with nogil:
        n_found = raudo_find_among(&words[0], n, &wanted[0], n_wanted, &at_out[0], &which_out[0])
    if n_found < 0:
        raise MemoryError
    return at[:n_found].copy(), which[:n_found].copy()


def embed(const int64_t[::1] offsets not None, const uint64_t[::1] words not None,
          const uint32_t[::1] counts not None, const uint32_t[::1] terms not None,
          const double[::1] idf not None, Py_ssize_t dimensions, *, n_jobs=1):
    cdef Py_ssize_t n = offsets.shape[0] - 1
    vectors = np.zeros((n, dimensions), np.float32)
    cdef float[:, ::1] out = vectors
    if n == 0 or words.shape[0] == 0:
        return vectors

    def work(piece):
        cdef Py_ssize_t lo = piece[0], hi = piece[1]
        cdef double *row = <double *> malloc(dimensions * sizeof(double))
        if row == NULL:
            raise MemoryError
        with nogil:
            raudo_embed(&offsets[0], &words[0], &counts[0], &terms[0], &idf[0], lo, hi, dimensions, row,
                        &out[lo, 0])
        free(row)

    in_threads(work, ranges(n, 4096), n_jobs)
    return vectors


# --- rows of CSR pairs ------------------------------------------------------------------------


def set_keys(const int64_t[::1] offsets not None, const uint64_t[::1] words not None):
    cdef Py_ssize_t i, n = offsets.shape[0] - 1
    cdef size_t n_bytes
    cdef uint64_t nothing = 0
    cdef const uint64_t *first = &words[0] if words.shape[0] > 0 else &nothing
    keys = np.empty((n, 2), np.uint64)
    cdef uint64_t[:, ::1] out = keys
    with nogil:
        for i in range(n):
            n_bytes = (offsets[i + 1] - offsets[i]) * sizeof(uint64_t)
            raudo_hash_twice(first + offsets[i], n_bytes, 1, 2, &out[i, 0])
    return keys


def row_keys(const float[:, ::1] rows not None):
    cdef Py_ssize_t i, n = rows.shape[0], n_bytes = rows.shape[1] * sizeof(float)
    keys = np.zeros((n, 2), np.uint64)
    cdef uint64_t[:, ::1] out = keys
    if n_bytes > 0:
        with nogil:
            for i in range(n):
                raudo_hash_twice(&rows[i, 0], n_bytes, 3, 4, &out[i, 0])
    return keys


def take_rows(const int64_t[::1] offsets not None, values not None, const int64_t[::1] rows not None):
    cdef Py_ssize_t i, n = rows.shape[0], width = values.itemsize
    starts = np.zeros(n + 1, np.int64)
    cdef int64_t[::1] ends = starts
    for i in range(n):
        ends[i + 1] = ends[i] + offsets[rows[i] + 1] - offsets[rows[i]]
    taken = np.empty(ends[n], values.dtype)
    if ends[n] == 0:
        return starts, taken
    cdef const unsigned char[::1] source = values.view(np.uint8)
    cdef unsigned char[::1] target = taken.view(np.uint8)
    with nogil:
        for i in range(n):
            if ends[i + 1] > ends[i]:
                memcpy(&target[ends[i] * width], &source[offsets[rows[i]] * width],
                       (ends[i + 1] - ends[i]) * width)
    return starts, taken
