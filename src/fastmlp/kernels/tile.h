/* Register tiles: the innermost loops of every product. They are written in C because each size of a tile is compiled
 * by itself, with its loops unrolled, so that all sums of a tile stay in registers.
 *
 * Three forms, by what lies along the lanes:
 *     outer tile      columns of c, and b's rows are vectors; a number of a stands in all lanes
 *     inner tile      the depth of the sum; a's and b's rows are vectors, and lanes are added up at the end
 *     row of sums     columns of c; one long row, for sums that pass over zeros of a
 *
 * Every tile computes an element of c by the same chain of multiply-adds, in order of the depth: how rows and columns
 * are cut, and so the number of threads, never changes a bit.
 */
#ifndef FASTMLP_TILE_H
#define FASTMLP_TILE_H

#include "vector.h"

/* Another tile is these two numbers. The registers hold TILE_ROWS x TILE_VECTORS sums, one row of vectors and one
 * number in all lanes: 32 registers take 8 x 3, 16 take 6 x 2 if the multiply-add is one instruction, else 4 x 2. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define TILE_ROWS 8
#define TILE_VECTORS 3
#elif defined(__FMA__)
#define TILE_ROWS 6
#define TILE_VECTORS 2
#else
#define TILE_ROWS 4
#define TILE_VECTORS 2
#endif

/* A row of sums: fewer vectors than MIN_SUMS would wait for each other's multiply-adds; MAX_SUMS, a factor and what
 * else a sum takes fill 15 of 16 registers. */
#define MIN_SUMS 6
#define MAX_SUMS 13

/* Blocks of a product. A tile's rows of DEPTH_BLOCK fill half of a first-level cache of 32 KB; ROW_CHUNK such rows fill
 * half of a second-level cache of 1 MB. A word of 64 bits marks which of WORD numbers of the depth are not zero. */
#define DEPTH_BLOCK ((ptrdiff_t)(2048 / sizeof(real)))
#define ROW_CHUNK 256
#define WORD 64
#define MAX_WORDS ((DEPTH_BLOCK + WORD - 1) / WORD)

/* A packed block of b: a panel's columns, the block's depth and one row of biases; the larger of a tile's and of a row
 * of sums', in whole cache lines of 64 bytes. */
#define TILE_PACK (TILE_VECTORS * LANES * (DEPTH_BLOCK + 1))
#define SUMS_PACK (MAX_SUMS * LANES * (WORD + 1))
#define LINE_REALS ((ptrdiff_t)(64 / sizeof(real)))
#define PACK_REALS (((TILE_PACK > SUMS_PACK ? TILE_PACK : SUMS_PACK) + LINE_REALS - 1) / LINE_REALS * LINE_REALS)

/* Rows of a wide network are divided among threads, and losses are added up, in blocks of this many. */
#define ROW_BLOCK 16
_Static_assert(ROW_BLOCK % LANES == 0, "a block of rows lies along whole vectors");

/* Vectors of column_sums that are added side by side, so that additions do not wait for each other. */
#define SUMMED_VECTORS 4
#define MAX_CLAIMS 3

enum {
    FROM_ZERO,              /* c = a b */
    FROM_C,                 /* c += a b */
    FROM_COLUMN_BIAS,       /* c = a b + bias, one bias per column: outputs along the lanes */
    FROM_ROW_BIAS           /* c = a b + bias, one bias per row: samples along the lanes */
};

typedef struct {
    real *at;
    ptrdiff_t stride;       /* from one row to the next */
} Matrix;

typedef struct {
    const real *at;
    ptrdiff_t stride;
} ConstMatrix;

typedef struct {
    const real *at;
    ptrdiff_t step;         /* from one row (of a) or column (of b) of the product to the next */
    ptrdiff_t depth;        /* from one term of the sum to the next */
} Operand;

/* Memory that is written after a tile of c is done, in matrices of c's stride, at the tile's own place. */
typedef struct {
    int count;
    const real *at[MAX_CLAIMS];
} Claims;

/* A few columns of a product: c (rows, vectors * LANES), how it starts and what becomes of it.
 * Only `last` lanes of each row's last vector are read and written, in c, in the gate and in biases of columns; the
 * layout guarantees all LANES of them if it pads the rows. */
