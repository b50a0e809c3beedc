"""What scikit-learn's settings mean in fastmlp's terms: the start, the order of the rows, the optimizer, its rate.

Neither scikit-learn nor an estimator is known here; `_base` imports it.

=========================================== ========================================================================
scikit-learn                                fastmlp
=========================================== ========================================================================
alpha, over the rows of each batch          ``l2=alpha, average="batch"``
momentum, nesterovs_momentum                ``SGD(momentum, nesterov, rate_in_velocity=True)``
beta_1, beta_2, epsilon                     ``Adam(beta1, beta2, epsilon, epsilon_hat=True)``
tol, n_iter_no_change                       ``Adaptive(threshold, patience)``, without a divisor where the rate stays
tol, max_fun of lbfgs                       ``LBFGS(gradient_tolerance, most_looks)``
squared error, the mean over outputs        the sum; ``loss_curve_`` has the mean, and the gradient is the sum's in both
log loss, of probabilities cut to [eps, 1-] of the outputs before the activation, not cut: the same up to 36
logistic                                    sigmoid
=========================================== ========================================================================
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fastmlp import initialization
from fastmlp.optimizers import LBFGS, SGD, Adam, Optimizer
from fastmlp.schedules import Adaptive, RateSchedule

NEVER = 10**9  # epochs without an improvement, where n_iter_no_change is infinite
_MARK_EVERY = 32  # epochs, whose orders are soon drawn again
_MARKS = 64  # random states that are kept, of 2.5 KB
_LIMITS = {"sigmoid": 2.0}  # of the weights' squares, times the layer's inputs and outputs; else 6


def activation_name(name: Any) -> Any:
    """Give an activation its name here; what is no name of scikit-learn's stays what it is.

    Parameters
    ----------
    name : str
        Such as "logistic".

    Returns
    -------
    str
        Such as "sigmoid".

    Examples
    --------
    >>> activation_name("logistic"), activation_name("gelu")
    ('sigmoid', 'gelu')
    """
    return "sigmoid" if isinstance(name, str) and name == "logistic" else name


def activation_names(activation: Any, layers: int) -> tuple[Any, ...]:
    """List the hidden layers' activations.

    Parameters
    ----------
    activation : str or sequence of str
        One for all, or one each.
    layers : int
        The number of hidden layers.

    Returns
    -------
    tuple of str
        Names as fastmlp has them, not checked.
    """
    if isinstance(activation, (list, tuple)):
        return tuple(activation_name(name) for name in activation)
    return (activation_name(activation),) * layers


def initial_parameters(
    random_state: np.random.RandomState, sizes: Sequence[int], activations: Sequence[str], init: Any
) -> np.ndarray:
    """Draw the initial parameters, in scikit-learn's order of drawing and with its bounds.

    Parameters
    ----------
    random_state : RandomState
        Whose numbers are drawn.
    sizes : sequence of int
        Inputs, hidden sizes, outputs.
    activations : sequence of str
        The hidden layers'.
    init : str
        "glorot_uniform" is scikit-learn's own: weights and biases uniform in ± sqrt(6 / (in + out)), of logistic layers
        sqrt(2 / (in + out)); the output layer's as the last hidden layer's. Other names are those of
        `fastmlp.initialization`.

    Returns
    -------
    ndarray of float64, shape (parameters,)
        W then b, layer by layer.
    """
    drawn = []
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        if init != "glorot_uniform":
            drawn.append(initialization.layer(init, random_state, inputs, outputs, outputs))
            continue
        activation = activations[min(number, len(activations) - 1)] if activations else "identity"
        limit = np.sqrt(_LIMITS.get(activation, 6.0) / (inputs + outputs))
        drawn.append(random_state.uniform(-limit, limit, (inputs, outputs)).ravel())
        drawn.append(random_state.uniform(-limit, limit, outputs))
    return np.concatenate(drawn)


class Orders:
    """scikit-learn's order of the rows: each epoch shuffles the one before.

    Parameters
    ----------
    random_state : RandomState
        Whose numbers are drawn.
    rows : int
        How many rows there are.
    """

    ahead = True  # some epochs may be drawn together: they are drawn from a copy of the random state

    def __init__(self, random_state: np.random.RandomState, rows: int) -> None:
        self._shared = random_state
        self._own = copy.deepcopy(random_state)
        self._order = np.arange(rows)
        self._drawn = 0
        self._marks = deque([self._mark()], _MARKS)

    def __call__(self, epoch: int) -> np.ndarray:
        """Draw the next epoch's order, in place: who keeps it takes a copy."""
        self._own.shuffle(self._order)  # scikit-learn's order[shuffled places], in one
        self._drawn += 1
        if self._drawn % _MARK_EVERY == 0:
            self._marks.append(self._mark())
        return self._order

    def _mark(self) -> tuple[int, dict[str, Any]]:
        """Give how many epochs were drawn, and the random state behind them."""
        return self._drawn, self._own.get_state(legacy=False)

    def leave_at(self, epochs: int) -> None:
        """Leave the random state as scikit-learn does after so many epochs, however many were drawn here."""
        # No other generator's state can be set; then, and where no mark is as old, all are drawn once more.
        known = [
            (drawn, state) for drawn, state in (*self._marks, self._mark())
            if drawn <= epochs and state["bit_generator"] == "MT19937"
        ]  # fmt: skip
        drawn = 0
        if known:
            drawn, state = known[-1]
            self._shared.set_state(state)
        for _ in range(epochs - drawn):
            self._shared.shuffle(self._order)


