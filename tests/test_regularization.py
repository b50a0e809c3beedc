"""Dropout, clipping and max_norm: formulas by hand, the same bits everywhere, and what contradicts them."""

import copy
import pickle

import numpy as np
import pytest
from inside import places

import fastmlp

THRESHOLD = 2**31


# ---- dropout: the units that are left out ------------------------------------------------------------------


def mask(rows, width, share=0.5, *, seed=1, epoch=0, layer=0, first=0, kernels=places.reference, dtype=np.float64):
    """Which units stay, as the kernels have it."""
    h, slopes = np.ones((rows, width), dtype), np.full((rows, width), 2, dtype)
    units = places.layout.DroppedUnits(round(share * THRESHOLD), seed, epoch, layer)
    kernels.dropout(h, slopes, units, first)
    np.testing.assert_array_equal(slopes, 2 * h)
    kept = h != 0
    # 1 / (1 - share), rounded once; the share in parts of 2^31, as it is compared with 31 random bits
    np.testing.assert_allclose(h[kept], 1 / (1 - round(share * THRESHOLD) / THRESHOLD), rtol=np.finfo(dtype).eps)
    return kept


@pytest.mark.parametrize("width", [1, 3, 16, 33, 100])
def test_every_build_leaves_out_the_same_units(kernels, dtype, width):
    for share, seed, epoch, layer, first in ((0.5, 0, 0, 0, 0), (0.1, 2**62 + 1, 7, 2, 900), (0.9, 5, 10**6, 1, 2**31)):
        given = {"seed": seed, "epoch": epoch, "layer": layer, "first": first}
        found = mask(37, width, share, **given, kernels=kernels, dtype=dtype)
        np.testing.assert_array_equal(found, mask(37, width, share, **given))


def test_units_follow_from_their_own_number():
    whole = mask(50, 20)
    np.testing.assert_array_equal(mask(30, 20, first=20), whole[20:])


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.75])
def test_the_share_that_is_left_out(share):
    rows, width = 400, 250
    kept = mask(rows, width, share)
    # Standard deviations of a binomial count; five of them are passed once in two million.
    for counts, size in ((kept.sum(), rows * width), (kept.sum(axis=0), rows), (kept.sum(axis=1), width)):
        off = np.abs(counts - (1 - share) * size) / np.sqrt(size * share * (1 - share))
        assert np.max(off) < 5


def test_masks_are_unrelated():
    rows, width = 300, 200
    first = mask(rows, width)
    others = {
        "another seed": mask(rows, width, seed=2),
        "the next epoch": mask(rows, width, epoch=1),
        "the next layer": mask(rows, width, layer=1),
        "the next rows": mask(rows, width, first=rows),
        "a far epoch": mask(rows, width, epoch=2**20),
        "the row above": np.roll(first, 1, axis=0),
        "the unit beside": np.roll(first, 1, axis=1),
        "turned over": first[::-1],
        "another width": mask(width, rows).T,
    }
    for name, other in others.items():
        correlation = np.corrcoef(first.ravel(), other.ravel())[0, 1]
        assert abs(correlation) < 5 / np.sqrt(rows * width), name
    # Runs of kept units: of every 8 neighbours all 256 patterns, each as often as the others.
    patterns = np.packbits(mask(4096, 64)).ravel()
    counts = np.bincount(patterns, minlength=256)
    chi_squared = ((counts - len(patterns) / 256) ** 2).sum() / (len(patterns) / 256)
    # 255 degrees of freedom: mean 255, standard deviation 22.6; five of them
    assert abs(chi_squared - 255) < 5 * 22.6


def step(net, X, y, rate=0.1, **options):
    """One full-batch step of plain SGD; returns the parameters before it."""
    before = net.params.copy()
    net.train(X, y, optimizer="sgd", learning_rate=rate, batch_size="full", epochs=1, **options)
    return before


def network(backend, dtype=np.float64, sizes=(6, 9, 7, 3), **options):
    options = {"activation": ("relu", "gelu"), "loss": "cross_entropy", "seed": 2} | options
    return fastmlp.Network(sizes, dtype=dtype, backend=backend, **options)


def rows(normal, count=60, inputs=6, classes=3, dtype=np.float64):
    return normal(count, inputs, dtype=dtype), np.random.default_rng(0).integers(0, classes, count)


