# ---- elementwise functions ------------------------------------------------------------------------------------
# exp, log, sigmoid and tanh of a whole vector, within 2 units in the last place from -inf to inf; NaN in, NaN out.
# The activations made of them, and their slopes: from h where that is exact, else beside h, to be stored.
# Argument reduction as in W. J. Cody and W. Waite, Software Manual for the Elementary Functions (1980).

cdef enum:
    IDENTITY = 0
    SIGMOID = 1
    TANH = 2
    RELU = 3
    SOFTMAX = 4
    LEAKY_RELU = 5
    ELU = 6
    SELU = 7
    SOFTPLUS = 8
    EXPONENTIAL = 9
    SILU = 10
    GELU = 11
    GELU_TANH = 12
    HARD_SIGMOID = 13
    HARD_TANH = 14
    STORED = 15                 # what is given in the place of h is f'(z) itself

cdef real LEAK = 0.01
# G. Klambauer et al., Self-normalizing neural networks (2017): the values that keep mean 0 and variance 1
cdef real SELU_SCALE = 1.0507009873554804934193349852946
cdef real SELU_ALPHA = 1.6732632423543772848170429916717
cdef real DENSITY_AT_0 = 0.39894228040143267793994605993438     # 1 / sqrt(2 pi)
# D. Hendrycks and K. Gimpel, Gaussian error linear units (2016): 2 sqrt(2 / pi), and the cubic term's factor
cdef real GELU_SLOPE = 1.5957691216057307117597842397375
cdef real GELU_CUBIC = 0.044715


cdef inline vec sign_vector(vec x) noexcept nogil:
    """-1, 0 or 1; NaN stays NaN."""
    cdef vec sign = select(is_equal(x, ZERO), ZERO, with_sign(splat(1), sign_of(x)))
    return select(is_equal(x, x), sign, x)


cdef inline vec reduced_exp(vec x, ivec* exponent, vec* tail) noexcept nogil:
    """r, n and t of exp(x) = 2^n (1 + r + t): n = round(x / ln 2), r = x - n ln 2, t = r^2 P(r), |r| <= ln(2) / 2."""
    cdef vec shifted = x * <real> 1.4426950408889634 + MAGIC
    cdef vec n = shifted - MAGIC
    exponent[0] = bits(shifted) - bits(splat(MAGIC))
    return exp_tail((x - n * LN2_HIGH) - n * LN2_LOW, tail)


cdef inline vec exp_tail(vec r, vec* tail) noexcept nogil:
    """r, and t = exp(r) - 1 - r for |r| <= ln(2) / 2."""
    # Even and odd terms in two chains, side by side: what bounds an exponential is how long it takes, not how much.
    cdef vec square = r * r
    cdef vec even = splat(EXP_COEFFICIENTS[EXP_TERMS - 2]), odd = splat(EXP_COEFFICIENTS[EXP_TERMS - 1])
    cdef int term
    for term in range(EXP_TERMS - 4, -1, -2):
        even = even * square + EXP_COEFFICIENTS[term]
        odd = odd * square + EXP_COEFFICIENTS[term + 1]
    tail[0] = square * (even + r * odd)
    return r


cdef inline vec exp_vector(vec x) noexcept nogil:
    """exp(x)."""
    return exp_below_vector(smaller(splat(EXP_CEILING), x))


cdef inline vec exp_below_vector(vec x) noexcept nogil:
    """exp(x) for x up to EXP_CEILING, where it is infinite already."""
    cdef ivec n, half
    cdef vec tail
    cdef vec r = reduced_exp(larger(splat(EXP_FLOOR), x), &n, &tail)
    cdef vec u = r + <real> 1
    # 1 + r loses low bits of r, and those come back with the tail. 2^n in two factors: n reaches past the exponents
    # that one number holds, at both ends.
    u = u + (((<real> 1 - u) + r) + tail)
    half = n >> 1
    return u * power_of_two(half) * power_of_two(n - half)


