"""The kernels: everything that fastmlp computes, in typed Cython, once.

This page is the contents; each part is a file of `kernels/`. setup.py builds the page once per dtype and instruction
set, under the name of a wrapper that includes it. `_engine/backend.py` picks a build when one is needed.
`_engine/reference` repeats the functions of the edge in NumPy under the same names and signatures, and every result is
compared with it.

Notation. A layer is z = x W + b, h = f(z); rows of x, z, h are samples, W is (inputs, outputs). `d` before a name is
the derivative of the loss by it; dz is the delta. Outputs come first in a signature and sizes last. Two rows of a
matrix begin `stride` numbers apart. Samples lie along the lanes ((width, samples), "narrow") if a network is so small
that outputs would not fill a vector, else outputs do ((samples, width), "wide"); products, elementwise functions,
losses and optimizers do not depend on that.

Why each part exists:
    vector        the number type and the vectors that a build chooses: no dtype and no instruction set stands below
    spec          made of the rows in `_spec`: codes, and the records that Python lays out
    elementwise   exp, log, sigmoid, tanh to 2 ulp, the activations and their slopes
    dropout       which units a step leaves out, and what a layer keeps for the backward pass
    tile          the innermost loops, each size compiled by itself (tile.h)
    products      the products of a layer, made of register tiles
    zeros         the same products for matrices with many zeros, which are skipped
    records       what a kernel call works on
    threads       barriers, and helpers that wait for the next call
    losses        the output layer: outputs, losses, deltas, hits
    updates       penalties and optimizers, one pass over the parameters
    dispatch      made of the rows in `_spec`: which activation, loss, optimizer a code stands for
    groups        gradients that are summed apart, and the tree that adds them up
    narrow, wide  a batch through the layers and back, for the two layouts
    training      shuffling, steps, epochs: one call runs many of them without Python
    forward       prediction
    edge          what Python calls
    dense         the products of one layer, called from Python
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_RawCalloc, PyMem_RawFree
from libc.math cimport INFINITY, NAN, fabs, hypot, isfinite, pow, sqrt
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

include "kernels/vector.pxi"
include "spec.pxi"
include "kernels/tile.pxi"
include "kernels/elementwise.pxi"
include "kernels/dropout.pxi"
include "kernels/products.pxi"
include "kernels/zeros.pxi"
include "kernels/records.pxi"
include "kernels/threads.pxi"
include "kernels/losses.pxi"
include "kernels/updates.pxi"
include "dispatch.pxi"
include "kernels/groups.pxi"
include "kernels/narrow.pxi"
include "kernels/wide.pxi"
include "kernels/training.pxi"
include "kernels/forward.pxi"
include "kernels/edge.pxi"
include "kernels/dense.pxi"
