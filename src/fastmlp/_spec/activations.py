"""One row per activation. The kernels, the reference, ONNX, diagnostics and the tests take their lists from these rows.

Formulas are Python expressions that the tests and the conversion to ONNX evaluate. `value` is h = f(z) in z. `slope`
is f'(z), in h if it follows from h, else in z. Besides arithmetic and comparisons they use abs, exp, log, expm1, log1p,
sqrt, tanh, sigmoid, erf, min, max, where, row_max and row_sum (over the units of a layer), and pi.

Standard library only: setup.py reads the rows before anything is built.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Activation:
    """One activation.

    Parameters
    ----------
    name : str
        The name that users write, and the stem of the functions' names in the kernels and in the reference.
    value, slope : str
        The formulas of h = f(z) and of f'(z).
    hidden : bool, default True
        Whether hidden layers may have it.
    kept : bool, default False
        Whether two z have the same h, so that the slope does not follow from h and is kept beside it.
    steepest : float or None, default None
        The steepest slope of an activation that is flat on both sides; None for all others.
    flat : bool, default False
        Whether the slope is exactly 0 somewhere, so that a unit can die.
    couples : bool, default False
        Whether the units of a layer depend on each other, so that there is no function of one number.
    elsewhere : str, default ""
        Its names in other libraries, which may differ in case and hyphens.
    code : int
        The number by which the kernels know it: its place among the rows.
    """

    name: str
    value: str
    slope: str
    hidden: bool = True
    kept: bool = False
    steepest: float | None = None
    flat: bool = False
    couples: bool = False
    elsewhere: str = ""
    code: int = -1


_GATE = "sigmoid(2 * sqrt(2 / pi) * (z + 0.044715 * z * z * z))"
_SCALE, _SCALED_ALPHA = "1.0507009873554805", "1.0507009873554805 * 1.6732632423543772"

_ROWS = (
    Activation("identity", "z", "1", elsewhere="linear purelin"),
    Activation("sigmoid", "1 / (1 + exp(-z))", "h * (1 - h)", steepest=0.25, elsewhere="logistic logsig expit"),
    Activation("tanh", "tanh(z)", "1 - h * h", steepest=1.0, elsewhere="tansig hyperbolic_tangent"),
    Activation("relu", "max(z, 0)", "where(h > 0, 1, 0)", flat=True, elsewhere="poslin rectifier rectified_linear"),
    # Its derivative is simple only together with cross-entropy.
    Activation("softmax", "exp(z - row_max(z)) / row_sum(exp(z - row_max(z)))", "", hidden=False, couples=True),
    Activation("leaky_relu", "max(z, 0.01 * z)", "where(h > 0, 1, 0.01)", elsewhere="lrelu"),
    Activation("elu", "where(z > 0, z, expm1(min(z, 0)))", "where(h > 0, 1, h + 1)"),
    Activation(
        "selu",
        f"where(z > 0, {_SCALE} * z, {_SCALED_ALPHA} * expm1(min(z, 0)))",
        f"where(h > 0, {_SCALE}, h + {_SCALED_ALPHA})",
    ),
    Activation("softplus", "max(z, 0) + log1p(exp(-abs(z)))", "-expm1(-h)"),
    # What positive numbers are predicted with; within a network it grows past all bounds.
    Activation("exponential", "exp(z)", "h", hidden=False, elsewhere="exp"),
    Activation(
        "silu", "z * sigmoid(z)", "sigmoid(z) + z * sigmoid(z) * (1 - sigmoid(z))", kept=True, elsewhere="swish"
    ),
    Activation(
        "gelu",
        "z * (1 + erf(z / sqrt(2))) / 2",
        "(1 + erf(z / sqrt(2))) / 2 + z * exp(-z * z / 2) / sqrt(2 * pi)",
        kept=True,
    ),
    Activation(
        "gelu_tanh",
        f"z * {_GATE}",
        f"{_GATE} + z * {_GATE} * (1 - {_GATE}) * 2 * sqrt(2 / pi) * (1 + 3 * 0.044715 * z * z)",
        kept=True,
        elsewhere="gelu_new gelu_approximate approximate_gelu",
    ),
    Activation(
        "hard_sigmoid",
        "min(max(z / 6 + 0.5, 0), 1)",
        "where((h > 0) & (h < 1), 1 / 6, 0)",
        steepest=1 / 6,
        flat=True,
    ),
    Activation(
        "hard_tanh", "min(max(z, -1), 1)", "where(abs(h) < 1, 1, 0)", steepest=1.0, flat=True, elsewhere="satlins"
    ),
)

ACTIVATIONS = {row.name: replace(row, code=code) for code, row in enumerate(_ROWS)}
STORED = len(_ROWS)  # the code that stands for a slope given in the place of h