cdef inline vec log_vector(vec x) noexcept nogil:
    """log(x) = k ln 2 + log(1 + f), x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2): fdlibm's form (Sun, 1993)."""
    cdef ivec tiny = is_less(x, splat(SMALLEST_NORMAL))
    cdef ivec k, root_of_half = bits(splat(<real> 0.7071067811865476))
    cdef vec normal = select(tiny, x * NORMAL_SCALE, x)
    cdef vec n, f, s, z, r, half_square, y
    cdef int term
    k = (bits(normal) - root_of_half) >> MANTISSA_BITS
    f = from_bits(bits(normal) - (k << MANTISSA_BITS)) - <real> 1
    # A small integer becomes a real by way of the bits of MAGIC: not every instruction set converts 64-bit ones.
    n = from_bits(k - (tiny & NORMAL_SHIFT) + bits(splat(MAGIC))) - MAGIC
    s = divide(f, f + <real> 2)
    z = s * s
    r = splat(LOG_COEFFICIENTS[LOG_TERMS - 1])
    for term in range(LOG_TERMS - 2, -1, -1):
        r = r * z + LOG_COEFFICIENTS[term]
    half_square = <real> 0.5 * f * f
    y = n * LN2_HIGH - ((half_square - (s * (half_square + z * r) + n * LN2_LOW)) - f)
    y = select(is_less(x, splat(<real> INFINITY)), y, x)              # inf and NaN give themselves
    y = select(is_equal(x, ZERO), splat(-<real> INFINITY), y)
    return select(is_less(x, ZERO), splat(<real> NAN), y)


cdef inline vec nearly_inverse(vec x) noexcept nogil:
    """1 / x to 5 % for x in [1, 2]: enough to scale a correction with."""
    return <real> 1.457 - x * <real> 0.5


cdef inline vec sigmoid_near_vector(vec x, vec* share) noexcept nogil:
    """s and c of s - s c = 1 / (1 + exp(-x)) for x in [NEAR, -NEAR], where exp(-x) is a normal number; c is small."""
    cdef ivec n
    cdef vec tail
    cdef vec part = reduced_exp(-x, &n, &tail) + tail
    cdef vec scale = power_of_two(n), whole = scale + <real> 1
    # 1 + exp(-x) in one rounding, and what that lost, which the inverse then makes good to first order
    cdef vec below = whole + scale * part
    cdef vec lost = ((whole - below) + scale * part) + (<real> 1 - (whole - scale))
    cdef vec inverse = divide(splat(1), below)
    share[0] = inverse * lost
    return inverse


cdef inline vec sigmoid_vector(vec x) noexcept nogil:
    """1 / (1 + exp(-x)): exp(x) where 1 makes no difference beside exp(-x), exact down to the denormals."""
    cdef vec inverse, share
    cdef ivec far
    if all_less(magnitude(x), splat(-NEAR)):    # nearly always: a branch costs less than what it saves
        inverse = sigmoid_near_vector(x, &share)
    else:
        far = is_less(x, splat(NEAR))
        inverse = sigmoid_near_vector(smaller(splat(-NEAR), larger(splat(NEAR), x)), &share)
        inverse = select(far, exp_below_vector(x), inverse)
        share = select(far, ZERO, share)
    # Not in either branch: a compiler that selects between finished numbers may round them otherwise, and then a
    # number's bits depend on its neighbours.
    return inverse - inverse * share


