# ---- wide networks: outputs along the lanes -------------------------------------------------------------------
# Rows of a chunk lie one under the other, padded to whole vectors. Each thread takes a range of rows through all
# layers and back; after a barrier each thread takes slabs of the weights, and sums their gradient over all rows of
# the chunk in order. Results of neither half depend on how it is shared out.

cdef enum:
    ROW_BLOCK = 16          # rows are shared out, and losses are added up, in blocks of this many


cdef void gather_rows(
    real* h, Index stride, const Samples* samples, Index first, Index count, Index inputs,
) noexcept nogil:
    # h (count, stride)
    """Rows first ... first + count of a batch, one under the other."""
    cdef Index s, row
    for s in range(count):
        row = samples.order[first + s] if samples.order != NULL else first + s
        memcpy(h + s * stride, samples.x + row * inputs, inputs * sizeof(real))


cdef void wide_forward(
    const Job* job, const real* x, Index x_stride, Index begin, Index end,
) noexcept nogil:
    # x (rows, inputs), rows `x_stride` apart; the layers' h (chunk, stride) in the workspace, rows begin ... end
    """z of every layer becomes h = f(z), but for the last, which stays z."""
    cdef Index number
    cdef const Layer* layer
    cdef real* h
    x = x + begin * x_stride
    for number in range(job.n_layers):
        layer = &job.layers[number]
        h = job.workspace + layer.activations + begin * layer.stride
        product_forward(
            h, layer.stride, x, x_stride, job.parameters + layer.weights,
            job.parameters + layer.bias if layer.bias >= 0 else NULL,
            <int> layer.activation if number < job.n_layers - 1 else IDENTITY, job.own + job.settings.packed_at,
            end - begin, layer.inputs, layer.outputs, True)
        x = h
        x_stride = layer.stride


cdef void transpose(
    real* out, Index out_stride, const real* x, Index x_stride, Index rows, Index columns,
) noexcept nogil:
    # out (columns, out_stride), x (rows, x_stride)
    """out = xᵀ."""
    cdef Index i, j
    for i in range(rows):
        for j in range(columns):
            out[j * out_stride + i] = x[i * x_stride + j]


cdef Tally wide_output_block(
    const Job* job, const Samples* samples, Index first, Index row, Index count, bint backward,
) noexcept nogil:
    """The output layer of rows row ... row + count of the chunk that begins at sample `first`: h, loss and delta."""
    cdef const Settings* settings = job.settings
    cdef const Layer* last = &job.layers[job.n_layers - 1]
    cdef real* h = job.own + settings.outputs_at
    cdef real* dz = job.own + settings.output_deltas_at
    cdef real* y = job.own + settings.targets_at
    cdef int32_t* labels = <int32_t*> (job.own + settings.labels_at)
    cdef real* z = job.workspace + last.activations + row * last.stride
    memset(h, 0, settings.outputs * ROW_BLOCK * sizeof(real))
    transpose(h, ROW_BLOCK, z, last.stride, count, settings.outputs)
    gather(NULL, y, labels, samples, first + row, count, ROW_BLOCK, 0, settings.outputs)
    cdef Tally tally = output_layer(
        job.own + settings.losses_at, dz if backward else NULL, h, y,
        labels if samples.labels != NULL else NULL, settings, <int> last.activation,
        ROW_BLOCK, count, settings.outputs)
    if backward:
        transpose(job.workspace + last.deltas + row * last.stride, last.stride, dz, ROW_BLOCK, settings.outputs, count)
    return tally


cdef void wide_backward(const Job* job, Index begin, Index end) noexcept nogil:
    """dL/dz of every layer but the last from the one above it, rows begin ... end."""
    cdef Index number
    cdef const Layer* layer
    cdef const Layer* below
    for number in range(job.n_layers - 1, 0, -1):
        layer = &job.layers[number]
        below = &job.layers[number - 1]
        product_backward_inputs(
            job.workspace + below.deltas + begin * below.stride, below.stride,
            job.workspace + layer.deltas + begin * layer.stride, layer.stride, job.parameters + layer.weights,
            job.workspace + below.activations + begin * below.stride, below.stride,
            <int> below.activation, job.own + job.settings.packed_at,
            end - begin, layer.inputs, layer.outputs, True)


cdef void wide_rows(
    Job* job, const Samples* samples, Index first, Index rows, Tally* tallies, bint backward,
) noexcept nogil:
    """This thread's rows of a chunk: forward, loss, and back to every layer's delta if `backward`."""
    cdef const Settings* settings = job.settings
    cdef Index blocks = (rows + ROW_BLOCK - 1) // ROW_BLOCK, block
    cdef Index first_block = job.thread * blocks // settings.threads
    cdef Index last_block = (job.thread + 1) * blocks // settings.threads
    cdef Index begin = first_block * ROW_BLOCK, end = min(last_block * ROW_BLOCK, rows)
    cdef const real* x = samples.x + first * settings.inputs
    cdef Index x_stride = settings.inputs
    cdef real* gathered = job.workspace + settings.inputs_at
    if begin >= end:
        return
    if backward or samples.order != NULL:
        x_stride = settings.inputs_stride
        gather_rows(gathered + begin * x_stride, x_stride, samples, first + begin, end - begin, settings.inputs)
        x = gathered
    wide_forward(job, x, x_stride, begin, end)
    for block in range(first_block, last_block):
        tallies[block] = wide_output_block(job, samples, first, block * ROW_BLOCK,
                                           min(ROW_BLOCK, rows - block * ROW_BLOCK), backward)
    if backward:
        wide_backward(job, begin, end)


cdef void wide_slab_gradient(Job* job, const Slab* slab, Index rows, bint accumulate) noexcept nogil:
    """gradient = or += Σ_rows dL/dW, dL/db over a slab of one layer's weights."""
    cdef const Layer* layer = &job.layers[slab.layer]
    cdef const real* x = job.workspace + job.settings.inputs_at
    cdef Index x_stride = job.settings.inputs_stride
    cdef real* db = NULL
    # A slab of many rows pays for packing dz; few rows read it where it lies.
    cdef real* packed = job.own + job.settings.packed_at if slab.rows > 4 * TILE_ROWS else NULL
    if slab.layer > 0:
        x = job.workspace + job.layers[slab.layer - 1].activations
        x_stride = job.layers[slab.layer - 1].stride
    if layer.bias >= 0 and slab.first_row + slab.rows == layer.inputs:
        db = job.gradient + layer.bias
    product_backward_weights(job.gradient + slab.begin, db, x + slab.first_row, x_stride,
                             job.workspace + layer.deltas, layer.stride,
                             rows, slab.rows, layer.outputs, accumulate, packed)
