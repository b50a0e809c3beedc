"""Measure what the user's choices cost: a training step with each of them, against the plain one.

    python bench/choices.py [--sizes 32,64,8] [--batch 128]

One network, one thread: relu, squared error, Adam, in float32; then the same with one thing changed. Activations cost
more in a narrow network, optimizers in a wide one with small batches: try both. Imported by the tests only.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from options import command, parser, positive
from records import header, write
from timing import take_turns, written

import fastmlp
from fastmlp import losses, schedules

ROWS, EPOCHS = 2048, 8
PLAIN = "plain"
CHOICES: dict[str, dict[str, Any]] = {
    PLAIN: {},
    **{f"activation {name}": {"activation": name}
       for name in ("sigmoid", "tanh", "leaky_relu", "elu", "selu", "softplus")},
    **{f"optimizer {name}": {"optimizer": name}
       for name in ("sgd", "amsgrad", "adamw", "nadam", "rmsprop", "adagrad", "adadelta", "lion")},
    **{f"loss {name}": {"loss": name}
       for name in ("absolute_error", "huber", "log_cosh", "poisson", "gamma")},
    "loss quantile": {"loss": losses.quantile(0.3)},
    "l1 and l2": {"l1": 0.01, "l2": 0.01},
    "weights of rows": {"sample_weight": np.linspace(0.5, 1.5, ROWS)},
    "a rate for every step": {"learning_rate": schedules.Cosine(0.001, unit="step")},
    "a callback": {"callbacks": (lambda state: None,)},
}  # fmt: skip


def trainings(sizes: Sequence[int], batch: int) -> dict[str, Callable[[], Any]]:
    """Make a function for each choice, which trains for some epochs.

    Parameters
    ----------
    sizes : sequence of int
        The network's, inputs first.
    batch : int
        Rows of a batch.

    Returns
    -------
    dict
        By the choice's name.
    """
    random = np.random.default_rng(0)
    X = random.standard_normal((ROWS, sizes[0]), dtype=np.float32)
    y = random.uniform(0.5, 2, (ROWS, sizes[-1])).astype(np.float32)  # positive, as gamma has it
    fixed = {"learning_rate": 1e-5, "epochs": EPOCHS, "batch_size": batch, "n_threads": 1, "seed": 0}
    of_network = ("activation", "loss", "l1", "l2")
    found = {}
    for name, choice in CHOICES.items():
        made = {"loss": "squared_error"} | {key: value for key, value in choice.items() if key in of_network}
        net = fastmlp.Network(sizes, dtype=np.float32, seed=0, **made)
        given = fixed | {key: value for key, value in choice.items() if key not in of_network}
        found[name] = lambda net=net, given=given: net.train(X, y, **given)
    return found


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line.

    Parameters
    ----------
    arguments : sequence of str
        What stands behind the script's name.

    Returns
    -------
    argparse.Namespace
    """
    reader = parser("Measure what the user's choices cost.", repeats=15, seconds=0.02)
    reader.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")], default=[32, 64, 8],
                        help="inputs, hidden sizes, outputs (default 32,64,8)")
    reader.add_argument("--batch", type=positive(int), default=128, help="rows of a batch (default 128)")
    return reader.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure, print and write the record.

    Parameters
    ----------
    arguments : sequence of str
        As `parse` takes them.

    Returns
    -------
    int
        0.
    """
    options = parse(arguments)
    steps = EPOCHS * -(-ROWS // options.batch)
    found = take_turns(trainings(options.sizes, options.batch), options.repeats, options.seconds)
    plain, rows = min(found[PLAIN]), []
    shape = "→".join(map(str, options.sizes))
    print(f"{shape}, batch {options.batch}: microseconds a step, and how many times the plain one's")
    for name, seconds in found.items():
        rows.append({
            "choice": name, "shape": shape, "batch": options.batch,
            "median_us": written(statistics.median(seconds) / steps * 1e6),
            "minimum_us": written(min(seconds) / steps * 1e6), "ratio_to_plain": written(min(seconds) / plain, 3),
        })  # fmt: skip
        print("  {choice:<24}{median_us:>9}{minimum_us:>9}{ratio_to_plain:>7}".format(**rows[-1]))
    timing = f"{options.repeats} timings taken in turns, on one thread; ratios are of the shortest"
    write("choices", header(command("choices.py", arguments), timing), rows, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
