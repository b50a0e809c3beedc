"""The article that fastmlp began with: a net for XOR built from scratch, its procedure and its numbers.

The article by Omar Florez that goes with the repository omar-florez/scratch_mlp (2017). Two layers of sigmoids without
biases, squared error, full batches of the first 50 of 300 points. Two things differ from the rest of fastmlp; they
are mapped here, so that the same kernels run the article:

* Its step follows the gradient of N L, not of L: a published rate of 0.003 with 50 rows is 0.15 here.
* Its ridge term is not the gradient of its loss. The loss holds λ ΣW² / 2N, whose gradient, times N, is λ W. The
  published code adds the one number λ ΣW² to every weight of a layer instead. ``ridge="published"`` is the published
  term, ``ridge="true"`` the gradient. The article's "exploding gradient" is the published term: it moves all weights in
  the same direction, faster the larger they are, until they overflow; with the true gradient the same training run
  keeps learning.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from fastmlp._checks import options
from fastmlp._checks.samples import Samples
from fastmlp._spec.values import choice, number, whole
from fastmlp.callbacks import Progress
from fastmlp.network import Network
from fastmlp.optimizers import SGD
from fastmlp.schedules import Constant

RIDGES = ("published", "true")


def data() -> tuple[np.ndarray, np.ndarray]:
    """Draw the article's points.

    Returns
    -------
    X : ndarray of float64, shape (300, 2)
        Normal points.
    y : ndarray of float64, shape (300, 2)
        One-hot rows: [0, 1] if exactly one coordinate is positive, else [1, 0].

    Examples
    --------
    >>> X, y = data()
    >>> X[0].round(8).tolist(), y[0].tolist()
    ([1.76405235, 0.40015721], [1.0, 0.0])
    """
    X = np.random.RandomState(0).randn(300, 2)
    positive = X > 0
    return X, np.eye(2)[(positive[:, 0] != positive[:, 1]).astype(int)]


def initial_weights(hidden: int = 3, seed: int = 2017) -> tuple[np.ndarray, np.ndarray]:
    """Draw the article's initial weights.

    Parameters
    ----------
    hidden : int, default 3
        Neurons in the hidden layer.
    seed : int, default 2017
        NumPy's legacy seed, 0 to 2**32 - 1.

    Returns
    -------
    W1 : ndarray of float64, shape (2, hidden)
        Uniform in ±1/sqrt(2).
    W2 : ndarray of float64, shape (hidden, 2)
        Uniform in ±1/sqrt(hidden).

    Examples
    --------
    >>> initial_weights()[0][0].round(8).tolist()
    [-0.67746455, 0.37769425, -0.07365253]
    """
    hidden = whole(hidden, "hidden", maximum=2**31 - 1)
    generator = np.random.RandomState(whole(seed, "seed", minimum=0, maximum=2**32 - 1))
    W1 = 2 * generator.random_sample((2, hidden)) - 1
    W2 = 2 * generator.random_sample((hidden, 2)) - 1
    return W1 / np.sqrt(2), W2 / np.sqrt(hidden)


def worked_example() -> dict[str, np.ndarray]:
    """Compute the article's worked example: one observation, forward, backward and one step.

    Its rate is 0.001 and it has no penalty; W1 and W2 are the initial weights of three neurons.

    Returns
    -------
    dict of str to ndarray of float64
        Under the article's names: ``X``, ``Y``, ``W1``, ``W2``, ``z1``, ``h1``, ``z2``, ``h2``, ``-(y - h2)``,
        ``h2(1 - h2)``, ``dL/dW2``, ``W2 after``, ``dL/dh1``, ``h1(1 - h1)``, ``dL/dW1``, ``W1 after``.

    Notes
    -----
    With h = sigmoid(z): dL/dW2 = h1ᵀ [-(y - h2) h2(1 - h2)], dL/dh1 = [-(y - h2) h2(1 - h2)] W2ᵀ,
    dL/dW1 = Xᵀ [dL/dh1 h1(1 - h1)]. The article's picture prints the first number of h2(1 - h2) with a stray minus.

    Examples
    --------
    >>> worked_example()["h2"].round(8).tolist()
    [0.37166596, 0.45414264]
    """
    X, Y = (rows[:1] for rows in data())
    W1, W2 = initial_weights()
    network = _network(W1, W2, reg=0.0)
    h1, h2 = network.forward(X)
    network.params[:] -= 0.001 * network.gradient(X, Y)
    error, slope2, slope1 = -(Y - h2), h2 * (1 - h2), h1 * (1 - h1)
    dh1 = (error * slope2) @ W2.T
    values = {
        "X": X,
        "Y": Y,
        "W1": W1,
        "W2": W2,
        "z1": X @ W1,
        "h1": h1,
        "z2": h1 @ W2,
        "h2": h2,
        "-(y - h2)": error,
        "h2(1 - h2)": slope2,
        "dL/dW2": h1.T @ (error * slope2),
        "W2 after": network.weights[1].copy(),
        "dL/dh1": dh1,
        "h1(1 - h1)": slope1,
        "dL/dW1": X.T @ (dh1 * slope1),
        "W1 after": network.weights[0].copy(),
    }
    return {name: value[0] if len(value) == 1 else value for name, value in values.items()}


def _network(W1: np.ndarray, W2: np.ndarray, reg: float, backend: str | None = None) -> Network:
    """Return the article's network: sigmoids, no biases, squared error."""
    network = Network(
        (2, W1.shape[1], 2),
        activation="sigmoid",
        loss="squared_error",
        output="sigmoid",
        bias=False,
        classes=(0, 1),
        l2=reg,
        seed=0,
        backend=backend,
    )
    for weights, start in zip(network.weights, (W1, W2), strict=True):
        weights[:] = start
    return network


