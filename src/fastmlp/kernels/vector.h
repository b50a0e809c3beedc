/* What the kernels are written in and Cython itself does not offer: a number type that the build chooses, vectors of
 * it, the constants that depend on it, and atomics. No arithmetic of a network is here.
 *
 * The build sets REAL_BITS (32 or 64) and VECTOR_BYTES (16, 32 or 64). Vectors are GCC's and Clang's own extension:
 * the compiler turns `a * b + c` on them into the best instructions of the target, so that one source serves every
 * instruction set. MSVC has no such extension; setup.py refuses it.
 */
#ifndef FASTMLP_VECTOR_H
#define FASTMLP_VECTOR_H

#if !defined(__GNUC__)
#error "fastmlp needs a compiler with vector extensions: GCC or Clang (on Windows: clang-cl or MinGW-w64), not MSVC"
#endif

#include <math.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if REAL_BITS == 32
typedef float real;
typedef int32_t integer;
#define REAL_SQRT(x) __builtin_sqrtf(x)
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define NEAR -87.0f                 /* exp is a normal number from here to 0 */
#define MAGIC 0x1.8p23f              /* adding it rounds to a whole number, kept in the low bits */
#define LN2_HIGH 0x1.63p-1f          /* ln 2 in two parts; n * LN2_HIGH is exact for every exponent n */
#define LN2_LOW -0x1.bd0106p-13f
#define EXP_FLOOR -110.0f            /* exp is 0 below, even among the denormals */
#define EXP_CEILING 90.0f            /* and infinite above */
#define SCALED_EXP_END 176.475f      /* y exp(x) is 0 or infinite beyond, for every y that is a normal number */
#define TANH_ONE -20.0f              /* tanh rounds to 1 if exp(2x) is below exp(TANH_ONE) */
#define NORMAL_SCALE 0x1p24f         /* lifts every denormal to a normal number */
#define NORMAL_SHIFT 24
#define SMALLEST_NORMAL 0x1p-126f
#define SMALL_SCALE 0x1p-80f         /* sums of squares of any numbers times it are finite */
#define LOWEST -0x1.fffffep127f
#define SILU_END 200.0f              /* sigmoid is 0 or 1 beyond */
#define GELU_END 30.0f               /* the gate of gelu is 0 or 1 beyond, in both forms */
#define LOG_COSH_END 0.75f           /* from it on |x| + log(1 + exp(-2|x|)) - log(2) keeps its digits */
#define GAUSS_END 13.2f              /* below it exp(-t^2 / 2) is a normal number, from it on t Phi(-t) is not */
#define GAUSS_CUT 0x1.8p15f          /* adding and subtracting it leaves a multiple of 2^-8, whose square is exact */
#define GAUSS_SHIFT 2.5f             /* k, a and b of r = 1 / (t + k), v = a - b r */
#define GAUSS_A 0.625f
#define GAUSS_B 4.0f                 /* a power of two: b r is exact */
/* Near-minimax fits (Chebyshev interpolation in 50 digits, tests/test_elementwise.py states the error):
 * exp(r) = 1 + r + r^2 (EXP_0 + EXP_1 r + ...),         |r| <= ln(2) / 2, an even number of terms
 * log(1 + f) = 2s + s z (LOG_0 + LOG_1 z + ...),        s = f / (2 + f), z = s^2
 * log(1 + e) = 2s + 2s z (LOG1P_0 + LOG1P_1 z + ...),   s = e / (2 + e), z = s^2, 0 <= e <= 1, an even number of terms
 * log(cosh(x)) = z (LOG_COSH_0 + LOG_COSH_1 z + ...),   z = x^2, |x| <= LOG_COSH_END
 * Phi(-t) = exp(-t^2 / 2) r (GAUSS_0 + GAUSS_1 v + ...),  0 <= t <= GAUSS_END, an even number of terms */
#define EXP_TERMS 6
#define EXP_TABLE {0.50000000134981778643f, 0.16666666681659179129f, 0.041666464602026541557f, \
                   0.0083333108895820771937f, 0.0013933685862617173589f, 0.00019891030654370327738f}
