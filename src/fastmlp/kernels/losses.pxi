# ---- losses ---------------------------------------------------------------------------------------------------
# The output layer of a block of samples, samples along the lanes: from z in place to h = f(z), each sample's loss,
# the delta dL/dz, and how many samples were classified correctly. Both layouts of a network end here. Lanes past the
# samples hold no sample of the batch; their deltas are set to zero. A target that is NaN was not observed: its output
# has neither loss nor delta.
#
# A loss is one function, which dispatch.pxi finds by its name. If its row takes "h", <name>_loss computes the loss of
# an output h and its derivative by h; if "z", h, the loss and its derivative by z. If "row", <name>_rows does a block.

ctypedef struct OutputBlock:
    real* losses                # (3, stride): the samples' losses, then scratch
    real* dz                    # (outputs, stride), or NULL: no delta is wanted
    real* h                     # (outputs, stride), z on entry
    const real* y               # (outputs, stride), or NULL
    const int32_t* labels       # (samples,), or NULL
    const real* weights         # of losses (stride,), or NULL: 1 each
    const Samples* source       # where the samples come from, and the weights of hits lie,
    Index first                 # from this sample of it on
    Index stride                # a multiple of LANES
    Index samples
    Index outputs
    int activation

ctypedef struct Tally:
    double loss                 # Σ over samples
    double hits


cdef inline Index lanes_of(const OutputBlock* block) noexcept nogil:
    """The samples, rounded up to whole vectors."""
    return rounded_up(block.samples, LANES)


cdef inline real first_parameter(const double* parameters) noexcept nogil:
    """The parameter of a loss that has the same for all outputs; 0 if it has none."""
    return <real> (parameters[0] if parameters != NULL else 0)


# ---- losses of one output -----------------------------------------------------------------------------------------

cdef inline vec squared_error_loss(vec h, vec y, real parameter, vec* slope) noexcept nogil:
    """(h - y)² / 2."""
    cdef vec error = h - y
    slope[0] = error
    return <real> 0.5 * error * error


cdef inline vec absolute_error_loss(vec h, vec y, real parameter, vec* slope) noexcept nogil:
    """|h - y|."""
    cdef vec error = h - y
    slope[0] = sign_vector(error)
    return magnitude(error)


cdef inline vec huber_loss(vec h, vec y, real parameter, vec* slope) noexcept nogil:
    """(h - y)² / 2 up to an error of `parameter`, and a straight line beyond: P. J. Huber (1964)."""
    cdef vec error = h - y
    slope[0] = smaller(splat(parameter), larger(splat(-parameter), error))
    return slope[0] * (error - <real> 0.5 * slope[0])


cdef inline vec quantile_loss(vec h, vec y, real parameter, vec* slope) noexcept nogil:
    """`parameter` (y - h) if y > h, else (1 - `parameter`) (h - y): R. Koenker and G. Bassett (1978)."""
    cdef vec error = h - y
    slope[0] = select(is_less(error, ZERO), splat(-parameter), sign_vector(error) * (<real> 1 - parameter))
    return slope[0] * error


cdef inline vec log_cosh_loss(vec h, vec y, real parameter, vec* slope) noexcept nogil:
    """log(cosh(h - y))."""
    cdef vec error = h - y, size = magnitude(error)
    slope[0] = tanh_vector(error)
    # |x| + log((1 + exp(-2|x|)) / 2), whose digits cancel near 0
    return select(is_less(size, splat(LOG_COSH_END)), log_cosh_near_vector(error),
                  size + (log1p_exp_vector(size + size) - <real> 0.6931471805599453))


cdef inline vec hinge_loss(vec h, vec y, real parameter, vec* slope) noexcept nogil:
    """max(0, 1 - y h), y = -1 or 1 (C. Cortes and V. Vapnik, 1995)."""
    cdef vec short = larger(ZERO, <real> 1 - y * h)
    # -y if something is missing to the margin, 0 if nothing is, NaN if h is
    slope[0] = -y * select(is_less(ZERO, short), splat(1), short)
    return short


cdef inline vec binary_cross_entropy_loss(vec z, vec y, real parameter, vec* h, vec* dz) noexcept nogil:
    """h = sigmoid(z), loss = max(z, 0) - t z + log(1 + exp(-|z|)), dz = h - t, t = y + smoothing (1/2 - y)."""
    cdef vec t = y + parameter * (<real> 0.5 - y)
    h[0] = sigmoid_vector(z)
    dz[0] = h[0] - t
    # max(z, 0) - t z, written so that a label of 0 or 1 that is met leaves an exact zero
    return (larger(ZERO, z) - t * z) + log1p_exp_vector(z)


cdef inline vec log_of_ratio(vec ratio, vec y, vec z) noexcept nogil:
    """log(y / h) for h = exp(z), where `ratio` is y / h: of that while it is a normal number, else of its parts."""
    cdef ivec normal = is_less(splat(SMALLEST_NORMAL), ratio) & is_less(ratio, splat(<real> INFINITY))
    return log_vector(select(normal, ratio, y)) - select(normal, ZERO, z)


