"""What fastmlp raises and warns of besides Python's own exceptions."""

from typing import Any

__all__ = ["DivergenceError", "DivergenceWarning"]


class DivergenceWarning(RuntimeWarning):
    """The loss stopped being finite: the training run was stopped, and the last good weights came back."""


class DivergenceError(ArithmeticError):
    """The loss stopped being finite, with ``on_divergence="raise"``.

    Parameters
    ----------
    message : str
        What happened.
    network : Network or None, default None
        The network, with the last good weights and the history up to there: nothing that was trained is lost.

    Examples
    --------
    >>> DivergenceError("the loss stopped being finite").network is None
    True
    """

    def __init__(self, message: str, network: Any = None) -> None:
        super().__init__(message)
        self.network = network