def optimizer_of(settings: Any, others: Optimizer) -> Optimizer:
    """Translate a solver.

    Parameters
    ----------
    settings : estimator
        With scikit-learn's parameters as attributes.
    others : Optimizer
        What is taken for a solver that scikit-learn has not.

    Returns
    -------
    Optimizer
        With scikit-learn's formulas, for its own solvers.
    """
    if settings.solver == "sgd":
        return SGD(
            momentum=settings.momentum, nesterov=bool(settings.nesterovs_momentum) and settings.momentum > 0,
            rate_in_velocity=True,
        )  # fmt: skip
    if settings.solver == "adam":
        return Adam(settings.beta_1, settings.beta_2, settings.epsilon, epsilon_hat=True)
    if settings.solver == "lbfgs":
        return LBFGS(gradient_tolerance=settings.tol, most_looks=settings.max_fun)
    return others


def patience_of(settings: Any) -> int:
    """Count the epochs that may pass without an improvement."""
    return NEVER if math.isinf(settings.n_iter_no_change) else int(settings.n_iter_no_change)


def rate_of(settings: Any, first_rate: float, monitor: str) -> RateSchedule:
    """Translate a learning rate, and with it the rule by which training ends.

    Parameters
    ----------
    settings : estimator
        With scikit-learn's parameters as attributes.
    first_rate : float
        The rate that the optimizer began with.
    monitor : str
        What is to improve: a loss, an accuracy or a metric.

    Returns
    -------
    RateSchedule
        The one that was given; or scikit-learn's rule, which lowers the rate or ends the training where there is no
        improvement.
    """
    if isinstance(settings.learning_rate, RateSchedule):
        return settings.learning_rate
    drops = settings.learning_rate == "adaptive" and settings.solver != "adam"
    return Adaptive(
        first_rate, divisor=5.0 if drops else None, patience=patience_of(settings),
        threshold=settings.tol, monitor=monitor,
    )  # fmt: skip


class InverseScaling:
    """A callback: ``first_rate / (t + 1) ** power`` after every epoch, t the rows that were trained on.

    Parameters
    ----------
    first_rate : float
        The rate that the optimizer began with.
    power : float
        The exponent.
    seen : int
        t before this training.
    rows : int
        Rows of an epoch.
    """

    def __init__(self, first_rate: float, power: float, seen: int, rows: int) -> None:
        self._first, self._power = float(first_rate), power
        self._seen, self._rows = seen, rows

    def __call__(self, state: Any) -> None:
        """Set the next epoch's rate."""
        state.learning_rate = self._first / (self._seen + state.epoch * self._rows + 1) ** self._power
