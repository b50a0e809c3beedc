"""A converter to ONNX: `register` lets skl2onnx know the estimators of `fastmlp.sklearn`.

A layer is a Gemm node, h W + b, and its activation, written with operators that ONNX Runtime has in double too: Elu,
Selu, LeakyRelu, Softplus and HardSigmoid, which would be one node, it has in float only. The nodes are those of the
formula of the activation's row.

========================= ======================================================= ===============================
estimator                 first output                                            second output
========================= ======================================================= ===============================
MLPClassifier             label, shape (rows,); of several labels a row 0 and 1,  `predict_proba`; with a loss that
                          shape (rows, labels)                                    has no probabilities, scores
MLPRegressor              numbers, shape (rows, outputs)
========================= ======================================================= ===============================

Scores are the network's outputs; of two classes, which share an output h, 1 - h and h, with hinge -h and h. The label
is that of the largest score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

try:
    from onnx import TensorProto
    from onnx.helper import np_dtype_to_tensor_dtype
    from skl2onnx import update_registered_converter
    from skl2onnx.common.data_types import (
        BooleanTensorType,
        DoubleTensorType,
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
    )
    from skl2onnx.common.utils import check_input_and_output_types
    from skl2onnx.common.utils_classifier import get_label_classes
except ImportError as error:
    raise ImportError('fastmlp.sklearn.onnx needs skl2onnx: pip install "fastmlp[onnx]"') from error

from fastmlp.activations import ACTIVATIONS
from fastmlp.network import Network
from fastmlp.sklearn._base import BaseMLP
from fastmlp.sklearn._estimators import MLPClassifier, MLPRegressor

_INPUTS = [BooleanTensorType, Int64TensorType, FloatTensorType, DoubleTensorType]
_CLASSIFIER_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
}


class _Nodes:
    """Adds nodes to a graph: called with an operator and its inputs, it gives the name of the result.

    Inputs are names of results, or numbers, which become constants; floats take the type of the graph's input.
    """

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self._scope, self._container = scope, container
        (self._given,) = operator.inputs
        self.opset = container.target_opset
        self._dtype = np.dtype(np.float64 if isinstance(self._given.type, DoubleTensorType) else np.float32)

    def __call__(self, operator: str, *inputs: Any, result: str | None = None, **attributes: Any) -> str:
        result = result or self._scope.get_unique_variable_name(operator.lower())
        names = [given if isinstance(given, str) else self._constant(given) for given in inputs]
        name = self._scope.get_unique_operator_name(operator)
        self._container.add_node(operator, names, result, name=name, **attributes)
        return result

    def features(self) -> str:
        """Give the graph's input as floats."""
        return self.floats(self._given.full_name)

    def floats(self, values: str) -> str:
        """Give values the type that the graph computes in."""
        return self("Cast", values, to=np_dtype_to_tensor_dtype(self._dtype))

    def _constant(self, values: Any) -> str:
        values = np.asarray(values)
        if values.dtype.kind == "f":
            values = values.astype(self._dtype)
        name = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(name, np_dtype_to_tensor_dtype(values.dtype), values.shape, values.ravel())
        return name


class _Value:
    """A result of the graph; arithmetic with it, and comparisons, add nodes."""

    def __init__(self, node: _Nodes, name: str) -> None:
        self.node, self.name = node, name

    def apply(self, operator: str, *others: Any, **attributes: Any) -> _Value:
        """Add a node with this value as its first input."""
        return _Value(self.node, self.node(operator, self.name, *map(_operand, others), **attributes))


def _operand(value: Any) -> Any:
    """Return a value as nodes take it: the name of a result, or a number."""
    return value.name if isinstance(value, _Value) else float(value)


def _method(operator: str, reflected: bool = False) -> Callable[[_Value, Any], _Value]:
    """Return the method of a binary operator."""

    def method(self: _Value, other: Any) -> _Value:
        first, second = (other, self) if reflected else (self, other)
        return _Value(self.node, self.node(operator, _operand(first), _operand(second)))

    return method


