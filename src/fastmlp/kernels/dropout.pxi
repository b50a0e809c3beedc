# ---- dropout --------------------------------------------------------------------------------------------------
# Which units of a layer are left out of a step (N. Srivastava et al., Dropout, 2014) follows from a key and from the
# unit's own number in the layer's (samples, width), by a counter-based generator (J. K. Salmon et al., Parallel random
# numbers: as easy as 1, 2, 3, 2011): no state, so that the bits are the same for any layout, any number of threads,
# both dtypes and the reference.
#
# What a layer makes of z, and what it keeps for the backward pass, is one `Finish`: products and both layouts of a
# network end in it.

ctypedef struct Dropout:
    int64_t threshold       # of 2^31: the fraction of the units that are left out; 0: none
    uint32_t key            # two keys of one step and one layer
    uint32_t second_key
    uint32_t first          # the number of the element at place 0
    uint32_t row_step       # from an element's number to the next row's and to the next lane's
    uint32_t lane_step
    real scale              # what is left grows by 1 / (1 - fraction), so that the mean stays

ctypedef struct Finish:
    int activation
    real* slopes            # where f'(z) goes, laid out as h; NULL: it follows from h, or no backward pass comes
    Dropout dropout


cdef inline uint64_t mix(uint64_t z) noexcept nogil:
    """A bijection of 64 bits that leaves no pattern: the finaliser of SplitMix64 (G. Steele et al., 2014)."""
    z = (z ^ (z >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t> 0x94D049BB133111EB
    return z ^ (z >> 31)


cdef inline words mix_words(words x) noexcept nogil:
    """The same of 32 bits: the finaliser of MurmurHash3 (A. Appleby, 2011)."""
    x = (x ^ (x >> 16)) * MURMUR_FIRST
    x = (x ^ (x >> 13)) * MURMUR_SECOND
    return x ^ (x >> 16)


cdef uint64_t dropout_key(int64_t seed, int64_t epoch, Index layer) noexcept nogil:
    """The key of a layer in an epoch; its stream is not that of shuffling."""
    cdef uint64_t golden = 0x9E3779B97F4A7C15
    cdef uint64_t of_epoch = mix((<uint64_t> seed ^ <uint64_t> 0xD1B54A32D192ED03) + golden * <uint64_t> (epoch + 1))
    return mix(of_epoch + golden * <uint64_t> (layer + 1))


cdef inline void set_dropout(
    Dropout* dropout, int64_t threshold, uint64_t key, Index first, Index width, bint narrow,
) noexcept nogil:
    """Dropout of samples from `first` on, in a layer of `width` units."""
    dropout.threshold = threshold
    dropout.key = <uint32_t> key
    dropout.second_key = <uint32_t> (key >> 32)
    dropout.first = <uint32_t> (first * width)
    dropout.row_step = <uint32_t> (1 if narrow else width)
    dropout.lane_step = <uint32_t> (width if narrow else 1)
    dropout.scale = <real> (1.0 / (1.0 - threshold / 2147483648.0))


cdef inline ivec kept_lanes(words number, const Dropout* dropout) noexcept nogil:
    """Which of a vector's elements stay, from their numbers, one in the low half of each lane."""
    cdef words drawn = mix_words(mix_words(number ^ dropout.key) ^ dropout.second_key)
    return ~ints_less(from_words(drawn >> 1) & <integer> 0x7fffffff, splat_int(<integer> dropout.threshold))


cdef inline void drop_lanes(
    real* h, real* slopes, words number, const Dropout* dropout, Index lanes,
) noexcept nogil:
    cdef ivec kept = kept_lanes(number, dropout)
    store_lanes(h, select(kept, load_lanes(h, lanes) * dropout.scale, ZERO), lanes)
    store_lanes(slopes, select(kept, load_lanes(slopes, lanes) * dropout.scale, ZERO), lanes)


cdef void drop_rows(
    real* h, real* slopes, Index rows, Index stride, Index size, const Dropout* dropout, Index place,
) noexcept nogil:
    # h, slopes (rows, stride), in place; they begin `place` numbers after place 0 of a matrix of the same stride
    """h = h m / (1 - fraction) and its slope likewise, m = 0 if a unit is left out, else 1."""
    cdef Index v, whole = size // LANES, rest = size - size // LANES * LANES
    cdef words lanes = lane_numbers() * dropout.lane_step
    cdef words number
    cdef uint32_t first = dropout.first
    first += <uint32_t> (place // stride) * dropout.row_step + <uint32_t> (place % stride) * dropout.lane_step
    for _ in range(rows):
        number = lanes + first
        for v in range(whole):
            drop_lanes(h + v * LANES, slopes + v * LANES, number, dropout, LANES)
            number = number + <uint32_t> LANES * dropout.lane_step
        if rest:
            drop_lanes(h + whole * LANES, slopes + whole * LANES, number, dropout, rest)
        first += dropout.row_step
        h += stride
        slopes += stride


cdef inline Finish plain_finish(int activation) noexcept nogil:
    """What a forward pass alone needs: h = f(z)."""
    cdef Finish finish
    memset(&finish, 0, sizeof(Finish))
    finish.activation = activation
    return finish


cdef inline bint only_rectifies(const Finish* finish) noexcept nogil:
    """Whether h = max(0, z) is all that remains to be done."""
    return finish.activation == RELU and finish.slopes == NULL


cdef void finish_rows(
    real* h, Index rows, Index stride, Index size, const Finish* finish, Index place,
) noexcept nogil:
    # h (rows, stride), z on entry; it begins `place` numbers after the layer's first
    """h = f(z), what is kept of f' for the backward pass, and dropout; the first `size` of each row."""
    if finish.slopes == NULL:
        activate_rows(h, rows, stride, size, finish.activation)
        return
    activate_both_rows(h, finish.slopes + place, rows, stride, size, finish.activation)
    if finish.dropout.threshold > 0:
        drop_rows(h, finish.slopes + place, rows, stride, size, &finish.dropout, place)
