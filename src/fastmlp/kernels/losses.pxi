# ---- losses ---------------------------------------------------------------------------------------------------
# The output layer of a block of samples, samples along the lanes: from z in place to h = f(z), each sample's loss,
# the delta dL/dz, and how many samples were classified rightly. Both layouts of a network end here, so that a loss
# stands once. Lanes past the samples hold no sample of the batch; their deltas are set to zero.

cdef enum:
    SQUARED_ERROR = 0
    BINARY_CROSS_ENTROPY = 1
    CROSS_ENTROPY = 2

    NO_METRIC = 0           # regression
    LARGEST = 1             # the largest output names the class
    THRESHOLD = 2           # every output is on its target's side of 1/2


cdef inline void squared_error(
    real* losses, real* dz, real* h, const real* y, Index stride, Index lanes, Index outputs, const int activation,
) noexcept nogil:
    # losses (stride,), dz (outputs, stride) or NULL, h (outputs, stride), z on entry; y (outputs, stride)
    """h = f(z), loss = Σ_outputs (y - h)² / 2, dz = (h - y) f'(z)."""
    cdef Index s, j
    cdef vec total, out, error
    activate_rows(h, outputs, stride, lanes, activation)
    for s in range(0, lanes // LANES):
        total = ZERO
        for j in range(outputs):
            out = load(h + j * stride + s * LANES)
            error = out - load(y + j * stride + s * LANES)
            total += <real> 0.5 * error * error
            if dz != NULL:
                store(dz + j * stride + s * LANES, error * slope_vector(out, activation))
        store(losses + s * LANES, total)


cdef void binary_cross_entropy(
    real* losses, real* dz, real* h, const real* y, Index stride, Index lanes, Index outputs,
) noexcept nogil:
    # losses (stride,), dz (outputs, stride) or NULL, h (outputs, stride), z on entry; y (outputs, stride)
    """h = sigmoid(z), loss = Σ_outputs max(z, 0) - y z + log(1 + exp(-|z|)), dz = h - y."""
    cdef Index s, j
    cdef vec total, z, out, target
    for s in range(0, lanes // LANES):
        total = ZERO
        for j in range(outputs):
            z = load(h + j * stride + s * LANES)
            target = load(y + j * stride + s * LANES)
            out = sigmoid_vector(z)
            # max(z, 0) - y z, written so that a label of 0 or 1 that is met leaves an exact zero
            total += (larger(ZERO, z) - target * z) + log1p_exp_vector(z)
            store(h + j * stride + s * LANES, out)
            if dz != NULL:
                store(dz + j * stride + s * LANES, out - target)
        store(losses + s * LANES, total)


cdef void softmax(real* h, real* top, real* log_total, Index stride, Index lanes, Index outputs) noexcept nogil:
    # h (outputs, stride), z on entry; top (stride,) and log_total (stride,), or both NULL
    """h = exp(z) / Σ exp(z); top = max z, log_total = log Σ exp(z - top)."""
    cdef Index s, j
    cdef vec largest, total, e
    cdef real* column
    for s in range(0, lanes // LANES):
        column = h + s * LANES
        largest = load(column)
        for j in range(1, outputs):
            largest = larger(largest, load(column + j * stride))
        total = ZERO
        for j in range(outputs):
            e = exp_vector(load(column + j * stride) - largest)
            store(column + j * stride, e)
            total += e
        if top != NULL:
            store(top + s * LANES, largest)
            store(log_total + s * LANES, log_vector(total))
        total = divide(splat(1), total)
        for j in range(outputs):
            store(column + j * stride, load(column + j * stride) * total)


cdef void cross_entropy(
    real* losses, real* dz, real* h, const int32_t* labels, Index stride, Index lanes, Index samples, Index outputs,
) noexcept nogil:
    # losses (3, stride), its first row the result; dz (outputs, stride) or NULL; h (outputs, stride), z on entry;
    # labels (samples,)
    """h = softmax(z), loss = log Σ exp(z) - z_label, dz = h - onehot(label)."""
    cdef Index s, j, v
    cdef real* top = losses + stride
    cdef real* labelled = losses + 2 * stride
    for s in range(samples):
        labelled[s] = h[labels[s] * stride + s]
    softmax(h, top, losses, stride, lanes, outputs)
    for s in range(samples):
        losses[s] -= labelled[s] - top[s]
    if dz == NULL:
        return
    for j in range(outputs):
        for v in range(lanes // LANES):
            store(dz + j * stride + v * LANES, load(h + j * stride + v * LANES))
    for s in range(samples):
        dz[labels[s] * stride + s] -= 1


cdef vec largest_output(const real* h, Index stride, Index outputs) noexcept nogil:
    # h (outputs, LANES)
    """argmax over outputs, the first of equals, as a number in each lane."""
    cdef vec top = load(h), index = ZERO
    cdef ivec above
    cdef Index j
    for j in range(1, outputs):
        above = is_less(top, load(h + j * stride))
        top = select(above, load(h + j * stride), top)
        index = select(above, splat(<real> j), index)
    return index


cdef inline Index count_true(ivec mask, Index lanes) noexcept nogil:
    cdef real flags[64]
    cdef Index lane, total = 0
    store(flags, select(mask, splat(1), ZERO))
    for lane in range(lanes):
        total += flags[lane] != 0
    return total


cdef Index count_hits(
    const real* h, const real* y, const int32_t* labels, int metric, Index stride, Index samples, Index outputs,
) noexcept nogil:
    # h (outputs, stride); y (outputs, stride) or labels (samples,)
    """How many samples are classified as their targets say."""
    cdef Index s = 0, j, lane, hits = 0
    cdef ivec right
    cdef real index[64]
    while s < samples:
        if metric == THRESHOLD:
            right = ~bits(ZERO)
            for j in range(outputs):
                right = right & ~(is_less(splat(<real> 0.5), load(h + j * stride + s))
                                  ^ is_less(splat(<real> 0.5), load(y + j * stride + s)))
            hits += count_true(right, min(LANES, samples - s))
        elif labels != NULL:
            store(index, largest_output(h + s, stride, outputs))
            for lane in range(min(LANES, samples - s)):
                hits += labels[s + lane] == <int32_t> index[lane]
        else:
            right = is_equal(largest_output(h + s, stride, outputs), largest_output(y + s, stride, outputs))
            hits += count_true(right, min(LANES, samples - s))
        s += LANES
    return hits


ctypedef struct Tally:
    double loss             # Σ over samples
    double hits


cdef Tally output_layer(
    real* losses, real* dz, real* h, const real* y, const int32_t* labels, const Settings* settings, int activation,
    Index stride, Index samples, Index outputs,
) noexcept nogil:
    # losses (3, stride), scratch; dz (outputs, stride) or NULL; h (outputs, stride), z on entry;
    # y (outputs, stride) or labels (samples,)
    """h = f(z), dz = dL/dz of each sample, Σ loss and hits over the samples."""
    cdef Index lanes = rounded_up(samples, LANES), s, j
    cdef Tally tally
    if settings.loss == CROSS_ENTROPY:
        cross_entropy(losses, dz, h, labels, stride, lanes, samples, outputs)
    elif settings.loss == BINARY_CROSS_ENTROPY:
        binary_cross_entropy(losses, dz, h, y, stride, lanes, outputs)
    elif activation == SIGMOID:
        squared_error(losses, dz, h, y, stride, lanes, outputs, SIGMOID)
    else:
        squared_error(losses, dz, h, y, stride, lanes, outputs, IDENTITY)
    if dz != NULL:
        for j in range(outputs):
            for s in range(samples, lanes):
                dz[j * stride + s] = 0
    tally.loss = sum_of(losses, samples)
    tally.hits = 0
    if settings.metric != NO_METRIC:
        tally.hits = count_hits(h, y, labels, <int> settings.metric, stride, samples, outputs)
    return tally
