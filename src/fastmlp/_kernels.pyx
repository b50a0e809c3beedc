"""The kernels: everything that fastmlp computes, in typed Cython, once.

This page is the contents; each part is a file of `kernels/`. setup.py builds it once for each dtype and instruction
set, under the name of a wrapper that includes it; _backend.py picks one build at import. _reference.py repeats the
functions of the edge in NumPy, in the same order and with the same signatures, and every result is compared with it.

Notation. A layer is z = x W + b, h = f(z); rows of x, z, h are samples, W is (inputs, outputs). `d` before a name is
the derivative of the loss by it; dz is the delta. Outputs come first in a signature and sizes last. A row of a matrix
is `stride` numbers from the next. Samples lie along the lanes ((width, samples), "narrow") where a network is so
small that outputs would not fill a vector, else outputs do ((samples, width), "wide"); products, elementwise
functions, losses and optimizers know nothing of that.

Why each part exists:
    vector        the number type and the vectors that a build chooses: no dtype and no instruction set stands below
    elementwise   exp, log, sigmoid, tanh to 2 ulp, the activations and their slopes
    dropout       which units a step leaves out, and what a layer keeps for the way back
    products      one register tile, and the products of a layer made of it
    zeros         the same products where many numbers are zero, which are passed over
    records       the C view of what _layout.py lays out
    losses        the output layer: outputs, losses, deltas, hits
    updates       penalties and optimizers, one pass over the parameters
    groups        gradients that are summed apart, and the tree that adds them up
    narrow, wide  a batch through the layers and back, for the two layouts
    training      barriers, shuffling, steps, epochs: one call runs many of them without Python
    forward       prediction
    edge          what Python calls
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from libc.math cimport INFINITY, NAN, fabs, isfinite, pow, sqrt
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

include "kernels/vector.pxi"
include "kernels/elementwise.pxi"
include "kernels/dropout.pxi"
include "kernels/products.pxi"
include "kernels/zeros.pxi"
include "kernels/records.pxi"
include "kernels/losses.pxi"
include "kernels/updates.pxi"
include "kernels/groups.pxi"
include "kernels/narrow.pxi"
include "kernels/wide.pxi"
include "kernels/training.pxi"
include "kernels/forward.pxi"
include "kernels/edge.pxi"
