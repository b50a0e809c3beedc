# ---- products that pass over zeros ----------------------------------------------------------------------------
# What ReLU and dropout leave of a layer is half zeros, and so is much of what users give: the black of an image, a
# table's one-hot columns. A term 0 b changes no sum of finite numbers, so that a product may pass over it and give the
# same bits, but for the sign of a zero; where b is not finite, 0 b would be NaN, and is passed over too. Words of 64
# bits say where the numbers of `a` are that are not zero; a row of c stays in registers, up to MOST_VECTORS of them,
# while the rows of b at those places run by. A tile (products.pxi) loads less for each multiply-add, and is as fast or
# faster where most numbers are not zero, or where rows of c are short.

cdef enum:
    WORD = 64               # numbers that a word tells of: a block of the depth
    MOST_WORDS = 8          # words of a row that are DEPTH_BLOCK deep, in float32
    FEWEST_VECTORS = 6      # of a row of c: fewer would wait for each other's sums
    MOST_VECTORS = 13       # and what else a sum takes: 15 of 16 registers
    WELL_FILLED = 9         # vectors from which on a term passed over is a term's time gained

ctypedef struct Places:
    # words (MOST_WORDS, ROW_CHUNK): bit k of words[w * ROW_CHUNK + m] says that a(m, w * step + k) is not zero
    uint64_t words[MOST_WORDS * ROW_CHUNK]

ctypedef struct SumsOfRow:
    vec c0
    vec c1
    vec c2
    vec c3
    vec c4
    vec c5
    vec c6
    vec c7
    vec c8
    vec c9
    vec c10
    vec c11
    vec c12


cdef inline uint64_t places_of(const real* a, Index size) noexcept nogil:
    # a (size,), at most WORD
    """Bit k says that a[k] is not zero."""
    cdef uint64_t word = 0
    cdef Index k = 0
    while k + LANES <= size:
        word |= <uint64_t> nonzero_lanes(load(a + k)) << k
        k += LANES
    if k < size:
        word |= <uint64_t> nonzero_lanes(load_first(a + k, size - k)) << k
    return word


cdef void turn_over(uint64_t* words) noexcept nogil:
    # words (WORD,)
    """A square of bits, turned over: bit k of word m becomes bit m of word k (J. O. Eklundh, 1972)."""
    cdef uint64_t low = 0x00000000FFFFFFFF, crossed
    cdef Index distance = WORD // 2, k
    while distance:
        k = 0
        while k < WORD:
            crossed = ((words[k] >> distance) ^ words[k | distance]) & low
            words[k] ^= crossed << distance
            words[k | distance] ^= crossed
            k = ((k | distance) + 1) & ~distance
        distance //= 2
        low ^= low << distance


cdef inline Index word_depth(Index depth) noexcept nogil:
    """How much of the depth a word tells of where the depth is cut evenly."""
    return fair_share(depth, WORD)


cdef Index find_places(Places* places, const real* a, Index a_row, Index rows, Index depth) noexcept nogil:
    # a (rows, depth), rows `a_row` apart
    """Where a is not zero; returns at how many places."""
    cdef Index found = 0, m, k = 0, step = word_depth(depth)
    cdef uint64_t* words = places.words
    while k < depth:
        for m in range(rows):
            words[m] = places_of(a + m * a_row + k, min(step, depth - k))
            found += count_bits(words[m])
        words += ROW_CHUNK
        k += step
    return found


cdef Index find_places_of_columns(
    Places* places, const real* a, Index a_depth, Index rows, Index depth,
) noexcept nogil:
    # a (depth, rows), `a_depth` from one row of the depth to the next
    """The same where the depth runs down the columns of what lies in memory."""
    cdef Index found = 0, m, k = 0, i, count, deep, step = word_depth(depth)
    cdef uint64_t square[WORD]
    cdef uint64_t* words = places.words
    while k < depth:
        deep = min(step, depth - k)
        m = 0
        while m < rows:
            count = min(WORD, rows - m)
            for i in range(deep):
                square[i] = places_of(a + (k + i) * a_depth + m, count)
                found += count_bits(square[i])
            memset(square + deep, 0, (WORD - deep) * sizeof(uint64_t))
            turn_over(square)
            memcpy(words + m, square, count * sizeof(uint64_t))
            m += WORD
        words += ROW_CHUNK
        k += step
    return found