def test_a_step_with_dropout_by_hand(backend, normal):
    # Two layers written out: h = relu(x W1 + b1) m / 0.6, z = h W2 + b2, squared error.
    X, y = normal(40, 5), normal(40, 2, seed=1)
    net = fastmlp.Network((5, 8, 2), seed=3, dropout=0.4, backend=backend)
    (W1, W2), (b1, b2) = (tuple(part.copy() for part in parts) for parts in (net.weights, net.biases))
    step(net, X, y, rate=0.1)
    m = mask(40, 8, 0.4, seed=3) / (1 - round(0.4 * THRESHOLD) / THRESHOLD)
    z = X @ W1 + b1
    h = np.maximum(z, 0) * m
    d2 = (h @ W2 + b2 - y) / 40
    d1 = (d2 @ W2.T) * (z > 0) * m
    expected = [W1 - 0.1 * X.T @ d1, W2 - 0.1 * h.T @ d2]
    for w, wanted in zip(net.weights, expected, strict=True):
        np.testing.assert_allclose(w, wanted, rtol=0, atol=1e-14)  # a dozen roundings of numbers below 3
    np.testing.assert_allclose(net.history.loss[0], 0.5 * ((h @ W2 + b2 - y) ** 2).sum() / 40, rtol=1e-13)


@pytest.mark.parametrize("batch", ["full", 16])
def test_kernels_drop_as_the_reference_does(backend, layout, dtype, batch, normal, tolerance):
    X, y = rows(normal, 90, dtype=dtype)
    net, twin = (network(name, dtype, dropout=(0.3, 0.6), l2=0.1) for name in (backend, "reference"))
    for each in (net, twin):
        each.train(X, y, batch_size=batch, epochs=4, optimizer=fastmlp.Adam(epsilon=1e-3), learning_rate=0.01)
    limit = tolerance("training with kinks", dtype)
    assert np.abs(net.params - twin.params).max() <= limit * np.abs(twin.params).max()
    np.testing.assert_allclose(net.history.loss, twin.history.loss, rtol=limit)
    np.testing.assert_allclose(net.history.layer_activations, twin.history.layer_activations, rtol=limit)
    np.testing.assert_allclose(net.history.layer_gradient_norms, twin.history.layer_gradient_norms, rtol=20 * limit)


@pytest.mark.parametrize("options", [{"clip_norm": 0.05}, {"clip_value": 0.003}, {"max_norm": 0.8}], ids=str)
@pytest.mark.parametrize("batch", [300, 64])
def test_the_same_bits_for_any_number_of_threads(backend, layout, dtype, options, batch, normal):
    if backend == places.backend.REFERENCE:
        pytest.skip("the reference computes in one thread")
    X, y = rows(normal, 300, dtype=dtype)
    trained = []
    for n_threads in (1, 2, 3, 4):
        net = network(backend, dtype, dropout=0.25, l1=0.01, l2=0.1)
        net.train(X, y, batch_size=batch, epochs=3, learning_rate=0.01, n_threads=n_threads, **options)
        trained.append(net)
    for net in trained[1:]:
        assert net.params.tobytes() == trained[0].params.tobytes()
        for name in ("loss", "accuracy", "gradient_norm", "layer_activations", "layer_gradient_norms"):
            assert getattr(net.history, name).tobytes() == getattr(trained[0].history, name).tobytes(), name


def test_going_on_leaves_out_what_an_unbroken_training_does(backend, dtype, normal):
    X, y = rows(normal, dtype=dtype)
    options = {"batch_size": 16, "optimizer": "adam", "clip_norm": 0.5, "max_norm": 1.5}
    at_once, in_parts = (network(backend, dtype, dropout=0.5) for _ in range(2))
    at_once.train(X, y, epochs=7, **options)
    in_parts.train(X, y, epochs=3, **options).train(X, y, epochs=4, **options)
    np.testing.assert_array_equal(in_parts.params, at_once.params)
    np.testing.assert_array_equal(in_parts.history.loss, at_once.history.loss)


def test_no_dropout_is_no_dropout(backend, normal):
    X, y = rows(normal)
    plain, none = (network(backend, activation="tanh", **options) for options in ({}, {"dropout": (0.0, 0.0)}))
    for net in (plain, none):
        net.train(X, y, epochs=3, batch_size=20)
    np.testing.assert_array_equal(plain.params, none.params)


