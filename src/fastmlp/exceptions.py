"""What fastmlp raises and warns of besides Python's own exceptions."""

from typing import Any

__all__ = ["DivergenceError", "DivergenceWarning"]


class DivergenceWarning(RuntimeWarning):
    """A training run diverged: its loss stopped being finite or grew beyond use; the last good weights came back."""


class DivergenceError(ArithmeticError):
    """A training run diverged, with ``on_divergence="raise"``.

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
