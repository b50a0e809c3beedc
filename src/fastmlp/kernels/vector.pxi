# ---- the vocabulary -------------------------------------------------------------------------------------------
# vector.h declares these; here Cython learns of them. `vec` is a vector of LANES reals that Cython takes for a
# number: `a * b + c` goes through to the compiler as it stands, and a real beside a vec stands in every lane.
# `ivec` is the same vector seen as integers: what a comparison gives, and the bits of a floating point number;
# `words` is it seen as unsigned numbers of 32 bits, one or two a lane.

ctypedef Py_ssize_t Index       # a size, a count or an offset: as wide as a pointer, which C's long is not everywhere

cdef extern from "kernels/vector.h" nogil:
    ctypedef double real
    ctypedef double vec
    ctypedef long integer
    ctypedef long ivec
    ctypedef unsigned int words
    enum: REAL_BITS
    enum: LANES                 # an enum, so that arrays may be sized by it
    const int MANTISSA_BITS, EXP_TERMS, LOG_TERMS, LOG1P_TERMS, GAUSS_TERMS, LOG_COSH_TERMS, NORMAL_SHIFT
    const uint32_t MURMUR_FIRST, MURMUR_SECOND
    const real NEAR, MAGIC, LN2_HIGH, LN2_LOW, EXP_FLOOR, EXP_CEILING, TANH_ONE, NORMAL_SCALE, SMALLEST_NORMAL
    const real SMALL_SCALE, SCALED_EXP_END, LOG_COSH_END
    const real LOWEST, SILU_END, GELU_END, GAUSS_END, GAUSS_CUT, GAUSS_SHIFT, GAUSS_A, GAUSS_B
    const real EXP_COEFFICIENTS[]
    const real LOG1P_COEFFICIENTS[]
    const real GAUSS_COEFFICIENTS[]
    const real LOG_COSH_COEFFICIENTS[]
    const real LOG_COEFFICIENTS[]
    const integer SIGN_BIT
    const vec ZERO
    vec splat(real x)
    ivec bits(vec x)
    vec from_bits(ivec x)
    ivec from_words(words x)
    ivec splat_int(integer x)
    ivec ints_less(ivec a, ivec b)
    words lane_numbers()
    ivec is_less(vec a, vec b)
    ivec is_equal(vec a, vec b)
    vec select(ivec mask, vec a, vec b)
    ivec sign_of(vec x)
    vec magnitude(vec x)
    vec with_sign(vec x, ivec sign)
    vec power_of_two(ivec n)
    vec divide(vec a, vec b)
    bint all_less(vec a, vec b)
    unsigned int nonzero_lanes(vec x)
    int lowest_bit(uint64_t word)
    int count_bits(uint64_t word)
    vec smaller(vec a, vec b)
    vec larger(vec a, vec b)
    vec square_root(vec x)
    real sum_of_lanes(vec x)
    void sums_of_lanes(real* sums, const vec* vectors)
    void transpose_square(real* out, Index out_stride, const real* x, Index x_stride)
    Index rounded_up(Index count, Index unit)
    vec load(const real* p)
    void store(real* p, vec x)
    vec load_lanes(const real* p, Index lanes)
    void store_lanes(real* p, vec x, Index lanes)
    vec load_first(const real* p, Index count)
    void store_first(real* p, vec x, Index count)
    int64_t shared_add(int64_t* p, int64_t n)
    int64_t shared_load(int64_t* p)
    void shared_store(int64_t* p, int64_t n)
    bint shared_swap(int64_t* p, int64_t was, int64_t becomes)
    void fetch_ahead(const void* p)
    void claim_ahead(const void* p)
    void spin_pause()
    int sched_yield()
    int cpu_number()
    int64_t nanoseconds()
    ctypedef unsigned int FloatMode
    FloatMode flush_denormals()
    void restore_mode(FloatMode before)
