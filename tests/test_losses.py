"""The output layer against the losses' formulas in a longer type: outputs, losses, deltas and hits."""

import numpy as np
import pytest
from formulas import in_digits
from inside import places

import fastmlp
from fastmlp.activations import ACTIVATIONS
from fastmlp.losses import LOSSES, WITH_SETTINGS

SQUARED, BINARY, CROSS = (LOSSES[name].code for name in ("squared_error", "binary_cross_entropy", "cross_entropy"))
ROWS = {loss.code: loss.row for loss in LOSSES.values()}
IDENTITY, SIGMOID, SOFTMAX = (ACTIVATIONS[name].code for name in ("identity", "sigmoid", "softmax"))
# What counts as a hit, by the kind of targets: nothing, the largest output, every output on its side of the threshold.
METRIC_OF = {"real": 0, "labels": 1, "multilabel": 2, "soft": 1}
NO_METRIC, LARGEST, THRESHOLD = range(3)

# loss, output activation, measure of accuracy: all that go together
COMBINATIONS = [
    (row.code, ACTIVATIONS[output].code, metric)
    for row in ROWS.values()
    for output in row.outputs
    for metric in sorted({METRIC_OF[kind] for kind in row.targets})
]
SHAPES = [(1, 1), (1, 3), (2, 2), (3, 7), (8, 1), (15, 4), (16, 10), (17, 5), (33, 3), (64, 65), (100, 2)]


def test_every_loss_with_settings_of_its_own_has_a_function_that_makes_it():
    assert set(WITH_SETTINGS) == {row.name for row in ROWS.values() if row.parameter}


def parameters_of(loss, outputs):
    """A parameter for each output, if the loss has one: deltas, or levels."""
    return (np.arange(outputs) + 1) / (outputs + 1) if ROWS[loss].parameter else None


def compute(kernels, arrays, y, loss, activation, metric, parameters):
    """Have the kernels fill in arrays (losses, dz, h) from z; returns the hits."""
    choices = {"loss": loss, "activation": activation, "metric": metric, "threshold": ROWS[loss].threshold}
    return places.output_layer(kernels, arrays, y, None, parameters, **choices)


def run(kernels, z, y, loss, activation, metric, guarded):
    """Losses, deltas, outputs and hits of the kernels."""
    rows, outputs = z.shape
    losses = guarded.result(rows, dtype=z.dtype)
    dz, h = guarded.result(rows, outputs, dtype=z.dtype), guarded.result(rows, outputs, dtype=z.dtype)
    arrays = losses, dz, h, guarded.given(z)
    hits = compute(kernels, arrays, y, loss, activation, metric, parameters_of(loss, outputs))
    guarded.check()
    return losses, dz, h, hits


def draw_targets(loss, metric, rows, outputs, dtype, generator):
    """Targets that go with a loss and a measure of accuracy, coded for the kernels."""
    row, labels = ROWS[loss], generator.integers(0, outputs, rows)
    if row.coding == "indices":
        return labels.astype(np.int32)
    if metric == NO_METRIC:
        y = generator.standard_normal((rows, outputs)).astype(dtype)
        if row.minimum == 0:  # positive numbers, or counts, 0 among them
            return y * y + dtype.type(0.01) if row.open else np.floor(y * y * 3)
        return y
    bits = np.eye(outputs)[labels] if metric == LARGEST else generator.integers(0, 2, (rows, outputs))
    return (2 * bits - 1 if row.coding == "signs" else bits).astype(dtype)


def hits_of(h, y, metric, threshold):
    """How many rows are classified as their targets say, row by row."""
    if metric == NO_METRIC:
        return 0
    if metric == THRESHOLD:
        return sum(all((h[i] > threshold) == (y[i] > threshold)) for i in range(len(h)))
    labels = y if y.ndim == 1 else [list(row).index(max(row)) for row in y]
    return sum(list(row).index(max(row)) == label for row, label in zip(h, labels, strict=True))


