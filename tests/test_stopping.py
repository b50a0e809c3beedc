"""Validation rows, early stopping and callbacks."""

import _thread
import threading
import time
import warnings

import numpy as np
import pytest
from inside import places

import fastmlp
from fastmlp import EarlyStopping


def moons(rows=300, noise=0.3):
    return fastmlp.datasets.moons(rows, noise=noise, seed=0)


def fit(backend, **options):
    """A network that learns noise by heart before its epochs are over."""
    X, y = moons()
    given = {"hidden": 64, "learning_rate": 0.02, "epochs": 300, "batch_size": 32, "seed": 0, "validation": 0.3}
    return fastmlp.train(X, y, backend=backend, **given | options)


# ---- validation rows -----------------------------------------------------------------------------------------


def test_rows_of_their_own_are_measured_after_every_epoch(backend, dtype):
    X, y = moons(120)
    X = X.astype(dtype)
    net = fastmlp.train(
        X[:80], y[:80], hidden=8, epochs=4, seed=0, backend=backend, validation=(X[80:], y[80:]), l2=0.1
    )
    assert len(net.history.val_loss) == len(net.history.val_accuracy) == 4
    # loss() puts l2 over its own 40 rows, training over its 80.
    penalty = sum(float((w.astype(np.float64) ** 2).sum()) for w in net.weights) * 0.1 / 2
    expected = net.loss(X[80:], y[80:]) - penalty / 40 + penalty / 80
    np.testing.assert_allclose(net.history.val_loss[-1], expected, rtol=1e-5 if dtype == np.float32 else 1e-12)
    assert net.history.val_accuracy[-1] == net.score(X[80:], y[80:])


def test_numbers_are_drawn_at_random(normal):
    X, y = normal(50, 2), normal(50)
    net = fastmlp.train(X, y, validation=0.2, epochs=2, seed=0)
    assert net.history.val_loss.shape == (2,)
    assert net.history.val_accuracy is None


# ---- early stopping ------------------------------------------------------------------------------------------


def test_the_best_weights_come_back(backend):
    seen = []
    rule = EarlyStopping(patience=7)
    net = fit(backend, early_stopping=rule, callbacks=[lambda state: seen.append(state.params.copy())])
    best = int(np.argmin(net.history.val_loss))
    assert net.history.best_epoch == best + 1
    assert len(net.history) == len(seen) == best + 1 + 7
    assert net.history.stopped == "val_loss has not improved for 7 epochs"
    np.testing.assert_array_equal(net.params, seen[best])
    assert not np.array_equal(net.params, seen[-1])


def test_the_last_weights_stay_where_that_is_asked_for(backend):
    seen = []
    rule = EarlyStopping(patience=3, restore_best=False)
    net = fit(backend, early_stopping=rule, callbacks=[lambda state: seen.append(state.params.copy())])
    np.testing.assert_array_equal(net.params, seen[-1])


def test_true_is_the_usual_rule(backend):
    first, second = (fit(backend, early_stopping=rule) for rule in (True, EarlyStopping()))
    np.testing.assert_array_equal(first.params, second.params)
    assert len(first.history) < 300
    assert fit(backend, early_stopping=False, epochs=5).history.stopped == ""


def test_what_counts_as_an_improvement():
    losses = fit(None, epochs=60).history.val_loss
    net = fit(None, epochs=60, early_stopping=EarlyStopping(patience=4, min_delta=0.01))
    best, at = np.inf, 0
    for epoch, loss in enumerate(losses, 1):
        if loss < best - 0.01:
            best, at = loss, epoch
        if epoch - at >= 4:
            break
    assert (len(net.history), net.history.best_epoch) == (epoch, at)


def test_accuracy_is_to_rise_and_a_goal_ends_it():
    accuracies = fit(None, epochs=30).history.val_accuracy
    goal = float(np.sort(accuracies)[-5])
    net = fit(None, epochs=30, early_stopping=EarlyStopping("val_accuracy", patience=30, goal=goal))
    assert len(net.history) == 1 + int(np.argmax(accuracies >= goal))
    assert net.history.stopped == f"val_accuracy reached {net.history.val_accuracy[-1]:.6g}"
    falls = fit(None, epochs=30, early_stopping=EarlyStopping("val_accuracy", patience=30))
    assert falls.history.best_epoch == 1 + int(np.argmax(accuracies)), "the first of equals"