def test_nothing_is_left_out_but_in_training(backend, normal):
    X, y = rows(normal)
    net, plain = network(backend, dropout=0.5), network(backend)
    np.testing.assert_array_equal(net.predict_proba(X), plain.predict_proba(X))
    assert net.loss(X, y) == plain.loss(X, y)
    np.testing.assert_array_equal(net.gradient(X, y), plain.gradient(X, y))
    assert net.score(X, y) == plain.score(X, y)
    net.train(X, y, epochs=2, validation=(X, y))
    np.testing.assert_allclose(net.history.val_loss[-1], net.loss(X, y), rtol=1e-12)
    assert net.history.val_accuracy[-1] == net.score(X, y)
    assert net.history.loss[-1] != net.history.val_loss[-2]


@pytest.mark.slow
def test_dropout_makes_noise_harder_to_learn_by_heart():
    X, y = fastmlp.datasets.moons(120, noise=0.4, seed=0)
    X_new, y_new = fastmlp.datasets.moons(2000, noise=0.4, seed=1)
    options = {"hidden": (256, 256), "epochs": 400, "learning_rate": 0.005, "seed": 0, "batch_size": 32}
    losses = [fastmlp.train(X, y, dropout=share, **options).loss(X_new, y_new) for share in (0.0, 0.5)]
    assert losses[1] < 0.7 * losses[0]


# ---- dropout that changes over the epochs -------------------------------------------------------------------

# One answer per epoch: for all layers or one each, equal ones in a row, and none in either layer, which keeps less.
ANSWERS = (0, (0.2, 0.4), [0.2, 0.4], 0.5, np.float32(0.25), (0.3, 0), np.array([0.0, 0.6]), 0.0, np.array(0.1))


class Answers:
    """A callable that can be pickled, and remembers the epochs that it was asked for."""

    def __init__(self, answers=ANSWERS):
        self.answers, self.asked = answers, []

    def __call__(self, epoch):
        self.asked.append(epoch)
        return self.answers[epoch]


def assert_same(net, other):
    assert net.params.tobytes() == other.params.tobytes()
    assert places.slots(net).tobytes() == places.slots(other).tobytes()
    for name in ("loss", "accuracy", "gradient_norm", "layer_epochs", "layer_activations", "layer_gradient_norms"):
        np.testing.assert_array_equal(getattr(net.history, name), getattr(other.history, name), name)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("batch", ["full", 64])
def test_a_callable_leaves_out_what_it_answers_for_each_epoch(backend, layout, dtype, batch, n_threads, normal):
    X, y = rows(normal, 300, dtype=dtype)
    options = {"batch_size": batch, "learning_rate": 0.01, "clip_norm": 0.5, "n_threads": n_threads}
    net, by_hand = network(backend, dtype, dropout=Answers(), l2=0.1), network(backend, dtype, l2=0.1)
    net.train(X, y, epochs=len(ANSWERS), **options)
    for fractions in ANSWERS:
        by_hand.dropout = fractions
        by_hand.train(X, y, epochs=1, **options)
    assert_same(net, by_hand)
    assert net.dropout.asked == list(range(len(ANSWERS))), "once per epoch"


@pytest.mark.parametrize("fractions", [0, 0.0, 0.3, (0.0, 0.5)], ids=str)
@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_a_callable_whose_answer_stays_is_that_number(backend, layout, dtype, fractions, activation, normal):
    X, y = rows(normal, 300, dtype=dtype)
    net, plain = (
        network(backend, dtype, activation=activation, dropout=dropout) for dropout in (lambda _: fractions, fractions)
    )
    for each in (net, plain):
        each.train(X, y, epochs=4, batch_size=150, validation=(X, y))
    assert_same(net, plain)
    np.testing.assert_array_equal(net.history.val_loss, plain.history.val_loss)
    assert net.loss(X, y) == plain.loss(X, y)


