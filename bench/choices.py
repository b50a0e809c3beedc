"""Measure what the user's choices cost: a training step with each of them, against the plain one.

    python bench/choices.py [--sizes 32,64,8] [--batch 128]

One network, one thread: relu, squared error, Adam, in float32; then the same with one thing changed. What goes with
labels is compared with cross-entropy. Activations cost more in a narrow network, optimizers in a wide one with small
batches: try both. Activations, optimizers and losses are those of the library's tables.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from harness.options import Script, add_number
from harness.records import Record, show, written
from harness.timing import take_turns

import fastmlp
from fastmlp import losses, optimizers, schedules
from fastmlp.activations import HIDDEN_ACTIVATIONS

ROWS, EPOCHS = 2048, 8
PLAIN, FULL_BATCH, CLASSES = "plain", "plain, full batch", "plain, labels"
IN_PLAIN = ("relu", "adam", "squared_error", "cross_entropy")
NUMERIC = [name for name, loss in losses.LOSSES.items() if "real" in loss.targets and name not in IN_PLAIN]
CATEGORICAL = [name for name, loss in losses.LOSSES.items() if "real" not in loss.targets and name not in IN_PLAIN]
# A step of L-BFGS is a line search over any number of gradients: its time compares with no other's.
OPTIMIZERS = {
    name: made.full_batch
    for name, made in optimizers.OPTIMIZERS.items()
    if name not in IN_PLAIN and not isinstance(made, fastmlp.LBFGS)
}
LABELS = {"loss": "cross_entropy"}
# What follows a plain choice is compared with it.
CHOICES: dict[str, dict[str, Any]] = {
    PLAIN: {},
    **{f"activation {name}": {"activation": name} for name in HIDDEN_ACTIVATIONS if name not in IN_PLAIN},
    **{f"optimizer {name}": {"optimizer": name} for name, full in OPTIMIZERS.items() if not full},
    **{f"loss {name}": {"loss": name} for name in NUMERIC},
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
    FULL_BATCH: {"batch_size": ROWS},
    **{f"optimizer {name}": {"optimizer": name, "batch_size": ROWS} for name, full in OPTIMIZERS.items() if full},
    CLASSES: LABELS,
    "class weights": LABELS | {"class_weight": {0: 2.0, 1: 0.5}},
    "label smoothing": LABELS | {"label_smoothing": 0.1},
    "soft targets": LABELS,
    **{f"loss {name}": {"loss": name} for name in CATEGORICAL},
}
OF_NETWORK = ("activation", "loss", "l1", "l2", "dropout", "label_smoothing", "missing_targets")


def targets_of(name: str, outputs: int) -> np.ndarray:
    """Draw the targets that a choice is trained on."""
    random = np.random.default_rng(1)
    loss = CHOICES[name].get("loss", "squared_error")
    if name == "soft targets":
        return random.dirichlet(np.ones(outputs), ROWS).astype(np.float32)
    if "multilabel" in losses.LOSSES[loss].targets and loss in CATEGORICAL:
        return random.integers(0, 2, (ROWS, outputs))  # one output per class of its own
    if "real" not in losses.LOSSES[loss].targets:
        return random.integers(0, outputs, ROWS)
    y = random.uniform(0.5, 2, (ROWS, outputs)).astype(np.float32)  # positive, which gamma demands
    if name == "missing targets":
        y[random.random(y.shape) < 0.1] = np.nan
    return y


def trainings(sizes: Sequence[int], batch: int) -> dict[str, Callable[[], Any]]:
    """Return for each choice a function that trains for some epochs."""
    X = np.random.default_rng(0).standard_normal((ROWS, sizes[0]), dtype=np.float32)
    fixed = {"learning_rate": 1e-5, "epochs": EPOCHS, "batch_size": batch, "n_threads": 1, "seed": 0}
    found = {}
    for name, choice in CHOICES.items():
        made = {"loss": "squared_error"} | {key: value for key, value in choice.items() if key in OF_NETWORK}
        net = fastmlp.Network(sizes, dtype=np.float32, seed=0, **made)
        given = fixed | {key: value for key, value in choice.items() if key not in OF_NETWORK}
        y = targets_of(name, sizes[-1])
        found[name] = lambda net=net, y=y, given=given: net.train(X, y, **given)
    return found


def options(parser: argparse.ArgumentParser) -> None:
    text = "inputs, hidden sizes, outputs (default 32,64,8)"
    parser.add_argument("--sizes", type=lambda text: list(map(int, text.split(","))), default=[32, 64, 8], help=text)
    add_number(parser, "--batch", 128, "rows of a batch")


def run(given: argparse.Namespace, record: Record) -> None:
    record.describe(f"{given.repeats} timings taken in turns, on one thread; ratios are of the shortest")
    found = take_turns(trainings(given.sizes, given.batch), given.repeats, given.seconds)
    against, shape = PLAIN, "→".join(map(str, given.sizes))
    for name, seconds in found.items():
        against = name if name in (PLAIN, FULL_BATCH, CLASSES) else against
        batch = CHOICES[name].get("batch_size", given.batch)
        steps = EPOCHS * -(-ROWS // batch)
        row = {
            "choice": name,
            "shape": shape,
            "batch": batch,
            "median_us": written(statistics.median(seconds) / steps * 1e6),
            "minimum_us": written(min(seconds) / steps * 1e6),
            "ratio_to_plain": written(min(seconds) / min(found[against]), 3),
            "plain": against,
        }
        record.rows.append(row)
    columns = ("choice", "batch", "median_us", "minimum_us", "ratio_to_plain")
    show(f"{shape}: microseconds per step", record.rows, columns)


SCRIPT = Script(__doc__, run, "choices", repeats=15, seconds=0.02, options=options)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
