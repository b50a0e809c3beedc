# ---- products -------------------------------------------------------------------------------------------------
# The three products of a layer, made of register tiles (tile.h). Each is c = f(start + a b), with its own operands,
# start and f. compute() cuts the rows and the depth into blocks that the caches hold, then takes panels of a few
# columns: it packs a panel's part of b to whole vectors, and a tile runs down the panel's rows.

cdef enum:
    ROWS_FETCHED = 8        # rows of a block fetched ahead of packing: no hardware foresees where rows end

ctypedef struct Product:
    # c (rows, columns) = f(start + a b), a (rows, depth), b (depth, columns)
    Matrix c
    Operand a
    Operand b
    Index rows
    Index depth
    Index columns
    bint accumulates        # c += a b
    bint skips              # a may have many zeros, which are passed over
    bint padded             # the layout pads c's rows to whole vectors, all of whose lanes are written
    real* packed            # (PACK_REALS,), or NULL: the layout pads b's rows to whole vectors, and b is read in place
    const real* bias        # (columns,), or NULL; needs `packed`
    real* sums              # (columns,) = or += Σ_depth b, or NULL
    const Finish* finish    # f of a forward product, or NULL
    ConstMatrix h           # f of a backward product: c = c f'(z) from h (rows, columns); at NULL: none
    int activation
    const Claims* claims    # what is written after c, or NULL
    bint claims_last        # claimed with the last block of the depth, else with the first

ctypedef struct Block:
    # rows `row` ... row + rows and the depth from `term` to term + depth of a product
    Index row
    Index rows
    Index term
    Index depth


# Products and panels are set in place: a copy would read in vectors what was just written number by number, and wait.

cdef inline void set_product(Product* p, Matrix c, Index rows, Index depth, Index columns) noexcept nogil:
    memset(p, 0, sizeof(Product))
    p.c.at = c.at
    p.c.stride = c.stride
    p.rows = rows
    p.depth = depth
    p.columns = columns


cdef inline void set_operand(Operand* o, const real* at, Index step, Index depth) noexcept nogil:
    o.at = at
    o.step = step
    o.depth = depth


cdef inline void set_forward(
    Product* p, Matrix y, ConstMatrix x, const real* w, Index rows, Index inputs, Index outputs,
) noexcept nogil:
    # y (rows, outputs), x (rows, inputs), w (inputs, outputs)
    """y = x w, outputs along the lanes."""
    set_product(p, y, rows, inputs, outputs)
    set_operand(&p.a, x.at, x.stride, 1)
    set_operand(&p.b, w, 1, outputs)


cdef inline void set_backward_inputs(
    Product* p, Matrix dx, ConstMatrix dy, const real* w, Index rows, Index inputs, Index outputs,
) noexcept nogil:
    # dx (rows, inputs), dy (rows, outputs), w (inputs, outputs)
    """dx = dy wᵀ, inputs along the lanes."""
    set_product(p, dx, rows, outputs, inputs)
    set_operand(&p.a, dy.at, dy.stride, 1)
    set_operand(&p.b, w, outputs, 1)


cdef inline void set_backward_weights(
    Product* p, real* dw, ConstMatrix x, ConstMatrix dy, Index rows, Index inputs, Index outputs,
) noexcept nogil:
    # dw (inputs, outputs), x (rows, inputs), dy (rows, outputs)
    """dw = xᵀ dy, outputs along the lanes."""
    set_product(p, matrix(dw, outputs), inputs, rows, outputs)
    set_operand(&p.a, x.at, 1, x.stride)
    set_operand(&p.b, dy.at, 1, dy.stride)
    p.claims_last = True


cdef void pack(real* packed, const real* w, Index stride, Index depth, Index columns, Index width) noexcept nogil:
    # packed (depth, width); w (depth, columns) with rows `stride` apart; columns <= width, a whole number of vectors
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
    # packed (depth, width); w (columns, depth) with rows `stride` apart; columns <= width, a whole number of vectors
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