for _symbol, _operator in {"add": "Add", "sub": "Sub", "mul": "Mul", "truediv": "Div", "pow": "Pow"}.items():
    setattr(_Value, f"__{_symbol}__", _method(_operator))
    setattr(_Value, f"__r{_symbol}__", _method(_operator, reflected=True))
_Value.__neg__ = lambda self: self.apply("Neg")
_Value.__abs__ = lambda self: self.apply("Abs")
_Value.__lt__, _Value.__gt__ = _method("Less"), _method("Greater")
_Value.__and__, _Value.__or__ = _method("And"), _method("Or")
# Of two nodes: GreaterOrEqual is younger than the oldest opset that is tested.
_Value.__le__ = lambda self, other: (self < other) | self.apply("Equal", other)
_Value.__ge__ = lambda self, other: (self > other) | self.apply("Equal", other)


def _number_or(operator: str, function: Callable[[float], float]) -> Callable[[Any], Any]:
    """Return a function of formulas: a node for a value, the number for a number."""
    return lambda x: x.apply(operator) if isinstance(x, _Value) else function(x)


def _of_two(operator: str, function: Callable[[float, float], float]) -> Callable[[Any, Any], Any]:
    """Return a symmetric function of formulas: a node if either is a value, the number for two numbers."""

    def apply(x: Any, y: Any) -> Any:
        first, second = (x, y) if isinstance(x, _Value) else (y, x)
        return first.apply(operator, second) if isinstance(first, _Value) else function(x, y)

    return apply


def _erf(x: Any) -> Any:
    """Compute erf, which ONNX Runtime has in float only."""
    if not isinstance(x, _Value):
        return math.erf(x)
    single = x.node("Erf", x.node("Cast", x.name, to=TensorProto.FLOAT))
    return _Value(x.node, x.node.floats(single))


def _where(condition: _Value, value: Any, other: Any) -> _Value:
    node = condition.node
    return _Value(node, node("Where", condition.name, _operand(value), _operand(other)))


def _over_units(operator: str, axes_are_input: int) -> Callable[[_Value], _Value]:
    """Return a reduction over the units of a layer; from some version of its operator on, axes are an input."""

    def reduce(x: _Value) -> _Value:
        if x.node.opset >= axes_are_input:
            return _Value(x.node, x.node(operator, x.name, np.array([1]), keepdims=1))
        return x.apply(operator, axes=[1], keepdims=1)

    return reduce


# What the formulas of `_spec.activations` are written with.
_FUNCTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "__builtins__": {},
        "abs": abs,
        "pi": math.pi,
        "sqrt": _number_or("Sqrt", math.sqrt),
        "exp": _number_or("Exp", math.exp),
        "log": _number_or("Log", math.log),
        "tanh": _number_or("Tanh", math.tanh),
        "sigmoid": _number_or("Sigmoid", lambda x: 1 / (1 + math.exp(-x))),
        "expm1": lambda x: x.apply("Exp") - 1,
        "log1p": lambda x: (x + 1).apply("Log"),
        "erf": _erf,
        "max": _of_two("Max", max),
        "min": _of_two("Min", min),
        "where": _where,
        "row_max": _over_units("ReduceMax", 18),
        "row_sum": _over_units("ReduceSum", 13),
    }
)


def _activate(node: _Nodes, activation: str, z: str) -> str:
    """Add the nodes of an activation's formula; return the name of its result."""
    return eval(ACTIVATIONS[activation].value, dict(_FUNCTIONS), {"z": _Value(node, z)}).name  # a formula of our own


def _network(model: BaseMLP) -> Network:
    """Give a fitted estimator's network, with the coefficients that it has now."""
    check_is_fitted(model)
    return model._current_network()


def _outputs(node: _Nodes, network: Network) -> str:
    """Compute the output layer's activations: h = f(h_below W + b), layer by layer."""
    h = node.features()
    for weights, biases, activation in zip(network.weights, network.biases, network.activations, strict=True):
        h = _activate(node, activation, node("Gemm", h, weights, biases))
    return h


