"""The one ending of every training run: best weights, history, callbacks, and the exception that ends it."""

import copy
import signal

import numpy as np
import pytest
from inside import places

import fastmlp
from fastmlp.callbacks import Callback


def points(rows=90):
    """Rows and noisy labels of two classes, which a network can overfit."""
    generator = np.random.default_rng(5)
    X = generator.standard_normal((rows, 4))
    return X, (X[:, 0] + generator.normal(0, 1.5, rows) > 0).astype(int)


class Recorder(Callback):
    """Keeps the parameters of each epoch, and ends the training run at one of them."""

    def __init__(self, end_at=None, error=KeyboardInterrupt):
        self.seen, self.end_at, self.error, self.closed = [], end_at, error, 0

    def __call__(self, state):
        self.seen.append(state.params.copy())
        if state.epoch == self.end_at:
            raise self.error

    def close(self):
        self.closed += 1


class Broken(Callback):
    """Cannot be closed, like a log on a full disk."""

    def __call__(self, state):
        pass

    def close(self):
        raise OSError("no space left on device")


OPTIMIZERS = ["adam", "sgd", "rprop", "lbfgs"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_exception_with_early_stopping_brings_the_best_weights_back(optimizer, error, backend):
    X, y = points()
    options = {"hidden": (30,), "optimizer": optimizer, "epochs": 60, "seed": 3, "validation": 0.4, "backend": backend}
    if optimizer != "lbfgs":
        options["learning_rate"] = 0.05
    rule = fastmlp.EarlyStopping(patience=1000)
    recorder = Recorder(end_at=40, error=error)
    with pytest.raises(error) as caught:
        fastmlp.train(X, y, early_stopping=rule, callbacks=[recorder], **options)
    net = caught.value.network
    best = net.history.best_epoch
    assert len(net.history) == 40
    assert best == int(np.argmin(net.history.val_loss)) + 1 < 40, "the data are made to be overfitted"
    np.testing.assert_array_equal(net.params, recorder.seen[best - 1])
    assert recorder.closed == 1


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_interruption_out_of_train_carries_the_network(optimizer):
    X, y = points()
    recorder = Recorder(end_at=3)
    with pytest.raises(KeyboardInterrupt) as caught:
        fastmlp.train(X, y, hidden=5, optimizer=optimizer, epochs=50, seed=0, callbacks=[recorder])
    net = caught.value.network
    assert len(net.history) == 3
    np.testing.assert_array_equal(net.params, recorder.seen[-1])
    net.train(X, y, optimizer=optimizer, epochs=2)
    assert len(net.history) == 5


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("broken_first", [True, False])
def test_a_callback_that_cannot_be_closed_loses_nothing(optimizer, broken_first):
    X, y = points()
    net = fastmlp.Network((4, 6, 1), loss="binary_cross_entropy", seed=0)
    other = Recorder()
    callbacks = [Broken(), other] if broken_first else [other, Broken()]
    with pytest.raises(OSError, match="no space left") as caught:
        net.train(X, y, optimizer=optimizer, epochs=7, callbacks=callbacks)
    assert len(net.history) == len(net.last_history) == 7
    assert other.closed == 1
    assert caught.value.network is net
    twin = fastmlp.Network((4, 6, 1), loss="binary_cross_entropy", seed=0).train(X, y, optimizer=optimizer, epochs=7)
    np.testing.assert_array_equal(net.params, twin.params)


def test_what_ends_the_training_run_is_raised_and_what_cannot_be_closed_is_told():
    X, y = points()
    net = fastmlp.Network((4, 6, 1), loss="binary_cross_entropy", seed=0)
    with pytest.warns(RuntimeWarning, match="OSError: no space left"), pytest.raises(KeyboardInterrupt):
        net.train(X, y, epochs=7, callbacks=[Recorder(end_at=2), Broken()])
    assert len(net.history) == 2


def test_a_divergence_is_told_before_a_close_that_fails():
    X, y = points()
    net = fastmlp.Network((4, 6, 1), loss="binary_cross_entropy", seed=0)
    with pytest.warns(fastmlp.DivergenceWarning), pytest.raises(OSError, match="no space"):
        net.train(1e200 * X, y, optimizer="sgd", learning_rate=1e200, epochs=7, callbacks=[Broken()])
    assert np.isfinite(net.params).all()


def test_two_callbacks_that_cannot_be_closed():
    X, y = points()
    net = fastmlp.Network((4, 6, 1), loss="binary_cross_entropy", seed=0)
    with pytest.warns(RuntimeWarning, match="close"), pytest.raises(OSError, match="no space"):
        net.train(X, y, epochs=2, callbacks=[Broken(), Broken()])


# ---- long passes ---------------------------------------------------------------------------------------------


@pytest.fixture
def ticking():
    """Let a signal come every 5 milliseconds; a function that takes its handler starts that."""
    if not hasattr(signal, "setitimer"):
        pytest.skip("the system has no timers that send signals")

    def start(handler):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)

    before = signal.getsignal(signal.SIGALRM)
    yield start
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


