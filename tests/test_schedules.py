"""Learning-rate schedules: their formulas, PyTorch's rates, and the rates that a training uses."""

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest

import fastmlp
from fastmlp import schedules
from fastmlp.schedules import (
    Adaptive,
    Constant,
    Cosine,
    Exponential,
    InverseScaling,
    MultiStep,
    OneCycle,
    OnPlateau,
    Polynomial,
    StepDecay,
)

TORCH = json.loads(Path(__file__).with_name("torch_steps.json").read_text(encoding="utf-8"))["schedules"]
EVERY = [
    Constant(0.1),
    StepDecay(0.1, every=2),
    MultiStep(0.1, (1, 3)),
    Exponential(0.1, 0.7),
    InverseScaling(0.1),
    Polynomial(0.1),
    Cosine(0.1, warmup=2),
    OneCycle(0.1),
    OnPlateau(0.1),
    Adaptive(0.1),
]


@pytest.mark.parametrize("case", TORCH, ids=lambda case: f"{case['schedule']}{case['options']}")
def test_pytorch(case):
    schedule = getattr(schedules, case["schedule"])(0.2, **case["options"])
    # PyTorch finds a rate from the one before; forty steps of it lose some digits.
    np.testing.assert_allclose(schedule.rates(0, len(case["rates"]), 1), case["rates"], rtol=1e-12, atol=1e-15)


def test_every_schedule_is_looked_at():
    kinds = {kind for kind in vars(schedules).values() if isinstance(kind, type)}
    kinds = {kind for kind in kinds if issubclass(kind, schedules.RateSchedule)}
    kinds -= {schedules.RateSchedule, schedules.FeedbackSchedule}
    assert {type(schedule) for schedule in EVERY} == kinds


def test_formulas():
    t = np.arange(6)
    np.testing.assert_allclose(InverseScaling(0.3, power=0.7).rates(0, 6, 1), 0.3 / (t + 1) ** 0.7, rtol=1e-14)
    # A warm-up of three, then half a cosine over the seven that are left, and the final rate behind the length.
    expected = [*(0.8 * np.arange(1, 4) / 4), *(0.1 + 0.7 * (1 + np.cos(np.pi * np.arange(7) / 7)) / 2), 0.1, 0.1]
    np.testing.assert_allclose(Cosine(0.8, final=0.1, warmup=3, length=10).rates(0, 12, 1), expected, rtol=1e-13)


@pytest.mark.parametrize("schedule", EVERY, ids=repr)
def test_rates_are_finite_and_not_negative(schedule):
    for epochs, batches in ((1, 1), (1, 3), (2, 1), (7, 3), (50, 2)):
        rates = schedule.rates(0, epochs, batches)
        assert len(rates) == epochs * (batches if getattr(schedule, "unit", "epoch") == "step" else 1)
        assert np.isfinite(rates).all()
        # a rounding above the largest is none
        assert ((rates >= 0) & (rates <= 0.1 * (1 + 1e-12))).all()


def test_rates_an_epoch_and_a_step(backend, dtype, normal):
    # plain SGD on one weight and one row: w <- w - rate w, so that w tells the product of all 1 - rate
    X, y = np.ones((4, 1), dtype), np.zeros(4, dtype)
    per_step = (Exponential(0.5, 0.9, unit="step"), OneCycle(0.4), Cosine(0.3, unit="step"))
    for schedule in (Exponential(0.5, 0.5), *per_step):
        net = fastmlp.Network((1, 1), bias=False, dtype=dtype, backend=backend, seed=0)
        net.params[:] = 1
        net.train(X, y, optimizer="sgd", learning_rate=schedule, batch_size=2, epochs=5)
        rates = schedule.rates(0, 5, 2)
        each = rates if len(rates) == 10 else np.repeat(rates, 2)
        # ten steps of two roundings each
        np.testing.assert_allclose(net.params[0], np.prod(1 - each), rtol=20 * float(np.finfo(dtype).eps))
        np.testing.assert_array_equal(net.history.learning_rate, each[::2])


# All that need no length, and those that do with one: per epoch, and per step, of which an epoch here has four.
GOES_ON = [
    *EVERY[:5],
    Cosine(0.1, cycle=2),
    Cosine(0.1, warmup=3, cycle=2, growth=1.5),
    Cosine(0.1, warmup=5, cycle=7, unit="step"),
    Exponential(0.1, 0.9, unit="step"),
    Cosine(0.1, length=9),
    Cosine(0.1, warmup=4, length=36, unit="step"),
    Polynomial(0.1, length=9),
    OneCycle(0.1, length=36),
    OneCycle(0.1, length=9, unit="epoch"),
]