def ends(values, rule):
    """After how many epochs a training run ends whose monitored number has these values, and its best epoch."""

    def beats(value, other):
        return value < other - rule.min_delta * (abs(other) if rule.relative and np.isfinite(other) else 1)

    best, at, reached = np.inf, None, False
    improved = 1 if rule.baseline is None else 0  # the first epoch, or none yet
    for epoch, value in enumerate(values, 1):
        if np.isfinite(value) and beats(value, best):
            best, at = value, epoch
            if rule.baseline is None or beats(value, rule.baseline):
                improved = epoch
        reached = reached or (rule.goal is not None and np.isfinite(value) and value <= rule.goal)
        if epoch >= rule.min_epochs and (reached or epoch - improved >= rule.patience):
            return epoch, at
    return len(values), at


@pytest.mark.filterwarnings("ignore:early_stopping")  # of those that end before a number is finite
@pytest.mark.parametrize("seed", range(40))
def test_when_a_training_run_ends(seed):
    rng = np.random.default_rng(seed)
    values = rng.choice([0.5, 1.0, 2.0, -1.0, -0.5, 1.5, np.nan, np.inf], 20, p=[0.15] * 6 + [0.05] * 2)
    lengths = set()
    for _ in range(10):
        rule = EarlyStopping(
            lambda state: values[state.epoch - 1],
            patience=int(rng.integers(1, 6)),
            min_delta=rng.choice([0.0, 0.25, 0.5, 1.0]),
            goal=rng.choice([None, -1.0, 0.5], p=[0.6, 0.2, 0.2]),
            min_epochs=int(rng.choice([0, 0, 3, 12, 50])),
            baseline=rng.choice([None, 1.0, 0.0, -0.75], p=[0.4, 0.2, 0.2, 0.2]),
            relative=bool(rng.integers(2)),
        )
        net = fit(None, hidden=2, validation=None, epochs=20, batch_size="full", early_stopping=rule)
        assert (len(net.history), net.history.best_epoch) == ends(values, rule), rule
        lengths.add(len(net.history))
    assert len(lengths) > 1, "the rules differ"


def seen_by(values, **settings):
    """A training run whose monitored number has these values."""
    rule = EarlyStopping(lambda state: values[state.epoch - 1], **settings)
    return fit(None, hidden=2, validation=None, epochs=len(values), batch_size="full", early_stopping=rule).history


def test_a_baseline_has_to_be_beaten():
    falls = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 4.0, 4.0]
    never = seen_by(falls, patience=4, baseline=5.5)
    assert (len(never), never.best_epoch) == (4, 4), "the best weights of those come back all the same"
    assert never.stopped == "<lambda> has not improved for 4 epochs"
    beaten = seen_by(falls, patience=5, baseline=5.5)
    assert (len(beaten), beaten.best_epoch) == (8, 6), "it is from epoch 5 on"
    assert len(seen_by(falls, patience=5, baseline=5.5, min_delta=1.0)) == 5, "5.0 is better, and not by more than 1"
    assert len(seen_by([9.0, 1.0, 2.0, 2.0], patience=2, baseline=1.0)) == 2, "an equal number does not beat it"
    rising = EarlyStopping("val_accuracy", patience=3, baseline=1.0)
    assert len(fit(None, epochs=9, early_stopping=rising).history) == 3


def test_an_improvement_may_be_a_fraction_of_the_best():
    assert seen_by([100.0, 95.0, 89.0, 81.0, 80.5], patience=2, min_delta=0.1, relative=True).best_epoch == 3
    below = seen_by([-100.0, -105.0, -111.0, -120.0], patience=3, min_delta=0.1, relative=True)
    assert below.best_epoch == 3, "below 0 the best number's size counts"
    assert seen_by([0.0, 0.0, -1e-9], patience=3, min_delta=0.5, relative=True).best_epoch == 3
    assert seen_by([5.0, 1.0, 0.1], patience=3, min_delta=2.0, relative=True).best_epoch == 1