cdef inline vec tanh_vector(vec x) noexcept nogil:
    """tanh(x) = -t / (2 + t) with t = exp(-2|x|) - 1, and the sign of x: exact down to the denormals."""
    cdef ivec n
    cdef vec tail
    cdef vec r = reduced_exp(larger(splat(TANH_ONE * 2), magnitude(x) * <real> -2), &n, &tail)
    cdef vec part = r + tail, scale = power_of_two(n)
    cdef vec less = scale - <real> 1, more = scale + <real> 1
    # t and 2 + t in one rounding each: a power of two times r + tail is exact.
    cdef vec t = less + scale * part, below = more + scale * part
    cdef vec quotient = divide(t, below), t_lost, below_lost, rest
    # All roundings together stay below 2 units in the last place for every float32 (tried with all of them); of the
    # many more doubles some come to 2.3, so that there what was lost is made good to first order.
    if REAL_BITS == 64:
        t_lost = ((less - t) + scale * part) + scale * ((r - part) + tail)
        below_lost = (more - below) + scale * part
        rest = (t - quotient * below) + (t_lost - quotient * below_lost)
        quotient = quotient + rest * nearly_inverse(below)
    return with_sign(magnitude(quotient), sign_of(x))


cdef inline vec log1p_exp_vector(vec x) noexcept nogil:
    """log(1 + exp(-|x|)), to full relative precision: log(1 + e) = 2 artanh(e / (2 + e)), and e is at most 1."""
    cdef vec e = exp_below_vector(from_bits(bits(x) | SIGN_BIT))
    cdef vec s = divide(e, e + <real> 2), z = s * s, square = z * z
    cdef vec even = splat(LOG1P_COEFFICIENTS[LOG1P_TERMS - 2]), odd = splat(LOG1P_COEFFICIENTS[LOG1P_TERMS - 1])
    cdef int term
    for term in range(LOG1P_TERMS - 4, -1, -2):
        even = even * square + LOG1P_COEFFICIENTS[term]
        odd = odd * square + LOG1P_COEFFICIENTS[term + 1]
    s = s + s
    return s + s * (z * (even + z * odd))


cdef inline vec expm1_below_vector(vec x) noexcept nogil:
    """exp(x) - 1 for x up to 0, to full relative precision."""
    cdef ivec n
    cdef vec tail
    cdef vec part = reduced_exp(larger(splat(TANH_ONE * 2), x), &n, &tail) + tail
    cdef vec scale = power_of_two(n)
    return (scale - <real> 1) + scale * part


cdef inline vec gauss_tail_vector(vec t, vec* density) noexcept nogil:
    """Phi(-t) of the normal distribution, and its density exp(-t^2 / 2) / sqrt(2 pi), for t from 0 to GAUSS_END.

    Phi(-t) = exp(-t^2 / 2) r P(v), r = 1 / (t + k), v = a - b r: what is left of Phi without the exponential is smooth,
    and a polynomial follows it to infinity (after N. Juffa's erfcx). It is within 5 units in the last place. At
    GAUSS_END, where it leaves the normal numbers, both are 0.
    """
    cdef vec head = (t + GAUSS_CUT) - GAUSS_CUT, rest = t - head        # the square of the head is exact
    cdef vec shifted = t * t * <real> -0.72134752044448170368 + MAGIC, n = shifted - MAGIC
    cdef vec x = (head * head * <real> -0.5 - n * LN2_HIGH) + (rest * (head + t) * <real> -0.5 - n * LN2_LOW)
    cdef vec part, tail, r, v, square, even, odd, p, scale
    cdef int term
    part = exp_tail(x, &tail)
    part = part + tail
    scale = power_of_two(bits(shifted) - bits(splat(MAGIC)))
    scale = select(is_less(t, splat(GAUSS_END)), scale, ZERO)
    r = divide(splat(1), t + GAUSS_SHIFT)
    v = GAUSS_A - r * GAUSS_B
    square = v * v
    odd = splat(GAUSS_COEFFICIENTS[GAUSS_TERMS - 1])
    even = splat(GAUSS_COEFFICIENTS[GAUSS_TERMS - 2])
    for term in range(GAUSS_TERMS - 3, 1, -2):
        odd = odd * square + GAUSS_COEFFICIENTS[term]
        even = even * square + GAUSS_COEFFICIENTS[term - 1]
    odd = odd * square + GAUSS_COEFFICIENTS[1]
    p = (v * odd + square * even) + GAUSS_COEFFICIENTS[0]
    density[0] = (part * DENSITY_AT_0 + DENSITY_AT_0) * scale
    return (p + p * part) * (r * scale)


