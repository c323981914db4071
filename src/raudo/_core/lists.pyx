"""Search some of many lists: each query looks into the lists whose centres are nearest to it.

A list is a chain of panels (_core/panels), so that rows are added to it without moving any. A search
measures how far each query is from each centre and looks into its nearest few lists. Then its k-th
best is known, and it looks into each further list whose centre is not farther than that by more than
a margin: an easy query stops early, a hard one goes on, which takes a quarter fewer rows for the same
recall than a number of lists for all. Pairs (list, query) are sorted by list.

The nearest lists are searched by copies: each panel is multiplied once for all queries that look into
its list, twelve at a time, and answers are exact. The further ones, of which few rows are matches, are
sifted by sketches (_core/sketches) where there are any: a row is measured unless its sketch says that
it is probably farther than the k-th best of the nearest lists. That limit stays what it was, so that
answers depend neither on the order of lists nor on the other queries.

How far is -cos for inner products and cosines, whose centres are unit vectors, else the euclidean
distance. Arguments are assumed checked; the GIL is released.
"""

cimport cython
from libc.math cimport INFINITY, fmax, sqrt
from libc.stdint cimport int8_t, int32_t, int64_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from raudo._core.desk cimport GROUP, PANEL_ROWS, TILE_QUERIES, WAITING, Desk, Waiting, furnish, seat
from raudo._core.kernels cimport FORM_INNER, FORM_SQEUCLIDEAN, active, active_panels, aligned, rows_of
from raudo._core.panels cimport BLOCK_PANELS, INT8, Asked, Shelf, ask, groups_of, lay, search_block
from raudo._core.sketches cimport (
    RAUDO_SKETCH_ROWS, Sketches, ask_list, sketch_kernels, table_bytes, take_stance, width_of,
)
from raudo._core.topk cimport (
    raudo_topk, raudo_topk_finish, raudo_topk_limit, raudo_topk_push, topk_finish_rows, topk_of_rows,
)


cdef extern from * nogil:
    void prefetch "__builtin_prefetch"(const void *)
    int lowest_bit "__builtin_ctz"(uint32_t)


cdef enum:
    FIRST_FURTHER = 16     # lists that are sifted before the k-th best is looked up again


cdef struct Chains:  # the lists; only their first `counts` places are searched
    const int32_t *heads   # by list: its first panel
    const int32_t *after   # by panel: the next one of its list
    const int32_t *counts  # by list
    size_t n_lists


cdef struct Reach:  # how many lists are looked into
    size_t n_near          # so many in any case
    double margin          # and those not farther than the k-th best by more; -inf: no others
    double row_norm        # with inner products: the norm of a usual row


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


cdef void measure_waiting(const Shelf *shelf, const Waiting *row) noexcept nogil:
    cdef float value
    shelf.exact(row.asked.row, shelf.rows + row.position * shelf.stride, 1, shelf.stride, shelf.d, &value)
    raudo_topk_push(row.asked.top, shelf.exact_sign * value,
                    shelf.ids[row.position] if shelf.ids != NULL else <int64_t> row.position)


cdef void let_wait(const Shelf *shelf, Desk *desk, Asked *asked, size_t position) noexcept nogil:
    """Measure a row when it has come from memory, unless it may not be found."""
    cdef Waiting *row = &desk.waiting[desk.n_waited % WAITING]
    cdef const char *memory = <const char *> (shelf.rows + position * shelf.stride)
    cdef size_t byte = 0
    if shelf.bias[position] == INFINITY or (shelf.allowed != NULL and not shelf.allowed[position]):
        return
    while byte < min(shelf.d * sizeof(float), <size_t> 1024):
        prefetch(memory + byte)
        byte += 64
    if desk.n_waited >= WAITING:
        measure_waiting(shelf, row)
    row.asked, row.position = asked, position
    desk.n_waited += 1


cdef void measure_all_waiting(const Shelf *shelf, Desk *desk) noexcept nogil:
    cdef size_t i
    for i in range(min(desk.n_waited, <size_t> WAITING)):
        measure_waiting(shelf, &desk.waiting[i])
    desk.n_waited = 0