def test_no_rule_but_time_ends_it_before_min_epochs():
    values = [1.0, 0.0, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0]
    late = seen_by(values, patience=2, min_epochs=6)
    assert (len(late), late.best_epoch) == (6, 2)
    assert late.stopped == "<lambda> has not improved for 4 epochs"
    reached = seen_by(values, patience=9, min_epochs=6, goal=0.5)
    assert (len(reached), reached.best_epoch, reached.stopped) == (6, 2, "<lambda> reached 0")
    rule = EarlyStopping("loss", patience=1, max_time=0.05, min_epochs=10**6)
    timed = fit(None, epochs=10**6, validation=None, early_stopping=rule)
    assert timed.history.stopped == "0.05 seconds have passed"


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("monitor", ["gradient_norm", "learning_rate", "loss", "val_loss"])
def test_whatever_every_epoch_has_is_monitored(backend, monitor, watched):
    rates = fastmlp.schedules.Cosine(0.02, cycle=7)
    callbacks = [lambda state: None] if watched else ()
    net = fit(backend, epochs=60, learning_rate=rates, early_stopping=EarlyStopping(monitor, 60), callbacks=callbacks)
    values = getattr(net.history, monitor)
    assert net.history.best_epoch == 1 + int(np.argmin(values)) < 60
    goal = float(np.sort(values)[5])
    rule = EarlyStopping(monitor, 60, goal=goal)
    net = fit(backend, epochs=60, learning_rate=rates, early_stopping=rule, callbacks=callbacks)
    assert len(net.history) == 1 + int(np.argmax(values <= goal)) < 60


def test_loss_alone_needs_no_validation_rows():
    net = fit(None, validation=None, epochs=40, early_stopping=EarlyStopping("loss", goal=0.3))
    assert net.history.loss[-1] <= 0.3 < net.history.loss[-2]
    assert net.history.val_loss is None


def test_a_function_may_be_called_what_it_likes():
    def val_mine(state):
        return state.loss

    X = np.random.default_rng(0).normal(size=(20, 2))
    net = fastmlp.train(X, X[:, 0], epochs=2, seed=0, early_stopping=EarlyStopping(val_mine))
    assert len(net.history) == 2


def test_a_metric_of_ones_own_says_which_way_is_better():
    values = iter([1.0, 2.0, 3.0, 2.0, 2.0, 2.0, 2.0])
    mine = fastmlp.metrics.Metric("mine", lambda y, predicted: next(values), rises=True)
    net = fit(None, validation=None, epochs=7, metrics=[mine], early_stopping=EarlyStopping("mine", patience=3))
    assert (len(net.history), net.history.best_epoch) == (6, 3)
    values = iter([1.0, 2.0, 3.0, 2.0, 2.0, 2.0, 2.0])
    mine = fastmlp.metrics.Metric("mse", lambda y, predicted: next(values), rises=True)
    net = fit(None, validation=None, epochs=7, metrics=[mine], early_stopping=EarlyStopping("mse", patience=3))
    assert net.history.best_epoch == 3, "the metric's own direction, not that of another of its name"
    with pytest.raises(ValueError, match="^metrics: got a metric called 'loss'"):
        fit(None, metrics=[fastmlp.metrics.Metric("loss", lambda y, predicted: 0.0)])


def test_a_callback_that_stops_keeps_its_reason():
    rule = EarlyStopping("loss", goal=9.0)
    net = fit(None, epochs=9, callbacks=[lambda state: state.epoch == 3], early_stopping=rule)
    assert net.history.stopped.startswith("loss reached")  # in the first epoch
    rule = EarlyStopping(lambda state: -state.epoch, goal=-3)
    net = fit(None, epochs=9, callbacks=[lambda state: state.epoch == 3], early_stopping=rule)
    assert net.history.stopped == "<lambda> returned True"
    assert fit(None, epochs=3, callbacks=[lambda state: state.epoch == 3]).history.stopped == "", "it was the last one"


