"""Orders of a callable that are asked for together: no bit depends on how many."""

import re

import numpy as np
import pytest
from by_the_book import order_of
from inside import places
from trained import assert_same

import fastmlp
from fastmlp import EarlyStopping

ROWS = 90


def points(dtype=np.float64):
    """Rows and labels of three classes."""
    generator = np.random.default_rng(7)
    return generator.standard_normal((ROWS, 3)).astype(dtype), generator.integers(0, 3, ROWS)


def drawn(epoch):
    """Rows of which some come more than once, and some not at all."""
    return np.random.default_rng(epoch).integers(0, ROWS, ROWS)


def network(backend=None, hidden=(6,), dtype=np.float64, **options):
    given = {"loss": "cross_entropy", "seed": 3, "l2": 0.1} | options
    return fastmlp.Network((3, *hidden, 3), backend=backend, dtype=dtype, **given)


class Orders:
    """Gives orders, and remembers for which epochs it was asked; `ahead`: it may be asked before they begin."""

    def __init__(self, give, ahead=False):
        self.give, self.ahead, self.asked = give, ahead, []

    def __call__(self, epoch):
        self.asked.append(epoch)
        return self.give(epoch)


def as_the_seed(seed, first=0):
    """The orders that the kernels make of a seed, `first` epochs after the network's first."""
    return lambda epoch: order_of(seed, first + epoch, ROWS)


@pytest.fixture(params=[0, 1, 3, 100])
def ahead(request, monkeypatch):
    """Of how many epochs orders are asked for together; 0: of each where it begins."""
    places.switch(monkeypatch, ahead_numbers=request.param * ROWS)
    return request.param


@pytest.mark.parametrize(
    "together",
    [False, True],
)
def test_an_order_may_be_written_over_once_it_was_given(together):
    X, y = points()
    kept, net, other = np.empty(ROWS, np.int32), network(), network()

    def again(epoch):
        kept[:] = drawn(epoch)
        return kept

    net.train(X, y, batch_size=20, epochs=4, shuffle=Orders(again, together))
    other.train(X, y, batch_size=20, epochs=4, shuffle=drawn)
    assert_same(net, other)


# With the kernels' own orders handed in, everything has to come out as it does without.
LOOKERS = {
    "alone": {},
    "callbacks": {"callbacks": [lambda state: None]},
    "stopped": {"callbacks": [lambda s: s.epoch == 3]},
    "every": {"callbacks": [fastmlp.callbacks.Every(3, lambda state: None)]},
    "early stopping": {"early_stopping": EarlyStopping("val_loss", patience=8), "learning_rate": 0.02, "epochs": 40},
    "best is the last": {"early_stopping": EarlyStopping("loss", patience=50)},
    "plateau": {"learning_rate": fastmlp.schedules.OnPlateau(0.1, factor=0.5, patience=0, threshold=0.05)},
    "metrics": {"metrics": ["f1"]},
    "steps": {"learning_rate": fastmlp.schedules.Exponential(0.02, 0.95, unit="step")},
    "clipped": {"clip_norm": 0.1, "max_norm": 1.0},
}


@pytest.mark.parametrize("lookers", LOOKERS)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_whoever_looks_sees_what_there_is_to_see_with_a_seed(backend, lookers, n_threads, ahead):
    X, y = points()
    options = {"batch_size": 20, "epochs": 12, "validation": (X[:30], np.roll(y[:30], 1)), "n_threads": n_threads}
    options |= LOOKERS[lookers]
    orders, net, plain = Orders(as_the_seed(3), ahead > 0), network(backend), network(backend)
    net.train(X, y, **options, shuffle=orders)
    plain.train(X, y, **options)
    assert_same(net, plain)
    assert orders.asked == list(range(len(orders.asked))), "once an epoch"
    if not ahead:
        assert len(orders.asked) == len(net.history), "for none that was not trained"
    if lookers == "early stopping":
        # The best epoch ends no block of three, and lies blocks behind the last one.
        assert plain.history.best_epoch % 3 != 0
        assert plain.history.best_epoch + 8 == len(plain.history) < 40


def test_however_the_steps_are_cut_into_calls_it_is_asked_once_an_epoch(monkeypatch, backend):
    X, y = points()
    nets = []
    for first_steps, seconds in ((1, 0.0), (7, 0.0), (10**9, 1e9)):  # single steps; within epochs; as long as may be
        places.switch(monkeypatch, first_steps=first_steps, slice_seconds=seconds)
        orders, net = Orders(drawn), network(backend)
        net.train(X, y, batch_size=20, epochs=4, shuffle=orders)
        assert orders.asked == [0, 1, 2, 3]
        nets.append(net)
    assert_same(nets[0], nets[1])
    assert_same(nets[0], nets[2])


def test_orders_that_are_asked_for_together_make_longer_calls(monkeypatch):
    calls = places.count_kernel_calls(monkeypatch, places.backend.kernels(np.dtype(np.float64)))
    places.switch(monkeypatch, first_steps=10**9)
    places.switch(monkeypatch, ahead_numbers=5 * ROWS)
    X, y = points()
    for ahead, expected in ((False, 12), (True, 3)):
        calls.clear()
        network().train(X, y, batch_size=20, epochs=12, shuffle=Orders(drawn, ahead), n_threads=1)
        assert len(calls) == expected


