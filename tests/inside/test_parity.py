"""Every build against the reference: the same functions, the same trainings; and the same bits for any threads."""

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from inside import places

import fastmlp
from fastmlp import losses, optimizers

EDGE = Path(__file__).parents[1] / "src" / "fastmlp" / "kernels" / "edge.pxi"
# Every loss with every output that it goes with, and a setting of its own.
LOSSES = [(name, output) for name, loss in losses.LOSSES.items() for output in loss.outputs]
LOSSES.append((losses.huber(0.6), "identity"))
# Every optimizer whose steps the kernels take, and settings of their own. Without a larger epsilon a gradient is
# divided by one that is smaller than its own errors.
OPTIMIZERS = [
    replace(optimizer, epsilon=1e-3) if hasattr(optimizer, "epsilon") else optimizer
    for optimizer in optimizers.OPTIMIZERS.values()
    if not optimizer.searches_step
]
OPTIMIZERS += [
    fastmlp.SGD(momentum=0.9),
    fastmlp.SGD(momentum=0.8, nesterov=True),
    fastmlp.Adam(beta1=0.8, beta2=0.99, epsilon=1e-3),
    fastmlp.AdamW(weight_decay=0.2),
    fastmlp.RMSprop(epsilon=1e-2, momentum=0.8, centered=True),
    fastmlp.Adagrad(rate_decay=0.1, epsilon=1e-3),
]


def follows_signs(optimizer):
    """Whether a step does not shrink with the gradient: then the gradient's sign alone decides on its direction."""
    net = fastmlp.Network((1, 1), bias=False, seed=0, backend="reference")
    net.params[:] = 0
    net.train([[1e-12]], [1.0], optimizer=optimizer, learning_rate=1.0, epochs=1)
    return abs(net.params[0]) > 1e-6


@pytest.fixture(params=[name for name in places.backend.NAMES if name != places.backend.REFERENCE])
def build(request):
    """The name of each build; the reference is what they are compared with."""
    if request.param in places.backend.missing:
        pytest.skip(f"{request.param}: {places.backend.missing[request.param]}")
    return request.param


def interface(module):
    """The functions that a module offers, and the methods and properties of its `Run`."""
    functions = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and not inspect.isclass(value)
        and value.__module__.startswith("fastmlp._")
        and name not in HELPERS
    }
    methods = {f"Run.{name}": value for name, value in vars(module.Run).items() if not name.startswith("_")}
    return functions | methods


HELPERS = {"activate", "activate_both", "slope", "quietly"}  # of the reference's own parts


def test_the_reference_offers_what_the_kernels_do(build, dtype):
    assert interface(places.backend.kernels(dtype, build)).keys() == interface(places.reference).keys()


def test_the_same_signatures_and_formulas(build, dtype):
    found = interface(places.backend.kernels(dtype, build))
    for name, expected in interface(places.reference).items():
        assert found[name].__doc__ == expected.__doc__, name
        if callable(expected):
            ours, theirs = (list(inspect.signature(each).parameters.values()) for each in (expected, found[name]))
            assert [each.name for each in ours] == [each.name for each in theirs], name
            assert [each.kind for each in ours] == [each.kind for each in theirs], name


def make(sizes, loss, output, dtype, backend, **options):
    """A network that has seen no data."""
    return fastmlp.Network(sizes, loss=loss, output=output, dtype=dtype, backend=backend, seed=3, **options)


def fit(net, X, y, X_val, y_val, *, optimizer, learning_rate, batch, epochs, shuffle=True, n_threads=1):
    """Train with validation rows."""
    samples, validation = (
        places.Samples(x, places.checks.encode(values, len(x), net.dtype, places.task_of(net)))
        for x, values in ((X, y), (X_val, y_val))
    )
    return places.train_checked(
        net,
        samples,
        validation,
        optimizer=optimizer,
        learning_rate=learning_rate,
        batch_size=batch,
        epochs=epochs,
        shuffle=shuffle,
        seed=11,
        n_threads=n_threads,
    )


def assert_near(result, expected, tolerance):
    """Equal within a tolerance, relative to the largest number."""
    result, expected = np.asarray(result, np.float64), np.asarray(expected, np.float64)
    assert result.shape == expected.shape
    error = np.abs(result - expected).max()
    assert error <= tolerance * np.abs(expected).max(), f"off by {error / np.abs(expected).max()} of the largest"