def train(
    hidden: int = 3,
    learning_rate: float = 0.003,
    reg: float = 0.0,
    rows: int = 50,
    epochs: int = 1000,
    seed: int = 2017,
    ridge: str = "published",
    *,
    frames: int = 0,
    progress: bool | Callable[[Progress], None] | None = None,
    backend: str | None = None,
) -> Network:
    """Train the article's network by the article's procedure.

    Every epoch is one full-batch step over the first `rows` points; accuracy is then measured on all 300 points.

    Parameters
    ----------
    hidden : int, default 3
        Neurons in the hidden layer.
    learning_rate : float, default 0.003
        The article's rate α, of the gradient of N L; ``learning_rate * rows`` is the rate on the gradient of L.
    reg : float, default 0.0
        The article's λ; the loss is Σ(y - h2)² / 2N + λ (ΣW1² + ΣW2²) / 2N.
    rows : int, default 50
        The number of points to train on, at most 300.
    epochs : int, default 1000
        The number of steps.
    seed : int, default 2017
        Seed of the initial weights.
    ridge : {"published", "true"}, default "published"
        What the penalty adds to the gradient of N L: "published" adds λ ΣW², one number for all weights of a layer,
        which is not the gradient of the published loss; "true" adds the gradient, λ W. Without `reg` they are equal.
    frames : int, default 0
        The number of copies of the parameters to keep in ``history.frames``, evenly spaced over the epochs, the first
        before any step.
    progress : bool, callable or None, default None
        As in `fastmlp.train`; all 300 points are its validation rows.
    backend : str or None, default None
        As in `fastmlp.train`.

    Returns
    -------
    Network
        The network. Its ``history.loss`` is the article's loss before each step, its ``history.accuracy`` the
        accuracy over all 300 points after the step.

    Raises
    ------
    TypeError, ValueError
        If an argument cannot be used.

    Warns
    -----
    DivergenceWarning
        If the loss overflows, as it does with 50 neurons, ``reg=1e-4`` and the published ridge term after some
        100,000 epochs.

    Examples
    --------
    >>> float(train(epochs=1).history.loss[0].round(8))
    0.26199427
    """
    X, y = data()
    rows = whole(rows, "rows", maximum=len(X))
    reg = number(reg, "reg")
    choice(ridge, RIDGES, "ridge")
    epochs = whole(epochs, "epochs", maximum=2**31 - 1)
    frames = whole(frames, "frames", minimum=0)
    samples, points = Samples(X[:rows], y[:rows]), Samples(X, y)
    network = _network(*initial_weights(hidden, seed), reg=reg, backend=backend)
    checked = options.TrainingOptions(
        network._summary(samples, points),
        optimizer="sgd",
        learning_rate=Constant(options.learning_rate(learning_rate, SGD()).rate * rows),
        batch_size="full",
        epochs=epochs,
        shuffle=False,
        progress=progress,
        seed=seed,
        n_threads=1,
        frames=sorted({round(at) for at in np.linspace(0, epochs, min(frames, epochs + 1))}),
        published_ridge=ridge == "published",
    )
    network._fit(samples, points, checked)
    accuracy = network.history.val_accuracy  # over all points, as in the article
    network.history = dataclasses.replace(network.history, accuracy=accuracy, val_loss=None, val_accuracy=None)
    return network