cdef inline vec gelu_vector(vec z, vec* slope) noexcept nogil:
    """z Phi(z) = max(z, 0) - t Phi(-t) with t = |z|, and its slope Phi(z) + z exp(-z^2 / 2) / sqrt(2 pi)."""
    cdef vec t = smaller(splat(GAUSS_END), magnitude(z)), density
    cdef vec tail = gauss_tail_vector(t, &density)
    cdef vec below = tail - t * density         # the slope at -t; that at t is 1 less it
    slope[0] = select(is_less(z, ZERO), below, <real> 1 - below)
    return larger(ZERO, z) - t * tail


cdef inline vec gelu_argument(vec z) noexcept nogil:
    """2 sqrt(2 / pi) (z + 0.044715 z^3): tanh of half of it is 2 sigmoid(it) - 1."""
    return z * (GELU_SLOPE + z * z * (GELU_SLOPE * GELU_CUBIC))


cdef inline vec activate_vector(vec z, int activation) noexcept nogil:
    """h = f(z)."""
    cdef vec slope
    if activation == SIGMOID:
        return sigmoid_vector(z)
    if activation == TANH:
        return tanh_vector(z)
    if activation == RELU:
        return larger(ZERO, z)
    if activation == LEAKY_RELU:
        return larger(z * LEAK, z)
    if activation == ELU:
        return select(is_less(ZERO, z), z, expm1_below_vector(smaller(ZERO, z)))
    if activation == SELU:
        return SELU_SCALE * select(is_less(ZERO, z), z, SELU_ALPHA * expm1_below_vector(smaller(ZERO, z)))
    if activation == SOFTPLUS:
        return larger(ZERO, z) + log1p_exp_vector(z)
    if activation == EXPONENTIAL:
        return exp_vector(z)
    if activation == HARD_SIGMOID:
        return smaller(splat(1), larger(ZERO, z * <real> 0.16666666666666667 + <real> 0.5))
    if activation == HARD_TANH:
        return smaller(splat(1), larger(splat(-1), z))
    if activation == SILU:
        return larger(splat(LOWEST), z) * sigmoid_vector(z)     # -inf times 0 would be NaN
    if activation == GELU:
        return gelu_vector(z, &slope)
    if activation == GELU_TANH:
        return larger(splat(LOWEST), z) * sigmoid_vector(gelu_argument(z))
    return z


cdef inline vec slope_vector(vec h, int activation) noexcept nogil:
    """f'(z) from h = f(z), as the table of fastmlp.activations has it. NaN stays NaN."""
    if activation == STORED:
        return h
    if activation == SIGMOID:
        return h * (<real> 1 - h)
    if activation == TANH:
        return <real> 1 - h * h
    if activation == RELU:
        return select(is_less(ZERO, h), splat(1), h * <real> 0)
    if activation == LEAKY_RELU:
        return select(is_less(ZERO, h), splat(1), h * <real> 0 + LEAK)
    if activation == ELU:
        return select(is_less(ZERO, h), splat(1), h + <real> 1)
    if activation == SELU:
        return select(is_less(ZERO, h), splat(SELU_SCALE), h + SELU_SCALE * SELU_ALPHA)
    if activation == SOFTPLUS:
        return -expm1_below_vector(-h)
    if activation == HARD_SIGMOID:
        return select(is_less(ZERO, h) & is_less(h, splat(1)), splat(<real> 0.16666666666666667), h * <real> 0)
    if activation == HARD_TANH:
        return select(is_less(magnitude(h), splat(1)), splat(1), h * <real> 0)
    return splat(1)