cdef void sift_list(const Shelf *shelf, const Sketches *sketches, const Shelf *centres, const Chains *chains,
                    Desk *desk, size_t number, const int32_t *queries, size_t m) noexcept nogil:
    """Search one list for m queries by its sketches."""
    cdef size_t i, first, left = chains.counts[number], query
    cdef int32_t panel = chains.heads[number]
    cdef uint32_t found, taken
    cdef float far
    for i in range(m):
        query = queries[i]
        # Copies of centres choose lists, but say too little where centres lie far from the origin.
        centres.exact(desk.asked[query].row, centres.rows + number * centres.stride, 1, centres.stride,
                      centres.d, &far)
        ask_list(sketches, &desk.stances[query], far, desk.limits[query], &desk.questions[i])
    while left:
        first = <size_t> panel * PANEL_ROWS
        taken = <uint32_t> 0xffffffff >> (PANEL_ROWS - min(left, <size_t> PANEL_ROWS))
        for i in range(m):
            found = taken & sketches.kernels.sift(
                sketches.n_bytes, sketches.codes + <size_t> panel * sketches.n_bytes * RAUDO_SKETCH_ROWS,
                sketches.along + first, sketches.across + first, &desk.questions[i])
            while found:
                let_wait(shelf, desk, &desk.asked[queries[i]], first + lowest_bit(found))
                found &= found - 1
        left -= min(left, <size_t> PANEL_ROWS)
        panel = chains.after[panel]


cdef void search_or_sift(const Shelf *shelf, const Sketches *sketches, const Shelf *centres,
                         const Chains *chains, Desk *desk, size_t number, const int32_t *queries,
                         size_t m) noexcept nogil:
    if sketches == NULL:
        search_list(shelf, chains, desk, number, queries, m)
    else:
        sift_list(shelf, sketches, centres, chains, desk, number, queries, m)


cdef void search_sorted(const Shelf *shelf, const Sketches *sketches, const Shelf *centres,
                        const Chains *chains, Desk *desk, size_t q, const int32_t *chosen, size_t stride,
                        const int32_t *n_chosen, int32_t lo, int32_t hi) noexcept nogil:
    """Search the lists chosen[i * stride + [lo, hi)] of each query i, as far as there are.

    By their copies, where `sketches` is NULL.
    """
    cdef size_t i, number
    cdef int32_t j, none = 0
    cdef int32_t *starts = desk.starts
    if q == 1:
        for j in range(lo, min(hi, n_chosen[0])):
            search_or_sift(shelf, sketches, centres, chains, desk, chosen[j], &none, 1)
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
            search_or_sift(shelf, sketches, centres, chains, desk, number,
                           desk.sorted + starts[number], starts[number + 1] - starts[number])


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