def one_cycle_by_the_book(step, total, schedule):
    """PyTorch's OneCycleLR (its get_lr, two phases, cosine); None if it divides by zero."""
    top = schedule.rise * total - 1
    start, end, first, last = (0.0, top, schedule.start, 1.0) if step <= top else (top, total - 1, 1.0, schedule.final)
    if end == start:
        return None
    return last + (first - last) / 2 * (1 + math.cos(math.pi * (step - start) / (end - start)))


@pytest.mark.parametrize("rise", [0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 0.75, 0.9])
def test_one_cycle_is_pytorchs_however_short(rise):
    schedule, unknown = OneCycle(1.0, rise=rise), 0
    for total in range(1, 30):
        expected = [one_cycle_by_the_book(step, total, schedule) for step in range(total)]
        unknown += expected.count(None)
        expected = [1.0 if rate is None else rate for rate in expected]
        # cosines of numbers up to pi: some roundings
        np.testing.assert_allclose(schedule.rates(0, 1, total), expected, rtol=1e-14, atol=1e-15)
    assert unknown == (1 / rise in range(1, 30))


@pytest.mark.parametrize("schedule", GOES_ON, ids=repr)
def test_going_on_goes_on_with_the_rates(backend, normal, schedule):
    X, y = normal(20, 3), normal(20, 2, seed=1)
    options = {"learning_rate": schedule, "batch_size": 5, "optimizer": "sgd"}
    at_once, in_parts = (fastmlp.Network((3, 4, 2), seed=0, backend=backend) for _ in range(2))
    at_once.train(X, y, epochs=9, **options)
    for epochs in (2, 3, 3):
        in_parts.train(X, y, epochs=epochs, **options)
    in_parts = pickle.loads(pickle.dumps(in_parts))
    in_parts.partial_train(X, y, **options)
    np.testing.assert_array_equal(in_parts.params, at_once.params)
    np.testing.assert_array_equal(in_parts.history.learning_rate, at_once.history.learning_rate)


@pytest.mark.parametrize("schedule", [Exponential(0.01, 0.9, unit="step"), Cosine(0.01, unit="step", length=30)])
def test_steps_are_counted_whatever_the_chunks(backend, normal, schedule):
    # 3, 1 and 2 batches: t goes on by the steps that were made, and not by the present chunk's.
    net = fastmlp.Network((3, 1), seed=0, backend=backend)
    seen = []
    for rows in (30, 10, 15):
        X = normal(rows, 3)
        net.partial_train(X, X[:, 0], learning_rate=schedule, batch_size=10)
        seen.append(net.history.learning_rate[-1])
    np.testing.assert_array_equal(seen, schedule.rates(0, 6, 1)[[0, 3, 4]])


def test_a_schedule_counts_from_where_it_was_first_given(backend, normal):
    X, y = normal(20, 3), normal(20, 2, seed=1)
    net = fastmlp.Network((3, 2), seed=0, backend=backend)
    net.train(X, y, learning_rate=0.01, epochs=5)
    net.train(X, y, learning_rate=Exponential(0.1, 0.5), epochs=2)
    net.train(X, y, learning_rate=Polynomial(0.2), epochs=2)
    net.train(X, y, learning_rate=Polynomial(0.2), epochs=2)
    np.testing.assert_allclose(net.history.learning_rate, [0.01] * 5 + [0.1, 0.05] + [0.2, 0.1] * 2, rtol=1e-15)


@pytest.mark.parametrize(
    ("make", "settings", "kind", "words"),
    [
        (Constant, {"rate": -1}, ValueError, "^rate: got -1.0"),
        (StepDecay, {"rate": 0.1, "every": 0}, ValueError, "^every: got 0"),
        (StepDecay, {"rate": 0.1, "every": 2, "factor": 0}, ValueError, "^factor: got 0.0, expected .* above 0"),
        (StepDecay, {"rate": 0.1, "every": 2, "unit": "epochs"}, ValueError, "^unit: got 'epochs', .*you mean 'epoch'"),
        (MultiStep, {"rate": 0.1, "milestones": 5}, TypeError, "^milestones: got 5"),
        (MultiStep, {"rate": 0.1, "milestones": (5, 5)}, ValueError, r"^milestones: got \[5, 5\]; increasing"),
        (MultiStep, {"rate": 0.1, "milestones": ()}, ValueError, r"^milestones: got \[\]"),
        (MultiStep, {"rate": 0.1, "milestones": (1, 2.5)}, TypeError, r"^milestones\[1\]: got 2.5"),
        (Exponential, {"rate": 0.1, "factor": np.inf}, ValueError, "^factor: got inf"),
        (InverseScaling, {"rate": 0.1, "power": 0}, ValueError, "^power: got 0.0"),
        (Polynomial, {"rate": 0.1, "length": 0}, ValueError, "^length: got 0"),
        (Cosine, {"rate": 0.1, "warmup": -1}, ValueError, "^warmup: got -1"),
        (Cosine, {"rate": 0.1, "cycle": 2, "growth": 0.5}, ValueError, "^growth: got 0.5"),
        (OneCycle, {"rate": 0.1, "rise": 1.0}, ValueError, "^rise: got 1.0"),
    ],
)
def test_schedules_check_themselves(make, settings, kind, words):
    with pytest.raises(kind, match=words):
        make(**settings)


