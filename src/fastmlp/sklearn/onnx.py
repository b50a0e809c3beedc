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

from functools import partial
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

try:
    from onnx import TensorProto
    from onnx.helper import np_dtype_to_tensor_dtype
    from skl2onnx import update_registered_converter
    from skl2onnx._parse import _parse_sklearn_classifier
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
from fastmlp.sklearn._estimators import MLPClassifier, MLPRegressor

_INPUTS = [BooleanTensorType, Int64TensorType, FloatTensorType, DoubleTensorType]


class _Value(NDArrayOperatorsMixin):
    """A result of the graph; arithmetic with it, comparisons and NumPy's functions of it add nodes."""

    def __init__(self, graph: "_Graph", name: str) -> None:
        self.graph, self.name = graph, name

    def __array_ufunc__(self, function: np.ufunc, _method: str, *inputs: Any) -> "_Value":
        return self.graph.node(_OPERATORS[function], *inputs)


class _Graph:
    """Adds nodes to skl2onnx's graph, whose floats all have the type of its input, double or float."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self._scope, self._container = scope, container
        (given,) = operator.inputs
        self._dtype = np.dtype(np.float64 if isinstance(given.type, DoubleTensorType) else np.float32)
        self.opset = container.target_opset
        self.features = self.floats(_Value(self, given.full_name))

    def node(self, operator: str, *inputs: Any, result: str | None = None, **attributes: Any) -> _Value:
        """Add a node. Its inputs are values, or arrays and numbers, which become constants."""
        result = result or self._scope.get_unique_variable_name(operator.lower())
        names = [given.name if isinstance(given, _Value) else self._constant(given) for given in inputs]
        self._container.add_node(
            operator, names, result, name=self._scope.get_unique_operator_name(operator), **attributes
        )
        return _Value(self, result)

    def floats(self, value: _Value) -> _Value:
        """Cast a value to the type that the graph computes in."""
        return self.node("Cast", value, to=np_dtype_to_tensor_dtype(self._dtype))

    def _constant(self, given: Any) -> str:
        is_kept = isinstance(given, np.ndarray) and given.dtype.kind != "f"  # whole numbers and strings
        values = np.asarray(given, None if is_kept else self._dtype)
        name = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(name, np_dtype_to_tensor_dtype(values.dtype), values.shape, values.ravel())
        return name


# Without GreaterOrEqual and LessOrEqual, which are younger than the oldest opset that is tested.
_OPERATORS = {
    np.add: "Add",
    np.subtract: "Sub",
    np.multiply: "Mul",
    np.divide: "Div",
    np.power: "Pow",
    np.negative: "Neg",
    np.absolute: "Abs",
    np.less: "Less",
    np.greater: "Greater",
    np.bitwise_and: "And",
    np.bitwise_or: "Or",
    np.sqrt: "Sqrt",
    np.exp: "Exp",
    np.log: "Log",
    np.tanh: "Tanh",
    np.maximum: "Max",
    np.minimum: "Min",
}


def _apply(operator: str, x: _Value, *others: Any) -> _Value:
    return x.graph.node(operator, x, *others)


def _expm1(x: _Value) -> _Value:
    return np.exp(x) - 1


def _log1p(x: _Value) -> _Value:
    return np.log(x + 1)


def _erf(x: _Value) -> _Value:
    """Compute erf, which ONNX Runtime has in float only."""
    return x.graph.floats(x.graph.node("Erf", x.graph.node("Cast", x, to=TensorProto.FLOAT)))


def _over_units(operator: str, axes_are_input: int, x: _Value) -> _Value:
    """Reduce over the units of a layer; from some version of the operator on, axes are an input."""
    if x.graph.opset >= axes_are_input:
        return x.graph.node(operator, x, np.array([1]), keepdims=1)
    return x.graph.node(operator, x, axes=[1], keepdims=1)


# What the formulas of `_spec.activations` are written with.
_FUNCTIONS: dict[str, Any] = {
    "__builtins__": {},
    "abs": abs,
    "pi": np.pi,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": partial(_apply, "Sigmoid"),
    "expm1": _expm1,
    "log1p": _log1p,
    "erf": _erf,
    "max": np.maximum,
    "min": np.minimum,
    "where": partial(_apply, "Where"),
    "row_max": partial(_over_units, "ReduceMax", 18),
    "row_sum": partial(_over_units, "ReduceSum", 13),
}


def _outputs(graph: _Graph, network: Network) -> _Value:
    """Compute the output layer's activations: h = f(h_below W + b), layer by layer."""
    h = graph.features
    for weights, biases, activation in zip(network.weights, network.biases, network.activations, strict=True):
        z = graph.node("Gemm", h, weights, biases)
        h = eval(ACTIVATIONS[activation].value, _FUNCTIONS, {"z": z})  # a formula of our own
    return h