def test_a_monitor_of_ones_own():
    net = fit(None, epochs=30, early_stopping=EarlyStopping(lambda state: state.epoch, patience=5))
    assert (len(net.history), net.history.best_epoch) == (6, 1), "a number that rises is none that falls"


def test_anything_is_better_than_nan():
    values = [float("nan"), float("nan"), 3.0, float("nan"), 2.0, 5.0, 5.0]
    rule = EarlyStopping(lambda state: values[state.epoch - 1], patience=2)
    net = fit(None, epochs=7, early_stopping=rule)
    assert (len(net.history), net.history.best_epoch) == (7, 5)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_what_is_never_a_number_has_no_best_epoch(number, optimizer):
    rule = EarlyStopping(lambda state: number, patience=3)
    with pytest.warns(UserWarning, match=r"^early_stopping: .* not a finite number in any epoch.*last weights stay"):
        never = fit(None, epochs=7, early_stopping=rule, optimizer=optimizer, batch_size="full", learning_rate=None)
    plain = fit(None, epochs=4, optimizer=optimizer, batch_size="full", learning_rate=None)
    assert (len(never.history), never.history.best_epoch) == (4, None)
    assert never.history.stopped == "<lambda> has not improved for 3 epochs", "an infinite number reaches no goal"
    np.testing.assert_array_equal(never.params, plain.params)


def test_a_schedule_that_never_sees_a_number_warns():
    mine = fastmlp.metrics.Metric("mine", lambda y, predicted: float("nan"))
    schedule = fastmlp.schedules.Adaptive(0.02, divisor=None, patience=3, monitor="val_mine")
    with pytest.warns(UserWarning, match="^learning_rate: val_mine was not a finite number in any epoch") as seen:
        net = fit(None, metrics=[mine], learning_rate=schedule)
    assert len(net.history) == 4
    assert len(seen) == 1
    np.testing.assert_array_equal(net.params, fit(None, epochs=4).params)


@pytest.mark.parametrize("monitor", ["loss", "val_loss", lambda state: state.val_loss], ids=str)
@pytest.mark.parametrize("restore", [True, False])
def test_what_comes_back_after_a_divergence_is_finite(backend, normal, monitor, restore):
    # Steps far too long: a loss may be finite, and the weights after it are not any more.
    returned = set()
    for seed in range(12):
        X = 10 * normal(60, 4, seed=seed)
        y = X.sum(axis=1)
        rule = EarlyStopping(monitor, patience=50, restore_best=restore)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            net = fastmlp.train(
                X,
                y,
                hidden=(8, 8, 8),
                optimizer="sgd",
                activation="identity",
                learning_rate=(1.0, 0.1, 0.003, 0.002)[seed % 4],
                batch_size=20,
                epochs=30,
                seed=seed,
                validation=0.25,
                early_stopping=rule,
                backend=backend,
            )
        assert np.isfinite(net.params).all()
        texts = [str(each.message) for each in seen if each.category is fastmlp.DivergenceWarning]
        best = net.history.best_epoch
        if texts and restore and best is not None:
            assert f"the best weights so far came back, those of epoch {best};" in texts[0]
            if monitor == "val_loss":
                assert np.isfinite(net.history.val_loss[best - 1])
        elif texts:
            assert "best weights" not in texts[0]
        returned.add((bool(texts), best is None))
    assert (True, False) in returned, "some diverge after an epoch that was the best"


def test_time_runs_out():
    net = fit(None, epochs=10**6, early_stopping=EarlyStopping("loss", patience=10**6, max_time=0.05), validation=None)
    assert 0 < len(net.history) < 10**6
    assert net.history.stopped == "0.05 seconds have passed"


def test_threads_stop_alike(backend):
    one, two = (fit(backend, early_stopping=True, n_threads=threads, epochs=40) for threads in (1, 2))
    np.testing.assert_array_equal(one.params, two.params)
    np.testing.assert_array_equal(one.history.val_loss, two.history.val_loss)


