# ---- losses ---------------------------------------------------------------------------------------------------
# The output layer of a block of samples, samples along the lanes: from z in place to h = f(z), each sample's loss,
# the delta dL/dz, and how many samples were classified rightly. Both layouts of a network end here, so that a loss
# stands once. Lanes past the samples hold no sample of the batch; their deltas are set to zero. A target that is NaN
# was not observed: its output has neither loss nor delta.

cdef enum:
    SQUARED_ERROR = 0
    BINARY_CROSS_ENTROPY = 1
    CROSS_ENTROPY = 2
    ABSOLUTE_ERROR = 3
    HUBER = 4
    QUANTILE = 5
    LOG_COSH = 6
    POISSON = 7
    GAMMA = 8
    HINGE = 9

    NO_METRIC = 0           # regression
    LARGEST = 1             # the largest output names the class
    THRESHOLD = 2           # every output is on its target's side of 1/2
    SIGN = 3                # every output is on its target's side of 0


cdef inline vec loss_of_error(vec error, real parameter, vec* slope, const int loss) noexcept nogil:
    """The loss of one output whose error is h - y, and its derivative by h; with the loss's parameter, if any."""
    cdef vec size = magnitude(error)
    if loss == ABSOLUTE_ERROR:
        slope[0] = sign_vector(error)
        return size
    if loss == HUBER:               # P. J. Huber (1964)
        slope[0] = smaller(splat(parameter), larger(splat(-parameter), error))
        return slope[0] * (error - <real> 0.5 * slope[0])
    if loss == QUANTILE:            # R. Koenker and G. Bassett (1978)
        slope[0] = select(is_less(error, ZERO), splat(-parameter), sign_vector(error) * (<real> 1 - parameter))
        return slope[0] * error
    if loss == LOG_COSH:
        slope[0] = tanh_vector(error)
        return size + (log1p_exp_vector(size + size) - <real> 0.6931471805599453)
    slope[0] = error
    return <real> 0.5 * error * error


