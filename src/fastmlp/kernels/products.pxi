# ---- products -------------------------------------------------------------------------------------------------
# (A) One register tile serves every product: `height` rows by `width` vectors of c stay in registers while the
#     depth runs by. A row's operand is one number, which stands in all lanes (outer form), or a vector, when the
#     depth itself lies along the lanes (inner form). height and width are constants wherever tile() is inlined.
# (B) panel() walks the tiles of a few columns; the three products of a layer name their operands and walk the
#     panels, in blocks of the depth that the first-level caches hold.
# (C) An element is the same chain of multiply-adds, in order of the depth, whatever tile it falls in: how the rows
#     are cut, and so the number of threads, never changes a bit.

cdef enum:
    FROM_ZERO = 0           # c = a b
    FROM_C = 1              # c += a b
    FROM_COLUMN_BIAS = 2    # c = a b + bias, one bias a column: outputs along the lanes
    FROM_ROW_BIAS = 3       # c = a b + bias, one bias a row: samples along the lanes
    ROW_CHUNK = 256         # rows whose operand, DEPTH_BLOCK deep, half fills a second-level cache of 1 MB
    PACK_REALS = 520 * 64   # holds the largest packed block of all builds, and its biases
    MOST_CLAIMS = 3
    ROWS_FETCHED = 8        # rows of a block that are asked for before they are packed: no hardware foresees their ends

ctypedef struct TileRow:
    vec c0
    vec c1
    vec c2

ctypedef struct Claims:
    # where lies what is written once a tile of c is done: in matrices as large as c, at the tile's own place
    int count
    const real* at[MOST_CLAIMS]

ctypedef struct Panel:
    # c (rows, vectors * LANES): where it is, how it starts, how many lanes of its last vector are its own
    real* c
    Index c_stride
    const real* bias
    int start
    int vectors
    Index last
    Claims claims
    # what becomes of c when the sum is done, so that relu and its slope take no pass of their own
    bint rectifies          # c = max(0, c)
    const real* gate        # c = c relu'(z), from h = relu(z), laid out as c; NULL: not
    Index gate_stride


cdef inline void multiply_add(TileRow* row, vec a, vec b0, vec b1, vec b2, const int width) noexcept nogil:
    row.c0 += a * b0
    if width > 1:
        row.c1 += a * b1
    if width > 2:
        row.c2 += a * b2


cdef inline void load_row(TileRow* row, const real* p, Index last, const int width) noexcept nogil:
    row.c0 = load_lanes(p, last) if width == 1 else load(p)
    if width == 2:
        row.c1 = load_lanes(p + LANES, last)
    if width > 2:
        row.c1 = load(p + LANES)
        row.c2 = load_lanes(p + 2 * LANES, last)


cdef inline void store_row(TileRow* row, real* p, Index last, const int width) noexcept nogil:
    if width == 1:
        store_lanes(p, row.c0, last)
    else:
        store(p, row.c0)
    if width == 2:
        store_lanes(p + LANES, row.c1, last)
    if width > 2:
        store(p + LANES, row.c1)
        store_lanes(p + 2 * LANES, row.c2, last)


cdef inline void load_tile(
    TileRow* r0, TileRow* r1, TileRow* r2, TileRow* r3,
    TileRow* r4, TileRow* r5, TileRow* r6, TileRow* r7,
    const real* c, Index c_stride, Index last, const int height, const int width,
) noexcept nogil:
    load_row(r0, c, last, width)
    if height > 1: load_row(r1, c + c_stride, last, width)
    if height > 2: load_row(r2, c + 2 * c_stride, last, width)
    if height > 3: load_row(r3, c + 3 * c_stride, last, width)
    if height > 4: load_row(r4, c + 4 * c_stride, last, width)
    if height > 5: load_row(r5, c + 5 * c_stride, last, width)
    if height > 6: load_row(r6, c + 6 * c_stride, last, width)
    if height > 7: load_row(r7, c + 7 * c_stride, last, width)


cdef inline void store_tile(
    TileRow* r0, TileRow* r1, TileRow* r2, TileRow* r3,
    TileRow* r4, TileRow* r5, TileRow* r6, TileRow* r7,
    real* c, Index c_stride, Index last, const int height, const int width,
) noexcept nogil:
    store_row(r0, c, last, width)
    if height > 1: store_row(r1, c + c_stride, last, width)
    if height > 2: store_row(r2, c + 2 * c_stride, last, width)
    if height > 3: store_row(r3, c + 3 * c_stride, last, width)
    if height > 4: store_row(r4, c + 4 * c_stride, last, width)
    if height > 5: store_row(r5, c + 5 * c_stride, last, width)
    if height > 6: store_row(r6, c + 6 * c_stride, last, width)
    if height > 7: store_row(r7, c + 7 * c_stride, last, width)


