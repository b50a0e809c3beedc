"""Measure whether late calls of a long training run get slower because numbers become denormal.

    python bench/decay.py [--calls 12] [--epochs 200] [--out FILE.csv]

Strong weight decay makes weights of unused inputs ever smaller; features of 3e-39 are too small for float32 from the
start. Each build of the kernels that can be used trains on, call after call, on one thread. Exits with 1 if a call
takes more than 1.3 times as long as the first.
"""

import argparse
import sys

import numpy as np
from harness import builds
from harness.datasets import of_scikit_learn
from harness.options import Script, add_number
from harness.records import Record, Row, show, written
from harness.timing import seconds_of

import fastmlp

SCALES = {"digits": 1.0, "digits scaled to 3e-39": 3e-39}
LIMIT = 1.3


def call_seconds(build: str, scale: float, calls: int, epochs: int) -> list[float]:
    """Train one network, call after call, and return the seconds of each call."""
    X, y = of_scikit_learn("digits", 16)
    X, y = (X * scale).astype(np.float32), (y > 4).astype(int)
    net = fastmlp.Network((64, 100, 1), loss="binary_cross_entropy", dtype="float32", seed=0, backend=build)
    optimizer = fastmlp.AdamW(weight_decay=1.0)

    def call() -> None:
        net.train(X, y, optimizer=optimizer, learning_rate=0.01, epochs=epochs, seed=0, n_threads=1)

    return [seconds_of(call, 1) for _ in range(calls)]


def rows_of(build: str, data: str, seconds: list[float]) -> list[Row]:
    """Return the record's rows of one network, one per call."""
    return [
        {
            "build": build,
            "data": data,
            "call": number,
            "seconds": written(taken, 4),
            "ratio_to_first": written(taken / seconds[0], 3),
            "kept": "yes" if taken <= LIMIT * seconds[0] else "no",
        }
        for number, taken in enumerate(seconds, start=1)
    ]


def options(parser: argparse.ArgumentParser) -> None:
    add_number(parser, "--calls", 12, "calls of each training")
    add_number(parser, "--epochs", 200, "epochs of a call")


def run(given: argparse.Namespace, record: Record) -> int:
    """Measure and print; return 1 if a call is slower than the limit allows."""
    record.describe(f"calls of {given.epochs} epochs one after another, on one thread; the limit is {LIMIT}")
    for build in builds.loadable():
        for data, scale in SCALES.items():
            found = rows_of(build, data, call_seconds(build, scale, given.calls, given.epochs))
            show(f"{build}, {data}", found, ("call", "seconds", "ratio_to_first", "kept"))
            record.rows += found
    return int(any(row["kept"] == "no" for row in record.rows))


SCRIPT = Script(__doc__, run, "decay", options=options)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
