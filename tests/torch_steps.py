"""Writes torch_steps.json: ten steps of each of PyTorch's optimizers, rates of its schedulers, activations, losses.

For test_optimizers.py, test_schedules.py and test_torch.py.

Not a test, and not run by them: it needs PyTorch, which they do without. Run it again where an optimizer or an option
is added: python tests/torch_steps.py
"""

import json
from pathlib import Path

import numpy as np
import torch

STEPS = 10
INPUTS, OUTPUTS, ROWS = 6, 3, 24
# fastmlp's class and options, PyTorch's class and options, the learning rate
CASES = [
    ("SGD", {}, "SGD", {}, 0.05),
    ("SGD", {"momentum": 0.9}, "SGD", {"momentum": 0.9}, 0.05),
    ("SGD", {"momentum": 0.7, "nesterov": True}, "SGD", {"momentum": 0.7, "nesterov": True}, 0.05),
    ("Adam", {}, "Adam", {}, 0.05),
    ("Adam", {"beta1": 0.8, "beta2": 0.95, "epsilon": 0.01}, "Adam", {"betas": (0.8, 0.95), "eps": 0.01}, 0.05),
    ("Adam", {"amsgrad": True, "beta2": 0.7}, "Adam", {"amsgrad": True, "betas": (0.9, 0.7)}, 0.5),
    ("AdamW", {}, "AdamW", {}, 0.05),
    ("AdamW", {"weight_decay": 0.3, "amsgrad": True}, "AdamW", {"weight_decay": 0.3, "amsgrad": True}, 0.05),
    ("NAdam", {}, "NAdam", {}, 0.05),
    ("NAdam", {"beta1": 0.8, "momentum_decay": 0.5}, "NAdam", {"betas": (0.8, 0.999), "momentum_decay": 0.5}, 0.05),
    ("RMSprop", {}, "RMSprop", {}, 0.05),
    ("RMSprop", {"momentum": 0.6, "beta2": 0.9}, "RMSprop", {"momentum": 0.6, "alpha": 0.9}, 0.05),
    ("RMSprop", {"centered": True, "epsilon": 0.01}, "RMSprop", {"centered": True, "eps": 0.01}, 0.05),
    ("RMSprop", {"centered": True, "momentum": 0.5}, "RMSprop", {"centered": True, "momentum": 0.5}, 0.05),
    ("Adagrad", {}, "Adagrad", {}, 0.05),
    (
        "Adagrad",
        {"rate_decay": 0.2, "initial_accumulator": 0.3, "epsilon": 0.01},
        "Adagrad",
        {"lr_decay": 0.2, "initial_accumulator_value": 0.3, "eps": 0.01},
        0.05,
    ),
    ("Adadelta", {}, "Adadelta", {}, 1.0),
    ("Adadelta", {"beta2": 0.7, "epsilon": 0.01}, "Adadelta", {"rho": 0.7, "eps": 0.01}, 0.5),
    ("Rprop", {}, "Rprop", {}, 0.05),
    (
        "Rprop",
        {"eta_minus": 0.3, "eta_plus": 2.0, "least_step": 0.01, "most_step": 0.2},
        "Rprop",
        {"etas": (0.3, 2.0), "step_sizes": (0.01, 0.2)},
        0.05,
    ),
]


