# ---- elementwise functions ------------------------------------------------------------------------------------
# exp, log, sigmoid and tanh of a whole vector, within 2 units in the last place from -inf to inf; NaN in, NaN out.
# Then the activations, each with its slope, and the loops over them.
# Argument reduction as in W. J. Cody and W. Waite, Software Manual for the Elementary Functions (1980).

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
    # Even and odd terms in two chains, side by side: latency bounds an exponential, not the number of operations.
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
    """exp(x) for x up to EXP_CEILING, from which on it is infinite."""
    return times_exp(larger(splat(EXP_FLOOR), x), splat(1))


cdef inline vec times_exp(vec x, vec y) noexcept nogil:
    """y exp(x) for x whose power of two is within twice the exponents of a number."""
    cdef ivec n, half
    cdef vec tail
    cdef vec r = reduced_exp(x, &n, &tail)
    cdef vec u = r + <real> 1
    # 1 + r loses low bits of r, which come back with the tail. 2^n in two factors: n exceeds the exponents of a single
    # number, at both ends.
    u = u + (((<real> 1 - u) + r) + tail)
    half = n >> 1
    return u * power_of_two(half) * y * power_of_two(n - half)


cdef inline vec scaled_exp_vector(vec x, vec y) noexcept nogil:
    """y exp(x), also if exp(x) alone is not a number; the same bits as their product if it is."""
    return times_exp(larger(splat(-SCALED_EXP_END), smaller(splat(SCALED_EXP_END), x)), y)


cdef inline vec log1p_tail(vec f, vec half_square) noexcept nogil:
    """log(1 + f) - f + f² / 2 for sqrt(1/2) <= 1 + f < sqrt(2); half_square is f² / 2."""
    cdef vec s = divide(f, f + <real> 2)
    cdef vec z = s * s, r = splat(LOG_COEFFICIENTS[LOG_TERMS - 1])
    cdef int term
    for term in range(LOG_TERMS - 2, -1, -1):
        r = r * z + LOG_COEFFICIENTS[term]
    return s * (half_square + z * r)


cdef inline ivec is_near_one(vec x) noexcept nogil:
    """Whether sqrt(1/2) < x < sqrt(2)."""
    return is_less(splat(<real> 0.7071067811865476), x) & is_less(x, splat(<real> 1.4142135623730951))


cdef inline vec log1p_rest_vector(vec f) noexcept nogil:
    """log(1 + f) - f for 1 + f near one, to full relative precision; never above 0."""
    cdef vec half_square = <real> 0.5 * f * f
    return log1p_tail(f, half_square) - half_square


cdef inline vec log_cosh_near_vector(vec x) noexcept nogil:
    """log(cosh(x)) = x² P(x²) for |x| up to LOG_COSH_END."""
    cdef vec square = x * x, p = splat(LOG_COSH_COEFFICIENTS[LOG_COSH_TERMS - 1])
    cdef int term
    for term in range(LOG_COSH_TERMS - 2, -1, -1):
        p = p * square + LOG_COSH_COEFFICIENTS[term]
    return square * p


cdef inline vec log_vector(vec x) noexcept nogil:
    """log(x) = k ln 2 + log(1 + f), x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2): fdlibm's form (Sun, 1993)."""
    cdef ivec tiny = is_less(x, splat(SMALLEST_NORMAL))
    cdef ivec k, root_of_half = bits(splat(<real> 0.7071067811865476))
    cdef vec normal = select(tiny, x * NORMAL_SCALE, x)
    cdef vec n, f, half_square, y
    k = (bits(normal) - root_of_half) >> MANTISSA_BITS
    f = from_bits(bits(normal) - (k << MANTISSA_BITS)) - <real> 1
    # A small integer becomes a real through the bits of MAGIC: not every instruction set converts 64-bit integers.
    n = from_bits(k - (tiny & NORMAL_SHIFT) + bits(splat(MAGIC))) - MAGIC
    half_square = <real> 0.5 * f * f
    y = n * LN2_HIGH - ((half_square - (log1p_tail(f, half_square) + n * LN2_LOW)) - f)
    y = select(is_less(x, splat(<real> INFINITY)), y, x)              # inf and NaN give themselves
    y = select(is_equal(x, ZERO), splat(-<real> INFINITY), y)
    return select(is_less(x, ZERO), splat(<real> NAN), y)


cdef inline vec nearly_inverse(vec x) noexcept nogil:
    """1 / x to 5 % for x in [1, 2]: enough to scale a correction with."""
    return <real> 1.457 - x * <real> 0.5