def test_going_on_after_a_stop(backend):
    X, y = moons(60)
    net = fastmlp.Network((2, 5, 1), loss="binary_cross_entropy", seed=0, backend=backend)
    options = {"validation": (X[40:], y[40:]), "early_stopping": EarlyStopping(patience=2), "learning_rate": 1.0}
    net.train(X[:40], y[:40], epochs=50, **options)
    first = len(net.history)
    assert first < 50
    net.train(X[:40], y[:40], epochs=50, **options)
    assert net.history.best_epoch > first
    assert len(net.history) > first


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"early_stopping": True}, ValueError, r"^early_stopping: got monitor 'val_loss' without .*validation=0.2"),
        (
            {"early_stopping": EarlyStopping("val_accuracy"), "validation": 0.2},
            ValueError,
            "^early_stopping: got monitor 'val_accuracy' for regression",
        ),
        (
            {"early_stopping": EarlyStopping("val_los"), "validation": 0.2},
            ValueError,
            "^early_stopping: monitor: got 'val_los', expected one of .*; did you mean 'val_loss'",
        ),
        ({"early_stopping": "yes"}, TypeError, "^early_stopping: got 'yes'; True, False"),
        ({"early_stopping": EarlyStopping}, TypeError, r"^early_stopping: got .*; write EarlyStopping\(\)"),
        ({"validation": 0.0}, ValueError, "^validation: got 0.0, expected .* above 0"),
        ({"validation": 1.0}, ValueError, "^validation: got 1.0, expected .* below 1"),
        ({"validation": 0.001}, ValueError, "^validation: got 0.001 of 20 rows, which leaves 20 to train on and 0"),
        ({"validation": True}, TypeError, "^validation: got True"),
        ({"validation": "0.2"}, TypeError, "^validation: got '0.2'"),
        ({"validation": (1, 2, 3, 4)}, ValueError, "^validation: got 4 parts"),
        ({"validation": (np.ones((3, 5)), np.ones(3))}, ValueError, "^validation X: got 5 columns"),
        ({"validation": (np.ones((3, 2)), np.ones(4))}, ValueError, "^validation y: got 4 rows where X has 3"),
        ({"callbacks": print}, TypeError, "^callbacks: got .*; a list of callables"),
        ({"callbacks": [3]}, TypeError, r"^callbacks: got \[3\]"),
    ],
)
def test_what_cannot_be_used_is_refused(normal, options, kind, words):
    with pytest.raises(kind, match=words):
        fastmlp.train(normal(20, 2), normal(20), epochs=1, **options)


def test_a_network_takes_no_share(normal):
    net = fastmlp.Network((2, 1), seed=0)
    with pytest.raises(TypeError, match=r"^validation: got 0.2; rows \(X, y\) are accepted"):
        net.train(normal(20, 2), normal(20), validation=0.2)


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"monitor": 3}, TypeError, "^monitor: got 3"),
        ({"patience": 0}, ValueError, "^patience: got 0"),
        ({"min_delta": -1}, ValueError, "^min_delta: got -1.0"),
        ({"restore_best": 1}, TypeError, "^restore_best: got 1"),
        ({"max_time": 0}, ValueError, "^max_time: got 0.0"),
        ({"goal": np.nan}, ValueError, "^goal: got nan"),
        ({"min_epochs": -1}, ValueError, "^min_epochs: got -1"),
        ({"min_epochs": 1.5}, TypeError, "^min_epochs: got 1.5"),
        ({"baseline": np.inf}, ValueError, "^baseline: got inf"),
        ({"baseline": "0.5"}, TypeError, "^baseline: got '0.5'"),
        ({"relative": 1}, TypeError, "^relative: got 1"),
    ],
)
def test_rules_check_themselves(settings, kind, words):
    with pytest.raises(kind, match=words):
        EarlyStopping(**settings)


# ---- epochs that are looked at behind the kernels ------------------------------------------------------------


def glance(state):
    """A callback that does nothing, but for which the kernels stop at every epoch."""


