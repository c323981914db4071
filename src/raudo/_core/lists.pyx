"""Search some of many lists: each query looks into the lists whose centres are nearest to it.

A list is a chain of panels (_core/panels), so that rows are added to it without moving any. A search
finds each query's nearest centres, sorts the pairs (list, query) by list, and multiplies each panel
once for all queries that look into its list, twelve at a time. Each query's nearest list comes first:
its k-th best score is low from then on, and of the other lists few rows are measured. Within the lists
looked into the answers are exact.

Arguments are assumed checked; the GIL is released.
"""

cimport cython
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from raudo._core.kernels cimport FORM_INNER, FORM_SQEUCLIDEAN, active, active_panels, aligned, rows_of
from raudo._core.panels cimport (
    BLOCK_PANELS, BLOCK_ROWS, INT8, TILE_BLOCK, Asked, Block, Shelf, ask, groups_of, lay,
    raudo_topk, raudo_topk_finish, search_block, search_panels,
)


cdef enum:
    PANEL_ROWS = 32
    TILE_QUERIES = 12
    GROUP = 4


cdef struct Chains:  # the lists; only their first `counts` places are searched
    const int32_t *heads   # by list: its first panel
    const int32_t *after   # by panel: the next one of its list
    const int32_t *counts  # by list
    size_t n_lists


cdef struct Desk:  # room to work on
    raudo_topk *near       # each query's nearest centres
    double *near_scores
    int64_t *near_ids
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


