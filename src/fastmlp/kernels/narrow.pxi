# ---- narrow networks: samples along the lanes -----------------------------------------------------------------
# A network whose step fits in the first-level cache. A chunk of samples lies feature by feature, (width, chunk), so
# that a layer of 3 neurons fills the lanes as well as one of 300, and weights are read where they lie, one number
# for all lanes. A batch is cut into chunks; the chunks of a group add up their gradient in order, and the groups'
# gradients are added up as groups.pxi has it, whichever thread made them.


cdef void gather(
    real* x, real* y, int32_t* labels, real* weights, const Samples* samples, Index first, Index count, Index stride,
    Index inputs, Index outputs,
) noexcept nogil:
    # x (inputs, stride), y (outputs, stride) or labels (stride,), weights (stride,): of samples first ... first + count
    """Samples' rows become columns; lanes past the last sample repeat it, so that nothing overflows there alone."""
    cdef Index s, i, row, lanes = rounded_up(count, LANES)
    for s in range(count):
        row = row_number(samples, first + s)
        for i in range(inputs):
            x[i * stride + s] = samples.x[row * inputs + i]
        if samples.weights != NULL:
            weights[s] = samples.weights[row]
        if samples.labels != NULL:
            labels[s] = samples.labels[row]
        elif samples.y != NULL:
            for i in range(outputs):
                y[i * stride + s] = samples.y[row * outputs + i]
    for s in range(count, lanes):
        for i in range(inputs):
            x[i * stride + s] = x[i * stride + count - 1]
        if samples.weights != NULL:
            weights[s] = 0
        if samples.y != NULL:
            for i in range(outputs):
                y[i * stride + s] = y[i * stride + count - 1]


cdef void narrow_forward(const Job* job, const real* x, Index lanes, Index first, bint backward) noexcept nogil:
    # x (inputs, chunk), of samples from `first` on
    """z of every layer becomes h = f(z), but for the last, which stays z; backward: with what the way back needs."""
    cdef Index number, chunk = job.settings.chunk
    cdef const Layer* layer
    cdef const real* bias
    cdef real* h
    cdef Finish finish
    for number in range(job.n_layers):
        layer = &job.layers[number]
        h = job.own + layer.activations
        bias = job.parameters + layer.bias if layer.bias >= 0 else NULL
        finish = finish_of(job, job.own, number, 0, first, backward)
        lanes_product(h, job.parameters + layer.weights, 1, layer.outputs, x, bias, only_rectifies(&finish), NULL,
                      chunk, layer.outputs, layer.inputs, lanes)
        if not only_rectifies(&finish):
            finish_rows(h, layer.outputs, chunk, lanes, &finish, 0)
        x = h


cdef void narrow_backward(const Job* job, real* gradient, const real* x, Index lanes, bint accumulate) noexcept nogil:
    # gradient (parameters,), x (inputs, chunk)
    """gradient = or += Σ_samples dL/dW and dL/db of every layer, from the last layer's dL/dz."""
    cdef Index number, chunk = job.settings.chunk
    cdef const Layer* layer
    cdef const Layer* below
    cdef const real* h
    cdef real* dz
    cdef real* dh
    cdef Slopes slopes
    for number in range(job.n_layers - 1, -1, -1):
        layer = &job.layers[number]
        below = &job.layers[number - 1] if number > 0 else NULL
        h = x
        if number > 0:
            h = job.own + below.activations
        dz = job.own + layer.deltas
        lanes_backward_weights(gradient + layer.weights, gradient + layer.bias if layer.bias >= 0 else NULL,
                               h, dz, chunk, layer.inputs, layer.outputs, lanes, accumulate)
        if number > 0:
            dh = job.own + below.deltas
            slopes = slopes_of(below, job.own, 0)
            lanes_product(dh, job.parameters + layer.weights, layer.outputs, 1, dz, NULL, False,
                          slopes.at if slopes.activation == RELU else NULL, chunk, layer.inputs, layer.outputs, lanes)
            if slopes.activation != RELU:
                multiply_by_slope(dh, chunk, slopes.at, chunk, layer.inputs, lanes, slopes.activation)


