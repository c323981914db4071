"""Words of documents as 64-bit hashes: cut, count and weigh, without the GIL.

Many documents are one CSR pair: document i is `words[offsets[i]:offsets[i + 1]]`. Functions take arrays
as they are (C order, the dtype that the stub names) and trust the room above to have checked them.
Each call is deterministic: the number of threads never shows in a result.
"""

from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
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

# A piece is what one thread takes at a time: large enough to repay the hand-over, small enough to share, and
# to be in the processor's cache still when it is read a second time.
cdef Py_ssize_t PIECE_CHARS = 1 << 19
cdef Py_ssize_t PIECE_DOCUMENTS = 1 << 12


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
    """The memory of some str, readable without the GIL while this lives; `first` is their number."""

    cdef raudo_text *texts
    cdef list kept
    cdef readonly Py_ssize_t n, first

    def __cinit__(self, list kept, Py_ssize_t first=0):
        cdef Py_ssize_t i
        cdef bint ascii_only = True
        self.kept, self.n, self.first = kept, len(kept), first
        self.texts = <raudo_text *> calloc(self.n + 1, sizeof(raudo_text))
        if self.texts == NULL:
            raise MemoryError
        for i in range(self.n):
            text = kept[i]
            if not isinstance(text, str):
                raise TypeError(f"texts[{first + i}] is {type(text).__name__}, wanted str")
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

    cdef int lower_special(self) except -1:
        """Let Python lower those texts that a table cannot."""
        cdef Py_ssize_t i
        cdef bint special
        for i in range(self.n):
            if self.texts[i].is_ascii or self.texts[i].kind == 1 or self.texts[i].lowered:
                continue
            with nogil:
                special = raudo_needs_lower(&self.texts[i], &CHARS)
            if special:
                lowered = str.lower(self.kept[i])
                self.kept[i] = lowered
                self.point_to(i, lowered)
                self.texts[i].lowered = True
        return 0


def _pieces(list texts):
    """Cut [0, n) into stretches that are read while they are in the processor's cache."""
    cdef Py_ssize_t i = 0, lo = 0, size = 0
    while i < PyList_GET_SIZE(texts):
        text = <object> PyList_GET_ITEM(texts, i)
        i += 1
        if isinstance(text, str):
            size += PyUnicode_GET_LENGTH(text)
        if size >= PIECE_CHARS or i - lo >= PIECE_DOCUMENTS:
            yield lo, i
            lo, size = i, 0
    if lo < i:
        yield lo, i