RULES = [
    {"early_stopping": EarlyStopping("loss", patience=3)},
    {"early_stopping": EarlyStopping("val_loss", patience=5)},
    {"early_stopping": EarlyStopping("val_loss", patience=8, restore_best=False)},
    {"early_stopping": EarlyStopping("val_accuracy", patience=10, min_delta=0.01)},
    {"early_stopping": EarlyStopping("loss", patience=400, goal=0.25)},
    {"early_stopping": EarlyStopping("loss", patience=400)},
    {"early_stopping": EarlyStopping("gradient_norm", patience=6)},
    {"early_stopping": EarlyStopping("val_loss", patience=3, min_delta=0.01, relative=True, min_epochs=25)},
    {"early_stopping": EarlyStopping("val_accuracy", patience=20, baseline=0.9)},
    {"learning_rate": fastmlp.schedules.OnPlateau(0.05, factor=0.5, patience=1)},
    {"learning_rate": fastmlp.schedules.OnPlateau(0.05, factor=0.5, patience=3, monitor="gradient_norm")},
    {"learning_rate": fastmlp.schedules.OnPlateau(0.05, factor=0.5, patience=3, monitor="val_accuracy")},
    {"learning_rate": fastmlp.schedules.OnPlateau(0.05, factor=0.9, patience=0, threshold=0.1)},
    {"learning_rate": fastmlp.schedules.Adaptive(0.05, patience=2, threshold=0.01, monitor="val_loss")},
    {
        "learning_rate": fastmlp.schedules.OnPlateau(0.05, patience=4, monitor="val_loss"),
        "early_stopping": EarlyStopping("val_loss", patience=20),
    },
]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize(("batch", "hidden", "n_threads"), [("full", 4, 1), (32, 16, 2), (50, (30, 10), 2)])
def test_looking_back_leads_where_stopping_at_every_epoch_does(backend, rule, batch, hidden, n_threads):
    given = {
        "batch_size": batch,
        "hidden": hidden,
        "epochs": 100,
        "dropout": 0.2,
        "n_threads": n_threads,
        "learning_rate": 0.02,
    } | rule
    back, watched = fit(backend, **given), fit(backend, **given, callbacks=[glance])
    np.testing.assert_array_equal(back.params, watched.params)
    np.testing.assert_array_equal(places.slots(back), places.slots(watched))
    for name in ("epoch", "batch", "step", "diverged", "noted", "beta1_power"):
        assert places.position(back, name) == places.position(watched, name), name
    for name in ("loss", "accuracy", "val_loss", "learning_rate", "gradient_norm", "layer_epochs", "layer_activations"):
        np.testing.assert_array_equal(getattr(back.history, name), getattr(watched.history, name), name)
    assert (back.history.stopped, back.history.best_epoch) == (watched.history.stopped, watched.history.best_epoch)
    assert len(back.history.seconds) == len(back.history)
    X, y = moons()
    for net in (back, watched):
        net.train(X, y, epochs=3)
    np.testing.assert_array_equal(back.params, watched.params)


def test_looking_back_before_a_divergence(backend):
    X = np.random.default_rng(0).standard_normal((40, 3))
    y = X[:, 0]
    nets = []
    for options in ({}, {"callbacks": [glance]}):
        for rule in (EarlyStopping("loss", patience=2), EarlyStopping("loss", patience=10**6, restore_best=False)):
            net = fastmlp.Network((3, 4, 1), activation="identity", seed=1, backend=backend)
            given = {"optimizer": "sgd", "learning_rate": 1.3, "batch_size": 40, "epochs": 999, "early_stopping": rule}
            if rule.patience == 2:
                net.train(X, y, **given, **options)  # it stops before the loss overflows, and says no word
                assert len(net.history) < 20
            else:
                with pytest.warns(fastmlp.DivergenceWarning):
                    net.train(X, y, **given, **options)
            nets.append(net)
    for back, watched in zip(nets[:2], nets[2:], strict=True):
        np.testing.assert_array_equal(back.params, watched.params)
        np.testing.assert_array_equal(back.history.loss, watched.history.loss)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_signal_while_the_kernels_run_brings_the_best_weights_back(n_threads):
    X, y = moons()
    net, twin = (fastmlp.Network((2, 64, 1), loss="binary_cross_entropy", seed=0) for _ in range(2))
    begun = threading.Event()

    def interrupt():
        begun.wait()
        time.sleep(0.2)
        _thread.interrupt_main()

    killer = threading.Thread(target=interrupt)
    killer.start()
    options = {"learning_rate": 0.05, "batch_size": 32, "validation": (X[:100], y[:100])}
    with pytest.raises(KeyboardInterrupt):
        net.train(
            X[100:],
            y[100:],
            epochs=10**6,
            early_stopping=EarlyStopping("val_loss", patience=10**6),
            n_threads=n_threads,
            progress=lambda progress: begun.set(),
            **options,
        )
    killer.join()
    best = int(np.argmin(net.history.val_loss)) + 1
    assert net.history.best_epoch == best < len(net.history)
    twin.train(X[100:], y[100:], epochs=best, n_threads=1, **options)
    np.testing.assert_array_equal(net.params, twin.params)