@pytest.mark.parametrize(("loss", "activation", "metric"), COMBINATIONS)
@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0, 80.0])
def test_outputs_and_rows_do_not_depend_on_their_neighbours(
    kernels, dtype, loss, activation, metric, scale, guarded, tolerance
):
    # test_rows.py has the formulas; here is every shape, each part of which is computed again by itself.
    generator, roundoff = np.random.default_rng(5), tolerance("roundoff", dtype)
    for rows, outputs in SHAPES:
        z = np.clip(scale * generator.standard_normal((rows, outputs)), -70, 70).astype(dtype)  # exp(z) is finite
        y = draw_targets(loss, metric, rows, outputs, dtype, generator)
        losses, dz, h, hits = run(kernels, z, y, loss, activation, metric, guarded)
        assert hits == hits_of(h, y, metric, ROWS[loss].threshold)
        total, parameters = np.zeros(rows), parameters_of(loss, outputs)
        # An output is computed by itself, unless the loss takes whole rows.
        by_rows = ROWS[loss].takes == "row"
        for part in range(rows if by_rows else outputs):
            one = np.s_[part : part + 1] if by_rows else np.s_[:, part : part + 1]
            own = None if parameters is None else parameters[part : part + 1]
            z_alone = z[one].copy()
            alone = np.empty(len(z_alone), dtype), np.empty_like(z_alone), np.empty_like(z_alone)
            compute(kernels, (*alone, z_alone), y[one].copy(), loss, activation, NO_METRIC, own)
            total[one if by_rows else slice(None)] += alone[0]
            # The reference's exponentials may round otherwise at another place of an array.
            np.testing.assert_allclose(dz[one], alone[1], rtol=8 * roundoff, atol=8 * roundoff)
            np.testing.assert_allclose(h[one], alone[2], rtol=8 * roundoff, atol=0)
        # Losses are not negative, so that their sum is off by a rounding for each output at most.
        np.testing.assert_allclose(losses, total, rtol=(8 + outputs) * roundoff, atol=0)


@pytest.mark.parametrize("fractions", [True, False])
def test_binary_cross_entropy_of_small_losses_keeps_its_digits(kernels, dtype, fractions, guarded, tolerance):
    # Where a label is met, the loss is log(1 + exp(-|z|)): all digits down to the smallest numbers.
    ends = (1, 100) if dtype == np.float64 else (1, 80)
    z = np.linspace(*ends, 200, dtype=dtype)[:, None] * np.where(np.arange(200) % 2, 1, -1).astype(dtype)[:, None]
    y = (z > 0).astype(dtype)
    if fractions:
        y = np.full_like(z, 0.5)
    losses, *_ = run(kernels, z, y, BINARY, SIGMOID, THRESHOLD, guarded)
    size = np.abs(z[:, 0]).astype(np.longdouble)
    expected = np.log1p(np.exp(-size)) + (size / 2 if fractions else 0)
    # exp, log, a product and a quotient: 2 to 4 units, each 2 roundoffs.
    np.testing.assert_allclose(losses, expected.astype(np.float64), rtol=24 * tolerance("roundoff", dtype))


def near_and_far(dtype, name):
    """Outputs z and targets y: y / h from 1 ± 1e-10 to 1e±4, h from the smallest to the largest numbers."""
    generator, reach = np.random.default_rng(3), 80 if dtype == np.float32 else 600
    z = np.concatenate([generator.uniform(-5, 5, 200), generator.uniform(-reach, reach, 200)])
    near = np.abs(1 + generator.choice([-1, 1], 200) * 10.0 ** generator.uniform(-10, 0, 200))
    ratios = np.concatenate([near, 10.0 ** generator.uniform(-4, 4, 200)])
    if name == "log_cosh":
        return np.concatenate([z, 1e-8 * z, np.linspace(-2, 2, 100)]).astype(dtype), np.zeros(900, dtype)
    z = z[:, None].repeat(2, axis=1).ravel().astype(dtype)
    y = np.exp(z.astype(np.longdouble)) * np.concatenate([ratios, ratios[::-1]])
    # exp(-z) alone is infinite, the ratio y / h is not; and the other way round
    z = np.append(z, dtype.type(1.2) * np.log(np.finfo(dtype).tiny) * np.array([1, -1], dtype)).astype(dtype)
    y = np.append(y, [np.finfo(dtype).tiny ** 0.9, np.finfo(dtype).max ** 0.9])
    return z, np.clip(y, np.finfo(dtype).tiny, np.finfo(dtype).max / 8).astype(dtype)


