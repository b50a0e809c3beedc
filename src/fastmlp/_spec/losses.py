"""One row per loss. The kernels, the reference, the checks of targets and the tests take their lists from these rows.

A formula is a Python expression of the loss of one output, in the output h, the target y and the loss's own
`parameter`, with the functions of the activations' formulas and cosh. A loss sums over the outputs of a row.

Standard library only: setup.py reads the rows before anything is built.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class LossRow:
    """One loss.

    Parameters
    ----------
    name : str
        The name that users write, and the stem of the functions' names in the kernels and in the reference.
    formula : str
        The loss of one output, in h, y and parameter; `outputs` stands for their number.
    outputs : tuple of str
        The output activations that the loss goes with; the first is the default.
    targets : tuple of str
        The kinds of targets: ``"real"`` (numbers), ``"labels"`` (one class per row), ``"multilabel"`` (0 and 1, any
        number of ones per row), ``"soft"`` (probabilities of the classes).
    takes : {"h", "z", "row"}
        What the kernel's function is given: an output h and its target, so that the delta is its slope times f'(z);
        z and its target, if the activation belongs to the loss; or all outputs of the rows together.
    shown : str
        The loss of a row, without smoothing, as messages show it.
    elsewhere : str
        Its names in other libraries, which may differ in case, hyphens and a "loss" at the end.
    coding : {"numbers", "bits", "signs", "indices"}, default "numbers"
        How classes are written for the kernels: as one-hot numbers; 0 and 1, a single output for two classes; -1 and 1
        likewise; the class's number.
    threshold : float, default 0.5
        The output above which a class or a label is predicted.
    probabilities : bool, default False
        Whether outputs are probabilities, so that labels can be smoothed.
    minimum : float, default -inf
        The smallest target that the loss has a value for.
    open : bool, default False
        Whether `minimum` itself is excluded.
    parameter : tuple of float, default ()
        The default of the loss's own parameters.
    output_per_parameter : bool, default False
        Whether each of several parameters has an output of its own.
    code : int
        The number by which the kernels know it: its place among the rows.
    """

    name: str
    formula: str
    outputs: tuple[str, ...]
    targets: tuple[str, ...]
    takes: str
    shown: str
    elsewhere: str
    coding: str = "numbers"
    threshold: float = 0.5
    probabilities: bool = False
    minimum: float = float("-inf")
    open: bool = False
    parameter: tuple[float, ...] = ()
    output_per_parameter: bool = False
    code: int = -1


_NUMBERS, _ANY = ("real",), ("real", "labels", "multilabel")
_SMOOTHED = "(y + parameter * (0.5 - y))"

_ROWS = (
    LossRow(
        "squared_error",
        "(h - y)**2 / 2",
        ("identity", "sigmoid"),
        _ANY,
        "h",
        "½ Σ (y − h)²",
        "mse mean_squared_error half_mse sse sum_squared_error l2 least_squares quadratic",
    ),
    LossRow(
        "binary_cross_entropy",
        f"-{_SMOOTHED} * log(h) - (1 - {_SMOOTHED}) * log(1 - h)",
        ("sigmoid",),
        ("labels", "multilabel"),
        "z",
        "−Σ (y log h + (1 − y) log(1 − h))",
        "bce bce_with_logits sigmoid_binary_cross_entropy sigmoid_cross_entropy binary_log_loss logistic log_loss",
        coding="bits",
        probabilities=True,
    ),
    LossRow(
        "cross_entropy",
        "-((1 - parameter) * y + parameter / outputs) * log(h)",
        ("softmax",),
        ("labels", "soft"),
        "row",
        "−Σ y log h",
        "ce xent categorical_crossentropy sparse_categorical_crossentropy softmax_cross_entropy multinomial "
        "softmax_cross_entropy_with_logits softmax_cross_entropy_with_integer_labels nll negative_log_likelihood "
        "log_loss multi_logloss mlogloss kl_div kl_divergence",
        coding="indices",
        probabilities=True,
    ),
    LossRow(
        "absolute_error",
        "abs(h - y)",
        ("identity",),
        _NUMBERS,
        "h",
        "Σ |y − h|",
        "mae mean_absolute_error sae sum_absolute_error l1 least_absolute_deviation",
    ),
    LossRow(
        "huber",
        "where(abs(h - y) <= parameter, (h - y)**2 / 2, parameter * (abs(h - y) - parameter / 2))",
        ("identity",),
        _NUMBERS,
        "h",
        "Σ ½ (y − h)² up to an error of delta, delta (|y − h| − ½ delta) beyond",
        "smooth_l1",
        parameter=(1.0,),
    ),
    LossRow(
        "quantile",
        "where(y > h, parameter * (y - h), (1 - parameter) * (h - y))",
        ("identity",),
        _NUMBERS,
        "h",
        "Σ q (y − h) if y > h, (1 − q) (h − y) if not",
        "pinball quantile_regression",
        parameter=(0.5,),
        output_per_parameter=True,
    ),
    LossRow("log_cosh", "log(cosh(h - y))", ("identity",), _NUMBERS, "h", "Σ log cosh(y − h)", "log_cosh_error"),
    LossRow(
        "poisson",
        "where(y > 0, y * log(y / h), 0) - y + h",
        ("exponential",),
        _NUMBERS,
        "z",
        "Σ y log(y / h) − y + h",
        "poisson_nll half_poisson poisson_deviance mean_poisson_deviance poisson_log_likelihood",
        minimum=0.0,
    ),
    LossRow(
        "gamma",
        "y / h - log(y / h) - 1",
        ("exponential",),
        _NUMBERS,
        "z",
        "Σ y / h − log(y / h) − 1",
        "half_gamma gamma_deviance mean_gamma_deviance",
        minimum=0.0,
        open=True,
    ),
    LossRow(
        "hinge",
        "max(0, 1 - y * h)",
        ("identity",),
        ("labels", "multilabel"),
        "h",
        "Σ max(0, 1 − y h), y = −1 or 1",
        "svm max_margin",
        coding="signs",
        threshold=0.0,
    ),
)

LOSSES = {row.name: replace(row, code=code) for code, row in enumerate(_ROWS)}
