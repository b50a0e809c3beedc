"""fastmlp: multilayer perceptrons on CPUs, trained fast, with every number in sight."""

from fastmlp import article, callbacks, datasets, diagnostics, losses, metrics, schedules
from fastmlp._backend import show_config
from fastmlp._interface import train
from fastmlp._version import __version__
from fastmlp._watch import EpochState, Progress
from fastmlp.divergence import DivergenceError, DivergenceWarning
from fastmlp.history import History
from fastmlp.loading import load
from fastmlp.network import Network
from fastmlp.optimizers import LBFGS, SGD, Adadelta, Adagrad, Adam, AdamW, Lion, NAdam, RMSprop, Rprop
from fastmlp.stopping import EarlyStopping

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
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
    "article",
    "callbacks",
    "datasets",
    "diagnostics",
    "load",
    "losses",
    "metrics",
    "schedules",
    "show_config",
    "train",
]
