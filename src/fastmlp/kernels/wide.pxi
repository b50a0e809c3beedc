# ---- wide networks: outputs along the lanes -------------------------------------------------------------------
# Rows of a chunk lie one under the other, padded to whole vectors. Each thread takes a range of rows through all
# layers and back. Then there are two ways to the gradient, and sizes alone decide between them (_layout.py):
# (A) many weights: after a barrier each thread takes slabs of the weights, and sums their gradient over all rows of
#     the chunk in order.
# (B) few weights: rows come in groups, and each thread computes its groups' gradients itself, from what its own
#     cache holds; after a barrier the groups' gradients are added up (groups.pxi).
# No result depends on how the work is shared out.

cdef enum:
    ROW_BLOCK = 16          # rows are shared out, and losses are added up, in blocks of this many
    PACKED_FROM = 32        # rows of W from which on packing dz pays; fewer read it where it lies
    ROWS_AHEAD = 4          # shuffled rows lie anywhere: that many are asked for before they are copied


cdef inline const real* row_of(const Samples* samples, Index sample, Index inputs) noexcept nogil:
    return samples.x + row_number(samples, sample) * inputs


cdef void gather_rows(
    real* out, Index stride, const Samples* samples, Index first, Index count, Index inputs, Index column, Index size,
) noexcept nogil:
    # out (count, stride)
    """`size` columns from `column` on of samples first ... first + count, one under the other."""
    cdef Index s, v, whole = size // LANES, rest = size - size // LANES * LANES
    cdef const real* row
    cdef const real* ahead
    for s in range(count):
        row = row_of(samples, first + s, inputs) + column
        ahead = row_of(samples, first + min(s + ROWS_AHEAD, count - 1), inputs) + column
        for v in range(whole):
            fetch_ahead(ahead + v * LANES)
            store(out + v * LANES, load(row + v * LANES))
        if rest:
            v = whole * LANES
            fetch_ahead(ahead + v)
            store_first(out + v, load_first(row + v, rest), rest)
        out += stride


cdef inline bint has_zeros(const Job* job, Index number) noexcept nogil:
    """Whether a layer's inputs may have so many zeros that it pays to look for them."""
    cdef const Layer* below
    if number == 0:
        return job.settings.skip_inputs
    below = &job.layers[number - 1]
    return below.activation == RELU or below.dropout > 0


cdef void wide_forward(
    const Job* job, const real* x, Index x_stride, Index first, Index begin, Index end, bint backward,
) noexcept nogil:
    # x (end - begin, x_stride); the layers' h (chunk, stride) in the workspace, rows begin ... end of the chunk that
    # begins at sample `first`
    """z of every layer becomes h = f(z), but for the last, which stays z; backward: the deltas are written next."""
    cdef Index number
    cdef const Layer* layer
    cdef real* h
    cdef Claims claims
    cdef Finish finish
    claims.count = 2 if backward else 1
    for number in range(job.n_layers):
        layer = &job.layers[number]
        h = job.workspace + layer.activations + begin * layer.stride
        claims.at[0] = h
        claims.at[1] = job.workspace + layer.deltas + begin * layer.stride
        finish = finish_of(job, job.workspace, number, begin * layer.stride, first + begin, backward)
        product_forward(
            h, layer.stride, x, x_stride, job.parameters + layer.weights,
            job.parameters + layer.bias if layer.bias >= 0 else NULL,
            &finish, job.own + job.settings.packed_at,
            end - begin, layer.inputs, layer.outputs, True, &claims if job.settings.threads > 1 else NULL,
            has_zeros(job, number))
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


cdef void wide_note(const Job* job, Index row, Index count, const real* h, double* squares) noexcept nogil:
    # h (outputs, ROW_BLOCK), the output layer's; squares (layers,)
    """squares += Σ h² of every layer over rows row ... row + count of a chunk."""
    cdef Index number, j
    cdef const Layer* layer
    for number in range(job.n_layers - 1):
        layer = &job.layers[number]
        for j in range(row, row + count):
            squares[number] += sum_of_squares(job.workspace + layer.activations + j * layer.stride, layer.outputs)
    for j in range(job.settings.outputs):
        squares[job.n_layers - 1] += sum_of_squares(h + j * ROW_BLOCK, count)