#define LOG_TERMS 3
#define LOG_TABLE {0.66666685095429069f, 0.39988757716604847f, 0.29580985929974422f}
#define LOG1P_TERMS 4
#define LOG1P_TABLE {0.33333319425582886f, 0.20003780722618103f, 0.14118309319019318f, 0.1342574954032898f}
#define LOG_COSH_TERMS 6
#define LOG_COSH_TABLE {0.499999997722f, -0.0833330409916f, 0.0222160726768f, -0.00669800352747f, 0.00201279806148f, \
                        -0.000428776588912f}
#define GAUSS_TERMS 10
#define GAUSS_TABLE {0.618160963f, -0.469147831f, 0.208232343f, -0.0103405202f, -0.0393925123f, 0.00661300495f, \
                     0.0114984931f, -0.00058926153f, -0.00364542496f, -0.00114986114f}
#else
typedef double real;
typedef int64_t integer;
#define REAL_SQRT(x) __builtin_sqrt(x)
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define NEAR -708.0
#define MAGIC 0x1.8p52
#define LN2_HIGH 0x1.62e42feep-1
#define LN2_LOW 0x1.a39ef35793c76p-33
#define EXP_FLOOR -760.0
#define EXP_CEILING 720.0
#define SCALED_EXP_END 1418.59
#define TANH_ONE -45.0
#define NORMAL_SCALE 0x1p53
#define NORMAL_SHIFT 53
#define SMALLEST_NORMAL 0x1p-1022
#define SMALL_SCALE 0x1p-540
#define LOWEST -0x1.fffffffffffffp1023
#define SILU_END 1000.0
#define GELU_END 30.0
#define LOG_COSH_END 0.75
#define GAUSS_END 37.6
#define GAUSS_CUT 0x1.8p32
#define GAUSS_SHIFT 3.5
#define GAUSS_A 0.375
#define GAUSS_B 4.0
#define EXP_TERMS 10
#define EXP_TABLE {0.5, 0.16666666666666667456, 0.041666666666623991516, 0.0083333333333300513464, \
                   0.0013888888917281793308, 0.00019841269863105968748, 0.000024801521190217727651, \
                   2.7557268378684192873e-6, 2.7620138719733995569e-7, 2.5100424157005066788e-8}
#define LOG_TERMS 7
#define LOG_TABLE {0.66666666666666697077, 0.39999999999898890514, 0.28571428626253837606, 0.22222211089379496214, \
                   0.18182892432536871201, 0.15331611722055007885, 0.14617807153417324964}
#define LOG1P_TERMS 12
#define LOG1P_TABLE {0.3333333333333333, 0.20000000000000007, 0.1428571428571097, 0.11111111111665993, \
                     0.09090909043002827, 0.07692310126902081, 0.06666588474569089, 0.05883998883620518, \
                     0.05240199617182637, 0.04971012448277368, 0.03167055425885123, 0.07615631309714492}
#define LOG_COSH_TERMS 13
#define LOG_COSH_TABLE {0.49999999999999999892, -0.08333333333333268566, 0.022222222222157539484, \
                        -0.0067460317434871322075, 0.0021869488014526442472, -0.00073860232218389087843, \
                        0.00025657553171000222944, -0.000090962797813048566785, 0.000032680472703225072709, \
                        -0.000011702763976921857698, 3.9532225932878469027e-6, -1.0877301036102406535e-6, \
                        1.7129809173300560927e-7}
#define GAUSS_TERMS 24
#define GAUSS_TABLE {0.58283096286604441, -0.67665600398047399, 0.64321624126555565, -0.46701039753003398, \
                     0.21319822689529636, -0.0016877193790844954, -0.077424060699652394, 0.037780204558304893, \
                     0.022843244277874483, -0.027447015379911517, -0.0072105284830886384, 0.018737533289225797, \
                     0.0033486269223205229, -0.013833241097825891, -0.0032045808795802032, 0.011093458103346695, \
                     0.004706298537283147, -0.0092597640357015114, -0.0084005023313428271, 0.0048305631185527357, \
                     0.012898364203090793, 0.0099272655877907894, 0.0037295886552178221, 0.00058332354473016295}
#endif
static const real EXP_COEFFICIENTS[EXP_TERMS] = EXP_TABLE;
static const real LOG_COEFFICIENTS[LOG_TERMS] = LOG_TABLE;
static const real LOG1P_COEFFICIENTS[LOG1P_TERMS] = LOG1P_TABLE;
static const real LOG_COSH_COEFFICIENTS[LOG_COSH_TERMS] = LOG_COSH_TABLE;
static const real GAUSS_COEFFICIENTS[GAUSS_TERMS] = GAUSS_TABLE;

