"""Measure the three products of a layer against NumPy's, on one thread.

    python bench/products.py [--dtypes float32,float64] [--builds all] [--shapes 64x64x64,200x64x100]
                             [--repeats 7] [--seconds 0.02] [--out FILE.csv]

A shape is rows×inputs×outputs. The kernels and np.matmul get the same operands and take turns in one process whose
BLAS has one thread. What a machine can do is the rate of np.dot on 2048×2048×2048 in the same run. The kernels'
functions of the edge check and allocate a little on every call, as np.matmul does. Imported by the tests only.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from options import command, loadable_builds, names, parser
from records import header, write
from timing import process, take_turns, written

from fastmlp import _backend
from fastmlp.activations import ACTIVATIONS

Shape = tuple[int, int, int]
Actions = dict[str, Callable[[], Any]]

CUBES: tuple[Shape, ...] = tuple((size, size, size) for size in (16, 32, 64, 128, 256, 512, 1024, 2048))
# A layer of a small classifier, of a larger one, of a deep net on a table; primes, which fill no block; a large one.
AWKWARD: tuple[Shape, ...] = (
    (200, 64, 100), (128, 784, 128), (100, 300, 300), (37, 53, 29), (512, 1024, 4096),
)  # fmt: skip
LIMIT: Shape = (2048, 2048, 2048)
PRODUCTS = ("forward", "backward_inputs", "backward_weights")
NUMPY = "numpy"


def actions_for(dtype: str, builds: Sequence[str], shape: Shape) -> dict[str, Actions]:
    """Make the calls that are timed on a shape, all on the same operands.

    Parameters
    ----------
    dtype : str
        "float32" or "float64".
    builds : sequence of str
        Builds of the kernels.
    shape : (rows, inputs, outputs)
        The layer's.

    Returns
    -------
    dict
        For each of `PRODUCTS` the calls by name: "numpy", and the builds.
    """
    rows, inputs, outputs = shape
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, inputs), dtype=dtype)
    w = random.standard_normal((inputs, outputs), dtype=dtype)
    dy = random.standard_normal((rows, outputs), dtype=dtype)
    y, dx, dw = np.empty_like(dy), np.empty_like(x), np.empty_like(w)
    identity = ACTIVATIONS["identity"]
    actions: dict[str, Actions] = {
        "forward": {NUMPY: lambda: np.matmul(x, w, out=y)},
        "backward_inputs": {NUMPY: lambda: np.matmul(dy, w.T, out=dx)},
        "backward_weights": {NUMPY: lambda: np.matmul(x.T, dy, out=dw)},
    }
    for build in builds:
        kernels = _backend.kernels(np.dtype(dtype), build)
        actions["forward"][build] = lambda kernels=kernels: kernels.dense_forward(y, x, w, None, identity, *shape)
        actions["backward_inputs"][build] = lambda kernels=kernels: kernels.dense_backward_inputs(
            dx, dy, w, x, identity, *shape
        )
        actions["backward_weights"][build] = lambda kernels=kernels: kernels.dense_backward_weights(
            dw, None, x, dy, *shape
        )
    return actions


def rates(shape: Shape, seconds: Sequence[float]) -> tuple[float, float]:
    """Turn timings of a product into rates.

    Parameters
    ----------
    shape : (rows, inputs, outputs)
        The layer's; a product has two operations for each of rows · inputs · outputs.
    seconds : sequence of float
        Of one product, one entry a timing.

    Returns
    -------
    median, best : float
        GFLOP/s in the median and in the shortest timing.

    Examples
    --------
    >>> rates((1000, 1000, 1000), [0.04, 0.02, 0.05])
    (50.0, 100.0)
    """
    operations = 2 * shape[0] * shape[1] * shape[2] / 1e9
    return operations / statistics.median(seconds), operations / min(seconds)


def limit(dtype: str, repeats: int, seconds: float) -> float:
    """Measure the rate of np.dot on the largest cube, in this process.

    Parameters
    ----------
    dtype : str
        "float32" or "float64".
    repeats : int
        Timings.
    seconds : float
        About how long a timing takes.

    Returns
    -------
    float
        GFLOP/s in the shortest timing.
    """
    a, b = np.random.default_rng(0).standard_normal((2, *LIMIT[:2]), dtype=dtype)
    out = np.empty_like(a)
    return rates(LIMIT, take_turns({NUMPY: lambda: np.dot(a, b, out=out)}, repeats, seconds)[NUMPY])[1]


def time_shape(
    dtype: str, builds: Sequence[str], shape: Shape, repeats: int, seconds: float
) -> dict[str, dict[str, list[float]]]:
    """Time the products of a shape in turns, in this process.

    Parameters
    ----------
    dtype, builds, shape
        As `actions_for` takes them.
    repeats : int
        Timings of each.
    seconds : float
        About how long a timing takes.

    Returns
    -------
    dict
        For each of `PRODUCTS`, and each name, the seconds of one product, one entry a timing.
    """
    actions = actions_for(dtype, builds, shape)
    return {product: take_turns(calls, repeats, seconds) for product, calls in actions.items()}


def rows_of(
    dtype: str, shape: Shape, timings: dict[str, dict[str, list[float]]], most: float
) -> list[dict[str, Any]]:
    """Make a shape's rows of the record.

    Parameters
    ----------
    dtype : str
        "float32" or "float64".
    shape : (rows, inputs, outputs)
        The layer's.
    timings : dict
        As from `time_shape`.
    most : float
        As from `limit`.

    Returns
    -------
    list of dict
        One a product and name. Ratios are of the shortest timings' rates.
    """
    rows = []
    for product, found in timings.items():
        numpy_best = rates(shape, found[NUMPY])[1]
        for name, seconds in found.items():
            median, best = rates(shape, seconds)
            rows.append(
                {
                    "product": product,
                    "dtype": dtype,
                    "rows": shape[0],
                    "inputs": shape[1],
                    "outputs": shape[2],
                    "build": name,
                    "median_gflops": written(median, 4),
                    "best_gflops": written(best, 4),
                    "minimum_us": written(min(seconds) * 1e6),
                    "ratio_to_limit": written(best / most, 3),
                    "ratio_to_numpy": written(best / numpy_best, 3),
                }
            )
    return rows


def show(dtype: str, shape: Shape, rows: Sequence[dict[str, Any]]) -> None:
    """Print a shape's rows.

    Parameters
    ----------
    dtype, shape
        As in `rows_of`.
    rows : sequence of dict
        As from `rows_of`.
    """
    print(f"\n{'×'.join(map(str, shape))}, {dtype}: GFLOP/s, share of the limit, ratio to NumPy")
    for row in rows:
        print(
            f"  {row['product']:<18}{row['build']:<12}{row['median_gflops']:>9}{row['best_gflops']:>9}"
            f"{row['ratio_to_limit']:>8}{row['ratio_to_numpy']:>8}",
            flush=True,
        )


def shapes(text: str) -> list[Shape]:
    """Parse a list of shapes.

    Parameters
    ----------
    text : str
        Comma-separated, e.g. "64x64x64,200x64x100".

    Returns
    -------
    list of (rows, inputs, outputs)

    Raises
    ------
    argparse.ArgumentTypeError
        If a shape isn't three whole numbers from 1 on.
    """
    found = []
    for part in text.split(","):
        sizes = part.split("x")
        if len(sizes) != 3 or not all(size.isdecimal() and int(size) for size in sizes):
            raise argparse.ArgumentTypeError(f"got {part}; expected rows x inputs x outputs, e.g. 200x64x100")
        found.append((int(sizes[0]), int(sizes[1]), int(sizes[2])))
    return found


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line.

    Parameters
    ----------
    arguments : sequence of str
        Without the program's name.

    Returns
    -------
    argparse.Namespace
    """
    reader = parser("Measure the products of a layer against NumPy's, on one thread.", repeats=7, seconds=0.02)
    loadable = loadable_builds()
    dtypes = ["float32", "float64"]
    reader.add_argument("--dtypes", type=names(dtypes), default=dtypes, metavar="A,B", help=", ".join(dtypes))
    reader.add_argument("--builds", type=names(loadable), default=loadable, metavar="A,B", help=", ".join(loadable))
    reader.add_argument("--shapes", type=shapes, default=[*CUBES, *AWKWARD], help="rows x inputs x outputs, …")
    return reader.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure, print and write the record.

    Parameters
    ----------
    arguments : sequence of str
        Without the program's name.

    Returns
    -------
    int
        0.
    """
    options = parse(arguments)
    timing = f"{options.repeats} timings taken in turns, all on one thread; ratios are of the best rates"
    about = header(command("products.py", arguments), timing)
    rows: list[dict[str, Any]] = []
    with process(threads=1) as ask:
        for dtype in options.dtypes:
            most = ask(limit, dtype, options.repeats, options.seconds)
            about[f"limit {dtype}"] = f"{most:.4g} GFLOP/s, np.dot on {'×'.join(map(str, LIMIT))}"
            print(f"\n{dtype}: the limit is {about[f'limit {dtype}']}")
            for shape in options.shapes:
                timings = ask(time_shape, dtype, options.builds, shape, options.repeats, options.seconds)
                found = rows_of(dtype, shape, timings, most)
                show(dtype, shape, found)
                rows += found
    write("products", about, rows, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
