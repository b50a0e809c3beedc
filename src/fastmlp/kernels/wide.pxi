# ---- wide networks: outputs along the lanes -------------------------------------------------------------------
# Rows of a chunk lie one under the other, padded to whole vectors. Each thread takes a range of rows through all
# layers and back. Then there are two ways to the gradient, and the layout decides between them by sizes alone:
# (A) many weights: after a barrier each thread takes slabs of the weights, and sums their gradient over all rows of
#     the chunk in order.
# (B) few weights: rows come in groups, and each thread computes its groups' gradients itself, from its own cache;
#     after a barrier the groups' gradients are added up (groups.pxi).
# No result depends on how rows and slabs are divided among threads.

cdef enum:
    PACKED_FROM = 32        # rows of W from which on packing dz pays; fewer rows read dz in place
    ROWS_AHEAD = 4          # shuffled rows fetched ahead of copying: they lie anywhere


cdef inline const real* row_of(const Samples* samples, Index sample, Index inputs) noexcept nogil:
    return samples.x + row_number(samples, sample) * inputs


cdef void gather_rows(
    Matrix out, const Samples* samples, Index first, Index count, Index inputs, Index column, Index size,
) noexcept nogil:
    # out (count, size)
    """out = `size` columns from `column` on of samples first ... first + count, one under the other."""
    cdef real* to = out.at
    cdef Index s, v, whole = size // LANES, rest = size - size // LANES * LANES
    cdef const real* row
    cdef const real* ahead
    for s in range(count):
        row = row_of(samples, first + s, inputs) + column
        ahead = row_of(samples, first + min(s + ROWS_AHEAD, count - 1), inputs) + column
        for v in range(whole):
            fetch_ahead(ahead + v * LANES)
            store(to + v * LANES, load(row + v * LANES))
        if rest:
            v = whole * LANES
            fetch_ahead(ahead + v)
            store_first(to + v, load_first(row + v, rest), rest)
        to += out.stride


cdef inline bint has_zeros(const Job* job, Index number) noexcept nogil:
    """Return whether a layer's inputs may have so many zeros that finding them pays."""
    if number == 0:
        return job.settings.skip_inputs
    return job.layers[number - 1].activation == RELU or is_dropping(job, number - 1)


cdef inline void set_layer_product(
    Product* product, const Job* job, Index number, Matrix z, ConstMatrix x, Index rows,
) noexcept nogil:
    # z (rows, outputs), x (rows, inputs) of layer `number`
    """z = x w + b of a layer."""
    cdef const Layer* layer = &job.layers[number]
    set_forward(product, z, x, job.parameters + layer.weights, rows, layer.inputs, layer.outputs)
    if layer.bias >= 0:
        product.bias = job.parameters + layer.bias
    product.packed = job.own + job.settings.packed_at


cdef void wide_forward(
    const Job* job, ConstMatrix x, Index first, Index begin, Index end, bint backward,
) noexcept nogil:
    # x (end - begin, inputs); the layers' h (chunk, stride) in the workspace, rows begin ... end of the chunk that
    # begins at sample `first`; the layout pads rows to whole vectors
    """h = f(z) of every layer but the last, which stays z; backward: the deltas are written next."""
    cdef Index number
    cdef const Layer* layer
    cdef Matrix h
    cdef Claims claims
    cdef Finish finish
    cdef Product product
    claims.count = 2 if backward else 1
    for number in range(job.n_layers):
        layer = &job.layers[number]
        h = matrix(job.workspace + layer.activations + begin * layer.stride, layer.stride)
        claims.at[0] = h.at
        claims.at[1] = job.workspace + layer.deltas + begin * layer.stride
        finish = finish_of(job, job.workspace, number, begin * layer.stride, first + begin, backward)
        set_layer_product(&product, job, number, h, x, end - begin)
        product.finish = &finish
        product.padded = True
        product.skips = has_zeros(job, number)
        if job.settings.threads > 1:
            product.claims = &claims
        compute(&product)
        x = const_matrix(h.at, h.stride)


cdef void transpose(
    real* out, Index out_stride, const real* x, Index x_stride, Index rows, Index columns,
) noexcept nogil:
    # out (columns, out_stride), x (rows, x_stride)
    """out = xᵀ."""
    cdef Index i, j
    for i in range(rows):
        for j in range(columns):
            out[j * out_stride + i] = x[i * x_stride + j]


