"""What PyTorch computes, as torch_steps.py wrote it down: clipping, plateaus, activations, cross-entropies.

Its optimizers and schedulers are in test_optimizers.py and test_schedules.py.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from inside import places

import fastmlp
from fastmlp.activations import ACTIVATIONS
from fastmlp.losses import LOSSES
from fastmlp.schedules import Memory, OnPlateau

TORCH = json.loads(Path(__file__).with_name("torch_steps.json").read_text(encoding="utf-8"))
CROSS = TORCH["cross_entropy"]


@pytest.mark.parametrize("case", TORCH["clipped"], ids=lambda case: str(case["options"]))
def test_clipping(backend, dtype, case, tolerance):
    X, y = (np.array(TORCH[name], dtype) for name in ("X", "y"))
    net = fastmlp.Network((X.shape[1], y.shape[1]), dtype=dtype, backend=backend)
    net.params = TORCH["params"]
    net.train(
        X,
        y,
        optimizer=fastmlp.SGD(momentum=0.5),
        learning_rate=0.1,
        batch_size="full",
        epochs=TORCH["steps"],
        **case["options"],
    )
    expected = np.array(case["params"])
    # torch.renorm scales by max_norm / (norm + 1e-7); everything else is the same formula
    limit = tolerance("steps", dtype) + (2e-7 if "max_norm" in case["options"] else 0)
    assert np.abs(net.params - expected).max() <= limit * np.abs(expected).max()


@pytest.mark.parametrize("case", TORCH["plateaus"], ids=lambda case: str(case["options"]))
def test_plateaus(case):
    schedule, rates = OnPlateau(0.2, **case["options"]), []
    memory = Memory(schedule.rate)
    for loss in TORCH["seen"]:
        rates.append(memory.rate)
        schedule.look(memory, np.nan if loss is None else loss)
    np.testing.assert_allclose(rates, case["rates"], rtol=1e-14)  # the same products, one rounding each
    assert len(set(rates)) > 1


@pytest.mark.parametrize("name", TORCH["activations"])
def test_activations(backend, name, tolerance):
    kernels = places.backend.kernels(np.dtype(np.float64), backend)
    x = np.linspace(-8, 8, 321)
    h, slopes = np.empty_like(x), np.empty_like(x)
    kernels.activation_forward(h, slopes, x, ACTIVATIONS[name].code)
    # Both are within a few roundings of numbers of up to 8; PyTorch's 1 + tanh and 1 + erf lose what is far below 1.
    np.testing.assert_allclose(h, TORCH["activations"][name]["h"], rtol=0, atol=8 * 8 * tolerance("roundoff", x.dtype))
    inside = np.abs(x) != {"hard_sigmoid": 3.0, "hard_tanh": 1.0}.get(name, 99.0)  # a kink has no one slope
    inside &= (x != 0) | (name not in ("elu", "selu", "leaky_relu"))
    # PyTorch's slope of hardsigmoid is 1/6 as float32 has it, in double too.
    atol = 5e-9 if name == "hard_sigmoid" else 1e-14
    expected = np.array(TORCH["activations"][name]["slopes"])
    np.testing.assert_allclose(slopes[inside], expected[inside], rtol=0, atol=atol)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("targets", ["labels", "soft"])
def test_cross_entropies(kernels, dtype, targets, smoothing, tolerance):
    z = np.array(CROSS["z"], dtype)
    y = np.array(CROSS[targets], np.int32 if targets == "labels" else dtype)
    losses, dz, h = np.empty(len(z), dtype), np.empty_like(z), np.empty_like(z)
    parameters = np.full(z.shape[1], smoothing) if smoothing else None
    code = LOSSES["cross_entropy"].code
    given = (losses, dz, h, z)
    places.output_layer(
        kernels, given, y, None, parameters, loss=code, metric=1, activation=ACTIVATIONS["softmax"].code
    )
    expected = CROSS[f"{targets} {smoothing}"]
    limit = 100 * tolerance("roundoff", dtype)  # z, of up to 10, is rounded to the dtype; four terms in a few roundings
    np.testing.assert_allclose(losses, expected["losses"], rtol=limit, atol=limit)
    np.testing.assert_allclose(dz, expected["slopes"], rtol=0, atol=limit)
