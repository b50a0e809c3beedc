# ---- products that pass over zeros ----------------------------------------------------------------------------
# About half of a layer's numbers are zero after ReLU or dropout, and so are many of the users' features: the black of
# an image, a table's one-hot columns. A term 0 b changes no sum of finite numbers, so that a product may pass over the
# term and give the same bits, except for the sign of a zero; if b is not finite, 0 b would be NaN, and is passed over
# too. Words of 64 bits name the places of `a` that are not zero; a row of c stays in registers, up to MAX_SUMS vectors
# of it, while the rows of b at those places run by (tile.h). A tile loads less per multiply-add, and is as fast or
# faster if most numbers are not zero, or if rows of c are short.

cdef enum:
    WELL_FILLED = 9         # vectors from which on a term passed over is a term's time gained

ctypedef struct Places:
    # words (MAX_WORDS, ROW_CHUNK): bit k of words[w * ROW_CHUNK + m] is set if a(m, w * step + k) is not zero
    uint64_t words[MAX_WORDS * ROW_CHUNK]


cdef inline uint64_t places_of(const real* a, Index size) noexcept nogil:
    # a (size,), at most WORD
    """Return a word whose bit k is set if a[k] is not zero."""
    cdef uint64_t word = 0
    cdef Index k = 0
    while k + LANES <= size:
        word |= <uint64_t> nonzero_lanes(load(a + k)) << k
        k += LANES
    if k < size:
        word |= <uint64_t> nonzero_lanes(load_first(a + k, size - k)) << k
    return word


cdef void transpose_bits(uint64_t* words) noexcept nogil:
    # words (WORD,)
    """Transpose a square of bits: bit k of word m becomes bit m of word k (J. O. Eklundh, 1972)."""
    cdef uint64_t low = 0x00000000FFFFFFFF, crossed
    cdef Index distance = WORD // 2, k
    while distance:
        k = 0
        while k < WORD:
            crossed = ((words[k] >> distance) ^ words[k | distance]) & low
            words[k] ^= crossed << distance
            words[k | distance] ^= crossed
            k = ((k | distance) + 1) & ~distance
        distance //= 2
        low ^= low << distance


cdef inline Index word_depth(Index depth) noexcept nogil:
    """Return how much of the depth a word covers: the depth is cut evenly."""
    return even_part(depth, WORD)


cdef Index find_places_of_rows(Places* places, ConstMatrix a, Index rows, Index depth) noexcept nogil:
    # a (rows, depth)
    """Record where a is not zero; return at how many places."""
    cdef Index found = 0, m, k = 0, step = word_depth(depth)
    cdef uint64_t* words = places.words
    while k < depth:
        for m in range(rows):
            words[m] = places_of(a.at + m * a.stride + k, min(step, depth - k))
            found += count_bits(words[m])
        words += ROW_CHUNK
        k += step
    return found


cdef Index find_places_of_columns(Places* places, ConstMatrix a, Index columns, Index depth) noexcept nogil:
    # a (depth, columns)
    """Record where aᵀ is not zero; return at how many places."""
    cdef Index found = 0, m, k = 0, i, count, deep, step = word_depth(depth)
    cdef uint64_t square[WORD]
    cdef uint64_t* words = places.words
    while k < depth:
        deep = min(step, depth - k)
        m = 0
        while m < columns:
            count = min(WORD, columns - m)
            for i in range(deep):
                square[i] = places_of(a.at + (k + i) * a.stride + m, count)
                found += count_bits(square[i])
            memset(square + deep, 0, (WORD - deep) * sizeof(uint64_t))
            transpose_bits(square)
            memcpy(words + m, square, count * sizeof(uint64_t))
            m += WORD
        words += ROW_CHUNK
        k += step
    return found


cdef inline Index skipping_vectors(Index columns) noexcept nogil:
    """Return how many vectors the first, and longest, panel of so many columns has."""
    return even_part(rounded_up(columns, LANES) // LANES, MAX_SUMS)


cdef inline bint may_skip(Index columns) noexcept nogil:
    """Return whether rows of c are long enough for finding zeros to pay."""
    return skipping_vectors(columns) >= MIN_SUMS


cdef inline bint has_few_places(Places* places, const Product* p, const Block* block) noexcept nogil:
    """Record where a block of a is not zero; return whether passing over the other places is faster."""
    cdef Operand a = block_of_a(p, block)
    cdef Index found
    if a.depth == 1:
        found = find_places_of_rows(places, const_matrix(a.at, a.step), block.rows, block.depth)
    else:
        found = find_places_of_columns(places, const_matrix(a.at, a.depth), block.rows, block.depth)
    return found * MAX_SUMS < block.rows * block.depth * min(skipping_vectors(p.columns), WELL_FILLED)


cdef void skip_panel(
    const Product* p, const Block* block, const Places* places, Index n, Index columns,
) noexcept nogil:
    """c = f(start + a b) over the places, columns n ... n + columns of a block, word by word of its depth."""
    cdef Index end = block.term + block.depth, step = word_depth(block.depth)
    cdef const uint64_t* words = &places.words[0]
    cdef Block part = block[0]
    cdef Panel panel
    cdef Operand a, b
    while part.term < end:
        part.depth = min(step, end - part.term)
        a = block_of_a(p, &part)
        b = block_of_b(p, &part, n, columns)
        set_panel_of(&panel, p, &part, n, columns)
        skipping_rows(&panel, &a, &b, words, part.rows)
        words += ROW_CHUNK
        part.term += part.depth
    if ends(p, block):
        finish_panel(p, block, n, columns)


cdef void skip_block(const Product* p, const Block* block, const Places* places) noexcept nogil:
    """c = f(start + a b) over a block and the places of a in it, panel by panel."""
    cdef Index n = 0, columns
    while n < p.columns:
        columns = panel_columns(p.columns - n, MAX_SUMS)
        skip_panel(p, block, places, n, columns)
        n += columns
