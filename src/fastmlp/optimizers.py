"""The optimizers: what the user may choose, as small frozen dataclasses that check themselves.

No arithmetic here: the kernels and the reference take the steps. Imports `_scalars` only; `_validate`, the
network and the kernels' callers may import it.

Notation: p a parameter, g its gradient of the objective, t the step counted from 1, lr the learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from fastmlp._scalars import flag, number


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, plain or with momentum.

    Without momentum ``p -= lr * g``. With momentum, as in PyTorch, a buffer that starts at zero::

        buffer = momentum * buffer + g
        p -= lr * buffer                          # Polyak, 1964
        p -= lr * (g + momentum * buffer)         # nesterov (Nesterov, 1983; Sutskever et al., 2013)

    Parameters
    ----------
    momentum : float, default 0.0
        The share of the buffer that each step keeps, in [0, 1).
    nesterov : bool, default False
        Look ahead along the buffer; needs a momentum above 0.

    Attributes
    ----------
    name : str
        ``"sgd"``.
    code : int
        The number by which the kernels know it.
    default_learning_rate : float
        0.01.
    slots : int
        How many state vectors as long as the parameters it keeps: 1 with momentum, 0 without.

    Raises
    ------
    TypeError
        If `momentum` is not a real number or `nesterov` is not a bool.
    ValueError
        If `momentum` lies outside [0, 1), or `nesterov` is asked for without momentum.

    Examples
    --------
    >>> SGD(momentum=0.9, nesterov=True).slots
    1
    """

    momentum: float = 0.0
    nesterov: bool = False

    name: ClassVar[str] = "sgd"
    code: ClassVar[int] = 0
    default_learning_rate: ClassVar[float] = 0.01

    def __post_init__(self) -> None:
        """Check the settings."""
        # Stored as Python's own float and bool, so that two equal optimizers also print and save alike.
        object.__setattr__(self, "momentum", number(self.momentum, "momentum", below=1.0))
        object.__setattr__(self, "nesterov", flag(self.nesterov, "nesterov"))
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov: got True with momentum 0; it needs a momentum above 0, such as 0.9")

    @property
    def slots(self) -> int:
        """How many state vectors it keeps."""
        return 1 if self.momentum > 0.0 else 0


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba, 2015): steps scaled by running means of the gradient and of its square.

    The two means start at zero and are corrected for it, with epsilon where PyTorch has it::

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)

    Parameters
    ----------
    beta1 : float, default 0.9
        The share of the mean gradient that each step keeps, in [0, 1).
    beta2 : float, default 0.999
        The share of the mean squared gradient that each step keeps, in [0, 1).
    epsilon : float, default 1e-8
        Keeps the division finite; above 0.

    Attributes
    ----------
    name : str
        ``"adam"``.
    code : int
        The number by which the kernels know it.
    default_learning_rate : float
        0.001.
    slots : int
        How many state vectors as long as the parameters it keeps: 2.

    Raises
    ------
    TypeError
        If a value is not a real number.
    ValueError
        If a beta lies outside [0, 1) or `epsilon` is not above 0.

    Examples
    --------
    >>> Adam(beta2=0.99)
    Adam(beta1=0.9, beta2=0.99, epsilon=1e-08)
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    name: ClassVar[str] = "adam"
    code: ClassVar[int] = 1
    default_learning_rate: ClassVar[float] = 0.001
    slots: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """Check the settings."""
        object.__setattr__(self, "beta1", number(self.beta1, "beta1", below=1.0))
        object.__setattr__(self, "beta2", number(self.beta2, "beta2", below=1.0))
        object.__setattr__(self, "epsilon", number(self.epsilon, "epsilon", above=0.0))


OPTIMIZERS: Mapping[str, type[SGD] | type[Adam]] = MappingProxyType({"sgd": SGD, "adam": Adam})