SCHEDULED = 40
# fastmlp's class and options, PyTorch's class and options; the rate is 0.2
SCHEDULES = [
    ("StepDecay", {"every": 7, "factor": 0.3}, "StepLR", {"step_size": 7, "gamma": 0.3}),
    ("MultiStep", {"milestones": [5, 6, 30], "factor": 0.5}, "MultiStepLR", {"milestones": [5, 6, 30], "gamma": 0.5}),
    ("Exponential", {"factor": 0.9}, "ExponentialLR", {"gamma": 0.9}),
    ("Polynomial", {"length": 25}, "PolynomialLR", {"total_iters": 25}),
    ("Polynomial", {"length": 30, "power": 2.5}, "PolynomialLR", {"total_iters": 30, "power": 2.5}),
    ("Cosine", {"length": 40, "final": 0.01}, "CosineAnnealingLR", {"T_max": 40, "eta_min": 0.01}),
    ("Cosine", {"cycle": 9}, "CosineAnnealingWarmRestarts", {"T_0": 9}),
    (
        "Cosine",
        {"cycle": 3, "growth": 2, "final": 0.02},
        "CosineAnnealingWarmRestarts",
        {"T_0": 3, "T_mult": 2, "eta_min": 0.02},
    ),
    ("OneCycle", {"unit": "epoch"}, "OneCycleLR", {"max_lr": 0.2, "total_steps": 40}),
    (
        "OneCycle",
        {"unit": "epoch", "start": 0.1, "final": 0.001, "rise": 0.6},
        "OneCycleLR",
        {"max_lr": 0.2, "total_steps": 40, "div_factor": 10.0, "final_div_factor": 100.0, "pct_start": 0.6},
    ),
]


# Losses as a scheduler that looks at them sees them: falling, flat, falling a little, rising, and once not a number.
SEEN = [
    1.0,
    0.8,
    0.7,
    0.7,
    0.7,
    0.69995,
    0.6999,
    0.6998,
    0.75,
    0.6,
    0.6,
    0.61,
    0.6,
    float("nan"),
    0.6,
    0.5999,
    0.5,
    0.5,
    0.5,
    0.5,
    0.5,
    0.5,
    0.4,
    0.4,
    0.4,
    0.4,
    0.4,
    0.4,
    0.4,
    0.4,
]
# fastmlp's options, PyTorch's options of ReduceLROnPlateau; the rate is 0.2
PLATEAUS = [
    ({"patience": 1}, {"patience": 1}),
    ({"patience": 0, "factor": 0.5}, {"patience": 0, "factor": 0.5}),
    ({"patience": 2, "cooldown": 3, "factor": 0.3}, {"patience": 2, "cooldown": 3, "factor": 0.3}),
    ({"patience": 1, "threshold": 0.05, "final": 0.01}, {"patience": 1, "threshold": 0.05, "min_lr": 0.01}),
    (
        {"patience": 1, "threshold": 0.02, "relative": False, "factor": 0.7},
        {"patience": 1, "threshold": 0.02, "threshold_mode": "abs", "factor": 0.7},
    ),
]
# fastmlp's options of a training, and what is done to gradient or weights in PyTorch; SGD with momentum
CLIPPED = [
    ({"clip_norm": 0.3}, lambda layer: torch.nn.utils.clip_grad_norm_(layer.parameters(), 0.3), None),
    ({"clip_norm": 50.0}, lambda layer: torch.nn.utils.clip_grad_norm_(layer.parameters(), 50.0), None),
    ({"clip_value": 0.1}, lambda layer: torch.nn.utils.clip_grad_value_(layer.parameters(), 0.1), None),
    ({"max_norm": 1.1}, None, lambda layer: torch.renorm(layer.weight, 2, 0, 1.1)),
]
ACTIVATIONS = {
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "elu": torch.nn.functional.elu,
    "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "selu": torch.nn.functional.selu,
    "hard_sigmoid": torch.nn.functional.hardsigmoid,
    "hard_tanh": torch.nn.functional.hardtanh,
    "softplus": torch.nn.functional.softplus,
    "leaky_relu": torch.nn.functional.leaky_relu,
}


def plateau(options):
    """List the rates that ReduceLROnPlateau gives while it sees losses."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **{"factor": 0.1} | options)
    found = []
    for loss in SEEN:
        found.append(optimizer.param_groups[0]["lr"])
        scheduler.step(loss)
    return found


def activated(function):
    """List an activation's values and slopes."""
    x = torch.linspace(-8, 8, 321, dtype=torch.float64, requires_grad=True)
    h = function(x)
    (slopes,) = torch.autograd.grad(h.sum(), x)
    return {"h": h.tolist(), "slopes": slopes.tolist()}


