# ---- narrow networks: samples along the lanes -----------------------------------------------------------------
# For networks whose step fits in the first-level cache. A chunk of samples lies feature by feature, (width, chunk), so
# that a layer of 3 neurons fills the lanes as well as one of 300, and weights are read in place, one number for all
# lanes. A batch is cut into chunks; the chunks of a group add up their gradient in order, and groups.pxi adds up the
# groups' gradients, whichever thread computed them.


ctypedef struct Columns:
    # samples laid along the lanes, one column per sample, `stride` numbers from one row to the next
    real* x                 # (inputs, stride)
    real* y                 # (outputs, stride), if there are targets that are not labels
    int32_t* labels         # (stride,), if there are labels
    real* weights           # (stride,), if samples have weights
    Index stride


cdef void gather(
    const Columns* to, const Samples* samples, Index first, Index count, Index inputs, Index outputs,
) noexcept nogil:
    # to.x (inputs, stride), to.y (outputs, stride) or to.labels (stride,), to.weights (stride,)
    """Lay samples first ... first + count along the lanes.

    The caller guarantees that stride is a whole number of vectors, at least `count`. Lanes past the last sample repeat
    it, so that nothing overflows there alone.
    """
    cdef Index s, i, row, lanes = rounded_up(count, LANES)
    for s in range(count):
        row = row_number(samples, first + s)
        for i in range(inputs):
            to.x[i * to.stride + s] = samples.x[row * inputs + i]
        if samples.weights != NULL:
            to.weights[s] = samples.weights[row]
        if samples.labels != NULL:
            to.labels[s] = samples.labels[row]
        elif samples.y != NULL:
            for i in range(outputs):
                to.y[i * to.stride + s] = samples.y[row * outputs + i]
    for s in range(count, lanes):
        for i in range(inputs):
            to.x[i * to.stride + s] = to.x[i * to.stride + count - 1]
        if samples.weights != NULL:
            to.weights[s] = 0
        if samples.y != NULL:
            for i in range(outputs):
                to.y[i * to.stride + s] = to.y[i * to.stride + count - 1]


cdef void narrow_forward(const Job* job, const real* x, Index lanes, Index first, bint backward) noexcept nogil:
    # x (inputs, chunk), of samples from `first` on; the layout guarantees that a chunk is whole vectors
    """h = f(z) of every layer but the last, which stays z; backward: also what the backward pass needs."""
    cdef Index number, chunk = job.settings.chunk
    cdef const Layer* layer
    cdef real* h
    cdef Finish finish
    cdef Operand w
    cdef Panel panel
    for number in range(job.n_layers):
        layer = &job.layers[number]
        h = job.own + layer.activations
        finish = finish_of(job, job.own, number, 0, first, backward)
        set_panel(&panel, matrix(h, chunk), chunk, True)
        panel.rectifies = only_rectifies(&finish)
        if layer.bias >= 0:
            panel.start = FROM_ROW_BIAS
            panel.bias = job.parameters + layer.bias
        set_operand(&w, job.parameters + layer.weights, 1, layer.outputs)
        lanes_product(&panel, &w, const_matrix(x, chunk), layer.outputs, layer.inputs, lanes)
        if not only_rectifies(&finish):
            finish_rows(h, layer.outputs, chunk, lanes, &finish, 0)
        x = h


cdef void narrow_backward_inputs(const Job* job, Index number, Index lanes) noexcept nogil:
    """dz of layer `number` - 1 = (w dz) f'(z), from dz of layer `number`."""
    cdef Index chunk = job.settings.chunk
    cdef const Layer* layer = &job.layers[number]
    cdef const Layer* below = &job.layers[number - 1]
    cdef real* dh = job.own + below.deltas
    cdef Slopes slopes = slopes_of(below, job.own, 0)
    cdef Operand w
    cdef Panel panel
    set_operand(&w, job.parameters + layer.weights, layer.outputs, 1)
    set_panel(&panel, matrix(dh, chunk), chunk, True)
    if slopes.activation == RELU:
        panel.gate.at = slopes.at
        panel.gate.stride = chunk
    lanes_product(&panel, &w, const_matrix(job.own + layer.deltas, chunk), layer.inputs, layer.outputs, lanes)
    if slopes.activation != RELU:
        multiply_by_slope(dh, chunk, slopes.at, chunk, layer.inputs, lanes, slopes.activation)


cdef void narrow_backward(const Job* job, real* gradient, const real* x, Index lanes, bint accumulates) noexcept nogil:
    # gradient (parameters,), x (inputs, chunk)
    """gradient = or += Σ_samples dL/dW and dL/db of every layer, from the last layer's dL/dz."""
    cdef Index number, chunk = job.settings.chunk
    cdef const Layer* layer
    cdef const real* h
    for number in range(job.n_layers - 1, -1, -1):
        layer = &job.layers[number]
        h = x
        if number > 0:
            h = job.own + job.layers[number - 1].activations
        lanes_backward_weights(gradient + layer.weights, gradient + layer.bias if layer.bias >= 0 else NULL,
                               const_matrix(h, chunk), job.own + layer.deltas, layer.inputs, layer.outputs, lanes,
                               accumulates)
        if number > 0:
            narrow_backward_inputs(job, number, lanes)


cdef void narrow_note(const Job* job, Index count, double* squares) noexcept nogil:
    # squares (layers,)
    """squares += Σ h² of every layer over a chunk of `count` samples."""
    cdef Index number, j
    cdef const Layer* layer
    for number in range(job.n_layers):
        layer = &job.layers[number]
        for j in range(layer.outputs):
            squares[number] += sum_of_squares(job.own + layer.activations + j * job.settings.chunk, count)


