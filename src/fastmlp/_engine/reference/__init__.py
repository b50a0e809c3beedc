"""The NumPy twin of the kernels: the same names, with the same signatures.

It is what every kernel is compared with, what a reader can follow, and a backend of its own
(``backend="reference"``). It computes in the dtype of the arrays it is given, in one thread. Formulas stand in the rows
of `_spec` and in the kernels' docstrings; here they are written down as plainly as NumPy's speed allows.
"""

import numpy as np

from fastmlp._engine.reference.activations import activate, activate_both, slope
from fastmlp._engine.reference.losses import output_forward_backward
from fastmlp._engine.reference.random import dropout, shuffle
from fastmlp._engine.reference.training import (
    Run,
    dense_backward_inputs,
    dense_backward_weights,
    dense_forward,
    forward,
    quietly,
)
from fastmlp._spec import records

__all__ = [
    "Run",
    "activation_backward",
    "activation_forward",
    "current_cpu",
    "dense_backward_inputs",
    "dense_backward_weights",
    "dense_forward",
    "dropout",
    "exp_forward",
    "forward",
    "log_forward",
    "output_forward_backward",
    "shuffle",
    "sizes",
    "spec",
]


def sizes() -> dict:
    """What the layout depends on, and the compiler that made this build."""
    return {"dtype": "float64", "lanes": 1, "tile_rows": 1, "pack_reals": 0, "row_block": 1, "compiler": ""}


def spec() -> dict:
    """The names of the fields of all records and of all choices, in their order, that this build was made of."""
    return records.names()


def current_cpu() -> int:
    """The number of the CPU that this thread runs on; -1 if the system does not tell."""
    return -1


@quietly
def exp_forward(y, x):
    """y = exp(x)."""
    np.exp(x, out=y)


@quietly
def log_forward(y, x):
    """y = log(x)."""
    np.log(x, out=y)


@quietly
def activation_forward(h, slopes, z, activation):
    """h = f(z), and slopes = f'(z) if there is an array for them; f any activation except softmax."""
    if slopes is None:
        h[:] = activate(z, activation)
    else:
        h[:], slopes[:] = activate_both(z, activation)


@quietly
def activation_backward(dz, dh, h, activation):
    """dz = dh f'(z), f' from h = f(z); with the code STORED h is f'(z) itself."""
    dz[:] = dh * slope(h, activation)