cdef void wide_note(const Job* job, Index row, Index count, const real* h, double* squares) noexcept nogil:
    # h (outputs, ROW_BLOCK), the output layer's; squares (layers,)
    """squares += Σ h² per layer over rows row ... row + count of a chunk."""
    cdef Index number, j
    cdef const Layer* layer
    for number in range(job.n_layers - 1):
        layer = &job.layers[number]
        for j in range(row, row + count):
            squares[number] += sum_of_squares(job.workspace + layer.activations + j * layer.stride, layer.outputs)
    for j in range(job.settings.outputs):
        squares[job.n_layers - 1] += sum_of_squares(h + j * ROW_BLOCK, count)


cdef inline void set_wide_outputs(
    OutputBlock* block, const Job* job, const Samples* samples, Index first, Index count, bint backward,
) noexcept nogil:
    """Set the output layer of `count` samples from `first` on, at most ROW_BLOCK, in the thread's own memory."""
    cdef const Settings* settings = job.settings
    block.losses = job.own + settings.losses_at
    block.dz = job.own + settings.output_deltas_at if backward else NULL
    block.h = job.own + settings.outputs_at
    block.y = job.own + settings.targets_at
    block.labels = <int32_t*> (job.own + settings.labels_at) if samples.labels != NULL else NULL
    block.weights = job.own + settings.weights_at if samples.weights != NULL else NULL
    block.source, block.first = samples, first
    block.stride, block.samples, block.outputs = ROW_BLOCK, count, settings.outputs
    block.activation = <int> job.layers[job.n_layers - 1].activation


cdef void gather_targets(const Job* job, const Samples* samples, Index first, Index count) noexcept nogil:
    """Lay targets and weights of samples first ... first + count along the lanes, in the thread's own memory."""
    cdef const Settings* settings = job.settings
    cdef Columns columns
    columns.x = NULL
    columns.y = job.own + settings.targets_at
    columns.labels = <int32_t*> (job.own + settings.labels_at)
    columns.weights = job.own + settings.weights_at
    columns.stride = ROW_BLOCK
    gather(&columns, samples, first, count, 0, settings.outputs)


cdef Tally wide_output_block(
    const Job* job, const Samples* samples, Index first, Index row, Index count, bint backward, double* squares,
) noexcept nogil:
    # squares (layers,), or NULL
    """Compute h, loss and delta of the output layer: rows row ... row + count of the chunk that begins at `first`."""
    cdef const Layer* last = &job.layers[job.n_layers - 1]
    cdef real* z = job.workspace + last.activations + row * last.stride
    cdef OutputBlock block
    set_wide_outputs(&block, job, samples, first + row, count, backward)
    memset(block.h, 0, block.outputs * ROW_BLOCK * sizeof(real))
    transpose(block.h, ROW_BLOCK, z, last.stride, count, block.outputs)
    gather_targets(job, samples, first + row, count)
    cdef Tally tally = output_layer(&block, job.settings, job.loss_parameters)
    if squares != NULL:
        wide_note(job, row, count, block.h, squares)
    if backward:
        transpose(job.workspace + last.deltas + row * last.stride, last.stride, block.dz, ROW_BLOCK,
                  block.outputs, count)
    return tally


cdef void wide_backward(const Job* job, Index begin, Index end) noexcept nogil:
    """dz of every layer but the last from the layer above it, rows begin ... end."""
    cdef Index number
    cdef const Layer* layer
    cdef const Layer* below
    cdef Slopes slopes
    cdef Product product
    for number in range(job.n_layers - 1, 0, -1):
        layer = &job.layers[number]
        below = &job.layers[number - 1]
        slopes = slopes_of(below, job.workspace, begin * below.stride)
        set_backward_inputs(
            &product, matrix(job.workspace + below.deltas + begin * below.stride, below.stride),
            const_matrix(job.workspace + layer.deltas + begin * layer.stride, layer.stride),
            job.parameters + layer.weights, end - begin, layer.inputs, layer.outputs)
        product.h.at = slopes.at
        product.h.stride = below.stride
        product.activation = slopes.activation
        product.packed = job.own + job.settings.packed_at
        product.padded = True
        product.skips = number < job.n_layers - 1 and has_zeros(job, number + 1)
        compute(&product)


