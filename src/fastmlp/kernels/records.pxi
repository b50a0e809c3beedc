# ---- records --------------------------------------------------------------------------------------------------
# What Python lays out and the kernels read: one C struct for each structured dtype of _layout.py, field by field in
# the same order, every field 8 bytes wide. _backend.py compares the sizes when it loads a build.

ctypedef struct Layer:
    int64_t inputs
    int64_t outputs
    int64_t activation
    int64_t weights             # where W begins in the parameter vector
    int64_t bias                # where b begins, or -1
    int64_t activations         # where h lies in the workspace
    int64_t deltas              # where dL/dz lies in the workspace
    int64_t stride              # from one row of h, of dL/dz and of the slopes to the next
    int64_t slopes              # where f'(z) lies, times what dropout leaves; -1: it follows from h
    int64_t dropout             # the share of units left out of a step, of 2^31

ctypedef struct Slab:
    int64_t layer
    int64_t first_row           # rows of W: first ... first + rows
    int64_t rows
    int64_t begin               # the same as a range of the parameter vector, b behind the last rows included
    int64_t end
    int64_t penalized           # how many of them, from the first, are weights under a penalty
    int64_t cost                # multiply-adds a sample

ctypedef struct Settings:
    int64_t loss
    int64_t metric
    int64_t narrow              # 1: samples along the lanes; 0: outputs along the lanes
    int64_t rows
    int64_t validation_rows
    int64_t inputs
    int64_t outputs
    int64_t parameters
    int64_t batch
    int64_t shuffle             # 1: the rows of a batch lie anywhere
    int64_t given_orders        # of how many epochs orders were given together; 0: they are made of the seed
    int64_t seed
    int64_t first_epoch         # the epoch of record[0]
    int64_t epochs              # the epoch to stop before
    int64_t rates_per_epoch     # 1, or as many as an epoch has batches
    int64_t optimizer
    int64_t slots               # state vectors of the optimizer
    int64_t nesterov
    int64_t amsgrad
    int64_t centered
    int64_t rate_in_velocity
    int64_t epsilon_hat
    int64_t skip_inputs         # 1: many of the samples' features are zero
    int64_t dropping            # 1: units are left out, as in training; 0: never, as in a prediction
    int64_t note_first          # layers' norms are noted in the first so many epochs of a network,
    int64_t note_every          # and then in every such one
    int64_t notes               # how many epochs of this training are
    int64_t published_ridge     # 1: the article's penalty term instead of the gradient of its loss
    int64_t own_average         # 1: a batch's loss and the penalties are over the batch's own weight, not over N
    int64_t threads
    int64_t chunk               # samples that go through the layers together
    int64_t groups              # gradients of a batch (narrow) or a chunk (wide) that are summed apart; 1: none
    int64_t private_at          # the threads' own parts of the workspace: where they begin, and how long each is
    int64_t private_size
    int64_t inputs_at           # offsets into a thread's part
    int64_t inputs_stride       # from one gathered row of x to the next (wide)
    int64_t slab_inputs_at
    int64_t targets_at
    int64_t losses_at
    int64_t labels_at
    int64_t weights_at
    int64_t packed_at
    int64_t outputs_at
    int64_t output_deltas_at
    int64_t groups_at           # offsets into the shared part
    int64_t resident_at         # narrow: samples laid along the lanes once, to stay so; -1 where they are not
    int64_t validation_resident_at
    int64_t penalties_at        # offsets into the tallies: of each slab, twice; of each slab; of validation
    int64_t norms_at
    int64_t validation_at
    int64_t activations_at      # of each part of a batch, a sum of squares for each layer
    double momentum
    double beta1
    double beta2
    double epsilon
    double weight_decay
    double momentum_decay
    double rate_decay
    double eta_minus
    double eta_plus
    double least_step
    double most_step
    double clip_norm            # what the gradient's norm and its entries are cut to; 0: not at all
    double clip_value
    double max_norm             # what the norm of a unit's incoming weights is cut to; 0: not at all
    double l1                   # over N, as they stand in the gradient; with own_average over the rows' mean weight
    double l2
    double loss_share           # what of a loss is written down: 1 / outputs where that is their mean

cdef enum:
    # the rows of job.record, one number an epoch in each
    EPOCH_LOSS = 0
    EPOCH_ACCURACY = 1
    EPOCH_VAL_LOSS = 2
    EPOCH_VAL_ACCURACY = 3
    EPOCH_LEARNING_RATE = 4     # written before the call; the rest by it
    EPOCH_GRADIENT_NORM = 5
    EPOCH_ROWS = 6

ctypedef struct Position:
    int64_t epoch
    int64_t batch               # the next one of this epoch
    int64_t step                # updates made
    int64_t diverged            # 1 once a loss was not finite
    int64_t noted               # epochs of this training whose layers' norms are in layer_record
    double loss_sum             # of this epoch so far
    double hits
    double beta1_power          # the product of all steps' beta1, which NAdam changes, and of their beta2
    double beta2_power

ctypedef struct Job:
    real* parameters
    real* state
    real* gradient
    real* workspace
    double* tallies
    double* record
    double* layer_record        # (2 layers, notes): gradients' norms, then root mean squares of activations
    const double* rates
    Position* position
    int64_t* control
    int32_t* order              # NULL: the rows as they come
    const Layer* layers
    const Slab* slabs
    const Settings* settings
    const double* loss_parameters       # (outputs,), or NULL
    Index n_layers
    Index n_slabs
    int64_t epoch               # that of the batch that is computed
    bint noting                 # whether its activations are noted
    Index thread
    Index first_slab            # this thread's slabs, and where the next thread's begin
    Index end_slab
    real* own                   # this thread's part of the workspace

cdef void take_slabs(Job* job) noexcept nogil:
    """This thread's slabs: neighbours whose cost is its share of the whole."""
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
    const real* weights         # (rows,), mean 1, or NULL
    const int32_t* order        # row s of a batch is order[s]; NULL: s itself
    Index rows


cdef inline Index row_number(const Samples* samples, Index sample) noexcept nogil:
    """Where in x and y the sample of this place in the order lies."""
    return samples.order[sample] if samples.order != NULL else sample


cdef Finish finish_of(
    const Job* job, real* base, Index number, Index place, Index first, bint backward,
) noexcept nogil:
    """What layer `number` leaves of samples from `first` on, which begin `place` numbers behind its own first."""
    cdef const Layer* layer = &job.layers[number]
    cdef Finish finish = plain_finish(<int> layer.activation if number < job.n_layers - 1 else IDENTITY)
    if not backward or layer.slopes < 0:
        return finish
    finish.slopes = base + layer.slopes + place
    if job.settings.dropping and layer.dropout > 0:
        set_dropout(&finish.dropout, layer.dropout, dropout_key(job.settings.seed, job.epoch, number), first,
                    layer.outputs, job.settings.narrow)
    return finish


ctypedef struct Slopes:
    const real* at              # h, or what STORED stands for
    int activation


cdef inline Slopes slopes_of(const Layer* layer, const real* base, Index place) noexcept nogil:
    """What a layer's f'(z) comes from on the way back."""
    cdef Slopes slopes
    slopes.activation = <int> layer.activation if layer.slopes < 0 else STORED
    slopes.at = base + (layer.activations if layer.slopes < 0 else layer.slopes) + place
    return slopes


cdef inline double* noted_squares(const Job* job, Index part) noexcept nogil:
    # returns (layers,), or NULL
    """Where a part of the batch sums the squares of its activations, if they are noted."""
    return job.tallies + job.settings.activations_at + part * job.n_layers if job.noting else NULL
