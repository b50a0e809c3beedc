"""One network is trained by one call at a time; predicting, saving and copying meanwhile see whole steps."""

import copy
import os
import pickle
import threading
import time

import numpy as np
import pytest

import fastmlp


def points(rows=400, columns=20):
    """Rows and numbers."""
    generator = np.random.default_rng(1)
    X = generator.standard_normal((rows, columns))
    return X, X @ generator.standard_normal(columns)


class Running:
    """A training run on another thread, used as a context that stops it."""

    def __init__(self, net, X, y, **options):
        self.net, self.stop, self.begun, self.error = net, threading.Event(), threading.Event(), None
        self._thread = threading.Thread(target=self._train, args=(X, y, options))

    def _train(self, X, y, options):
        def look(state):
            self.begun.set()
            return self.stop.is_set()

        callback = fastmlp.callbacks.Every(20, look)
        try:
            self.net.train(X, y, epochs=10**7, callbacks=[callback, *options.pop("callbacks", ())], **options)
        except BaseException as error:  # the test that looks at it raises it
            self.error = error

    def __enter__(self):
        self._thread.start()
        assert self.begun.wait(60)
        return self

    def __exit__(self, *error):
        self.stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


def network(columns=20):
    """A network for numbers."""
    return fastmlp.Network((columns, 30, 1), seed=0)


def test_a_second_thread_is_refused_before_anything_is_touched():
    X, y = points()
    net = network()
    with Running(net, X, y) as running:
        for _ in range(300):
            with pytest.raises(
                RuntimeError, match=r"^train: this network is being trained by another thread.*deepcopy"
            ):
                net.train(X, y, epochs=1, optimizer="sgd")
            with pytest.raises(RuntimeError, match="another thread"):
                net.partial_train(X, y)
    assert running.error is None
    assert len(net.history) == len(net.last_history) > 0
    net.train(X, y, epochs=1)


def test_of_three_threads_one_trains():
    X, y = points(100)
    refused, trained = [], []

    def train(net, gate):
        gate.wait()
        try:
            net.train(X, y, epochs=30)
            trained.append(1)
        except RuntimeError as error:
            refused.append(str(error))

    for _ in range(40):
        net, gate = network(), threading.Barrier(3)
        threads = [threading.Thread(target=train, args=(net, gate)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(net.history) % 30 == 0
    assert len(refused) + len(trained) == 120
    assert len(trained) >= 40
    assert all("being trained by another thread" in text for text in refused)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_callback_that_trains_its_own_network_is_refused(optimizer):
    X, y = points(100)
    net, messages = network(), []

    def again(state):
        for train in (state.network.train, state.network.partial_train):
            try:
                train(X, y)
            except RuntimeError as error:
                messages.append(str(error))

    net.train(X, y, optimizer=optimizer, epochs=5, callbacks=[again])
    twin = network().train(X, y, optimizer=optimizer, epochs=5)
    assert len(messages) == 2 * len(net.history)
    assert all("the call that this callback belongs to" in text for text in messages)
    np.testing.assert_array_equal(net.params, twin.params)


def test_a_copy_may_be_trained_within_a_callback():
    X, y = points(100)
    copies = []
    net = network()
    net.train(
        X, y, epochs=3, callbacks=[lambda state: copies.append(copy.deepcopy(state.network).train(X, y, epochs=2))]
    )
    assert [len(each.history) for each in copies] == [2, 2, 2]


@pytest.mark.parametrize(("name", "value"), [("params", None), ("dropout", 0.1), ("l1", 0.1), ("l2", 0.1)])
def test_another_thread_may_not_assign(name, value):
    X, y = points()
    net = network()
    with Running(net, X, y), pytest.raises(RuntimeError, match=f"^{name}: assigned while another thread trains"):
        setattr(net, name, net.params if value is None else value)
    setattr(net, name, net.params if value is None else value)


def test_whoever_reads_meanwhile_sees_whole_steps(tmp_path):
    """A step moves every weight by as much: with rates of powers of two, all weights of a copy have moved alike."""
    X, y = np.ones((64, 1)), np.zeros(64)
    net = fastmlp.Network((1, 512, 1), activation="identity", bias=False, seed=0)
    net.params = np.ones(len(net.params))
    # Every weight of a layer has the same gradient, so that within a layer all are equal after every whole step.
    problems, stop = [], threading.Event()

    def look(kind, number):
        path = tmp_path / f"{number}.safetensors"
        while not stop.is_set():
            if kind == "predict":
                seen = [np.ptp(net.predict(X))]
            elif kind == "input_gradient":
                seen = [np.ptp(net.input_gradient(X))]
            elif kind == "save":
                net.save(path)
                seen = [np.ptp(w) for w in fastmlp.load(path).weights]
            elif kind == "pickle":
                seen = [np.ptp(w) for w in pickle.loads(pickle.dumps(net)).weights]
            else:
                seen = [np.ptp(w) for w in copy.deepcopy(net).weights]
            if any(seen):
                problems.append((kind, seen))

    kinds = ("predict", "input_gradient", "save", "copy", "pickle")
    readers = [threading.Thread(target=look, args=(kinds[i % 5], i)) for i in range(10)]
    with Running(net, X, y, optimizer="sgd", learning_rate=1e-6, batch_size=8, n_threads=2):
        for reader in readers:
            reader.start()
        time.sleep(1.0)
        stop.set()
        for reader in readers:
            reader.join(60)
    assert problems == []
    assert len(net.history) > 20


def test_the_training_run_goes_on_while_many_predict():
    X, y = points()
    net, stop, counts = network(), threading.Event(), [0] * 4

    def predict(number):
        while not stop.is_set():
            net.predict(X[:5])
            counts[number] += 1

    with Running(net, X, y) as running:
        threads = [threading.Thread(target=predict, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        running.begun.clear()
        assert running.begun.wait(60), "readers must not starve the training run"
        time.sleep(0.3)
        stop.set()
        for thread in threads:
            thread.join(60)
    assert min(counts) > 0, "nor the training run its readers"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_may_use_a_network_that_its_parent_trains():
    X, y = points()
    net = network()
    with Running(net, X, y):
        child = os.fork()
        if child == 0:
            try:
                net.predict(X)
                net.l2 = 0.5
                copy.deepcopy(net)
                os._exit(0)
            finally:
                os._exit(1)
        deadline = time.time() + 60
        while (done := os.waitpid(child, os.WNOHANG)) == (0, 0):
            assert time.time() < deadline, "the child hangs"
            time.sleep(0.01)
    assert done[1] == 0


def test_a_network_is_free_after_every_ending():
    X, y = points(100)
    net = network()

    def stop(state):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        net.train(X, y, callbacks=[stop])
    with pytest.raises(ValueError, match="^epochs"):
        net.train(X, y, epochs=0)
    with pytest.warns(fastmlp.DivergenceWarning):
        net.train(X, y, optimizer="sgd", learning_rate=1e300)
    net.train(X, y, epochs=1)
    net.l2 = 0.1