cdef inline void rectify_row(TileRow* row, const int width) noexcept nogil:
    row.c0 = activate_vector(row.c0, RELU)
    if width > 1: row.c1 = activate_vector(row.c1, RELU)
    if width > 2: row.c2 = activate_vector(row.c2, RELU)


cdef inline void gate_row(TileRow* row, const real* h, Index last, const int width) noexcept nogil:
    cdef TileRow open
    load_row(&open, h, last, width)
    row.c0 = row.c0 * slope_vector(open.c0, RELU)
    if width > 1: row.c1 = row.c1 * slope_vector(open.c1, RELU)
    if width > 2: row.c2 = row.c2 * slope_vector(open.c2, RELU)


cdef inline void finish_tile(
    TileRow* r0, TileRow* r1, TileRow* r2, TileRow* r3,
    TileRow* r4, TileRow* r5, TileRow* r6, TileRow* r7,
    const Panel* panel, Index m, const int height, const int width,
) noexcept nogil:
    # a tile of panel rows m...
    cdef const real* h
    cdef Index stride = panel.gate_stride, last = panel.last
    if panel.rectifies:
        rectify_row(r0, width)
        if height > 1: rectify_row(r1, width)
        if height > 2: rectify_row(r2, width)
        if height > 3: rectify_row(r3, width)
        if height > 4: rectify_row(r4, width)
        if height > 5: rectify_row(r5, width)
        if height > 6: rectify_row(r6, width)
        if height > 7: rectify_row(r7, width)
    if panel.gate != NULL:
        h = panel.gate + m * stride
        gate_row(r0, h, last, width)
        if height > 1: gate_row(r1, h + stride, last, width)
        if height > 2: gate_row(r2, h + 2 * stride, last, width)
        if height > 3: gate_row(r3, h + 3 * stride, last, width)
        if height > 4: gate_row(r4, h + 4 * stride, last, width)
        if height > 5: gate_row(r5, h + 5 * stride, last, width)
        if height > 6: gate_row(r6, h + 6 * stride, last, width)
        if height > 7: gate_row(r7, h + 7 * stride, last, width)


cdef inline void outer_tile(
    Panel* panel, Index m, const real* a, Index a_row, Index a_depth, const real* b, Index b_depth, Index depth,
    const int height, const int width,
) noexcept nogil:
    # c (height, width * LANES) of panel rows m...; a(row, k) = a[row * a_row + k * a_depth]; b (depth, width * LANES)
    """c = start + a b, one tile."""
    cdef TileRow r0, r1, r2, r3, r4, r5, r6, r7
    cdef vec b0, b1 = ZERO, b2 = ZERO
    cdef Index k
    cdef real* c = panel.c + m * panel.c_stride
    r0.c0 = r0.c1 = r0.c2 = ZERO
    if panel.start == FROM_COLUMN_BIAS:
        load_row(&r0, panel.bias, panel.last, width)
    r1 = r2 = r3 = r4 = r5 = r6 = r7 = r0
    # Whole tiles and the last lanes of a row stand apart, so that a short depth pays for one question, not eight.
    if panel.start == FROM_C and panel.last == LANES:
        load_tile(&r0, &r1, &r2, &r3, &r4, &r5, &r6, &r7,
                  c, panel.c_stride, LANES, height, width)
    elif panel.start == FROM_C:
        load_tile(&r0, &r1, &r2, &r3, &r4, &r5, &r6, &r7,
                  c, panel.c_stride, panel.last, height, width)
    elif panel.start == FROM_ROW_BIAS:
        r0.c0 = r0.c1 = r0.c2 = splat(panel.bias[m])
        if height > 1: r1.c0 = r1.c1 = r1.c2 = splat(panel.bias[m + 1])
        if height > 2: r2.c0 = r2.c1 = r2.c2 = splat(panel.bias[m + 2])
        if height > 3: r3.c0 = r3.c1 = r3.c2 = splat(panel.bias[m + 3])
        if height > 4: r4.c0 = r4.c1 = r4.c2 = splat(panel.bias[m + 4])
        if height > 5: r5.c0 = r5.c1 = r5.c2 = splat(panel.bias[m + 5])
        if height > 6: r6.c0 = r6.c1 = r6.c2 = splat(panel.bias[m + 6])
        if height > 7: r7.c0 = r7.c1 = r7.c2 = splat(panel.bias[m + 7])
    for k in range(depth):
        b0 = load(b)
        if width > 1: b1 = load(b + LANES)
        if width > 2: b2 = load(b + 2 * LANES)
        multiply_add(&r0, splat(a[0]), b0, b1, b2, width)
        if height > 1: multiply_add(&r1, splat(a[a_row]), b0, b1, b2, width)
        if height > 2: multiply_add(&r2, splat(a[2 * a_row]), b0, b1, b2, width)
        if height > 3: multiply_add(&r3, splat(a[3 * a_row]), b0, b1, b2, width)
        if height > 4: multiply_add(&r4, splat(a[4 * a_row]), b0, b1, b2, width)
        if height > 5: multiply_add(&r5, splat(a[5 * a_row]), b0, b1, b2, width)
        if height > 6: multiply_add(&r6, splat(a[6 * a_row]), b0, b1, b2, width)
        if height > 7: multiply_add(&r7, splat(a[7 * a_row]), b0, b1, b2, width)
        a += a_depth
        b += b_depth
    finish_tile(&r0, &r1, &r2, &r3, &r4, &r5, &r6, &r7,
                panel, m, height, width)
    if panel.last == LANES:
        store_tile(&r0, &r1, &r2, &r3, &r4, &r5, &r6, &r7,
                   c, panel.c_stride, LANES, height, width)
    else:
        store_tile(&r0, &r1, &r2, &r3, &r4, &r5, &r6, &r7,
                   c, panel.c_stride, panel.last, height, width)