# Passes over so many rows take some 0.3 seconds on two cores; the kernels pause after 0.05.
LONG = {"wide": ((512, 512), 100, 60_000), "narrow": ((50, 50), 10, 2_500_000)}


def long_rows(layout):
    hidden, columns, rows = LONG[layout]
    X = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32)
    return hidden, X, X[:, 0] + X[:, 1]


@pytest.mark.slow
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("layout", LONG)
def test_a_validation_that_takes_long_pauses_and_goes_on(ticking, layout, n_threads):
    hidden, X, y = long_rows(layout)
    options = {"hidden": hidden, "epochs": 2, "seed": 0, "n_threads": n_threads}
    plain = fastmlp.train(X[:100], y[:100], **options)
    seen = []
    ticking(lambda *_: seen.append(1))
    net = fastmlp.train(X[:100], y[:100], validation=(X, y), **options)
    assert len(seen) > 4, "Python was in control between the parts of two validations"
    assert net.params.tobytes() == plain.params.tobytes(), "a validation does not train"
    # A sum in double of the same numbers, in parts of other sizes.
    assert net.history.val_loss[-1] == pytest.approx(net.loss(X, y), rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("layout", LONG)
def test_ctrl_c_ends_a_validation_and_its_epoch(ticking, layout, n_threads):
    hidden, X, y = long_rows(layout)
    net = fastmlp.Network((X.shape[1], *hidden, 1), loss="squared_error", dtype=np.float32, seed=0)
    net.train(X[:100], y[:100], epochs=1, n_threads=n_threads)
    passes = []

    def interrupt(*_):
        # The checks of the rows are over when the first epoch has made its step.
        if places.position(net, "step") > 1:
            signal.setitimer(signal.ITIMER_REAL, 0)
            passes.append(places.position(net, "validated"))
            raise KeyboardInterrupt

    ticking(interrupt)
    with pytest.raises(KeyboardInterrupt):
        net.train(X[:100], y[:100], epochs=3, validation=(X, y), n_threads=n_threads)
    assert 0 < passes[0] < len(X), "the validation had paused"
    assert len(net.history) == 1, "an epoch ends with its validation"
    net.train(X[:100], y[:100], epochs=2, validation=(X[:50], y[:50]), n_threads=n_threads)
    assert len(net.history) == 3
    assert np.isfinite(net.history.val_loss[1:]).all()


@pytest.mark.slow
@pytest.mark.parametrize("layout", LONG)
@pytest.mark.parametrize("method", ["predict", "loss"])
def test_predictions_and_losses_pause_too(ticking, layout, method):
    hidden, X, y = long_rows(layout)
    net = fastmlp.Network((X.shape[1], *hidden, 1), loss="squared_error", dtype=np.float32, seed=0)
    given = (X,) if method == "predict" else (X, y)
    plain, seen = getattr(net, method)(*given), []
    ticking(lambda *_: seen.append(1))
    np.testing.assert_array_equal(getattr(net, method)(*given), plain)
    assert len(seen) > 1


# ---- callbacks by their base class --------------------------------------------------------------------------


@pytest.mark.parametrize("every", [{2, 5}, [5, 2], frozenset({5, 2})], ids=str)
def test_a_callback_names_its_epochs(every):
    X, y = points()

    class Epochs(Callback):
        def __init__(self):
            self.every, self.seen = every, []

        def __call__(self, state):
            self.seen.append(state.epoch)

    chosen, plain = Epochs(), []
    fastmlp.train(X, y, hidden=3, epochs=7, callbacks=[chosen])
    assert chosen.seen == [2, 5]
    fastmlp.train(X, y, hidden=3, epochs=7, callbacks=[fastmlp.callbacks.Every(every, lambda s: plain.append(s.epoch))])
    assert plain == [2, 5]


def test_epochs_past_the_last_one_are_never_called():
    X, y = points()
    called = []
    every = fastmlp.callbacks.Every({100}, lambda state: called.append(state.epoch))
    assert len(fastmlp.train(X, y, hidden=3, epochs=4, callbacks=[every]).history) == 4
    assert called == []


@pytest.mark.parametrize("every", [0, 1.5, {0}, {"a"}, "2", True])
def test_epochs_are_checked(every):
    with pytest.raises((TypeError, ValueError), match="^every: "):
        fastmlp.callbacks.Every(every, print)


def test_the_base_class_asks_for_a_call():
    X, y = points()
    with pytest.raises(NotImplementedError, match="__call__"):
        fastmlp.train(X, y, hidden=3, epochs=2, callbacks=[Callback()])


# ---- what a callback may assign -----------------------------------------------------------------------------


def regression():
    """A function that a small network learns."""
    generator = np.random.default_rng(0)
    X = generator.uniform(-2, 2, (300, 2))
    return X, np.sin(X[:, 0]) * X[:, 1]


@pytest.mark.parametrize("hidden", [(8,), (64, 64)], ids=["narrow", "wide"])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_dropout_assigned_by_a_callback_counts_from_the_next_step(hidden, n_threads, backend):
    X, y = regression()
    options = {"hidden": hidden, "seed": 1, "learning_rate": 0.01, "backend": backend, "n_threads": n_threads}

    def change(state):
        if state.epoch == 5:
            state.network.dropout = 0.3

    net = fastmlp.train(X, y, epochs=10, callbacks=[change], **options)
    twin = fastmlp.train(X, y, epochs=5, **options)
    twin.dropout = 0.3
    twin.train(X, y, epochs=5, learning_rate=0.01, n_threads=n_threads)
    np.testing.assert_array_equal(net.params, twin.params)
    assert net.dropout == (0.3,) * len(hidden)


def test_the_same_dropout_changes_nothing():
    X, y = regression()
    options = {"hidden": (32,), "seed": 1, "learning_rate": 0.01, "epochs": 100}
    plain = fastmlp.train(X, y, **options)
    kept = fastmlp.train(X, y, callbacks=[lambda state: setattr(state.network, "dropout", 0.0)], **options)
    np.testing.assert_array_equal(plain.params, kept.params)
    assert kept.score(X, y) > 0.9


@pytest.mark.parametrize("name", ["l1", "l2"])
def test_penalties_assigned_by_a_callback_count_from_the_next_step(name, backend):
    X, y = regression()
    options = {"hidden": (8,), "seed": 1, "learning_rate": 0.01, "backend": backend}

    def change(state):
        if state.epoch == 5:
            setattr(state.network, name, 20.0)

    net = fastmlp.train(X, y, epochs=10, callbacks=[change], **options)
    twin = fastmlp.train(X, y, epochs=5, **options)
    setattr(twin, name, 20.0)
    twin.train(X, y, epochs=5, learning_rate=0.01)
    np.testing.assert_array_equal(net.params, twin.params)
    np.testing.assert_array_equal(net.history.loss, twin.history.loss)


def test_params_assigned_by_a_callback_are_trained_on(backend):
    X, y = regression()
    options = {"hidden": (8,), "seed": 1, "optimizer": "sgd", "backend": backend}
    start = fastmlp.train(X, y, epochs=1, **options).params.copy()

    def change(state):
        if state.epoch == 3:
            state.network.params = start

    net = fastmlp.train(X, y, epochs=3, callbacks=[change], **options)
    np.testing.assert_array_equal(net.params, start)


@pytest.mark.parametrize(("name", "value"), [("params", None), ("dropout", 0.0), ("l1", 0.1), ("l2", 0.1)])
def test_a_search_of_steps_refuses_what_a_callback_assigns(name, value):
    X, y = regression()

    def change(state):
        setattr(state.network, name, state.params if value is None else value)

    with pytest.raises(ValueError, match=f"^{name}: assigned by a callback with an optimizer that remembers") as caught:
        fastmlp.train(X, y, hidden=4, optimizer="lbfgs", epochs=5, callbacks=[change])
    setattr(caught.value.network, name, caught.value.network.params if value is None else value)


def test_an_assignment_that_is_refused_changes_nothing():
    net = fastmlp.Network((2, 3, 1), dropout=0.1, l2=0.5)
    for name, value in (("dropout", 1.5), ("l2", -1), ("l1", "a"), ("params", [1.0])):
        before = copy.deepcopy(net)
        with pytest.raises((TypeError, ValueError), match=f"^{name}"):
            setattr(net, name, value)
        assert (net.dropout, net.l1, net.l2) == (before.dropout, before.l1, before.l2)
        np.testing.assert_array_equal(net.params, before.params)
