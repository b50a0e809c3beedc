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


# ---- of the outputs, by the inputs ---------------------------------------------------------------------------------


def differences_by_inputs(net, X):
    """The derivatives of the outputs by every input, central differences of fourth order."""
    found = []
    for shifts in np.eye(X.shape[1]) * STEP:
        far, near = ((net.forward(X + k * shifts)[-1] - net.forward(X - k * shifts)[-1]) for k in (2, 1))
        found.append((8 * near - far) / (12 * STEP))
    return np.stack(found, axis=-1)


def steady_rows(net, X):
    """Which rows come on no other side of a kink when an input moves by two steps."""
    shifts = [sign * 2 * STEP * shift for shift in np.eye(X.shape[1]) for sign in (-1, 1)]
    each = [[sides(net, X[[row]] + shift) for shift in (0, *shifts)] for row in range(len(X))]
    return np.array([all(np.array_equal(found[0], other) for other in found) for found in each])


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize(("loss", "output"), LOSSES)
@pytest.mark.parametrize("sizes", [(3, 2), (3, 5, 4, 2)], ids=str)
@pytest.mark.sampled(4)
def test_input_gradients(backend, activation, loss, output, sizes, normal, tolerance):
    X, hidden = normal(12, 3), len(sizes) > 2
    # Dropout leaves nothing out of a prediction, nor of its derivatives.
    net = small_network(activation, loss, output, hidden, {"dropout": 0.5 * hidden}, backend, sizes)
    found, steady = net.input_gradient(X), steady_rows(net, X)
    assert steady.sum() > 6
    assert (found.shape, found.dtype) == ((12, 2, 3), np.float64)
    error = np.abs(found - differences_by_inputs(net, X))[steady].max()
    assert error <= tolerance("finite differences", np.float64) * np.abs(found).max()


@pytest.mark.parametrize("sizes", [(1, 1), (1, 70, 1), (4, 66, 9, 7)], ids=str)
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_input_gradients_of_depths_and_widths(backend, loss, sizes, normal, tolerance):
    X = normal(1, sizes[0])
    classes = ["a"] if loss == "cross_entropy" and sizes[-1] == 1 else None  # whose softmax is constant
    net = fastmlp.Network(sizes, activation="tanh", loss=loss, classes=classes, seed=0, backend=backend)
    found = net.input_gradient(X)
    assert found.shape == (1, sizes[-1], sizes[0])
    error = np.abs(found - differences_by_inputs(net, X)).max()
    # Differences of outputs of order 1, whose rounding is divided by the step: 1e-12.
    assert error <= tolerance("finite differences", np.float64)


def test_input_gradients_in_float32(backend, normal, tolerance):
    X = normal(20, 3)
    nets = [small_network("gelu", "cross_entropy", None, True, {"dtype": name}, backend) for name in (float, "float32")]
    X = X[:, :2]
    wide, narrow = (net.input_gradient(X) for net in nets)
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, wide, rtol=0, atol=tolerance("gradient", np.float32) * np.abs(wide).max())


def test_at_a_kink_an_input_gradient_has_the_slope_that_training_takes(backend):
    """At 0 relu's slope is 0, leaky_relu's 0.01, and beyond its ends hard_tanh is flat: the deltas' own factors."""
    X = np.zeros((1, 1))
    for activation, slope in (("relu", 0.0), ("leaky_relu", 0.01), ("elu", 1.0)):
        net = fastmlp.Network((1, 1, 1), activation=activation, init=[1, 0, 1, 0], backend=backend)
        assert net.input_gradient(X).item() == pytest.approx(slope, rel=1e-15)
        # With x = 0 in the inputs' place, the bias's gradient is the error, here 0 - 1, times that slope.
        assert net.gradient(X, [1.0])[1] == pytest.approx(-slope, rel=1e-15)


def test_what_input_gradients_are_refused_for(backend):
    net = fastmlp.Network((2, 3, 1), backend=backend)
    for X, words in (([[1.0, np.nan]], "X: got nan at row 0, column 1"), ([[1.0]], "X: got 1 columns")):
        with pytest.raises(ValueError, match=words):
            net.input_gradient(X)
