"""Sketches of rows, one bit an element (csrc/sketch/sketch.h), and how a list of them is asked."""

from libc.stdint cimport uint32_t


cdef extern from "sketch/sketch.h" nogil:
    ctypedef struct raudo_sketch_question:
        const unsigned char *table
        float u, step, offset, least

    ctypedef struct raudo_sketch_sums:
        float absolute, centre

    ctypedef struct raudo_sketch_products:
        float norm2, product

    ctypedef struct raudo_sketch_scale:
        float step, offset

    ctypedef struct raudo_sketch_kernels:
        raudo_sketch_products (*multiply)(const float *x, const float *centre, size_t width) noexcept nogil
        void (*rotate)(float *row, size_t width) noexcept nogil
        raudo_sketch_sums (*encode)(const float *rest, const float *centre, size_t width,
                                    unsigned char *codes) noexcept nogil
        raudo_sketch_scale (*tabulate)(const float *query, size_t width, unsigned char *table) noexcept nogil
        uint32_t (*sift)(size_t n_bytes, const unsigned char *codes, const float *along,
                         const float *across, const raudo_sketch_question *question) noexcept nogil

    enum:
        RAUDO_SKETCH_ROWS
        RAUDO_SKETCH_TABLE


cdef struct Sketches:  # of the rows of an index
    const raudo_sketch_kernels *kernels
    int form
    size_t width, n_bytes
    const unsigned char *codes  # by panel: (n_bytes, 32)
    const float *along          # by position
    const float *across


cdef struct Stance:  # one query
    unsigned char *table
    float step, offset
    double norm

cdef size_t width_of(size_t d) noexcept nogil
cdef size_t table_bytes(size_t d) noexcept nogil
cdef void take_stance(const Sketches *sketches, const float *query, const float *shift, size_t d,
                      float *scratch, Stance *stance) noexcept nogil
cdef void ask_list(const Sketches *sketches, const Stance *stance, double far, double limit,
                   raudo_sketch_question *question) noexcept nogil
cdef const raudo_sketch_kernels *sketch_kernels() noexcept nogil