cdef inline vec poisson_loss(vec z, vec y, real parameter, vec* h, vec* dz) noexcept nogil:
    """h = exp(z), loss = y log(y / h) - y + h, dz = h - y."""
    cdef vec ratio, f, far, loss
    h[0] = exp_vector(z)
    dz[0] = h[0] - y
    # With f = y / h - 1 the loss is y (log(1 + f) - f) - (h - y) f, whose parts near the optimum do not cancel.
    ratio = divide(y, h[0])
    f = divide(-dz[0], h[0])
    far = y * log_of_ratio(ratio, y, z) + dz[0]
    loss = select(is_near_one(ratio), y * log1p_rest_vector(f) - dz[0] * f, far)
    return select(is_equal(y, ZERO), h[0], loss)        # 0 log 0 is 0


cdef inline vec gamma_loss(vec z, vec y, real parameter, vec* h, vec* dz) noexcept nogil:
    """h = exp(z), loss = y / h - log(y / h) - 1, dz = 1 - y / h."""
    cdef vec ratio = scaled_exp_vector(-z, y), f = ratio - <real> 1
    h[0] = exp_vector(z)
    dz[0] = <real> 1 - ratio
    return select(is_near_one(ratio), -log1p_rest_vector(f), f - log_of_ratio(ratio, y, z))


