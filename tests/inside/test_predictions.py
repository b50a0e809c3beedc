"""What a forward pass reads and writes, and the workspaces that are kept for predictions."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from inside import places

import fastmlp
from fastmlp.activations import ACTIVATIONS

# Outputs on both sides of a vector's end in every build, of one panel's and of several panels'; no hidden layer, and
# a network so small that its samples lie along the lanes.
SIZES = [(2, 10, 2), (5, 3), (64, 100, 10), (33, 16, 17), (40, 15, 33, 2), (1, 70, 70), (100, 49, 7), (3, 200, 3)]


def network(sizes, backend=None, dtype=np.float64, loss="cross_entropy", **settings):
    """A network that has seen no data."""
    return fastmlp.Network(sizes, loss=loss, dtype=dtype, backend=backend, seed=2, **settings)


@pytest.mark.parametrize("narrow", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 8, 21])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_nothing_is_read_or_written_past_an_array(
    sizes, rows, narrow, kernels, dtype, normal, guarded, tolerance, monkeypatch
):
    places.switch(monkeypatch, is_narrow=lambda *_: narrow)
    codes = [ACTIVATIONS["relu"].code] * (len(sizes) - 2) + [ACTIVATIONS["softmax"].code]
    layers = places.layout.network_layers(tuple(sizes), tuple(codes), False)
    plan = places.layout.plan(layers, kernels.sizes(), batch=8, rows=8)
    weights = guarded.given(normal(places.layout.parameter_count(layers), dtype=dtype) / 8)
    X = guarded.given(normal(rows, sizes[0], dtype=dtype))
    outputs, expected = guarded.result(rows, sizes[-1], dtype=dtype), np.empty((rows, sizes[-1]), dtype)
    workspace = guarded.result(plan.workspace, dtype=dtype)
    assert kernels.forward(outputs, weights, plan, workspace, X)
    assert places.reference.forward(expected, weights, plan, None, X)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=tolerance("forward", dtype))
    guarded.check()


# The last page of memory may not be touched, and weights end where it begins. One input or two, and outputs that leave
# a part of their last vector empty: no row of weights may be read in whole vectors there.
_AT_THE_END_OF_MEMORY = """
import ctypes, mmap, sys
import numpy as np

from fastmlp._engine import backend as builds, layout
from fastmlp.activations import ACTIVATIONS

layout.is_narrow = lambda *_: False
backend, dtype = sys.argv[1], np.dtype(sys.argv[2])
kernels = builds.kernels(dtype, backend)
memory = mmap.mmap(-1, 2 * mmap.PAGESIZE)
page = np.frombuffer(memory, np.uint8)[: mmap.PAGESIZE]
protect = ctypes.CDLL(None, use_errno=True).mprotect
assert protect(ctypes.c_void_p(page.ctypes.data + mmap.PAGESIZE), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
for sizes in (1, 70), (1, 10), (1, 3), (2, 3), (2, 17), (5, 1), (9, 49):
    layers = layout.network_layers(sizes, (ACTIVATIONS["identity"].code,), False)
    plan = layout.plan(layers, kernels.sizes(), batch=8, rows=8)
    weights = page.view(dtype)[-layout.parameter_count(layers) :]
    weights[:] = np.arange(len(weights)) % 7
    for rows in 1, 4:
        x, outputs = np.ones((rows, sizes[0]), dtype), np.empty((rows, sizes[1]), dtype)
        assert kernels.forward(outputs, weights, plan, np.zeros(plan.workspace, dtype), x)
        assert (outputs == weights.reshape(sizes).sum(axis=0)).all()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a page of memory is protected by Linux's call")
def test_weights_at_the_end_of_memory(backend, dtype):
    command = [sys.executable, "-c", _AT_THE_END_OF_MEMORY, backend, dtype.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"


def test_a_workspace_serves_one_prediction_after_another(normal):
    net = network((20, 60, 5))
    for rows in (1, 3, 400, 2):
        net.predict(normal(rows, 20))
    assert len(places.workspaces(net)) == 1