typedef real vec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
typedef integer ivec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
typedef uint32_t words __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
#define LANES ((int)(VECTOR_BYTES / sizeof(real)))

/* For functions whose sizes are constants wherever they are inlined, and have to be. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE ptrdiff_t rounded_up(ptrdiff_t count, ptrdiff_t unit)
{
    return (count + unit - 1) / unit * unit;
}

#define splat(x) ((real)(x) - (vec){0})       /* x - 0 is x, -0 included, so that it costs nothing */
#define ZERO ((vec){0})
#define divide(a, b) ((a) / (b))               /* Cython would turn a / b into a division of numbers */
#define bits(x) ((ivec)(x))
#define from_bits(x) ((vec)(x))
#define from_words(x) ((ivec)(x))
#define splat_int(x) ((integer)(x) - (ivec){0})
#define ints_less(a, b) ((ivec)((a) < (b)))
#define is_less(a, b) ((ivec)((a) < (b)))      /* all bits of a lane set if true; false for NaN */
#define is_equal(a, b) ((ivec)((a) == (b)))
#define select(mask, a, b) from_bits(((mask) & bits(a)) | (~(mask) & bits(b)))
#define SIGN_BIT ((integer)((integer)1 << (sizeof(real) * 8 - 1)))
#define sign_of(x) (bits(x) & SIGN_BIT)
#define magnitude(x) from_bits(bits(x) & ~SIGN_BIT)
#define with_sign(x, sign) from_bits(bits(x) | (sign))
#define power_of_two(n) from_bits(((n) + (integer)EXPONENT_BIAS) << MANTISSA_BITS)

/* Whether a < b in every lane; false if any number is NaN. */
#if defined(__AVX512F__) && VECTOR_BYTES == 64 && REAL_BITS == 32
#define all_less(a, b) (_mm512_cmp_ps_mask((__m512)(a), (__m512)(b), _CMP_LT_OQ) == 0xffff)
#elif defined(__AVX512F__) && VECTOR_BYTES == 64
#define all_less(a, b) (_mm512_cmp_pd_mask((__m512d)(a), (__m512d)(b), _CMP_LT_OQ) == 0xff)
#elif defined(__AVX2__) && VECTOR_BYTES == 32
#define all_less(a, b) (_mm256_movemask_epi8((__m256i)is_less(a, b)) == -1)
#elif defined(__SSE2__) && VECTOR_BYTES == 16
#define all_less(a, b) (_mm_movemask_epi8((__m128i)is_less(a, b)) == 0xffff)
#else
static inline int all_less(vec a, vec b)
{
    ivec less = is_less(a, b);
    integer every = -1;
    for (int lane = 0; lane < LANES; lane++)
        every &= less[lane];
    return every != 0;
}
#endif

/* Which lanes are not zero, as the low bits of a number; NaN is not zero. */
#if defined(__AVX512F__) && VECTOR_BYTES == 64 && REAL_BITS == 32
#define nonzero_lanes(x) _mm512_cmp_ps_mask((__m512)(x), (__m512)ZERO, _CMP_NEQ_UQ)
#elif defined(__AVX512F__) && VECTOR_BYTES == 64
#define nonzero_lanes(x) _mm512_cmp_pd_mask((__m512d)(x), (__m512d)ZERO, _CMP_NEQ_UQ)
#elif defined(__AVX__) && VECTOR_BYTES == 32 && REAL_BITS == 32
#define nonzero_lanes(x) _mm256_movemask_ps(_mm256_cmp_ps((__m256)(x), (__m256)ZERO, _CMP_NEQ_UQ))
#elif defined(__AVX__) && VECTOR_BYTES == 32
#define nonzero_lanes(x) _mm256_movemask_pd(_mm256_cmp_pd((__m256d)(x), (__m256d)ZERO, _CMP_NEQ_UQ))
#elif defined(__SSE2__) && VECTOR_BYTES == 16 && REAL_BITS == 32
#define nonzero_lanes(x) _mm_movemask_ps(_mm_cmpneq_ps((__m128)(x), (__m128)ZERO))
#elif defined(__SSE2__) && VECTOR_BYTES == 16
#define nonzero_lanes(x) _mm_movemask_pd(_mm_cmpneq_pd((__m128d)(x), (__m128d)ZERO))
#else
static inline unsigned nonzero_lanes(vec x)
{
    unsigned found = 0;
    for (int lane = 0; lane < LANES; lane++)
        found |= (unsigned)(x[lane] != 0) << lane;
    return found;
}
#endif
#define lowest_bit(word) __builtin_ctzll(word)      /* of a word that is not 0 */
#define count_bits(word) __builtin_popcountll(word)

