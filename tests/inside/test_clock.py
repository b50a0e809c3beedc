"""How a training run is cut into kernel calls, which changes no number."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from inside import places
from trained import assert_same

import fastmlp
from fastmlp import EarlyStopping, callbacks

NARROW, WIDE = (6,), (100, 100)  # samples and outputs along the lanes, whatever the build and the batch


@pytest.fixture(params=[NARROW, WIDE], ids=["narrow", "wide"])
def hidden(request):
    return request.param


def points(rows: int = 90, columns: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels of three classes."""
    rng = np.random.default_rng(7)
    return rng.standard_normal((rows, columns)), rng.integers(0, 3, rows)


def cut(monkeypatch, steps: int) -> None:
    """Make the first call `steps` long, and all later ones a single step."""
    places.switch(monkeypatch, first_steps=steps, slice_seconds=0.0)


def test_the_two_sizes_are_laid_out_differently(backend, dtype):
    lanes = places.backend.kernels(dtype, backend).sizes()["lanes"]
    for sizes, narrow in ((NARROW, True), (WIDE, False)):
        layers = places.layout.network_layers((1, *sizes, 1), (0,) * (len(sizes) + 1), True)
        assert [places.layout.is_narrow(layers, lanes, batch) for batch in (1, 20, 1000)] == [narrow] * 3


@pytest.mark.parametrize("n_threads", [1, 2])
def test_how_the_steps_are_cut_into_calls_changes_nothing(monkeypatch, backend, hidden, n_threads):
    X, y = points()
    networks, calls = [], []
    for first_steps in (1, 5, 10**9):  # nothing but single steps; calls that end within epochs; one call
        cut(monkeypatch, first_steps)
        seen = []
        networks.append(
            fastmlp.train(
                X,
                y,
                hidden=hidden,
                batch_size=20,
                epochs=6,
                seed=3,
                l2=0.1,
                n_threads=n_threads,
                backend=backend,
                progress=seen.append,
            )
        )
        calls.append(len(seen))
    assert calls == [30, 26, 1]  # 6 epochs of 5 batches
    for other in networks[1:]:
        assert_same(networks[0], other)


def test_the_calls_grow_until_they_are_long_enough(monkeypatch):
    X, y = points()
    places.switch(monkeypatch, slice_seconds=1e9)
    seen = []
    fastmlp.train(X, y, hidden=NARROW, batch_size="full", epochs=10_000, seed=0, progress=seen.append)
    first, growth = places.first_steps, places.max_growth
    expected = np.cumsum([first * growth**call for call in range(6)])
    assert [progress.epoch for progress in seen] == [*expected[expected < 10_000], 10_000]


def test_progress_tells_where_the_training_stands(monkeypatch, backend):
    X, y = points()
    cut(monkeypatch, 1)
    seen = []
    net = fastmlp.train(X, y, hidden=NARROW, batch_size=45, epochs=4, seed=3, backend=backend, progress=seen.append)
    assert [progress.epoch for progress in seen] == [0, 1, 1, 2, 2, 3, 3, 4]
    assert {progress.epochs for progress in seen} == {4}
    assert np.isnan([seen[0].loss, seen[0].accuracy]).all(), "no epoch has ended yet"
    assert (seen[0].val_loss, seen[0].val_accuracy) == (None, None)
    for progress in seen[1:]:
        assert progress.loss == net.history.loss[progress.epoch - 1]
        assert progress.accuracy == net.history.accuracy[progress.epoch - 1]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_exception_in_progress_leaves_a_network_that_can_go_on(monkeypatch, backend, hidden, error, n_threads):
    X, y = points()
    cut(monkeypatch, 7)
    threads = threading.active_count()
    net = fastmlp.Network((3, *hidden, 3), loss="cross_entropy", seed=3, backend=backend)
    before = net.params.copy()

    def stop(progress):
        raise error("stop here")

    with pytest.raises(error, match="stop here"):
        net.train(X, y, batch_size=20, epochs=10, n_threads=n_threads, progress=stop)
    assert threading.active_count() == threads
    assert np.isfinite(net.params).all()
    assert (net.params != before).any(), "what was trained is kept"
    net.train(X, y, batch_size=20, epochs=5, n_threads=n_threads)
    assert np.isfinite(net.history.loss[-5:]).all()
    assert net.predict(X).shape == y.shape


