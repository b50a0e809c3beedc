"""Ten steps of each optimizer against its formulas in plain NumPy, and against PyTorch's, which are written down."""

import json
from pathlib import Path

import numpy as np
import pytest

import fastmlp
from fastmlp.optimizers import OPTIMIZERS as OPTIMIZERS_BY_NAME

STEPS = 10
LEARNING_RATE = 0.05
OPTIMIZERS = [
    fastmlp.SGD(), fastmlp.SGD(momentum=0.9), fastmlp.SGD(momentum=0.7, nesterov=True), fastmlp.Adam(),
    fastmlp.Adam(beta1=0.8, beta2=0.95, epsilon=0.01), fastmlp.Lion(), fastmlp.Lion(beta1=0.7, weight_decay=0.5),
]  # fmt: skip
TORCH = json.loads(Path(__file__).with_name("torch_steps.json").read_text(encoding="utf-8"))


class PlainSGD:
    """PyTorch's formulas: buffer = momentum buffer + g; p -= rate (g + momentum buffer), or rate buffer."""

    def __init__(self, optimizer, size):
        self.optimizer, self.buffer = optimizer, np.zeros(size)

    def step(self, params, gradient):
        momentum = self.optimizer.momentum
        self.buffer = momentum * self.buffer + gradient
        params -= LEARNING_RATE * (gradient + momentum * self.buffer if self.optimizer.nesterov else self.buffer)

    def state(self):
        return self.buffer if self.optimizer.momentum else np.empty(0)


class PlainAdam:
    """Algorithm 1 of D. P. Kingma and J. Ba, Adam (2015)."""

    def __init__(self, optimizer, size):
        self.optimizer, self.m, self.v, self.t = optimizer, np.zeros(size), np.zeros(size), 0

    def step(self, params, gradient):
        beta1, beta2 = self.optimizer.beta1, self.optimizer.beta2
        self.t += 1
        self.m = beta1 * self.m + (1 - beta1) * gradient
        self.v = beta2 * self.v + (1 - beta2) * gradient**2
        m_hat, v_hat = self.m / (1 - beta1**self.t), self.v / (1 - beta2**self.t)
        params -= LEARNING_RATE * m_hat / (np.sqrt(v_hat) + self.optimizer.epsilon)

    def state(self):
        return np.concatenate((self.m, self.v))


class PlainLion:
    """Algorithm 2 of X. Chen et al., Symbolic discovery of optimization algorithms (2023)."""

    def __init__(self, optimizer, size):
        self.optimizer, self.m = optimizer, np.zeros(size)

    def step(self, params, gradient):
        beta1, beta2 = self.optimizer.beta1, self.optimizer.beta2
        direction = np.sign(beta1 * self.m + (1 - beta1) * gradient)
        params -= LEARNING_RATE * (direction + self.optimizer.weight_decay * params)
        self.m = beta2 * self.m + (1 - beta2) * gradient

    def state(self):
        return self.m


PLAIN = {"sgd": PlainSGD, "adam": PlainAdam, "lion": PlainLion}


def linear_network(inputs, outputs, dtype, backend, **options):
    """A linear model with biases, of squared error."""
    net = fastmlp.Network((inputs, outputs), loss="squared_error", seed=1, dtype=dtype, backend=backend, **options)
    net.biases[0][:] = 0.1
    return net


def gradient_of(net, params, X, y, rows):
    """The objective's gradient of a linear model over a batch, in double; `rows` is N of the penalties."""
    inputs, outputs = net.sizes
    w, b = params[: inputs * outputs].reshape(inputs, outputs), params[inputs * outputs :]
    error = X.astype(np.float64) @ w + b - y
    dw = X.T @ error / len(X) + net.l2 / rows * w + net.l1 / rows * np.sign(w)
    return np.concatenate((dw.ravel(), error.mean(axis=0)))


def near(result, expected, limit):
    """Within a tolerance, relative to the largest number."""
    return np.abs(result - expected).max(initial=0) <= limit * np.abs(expected).max(initial=0)


