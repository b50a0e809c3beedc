"""The losses that a network can minimise, and which outputs and targets go with each.

No arithmetic here: the kernels and the reference compute them. Imports nothing of fastmlp; `_validate`, the
network and the kernels' callers may import it.

Every loss sums over a row's outputs and averages over rows. With h the output and y the target:

==================== ====================================================
name                 loss of one row
==================== ====================================================
squared_error        1/2 sum_j (y_j - h_j)^2
binary_cross_entropy -sum_j [y_j log h_j + (1 - y_j) log(1 - h_j)]
cross_entropy        -log h_c, with c the row's class
==================== ====================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Loss:
    """One loss: its name, and what it goes with.

    Parameters
    ----------
    name : str
        The name that users write.
    code : int
        The number by which the kernels know it.
    outputs : tuple of str
        The output activations that it goes with; the first is the default.
    targets : tuple of str
        The kinds of targets that it goes with: ``"real"`` (numbers to approximate), ``"labels"`` (one class
        a row, as labels or as one-hot rows) and ``"multilabel"`` (a 0/1 matrix, any number of ones a row).

    Examples
    --------
    >>> LOSSES["squared_error"].outputs
    ('identity', 'sigmoid')
    """

    name: str
    code: int
    outputs: tuple[str, ...]
    targets: tuple[str, ...]


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        loss.name: loss
        for loss in (
            Loss("squared_error", 0, ("identity", "sigmoid"), ("real", "labels", "multilabel")),
            Loss("binary_cross_entropy", 1, ("sigmoid",), ("labels", "multilabel")),
            Loss("cross_entropy", 2, ("softmax",), ("labels",)),
        )
    }
)
OUTPUTS: tuple[str, ...] = tuple(dict.fromkeys(name for loss in LOSSES.values() for name in loss.outputs))