cdef class _Lane:
    """Where one thread at a time puts the words of the pieces it reads, one after another."""

    cdef object words, counts  # arrays with room for more than `used`
    cdef uint64_t[::1] words_view
    cdef uint32_t[::1] counts_view
    cdef uint64_t *found
    cdef uint64_t *scratch
    cdef uint32_t *heads
    cdef Py_ssize_t used, most

    def __cinit__(self):
        self.words, self.counts = np.empty(0, np.uint64), np.empty(0, np.uint32)
        self.words_view, self.counts_view = self.words, self.counts

    def __dealloc__(self):
        free(self.found)
        free(self.scratch)
        free(self.heads)

    cdef int reserve(self, _Texts texts, Py_ssize_t n_left, bint counted) except -1:
        """Make room for the words of some texts, with n_left after them, and for those of any one."""
        cdef Py_ssize_t i, words, wanted = 0, most = 0
        for i in range(texts.n):
            words = texts.texts[i].length // 2 + 1
            wanted += words
            most = max(most, words)
        if self.used + wanted > self.words_view.shape[0]:
            # As many a text as so far, if there are any: a guess, and only of addresses, not of memory.
            wanted += max(self.used, n_left * self.used // max(texts.first, 1))
            self.words = self.grown(self.words, self.used + wanted)
            self.words_view = self.words
            if counted:
                self.counts = self.grown(self.counts, self.used + wanted)
                self.counts_view = self.counts
        if most > self.most:
            free(self.found)
            free(self.scratch)
            free(self.heads)
            self.most = most
            self.found = <uint64_t *> malloc(most * sizeof(uint64_t))
            self.scratch = <uint64_t *> malloc(most * sizeof(uint64_t))
            self.heads = <uint32_t *> malloc(raudo_sort_heads(most) * sizeof(uint32_t))
            if self.found == NULL or self.scratch == NULL or self.heads == NULL:
                self.most = 0
                raise MemoryError
        return 0

    cdef object grown(self, array, Py_ssize_t room):
        larger = np.empty(room, array.dtype)
        larger[:self.used] = array[:self.used]
        return larger

    cdef void read(self, _Texts texts, int64_t *lengths, int64_t *sizes, uint64_t seed, size_t shingle,
                   bint distinct, bint counted) noexcept nogil:
        """Read the texts: their words in order, or with `distinct` the sorted set of them."""
        cdef Py_ssize_t i
        cdef size_t n
        cdef uint64_t *words = &self.words_view[0] + self.used
        cdef uint64_t *end = words
        cdef uint32_t *counts = &self.counts_view[0] + self.used if counted else NULL
        for i in range(texts.n):
            n = raudo_words(&texts.texts[i], &CHARS, seed, self.found if distinct else end)
            lengths[i] = n
            n = raudo_shingle(self.found if distinct else end, n, shingle)
            if distinct:
                n = raudo_distinct(self.found, n, self.scratch, self.heads, end, counts)
                if counted:
                    counts += n
            sizes[i] = n
            end += n
        self.used += end - words


def _read(texts, n_jobs, seed, shingle, distinct, counted):
    """Return (offsets, words, counts or None, lengths) of the texts."""
    cdef list all_texts = texts if type(texts) is list else list(texts)
    cdef Py_ssize_t n = len(all_texts), i, begin, size
    cdef _Lane lane
    offsets = np.empty(n + 1, np.int64)
    lengths = np.empty(n, np.int64)
    cdef int64_t[::1] ends = offsets
    cdef int64_t[::1] totals = lengths
    ends[0] = 0
    if n == 0:
        return offsets, np.empty(0, np.uint64), np.empty(0, np.uint32) if counted else None, lengths
    lanes, idle = [], []

    def read(piece):
        """Read texts [lo, hi) into a lane that nobody uses; return it, and which part of it."""
        cdef Py_ssize_t lo = piece[0], hi = piece[1], begin
        cdef uint64_t start = seed
        cdef size_t width = shingle
        cdef bint is_set = distinct, with_counts = counted
        cdef _Texts held = _Texts(all_texts[lo:hi], lo)
        cdef _Lane lane
        if held.n != hi - lo:
            raise RuntimeError("the list of texts became shorter while it was read")
        held.lower_special()
        try:
            lane = idle.pop()
        except IndexError:
            lane = _Lane()
            lanes.append(lane)
        lane.reserve(held, n - hi, with_counts)
        begin = lane.used
        with nogil:
            lane.read(held, &totals[lo], &ends[lo + 1], start, width, is_set, with_counts)
        idle.append(lane)
        return lane, begin, lane.used - begin

    pieces = _pieces(all_texts)
    parts = in_threads(read, pieces if n_jobs <= 1 else list(pieces), n_jobs)
    for i in range(n):
        ends[i + 1] += ends[i]
    if len(lanes) == 1:
        lane = lanes[0]
        return offsets, lane.words[:lane.used], lane.counts[:lane.used] if counted else None, lengths
    words = [lane.words[begin:begin + size] for lane, begin, size in parts]
    counts = [lane.counts[begin:begin + size] for lane, begin, size in parts] if counted else []
    return offsets, np.concatenate(words), np.concatenate(counts) if counted else None, lengths


def tokenise(texts, *, n_jobs=1, seed=WORD_SEED):
    offsets, words, _, _ = _read(texts, n_jobs, seed, 1, False, False)
    return offsets, words


def count_words(texts, *, n_jobs=1, seed=WORD_SEED):
    return _read(texts, n_jobs, seed, 1, True, True)


def word_sets(texts, *, shingle=1, n_jobs=1, seed=WORD_SEED):
    offsets, words, _, _ = _read(texts, n_jobs, seed, shingle, True, False)
    return offsets, words


def content_keys(texts):
    cdef _Texts held = _Texts(list(texts))
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


def count_terms(const uint64_t[::1] words not None):
    cdef Py_ssize_t n = words.shape[0]
    cdef int failed
    cdef raudo_vocabulary *known
    numbers = np.empty(n, np.uint32)
    if n == 0:
        return numbers, np.empty(0, np.uint64), np.empty(0, np.int64)
    cdef uint32_t[::1] terms = numbers
    cdef uint64_t[::1] distinct
    cdef int64_t[::1] frequency
    known = raudo_vocabulary_new(&words[0], n)
    if known == NULL:
        raise MemoryError
    try:
        with nogil:
            failed = raudo_vocabulary_add(known, &words[0], n, &terms[0])
        if failed:
            raise MemoryError
        distinct = np.empty(raudo_vocabulary_size(known), np.uint64)
        frequency = np.empty(raudo_vocabulary_size(known), np.int64)
        with nogil:
            raudo_vocabulary_list(known, &distinct[0], &frequency[0])
    finally:
        raudo_vocabulary_free(known)
    return numbers, np.asarray(distinct), np.asarray(frequency)


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
    raudo_pages_prefer_huge(&out[0, 0], n * dimensions * sizeof(float))

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