@pytest.mark.parametrize("batch", ["full", 16])
def test_a_callable_counts_the_epochs_of_all_trainings(backend, dtype, batch, normal):
    X, y = rows(normal, dtype=dtype)
    at_once, in_parts, chunks = (network(backend, dtype, dropout=Answers()) for _ in range(3))
    options = {"batch_size": batch, "learning_rate": 0.01}
    at_once.train(X, y, epochs=9, **options)
    in_parts.train(X, y, epochs=3, **options)
    in_parts = pickle.loads(pickle.dumps(copy.deepcopy(in_parts)))
    in_parts.train(X, y, epochs=6, **options)
    for _ in range(9):
        chunks.partial_train(X, y, **options)
    assert_same(in_parts, at_once)
    assert_same(chunks, at_once)
    assert at_once.dropout.asked == in_parts.dropout.asked == chunks.dropout.asked == list(range(9))


def test_a_callable_is_asked_some_epochs_ahead(normal):
    X, y = rows(normal, 12)
    asked = []

    def answer(epoch):
        asked.append(epoch)
        return 0.5 / (1 + epoch)

    net = network(None, dropout=answer)
    net.train(X, y, epochs=2500, callbacks=[lambda state: state.epoch == 1500])
    assert asked == list(range(2048)), "in blocks, each once it is needed"


@pytest.mark.parametrize("batch", ["full", 32])
def test_what_is_gone_back_to_leaves_out_what_it_did(backend, batch, monkeypatch, normal):
    # Stopping is inspected after calls of many epochs, and the best weights are found by running again; with a callback
    # every epoch is the end of a call.
    places.switch(monkeypatch, lookback_seconds=10.0)
    X, y = rows(normal)
    rng = np.random.default_rng(0)
    answers = [rng.choice([0, 0.1, 0.4]) if epoch % 3 else (0.5 * rng.random(), 0) for epoch in range(200)]
    rule = fastmlp.EarlyStopping("val_loss", patience=25)
    options = {"epochs": 200, "batch_size": batch, "validation": (X[:20], y[:20]), "early_stopping": rule}
    schedule = fastmlp.schedules.OnPlateau(0.05, factor=0.7, patience=2)
    back, watched = (network(backend, dropout=Answers(answers)) for _ in range(2))
    back.train(X[20:], y[20:], **options, learning_rate=schedule)
    watched.train(X[20:], y[20:], **options, learning_rate=schedule, callbacks=[lambda state: None])
    assert_same(back, watched)
    assert back.history.best_epoch == watched.history.best_epoch < len(back.history) < 200
    assert back.dropout.asked == list(range(200)), "what is gone back to is not asked for again"


def test_a_divergence_goes_back_by_the_same_units(backend, monkeypatch, normal):
    X, y = normal(40, 3), normal(40, 1, seed=1)
    answers, rising = [0.05 * (epoch % 4) for epoch in range(999)], fastmlp.schedules.Exponential(0.01, 1.5)
    nets = []
    for seconds in (1e9, 0.0):  # kept: the first moment alone, from which all is run again; and each call's
        places.switch(monkeypatch, kept_seconds=seconds, first_steps=3, max_growth=1)
        nets.append(
            fastmlp.Network((3, 4, 1), activation="identity", dropout=Answers(answers), seed=1, backend=backend)
        )
        with pytest.warns(
            fastmlp.DivergenceWarning, match="the weights (before the last step|of . steps before) came back"
        ):
            nets[-1].train(X, y, optimizer="sgd", learning_rate=rising, batch_size=20, epochs=999)
    assert_same(*nets)
    assert 8 < len(nets[0].history) < 999


@pytest.mark.parametrize("orders", ["seed", "callable", "together"])
def test_sparse_rows_and_given_orders_with_a_callable(backend, orders, monkeypatch, normal):
    scipy_sparse = pytest.importorskip("scipy.sparse")
    X, y = rows(normal)
    X[np.abs(X) < 0.5] = 0
    places.switch(monkeypatch, window_bytes=2 * 8 * X[:8].nbytes, ahead_numbers=4 * len(X))

    def drawn(epoch):
        return np.random.default_rng(epoch).permutation(len(X))

    drawn.ahead = orders == "together"
    shuffle = True if orders == "seed" else drawn
    dense, sparse, by_hand = (network(backend, dropout=Answers()) for _ in range(3))
    dense.train(X, y, epochs=9, batch_size=8, shuffle=shuffle)
    sparse.train(places.SparseRows(scipy_sparse.csr_array(X), dense.dtype), y, epochs=9, batch_size=8, shuffle=shuffle)
    assert_same(sparse, dense)
    for epoch, fractions in enumerate(ANSWERS):
        by_hand.dropout = fractions
        by_hand.train(X, y, epochs=1, batch_size=8, shuffle=shuffle if shuffle is True else lambda _, e=epoch: drawn(e))
    assert_same(by_hand, dense)


