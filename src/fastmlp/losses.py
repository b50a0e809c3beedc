"""The losses that a network can minimize, and which outputs and targets go with each.

No arithmetic here: the kernels and the reference compute them, by the rows of `_spec.losses`.

Every loss sums over a row's outputs and averages over rows. With h the output, y the target and e = h - y:

==================== ====================================================== =====================
name                 loss of one output; of one row, for the cross-entropies output and targets
==================== ====================================================== =====================
squared_error        e^2 / 2                                                identity, sigmoid; any
absolute_error       abs(e)                                                 identity; numbers
huber                e^2 / 2 if abs(e) <= delta, else                       identity; numbers
                     delta (abs(e) - delta / 2)
quantile             q (y - h) if y > h, else (1 - q) (h - y)               identity; numbers
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

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from fastmlp._spec import losses as rows
from fastmlp._spec.elsewhere import table
from fastmlp._spec.values import number


@dataclass(frozen=True)
class Loss:
    """One loss: its row, and its own settings. The fields of the row are attributes of the loss.

    Parameters
    ----------
    row : LossRow
        What the loss is and goes with: `name`, `code` (the number by which the kernels know it), `outputs` (the output
        activations; the first is the default), `targets` (the kinds of targets: ``"real"``, numbers to approximate;
        ``"labels"``, one class per row; ``"soft"``, probabilities of the classes; ``"multilabel"``, a 0/1 matrix),
        `coding`, `threshold`, `probabilities`, `minimum`, `open`.
    parameters : tuple of float, default ()
        Its own settings: huber's delta, the levels of quantile, which each have an output of their own, the smoothing
        of a cross-entropy.

    Examples
    --------
    >>> LOSSES["squared_error"].outputs
    ('identity', 'sigmoid')
    """

    row: rows.LossRow
    parameters: tuple[float, ...] = ()

    def __getattr__(self, name: str) -> Any:
        if name == "row":  # while a copy is being made
            raise AttributeError(name)
        return getattr(self.row, name)

    @property
    def outputs_per_target(self) -> int:
        """How many outputs approximate one column of targets."""
        return len(self.parameters) if self.row.output_per_parameter else 1

    @property
    def one_output_of_two(self) -> bool:
        """Whether two classes have a single output."""
        return self.row.coding in ("bits", "signs")

    def smoothed(self, share: float) -> "Loss":
        """Smooth the labels.

        Parameters
        ----------
        share : float
            The fraction of each target that all classes get evenly, in [0, 1); 0 changes nothing.

        Returns
        -------
        Loss
            The same loss with that setting.

        Raises
        ------
        TypeError, ValueError
            If `share` is not such a number, or the loss has no labels to smooth.

        Examples
        --------
        >>> LOSSES["cross_entropy"].smoothed(0.1).parameters
        (0.1,)
        """
        share = number(share, "label_smoothing", below=1.0)
        if share == 0.0:
            return self
        if not self.row.probabilities:
            accepted = " and ".join(repr(name) for name, row in rows.LOSSES.items() if row.probabilities)
            raise ValueError(
                f"label_smoothing: got {share} with loss {self.row.name!r}, which has no probabilities to smooth; it "
                f"goes with {accepted}; else leave it out"
            )
        return replace(self, parameters=(share,))


def huber(delta: float = 1.0) -> Loss:
    """Make the loss that is squared up to an error of `delta`, and grows like the absolute error beyond.

    Parameters
    ----------
    delta : float, default 1.0
        The error up to which the loss is squared, in units of the targets; above 0.

    Returns
    -------
    Loss
        For ``loss=``.

    Raises
    ------
    TypeError, ValueError
        If `delta` is not a number above 0.

    Examples
    --------
    >>> huber(0.5).parameters
    (0.5,)
    """
    return Loss(rows.LOSSES["huber"], (number(delta, "delta", above=0.0),))


def quantile(*levels: float) -> Loss:
    """Make the loss whose minimum is a quantile of the targets; for several levels, one output per level.

    Parameters
    ----------
    *levels : float
        The levels, such as 0.1, 0.5, 0.9, in (0, 1); at least one, rising.

    Returns
    -------
    Loss
        For ``loss=``. Predictions have one column per level; with several target columns, the levels of the first
        target come first.

    Raises
    ------
    TypeError, ValueError
        If there is no level, or one is not a number in (0, 1), or they do not rise.

    Examples
    --------
    >>> quantile(0.1, 0.9).outputs_per_target
    2
    """
    checked = tuple(number(level, "levels", above=0.0, below=1.0) for level in levels)
    if not checked or any(later <= earlier for earlier, later in zip(checked, checked[1:], strict=False)):
        raise ValueError(f"levels: got {list(checked)}; numbers in (0, 1) that rise are accepted, such as 0.1, 0.9")
    return Loss(rows.LOSSES["quantile"], checked)


# The functions that make losses with settings of their own.
WITH_SETTINGS: Mapping[str, Callable[..., Loss]] = MappingProxyType({"huber": huber, "quantile": quantile})
LOSSES: Mapping[str, Loss] = MappingProxyType({name: Loss(row, row.parameter) for name, row in rows.LOSSES.items()})
ELSEWHERE: Mapping[str, list[str]] = table((name, row.elsewhere) for name, row in rows.LOSSES.items())
OUTPUTS: tuple[str, ...] = tuple(dict.fromkeys(name for loss in LOSSES.values() for name in loss.outputs))
