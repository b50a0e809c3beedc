# ---- penalties and optimizers ---------------------------------------------------------------------------------
# One pass over a range of the parameter vector: the batch's mean, the penalty's gradient and the optimizer's step,
# each number loaded and stored once. Formulas and defaults are PyTorch's.

cdef enum:
    SGD = 0
    ADAM = 1
    FROZEN = 2              # no step: the gradient alone is wanted

ctypedef struct Step:
    # the numbers of one step, the same for every parameter
    real scale                  # 1 / rows in the batch
    real rate
    real momentum
    real beta1_rest             # 1 - beta1 and 1 - beta2, before either is rounded
    real beta2
    real beta2_rest
    real epsilon
    real m_scale                # 1 / (1 - beta1^t)
    real v_scale                # 1 / sqrt(1 - beta2^t)
    bint nesterov
    bint keep_gradient

ctypedef struct Penalty:
    real l1
    real l2
    real shift                  # the article's ridge term: one number, added to every weight's gradient


cdef inline vec step_vector(
    vec w, vec g, real* m, real* v, Index lanes, const Step* step, const int optimizer, const bint momentum,
) noexcept nogil:
    """w after one step of the optimizer along g; m and v are the optimizer's state, updated in place."""
    cdef vec first, second
    if optimizer == ADAM:       # D. P. Kingma and J. Ba, Adam (2015)
        first = load_lanes(m, lanes)
        first = first + (g - first) * step.beta1_rest
        second = load_lanes(v, lanes) * step.beta2 + g * g * step.beta2_rest
        store_lanes(m, first, lanes)
        store_lanes(v, second, lanes)
        return w - divide(first * (step.rate * step.m_scale), square_root(second) * step.v_scale + step.epsilon)
    if momentum:                # B. T. Polyak (1964); Nesterov's form as in I. Sutskever et al. (2013)
        first = load_lanes(m, lanes) * step.momentum + g
        store_lanes(m, first, lanes)
        if not step.nesterov:
            return w - first * step.rate
        g = g + first * step.momentum
    return w - g * step.rate


cdef inline void update_vector(
    real* w, real* g, real* m, real* v, Index lanes, const Step* step, const Penalty* penalty,
    const int optimizer, const bint momentum,
) noexcept nogil:
    cdef vec weight = load_lanes(w, lanes)
    cdef vec slope = load_lanes(g, lanes) * step.scale
    cdef vec sign
    if penalty != NULL:
        sign = select(is_equal(weight, ZERO), ZERO, with_sign(splat(1), sign_of(weight)))
        slope = slope + weight * penalty.l2 + sign * penalty.l1 + penalty.shift
    if step.keep_gradient:
        store_lanes(g, slope, lanes)
    if optimizer != FROZEN:
        store_lanes(w, step_vector(weight, slope, m, v, lanes, step, optimizer, momentum), lanes)


cdef inline void update_as(
    real* w, real* g, real* m, real* v, Index size, const Step* step, const Penalty* penalty,
    const int optimizer, const bint momentum,
) noexcept nogil:
    cdef Index i, whole = size // LANES
    for i in range(whole):
        update_vector(w + i * LANES, g + i * LANES, m + i * LANES, v + i * LANES, LANES, step, penalty,
                      optimizer, momentum)
    i = whole * LANES
    if i < size:
        update_vector(w + i, g + i, m + i, v + i, size - i, step, penalty, optimizer, momentum)


cdef void update(
    real* w, real* g, real* m, real* v, Index size, const Step* step, const Penalty* penalty, int optimizer,
) noexcept nogil:
    # w, g, and m, v where the optimizer has them: (size,)
    """g = g / rows + l2 w + l1 sign(w) + shift; w, m, v = the optimizer's step along g. penalty may be NULL."""
    if optimizer == FROZEN:
        update_as(w, g, m, v, size, step, penalty, FROZEN, False)
    elif optimizer == ADAM:
        update_as(w, g, m, v, size, step, penalty, ADAM, False)
    elif step.momentum > 0:
        update_as(w, g, m, v, size, step, penalty, SGD, True)
    else:
        update_as(w, g, m, v, size, step, penalty, SGD, False)
