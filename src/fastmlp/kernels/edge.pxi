# ---- the edge -------------------------------------------------------------------------------------------------
# The functions that Python calls, and _reference.py repeats: outputs first, sizes last. Arrays are C-contiguous and
# of this build's dtype; everything else was refused at the door (_validate.py). Nothing above knows of Python.

cdef void* address(object array, size_t item, bint writable) except? NULL:
    """Where an array's data lies, NULL for None. The caller's reference keeps it alive and in place for the call."""
    cdef Py_buffer view
    if array is None:
        return NULL
    PyObject_GetBuffer(array, &view, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
    cdef void* data = view.buf
    cdef Py_ssize_t size = view.itemsize
    PyBuffer_Release(&view)
    if <size_t> size != item:
        raise TypeError(f"an array of {item}-byte items is needed here, got {size}-byte items")
    return data


cdef real* reals(object array) except? NULL:
    return <real*> address(array, sizeof(real), True)


cdef const real* given_reals(object array) except? NULL:
    return <const real*> address(array, sizeof(real), False)


cdef Samples samples_of(object x, object y, object weights, object order, Index rows) except *:
    cdef Samples samples
    samples.x = given_reals(x)
    samples.y = NULL
    samples.labels = NULL
    samples.weights = given_reals(weights)
    # of cross-entropy, labels are whole numbers, and soft targets are rows
    if y is not None and y.dtype.kind == "i":
        samples.labels = <const int32_t*> address(y, sizeof(int32_t), False)
    else:
        samples.y = given_reals(y)
    samples.order = <const int32_t*> address(order, sizeof(int32_t), True)
    samples.rows = rows
    return samples


cdef Job job_of(
    object parameters, object state, object gradient, object tallies, object workspace,
    object layers, object slabs, object settings, Index thread,
) except *:
    cdef Job job
    # Written by train() only, which asks for them once more; the others take parameters as they are.
    job.parameters = <real*> given_reals(parameters)
    job.state = reals(state)
    job.gradient = reals(gradient)
    job.tallies = <double*> address(tallies, sizeof(double), True)
    job.workspace = reals(workspace)
    job.layers = <const Layer*> address(layers, sizeof(Layer), False)
    job.slabs = <const Slab*> address(slabs, sizeof(Slab), False)
    job.settings = <const Settings*> address(settings, sizeof(Settings), False)
    job.n_layers = len(layers)
    job.n_slabs = len(slabs) if slabs is not None else 0
    job.thread = thread
    job.own = job.workspace + job.settings.private_at + thread * job.settings.private_size
    job.loss_parameters = NULL
    job.record = NULL
    job.rates = NULL
    job.position = NULL
    job.control = NULL
    job.order = NULL
    job.layer_record = NULL
    job.epoch = job.settings.first_epoch
    job.noting = False
    take_slabs(&job)
    return job


def sizes() -> dict:
    """What _layout.py has to know of this build: lanes, blocks and the sizes of its records in bytes."""
    return {
        "dtype": "float32" if REAL_BITS == 32 else "float64", "lanes": LANES, "tile_rows": TILE_ROWS,
        "pack_reals": PACK_REALS, "row_block": ROW_BLOCK, "layer": sizeof(Layer), "slab": sizeof(Slab),
        "settings": sizeof(Settings), "epoch": EPOCH_ROWS * sizeof(double), "position": sizeof(Position),
    }


def current_cpu() -> int:
    """The number of the CPU that this thread runs on; -1 where the system does not say."""
    return cpu_number()


def exp_forward(y, x, Py_ssize_t size):
    # y, x (size,)
    """y = exp(x)."""
    cdef real* out = reals(y)
    cdef const real* given = given_reals(x)
    cdef Index i = 0, count
    with nogil:
        while i < size:
            count = min(LANES, size - i)
            store_lanes(out + i, exp_vector(load_lanes(given + i, count)), count)
            i += count


def log_forward(y, x, Py_ssize_t size):
    # y, x (size,)
    """y = log(x)."""
    cdef real* out = reals(y)
    cdef const real* given = given_reals(x)
    cdef Index i = 0, count
    with nogil:
        while i < size:
            count = min(LANES, size - i)
            store_lanes(out + i, log_vector(load_lanes(given + i, count)), count)
            i += count


def activation_forward(h, slopes, z, int activation, Py_ssize_t size):
    # h, z (size,), slopes (size,) or None
    """h = f(z), and slopes = f'(z) where there is room for them; f any but softmax."""
    cdef real* out = reals(h)
    cdef real* kept = reals(slopes)
    memmove(out, given_reals(z), size * sizeof(real))
    with nogil:
        if kept == NULL:
            activate_rows(out, 1, size, size, activation)
        else:
            activate_both_rows(out, kept, 1, size, size, activation)


def activation_backward(dz, dh, h, int activation, Py_ssize_t size):
    # dz, dh, h (size,)
    """dz = dh f'(z), f' from h = f(z) where it follows from it, or h = f'(z) itself with the code STORED."""
    cdef real* out = reals(dz)
    cdef const real* given = given_reals(h)
    memmove(out, given_reals(dh), size * sizeof(real))
    with nogil:
        multiply_by_slope(out, size, given, size, 1, size, activation)


def dropout(h, slopes, int64_t threshold, int64_t seed, int64_t epoch, Py_ssize_t layer, Py_ssize_t first,
            Py_ssize_t rows, Py_ssize_t size):
    # h, slopes (rows, size), of samples from `first` on
    """h = h m / (1 - p), slopes likewise; m is 0 for a share p = threshold / 2^31 of the units, else 1."""
    cdef Dropout dropout
    cdef real* out = reals(h)
    cdef real* kept = reals(slopes)
    memset(&dropout, 0, sizeof(Dropout))
    set_dropout(&dropout, threshold, dropout_key(seed, epoch, layer), first, size, False)
    with nogil:
        drop_rows(out, kept, rows, size, size, &dropout, 0)


def dense_forward(
    y, x, w, b, int activation, Py_ssize_t rows, Py_ssize_t inputs, Py_ssize_t outputs, bint skips=True,
):
    # y (rows, outputs), x (rows, inputs), w (inputs, outputs), b (outputs,) or None; skips: pass over zeros of x
    """y = f(x w + b)."""
    cdef real* out = reals(y)
    cdef const real* given = given_reals(x)
    cdef const real* weights = given_reals(w)
    cdef const real* bias = given_reals(b)
    cdef real* packed = <real*> PyMem_Malloc(PACK_REALS * sizeof(real))
    cdef Finish finish = plain_finish(activation)
    if packed == NULL:
        raise MemoryError()
    with nogil:
        product_forward(out, outputs, given, inputs, weights, bias, &finish, packed, rows, inputs, outputs, False,
                        NULL, skips)
    PyMem_Free(packed)


def dense_backward_inputs(
    dx, dy, w, x, int activation, Py_ssize_t rows, Py_ssize_t inputs, Py_ssize_t outputs, bint skips=True,
):
    # dx (rows, inputs), dy (rows, outputs), w (inputs, outputs), x (rows, inputs); skips: pass over zeros of dy
    """dx = (dy wᵀ) f'(z), f' from x = f(z), the layer's inputs."""
    cdef real* out = reals(dx)
    cdef const real* given = given_reals(dy)
    cdef const real* weights = given_reals(w)
    cdef const real* h = given_reals(x)
    cdef real* packed = <real*> PyMem_Malloc(PACK_REALS * sizeof(real))
    if packed == NULL:
        raise MemoryError()
    with nogil:
        product_backward_inputs(out, inputs, given, outputs, weights, h, inputs, activation, packed,
                                rows, inputs, outputs, False, skips)
    PyMem_Free(packed)


def dense_backward_weights(
    dw, db, x, dy, Py_ssize_t rows, Py_ssize_t inputs, Py_ssize_t outputs, bint skips=True,
):
    # dw (inputs, outputs), db (outputs,) or None, x (rows, inputs), dy (rows, outputs); skips: pass over zeros of x
    """dw = xᵀ dy, db = Σ_rows dy."""
    cdef real* out = reals(dw)
    cdef real* bias = reals(db)
    cdef const real* given = given_reals(x)
    cdef const real* delta = given_reals(dy)
    cdef real* packed = <real*> PyMem_Malloc(PACK_REALS * sizeof(real))
    if packed == NULL:
        raise MemoryError()
    with nogil:
        product_backward_weights(out, bias, given, inputs, delta, outputs, rows, inputs, outputs, False, packed, NULL,
                                 skips)
    PyMem_Free(packed)


def output_forward_backward(
    losses, dz, h, z, y, weights, loss_parameters, int loss, int metric, int activation, Py_ssize_t rows,
    Py_ssize_t outputs,
) -> float:
    # losses (rows,), dz, h, z (rows, outputs), y (rows, outputs), NaN where it was not observed, or int32 labels
    # (rows,); weights (rows,) or None;
    # loss_parameters (outputs,) float64, or None
    """h = f(z), the loss of each row, dz = dL/dz; returns the weight of the rows that were classified rightly."""
    cdef Settings settings
    settings.loss = loss
    settings.metric = metric
    cdef Samples samples = samples_of(None, y, weights, None, rows)
    cdef const double* parameters = <const double*> address(loss_parameters, sizeof(double), False)
    cdef Index stride = rounded_up(rows, 16)
    cdef double hits
    cdef real* h_out = reals(h)
    cdef real* dz_out = reals(dz)
    cdef real* losses_out = reals(losses)
    cdef const real* given = given_reals(z)
    cdef real* scratch = <real*> PyMem_Calloc(stride * (3 * outputs + 4), sizeof(real))
    if scratch == NULL:
        raise MemoryError()
    cdef real* block = scratch + 3 * stride
    cdef real* block_dz = block + stride * outputs
    cdef real* block_y = block_dz + stride * outputs
    cdef real* block_weights = block_y + stride * outputs
    with nogil:
        transpose(block, stride, given, outputs, rows, outputs)
        if samples.y != NULL:
            transpose(block_y, stride, samples.y, outputs, rows, outputs)
        if samples.weights != NULL:
            memcpy(block_weights, samples.weights, rows * sizeof(real))
        hits = output_layer(scratch, block_dz, block, block_y, samples.labels,
                            block_weights if samples.weights != NULL else NULL, &settings, parameters,
                            activation, stride, rows, outputs).hits
        transpose(h_out, outputs, block, stride, outputs, rows)
        transpose(dz_out, outputs, block_dz, stride, outputs, rows)
        memcpy(losses_out, scratch, rows * sizeof(real))
    PyMem_Free(scratch)
    return hits


def shuffle(order, int64_t seed, int64_t epoch, Py_ssize_t size):
    # order (size,) int32
    """order = the permutation of 0 ... size - 1 that seed and epoch name."""
    cdef int32_t* out = <int32_t*> address(order, sizeof(int32_t), True)
    with nogil:
        shuffle_rows(out, seed, epoch, size)


def forward(outputs, parameters, workspace, layers, settings, x, Py_ssize_t rows) -> bool:
    # outputs (rows, outputs), x (rows, inputs)
    """outputs = f_L(... f_1(x W_1 + b_1) ...); False, and outputs of no meaning, where x is not finite."""
    cdef Job job = job_of(parameters, None, None, None, workspace, layers, None, settings, 0)
    cdef Samples samples = samples_of(x, None, None, None, rows)
    cdef real* out = reals(outputs)
    cdef bint finite
    with nogil:
        finite = outputs_of(&job, out, &samples)
    return finite


def evaluate(
    parameters, tallies, workspace, layers, slabs, settings, loss_parameters, x, y, weights, Py_ssize_t rows,
) -> tuple:
    # loss_parameters (outputs,) float64 or None, x (rows, inputs), y (rows, outputs) or int32 labels (rows,),
    # weights (rows,) or None
    """The objective over these rows, its penalty included, and the fraction classified rightly."""
    cdef Job job = job_of(parameters, None, None, tallies, workspace, layers, slabs, settings, 0)
    cdef Samples samples = samples_of(x, y, weights, None, rows)
    job.loss_parameters = <const double*> address(loss_parameters, sizeof(double), False)
    cdef Tally total
    cdef double penalty
    with nogil:
        find_penalties(&job, 0, 0, job.n_slabs)
        penalty = total_penalty(&job, 0)
        validate(&job, &samples, &total, False)
    return total.loss * job.settings.loss_share / rows + penalty, total.hits / rows


def gradient(
    gradient, parameters, tallies, workspace, layers, slabs, settings, loss_parameters, x, y, weights,
    Py_ssize_t rows,
) -> float:
    # gradient, parameters (parameters,), loss_parameters (outputs,) float64 or None, x (rows, inputs),
    # y (rows, outputs) or int32 labels (rows,), weights (rows,) or None
    """gradient = that of the objective over these rows, penalty included; returns the objective."""
    cdef Job job = job_of(parameters, None, gradient, tallies, workspace, layers, slabs, settings, 0)
    cdef Samples samples = samples_of(x, y, weights, None, rows)
    cdef Settings frozen = job.settings[0]
    cdef Position start
    cdef Step step
    cdef Tally total
    cdef double objective
    cdef Index last_chunk = (rows - 1) // frozen.chunk * frozen.chunk
    frozen.optimizer = FROZEN
    frozen.threads = 1
    job.settings = &frozen
    job.loss_parameters = <const double*> address(loss_parameters, sizeof(double), False)
    take_slabs(&job)
    memset(&start, 0, sizeof(Position))
    with nogil:
        find_penalties(&job, 0, 0, job.n_slabs)
        batch_gradient(&job, &samples, 0, rows, False)
        total = sum_of_tallies(<Tally*> job.tallies, tallies_of(&job, rows))
        objective = total.loss * frozen.loss_share / rows + total_penalty(&job, 0)
        step = settled_step(&frozen)
        step.keep_gradient = True
        set_step(&step, &frozen, &start, rows, 0)
        update_parameters(&job, &samples, &start, &step, FROZEN, rows, last_chunk, rows - last_chunk, last_chunk > 0)
    return objective


def train(
    parameters, state, gradient, tallies, workspace, record, layer_record, rates, position, control, order, layers,
    slabs, settings, loss_parameters, x, y, weights, x_validation, y_validation, weights_validation,
    Py_ssize_t steps, Py_ssize_t thread,
):
    # parameters, gradient (parameters,), state (slots * parameters,), record (6, epochs), layer_record (2 layers,
    # notes) or None, rates (epochs,) or one a step, position (1,), order (given_orders, rows) int32, (rows,) or
    # None, loss_parameters
    # (outputs,) float64 or None, x (rows, inputs), y (rows, outputs) or int32 labels (rows,), weights (rows,) or None,
    # the same of validation or None
    """At most `steps` minibatch steps from `position` on; every thread of the call calls it, the first keeps books.

    The others, its helpers, stay for the calls that follow, as long as these come soon.
    """
    cdef Job job = job_of(parameters, state, gradient, tallies, workspace, layers, slabs, settings, thread)
    cdef Samples samples = samples_of(x, y, weights, order, job.settings.rows)
    cdef Samples validation = samples_of(
        x_validation, y_validation, weights_validation, None, job.settings.validation_rows)
    job.parameters = reals(parameters)
    job.record = <double*> address(record, sizeof(double), True)
    job.layer_record = <double*> address(layer_record, sizeof(double), True)
    job.loss_parameters = <const double*> address(loss_parameters, sizeof(double), False)
    job.rates = <const double*> address(rates, sizeof(double), False)
    job.position = <Position*> address(position, sizeof(Position), True)
    job.control = <int64_t*> address(control, sizeof(int64_t), True)
    job.order = <int32_t*> samples.order
    with nogil:
        run(&job, &samples, &validation, steps)
        while thread > 0:
            steps = next_call(&job)
            if steps == 0:
                break
            run(&job, &samples, &validation, steps)


def call_helpers(control, int64_t steps, Py_ssize_t helpers) -> list:
    # control (24 + 8 helpers,) int64
    """Call the helpers that wait for it to so many steps; the numbers of the others, which have to be sent to train."""
    cdef int64_t* words = <int64_t*> address(control, sizeof(int64_t), True)
    cdef Index thread
    cdef bint came
    absent = []
    words[CALL_STEPS] = steps
    for thread in range(1, helpers + 1):
        with nogil:
            came = call_helper(words, thread)
        if not came:
            absent.append(thread)
    return absent


def abandon(control):
    # control (24 + 8 helpers,) int64
    """Let the helpers go: nobody will call them, or meet them in a call (an exception on the way there)."""
    cdef int64_t* flags = <int64_t*> address(control, sizeof(int64_t), True)
    shared_store(&flags[ABANDONED], 1)