def test_going_on_with_orders_that_are_asked_for_together(backend, ahead):
    X, y = points()
    net, plain = network(backend), network(backend)
    for epochs in (4, 1, 7):
        orders = Orders(as_the_seed(3, len(net.history)), ahead > 0)
        net.train(X, y, batch_size=20, epochs=epochs, shuffle=orders)
        assert orders.asked == list(range(epochs)), "none is asked for that no epoch could have"
    plain.train(X, y, batch_size=20, epochs=12)
    assert_same(net, plain)


def test_frames_are_those_of_a_seed(monkeypatch, backend, ahead):
    X, y = points()
    places.set_frames(monkeypatch, (0, 2, 3, 5))
    net, plain = network(backend), network(backend)
    net.train(X, y, batch_size=20, epochs=5, shuffle=Orders(as_the_seed(3), ahead > 0))
    plain.train(X, y, batch_size=20, epochs=5)
    assert [epoch for epoch, _ in net.history.frames] == [0, 2, 3, 5]
    for (_, one), (_, other) in zip(net.history.frames, plain.history.frames, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rate", [0.9, 3.0, 1e3, 1e6])
@pytest.mark.parametrize("watched", [False, True])
def test_a_divergence_goes_back_as_with_a_seed(backend, rate, watched, ahead):
    X, _ = points()
    nets, words = [], []
    for orders in (True, Orders(as_the_seed(3), ahead > 0)):
        net = fastmlp.Network((3, 6, 1), activation="identity", seed=3, backend=backend)
        with pytest.warns(fastmlp.DivergenceWarning) as seen:
            net.train(
                X,
                X[:, 0],
                optimizer=fastmlp.SGD(momentum=0.5),
                learning_rate=rate,
                batch_size=20,
                epochs=80,
                shuffle=orders,
                callbacks=[lambda state: None] if watched else (),
            )
        nets.append(net)
        words.append([str(warning.message) for warning in seen])
    assert words[0] == words[1]
    assert re.search("the weights (before the last step|of . steps before) came back", words[0][0])
    assert_same(*nets)
    assert orders.asked == list(range(len(orders.asked))), "no order is asked for again on the way back"
    if not ahead:
        assert len(orders.asked) == len(nets[1].history)


def test_a_large_network_goes_back_to_weights_that_were_kept(monkeypatch, backend):
    places.switch(monkeypatch, replayed_bytes=0)
    X, _ = points()
    orders = Orders(as_the_seed(3))
    net = fastmlp.Network((3, 6, 1), activation="identity", seed=3, backend=backend)
    with pytest.warns(fastmlp.DivergenceWarning):
        net.train(X, X[:, 0], optimizer="sgd", learning_rate=3.0, batch_size=20, epochs=80, shuffle=orders)
    assert np.isfinite(net.params).all()
    assert orders.asked == list(range(len(net.history)))
    net.train(X, X[:, 0], optimizer="sgd", learning_rate=0.01, batch_size=20, epochs=3, shuffle=drawn)
    assert np.isfinite(net.history.loss[-3:]).all()


# ==== stopping


def moons(rows=300, noise=0.3):
    return fastmlp.datasets.moons(rows, noise=noise, seed=0)


def fit(backend, **options):
    """A network that learns noise by heart before its epochs are over."""
    X, y = moons()
    given = {"hidden": 64, "learning_rate": 0.02, "epochs": 300, "batch_size": 32, "seed": 0, "validation": 0.3}
    return fastmlp.train(X, y, backend=backend, **given | options)


def permuted(epoch):
    """A new order of the 210 rows that are trained on."""
    return np.random.default_rng(epoch).permutation(210)


def bits(net):
    return net.params.tobytes(), net.history.loss.tobytes(), net.history.stopped, net.history.best_epoch


@pytest.mark.parametrize("block", [1, 3, 50])
@pytest.mark.parametrize(
    "rule",
    [
        None,
        EarlyStopping("val_loss", patience=5),
        EarlyStopping("loss", patience=3, min_delta=0.01),
        EarlyStopping("val_accuracy", patience=8, restore_best=False),
    ],
)
def test_orders_that_are_asked_for_ahead_change_no_bit(backend, monkeypatch, rule, block):
    options = {"hidden": 32, "epochs": 60, "early_stopping": rule}
    expected = bits(fit(backend, **options, shuffle=Orders(permuted, False)))
    places.switch(monkeypatch, ahead_numbers=210 * block)
    assert bits(fit(backend, **options, shuffle=Orders(permuted, True))) == expected
    assert bits(fit(backend, **options, shuffle=Orders(permuted, True), n_threads=2)) == expected


@pytest.mark.parametrize("block", [1, 2, 20])
def test_a_divergence_finds_the_orders_that_it_goes_back_to(backend, monkeypatch, block):
    options = {"hidden": 32, "learning_rate": 30.0, "optimizer": "sgd", "loss": "squared_error", "epochs": 40}

    def diverged(ahead):
        with pytest.warns(fastmlp.DivergenceWarning) as caught:
            net = fit(backend, **options, shuffle=Orders(permuted, ahead))
        return bits(net), str(caught[0].message)

    expected = diverged(False)
    places.switch(monkeypatch, ahead_numbers=210 * block)
    assert diverged(True) == expected