@pytest.mark.parametrize(
    ("name", "activation"), [("poisson", "exponential"), ("gamma", "exponential"), ("log_cosh", "identity")]
)
def test_losses_near_their_optimum_and_far_from_it(kernels, dtype, name, activation, guarded):
    mpmath = pytest.importorskip("mpmath")
    row = LOSSES[name]
    z, y = near_and_far(dtype, name)
    losses, *_ = run(kernels, z[:, None], y[:, None], row.code, ACTIVATIONS[activation].code, NO_METRIC, guarded)
    assert (losses >= 0).all()
    with mpmath.workprec(400):  # log(cosh(1e-30)) is 1 + 1e-60 for a moment
        for loss, z_of_row, y_of_row in zip(losses.tolist(), z.tolist(), y.tolist(), strict=True):
            h = mpmath.exp(z_of_row) if activation == "exponential" else mpmath.mpf(z_of_row)
            expected = in_digits(row.formula, h=h, y=mpmath.mpf(y_of_row))
            # Poisson's deviance is what y and h leave of each other, and gamma's what y / h and 1 leave; log cosh
            # has to keep all its own digits.
            parts = {"poisson": (h, y_of_row, 1), "gamma": (1,), "log_cosh": ()}[name]
            size = max((expected, *parts))
            if size <= np.finfo(dtype).max:
                # 4 units in the last place, the goal; exp alone has up to 2 of them, the quotient and log one.
                assert abs(loss - expected) <= 4 * np.spacing(dtype.type(float(size))), (z_of_row, y_of_row)
            else:
                assert loss == np.inf


@pytest.mark.parametrize("size", [80.0, 1e3, 1e30])
def test_extreme_inputs_stay_finite_and_right(kernels, dtype, size, guarded, tolerance):
    # exp(-80) is 1.8e-35: a number in both dtypes, and nothing beside 1.
    small = float(np.exp(-size)) if size == 80 else 0.0
    relative = 400 * tolerance("roundoff", dtype)  # -80 is written to half a roundoff, which exp takes 80 times
    size = float(dtype.type(size))
    z = np.array([[size, -size], [-size, size], [0, size], [size, size], [-size, -size]] * 4, dtype)

    labels = np.array([0, 0, 0, 1, 0] * 4, np.int32)
    losses, dz, h, hits = run(kernels, z, labels, CROSS, SOFTMAX, LARGEST, guarded)
    both = np.log(2)
    np.testing.assert_allclose(losses[:5], [0, 2 * size, size, both, both], rtol=relative, atol=small)
    np.testing.assert_allclose(h[:5, 0], [1, 0, 0, 0.5, 0.5], rtol=relative, atol=2 * small)
    np.testing.assert_allclose(dz[:5, 0], [0, -1, -1, 0.5, -0.5], rtol=relative, atol=2 * small)
    assert hits == 4 * 2

    y = np.array([[1, 0], [1, 1], [0, 1], [0, 1], [0, 1]] * 4, dtype)
    losses, dz, h, hits = run(kernels, z, y, BINARY, SIGMOID, THRESHOLD, guarded)
    np.testing.assert_allclose(losses[:5], [2 * small, size, both, size, size], rtol=relative)
    np.testing.assert_allclose(h[:5, 0], [1, small, 0.5, 1, small], rtol=relative)
    np.testing.assert_allclose(dz[:5, 0], [0, -1, 0.5, 1, small], rtol=relative, atol=2 * small)
    assert hits == 4 * 2

    losses, dz, h, hits = run(kernels, z, y, SQUARED, SIGMOID, THRESHOLD, guarded)
    np.testing.assert_allclose(losses[:5], [0, 0.5, 0.125, 0.5, 0.5], rtol=relative, atol=2 * small)
    np.testing.assert_allclose(dz[:5, 0], [0, -small, 0.125, 0, small**2], rtol=relative, atol=2 * small)


@pytest.mark.parametrize(("loss", "activation"), [(SQUARED, IDENTITY), (SQUARED, SIGMOID), (CROSS, SOFTMAX)])
def test_the_first_of_equal_outputs_is_the_class(kernels, dtype, loss, activation, guarded):
    rows = [[1, 1, 1], [0, 1, 1], [1, 0, 1], [0, 0, 1], [-1, -1, -1], [-2, -1, -1]]
    firsts = [0, 1, 0, 2, 0, 1]
    z = np.array(rows * 5, dtype)
    for shift, expected in ((0, len(z)), (1, 0)):
        labels = (np.array(firsts * 5) + shift) % 3
        y = labels.astype(np.int32) if loss == CROSS else np.eye(3, dtype=dtype)[labels]
        assert run(kernels, z, y, loss, activation, LARGEST, guarded)[3] == expected


def test_one_half_is_the_negative_side(kernels, dtype, guarded):
    z = np.array([[0.0], [np.finfo(dtype).eps * 4], [-np.finfo(dtype).eps * 4]] * 7, dtype)
    for target, expected in ((0.0, 14), (1.0, 7), (0.5, 14)):
        y = np.full_like(z, target)
        assert run(kernels, z, y, BINARY, SIGMOID, THRESHOLD, guarded)[3] == expected


def test_every_output_of_a_row_must_be_right(kernels, dtype, guarded):
    z = np.array([[1, 1, 1], [1, -1, 1], [-1, -1, -1]] * 6, dtype)
    y = np.ones_like(z)
    assert run(kernels, z, y, BINARY, SIGMOID, THRESHOLD, guarded)[3] == 6