cdef inline vec sigmoid_near_vector(vec x, vec* correction) noexcept nogil:
    """s and c of s - s c = 1 / (1 + exp(-x)) for x in [NEAR, -NEAR], where exp(-x) is a normal number; c is small."""
    cdef ivec n
    cdef vec tail
    cdef vec part = reduced_exp(-x, &n, &tail) + tail
    cdef vec scale = power_of_two(n), whole = scale + <real> 1
    # 1 + exp(-x) in one rounding, and what that rounding lost, which the inverse corrects to first order
    cdef vec below = whole + scale * part
    cdef vec lost = ((whole - below) + scale * part) + (<real> 1 - (whole - scale))
    cdef vec inverse = divide(splat(1), below)
    correction[0] = inverse * lost
    return inverse


cdef inline vec sigmoid_vector(vec x) noexcept nogil:
    """1 / (1 + exp(-x)): exp(x) if exp(-x) absorbs the 1, exact down to the denormals."""
    cdef vec inverse, correction
    cdef ivec far
    if all_less(magnitude(x), splat(-NEAR)):    # nearly always: the branch costs less than it saves
        inverse = sigmoid_near_vector(x, &correction)
    else:
        far = is_less(x, splat(NEAR))
        inverse = sigmoid_near_vector(smaller(splat(-NEAR), larger(splat(NEAR), x)), &correction)
        inverse = select(far, exp_below_vector(x), inverse)
        correction = select(far, ZERO, correction)
    # After both branches: a compiler that selects between two finished results may round each of them differently,
    # and then a number's bits would depend on its neighbours.
    return inverse - inverse * correction


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
    # All roundings together stay below 2 units in the last place for every float32 (all were tried). Some float64 come
    # to 2.3, so that for float64 what the roundings lost is corrected to first order.
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

    Phi(-t) = exp(-t^2 / 2) r P(v), r = 1 / (t + k), v = a - b r: without the exponential, Phi is smooth, and a
    polynomial in v approximates it to infinity (after N. Juffa's erfcx), within 5 units in the last place. From
    GAUSS_END on, where Phi(-t) is not a normal number, both are 0.
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


# ---- activations ------------------------------------------------------------------------------------------------
# <name>_vector is h = f(z). <name>_slope is f'(z) from h; NaN stays NaN. If the slope does not follow from h (`kept` in
# the row), <name>_both computes the two together. dispatch.pxi chooses among them by their names.

cdef inline vec identity_vector(vec z) noexcept nogil:
    """z."""
    return z


cdef inline vec identity_slope(vec h) noexcept nogil:
    """1."""
    return splat(1)


# sigmoid_vector and tanh_vector stand above

cdef inline vec sigmoid_slope(vec h) noexcept nogil:
    """h (1 - h)."""
    return h * (<real> 1 - h)


cdef inline vec tanh_slope(vec h) noexcept nogil:
    """1 - h²."""
    return <real> 1 - h * h


cdef inline vec relu_vector(vec z) noexcept nogil:
    """max(z, 0)."""
    return relu(z)


cdef inline vec relu_slope(vec h) noexcept nogil:
    """1 if h > 0, else 0."""
    return relu_gate(h)


cdef inline vec leaky_relu_vector(vec z) noexcept nogil:
    """max(z, 0.01 z)."""
    return larger(z * LEAK, z)


cdef inline vec leaky_relu_slope(vec h) noexcept nogil:
    """1 if h > 0, else 0.01."""
    return select(is_less(ZERO, h), splat(1), h * <real> 0 + LEAK)


cdef inline vec elu_vector(vec z) noexcept nogil:
    """z if z > 0, else exp(z) - 1."""
    return select(is_less(ZERO, z), z, expm1_below_vector(smaller(ZERO, z)))


cdef inline vec elu_slope(vec h) noexcept nogil:
    """1 if h > 0, else h + 1."""
    return select(is_less(ZERO, h), splat(1), h + <real> 1)


cdef inline vec selu_vector(vec z) noexcept nogil:
    """s z if z > 0, else s a (exp(z) - 1)."""
    return SELU_SCALE * select(is_less(ZERO, z), z, SELU_ALPHA * expm1_below_vector(smaller(ZERO, z)))


cdef inline vec selu_slope(vec h) noexcept nogil:
    """s if h > 0, else h + s a."""
    return select(is_less(ZERO, h), splat(SELU_SCALE), h + SELU_SCALE * SELU_ALPHA)


cdef inline vec softplus_vector(vec z) noexcept nogil:
    """log(1 + exp(z))."""
    return larger(ZERO, z) + log1p_exp_vector(z)


cdef inline vec softplus_slope(vec h) noexcept nogil:
    """1 - exp(-h)."""
    return -expm1_below_vector(-h)


cdef inline vec exponential_vector(vec z) noexcept nogil:
    """exp(z)."""
    return exp_vector(z)


cdef inline vec exponential_slope(vec h) noexcept nogil:
    """h."""
    return h


cdef inline vec silu_vector(vec z) noexcept nogil:
    """z g, g = sigmoid(z)."""
    return larger(splat(LOWEST), z) * sigmoid_vector(z)     # -inf times 0 would be NaN


cdef inline vec silu_both(vec z, vec* slope) noexcept nogil:
    """z g and g + z g (1 - g)."""
    cdef vec gate = sigmoid_vector(z)
    # where z is infinite, its factor has been 0 for long
    cdef vec bounded = smaller(splat(SILU_END), larger(splat(-SILU_END), z))
    slope[0] = gate + (gate - gate * gate) * bounded
    return larger(splat(LOWEST), z) * gate


cdef inline vec gelu_vector(vec z) noexcept nogil:
    """z Phi(z)."""
    cdef vec slope
    return gelu_both(z, &slope)


cdef inline vec gelu_both(vec z, vec* slope) noexcept nogil:
    """z Phi(z) = max(z, 0) - t Phi(-t) with t = |z|, and its slope Phi(z) + z exp(-z^2 / 2) / sqrt(2 pi)."""
    cdef vec t = smaller(splat(GAUSS_END), magnitude(z)), density
    cdef vec tail = gauss_tail_vector(t, &density)
    cdef vec below = tail - t * density         # the slope at -t; the slope at t is 1 - below
    slope[0] = select(is_less(z, ZERO), below, <real> 1 - below)
    return larger(ZERO, z) - t * tail


cdef inline vec gelu_tanh_argument(vec z) noexcept nogil:
    """u = 2 sqrt(2 / pi) (z + 0.044715 z^3): tanh(u / 2) = 2 sigmoid(u) - 1."""
    return z * (GELU_SLOPE + z * z * (GELU_SLOPE * GELU_CUBIC))


cdef inline vec gelu_tanh_vector(vec z) noexcept nogil:
    """z g, g = sigmoid(u)."""
    return larger(splat(LOWEST), z) * sigmoid_vector(gelu_tanh_argument(z))


cdef inline vec gelu_tanh_both(vec z, vec* slope) noexcept nogil:
    """z g and g + z g (1 - g) u'(z)."""
    cdef vec gate = sigmoid_vector(gelu_tanh_argument(z))
    # where z squared would overflow, its factor has been 0 for long
    cdef vec h = smaller(splat(GELU_END), larger(splat(-GELU_END), z))
    slope[0] = gate + h * gate * (<real> 1 - gate) * (GELU_SLOPE + h * h * (<real> 3 * GELU_SLOPE * GELU_CUBIC))
    return larger(splat(LOWEST), z) * gate


cdef inline vec hard_sigmoid_vector(vec z) noexcept nogil:
    """z / 6 + 1/2, at least 0 and at most 1."""
    return smaller(splat(1), larger(ZERO, z * <real> 0.16666666666666667 + <real> 0.5))


cdef inline vec hard_sigmoid_slope(vec h) noexcept nogil:
    """1/6 if 0 < h < 1, else 0."""
    return select(is_less(ZERO, h) & is_less(h, splat(1)), splat(<real> 0.16666666666666667), h * <real> 0)


cdef inline vec hard_tanh_vector(vec z) noexcept nogil:
    """z, at least -1 and at most 1."""
    return smaller(splat(1), larger(splat(-1), z))


cdef inline vec hard_tanh_slope(vec h) noexcept nogil:
    """1 if -1 < h < 1, else 0."""
    return select(is_less(magnitude(h), splat(1)), splat(1), h * <real> 0)


# ---- loops over activations -------------------------------------------------------------------------------------

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
    """dz = dz f'(z), f' from h = f(z) or h itself if it is STORED; the first `size` of each row."""
    if size == stride and size == dz_stride:    # one long row
        size = stride = dz_stride = rows * size
        rows = 1
    multiply_by_slope_of(dz, dz_stride, h, stride, rows, size, activation)


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
