"""The order of the rows: a permutation that seed and epoch name, the same on every build, and even; or a callable's."""

import numpy as np
import pytest

import fastmlp
from fastmlp import EarlyStopping, _orders, _reference, training


def shuffled(module, seed, epoch, size):
    """The order of one epoch."""
    order = np.full(size, -1, np.int32)
    module.shuffle(order, seed, epoch, size)
    return order


def by_the_book(seed, epoch, size):
    """The same in Python's whole numbers: SplitMix64's mixing draws the partners of a Fisher-Yates shuffle."""
    mask, golden = 2**64 - 1, 0x9E3779B97F4A7C15

    def mix(z):
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    key = mix((seed + golden * (epoch + 1)) & mask)
    order = list(range(size))
    for i in range(size - 1, 0, -1):
        j = (mix((key + golden * i) & mask) >> 32) * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    return order


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 1797])
@pytest.mark.parametrize("seed", [0, 1, 2017, 2**32, 2**63 - 1])
def test_a_permutation_by_the_book(kernels, seed, size):
    for epoch in (0, 1, 2, 1_000_000_007):
        order = shuffled(kernels, seed, epoch, size)
        np.testing.assert_array_equal(np.sort(order), np.arange(size))
        np.testing.assert_array_equal(order, by_the_book(seed, epoch, size))
        np.testing.assert_array_equal(order, shuffled(_reference, seed, epoch, size))


def test_the_same_on_every_machine(kernels):
    # Written down once: a training must come out the same in the next version.
    assert shuffled(kernels, 2017, 0, 10).tolist() == [0, 6, 3, 1, 8, 7, 9, 4, 5, 2]


def test_it_forgets_the_order_before(kernels):
    order = shuffled(kernels, 5, 0, 50)
    kernels.shuffle(order, 5, 1, 50)
    np.testing.assert_array_equal(order, shuffled(kernels, 5, 1, 50))


def test_it_differs_by_epoch_and_seed(kernels):
    orders = [shuffled(kernels, seed, epoch, 200).tobytes() for seed in range(10) for epoch in range(10)]
    assert len(set(orders)) == 100


@pytest.mark.parametrize("vary", ["epoch", "seed"])
def test_every_row_comes_to_every_place(kernels, vary):
    size, draws = 8, 4000
    counts = np.zeros((size, size))
    for i in range(draws):
        counts[np.arange(size), shuffled(kernels, *((3, i) if vary == "epoch" else (i, 3)), size)] += 1
    expected = draws / size
    chi_square = ((counts - expected) ** 2 / expected).sum()
    # (8 - 1)² = 49 degrees of freedom, a standard deviation of sqrt(98) = 9.9: four of these on both sides. Orders
    # that are even in truth fall outside once in 10,000 seeds, and this seed stays as it is.
    assert 49 - 4 * 9.9 < chi_square < 49 + 4 * 9.9


def test_every_order_is_as_likely(kernels):
    draws = 4800
    orders = [tuple(shuffled(kernels, 7, epoch, 4).tolist()) for epoch in range(draws)]
    counts = np.array([orders.count(order) for order in set(orders)])
    assert len(counts) == 24
    # 23 degrees of freedom, a standard deviation of sqrt(46) = 6.8: four of these.
    assert ((counts - draws / 24) ** 2 / (draws / 24)).sum() < 23 + 4 * 6.8


def test_places_of_neighbours_have_nothing_to_do_with_each_other(kernels):
    size, draws = 500, 40
    for epoch in range(draws):
        order = shuffled(kernels, 1, epoch, size)
        next_order = shuffled(kernels, 1, epoch + 1, size)
        # A correlation of independent orders has a standard deviation of 1 / sqrt(499) = 0.045; 160 of them stay
        # within four of these but for one seed in a hundred.
        assert abs(np.corrcoef(order, next_order)[0, 1]) < 0.18
        assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.18


# ---- orders of one's own -------------------------------------------------------------------------------------

ROWS = 90


