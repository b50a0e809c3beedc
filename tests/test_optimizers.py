"""Ten steps of each optimizer against its formulas in plain NumPy, and against PyTorch's, which are written down."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from inside import places
from plain_optimizers import (
    LEARNING_RATE,
    OPTIMIZERS,
    PLAIN,
    THEIRS,
    PlainHat,
    PlainVelocity,
    gradient_of,
    linear_network,
    near,
)

import fastmlp
from fastmlp import optimizers
from fastmlp.optimizers import OPTIMIZERS as OPTIMIZERS_BY_NAME
from fastmlp.schedules import Exponential, OnPlateau, StepDecay

STEPS = 10
TORCH = json.loads(Path(__file__).with_name("torch_steps.json").read_text(encoding="utf-8"))


# narrow and wide, and sizes that leave a partial vector
@pytest.mark.parametrize("sizes", [(5, 1), (70, 11)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("penalties", [{}, {"l1": 0.3, "l2": 2.0}], ids=["free", "penalized"])
def test_formulas(backend, dtype, sizes, optimizer, penalties, normal, tolerance):
    X, y = normal(24, sizes[0], dtype=dtype), normal(24, sizes[1], dtype=dtype, seed=2)
    net = linear_network(*sizes, dtype, backend, **penalties)
    params = net.params.astype(np.float64)
    plain = PLAIN[optimizer.name](optimizer, len(params))
    for _ in range(STEPS):
        plain.step(params, gradient_of(net, params, X, y, len(X)))
    net.train(X, y, optimizer=optimizer, learning_rate=LEARNING_RATE, batch_size="full", epochs=STEPS)
    assert near(net.params, params, tolerance("steps", dtype))
    # m and v apart: v is smaller by far.
    slots, states = (state.reshape(-1, len(params)) for state in (places.slots(net), plain.state()))
    for slot, expected in zip(slots, states, strict=True):
        assert near(slot, expected, tolerance("steps", dtype))


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_minibatches_in_order(backend, dtype, optimizer, normal, tolerance):
    # Batches of 10, 10 and 4 rows: each step follows the mean over its own rows, and the penalty over all of them.
    X, y = normal(24, 6, dtype=dtype), normal(24, 3, dtype=dtype, seed=2)
    net = linear_network(6, 3, dtype, backend, l2=1.5)
    params = net.params.astype(np.float64)
    plain = PLAIN[optimizer.name](optimizer, len(params))
    for _ in range(3):
        for first in (0, 10, 20):
            batch = slice(first, first + 10)
            plain.step(params, gradient_of(net, params, X[batch], y[batch], len(X)))
    net.train(X, y, optimizer=optimizer, learning_rate=LEARNING_RATE, batch_size=10, epochs=3, shuffle=False)
    assert near(net.params, params, tolerance("steps", dtype))


def test_a_weight_of_zero_feels_no_l1(backend, dtype, normal):
    X = normal(10, 2, dtype=dtype)
    net = linear_network(2, 1, dtype, backend, l1=5.0)
    net.params[:] = 0
    X[:, 0], y = 0, np.zeros((10, 1), dtype)
    net.train(X, y, optimizer="sgd", learning_rate=0.1, batch_size="full", epochs=5)
    np.testing.assert_array_equal(net.params, 0)


@pytest.mark.parametrize("case", TORCH["cases"], ids=lambda case: f"{case['optimizer']}{case['options']}")
def test_pytorch(backend, dtype, case, tolerance):
    X, y = (np.array(TORCH[name], dtype) for name in ("X", "y"))
    net = linear_network(X.shape[1], y.shape[1], dtype, backend)
    net.params = TORCH["params"]
    optimizer = getattr(fastmlp, case["optimizer"])(**case["options"])
    net.train(X, y, optimizer=optimizer, learning_rate=case["learning_rate"], batch_size="full", epochs=TORCH["steps"])
    # In float32 the data and the start are rounded before the first step.
    assert near(net.params, np.array(case["params"]), tolerance("steps", dtype))


def test_every_setting_of_a_step_is_there_and_checked():
    for optimizer in OPTIMIZERS_BY_NAME.values():
        assert len(optimizer.starts(0.1)) == optimizer.slots
        settings = optimizer.settings().keys() - {"optimizer", "slots"}
        assert settings <= optimizers._CHECKS.keys(), optimizer.name


def test_what_is_written_down_covers_every_optimizer_and_option():
    given = {}
    for case in TORCH["cases"]:
        given.setdefault(case["optimizer"], set()).update(case["options"])
    assert given.pop("Rprop") | {"Lion"} == {"eta_minus", "eta_plus", "least_step", "most_step", "Lion"}
    ours = {type(optimizer).__name__: set(vars(optimizer)) for optimizer in OPTIMIZERS_BY_NAME.values()}
    theirs = set(re.findall(r"`(\w+)` +torch\.optim", optimizers.__doc__))  # by its table; Rprop was looked at above
    assert given.keys() | {"Rprop"} == theirs <= ours.keys()
    # AdamW's and NAdam's betas and epsilon are Adam's, in the same lines of code.
    shared = {"beta1", "beta2", "epsilon"}
    others = {"rate_in_velocity", "epsilon_hat"}  # scikit-learn's formulas, which are looked at below
    for name, options in given.items():
        assert ours[name] - options - others <= (shared if name in ("AdamW", "NAdam") else set()), name


def test_stopping_and_going_on_keeps_the_state(backend, dtype, normal):
    X, y = normal(24, 6, dtype=dtype), normal(24, 3, dtype=dtype, seed=2)
    for optimizer in OPTIMIZERS_BY_NAME.values():
        if optimizer.searches_step:
            continue  # what it has learned of the curvature is not kept: test_lbfgs.py
        at_once, in_parts = (linear_network(6, 3, dtype, backend) for _ in range(2))
        options = {"optimizer": optimizer, "learning_rate": 0.01, "batch_size": "full"}
        at_once.train(X, y, epochs=7, **options)
        for epochs in (1, 4, 2):
            in_parts.train(X, y, epochs=epochs, **options)
        np.testing.assert_array_equal(in_parts.params, at_once.params, err_msg=repr(optimizer))


def test_rprop_takes_all_rows(backend, normal):
    X, y = normal(300, 4), normal(300, 1, seed=2)
    net = linear_network(4, 1, np.float64, backend)
    net.train(X, y, optimizer="rprop", epochs=3)
    assert places.position(net, "step") == 3, "one step an epoch: 'auto' is all rows"
    with pytest.raises(ValueError, match="^batch_size: got 200 with 'rprop' and 300 rows .* 'auto' is accepted"):
        net.train(X, y, optimizer="rprop", batch_size=200)
    net.train(X, y, optimizer="rprop", batch_size=300, epochs=1)


def test_rprop_steps_back_and_forth(backend, dtype):
    # One weight, y = 0: the gradient is the weight. Steps of 1/3, then 0.4 and 0.48 while it stays above 0; there the
    # sign turns, the step halves to 0.24 and is not taken; then, with no sign to compare with, it is taken as it is.
    net = fastmlp.Network((1, 1), bias=False, dtype=dtype, backend=backend, seed=0)
    net.params[:] = 1
    X, y = np.ones((1, 1), dtype), np.zeros(1, dtype)
    seen = []
    for _ in range(5):
        net.train(X, y, optimizer="rprop", learning_rate=0.4 / 1.2, epochs=1, batch_size="full")
        seen.append(float(net.params[0]))
    first = 1 - 0.4 / 1.2
    expected = [first, first - 0.4, first - 0.88, first - 0.88, first - 0.88 + 0.24]
    np.testing.assert_allclose(seen, expected, rtol=0, atol=10 * float(np.finfo(dtype).eps))


# ---- scikit-learn's formulas ---------------------------------------------------------------------------------


def as_pytorch(optimizer):
    """The same optimizer by PyTorch's formulas."""
    name = "rate_in_velocity" if isinstance(optimizer, fastmlp.SGD) else "epsilon_hat"
    return dataclasses.replace(optimizer, **{name: False})