@pytest.mark.parametrize(("loss", "activation", "metric"), COMBINATIONS)
def test_nan_stays_in_its_row(kernels, dtype, loss, activation, metric, guarded):
    generator = np.random.default_rng(8)
    z = generator.standard_normal((37, 4)).astype(dtype)
    y = draw_targets(loss, metric, 37, 4, dtype, generator)
    z[20, 2] = np.nan
    losses, dz, h, _ = run(kernels, z, y, loss, activation, metric, guarded)
    np.testing.assert_array_equal(np.isnan(losses), np.arange(37) == 20)
    assert np.isnan(dz[20, 2])
    assert np.isnan(h[20, 2])
    assert np.isfinite(np.delete(dz, 20, axis=0)).all()


# ---- networks ----------------------------------------------------------------------------------------------


def constant_model(y, loss, backend, **options):
    """A linear model whose inputs are all 0: its biases alone approximate y."""
    X = np.zeros((len(y), 1))
    return fastmlp.train(
        X,
        y,
        hidden=(),
        loss=loss,
        learning_rate=fastmlp.schedules.Exponential(0.3, 0.985),
        batch_size="full",
        epochs=600,
        seed=0,
        backend=backend,
        **options,
    )


def test_what_minimises_each_loss(backend, normal):
    y = np.exp(normal(400))
    levels = (0.1, 0.5, 0.9)
    net = constant_model(y, fastmlp.losses.quantile(*levels), backend)
    found = net.predict(np.zeros((2, 1)))
    assert found.shape == (2, 3)
    # The rate ends at 0.3 * 0.985^600 = 3e-5, on a slope of at most 1; between two of 400 numbers all are as good.
    near = {"atol": 0.03, "rtol": 0}
    np.testing.assert_allclose(found[0], np.quantile(y, levels), **near)
    zero = np.zeros((1, 1))
    np.testing.assert_allclose(constant_model(y, "absolute_error", backend).predict(zero)[0], np.median(y), **near)
    np.testing.assert_allclose(constant_model(y, "squared_error", backend).predict(zero)[0], y.mean(), **near)
    for loss in ("poisson", "gamma"):  # a deviance is least at the mean
        np.testing.assert_allclose(constant_model(y, loss, backend).predict(zero)[0], y.mean(), **near)
    # Between the median and the mean, and nearer to the one or the other as delta is small or large.
    small, large = (constant_model(y, fastmlp.losses.huber(d), backend).predict(zero)[0] for d in (0.01, 100.0))
    np.testing.assert_allclose([small, large], [np.median(y), y.mean()], **near)


@pytest.mark.parametrize("targets", [1, 2])
def test_a_metric_of_ones_own_takes_several_quantiles(targets, normal):
    X = normal(20, 2)
    y = X[:, 0] if targets == 1 else X
    shapes = set()

    def seen(true, predicted, sample_weight=None):
        shapes.add((true.shape, predicted.shape))
        return 0.0

    options = {"loss": fastmlp.losses.quantile(0.2, 0.8), "epochs": 2, "seed": 0}
    fastmlp.train(X, y, metrics=[seen], **options)
    assert shapes == {(y.shape, (20, 2 * targets))}
    with pytest.raises(ValueError, match="^metrics: got 'mae' with 2 quantiles per target; a callable is accepted"):
        fastmlp.train(X, y, metrics=["mae"], **options)


def test_quantiles_of_several_targets_stand_target_by_target(backend, normal):
    y = np.stack([normal(300), 10 + normal(300, seed=1)], axis=1)
    net = constant_model(y, fastmlp.losses.quantile(0.2, 0.8), backend)
    assert net.sizes == (1, 4)
    expected = np.quantile(y, (0.2, 0.8), axis=0).T.ravel()
    np.testing.assert_allclose(net.predict(np.zeros((1, 1)))[0], expected, rtol=0, atol=0.1)
    assert net.gradient(np.zeros((300, 1)), y).shape == (8,)
    with pytest.raises(ValueError, match=r"^y: got 3 columns .*; the network has 4 outputs for 2 columns"):
        net.loss(np.zeros((300, 1)), np.zeros((300, 3)))


def test_counts_may_be_integers(backend):
    counts = np.array([0, 1, 2, 3, 4, 0])
    net = constant_model(counts, "poisson", backend)
    np.testing.assert_allclose(net.predict(np.zeros((1, 1))), counts.mean(), rtol=1e-3)
    assert net.classes_ is None
    assert net.history.accuracy is None


