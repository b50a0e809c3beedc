"""What an optimizer remembers from step to step, and where the training of a network stands."""

from dataclasses import dataclass, field, replace

import numpy as np

from fastmlp._checks.options import TrainingOptions
from fastmlp._engine import layout
from fastmlp._spec.records import OF_EPOCH
from fastmlp.schedules import FeedbackSchedule, Memory, RateSchedule

# The position of a network that has not been trained.
_START = np.zeros(1, layout.POSITION)
_START["beta1_power"] = _START["beta2_power"] = 1.0


@dataclass
class OptimizerState:
    """What the optimizer remembers, where the training stands, and since when its learning rate's schedule.

    `memory` is what a schedule that follows the epochs remembers of them, and `remembered` an earlier schedule with its
    memory, for one of its class that monitors the same number. `lost` is set after a divergence that the state did not
    come back from, `reset` if the next training run is to begin with a new state.
    """

    slots: np.ndarray
    position: np.ndarray = field(default_factory=_START.copy)
    schedule: RateSchedule | None = None
    schedule_begun: int = 0
    memory: Memory | None = None
    remembered: tuple[RateSchedule | None, Memory | None] = (None, None)
    lost: bool = False
    reset: bool = False

    @property
    def epoch(self) -> int:
        """Epochs that are over, in all training runs."""
        return self.position["epoch"].item()

    def twin(self) -> "OptimizerState":
        arrays = {"slots": self.slots.copy(), "position": self.position.copy()}
        return replace(self, memory=self.memory and replace(self.memory), **arrays)

    def rates(self, options: TrainingOptions, batches: int) -> np.ndarray:
        """Return the learning rates, one per epoch or one per step; an equal schedule goes on from where it stood."""
        chosen = options.learning_rate
        begun = self.schedule_begun if chosen == self.schedule else self.epoch
        rates = _checked_rates(chosen, self.epoch - begun, options.epochs, batches)
        if chosen != self.schedule:
            before, memory = self.remembered
            self.schedule, self.schedule_begun, self.memory = chosen, self.epoch, None
            if isinstance(chosen, FeedbackSchedule):
                goes_on = type(before) is type(chosen) and before.monitor == chosen.monitor and memory is not None
                self.memory = replace(memory, rate=chosen.rate) if goes_on else Memory(chosen.rate)
        self.remembered = (None, None)
        if self.memory is not None:
            self.memory.ended = False
            rates[:] = self.memory.rate
        return rates


def _checked_rates(schedule: RateSchedule, begun: int, epochs: int, batches: int) -> np.ndarray:
    """Return a schedule's rates, which may be one of the user's own."""
    rates = np.array(schedule.rates(begun, epochs, batches), np.float64, order="C")
    if rates.shape not in ((epochs,), (epochs * batches,)):
        raise ValueError(
            f"learning_rate: got rates of shape {rates.shape} from {schedule!r}; ({epochs},), one per epoch, or "
            f"({epochs * batches},), one per step, are accepted"
        )
    if not (rates.min() >= 0 and rates.max() < np.inf):  # NaN is neither
        raise ValueError(
            f"learning_rate: got {rates.min()} to {rates.max()} from {schedule!r}; finite rates from 0 on are accepted"
        )
    return rates


def state_for(before: OptimizerState | None, same_optimizer: bool, options: TrainingOptions, model) -> OptimizerState:
    """Return the state that a training run goes on with: the one before, or a new one with its epochs."""
    if before is not None and same_optimizer and not before.lost and not before.reset:
        for name in OF_EPOCH:  # which begins anew if it was not finite
            before.position[name] = 0
        return before
    starts = np.array(options.optimizer.starts(options.learning_rate.rate), model.dtype)
    state = OptimizerState(np.repeat(starts, len(model.params)))
    if before is not None:
        state.position["epoch"] = before.epoch
        state.remembered = before.remembered
    return state
