"""Compact copies of rows in panels (csrc/panel/panel.h), and what every search over them shares."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from raudo._core.kernels cimport raudo_panel_kernels, raudo_rows
from raudo._core.topk cimport raudo_topk


# The numbers are the Python side's too.
cdef enum:
    INT8 = 0
    BFLOAT16 = 1


cdef struct Shelf:  # the rows of an index
    const raudo_panel_kernels *kernels
    int kind, form
    size_t d, n_groups, panel_bytes
    const unsigned char *panels   # NULL: there are none, rows are copied as the search goes
    const float *scale     # by position: panel * 32 + place
    const float *bias
    const float *spread    # by panel: the largest error and the largest norm
    const int64_t *ids     # by position; NULL: a position is an id
    const unsigned char *allowed  # by position; NULL: all are
    size_t end             # positions from here on are not searched
    raudo_rows exact       # NULL: there are no rows but the copies
    const float *rows      # by position
    size_t stride
    float exact_sign


cdef struct Asked:  # one query
    const float *row
    raudo_topk *top
    double norm, error     # |a|, |a - copy|; both NaN: measure everything
    float scale


cdef struct Block:  # up to BLOCK_PANELS panels, and room to work on them
    size_t n_panels
    const int32_t *numbers        # panel 7 has positions [7 * 32, 8 * 32)
    const unsigned char *panels[8]
    const float *scale
    const float *bias
    int32_t *sums          # float for bfloat16
    uint32_t *found
    double error, norm


cdef enum:
    BLOCK_PANELS = 8
    BLOCK_ROWS = 256
    TILE_BLOCK = 96        # queries at a time

cdef size_t groups_of(int kind, size_t d) noexcept nogil
cdef void ask(const Shelf *shelf, const float *row, const float *shift, raudo_topk *top,
              unsigned char *scratch, unsigned char *tile, int32_t *zero, Asked *asked) noexcept nogil
cdef void search_block(const Shelf *shelf, Block *block, Asked *const *asked, size_t m,
                       const unsigned char *tiles, const int32_t *zeros) noexcept nogil
cdef void lay(const Shelf *shelf, Block *block) noexcept nogil