def test_every_epoch_has_its_entry(monkeypatch, backend):
    X, y = points()
    cut(monkeypatch, 3)
    net = fastmlp.train(X, y, hidden=NARROW, batch_size=20, epochs=5, seed=3, learning_rate=0.02, backend=backend)
    history = net.history
    for name in ("loss", "accuracy", "learning_rate", "gradient_norm", "seconds"):
        assert getattr(history, name).shape == (5,), name
    np.testing.assert_array_equal(history.learning_rate, 0.02)
    assert (history.gradient_norm > 0).all()
    assert (history.seconds >= 0).all()
    assert history.seconds.sum() > 0
    assert history.val_loss is None
    assert history.val_accuracy is None
    assert history.frames == []


def test_a_training_that_could_not_begin_is_not_the_last(monkeypatch):
    X, y = points()
    net = fastmlp.Network((3, 6, 3), loss="cross_entropy", seed=3)
    net.train(X, y, epochs=4).train(X, y, epochs=3)
    assert len(net.history) == 7

    def fail(*arguments, **options):
        raise MemoryError("no room")

    places.switch(monkeypatch, plan=fail)
    with pytest.raises(MemoryError, match="no room"):
        net.train(X, y, epochs=2)
    assert (len(net.history), len(net.last_history)) == (7, 3)


def moons(rows=300, noise=0.3):
    return fastmlp.datasets.moons(rows, noise=noise, seed=0)


def fit(backend, **options):
    """A network that learns noise by heart before its epochs are over."""
    X, y = moons()
    given = {"hidden": 64, "learning_rate": 0.02, "epochs": 300, "batch_size": 32, "seed": 0, "validation": 0.3}
    return fastmlp.train(X, y, backend=backend, **given | options)


def test_the_kernels_do_not_stop_in_between(monkeypatch):
    calls = places.count_kernel_calls(monkeypatch, places.backend.kernels(np.dtype(np.float64)))
    places.switch(monkeypatch, first_steps=10**9)
    for every, most in ((1, 12), (6, 2), (100, 1)):
        calls.clear()
        fit(None, epochs=12, callbacks=[callbacks.Every(every, lambda state: None)], n_threads=1)
        assert len(calls) == most
    calls.clear()
    fit(
        None,
        epochs=12,
        callbacks=[callbacks.Every(4, lambda state: None), callbacks.Every(6, lambda state: None)],
        n_threads=1,
    )
    assert len(calls) == 4, "at 4, 6, 8 and 12"


class Orders:
    """Gives a new order of so many rows every epoch, also ahead of its time."""

    def __init__(self, rows, ahead):
        self._rows, self.ahead = rows, ahead

    def __call__(self, epoch):
        return np.random.default_rng(epoch).permutation(self._rows)


def test_the_kernels_do_not_stop_to_be_looked_at(monkeypatch):
    calls = places.count_kernel_calls(monkeypatch, places.backend.kernels(np.dtype(np.float64)))
    places.switch(monkeypatch, lookback_seconds=1e9)
    options = {"epochs": 4000, "batch_size": "full", "hidden": 3, "n_threads": 1, "learning_rate": 1e-4}
    fit(None, **options, early_stopping=EarlyStopping("loss", patience=4000))
    # 1 epoch, 16, 256 and the rest, whose last one is the best
    assert len(calls) == 4
    # nor where the orders of the rows are given some epochs ahead of their time
    options |= {"batch_size": 70, "epochs": 2000, "early_stopping": EarlyStopping("loss", patience=4000)}
    for ahead in (False, True):
        calls.clear()
        fit(None, **options, shuffle=Orders(210, ahead))  # the rows that are left to train on
        assert len(calls) < 40 if ahead else len(calls) >= 2000
    # of a large network, which could not be gone back to, none are run twice
    calls.clear()
    places.switch(monkeypatch, replayed_bytes=100)
    fit(None, **options | {"hidden": 300, "epochs": 20})
    assert len(calls) == 1 + 20, "the first step alone, and the rest of its epoch"