cdef inline void elementwise_loss_as(
    const OutputBlock* block, const double* parameters, const int loss, const int activation, const bint takes_z,
    const bint backward,
) noexcept nogil:
    # parameters (outputs,), or NULL
    """h = f(z), loss = Σ_outputs L(h, y); dz = dL/dz if backward."""
    # `backward` is a constant so that all uses of a product stand in one branch: compilers contract a * b + c within a
    # branch only, and the bits of a delta should not depend on what the compiler makes of an `if`.
    cdef OutputBlock b = block[0]       # a copy: stores through its pointers cannot change it
    cdef Index s, j, at
    cdef vec total, out, target, part, dz
    cdef ivec observed
    cdef real parameter = 0
    for s in range(lanes_of(block) // LANES):
        total = ZERO
        for j in range(b.outputs):
            at = j * b.stride + s * LANES
            if parameters != NULL:
                parameter = <real> parameters[j]
            out = load(b.h + at)
            target = load(b.y + at)
            observed = is_equal(target, target)
            if takes_z:
                part = loss_of_z(out, target, parameter, &out, &dz, loss)
            else:
                out = activate_vector(out, activation)
                part = loss_of_h(out, target, parameter, &dz, loss)
                dz = dz * slope_vector(out, activation)
            total += select(observed, part, ZERO)
            if activation != IDENTITY:
                store(b.h + at, out)
            if backward:
                store(b.dz + at, select(observed, dz, ZERO))
        store(b.losses + s * LANES, total)


# ---- losses of a whole sample -------------------------------------------------------------------------------------

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


cdef void cross_entropy_rows(const OutputBlock* block, real parameter) noexcept nogil:
    """h = softmax(z), loss = -Σ t log h, dz = h Σ t - t, t = (1 - smoothing) y + smoothing / outputs."""
    if block.labels != NULL and parameter == 0:
        label_cross_entropy(block)
    else:
        soft_cross_entropy(block, parameter)


cdef void label_cross_entropy(const OutputBlock* block) noexcept nogil:
    """h = softmax(z), loss = log Σ exp(z) - z_label, dz = h - onehot(label)."""
    cdef Index s, j, v, stride = block.stride, lanes = lanes_of(block)
    cdef real* losses = block.losses
    cdef real* top = losses + stride
    cdef real* labelled = losses + 2 * stride
    for s in range(block.samples):
        labelled[s] = block.h[block.labels[s] * stride + s]
    softmax(block.h, top, losses, stride, lanes, block.outputs)
    for s in range(block.samples):
        losses[s] -= labelled[s] - top[s]
    if block.dz == NULL:
        return
    for j in range(block.outputs):
        for v in range(lanes // LANES):
            store(block.dz + j * stride + v * LANES, load(block.h + j * stride + v * LANES))
    for s in range(block.samples):
        block.dz[block.labels[s] * stride + s] -= 1


cdef void soft_cross_entropy(const OutputBlock* block, real smoothing) noexcept nogil:
    """As cross_entropy_rows, of smoothed labels or of rows y of probabilities. A label's y is its one-hot row.

    Smoothing as in C. Szegedy et al., Rethinking the Inception architecture (2016).
    """
    cdef OutputBlock b = block[0]
    cdef Index s, j, v
    cdef vec largest, total, sum_of_targets, product, shifted, e, target, label = ZERO
    cdef real spread = smoothing / b.outputs, kept = <real> 1 - smoothing
    cdef real* labelled = b.losses + b.stride
    cdef real* column
    cdef real* delta
    if b.labels != NULL:
        for s in range(b.samples):
            labelled[s] = <real> b.labels[s]
    for v in range(0, lanes_of(block) // LANES):
        column = b.h + v * LANES
        delta = b.dz + v * LANES if b.dz != NULL else NULL
        largest = load(column)
        for j in range(1, b.outputs):
            largest = larger(largest, load(column + j * b.stride))
        total = sum_of_targets = product = ZERO
        if b.labels != NULL:
            label = load(labelled + v * LANES)
        for j in range(b.outputs):
            if b.labels != NULL:
                target = select(is_equal(label, splat(<real> j)), splat(kept + spread), splat(spread))
            else:
                target = load(b.y + j * b.stride + v * LANES) * kept + spread
            shifted = load(column + j * b.stride) - largest
            product += target * shifted
            sum_of_targets += target
            e = exp_vector(shifted)
            total += e
            store(column + j * b.stride, e)
            if delta != NULL:
                store(delta + j * b.stride, target)
        store(b.losses + v * LANES, sum_of_targets * log_vector(total) - product)
        total = divide(splat(1), total)
        for j in range(b.outputs):
            e = load(column + j * b.stride) * total
            store(column + j * b.stride, e)
            if delta != NULL:
                store(delta + j * b.stride, e * sum_of_targets - load(delta + j * b.stride))


# ---- hits and weights ---------------------------------------------------------------------------------------------

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


cdef ivec all_on_their_side(const OutputBlock* block, Index sample, real threshold) noexcept nogil:
    """In which lanes, from `sample` on, every output lies on the same side of the threshold as its target."""
    cdef ivec right = ~bits(ZERO)
    cdef vec target, bound = splat(threshold)
    cdef Index j
    for j in range(block.outputs):
        target = load(block.y + j * block.stride + sample)
        right = right & ~((is_less(bound, load(block.h + j * block.stride + sample)) ^ is_less(bound, target))
                          & is_equal(target, target))
    return right


cdef double count_hits(const OutputBlock* block, const Settings* settings) noexcept nogil:
    """The weight of the samples that are classified as their targets say; their classes' weights do not count."""
    cdef Index s = 0, lane, stride = block.stride, outputs = block.outputs, count
    cdef const real* weights = block.source.metric_weights
    cdef double hits = 0
    cdef ivec right
    cdef real flags[64]
    while s < block.samples:
        count = min(LANES, block.samples - s)
        if settings.metric == LARGEST and block.labels != NULL:
            store(flags, largest_output(block.h + s, stride, outputs))
            for lane in range(count):
                flags[lane] = block.labels[s + lane] == <int32_t> flags[lane]
        else:
            if settings.metric == LARGEST:
                right = is_equal(largest_output(block.h + s, stride, outputs),
                                 largest_output(block.y + s, stride, outputs))
            else:
                right = all_on_their_side(block, s, <real> settings.threshold)
            store(flags, select(right, splat(1), ZERO))
        for lane in range(count):
            hits += flags[lane] if weights == NULL else (
                flags[lane] * weights[row_number(block.source, block.first + s + lane)])
        s += LANES
    return hits


cdef void weigh(const OutputBlock* block) noexcept nogil:
    """losses = losses weights, dz = dz weights, sample by sample; a weight of 0 makes everything 0, even NaN."""
    cdef Index s, j
    cdef vec weight
    cdef ivec none
    cdef real* losses = block.losses
    cdef real* dz = block.dz
    for s in range(lanes_of(block) // LANES):
        weight = load(block.weights + s * LANES)
        none = is_equal(weight, ZERO)
        store(losses, select(none, ZERO, load(losses) * weight))
        losses += LANES
        if dz == NULL:
            continue
        for j in range(block.outputs):
            store(dz + j * block.stride, select(none, ZERO, load(dz + j * block.stride) * weight))
        dz += LANES


cdef Tally output_layer(
    const OutputBlock* block, const Settings* settings, const double* parameters,
) noexcept nogil:
    # parameters of the loss (outputs,), or NULL; all arrays of the block are padded to whole vectors
    """h = f(z), dz = dL/dz of each sample, Σ loss and hits over the samples."""
    cdef Index s, j
    cdef Tally tally
    if block.dz != NULL:
        loss_of(block, parameters, <int> settings.loss, True)
    else:
        loss_of(block, parameters, <int> settings.loss, False)
    if block.weights != NULL:
        weigh(block)
    if block.dz != NULL:
        for j in range(block.outputs):
            for s in range(block.samples, lanes_of(block)):
                block.dz[j * block.stride + s] = 0
    tally.loss = sum_of(block.losses, block.samples)
    tally.hits = count_hits(block, settings) if settings.metric != NO_METRIC else 0
    return tally