def points(dtype=np.float64):
    """Rows and labels of three classes."""
    generator = np.random.default_rng(7)
    return generator.standard_normal((ROWS, 3)).astype(dtype), generator.integers(0, 3, ROWS)


class Orders:
    """Gives orders, and remembers for which epochs it was asked; `ahead`: it may be asked before they begin."""

    def __init__(self, give, ahead=False):
        self.give, self.ahead, self.asked = give, ahead, []

    def __call__(self, epoch):
        self.asked.append(epoch)
        return self.give(epoch)


def drawn(epoch):
    """Rows of which some come more than once, and some not at all."""
    return np.random.default_rng(epoch).integers(0, ROWS, ROWS)


def as_the_seed(seed, first=0):
    """The orders that the kernels make of a seed, `first` epochs after the network's first."""
    return lambda epoch: shuffled(_reference, seed, first + epoch, ROWS)


@pytest.fixture(params=[0, 1, 3, 100])
def ahead(request, monkeypatch):
    """Of how many epochs orders are asked for together; 0: of each where it begins."""
    monkeypatch.setattr(_orders, "_AHEAD_NUMBERS", request.param * ROWS)
    return request.param


def network(backend=None, hidden=(6,), dtype=np.float64, **options):
    given = {"loss": "cross_entropy", "seed": 3, "l2": 0.1} | options
    return fastmlp.Network((3, *hidden, 3), backend=backend, dtype=dtype, **given)


def assert_same(one, other):
    """The same bits: parameters, the optimizer's state, and everything of the history that is no time."""
    np.testing.assert_array_equal(one.params, other.params)
    np.testing.assert_array_equal(one._state.slots, other._state.slots)
    for name in ("loss", "accuracy", "val_loss", "learning_rate", "gradient_norm", "layer_gradient_norms"):
        np.testing.assert_array_equal(getattr(one.history, name), getattr(other.history, name), name)
    for name in ("stopped", "best_epoch"):
        assert getattr(one.history, name) == getattr(other.history, name), name