/* MurmurHash3's multipliers, and the lanes' numbers as 32-bit words, in the low half of a 64-bit lane. */
#define MURMUR_FIRST 0x85ebca6bu
#define MURMUR_SECOND 0xc2b2ae35u
static inline words lane_numbers(void)
{
    ivec number;
    for (int lane = 0; lane < LANES; lane++)
        number[lane] = lane;
    return (words)number;
}

/* min and max, lane by lane; b if either is NaN, so that a NaN in b survives, as x86's instruction has it. GCC does not
 * choose that instruction for a comparison and a selection, and makes a loop over a 32-byte vector into eight scalar
 * instructions. */
#if defined(__AVX512F__) && VECTOR_BYTES == 64 && REAL_BITS == 32
#define smaller(a, b) ((vec)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define larger(a, b) ((vec)_mm512_max_ps((__m512)(a), (__m512)(b)))
#elif defined(__AVX512F__) && VECTOR_BYTES == 64
#define smaller(a, b) ((vec)_mm512_min_pd((__m512d)(a), (__m512d)(b)))
#define larger(a, b) ((vec)_mm512_max_pd((__m512d)(a), (__m512d)(b)))
#elif defined(__AVX__) && VECTOR_BYTES == 32 && REAL_BITS == 32
#define smaller(a, b) ((vec)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define larger(a, b) ((vec)_mm256_max_ps((__m256)(a), (__m256)(b)))
#elif defined(__AVX__) && VECTOR_BYTES == 32
#define smaller(a, b) ((vec)_mm256_min_pd((__m256d)(a), (__m256d)(b)))
#define larger(a, b) ((vec)_mm256_max_pd((__m256d)(a), (__m256d)(b)))
#elif defined(__SSE2__) && VECTOR_BYTES == 16 && REAL_BITS == 32
#define smaller(a, b) ((vec)_mm_min_ps((__m128)(a), (__m128)(b)))
#define larger(a, b) ((vec)_mm_max_ps((__m128)(a), (__m128)(b)))
#elif defined(__SSE2__) && VECTOR_BYTES == 16
#define smaller(a, b) ((vec)_mm_min_pd((__m128d)(a), (__m128d)(b)))
#define larger(a, b) ((vec)_mm_max_pd((__m128d)(a), (__m128d)(b)))
#else
#define smaller(a, b) select(is_less(a, b), a, b)
#define larger(a, b) select(is_less(b, a), a, b)
#endif

static inline vec square_root(vec x)
{
    vec root;
    for (int lane = 0; lane < LANES; lane++)
        root[lane] = REAL_SQRT(x[lane]);
    return root;
}

/* The last, partial vector of a row: the same arithmetic as a full vector, so that a value never depends on where a row
 * or a thread's part happens to end. Lanes past `count` are zero and are not touched in memory. */
#if defined(__AVX512VL__) && VECTOR_BYTES == 64
#define first_lanes(count) ((1u << (count)) - 1)
#if REAL_BITS == 32
#define load_first(p, count) ((vec)_mm512_maskz_loadu_ps(first_lanes(count), (p)))
#define store_first(p, x, count) _mm512_mask_storeu_ps((p), first_lanes(count), (__m512)(x))
#else
#define load_first(p, count) ((vec)_mm512_maskz_loadu_pd(first_lanes(count), (p)))
#define store_first(p, x, count) _mm512_mask_storeu_pd((p), first_lanes(count), (__m512d)(x))
#endif
#elif defined(__AVX2__) && VECTOR_BYTES == 32
static inline __m256i first_lanes(ptrdiff_t count)
{
    ivec number;
    for (int lane = 0; lane < LANES; lane++)
        number[lane] = lane;
    return (__m256i)(number < (integer)count - (ivec){0});
}
#if REAL_BITS == 32
#define load_first(p, count) ((vec)_mm256_maskload_ps((p), first_lanes(count)))
#define store_first(p, x, count) _mm256_maskstore_ps((p), first_lanes(count), (__m256)(x))
#else
#define load_first(p, count) ((vec)_mm256_maskload_pd((p), first_lanes(count)))
#define store_first(p, x, count) _mm256_maskstore_pd((p), first_lanes(count), (__m256d)(x))
#endif
#else
static inline vec load_first(const real *p, ptrdiff_t count)
{
    vec x = {0};
    for (int lane = 0; lane < LANES; lane++)
        if (lane < count)
            x[lane] = p[lane];
    return x;
}

