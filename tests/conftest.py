"""What several test modules share: every backend in every dtype, the one table of tolerances, and arrays to test on."""

import importlib
import signal
import sys
import zlib
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from inside import places
from new_process import VARIABLES

# The one table of tolerances: what is compared -> float32's and float64's.
# Kernels take denormal numbers for zero in passes and training runs, the reference does not: results differ by less
# than the smallest normal number times the other factors, far below every tolerance of numbers that are not tiny.
_TOLERANCES = MappingProxyType(
    {
        # Units in the last place of exp, log, sigmoid and tanh against the true value: what the kernels promise.
        "function": {"float32": 2.0, "float64": 2.0},
        # The same of the reference: NumPy's own functions promise 4; sigmoid adds a sum and a quotient, half a unit
        # each, to an exp that is within 1 to 2.5 in practice.
        "reference function": {"float32": 4.0, "float64": 4.0},
        # Unit roundoff u, half the distance from 1 to the next number. A sum of n products, added in any order, with
        # or without fused multiply-adds, is within n u / (1 - n u) of Σ |a b| (N. J. Higham, Accuracy and Stability
        # of Numerical Algorithms, 2002, section 3.1): `product_bound` computes it.
        "roundoff": {"float32": 2.0**-24, "float64": 2.0**-53},
        # One forward pass of a few layers, relative to the largest output: each layer adds some sqrt(width) = 10
        # roundoffs, and four units of the activations; 100 of them is ample.
        "forward": {"float32": 6e-6, "float64": 1.2e-14},
        # A mean loss, relative: losses are rounded to the dtype row by row, and added up in double.
        "loss": {"float32": 1e-5, "float64": 2e-14},
        # A gradient, relative to its largest entry: forward and backward errors, summed over rows whose terms cancel.
        "gradient": {"float32": 1e-5, "float64": 2e-14},
        # Parameters, losses and norms after a few dozen steps, relative to the largest: a gradient's errors, which
        # every step adds and the next ones amplify. Adam divides by the gradient's own size, however small against
        # its errors. Five to ten times the largest seen.
        "training": {"float32": 1e-4, "float64": 1e-12},
        # The same with relu: an input within rounding of zero may fall on either side. In float32 one of the tens of
        # thousands sometimes does, and moves its unit's gradient by one row's share; in float64 none comes so near.
        "training with kinks": {"float32": 2e-2, "float64": 1e-12},
        # Parameters and optimizer state after ten steps of a linear network, relative to the largest: ten roundings a
        # step, those of a gradient's sum, and Adam's division by the gradient's size; formulas in double.
        "steps": {"float32": 1e-5, "float64": 2e-14},
        # A gradient against central differences of fourth order, relative to its largest entry: 2e-4 of step to the
        # fourth, times a fifth derivative, is 1e-14; the loss's rounding over the step is 1e-12.
        "finite differences": {"float64": 1e-9},
    }
)


BENCH = Path(__file__).parents[1] / "bench"


def pytest_configure():
    """Let Ctrl-C interrupt: a shell that starts a job in the background has the job ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark as slow what `sampled(n)` leaves out: of a test's combinations about one in n, by its name, is not."""
    for item in items:
        sampled = item.get_closest_marker("sampled")
        if sampled is not None and zlib.crc32(item.name.encode()) % sampled.args[0]:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def from_bench():
    """A function: name -> that script of bench/. They import each other by their bare names, so that is done here."""
    if not BENCH.is_dir():
        pytest.skip("bench/ does not stand beside tests/")
    sys.path.insert(0, str(BENCH))
    yield importlib.import_module
    sys.path.remove(str(BENCH))
    scripts = {script.stem for script in BENCH.glob("*.py")} - {"sklearn"}  # which stays scikit-learn itself
    for name in [*sys.modules]:
        if name in scripts or name.partition(".")[0] == "harness":
            del sys.modules[name]


@pytest.fixture(autouse=True)
def _fresh_layouts():
    """Layouts that are kept were made by the rules of a test before, which may have changed them."""
    places.forget_layouts()


