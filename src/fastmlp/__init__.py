"""fastmlp: multilayer perceptrons on CPUs, trained fast, with every number in sight."""

import importlib
from typing import Any

from fastmlp import activations, callbacks, initialization, losses, metrics, optimizers, schedules, stopping
from fastmlp._api import load, train
from fastmlp._engine.backend import backends, show_config
from fastmlp._version import __version__
from fastmlp.callbacks import Callback, EpochState, Progress
from fastmlp.exceptions import DivergenceError, DivergenceWarning
from fastmlp.history import History
from fastmlp.network import Network
from fastmlp.optimizers import LBFGS, SGD, Adadelta, Adagrad, Adam, AdamW, Lion, NAdam, RMSprop, Rprop
from fastmlp.stopping import EarlyStopping

# Imported when they are first used: some need extras, and none is needed for training.
_LAZY = ("article", "cli", "datasets", "diagnostics", "plotting", "sklearn", "tables")

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Callback",
    "DivergenceError",
    "DivergenceWarning",
    "EarlyStopping",
    "EpochState",
    "History",
    "Lion",
    "NAdam",
    "Network",
    "Progress",
    "RMSprop",
    "Rprop",
    "__version__",
    "activations",
    "article",
    "backends",
    "callbacks",
    "datasets",
    "diagnostics",
    "initialization",
    "load",
    "losses",
    "metrics",
    "optimizers",
    "schedules",
    "show_config",
    "stopping",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public module when it is first used."""
    if name in _LAZY:
        return importlib.import_module(f"fastmlp.{name}")
    raise AttributeError(f"module 'fastmlp' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public modules that are not imported yet, too."""
    return sorted({*globals(), *_LAZY})