static inline void store_first(real *p, vec x, ptrdiff_t count)
{
    for (int lane = 0; lane < LANES; lane++)
        if (lane < count)
            p[lane] = x[lane];
}
#endif

/* Vectors from and to memory of any alignment. The caller guarantees that all LANES numbers, or the first `lanes` of
 * them, lie in its array. */
ALWAYS_INLINE vec load(const real *p)
{
    return *(const vec *)p;
}

ALWAYS_INLINE void store(real *p, vec x)
{
    *(vec *)p = x;
}

ALWAYS_INLINE vec load_lanes(const real *p, ptrdiff_t lanes)
{
    return lanes == LANES ? load(p) : load_first(p, lanes);
}

ALWAYS_INLINE void store_lanes(real *p, vec x, ptrdiff_t lanes)
{
    if (lanes == LANES)
        store(p, x);
    else
        store_first(p, x, lanes);
}

/* Lanes of a vector, or of two, in any constant order; of two, `order` counts through the first, then the second. */
#if defined(__clang__)
static inline vec shuffle_one(vec a, ivec order)
{
    vec x;
    for (int lane = 0; lane < LANES; lane++)
        x[lane] = a[order[lane]];
    return x;
}

static inline vec shuffle_two(vec a, vec b, ivec order)
{
    vec x;
    for (int lane = 0; lane < LANES; lane++)
        x[lane] = order[lane] < LANES ? a[order[lane]] : b[order[lane] - LANES];
    return x;
}
#else
#define shuffle_one(a, order) __builtin_shuffle((a), (order))
#define shuffle_two(a, b, order) __builtin_shuffle((a), (b), (order))
#endif

/* Each lane plus the lane `distance` away: log2(LANES) of these leave the sum of all lanes in every lane. */
ALWAYS_INLINE vec fold(vec x, integer distance)
{
    ivec lanes;
    for (int lane = 0; lane < LANES; lane++)
        lanes[lane] = lane;     /* a constant, as the order must be after the loop below is unrolled */
    return x + shuffle_one(x, lanes ^ distance);
}

static inline real sum_of_lanes(vec x)
{
#pragma GCC unroll 4
    for (int distance = LANES / 2; distance; distance /= 2)
        x = fold(x, distance);
    return x[0];
}

/* Two vectors folded into one: lanes without the bit `distance` are those of fold(a), the others those of fold(b). */
ALWAYS_INLINE vec fold_both(vec a, vec b, integer distance)
{
    ivec lanes;
    for (int lane = 0; lane < LANES; lane++)
        lanes[lane] = lane;
    ivec of_b = (ivec)((lanes & distance) != 0) & (integer)LANES;
    return shuffle_two(a, b, lanes + of_b) + shuffle_two(a, b, (lanes ^ distance) + of_b);
}

#define FOLDED 8
#define FOLDED_AT_ONCE (LANES < FOLDED ? LANES : FOLDED)

/* The sums of the lanes of 8 vectors, each by the same additions as sum_of_lanes, in a third of the operations: every
 * round folds two vectors into one. */
ALWAYS_INLINE void sums_of_lanes(real *sums, const vec *vectors)
{
    vec x[FOLDED];
    for (int i = 0; i < FOLDED; i++)
        x[i] = vectors[i];
#pragma GCC unroll 8
    for (int first = 0; first < FOLDED; first += FOLDED_AT_ONCE) {
        int distance = LANES / 2;
#pragma GCC unroll 4
        for (int half = FOLDED_AT_ONCE / 2; half; half /= 2, distance /= 2)
#pragma GCC unroll 8
            for (int i = 0; i < half; i++)
                x[first + i] = fold_both(x[first + i], x[first + i + half], distance);
#pragma GCC unroll 4
        for (; distance; distance /= 2)
            x[first] = fold(x[first], distance);
        for (int i = 0; i < FOLDED_AT_ONCE; i++)
            sums[first + i] = x[first][i * (LANES / FOLDED_AT_ONCE)];
    }
}