class Orders:
    """Gives a new order of so many rows every epoch, also ahead of its time."""

    def __init__(self, rows, ahead):
        self._rows, self.ahead = rows, ahead

    def __call__(self, epoch):
        return np.random.default_rng(epoch).permutation(self._rows)


# ---- callbacks -----------------------------------------------------------------------------------------------


def test_callbacks_see_every_epoch(backend):
    seen = []

    def note(state):
        seen.append((state.epoch, state.epochs, state.loss, state.accuracy, state.val_loss, state.gradient_norm))

    net = fit(backend, epochs=5, callbacks=[note])
    history = net.history
    expected = zip(
        range(1, 6), [5] * 5, history.loss, history.accuracy, history.val_loss, history.gradient_norm, strict=True
    )
    assert seen == list(expected)
    assert history.stopped == ""


def test_callbacks_change_nothing_by_looking(backend):
    plain, watched = fit(backend, epochs=6), fit(backend, epochs=6, callbacks=[lambda state: None])
    np.testing.assert_array_equal(plain.params, watched.params)
    np.testing.assert_array_equal(plain.history.loss, watched.history.loss)


def test_a_callback_that_returns_true_stops(backend):
    def enough(state):
        return state.epoch == 3

    for callback in (enough, lambda state: np.bool_(enough(state))):
        net = fit(backend, epochs=9, callbacks=[callback])
        assert len(net.history) == 3
        assert net.history.stopped == f"{callback.__name__} returned True"
    assert len(fit(backend, epochs=4, callbacks=[lambda state: 1]).history) == 4, "1 is not True"


@pytest.mark.parametrize("schedule", [0.01, fastmlp.schedules.Exponential(0.01, 0.9, unit="step")], ids=repr)
def test_a_callback_changes_the_rate(backend, schedule):
    def halve(state):
        if state.epoch == 2:
            state.learning_rate = 0.5
            assert state.learning_rate == 0.5

    net = fit(backend, epochs=4, learning_rate=schedule, callbacks=[halve], validation=None)
    plain = fit(backend, epochs=2, learning_rate=schedule, validation=None)
    rates = net.history.learning_rate
    np.testing.assert_array_equal(rates[:2], plain.history.learning_rate)
    np.testing.assert_array_equal(rates[2:], 0.5)
    plain.train(*moons(), epochs=2, learning_rate=0.5, batch_size=32)
    np.testing.assert_array_equal(net.params, plain.params)


def test_an_error_in_a_callback_comes_through_and_loses_nothing():
    net = fastmlp.Network((2, 4, 1), loss="binary_cross_entropy", seed=0)
    before = net.params.copy()

    def fail(state):
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        net.train(*moons(40), callbacks=[fail], n_threads=2)
    assert not np.array_equal(net.params, before), "the epoch was trained"
    net.train(*moons(40), epochs=2)
    assert len(net.history) == 3, "the epoch that was trained is written down"
    np.testing.assert_array_equal(net.history.layer_epochs, [0, 1, 2])
