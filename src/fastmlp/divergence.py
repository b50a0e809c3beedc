"""What happens where a loss stops being finite: the way back to the last good weights, and the likeliest cause.

A training gives the same bits whenever it is run again. So nothing has to be kept from step to step: what it takes to
run the last fraction of a second again, up to the step before the last one that was taken, is enough, and costs the
loop nothing. Imports the reference, which looks at the layers, and the optimizers; the training loop and the network
import it.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from fastmlp import _reference
from fastmlp.optimizers import LBFGS

BEST = -1  # in the place of a number of steps: the best weights came back

_REPLAYED_BYTES = 1 << 22  # of parameters and state together, up to which both are kept, twice
_COPY_BYTES_A_SECOND = 2e9  # slower than memory is: what is kept of a large network is to cost a hundredth of the time
_KEPT_SECONDS = 0.04  # a little less than the time between two calls of the kernels
_BLOCK = 4096  # rows that are looked at together
_LARGE = 1e4  # of features and targets: nobody has chosen such units on purpose


class DivergenceWarning(RuntimeWarning):
    """The loss stopped being finite: training was stopped, and the last good weights came back."""


class DivergenceError(ArithmeticError):
    """The same with ``on_divergence="raise"``.

    Parameters
    ----------
    message : str
        What happened.
    network : Network or None, default None
        The network, with the last good weights and the history up to there: nothing that was trained is lost.
    """

    def __init__(self, message: str, network: Any = None) -> None:
        super().__init__(message)
        self.network = network


@dataclass
class Divergence:
    """Where a training stopped being finite.

    Parameters
    ----------
    epoch, batch : int
        Counted from 1, the epoch over all trainings of the network.
    parameters : ndarray
        The weights that the loss was not finite with.
    steps_back : int
        Updates from the weights that came back to these; BEST where early stopping's best came back.
    rows : ndarray or slice
        The rows of that batch.
    rate : float
        The learning rate of the last update.
    state_lost : bool
        Whether the optimizer's state did not come back with the weights, and has to begin anew.
    """

    epoch: int
    batch: int
    parameters: np.ndarray
    steps_back: int
    rows: Any
    rate: float
    state_lost: bool = False


def all_finite(values: np.ndarray) -> bool:
    """Tell whether no number is NaN or infinite; takes no memory, which would be that of a large network.

    Parameters
    ----------
    values : ndarray
        At least one number.

    Returns
    -------
    bool

    Examples
    --------
    >>> all_finite(np.array([1.0, np.nan])), all_finite(np.array([1.0, -1e308]))
    (False, True)
    """
    return math.isfinite(values.max()) and math.isfinite(values.min())


def kept_bytes(parameters: int, state: int) -> int:
    """Count the memory that the way back takes.

    Parameters
    ----------
    parameters, state : int
        Bytes of the parameters and of the optimizer's state.

    Returns
    -------
    int
        Bytes: twice both of a small network, twice the parameters of a large one.

    Examples
    --------
    >>> kept_bytes(1000, 2000), kept_bytes(1 << 30, 2 << 30) == 2 << 30
    (6000, True)
    """
    return 2 * (parameters + state if parameters + state <= _REPLAYED_BYTES else parameters)


class Keeper:
    """Keeps what it takes to go back: parameters, optimizer state and position of two moments not long ago.

    Of a large network, whose copies would take much memory, only the parameters are kept, more seldom.

    Parameters
    ----------
    parameters, slots, position : ndarray
        The arrays that a training changes.

    Attributes
    ----------
    replays : bool
        Whether state and position come back with the parameters, so that any earlier moment can be gone back to.
    copy_seconds : float
        About how long keeping a moment takes.
    """

    def __init__(self, parameters: np.ndarray, slots: np.ndarray, position: np.ndarray) -> None:
        self.replays = parameters.nbytes + slots.nbytes <= _REPLAYED_BYTES
        self._live = (parameters, slots, position) if self.replays else (parameters, position)
        # The oldest first; both begin with the first moment, and nothing is allocated later.
        self._kept = [self.now(), self.now()]
        self._first_step = int(position["step"][0])
        self.copy_seconds = (parameters.nbytes + slots.nbytes) / _COPY_BYTES_A_SECOND
        self._wait = max(_KEPT_SECONDS, 100 * parameters.nbytes / _COPY_BYTES_A_SECOND)
        self._next = perf_counter() + self._wait

    def keep(self, at_once: bool = False) -> bool:
        """Keep this moment, if the last one that was kept is long enough ago; it is not, where a weight is not finite.

        Parameters
        ----------
        at_once : bool, default False
            Whether somebody may have changed the parameters since the last call, so that running it again from an
            earlier moment would lead elsewhere.

        Returns
        -------
        bool
            False where a weight is not finite: the loss may still be, but nothing good can come of it.
        """
        now = perf_counter()
        if now < self._next and not (at_once and self.replays):
            return True
        self._next = now + self._wait
        if not all_finite(self._live[0]):
            return False
        oldest = self._kept.pop(0)
        for array, live in zip(oldest, self._live, strict=True):
            np.copyto(array, live)
        self._kept.append(oldest)
        return True

    def now(self) -> tuple[np.ndarray, ...]:
        """Copy this moment.

        Returns
        -------
        tuple of ndarray
            Parameters, the optimizer's state (of a small network) and the position.
        """
        return tuple(array.copy() for array in self._live)

    def latest(self, into: tuple[np.ndarray, ...] | None = None) -> tuple[np.ndarray, ...]:
        """Copy the moment that was kept last.

        Parameters
        ----------
        into : tuple of ndarray, or None, default None
            An earlier answer, which is written over.

        Returns
        -------
        tuple of ndarray
            As `now` has it.
        """
        if into is None:
            return tuple(array.copy() for array in self._kept[-1])
        for array, kept in zip(into, self._kept[-1], strict=True):
            np.copyto(array, kept)
        return into

    def go_to(self, moment: tuple[np.ndarray, ...]) -> None:
        """Bring a moment back.

        Parameters
        ----------
        moment : tuple of ndarray
            From `now` or `latest`.
        """
        for array, live in zip(moment, self._live, strict=True):
            np.copyto(live, array)

    def restore(self, run: Callable[[int], None]) -> int:
        """Go back to the weights before the last update, or further where those are not finite.

        Parameters
        ----------
        run : callable
            Takes a number of steps, and trains so many on from where the arrays stand.

        Returns
        -------
        int
            How many updates lie between what came back and what was there: mostly 1, of large networks more; 0 where
            no update was made since the beginning.
        """
        position = self._live[-1]
        last = position.copy()
        updates = int(last["step"][0])
        if updates == self._first_step:
            return 0
        kept = next(moment for moment in reversed(self._kept) if int(moment[-1]["step"][0]) < updates)
        steps = updates - int(kept[-1]["step"][0])
        if self.replays:
            steps -= self._run_to_finite(kept, steps - 1, run)
        else:
            self.go_to(kept)
        for name in ("epoch", "batch", "diverged", "noted", "loss_sum", "hits"):
            position[name] = last[name]
        return steps

    def _run_to_finite(self, kept: tuple[np.ndarray, ...], most: int, run: Callable[[int], None]) -> int:
        """Run on from a moment for `most` steps, or for as many as leave every weight finite; returns how many."""
        finite, beyond, steps = 0, most + 1, most
        while True:
            self.go_to(kept)
            if steps:
                run(steps)
            if all_finite(self._live[0]):
                finite = steps
            else:
                beyond = steps
            if steps == 0 or (beyond - finite == 1 and steps == finite):
                return finite
            steps = finite if beyond - finite == 1 else (finite + beyond) // 2


def explain(
    divergence: Divergence, layers: np.ndarray, settings: Mapping[str, float], x: np.ndarray, y: np.ndarray,
    usual_rate: float,
) -> str:
    """Say where it began and what the likeliest cause is.

    Parameters
    ----------
    divergence : Divergence
        Where it happened.
    layers : ndarray of LAYER
        The network's layout.
    settings : mapping
        The training's fields of SETTINGS.
    x, y : ndarray
        The training rows and their coded targets.
    usual_rate : float
        The optimizer's default learning rate; what is far above is suspected.

    Returns
    -------
    str
        Both in one line.
    """
    rows, y = x[divergence.rows], y[divergence.rows]
    where = _where(divergence, layers, rows)
    return f"{where}; likeliest cause: {_cause(divergence, layers, settings, rows, y, usual_rate)}"


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Cut rows, so that looking at many of them takes no more memory than a few."""
    return (rows[begin : begin + _BLOCK] for begin in range(0, len(rows), _BLOCK))


