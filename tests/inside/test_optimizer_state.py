"""The optimizer's state, number by number."""

import numpy as np
import pytest
from inside import places
from plain_optimizers import LEARNING_RATE, OPTIMIZERS, PLAIN, gradient_of, linear_network, near

import fastmlp


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_formulas(backend, dtype, optimizer, normal, tolerance):
    X, y = normal(24, 30, dtype=dtype), normal(24, 7, dtype=dtype, seed=2)
    net = linear_network(30, 7, dtype, backend, l1=0.3, l2=2.0)
    params = net.params.astype(np.float64)
    plain = PLAIN[optimizer.name](optimizer, len(params))
    for _ in range(10):
        plain.step(params, gradient_of(net, params, X, y, len(X)))
    net.train(X, y, optimizer=optimizer, learning_rate=LEARNING_RATE, batch_size="full", epochs=10)
    # m and v apart: v is smaller by far.
    slots, states = (state.reshape(-1, len(params)) for state in (places.slots(net), plain.state()))
    assert len(slots) == len(states) == optimizer.slots
    for slot, expected in zip(slots, states, strict=True):
        assert near(slot, expected, tolerance("steps", dtype))


def test_the_first_step_of_adam_keeps_its_digits(backend, dtype, normal, tolerance):
    # v = (1 - beta2) g²: 1 - 0.999 is 0.001, not what is left of 0.999 after it was rounded to float32.
    X, y = normal(24, 4, dtype=dtype), normal(24, 3, dtype=dtype, seed=2)
    net = linear_network(4, 3, dtype, backend)
    gradient = net.gradient(X, y).astype(np.float64)
    net.train(X, y, optimizer="adam", learning_rate=LEARNING_RATE, batch_size="full", epochs=1)
    m, v = places.slots(net).reshape(2, -1)
    # the gradient again, and two roundings each
    limit = 16 * tolerance("roundoff", dtype)
    np.testing.assert_allclose(m, (1 - 0.9) * gradient, rtol=limit)
    np.testing.assert_allclose(v, (1 - 0.999) * gradient**2, rtol=limit)


def test_the_mean_of_squares_of_amsgrad_never_falls(backend, dtype, normal):
    # A gradient that shrinks: Adam's v falls with it, and AMSGrad's divisor stays.
    X, y = normal(24, 4, dtype=dtype), normal(24, 1, dtype=dtype, seed=2)
    net = linear_network(4, 1, dtype, backend)
    options = {"optimizer": fastmlp.Adam(beta2=0.5, amsgrad=True), "learning_rate": 0.1, "batch_size": "full"}
    before = np.zeros(5)
    for _ in range(30):
        net.train(X, y, epochs=1, **options)
        _, v, largest = places.slots(net).reshape(3, -1)
        assert (largest >= before).all()
        assert (largest >= v).all()
        before = largest.copy()
    assert (largest > v).any(), "v fell below its largest value"
