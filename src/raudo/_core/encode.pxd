"""What `encode` takes from csrc/encode."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "encode/decimal.h" nogil:
    enum:
        RAUDO_POWER_LEAST, RAUDO_N_POWERS, RAUDO_INTEGER_CHARS, RAUDO_DOUBLE_CHARS
    ctypedef struct raudo_power:
        uint64_t high, low
    char *raudo_put_integer(char *out, int64_t value)
    char *raudo_put_double(char *out, double value, const raudo_power *powers)

cdef extern from "encode/text.h" nogil:
    enum:
        RAUDO_SLACK
    char *raudo_put_json_bytes(char *out, const uint8_t *text, size_t n)
    char *raudo_put_json_latin(char *out, const uint8_t *text, size_t n)
    char *raudo_put_json_ucs2(char *out, const uint16_t *text, size_t n)
    char *raudo_put_json_ucs4(char *out, const uint32_t *text, size_t n)
    char *raudo_put_cell_bytes(char *out, const uint8_t *text, size_t n)
    char *raudo_put_cell_latin(char *out, const uint8_t *text, size_t n)
    char *raudo_put_cell_ucs2(char *out, const uint16_t *text, size_t n)
    char *raudo_put_cell_ucs4(char *out, const uint32_t *text, size_t n)
