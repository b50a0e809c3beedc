# ---- prediction -----------------------------------------------------------------------------------------------
# Forward only, and no targets: the outputs of both kinds of networks, row by row. What a prediction costs for one row
# is what stands around the products: weights are read where they lie, and only a softmax asks for another layout.


cdef bint all_finite(const real* x, Index size) noexcept nogil:
    # x (size,)
    """Whether no x is NaN or infinite: 0 x is 0 then, and NaN otherwise."""
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
    """Outputs of samples first ... first + count, at most a chunk."""
    cdef const Layer* last = &job.layers[job.n_layers - 1]
    cdef Index chunk = job.settings.chunk, lanes = rounded_up(count, LANES)
    cdef real* x = job.own + job.settings.inputs_at
    cdef real* h = job.own + last.activations
    gather(x, NULL, NULL, NULL, samples, first, count, chunk, job.settings.inputs, 0)
    narrow_forward(job, x, lanes, first, False)
    finish_outputs(h, <int> last.activation, chunk, lanes, last.outputs)
    transpose(out, last.outputs, h, chunk, last.outputs, count)


cdef void few_rows_product(
    real* y, Index y_stride, const real* x, Index x_stride, const real* w, const real* b, real* packed,
    Index rows, Index inputs, Index outputs,
) noexcept nogil:
    # y (rows, outputs), x (rows, inputs), w (inputs, outputs), b (outputs,) or NULL, packed (PACK_REALS,)
    """y = x w + b for rows of one tile: each weight is read once, so that packing would not pay."""
    cdef Index n = 0, columns, width, depth
    cdef Panel panel
    while n < outputs:
        columns = panel_columns(outputs - n, TILE_VECTORS)
        width = rounded_up(columns, LANES)
        # Whole vectors may be read until they would reach past the last weight; the rows of w from there on are
        # packed, fewer than LANES of them.
        depth = inputs if columns == width else max(0, (inputs * outputs - n - width + outputs) // outputs)
        panel = panel_at(y + n, y_stride, columns, False)
        if b != NULL:
            panel.start = FROM_COLUMN_BIAS
            panel.bias = b + n
        panel_product(&panel, x, x_stride, 1, w + n, outputs, rows, depth)
        if depth < inputs:
            pack(packed, w + depth * outputs + n, outputs, inputs - depth, columns, width)
            panel.start = FROM_C
            panel_product(&panel, x + depth, x_stride, 1, packed, width, rows, inputs - depth)
        n += columns


cdef void few_rows_forward(const Job* job, const real* x, Index rows) noexcept nogil:
    # x (rows, inputs); the layers' h (rows, stride) in the workspace
    """z of every layer becomes h = f(z), but for the last, which stays z."""
    cdef Index number, x_stride = job.settings.inputs
    cdef const Layer* layer
    cdef real* h
    for number in range(job.n_layers):
        layer = &job.layers[number]
        h = job.workspace + layer.activations
        few_rows_product(h, layer.stride, x, x_stride, job.parameters + layer.weights,
                         job.parameters + layer.bias if layer.bias >= 0 else NULL,
                         job.own + job.settings.packed_at, rows, layer.inputs, layer.outputs)
        if number < job.n_layers - 1:
            activate_rows(h, rows, layer.stride, layer.outputs, <int> layer.activation)
        x = h
        x_stride = layer.stride


cdef void softmax_rows(
    real* out, const real* z, Index z_stride, real* block, Index rows, Index outputs,
) noexcept nogil:
    # out (rows, outputs), z (rows, z_stride), block (outputs, ROW_BLOCK)
    """out = softmax(z), row by row; samples lie along the lanes meanwhile."""
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
    """Outputs of samples first ... first + count, at most a chunk."""
    cdef const Layer* last = &job.layers[job.n_layers - 1]
    cdef const real* x = samples.x + first * job.settings.inputs
    cdef const real* z = job.workspace + last.activations
    cdef Index row
    if count <= TILE_ROWS:
        few_rows_forward(job, x, count)
    else:
        wide_forward(job, x, job.settings.inputs, first, 0, count, False)
    if last.activation == SOFTMAX:
        softmax_rows(out, z, last.stride, job.own + job.settings.outputs_at, count, last.outputs)
    else:
        for row in range(count):
            memcpy(out + row * last.outputs, z + row * last.stride, last.outputs * sizeof(real))
        activate_rows(out, count, last.outputs, last.outputs, <int> last.activation)


cdef bint outputs_of(Job* job, real* out, const Samples* samples) noexcept nogil:
    # out (rows, outputs)
    """Outputs of all samples, chunk by chunk; False, at once, where a sample is not finite."""
    cdef Index first = 0, count, inputs = job.settings.inputs, outputs = job.settings.outputs
    while first < samples.rows:
        count = min(job.settings.chunk, samples.rows - first)
        if not all_finite(samples.x + first * inputs, count * inputs):
            return False
        if job.settings.narrow:
            narrow_outputs(job, out + first * outputs, samples, first, count)
        else:
            wide_outputs(job, out + first * outputs, samples, first, count)
        first += count
    return True