@pytest.mark.parametrize("sizes", [(5, 1), (70, 11)])
@pytest.mark.parametrize("optimizer", THEIRS, ids=repr)
def test_scikit_learns_formulas(backend, dtype, sizes, optimizer, normal, tolerance):
    # Nine steps of batches of 10, 10 and 4 rows, at a rate that falls from epoch to epoch.
    X, y = normal(24, sizes[0], dtype=dtype), normal(24, sizes[1], dtype=dtype, seed=2)
    net, twin = (linear_network(*sizes, dtype, backend, l2=1.5) for _ in range(2))
    params, schedule = net.params.astype(np.float64), StepDecay(0.05, every=1, factor=0.3)
    plain = (PlainVelocity if isinstance(optimizer, fastmlp.SGD) else PlainHat)(optimizer, len(params))
    for rate in schedule.rates(0, 3, 3):
        for first in (0, 10, 20):
            batch = slice(first, first + 10)
            plain.step(params, gradient_of(net, params, X[batch], y[batch], len(X)), rate)
    options = {"learning_rate": schedule, "batch_size": 10, "epochs": 3, "shuffle": False}
    net.train(X, y, optimizer=optimizer, **options)
    assert near(net.params, params, tolerance("steps", dtype))
    slots, states = (state.reshape(-1, len(params)) for state in (places.slots(net), plain.state()))
    assert len(slots) == len(states) == optimizer.slots
    for slot, expected in zip(slots, states, strict=True):
        assert near(slot, expected, tolerance("steps", dtype))
    twin.train(X, y, optimizer=as_pytorch(optimizer), **options)
    assert not near(twin.params, params, 100 * tolerance("steps", dtype)), "the two formulas differ here"