typedef struct {
    Matrix c;
    int vectors;
    ptrdiff_t last;
    int start;
    const real *bias;       /* (vectors * LANES,) or (rows,), as `start` has it */
    int rectifies;          /* c = max(0, c) */
    ConstMatrix gate;       /* c = c relu'(z), from h = relu(z), laid out as c; at NULL: none */
    Claims claims;
} Panel;

/* c = a bᵀ, the depth along the lanes: a (rows, stride), b (columns, stride), c with any strides. The layout pads the
 * depth to whole vectors. */
typedef struct {
    real *c;
    ptrdiff_t row, column;      /* from one row, or column, of c to the next */
    const real *a, *b;
    ptrdiff_t stride;
    ptrdiff_t rows, columns, depth;
    int accumulates;            /* c += a bᵀ */
} InnerProduct;

#if defined(__clang__)
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 16")
#endif

/* Run `call` with `name` as a constant of this value: each value from `low` to `high` is compiled by itself. The caller
 * guarantees that the value is one of them, and that `high` is at most 16. */
#define CASE(n, name, low, high, call) \
    case n: \
        if ((low) <= n && n <= (high)) { \
            enum { name = n }; \
            call; \
        } \
        break;
#define WITH_CONSTANT(name, value, low, high, call) \
    switch (value) { \
        CASE(1, name, low, high, call) CASE(2, name, low, high, call) CASE(3, name, low, high, call) \
        CASE(4, name, low, high, call) CASE(5, name, low, high, call) CASE(6, name, low, high, call) \
        CASE(7, name, low, high, call) CASE(8, name, low, high, call) CASE(9, name, low, high, call) \
        CASE(10, name, low, high, call) CASE(11, name, low, high, call) CASE(12, name, low, high, call) \
        CASE(13, name, low, high, call) CASE(14, name, low, high, call) CASE(15, name, low, high, call) \
        CASE(16, name, low, high, call) \
        default: __builtin_unreachable(); \
    }
_Static_assert(TILE_ROWS <= 16 && TILE_VECTORS <= 16 && MAX_SUMS <= 16, "WITH_CONSTANT has 16 cases");

ALWAYS_INLINE vec relu(vec z)
{
    return larger(ZERO, z);
}

ALWAYS_INLINE vec relu_gate(vec h)     /* NaN stays NaN */
{
    return select(is_less(ZERO, h), splat(1), h * (real)0);
}

/* The size of the next part if `remaining` is cut into as few parts of at most `largest` as possible, about equal. */
ALWAYS_INLINE ptrdiff_t even_part(ptrdiff_t remaining, ptrdiff_t largest)
{
    if (remaining <= largest)
        return remaining;
    ptrdiff_t parts = (remaining + largest - 1) / largest;
    return (remaining + parts - 1) / parts;
}

/* Columns of the next panel: an even part of the remaining vectors, at most `max_vectors` of them. */
ALWAYS_INLINE ptrdiff_t panel_columns(ptrdiff_t remaining, ptrdiff_t max_vectors)
{
    ptrdiff_t columns = even_part(rounded_up(remaining, LANES) / LANES, max_vectors) * LANES;
    return columns < remaining ? columns : remaining;
}

ALWAYS_INLINE void load_row(vec *row, const real *p, ptrdiff_t last, const int width)
{
    UNROLLED
    for (int v = 0; v < width; v++)
        row[v] = load_lanes(p + v * LANES, v < width - 1 ? LANES : last);
}

ALWAYS_INLINE void store_row(real *p, const vec *row, ptrdiff_t last, const int width)
{
    UNROLLED
    for (int v = 0; v < width; v++)
        store_lanes(p + v * LANES, row[v], v < width - 1 ? LANES : last);
}

/* ---- the outer tile ------------------------------------------------------------------------------------------- */

typedef vec TileRow[TILE_VECTORS];

ALWAYS_INLINE void load_tile(TileRow *tile, ConstMatrix c, ptrdiff_t last, const int height, const int width)
{
    UNROLLED
    for (int row = 0; row < height; row++)
        load_row(tile[row], c.at + row * c.stride, last, width);
}

ALWAYS_INLINE void store_tile(Matrix c, TileRow *tile, ptrdiff_t last, const int height, const int width)
{
    UNROLLED
    for (int row = 0; row < height; row++)
        store_row(c.at + row * c.stride, tile[row], last, width);
}