def lost(z, targets, options):
    """List the cross-entropies of rows, and the derivative of their sum by z."""
    z = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    losses = torch.nn.functional.cross_entropy(z, torch.tensor(targets), reduction="none", **options)
    (slopes,) = torch.autograd.grad(losses.sum(), z)
    return {"losses": losses.tolist(), "slopes": slopes.tolist()}


def rates(kind, options):
    """List the rates of a scheduler."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    if kind == "OneCycleLR":
        options = options | {"cycle_momentum": False}
    scheduler = getattr(torch.optim.lr_scheduler, kind)(optimizer, **options)
    found = []
    for number in range(SCHEDULED):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if number + 1 < SCHEDULED:
            scheduler.step()
    return found


def steps(kind, options, rate, X, y, weights, biases, clip=None, limit=None):
    """Take ten steps down the squared error of a linear model; W row by row, then b.

    Before each step the gradient is clipped, after it weights are limited, where that is asked for.
    """
    layer = torch.nn.Linear(INPUTS, OUTPUTS, dtype=torch.float64)
    with torch.no_grad():
        layer.weight[:] = torch.from_numpy(weights.T)
        layer.bias[:] = torch.from_numpy(biases)
    optimizer = getattr(torch.optim, kind)(layer.parameters(), lr=rate, **options)
    inputs, expected = torch.from_numpy(X), torch.from_numpy(y)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (((layer(inputs) - expected) ** 2).sum() / (2 * ROWS)).backward()
        if clip is not None:
            clip(layer)
        optimizer.step()
        if limit is not None:
            with torch.no_grad():
                layer.weight[:] = limit(layer)
    return [*layer.weight.detach().numpy().T.ravel().tolist(), *layer.bias.detach().numpy().tolist()]


def main():
    """Draw the data, take the steps, write the file."""
    torch.set_default_dtype(torch.float64)  # or NAdam keeps the product of its momenta in float32
    generator = np.random.default_rng(0)
    X, y = generator.standard_normal((ROWS, INPUTS)), generator.standard_normal((ROWS, OUTPUTS))
    weights, biases = generator.standard_normal((INPUTS, OUTPUTS)) / 2, generator.standard_normal(OUTPUTS) / 2
    table = {
        "torch": torch.__version__,
        "steps": STEPS,
        "X": X.tolist(),
        "y": y.tolist(),
        "params": [*weights.ravel().tolist(), *biases.tolist()],
        "cases": [
            {
                "optimizer": mine,
                "options": given,
                "learning_rate": rate,
                "params": steps(kind, options, rate, X, y, weights, biases),
            }
            for mine, given, kind, options, rate in CASES
        ],
    }
    table["schedules"] = [
        {"schedule": mine, "options": given, "rates": rates(kind, options)} for mine, given, kind, options in SCHEDULES
    ]
    table["clipped"] = [
        {"options": given, "params": steps("SGD", {"momentum": 0.5}, 0.1, X, y, weights, biases, clip, limit)}
        for given, clip, limit in CLIPPED
    ]
    table["seen"] = [loss if loss == loss else None for loss in SEEN]
    table["plateaus"] = [{"options": mine, "rates": plateau(options)} for mine, options in PLATEAUS]
    table["activations"] = {name: activated(function) for name, function in ACTIVATIONS.items()}
    z = (3 * generator.standard_normal((12, 4))).tolist()
    labels, soft = generator.integers(0, 4, 12).tolist(), generator.dirichlet(np.ones(4), 12).tolist()
    table["cross_entropy"] = {"z": z, "labels": labels, "soft": soft} | {
        f"{name} {smoothing}": lost(z, targets, {"label_smoothing": smoothing})
        for name, targets in (("labels", labels), ("soft", soft))
        for smoothing in (0.0, 0.1)
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