@pytest.mark.parametrize("optimizer", THEIRS[:3], ids=repr)
def test_at_one_rate_a_velocity_is_the_buffer_times_it(backend, dtype, optimizer, normal, tolerance):
    X, y = normal(24, 30, dtype=dtype), normal(24, 7, dtype=dtype, seed=2)
    net, twin = (linear_network(30, 7, dtype, backend, l1=0.3) for _ in range(2))
    for each, chosen in ((net, optimizer), (twin, as_pytorch(optimizer))):
        each.train(X, y, optimizer=chosen, learning_rate=LEARNING_RATE, batch_size="full", epochs=STEPS)
    assert near(net.params, twin.params, tolerance("steps", dtype))
    assert near(places.slots(net), LEARNING_RATE * places.slots(twin), tolerance("steps", dtype))


@pytest.mark.parametrize("make", [fastmlp.Adam, fastmlp.AdamW])
def test_without_a_memory_of_squares_epsilon_has_one_place(backend, dtype, make, normal):
    # beta2 = 0: v is g² itself, and its correction is 1.
    X, y = normal(24, 30, dtype=dtype), normal(24, 7, dtype=dtype, seed=2)
    nets = [linear_network(30, 7, dtype, backend) for _ in range(2)]
    for net, hat in zip(nets, (True, False), strict=True):
        net.train(X, y, optimizer=make(beta2=0.0, epsilon=0.1, epsilon_hat=hat), epochs=STEPS, batch_size=10)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


def test_without_momentum_there_is_no_velocity(backend, dtype, normal):
    X, y = normal(24, 6, dtype=dtype), normal(24, 3, dtype=dtype, seed=2)
    nets = [linear_network(6, 3, dtype, backend) for _ in range(2)]
    for net, optimizer in zip(nets, (fastmlp.SGD(rate_in_velocity=True), fastmlp.SGD()), strict=True):
        net.train(X, y, optimizer=optimizer, learning_rate=StepDecay(0.1, every=1), batch_size=10, epochs=3)
    assert places.slots(nets[0]).size == 0
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


def test_nadam_knows_no_other_place_of_epsilon(backend, dtype, normal):
    X, y = normal(24, 6, dtype=dtype), normal(24, 3, dtype=dtype, seed=2)
    net, fresh = (linear_network(6, 3, dtype, backend) for _ in range(2))
    net.train(X, y, optimizer=fastmlp.Adam(epsilon=0.1, epsilon_hat=True), epochs=3, batch_size="full")
    fresh.params = net.params
    for each in (net, fresh):
        each.train(X, y, optimizer=fastmlp.NAdam(epsilon=0.1), epochs=3, batch_size="full")
    np.testing.assert_array_equal(net.params, fresh.params)