@pytest.mark.parametrize("before", [0.2, lambda epoch: 0.1 * (epoch % 3)], ids=["number", "callable"])
@pytest.mark.parametrize("after", [0.0, 0.4, lambda epoch: 0.05 * epoch], ids=["0", "0.4", "callable"])
def test_a_callback_replaces_a_callable_and_by_one(backend, before, after, normal):
    X, y = rows(normal)
    net, twin = (network(backend, dropout=before) for _ in range(2))

    def assign(state):
        if state.epoch == 4:
            state.network.dropout = after

    net.train(X, y, epochs=9, batch_size=16, callbacks=[assign])
    twin.train(X, y, epochs=4, batch_size=16)
    twin.dropout = after
    twin.train(X, y, epochs=5, batch_size=16)
    assert_same(net, twin)
    assert net.dropout == twin.dropout


def test_what_a_callback_assigns_beside_does_not_ask_again(normal):
    X, y = rows(normal)
    net = network(None, dropout=Answers())

    def assign(state):
        state.network.l2 = 0.1 * state.epoch

    net.train(X, y, epochs=9, callbacks=[assign])
    assert net.dropout.asked == list(range(9))


@pytest.mark.parametrize(
    ("answer", "kind", "shown"),
    [
        (1.5, ValueError, "1.5"),
        (1, ValueError, "1"),
        (np.float64(1.5), ValueError, "1.5"),
        (float("nan"), ValueError, "nan"),
        (-0.1, ValueError, "-0.1"),
        ([0.1, 1.5], ValueError, r"\[0.1, 1.5\]"),
        (np.array([0.5]), ValueError, r"\[0.5\]"),
        ((), ValueError, r"\(\)"),
        (None, TypeError, "None"),
        ("half", TypeError, "'half'"),
        (True, TypeError, "True"),
        ((0.1, "a"), TypeError, r"\(0.1, 'a'\)"),
        (np.zeros((1, 2)), TypeError, r"\[\[0.0, 0.0\]\]"),
        (lambda _: 0.1, TypeError, "<function .*>"),
    ],
    ids=repr,
)
def test_answers_that_cannot_be_used_are_refused_before_anything_is_touched(answer, kind, shown, normal):
    X, y = rows(normal)
    schedule = fastmlp.schedules.Exponential(0.1, 0.9)
    net, twin = (network(None, dropout=lambda epoch: answer if epoch == 7 else 0.1) for _ in range(2))
    for each in (net, twin):
        each.train(X, y, epochs=4, learning_rate=schedule)
    message = f"^dropout: got {shown} for epoch 7; numbers of at least 0 and below 1, .* 2 hidden layers, are"
    with pytest.raises(kind, match=message) as caught:
        net.train(X, y, epochs=4, learning_rate=0.5)
    assert "\n" not in str(caught.value)
    assert_same(net, twin)
    for each in (net, twin):
        each.dropout = 0.1
        each.train(X, y, epochs=4, learning_rate=schedule)
    assert_same(net, twin)


def test_an_answer_far_ahead_keeps_what_was_trained(normal):
    X, y = rows(normal, 12)
    net, twin = (network(None, dropout=lambda epoch: 2.0 if epoch == 1500 else 0.1) for _ in range(2))
    with pytest.raises(ValueError, match="^dropout: got 2.0 for epoch 1500") as caught:
        net.train(X, y, epochs=2000)
    assert caught.value.network is net
    twin.train(X, y, epochs=1024)
    assert_same(net, twin)


