# ---- elementwise functions ------------------------------------------------------------------------------------
# exp, log, sigmoid and tanh of a whole vector, within 2 units in the last place from -inf to inf; NaN in, NaN out.
# Argument reduction as in W. J. Cody and W. Waite, Software Manual for the Elementary Functions (1980).

cdef enum:
    IDENTITY = 0
    SIGMOID = 1
    TANH = 2
    RELU = 3
    SOFTMAX = 4
    NEAR_SIGMOID = 5        # sigmoid of numbers in [NEAR, -NEAR]: the same bits, sooner


cdef inline vec reduced_exp(vec x, ivec* exponent, vec* tail) noexcept nogil:
    """r, n and t of exp(x) = 2^n (1 + r + t): n = round(x / ln 2), r = x - n ln 2, t = r^2 P(r), |r| <= ln(2) / 2."""
    cdef vec shifted = x * <real> 1.4426950408889634 + MAGIC
    cdef vec n = shifted - MAGIC
    cdef vec r = (x - n * LN2_HIGH) - n * LN2_LOW
    # Even and odd terms in two chains, side by side: what bounds an exponential is how long it takes, not how much.
    cdef vec square = r * r
    cdef vec even = splat(EXP_COEFFICIENTS[EXP_TERMS - 2]), odd = splat(EXP_COEFFICIENTS[EXP_TERMS - 1])
    cdef int term
    for term in range(EXP_TERMS - 4, -1, -2):
        even = even * square + EXP_COEFFICIENTS[term]
        odd = odd * square + EXP_COEFFICIENTS[term + 1]
    exponent[0] = bits(shifted) - bits(splat(MAGIC))
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


cdef inline vec exp_near_vector(vec x) noexcept nogil:
    """exp(x) for x in [NEAR, 0], where it is a normal number: n goes right into the exponent."""
    cdef ivec n
    cdef vec tail
    cdef vec r = reduced_exp(x, &n, &tail)
    cdef vec u = r + <real> 1
    u = u + (((<real> 1 - u) + r) + tail)
    return from_bits(bits(u) + (n << MANTISSA_BITS))


cdef inline bint all_near(const real* x, Index size) noexcept nogil:
    """Whether all of x lies in [NEAR, -NEAR]; NaN does not."""
    cdef ivec near = ~bits(ZERO)
    cdef real flags[64]
    cdef Index v, lane
    cdef bint every = True
    for v in range(size // LANES):
        near = near & is_less(magnitude(load(x + v * LANES)), splat(-NEAR))
    store(flags, select(near, splat(1), ZERO))
    for lane in range(LANES):
        every = every and flags[lane] != 0
    for v in range(size // LANES * LANES, size):
        every = every and fabs(x[v]) < -NEAR
    return every


cdef inline vec sigmoid_vector(vec x, const bint near) noexcept nogil:
    """1 / (1 + exp(-x)), as exp(x) / (1 + exp(x)) for negative x: exact down to the denormals."""
    cdef vec minus = from_bits(bits(x) | SIGN_BIT)
    cdef vec e
    if near:
        e = exp_near_vector(minus)
    else:
        e = exp_below_vector(minus)
    cdef vec below = e + <real> 1
    cdef vec quotient = divide(select(is_less(x, ZERO), e, splat(1)), below)
    # What 1 + e lost in rounding, to first order.
    return quotient - quotient * (e - (below - <real> 1)) * nearly_inverse(below)


cdef inline vec tanh_vector(vec x) noexcept nogil:
    """tanh(x) = -t / (2 + t) with t = exp(-2|x|) - 1, and the sign of x: exact down to the denormals."""
    cdef ivec n
    cdef vec tail
    cdef vec r = reduced_exp(larger(splat(TANH_ONE * 2), magnitude(x) * <real> -2), &n, &tail)
    cdef vec scale = power_of_two(n)
    cdef vec part = scale * (r + tail), whole = scale - <real> 1
    cdef vec t = whole + part
    cdef vec t_error = part - (t - whole)
    cdef vec below = t + <real> 2
    cdef vec below_error = (t - (below - <real> 2)) + t_error
    cdef vec quotient = divide(t, below)
    # What t and 2 + t lost in rounding, to first order.
    quotient = quotient + (t_error - quotient * below_error) * nearly_inverse(below)
    return with_sign(magnitude(quotient), sign_of(x))


cdef inline vec log1p_exp_vector(vec x) noexcept nogil:
    """log(1 + exp(-|x|)), to full relative precision (W. Kahan's way: log(u) e / (u - 1), u = 1 + e rounded)."""
    cdef vec e = exp_below_vector(from_bits(bits(x) | SIGN_BIT))
    cdef vec u = e + <real> 1
    return select(is_equal(u, splat(1)), e, divide(log_vector(u) * e, u - <real> 1))


cdef inline vec activate_vector(vec z, int activation) noexcept nogil:
    """h = f(z)."""
    if activation == SIGMOID:
        return sigmoid_vector(z, False)
    if activation == NEAR_SIGMOID:
        return sigmoid_vector(z, True)
    if activation == TANH:
        return tanh_vector(z)
    if activation == RELU:
        return larger(ZERO, z)
    return z


cdef inline vec slope_vector(vec h, int activation) noexcept nogil:
    """f'(z) from h = f(z): h(1 - h), 1 - h^2, [h > 0], 1. NaN stays NaN."""
    if activation == SIGMOID:
        return h * (<real> 1 - h)
    if activation == TANH:
        return <real> 1 - h * h
    if activation == RELU:
        return select(is_less(ZERO, h), splat(1), h * <real> 0)
    return splat(1)


cdef inline void activate_as(real* h, Index size, const int activation) noexcept nogil:
    cdef Index v, i = size // LANES * LANES
    for v in range(0, i // LANES):
        store(h + v * LANES, activate_vector(load(h + v * LANES), activation))
    if i < size:
        store_first(h + i, activate_vector(load_first(h + i, size - i), activation), size - i)


cdef void activate(real* h, Index size, int activation) noexcept nogil:
    # h (size,), in place
    """h = f(h)."""
    if activation == SIGMOID:
        if all_near(h, size):
            activate_as(h, size, NEAR_SIGMOID)
        else:
            activate_as(h, size, SIGMOID)
    elif activation == TANH:
        activate_as(h, size, TANH)
    elif activation == RELU:
        activate_as(h, size, RELU)


cdef void activate_rows(real* h, Index rows, Index stride, Index size, int activation) noexcept nogil:
    # h (rows, stride), in place
    """h = f(h), the first `size` of each row."""
    cdef Index i
    if size == stride:
        activate(h, rows * stride, activation)
    else:
        for i in range(rows):
            activate(h + i * stride, size, activation)


cdef inline void multiply_by_slope_as(real* dz, const real* h, Index size, const int activation) noexcept nogil:
    cdef Index v, i = size // LANES * LANES
    for v in range(0, i // LANES):
        store(dz + v * LANES, load(dz + v * LANES) * slope_vector(load(h + v * LANES), activation))
    if i < size:
        store_first(dz + i, load_first(dz + i, size - i) * slope_vector(load_first(h + i, size - i), activation),
                    size - i)


cdef void multiply_by_slope(real* dz, const real* h, Index size, int activation) noexcept nogil:
    # dz (size,), in place; h (size,)
    """dz = dz f'(z), with f' from h = f(z)."""
    if activation == SIGMOID:
        multiply_by_slope_as(dz, h, size, SIGMOID)
    elif activation == TANH:
        multiply_by_slope_as(dz, h, size, TANH)
    elif activation == RELU:
        multiply_by_slope_as(dz, h, size, RELU)


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