@pytest.fixture
def plain_environment(monkeypatch):
    """No variable of the environment chooses a backend or a number of threads."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def every_thread(request, monkeypatch):
    """Training runs take exactly as many threads as they are asked to, except in tests of the cost model."""
    if "cost_model" in request.keywords:
        return
    monkeypatch.setattr(places.threads, "COST_MODEL", False, raising=False)


@pytest.fixture(params=places.backend.NAMES)
def backend(request):
    """The name of each backend; one that is missing here is skipped, and the skip says why."""
    if request.param in places.backend.missing:
        pytest.skip(f"{request.param}: {places.backend.missing[request.param]}")
    return request.param


@pytest.fixture
def usable_backends():
    """The names of all backends that can be used here: the reference first, the best build last."""
    return places.backend.available()


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Each dtype that the kernels compute in."""
    return np.dtype(request.param)


@pytest.fixture
def kernels(backend, dtype):
    """The module that computes: each backend in each dtype."""
    return places.backend.kernels(dtype, backend)


@pytest.fixture(params=["narrow", "slabs", "groups"])
def layout(request, monkeypatch):
    """Every layout of a network, whichever the rules would choose: the narrow one, its chunks made small; the wide one
    whose weights are shared out, and the wide one whose gradients are summed by groups, four rows or more in each."""
    groups = {"slabs": lambda _, rows: 1, "groups": lambda _, rows: min(64, 1 << max(0, (rows // 4).bit_length() - 1))}
    places.switch(
        monkeypatch,
        is_narrow=lambda *_: request.param == "narrow",
        wide_groups=groups.get(request.param),
        narrow_bytes=16 * 1024,
    )
    return request.param


@pytest.fixture
def tolerance():
    """A function: what is compared, and the dtype -> the tolerance."""

    def look_up(kind, dtype):
        return _TOLERANCES[kind][np.dtype(dtype).name]

    return look_up


@pytest.fixture
def product_bound(tolerance):
    """A function: dtype, how many products are added and Σ |a b| -> how far the sum may be off."""

    def bound(dtype, terms, magnitudes):
        error = terms * tolerance("roundoff", dtype)
        return error / (1 - error) * magnitudes

    return bound


@pytest.fixture
def normal():
    """A function: shape, dtype and seed -> normal numbers, always the same."""

    def draw(*shape, dtype=np.float64, seed=0):
        return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)

    return draw


@pytest.fixture
def targets(normal):
    """A function: loss, rows, outputs -> y as users give it: labels, 0 and 1, or numbers."""

    def make(loss, rows, outputs, *, dtype=np.float64, seed=0):
        dtype = np.dtype(dtype).type
        generator = np.random.default_rng([seed, rows, outputs])
        if loss == "cross_entropy":
            return generator.integers(0, outputs, rows)
        if loss in ("binary_cross_entropy", "hinge"):
            return generator.integers(0, 2, (rows, outputs)).astype(dtype)
        name = getattr(loss, "name", loss)
        y = normal(rows, outputs // getattr(loss, "outputs_per_target", 1), dtype=dtype, seed=seed + 1)
        return {"poisson": np.floor(y * y * 2), "gamma": y * y + dtype(0.1)}.get(name, y)

    return make


class Guarded:
    """Arrays inside larger buffers, so that a read or a write past their ends shows."""

    margin = 160  # numbers on either side: more than the widest panel, 3 vectors of 16

    def __init__(self):
        self._buffers = []

    def given(self, array):
        """A copy of an input: NaN around it spoils what is computed from a read past its ends."""
        return self._inside(array.shape, array.dtype, array, np.nan)

    def result(self, *shape, dtype):
        """An output, full of NaN until it is written, between numbers that nobody may touch."""
        return self._inside(shape, dtype, np.nan, 12345)

    def _inside(self, shape, dtype, values, guard):
        size = int(np.prod(shape))
        buffer = np.full(size + 2 * self.margin, guard, dtype)
        self._buffers.append((buffer, buffer.copy(), size))
        array = buffer[self.margin : self.margin + size].reshape(shape)
        array[...] = values
        return array

    def check(self):
        """Assert that everything around the arrays is as it was."""
        for buffer, before, size in self._buffers:
            for part, where in (slice(0, self.margin), "before"), (slice(self.margin + size, None), "past"):
                np.testing.assert_array_equal(buffer[part], before[part], f"written {where} the array")


@pytest.fixture
def guarded():
    """Arrays with guards around them: `given` makes inputs, `result` outputs; `check` looks at the guards."""
    return Guarded()
