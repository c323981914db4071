"""The distance kernels' contract (csrc/distance/distance.h), and what drivers share.

Only `kernels` links the C; others reach every kernel through the table that `active()` returns.
"""

from libc.stdint cimport int8_t, int32_t, uint16_t, uint32_t


cdef extern from "distance/distance.h" nogil:
    ctypedef void (*raudo_rows)(
        const void *query, const void *rows, size_t n, size_t stride, size_t d, void *out) noexcept nogil

    ctypedef void (*raudo_strip)(
        const void *queries, size_t m, size_t q_stride, const void *rows, size_t n, size_t stride, size_t d,
        void *out, size_t out_stride) noexcept nogil

    ctypedef struct raudo_block_f32:
        size_t tile_rows, panel_rows
        void (*inner)(size_t d, const float *a, const float *b, float *c, size_t stride, int add) noexcept nogil
        void (*cityblock)(size_t d, const float *a, const float *b, float *c, size_t stride, int add) noexcept nogil
        size_t (*select)(const float *value, const float *bias, float sign, float limit, size_t n,
                         uint32_t *found) noexcept nogil
        void (*pack)(const float *rows, size_t n, size_t stride, size_t d, const float *shift,
                     size_t width, float *panel) noexcept nogil
        size_t (*expand)(const float *dot, float a, const float *b, size_t n, float *out) noexcept nogil
        size_t (*cosine)(const float *dot, float a, const float *b, size_t n, float *out) noexcept nogil
        void (*root)(float *values, size_t n) noexcept nogil

    ctypedef struct raudo_block_f64:
        size_t tile_rows, panel_rows
        void (*inner)(size_t d, const double *a, const double *b, double *c, size_t stride, int add) noexcept nogil
        void (*cityblock)(size_t d, const double *a, const double *b, double *c, size_t stride, int add) noexcept nogil
        size_t (*select)(const double *value, const double *bias, double sign, double limit, size_t n,
                         uint32_t *found) noexcept nogil
        void (*pack)(const double *rows, size_t n, size_t stride, size_t d, const double *shift,
                     size_t width, double *panel) noexcept nogil
        size_t (*expand)(const double *dot, double a, const double *b, size_t n, double *out) noexcept nogil
        size_t (*cosine)(const double *dot, double a, const double *b, size_t n, double *out) noexcept nogil
        void (*root)(double *values, size_t n) noexcept nogil

    ctypedef struct raudo_kernels:
        const char *isa
        raudo_block_f32 f32
        raudo_block_f64 f64

    double RAUDO_NEAR
    enum:
        RAUDO_sqeuclidean_f32
        RAUDO_sqeuclidean_f64
        RAUDO_inner_f32
        RAUDO_inner_f64
        RAUDO_hamming_bits


cdef extern from "panel/panel.h" nogil:
    ctypedef struct raudo_copied:
        float norm2, error, scale

    ctypedef struct raudo_panel_kernels:
        bint outruns_float32
        raudo_copied (*copy_i8)(const float *row, const float *shift, size_t d, unsigned char offset,
                                unsigned char *scratch, unsigned char *out, size_t out_step) noexcept nogil
        raudo_copied (*copy_bf16)(const float *row, const float *shift, size_t d, unsigned char offset,
                                  unsigned char *scratch, unsigned char *out, size_t out_step) noexcept nogil
        void (*dot_i8)(size_t n_groups, size_t m, const int8_t *queries, const int32_t *zero,
                       const unsigned char *panel, int32_t *sums, size_t stride) noexcept nogil
        void (*dot_bf16)(size_t n_groups, size_t m, const uint16_t *queries, const uint16_t *panel,
                         float *sums, size_t stride) noexcept nogil
        void (*dot_bits)(size_t n_groups, size_t m, const unsigned char *queries, const unsigned char *panel,
                         int32_t *sums, size_t stride) noexcept nogil
        void (*share_hamming_f32)(const int32_t *both, int32_t a, const int32_t *b, size_t n, size_t positions,
                                  float *out) noexcept nogil
        void (*share_jaccard_f32)(const int32_t *both, int32_t a, const int32_t *b, size_t n, size_t positions,
                                  float *out) noexcept nogil
        void (*share_hamming_f64)(const int32_t *both, int32_t a, const int32_t *b, size_t n, size_t positions,
                                  double *out) noexcept nogil
        void (*share_jaccard_f64)(const int32_t *both, int32_t a, const int32_t *b, size_t n, size_t positions,
                                  double *out) noexcept nogil
        size_t (*sift_i8)(const int32_t *sums, const float *scale, const float *bias, float query_scale,
                          float limit, size_t n, uint32_t *found) noexcept nogil
        size_t (*sift_bf16)(const float *sums, const float *scale, const float *bias, float query_scale,
                            float limit, size_t n, uint32_t *found) noexcept nogil


ctypedef fused real:
    float
    double

# What a finished product means, and which tile makes it. The numbers are the Python side's too.
cdef enum:
    FORM_INNER = 0
    FORM_SQEUCLIDEAN = 1
    FORM_COSINE = 2
    FORM_CITYBLOCK = 3

# Queries and base rows whose packed forms stay in the second-level cache together.
cdef enum:
    QUERY_BLOCK = 96
    BASE_BLOCK = 192

# Queries whose strips over a block of the base are computed at a time.
cdef enum:
    STRIP_QUERIES = 24

cdef const raudo_kernels *active() noexcept nogil
cdef const raudo_panel_kernels *active_panels() noexcept nogil
cdef raudo_rows rows_of(const raudo_kernels *kernels, size_t row_kernel) noexcept nogil
cdef void strip(const raudo_kernels *kernels, size_t row_kernel, const char *queries, size_t m, size_t q_stride,
                size_t item_bytes, const void *rows, size_t n, size_t stride, size_t d, char *out,
                size_t out_stride, size_t out_bytes) noexcept nogil

cdef size_t tile_rows(const raudo_kernels *kernels, real unused) noexcept nogil
cdef size_t panel_rows(const raudo_kernels *kernels, real unused) noexcept nogil
cdef size_t base_block(const raudo_kernels *kernels, size_t d, real unused) noexcept nogil
cdef size_t depth_block(const raudo_kernels *kernels, size_t d, real unused) noexcept nogil
cdef void pack(const raudo_kernels *kernels, const real *rows, size_t n, size_t stride, size_t d,
               const real *shift, size_t width, real *packed) noexcept nogil
cdef void norms(const raudo_kernels *kernels, int form, const real *rows, size_t n, size_t stride,
                size_t d, const real *shift, real *out) noexcept nogil
cdef void multiply(const raudo_kernels *kernels, int form, size_t d, const real *a, size_t n_a,
                   const real *b, size_t n_b, real *c, size_t c_stride) noexcept nogil
cdef void *aligned(size_t n_bytes, void **block) noexcept nogil
