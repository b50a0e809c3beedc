"""The gradient against central differences of the loss, for every combination that is offered, in float64."""

import formulas
import numpy as np
import pytest

import fastmlp
from fastmlp import article
from fastmlp.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS

STEP = 2e-4
# Every loss with every output that it goes with; huber and quantile with settings of their own.
OWN = {"huber": fastmlp.losses.huber(0.4), "quantile": fastmlp.losses.quantile(0.2, 0.7)}
LOSSES = [(OWN.get(name, name), output) for name, loss in fastmlp.losses.LOSSES.items() for output in loss.outputs]
PENALTIES = [{}, {"l2": 0.7}, {"l1": 0.4}, {"l1": 0.3, "l2": 0.6}]


def finite_differences(net, X, y):
    """The gradient of `net.loss` by every parameter, central differences of fourth order."""
    slopes = np.empty_like(net.params)
    for i, value in enumerate(net.params.copy()):
        losses = []
        for shift in (-2, -1, 1, 2):
            net.params[i] = value + shift * STEP
            losses.append(net.loss(X, y))
        net.params[i] = value
        slopes[i] = (losses[0] - 8 * losses[1] + 8 * losses[2] - losses[3]) / (12 * STEP)
    return slopes


def assert_gradient(net, X, y, tolerance):
    """The gradient is that of the loss."""
    # |w| has a kink at 0 that no weight may step over, and relu one at z = 0.
    assert net.l1 == 0 or all(np.abs(w).min() > 2 * STEP for w in net.weights)
    assert_away_from_kinks(net, X)
    gradient = net.gradient(X, y)
    error = np.abs(gradient - finite_differences(net, X, y)).max()
    assert error <= tolerance("finite differences", np.float64) * np.abs(gradient).max()


def sides(net, X):
    """On which side of every branch of its activation's formula every z lies."""
    found, below = [], X
    for number, name in enumerate(net.activations[:-1]):
        z = below @ net.weights[number] + (net.biases[number] if net.biases else 0)
        found.append(formulas.sides(ACTIVATIONS[name].value, z=z))
        below = formulas.in_numpy(ACTIVATIONS[name].value, z=z)
    return np.concatenate(found) if found else np.empty(0)


def assert_away_from_kinks(net, X):
    """No input of an activation with a kink steps over it when a parameter moves by two steps."""
    before = sides(net, X)
    if not len(before):
        return
    for i, value in enumerate(net.params.copy()):
        for shift in (-2, 2):
            net.params[i] = value + shift * STEP
            np.testing.assert_array_equal(sides(net, X), before)
        net.params[i] = value


def small_network(activation, loss, output, bias, penalty, backend, sizes=(2, 3, 3, 2)):
    """A network whose biases are not zero."""
    net = fastmlp.Network(
        sizes, activation=activation, loss=loss, output=output, bias=bias, seed=4, backend=backend, **penalty
    )
    for b in net.biases:
        b[:] = np.random.default_rng(len(b)).normal(size=len(b)) / 2
    return net


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize(("loss", "output"), LOSSES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.sampled(4)
def test_every_combination(backend, activation, loss, output, bias, normal, targets, tolerance):
    X, y = normal(7, 2, seed=7), targets(loss, 7, 2)
    for penalty in PENALTIES:
        net = small_network(activation, loss, output, bias, penalty, backend)
        if loss == "absolute_error":  # its kink is where an output meets its target
            y[np.abs(net.forward(X)[-1] - y) < 20 * STEP] += 0.1
        assert_gradient(net, X, y, tolerance)


@pytest.mark.parametrize(
    ("sizes", "loss"),
    [
        ((1, 1), "squared_error"),
        ((1, 1), "binary_cross_entropy"),
        ((3, 2), "squared_error"),
        ((3, 2), "cross_entropy"),
        ((2, 3, 4, 3, 2), "cross_entropy"),
        ((3, 66, 2), "cross_entropy"),
        ((3, 4, 3, 1), "binary_cross_entropy"),
    ],
)
def test_depths_and_widths(backend, sizes, loss, normal, targets, tolerance):
    X, y = normal(5, sizes[0]), targets(loss, 5, sizes[-1])
    net = small_network("tanh", loss, None, True, {"l2": 0.3}, backend, sizes)
    assert_gradient(net, X, y, tolerance)


def test_activations_of_their_own_for_each_layer(backend, normal, targets, tolerance):
    X, y = normal(6, 2), targets("cross_entropy", 6, 3)
    net = small_network(("tanh", "sigmoid", "identity"), "cross_entropy", None, True, {}, backend, (2, 3, 4, 2, 3))
    assert_gradient(net, X, y, tolerance)


@pytest.mark.parametrize("ridge", article.RIDGES)
def test_the_articles_published_ridge_term_is_not_the_gradient_of_its_loss(backend, ridge, tolerance):
    X, y = (values[:50] for values in article.data())
    learning_rate, reg = 0.003, 0.5
    net = article.train(
        hidden=3, learning_rate=learning_rate, reg=reg, epochs=1, ridge=ridge, frames=2, backend=backend
    )
    (_, before), (_, after) = net.history.frames
    followed = (before - after) / (learning_rate * 50)
    net.params[:] = before
    slopes = finite_differences(net, X, y)
    # The step is the difference of two parameters of order 1, divided by 0.15: an error of 1e-15.
    error = np.abs(followed - slopes).max() / np.abs(slopes).max()
    if ridge == "true":
        assert error <= tolerance("finite differences", np.float64)
        return
    # One number, λ ΣW² / N, stands for all of a layer where λ W / N belongs.
    assert error > 0.1
    weights = [w.copy() for w in net.weights]
    added = np.concatenate([np.square(w).sum() - w.ravel() for w in weights]) * reg / 50
    # What finite differences leave: 1e-12, and an error of 1e-15 in the step.
    np.testing.assert_allclose(followed - slopes, added, atol=1e-9)


def test_without_penalty_both_ridges_follow_the_gradient(backend):
    published, true = (article.train(epochs=20, ridge=ridge, backend=backend) for ridge in article.RIDGES)
    assert published.params.tobytes() == true.params.tobytes()
