# ---- records --------------------------------------------------------------------------------------------------
# What a kernel call works on. The records that Python lays out (Layer, Slab, Settings, Position) stand in spec.pxi; a
# Job points at them, at the arrays and at the memory of the call.

ctypedef struct Job:
    real* parameters
    real* state
    real* gradient
    real* workspace
    double* tallies
    double* record
    double* layer_record        # (2 layers, notes): gradients' norms, then root mean squares of activations
    const double* rates
    const int64_t* dropped      # (hidden layers,): the fraction of units left out of a step, of 2^31; NULL: none
    Position* position
    int64_t* control            # what threads meet by: threads.pxi
    int32_t* order              # NULL: the rows as they come
    const Layer* layers
    const Slab* slabs
    const Settings* settings
    const double* loss_parameters       # (outputs,), or NULL
    Index n_layers
    Index n_slabs
    int64_t epoch               # of the batch that is computed
    bint noting                 # whether the batch's activations are noted
    Index thread
    Index first_slab            # this thread's slabs, and where the next thread's begin
    Index end_slab
    real* own                   # this thread's part of the workspace


cdef void take_slabs(Job* job) noexcept nogil:
    """This thread's slabs: neighbours, whose cost is about 1 / threads of the whole."""
    cdef int64_t total = 0, passed = 0
    cdef Index s, owner
    for s in range(job.n_slabs):
        total += job.slabs[s].cost
    job.first_slab = job.end_slab = 0
    for s in range(job.n_slabs):
        owner = <Index> ((2 * passed + job.slabs[s].cost) * job.settings.threads // (2 * total))
        if owner < job.thread:
            job.first_slab = s + 1
        if owner <= job.thread:
            job.end_slab = s + 1
        passed += job.slabs[s].cost


cdef inline double* epoch_number(const Job* job, Index row, int64_t epoch) noexcept nogil:
    """Where the record has a row's number of an epoch."""
    cdef int64_t first = job.settings.first_epoch
    return &job.record[row * (job.settings.epochs - first) + epoch - first]


ctypedef struct Samples:
    const real* x               # (rows, inputs)
    const real* y               # (rows, outputs), or NULL
    const int32_t* labels       # (rows,), or NULL
    const real* weights         # of losses (rows,), mean 1, or NULL
    const real* metric_weights  # of hits: those of losses without the classes', mean 1, or NULL
    const int32_t* order        # row s of a batch is order[s]; NULL: s itself
    Index rows


cdef inline Index row_number(const Samples* samples, Index sample) noexcept nogil:
    """Where in x and y the sample of this place in the order lies."""
    return samples.order[sample] if samples.order != NULL else sample


cdef inline bint is_dropping(const Job* job, Index number) noexcept nogil:
    """Return whether steps leave units of hidden layer `number` out."""
    return job.dropped != NULL and job.dropped[number] > 0


cdef Finish finish_of(
    const Job* job, real* base, Index number, Index place, Index first, bint backward,
) noexcept nogil:
    """What layer `number` keeps of samples from `first` on, whose h begins `place` numbers after the layer's first."""
    cdef const Layer* layer = &job.layers[number]
    cdef Finish finish = plain_finish(<int> layer.activation if number < job.n_layers - 1 else IDENTITY)
    if not backward or layer.slopes < 0:
        return finish
    finish.slopes = base + layer.slopes + place
    if is_dropping(job, number):
        set_dropout(&finish.dropout, job.dropped[number], dropout_key(job.settings.seed, job.epoch, number), first,
                    layer.outputs, job.settings.narrow)
    return finish


ctypedef struct Slopes:
    const real* at              # h, or the slopes themselves if STORED
    int activation


cdef inline Slopes slopes_of(const Layer* layer, const real* base, Index place) noexcept nogil:
    """What a layer's f'(z) comes from in the backward pass."""
    cdef Slopes slopes
    slopes.activation = <int> layer.activation if layer.slopes < 0 else STORED
    slopes.at = base + (layer.activations if layer.slopes < 0 else layer.slopes) + place
    return slopes


cdef inline double* noted_squares(const Job* job, Index part) noexcept nogil:
    # returns (layers,), or NULL
    """Where a part of the batch sums the squares of its activations, if they are noted."""
    return job.tallies + job.settings.activations_at + part * job.n_layers if job.noting else NULL