/* Transposes a square of LANES x LANES numbers: log2(LANES) rounds, each of which swaps the off-diagonal quarters of
 * ever smaller squares (J. O. Eklundh, A fast computer method for matrix transposing, 1972). */
static inline void transpose_square(real *out, ptrdiff_t out_stride, const real *in, ptrdiff_t in_stride)
{
    vec row[LANES];
    for (int i = 0; i < LANES; i++)
        row[i] = *(const vec *)(in + i * in_stride);
#pragma GCC unroll 4
    for (int distance = LANES / 2; distance; distance /= 2) {
        ivec keep, cross;
        for (int lane = 0; lane < LANES; lane++) {
            keep[lane] = lane & distance ? (lane ^ distance) + LANES : lane;
            cross[lane] = lane & distance ? lane + LANES : lane ^ distance;
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++)
            if (!(i & distance)) {
                vec upper = row[i], lower = row[i + distance];
                row[i] = shuffle_two(upper, lower, keep);
                row[i + distance] = shuffle_two(upper, lower, cross);
            }
    }
    for (int i = 0; i < LANES; i++)
        *(vec *)(out + i * out_stride) = row[i];
}

/* Ask for a cache line, to read or to own it, without waiting: hints, which change nothing. A store to a line that
 * another core has read waits some 10 to 40 ns until that core gives the line up, and stores wait one after the other.
 * Lines that are asked for while a product is computed are there when the product is done. */
#define fetch_ahead(p) __builtin_prefetch(p)
#define claim_ahead(p) __builtin_prefetch((p), 1)

/* Denormal numbers as zero, for this thread: x86 takes up to a hundred times as long for a product of one, and
 * parameters that decay stay denormal for good. Returns the floating point mode as it was, flags included, for
 * restore_mode. The barriers keep the compiler from moving reads and writes of memory across. */
#if defined(__SSE2__)
typedef unsigned int FloatMode;
#define read_mode(mode) ((mode) = _mm_getcsr())
#define write_mode(mode) _mm_setcsr(mode)
#define FLUSHES 0x8040u             /* flush to zero, and denormals are zero */
#elif defined(__aarch64__)
typedef uint64_t FloatMode;
#define read_mode(mode) __asm__ __volatile__("mrs %0, fpcr" : "=r"(mode))
#define write_mode(mode) __asm__ __volatile__("msr fpcr, %0" : : "r"(mode))
#define FLUSHES (1u << 24)          /* flush to zero, of operands and results */
#elif defined(__arm__) && defined(__ARM_FP)
typedef uint32_t FloatMode;
#define read_mode(mode) __asm__ __volatile__("vmrs %0, fpscr" : "=r"(mode))
#define write_mode(mode) __asm__ __volatile__("vmsr fpscr, %0" : : "r"(mode))
#define FLUSHES (1u << 24)
#else                               /* no such mode is known: denormal numbers stay */
typedef int FloatMode;
#define read_mode(mode) ((mode) = 0)
#define write_mode(mode) ((void)(mode))
#define FLUSHES 0
#endif

static inline FloatMode flush_denormals(void)
{
    FloatMode before;
    read_mode(before);
    write_mode(before | FLUSHES);
    __asm__ __volatile__("" ::: "memory");
    return before;
}

static inline void restore_mode(FloatMode before)
{
    __asm__ __volatile__("" ::: "memory");
    write_mode(before);
}

/* Barriers between threads (threads.pxi): acquire and release as in the C11 memory model. */
#define shared_add(p, n) __atomic_add_fetch((p), (n), __ATOMIC_ACQ_REL)
#define shared_load(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define shared_store(p, n) __atomic_store_n((p), (n), __ATOMIC_RELEASE)
static inline int shared_swap(int64_t *p, int64_t from, int64_t to)     /* whether *p was `from`, and is now `to` */
{
    return __atomic_compare_exchange_n(p, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
static inline int64_t nanoseconds(void)     /* of a clock that never goes back */
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
#if defined(__linux__)
#define cpu_number() sched_getcpu()
#else
#define cpu_number() (-1)
#endif
#if defined(__x86_64__) || defined(__i386__)
#define spin_pause() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define spin_pause() __asm__ __volatile__("yield")
#else
#define spin_pause() ((void)0)
#endif

#endif