cdef inline Index skipping_vectors(Index columns) noexcept nogil:
    """How many vectors the first, and longest, panel of so many columns has."""
    return fair_share(rounded_up(columns, LANES) // LANES, MOST_VECTORS)


cdef inline bint may_skip(Index columns) noexcept nogil:
    """Whether rows of c are long enough to look for zeros."""
    return skipping_vectors(columns) >= FEWEST_VECTORS


cdef inline bint are_few(Index found, Index rows, Index depth, Index columns) noexcept nogil:
    """Whether so few places of a (rows, depth) are not zero that passing over the others is faster."""
    return found * MOST_VECTORS < rows * depth * min(skipping_vectors(columns), WELL_FILLED)


cdef inline void load_sums(SumsOfRow* r, const real* p, Index last, const int vectors) noexcept nogil:
    r.c0 = load(p)
    if vectors > 1: r.c1 = load_lanes(p + LANES, last if vectors == 2 else LANES)
    if vectors > 2: r.c2 = load_lanes(p + 2 * LANES, last if vectors == 3 else LANES)
    if vectors > 3: r.c3 = load_lanes(p + 3 * LANES, last if vectors == 4 else LANES)
    if vectors > 4: r.c4 = load_lanes(p + 4 * LANES, last if vectors == 5 else LANES)
    if vectors > 5: r.c5 = load_lanes(p + 5 * LANES, last if vectors == 6 else LANES)
    if vectors > 6: r.c6 = load_lanes(p + 6 * LANES, last if vectors == 7 else LANES)
    if vectors > 7: r.c7 = load_lanes(p + 7 * LANES, last if vectors == 8 else LANES)
    if vectors > 8: r.c8 = load_lanes(p + 8 * LANES, last if vectors == 9 else LANES)
    if vectors > 9: r.c9 = load_lanes(p + 9 * LANES, last if vectors == 10 else LANES)
    if vectors > 10: r.c10 = load_lanes(p + 10 * LANES, last if vectors == 11 else LANES)
    if vectors > 11: r.c11 = load_lanes(p + 11 * LANES, last if vectors == 12 else LANES)
    if vectors > 12: r.c12 = load_lanes(p + 12 * LANES, last)


cdef inline void store_sums(real* p, const SumsOfRow* r, Index last, const int vectors) noexcept nogil:
    store(p, r.c0)
    if vectors > 1: store_lanes(p + LANES, r.c1, last if vectors == 2 else LANES)
    if vectors > 2: store_lanes(p + 2 * LANES, r.c2, last if vectors == 3 else LANES)
    if vectors > 3: store_lanes(p + 3 * LANES, r.c3, last if vectors == 4 else LANES)
    if vectors > 4: store_lanes(p + 4 * LANES, r.c4, last if vectors == 5 else LANES)
    if vectors > 5: store_lanes(p + 5 * LANES, r.c5, last if vectors == 6 else LANES)
    if vectors > 6: store_lanes(p + 6 * LANES, r.c6, last if vectors == 7 else LANES)
    if vectors > 7: store_lanes(p + 7 * LANES, r.c7, last if vectors == 8 else LANES)
    if vectors > 8: store_lanes(p + 8 * LANES, r.c8, last if vectors == 9 else LANES)
    if vectors > 9: store_lanes(p + 9 * LANES, r.c9, last if vectors == 10 else LANES)
    if vectors > 10: store_lanes(p + 10 * LANES, r.c10, last if vectors == 11 else LANES)
    if vectors > 11: store_lanes(p + 11 * LANES, r.c11, last if vectors == 12 else LANES)
    if vectors > 12: store_lanes(p + 12 * LANES, r.c12, last)


cdef inline void skipping_row(
    real* c, const real* start, Index start_last, const real* a, Index a_depth, const real* b, Index b_depth,
    uint64_t places, Index last, const int vectors,
) noexcept nogil:
    # c, start (vectors * LANES,) but for the last vector, of which only `last` and `start_last` lanes are theirs;
    # b (WORD, vectors * LANES)
    """c = start + Σ_k a_k b_k over the places k; start NULL: 0."""
    cdef SumsOfRow r
    cdef const real* row
    cdef vec factor
    cdef Index k
    if start == NULL:
        r.c0 = r.c1 = r.c2 = r.c3 = r.c4 = r.c5 = r.c6 = r.c7 = r.c8 = r.c9 = r.c10 = r.c11 = r.c12 = ZERO
    else:
        load_sums(&r, start, start_last, vectors)
    while places:
        k = lowest_bit(places)
        places &= places - 1
        factor = splat(a[k * a_depth])
        row = b + k * b_depth
        r.c0 += factor * load(row)
        if vectors > 1: r.c1 += factor * load(row + LANES)
        if vectors > 2: r.c2 += factor * load(row + 2 * LANES)
        if vectors > 3: r.c3 += factor * load(row + 3 * LANES)
        if vectors > 4: r.c4 += factor * load(row + 4 * LANES)
        if vectors > 5: r.c5 += factor * load(row + 5 * LANES)
        if vectors > 6: r.c6 += factor * load(row + 6 * LANES)
        if vectors > 7: r.c7 += factor * load(row + 7 * LANES)
        if vectors > 8: r.c8 += factor * load(row + 8 * LANES)
        if vectors > 9: r.c9 += factor * load(row + 9 * LANES)
        if vectors > 10: r.c10 += factor * load(row + 10 * LANES)
        if vectors > 11: r.c11 += factor * load(row + 11 * LANES)
        if vectors > 12: r.c12 += factor * load(row + 12 * LANES)
    store_sums(c, &r, last, vectors)


cdef inline void skipping_rows_as(
    Panel* panel, const real* a, Index a_row, Index a_depth, const real* b, Index b_depth, const uint64_t* words,
    Index rows, const int vectors,
) noexcept nogil:
    cdef Index m
    cdef real* c
    for m in range(rows):
        c = panel.c + m * panel.c_stride
        if panel.start == FROM_COLUMN_BIAS:
            skipping_row(c, panel.bias, LANES, a + m * a_row, a_depth, b, b_depth, words[m], panel.last, vectors)
        else:
            skipping_row(c, c if panel.start == FROM_C else NULL, panel.last, a + m * a_row, a_depth, b, b_depth,
                         words[m], panel.last, vectors)


cdef void skipping_rows(
    Panel* panel, const real* a, Index a_row, Index a_depth, const real* b, Index b_depth, const uint64_t* words,
    Index rows,
) noexcept nogil:
    # panel.c (rows, panel.vectors * LANES), a (rows, WORD) with any strides, b (WORD, panel.vectors * LANES)
    """c = start + a b over a block of the depth and the places that the words name; the vectors made a constant."""
    cdef int vectors = panel.vectors
    if vectors == 13: skipping_rows_as(panel, a, a_row, a_depth, b, b_depth, words, rows, 13)
    elif vectors == 12: skipping_rows_as(panel, a, a_row, a_depth, b, b_depth, words, rows, 12)
    elif vectors == 11: skipping_rows_as(panel, a, a_row, a_depth, b, b_depth, words, rows, 11)
    elif vectors == 10: skipping_rows_as(panel, a, a_row, a_depth, b, b_depth, words, rows, 10)
    elif vectors == 9: skipping_rows_as(panel, a, a_row, a_depth, b, b_depth, words, rows, 9)
    elif vectors == 8: skipping_rows_as(panel, a, a_row, a_depth, b, b_depth, words, rows, 8)
    elif vectors == 7: skipping_rows_as(panel, a, a_row, a_depth, b, b_depth, words, rows, 7)
    else: skipping_rows_as(panel, a, a_row, a_depth, b, b_depth, words, rows, 6)


cdef void skipping_forward(
    real* y, Index y_stride, const real* x, Index x_stride, const real* w, const real* b, const Finish* finish,
    real* packed, const Places* places, Index rows, Index depth, Index outputs, bint first, bint last, bint padded,
    Index place,
) noexcept nogil:
    # y (rows, outputs), x (rows, depth), w (depth, outputs), b (outputs,) or NULL
    """y = x w + b, or added to y, over a block of the depth; finished where it is the last."""
    cdef Index k, n = 0, columns, width, deep, step = word_depth(depth)
    cdef Panel panel
    while n < outputs:
        columns = panel_columns(outputs - n, MOST_VECTORS)
        width = rounded_up(columns, LANES)
        panel = panel_at(y + n, y_stride, columns, padded)
        k = 0
        while k < depth:
            deep = min(step, depth - k)
            pack(packed, w + k * outputs + n, outputs, deep, columns, width)
            panel.start = FROM_C if k > 0 or not first else FROM_ZERO
            if panel.start == FROM_ZERO and b != NULL:
                panel.start = FROM_COLUMN_BIAS
                panel.bias = packed + WORD * width
                pack(packed + WORD * width, b + n, 0, 1, columns, width)
            skipping_rows(&panel, x + k, x_stride, 1, packed, width, places.words + k // step * ROW_CHUNK, rows)
            k += step
        if last:
            finish_rows(y + n, rows, y_stride, width if padded else columns, finish, place + n)
        n += columns


cdef void skipping_backward_inputs(
    real* dx, Index dx_stride, const real* dy, Index dy_stride, const real* w, const real* x, Index x_stride,
    int activation, real* packed, const Places* places, Index rows, Index depth, Index inputs, Index outputs,
    bint first, bint last, bint padded,
) noexcept nogil:
    # dx (rows, inputs), dy (rows, depth), w (inputs, depth) of rows `outputs` long, x (rows, inputs)
    """dx = dy wᵀ, or added to dx, over a block of the depth; dx = dx f'(z) where it is the last."""
    cdef Index k, n = 0, columns, width, deep, step = word_depth(depth)
    cdef Panel panel
    while n < inputs:
        columns = panel_columns(inputs - n, MOST_VECTORS)
        width = rounded_up(columns, LANES)
        panel = panel_at(dx + n, dx_stride, columns, padded)
        k = 0
        while k < depth:
            deep = min(step, depth - k)
            pack_transposed(packed, w + n * outputs + k, outputs, deep, columns, width)
            panel.start = FROM_C if k > 0 or not first else FROM_ZERO
            skipping_rows(&panel, dy + k, dy_stride, 1, packed, width, places.words + k // step * ROW_CHUNK, rows)
            k += step
        if last:
            multiply_by_slope(dx + n, dx_stride, x + n, x_stride, rows, columns, activation)
        n += columns


cdef void skipping_backward_weights(
    real* dw, const real* x, Index x_stride, const real* dy, Index dy_stride, real* packed,
    const Places* places, Index inputs, Index depth, Index outputs, bint first,
) noexcept nogil:
    # dw (inputs, outputs), x (depth, inputs), dy (depth, outputs)
    """dw = xᵀ dy, or added to it, over a block of the depth."""
    cdef Index k, n = 0, columns, width, deep, step = word_depth(depth)
    cdef const real* b
    cdef Panel panel
    while n < outputs:
        columns = panel_columns(outputs - n, MOST_VECTORS)
        panel = panel_at(dw + n, outputs, columns, False)
        k = 0
        while k < depth:
            deep = min(step, depth - k)
            b, width = dy + k * dy_stride + n, dy_stride
            if packed != NULL:
                width = rounded_up(columns, LANES)
                pack(packed, b, dy_stride, deep, columns, width)
                b = packed
            panel.start = FROM_C if k > 0 or not first else FROM_ZERO
            skipping_rows(&panel, x + k * x_stride, 1, x_stride, b, width, places.words + k // step * ROW_CHUNK,
                          inputs)
            k += step
        n += columns