cdef Tally wide_output_block(
    const Job* job, const Samples* samples, Index first, Index row, Index count, bint backward, double* squares,
) noexcept nogil:
    # squares (layers,), or NULL
    """The output layer of rows row ... row + count of the chunk that begins at sample `first`: h, loss and delta."""
    cdef const Settings* settings = job.settings
    cdef const Layer* last = &job.layers[job.n_layers - 1]
    cdef real* h = job.own + settings.outputs_at
    cdef real* dz = job.own + settings.output_deltas_at
    cdef real* y = job.own + settings.targets_at
    cdef int32_t* labels = <int32_t*> (job.own + settings.labels_at)
    cdef real* weights = job.own + settings.weights_at
    cdef real* z = job.workspace + last.activations + row * last.stride
    memset(h, 0, settings.outputs * ROW_BLOCK * sizeof(real))
    transpose(h, ROW_BLOCK, z, last.stride, count, settings.outputs)
    gather(NULL, y, labels, weights, samples, first + row, count, ROW_BLOCK, 0, settings.outputs)
    cdef Tally tally = output_layer(
        job.own + settings.losses_at, dz if backward else NULL, h, y,
        labels if samples.labels != NULL else NULL, weights if samples.weights != NULL else NULL,
        settings, job.loss_parameters, <int> last.activation, ROW_BLOCK, count, settings.outputs)
    if squares != NULL:
        wide_note(job, row, count, h, squares)
    if backward:
        transpose(job.workspace + last.deltas + row * last.stride, last.stride, dz, ROW_BLOCK, settings.outputs, count)
    return tally


cdef void wide_backward(const Job* job, Index begin, Index end) noexcept nogil:
    """dL/dz of every layer but the last from the one above it, rows begin ... end."""
    cdef Index number
    cdef const Layer* layer
    cdef const Layer* below
    cdef Slopes slopes
    for number in range(job.n_layers - 1, 0, -1):
        layer = &job.layers[number]
        below = &job.layers[number - 1]
        slopes = slopes_of(below, job.workspace, begin * below.stride)
        product_backward_inputs(
            job.workspace + below.deltas + begin * below.stride, below.stride,
            job.workspace + layer.deltas + begin * layer.stride, layer.stride, job.parameters + layer.weights,
            slopes.at, below.stride, slopes.activation, job.own + job.settings.packed_at,
            end - begin, layer.inputs, layer.outputs, True,
            number < job.n_layers - 1 and has_zeros(job, number + 1))


cdef Index units_of(const Job* job, Index rows) noexcept nogil:
    """How many units a chunk of `rows` is shared out in: groups, or blocks of ROW_BLOCK rows."""
    return groups_of(job, rows) if job.settings.groups > 1 else (rows + ROW_BLOCK - 1) // ROW_BLOCK


cdef Index unit_begin(const Job* job, Index unit, Index rows) noexcept nogil:
    """The first row of a unit of a chunk of `rows`."""
    return unit * rows // units_of(job, rows) if job.settings.groups > 1 else min(unit * ROW_BLOCK, rows)


cdef Index units_before(const Job* job, Index begin) noexcept nogil:
    """How many units the chunks before row `begin` have."""
    return begin // job.settings.chunk * units_of(job, job.settings.chunk)


cdef Tally wide_unit(
    const Job* job, const Samples* samples, Index first, Index row, Index end, bint backward, double* squares,
) noexcept nogil:
    # squares (layers,), or NULL
    """The output layer of rows row ... end of the chunk that begins at sample `first`, block by block."""
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


cdef const real* own_samples(const Job* job, const Samples* samples, Index first, Index* stride) noexcept nogil:
    """Where this thread's rows of a chunk lie, which begin at sample `first`: gathered, or in place."""
    if samples.order != NULL:
        stride[0] = job.settings.inputs_stride
        return job.own + job.settings.inputs_at
    stride[0] = job.settings.inputs
    return samples.x + first * job.settings.inputs


cdef void wide_rows(
    Job* job, const Samples* samples, Index first, Index rows, Tally* tallies, Index before, bint backward,
) noexcept nogil:
    """This thread's rows of a chunk: forward, loss, and back to every layer's delta if `backward`.

    `before` units of the same batch lie in the chunks before this one; `tallies` has a place for each.
    """
    cdef const Settings* settings = job.settings
    cdef Index units = units_of(job, rows), unit
    cdef Index first_unit = first_part(job, job.thread, units), last_unit = first_part(job, job.thread + 1, units)
    cdef Index begin = unit_begin(job, first_unit, rows), end = unit_begin(job, last_unit, rows), x_stride
    cdef const real* x = own_samples(job, samples, first + begin, &x_stride)
    if begin >= end:
        return
    if samples.order != NULL:
        gather_rows(<real*> x, x_stride, samples, first + begin, end - begin, settings.inputs, 0, settings.inputs)
    wide_forward(job, x, x_stride, first, begin, end, backward)
    for unit in range(first_unit, last_unit):
        tallies[before + unit] = wide_unit(
            job, samples, first, unit_begin(job, unit, rows), unit_begin(job, unit + 1, rows), backward,
            noted_squares(job, before + unit) if backward else NULL)
    if backward:
        wide_backward(job, begin, end)
        if settings.groups > 1:
            wide_group_gradients(job, x, x_stride, begin, rows)


