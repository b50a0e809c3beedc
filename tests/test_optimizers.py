"""Ten steps of each optimizer against its formulas in plain NumPy, and against PyTorch where it is installed."""

import numpy as np
import pytest

import fastmlp

STEPS = 10
LEARNING_RATE = 0.05
OPTIMIZERS = [
    fastmlp.SGD(), fastmlp.SGD(momentum=0.9), fastmlp.SGD(momentum=0.7, nesterov=True), fastmlp.Adam(),
    fastmlp.Adam(beta1=0.8, beta2=0.95, epsilon=0.01),
]  # fmt: skip


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
    plain = (PlainAdam if isinstance(optimizer, fastmlp.Adam) else PlainSGD)(optimizer, len(params))
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
    plain = (PlainAdam if isinstance(optimizer, fastmlp.Adam) else PlainSGD)(optimizer, len(params))
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


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_pytorch(backend, dtype, optimizer, normal, tolerance):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    X, y = normal(24, 6, dtype=dtype), normal(24, 3, dtype=dtype, seed=2)
    net = linear_network(6, 3, dtype, backend)
    layer = torch.nn.Linear(6, 3, dtype=torch.float64)
    with torch.no_grad():
        layer.weight[:] = torch.from_numpy(net.weights[0].T.astype(np.float64))
        layer.bias[:] = torch.from_numpy(net.biases[0].astype(np.float64))
    if isinstance(optimizer, fastmlp.Adam):
        twin = torch.optim.Adam(
            layer.parameters(), lr=LEARNING_RATE, betas=(optimizer.beta1, optimizer.beta2), eps=optimizer.epsilon
        )
    else:
        twin = torch.optim.SGD(
            layer.parameters(), lr=LEARNING_RATE, momentum=optimizer.momentum, nesterov=optimizer.nesterov
        )
    inputs, expected = (torch.from_numpy(values.astype(np.float64)) for values in (X, y))
    for _ in range(STEPS):
        twin.zero_grad()
        (((layer(inputs) - expected) ** 2).sum() / (2 * len(X))).backward()
        twin.step()
    net.train(X, y, optimizer=optimizer, learning_rate=LEARNING_RATE, batch_size="full", epochs=STEPS)
    params = np.concatenate((layer.weight.detach().numpy().T.ravel(), layer.bias.detach().numpy()))
    assert near(net.params, params, tolerance("steps", dtype))