def test_callables_at_the_door(normal):
    X, y = normal(20, 2), normal(20)
    options = {"hidden": 4, "epochs": 5, "seed": 0}
    number, answer = (fastmlp.train(X, y, dropout=given, **options) for given in (0.5, lambda _: 0.5))
    np.testing.assert_array_equal(answer.params, number.params)
    with pytest.raises(ValueError, match="^dropout: got <function .*> with optimizer 'lbfgs', .*'adam'"):
        fastmlp.train(X, y, hidden=4, optimizer="lbfgs", dropout=lambda _: 0.0)

    class Empty(Answers):
        def __len__(self):
            return 0

    with pytest.raises(ValueError, match="^dropout: got <.*Empty object .*> with optimizer 'lbfgs'"):
        fastmlp.train(X, y, hidden=4, optimizer="lbfgs", dropout=Empty())
    with pytest.raises(TypeError, match="^dropout: got <class 'float'>"):
        fastmlp.Network((2, 4, 1), dropout=float)
    for wrong in (lambda: 0.5, lambda epoch, layer: 0.5):
        with pytest.raises(TypeError, match="^dropout: got <function .*>, which cannot be called with an epoch"):
            fastmlp.Network((2, 4, 1), dropout=wrong)
    linear = fastmlp.Network((2, 1), dropout=lambda epoch: 0.5 * (epoch == 3))
    linear.train(X, y, epochs=3)
    with pytest.raises(ValueError, match="^dropout: got 0.5 for epoch 3; .* only 0 without hidden ones, are accepted"):
        linear.train(X, y, epochs=1)


def test_a_callable_can_be_replaced_read_and_checked(normal):
    X, y = rows(normal)
    net = network(None, activation="tanh", dropout=lambda epoch: 0.3 + 0.1 * epoch)
    twin = network(None, activation="tanh", dropout=0.3)
    assert net.dropout(0) == 0.3
    assert fastmlp.diagnostics.check_gradient(net, X, y).ok
    np.testing.assert_array_equal(places.dropped_gradient(net, X, y), places.dropped_gradient(twin, X, y))
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(net)
    net.dropout = 0.3
    assert pickle.loads(pickle.dumps(net)).dropout == (0.3, 0.3)


def test_files_keep_the_fractions_of_the_last_epoch(tmp_path, normal):
    X, y = rows(normal)
    net = network(None, dropout=Answers())
    for epochs, expected in ((0, (0.0, 0.0)), (2, (0.2, 0.4)), (9, (0.1, 0.1))):
        if epochs:
            net.train(X, y, epochs=epochs - len(net.history))
        with pytest.warns(
            UserWarning, match="^dropout: got a callable, which a file does not keep; .* assign"
        ) as caught:
            net.save(tmp_path / "net")
        assert caught[0].filename == __file__
        assert fastmlp.load(tmp_path / "net").dropout == expected
    net.dropout = lambda epoch: 1.5 * epoch
    with pytest.raises(ValueError, match="^dropout: got 12.0 for epoch 8"):
        net.save(tmp_path / "net")
    assert fastmlp.load(tmp_path / "net").dropout == expected, "the file is as it was"


# ---- clipping ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [{}, {"l1": 0.3, "l2": 0.7}])
def test_clipping_by_hand(backend, layout, dtype, penalty, normal, tolerance):
    X, y = rows(normal, dtype=dtype)
    limit = 4 * tolerance("gradient", dtype)
    for options in ({"clip_value": 0.01}, {"clip_norm": 0.02}, {"clip_norm": 1e6}, {"clip_value": 1e6}):
        net = network(backend, dtype, **penalty)
        gradient = net.gradient(X, y).astype(np.float64)
        before = step(net, X, y, rate=1.0, **options).astype(np.float64)
        norm = np.linalg.norm(gradient)
        if "clip_value" in options:
            expected = np.clip(gradient, -options["clip_value"], options["clip_value"])
        else:
            expected = gradient * min(1, options["clip_norm"] / (norm + 1e-6))
        # the step is the difference of two parameters of order 1
        atol = limit * np.abs(gradient).max() + 2 * np.finfo(dtype).eps
        np.testing.assert_allclose(before - net.params, expected, rtol=0, atol=atol)
        assert net.history.gradient_norm[0] == pytest.approx(norm, rel=limit), "of the gradient before clipping"


def test_clipping_keeps_a_large_rate_from_exploding(backend, normal):
    X, y = normal(100, 4), 50 * normal(100, seed=1)
    options = {"hidden": 20, "optimizer": "sgd", "learning_rate": 0.5, "epochs": 60, "seed": 0, "backend": backend}
    with pytest.warns(fastmlp.DivergenceWarning):
        fastmlp.train(X, y, **options)
    for clip in ({"clip_norm": 1.0}, {"clip_value": 0.1}):
        net = fastmlp.train(X, y, **options, **clip)
        assert net.history.loss[-1] < net.history.loss[0]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("clip_norm", [1.0, 1e-3])
