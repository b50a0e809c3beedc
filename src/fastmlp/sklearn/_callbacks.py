"""The callbacks of a fit: the lines that scikit-learn prints, and the tasks of scikit-learn's own callbacks."""

from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before scikit-learn 1.9 there are no callbacks
    CallbackSupportMixin, with_callbacks = type("CallbackSupportMixin", (), {}), lambda method: method


class Lines:
    """Prints one line per epoch, as scikit-learn does; `score` is also printed, `why` before the rate is lowered."""

    def __init__(self, score: str | None, why: str | None) -> None:
        self._score, self._why, self._rate = score, why, float("-inf")

    def __call__(self, state: Any) -> None:
        if self._why is not None and state.learning_rate < self._rate:
            print(f"{self._why} Setting learning rate to {state.learning_rate:f}")
        self._rate = state.learning_rate
        print(f"Iteration {state.epoch}, loss = {state.loss:.8f}")
        if self._score is not None:
            print(f"Validation score: {state.numbers()[self._score]:f}")


def task_data(estimator: Any, X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """Return what scikit-learn's callbacks are told of a task."""
    return {
        "estimator": estimator,
        "X": X,
        "y": y,
        "metadata": None if sample_weight is None else {"sample_weight": sample_weight},
    }


class EpochTasks:
    """Reports every epoch to scikit-learn's callbacks, to which an epoch is a task within that of the fit."""

    def __init__(self, context: Any) -> None:
        self._context, self._data, self._task = context, {}, None

    def begin(self, data: dict[str, Any]) -> None:
        """Begin the first epoch's task, of which the callbacks are told the data."""
        self._data = data
        self._begin()

    def _begin(self) -> None:
        self._task = self._context.subcontext(task_name="epoch")
        self._task.call_on_fit_task_begin(**self._data)

    def _attributes(self) -> dict[str, Any]:
        """Copy what a fitted estimator would have if training ended here."""
        network = self._data["estimator"].network_
        return {
            "coefs_": [weights.copy() for weights in network.weights],
            "intercepts_": [biases.copy() for biases in network.biases],
        }

    def __call__(self, state: Any) -> bool:
        """End the epoch's task and begin the next; True if a callback asks for the training's end."""
        task, self._task = self._task, None
        ends = task.call_on_fit_task_end(**self._data, reconstruction_attributes=self._attributes)
        if not ends and state.epoch < state.epochs:
            self._begin()
        return bool(ends)

    def close(self) -> None:
        """End, empty, the task of an epoch that did not take place, as scikit-learn's own estimators do."""
        if self._task is not None:
            self._task.call_on_fit_task_end(estimator=self._data["estimator"])