def assert_same_training(net, twin, limit):
    """Parameters and histories agree."""
    assert_near(net.params, twin.params, limit)
    for name in ("loss", "gradient_norm", "val_loss"):
        assert_near(getattr(net.history, name), getattr(twin.history, name), limit)
    for name in ("accuracy", "val_accuracy"):
        measured = getattr(net.history, name)
        if measured is None:
            assert getattr(twin.history, name) is None
        else:
            # An output within a rounding of 1/2 or of another output may fall on either side: one row in a hundred.
            np.testing.assert_allclose(measured, getattr(twin.history, name), atol=0.01)
    assert places.position(net, "step") == places.position(twin, "step")


def compare(build, dtype, sizes, loss, output, normal, targets, limit, *, rows, batch, options=None, **fitting):
    """Train on a build and on the reference, and compare within `limit`."""
    X, X_val = normal(rows, sizes[0], dtype=dtype), normal(37, sizes[0], dtype=dtype, seed=1)
    y, y_val = (targets(loss, n, sizes[-1], dtype=dtype) for n in (rows, 37))
    net, twin = (make(sizes, loss, output, dtype, backend, **(options or {})) for backend in (build, "reference"))
    np.testing.assert_array_equal(net.params, twin.params)
    fitting = {"optimizer": fastmlp.Adam(), "learning_rate": 0.01, "epochs": 3} | fitting
    for network in (net, twin):
        fit(network, X, y, X_val, y_val, batch=batch, **fitting)
    assert_same_training(net, twin, limit)


SMALL, LARGE = (4, 16, 9, 3), (20, 70, 33, 3)


