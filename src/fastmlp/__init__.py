"""fastmlp: multilayer perceptrons on CPUs, trained fast, with every number in sight."""

from fastmlp import article, datasets, losses, schedules
from fastmlp._backend import show_config
from fastmlp._version import __version__
from fastmlp.history import History
from fastmlp.loading import load
from fastmlp.network import Network, train
from fastmlp.optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, Lion, NAdam, RMSprop, Rprop
from fastmlp.stopping import EarlyStopping
from fastmlp.training import DivergenceWarning, Progress

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "DivergenceWarning",
    "EarlyStopping",
    "History",
    "Lion",
    "NAdam",
    "Network",
    "Progress",
    "RMSprop",
    "Rprop",
    "__version__",
    "article",
    "datasets",
    "load",
    "losses",
    "schedules",
    "show_config",
    "train",
]
