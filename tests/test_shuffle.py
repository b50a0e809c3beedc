"""The order of the rows: a permutation that seed and epoch name, the same on every build, and even; or a callable's."""

import numpy as np
import pytest
from by_the_book import order_of
from inside import places

import fastmlp


def shuffled(module, seed, epoch, size):
    """The order of one epoch."""
    order = np.full(size, -1, np.int32)
    module.shuffle(order, seed, epoch)
    return order


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 1797])
@pytest.mark.parametrize("seed", [0, 1, 2017, 2**32, 2**63 - 1])
def test_a_permutation_by_the_book(kernels, seed, size):
    for epoch in (0, 1, 2, 1_000_000_007):
        order = shuffled(kernels, seed, epoch, size)
        np.testing.assert_array_equal(np.sort(order), np.arange(size))
        np.testing.assert_array_equal(order, order_of(seed, epoch, size))
        np.testing.assert_array_equal(order, shuffled(places.reference, seed, epoch, size))


def test_the_same_on_every_machine(kernels):
    # Written down once: a training must come out the same in the next version.
    assert shuffled(kernels, 2017, 0, 10).tolist() == [0, 6, 3, 1, 8, 7, 9, 4, 5, 2]


def test_it_forgets_the_order_before(kernels):
    order = shuffled(kernels, 5, 0, 50)
    kernels.shuffle(order, 5, 1)
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
    return lambda epoch: shuffled(places.reference, seed, first + epoch, ROWS)


def network(backend=None, hidden=(6,), dtype=np.float64, **options):
    given = {"loss": "cross_entropy", "seed": 3, "l2": 0.1} | options
    return fastmlp.Network((3, *hidden, 3), backend=backend, dtype=dtype, **given)


def assert_same(one, other):
    """The same bits: parameters, the optimizer's state, and everything of the history that is no time."""
    np.testing.assert_array_equal(one.params, other.params)
    np.testing.assert_array_equal(places.slots(one), places.slots(other))
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
    order = shuffled(places.reference, 5, 0, ROWS)
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
    buffer = 0.0 if places.optimizer_of(twin) is None else float(places.slots(twin)[0])
    assert float(places.slots(net)[0]) == buffer
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