def _where(divergence: Divergence, layers: np.ndarray, rows: np.ndarray) -> str:
    """Name the layer in which something stopped being finite first."""
    network = _reference._layers_of(divergence.parameters, layers)
    for number, layer in enumerate(network, 1):
        broken = sum(int(np.sum(~np.isfinite(part))) for part in (layer.w, layer.b) if part is not None)
        if broken:
            return f"it began in layer {number}, of whose parameters {broken} overflowed"
    largest, first = 0.0, len(network) + 1
    for block in _blocks(rows):
        with np.errstate(all="ignore"):
            outputs = _reference._outputs_of_layers(network, block)[1:]
            outputs[-1] = _reference._activate(outputs[-1], network[-1].activation)
        first = min([first, *(number for number, h in enumerate(outputs, 1) if not np.isfinite(h).all())])
        largest = max(largest, float(np.abs(outputs[-1]).max()))
    if first <= len(network):
        weights = np.abs(network[first - 1].w).max()
        return f"it began in layer {first}, whose outputs overflowed (its weights reach {weights:.3g})"
    return f"it began in the loss of layer {len(network)}'s outputs, which reach {largest:.3g}"


def _cause(
    divergence: Divergence, layers: np.ndarray, settings: Mapping[str, float], rows: np.ndarray, y: np.ndarray,
    usual_rate: float,
) -> str:
    """Name the likeliest cause, and what to change first."""
    rate, l2 = divergence.rate, settings["l2"] / (len(rows) if settings.get("own_average") else 1)
    features = max(float(np.abs(block).max()) for block in _blocks(rows))
    targets = max(float(np.abs(np.nan_to_num(block)).max()) for block in _blocks(y)) if y.dtype.kind == "f" else 0.0
    searches = settings["optimizer"] == LBFGS.code  # which has no learning rate
    if not searches and rate * l2 > 2:
        return f"learning_rate * l2 / N is {rate * l2:.3g}, and from 2 on steps overshoot; lower one"
    if features > _LARGE:
        return f"features reach {features:.3g}; scale them, such as to mean 0 and deviation 1"
    if targets > _LARGE:
        return f"targets reach {targets:.3g}; scale them, such as to mean 0 and deviation 1"
    exponential = "outputs grow as exp(z); " if layers["activation"][-1] == _reference._EXPONENTIAL else ""
    if searches:
        return f"{exponential}a step of the line search was too long; try scaled features, l2, or optimizer='adam'"
    clipped = settings.get("clip_norm", 0) or settings.get("clip_value", 0)
    remedy = f"try {rate / 10:.3g}" + ("" if clipped or rate > 10 * usual_rate else ", or clip_norm=1.0")
    return f"{exponential}a learning_rate of {rate:.3g}; {remedy}"