cdef inline vec activate_both_vector(vec z, vec* slope, int activation) noexcept nogil:
    """h = f(z) and f'(z), for those too whose slope does not follow from h."""
    cdef vec h, share
    if activation == SILU:
        share = sigmoid_vector(z)
        # where z is infinite, what it is multiplied with is 0 long since
        h = smaller(splat(SILU_END), larger(splat(-SILU_END), z))
        slope[0] = share + (share - share * share) * h
        return larger(splat(LOWEST), z) * share
    if activation == GELU:
        return gelu_vector(z, slope)
    if activation == GELU_TANH:
        share = sigmoid_vector(gelu_argument(z))
        # where z squared would overflow, the rest is 0 long since
        h = smaller(splat(GELU_END), larger(splat(-GELU_END), z))
        slope[0] = share + h * share * (<real> 1 - share) * (GELU_SLOPE + h * h * (<real> 3 * GELU_SLOPE * GELU_CUBIC))
        return larger(splat(LOWEST), z) * share
    h = activate_vector(z, activation)
    slope[0] = slope_vector(h, activation)
    return h


cdef inline void activate_as(
    real* h, real* slopes, Index rows, Index stride, Index size, const int activation, const bint both,
) noexcept nogil:
    cdef Index v, whole = size // LANES, rest = size - size // LANES * LANES
    cdef vec slope
    for _ in range(rows):
        for v in range(whole):
            if both:
                store(h + v * LANES, activate_both_vector(load(h + v * LANES), &slope, activation))
                store(slopes + v * LANES, slope)
            else:
                store(h + v * LANES, activate_vector(load(h + v * LANES), activation))
        if rest:
            v = whole * LANES
            if both:
                store_first(h + v, activate_both_vector(load_first(h + v, rest), &slope, activation), rest)
                store_first(slopes + v, slope, rest)
            else:
                store_first(h + v, activate_vector(load_first(h + v, rest), activation), rest)
        h += stride
        if both:
            slopes += stride


cdef inline void activate_of(
    real* h, real* slopes, Index rows, Index stride, Index size, int activation, const bint both,
) noexcept nogil:
    """activate_as with the activation made a constant."""
    if activation == SIGMOID: activate_as(h, slopes, rows, stride, size, SIGMOID, both)
    elif activation == TANH: activate_as(h, slopes, rows, stride, size, TANH, both)
    elif activation == RELU: activate_as(h, slopes, rows, stride, size, RELU, both)
    elif activation == LEAKY_RELU: activate_as(h, slopes, rows, stride, size, LEAKY_RELU, both)
    elif activation == ELU: activate_as(h, slopes, rows, stride, size, ELU, both)
    elif activation == SELU: activate_as(h, slopes, rows, stride, size, SELU, both)
    elif activation == SOFTPLUS: activate_as(h, slopes, rows, stride, size, SOFTPLUS, both)
    elif activation == EXPONENTIAL: activate_as(h, slopes, rows, stride, size, EXPONENTIAL, both)
    elif activation == SILU: activate_as(h, slopes, rows, stride, size, SILU, both)
    elif activation == GELU: activate_as(h, slopes, rows, stride, size, GELU, both)
    elif activation == GELU_TANH: activate_as(h, slopes, rows, stride, size, GELU_TANH, both)
    elif activation == HARD_SIGMOID: activate_as(h, slopes, rows, stride, size, HARD_SIGMOID, both)
    elif activation == HARD_TANH: activate_as(h, slopes, rows, stride, size, HARD_TANH, both)
    elif both: activate_as(h, slopes, rows, stride, size, IDENTITY, both)


cdef void activate_rows(real* h, Index rows, Index stride, Index size, int activation) noexcept nogil:
    # h (rows, stride), in place
    """h = f(h), the first `size` of each row."""
    if size == stride:      # one long row
        size = stride = rows * size
        rows = 1
    activate_of(h, NULL, rows, stride, size, activation, False)


