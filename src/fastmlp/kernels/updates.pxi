# ---- penalties and optimizers ---------------------------------------------------------------------------------
# One pass over a range of the parameter vector: the batch's mean, the penalty's gradient, clipping and the optimizer's
# step, each number loaded and stored once. Formulas and defaults are PyTorch's.
# A step is <name>_vector: the new w, from w, its gradient g and the optimizer's state, which it updates in place.
# dispatch.pxi chooses among them by their names.

ctypedef struct Step:
    # the numbers of one step, the same for every parameter
    OwnSettings own             # the optimizer's settings
    real scale                  # 1 / rows in the batch, or what a clipped norm leaves of a finished gradient
    double penalty_scale        # 1, or 1 / the batch's weight if penalties are over that
    real clip_value             # what each entry of the gradient is cut to; 0: not at all
    real rate
    real beta1_rest             # 1 - beta1 and 1 - beta2, before either is rounded
    real beta2_rest
    real g_scale                # NAdam: the fraction of the gradient itself in the step
    real m_scale                # Adam: 1 / (1 - beta1^t); NAdam: the fraction of the mean gradient
    real v_scale                # 1 / sqrt(1 - beta2^t)
    real kept                   # what decoupled weight decay leaves of a parameter
    bint keep_gradient
    bint finished               # the gradient is: its mean was taken, its penalty added

ctypedef struct Slots:
    # the optimizer's state of a range of parameters, as many of them as the optimizer has
    real* a
    real* b
    real* c

ctypedef struct Penalty:
    real l1
    real l2
    real shift                  # the article's ridge term: one number, added to every weight's gradient


cdef inline vec running_mean(real* mean, vec x, real fraction, Index lanes) noexcept nogil:
    """mean = mean + (x - mean) fraction, stored and returned; this form loses no digits of a small fraction."""
    cdef vec moved = load_lanes(mean, lanes)
    moved = moved + (x - moved) * fraction
    store_lanes(mean, moved, lanes)
    return moved


cdef inline vec decayed_sum(real* total, real fraction, vec x, Index lanes) noexcept nogil:
    """total = total fraction + x, stored and returned."""
    cdef vec grown = load_lanes(total, lanes) * fraction + x
    store_lanes(total, grown, lanes)
    return grown


cdef inline vec sgd_vector(vec w, vec g, Slots s, Index lanes, const Step* step, const bint momentum) noexcept nogil:
    """B. T. Polyak (1964); Nesterov's form as in I. Sutskever et al. (2013)."""
    cdef vec buffer
    cdef real rate = step.rate
    if momentum:
        if step.own.rate_in_velocity:
            g = g * rate
            rate = 1
        buffer = decayed_sum(s.a, step.own.momentum, g, lanes)
        if not step.own.nesterov:
            return w - buffer * rate
        g = g + buffer * step.own.momentum
    return w - g * rate


cdef inline vec adam_vector(vec w, vec g, Slots s, Index lanes, const Step* step) noexcept nogil:
    """D. P. Kingma and J. Ba (2015); S. J. Reddi et al. (2018); decay as in I. Loshchilov and F. Hutter (2019)."""
    cdef vec m = running_mean(s.a, g, step.beta1_rest, lanes)
    cdef vec v = decayed_sum(s.b, step.own.beta2, g * g * step.beta2_rest, lanes)
    if step.own.amsgrad:
        v = larger(load_lanes(s.c, lanes), v)
        store_lanes(s.c, v, lanes)
    return w * step.kept - divide(m * (step.rate * step.m_scale), square_root(v) * step.v_scale + step.own.epsilon)


cdef inline vec nadam_vector(vec w, vec g, Slots s, Index lanes, const Step* step) noexcept nogil:
    """T. Dozat (2016)."""
    cdef vec m = running_mean(s.a, g, step.beta1_rest, lanes)
    cdef vec v = decayed_sum(s.b, step.own.beta2, g * g * step.beta2_rest, lanes)
    cdef vec along = g * step.g_scale + m * step.m_scale
    return w - divide(along * step.rate, square_root(v) * step.v_scale + step.own.epsilon)


cdef inline vec rmsprop_vector(
    vec w, vec g, Slots s, Index lanes, const Step* step, const bint momentum,
) noexcept nogil:
    """G. Hinton (2012); centered as in A. Graves (2013), whose variance rounding must not make negative."""
    cdef vec v = decayed_sum(s.a, step.own.beta2, g * g * step.beta2_rest, lanes)
    cdef vec mean
    if step.own.centered:
        mean = running_mean(s.c, g, step.beta2_rest, lanes)
        v = larger(ZERO, v - mean * mean)
    g = divide(g, square_root(v) + step.own.epsilon)
    if momentum:
        g = decayed_sum(s.b, step.own.momentum, g, lanes)
    return w - g * step.rate


cdef inline vec adagrad_vector(vec w, vec g, Slots s, Index lanes, const Step* step) noexcept nogil:
    """J. Duchi, E. Hazan and Y. Singer (2011)."""
    cdef vec total = decayed_sum(s.a, 1, g * g, lanes)
    return w - divide(g * step.rate, square_root(total) + step.own.epsilon)