/* What a tile of panel rows m ... begins with. Whole vectors have a branch of their own, so that a short depth pays for
 * one test, not for one per row. */
ALWAYS_INLINE void start_tile(TileRow *tile, const Panel *panel, ptrdiff_t m, const int height, const int width)
{
    ConstMatrix c = {panel->c.at + m * panel->c.stride, panel->c.stride}, one_bias = {panel->bias, 0};
    UNROLLED
    for (int row = 0; row < height; row++)
        UNROLLED
        for (int v = 0; v < width; v++)
            tile[row][v] = ZERO;
    if (panel->start == FROM_ROW_BIAS)
        UNROLLED
        for (int row = 0; row < height; row++)
            UNROLLED
            for (int v = 0; v < width; v++)
                tile[row][v] = splat(panel->bias[m + row]);
    else if (panel->start == FROM_COLUMN_BIAS)
        load_tile(tile, one_bias, panel->last, height, width);
    else if (panel->start == FROM_C && panel->last == LANES)
        load_tile(tile, c, LANES, height, width);
    else if (panel->start == FROM_C)
        load_tile(tile, c, panel->last, height, width);
}

ALWAYS_INLINE void finish_tile(TileRow *tile, const Panel *panel, ptrdiff_t m, const int height, const int width)
{
    if (panel->rectifies)
        UNROLLED
        for (int row = 0; row < height; row++)
            UNROLLED
            for (int v = 0; v < width; v++)
                tile[row][v] = relu(tile[row][v]);
    if (panel->gate.at) {
        const real *gate = panel->gate.at + m * panel->gate.stride;
        UNROLLED
        for (int row = 0; row < height; row++) {
            TileRow h;
            load_row(h, gate + row * panel->gate.stride, panel->last, width);
            UNROLLED
            for (int v = 0; v < width; v++)
                tile[row][v] = tile[row][v] * relu_gate(h[v]);
        }
    }
}

/* Rows of a that are addressed from one pointer. The registers neither hold a pointer per row, nor all multiples of a
 * stride that one pointer for all rows needs. */
#define ADDRESSED_ROWS 3
#define ROW_POINTERS ((TILE_ROWS + ADDRESSED_ROWS - 1) / ADDRESSED_ROWS)

/* Return n, about which the compiler then knows nothing. GCC would else compile loops a second time for a stride of 1,
 * or compute the addresses of a tile's end before its loop, and have too few registers in the loop in both cases. */
ALWAYS_INLINE ptrdiff_t opaque(ptrdiff_t n)
{
    __asm__("" : "+r"(n));
    return n;
}

ALWAYS_INLINE const real *after(const real *p, ptrdiff_t bytes)
{
    return (const real *)((const char *)p + bytes);
}

/* tile += a b: a (rows, depth), of which rows m ... m + height; b (depth, width * LANES), its rows whole vectors. */
ALWAYS_INLINE void multiply_add(TileRow *tile, const Operand *a, ptrdiff_t m, const Operand *b, ptrdiff_t depth,
                                const int height, const int width)
{
    const ptrdiff_t step = a->step;
    const ptrdiff_t a_bytes = opaque(a->depth * sizeof(real)), b_bytes = opaque(b->depth * sizeof(real));
    const real *left[ROW_POINTERS], *right = b->at;
    TileRow row_of_b;
    UNROLLED
    for (int group = 0; group < ROW_POINTERS; group++)
        left[group] = a->at + (m + group * ADDRESSED_ROWS) * step;
    for (; depth > 0; depth--) {
        load_row(row_of_b, right, LANES, width);
        UNROLLED
        for (int row = 0; row < height; row++)
            UNROLLED
            for (int v = 0; v < width; v++)
                tile[row][v] += splat(left[row / ADDRESSED_ROWS][row % ADDRESSED_ROWS * step]) * row_of_b[v];
        UNROLLED
        for (int group = 0; group < ROW_POINTERS; group++)
            left[group] = after(left[group], a_bytes);
        right = after(right, b_bytes);
    }
}

