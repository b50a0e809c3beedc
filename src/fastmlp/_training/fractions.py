"""The fractions of units that each epoch of a training run leaves out, which a callable may give."""

from bisect import bisect_right

from fastmlp._engine import layout
from fastmlp._training.model import Model

_AHEAD = 1024  # epochs that a callable is asked for together


class Fractions:
    """What a network's dropout leaves out in each epoch of a training run, as the kernels read it.

    A callable is asked once per epoch, in order, at most 1024 epochs ahead. Its answers are kept, since a training run
    may go back any number of epochs; equal ones in a row take the room of one.
    """

    def __init__(self, model: Model, first: int, end: int) -> None:
        self._model, self._end, self._dropout = model, end, None
        if callable(model.topology.dropout):
            self.take(first)

    def take(self, epoch: int) -> tuple[tuple[int, ...], int]:
        """Return what an epoch leaves out, and the epoch before which that stays, as far as is known."""
        dropout = self._model.topology.dropout
        if not callable(dropout):
            return layout.dropped(dropout), self._end
        if dropout is not self._dropout:  # this is the beginning, or a callback has assigned it
            self._dropout, self._asked = dropout, epoch  # epochs before `_asked` are known
            self._begins: list[int] = []  # from these epochs on the answers beside them hold
            self._answers: list[tuple[int, ...]] = []
        if epoch >= self._asked:
            self._ask(min(epoch + _AHEAD, self._end))
        # The first answer also stands for epochs before the callback.
        place = max(1, bisect_right(self._begins, epoch))
        return self._answers[place - 1], (*self._begins[place:], self._asked)[0]

    def _ask(self, end: int) -> None:
        while self._asked < end:
            answer = layout.dropped(self._model.topology.fractions(self._asked))
            if not self._answers or answer != self._answers[-1]:
                self._begins.append(self._asked)
                self._answers.append(answer)
            self._asked += 1