cdef inline void error_loss_as(
    real* losses, real* dz, real* h, const real* y, const double* parameters, Index stride, Index lanes,
    Index outputs, const int loss, const int activation,
) noexcept nogil:
    cdef Index s, j
    cdef vec total, out, target, part, slope
    cdef ivec observed
    cdef real parameter = 0
    activate_rows(h, outputs, stride, lanes, activation)
    for s in range(0, lanes // LANES):
        total = ZERO
        for j in range(outputs):
            if parameters != NULL:
                parameter = <real> parameters[j]
            out = load(h + j * stride + s * LANES)
            target = load(y + j * stride + s * LANES)
            observed = is_equal(target, target)
            part = loss_of_error(out - target, parameter, &slope, loss)
            total += select(observed, part, ZERO)
            if dz != NULL:
                store(dz + j * stride + s * LANES, select(observed, slope * slope_vector(out, activation), ZERO))
        store(losses + s * LANES, total)


cdef void error_loss(
    real* losses, real* dz, real* h, const real* y, const double* parameters, Index stride, Index lanes, Index outputs,
    int loss, int activation,
) noexcept nogil:
    # losses (stride,), dz (outputs, stride) or NULL, h (outputs, stride), z on entry; y (outputs, stride);
    # parameters (outputs,) or NULL
    """h = f(z), loss = Σ_outputs L(h - y), dz = L'(h - y) f'(z)."""
    if loss == ABSOLUTE_ERROR:
        error_loss_as(losses, dz, h, y, NULL, stride, lanes, outputs, ABSOLUTE_ERROR, IDENTITY)
    elif loss == HUBER:
        error_loss_as(losses, dz, h, y, parameters, stride, lanes, outputs, HUBER, IDENTITY)
    elif loss == QUANTILE:
        error_loss_as(losses, dz, h, y, parameters, stride, lanes, outputs, QUANTILE, IDENTITY)
    elif loss == LOG_COSH:
        error_loss_as(losses, dz, h, y, NULL, stride, lanes, outputs, LOG_COSH, IDENTITY)
    elif activation == SIGMOID:
        error_loss_as(losses, dz, h, y, NULL, stride, lanes, outputs, SQUARED_ERROR, SIGMOID)
    else:
        error_loss_as(losses, dz, h, y, NULL, stride, lanes, outputs, SQUARED_ERROR, IDENTITY)


cdef void half_deviance(
    real* losses, real* dz, real* h, const real* y, Index stride, Index lanes, Index outputs, int loss,
) noexcept nogil:
    # losses (stride,), dz (outputs, stride) or NULL, h (outputs, stride), z on entry; y (outputs, stride)
    """h = exp(z); Poisson: Σ_outputs y log(y / h) - y + h, dz = h - y; gamma: Σ y / h - 1 - log(y / h), 1 - y / h."""
    cdef Index s, j
    cdef vec total, z, out, target, part, ratio, log_target
    cdef ivec observed
    for s in range(0, lanes // LANES):
        total = ZERO
        for j in range(outputs):
            z = load(h + j * stride + s * LANES)
            target = load(y + j * stride + s * LANES)
            observed = is_equal(target, target)
            log_target = log_vector(target)
            out = exp_vector(z)
            if loss == POISSON:
                # 0 log 0 is 0
                part = select(is_equal(target, ZERO), out, target * (log_target - z) + (out - target))
                ratio = out - target
            else:
                ratio = target * exp_vector(-z)
                part = (ratio - <real> 1) - (log_target - z)
                ratio = <real> 1 - ratio
            total += select(observed, part, ZERO)
            store(h + j * stride + s * LANES, out)
            if dz != NULL:
                store(dz + j * stride + s * LANES, select(observed, ratio, ZERO))
        store(losses + s * LANES, total)


cdef void hinge(
    real* losses, real* dz, const real* h, const real* y, Index stride, Index lanes, Index outputs,
) noexcept nogil:
    # losses (stride,), dz (outputs, stride) or NULL, h = z (outputs, stride); y (outputs, stride), -1 and 1
    """loss = Σ_outputs max(0, 1 - y h), dz = -y where that is above 0 (C. Cortes and V. Vapnik, 1995)."""
    cdef Index s, j
    cdef vec total, target, short
    cdef ivec observed
    for s in range(0, lanes // LANES):
        total = ZERO
        for j in range(outputs):
            target = load(y + j * stride + s * LANES)
            observed = is_equal(target, target)
            short = larger(ZERO, <real> 1 - target * load(h + j * stride + s * LANES))
            total += select(observed, short, ZERO)
            if dz != NULL:
                # -y where something is missing to the margin, 0 where nothing is, NaN where h is
                store(dz + j * stride + s * LANES,
                      select(observed, -target * select(is_less(ZERO, short), splat(1), short), ZERO))
        store(losses + s * LANES, total)


cdef void binary_cross_entropy(
    real* losses, real* dz, real* h, const real* y, real smoothing, Index stride, Index lanes, Index outputs,
) noexcept nogil:
    # losses (stride,), dz (outputs, stride) or NULL, h (outputs, stride), z on entry; y (outputs, stride)
    """h = sigmoid(z), loss = Σ_outputs max(z, 0) - t z + log(1 + exp(-|z|)), dz = h - t, t = y + smoothing (1/2 - y).

    NaN in y is neither loss nor delta.
    """
    cdef Index s, j
    cdef vec total, z, out, target
    cdef ivec observed
    for s in range(0, lanes // LANES):
        total = ZERO
        for j in range(outputs):
            z = load(h + j * stride + s * LANES)
            target = load(y + j * stride + s * LANES)
            observed = is_equal(target, target)
            target = target + smoothing * (<real> 0.5 - target)
            out = sigmoid_vector(z)
            # max(z, 0) - t z, written so that a label of 0 or 1 that is met leaves an exact zero
            total += select(observed, (larger(ZERO, z) - target * z) + log1p_exp_vector(z), ZERO)
            store(h + j * stride + s * LANES, out)
            if dz != NULL:
                store(dz + j * stride + s * LANES, select(observed, out - target, ZERO))
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


cdef void soft_cross_entropy(
    real* losses, real* dz, real* h, const real* y, const int32_t* labels, real smoothing, Index stride, Index lanes,
    Index samples, Index outputs,
) noexcept nogil:
    # losses (2, stride), its first row the result; dz (outputs, stride) or NULL; h (outputs, stride), z on entry;
    # y (outputs, stride), or labels (samples,)
    """h = softmax(z), loss = -Σ t log h, dz = h Σ t - t, t = (1 - smoothing) y + smoothing / outputs.

    Of a label, y is the one-hot row. Smoothing as in C. Szegedy et al., Rethinking the Inception architecture (2016).
    """
    cdef Index s, j, v
    cdef vec largest, total, sum_of_targets, product, shifted, e, target, label = ZERO
    cdef real share = smoothing / outputs, kept = <real> 1 - smoothing
    cdef real* labelled = losses + stride
    cdef real* column
    if labels != NULL:
        for s in range(samples):
            labelled[s] = <real> labels[s]
    for v in range(0, lanes // LANES):
        column = h + v * LANES
        largest = load(column)
        for j in range(1, outputs):
            largest = larger(largest, load(column + j * stride))
        total = sum_of_targets = product = ZERO
        if labels != NULL:
            label = load(labelled + v * LANES)
        for j in range(outputs):
            if labels != NULL:
                target = select(is_equal(label, splat(<real> j)), splat(kept + share), splat(share))
            else:
                target = load(y + j * stride + v * LANES) * kept + share
            shifted = load(column + j * stride) - largest
            product += target * shifted
            sum_of_targets += target
            e = exp_vector(shifted)
            total += e
            store(column + j * stride, e)
            if dz != NULL:
                store(dz + j * stride + v * LANES, target)
        store(losses + v * LANES, sum_of_targets * log_vector(total) - product)
        total = divide(splat(1), total)
        for j in range(outputs):
            e = load(column + j * stride) * total
            store(column + j * stride, e)
            if dz != NULL:
                store(dz + j * stride + v * LANES,
                      e * sum_of_targets - load(dz + j * stride + v * LANES))


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


cdef double count_hits(
    const real* h, const real* y, const int32_t* labels, const real* weights, int metric, Index stride, Index samples,
    Index outputs,
) noexcept nogil:
    # h (outputs, stride); y (outputs, stride) or labels (samples,); weights (samples,), or NULL: 1 each
    """The weight of the samples that are classified as their targets say."""
    cdef Index s = 0, j, lane
    cdef double hits = 0
    cdef ivec right
    cdef vec target, bound = splat(<real> (0 if metric == SIGN else 0.5))
    cdef real flags[64]
    while s < samples:
        if metric == THRESHOLD or metric == SIGN:
            right = ~bits(ZERO)
            for j in range(outputs):
                target = load(y + j * stride + s)
                right = right & ~((is_less(bound, load(h + j * stride + s)) ^ is_less(bound, target))
                                  & is_equal(target, target))
            store(flags, select(right, splat(1), ZERO))
        elif labels != NULL:
            store(flags, largest_output(h + s, stride, outputs))
            for lane in range(min(LANES, samples - s)):
                flags[lane] = labels[s + lane] == <int32_t> flags[lane]
        else:
            right = is_equal(largest_output(h + s, stride, outputs), largest_output(y + s, stride, outputs))
            store(flags, select(right, splat(1), ZERO))
        for lane in range(min(LANES, samples - s)):
            hits += flags[lane] if weights == NULL else flags[lane] * weights[s + lane]
        s += LANES
    return hits


cdef void weigh(real* losses, real* dz, const real* weights, Index stride, Index lanes, Index outputs) noexcept nogil:
    # losses, weights (stride,), dz (outputs, stride) or NULL
    """losses = losses weights, dz = dz weights, sample by sample; a weight of 0 leaves nothing, not even of NaN."""
    cdef Index s, j
    cdef vec weight
    cdef ivec none
    for s in range(0, lanes // LANES):
        weight = load(weights + s * LANES)
        none = is_equal(weight, ZERO)
        store(losses + s * LANES, select(none, ZERO, load(losses + s * LANES) * weight))
        if dz != NULL:
            for j in range(outputs):
                store(dz + j * stride + s * LANES, select(none, ZERO, load(dz + j * stride + s * LANES) * weight))


ctypedef struct Tally:
    double loss             # Σ over samples
    double hits


cdef Tally output_layer(
    real* losses, real* dz, real* h, const real* y, const int32_t* labels, const real* weights,
    const Settings* settings, const double* parameters, int activation, Index stride, Index samples, Index outputs,
) noexcept nogil:
    # losses (3, stride), scratch; dz (outputs, stride) or NULL; h (outputs, stride), z on entry;
    # y (outputs, stride) or labels (samples,); weights (stride,), or NULL; parameters of the loss (outputs,), or NULL
    """h = f(z), dz = dL/dz of each sample, Σ loss and hits over the samples."""
    cdef Index lanes = rounded_up(samples, LANES), s, j
    cdef Tally tally
    # the one parameter of a cross-entropy is its smoothing
    cdef real smoothing = <real> (parameters[0] if parameters != NULL else 0)
    if settings.loss == CROSS_ENTROPY and labels != NULL and smoothing == 0:
        cross_entropy(losses, dz, h, labels, stride, lanes, samples, outputs)
    elif settings.loss == CROSS_ENTROPY:
        soft_cross_entropy(losses, dz, h, y, labels, smoothing, stride, lanes, samples, outputs)
    elif settings.loss == BINARY_CROSS_ENTROPY:
        binary_cross_entropy(losses, dz, h, y, smoothing, stride, lanes, outputs)
    elif settings.loss == HINGE:
        hinge(losses, dz, h, y, stride, lanes, outputs)
    elif settings.loss == POISSON or settings.loss == GAMMA:
        half_deviance(losses, dz, h, y, stride, lanes, outputs, <int> settings.loss)
    else:
        error_loss(losses, dz, h, y, parameters, stride, lanes, outputs, <int> settings.loss, activation)
    if weights != NULL:
        weigh(losses, dz, weights, stride, lanes, outputs)
    if dz != NULL:
        for j in range(outputs):
            for s in range(samples, lanes):
                dz[j * stride + s] = 0
    tally.loss = sum_of(losses, samples)
    tally.hits = 0
    if settings.metric != NO_METRIC:
        tally.hits = count_hits(h, y, labels, weights, <int> settings.metric, stride, samples, outputs)
    return tally