def report(divergence: Divergence, explanation: str) -> str:
    """Write the message of a divergence.

    Parameters
    ----------
    divergence : Divergence
        Where it happened.
    explanation : str
        What `explain` says of it.

    Returns
    -------
    str
        One line.
    """
    back = {
        BEST: "training was stopped there, and the best weights so far came back",
        0: "no step was taken, and the weights are those it began with",
        1: "training was stopped there, and the weights before the last step came back",
    }.get(
        divergence.steps_back,
        f"training was stopped there, and the weights of {divergence.steps_back} steps before came back",
    )
    return (
        f"the loss stopped being finite in epoch {divergence.epoch}, batch {divergence.batch}; {back}; {explanation}"
    )


def announce(message: str, how: str, network: Any) -> None:
    """Raise or warn.

    Parameters
    ----------
    message : str
        What `report` wrote.
    how : {"warn", "raise"}
        What the user chose.
    network : Network
        What the error is to carry.
    """
    if how == "raise":
        raise DivergenceError(message, network)
    warn_caller(message, DivergenceWarning, ("fastmlp",))


def warn_caller(message: str, category: type[Warning], inside: Collection[str]) -> None:
    """Warn of the line, outside of some packages, that led here.

    Parameters
    ----------
    message : str
        What is said.
    category : type of Warning
        As what.
    inside : collection of str
        The packages.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in inside:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