def _labels(scope: Any, model: MLPClassifier) -> np.ndarray:
    """Return the labels as ONNX has them, int64 or strings in UTF-8."""
    classes = get_label_classes(scope, model)  # with nocl their numbers
    if classes.dtype.kind in "biuf" and np.array_equal(classes.astype(np.int64), classes):
        return classes.astype(np.int64)
    if not all(isinstance(label, str) for label in classes):
        raise ValueError(
            f"classes_: got labels of dtype {classes.dtype}; ONNX has strings and whole numbers below 2**63: fit with "
            "y.astype(str), or convert with options={'nocl': True}, which gives their places in classes_"
        )
    return np.array([label.encode() for label in classes], object)


def _parse_classifier(scope: Any, model: MLPClassifier, inputs: list, custom_parsers: Any = None) -> Any:
    """Refuse labels that ONNX has no form for before skl2onnx writes them into a zipmap."""
    model._fitted_network()  # raises if there is none
    model.classes_ = np.asarray(model.classes_)  # if set by hand, they may be a list, which skl2onnx cannot read
    if not model._multilabel:
        _labels(scope, model)
    return _parse_sklearn_classifier(scope, model, inputs, custom_parsers)


# ---- shapes: the types of what comes out, before there are nodes ---------------------------------------------------


def _classifier_shapes(operator: Any) -> None:
    check_input_and_output_types(operator, good_input_types=_INPUTS)
    model, (labels, scores) = operator.raw_operator, operator.outputs
    rows, outputs = operator.inputs[0].get_first_dimension(), model._fitted_network().sizes[-1]
    if model._multilabel:
        labels.set_type(Int64TensorType([rows, outputs]))
        scores.type.shape = [rows, outputs]
        return
    if len(model.classes_) == 1 and operator.scope_inst.get_options(model, {"zipmap": True})["zipmap"]:
        raise ValueError(
            "zipmap: got a classifier of one class, whose probabilities have two columns, like those of predict_proba; "
            "without a zipmap it is accepted: options={'zipmap': False}"
        )
    kind = Int64TensorType if _labels(operator.scope_inst, model).dtype == np.int64 else StringTensorType
    labels.set_type(kind([rows]))
    scores.type.shape = [rows, max(outputs, 2)]


def _regressor_shapes(operator: Any) -> None:
    check_input_and_output_types(operator, good_input_types=_INPUTS)
    shape = [operator.inputs[0].get_first_dimension(), operator.raw_operator._fitted_network().sizes[-1]]
    operator.outputs[0].type.shape = shape


# ---- converters ----------------------------------------------------------------------------------------------------


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    graph, model = _Graph(scope, operator, container), operator.raw_operator
    labels, scores = (output.full_name for output in operator.outputs)
    network = model._fitted_network()
    outputs = _outputs(graph, network)
    bound = network._model.task.loss.threshold  # above it, an output means yes
    if model._multilabel:
        graph.node("Cast", outputs > bound, to=TensorProto.INT64, result=labels)
    else:
        if network.sizes[-1] == 1:
            outputs = graph.node("Concat", 2 * bound - outputs, outputs, axis=1)
        # One class has two columns; whichever is the largest, the label is the only one.
        classes = np.resize(_labels(scope, model), max(network.sizes[-1], 2))
        graph.node("Gather", classes, graph.node("ArgMax", outputs, axis=1, keepdims=0), result=labels)
    graph.node("Identity", outputs, result=scores)


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    graph = _Graph(scope, operator, container)
    network = operator.raw_operator._fitted_network()
    graph.node("Identity", _outputs(graph, network), result=operator.outputs[0].full_name)


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
        MLPClassifier,
        "FastmlpMLPClassifier",
        _classifier_shapes,
        _convert_classifier,
        parser=_parse_classifier,
        options={"zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [False, True]},
    )
    update_registered_converter(MLPRegressor, "FastmlpMLPRegressor", _regressor_shapes, _convert_regressor)
