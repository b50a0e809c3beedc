"""Measure what the user's choices cost: a training step with each of them, against the plain one.

    python bench/choices.py [--sizes 32,64,8] [--batch 128]

One network, one thread: relu, squared error, Adam, in float32; then the same with one thing changed. What goes with
labels is held against the same with cross-entropy. Activations cost more in a narrow network, optimizers in a wide one
with small batches: try both. Imported by the tests only.
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
PLAIN, CLASSES = "plain", "plain, labels"
# What stands behind CLASSES is trained on labels, and held against it.
CHOICES: dict[str, dict[str, Any]] = {
    PLAIN: {},
    **{f"activation {name}": {"activation": name}
       for name in ("sigmoid", "tanh", "leaky_relu", "elu", "selu", "softplus", "silu", "gelu", "gelu_tanh",
                    "hard_sigmoid", "hard_tanh")},
    **{f"optimizer {name}": {"optimizer": name}
       for name in ("sgd", "amsgrad", "adamw", "nadam", "rmsprop", "adagrad", "adadelta", "lion")},
    **{f"loss {name}": {"loss": name}
       for name in ("absolute_error", "huber", "log_cosh", "poisson", "gamma")},
    "loss quantile": {"loss": losses.quantile(0.3)},
    "l1 and l2": {"l1": 0.01, "l2": 0.01},
    "weights of rows": {"sample_weight": np.linspace(0.5, 1.5, ROWS)},
    "a rate for every step": {"learning_rate": schedules.Cosine(0.001, unit="step")},
    "a callback": {"callbacks": (lambda state: None,)},
    "a rate that follows": {"learning_rate": schedules.OnPlateau(1e-5)},
    "early stopping": {"early_stopping": fastmlp.EarlyStopping("loss", patience=EPOCHS)},
    "dropout": {"dropout": 0.5},
    "clip_norm": {"clip_norm": 0.01},
    "clip_value": {"clip_value": 0.001},
    "max_norm": {"max_norm": 1.0},
    "missing targets": {"missing_targets": "mask"},
    CLASSES: {"loss": "cross_entropy"},
    "class weights": {"loss": "cross_entropy", "class_weight": {0: 2.0, 1: 0.5}},
    "label smoothing": {"loss": "cross_entropy", "label_smoothing": 0.1},
    "soft targets": {"loss": "cross_entropy"},
    "loss hinge": {"loss": "hinge"},
}  # fmt: skip


def targets_of(name: str, outputs: int) -> np.ndarray:
    """Make the targets that a choice is trained on.

    Parameters
    ----------
    name : str
        The choice.
    outputs : int
        Of the network.

    Returns
    -------
    ndarray
        Positive numbers, as gamma has it, a tenth of them missing where a choice is about that; or labels, or rows of
        probabilities.
    """
    random = np.random.default_rng(1)
    if name == "soft targets":
        return random.dirichlet(np.ones(outputs), ROWS).astype(np.float32)
    if CHOICES[name].get("loss") in ("cross_entropy", "hinge"):
        return random.integers(0, outputs, ROWS)
    y = random.uniform(0.5, 2, (ROWS, outputs)).astype(np.float32)
    if name == "missing targets":
        y[random.random(y.shape) < 0.1] = np.nan
    return y


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
    fixed = {"learning_rate": 1e-5, "epochs": EPOCHS, "batch_size": batch, "n_threads": 1, "seed": 0}
    of_network = ("activation", "loss", "l1", "l2", "dropout", "label_smoothing", "missing_targets")
    found = {}
    for name, choice in CHOICES.items():
        made = {"loss": "squared_error"} | {key: value for key, value in choice.items() if key in of_network}
        if made["loss"] == "hinge":
            made["classes"] = np.arange(sizes[-1])
        net = fastmlp.Network(sizes, dtype=np.float32, seed=0, **made)
        given = fixed | {key: value for key, value in choice.items() if key not in of_network}
        y = targets_of(name, sizes[-1])
        found[name] = lambda net=net, y=y, given=given: net.train(X, y, **given)
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
    against, rows = PLAIN, []
    shape = "→".join(map(str, options.sizes))
    print(f"{shape}, batch {options.batch}: microseconds a step, and how many times the plain one's")
    for name, seconds in found.items():
        against = name if name in (PLAIN, CLASSES) else against
        rows.append({
            "choice": name, "shape": shape, "batch": options.batch,
            "median_us": written(statistics.median(seconds) / steps * 1e6),
            "minimum_us": written(min(seconds) / steps * 1e6),
            "ratio_to_plain": written(min(seconds) / min(found[against]), 3), "plain": against,
        })  # fmt: skip
        print("  {choice:<24}{median_us:>9}{minimum_us:>9}{ratio_to_plain:>7}".format(**rows[-1]))
    timing = f"{options.repeats} timings taken in turns, on one thread; ratios are of the shortest"
    write("choices", header(command("choices.py", arguments), timing), rows, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
