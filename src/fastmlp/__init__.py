"""fastmlp: multilayer perceptrons on CPUs, trained fast, with every number in sight."""

from fastmlp import article, datasets
from fastmlp._backend import show_config
from fastmlp._version import __version__
from fastmlp.history import History
from fastmlp.network import Network, load, train
from fastmlp.optimizers import SGD, Adam
from fastmlp.training import DivergenceWarning, Progress

__all__ = [
    "SGD",
    "Adam",
    "DivergenceWarning",
    "History",
    "Network",
    "Progress",
    "__version__",
    "article",
    "datasets",
    "load",
    "show_config",
    "train",
]
