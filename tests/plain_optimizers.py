"""Optimizers' formulas in plain NumPy, and the linear network whose gradient they follow."""

import numpy as np

import fastmlp

LEARNING_RATE = 0.05
OPTIMIZERS = [
    fastmlp.SGD(),
    fastmlp.SGD(momentum=0.9),
    fastmlp.SGD(momentum=0.7, nesterov=True),
    fastmlp.Adam(),
    fastmlp.Adam(beta1=0.8, beta2=0.95, epsilon=0.01),
    fastmlp.Lion(),
    fastmlp.Lion(beta1=0.7, weight_decay=0.5),
]
# By scikit-learn's formulas.
THEIRS = [
    fastmlp.SGD(momentum=0.9, rate_in_velocity=True),
    fastmlp.SGD(momentum=1.0, rate_in_velocity=True),
    fastmlp.SGD(momentum=0.8, nesterov=True, rate_in_velocity=True),
    fastmlp.Adam(epsilon=0.02, epsilon_hat=True),
    fastmlp.Adam(beta1=0.8, beta2=0.9, epsilon=0.03, amsgrad=True, epsilon_hat=True),
    fastmlp.AdamW(epsilon=0.02, weight_decay=0.3, epsilon_hat=True),
]


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


class PlainVelocity:
    """velocity = momentum velocity + rate g; p -= velocity, or rate g + momentum velocity."""

    def __init__(self, optimizer, size):
        self.optimizer, self.velocity = optimizer, np.zeros(size)

    def step(self, params, gradient, rate):
        momentum = self.optimizer.momentum
        self.velocity = momentum * self.velocity + rate * gradient
        params -= rate * gradient + momentum * self.velocity if self.optimizer.nesterov else self.velocity

    def state(self):
        return self.velocity if self.optimizer.momentum else np.empty(0)


class PlainHat:
    """The short form at the end of the second section of Adam (2015), with AMSGrad's largest v and AdamW's decay."""

    def __init__(self, optimizer, size):
        self.optimizer, self.t = optimizer, 0
        self.m, self.v, self.largest = np.zeros((3, size))

    def step(self, params, gradient, rate):
        optimizer, beta1, beta2 = self.optimizer, self.optimizer.beta1, self.optimizer.beta2
        self.t += 1
        self.m = beta1 * self.m + (1 - beta1) * gradient
        self.v = beta2 * self.v + (1 - beta2) * gradient**2
        self.largest = np.maximum(self.largest, self.v)
        root = np.sqrt(self.largest if optimizer.amsgrad else self.v)
        params *= 1 - rate * getattr(optimizer, "weight_decay", 0.0)
        params -= rate * np.sqrt(1 - beta2**self.t) / (1 - beta1**self.t) * self.m / (root + optimizer.epsilon)

    def state(self):
        return np.concatenate((self.m, self.v, self.largest) if self.optimizer.amsgrad else (self.m, self.v))


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
