# ---- the edge -------------------------------------------------------------------------------------------------
# What Python calls, and `_engine/reference` repeats: outputs first, sizes from the arrays. `_checks` guarantees
# C-contiguous arrays of this build's dtype; lengths are checked here. Nothing above depends on Python.
# Passes and training runs take denormal numbers for zero, on each thread while it is in the kernels; functions of
# single numbers leave the caller's mode as it is, and keep what they promise of denormal numbers.

cdef extern from *:
    const char* COMPILER "__VERSION__"


cdef void* address(object array, size_t item, Index count, bint writable) except? NULL:
    """Where an array of at least `count` items lies, NULL for None; valid as long as the array is kept."""
    cdef Py_buffer view
    if array is None:
        return NULL
    PyObject_GetBuffer(array, &view, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
    cdef void* data = view.buf
    cdef Py_ssize_t size = view.itemsize, length = view.len
    PyBuffer_Release(&view)
    if <size_t> size != item:
        raise TypeError(f"an array of {item}-byte items is needed here, got {size}-byte items")
    if length < <Py_ssize_t> item * count:
        raise ValueError(f"an array of {count} items is needed here, got {length // size} items")
    return data


cdef real* reals(object array, Index count=0) except? NULL:
    """The numbers of an array that is written."""
    return <real*> address(array, sizeof(real), count, True)


cdef const real* given_reals(object array, Index count=0) except? NULL:
    """The numbers of an array that is read."""
    return <const real*> address(array, sizeof(real), count, False)


cdef double* doubles(object array, Index count) except? NULL:
    """The numbers of a float64 array that is written."""
    return <double*> address(array, sizeof(double), count, True)


cdef const double* given_doubles(object array, Index count) except? NULL:
    """The numbers of a float64 array that is read."""
    return <const double*> address(array, sizeof(double), count, False)


cdef Samples samples_of(object given, object order, Index rows, const Settings* settings) except *:
    """The rows of an object with x, y and weights, which lie anywhere if there is an order."""
    cdef Samples samples
    cdef Index count = rows if order is None else 0
    memset(&samples, 0, sizeof(Samples))
    samples.rows = rows
    if given is None:
        return samples
    y = given.y
    samples.x = given_reals(given.x, count * settings.inputs)
    # labels are whole numbers, everything else is a row of numbers
    if y is not None and y.dtype.kind == "i":
        samples.labels = <const int32_t*> address(y, sizeof(int32_t), count, False)
    else:
        samples.y = given_reals(y, count * settings.outputs)
    samples.weights = given_reals(given.weights, count)
    samples.metric_weights = given_reals(given.metric_weights, count)
    samples.order = <const int32_t*> address(order, sizeof(int32_t), rows * max(1, settings.given_orders), True)
    return samples


cdef Job job_of(object plan) except *:
    """A plan as the kernels read it, without arrays and memory."""
    cdef Job job
    memset(&job, 0, sizeof(Job))
    layers, slabs = plan.layers, plan.slabs
    job.n_layers = len(layers)
    job.n_slabs = len(slabs)
    job.layers = <const Layer*> address(layers, sizeof(Layer), 1, False)
    job.slabs = <const Slab*> address(slabs, sizeof(Slab), 1, False)
    job.settings = <const Settings*> address(plan.settings, sizeof(Settings), 1, False)
    job.epoch = job.settings.first_epoch
    return job


cdef void set_thread(Job* job, Index thread) noexcept nogil:
    """Give a job to a thread: its part of the workspace, its slabs."""
    job.thread = thread
    job.own = job.workspace + job.settings.private_at + thread * job.settings.private_size
    take_slabs(job)


def sizes() -> dict:
    """What the layout depends on, and the compiler that made this build."""
    return {
        "dtype": "float32" if REAL_BITS == 32 else "float64", "lanes": LANES, "tile_rows": TILE_ROWS,
        "pack_reals": PACK_REALS, "row_block": ROW_BLOCK, "compiler": COMPILER.decode(),
    }


def spec() -> dict:
    """The names of the fields of all records and of all choices, in their order, that this build was made of."""
    return names_of_rows()


def current_cpu() -> int:
    """The number of the CPU that this thread runs on; -1 if the system does not tell."""
    return cpu_number()


def exp_forward(y, x):
    # y, x (size,)
    """y = exp(x)."""
    cdef Index i = 0, count, size = x.size
    cdef real* out = reals(y, size)
    cdef const real* given = given_reals(x, size)
    with nogil:
        while i < size:
            count = min(LANES, size - i)
            store_lanes(out + i, exp_vector(load_lanes(given + i, count)), count)
            i += count


def log_forward(y, x):
    # y, x (size,)
    """y = log(x)."""
    cdef Index i = 0, count, size = x.size
    cdef real* out = reals(y, size)
    cdef const real* given = given_reals(x, size)
    with nogil:
        while i < size:
            count = min(LANES, size - i)
            store_lanes(out + i, log_vector(load_lanes(given + i, count)), count)
            i += count


def activation_forward(h, slopes, z, int activation):
    # h, z (size,), slopes (size,) or None
    """h = f(z), and slopes = f'(z) if there is an array for them; f any activation except softmax."""
    cdef Index size = z.size
    cdef real* out = reals(h, size)
    cdef real* kept = reals(slopes, size)
    memmove(out, given_reals(z, size), size * sizeof(real))
    with nogil:
        if kept == NULL:
            activate_rows(out, 1, size, size, activation)
        else:
            activate_both_rows(out, kept, 1, size, size, activation)


def activation_backward(dz, dh, h, int activation):
    # dz, dh, h (size,)
    """dz = dh f'(z), f' from h = f(z); with the code STORED h is f'(z) itself."""
    cdef Index size = dh.size
    cdef real* out = reals(dz, size)
    cdef const real* given = given_reals(h, size)
    memmove(out, given_reals(dh, size), size * sizeof(real))
    with nogil:
        multiply_by_slope(out, size, given, size, 1, size, activation)


def dropout(h, slopes, units, Py_ssize_t first):
    # h, slopes (rows, size), of samples from `first` on; units: threshold, seed, epoch, layer
    """h = h m / (1 - p), slopes likewise; m is 0 for a fraction p = threshold / 2^31 of the units, else 1."""
    cdef Dropout dropout
    cdef Index rows = h.shape[0], size = h.shape[1]
    cdef real* out = reals(h, rows * size)
    cdef real* kept = reals(slopes, rows * size)
    memset(&dropout, 0, sizeof(Dropout))
    set_dropout(&dropout, units.threshold, dropout_key(units.seed, units.epoch, units.layer), first, size, False)
    with nogil:
        drop_rows(out, kept, rows, size, size, &dropout, 0)


def output_forward_backward(losses, dz, h, z, samples, output) -> float:
    # losses (rows,), dz, h, z (rows, outputs); samples: y (rows, outputs), NaN if it was not observed, or int32 labels
    # (rows,), and weights, metric_weights (rows,) or None; output: loss, metric, activation, threshold, parameters
    # (outputs,) or None
    """h = f(z), the loss of each row, dz = dL/dz; returns the weight of the rows that were classified correctly."""
    cdef Settings settings
    cdef Index rows = z.shape[0], outputs = z.shape[1], stride = rounded_up(rows, 16)
    memset(&settings, 0, sizeof(Settings))
    settings.loss, settings.metric, settings.threshold = output.loss, output.metric, output.threshold
    settings.outputs = outputs
    cdef Samples given = samples_of(samples, None, rows, &settings)
    cdef const double* parameters = given_doubles(output.parameters, outputs)
    cdef real* h_out = reals(h, rows * outputs)
    cdef real* dz_out = reals(dz, rows * outputs)
    cdef real* losses_out = reals(losses, rows)
    cdef const real* z_given = given_reals(z, rows * outputs)
    cdef int activation = output.activation
    cdef real* scratch = <real*> PyMem_Calloc(stride * (3 * outputs + 4), sizeof(real))
    cdef OutputBlock block
    cdef real* y
    cdef real* weights
    cdef double hits
    if scratch == NULL:
        raise MemoryError()
    with nogil:
        block.losses = scratch
        block.h = scratch + 3 * stride
        block.dz = block.h + stride * outputs
        y = block.dz + stride * outputs
        weights = y + stride * outputs
        block.y, block.labels, block.weights = y, given.labels, weights if given.weights != NULL else NULL
        block.source, block.first = &given, 0
        block.stride, block.samples, block.outputs, block.activation = stride, rows, outputs, activation
        transpose(block.h, stride, z_given, outputs, rows, outputs)
        if given.y != NULL:
            transpose(y, stride, given.y, outputs, rows, outputs)
        if given.weights != NULL:
            memcpy(weights, given.weights, rows * sizeof(real))
        hits = output_layer(&block, &settings, parameters).hits
        transpose(h_out, outputs, block.h, stride, outputs, rows)
        transpose(dz_out, outputs, block.dz, stride, outputs, rows)
        memcpy(losses_out, block.losses, rows * sizeof(real))
    PyMem_Free(scratch)
    return hits


def shuffle(order, int64_t seed, int64_t epoch):
    # order (size,) int32
    """order = the permutation of 0 ... size - 1 that seed and epoch name."""
    cdef Index size = len(order)
    cdef int32_t* out = <int32_t*> address(order, sizeof(int32_t), size, True)
    with nogil:
        shuffle_rows(out, seed, epoch, size)


def forward(outputs, parameters, plan, workspace, x) -> bool:
    # outputs (rows, outputs), workspace (plan.workspace,), x (rows, inputs)
    """outputs = f_L(... f_1(x W_1 + b_1) ...); False, and meaningless outputs, if x is not finite."""
    cdef Job job = job_of(plan)
    cdef Samples samples
    cdef bint finite
    memset(&samples, 0, sizeof(Samples))
    samples.rows = len(x)
    samples.x = given_reals(x, samples.rows * job.settings.inputs)
    cdef real* out = reals(outputs, samples.rows * job.settings.outputs)
    job.parameters = <real*> given_reals(parameters, job.settings.parameters)     # read only
    job.workspace = reals(workspace, plan.workspace)
    job.own = job.workspace + job.settings.private_at
    cdef FloatMode mode
    cdef Index first = 0
    finite = True
    while finite and first < samples.rows:
        with nogil:
            mode = flush_denormals()
            finite = outputs_of(&job, out, &samples, &first)
            restore_mode(mode)
        if first < samples.rows:
            PyErr_CheckSignals()
    return finite


cdef class Run:
    """A plan with the arrays that it works on, the memory of its calls, and the words by which their threads meet.

    plan: layout.Plan. arrays: layout.Arrays, of parameters (parameters,), state (slots * parameters,), gradient
    (parameters,), record (fields of Epoch, epochs), layer_record (2 layers, notes), rates (epochs * rates_per_epoch,),
    dropped (hidden layers,) int64, position (1,), order (given_orders, rows) int32, loss_parameters (outputs,); None if
    a method does not need it.
    samples, validation: x (rows, inputs), y (rows, outputs) or int32 labels (rows,), weights of losses and
    metric_weights of hits (rows,) or None.
    All arrays are kept, and read and written in place.
    """

    cdef Job job
    cdef Samples samples
    cdef Samples validation
    cdef void* memory
    cdef object kept

    def __cinit__(self, plan, arrays, samples, validation=None):
        self.job = job_of(plan)
        cdef const Settings* settings = self.job.settings
        given = [each for each in (samples, validation) if each is not None]
        self.kept = plan, arrays, [(each.x, each.y, each.weights, each.metric_weights) for each in given]
        self.point_at(arrays)
        self.samples = samples_of(samples, arrays.order, settings.rows, settings)
        self.validation = samples_of(validation, None, settings.validation_rows, settings)
        self.job.order = <int32_t*> self.samples.order
        self.allocate(plan.tallies, plan.workspace)

    cdef int point_at(self, object arrays) except -1:
        """Let the job point at the arrays."""
        cdef Job* job = &self.job
        cdef const Settings* settings = job.settings
        cdef Index size = settings.parameters, epochs = settings.epochs - settings.first_epoch
        job.state = reals(arrays.state, settings.slots * size)
        job.gradient = reals(arrays.gradient, size)
        job.record = doubles(arrays.record, EPOCH_ROWS * epochs)
        job.layer_record = doubles(arrays.layer_record, 2 * job.n_layers * settings.notes)
        job.rates = given_doubles(arrays.rates, epochs * settings.rates_per_epoch)
        job.dropped = <const int64_t*> address(arrays.dropped, sizeof(int64_t), job.n_layers - 1, False)
        job.position = <Position*> address(arrays.position, sizeof(Position), 1, True)
        # written by run() only, which needs a position
        job.parameters = <real*> address(arrays.parameters, sizeof(real), size, job.position != NULL)
        job.loss_parameters = given_doubles(arrays.loss_parameters, settings.outputs)
        return 0

    cdef int allocate(self, Index tallies, Index workspace) except -1:
        """Allocate control words, tallies and workspace, each from a cache line on: zeros, of untouched pages."""
        cdef size_t control = rounded_up(HELPERS + HELPER_WORDS * self.job.settings.threads, 8) * sizeof(int64_t)
        cdef size_t sums = rounded_up(tallies, 8) * sizeof(double)
        cdef char* begin
        self.memory = PyMem_RawCalloc(64 + control + sums + workspace * sizeof(real), 1)
        if self.memory == NULL:
            raise MemoryError()
        begin = <char*> rounded_up(<Index> self.memory, 64)
        self.job.control = <int64_t*> begin
        self.job.tallies = <double*> (begin + control)
        self.job.workspace = <real*> (begin + control + sums)
        return 0

    def __dealloc__(self):
        PyMem_RawFree(self.memory)

    cdef Job of_thread(self, Index thread) noexcept:
        """The job of one thread of a call."""
        cdef Job job = self.job
        set_thread(&job, thread)
        return job

    cdef int check_training(self) except -1:
        """Raise ValueError if an array is missing that run() needs."""
        if (self.samples.x == NULL or self.job.gradient == NULL or self.job.record == NULL or self.job.rates == NULL
                or self.job.position == NULL or self.job.state == NULL
                or (self.job.settings.notes > 0 and self.job.layer_record == NULL)):
            raise ValueError("run needs samples and the arrays state, gradient, record, layer_record, rates, position")
        return 0

    def run(self, Py_ssize_t steps):
        """At most `steps` minibatch steps from the position on: the first thread's part, which waits for the others."""
        self.check_training()
        cdef Job job = self.of_thread(0)
        if job.settings.threads == 1:
            job.control[CALL_STEPS], job.control[PAUSE_AFTER] = steps, 0
        cdef FloatMode mode
        with nogil:
            mode = flush_denormals()
            run_steps(&job, &self.samples, &self.validation, steps)
            restore_mode(mode)

    def call_helpers(self, int64_t steps, Py_ssize_t helpers) -> list:
        """Call the helpers that wait in the kernels; the numbers of the others, which have to be sent to help()."""
        self.check_training()
        cdef int64_t* control = self.job.control
        cdef Index thread
        cdef bint came
        absent = []
        control[CALL_STEPS], control[PAUSE_AFTER] = steps, 0
        for thread in range(1, helpers + 1):
            with nogil:
                came = call_helper(control, thread)
            if not came:
                absent.append(thread)
        return absent

    def help(self, Py_ssize_t number):
        """A helper's part of the call under way, and of the calls that follow soon."""
        cdef Job job = self.of_thread(number)
        cdef Index steps = job.control[CALL_STEPS]
        cdef FloatMode mode
        with nogil:
            mode = flush_denormals()
            while steps > 0:
                run_steps(&job, &self.samples, &self.validation, steps)
                steps = next_call(&job)
            restore_mode(mode)

    def abandon(self):
        """Make all helpers leave: no call will come, or the call under way will not be completed."""
        shared_store(&self.job.control[ABANDONED], 1)

    @property
    def abandoned(self) -> bool:
        """Whether the helpers were made to leave, so that no call can follow."""
        return shared_load(&self.job.control[ABANDONED]) != 0

    @property
    def in_call(self) -> bool:
        """Whether a call is under way, or was abandoned before its end."""
        return self.job.control[CALL_STEPS] != 0

    def evaluate(self) -> tuple:
        """The objective over the samples, its penalty included, and the fraction of them classified correctly."""
        cdef Settings alone = alone_and_frozen(self.job.settings)
        cdef Job job = self.job
        cdef Tally total
        cdef Position now
        cdef double penalty
        cdef FloatMode mode
        job.settings = &alone
        set_thread(&job, 0)
        memset(&now, 0, sizeof(Position))
        while now.validated < self.samples.rows:
            PyErr_CheckSignals()
            with nogil:
                mode = flush_denormals()
                find_penalties(&job, 0, 0, job.n_slabs)
                penalty = total_penalty(&job, 0)
                validate(&job, &self.samples, &now, &total, False)
                restore_mode(mode)
        return total.loss * alone.loss_share / alone.rows + penalty, total.hits / alone.rows

    def differentiate(self) -> float:
        """gradient = that of the objective over the samples, penalty included; returns the objective."""
        cdef Settings alone = alone_and_frozen(self.job.settings)
        cdef Job job = self.job
        cdef double objective
        cdef FloatMode mode
        if job.gradient == NULL:
            raise ValueError("differentiate needs the array gradient")
        job.settings = &alone
        set_thread(&job, 0)
        with nogil:
            mode = flush_denormals()
            objective = objective_of(&job, &self.samples)
            restore_mode(mode)
        return objective


cdef Settings alone_and_frozen(const Settings* settings) noexcept nogil:
    """The settings of a call on one thread that takes no step."""
    cdef Settings alone = settings[0]
    alone.optimizer = FROZEN
    alone.threads = 1
    return alone
