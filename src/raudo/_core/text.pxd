from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "hash/hash.h" nogil:
    uint64_t raudo_hash_bytes(const void *data, size_t length, uint64_t seed)
    void raudo_hash_twice(const void *data, size_t length, uint64_t seed_a, uint64_t seed_b, uint64_t *out)


cdef extern from "text/words.h" nogil:
    ctypedef struct raudo_text:
        const void *data
        size_t length
        uint8_t kind
        uint8_t is_ascii
        uint8_t lowered

    ctypedef struct raudo_chars:
        const uint16_t *pages
        const int32_t *entries

    int32_t RAUDO_CHAR_WORD
    int32_t RAUDO_CHAR_SPECIAL
    int32_t RAUDO_CHAR_OWN_WORD
    int raudo_needs_lower(const raudo_text *text, const raudo_chars *chars)
    size_t raudo_words(const raudo_text *text, const raudo_chars *chars, uint64_t seed, uint64_t *out)


cdef extern from "text/sets.h" nogil:
    size_t raudo_distinct(uint64_t *items, size_t n, uint64_t *scratch, uint32_t *heads, uint64_t *out,
                          uint32_t *counts)
    size_t raudo_sort_heads(size_t n)
    size_t raudo_shingle(uint64_t *words, size_t n, size_t width)


cdef extern from "text/vocabulary.h" nogil:
    ctypedef struct raudo_vocabulary
    raudo_vocabulary *raudo_vocabulary_new(const uint64_t *words, size_t n)
    void raudo_vocabulary_free(raudo_vocabulary *vocabulary)
    size_t raudo_vocabulary_size(const raudo_vocabulary *vocabulary)
    int raudo_vocabulary_add(raudo_vocabulary *vocabulary, const uint64_t *words, size_t n, uint32_t *terms)
    int64_t raudo_find_among(const uint64_t *words, size_t n, const uint64_t *wanted, size_t n_wanted, int64_t *at,
                             int64_t *which)
    void raudo_vocabulary_list(const raudo_vocabulary *vocabulary, uint64_t *words, int64_t *times)
    uint32_t RAUDO_NO_TERM
    void raudo_embed(const int64_t *offsets, const uint64_t *words, const uint32_t *counts,
                     const uint32_t *terms, const double *idf, size_t lo, size_t hi, size_t dimensions,
                     double *row, float *out)


cdef extern from "pool/pages.h" nogil:
    void raudo_pages_prefer_huge(void *block, size_t size)