cdef inline void fold_column(
    real* c, Index c_row, const vec* column, bint accumulate, const int height,
) noexcept nogil:
    # c (height,), c_row apart; column (8,), of which `height` count
    """c = or += Σ_lanes column."""
    cdef real sums[8]
    cdef int row
    if height > 3:
        sums_of_lanes(sums, column)
    else:
        for row in range(height):
            sums[row] = sum_of_lanes(column[row])
    for row in range(height):
        c[row * c_row] = sums[row] + (c[row * c_row] if accumulate else <real> 0)


cdef inline void inner_tile(
    real* c, Index c_row, Index c_column, const real* a, Index a_row, const real* b, Index b_row, Index depth,
    bint accumulate, const int height, const int width,
) noexcept nogil:
    # c (height, width) with any strides; a (height, depth), b (width, depth): depth lies along the lanes, whole vectors
    """c = a bᵀ, or c += a bᵀ, one tile."""
    cdef TileRow r0, r1, r2, r3, r4, r5, r6, r7
    cdef vec b0, b1 = ZERO, b2 = ZERO
    cdef Index k
    r0.c0 = r0.c1 = r0.c2 = ZERO
    r1 = r2 = r3 = r4 = r5 = r6 = r7 = r0
    for k in range(depth // LANES):
        b0 = load(b)
        if width > 1: b1 = load(b + b_row)
        if width > 2: b2 = load(b + 2 * b_row)
        multiply_add(&r0, load(a), b0, b1, b2, width)
        if height > 1: multiply_add(&r1, load(a + a_row), b0, b1, b2, width)
        if height > 2: multiply_add(&r2, load(a + 2 * a_row), b0, b1, b2, width)
        if height > 3: multiply_add(&r3, load(a + 3 * a_row), b0, b1, b2, width)
        if height > 4: multiply_add(&r4, load(a + 4 * a_row), b0, b1, b2, width)
        if height > 5: multiply_add(&r5, load(a + 5 * a_row), b0, b1, b2, width)
        if height > 6: multiply_add(&r6, load(a + 6 * a_row), b0, b1, b2, width)
        if height > 7: multiply_add(&r7, load(a + 7 * a_row), b0, b1, b2, width)
        a += LANES
        b += LANES
    cdef vec column[8]
    column[0], column[1], column[2], column[3] = r0.c0, r1.c0, r2.c0, r3.c0
    column[4], column[5], column[6], column[7] = r4.c0, r5.c0, r6.c0, r7.c0
    fold_column(c, c_row, column, accumulate, height)
    if width > 1:
        column[0], column[1], column[2], column[3] = r0.c1, r1.c1, r2.c1, r3.c1
        column[4], column[5], column[6], column[7] = r4.c1, r5.c1, r6.c1, r7.c1
        fold_column(c + c_column, c_row, column, accumulate, height)
    if width > 2:
        column[0], column[1], column[2], column[3] = r0.c2, r1.c2, r2.c2, r3.c2
        column[4], column[5], column[6], column[7] = r4.c2, r5.c2, r6.c2, r7.c2
        fold_column(c + 2 * c_column, c_row, column, accumulate, height)


cdef inline void outer_tile_of(
    Panel* panel, Index m, const real* a, Index a_row, Index a_depth, const real* b, Index b_depth, Index depth,
    int height, const int width,
) noexcept nogil:
    """outer_tile with the height made a constant."""
    if height == 8 and TILE_ROWS >= 8: outer_tile(panel, m, a, a_row, a_depth, b, b_depth, depth, 8, width)
    elif height == 7 and TILE_ROWS >= 7: outer_tile(panel, m, a, a_row, a_depth, b, b_depth, depth, 7, width)
    elif height == 6 and TILE_ROWS >= 6: outer_tile(panel, m, a, a_row, a_depth, b, b_depth, depth, 6, width)
    elif height == 5 and TILE_ROWS >= 5: outer_tile(panel, m, a, a_row, a_depth, b, b_depth, depth, 5, width)
    elif height == 4: outer_tile(panel, m, a, a_row, a_depth, b, b_depth, depth, 4, width)
    elif height == 3: outer_tile(panel, m, a, a_row, a_depth, b, b_depth, depth, 3, width)
    elif height == 2: outer_tile(panel, m, a, a_row, a_depth, b, b_depth, depth, 2, width)
    else: outer_tile(panel, m, a, a_row, a_depth, b, b_depth, depth, 1, width)


cdef inline void inner_tile_of(
    real* c, Index c_row, Index c_column, const real* a, Index a_row, const real* b, Index b_row, Index depth,
    bint accumulate, int height, const int width,
) noexcept nogil:
    """inner_tile with the height made a constant."""
    if height == 8 and TILE_ROWS >= 8: inner_tile(c, c_row, c_column, a, a_row, b, b_row, depth, accumulate, 8, width)
    elif height == 7 and TILE_ROWS >= 7: inner_tile(c, c_row, c_column, a, a_row, b, b_row, depth, accumulate, 7, width)
    elif height == 6 and TILE_ROWS >= 6: inner_tile(c, c_row, c_column, a, a_row, b, b_row, depth, accumulate, 6, width)
    elif height == 5 and TILE_ROWS >= 5: inner_tile(c, c_row, c_column, a, a_row, b, b_row, depth, accumulate, 5, width)
    elif height == 4: inner_tile(c, c_row, c_column, a, a_row, b, b_row, depth, accumulate, 4, width)
    elif height == 3: inner_tile(c, c_row, c_column, a, a_row, b, b_row, depth, accumulate, 3, width)
    elif height == 2: inner_tile(c, c_row, c_column, a, a_row, b, b_row, depth, accumulate, 2, width)
    else: inner_tile(c, c_row, c_column, a, a_row, b, b_row, depth, accumulate, 1, width)


cdef inline Index fair_share(Index remaining, Index largest) noexcept nogil:
    """The next piece when `remaining` is cut into the fewest pieces of at most `largest`, all about as long."""
    if remaining <= largest:
        return remaining
    cdef Index pieces = (remaining + largest - 1) // largest
    return (remaining + pieces - 1) // pieces


cdef inline void claim_tile(Panel* panel, Index m, int height, const int width) noexcept nogil:
    """Ask for the lines that are written once the tile is done, while it is computed."""
    cdef const real* p
    cdef int row, claim
    for claim in range(panel.claims.count):
        p = panel.claims.at[claim] + m * panel.c_stride
        for row in range(height):
            claim_ahead(p)
            if width > 1: claim_ahead(p + LANES)
            if width > 2: claim_ahead(p + 2 * LANES)
            p += panel.c_stride


cdef inline void panel_as(
    Panel* panel, const real* a, Index a_row, Index a_depth, const real* b, Index b_depth, Index rows, Index depth,
    const int width,
) noexcept nogil:
    cdef Index m = 0
    cdef int height
    while m < rows:
        height = <int> fair_share(rows - m, TILE_ROWS)
        claim_tile(panel, m, height, width)
        outer_tile_of(panel, m, a + m * a_row, a_row, a_depth, b, b_depth, depth, height, width)
        m += height


cdef void panel_product(
    Panel* panel, const real* a, Index a_row, Index a_depth, const real* b, Index b_depth, Index rows, Index depth,
) noexcept nogil:
    # panel.c (rows, panel.vectors * LANES); a (rows, depth) with any strides; b (depth, panel.vectors * LANES)
    """c = start + a b, a few columns."""
    if panel.vectors == 3 and TILE_VECTORS >= 3:
        panel_as(panel, a, a_row, a_depth, b, b_depth, rows, depth, 3)
    elif panel.vectors == 2:
        panel_as(panel, a, a_row, a_depth, b, b_depth, rows, depth, 2)
    else:
        panel_as(panel, a, a_row, a_depth, b, b_depth, rows, depth, 1)


cdef void pack(real* packed, const real* w, Index stride, Index depth, Index columns, Index width) noexcept nogil:
    # packed (depth, width); w (depth, columns) with rows `stride` apart, columns <= width
    """packed = w, zero past its columns."""
    cdef Index k, v
    for k in range(depth):
        for v in range(columns // LANES):
            fetch_ahead(w + ROWS_FETCHED * stride + v * LANES)
            store(packed + v * LANES, load(w + v * LANES))
        v = columns // LANES * LANES
        if v < columns:
            fetch_ahead(w + ROWS_FETCHED * stride + v)
            store(packed + v, load_first(w + v, columns - v))
        packed += width
        w += stride


cdef void pack_transposed(
    real* packed, const real* w, Index stride, Index depth, Index columns, Index width,
) noexcept nogil:
    # packed (depth, width); w (columns, depth) with rows `stride` apart, columns <= width
    """packed = wᵀ, zero past its columns."""
    cdef Index k, n, whole_depth = depth // LANES * LANES, whole_columns = columns // LANES * LANES
    for n in range(0, whole_columns // LANES):
        for k in range(0, whole_depth // LANES):
            transpose_square(packed + k * LANES * width + n * LANES, width, w + n * LANES * stride + k * LANES, stride)
    for n in range(columns):
        for k in range(whole_depth if n < whole_columns else 0, depth):
            packed[k * width + n] = w[n * stride + k]
    for k in range(depth):
        for n in range(columns, width):
            packed[k * width + n] = 0


cdef inline Panel panel_at(real* c, Index c_stride, Index columns, bint padded) noexcept nogil:
    """A panel that begins at c; in a padded matrix all lanes of its last vector may be written."""
    cdef Panel panel
    memset(&panel, 0, sizeof(Panel))
    panel.c = c
    panel.c_stride = c_stride
    panel.start = FROM_ZERO
    panel.vectors = <int> (rounded_up(columns, LANES) // LANES)
    panel.last = LANES if padded else columns - (panel.vectors - 1) * LANES
    return panel


cdef inline void set_claims(Panel* panel, const Claims* claims, Index place) noexcept nogil:
    """Claim with every tile of a panel, which begins `place` numbers behind the claims."""
    cdef int claim
    if claims != NULL:
        panel.claims.count = claims.count
        for claim in range(claims.count):
            panel.claims.at[claim] = claims.at[claim] + place


cdef inline Index panel_columns(Index remaining, Index most_vectors) noexcept nogil:
    """Columns of the next panel: whole vectors, at most so many, evenly shared out."""
    return min(remaining, fair_share(rounded_up(remaining, LANES) // LANES, most_vectors) * LANES)


cdef void forward_panel(
    real* y, Index y_stride, const real* x, Index x_stride, const real* w, const real* b, const Finish* finish,
    real* packed, Index rows, Index depth, Index columns, Index outputs, bint first, bint last, bint padded,
    const Claims* claims, Index place,
) noexcept nogil:
    # y (rows, columns), x (rows, depth), w (depth, columns) of rows `outputs` long, b (columns,) or NULL
    """y = x w + b, or added to y where this block of the depth is not the first; finished where it is the last."""
    cdef Index width = rounded_up(columns, LANES)
    cdef Panel panel = panel_at(y, y_stride, columns, padded)
    pack(packed, w, outputs, depth, columns, width)
    if not first:
        panel.start = FROM_C
    elif b != NULL:
        panel.start = FROM_COLUMN_BIAS
        panel.bias = packed + depth * width
        pack(packed + depth * width, b, 0, 1, columns, width)
    if first:
        set_claims(&panel, claims, place)
    panel.rectifies = last and only_rectifies(finish)
    panel_product(&panel, x, x_stride, 1, packed, width, rows, depth)
    if last and not panel.rectifies:
        finish_rows(y, rows, y_stride, width if padded else columns, finish, place)


cdef void product_forward(
    real* y, Index y_stride, const real* x, Index x_stride, const real* w, const real* b, const Finish* finish,
    real* packed, Index rows, Index inputs, Index outputs, bint padded, const Claims* claims, bint skips,
) noexcept nogil:
    # y (rows, outputs), x (rows, inputs), w (inputs, outputs), b (outputs,) or NULL, packed (PACK_REALS,);
    # claims of y, or NULL; skips: x may have many zeros
    """y = f(x w + b), outputs along the lanes, with what else `finish` asks for."""
    cdef Index k, n, m = 0, count, depth, columns
    cdef Places places
    skips = skips and may_skip(outputs)
    while m < rows:
        count = fair_share(rows - m, ROW_CHUNK)
        k = 0
        while k < inputs:
            depth = fair_share(inputs - k, DEPTH_BLOCK)
            n = 0
            if skips and are_few(find_places(&places, x + m * x_stride + k, x_stride, count, depth),
                                 count, depth, outputs):
                skipping_forward(
                    y + m * y_stride, y_stride, x + m * x_stride + k, x_stride, w + k * outputs, b, finish, packed,
                    &places, count, depth, outputs, k == 0, k + depth == inputs, padded, m * y_stride)
                n = outputs
            while n < outputs:
                columns = panel_columns(outputs - n, TILE_VECTORS)
                forward_panel(
                    y + m * y_stride + n, y_stride, x + m * x_stride + k, x_stride, w + k * outputs + n,
                    b + n if b != NULL else NULL, finish, packed,
                    count, depth, columns, outputs, k == 0, k + depth == inputs, padded, claims, m * y_stride + n)
                n += columns
            k += depth
        m += count


cdef void backward_inputs_panel(
    real* dx, Index dx_stride, const real* dy, Index dy_stride, const real* w, const real* x, Index x_stride,
    int activation, real* packed, Index rows, Index depth, Index columns, Index outputs,
    bint first, bint last, bint padded,
) noexcept nogil:
    # dx (rows, columns), dy (rows, depth), w (columns, depth) of rows `outputs` long, x (rows, columns)
    """dx = dy wᵀ, or added to dx; dx = dx f'(z) where this block of the depth is the last."""
    cdef Index width = rounded_up(columns, LANES)
    cdef Panel panel = panel_at(dx, dx_stride, columns, padded)
    panel.start = FROM_ZERO if first else FROM_C
    pack_transposed(packed, w, outputs, depth, columns, width)
    if last and activation == RELU:
        panel.gate = x
        panel.gate_stride = x_stride
    panel_product(&panel, dy, dy_stride, 1, packed, width, rows, depth)
    if last and activation != RELU:
        multiply_by_slope(dx, dx_stride, x, x_stride, rows, columns, activation)


cdef void product_backward_inputs(
    real* dx, Index dx_stride, const real* dy, Index dy_stride, const real* w, const real* x, Index x_stride,
    int activation, real* packed, Index rows, Index inputs, Index outputs, bint padded, bint skips,
) noexcept nogil:
    # dx (rows, inputs), dy (rows, outputs), w (inputs, outputs), x (rows, inputs), packed (PACK_REALS,);
    # skips: dy may have many zeros
    """dx = (dy wᵀ) f'(z), inputs along the lanes; f' from x = f(z), the layer's inputs, or STORED in x's place."""
    cdef Index k, n, m = 0, count, depth, columns
    cdef Places places
    skips = skips and may_skip(inputs)
    while m < rows:
        count = fair_share(rows - m, ROW_CHUNK)
        k = 0
        while k < outputs:
            depth = fair_share(outputs - k, DEPTH_BLOCK)
            n = 0
            if skips and are_few(find_places(&places, dy + m * dy_stride + k, dy_stride, count, depth),
                                 count, depth, inputs):
                skipping_backward_inputs(
                    dx + m * dx_stride, dx_stride, dy + m * dy_stride + k, dy_stride, w + k, x + m * x_stride,
                    x_stride, activation, packed, &places, count, depth, inputs, outputs,
                    k == 0, k + depth == outputs, padded)
                n = inputs
            while n < inputs:
                columns = panel_columns(inputs - n, TILE_VECTORS)
                backward_inputs_panel(
                    dx + m * dx_stride + n, dx_stride, dy + m * dy_stride + k, dy_stride, w + n * outputs + k,
                    x + m * x_stride + n, x_stride, activation, packed,
                    count, depth, columns, outputs, k == 0, k + depth == outputs, padded)
                n += columns
            k += depth
        m += count


cdef inline void column_sums_as(
    real* sums, const real* a, Index stride, Index rows, Index last, bint accumulate, const int vectors,
) noexcept nogil:
    cdef vec s0 = ZERO, s1 = ZERO, s2 = ZERO, s3 = ZERO
    cdef Index last1 = last if vectors == 1 else LANES, last2 = last if vectors == 2 else LANES
    cdef Index last3 = last if vectors == 3 else LANES
    if accumulate:
        s0 = load_lanes(sums, last1)
        if vectors > 1: s1 = load_lanes(sums + LANES, last2)
        if vectors > 2: s2 = load_lanes(sums + 2 * LANES, last3)
        if vectors > 3: s3 = load_lanes(sums + 3 * LANES, last)
    for _ in range(rows):
        s0 += load_lanes(a, last1)
        if vectors > 1: s1 += load_lanes(a + LANES, last2)
        if vectors > 2: s2 += load_lanes(a + 2 * LANES, last3)
        if vectors > 3: s3 += load_lanes(a + 3 * LANES, last)
        a += stride
    store_lanes(sums, s0, last1)
    if vectors > 1: store_lanes(sums + LANES, s1, last2)
    if vectors > 2: store_lanes(sums + 2 * LANES, s2, last3)
    if vectors > 3: store_lanes(sums + 3 * LANES, s3, last)


cdef void column_sums(
    real* sums, const real* a, Index stride, Index rows, Index columns, bint accumulate,
) noexcept nogil:
    # sums (columns,), a (rows, columns), rows `stride` apart
    """sums = Σ_rows a, or added to it; four vectors side by side, which do not wait for each other."""
    cdef Index n = 0, count, last
    cdef int vectors
    while n < columns:
        count = panel_columns(columns - n, 4)
        vectors = <int> (rounded_up(count, LANES) // LANES)
        last = count - (vectors - 1) * LANES
        if vectors == 4: column_sums_as(sums + n, a + n, stride, rows, last, accumulate, 4)
        elif vectors == 3: column_sums_as(sums + n, a + n, stride, rows, last, accumulate, 3)
        elif vectors == 2: column_sums_as(sums + n, a + n, stride, rows, last, accumulate, 2)
        else: column_sums_as(sums + n, a + n, stride, rows, last, accumulate, 1)
        n += count


cdef void backward_weights_panel(
    real* dw, const real* x, Index x_stride, const real* dy, Index dy_stride, real* packed,
    Index inputs, Index depth, Index columns, Index outputs, bint first, const Claims* claims, Index place,
) noexcept nogil:
    # dw (inputs, columns) of rows `outputs` long, x (depth, inputs), dy (depth, columns)
    """dw = xᵀ dy, or added to it where this block of the depth is not the first."""
    cdef Panel panel = panel_at(dw, outputs, columns, False)
    cdef Index width = dy_stride
    if packed != NULL:
        width = rounded_up(columns, LANES)
        pack(packed, dy, dy_stride, depth, columns, width)
        dy = packed
    panel.start = FROM_ZERO if first else FROM_C
    set_claims(&panel, claims, place)
    panel_product(&panel, x, 1, x_stride, dy, width, inputs, depth)


cdef void product_backward_weights(
    real* dw, real* db, const real* x, Index x_stride, const real* dy, Index dy_stride,
    Index rows, Index inputs, Index outputs, bint accumulate, real* packed, const Claims* claims, bint skips,
) noexcept nogil:
    # dw (inputs, outputs), db (outputs,) or NULL, x (rows, inputs), dy (rows, outputs); packed (PACK_REALS,), or
    # NULL where dy is padded to whole vectors and is read where it lies; claims of dw, or NULL; skips: x may have
    # many zeros
    """dw = xᵀ dy, db = Σ_rows dy, or added to both; outputs along the lanes."""
    cdef Index k, n, m = 0, count, depth, columns
    cdef Places places
    skips = skips and may_skip(outputs)
    if db != NULL:
        column_sums(db, dy, dy_stride, rows, outputs, accumulate)
    while m < inputs:
        count = fair_share(inputs - m, ROW_CHUNK)
        k = 0
        while k < rows:
            depth = fair_share(rows - k, DEPTH_BLOCK)
            n = 0
            if skips and are_few(find_places_of_columns(&places, x + k * x_stride + m, x_stride, count, depth),
                                 count, depth, outputs):
                skipping_backward_weights(
                    dw + m * outputs, x + k * x_stride + m, x_stride, dy + k * dy_stride, dy_stride, packed,
                    &places, count, depth, outputs, k == 0 and not accumulate)
                n = outputs
            while n < outputs:
                columns = panel_columns(outputs - n, TILE_VECTORS)
                backward_weights_panel(
                    dw + m * outputs + n, x + k * x_stride + m, x_stride, dy + k * dy_stride + n, dy_stride, packed,
                    count, depth, columns, outputs,
                    k == 0 and not accumulate, claims if k + depth == rows else NULL, m * outputs + n)
                n += columns
            k += depth
        m += count


cdef inline void lanes_weights_as(
    real* c, Index c_row, Index c_column, const real* a, const real* b, Index stride, Index rows, Index lanes,
    bint accumulate, const int width,
) noexcept nogil:
    cdef Index m = 0
    cdef int height
    while m < rows:
        height = <int> fair_share(rows - m, TILE_ROWS)
        inner_tile_of(c + m * c_row, c_row, c_column, a + m * stride, stride, b, stride, lanes, accumulate,
                      height, width)
        m += height


cdef void lanes_weights(
    real* c, Index c_row, Index c_column, const real* a, const real* b, Index stride, Index rows, Index columns,
    Index lanes, bint accumulate,
) noexcept nogil:
    # c (rows, columns) with any strides, a (rows, stride), b (columns, stride)
    """c = a bᵀ, or added to it; the depth along the lanes."""
    cdef Index n = 0
    cdef int width
    while n < columns:
        width = <int> fair_share(columns - n, TILE_VECTORS)
        if width == 3 and TILE_VECTORS >= 3:
            lanes_weights_as(c, c_row, c_column, a, b, stride, rows, lanes, accumulate, 3)
        elif width == 2:
            lanes_weights_as(c, c_row, c_column, a, b, stride, rows, lanes, accumulate, 2)
        else:
            lanes_weights_as(c, c_row, c_column, a, b, stride, rows, lanes, accumulate, 1)
        c += width * c_column
        b += width * stride
        n += width


cdef void lanes_backward_weights(
    real* dw, real* db, const real* x, const real* dy, Index stride, Index inputs, Index outputs, Index lanes,
    bint accumulate,
) noexcept nogil:
    # dw (inputs, outputs), db (outputs,) or NULL, x (inputs, stride), dy (outputs, stride); lanes <= stride in use
    """dw = x dyᵀ, db = Σ_lanes dy, or added to both; samples along the lanes."""
    cdef Index j, v
    cdef vec total
    # A tile folds the sums of its lanes eight rows at once, so that the longer side of dw should be its rows.
    if inputs >= outputs:
        lanes_weights(dw, outputs, 1, x, dy, stride, inputs, outputs, lanes, accumulate)
    else:
        lanes_weights(dw, 1, outputs, dy, x, stride, outputs, inputs, lanes, accumulate)
    if db != NULL:
        for j in range(outputs):
            total = ZERO
            for v in range(lanes // LANES):
                total += load(dy + j * stride + v * LANES)
            db[j] = sum_of_lanes(total) + (db[j] if accumulate else <real> 0)


cdef void lanes_product(
    real* c, const real* a, Index a_row, Index a_depth, const real* b, const real* bias, bint rectifies,
    const real* gate, Index stride, Index rows, Index depth, Index lanes,
) noexcept nogil:
    # c (rows, stride), a (rows, depth) with any strides, b (depth, stride), bias (rows,) or NULL, gate (rows, stride)
    # or NULL; lanes in use
    """c = a b + bias, samples along the lanes: z = wᵀ h + b forward, dh = w dz backward; relu or its slope after it."""
    cdef Index n = 0, columns
    cdef Panel panel
    while n < lanes:
        columns = panel_columns(lanes - n, TILE_VECTORS)
        panel = panel_at(c + n, stride, columns, True)
        if bias != NULL:
            panel.start = FROM_ROW_BIAS
            panel.bias = bias
        panel.rectifies = rectifies
        if gate != NULL:
            panel.gate = gate + n
            panel.gate_stride = stride
        panel_product(&panel, a, a_row, a_depth, b + n, stride, rows, depth)
        n += columns
