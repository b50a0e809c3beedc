"""The training loop: how it is cut, stopped, continued and interrupted, and that it learns."""

from __future__ import annotations

import _thread
import subprocess
import sys
import threading
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import fastmlp
from fastmlp import SGD, Adam

NARROW, WIDE = (6,), (100, 100)  # samples and outputs along the lanes, whatever the build and the batch


@pytest.fixture(params=[NARROW, WIDE], ids=["narrow", "wide"])
def hidden(request):
    return request.param


def points(rows: int = 90, columns: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels of three classes."""
    rng = np.random.default_rng(7)
    return rng.standard_normal((rows, columns)), rng.integers(0, 3, rows)


def assert_same(one: fastmlp.Network, other: fastmlp.Network) -> None:
    """The same bits: parameters, and everything of the history that is no time."""
    np.testing.assert_array_equal(one.params, other.params)
    for name in ("loss", "accuracy", "learning_rate", "gradient_norm"):
        np.testing.assert_array_equal(getattr(one.history, name), getattr(other.history, name), name)


# ---- cut into calls --------------------------------------------------------------------------------------


# ---- going on --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [SGD(), SGD(momentum=0.9), SGD(momentum=0.5, nesterov=True), Adam()], ids=repr)
def test_going_on_gives_what_an_unbroken_training_gives(backend, dtype, hidden, optimizer):
    X, y = points()
    X = X.astype(dtype)
    settings = {"optimizer": optimizer, "learning_rate": 0.01, "batch_size": 20}
    whole = fastmlp.train(X, y, hidden=hidden, epochs=7, seed=3, backend=backend, **settings)
    parts = fastmlp.train(X, y, hidden=hidden, epochs=2, seed=3, backend=backend, **settings)
    parts.train(X, y, epochs=1, **settings).train(X, y, epochs=4, **settings)
    assert len(parts.history) == len(parts.history.seconds) == 7
    assert_same(whole, parts)


def test_another_optimizer_begins_with_a_new_state(backend):
    X, y = points()
    net = fastmlp.train(X, y, hidden=NARROW, epochs=3, seed=3, batch_size="full", backend=backend)
    fresh = fastmlp.Network(net.sizes, loss="cross_entropy", seed=3, backend=backend)
    fresh.params[:] = net.params
    momentum = SGD(momentum=0.9)
    net.train(X, y, epochs=3, optimizer=momentum, batch_size="full")
    fresh.train(X, y, epochs=3, optimizer=momentum, batch_size="full")
    np.testing.assert_array_equal(net.params, fresh.params)
    assert len(net.history) == 6


def test_the_seed_of_a_later_training_decides_its_order():
    X, y = points()
    start = fastmlp.train(X, y, hidden=NARROW, epochs=2, seed=3, batch_size=20)
    ends = []
    for seed in (None, 3, 4):
        net = fastmlp.train(X, y, hidden=NARROW, epochs=2, seed=3, batch_size=20)
        np.testing.assert_array_equal(net.params, start.params)
        ends.append(net.train(X, y, epochs=2, seed=seed, batch_size=20).params)
    np.testing.assert_array_equal(ends[0], ends[1])
    assert (ends[0] != ends[2]).any()


# ---- batches ---------------------------------------------------------------------------------------------


def test_more_rows_than_there_are_make_a_full_batch(backend, hidden):
    X, y = points()
    nets = [
        fastmlp.train(X, y, hidden=hidden, batch_size=size, epochs=3, seed=3, backend=backend)
        for size in ("full", 90, 91, 10**9, "auto")
    ]
    for other in nets[1:]:
        assert_same(nets[0], other)


def test_a_full_batch_has_no_order():
    X, y = points()
    nets = [
        fastmlp.train(X, y, hidden=NARROW, batch_size="full", epochs=3, seed=3, shuffle=shuffle)
        for shuffle in (True, False)
    ]
    assert_same(*nets)


@pytest.mark.parametrize("rows", [1, 2, 90])
def test_batches_of_one_row(backend, hidden, rows):
    X, _ = points(rows)
    y = X[:, :2].copy()
    net = fastmlp.train(
        X, y, hidden=hidden, batch_size=1, epochs=1, seed=3, shuffle=False, optimizer="sgd", backend=backend
    )
    again = fastmlp.Network(net.sizes, seed=3, backend=backend)
    losses = []
    for row in range(rows):
        one = slice(row, row + 1)
        losses.append(again.loss(X[one], y[one]))
        again.params[:] -= 0.01 * again.gradient(X[one], y[one])
    # The same steps by other functions: they differ by roundings, a few of 1e-16 in each of at most 90 steps.
    np.testing.assert_allclose(net.params, again.params, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(net.history.loss, [np.mean(losses)], rtol=1e-12)


def test_without_shuffling_batches_come_in_the_order_of_the_rows(backend):
    X, _ = points(50)
    y = X[:, :1] - X[:, 1:2]
    net = fastmlp.train(
        X, y, hidden=NARROW, batch_size=20, epochs=1, seed=3, shuffle=False, optimizer="sgd", backend=backend
    )
    again = fastmlp.Network(net.sizes, seed=3, backend=backend)
    for first in (0, 20, 40):
        batch = slice(first, first + 20)
        again.params[:] -= 0.01 * again.gradient(X[batch], y[batch])
    # Three steps, equal but for the order in which rows are summed.
    np.testing.assert_allclose(net.params, again.params, rtol=1e-13, atol=1e-15)


# ---- progress --------------------------------------------------------------------------------------------


def test_progress_of_a_later_training_counts_its_own_epochs():
    X, y = points()
    net = fastmlp.train(X, y, hidden=NARROW, epochs=5, seed=3)
    seen = []
    net.train(X, y, epochs=3, progress=seen.append)
    assert (seen[-1].epoch, seen[-1].epochs, seen[-1].loss) == (3, 3, net.history.loss[-1])


def test_progress_has_no_accuracy_in_regression():
    X, _ = points()
    seen = []
    fastmlp.train(X, X[:, 0], hidden=NARROW, epochs=3, seed=3, progress=seen.append)
    assert (seen[-1].accuracy, seen[-1].val_loss, seen[-1].val_accuracy) == (None, None, None)
    assert seen[-1].loss > 0
    fastmlp.train(X, X[:, 0], hidden=NARROW, epochs=3, seed=3, validation=0.2, progress=seen.append)
    assert (seen[-1].accuracy, seen[-1].val_accuracy) == (None, None)
    assert seen[-1].val_loss > 0


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_progress_has_the_numbers_of_both_kinds_of_rows(optimizer):
    if optimizer == "lbfgs":
        pytest.importorskip("scipy")
    X, y = points()
    seen = []
    net = fastmlp.train(
        X, y, hidden=NARROW, optimizer=optimizer, epochs=3, seed=3, validation=0.3, progress=seen.append
    )
    last = seen[-1]
    assert (last.epoch, last.epochs) == (3, 3)
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert getattr(last, name) == getattr(net.history, name)[-1], name
    assert last.accuracy != last.val_accuracy, "else this test cannot fail"
    fastmlp.train(X, y, hidden=NARROW, optimizer=optimizer, epochs=3, seed=3, progress=seen.append)
    assert (seen[-1].val_loss, seen[-1].val_accuracy) == (None, None)


@pytest.mark.parametrize("name", ["reference", None])
def test_an_interrupt_ends_a_training_between_two_calls(name):
    X, y = points()
    threads = threading.active_count()
    net = fastmlp.Network((3, 6, 3), loss="cross_entropy", seed=3, backend=name)
    begun = threading.Event()

    def interrupt():
        begun.wait()
        _thread.interrupt_main()

    killer = threading.Thread(target=interrupt)
    killer.start()
    with pytest.raises(KeyboardInterrupt):
        net.train(X, y, batch_size=10, epochs=10**6, n_threads=2, progress=lambda progress: begun.set())
    killer.join()
    assert threading.active_count() == threads
    assert np.isfinite(net.params).all()
    assert np.isfinite(net.train(X, y, epochs=2).history.loss[-2:]).all()


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_no_thread_outlives_a_training(backend, n_threads):
    X, y = points()
    threads = threading.active_count()
    fastmlp.train(X, y, hidden=WIDE, epochs=2, n_threads=n_threads, backend=backend)
    assert threading.active_count() == threads


def test_helpers_that_stayed_and_helpers_that_left_make_the_same_bits(backend, hidden):
    X, y = points(400)

    def fit(n_threads, pauses):
        pauses = iter(pauses * 10)
        return fastmlp.train(
            X,
            y,
            hidden=hidden,
            batch_size=100,
            epochs=30,
            seed=3,
            n_threads=n_threads,
            backend=backend,
            callbacks=[lambda state: time.sleep(next(pauses))],
        )

    expected = fit(1, [0.0, 0.0, 0.0])
    # A helper stays for about a millisecond: here for a call or two, and then until it has left.
    for n_threads, pauses in ((2, [0.0, 0.0, 0.004]), (3, [0.001, 0.0, 0.004]), (5, [0.0, 0.002, 0.001])):
        assert_same(fit(n_threads, pauses), expected)


@pytest.mark.parametrize("daemon", [True, False])
def test_a_process_ends_with_its_main_thread_whatever_a_daemon_trains(daemon):
    code = f"""
import threading, fastmlp
X, y = fastmlp.datasets.moons(400, seed=0)
begun, done = threading.Event(), []
def train():
    net = fastmlp.train(X, y, hidden=(100,), epochs={10**7 if daemon else 300}, seed=0, n_threads=2,
                        callbacks=[lambda state: begun.set()])
    print(len(net.history))
threading.Thread(target=train, daemon={daemon}).start()
begun.wait()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("" if daemon else "300\n"), "a thread that is no daemon trains to its end"


# ---- losses that are not finite --------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [20, "full"])
def test_a_loss_that_is_not_finite_stops_training_at_once(backend, dtype, hidden, batch):
    X, _ = points()
    X = X.astype(dtype)
    y = X[:, 0].copy()
    net = fastmlp.Network((3, *hidden, 1), activation="identity", seed=3, dtype=dtype, backend=backend)
    start = net.params.copy()
    with pytest.warns(fastmlp.DivergenceWarning, match=r" in epoch \d+, batch \d; "):
        net.train(X, y, optimizer="sgd", learning_rate=1e6, epochs=50, batch_size=batch)
    assert 1 <= len(net.history) < 50
    assert np.isfinite(net.history.loss[:-1]).all()
    assert not net.history.loss[-1] < 1e6, "not finite, or far above the first one"
    assert np.isnan(net.history.gradient_norm[-1]), "that step was not taken"
    assert len(net.history.seconds) == len(net.history)
    assert np.isfinite(net.params).all()

    net.params[:] = start
    epochs = len(net.history)
    net.train(X, y, optimizer="sgd", learning_rate=0.01, epochs=20)
    assert len(net.history) == epochs + 20
    assert np.isfinite(net.history.loss[epochs:]).all()
    assert net.history.loss[-1] < net.history.loss[epochs]


def test_the_warning_names_the_epoch_of_all_trainings(backend):
    X, _ = points()
    net = fastmlp.train(X, X[:, 0], hidden=NARROW, epochs=5, seed=0, optimizer="sgd", backend=backend)
    net.params[:] *= 1e170
    with pytest.warns(fastmlp.DivergenceWarning, match="in epoch 6,"):
        net.train(X, X[:, 0], epochs=5, optimizer="sgd")
    assert len(net.history) == 6


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_step_that_overflows_is_told(backend, epochs):
    # The loss of about 1e299 is finite; its gradient, larger by the rows' 1e200, is not. Only the weights show it where
    # that step is the last.
    X, _ = points()
    net = fastmlp.Network((3, 1), seed=0, backend=backend)
    net.params[:] *= 1e-50
    before = net.params.copy()
    with pytest.warns(fastmlp.DivergenceWarning, match="layer 1, 3 of whose parameters overflowed; .* features"):
        net.train(X * 1e200, X[:, 0], optimizer="sgd", epochs=epochs)
    assert len(net.history) == min(epochs, 2)
    np.testing.assert_array_equal(net.params, before)


def with_a_bound(message):
    return pytest.warns(fastmlp.DivergenceWarning, match=message)


@pytest.mark.parametrize("optimizer", ["sgd", fastmlp.SGD(momentum=0.9), "rmsprop"], ids=["sgd", "momentum", "rmsprop"])
@pytest.mark.parametrize("batch", [10, "full"])
def test_a_loss_beyond_use_stops_training_while_it_is_finite(backend, dtype, hidden, optimizer, batch):
    X, _ = points()
    X, rate = (1e3 * X).astype(dtype), 1e3 if optimizer == "rmsprop" else 1.0
    net = fastmlp.Network((3, *hidden, 1), activation="identity", seed=3, dtype=dtype, backend=backend)
    first = net.loss(X, X[:, 0])
    with with_a_bound(r"the loss grew beyond use, to .*e\+\d+, in epoch \d+, batch \d+; "):
        net.train(X, X[:, 0], optimizer=optimizer, learning_rate=rate, epochs=200, batch_size=batch, seed=0)
    assert net.history.stopped == "the loss grew beyond use"
    assert np.isfinite(net.history.loss).all()
    # The loss of one batch was at most 10 times the first batch's + 1; of all rows it may be a few times that.
    assert net.loss(X, X[:, 0]) <= 100 * (first + 1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_rows_that_no_weights_fit_are_no_divergence(backend, hidden, weighted, n_threads):
    # One target in 400 is 1e5 times the others: its batch's loss is 1e7 times that of all others, and stays so.
    X, _ = points(400)
    y = X[:, 0].copy()
    y[123] = 1e5
    weight = np.linspace(0.5, 1.5, 400) if weighted else None
    options = {"epochs": 30, "batch_size": 20, "seed": 0, "learning_rate": 1e-3, "n_threads": n_threads}
    net = fastmlp.train(X, y, hidden=hidden, sample_weight=weight, backend=backend, **options)
    assert (len(net.history), net.history.stopped) == (30, "")


def test_the_last_step_of_a_training_run_is_judged_too(backend, hidden):
    X, _ = points()
    net = fastmlp.Network((3, *hidden, 1), activation="identity", seed=3, backend=backend)
    start, first = net.params.copy(), net.loss(1e3 * X, X[:, 0])
    with with_a_bound("the loss grew beyond use, to .*, in epoch 2, batch 1; .* the weights before the last step came"):
        net.train(1e3 * X, X[:, 0], optimizer="sgd", learning_rate=1.0, epochs=1, batch_size="full")
    assert net.params.tobytes() == start.tobytes()
    assert net.history.loss[0] == pytest.approx(first, rel=1e-12), "a sum in another order"


@pytest.mark.parametrize("weighted", [False, True])
def test_batches_that_tell_nothing_hide_no_explosion(backend, hidden, weighted):
    # Every second batch has features of 0, or no weight: its loss is small whatever the weights are.
    X, _ = points()
    idle = np.arange(len(X)) // 10 % 2 == 0
    y, weights = X[:, 0].copy(), np.where(idle, 0.0, 1.0) if weighted else None
    X = X if weighted else np.where(idle[:, None], 0.0, X)
    net = fastmlp.Network((3, *hidden, 1), activation="identity", seed=3, backend=backend)
    first = net.loss(X, y, sample_weight=weights)
    options = {"optimizer": "sgd", "learning_rate": 1.5, "batch_size": 10, "shuffle": False, "epochs": 500}
    with pytest.warns(fastmlp.DivergenceWarning):
        net.train(X, y, sample_weight=weights, **options)
    assert net.loss(X, y, sample_weight=weights) <= 100 * (first + 1), (
        "10 times that of a batch, which others differ from"
    )


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_slow_explosion_ends_at_the_same_step_every_time(backend, n_threads):
    X, _ = points(200)
    rate = (2 + 2e-3) / np.linalg.eigvalsh(X.T @ X / len(X)).max()
    options = {"optimizer": "sgd", "learning_rate": rate, "batch_size": "full", "epochs": 10**6, "seed": 0}
    nets = []
    for _ in range(2):
        with with_a_bound("the loss grew beyond use"):
            nets.append(
                fastmlp.train(X, X[:, 0], hidden=(), bias=False, n_threads=n_threads, backend=backend, **options)
            )
    assert nets[0].params.tobytes() == nets[1].params.tobytes()
    assert len(nets[0].history) == len(nets[1].history)


@pytest.mark.parametrize("average", ["rows", "batch"])
def test_features_out_of_line_are_no_divergence(backend, average):
    X, _ = points(200)
    X[17] *= 1e5
    options = {"init": "orthogonal", "learning_rate": 0.01, "epochs": 30, "batch_size": 20, "average": average}
    net = fastmlp.train(X, X[:, 0] / 1e5, hidden=(), seed=0, backend=backend, **options)
    net.params[:] = 0  # which see no outlier
    net.train(X, X[:, 0], learning_rate=0.01, epochs=30, batch_size=20, average=average)
    assert net.history.stopped == ""


def test_a_second_training_run_has_a_first_loss_of_its_own(backend):
    X, _ = points()
    net = fastmlp.train(X, X[:, 0], hidden=(), seed=0, epochs=300, learning_rate=0.01, backend=backend)
    net.train(X, 1e5 * X[:, 0], epochs=20)
    assert net.history.stopped == ""


def test_with_early_stopping_the_best_weights_come_back_from_a_loss_beyond_use(backend):
    X, _ = points()
    net = fastmlp.Network((3, 6, 1), activation="identity", seed=3, backend=backend)
    rule = fastmlp.EarlyStopping(patience=50)
    rates = fastmlp.schedules.MultiStep(0.01, [20], factor=1e4)
    options = {"optimizer": "sgd", "learning_rate": rates, "epochs": 60, "batch_size": "full", "early_stopping": rule}
    with with_a_bound("grew beyond use.* the best weights so far came back, those of epoch 20"):
        net.train(X, X[:, 0], validation=(X, X[:, 0]), **options)
    assert net.history.best_epoch == 20
    assert net.loss(X, X[:, 0]) == pytest.approx(net.history.val_loss[19], rel=1e-12), "a sum in another order"


def test_the_best_weights_do_not_come_back_if_the_explosion_began_with_them(backend):
    # The training rows' loss of epoch 21 is that before its update, and the best; its weights are those after it.
    X, _ = points()
    net = fastmlp.Network((3, 6, 1), activation="identity", seed=3, backend=backend)
    rates = fastmlp.schedules.MultiStep(0.01, [20], factor=1e4)
    rule = fastmlp.EarlyStopping(monitor="loss", patience=50)
    options = {"optimizer": "sgd", "learning_rate": rates, "epochs": 60, "batch_size": "full", "early_stopping": rule}
    with with_a_bound("grew beyond use, to .*, in epoch 2[23], batch 1; .* steps? before came back"):
        net.train(X, X[:, 0], **options)
    assert net.history.best_epoch is None
    assert net.loss(X, X[:, 0]) == pytest.approx(net.history.loss[20], rel=1e-12), "a sum in another order"


def test_a_divergence_is_an_error_to_those_who_want_one():
    X, _ = points()
    net = fastmlp.Network((3, 6, 1), activation="identity", seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(fastmlp.DivergenceWarning):
            net.train(X, X[:, 0], optimizer="sgd", learning_rate=1e6, epochs=50)
    assert issubclass(fastmlp.DivergenceWarning, RuntimeWarning)
    assert np.isfinite(net.params).all()


# ---- history ---------------------------------------------------------------------------------------------


def test_the_loss_of_an_epoch_is_the_one_before_its_update(backend):
    X, y = points()
    net = fastmlp.Network((3, 6, 3), loss="cross_entropy", seed=3, l2=0.5, l1=0.1, backend=backend)
    loss, score, norm = net.loss(X, y), net.score(X, y), np.linalg.norm(net.gradient(X, y))
    net.train(X, y, epochs=1, batch_size="full")
    # The same sums by another path: a few roundings.
    np.testing.assert_allclose(net.history.loss[0], loss, rtol=1e-14)
    np.testing.assert_allclose(net.history.gradient_norm[0], norm, rtol=1e-13)
    assert net.history.accuracy[0] == score


def test_the_last_history_is_that_of_the_last_training(backend):
    X, y = points()
    net = fastmlp.Network((3, 6, 3), loss="cross_entropy", seed=3, backend=backend)
    assert len(net.last_history) == 0
    options = {"batch_size": 20, "validation": (X[:30], y[:30])}
    net.train(X, y, epochs=4, **options)
    assert_part(net, 0, 4)
    net.train(X, y, epochs=3, **options, metrics=["f1"], callbacks=[lambda state: state.epoch == 2])
    assert_part(net, 4, 2)
    assert net.last_history.stopped == "<lambda> returned True"
    assert list(net.last_history.metrics) == ["f1", "val_f1"]
    net.partial_train(X, y)
    assert_part(net, 6, 1)
    assert (net.last_history.stopped, net.last_history.val_loss, net.last_history.metrics) == ("", None, {})
    net.train(X, y, epochs=9, early_stopping=fastmlp.EarlyStopping("loss", patience=1, min_delta=9.0))
    assert (len(net.last_history), net.last_history.best_epoch, net.history.best_epoch) == (2, 1, 8)
    with pytest.raises(ValueError, match="^average"):
        net.train(X, y, average="sum")
    assert_part(net, 7, 2)


def assert_part(net, first, epochs):
    """The last history is the last part of all of it."""
    assert len(net.last_history) == epochs
    assert len(net.history) == first + epochs
    for name in ("loss", "accuracy", "val_loss", "learning_rate", "gradient_norm", "seconds", "layer_epochs"):
        part, whole = getattr(net.last_history, name), getattr(net.history, name)
        if part is not None:
            np.testing.assert_array_equal(part, whole[first:], name)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_the_last_history_of_an_interrupted_training(backend, optimizer, error):
    pytest.importorskip("scipy.optimize")
    X, y = points()
    net = fastmlp.Network((3, 6, 3), loss="cross_entropy", seed=3, backend=backend)
    net.train(X, y, epochs=4, batch_size=20)

    def interrupt(state):
        if state.epoch == 3:
            raise error("enough")

    with pytest.raises(error, match="enough"):
        net.train(X, y, epochs=9, optimizer=optimizer, callbacks=[interrupt])
    assert_part(net, 4, 3)
    with pytest.raises(error, match="enough"):
        net.train(X, y, epochs=9, shuffle=lambda epoch: interrupt(SimpleNamespace(epoch=3)), batch_size=20)
    assert_part(net, 7, 0)
    net.train(X, y, epochs=2, batch_size=20)
    assert_part(net, 7, 2)


@pytest.mark.parametrize("how", ["warn", "raise"])
def test_the_last_history_of_a_training_that_diverged(backend, how):
    X, _ = points()
    net = fastmlp.Network((3, 6, 1), activation="identity", seed=3, backend=backend)
    net.train(X, X[:, 0], epochs=3, optimizer="sgd")
    told = pytest.warns(fastmlp.DivergenceWarning) if how == "warn" else pytest.raises(fastmlp.DivergenceError)
    with told:
        net.train(X, X[:, 0], epochs=50, optimizer="sgd", learning_rate=1e6, batch_size=20, on_divergence=how)
    assert_part(net, 3, len(net.history) - 3)
    assert 0 < len(net.last_history) < 50
    assert net.last_history.loss[-1] > 1e6 * net.history.loss[0]
    assert net.last_history.stopped == "the loss grew beyond use"


def test_the_history_may_be_looked_at_within_a_training():
    X, y = points()
    net, seen = fastmlp.Network((3, 6, 3), loss="cross_entropy", seed=3), []
    net.train(X, y, epochs=4)
    net.train(X, y, epochs=3, callbacks=[lambda state: seen.append(len(state.network.history))])
    assert seen == [4, 4, 4], "it ends before this training"
    assert len(net.history) == 7
    assert len(net.last_history) == 3


# ---- learning --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "hidden", "activation", "epochs"),
    [
        ("moons", (16,), "tanh", 200),
        ("circles", (16,), "relu", 200),
        ("xor", (16,), "tanh", 300),
        ("spirals", (32, 32), "relu", 300),
    ],
)
def test_it_learns(backend, dtype, make, hidden, activation, epochs):
    X, y = getattr(fastmlp.datasets, make)(300, seed=1)
    net = fastmlp.train(
        X.astype(dtype),
        y,
        hidden=hidden,
        activation=activation,
        learning_rate=0.02,
        batch_size=50,
        epochs=epochs,
        seed=1,
        backend=backend,
    )
    assert net.history.loss[-1] < 0.3 * net.history.loss[0]
    assert net.score(X, y) > 0.95


def test_a_linear_model_reaches_the_least_squares_solution(backend):
    rng = np.random.default_rng(5)
    X = rng.standard_normal((200, 4))
    y = X @ rng.standard_normal((4, 2)) + 0.3 * rng.standard_normal((200, 2)) + 1
    net = fastmlp.train(
        X, y, hidden=(), optimizer="sgd", learning_rate=0.5, batch_size="full", epochs=200, seed=1, backend=backend
    )
    solution, *_ = np.linalg.lstsq(np.hstack((X, np.ones((200, 1)))), y)
    # The slowest direction shrinks by about 0.7 an epoch, 1e-31 in 200; what is left are roundings of numbers near 1.
    np.testing.assert_allclose(net.weights[0], solution[:4], atol=1e-13)
    np.testing.assert_allclose(net.biases[0], solution[4], atol=1e-13)


def test_a_linear_model_reaches_the_ridge_solution(backend):
    rng = np.random.default_rng(5)
    X = rng.standard_normal((200, 4))
    y = X @ rng.standard_normal((4, 2)) + 0.3 * rng.standard_normal((200, 2))
    net = fastmlp.train(
        X,
        y,
        hidden=(),
        optimizer="sgd",
        learning_rate=0.5,
        batch_size="full",
        epochs=200,
        seed=1,
        l2=30.0,
        bias=False,
        backend=backend,
    )
    # (1/2N) |y - XW|^2 + (l2 / 2N) |W|^2 is least where (X'X + l2) W = X'y; roundings as above.
    np.testing.assert_allclose(net.weights[0], np.linalg.solve(X.T @ X + 30.0 * np.eye(4), X.T @ y), atol=1e-13)


def test_a_linear_model_reaches_the_logistic_solution(backend):
    rng = np.random.default_rng(5)
    X = rng.standard_normal((200, 3))
    y = (X @ [1.0, -2.0, 0.5] + rng.standard_normal(200) > 0.2).astype(int)
    net = fastmlp.train(
        X, y, hidden=(), optimizer="sgd", learning_rate=2.0, batch_size="full", epochs=2000, seed=1, backend=backend
    )
    inputs, beta = np.hstack((X, np.ones((200, 1)))), np.zeros(4)
    for _ in range(20):  # Newton's method
        p = 1 / (1 + np.exp(-inputs @ beta))
        beta += np.linalg.solve((inputs.T * (p * (1 - p))) @ inputs, inputs.T @ (y - p))
    # At the minimum the gradient is all rounding, 1e-16; the inverse of its smallest curvature, about 0.02, scales it.
    np.testing.assert_allclose(np.append(net.weights[0], net.biases[0]), beta, atol=1e-12)
