# ---- prediction -----------------------------------------------------------------------------------------------
# Forward only, without targets: the outputs of narrow and of wide networks, row by row. For a few rows, packing would
# cost more than the products: weights are read in place, and only a softmax needs another layout.


cdef bint all_finite(const real* x, Index size) noexcept nogil:
    # x (size,)
    """Return whether every x is finite: 0 x is then 0, and NaN otherwise."""
    cdef vec a = ZERO, b = ZERO, c = ZERO, d = ZERO
    cdef Index i = 0
    while i + 4 * LANES <= size:
        a += <real> 0 * load(x + i)
        b += <real> 0 * load(x + i + LANES)
        c += <real> 0 * load(x + i + 2 * LANES)
        d += <real> 0 * load(x + i + 3 * LANES)
        i += 4 * LANES
    while i < size:
        a += <real> 0 * load_lanes(x + i, min(LANES, size - i))
        i += LANES
    return sum_of_lanes((a + b) + (c + d)) == 0


cdef void finish_outputs(real* h, int activation, Index stride, Index lanes, Index outputs) noexcept nogil:
    # h (outputs, stride), z on entry
    """h = f(z) of the output layer, samples along the lanes."""
    if activation == SOFTMAX:
        softmax(h, NULL, NULL, stride, lanes, outputs)
    else:
        activate_rows(h, outputs, stride, lanes, activation)


cdef void narrow_outputs(Job* job, real* out, const Samples* samples, Index first, Index count) noexcept nogil:
    # out (count, outputs)
    """out = the outputs of samples first ... first + count, at most a chunk."""
    cdef const Layer* last = &job.layers[job.n_layers - 1]
    cdef Index chunk = job.settings.chunk, lanes = rounded_up(count, LANES)
    cdef real* h = job.own + last.activations
    cdef Columns columns
    set_columns(&columns, job, job.own + job.settings.inputs_at)
    gather(&columns, samples, first, count, job.settings.inputs, 0)
    narrow_forward(job, columns.x, lanes, first, False)
    finish_outputs(h, <int> last.activation, chunk, lanes, last.outputs)
    transpose(out, last.outputs, h, chunk, last.outputs, count)


cdef inline Index rows_in_place(const Product* p, Index n, Index columns) noexcept nogil:
    """Return how many rows of b may be read in whole vectors from column n on, without reading past b's end."""
    cdef Index width = rounded_up(columns, LANES)
    return p.depth if columns == width else max(0, (p.depth * p.columns - n - width + p.columns) // p.columns)


cdef void few_rows_product(const Product* p) noexcept nogil:
    """c = bias + a b, for c of at most TILE_ROWS rows: each weight is read once, so that packing would not pay."""
    cdef Index n = 0, columns
    cdef Block block
    cdef Panel panel
    cdef Operand a, b
    while n < p.columns:
        columns = panel_columns(p.columns - n, TILE_VECTORS)
        block.row, block.rows, block.term, block.depth = 0, p.rows, 0, rows_in_place(p, n, columns)
        set_panel(&panel, matrix(p.c.at + n, p.c.stride), columns, False)
        if p.bias != NULL:
            panel.start = FROM_COLUMN_BIAS
            panel.bias = p.bias + n
        b = operand(p.b.at + n, 1, p.b.depth)
        panel_product(&panel, &p.a, &b, p.rows, block.depth)
        # Fewer than LANES rows of b remain, and are packed.
        if block.depth < p.depth:
            block.term = block.depth
            block.depth = p.depth - block.term
            panel.start = FROM_C
            a = block_of_a(p, &block)
            b = block_of_b(p, &block, n, columns)
            panel_product(&panel, &a, &b, p.rows, block.depth)
        n += columns


cdef void few_rows_forward(const Job* job, const real* x, Index rows) noexcept nogil:
    # x (rows, inputs); the layers' h (rows, stride) in the workspace
    """h = f(z) of every layer but the last, which stays z."""
    cdef Index number, x_stride = job.settings.inputs
    cdef const Layer* layer
    cdef real* h
    cdef Product product
    for number in range(job.n_layers):
        layer = &job.layers[number]
        h = job.workspace + layer.activations
        set_layer_product(&product, job, number, matrix(h, layer.stride), const_matrix(x, x_stride), rows)
        few_rows_product(&product)
        if number < job.n_layers - 1:
            activate_rows(h, rows, layer.stride, layer.outputs, <int> layer.activation)
        x = h
        x_stride = layer.stride


cdef void softmax_rows(
    real* out, const real* z, Index z_stride, real* block, Index rows, Index outputs,
) noexcept nogil:
    # out (rows, outputs), z (rows, z_stride), block (outputs, ROW_BLOCK)
    """out = softmax(z) of each row, computed with samples along the lanes."""
    cdef Index row = 0, count
    while row < rows:
        count = min(ROW_BLOCK, rows - row)
        memset(block, 0, outputs * ROW_BLOCK * sizeof(real))
        transpose(block, ROW_BLOCK, z + row * z_stride, z_stride, count, outputs)
        softmax(block, NULL, NULL, ROW_BLOCK, rounded_up(count, LANES), outputs)
        transpose(out + row * outputs, outputs, block, ROW_BLOCK, outputs, count)
        row += count


cdef void wide_outputs(Job* job, real* out, const Samples* samples, Index first, Index count) noexcept nogil:
    # out (count, outputs)
    """out = the outputs of samples first ... first + count, at most a chunk."""
    cdef const Layer* last = &job.layers[job.n_layers - 1]
    cdef const real* x = samples.x + first * job.settings.inputs
    cdef const real* z = job.workspace + last.activations
    cdef Index row
    if count <= TILE_ROWS:
        few_rows_forward(job, x, count)
    else:
        wide_forward(job, const_matrix(x, job.settings.inputs), first, 0, count, False)
    if last.activation == SOFTMAX:
        softmax_rows(out, z, last.stride, job.own + job.settings.outputs_at, count, last.outputs)
    else:
        for row in range(count):
            memcpy(out + row * last.outputs, z + row * last.stride, last.outputs * sizeof(real))
        activate_rows(out, count, last.outputs, last.outputs, <int> last.activation)


cdef bint outputs_of(Job* job, real* out, const Samples* samples, Index* first) noexcept nogil:
    # out (rows, outputs)
    """out = the outputs of samples from `first` on, chunk by chunk; return False at once if a sample is not finite.

    If it takes long, it pauses: `first` is less than all samples, and the next call goes on from there.
    """
    cdef Index at, count, inputs = job.settings.inputs, outputs = job.settings.outputs
    cdef int64_t begun = nanoseconds() if samples.rows > job.settings.chunk else 0
    while first[0] < samples.rows:
        at = first[0]
        count = min(job.settings.chunk, samples.rows - at)
        if not all_finite(samples.x + at * inputs, count * inputs):
            return False
        if job.settings.narrow:
            narrow_outputs(job, out + at * outputs, samples, at, count)
        else:
            wide_outputs(job, out + at * outputs, samples, at, count)
        first[0] = at + count
        if first[0] < samples.rows and nanoseconds() - begun > PAUSES:
            return True
    return True