cdef inline Operand block_of_a(const Product* p, const Block* block) noexcept nogil:
    """Return a's part of a block."""
    return operand(p.a.at + block.row * p.a.step + block.term * p.a.depth, p.a.step, p.a.depth)


cdef inline Operand block_of_b(const Product* p, const Block* block, Index n, Index columns) noexcept nogil:
    """Return b's part of a block, columns n ... n + columns, in whole vectors."""
    cdef const real* b = p.b.at + block.term * p.b.depth + n * p.b.step
    cdef Index width = rounded_up(columns, LANES)
    if p.packed == NULL:
        return operand(b, p.b.step, p.b.depth)
    if p.b.step == 1:
        pack(p.packed, b, p.b.depth, block.depth, columns, width)
    else:
        pack_transposed(p.packed, b, p.b.step, block.depth, columns, width)
    return operand(p.packed, 1, width)


cdef inline void set_panel(Panel* panel, Matrix c, Index columns, bint padded) noexcept nogil:
    """Begin a panel at c: c = a b; the layout guarantees whole vectors of it if `padded`."""
    panel.c.at = c.at
    panel.c.stride = c.stride
    panel.start = FROM_ZERO
    panel.bias = NULL
    panel.rectifies = False
    panel.gate.at = NULL
    panel.claims.count = 0
    panel.vectors = <int> (rounded_up(columns, LANES) // LANES)
    panel.last = LANES if padded else columns - (panel.vectors - 1) * LANES


cdef inline void set_panel_of(
    Panel* panel, const Product* p, const Block* block, Index n, Index columns,
) noexcept nogil:
    """Begin a panel: columns n ... n + columns of a block of c; biases go into `packed`, after b's block."""
    cdef real* biases
    set_panel(panel, matrix(p.c.at + block.row * p.c.stride + n, p.c.stride), columns, p.padded)
    if block.term > 0 or p.accumulates:
        panel.start = FROM_C
    elif p.bias != NULL:
        panel.start = FROM_COLUMN_BIAS
        biases = p.packed + block.depth * panel.vectors * LANES
        pack(biases, p.bias + n, 0, 1, columns, panel.vectors * LANES)
        panel.bias = biases


cdef inline bint begins(const Block* block) noexcept nogil:
    return block.term == 0


cdef inline bint ends(const Product* p, const Block* block) noexcept nogil:
    return block.term + block.depth == p.depth


cdef inline void set_claims(Panel* panel, const Product* p, Index place) noexcept nogil:
    """Claim with every tile of a panel, which begins `place` numbers after the claims."""
    cdef int claim
    panel.claims.count = p.claims.count
    for claim in range(p.claims.count):
        panel.claims.at[claim] = p.claims.at[claim] + place


cdef inline bint set_fused(Panel* panel, const Product* p, Index row, Index n) noexcept nogil:
    """Let tiles apply relu, or its slope, so that f takes no pass of its own; return whether they do."""
    if p.finish != NULL:
        panel.rectifies = only_rectifies(p.finish)
        return panel.rectifies
    if p.h.at != NULL and p.activation == RELU:
        panel.gate.at = p.h.at + row * p.h.stride + n
        panel.gate.stride = p.h.stride
        return True
    return False


cdef inline void finish_panel(const Product* p, const Block* block, Index n, Index columns) noexcept nogil:
    """c = f(c), columns n ... n + columns of a block, after the last block of the depth."""
    cdef Index place = block.row * p.c.stride + n
    if p.finish != NULL:
        finish_rows(p.c.at + place, block.rows, p.c.stride, rounded_up(columns, LANES) if p.padded else columns,
                    p.finish, place)
    elif p.h.at != NULL:
        multiply_by_slope(p.c.at + place, p.c.stride, p.h.at + block.row * p.h.stride + n, p.h.stride,
                          block.rows, columns, p.activation)


cdef void tile_panel(const Product* p, const Block* block, Index n, Index columns) noexcept nogil:
    """c = f(start + a b), columns n ... n + columns of a block: a panel of register tiles."""
    cdef Operand a = block_of_a(p, block), b = block_of_b(p, block, n, columns)
    cdef Panel panel
    set_panel_of(&panel, p, block, n, columns)
    cdef bint fused = ends(p, block) and set_fused(&panel, p, block.row, n)
    if p.claims != NULL and (ends(p, block) if p.claims_last else begins(block)):
        set_claims(&panel, p, block.row * p.c.stride + n)
    panel_product(&panel, &a, &b, block.rows, block.depth)
    if ends(p, block) and not fused:
        finish_panel(p, block, n, columns)


cdef void tile_block(const Product* p, const Block* block) noexcept nogil:
    """c = f(start + a b) over a block, panel by panel."""
    cdef Index n = 0, columns
    while n < p.columns:
        columns = panel_columns(p.columns - n, TILE_VECTORS)
        tile_panel(p, block, n, columns)
        n += columns


cdef void compute(const Product* p) noexcept nogil:
    """c = f(start + a b), sums = or += Σ_depth b."""
    cdef Block block
    cdef Places places
    cdef bint skips = p.skips and may_skip(p.columns)
    if p.sums != NULL:
        column_sums(p.sums, const_matrix(p.b.at, p.b.depth), p.depth, p.columns, p.accumulates)
    block.row = 0
    while block.row < p.rows:
        block.rows = even_part(p.rows - block.row, ROW_CHUNK)
        block.term = 0
        while block.term < p.depth:
            block.depth = even_part(p.depth - block.term, DEPTH_BLOCK)
            if skips and has_few_places(&places, p, &block):
                skip_block(p, &block, &places)
            else:
                tile_block(p, &block)
            block.term += block.depth
        block.row += block.rows


cdef void lanes_product(
    Panel* panel, const Operand* a, ConstMatrix b, Index rows, Index depth, Index lanes,
) noexcept nogil:
    # panel.c, panel.gate (rows, stride), panel.bias (rows,); a (rows, depth) with any strides, b (depth, stride); the
    # layout pads rows to whole vectors, `lanes` of which are in use
    """c = f(start + a b), samples along the lanes: z = wᵀ h + b forward, dh = w dz backward."""
    cdef Operand right
    cdef Index columns
    set_operand(&right, b.at, 1, b.stride)
    while lanes > 0:
        columns = panel_columns(lanes, TILE_VECTORS)
        panel.vectors = <int> (columns // LANES)
        panel_product(panel, a, &right, rows, depth)
        panel.c.at += columns
        right.at += columns
        if panel.gate.at != NULL:
            panel.gate.at += columns
        lanes -= columns


cdef void lanes_backward_weights(
    real* dw, real* db, ConstMatrix x, const real* dy, Index inputs, Index outputs, Index lanes, bint accumulates,
) noexcept nogil:
    # dw (inputs, outputs), db (outputs,) or NULL, x (inputs, stride), dy (outputs, stride); the layout pads rows to
    # whole vectors, `lanes` of which are in use
    """dw = or += x dyᵀ, db = or += Σ_lanes dy, samples along the lanes."""
    cdef InnerProduct product
    cdef Index j, v
    cdef vec total
    product.c, product.stride, product.depth, product.accumulates = dw, x.stride, lanes, accumulates
    # A tile folds the lanes of several rows' sums at once, so that the longer side of dw should be its rows.
    if inputs >= outputs:
        product.row, product.column, product.rows, product.columns = outputs, 1, inputs, outputs
        product.a, product.b = x.at, dy
    else:
        product.row, product.column, product.rows, product.columns = 1, outputs, outputs, inputs
        product.a, product.b = dy, x.at
    inner_product(&product)
    if db != NULL:
        for j in range(outputs):
            total = ZERO
            for v in range(lanes // LANES):
                total += load(dy + j * x.stride + v * LANES)
            db[j] = sum_of_lanes(total) + (db[j] if accumulates else <real> 0)