def test_a_class_must_be_called_first(normal):
    with pytest.raises(TypeError, match=r"^learning_rate: got the class Cosine; .*Cosine\(0.1"):
        fastmlp.train(normal(5, 2), normal(5), learning_rate=Cosine)
    with pytest.raises(TypeError, match="^learning_rate: got 'cosine'"):
        fastmlp.train(normal(5, 2), normal(5), learning_rate="cosine")


class Own(schedules.RateSchedule):
    """A schedule of a user's own, whose rates are what they are."""

    def rates(self, begun, epochs, batches):
        return OWN_RATES


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        (
            [0.1] * 3,
            r"^learning_rate: got rates of float64 and shape \(3,\) from .*; numbers of shape \(4,\), one per epoch, "
            r"or \(8,\), one per step",
        ),
        ([], r"^learning_rate: got rates of float64 and shape \(0,\)"),
        ([[0.1] * 4], r"^learning_rate: got rates of float64 and shape \(1, 4\)"),
        (0.1, r"^learning_rate: got rates of float64 and shape \(\)"),
        (["fast"] * 4, r"^learning_rate: got rates of <U4 and shape \(4,\)"),
        ([0.1, [1], 0.1, 0.1], "^learning_rate: got a list that cannot be read as an array"),
        ([0.1, np.nan, 0.1, 0.1], "^learning_rate: got nan to nan .*; finite rates from 0 on"),
        ([0.1, -0.1, 0.1, 0.1], "^learning_rate: got -0.1 to 0.1"),
        ([0.1, np.inf, 0.1, 0.1], "^learning_rate: got 0.1 to inf"),
    ],
)
def test_rates_of_a_users_own_are_checked(backend, normal, monkeypatch, rates, words):
    monkeypatch.setitem(globals(), "OWN_RATES", rates)
    X, y = normal(20, 3), normal(20, 2, seed=1)
    net, twin = (fastmlp.Network((3, 4, 2), seed=0, backend=backend) for _ in range(2))
    for each in (net, twin):
        each.train(X, y, epochs=2, batch_size=10)
    before = net.params.copy()
    with pytest.raises(ValueError, match=words):
        net.train(X, y, optimizer="sgd", learning_rate=Own(0.1), epochs=4, batch_size=10)
    np.testing.assert_array_equal(net.params, before)
    for each in (net, twin):  # the refused call has not touched what Adam remembers
        each.train(X, y, epochs=2, batch_size=10)
    np.testing.assert_array_equal(net.params, twin.params)


def test_rates_of_a_users_own_may_be_integers(backend, normal, monkeypatch):
    monkeypatch.setitem(globals(), "OWN_RATES", [0, 0, 0, 0])
    X, y = normal(20, 3), normal(20, 2, seed=1)
    net = fastmlp.Network((3, 4, 2), seed=0, backend=backend)
    before = net.params.copy()
    net.train(X, y, learning_rate=Own(0.1), epochs=4)
    np.testing.assert_array_equal(net.params, before)


OWN_RATES: list = []


@pytest.mark.parametrize("rate", [0, 0.0, Constant(0.0), Cosine(0.0), schedules.Adaptive(0.0)], ids=str)
def test_a_rate_of_0_warns(backend, normal, rate):
    X, y = normal(5, 2), normal(5)
    with pytest.warns(UserWarning, match=r"^learning_rate: got 0; a number above 0 trains; None takes") as caught:
        net = fastmlp.train(X, y, hidden=2, learning_rate=rate, epochs=2, seed=0, backend=backend)
    with pytest.warns(UserWarning, match="^learning_rate: got 0") as again:
        net.train(X, y, learning_rate=rate, epochs=1)
    assert [warning.filename for warning in (*caught, *again)] == [__file__] * 2


def test_a_users_own_rates_do_not_warn_whatever_they_scale(normal, monkeypatch):
    monkeypatch.setitem(globals(), "OWN_RATES", [0.1, 0.0])
    fastmlp.train(normal(5, 2), normal(5), hidden=2, learning_rate=Own(0.0), epochs=2)