@pytest.mark.parametrize(
    ("y", "loss", "kind", "words"),
    [
        ([1.0, -2.0], "poisson", ValueError, "^y: got -2.0 at row 1 with loss 'poisson'; numbers of at least 0"),
        ([0, 1], "gamma", ValueError, "^y: got 0 at row 0 with loss 'gamma'; numbers above 0"),
        (["a", "b"], "huber", ValueError, "^loss: got 'huber' with labels in y; it goes with numbers"),
        ([True, False], "log_cosh", ValueError, "^loss: got 'log_cosh' with labels in y"),
        ([1.0, 2.0], fastmlp.losses.huber, TypeError, r"^loss: got the function huber; call it, such as huber\(0.5\)"),
        ([1.0, 2.0], "huberr", ValueError, "^loss: got 'huberr', .*did you mean 'huber'"),
        ([1.0, 2.0], 0.5, TypeError, "^loss: got 0.5"),
    ],
)
def test_targets_that_do_not_go_with_a_loss(y, loss, kind, words):
    with pytest.raises(kind, match=words):
        fastmlp.train(np.zeros((2, 1)), y, loss=loss)


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.minimum > -np.inf])
def test_targets_lie_in_the_domain_of_a_loss_as_numbers_of_the_dtype(backend, dtype, name, normal):
    X, smallest, loss = normal(4, 2), np.finfo(dtype).tiny, LOSSES[name]
    made = fastmlp.Network((2, 1), loss=name, dtype=dtype, backend=backend)

    def uses(value):
        y = np.array([1.0, 2.0, value, 3.0])
        yield lambda: fastmlp.train(X, y, hidden=2, epochs=1, seed=0, loss=name, dtype=dtype, backend=backend)
        yield lambda: made.loss(X, y)
        yield lambda: made.train(X, np.ones(4), validation=(X, y), epochs=1)

    # Denormal numbers, which are 0 in the kernels, and what becomes 0 or one of them in this dtype.
    for value in (float(smallest) / 2, float(smallest) / 2**20, 1e-310, 5e-324):
        for use in uses(value):
            if loss.open:
                words = (
                    f"^(validation )?y: got {value!s} at row 2 with loss '{name}'; numbers above 0 are accepted, and "
                )
                with pytest.raises(ValueError, match=words):
                    use()
            else:
                use()  # they are 0, which the loss accepts
        for use in uses(-value):
            with pytest.raises(
                ValueError, match=f"^(validation )?y: got -{value!s} at row 2 with loss '{name}'; numbers "
            ):
                use()
    for use in uses(float(smallest) * 2):
        use()
    assert np.isfinite(made.loss(X, np.full(4, float(smallest) * 2)))


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: fastmlp.losses.huber(0), ValueError, "^delta: got 0.0, expected .* above 0"),
        (lambda: fastmlp.losses.huber("1"), TypeError, "^delta: got '1'"),
        (lambda: fastmlp.losses.quantile(), ValueError, r"^levels: got \[\]"),
        (lambda: fastmlp.losses.quantile(0.5, 0.5), ValueError, r"^levels: got \[0.5, 0.5\]; .* that rise"),
        (lambda: fastmlp.losses.quantile(0.0), ValueError, "^levels: got 0.0"),
        (lambda: fastmlp.losses.quantile(0.5, 1), ValueError, "^levels: got 1.0"),
        (
            lambda: fastmlp.Network((2, 3), loss=fastmlp.losses.quantile(0.1, 0.9)),
            ValueError,
            "^sizes: got 3 outputs with 2 quantiles; a multiple",
        ),
        (lambda: fastmlp.Network((2, 2), loss="gamma", classes=[0, 1]), ValueError, "^classes: got labels with loss"),
        (
            lambda: fastmlp.Network((2, 1), loss="poisson").predict_proba(np.zeros((1, 2))),
            ValueError,
            "^predict_proba: got a network trained with loss 'poisson'",
        ),
    ],
)
def test_losses_check_themselves(make, kind, words):
    with pytest.raises(kind, match=words):
        make()


@pytest.mark.parametrize("loss", [fastmlp.losses.huber(0.3), fastmlp.losses.quantile(0.1, 0.6), "gamma"], ids=str)
def test_files_keep_a_loss_and_its_settings(tmp_path, normal, loss):
    X, y = normal(20, 3), normal(20, seed=1) ** 2 + 0.1
    net = fastmlp.train(X, y, hidden=4, loss=loss, epochs=2, seed=0)
    net.save(tmp_path / "net")
    again = fastmlp.load(tmp_path / "net")
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    assert again.loss(X, y) == net.loss(X, y)