/* c = start + a b, a tile of panel rows m ... */
ALWAYS_INLINE void outer_tile(const Panel *panel, ptrdiff_t m, const Operand *a, const Operand *b, ptrdiff_t depth,
                              const int height, const int width)
{
    TileRow tile[TILE_ROWS];
    start_tile(tile, panel, m, height, width);
    multiply_add(tile, a, m, b, depth, height, width);
    finish_tile(tile, panel, m, height, width);
    Matrix c = {panel->c.at + m * panel->c.stride, opaque(panel->c.stride)};
    if (panel->last == LANES)
        store_tile(c, tile, LANES, height, width);
    else
        store_tile(c, tile, panel->last, height, width);
}

/* Request the lines that are written after a tile is done, while the tile is computed. */
ALWAYS_INLINE void claim_tile(const Panel *panel, ptrdiff_t m, int height, const int width)
{
    for (int claim = 0; claim < panel->claims.count; claim++) {
        const real *p = panel->claims.at[claim] + m * panel->c.stride;
        for (int row = 0; row < height; row++, p += panel->c.stride)
            UNROLLED
            for (int v = 0; v < width; v++)
                claim_ahead(p + v * LANES);
    }
}

ALWAYS_INLINE void panel_of_width(const Panel *panel, const Operand *a, const Operand *b, ptrdiff_t rows,
                                  ptrdiff_t depth, const int width)
{
    for (ptrdiff_t m = 0; m < rows;) {
        int height = (int)even_part(rows - m, TILE_ROWS);
        claim_tile(panel, m, height, width);
        WITH_CONSTANT(HEIGHT, height, 1, TILE_ROWS, outer_tile(panel, m, a, b, depth, HEIGHT, width))
        m += height;
    }
}

/* c = start + a b, one panel of at most TILE_VECTORS: a (rows, depth) with any strides, b (depth, vectors * LANES). The
 * caller has packed b's rows to whole vectors, or the layout has padded them. */
static void panel_product(const Panel *panel, const Operand *a, const Operand *b, ptrdiff_t rows, ptrdiff_t depth)
{
    WITH_CONSTANT(WIDTH, panel->vectors, 1, TILE_VECTORS, panel_of_width(panel, a, b, rows, depth, WIDTH))
}

/* ---- the inner tile ------------------------------------------------------------------------------------------- */

/* c = or += Σ_lanes of a tile's column: c (height,), `step` apart. */
ALWAYS_INLINE void fold_column(real *c, ptrdiff_t step, const vec *column, int accumulates, const int height)
{
    UNROLLED
    for (int first = 0; first < height; first += FOLDED) {
        const int count = height - first < FOLDED ? height - first : FOLDED;
        real sums[FOLDED];
        vec folded[FOLDED];
        UNROLLED
        for (int row = 0; row < FOLDED; row++)
            folded[row] = row < count ? column[first + row] : ZERO;
        if (count > 3)
            sums_of_lanes(sums, folded);
        else
            for (int row = 0; row < count; row++)
                sums[row] = sum_of_lanes(folded[row]);
        for (int row = 0; row < count; row++, c += step)
            *c = sums[row] + (accumulates ? *c : (real)0);
    }
}

/* c = or += a bᵀ, a tile of rows m ... and columns n ... */
ALWAYS_INLINE void inner_tile(const InnerProduct *p, ptrdiff_t m, ptrdiff_t n, const int height, const int width)
{
    TileRow tile[TILE_ROWS], right;
    const real *a = p->a + m * p->stride, *b = p->b + n * p->stride;
    real *c = p->c + m * p->row + n * p->column;
    UNROLLED
    for (int row = 0; row < height; row++)
        UNROLLED
        for (int v = 0; v < width; v++)
            tile[row][v] = ZERO;
    for (ptrdiff_t k = 0; k < p->depth; k += LANES) {
        UNROLLED
        for (int v = 0; v < width; v++)
            right[v] = load(b + v * p->stride + k);
        UNROLLED
        for (int row = 0; row < height; row++)
            UNROLLED
            for (int v = 0; v < width; v++)
                tile[row][v] += load(a + row * p->stride + k) * right[v];
    }
    UNROLLED
    for (int v = 0; v < width; v++) {
        vec column[TILE_ROWS];
        UNROLLED
        for (int row = 0; row < height; row++)
            column[row] = tile[row][v];
        fold_column(c + v * p->column, p->row, column, p->accumulates, height);
    }
}

