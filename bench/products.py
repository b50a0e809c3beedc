"""Measure the three products of a layer against NumPy's, on one thread.

    python bench/products.py [--dtypes float32,float64] [--builds all] [--shapes 64x64x64,200x64x100]
                             [--repeats 7] [--seconds 0.02] [--out FILE.csv]

A shape is rows×inputs×outputs. The kernels and np.matmul get the same operands and take turns in one process whose
BLAS has one thread. What a machine can do is the rate of np.dot on 2048×2048×2048 in the same run. The kernels'
functions check and allocate a little on every call from Python, as np.matmul does.
"""

import argparse
import math
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from harness import builds
from harness.options import Script, add_list
from harness.records import Record, Row, show, written
from harness.timing import process, take_turns

Shape = tuple[int, int, int]
Timings = dict[str, dict[str, list[float]]]
"""For each product, and each build and "numpy", the seconds of one product, one entry per timing."""

CUBES: tuple[Shape, ...] = tuple((size, size, size) for size in (16, 32, 64, 128, 256, 512, 1024, 2048))
# A layer of a small classifier, of a larger one, of a deep net on a table; primes, which fill no block; a large one.
AWKWARD: tuple[Shape, ...] = ((200, 64, 100), (128, 784, 128), (100, 300, 300), (37, 53, 29), (512, 1024, 4096))
LIMIT: Shape = (2048, 2048, 2048)
NUMPY = "numpy"
DTYPES = ("float32", "float64")
SHOWN = ("product", "build", "median_gflops", "best_gflops", "ratio_to_limit", "ratio_to_numpy")


def time_shape(dtype: str, names: Sequence[str], shape: Shape, repeats: int, seconds: float) -> Timings:
    """Time the products of a shape in this process: NumPy's and each build's in turns, all on the same operands."""
    rows, inputs, outputs = shape
    draw = partial(np.random.default_rng(0).standard_normal, dtype=dtype)
    x, w, dy = draw((rows, inputs)), draw((inputs, outputs)), draw((rows, outputs))
    y, dx, dw = np.empty_like(dy), np.empty_like(x), np.empty_like(w)
    identity = builds.activation_code("identity")
    calls: dict[str, dict[str, Callable[[], Any]]] = {
        "forward": {NUMPY: partial(np.matmul, x, w, out=y)},
        "backward_inputs": {NUMPY: partial(np.matmul, dy, w.T, out=dx)},
        "backward_weights": {NUMPY: partial(np.matmul, x.T, dy, out=dw)},
    }
    for name in names:
        kernels = builds.kernels(dtype, name)
        calls["forward"][name] = partial(kernels.dense_forward, y, x, w, None, identity)
        calls["backward_inputs"][name] = partial(kernels.dense_backward_inputs, dx, dy, w, x, identity)
        calls["backward_weights"][name] = partial(kernels.dense_backward_weights, dw, None, x, dy)
    return {product: take_turns(actions, repeats, seconds) for product, actions in calls.items()}


def rates(shape: Shape, seconds: Sequence[float]) -> tuple[float, float]:
    """Return a product's rates in GFLOP/s, in the median and in the shortest timing.

    >>> rates((1000, 1000, 1000), [0.04, 0.02, 0.05])
    (50.0, 100.0)
    """
    operations = 2 * math.prod(shape) / 1e9
    return operations / statistics.median(seconds), operations / min(seconds)


def limit(dtype: str, repeats: int, seconds: float) -> float:
    """Return the best rate in GFLOP/s of np.dot on the largest cube, in this process."""
    a, b = np.random.default_rng(0).standard_normal((2, *LIMIT[:2]), dtype=dtype)
    out = np.empty_like(a)
    return rates(LIMIT, take_turns({NUMPY: lambda: np.dot(a, b, out=out)}, repeats, seconds)[NUMPY])[1]


def rows_of(dtype: str, shape: Shape, timings: Timings, most: float) -> list[Row]:
    """Return a shape's rows of the record, with ratios of the shortest timings' rates; `most` is as from `limit`."""
    rows = []
    for product, found in timings.items():
        numpy_best = rates(shape, found[NUMPY])[1]
        for name, seconds in found.items():
            median, best = rates(shape, seconds)
            row = {
                "product": product,
                "dtype": dtype,
                **dict(zip(("rows", "inputs", "outputs"), shape, strict=True)),
                "build": name,
                "median_gflops": written(median, 4),
                "best_gflops": written(best, 4),
                "minimum_us": written(min(seconds) * 1e6),
                "ratio_to_limit": written(best / most, 3),
                "ratio_to_numpy": written(best / numpy_best, 3),
            }
            rows.append(row)
    return rows


def shapes(text: str) -> list[Shape]:
    """Parse comma-separated shapes, e.g. "64x64x64,200x64x100"; raise unless each is three whole numbers from 1 on."""
    found = []
    for part in text.split(","):
        if not re.fullmatch(r"0*[1-9]\d*(x0*[1-9]\d*){2}", part, re.ASCII):
            raise argparse.ArgumentTypeError(f"got {part}; expected rows x inputs x outputs, e.g. 200x64x100")
        found.append(tuple(map(int, part.split("x"))))
    return found


def options(parser: argparse.ArgumentParser) -> None:
    add_list(parser, "--dtypes", DTYPES, DTYPES)
    add_list(parser, "--builds", builds.loadable(), builds.loadable())
    parser.add_argument("--shapes", type=shapes, default=[*CUBES, *AWKWARD], help="rows x inputs x outputs, …")


def run(given: argparse.Namespace, record: Record) -> None:
    record.describe(f"{given.repeats} timings taken in turns, all on one thread; ratios are of the best rates")
    with process(threads=1) as ask:
        for dtype in given.dtypes:
            most = ask(limit, dtype, given.repeats, given.seconds)
            text = record.about[f"limit {dtype}"] = f"{most:.4g} GFLOP/s, np.dot on {'×'.join(map(str, LIMIT))}"
            print(f"\n{dtype}: the limit is {text}")
            for shape in given.shapes:
                timings = ask(time_shape, dtype, given.builds, shape, given.repeats, given.seconds)
                record.rows += (found := rows_of(dtype, shape, timings, most))
                show(f"{'×'.join(map(str, shape))}, {dtype}", found, SHOWN)


SCRIPT = Script(__doc__, run, "products", repeats=7, seconds=0.02, options=options)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