def test_gradients_whose_squares_overflow_are_clipped(backend, layout, dtype, clip_norm, threads, every_thread, normal):
    # A feature of 1e20 in float32 and of 1e160 in float64; near the largest numbers even clip_norm / norm vanishes.
    for size in (np.finfo(dtype).max ** 0.52, np.finfo(dtype).max / 64):
        X, y = normal(30, 3, dtype=dtype), normal(30, seed=1, dtype=dtype)
        X[:, 1] = size * np.sign(y)
        net = fastmlp.Network((3, 1), loss="absolute_error", seed=0, dtype=dtype, backend=backend)
        net.params[:] = 0
        gradient = net.gradient(X, y).astype(np.longdouble)
        norm = np.sqrt((gradient**2).sum())
        options = {"optimizer": "sgd", "learning_rate": 1.0, "batch_size": "full", "epochs": 1, "n_threads": threads}
        net.train(X, y, clip_norm=clip_norm, **options)
        # The step is clip_norm long, along the gradient: three roundings, and one of the norm's own.
        limit = 8 * np.finfo(dtype).eps
        np.testing.assert_allclose(-net.params, clip_norm * gradient / norm, rtol=limit, atol=limit * clip_norm)
        assert net.history.gradient_norm[0] == pytest.approx(float(norm), rel=float(limit))
        np.testing.assert_allclose(net.history.layer_gradient_norms, [[float(norm)]], rtol=limit)


# ---- max_norm ----------------------------------------------------------------------------------------------


def test_max_norm_by_hand(backend, layout, dtype, normal, tolerance):
    X, y = rows(normal, dtype=dtype)
    largest = 0.9
    net = network(backend, dtype)
    free = network(backend, dtype)
    step(free, X, y)
    step(net, X, y, max_norm=largest)
    changed = 0
    for w, unbound in zip(net.weights, free.weights, strict=True):
        norms = np.linalg.norm(unbound.astype(np.float64), axis=0)
        expected = unbound * np.minimum(1, largest / norms)
        np.testing.assert_allclose(w, expected, rtol=8 * np.finfo(dtype).eps, atol=0)  # root, quotient, product, sum
        changed += int((norms > largest).sum())
        np.testing.assert_array_equal(w[:, norms <= largest], unbound[:, norms <= largest])
    assert 3 < changed < 19, "some units are bound, and some are not"
    for b, unbound in zip(net.biases, free.biases, strict=True):
        np.testing.assert_array_equal(b, unbound)


def test_max_norm_holds_and_the_penalty_is_that_of_what_is_left(backend, layout, normal):
    X, y = rows(normal)
    net = network(backend, l1=0.2, l2=0.5)
    for _ in range(4):
        net.train(X, y, epochs=1, batch_size=60, learning_rate=0.05, max_norm=0.7, shuffle=False)
        for w in net.weights:
            assert np.linalg.norm(w, axis=0).max() <= 0.7 * (1 + 1e-12)
    again = network(backend, l1=0.2, l2=0.5)
    again.train(X, y, epochs=4, batch_size=60, learning_rate=0.05, max_norm=0.7, shuffle=False)
    np.testing.assert_array_equal(again.params, net.params)
    # within one call, the penalty of an epoch is that of the weights that were cut after the one before
    np.testing.assert_allclose(again.history.loss, net.history.loss, rtol=1e-13)


@pytest.mark.filterwarnings("ignore:learning_rate. got 0")
def test_weights_whose_squares_overflow_are_cut_too(backend, dtype, normal):
    X, y = rows(normal, dtype=dtype)
    net = network(backend, dtype)
    net.weights[0][:] *= dtype.type(1e20 if dtype == np.float32 else 1e160)
    before = net.weights[0].astype(np.longdouble)
    step(net, X, y, rate=0.0, max_norm=0.5)
    expected = before * (0.5 / np.sqrt((before**2).sum(axis=0)))
    np.testing.assert_allclose(net.weights[0], expected.astype(np.float64), rtol=16 * np.finfo(dtype).eps)


def test_dropout_may_be_set_later(backend, normal):
    X, y = rows(normal)
    net, twin = network(backend), network(backend, dropout=0.4)
    net.dropout = 0.4
    assert net.dropout == (0.4, 0.4)
    for each in (net, twin):
        each.train(X, y, epochs=3)
    np.testing.assert_array_equal(net.params, twin.params)
    with pytest.raises(ValueError, match="^dropout: got 1.0"):
        net.dropout = 1.0