ALWAYS_INLINE void inner_columns(const InnerProduct *p, ptrdiff_t n, const int width)
{
    for (ptrdiff_t m = 0; m < p->rows;) {
        int height = (int)even_part(p->rows - m, TILE_ROWS);
        WITH_CONSTANT(HEIGHT, height, 1, TILE_ROWS, inner_tile(p, m, n, HEIGHT, width))
        m += height;
    }
}

static void inner_product(const InnerProduct *p)
{
    for (ptrdiff_t n = 0; n < p->columns;) {
        int width = (int)even_part(p->columns - n, TILE_VECTORS);
        WITH_CONSTANT(WIDTH, width, 1, TILE_VECTORS, inner_columns(p, n, WIDTH))
        n += width;
    }
}

/* ---- rows of sums --------------------------------------------------------------------------------------------- */

/* c += Σ_k a_k b_k over the places k that a word names: c (vectors * LANES,), a (WORD,), b (WORD, vectors * LANES). */
ALWAYS_INLINE void add_places(vec *c, Operand a, Operand b, uint64_t places, const int vectors)
{
    for (; places; places &= places - 1) {
        ptrdiff_t k = lowest_bit(places);
        vec factor = splat(a.at[k * a.depth]);
        UNROLLED
        for (int v = 0; v < vectors; v++)
            c[v] += factor * load(b.at + k * b.depth + v * LANES);
    }
}

ALWAYS_INLINE void skipping_rows_of(const Panel *panel, const Operand *a, const Operand *b, const uint64_t *words,
                                    ptrdiff_t rows, const int vectors)
{
    Operand left = *a;
    for (ptrdiff_t m = 0; m < rows; m++, left.at += a->step) {
        real *at = panel->c.at + m * panel->c.stride;
        vec c[MAX_SUMS];
        if (panel->start == FROM_ZERO)
            UNROLLED
            for (int v = 0; v < vectors; v++)
                c[v] = ZERO;
        else
            load_row(c, panel->start == FROM_C ? at : panel->bias, panel->last, vectors);
        add_places(c, left, *b, words[m], vectors);
        store_row(at, c, panel->last, vectors);
    }
}

/* c = start + a b over the places of `a` that the words name, one word per row: a (rows, WORD) with any strides,
 * b (WORD, vectors * LANES), whose rows are whole vectors as in panel_product. The caller guarantees MIN_SUMS to
 * MAX_SUMS vectors, and a start other than FROM_ROW_BIAS. */
static void skipping_rows(const Panel *panel, const Operand *a, const Operand *b, const uint64_t *words,
                          ptrdiff_t rows)
{
    WITH_CONSTANT(VECTORS, panel->vectors, MIN_SUMS, MAX_SUMS, skipping_rows_of(panel, a, b, words, rows, VECTORS))
}

/* ---- sums of columns ------------------------------------------------------------------------------------------ */

ALWAYS_INLINE void column_sums_of(real *sums, ConstMatrix a, ptrdiff_t rows, ptrdiff_t last, int accumulates,
                                  const int vectors)
{
    vec total[SUMMED_VECTORS], row[SUMMED_VECTORS];
    UNROLLED
    for (int v = 0; v < vectors; v++)
        total[v] = ZERO;
    if (accumulates)
        load_row(total, sums, last, vectors);
    for (; rows > 0; rows--, a.at += a.stride) {
        load_row(row, a.at, last, vectors);
        UNROLLED
        for (int v = 0; v < vectors; v++)
            total[v] += row[v];
    }
    store_row(sums, total, last, vectors);
}

/* sums = or += Σ_rows a: sums (columns,), a (rows, columns). */
static void column_sums(real *sums, ConstMatrix a, ptrdiff_t rows, ptrdiff_t columns, int accumulates)
{
    for (ptrdiff_t n = 0, count; n < columns; n += count) {
        count = panel_columns(columns - n, SUMMED_VECTORS);
        ptrdiff_t vectors = rounded_up(count, LANES) / LANES, last = count - (vectors - 1) * LANES;
        ConstMatrix part = {a.at + n, a.stride};
        WITH_CONSTANT(VECTORS, vectors, 1, SUMMED_VECTORS,
                      column_sums_of(sums + n, part, rows, last, accumulates, VECTORS))
    }
}

#endif
