"""The records of a training run, which grow as its epochs run."""

from __future__ import annotations

import numpy as np
import pytest
from inside import places

import fastmlp
from fastmlp import EarlyStopping, schedules

EPOCHS = 23


class Halving(schedules.RateSchedule):
    """A schedule of the user's own, which knows whole training runs only."""

    def rates(self, begun, epochs, batches):
        return self.rate * 0.9 ** np.arange(begun, begun + epochs)


def assert_all_the_same(net, other):
    assert net.params.tobytes() == other.params.tobytes()
    ours, theirs = vars(net.history), vars(other.history)
    for name, values in ours.items():
        if name == "metrics":
            assert list(values) == list(theirs[name])
            assert all(values[key].tobytes() == theirs[name][key].tobytes() for key in values)
        elif name == "frames":
            assert [epoch for epoch, _ in values] == [epoch for epoch, _ in theirs[name]]
        elif name != "seconds" and isinstance(values, np.ndarray):
            assert values.tobytes() == theirs[name].tobytes(), name
    assert (ours["stopped"], ours["best_epoch"]) == (theirs["stopped"], theirs["best_epoch"])
    assert len(ours["seconds"]) == len(theirs["seconds"])


def halve(state):
    """A callback that changes the rate."""
    if state.epoch == 6:
        state.learning_rate = state.learning_rate / 2


CASES = {
    "plain": {},
    "lbfgs": {"optimizer": "lbfgs"},
    "per step": {"learning_rate": schedules.OneCycle(0.01, unit="step")},
    "spanning": {"learning_rate": schedules.Polynomial(0.01)},
    "own": {"learning_rate": Halving(0.01)},
    "following": {"learning_rate": schedules.OnPlateau(0.01, patience=0, factor=0.5, threshold=0.5)},
    "callback": {"callbacks": [halve]},
    "metrics": {"metrics": ["f1"]},
    "best": {"early_stopping": EarlyStopping(patience=4, monitor="val_loss")},
    "two threads": {"n_threads": 2},
    "given orders": {"shuffle": lambda epoch: np.random.default_rng(epoch).permutation(40)},
}


@pytest.mark.parametrize("room", [1, 5, 23])
@pytest.mark.parametrize("options", CASES.values(), ids=CASES.keys())
def test_how_much_room_there_is_at_first_changes_nothing(monkeypatch, backend, options, room):
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((40, 3)), rng.integers(0, 2, 40)
    given = {"hidden": 5, "epochs": EPOCHS, "seed": 1, "validation": (X[::2], y[::2]), "backend": backend}
    batches = {} if options.get("optimizer") == "lbfgs" else {"batch_size": 9}
    whole = fastmlp.train(X, y, **given, **batches, **options)
    places.switch(monkeypatch, first_epochs=room)
    assert_all_the_same(whole, fastmlp.train(X, y, **given, **batches, **options))


def test_a_rate_far_ahead_is_refused_before_the_training_run(monkeypatch, backend):
    places.switch(monkeypatch, first_epochs=4)
    X, y = fastmlp.datasets.moons(20, seed=0)
    net = fastmlp.Network((2, 3, 1), seed=0, backend=backend)
    before = net.params.copy()
    with pytest.raises(ValueError, match=r"^learning_rate: got .*inf from Exponential"):
        net.train(X, y, epochs=5000, learning_rate=schedules.Exponential(0.1, 2.0))
    assert net.params.tobytes() == before.tobytes()
    assert len(net.history) == 0


def test_a_stopped_run_keeps_the_epochs_that_ran():
    X, y = fastmlp.datasets.moons(40, seed=0)
    net = fastmlp.train(
        X, y, hidden=4, epochs=10**9, seed=0, callbacks=[lambda state: state.epoch == 6], metrics=["f1"]
    )
    history = net.history
    assert len(history) == 6
    columns = [value for value in vars(history).values() if isinstance(value, np.ndarray)]
    columns += history.metrics.values()
    # The arrays that the columns are views of hold no more than the columns do.
    assert sum((column if column.base is None else column.base).nbytes for column in columns) < 4096
