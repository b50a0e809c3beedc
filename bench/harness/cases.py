"""The benchmark's cases: named shapes of networks and data, each of which asks one question.

Data is made here from fixed seeds, so nothing is downloaded.
"""

from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

Layers = list[tuple[np.ndarray, np.ndarray | None]]
"""A network's parameters: one pair of weights (in, out) and biases (out,) per layer; None without biases."""


@dataclass(frozen=True)
class Case:
    """One network, the size of its data and how it is trained."""

    name: str  # on the command line and in the record
    question: str  # what the case asks, in one line
    rows: int  # of the training data
    sizes: tuple[int, ...]  # columns of X, neurons of each hidden layer, outputs
    batch: int | None  # rows of a batch, drawn anew in every epoch; None is the full batch, unshuffled
    steps: int  # of the run that warms up and sets how many epochs a timing holds
    activation: str = "relu"  # of every hidden layer; or "sigmoid", "tanh"
    output: str = "softmax"  # or "identity", "sigmoid"
    loss: str = "cross_entropy"  # or "squared_error", "binary_cross_entropy"
    optimizer: str = "adam"  # with its usual constants; or "sgd", without momentum
    dtype: str = "float32"  # or "float64"
    learning_rate: float = 0.001  # of the gradient of the mean loss
    bias: bool = True  # whether the layers have biases

    @property
    def batch_rows(self) -> int:
        """Rows of a batch, the full batch's included."""
        return self.rows if self.batch is None else min(self.batch, self.rows)

    @property
    def steps_per_epoch(self) -> int:
        """Training steps of one epoch; the last may have fewer rows."""
        return -(-self.rows // self.batch_rows)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of a step's products; the first layer's inputs need no delta."""
        products = [inputs * outputs for inputs, outputs in pairwise(self.sizes)]
        return self.batch_rows * (3 * sum(products) - products[0])

    @property
    def labelled(self) -> bool:
        """Whether the targets are class labels, one per row."""
        return self.loss in ("cross_entropy", "binary_cross_entropy")

    @property
    def own_sigmoid(self) -> bool:
        """Whether a sigmoid follows the last layer; the cross-entropies take their output activation in themselves."""
        return self.output == "sigmoid" and self.loss == "squared_error"

    @property
    def shape(self) -> str:
        """Rows × columns → layers, equal neighbours drawn together: "100000×28→300×5→1"."""
        runs = [(size, len(list(equal))) for size, equal in groupby(self.sizes[1:])]
        layers = [f"{size}×{count}" if count > 1 else str(size) for size, count in runs]
        return "→".join([f"{self.rows}×{self.sizes[0]}", *layers])


_SIGMOIDS = {"activation": "sigmoid", "output": "sigmoid", "loss": "squared_error"}
_XOR = _SIGMOIDS | {"optimizer": "sgd", "learning_rate": 0.15, "bias": False, "dtype": "float64"}
_FIT = {"activation": "tanh", "output": "identity", "loss": "squared_error"}
_TABLE = {"activation": "tanh", "output": "sigmoid", "loss": "binary_cross_entropy"}
_SGD = {"optimizer": "sgd", "learning_rate": 0.01}
_DIGITS = (1797, (64, 100, 10), 200, 90)
_CASES = (
    Case("xor", "What does a step cost when there is next to nothing to compute?", 50, (2, 10, 2), None, 2000, **_XOR),
    Case("chains", "A small regression that fits in L1: how much is arithmetic?", 200, (24, 8, 2), None, 1000, **_FIT),
    Case("expm", "Narrow layers under many rows: do rows fill the lanes?", 10_000, (4, 32, 16, 4), None, 20, **_FIT),
    Case("digits-float32", "The everyday classifier: one hidden layer, minibatches, single precision.", *_DIGITS),
    Case("digits-float64", "The everyday classifier: what does double precision cost?", *_DIGITS, dtype="float64"),
    Case("mnist", "Data larger than the caches: what does gathering cost?", 60_000, (784, 128, 10), 128, 469),
    Case("higgs", "A deep net: products of middling size.", 100_000, (28, *[300] * 5, 1), 100, 1000, **_TABLE),
    Case("wide", "Is the core's arithmetic limit reached?", 4096, (1024, 4096, 4096, 1000), 512, 8, **_SGD),
)
CASES = {case.name: case for case in _CASES}


def regression(sizes: tuple[int, ...], batch: int, rows: int, **how: str) -> Case:
    """Return a regression of any shape (tanh, Adam, float32 unless `how` has others) to see how cost depends on it."""
    # A learning rate so small that the network stays what it is: neither diverged nor, where slopes vanish, full of
    # numbers too small for the dtype, with which CPUs are slow.
    settings = _FIT | {"learning_rate": 1e-6} | how
    name = f"{rows}×{'→'.join(map(str, sizes))}, batch {batch}"
    return Case(name, "How does cost depend on the shape?", rows, sizes, batch, 1, **settings)


def data(case: Case, rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Draw a case's training data from a fixed seed: X in its dtype and y, labels or (rows, outputs) in its dtype.

    Features are standard normal. A random network of one hidden layer of 16 tanh neurons teaches: its outputs,
    standardised, are the targets of a regression, the largest of them is a row's class. `xor` is taught by the signs of
    its two columns.

    >>> X, y = data(CASES["chains"])
    >>> X.shape, y.shape, str(X.dtype)
    ((200, 24), (200, 2), 'float32')
    """
    rows = case.rows if rows is None else rows
    random = np.random.default_rng(1)
    X = random.standard_normal((rows, case.sizes[0]), dtype=case.dtype)
    if case.name == "xor":
        return X, np.eye(2, dtype=case.dtype)[np.logical_xor(*(X > 0).T).astype(int)]
    outputs = max(2, case.sizes[-1]) if case.labelled else case.sizes[-1]
    hidden = random.standard_normal((case.sizes[0], 16), dtype=case.dtype) / np.sqrt(case.sizes[0])
    taught = np.tanh(X @ hidden.astype(case.dtype)) @ random.standard_normal((16, outputs), dtype=case.dtype)
    if not case.labelled:
        deviation = taught.std(axis=0)
        return X, (taught - taught.mean(axis=0)) / np.where(deviation > 0, deviation, 1)  # one row has none
    labels = taught.argmax(axis=1)
    # Libraries count the classes in the labels: each must occur for the output layer to have its full width.
    present = min(rows, outputs)
    labels[:present] = np.arange(present)
    return X, labels


def start(case: Case) -> Layers:
    """Draw the parameters that every rival starts from: weights Glorot-uniform from a fixed seed, biases zero."""
    random = np.random.default_rng(2)
    layers: Layers = []
    for inputs, outputs in pairwise(case.sizes):
        bound = np.sqrt(6 / (inputs + outputs))
        weights = random.uniform(-bound, bound, (inputs, outputs)).astype(case.dtype)
        layers.append((weights, np.zeros(outputs, dtype=case.dtype) if case.bias else None))
    return layers