@pytest.mark.parametrize("hidden", [(6,), (100, 100)], ids=["narrow", "wide"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_callable_says_which_rows_come_when(backend, dtype, hidden, dropout):
    X, y = points(dtype)
    by_hand = network(backend, hidden, dtype, dropout=dropout)
    for epoch in range(3):
        order = drawn(epoch)
        assert len(np.unique(order)) < ROWS, "rows repeat"
        by_hand.train(X[order], y[order], batch_size=20, epochs=1, shuffle=False, n_threads=1)
    for n_threads in (1, 2, 3):
        orders, net = Orders(drawn), network(backend, hidden, dtype, dropout=dropout)
        net.train(X, y, batch_size=20, epochs=3, shuffle=orders, n_threads=n_threads)
        assert orders.asked == [0, 1, 2]
        assert_same(net, by_hand)


def test_weights_and_targets_come_with_their_rows(backend, normal):
    X, y, weights = normal(ROWS, 3), normal(ROWS, 2), np.random.default_rng(1).uniform(0, 2, ROWS)
    nets = [fastmlp.Network((3, 5, 2), seed=0, backend=backend) for _ in range(2)]
    options = {"batch_size": 20, "epochs": 1}
    # A permutation, which leaves the weights' mean as it is, but for the order of its sum: 1e-16 of every weight.
    order = shuffled(_reference, 5, 0, ROWS)
    nets[0].train(X, y, sample_weight=weights, shuffle=lambda epoch: order, **options)
    nets[1].train(X[order], y[order], sample_weight=weights[order], shuffle=False, **options)
    np.testing.assert_allclose(nets[0].params, nets[1].params, rtol=1e-12)
    plain = fastmlp.Network((3, 5, 2), seed=0, backend=backend)
    plain.train(X, y, sample_weight=weights, shuffle=False, **options)
    assert np.abs(nets[0].params - plain.params).max() > 1e-6


@pytest.mark.parametrize("make", [list, tuple, lambda order: order.astype(np.uint8), lambda order: order[::-1][::-1]])
def test_whole_numbers_of_every_kind_are_an_order(make):
    X, y = points()
    plain, net = network(), network()
    plain.train(X, y, batch_size=20, epochs=2)
    net.train(X, y, batch_size=20, epochs=2, shuffle=lambda epoch: make(as_the_seed(3)(epoch)))
    assert_same(net, plain)


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
    "alone": {}, "callbacks": {"callbacks": [lambda state: None]}, "stopped": {"callbacks": [lambda s: s.epoch == 3]},
    "every": {"callbacks": [fastmlp.callbacks.Every(3, lambda state: None)]},
    "early stopping": {"early_stopping": EarlyStopping("val_loss", patience=8), "learning_rate": 0.02, "epochs": 40},
    "best is the last": {"early_stopping": EarlyStopping("loss", patience=50)},
    "plateau": {"learning_rate": fastmlp.schedules.OnPlateau(0.1, factor=0.5, patience=0, threshold=0.05)},
    "metrics": {"metrics": ["f1"]}, "steps": {"learning_rate": fastmlp.schedules.Exponential(0.02, 0.95, unit="step")},
    "clipped": {"clip_norm": 0.1, "max_norm": 1.0},
}  # fmt: skip


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
        monkeypatch.setattr(training, "_FIRST_STEPS", first_steps)
        monkeypatch.setattr(training, "SLICE_SECONDS", seconds)
        orders, net = Orders(drawn), network(backend)
        net.train(X, y, batch_size=20, epochs=4, shuffle=orders)
        assert orders.asked == [0, 1, 2, 3]
        nets.append(net)
    assert_same(nets[0], nets[1])
    assert_same(nets[0], nets[2])


def test_orders_that_are_asked_for_together_make_longer_calls(monkeypatch):
    kernels, calls = fastmlp._backend.kernels(np.dtype(np.float64)), []
    given = kernels.train
    monkeypatch.setattr(kernels, "train", lambda *arguments: (calls.append(1), given(*arguments)))
    monkeypatch.setattr(training, "_FIRST_STEPS", 10**9)
    monkeypatch.setattr(_orders, "_AHEAD_NUMBERS", 5 * ROWS)
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
    given = fastmlp.Network._schedule

    def with_frames(*arguments, **options):
        optimizer, schedule = given(*arguments, **options)
        schedule.frames = (0, 2, 3, 5)
        return optimizer, schedule

    monkeypatch.setattr(fastmlp.Network, "_schedule", staticmethod(with_frames))
    net, plain = network(backend), network(backend)
    net.train(X, y, batch_size=20, epochs=5, shuffle=Orders(as_the_seed(3), ahead > 0))
    plain.train(X, y, batch_size=20, epochs=5)
    assert [epoch for epoch, _ in net.history.frames] == [0, 2, 3, 5]
    for (_, one), (_, other) in zip(net.history.frames, plain.history.frames, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_batch_has_no_order_to_ask_for(backend):
    X, y = points()
    orders, nets = Orders(drawn), [network(backend) for _ in range(2)]
    for size in ("full", ROWS, 10**6, "auto"):
        nets[0].train(X, y, batch_size=size, epochs=2, shuffle=orders)
        nets[1].train(X, y, batch_size=size, epochs=2)
    nets[0].train(X, y, optimizer="rprop", epochs=1, shuffle=orders)
    nets[1].train(X, y, optimizer="rprop", epochs=1)
    assert orders.asked == []
    assert_same(*nets)


def test_epochs_count_within_the_training(backend):
    X, y = points()
    net, plain, orders = network(backend), network(backend), []
    for epochs in (2, 3, 1):
        orders.append(Orders(as_the_seed(3, len(net.history))))
        net.train(X, y, batch_size=20, epochs=epochs, shuffle=orders[-1])
    for _ in range(2):
        orders.append(Orders(as_the_seed(3, len(net.history))))
        net.partial_train(X, y, batch_size=20, shuffle=orders[-1])
    net.train(X, y, batch_size=20, epochs=2)
    assert [each.asked for each in orders] == [[0, 1], [0, 1, 2], [0], [0], [0]]
    plain.train(X, y, batch_size=20, epochs=10)
    assert_same(net, plain)


@pytest.mark.parametrize(
    ("give", "words"),
    [
        (lambda epoch: np.arange(ROWS - 1), r"^shuffle: got int64 of shape \(89,\) .*\(90,\) numbers of rows"),
        (lambda epoch: np.arange(ROWS)[:, None], r"^shuffle: got int64 of shape \(90, 1\)"),
        (lambda epoch: np.arange(float(ROWS)), r"^shuffle: got float64 of shape \(90,\)"),
        (lambda epoch: np.ones(ROWS, bool), r"^shuffle: got bool of shape \(90,\)"),
        (lambda epoch: ["a"] * ROWS, r"^shuffle: got <U1 of shape \(90,\)"),
        (lambda epoch: None, r"^shuffle: got object of shape \(\)"),
        (lambda epoch: [], r"^shuffle: got float64 of shape \(0,\)"),
        (lambda epoch: np.arange(1, ROWS + 1), "^shuffle: got row 90 from the callable; 0 to 89 are accepted"),
        (lambda epoch: np.arange(ROWS, dtype=np.uint64) + 2**63, r"^shuffle: got row 9223372036854775897"),
        (lambda epoch: np.arange(ROWS) - 1, "^shuffle: got row -1 from the callable; 0 to 89"),
        (lambda epoch: np.arange(ROWS) * 50 - 5, "^shuffle: got row -5"),
    ],
)
@pytest.mark.parametrize("bad", [0, 2])
def test_what_is_no_order_is_refused(backend, give, words, bad):
    X, y = points()
    net, plain = network(backend), network(backend)
    with pytest.raises(ValueError, match=words):
        net.train(X, y, batch_size=20, epochs=5, shuffle=lambda epoch: (give if epoch == bad else drawn)(epoch))
    if bad:
        plain.train(X, y, batch_size=20, epochs=bad, shuffle=drawn)
        assert_same(net, plain)
    else:
        np.testing.assert_array_equal(net.params, plain.params)
    assert len(net.history) == bad
    for each in (net, plain):
        each.train(X, y, batch_size=20, epochs=2)
    assert_same(net, plain)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_exception_in_the_callable_leaves_a_network_that_can_go_on(backend, error, n_threads):
    X, y = points()

    def give(epoch):
        if epoch == 3:
            raise error("no order left")
        return drawn(epoch)

    net, plain = network(backend), network(backend)
    with pytest.raises(error, match="no order left"):
        net.train(X, y, batch_size=20, epochs=9, shuffle=give, n_threads=n_threads)
    plain.train(X, y, batch_size=20, epochs=3, shuffle=drawn)
    assert_same(net, plain)
    for each in (net, plain):
        each.train(X, y, batch_size=20, epochs=4, shuffle=drawn)
    assert_same(net, plain)


@pytest.mark.parametrize(("value", "got"), [(int, "<class 'int'>"), ("yes", "'yes'"), (1, "1"), (None, "None")])
def test_what_gives_no_orders_is_refused(value, got):
    X, y = points()
    with pytest.raises(TypeError, match=f"^shuffle: got {got}"):
        fastmlp.train(X, y, epochs=1, shuffle=value)


# ---- orders and a loss that stops being finite ---------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.9, 3.0, 1e3, 1e6])
@pytest.mark.parametrize("watched", [False, True])
def test_a_divergence_goes_back_as_with_a_seed(backend, rate, watched, ahead):
    X, _ = points()
    nets, words = [], []
    for orders in (True, Orders(as_the_seed(3), ahead > 0)):
        net = fastmlp.Network((3, 6, 1), activation="identity", seed=3, backend=backend)
        with pytest.warns(fastmlp.DivergenceWarning) as seen:
            net.train(
                X, X[:, 0], optimizer=fastmlp.SGD(momentum=0.5), learning_rate=rate, batch_size=20, epochs=80,
                shuffle=orders, callbacks=[lambda state: None] if watched else (),
            )
        nets.append(net)
        words.append([str(warning.message) for warning in seen])
    assert words[0] == words[1]
    assert "the weights before the last step came back" in words[0][0]
    assert_same(*nets)
    assert orders.asked == list(range(len(orders.asked))), "no order is asked for again on the way back"
    if not ahead:
        assert len(orders.asked) == len(nets[1].history)


@pytest.mark.parametrize("epoch", [0, 1, 3])
@pytest.mark.parametrize("place", [0, 1, 4])
def test_the_weights_before_the_last_step_come_back(backend, epoch, place):
    # A linear model of one weight and batches of one row. Row 4, which no order but one has, throws the weight so far
    # that the next loss overflows: that of the next epoch's first batch where it comes last.
    X, y = np.array([[1.0], [2.0], [0.5], [1.5], [1e150]]), np.array([2.0, 1.0, 3.0, 0.0, 0.0])

    def give(number):
        order = np.random.default_rng(number).integers(0, 4, 5)
        if number == epoch:
            order[place] = 4
        return order

    orders, net, twin = Orders(give), *(fastmlp.Network((1, 1), bias=False, seed=0, backend=backend) for _ in range(2))
    epochs, batch = (epoch + 2, 1) if place == 4 else (epoch + 1, place + 2)
    words = f"in epoch {epochs}, batch {batch}; .* the weights before the last step came back"
    options = {"optimizer": fastmlp.SGD(momentum=0.5), "learning_rate": 0.01, "batch_size": 1}
    with pytest.warns(fastmlp.DivergenceWarning, match=words):
        net.train(X, y, epochs=9, shuffle=orders, **options)
    for number in range(epoch + 1):
        order = give(number)
        order = order[:place] if number == epoch else order
        if len(order):
            twin.train(X[order], y[order], epochs=1, shuffle=False, **options)
    np.testing.assert_array_equal(net.params, twin.params)
    assert orders.asked == list(range(epochs))
    assert len(net.history) == epochs
    # It goes on, with the optimizer's state of those weights.
    buffer = 0.0 if twin._state is None else float(twin._state.slots[0])
    assert float(net._state.slots[0]) == buffer
    net.train(X[:4], y[:4], epochs=2, shuffle=lambda number: np.array([3, 3, 1, 0]), **options)
    assert np.isfinite(net.history.loss[-2:]).all()


def test_a_divergence_that_a_callback_made_in_the_last_step_of_an_epoch(backend):
    X, y = points()
    nets = []

    def spoil(state):
        if state.epoch == 2:
            state.params[:] *= 1e200

    for orders in (True, as_the_seed(3)):
        net = network(backend)
        with pytest.warns(fastmlp.DivergenceWarning, match="in epoch 3, batch 1; "):
            net.train(X, y, batch_size=20, epochs=9, shuffle=orders, callbacks=[spoil])
        nets.append(net)
    assert np.isfinite(nets[0].params).all()
    assert_same(*nets)


def test_a_large_network_goes_back_to_weights_that_were_kept(monkeypatch, backend):
    monkeypatch.setattr(fastmlp.divergence, "_REPLAYED_BYTES", 0)
    X, _ = points()
    orders = Orders(as_the_seed(3))
    net = fastmlp.Network((3, 6, 1), activation="identity", seed=3, backend=backend)
    with pytest.warns(fastmlp.DivergenceWarning):
        net.train(X, X[:, 0], optimizer="sgd", learning_rate=3.0, batch_size=20, epochs=80, shuffle=orders)
    assert np.isfinite(net.params).all()
    assert orders.asked == list(range(len(net.history)))
    net.train(X, X[:, 0], optimizer="sgd", learning_rate=0.01, batch_size=20, epochs=3, shuffle=drawn)
    assert np.isfinite(net.history.loss[-3:]).all()