cdef void wide_group_gradients(
    Job* job, const real* x, Index x_stride, Index first_row, Index rows,
) noexcept nogil:
    # x (rows of this thread, x_stride), from row `first_row` of the chunk on
    """This thread's groups of a chunk: each group's gradient, then their sums as far as they are its own."""
    cdef const Settings* settings = job.settings
    cdef Index groups = groups_of(job, rows), group, number, begin, count, h_stride
    cdef const Layer* layer
    cdef const real* h
    cdef real* gradient
    cdef Claims claims
    claims.count = 1
    for group in range(first_part(job, job.thread, groups), first_part(job, job.thread + 1, groups)):
        begin = unit_begin(job, group, rows)
        count = unit_begin(job, group + 1, rows) - begin
        gradient = group_gradient(job, group)
        for number in range(job.n_layers):
            layer = &job.layers[number]
            h = x + (begin - first_row) * x_stride
            h_stride = x_stride
            if number > 0:
                h_stride = job.layers[number - 1].stride
                h = job.workspace + job.layers[number - 1].activations + begin * h_stride
            claims.at[0] = gradient + layer.weights
            product_backward_weights(
                gradient + layer.weights, gradient + layer.bias if layer.bias >= 0 else NULL, h, h_stride,
                job.workspace + layer.deltas + begin * layer.stride, layer.stride, count, layer.inputs, layer.outputs,
                False, job.own + settings.packed_at if layer.inputs > PACKED_FROM else NULL,
                &claims if settings.threads > 1 else NULL, has_zeros(job, number))
    add_groups(job, groups, 0, settings.parameters, True)


cdef const real* slab_inputs(
    const Job* job, const Samples* samples, const Slab* slab, Index first, Index rows, Index* stride,
) noexcept nogil:
    # returns (rows, stride), the columns that meet the slab's rows of W
    """What a slab's weights are multiplied with: h of the layer below, or the samples' own columns."""
    cdef const Settings* settings = job.settings
    cdef real* gathered
    if slab.layer > 0:
        stride[0] = job.layers[slab.layer - 1].stride
        return job.workspace + job.layers[slab.layer - 1].activations + slab.first_row
    if samples.order == NULL:
        stride[0] = settings.inputs
        return samples.x + first * settings.inputs + slab.first_row
    if settings.threads == 1:
        stride[0] = settings.inputs_stride
        return job.own + settings.inputs_at + slab.first_row
    # What other threads gathered would have to be taken from their caches, and back for the next batch: it is
    # cheaper to gather the few columns once more.
    stride[0] = slab.rows
    gathered = job.own + settings.slab_inputs_at
    gather_rows(gathered, slab.rows, samples, first, rows, settings.inputs, slab.first_row, slab.rows)
    return gathered


cdef Claims slab_claims(const Job* job, const Slab* slab) noexcept nogil:
    """What the optimizer's step writes once a slab's gradient is known."""
    cdef Claims claims
    claims.at[0] = job.parameters + slab.begin
    claims.at[1] = job.state + slab.begin
    claims.at[2] = job.state + job.settings.parameters + slab.begin
    claims.count = <int> min(1 + job.settings.slots, MOST_CLAIMS)
    return claims


cdef void wide_slab_gradient(
    Job* job, const Samples* samples, const Slab* slab, Index first, Index rows, bint accumulate, bint last,
) noexcept nogil:
    """gradient = or += Σ_rows dL/dW, dL/db over a slab of one layer's weights; last: its update follows."""
    cdef const Layer* layer = &job.layers[slab.layer]
    cdef Index x_stride
    cdef const real* x = slab_inputs(job, samples, slab, first, rows, &x_stride)
    cdef Claims claims = slab_claims(job, slab)
    cdef real* db = NULL
    cdef real* packed = job.own + job.settings.packed_at if slab.rows > PACKED_FROM else NULL
    if layer.bias >= 0 and slab.first_row + slab.rows == layer.inputs:
        db = job.gradient + layer.bias
    product_backward_weights(job.gradient + slab.begin, db, x, x_stride, job.workspace + layer.deltas, layer.stride,
                             rows, slab.rows, layer.outputs, accumulate, packed, &claims if last else NULL,
                             has_zeros(job, slab.layer))
