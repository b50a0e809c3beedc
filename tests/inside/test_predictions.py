"""What a forward pass reads and writes, the workspaces that are kept for predictions, and derivatives by blocks."""

from __future__ import annotations

import subprocess
import sys
import threading
import tracemalloc

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


# ---- derivatives by the inputs -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1000, 5000])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_blocks_of_input_gradients_are_those_of_all_rows(monkeypatch, backend, dtype, loss, size, normal, tolerance):
    net, X = network((4, 20, 7, 3), backend, dtype, loss), normal(33, 4, dtype=dtype)
    whole = net.input_gradient(X)
    places.switch(monkeypatch, derivative_bytes=size)
    # NumPy multiplies few rows otherwise than many.
    limit = tolerance("forward", dtype) * np.abs(whole).max()
    np.testing.assert_allclose(net.input_gradient(X), whole, rtol=0, atol=limit)


def test_input_gradients_take_little_more_memory_than_their_result(monkeypatch):
    # Of 4000 rows the result is 3.2 MB, and the derivatives by the hidden units would be 32 MB at once.
    places.switch(monkeypatch, derivative_bytes=1 << 18)
    net, X = network((50, 500, 2)), np.ones((4000, 50))
    net.input_gradient(X[:1])
    tracemalloc.start()
    try:
        result = net.input_gradient(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.nbytes < peak < 2 * result.nbytes


@pytest.mark.parametrize("kind", ["predict", "input_gradient", "to_onnx"])
def test_a_reader_waits_for_the_end_of_a_kernel_call(kind, tmp_path):
    if kind == "to_onnx":
        pytest.importorskip("onnx")
    net, X = network((4, 5, 3)), np.ones((2, 4))
    reads = {"to_onnx": lambda: net.to_onnx(tmp_path / "net.onnx")}.get(kind, lambda: getattr(net, kind)(X))
    reads()
    reader = threading.Thread(target=reads)
    with places.kernel_call(net):
        reader.start()
        reader.join(0.1)
        assert reader.is_alive()
    reader.join(60)
    assert not reader.is_alive()