cdef void narrow_note(const Job* job, Index count, double* squares) noexcept nogil:
    # squares (layers,)
    """squares += Σ h² of every layer over a chunk of `count` samples."""
    cdef Index number, j
    cdef const Layer* layer
    for number in range(job.n_layers):
        layer = &job.layers[number]
        for j in range(layer.outputs):
            squares[number] += sum_of_squares(job.own + layer.activations + j * job.settings.chunk, count)


cdef real* resident_place(const Job* job, int64_t at, Index index) noexcept nogil:
    """Where chunk `index` of samples that stay laid out lies; NULL where samples pass through the thread's own."""
    cdef const Settings* settings = job.settings
    if at < 0:
        return NULL
    return job.workspace + at + index * (settings.inputs + settings.outputs + 2) * settings.chunk


cdef Tally narrow_chunk(
    const Job* job, const Samples* samples, Index first, Index count, real* place, bint gathered,
    real* gradient, bint accumulate, double* squares,
) noexcept nogil:
    # place: x (inputs, chunk), y (outputs, chunk), labels (chunk,), weights (chunk,) one behind the other; NULL: the
    # thread's own; squares (layers,), or NULL
    """One chunk of samples through all layers, and back if there is a gradient to fill."""
    cdef const Settings* settings = job.settings
    cdef const Layer* last = &job.layers[job.n_layers - 1]
    cdef Index chunk = settings.chunk, lanes = rounded_up(count, LANES)
    cdef real* x = place if place != NULL else job.own + settings.inputs_at
    cdef real* y = x + settings.inputs * chunk
    cdef int32_t* labels = <int32_t*> (y + settings.outputs * chunk)
    cdef real* weights = y + (settings.outputs + 1) * chunk
    if place == NULL or not gathered:
        gather(x, y, labels, weights, samples, first, count, chunk, settings.inputs, settings.outputs)
    narrow_forward(job, x, lanes, first, gradient != NULL)
    cdef Tally tally = output_layer(
        job.own + settings.losses_at, job.own + last.deltas if gradient != NULL else NULL,
        job.own + last.activations, y, labels if samples.labels != NULL else NULL,
        weights if samples.weights != NULL else NULL, settings, job.loss_parameters, <int> last.activation,
        chunk, count, settings.outputs)
    if squares != NULL:
        narrow_note(job, count, squares)
    if gradient != NULL:
        narrow_backward(job, gradient, x, lanes, accumulate)
    return tally


cdef void narrow_gradient(Job* job, const Samples* samples, Index first, Index rows, bint gathered) noexcept nogil:
    """This thread's groups of a batch: their gradients and tallies."""
    cdef Index chunk = job.settings.chunk, chunks = (rows + chunk - 1) // chunk
    cdef Index groups = groups_of(job, rows), group, c, begin
    cdef Tally part
    cdef Tally* tally
    cdef real* gradient
    cdef double* squares
    for group in range(first_part(job, job.thread, groups), first_part(job, job.thread + 1, groups)):
        tally = &(<Tally*> job.tallies)[group]
        tally.loss = tally.hits = 0
        squares = noted_squares(job, group)
        if squares != NULL:
            memset(squares, 0, job.n_layers * sizeof(double))
        gradient = job.gradient
        if groups > 1:
            gradient = group_gradient(job, group)
        begin = group * chunks // groups
        for c in range(begin, (group + 1) * chunks // groups):
            part = narrow_chunk(job, samples, first + c * chunk, min(chunk, rows - c * chunk),
                                resident_place(job, job.settings.resident_at, c), gathered, gradient, c > begin,
                                squares)
            tally.loss += part.loss
            tally.hits += part.hits
    if groups > 1:
        add_groups(job, groups, 0, job.settings.parameters, True)


cdef void narrow_tallies(Job* job, const Samples* samples, Tally* tallies, bint gathered) noexcept nogil:
    """Loss and hits of this thread's chunks of `samples`, forward only."""
    cdef Index chunk = job.settings.chunk, chunks = (samples.rows + chunk - 1) // chunk, c
    for c in range(first_part(job, job.thread, chunks), first_part(job, job.thread + 1, chunks)):
        tallies[c] = narrow_chunk(job, samples, c * chunk, min(chunk, samples.rows - c * chunk),
                                  resident_place(job, job.settings.validation_resident_at, c), gathered, NULL, False,
                                  NULL)
