"""Search some of many lists: each query looks into the lists whose centres are nearest to it.

A list is a chain of panels (_core/panels), so that rows are added to it without moving any. A search
measures how far each query is from each centre and looks into its nearest few lists. Then its k-th
best is known, and it looks into each further list whose centre is not farther than that by more than
a margin: an easy query stops early, a hard one goes on, which takes a quarter fewer rows for the same
recall than a number of lists for all. Pairs (list, query) are sorted by list, and each panel is
multiplied once for all queries that look into its list, twelve at a time. Within the lists looked
into the answers are exact.

How far is -cos for inner products and cosines, whose centres are unit vectors, else the euclidean
distance. Arguments are assumed checked; the GIL is released.
"""

cimport cython
from libc.math cimport INFINITY, fmax, sqrt
from libc.stdint cimport int8_t, int32_t, int64_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from raudo._core.kernels cimport FORM_INNER, FORM_SQEUCLIDEAN, active, active_panels, aligned, rows_of
from raudo._core.panels cimport (
    BLOCK_PANELS, BLOCK_ROWS, INT8, TILE_BLOCK, Asked, Block, Shelf, ask, groups_of, lay,
    raudo_topk, raudo_topk_finish, raudo_topk_limit, raudo_topk_push, search_block,
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


cdef struct Reach:  # how many lists are looked into
    size_t n_near          # so many in any case
    double margin          # and those not farther than the k-th best by more; -inf: no others
    double row_norm        # with inner products: the norm of a usual row


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


cdef size_t furnish(Desk *desk, unsigned char *memory, const Shelf *shelf, const Shelf *centres, size_t q,
                    size_t n_near, size_t n_lists) noexcept nogil:
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


cdef void seat(const Shelf *shelf, Desk *desk, const int32_t *queries, size_t m) noexcept nogil:
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


cdef void search_list(const Shelf *shelf, const Chains *chains, Desk *desk, size_t number,
                      const int32_t *queries, size_t m) noexcept nogil:
    """Search one list for m queries."""
    cdef size_t first, seated, left, p, used, j
    cdef int32_t panel
    first = 0
    while first < m:
        seated = min(desk.n_seats, m - first)
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


cdef void search_sorted(const Shelf *shelf, const Chains *chains, Desk *desk, size_t q,
                        const int32_t *chosen, size_t stride, const int32_t *n_chosen, int32_t lo,
                        int32_t hi) noexcept nogil:
    """Search the lists chosen[i * stride + [lo, hi)] of each query i, as far as there are."""
    cdef size_t i, number
    cdef int32_t j, none = 0
    cdef int32_t *starts = desk.starts
    if q == 1:
        for j in range(lo, min(hi, n_chosen[0])):
            search_list(shelf, chains, desk, chosen[j], &none, 1)
        return
    memset(starts, 0, (chains.n_lists + 1) * sizeof(int32_t))
    for i in range(q):
        for j in range(lo, min(hi, n_chosen[i])):
            starts[chosen[i * stride + j]] += 1
    for number in range(chains.n_lists):
        starts[number + 1] += starts[number]
    for i in range(q):  # backwards from each end, which leaves the starts
        for j in range(lo, min(hi, n_chosen[i])):
            number = chosen[i * stride + j]
            starts[number] -= 1
            desk.sorted[starts[number]] = <int32_t> i
    for number in range(chains.n_lists):
        if starts[number + 1] > starts[number]:
            search_list(shelf, chains, desk, number, desk.sorted + starts[number],
                        starts[number + 1] - starts[number])


cdef void measure_centres(const Shelf *centres, Desk *desk, const float *queries, size_t q, size_t stride,
                          const float *shift) noexcept nogil:
    """Write how far each query is from each centre, by the copies of both."""
    cdef size_t first, seated, i, p, j, n_here, tile_bytes = centres.n_groups * GROUP * TILE_QUERIES
    cdef int32_t *sums = desk.block.sums
    cdef Asked *asked
    cdef const float *scale
    cdef const float *bias
    cdef float *far
    cdef float key
    first = 0
    while first < q:
        seated = min(desk.n_seats, q - first)
        for i in range(seated):
            ask(centres, queries + (first + i) * stride, shift, NULL, desk.copies,
                desk.tiles + i // TILE_QUERIES * tile_bytes + i % TILE_QUERIES * GROUP,
                &desk.tile_zeros[i], &desk.asked[i])
        for p in range((centres.end + PANEL_ROWS - 1) // PANEL_ROWS):
            i = 0
            while i < seated:
                centres.kernels.dot_i8(
                    centres.n_groups, min(<size_t> TILE_QUERIES, seated - i),
                    <const int8_t *> (desk.tiles + i // TILE_QUERIES * tile_bytes), desk.tile_zeros + i,
                    centres.panels + p * centres.panel_bytes, sums + i * PANEL_ROWS, PANEL_ROWS)
                i += TILE_QUERIES
            n_here = min(<size_t> PANEL_ROWS, centres.end - p * PANEL_ROWS)
            scale, bias = centres.scale + p * PANEL_ROWS, centres.bias + p * PANEL_ROWS
            for i in range(seated):
                asked = &desk.asked[i]
                far = desk.far + (first + i) * centres.end + p * PANEL_ROWS
                for j in range(n_here):
                    key = bias[j] - asked.scale * scale[j] * <float> sums[i * PANEL_ROWS + j]
                    if centres.form == FORM_SQEUCLIDEAN:
                        far[j] = <float> sqrt(fmax(2 * key + asked.norm * asked.norm, 0))
                    else:
                        far[j] = <float> (key / asked.norm)
        first += seated


cdef void choose_near(Desk *desk, size_t q, size_t n_near, size_t n_lists) noexcept nogil:
    """Choose each query's nearest lists, and leave the others to be chosen further on."""
    cdef raudo_topk *top = &desk.near_top
    cdef float *far
    cdef size_t i, j
    top.scores, top.ids, top.k = desk.near_scores, desk.near_ids, n_near
    for i in range(q):
        far = desk.far + i * n_lists
        top.size = 0
        for j in range(n_lists):
            if not far[j] >= raudo_topk_limit(top):
                raudo_topk_push(top, far[j] if far[j] == far[j] else 0, j)
        raudo_topk_finish(top)
        for j in range(n_near):
            desk.near[i * n_near + j] = <int32_t> desk.near_ids[j]
            far[desk.near_ids[j]] = INFINITY
        desk.n_near[i] = <int32_t> n_near


cdef void choose_further(const Shelf *shelf, Desk *desk, const Reach *reach, size_t q,
                         size_t n_lists) noexcept nogil:
    """Choose the lists that are not too far, now that something is known of the k-th best.

    A query with fewer than k so far looks everywhere, and so does one that cannot be measured.
    """
    cdef const float *far
    cdef int32_t *further
    cdef double most
    cdef size_t i, j
    cdef int32_t n
    for i in range(q):
        most = raudo_topk_limit(desk.asked[i].top)
        if shelf.form == FORM_SQEUCLIDEAN:
            most = sqrt(fmax(most, 0))
        elif shelf.form == FORM_INNER:
            most /= desk.asked[i].norm * reach.row_norm
        else:
            most -= 1
        most += reach.margin
        far, further = desk.far + i * n_lists, desk.further + i * n_lists
        n = 0
        for j in range(n_lists):
            if far[j] != INFINITY and not far[j] > most:
                further[n] = <int32_t> j
                n += 1
        desk.n_further[i] = n


cdef int search_lists(const Shelf *shelf, const Shelf *centres, const Chains *chains, const Reach *reach,
                      const float *queries, size_t q, size_t stride, const float *shift,
                      const float *centre_shift, raudo_topk *tops) except -1 nogil:
    cdef Desk desk
    cdef void *memory
    cdef unsigned char *start
    cdef size_t i, j, n_near = reach.n_near, n_lists = chains.n_lists
    start = <unsigned char *> aligned(furnish(&desk, NULL, shelf, centres, q, n_near, n_lists), &memory)
    if start == NULL:
        raise MemoryError()
    furnish(&desk, start, shelf, centres, q, n_near, n_lists)
    if n_near < n_lists:
        measure_centres(centres, &desk, queries, q, stride, centre_shift)
        choose_near(&desk, q, n_near, n_lists)
    else:
        for i in range(q):
            for j in range(n_near):
                desk.near[i * n_near + j] = <int32_t> j
            desk.n_near[i] = <int32_t> n_near
    for i in range(q):  # the tile's own place is of no use here
        ask(shelf, queries + i * stride, shift, &tops[i], desk.copies + i * shelf.n_groups * GROUP,
            desk.tiles, &desk.zeros[i], &desk.asked[i])
    # The nearest list first: then few rows of the others are measured.
    search_sorted(shelf, chains, &desk, q, desk.near, n_near, desk.n_near, 0, 1)
    search_sorted(shelf, chains, &desk, q, desk.near, n_near, desk.n_near, 1, <int32_t> n_near)
    if n_near < n_lists and reach.margin > -INFINITY:
        choose_further(shelf, &desk, reach, q, n_lists)
        search_sorted(shelf, chains, &desk, q, desk.further, n_lists, desk.n_further, 0,
                      <int32_t> n_lists)
    free(memory)
    return 0


@cython.final
cdef class Lists:
    """What a search sees of an index: rows by position in lists, and the lists' centres.

    Arrays are those of `raudo.similarity.index._copies` and `_chains`, and are kept.
    """

    cdef readonly Py_ssize_t n_lists
    cdef int kind, form
    cdef size_t row_kernel
    cdef double row_norm
    cdef const unsigned char[:, :, :, ::1] panels, centre_panels
    cdef const float[::1] scale, bias, shift, centre_scale, centre_bias, centre_shift
    cdef const float[:, ::1] spread, rows, centre_spread
    cdef const int64_t[::1] ids
    cdef const int32_t[::1] heads, after, counts

    def __init__(self, copies, rows, ids, chains, centre_copies, size_t n_lists,
                 size_t row_kernel, double row_norm):
        self.kind, self.form = copies.kind, copies.metric.form
        self.panels, self.scale, self.bias = copies.panels, copies.scale, copies.bias
        self.spread, self.shift = copies.spread, copies.shift
        self.rows, self.ids = rows, ids
        self.heads, self.after, self.counts = chains.heads, chains.after, chains.counts
        self.centre_panels, self.centre_scale = centre_copies.panels, centre_copies.scale
        self.centre_bias, self.centre_spread = centre_copies.bias, centre_copies.spread
        self.centre_shift = centre_copies.shift
        self.row_kernel, self.row_norm, self.n_lists = row_kernel, row_norm, n_lists

    def search(self, const float[:, :] queries not None, Py_ssize_t n_near, double margin,
               const unsigned char[::1] allowed, bint by_position, double[:, ::1] scores not None,
               int64_t[:, ::1] found not None):
        """Write each query's best scores and ids, best first.

        It looks into its `n_near` nearest lists, and into those whose centre is not farther than its
        k-th best in them by more than `margin`; -inf: into no others.
        `allowed` (None: all) goes by position; `by_position`: write positions instead of ids.
        """
        cdef size_t q = queries.shape[0], k = scores.shape[1], i
        cdef Shelf shelf, centres
        cdef Chains chains
        cdef Reach reach
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
        chains.heads, chains.after, chains.counts = &self.heads[0], &self.after[0], &self.counts[0]
        chains.n_lists = self.n_lists
        reach.n_near, reach.margin, reach.row_norm = min(n_near, self.n_lists), margin, self.row_norm
        try:
            with nogil:
                search_lists(&shelf, &centres, &chains, &reach, &queries[0, 0], q,
                             queries.strides[0] // sizeof(float),
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
