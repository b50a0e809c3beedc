"""What an optimizer remembers from step to step, and where the training of a network stands."""

from dataclasses import dataclass, field, replace

import numpy as np

from fastmlp._checks.options import TrainingOptions
from fastmlp._checks.warn import warn_caller
from fastmlp._engine import layout
from fastmlp._spec.records import OF_RUN
from fastmlp._spec.values import as_array, shown
from fastmlp.schedules import FeedbackSchedule, Memory, RateSchedule

_NOTHING = (None, None, False)
# The position of a network that has not been trained.
_START = np.zeros(1, layout.POSITION)
_START["beta1_power"] = _START["beta2_power"] = 1.0


@dataclass
class OptimizerState:
    """What the optimizer remembers, where the training stands, and since when its learning rate's schedule.

    `memory` is what a schedule that follows the epochs remembers of them. `remembered` is an earlier schedule with its
    memory, for one of its class that monitors the same number, and whether that one goes on with the rate too. `lost`
    is set after a divergence that the state did not come back from, `reset` if the next training run is to begin with a
    new state.
    """

    slots: np.ndarray
    position: np.ndarray = field(default_factory=_START.copy)
    schedule: RateSchedule | None = None
    schedule_begun: int = 0
    memory: Memory | None = None
    remembered: tuple[RateSchedule | None, Memory | None, bool] = _NOTHING
    lost: bool = False
    reset: bool = False

    @property
    def epoch(self) -> int:
        """Epochs that are over, in all training runs."""
        return self.position["epoch"].item()

    def twin(self) -> "OptimizerState":
        arrays = {"slots": self.slots.copy(), "position": self.position.copy()}
        return replace(self, memory=self.memory and replace(self.memory), **arrays)

    def rates(self, options: TrainingOptions, batches: int, room: int) -> "Rates":
        """Return the learning rates of a training run; an equal schedule goes on from where it stood."""
        chosen = options.learning_rate
        now = self.position["step" if chosen.unit == "step" else "epoch"].item()
        goes_on = chosen == self.schedule
        rates = Rates(chosen, now - self.schedule_begun if goes_on else 0, options.epochs, batches, room)
        if not goes_on:
            before, memory, and_rate = self.remembered
            self.schedule, self.schedule_begun, self.memory = chosen, now, None
            if isinstance(chosen, FeedbackSchedule):
                follows = type(before) is type(chosen) and before.monitor == chosen.monitor and memory is not None
                rate = memory.rate if follows and and_rate else chosen.rate
                self.memory = replace(memory, rate=rate) if follows else Memory(rate)
        self.remembered = _NOTHING
        if self.memory is not None:
            self.memory.ended = False
            rates.set(0, self.memory.rate)
        return rates


class Rates:
    """The learning rates of a training run, those of its first epochs to begin with.

    `values` holds `per_epoch` rates of each epoch that there is room for: 1, or one per step.
    """

    def __init__(self, schedule: RateSchedule, begun: int, epochs: int, batches: int, room: int) -> None:
        self._schedule, self._run = schedule, (begun, epochs, batches)
        self._set: float | None = None  # by something other than the schedule
        # A schedule of the user's own gives those of a whole training run at once.
        self._whole = None if type(schedule).rates is RateSchedule.rates else self._given()
        self.values = self._of(range(room))
        self.per_epoch = len(self.values) // room
        if schedule.rate == 0 and not self.values.any():
            warn_caller("learning_rate: got 0; a number above 0 trains; None takes the optimizer's own", UserWarning)
        if room < epochs:
            self._of(range(epochs - 1, epochs))  # which is mostly the farthest from the first: refused now, not later

    def set(self, epoch: int, rate: float) -> None:
        """Make a rate that of all epochs from one on, those that there is no room for yet included."""
        self.values[epoch * self.per_epoch :] = self._set = rate

    def make_room(self, epochs: int) -> None:
        more = self._of(range(len(self.values) // self.per_epoch, epochs))
        self.values = np.concatenate((self.values, more if self._set is None else np.full_like(more, self._set)))

    def _of(self, epochs: range) -> np.ndarray:
        """Return the rates of some epochs, counted from 0 in this training run, as the schedule has them."""
        if self._whole is not None:
            return self._whole[epochs.start : epochs.stop].flatten()
        rates = self._schedule._some_rates(epochs, *self._run)
        self._refuse_unusable(rates)
        return rates

    def _given(self) -> np.ndarray:
        """Return all rates that a schedule of the user's own gives, shape (epochs, 1 or steps)."""
        _, epochs, batches = self._run
        rates = as_array(self._schedule.rates(*self._run), "learning_rate")
        if rates.dtype.kind not in "iuf" or rates.shape not in ((epochs,), (epochs * batches,)):
            raise ValueError(
                f"learning_rate: got rates of {rates.dtype} and shape {rates.shape} from {shown(self._schedule)}; "
                f"numbers of shape ({epochs},), one per epoch, or ({epochs * batches},), one per step, are accepted"
            )
        self._refuse_unusable(rates)
        return rates.reshape(epochs, -1).astype(np.float64)

    def _refuse_unusable(self, rates: np.ndarray) -> None:
        lowest, highest = rates.min(), rates.max()
        if not (lowest >= 0 and highest < np.inf):  # NaN is neither
            raise ValueError(
                f"learning_rate: got {lowest} to {highest} from {shown(self._schedule)}; finite rates from 0 on are "
                "accepted"
            )


def state_for(before: OptimizerState | None, same_optimizer: bool, options: TrainingOptions, model) -> OptimizerState:
    """Return the state that a training run goes on with: the one before, or a new one with its epochs."""
    if before is not None and same_optimizer and not before.lost and not before.reset:
        for name in OF_RUN:  # an interrupted epoch begins anew
            before.position[name] = 0
        return before
    starts = np.array(options.optimizer.starts(options.learning_rate.rate), model.dtype)
    state = OptimizerState(np.repeat(starts, len(model.params)))
    if before is not None:
        state.position["epoch"] = before.epoch
        state.remembered = before.remembered
    return state