cdef void activate_both_rows(
    real* h, real* slopes, Index rows, Index stride, Index size, int activation,
) noexcept nogil:
    # h, slopes (rows, stride); h in place
    """slopes = f'(h), h = f(h), the first `size` of each row."""
    activate_of(h, slopes, rows, stride, size, activation, True)


cdef inline void multiply_by_slope_as(
    real* dz, Index dz_stride, const real* h, Index stride, Index rows, Index size, const int activation,
) noexcept nogil:
    cdef Index v, whole = size // LANES, rest = size - size // LANES * LANES
    for _ in range(rows):
        for v in range(whole):
            store(dz + v * LANES, load(dz + v * LANES) * slope_vector(load(h + v * LANES), activation))
        if rest:
            v = whole * LANES
            store_first(dz + v, load_first(dz + v, rest) * slope_vector(load_first(h + v, rest), activation), rest)
        dz += dz_stride
        h += stride


cdef void multiply_by_slope(
    real* dz, Index dz_stride, const real* h, Index stride, Index rows, Index size, int activation,
) noexcept nogil:
    # dz (rows, dz_stride), in place; h (rows, stride)
    """dz = dz f'(z), with f' from h = f(z), or h in its place where it was STORED, the first `size` of each row."""
    if size == stride and size == dz_stride:    # one long row
        size = stride = dz_stride = rows * size
        rows = 1
    if activation == SIGMOID:
        multiply_by_slope_as(dz, dz_stride, h, stride, rows, size, SIGMOID)
    elif activation == TANH:
        multiply_by_slope_as(dz, dz_stride, h, stride, rows, size, TANH)
    elif activation == RELU:
        multiply_by_slope_as(dz, dz_stride, h, stride, rows, size, RELU)
    elif activation == LEAKY_RELU:
        multiply_by_slope_as(dz, dz_stride, h, stride, rows, size, LEAKY_RELU)
    elif activation == ELU:
        multiply_by_slope_as(dz, dz_stride, h, stride, rows, size, ELU)
    elif activation == SELU:
        multiply_by_slope_as(dz, dz_stride, h, stride, rows, size, SELU)
    elif activation == SOFTPLUS:
        multiply_by_slope_as(dz, dz_stride, h, stride, rows, size, SOFTPLUS)
    elif activation == HARD_SIGMOID:
        multiply_by_slope_as(dz, dz_stride, h, stride, rows, size, HARD_SIGMOID)
    elif activation == HARD_TANH:
        multiply_by_slope_as(dz, dz_stride, h, stride, rows, size, HARD_TANH)
    elif activation == STORED:
        multiply_by_slope_as(dz, dz_stride, h, stride, rows, size, STORED)


cdef inline double term(real x, const int power) noexcept nogil:
    return fabs(x) if power == 1 else <double> x * x if power == 2 else x


cdef inline double sum_as(const real* x, Index size, const int power) noexcept nogil:
    cdef double a = 0, b = 0, c = 0, d = 0
    cdef Index i, whole = size // 4 * 4
    for i in range(0, whole, 4):
        a += term(x[i], power)
        b += term(x[i + 1], power)
        c += term(x[i + 2], power)
        d += term(x[i + 3], power)
    for i in range(whole, size):
        a += term(x[i], power)
    return (a + b) + (c + d)


cdef double sum_of(const real* x, Index size) noexcept nogil:
    """Σ x, in four interleaved chains of double."""
    return sum_as(x, size, 0)


cdef double sum_of_magnitudes(const real* x, Index size) noexcept nogil:
    """Σ |x|, in four interleaved chains of double."""
    return sum_as(x, size, 1)


cdef double sum_of_squares(const real* x, Index size) noexcept nogil:
    """Σ x², in four interleaved chains of double."""
    return sum_as(x, size, 2)