@pytest.mark.parametrize("sizes", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(("loss", "output"), LOSSES)
@pytest.mark.parametrize("penalties", [{}, {"l2": 0.5}, {"l1": 0.2}, {"l1": 0.1, "l2": 0.3}])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.sampled(6)
def test_losses_and_penalties(build, layout, dtype, sizes, loss, output, penalties, bias, normal, targets, tolerance):
    options = {"activation": ("tanh", "sigmoid"), "bias": bias, **penalties}
    limit = tolerance("training", dtype)
    # With an epsilon of this size no gradient is divided by one that is smaller than its own errors.
    compare(
        build,
        dtype,
        sizes,
        loss,
        output,
        normal,
        targets,
        limit,
        rows=101,
        batch=30,
        options=options,
        optimizer=fastmlp.Adam(epsilon=1e-3),
    )


@pytest.mark.parametrize("sizes", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("activation", ["relu", "identity", ("elu", "softplus"), ("selu", "leaky_relu")], ids=str)
@pytest.mark.sampled(6)
def test_optimizers_and_activations(build, layout, dtype, sizes, optimizer, activation, normal, targets, tolerance):
    if dtype == "float32" and follows_signs(optimizer):
        pytest.skip("a mean gradient within a float32 rounding of 0 has either sign, and steps either way")
    smooth = activation in ("identity", ("elu", "softplus"))
    limit = tolerance("training" if smooth else "training with kinks", dtype)
    compare(
        build,
        dtype,
        sizes,
        "cross_entropy",
        None,
        normal,
        targets,
        limit,
        rows=90,
        batch=90 if optimizer.full_batch else 16,
        options={"activation": activation, "l2": 0.1},
        optimizer=optimizer,
        shuffle=False,
    )


# (sizes, rows, batch): linear; one input, one output, one row; batches that do not divide the rows; in the narrow
# layout one chunk, several and more chunks than groups; in the wide one more rows than a chunk of 1024, and several
# slabs.
CUTS = [
    ((3, 2), 50, 7),
    ((1, 1), 20, 20),
    ((1, 1, 1), 5, 1),
    ((64, 64), 40, 13),
    ((65, 2), 40, 13),
    ((4, 16, 9, 3), 1, 1),
    ((4, 16, 9, 3), 700, 333),
    ((4, 16, 9, 3), 6000, 6000),
    ((2, 3, 2, 5, 2, 3), 300, 128),
    ((8, 300, 2), 100, 15),
    ((20, 70, 3), 2500, 2500),
    ((20, 70, 3), 2300, 1100),
    ((600, 30, 4), 80, 33),
    ((10, 520, 270, 3), 40, 32),
    ((30, 5, 130), 100, 17),
]


@pytest.mark.parametrize(("sizes", "rows", "batch"), CUTS)
def test_sizes_and_batches(build, layout, dtype, sizes, rows, batch, normal, targets, tolerance):
    compare(
        build,
        dtype,
        sizes,
        "squared_error",
        None,
        normal,
        targets,
        tolerance("training", dtype),
        rows=rows,
        batch=batch,
        options={"activation": "tanh", "l2": 0.01},
        optimizer=fastmlp.SGD(momentum=0.9),
        learning_rate=0.002,
    )


@pytest.mark.parametrize("sizes", [SMALL, LARGE], ids=["small", "large"])
def test_the_published_ridge_term(build, layout, sizes, normal, targets, tolerance):
    X, y = normal(60, sizes[0]), targets("squared_error", 60, sizes[-1])
    nets = [make(sizes, "squared_error", "sigmoid", np.float64, name, l2=0.05) for name in (build, "reference")]
    given = {"optimizer": "sgd", "learning_rate": 0.05, "batch_size": 60, "epochs": 8, "shuffle": False, "seed": 0}
    for net in nets:
        places.train_checked(net, places.Samples(X, y), **given, published_ridge=True)
    assert_near(nets[0].params, nets[1].params, tolerance("training", np.float64))
    assert_near(nets[0].history.loss, nets[1].history.loss, tolerance("training", np.float64))


@pytest.mark.parametrize("sizes", [(3, 2), SMALL, (2, 64, 3), LARGE, (300, 40, 3), (5, 600, 2)], ids=str)
@pytest.mark.parametrize(("loss", "output"), LOSSES)
@pytest.mark.parametrize("rows", [1, 17, 300, 1100])
@pytest.mark.sampled(6)
def test_forward_loss_and_gradient(build, layout, dtype, sizes, loss, output, rows, normal, targets, tolerance):
    X, y = normal(rows, sizes[0], dtype=dtype), targets(loss, rows, sizes[-1], dtype=dtype)
    net, twin = (
        make(sizes, loss, output, dtype, backend, activation="tanh", l1=0.02, l2=0.3)
        for backend in (build, "reference")
    )
    for h, expected in zip(net.forward(X), twin.forward(X), strict=True):
        assert_near(h, expected, tolerance("forward", dtype))
    assert net.loss(X, y) == pytest.approx(twin.loss(X, y), rel=tolerance("loss", dtype))
    assert net.score(X, y) == pytest.approx(twin.score(X, y), abs=max(0.01, 1.5 / rows))
    assert_near(net.gradient(X, y), twin.gradient(X, y), tolerance("gradient", dtype))


@pytest.mark.parametrize("sizes", [SMALL, LARGE], ids=["small", "large"])
def test_loss_of_the_history_is_the_loss(backend, layout, dtype, sizes, normal, targets, tolerance):
    # With one batch an epoch, the history's loss is that before the step, and the norm that of the gradient there.
    X, y = normal(80, sizes[0], dtype=dtype), targets("cross_entropy", 80, sizes[-1])
    net = make(sizes, "cross_entropy", None, dtype, backend, l1=0.1, l2=0.2)
    loss, norm = net.loss(X, y), np.linalg.norm(net.gradient(X, y))
    fit(net, X, y, X[:20], y[:20], optimizer=fastmlp.Adam(), learning_rate=0.01, batch=80, epochs=1)
    assert net.history.loss[0] == pytest.approx(loss, rel=tolerance("loss", dtype))
    assert net.history.gradient_norm[0] == pytest.approx(norm, rel=tolerance("gradient", dtype))
    # Validation comes after the step. The penalty is the training rows' own, over their number.
    penalty_share = 1 / 80 - 1 / 20
    weights = np.concatenate([w.ravel().astype(np.float64) for w in net.weights])
    penalty = 0.1 * np.abs(weights).sum() + 0.1 * np.square(weights).sum()
    expected = net.loss(X[:20], y[:20]) + penalty_share * penalty
    assert net.history.val_loss[0] == pytest.approx(expected, rel=tolerance("loss", dtype))


# many chunks in the narrow layout, fewer chunks than threads, batches of several chunks in the wide one; a last batch
# and a last chunk of one row, or of fewer rows than there are groups
THREADED = [
    (SMALL, 1000, 1000),
    (SMALL, 900, 400),
    (SMALL, 100, 30),
    ((2, 3, 2), 20, 20),
    (LARGE, 300, 64),
    (LARGE, 10, 3),
    ((20, 70, 3), 2600, 2500),
    ((20, 70, 33, 3), 2600, 1100),
    ((600, 40, 4), 100, 50),
    ((784, 16, 3), 257, 128),
    ((784, 16, 3), 1030, 1025),
    ((20, 40, 3), 515, 512),
]


def test_these_batches_have_many_chunks(build, dtype, layout):
    net = make(SMALL, "cross_entropy", None, dtype, build)
    narrow, wide = (places.plan_of(net, batch=batch, rows=batch).settings[0] for batch in (6000, 2500))
    assert wide["narrow"] == narrow["narrow"] == (layout == "narrow")
    if layout == "narrow":
        assert narrow["chunk"] * narrow["groups"] < 6000, "a group has a single chunk"
        assert narrow["groups"] > 8
    else:
        assert wide["chunk"] * 2 < 2500
        assert (wide["groups"] > 8) == (layout == "groups")


@pytest.mark.parametrize(("sizes", "rows", "batch"), THREADED)
def test_the_same_bits_for_any_number_of_threads(build, layout, dtype, sizes, rows, batch, normal, targets):
    X, y = normal(rows, sizes[0], dtype=dtype), targets("cross_entropy", rows, sizes[-1])
    X_val, y_val = X[: rows // 2 + 1], y[: rows // 2 + 1]
    trained = []
    for n_threads in (1, 2, 3, 4, 8):
        net = make(sizes, "cross_entropy", None, dtype, build, l1=0.01, l2=0.1)
        fit(
            net,
            X,
            y,
            X_val,
            y_val,
            optimizer=fastmlp.Adam(),
            learning_rate=0.01,
            batch=batch,
            epochs=3,
            n_threads=n_threads,
        )
        trained.append(net)
    for net in trained[1:]:
        assert net.params.tobytes() == trained[0].params.tobytes()
        assert places.slots(net).tobytes() == places.slots(trained[0]).tobytes()
        for name in ("loss", "accuracy", "gradient_norm", "val_loss", "val_accuracy"):
            assert getattr(net.history, name).tobytes() == getattr(trained[0].history, name).tobytes(), name


@pytest.mark.parametrize("sizes", [SMALL, LARGE], ids=["small", "large"])
def test_twice_the_same_bits(backend, layout, dtype, sizes, normal, targets):
    X, y = normal(120, sizes[0], dtype=dtype), targets("cross_entropy", 120, sizes[-1])
    nets = [make(sizes, "cross_entropy", None, dtype, backend).train(X, y, batch_size=50, epochs=3) for _ in range(2)]
    assert nets[0].params.tobytes() == nets[1].params.tobytes()


@pytest.mark.parametrize("sizes", [SMALL, LARGE], ids=["small", "large"])
def test_divergence_ends_alike(build, layout, dtype, sizes, normal, targets):
    X, y = normal(60, sizes[0], dtype=dtype), targets("squared_error", 60, sizes[-1], dtype=dtype)
    ends = []
    for name in (build, "reference"):
        # A ridge that a step overshoots: each step multiplies the weights by 1 - 0.1 * 30, whatever the outputs do.
        net = make(sizes, "squared_error", None, dtype, name, l2=60 * 30.0)
        with pytest.warns(fastmlp.DivergenceWarning):
            net.train(X, y, optimizer="sgd", learning_rate=0.1, batch_size=60, epochs=2000, n_threads=1)
        assert not net.history.loss[-1] < 1e6, "not finite, or far above the first one"
        assert np.isfinite(net.history.loss[:-1]).all()
        ends.append(len(net.history))
    # A sum whose last terms bring it back from the edge overflows in one order and not in another; a step later
    # everything is larger by far.
    assert abs(ends[0] - ends[1]) <= 1
