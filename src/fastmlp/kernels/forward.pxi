# ---- prediction -----------------------------------------------------------------------------------------------
# Forward only, and no targets: the outputs of both kinds of networks, row by row.


cdef void finish_outputs(real* h, int activation, Index stride, Index lanes, Index outputs) noexcept nogil:
    # h (outputs, stride), z on entry
    """h = f(z) of the output layer, samples along the lanes."""
    if activation == SOFTMAX:
        softmax(h, NULL, NULL, stride, lanes, outputs)
    else:
        activate_rows(h, outputs, stride, lanes, activation)


cdef void narrow_outputs(Job* job, real* out, const Samples* samples) noexcept nogil:
    # out (rows, outputs)
    cdef const Layer* last = &job.layers[job.n_layers - 1]
    cdef Index chunk = job.settings.chunk, begin = 0, count
    cdef real* x = job.own + job.settings.inputs_at
    cdef real* h = job.own + last.activations
    while begin < samples.rows:
        count = min(chunk, samples.rows - begin)
        gather(x, NULL, NULL, samples, begin, count, chunk, job.settings.inputs, 0)
        narrow_forward(job, x, rounded_up(count, LANES))
        finish_outputs(h, <int> last.activation, chunk, rounded_up(count, LANES), last.outputs)
        transpose(out + begin * last.outputs, last.outputs, h, chunk, last.outputs, count)
        begin += count


cdef void wide_outputs(Job* job, real* out, const Samples* samples) noexcept nogil:
    # out (rows, outputs)
    cdef const Layer* last = &job.layers[job.n_layers - 1]
    cdef Index chunk = job.settings.chunk, begin = 0, count, row, rows
    cdef real* h = job.own + job.settings.outputs_at
    cdef const real* z
    while begin < samples.rows:
        count = min(chunk, samples.rows - begin)
        wide_forward(job, samples.x + begin * job.settings.inputs, job.settings.inputs, 0, count)
        row = 0
        while row < count:
            rows = min(ROW_BLOCK, count - row)
            z = job.workspace + last.activations + row * last.stride
            memset(h, 0, last.outputs * ROW_BLOCK * sizeof(real))
            transpose(h, ROW_BLOCK, z, last.stride, rows, last.outputs)
            finish_outputs(h, <int> last.activation, ROW_BLOCK, ROW_BLOCK, last.outputs)
            transpose(out + (begin + row) * last.outputs, last.outputs, h, ROW_BLOCK, last.outputs, rows)
            row += rows
        begin += count