cdef inline vec adadelta_vector(vec w, vec g, Slots s, Index lanes, const Step* step) noexcept nogil:
    """M. D. Zeiler (2012)."""
    cdef vec v = decayed_sum(s.a, step.own.beta2, g * g * step.beta2_rest, lanes)
    cdef vec past = load_lanes(s.b, lanes)
    cdef vec delta = g * divide(square_root(past + step.own.epsilon), square_root(v + step.own.epsilon))
    decayed_sum(s.b, step.own.beta2, delta * delta * step.beta2_rest, lanes)
    return w - delta * step.rate


cdef inline vec lion_vector(vec w, vec g, Slots s, Index lanes, const Step* step) noexcept nogil:
    """X. Chen et al. (2023)."""
    cdef vec blend = load_lanes(s.a, lanes) * step.own.beta1 + g * step.beta1_rest
    decayed_sum(s.a, step.own.beta2, g * step.beta2_rest, lanes)
    return w * step.kept - sign_vector(blend) * step.rate


cdef inline vec rprop_vector(vec w, vec g, Slots s, Index lanes, const Step* step) noexcept nogil:
    """M. Riedmiller and H. Braun (1993), as C. Igel and M. Hüsken's iRPROP- (2000)."""
    cdef vec agreement = load_lanes(s.a, lanes) * g
    cdef ivec turned = is_less(agreement, ZERO)
    cdef vec factor = select(is_less(ZERO, agreement), splat(step.own.eta_plus), splat(1))
    factor = select(turned, splat(step.own.eta_minus), factor)
    cdef vec length = larger(splat(step.own.least_step), load_lanes(s.b, lanes) * factor)
    length = smaller(splat(step.own.most_step), length)
    g = select(turned, ZERO, g)
    store_lanes(s.a, g, lanes)
    store_lanes(s.b, length, lanes)
    return w - sign_vector(g) * length


cdef inline Slots moved(Slots s, Index count) noexcept nogil:
    """The state `count` parameters further on."""
    s.a += count
    s.b += count
    s.c += count
    return s


cdef inline void update_vector(
    real* w, real* g, Slots s, Index lanes, const Step* step, const Penalty* penalty,
    const int optimizer, const bint momentum,
) noexcept nogil:
    cdef vec weight = load_lanes(w, lanes)
    cdef vec slope = load_lanes(g, lanes) * step.scale
    if penalty != NULL:
        slope = slope + weight * penalty.l2 + sign_vector(weight) * penalty.l1 + penalty.shift
    if step.keep_gradient:
        store_lanes(g, slope, lanes)
    if step.clip_value > 0:
        slope = smaller(splat(step.clip_value), larger(splat(-step.clip_value), slope))
    if optimizer != FROZEN:
        store_lanes(w, step_vector(weight, slope, s, lanes, step, optimizer, momentum), lanes)


cdef inline void update_as(
    real* w, real* g, Slots s, Index size, const Step* step, const Penalty* penalty,
    const int optimizer, const bint momentum,
) noexcept nogil:
    cdef Index i, whole = size // LANES
    for i in range(whole):
        update_vector(w + i * LANES, g + i * LANES, moved(s, i * LANES), LANES, step, penalty, optimizer, momentum)
    i = whole * LANES
    if i < size:
        update_vector(w + i, g + i, moved(s, i), size - i, step, penalty, optimizer, momentum)


cdef void update(
    real* w, real* g, Slots s, Index size, const Step* step, const Penalty* penalty, int optimizer,
) noexcept nogil:
    # w, g, and the state: (size,)
    """g = g / rows + l2 w + l1 sign(w) + shift; w and the state = the optimizer's step along g, clipped if asked for.

    g is stored only if step.keep_gradient. penalty may be NULL.
    """
    update_of(w, g, s, size, step, penalty, optimizer)


cdef inline vec squares_of_columns(const real* w, Index stride, Index rows, Index lanes, real scale) noexcept nogil:
    # w (rows, lanes), rows `stride` apart
    """Σ_rows (scale w)², column by column."""
    cdef Index i
    cdef vec squares = ZERO, x
    for i in range(rows):
        x = load_lanes(w + i * stride, lanes) * scale
        squares += x * x
    return squares


cdef void limit_columns(real* w, Index stride, Index rows, Index lanes, real largest) noexcept nogil:
    # w (rows, lanes), rows `stride` apart
    """w = w min(1, largest / |w|), column by column: N. Srivastava et al., Dropout (2014)."""
    cdef Index i
    cdef vec squares = squares_of_columns(w, stride, rows, lanes, 1), factor
    if not all_less(squares, splat(<real> INFINITY)):
        squares = squares_of_columns(w, stride, rows, lanes, SMALL_SCALE)     # of huge weights
        largest = largest * SMALL_SCALE
    factor = divide(splat(largest), square_root(squares))
    if all_less(splat(1), factor):      # nearly always
        return
    factor = smaller(splat(1), factor)
    for i in range(rows):
        store_lanes(w + i * stride, load_lanes(w + i * stride, lanes) * factor, lanes)