cdef Index units_of(const Job* job, Index rows) noexcept nogil:
    """Return how many units a chunk of `rows` is cut into: groups, or blocks of ROW_BLOCK rows."""
    return groups_of(job, rows) if job.settings.groups > 1 else (rows + ROW_BLOCK - 1) // ROW_BLOCK


cdef Index unit_begin(const Job* job, Index unit, Index rows) noexcept nogil:
    """Return the first row of a unit of a chunk of `rows`."""
    return unit * rows // units_of(job, rows) if job.settings.groups > 1 else min(unit * ROW_BLOCK, rows)


cdef Index units_before(const Job* job, Index begin) noexcept nogil:
    """Return how many units the chunks before row `begin` have."""
    return begin // job.settings.chunk * units_of(job, job.settings.chunk)


cdef Tally wide_unit(
    const Job* job, const Samples* samples, Index first, Index row, Index end, bint backward, double* squares,
) noexcept nogil:
    # squares (layers,), or NULL
    """Compute the output layer of rows row ... end of the chunk that begins at sample `first`, block by block."""
    cdef Tally total, part
    total.loss = total.hits = 0
    if squares != NULL:
        memset(squares, 0, job.n_layers * sizeof(double))
    while row < end:
        part = wide_output_block(job, samples, first, row, min(ROW_BLOCK, end - row), backward, squares)
        total.loss += part.loss
        total.hits += part.hits
        row += ROW_BLOCK
    return total


cdef ConstMatrix own_samples(const Job* job, const Samples* samples, Index first) noexcept nogil:
    """Return this thread's rows of a chunk, which begin at sample `first`: gathered memory, or in place."""
    if samples.order != NULL:
        return const_matrix(job.own + job.settings.inputs_at, job.settings.inputs_stride)
    return const_matrix(samples.x + first * job.settings.inputs, job.settings.inputs)


cdef void wide_rows(
    Job* job, const Samples* samples, Index first, Index rows, Tally* tallies, Index before, bint backward,
) noexcept nogil:
    """Take this thread's rows of a chunk forward, to the loss, and back to every layer's delta if `backward`.

    `before` units of the same batch lie in the chunks before this one; `tallies` has a place for each.
    """
    cdef const Settings* settings = job.settings
    cdef Index units = units_of(job, rows), unit
    cdef Index first_unit = first_part(job, job.thread, units), last_unit = first_part(job, job.thread + 1, units)
    cdef Index begin = unit_begin(job, first_unit, rows), end = unit_begin(job, last_unit, rows)
    cdef ConstMatrix x = own_samples(job, samples, first + begin)
    if begin >= end:
        return
    if samples.order != NULL:
        gather_rows(matrix(<real*> x.at, x.stride), samples, first + begin, end - begin,
                    settings.inputs, 0, settings.inputs)
    wide_forward(job, x, first, begin, end, backward)
    for unit in range(first_unit, last_unit):
        tallies[before + unit] = wide_unit(
            job, samples, first, unit_begin(job, unit, rows), unit_begin(job, unit + 1, rows), backward,
            noted_squares(job, before + unit) if backward else NULL)
    if backward:
        wide_backward(job, begin, end)
        if settings.groups > 1:
            wide_group_gradients(job, x, begin, rows)


cdef inline void set_weights_product(
    Product* product, const Job* job, Index number, real* dw, ConstMatrix x, Index row, Index rows, Index inputs,
) noexcept nogil:
    # dw (inputs, outputs), x (rows, inputs); inputs: all of layer `number`, or a slab's
    """dw = xᵀ dy of a layer, from its deltas of rows row ... row + rows of a chunk."""
    cdef const Layer* layer = &job.layers[number]
    cdef ConstMatrix dy = const_matrix(job.workspace + layer.deltas + row * layer.stride, layer.stride)
    set_backward_weights(product, dw, x, dy, rows, inputs, layer.outputs)
    if inputs > PACKED_FROM:
        product.packed = job.own + job.settings.packed_at
    product.skips = has_zeros(job, number)


