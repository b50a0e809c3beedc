"""Trainings whose bits are recorded: a change of the code that is not meant to change a number changes none of these.

Run as a script, it writes the record: one hash per training, per build of the kernels.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

import fastmlp

RECORD = Path(__file__).parent.parent / "data" / "recorded_bits.json"

HIDDEN = (
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "softplus",
    "silu",
    "gelu",
    "gelu_tanh",
    "hard_sigmoid",
    "hard_tanh",
    "identity",
)
NUMBERS = ("squared_error", "absolute_error", "huber", "log_cosh", "poisson", "gamma")
OPTIMIZERS = {
    "sgd": fastmlp.SGD(),
    "momentum": fastmlp.SGD(momentum=0.9),
    "nesterov": fastmlp.SGD(0.9, nesterov=True),
    "velocity": fastmlp.SGD(0.9, rate_in_velocity=True),
    "adam": fastmlp.Adam(),
    "amsgrad": fastmlp.Adam(amsgrad=True),
    "epsilon_hat": fastmlp.Adam(epsilon_hat=True),
    "adamw": fastmlp.AdamW(),
    "nadam": fastmlp.NAdam(),
    "rmsprop": fastmlp.RMSprop(),
    "centered": fastmlp.RMSprop(momentum=0.9, centered=True),
    "adagrad": fastmlp.Adagrad(rate_decay=0.01, initial_accumulator=0.1),
    "adadelta": fastmlp.Adadelta(),
    "lion": fastmlp.Lion(weight_decay=0.01),
    "rprop": fastmlp.Rprop(),
}


def rows(count, inputs, kind="labels", classes=3, seed=0):
    """Features of which some are zero, and targets of a kind."""
    generator = np.random.Generator(np.random.PCG64(seed))
    X = generator.standard_normal((count, inputs))
    X[X < -0.5] = 0.0
    if kind == "labels":
        return X, generator.integers(0, classes, count)
    if kind == "multilabel":
        return X, generator.integers(0, 2, (count, classes))
    return X, np.abs(generator.standard_normal((count, 2))) + 0.1


def cases():
    """Each training's name, data and options."""
    narrow, wide = rows(150, 5), rows(300, 40, classes=10)
    for dtype in ("float32", "float64"):
        base = {"epochs": 6, "seed": 1, "dtype": dtype}
        for name in HIDDEN:
            yield f"narrow-{name}-{dtype}", narrow, base | {"hidden": (7, 4), "activation": name, "batch_size": 32}
            yield f"wide-{name}-{dtype}", wide, base | {"hidden": (70, 33), "activation": name, "batch_size": 64}
        for name in NUMBERS:
            yield f"narrow-{name}-{dtype}", rows(90, 4, "real"), base | {"hidden": 6, "loss": name, "l2": 0.1}
            yield f"wide-{name}-{dtype}", rows(90, 30, "real"), base | {"hidden": 99, "loss": name, "l1": 0.01}
        quantile = fastmlp.losses.quantile(0.1, 0.5, 0.9)
        yield f"quantile-{dtype}", rows(90, 4, "real"), base | {"hidden": 6, "loss": quantile}
        for name in ("hinge", "binary_cross_entropy", "squared_error", "cross_entropy"):
            yield f"two-{name}-{dtype}", rows(90, 4, classes=2), base | {"hidden": 6, "loss": name}
        yield f"multilabel-{dtype}", rows(90, 4, "multilabel"), base | {"hidden": 6, "label_smoothing": 0.1}
        yield f"smoothed-{dtype}", narrow, base | {"hidden": 6, "label_smoothing": 0.1}
        for name, optimizer in OPTIMIZERS.items():
            options = {"hidden": (9, 5), "optimizer": optimizer, "batch_size": 50 if name != "rprop" else "full"}
            yield f"narrow-{name}-{dtype}", narrow, base | options
            yield f"wide-{name}-{dtype}", wide, base | options | {"hidden": (130,)}
        yield f"narrow-dropout-{dtype}", narrow, base | {"hidden": (9, 5), "dropout": (0.3, 0.1)}
        yield f"wide-dropout-{dtype}", wide, base | {"hidden": (90, 50), "dropout": 0.4, "batch_size": 96}
        yield f"clip-norm-{dtype}", wide, base | {"hidden": (90, 50), "clip_norm": 0.1, "l2": 1.0}
        yield f"clip-value-{dtype}", narrow, base | {"hidden": (9, 5), "clip_value": 0.01, "l1": 1.0}
        yield f"max-norm-{dtype}", wide, base | {"hidden": (90, 50), "max_norm": 0.5, "l2": 1.0}
        yield f"no-bias-{dtype}", wide, base | {"hidden": (90, 50), "bias": False}
        yield f"linear-{dtype}", wide, base | {"hidden": ()}
        yield (
            f"average-{dtype}",
            narrow,
            base | {"hidden": (9,), "average": "batch", "l2": 0.1, "sample_weight": np.linspace(0, 2, 150)},
        )
        yield f"class-weight-{dtype}", wide, base | {"hidden": (90,), "class_weight": "balanced", "validation": 0.2}
        yield (
            f"stopping-{dtype}",
            narrow,
            base
            | {
                "hidden": (9,),
                "validation": 0.3,
                "epochs": 60,
                "learning_rate": 0.05,
                "early_stopping": fastmlp.EarlyStopping(patience=3),
            },
        )
        yield (
            f"cosine-{dtype}",
            narrow,
            base | {"hidden": (9,), "learning_rate": fastmlp.schedules.Cosine(0.01, warmup=2), "batch_size": 32},
        )
        yield f"chunks-{dtype}", rows(2500, 20), base | {"hidden": (80, 60), "batch_size": "full", "epochs": 3}
        yield f"few-weights-{dtype}", rows(3000, 12), base | {"hidden": (40,), "batch_size": 512, "epochs": 3}
        yield f"many-inputs-{dtype}", rows(64, 1200), base | {"hidden": (140,), "batch_size": 16, "epochs": 3}


def bits(X, y, options, n_threads, backend):
    """Train, and hash parameters, losses and the layers' norms."""
    network = fastmlp.train(X, y, **options, n_threads=n_threads, backend=backend)
    history, digest = network.history, hashlib.sha256()
    for part in (network.params, history.loss, history.gradient_norm, history.layer_activations):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:16]


def record(backends):
    """Hash every training with every one of some builds, on one thread."""
    return {
        backend: {name: bits(*data, options, 1, backend) for name, data, options in cases()} for backend in backends
    }


if __name__ == "__main__":
    from fastmlp._engine import backend

    compiler = backend.kernels(np.dtype("float64")).sizes()["compiler"]
    found = record(backend.available()[1:])
    RECORD.write_text(json.dumps({"compiler": compiler, "bits": found}, indent=1) + "\n")