# narrow and wide, and sizes that leave a partial vector
@pytest.mark.parametrize("sizes", [(3, 2), (5, 1), (30, 7), (70, 11)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("penalties", [{}, {"l1": 0.3, "l2": 2.0}], ids=["free", "penalized"])
def test_formulas(backend, dtype, sizes, optimizer, penalties, normal, tolerance):
    X, y = normal(24, sizes[0], dtype=dtype), normal(24, sizes[1], dtype=dtype, seed=2)
    net = linear_network(*sizes, dtype, backend, **penalties)
    params = net.params.astype(np.float64)
    plain = PLAIN[optimizer.name](optimizer, len(params))
    for _ in range(STEPS):
        plain.step(params, gradient_of(net, params, X, y, len(X)))
    net.train(X, y, optimizer=optimizer, learning_rate=LEARNING_RATE, batch_size="full", epochs=STEPS)
    assert near(net.params, params, tolerance("steps", dtype))
    # m and v apart: v is smaller by far.
    slots, states = (state.reshape(-1, len(params)) for state in (net._state.slots, plain.state()))
    for slot, expected in zip(slots, states, strict=True):
        assert near(slot, expected, tolerance("steps", dtype))


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_minibatches_in_order(backend, dtype, optimizer, normal, tolerance):
    # Batches of 10, 10 and 4 rows: each step follows the mean over its own rows, and the penalty over all of them.
    X, y = normal(24, 6, dtype=dtype), normal(24, 3, dtype=dtype, seed=2)
    net = linear_network(6, 3, dtype, backend, l2=1.5)
    params = net.params.astype(np.float64)
    plain = PLAIN[optimizer.name](optimizer, len(params))
    for _ in range(3):
        for first in (0, 10, 20):
            batch = slice(first, first + 10)
            plain.step(params, gradient_of(net, params, X[batch], y[batch], len(X)))
    net.train(X, y, optimizer=optimizer, learning_rate=LEARNING_RATE, batch_size=10, epochs=3, shuffle=False)
    assert near(net.params, params, tolerance("steps", dtype))


def test_the_first_step_of_adam_keeps_its_digits(backend, dtype, normal, tolerance):
    # v = (1 - beta2) g²: 1 - 0.999 is 0.001, not what is left of 0.999 after it was rounded to float32.
    X, y = normal(24, 4, dtype=dtype), normal(24, 3, dtype=dtype, seed=2)
    net = linear_network(4, 3, dtype, backend)
    gradient = net.gradient(X, y).astype(np.float64)
    net.train(X, y, optimizer="adam", learning_rate=LEARNING_RATE, batch_size="full", epochs=1)
    m, v = net._state.slots.reshape(2, -1)
    # the gradient again, and two roundings each
    limit = 16 * tolerance("roundoff", dtype)
    np.testing.assert_allclose(m, (1 - 0.9) * gradient, rtol=limit)
    np.testing.assert_allclose(v, (1 - 0.999) * gradient**2, rtol=limit)


def test_a_weight_of_zero_feels_no_l1(backend, dtype, normal):
    X = normal(10, 2, dtype=dtype)
    net = linear_network(2, 1, dtype, backend, l1=5.0)
    net.params[:] = 0
    X[:, 0], y = 0, np.zeros((10, 1), dtype)
    net.train(X, y, optimizer="sgd", learning_rate=0.1, batch_size="full", epochs=5)
    np.testing.assert_array_equal(net.params, 0)


@pytest.mark.parametrize("case", TORCH["cases"], ids=lambda case: f"{case['optimizer']}{case['options']}")
def test_pytorch(backend, dtype, case, tolerance):
    X, y = (np.array(TORCH[name], dtype) for name in ("X", "y"))
    net = linear_network(X.shape[1], y.shape[1], dtype, backend)
    net.params = TORCH["params"]
    optimizer = getattr(fastmlp, case["optimizer"])(**case["options"])
    net.train(
        X, y, optimizer=optimizer, learning_rate=case["learning_rate"], batch_size="full", epochs=TORCH["steps"]
    )
    # In float32 the data and the start are rounded before the first step.
    assert near(net.params, np.array(case["params"]), tolerance("steps", dtype))


def test_what_is_written_down_covers_every_optimizer_and_option():
    given = {}
    for case in TORCH["cases"]:
        given.setdefault(case["optimizer"], set()).update(case["options"])
    assert given.pop("Rprop") | {"Lion"} == {"eta_minus", "eta_plus", "least_step", "most_step", "Lion"}
    ours = {type(optimizer).__name__: set(vars(optimizer)) for optimizer in OPTIMIZERS_BY_NAME.values()}
    assert ours.keys() - given.keys() == {"Rprop", "Lion", "LBFGS"}, (
        "Lion is its paper's, L-BFGS SciPy's; Rprop was looked at above"
    )
    # AdamW's and NAdam's betas and epsilon are Adam's, in the same lines of code.
    shared = {"beta1", "beta2", "epsilon"}
    others = {"rate_in_velocity", "epsilon_hat"}  # scikit-learn's formulas: test_sklearn_fits.py
    for name, options in given.items():
        assert ours[name] - options - others <= (shared if name in ("AdamW", "NAdam") else set()), name


def test_stopping_and_going_on_keeps_the_state(backend, dtype, normal):
    X, y = normal(24, 6, dtype=dtype), normal(24, 3, dtype=dtype, seed=2)
    for optimizer in OPTIMIZERS_BY_NAME.values():
        if optimizer.searches_step:
            continue  # what it has learned of the curvature is not kept: test_lbfgs.py
        at_once, in_parts = (linear_network(6, 3, dtype, backend) for _ in range(2))
        options = {"optimizer": optimizer, "learning_rate": 0.01, "batch_size": "full"}
        at_once.train(X, y, epochs=7, **options)
        for epochs in (1, 4, 2):
            in_parts.train(X, y, epochs=epochs, **options)
        np.testing.assert_array_equal(in_parts.params, at_once.params, err_msg=repr(optimizer))


def test_the_mean_of_squares_of_amsgrad_never_falls(backend, dtype, normal):
    # A gradient that shrinks: Adam's v falls with it, and AMSGrad's divisor stays.
    X, y = normal(24, 4, dtype=dtype), normal(24, 1, dtype=dtype, seed=2)
    net = linear_network(4, 1, dtype, backend)
    options = {"optimizer": fastmlp.Adam(beta2=0.5, amsgrad=True), "learning_rate": 0.1, "batch_size": "full"}
    before = np.zeros(5)
    for _ in range(30):
        net.train(X, y, epochs=1, **options)
        _, v, largest = net._state.slots.reshape(3, -1)
        assert (largest >= before).all()
        assert (largest >= v).all()
        before = largest.copy()
    assert (largest > v).any(), "v fell below its largest value"


def test_rprop_takes_all_rows(backend, normal):
    X, y = normal(300, 4), normal(300, 1, seed=2)
    net = linear_network(4, 1, np.float64, backend)
    net.train(X, y, optimizer="rprop", epochs=3)
    assert net._state.position["step"] == 3, "one step an epoch: 'auto' is all rows"
    with pytest.raises(ValueError, match="^batch_size: got 200 with optimizer 'rprop' and 300 rows .* 'full' or"):
        net.train(X, y, optimizer="rprop", batch_size=200)
    net.train(X, y, optimizer="rprop", batch_size=300, epochs=1)


def test_rprop_steps_back_and_forth(backend, dtype):
    # One weight, y = 0: the gradient is the weight. Steps of 1/3, then 0.4 and 0.48 while it stays above 0; there the
    # sign turns, the step halves to 0.24 and is not taken; then, with no sign to compare with, it is taken as it is.
    net = fastmlp.Network((1, 1), bias=False, dtype=dtype, backend=backend, seed=0)
    net.params[:] = 1
    X, y = np.ones((1, 1), dtype), np.zeros(1, dtype)
    seen = []
    for _ in range(5):
        net.train(X, y, optimizer="rprop", learning_rate=0.4 / 1.2, epochs=1, batch_size="full")
        seen.append(float(net.params[0]))
    first = 1 - 0.4 / 1.2
    expected = [first, first - 0.4, first - 0.88, first - 0.88, first - 0.88 + 0.24]
    np.testing.assert_allclose(seen, expected, rtol=0, atol=10 * float(np.finfo(dtype).eps))
