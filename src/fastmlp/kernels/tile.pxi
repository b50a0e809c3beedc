# ---- register tiles -------------------------------------------------------------------------------------------
# tile.h holds them; here Cython learns of them.

cdef extern from "kernels/tile.h" nogil:
    enum: TILE_ROWS             # enums, so that arrays may be sized by them
    enum: TILE_VECTORS
    enum: MIN_SUMS
    enum: MAX_SUMS
    enum: ROW_CHUNK
    enum: ROW_BLOCK
    enum: WORD
    enum: MAX_WORDS
    enum: PACK_REALS
    enum: MAX_CLAIMS
    enum: FROM_ZERO
    enum: FROM_C
    enum: FROM_COLUMN_BIAS
    enum: FROM_ROW_BIAS
    const Index DEPTH_BLOCK

    ctypedef struct Matrix:
        real* at
        Index stride

    ctypedef struct ConstMatrix:
        const real* at
        Index stride

    ctypedef struct Operand:
        const real* at
        Index step
        Index depth

    ctypedef struct Claims:
        int count
        const real* at[MAX_CLAIMS]

    ctypedef struct Panel:
        Matrix c
        int vectors
        Index last
        int start
        const real* bias
        bint rectifies
        ConstMatrix gate
        Claims claims

    ctypedef struct InnerProduct:
        real* c
        Index row
        Index column
        const real* a
        const real* b
        Index stride
        Index rows
        Index columns
        Index depth
        bint accumulates

    vec relu(vec z)
    vec relu_gate(vec h)
    Index even_part(Index remaining, Index largest)
    Index panel_columns(Index remaining, Index max_vectors)
    void panel_product(const Panel* panel, const Operand* a, const Operand* b, Index rows, Index depth)
    void inner_product(const InnerProduct* product)
    void skipping_rows(const Panel* panel, const Operand* a, const Operand* b, const uint64_t* words, Index rows)
    void column_sums(real* sums, ConstMatrix a, Index rows, Index columns, bint accumulates)


cdef inline Matrix matrix(real* at, Index stride) noexcept nogil:
    """Return a matrix whose rows are `stride` numbers apart."""
    cdef Matrix m
    m.at, m.stride = at, stride
    return m


cdef inline ConstMatrix const_matrix(const real* at, Index stride) noexcept nogil:
    """Return a matrix that is only read."""
    cdef ConstMatrix m
    m.at, m.stride = at, stride
    return m


cdef inline Operand operand(const real* at, Index step, Index depth) noexcept nogil:
    """Return an operand of a product with any strides."""
    cdef Operand o
    o.at, o.step, o.depth = at, step, depth
    return o