def _labels(operator: Any) -> np.ndarray:
    """Give the labels as ONNX has them: int64, or strings in UTF-8. Floats are whole, or scikit-learn refuses them."""
    classes = get_label_classes(operator.scope_inst, operator.raw_operator)  # with nocl their numbers
    if classes.dtype.kind in "biuf":
        return classes.astype(np.int64)
    return np.array([label.encode() for label in classes], object)


# ---- shapes: the types of what comes out, before there are nodes ---------------------------------------------------


def _classifier_shapes(operator: Any) -> None:
    check_input_and_output_types(operator, good_input_types=_INPUTS)
    model, (labels, scores) = operator.raw_operator, operator.outputs
    rows, outputs = operator.inputs[0].get_first_dimension(), _network(model).sizes[-1]
    if model._multilabel:
        labels.set_type(Int64TensorType([rows, outputs]))
        scores.type.shape = [rows, outputs]
        return
    if len(model.classes_) == 1 and operator.scope_inst.get_options(model, {"zipmap": True})["zipmap"]:
        raise ValueError(
            "zipmap: got a classifier of one class, whose probabilities have two columns, like those of predict_proba; "
            "without a zipmap it is accepted: options={'zipmap': False}"
        )
    kind = Int64TensorType if _labels(operator).dtype == np.int64 else StringTensorType
    labels.set_type(kind([rows]))
    scores.type.shape = [rows, max(outputs, 2)]


def _regressor_shapes(operator: Any) -> None:
    check_input_and_output_types(operator, good_input_types=_INPUTS)
    outputs = _network(operator.raw_operator).sizes[-1]
    operator.outputs[0].type.shape = [operator.inputs[0].get_first_dimension(), outputs]


# ---- converters ----------------------------------------------------------------------------------------------------


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    node, model = _Nodes(scope, operator, container), operator.raw_operator
    labels, scores = (output.full_name for output in operator.outputs)
    network = _network(model)
    outputs = _outputs(node, network)
    bound = network._model.task.loss.threshold  # above it, an output means yes
    if model._multilabel:
        node("Cast", node("Greater", outputs, bound), to=TensorProto.INT64, result=labels)
    else:
        if network.sizes[-1] == 1:
            outputs = node("Concat", node("Sub", 2 * bound, outputs), outputs, axis=1)
        # One class has two columns; whichever is the largest, the label is the only one.
        classes = np.resize(_labels(operator), max(network.sizes[-1], 2))
        node("Gather", classes, node("ArgMax", outputs, axis=1, keepdims=0), result=labels)
    node("Identity", outputs, result=scores)


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    node = _Nodes(scope, operator, container)
    node("Identity", _outputs(node, _network(operator.raw_operator)), result=operator.outputs[0].full_name)


def register() -> None:
    """Let skl2onnx convert `MLPClassifier` and `MLPRegressor`, alone and within pipelines.

    Once is enough; again does no harm. The graph computes in the type of its input, double where that is double, else
    float. A classifier takes skl2onnx's options zipmap, nocl and output_class_labels.

    Notes
    -----
    A classifier of one class cannot have a zipmap, for its probabilities have two columns.

    Examples
    --------
    >>> import numpy as np
    >>> import onnxruntime
    >>> import skl2onnx
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(solver="lbfgs", random_state=0).fit(X, y)
    >>> register()
    >>> X = X.astype(np.float32)
    >>> graph = skl2onnx.to_onnx(model, X[:1], options={"zipmap": False})
    >>> session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    >>> labels, probabilities = session.run(None, {"X": X})
    >>> bool((labels == model.predict(X)).all() and np.allclose(probabilities, model.predict_proba(X), atol=1e-5))
    True
    """
    update_registered_converter(
        MLPClassifier, "FastmlpMLPClassifier", _classifier_shapes, _convert_classifier, options=_CLASSIFIER_OPTIONS
    )
    update_registered_converter(MLPRegressor, "FastmlpMLPRegressor", _regressor_shapes, _convert_regressor)
