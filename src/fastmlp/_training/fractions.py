"""Fractions of units that a callable gives for each epoch: asked for ahead, checked, and kept."""

from bisect import bisect_right

from fastmlp._engine import layout
from fastmlp._training.model import Model

_AHEAD = 1024  # epochs that a callable is asked for together


class GivenFractions:
    """What a network's dropout leaves out in each epoch of a training run, as the kernels read it.

    The callable is asked once per epoch, in order, at most so many epochs ahead. Its answers are kept, since a training
    run may go back any number of epochs; equal ones in a row take the room of one.
    """

    def __init__(self, model: Model, first: int, end: int) -> None:
        self._model, self._asked, self._end = model, first, end
        self._begins: list[int] = []  # the epochs from which on units are left out by the answers beside them
        self._answers: list[tuple[int, ...]] = []
        self.take(first)

    def take(self, epoch: int) -> tuple[tuple[int, ...], int]:
        """Return what an epoch leaves out, and the epoch before which that stays, as far as is known."""
        if epoch >= self._asked:
            self._ask(min(epoch + _AHEAD, self._end))
        # The first one also stands for epochs before a callback has assigned the callable.
        place = max(1, bisect_right(self._begins, epoch))
        return self._answers[place - 1], (*self._begins[place:], self._asked)[0]

    def _ask(self, end: int) -> None:
        while self._asked < end:
            answer = layout.dropped(self._model.fractions(self._asked))
            if not self._answers or answer != self._answers[-1]:
                self._begins.append(self._asked)
                self._answers.append(answer)
            self._asked += 1
