"""The losses that a network can minimise, and which outputs and targets go with each.

No arithmetic here: the kernels and the reference compute them. Imports `_scalars` only; `_validate`, the network and
the kernels' callers may import it.

Every loss sums over a row's outputs and averages over rows. With h the output, y the target and e = h - y:

==================== ====================================================== =====================
name                 loss of one output; of one row, for the cross-entropies output and targets
==================== ====================================================== =====================
squared_error        e^2 / 2                                                identity, sigmoid; any
absolute_error       abs(e)                                                 identity; numbers
huber                e^2 / 2 where abs(e) <= delta, else                    identity; numbers
                     delta (abs(e) - delta / 2)
quantile             q (y - h) where y > h, else (1 - q) (h - y)            identity; numbers
log_cosh             log(cosh(e))                                           identity; numbers
poisson              y log(y / h) - y + h, half the deviance                exponential; >= 0
gamma                y / h - log(y / h) - 1, half the deviance              exponential; > 0
hinge                max(0, 1 - y h), y = -1 or 1                           identity; labels, 0 and 1
binary_cross_entropy -[y log h + (1 - y) log(1 - h)]                        sigmoid; 0 and 1
cross_entropy        -log h_c, with c the row's class; of soft targets      softmax; labels, or rows
                     -sum_j y_j log h_j                                     of probabilities
==================== ====================================================== =====================

huber is P. J. Huber's (1964), quantile R. Koenker and G. Bassett's (1978), hinge C. Cortes and V. Vapnik's (1995): of
more than two classes each against the rest. Label smoothing by s (C. Szegedy et al., 2016) puts (1 - s) y + s / classes
in the place of y, with two classes for each output of binary_cross_entropy.

A float target that is NaN was not observed (``missing_targets="mask"``): it has no loss, and a row without any other
target counts as if it were not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from fastmlp._scalars import number


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
    parameters : tuple of float, default ()
        Its own settings: huber's delta, the levels of quantile, which each have an output of their own, the smoothing
        of a cross-entropy.

    Examples
    --------
    >>> LOSSES["squared_error"].outputs
    ('identity', 'sigmoid')
    """

    name: str
    code: int
    outputs: tuple[str, ...]
    targets: tuple[str, ...]
    parameters: tuple[float, ...] = ()

    @property
    def outputs_per_target(self) -> int:
        """How many outputs approximate one column of targets."""
        return len(self.parameters) if self.name == "quantile" else 1

    @property
    def one_output_of_two(self) -> bool:
        """Whether two classes share one output."""
        return self.name in ("binary_cross_entropy", "hinge")

    def smoothed(self, share: float) -> Loss:
        """Smooth its labels.

        Parameters
        ----------
        share : float
            What the classes share out evenly, in [0, 1); 0 changes nothing.

        Returns
        -------
        Loss
            The same with that setting.

        Raises
        ------
        TypeError, ValueError
            If `share` is no such number, or the loss has no labels to smooth.

        Examples
        --------
        >>> LOSSES["cross_entropy"].smoothed(0.1).parameters
        (0.1,)
        """
        share = number(share, "label_smoothing", below=1.0)
        if share == 0.0:
            return self
        if self.name not in ("cross_entropy", "binary_cross_entropy"):
            raise ValueError(
                f"label_smoothing: got {share} with loss {self.name!r}, which has no probabilities to smooth; it goes "
                "with 'cross_entropy' and 'binary_cross_entropy'; else leave it out"
            )
        return replace(self, parameters=(share,))


def huber(delta: float = 1.0) -> Loss:
    """Make the loss that is squared up to an error of `delta`, and grows like the absolute error beyond.

    Parameters
    ----------
    delta : float, default 1.0
        Where it goes over from one to the other, in units of the targets; above 0.

    Returns
    -------
    Loss
        For ``loss=``.

    Raises
    ------
    TypeError, ValueError
        If `delta` is no number above 0.

    Examples
    --------
    >>> huber(0.5).parameters
    (0.5,)
    """
    return Loss("huber", 4, ("identity",), ("real",), (number(delta, "delta", above=0.0),))


def quantile(*levels: float) -> Loss:
    """Make the loss whose minimum is a quantile of the targets; of several levels, one output for each.

    Parameters
    ----------
    *levels : float
        The levels, such as 0.1, 0.5, 0.9, in (0, 1); at least one, rising.

    Returns
    -------
    Loss
        For ``loss=``. Predictions have a column a level; with several target columns, the levels of the first target
        come first.

    Raises
    ------
    TypeError, ValueError
        If there is no level, or one is no number in (0, 1), or they do not rise.

    Examples
    --------
    >>> quantile(0.1, 0.9).outputs_per_target
    2
    """
    checked = tuple(number(level, "levels", above=0.0, below=1.0) for level in levels)
    if not checked or any(later <= earlier for earlier, later in zip(checked, checked[1:], strict=False)):
        raise ValueError(f"levels: got {list(checked)}; numbers in (0, 1) that rise are accepted, such as 0.1, 0.9")
    return Loss("quantile", 5, ("identity",), ("real",), checked)


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        loss.name: loss
        for loss in (
            Loss("squared_error", 0, ("identity", "sigmoid"), ("real", "labels", "multilabel")),
            Loss("binary_cross_entropy", 1, ("sigmoid",), ("labels", "multilabel")),
            Loss("cross_entropy", 2, ("softmax",), ("labels",)),
            Loss("absolute_error", 3, ("identity",), ("real",)),
            huber(),
            quantile(0.5),
            Loss("log_cosh", 6, ("identity",), ("real",)),
            Loss("poisson", 7, ("exponential",), ("real",)),
            Loss("gamma", 8, ("exponential",), ("real",)),
            Loss("hinge", 9, ("identity",), ("labels", "multilabel")),
        )
    }
)
OUTPUTS: tuple[str, ...] = tuple(dict.fromkeys(name for loss in LOSSES.values() for name in loss.outputs))
