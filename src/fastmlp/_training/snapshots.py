"""Moments of a training run that can be gone back to.

A training run gives the same bits whenever it is run again. So nothing has to be kept from step to step: what it takes
to run the last fraction of a second again, up to the step before the last one, is enough, and costs the loop nothing.
"""

import math
from collections.abc import Callable
from time import perf_counter

import numpy as np

from fastmlp._spec.records import OF_RUN

_REPLAYED_BYTES = 1 << 22  # of parameters and state together, up to which both are kept, three times
_REPLAYED_STEPS = 10_000  # that are run again from the start of a training run, at most
_COPY_BYTES_PER_SECOND = 2e9  # slower than memory is: copies of a large network are to cost a hundredth of the time
_KEPT_SECONDS = 0.04  # a little less than the time between two kernel calls

Moment = tuple[np.ndarray, ...]


def all_finite(values: np.ndarray) -> bool:
    """Return whether no number is NaN or infinite; takes no memory, which would be that of a large network.

    >>> all_finite(np.array([1.0, np.nan])), all_finite(np.array([1.0, -1e308]))
    (False, True)
    """
    return math.isfinite(values.max()) and math.isfinite(values.min())


def kept_bytes(parameters: int, state: int) -> int:
    """Return the bytes that snapshots take: three times parameters and state; of a large network twice the parameters.

    >>> kept_bytes(1000, 2000), kept_bytes(1 << 30, 2 << 30) == 2 << 30
    (9000, True)
    """
    return 3 * (parameters + state) if parameters + state <= _REPLAYED_BYTES else 2 * parameters


class Keeper:
    """Keeps parameters, optimizer state and position of two moments not long ago, and of the start of a training run.

    Of a large network, whose copies would take much memory, only the parameters are kept, more seldom, and the start is
    not. `replays` says whether state and position come back too, so that any later moment can be reached again;
    `copy_seconds` is about how long keeping a moment takes.
    """

    def __init__(self, parameters: np.ndarray, slots: np.ndarray, position: np.ndarray) -> None:
        self.replays = parameters.nbytes + slots.nbytes <= _REPLAYED_BYTES
        self._live = (parameters, slots, position) if self.replays else (parameters, position)
        # The oldest first; both begin with the first moment, and nothing is allocated later.
        self._kept = [self.now(), self.now()]
        self.start = self.now() if self.replays else None
        self._first_step = int(position["step"][0])
        self.copy_seconds = (parameters.nbytes + slots.nbytes) / _COPY_BYTES_PER_SECOND
        self._wait = max(_KEPT_SECONDS, 100 * parameters.nbytes / _COPY_BYTES_PER_SECOND)
        self._next = perf_counter() + self._wait

    def keep(self, at_once: bool = False) -> bool:
        """Keep this moment, if the last one was long enough ago; return False, and do not, if a weight is not finite.

        `at_once`: the parameters may have been changed since the last call, so that an earlier moment leads elsewhere.
        The older moment stays until the newer one, too, lies before the last usable loss.
        """
        now = perf_counter()
        if now < self._next and not (at_once and self.replays):
            return True
        self._next = now + self._wait
        if not all_finite(self._live[0]):  # the loss may still be finite, but nothing good can come of it
            return False
        if _step(self._kept[1]) <= self._live[-1]["usable"].item():
            self._kept.reverse()
        _copy(self._live, self._kept[1])
        return True

    def now(self) -> Moment:
        return tuple(array.copy() for array in self._live)

    def latest(self, into: Moment | None = None) -> Moment:
        """Return a copy of the moment that was kept last, written over an earlier answer if there is one."""
        if into is None:
            return tuple(array.copy() for array in self._kept[-1])
        _copy(self._kept[-1], into)
        return into

    def go_to(self, moment: Moment) -> None:
        """Go back to a moment; the limit above which losses are questioned stays as it is now."""
        limit = self._live[-1]["loss_limit"].copy()
        _copy(moment, self._live)
        self._live[-1]["loss_limit"] = limit

    def roll_back(self, run: Callable[[int], None], is_usable: Callable[[], bool], from_start: bool) -> int:
        """Go back to the weights before the last update, or, if they may not stay, to those of the last usable loss.

        `run` takes a number of steps and runs that many; `is_usable` says whether the present weights may stay. If
        neither may, earlier weights are tried, 1, 2, 4, ... steps before. `from_start` says whether the steps can be
        run again from the first one. Returns how many updates lie between the weights that came back and those that
        were there: of large networks, of which only the kept moments come back, more than needed; 0 if no update was
        made in this training run.
        """
        position = self._live[-1]
        last = position.copy()
        updates, usable, back = int(last["step"][0]), int(last["usable"][0]), 0
        if updates == self._first_step:
            return 0
        goal = updates - 1
        while True:
            kept = self._moment_before(goal, from_start)
            reached = _step(kept)
            self.go_to(kept)
            if self.replays and goal > reached:
                reached += self._run_to_finite(kept, goal - reached, run)
            if goal == self._first_step or goal < _step(kept) or is_usable():
                break
            if goal > usable:
                goal = usable
            else:
                back = max(1, 2 * back)
                goal = max(usable - back, self._first_step)
        for name in ("epoch", "noted", "usable", *OF_RUN):
            position[name] = last[name]
        return updates - reached

    def _moment_before(self, goal: int, from_start: bool) -> Moment:
        """Return the latest moment that is not after a step; the oldest one if there is none."""
        for moment in reversed(self._kept):
            if _step(moment) <= goal:
                return moment
        near = goal - self._first_step <= _REPLAYED_STEPS
        return self.start if from_start and near and self.start is not None else self._kept[0]

    def _run_to_finite(self, kept: Moment, most: int, run: Callable[[int], None]) -> int:
        """Run on from a moment for `most` steps, or for as many as leave every weight finite; return how many."""
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


def _step(moment: Moment) -> int:
    return int(moment[-1]["step"][0])


def _copy(source: Moment, target: Moment) -> None:
    for value, place in zip(source, target, strict=True):
        np.copyto(place, value)