@pytest.mark.filterwarnings("ignore:learning_rate. got 0")
def test_a_column_of_zeros_stays(backend, normal):
    X, y = rows(normal)
    net = network(backend, activation="relu")
    for w, b in zip(net.weights, net.biases, strict=True):
        w[:], b[:] = 0, 0
    step(net, X, y, rate=0.0, max_norm=0.5)
    np.testing.assert_array_equal(net.params, 0)


# ---- together ----------------------------------------------------------------------------------------------

EVERYTHING = [
    {"dropout": 0.3, "clip_norm": 0.1, "max_norm": 0.9},
    {"dropout": (0.0, 0.5), "clip_value": 0.01, "max_norm": 2.0},
    {"clip_norm": 0.3},
    {"clip_value": 0.02},
    {"max_norm": 0.7},
]


@pytest.mark.parametrize("options", EVERYTHING, ids=str)
@pytest.mark.parametrize("optimizer", [fastmlp.SGD(momentum=0.9), fastmlp.RMSprop(epsilon=1e-3)], ids=repr)
def test_kernels_train_as_the_reference_does(backend, layout, dtype, options, optimizer, normal, tolerance):
    X, y = rows(normal, 90, dtype=dtype)
    given = dict(options)
    making = {"dropout": given.pop("dropout", 0.0), "l1": 0.05, "l2": 0.2, "activation": ("silu", "tanh")}
    net, twin = (network(name, dtype, **making) for name in (backend, "reference"))
    for each in (net, twin):
        each.train(X, y, batch_size=25, epochs=4, optimizer=optimizer, learning_rate=0.01, **given)
    limit = tolerance("training", dtype)
    assert np.abs(net.params - twin.params).max() <= limit * np.abs(twin.params).max()
    np.testing.assert_allclose(net.history.loss, twin.history.loss, rtol=limit)
    np.testing.assert_allclose(net.history.gradient_norm, twin.history.gradient_norm, rtol=20 * limit)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"dropout": 1.0}, ValueError, "^dropout: got 1.0, expected .* below 1"),
        ({"dropout": -0.1}, ValueError, "^dropout: got -0.1"),
        ({"dropout": "half"}, TypeError, "^dropout: got 'half'"),
        ({"dropout": [0.1, 0.2]}, ValueError, "^dropout: got 2 fractions for 1 hidden layers"),
        ({"dropout": [1.5]}, ValueError, r"^dropout\[0\]: got 1.5"),
        ({"dropout": 0.5, "hidden": ()}, ValueError, "^dropout: got 0.5 without a hidden layer"),
        ({"clip_norm": 0}, ValueError, "^clip_norm: got 0.0, expected .* above 0"),
        ({"clip_value": -1}, ValueError, "^clip_value: got -1.0"),
        ({"max_norm": np.inf}, ValueError, "^max_norm: got inf"),
        ({"max_norm": "1"}, TypeError, "^max_norm: got '1'"),
        ({"clip_norm": 1.0, "clip_value": 1.0}, ValueError, "^clip_norm: got 1.0 together with clip_value 1.0; one of"),
        ({"optimizer": "lbfgs", "dropout": 0.5}, ValueError, "^dropout: got 0.5 with optimizer 'lbfgs', .*'adam'"),
        ({"optimizer": "lbfgs", "clip_norm": 1.0}, ValueError, "^clip_norm: got 1.0 with optimizer 'lbfgs'"),
        ({"optimizer": "lbfgs", "max_norm": 1.0}, ValueError, "^max_norm: got 1.0 with optimizer 'lbfgs'"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused(normal, options, kind, words):
    with pytest.raises(kind, match=words):
        fastmlp.train(normal(20, 2), normal(20), **({"hidden": 4, "epochs": 1} | options))


def test_files_keep_dropout(tmp_path, normal):
    X, y = rows(normal)
    net = network(None, dropout=(0.25, 0.5))
    net.save(tmp_path / "net")
    again = fastmlp.load(tmp_path / "net")
    assert again.dropout == (0.25, 0.5)
    for each in (net, again):
        each.train(X, y, epochs=2)
    np.testing.assert_array_equal(again.params, net.params)