ctypedef struct Chunk:
    Index first             # samples first ... first + count
    Index count
    real* at                # where they are laid out: to stay there, or in the thread's own memory
    bint laid_out           # whether they lie there already


cdef inline void set_chunk(
    Chunk* chunk, const Job* job, Index number, Index first, Index rows, int64_t resident_at, bint laid_out,
) noexcept nogil:
    """Set chunk `number` of `rows` samples from `first` on; resident_at: -1 if samples do not stay laid out."""
    cdef const Settings* settings = job.settings
    chunk.first = first + number * settings.chunk
    chunk.count = min(settings.chunk, rows - number * settings.chunk)
    chunk.at = job.own + settings.inputs_at
    chunk.laid_out = False
    if resident_at >= 0:
        chunk.at = job.workspace + resident_at + number * (settings.inputs + settings.outputs + 2) * settings.chunk
        chunk.laid_out = laid_out


cdef inline void set_columns(Columns* columns, const Job* job, real* at) noexcept nogil:
    # at: x (inputs, chunk), y (outputs, chunk), labels (chunk,), weights (chunk,), one after the other
    """Set where the parts of a chunk lie; the layout guarantees room for them."""
    cdef const Settings* settings = job.settings
    columns.x = at
    columns.y = at + settings.inputs * settings.chunk
    columns.labels = <int32_t*> (columns.y + settings.outputs * settings.chunk)
    columns.weights = columns.y + (settings.outputs + 1) * settings.chunk
    columns.stride = settings.chunk


cdef inline void set_narrow_outputs(
    OutputBlock* block, const Job* job, const Samples* samples, const Columns* columns, const Chunk* chunk,
    bint backward,
) noexcept nogil:
    """Set the output layer of a chunk."""
    cdef const Layer* last = &job.layers[job.n_layers - 1]
    block.losses = job.own + job.settings.losses_at
    block.dz = job.own + last.deltas if backward else NULL
    block.h = job.own + last.activations
    block.y = columns.y
    block.labels = columns.labels if samples.labels != NULL else NULL
    block.weights = columns.weights if samples.weights != NULL else NULL
    block.source, block.first = samples, chunk.first
    block.stride, block.samples, block.outputs = columns.stride, chunk.count, job.settings.outputs
    block.activation = <int> last.activation


cdef Tally narrow_chunk(
    const Job* job, const Samples* samples, const Chunk* chunk, real* gradient, bint accumulates, double* squares,
) noexcept nogil:
    # gradient (parameters,), or NULL: no backward pass; squares (layers,), or NULL
    """Compute a chunk's loss and hits, gradient = or += its gradient, squares += its Σ h² per layer."""
    cdef const Settings* settings = job.settings
    cdef Index lanes = rounded_up(chunk.count, LANES)
    cdef Columns columns
    cdef OutputBlock block
    set_columns(&columns, job, chunk.at)
    set_narrow_outputs(&block, job, samples, &columns, chunk, gradient != NULL)
    if not chunk.laid_out:
        gather(&columns, samples, chunk.first, chunk.count, settings.inputs, settings.outputs)
    narrow_forward(job, columns.x, lanes, chunk.first, gradient != NULL)
    cdef Tally tally = output_layer(&block, settings, job.loss_parameters)
    if squares != NULL:
        narrow_note(job, chunk.count, squares)
    if gradient != NULL:
        narrow_backward(job, gradient, columns.x, lanes, accumulates)
    return tally


cdef Tally narrow_group(
    Job* job, const Samples* samples, Index first, Index rows, Index group, bint laid_out,
) noexcept nogil:
    """Compute the gradient, loss and hits of one group of a batch's chunks."""
    cdef Index chunks = (rows + job.settings.chunk - 1) // job.settings.chunk, groups = groups_of(job, rows), c
    cdef Index begin = group * chunks // groups
    cdef double* squares = noted_squares(job, group)
    cdef real* gradient = group_gradient(job, group) if groups > 1 else job.gradient
    cdef Chunk chunk
    cdef Tally total, part
    total.loss = total.hits = 0
    if squares != NULL:
        memset(squares, 0, job.n_layers * sizeof(double))
    for c in range(begin, (group + 1) * chunks // groups):
        set_chunk(&chunk, job, c, first, rows, job.settings.resident_at, laid_out)
        part = narrow_chunk(job, samples, &chunk, gradient, c > begin, squares)
        total.loss += part.loss
        total.hits += part.hits
    return total


cdef void narrow_gradient(Job* job, const Samples* samples, Index first, Index rows, bint laid_out) noexcept nogil:
    """Compute the gradients and tallies of this thread's groups of a batch."""
    cdef Index groups = groups_of(job, rows), group
    for group in range(first_part(job, job.thread, groups), first_part(job, job.thread + 1, groups)):
        (<Tally*> job.tallies)[group] = narrow_group(job, samples, first, rows, group, laid_out)
    if groups > 1:
        add_groups(job, groups, 0, job.settings.parameters, True)


cdef void narrow_tallies(
    Job* job, const Samples* samples, Index first, Index end, Tally* tallies, bint laid_out,
) noexcept nogil:
    """Compute loss and hits of this thread's part of chunks first ... end of `samples`, without a backward pass."""
    cdef Index c
    cdef Chunk chunk
    for c in range(first + first_part(job, job.thread, end - first),
                   first + first_part(job, job.thread + 1, end - first)):
        set_chunk(&chunk, job, c, 0, samples.rows, job.settings.validation_resident_at, laid_out)
        tallies[c] = narrow_chunk(job, samples, &chunk, NULL, False, NULL)