@pytest.mark.parametrize("optimizer", THEIRS, ids=repr)
def test_going_on_by_scikit_learns_formulas(backend, dtype, optimizer, normal):
    X, y = normal(24, 6, dtype=dtype), normal(24, 3, dtype=dtype, seed=2)
    at_once, in_parts = (linear_network(6, 3, dtype, backend) for _ in range(2))
    options = {"optimizer": optimizer, "learning_rate": StepDecay(0.05, every=2, factor=0.3), "batch_size": 10}
    at_once.train(X, y, epochs=7, **options)
    for epochs in (1, 4, 2):
        in_parts.train(X, y, epochs=epochs, **options)
    np.testing.assert_array_equal(in_parts.params, at_once.params)


# ---- a state that begins anew --------------------------------------------------------------------------------

REMEMBERING = [
    *OPTIMIZERS_BY_NAME.values(),
    *THEIRS,
    fastmlp.RMSprop(momentum=0.5, centered=True),
    fastmlp.Adagrad(initial_accumulator=0.5, rate_decay=0.2),
]


def fields_of(net):
    """Where the optimizer stands: its steps and the powers that correct for them."""
    return list(places.position(net, "step", "beta1_power", "beta2_power"))


@pytest.mark.parametrize("optimizer", REMEMBERING, ids=repr)
def test_behind_a_reset_it_trains_as_a_new_network_does(backend, dtype, optimizer, normal):
    if optimizer.searches_step:
        pytest.importorskip("scipy.optimize")
    X, y = normal(24, 6, dtype=dtype), normal(24, 3, dtype=dtype, seed=2)
    net, fresh, on = (linear_network(6, 3, dtype, backend) for _ in range(3))
    rate = {} if optimizer.searches_step else {"learning_rate": Exponential(0.02, 0.8)}
    options = {"optimizer": optimizer, "batch_size": "full", **rate}
    for each in (net, on):
        each.train(X, y, epochs=4, **options)
    first = len(net.history)
    np.testing.assert_array_equal(net.params, on.params)
    net.reset_optimizer()
    np.testing.assert_array_equal(net.params, on.params, "the weights stay")
    assert len(net.history) == first
    fresh.params = net.params
    for each in (net, fresh, on):
        each.train(X, y, epochs=3, **options)
    np.testing.assert_array_equal(net.params, fresh.params)
    np.testing.assert_array_equal(places.slots(net), places.slots(fresh))
    assert fields_of(net) == fields_of(fresh)
    np.testing.assert_array_equal(net.history.loss[first:], fresh.history.loss)
    np.testing.assert_array_equal(net.history.learning_rate[first:], fresh.history.learning_rate)
    # What is counted over all trainings goes on.
    assert places.position(net, "epoch") == len(net.history) == first + len(fresh.history)
    np.testing.assert_array_equal(net.history.layer_epochs, np.arange(len(net.history)))
    if not optimizer.searches_step:
        assert not np.array_equal(net.params, on.params), "it would have gone on elsewhere"


@pytest.mark.filterwarnings("ignore:learning_rate. got 0")
def test_epochs_go_on_behind_a_reset(backend, normal):
    # The order of the rows and the units that are left out are of the epochs' numbers.
    X, y = normal(24, 6), normal(24, 3, seed=2)
    nets = [fastmlp.Network((6, 8, 3), dropout=0.3, seed=5, backend=backend) for _ in range(2)]
    nets[0].train(X, y, batch_size=10, epochs=4)
    nets[0].reset_optimizer()
    # The other one's first four epochs leave it where it is; it has another optimizer then, and so a new state.
    nets[1].train(X, y, batch_size=10, epochs=4, optimizer="sgd", learning_rate=0.0)
    nets[1].params = nets[0].params
    for net in nets:
        net.train(X, y, batch_size=10, epochs=3)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)
    order = np.empty(24, np.int32)

    def of_the_seed(epoch):
        places.reference.shuffle(order, 5, 7 + epoch)
        return order

    for net, shuffle in zip(nets, (True, of_the_seed), strict=True):
        net.reset_optimizer()
        net.train(X, y, batch_size=10, epochs=3, shuffle=shuffle)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