cdef size_t furnish(Desk *desk, unsigned char *memory, const Shelf *shelf, size_t q, size_t n_probe,
                    size_t n_lists) noexcept nogil:
    """Place everything in `memory`, or (NULL) nothing; return how many bytes that takes."""
    cdef size_t end = 0
    desk.near = <raudo_topk *> carve(memory, &end, q * sizeof(raudo_topk))
    desk.near_scores = <double *> carve(memory, &end, q * n_probe * sizeof(double))
    desk.near_ids = <int64_t *> carve(memory, &end, q * n_probe * sizeof(int64_t))
    desk.copies = <unsigned char *> carve(memory, &end, q * shelf.n_groups * GROUP)
    desk.asked = <Asked *> carve(memory, &end, q * sizeof(Asked))
    desk.zeros = <int32_t *> carve(memory, &end, q * sizeof(int32_t))
    desk.starts = <int32_t *> carve(memory, &end, (n_lists + 1) * sizeof(int32_t))
    desk.sorted = <int32_t *> carve(memory, &end, q * n_probe * sizeof(int32_t))
    desk.tiles = <unsigned char *> carve(
        memory, &end, TILE_BLOCK // TILE_QUERIES * shelf.n_groups * GROUP * TILE_QUERIES)
    desk.tile_zeros = <int32_t *> carve(memory, &end, TILE_BLOCK * sizeof(int32_t))
    desk.tile_asked = <Asked **> carve(memory, &end, TILE_BLOCK * sizeof(Asked *))
    desk.scale = <float *> carve(memory, &end, BLOCK_ROWS * sizeof(float))
    desk.bias = <float *> carve(memory, &end, BLOCK_ROWS * sizeof(float))
    desk.numbers = <int32_t *> carve(memory, &end, BLOCK_PANELS * sizeof(int32_t))
    desk.block.sums = <int32_t *> carve(
        memory, &end, (TILE_BLOCK + TILE_QUERIES) * BLOCK_ROWS * sizeof(int32_t))
    desk.block.found = <uint32_t *> carve(memory, &end, BLOCK_ROWS * sizeof(uint32_t))
    desk.block.scale, desk.block.bias, desk.block.numbers = desk.scale, desk.bias, desk.numbers
    return end


cdef void seat(const Shelf *shelf, Desk *desk, const int32_t *queries, size_t m) noexcept nogil:
    """Pack up to TILE_BLOCK queries into tiles."""
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


cdef void search_list(const Shelf *shelf, const Chains *chains, Desk *desk, size_t number,
                      const int32_t *queries, size_t m) noexcept nogil:
    """Search one list for m queries."""
    cdef size_t first, seated, left, p, used, j
    cdef int32_t panel
    first = 0
    while first < m:
        seated = min(<size_t> TILE_BLOCK, m - first)
        seat(shelf, desk, queries + first, seated)
        panel, left = chains.heads[number], chains.counts[number]
        while left:
            p = 0
            while left and p < BLOCK_PANELS:
                used = min(<size_t> PANEL_ROWS, left)
                desk.numbers[p] = panel
                memcpy(desk.scale + p * PANEL_ROWS, shelf.scale + <size_t> panel * PANEL_ROWS,
                       PANEL_ROWS * sizeof(float))
                memcpy(desk.bias + p * PANEL_ROWS, shelf.bias + <size_t> panel * PANEL_ROWS,
                       PANEL_ROWS * sizeof(float))
                for j in range(used, <size_t> PANEL_ROWS):  # rows that were added after this search began
                    desk.scale[p * PANEL_ROWS + j], desk.bias[p * PANEL_ROWS + j] = 0, INFINITY
                panel = chains.after[panel]
                left -= used
                p += 1
            desk.block.n_panels = p
            lay(shelf, &desk.block)
            search_block(shelf, &desk.block, desk.tile_asked, seated, desk.tiles, desk.tile_zeros)
        first += seated


cdef void search_sorted(const Shelf *shelf, const Chains *chains, Desk *desk, size_t q, size_t n_probe,
                        size_t lo, size_t hi) noexcept nogil:
    """Search each query's lists [lo, hi), counted from the nearest, list by list."""
    cdef size_t i, j, number
    cdef int64_t near
    cdef int32_t *starts = desk.starts
    memset(starts, 0, (chains.n_lists + 1) * sizeof(int32_t))
    for i in range(q):
        for j in range(lo, hi):
            near = desk.near_ids[i * n_probe + j]
            if near >= 0:
                starts[near] += 1
    for number in range(chains.n_lists):
        starts[number + 1] += starts[number]
    for i in range(q):  # backwards from each end, which leaves the starts
        for j in range(lo, hi):
            near = desk.near_ids[i * n_probe + j]
            if near >= 0:
                starts[near] -= 1
                desk.sorted[starts[near]] = <int32_t> i
    for number in range(chains.n_lists):
        if starts[number + 1] > starts[number]:
            search_list(shelf, chains, desk, number, desk.sorted + starts[number],
                        starts[number + 1] - starts[number])


cdef int find_centres(const Shelf *centres, Desk *desk, const float *queries, size_t q, size_t stride,
                      size_t n_probe, const float *shift) except -1 nogil:
    """Find each query's nearest centres; all of them need no order."""
    cdef size_t i, j
    if n_probe == centres.end:
        for i in range(q):
            for j in range(n_probe):
                desk.near_ids[i * n_probe + j] = j
        return 0
    for i in range(q):
        desk.near[i].scores = desk.near_scores + i * n_probe
        desk.near[i].ids = desk.near_ids + i * n_probe
        desk.near[i].k, desk.near[i].size = n_probe, 0
    search_panels(centres, queries, q, stride, shift, 0,
                  (centres.end + PANEL_ROWS - 1) // PANEL_ROWS, desk.near)
    for i in range(q):
        raudo_topk_finish(&desk.near[i])
    return 0


cdef int search_lists(const Shelf *shelf, const Shelf *centres, const Chains *chains, const float *queries,
                      size_t q, size_t stride, size_t n_probe, const float *shift,
                      const float *centre_shift, raudo_topk *tops) except -1 nogil:
    cdef Desk desk
    cdef void *memory
    cdef size_t i
    cdef int32_t first = 0
    cdef size_t n_bytes = furnish(&desk, NULL, shelf, q, n_probe, chains.n_lists)
    if aligned(n_bytes, &memory) == NULL:
        raise MemoryError()
    furnish(&desk, <unsigned char *> ((<size_t> memory + 63) & ~<size_t> 63), shelf, q, n_probe,
            chains.n_lists)
    try:
        find_centres(centres, &desk, queries, q, stride, n_probe, centre_shift)
        for i in range(q):  # the tile's own place is of no use here
            ask(shelf, queries + i * stride, shift, &tops[i], desk.copies + i * shelf.n_groups * GROUP,
                desk.tiles, &desk.zeros[i], &desk.asked[i])
        if q == 1:
            for i in range(n_probe):
                if desk.near_ids[i] >= 0:
                    search_list(shelf, chains, &desk, desk.near_ids[i], &first, 1)
        else:
            search_sorted(shelf, chains, &desk, q, n_probe, 0, 1)
            search_sorted(shelf, chains, &desk, q, n_probe, 1, n_probe)
    finally:
        free(memory)
    return 0


@cython.final
cdef class Lists:
    """What a search sees of an index: rows by position in lists, and the lists' centres.

    Arrays are those of `raudo.similarity.index._copies` and `_chains`, and are kept.
    """

    cdef readonly Py_ssize_t n_lists
    cdef int kind, form
    cdef size_t row_kernel, centre_kernel
    cdef const unsigned char[:, :, :, ::1] panels, centre_panels
    cdef const float[::1] scale, bias, shift, centre_scale, centre_bias, centre_shift
    cdef const float[:, ::1] spread, rows, centre_spread, centres
    cdef const int64_t[::1] ids
    cdef const int32_t[::1] heads, after, counts

    def __init__(self, copies, rows, ids, chains, centre_copies, centres, size_t row_kernel,
                 size_t centre_kernel):
        self.kind, self.form = copies.kind, copies.metric.form
        self.panels, self.scale, self.bias = copies.panels, copies.scale, copies.bias
        self.spread, self.shift = copies.spread, copies.shift
        self.rows, self.ids = rows, ids
        self.heads, self.after, self.counts = chains.heads, chains.after, chains.counts
        self.centre_panels, self.centre_scale = centre_copies.panels, centre_copies.scale
        self.centre_bias, self.centre_spread = centre_copies.bias, centre_copies.spread
        self.centre_shift, self.centres = centre_copies.shift, centres
        self.row_kernel, self.centre_kernel = row_kernel, centre_kernel
        self.n_lists = len(centres)

    def search(self, const float[:, :] queries not None, Py_ssize_t n_probe, const unsigned char[::1] allowed,
               bint by_position, double[:, ::1] scores not None, int64_t[:, ::1] found not None):
        """Write each query's best scores and ids in its `n_probe` nearest lists, best first.

        `allowed` (None: all) goes by position; `by_position`: write positions instead of ids.
        """
        cdef size_t q = queries.shape[0], k = scores.shape[1], i
        cdef Shelf shelf, centres
        cdef Chains chains
        cdef void *memory
        if q == 0 or k == 0:
            return
        cdef raudo_topk *tops = <raudo_topk *> aligned(q * sizeof(raudo_topk), &memory)
        if tops == NULL:
            raise MemoryError()
        for i in range(q):
            tops[i].scores, tops[i].ids = &scores[i, 0], &found[i, 0]
            tops[i].k, tops[i].size = k, 0
        shelf.kernels = centres.kernels = active_panels()
        shelf.d = centres.d = queries.shape[1]
        shelf.kind, shelf.form = self.kind, self.form
        shelf.n_groups = groups_of(self.kind, shelf.d)
        shelf.panel_bytes = shelf.n_groups * GROUP * PANEL_ROWS
        shelf.panels, shelf.scale, shelf.bias = &self.panels[0, 0, 0, 0], &self.scale[0], &self.bias[0]
        shelf.spread, shelf.end = &self.spread[0, 0], self.ids.shape[0]
        shelf.ids = NULL
        if not by_position:
            shelf.ids = &self.ids[0]
        shelf.allowed = &allowed[0] if allowed is not None else NULL
        shelf.exact = rows_of(active(), self.row_kernel) if self.rows is not None else NULL
        shelf.rows = &self.rows[0, 0] if self.rows is not None else NULL
        shelf.stride = shelf.d
        shelf.exact_sign = -1 if self.form == FORM_INNER else 1
        # Centres are unit vectors but for distances of the plane: then their inner product orders them.
        centres.kind = INT8
        centres.form = FORM_SQEUCLIDEAN if self.form == FORM_SQEUCLIDEAN else FORM_INNER
        centres.n_groups = groups_of(INT8, centres.d)
        centres.panel_bytes = centres.n_groups * GROUP * PANEL_ROWS
        centres.panels = &self.centre_panels[0, 0, 0, 0]
        centres.scale, centres.bias = &self.centre_scale[0], &self.centre_bias[0]
        centres.spread, centres.end = &self.centre_spread[0, 0], self.n_lists
        centres.ids = NULL
        centres.allowed = NULL
        centres.exact = rows_of(active(), self.centre_kernel)
        centres.rows, centres.stride = &self.centres[0, 0], centres.d
        centres.exact_sign = -1 if centres.form == FORM_INNER else 1
        chains.heads, chains.after, chains.counts = &self.heads[0], &self.after[0], &self.counts[0]
        chains.n_lists = self.n_lists
        try:
            with nogil:
                search_lists(&shelf, &centres, &chains, &queries[0, 0], q,
                             queries.strides[0] // sizeof(float), min(n_probe, self.n_lists),
                             &self.shift[0] if self.shift is not None else NULL,
                             &self.centre_shift[0] if self.centre_shift is not None else NULL, tops)
            for i in range(q):
                raudo_topk_finish(&tops[i])
        finally:
            free(memory)


def sum_rows(const float[:, ::1] rows not None, const int64_t[::1] owners not None,
             double[:, ::1] sums not None):
    """Add each row to its owner's sum; owner -1 is nobody."""
    cdef size_t n = rows.shape[0], d = rows.shape[1], i, k
    cdef const float *row
    cdef double *total
    if n == 0 or d == 0:
        return
    with nogil:
        for i in range(n):
            if owners[i] < 0:
                continue
            row, total = &rows[i, 0], &sums[owners[i], 0]
            for k in range(d):
                total[k] += row[k]