cdef void bring_forward(int32_t *chosen, size_t n, size_t n_first, const float *far) noexcept nogil:
    """Bring the `n_first` nearest of n lists to the front (Hoare's selection)."""
    cdef size_t lo = 0, hi = n, i, j
    cdef float pivot
    while hi - lo > 1 and lo < n_first and n_first < hi:
        pivot = far[chosen[(lo + hi - 1) // 2]]
        i, j = lo, hi - 1
        while True:
            while far[chosen[i]] < pivot:
                i += 1
            while far[chosen[j]] > pivot:
                j -= 1
            if i >= j:
                break
            chosen[i], chosen[j] = chosen[j], chosen[i]
            i += 1
            j -= 1
        # [lo, j] are not farther than the pivot, [j + 1, hi) not nearer.
        if n_first <= j + 1:
            hi = j + 1
        else:
            lo = j + 1


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


cdef int search_lists(const Shelf *shelf, const Sketches *sketches, const Shelf *centres,
                      const Chains *chains, const Reach *reach, const float *queries, size_t q,
                      size_t stride, const float *shift,
                      const float *centre_shift, raudo_topk *tops) except -1 nogil:
    cdef Desk desk
    cdef void *memory
    cdef unsigned char *start
    cdef size_t i, j, first, end, n_near = reach.n_near, n_lists = chains.n_lists
    desk.n_waited = 0
    start = <unsigned char *> aligned(furnish(&desk, NULL, shelf, centres, q, n_near, n_lists, sketches), &memory)
    if start == NULL:
        raise MemoryError()
    furnish(&desk, start, shelf, centres, q, n_near, n_lists, sketches)
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
    search_sorted(shelf, NULL, centres, chains, &desk, q, desk.near, n_near, desk.n_near, 0, 1)
    search_sorted(shelf, NULL, centres, chains, &desk, q, desk.near, n_near, desk.n_near, 1,
                  <int32_t> n_near)
    if n_near < n_lists and reach.margin > -INFINITY:
        choose_further(shelf, &desk, reach, q, n_lists)
        if sketches != NULL:
            for i in range(q):
                desk.stances[i].table = desk.tables + i * table_bytes(shelf.d)
                take_stance(sketches, queries + i * stride, centre_shift, shelf.d, desk.scratch,
                            &desk.stances[i])
        first, end = 0, FIRST_FURTHER if sketches != NULL else n_lists
        while first < n_lists:
            for i in range(q):
                if end < <size_t> desk.n_further[i]:
                    bring_forward(desk.further + i * n_lists + first, desk.n_further[i] - first, end - first,
                                  desk.far + i * n_lists)
                desk.limits[i] = raudo_topk_limit(desk.asked[i].top)
            search_sorted(shelf, sketches, centres, chains, &desk, q, desk.further, n_lists,
                          desk.n_further, <int32_t> first, <int32_t> min(end, n_lists))
            measure_all_waiting(shelf, &desk)
            first, end = end, 4 * end
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
    cdef double row_norm
    cdef const unsigned char[:, :, :, ::1] panels, centre_panels
    cdef const float[::1] scale, bias, shift, centre_scale, centre_bias, centre_shift
    cdef const float[:, ::1] spread, rows, centres, centre_spread
    cdef const int64_t[::1] ids
    cdef const int32_t[::1] heads, after, counts
    cdef const unsigned char[:, :, ::1] codes
    cdef const float[::1] along, across

    def __init__(self, copies, sketches, rows, ids, chains, centres, centre_copies,
                 size_t row_kernel, size_t centre_kernel, double row_norm):
        self.kind, self.form = copies.kind, copies.metric.form
        self.panels, self.scale, self.bias = copies.panels, copies.scale, copies.bias
        self.spread, self.shift = copies.spread, copies.shift
        self.rows, self.ids = rows, ids
        self.heads, self.after, self.counts = chains.heads, chains.after, chains.counts
        self.centre_panels, self.centre_scale = centre_copies.panels, centre_copies.scale
        self.centre_bias, self.centre_spread = centre_copies.bias, centre_copies.spread
        self.centre_shift = centre_copies.shift
        self.row_kernel, self.centre_kernel, self.row_norm = row_kernel, centre_kernel, row_norm
        self.centres, self.n_lists = centres, len(centres)
        self.codes = None  # until then it is neither None nor an array
        if sketches is not None:
            self.codes, self.along, self.across = sketches.codes, sketches.along, sketches.across

    def search(self, const float[:, :] queries not None, Py_ssize_t n_near, double margin,
               const unsigned char[::1] allowed, bint by_position, double[:, ::1] scores not None,
               int64_t[:, ::1] found not None):
        """Write each query's best scores and ids, best first.

        It looks into its `n_near` nearest lists, and into those whose centre is not farther than its
        k-th best in them by more than `margin`; -inf: into no others.
        `allowed` (None: all) goes by position; `by_position`: write positions instead of ids.
        """
        cdef size_t q = queries.shape[0]
        cdef Shelf shelf, centres
        cdef Sketches sketches
        cdef const Sketches *has_sketches = NULL
        cdef Chains chains
        cdef Reach reach
        if q == 0 or scores.shape[1] == 0:
            return
        cdef raudo_topk *tops = topk_of_rows(scores, found)
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
        centres.exact = rows_of(active(), self.centre_kernel)
        centres.rows, centres.stride = &self.centres[0, 0], centres.d
        chains.heads, chains.after, chains.counts = &self.heads[0], &self.after[0], &self.counts[0]
        chains.n_lists = self.n_lists
        reach.n_near, reach.margin, reach.row_norm = min(n_near, self.n_lists), margin, self.row_norm
        if self.codes is not None:
            has_sketches = &sketches
            sketches.kernels, sketches.form = sketch_kernels(), self.form
            sketches.width = width_of(shelf.d)
            sketches.n_bytes = sketches.width // 8
            sketches.codes, sketches.along = &self.codes[0, 0, 0], &self.along[0]
            sketches.across = &self.across[0]
        try:
            with nogil:
                search_lists(&shelf, has_sketches, &centres, &chains, &reach, &queries[0, 0], q,
                             queries.strides[0] // sizeof(float),
                             &self.shift[0] if self.shift is not None else NULL,
                             &self.centre_shift[0] if self.centre_shift is not None else NULL, tops)
            topk_finish_rows(tops, q)
        finally:
            free(tops)


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
