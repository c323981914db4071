"""The room that a search of lists works in: what of it belongs to a query, to a list and to a block."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from raudo._core.panels cimport BLOCK_PANELS, BLOCK_ROWS, TILE_BLOCK, Asked, Block, Shelf
from raudo._core.sketches cimport Sketches, Stance, raudo_sketch_question, table_bytes
from raudo._core.topk cimport raudo_topk


cdef enum:
    PANEL_ROWS = 32
    TILE_QUERIES = 12
    GROUP = 4
    WAITING = 16           # rows on their way from memory while others are measured


cdef struct Waiting:  # a row that a query will measure
    Asked *asked
    size_t position


cdef struct Desk:  # room to work on
    size_t n_seats         # queries in tiles at a time
    raudo_topk near_top
    double *near_scores
    int64_t *near_ids
    int32_t *near          # (q, n_near) lists, the nearest first
    int32_t *n_near
    float *far             # (q, n_lists)
    int32_t *further       # (q, n_lists) those of them that are not too far
    int32_t *n_further
    double *limits         # the k-th best, when it was looked up
    Stance *stances        # of the queries toward sketches
    unsigned char *tables
    float *scratch
    raudo_sketch_question *questions  # of the queries of one list
    Waiting[WAITING] waiting
    size_t n_waited
    unsigned char *copies  # of the queries, one after another
    Asked *asked
    int32_t *zeros
    int32_t *starts        # by list: where its queries begin in `sorted`
    int32_t *sorted
    unsigned char *tiles   # of the queries of one list
    int32_t *tile_zeros
    Asked **tile_asked
    float *scale           # of the panels of a block, one after another
    float *bias
    int32_t *numbers
    Block block


cdef inline void *carve(unsigned char *memory, size_t *end, size_t n_bytes) noexcept nogil:
    cdef size_t first = (end[0] + 63) & ~<size_t> 63
    end[0] = first + n_bytes
    return memory + first if memory != NULL else NULL


cdef inline size_t furnish(Desk *desk, unsigned char *memory, const Shelf *shelf, const Shelf *centres, size_t q,
                           size_t n_near, size_t n_lists, const Sketches *sketches) noexcept nogil:
    """Place everything in `memory`, or (NULL) nothing; return how many bytes that takes."""
    cdef size_t end = 0, copy_bytes = shelf.n_groups * GROUP
    cdef size_t n_seats = min(<size_t> TILE_BLOCK, (q + TILE_QUERIES - 1) // TILE_QUERIES * TILE_QUERIES)
    desk.n_seats = n_seats
    desk.near_scores = <double *> carve(memory, &end, n_near * sizeof(double))
    desk.near_ids = <int64_t *> carve(memory, &end, n_near * sizeof(int64_t))
    desk.near = <int32_t *> carve(memory, &end, q * n_near * sizeof(int32_t))
    desk.n_near = <int32_t *> carve(memory, &end, q * sizeof(int32_t))
    desk.far = <float *> carve(memory, &end, q * n_lists * sizeof(float))
    desk.further = <int32_t *> carve(memory, &end, q * n_lists * sizeof(int32_t))
    desk.n_further = <int32_t *> carve(memory, &end, q * sizeof(int32_t))
    desk.limits = <double *> carve(memory, &end, q * sizeof(double))
    if sketches != NULL:
        desk.stances = <Stance *> carve(memory, &end, q * sizeof(Stance))
        desk.tables = <unsigned char *> carve(memory, &end, q * table_bytes(shelf.d))
        desk.scratch = <float *> carve(memory, &end, sketches.width * sizeof(float))
        desk.questions = <raudo_sketch_question *> carve(memory, &end, q * sizeof(raudo_sketch_question))
    desk.copies = <unsigned char *> carve(memory, &end, q * copy_bytes)
    desk.asked = <Asked *> carve(memory, &end, q * sizeof(Asked))
    desk.zeros = <int32_t *> carve(memory, &end, q * sizeof(int32_t))
    desk.starts = <int32_t *> carve(memory, &end, (n_lists + 1) * sizeof(int32_t))
    desk.sorted = <int32_t *> carve(memory, &end, q * n_lists * sizeof(int32_t))
    desk.tiles = <unsigned char *> carve(
        memory, &end, n_seats * max(shelf.n_groups, centres.n_groups) * GROUP)
    desk.tile_zeros = <int32_t *> carve(memory, &end, n_seats * sizeof(int32_t))
    desk.tile_asked = <Asked **> carve(memory, &end, n_seats * sizeof(Asked *))
    desk.scale = <float *> carve(memory, &end, BLOCK_ROWS * sizeof(float))
    desk.bias = <float *> carve(memory, &end, BLOCK_ROWS * sizeof(float))
    desk.numbers = <int32_t *> carve(memory, &end, BLOCK_PANELS * sizeof(int32_t))
    desk.block.sums = <int32_t *> carve(
        memory, &end, (n_seats + TILE_QUERIES) * BLOCK_ROWS * sizeof(int32_t))
    desk.block.found = <uint32_t *> carve(memory, &end, BLOCK_ROWS * sizeof(uint32_t))
    desk.block.scale, desk.block.bias, desk.block.numbers = desk.scale, desk.bias, desk.numbers
    return end


cdef inline void seat(const Shelf *shelf, Desk *desk, const int32_t *queries, size_t m) noexcept nogil:
    """Pack up to n_seats queries into tiles."""
    cdef size_t i, g, n_groups = shelf.n_groups
    cdef const uint32_t *copy
    cdef uint32_t *tile
    for i in range(m):
        copy = <const uint32_t *> (desk.copies + <size_t> queries[i] * n_groups * GROUP)
        tile = (<uint32_t *> desk.tiles + i // TILE_QUERIES * n_groups * TILE_QUERIES
                + i % TILE_QUERIES)
        for g in range(n_groups):
            tile[g * TILE_QUERIES] = copy[g]
        desk.tile_zeros[i] = desk.zeros[queries[i]]
        desk.tile_asked[i] = &desk.asked[queries[i]]