cdef void wide_group_gradient(
    const Job* job, real* gradient, ConstMatrix x, Index row, Index rows,
) noexcept nogil:
    # gradient (parameters,), x (rows, inputs)
    """gradient = Σ_rows dL/dW, dL/db over a group, rows row ... row + rows of a chunk."""
    cdef Index number
    cdef const Layer* layer
    cdef Claims claims
    cdef Product product
    claims.count = 1
    for number in range(job.n_layers):
        layer = &job.layers[number]
        claims.at[0] = gradient + layer.weights
        set_weights_product(&product, job, number, gradient + layer.weights, x, row, rows, layer.inputs)
        if layer.bias >= 0:
            product.sums = gradient + layer.bias
        if job.settings.threads > 1:
            product.claims = &claims
        compute(&product)
        x = const_matrix(job.workspace + layer.activations + row * layer.stride, layer.stride)


cdef void wide_group_gradients(Job* job, ConstMatrix x, Index first_row, Index rows) noexcept nogil:
    # x (rows of this thread, inputs), from row `first_row` of the chunk on
    """Compute the gradients of this thread's groups of a chunk, then those of their sums that are its own."""
    cdef Index groups = groups_of(job, rows), group, begin, count
    cdef ConstMatrix group_x
    for group in range(first_part(job, job.thread, groups), first_part(job, job.thread + 1, groups)):
        begin = unit_begin(job, group, rows)
        count = unit_begin(job, group + 1, rows) - begin
        group_x = const_matrix(x.at + (begin - first_row) * x.stride, x.stride)
        wide_group_gradient(job, group_gradient(job, group), group_x, begin, count)
    add_groups(job, groups, 0, job.settings.parameters, True)


cdef ConstMatrix slab_inputs(
    const Job* job, const Samples* samples, const Slab* slab, Index first, Index rows,
) noexcept nogil:
    # returns (rows, slab.rows), the columns that meet the slab's rows of W
    """Return what a slab's weights are multiplied with: h of the layer below, or the samples' own columns."""
    cdef const Settings* settings = job.settings
    cdef const Layer* below
    cdef Matrix gathered
    if slab.layer > 0:
        below = &job.layers[slab.layer - 1]
        return const_matrix(job.workspace + below.activations + slab.first_row, below.stride)
    if samples.order == NULL:
        return const_matrix(samples.x + first * settings.inputs + slab.first_row, settings.inputs)
    if settings.threads == 1:
        return const_matrix(job.own + settings.inputs_at + slab.first_row, settings.inputs_stride)
    # Rows that other threads gathered would have to be taken from their caches, and back for the next batch: gathering
    # the few columns once more is cheaper.
    gathered = matrix(job.own + settings.slab_inputs_at, slab.rows)
    gather_rows(gathered, samples, first, rows, settings.inputs, slab.first_row, slab.rows)
    return const_matrix(gathered.at, gathered.stride)


cdef Claims slab_claims(const Job* job, const Slab* slab) noexcept nogil:
    """Return what the optimizer's step writes after a slab's gradient is known."""
    cdef Claims claims
    claims.at[0] = job.parameters + slab.begin
    claims.at[1] = job.state + slab.begin
    claims.at[2] = job.state + job.settings.parameters + slab.begin
    claims.count = <int> min(1 + job.settings.slots, MAX_CLAIMS)
    return claims


cdef void wide_slab_gradient(
    Job* job, const Samples* samples, const Slab* slab, Index first, Index rows, bint accumulates, bint last,
) noexcept nogil:
    """gradient = or += Σ_rows dL/dW, dL/db over a slab of one layer's weights; last: its update follows."""
    cdef const Layer* layer = &job.layers[slab.layer]
    cdef ConstMatrix x = slab_inputs(job, samples, slab, first, rows)
    cdef Claims claims = slab_claims(job, slab)
    cdef Product product
    set_weights_product(&product, job, slab.layer, job.gradient + slab.begin, x, 0, rows, slab.rows)
    if layer.bias >= 0 and slab.first_row + slab.rows == layer.inputs:
        product.sums = job.gradient + layer.bias
    product.accumulates = accumulates
    if last:
        product.claims = &claims
    compute(&product)