def test_there_may_be_nothing_to_reset(backend, normal):
    X, y = normal(24, 6), normal(24, 3, seed=2)
    nets = [linear_network(6, 3, np.float64, backend) for _ in range(2)]
    nets[0].reset_optimizer()
    for net in nets:
        net.train(X, y, epochs=3)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)
    for _ in range(2):
        nets[0].reset_optimizer()
    assert len(nets[0].history) == 3


def test_a_rate_that_followed_the_loss_is_the_first_one_again(backend, normal):
    X, y = normal(24, 6), normal(24, 3, seed=2)
    net = linear_network(6, 3, np.float64, backend)
    rule = OnPlateau(0.1, factor=0.5, patience=1, threshold=0.9)
    options = {"optimizer": "sgd", "learning_rate": rule, "batch_size": "full"}
    net.train(X, y, epochs=7, **options)
    np.testing.assert_allclose(net.history.learning_rate, 0.1 / 2.0 ** np.array([0, 0, 0, 1, 1, 2, 2]), rtol=1e-15)
    best = places.schedule_memory(net).best
    assert best == net.history.loss[0]
    for remembers in (True, False):
        if remembers:
            places.remember_schedule(net)
        net.reset_optimizer()
        net.train(X, y, epochs=1, **options)
        assert net.last_history.learning_rate[0] == 0.1
        assert places.schedule_memory(net).best == (best if remembers else net.last_history.loss[0])


def test_a_reset_behind_a_divergence(backend, normal):
    X, y = normal(24, 6), normal(24, 3, seed=2)
    net, fresh = (linear_network(6, 3, np.float64, backend) for _ in range(2))
    options = {"optimizer": fastmlp.SGD(momentum=0.9), "batch_size": "full"}
    with pytest.warns(fastmlp.DivergenceWarning):
        net.train(X, y, epochs=2000, learning_rate=10.0, **options)
    first = len(net.history)
    net.reset_optimizer()
    net.params[:] = fresh.params
    for each in (net, fresh):
        each.train(X, y, epochs=3, learning_rate=0.01, **options)
    np.testing.assert_array_equal(net.params, fresh.params)
    assert len(net.history) == first + 3


def test_rprop_begins_with_the_rate_of_the_training_behind_a_reset(normal):
    X, y = normal(24, 6), normal(24, 3, seed=2)
    net, fresh = (linear_network(6, 3, np.float64, None) for _ in range(2))
    net.train(X, y, optimizer="rprop", learning_rate=0.05, epochs=3)
    net.reset_optimizer()
    fresh.params = net.params
    for each in (net, fresh):
        each.train(X, y, optimizer="rprop", learning_rate=0.02, epochs=3)
    np.testing.assert_array_equal(net.params, fresh.params)


def test_a_chunk_behind_a_reset_has_the_rate_of_the_last(normal):
    X, y = normal(24, 6), normal(24, 3, seed=2)
    net = linear_network(6, 3, np.float64, None)
    net.partial_train(X, y, optimizer="sgd", learning_rate=0.5).partial_train(X, y)
    net.reset_optimizer()
    net.partial_train(X, y)
    np.testing.assert_array_equal(net.history.learning_rate, 0.5)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"name": "adaam"}, "^Own: got the name 'adaam', of which _spec.optimizers has no row"),
        ({}, "^Own: got the name '', of which"),
        ({"name": "adam", "defalt_learning_rate": 0.1}, "^Own: got 'defalt_learning_rate', which no optimizer has"),
    ],
    ids=str,
)
def test_what_a_class_says_in_its_head_is_checked(facts, words):
    with pytest.raises(TypeError, match=words):
        type("Own", (fastmlp.optimizers.Optimizer,), {}, **facts)
