# ---- one layer at a time --------------------------------------------------------------------------------------
# The three products of a layer as functions of Python arrays, which are C-contiguous and of this build's dtype. Sizes
# are those of the arrays, whose lengths are checked here.

cdef object compute_dense(Product* product):
    """Compute a product, with memory for what it packs."""
    cdef real* packed = <real*> PyMem_Malloc(PACK_REALS * sizeof(real))
    if packed == NULL:
        raise MemoryError()
    product.packed = packed
    cdef FloatMode mode
    with nogil:
        mode = flush_denormals()
        compute(product)
        restore_mode(mode)
    PyMem_Free(packed)


def dense_forward(y, x, w, b, int activation, bint skips=True):
    # y (rows, outputs), x (rows, inputs), w (inputs, outputs), b (outputs,) or None; skips: pass over zeros of x
    """y = f(x w + b)."""
    cdef Index rows = len(x), inputs = len(w), outputs = w.shape[1]
    cdef Finish finish = plain_finish(activation)
    cdef Product product
    set_forward(
        &product, matrix(reals(y, rows * outputs), outputs), const_matrix(given_reals(x, rows * inputs), inputs),
        given_reals(w, inputs * outputs), rows, inputs, outputs)
    product.bias = given_reals(b, outputs)
    product.finish = &finish
    product.skips = skips
    compute_dense(&product)


def dense_backward_inputs(dx, dy, w, x, int activation, bint skips=True):
    # dx (rows, inputs), dy (rows, outputs), w (inputs, outputs), x (rows, inputs); skips: pass over zeros of dy
    """dx = (dy wᵀ) f'(z), f' from x = f(z), the layer's inputs."""
    cdef Index rows = len(x), inputs = len(w), outputs = w.shape[1]
    cdef Product product
    set_backward_inputs(
        &product, matrix(reals(dx, rows * inputs), inputs), const_matrix(given_reals(dy, rows * outputs), outputs),
        given_reals(w, inputs * outputs), rows, inputs, outputs)
    product.h.at, product.h.stride = given_reals(x, rows * inputs), inputs
    product.activation = activation
    product.skips = skips
    compute_dense(&product)


def dense_backward_weights(dw, db, x, dy, bint skips=True):
    # dw (inputs, outputs), db (outputs,) or None, x (rows, inputs), dy (rows, outputs); skips: pass over zeros of x
    """dw = xᵀ dy, db = Σ_rows dy."""
    cdef Index rows = len(x), inputs = len(dw), outputs = dw.shape[1]
    cdef Product product
    set_backward_weights(
        &product, reals(dw, inputs * outputs), const_matrix(given_reals(x, rows * inputs), inputs),
        const_matrix(given_reals(dy, rows * outputs), outputs),
        rows, inputs, outputs)
    product.sums = reals(db, outputs)
    product.skips = skips
    compute_dense(&product)
