"""A converter to ONNX: `register` lets skl2onnx know the estimators of `fastmlp.sklearn`.

A layer is a Gemm node, h W + b, and its activation, written with operators that ONNX Runtime has in double too: Elu,
Selu, LeakyRelu, Softplus and HardSigmoid, which would be one node, it has in float only. Imports the estimators, and
the reference for its constants; nothing of fastmlp imports it.

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
from functools import partial
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

from fastmlp._reference import _GELU_SLOPE, _LEAK, _SELU_ALPHA, _SELU_SCALE
from fastmlp.network import Network
from fastmlp.sklearn._base import BaseMLP
from fastmlp.sklearn._estimators import MLPClassifier, MLPRegressor

_INPUTS = [BooleanTensorType, Int64TensorType, FloatTensorType, DoubleTensorType]
_CLASSIFIER_OPTIONS = {
    "zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [False, True],
}  # fmt: skip


class _Nodes:
    """Adds nodes to a graph: called with an operator and its inputs, it gives the name of the result.

    Inputs are names of results, or numbers, which become constants; floats take the type of the graph's input.
    """

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self._scope, self._container = scope, container
        (self._given,) = operator.inputs
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


def _exp_minus_1(node: _Nodes, z: str) -> str:
    """exp(z) - 1 where z < 0, else 0."""
    return node("Sub", node("Exp", node("Min", z, 0.0)), 1.0)


def _selu(node: _Nodes, z: str) -> str:
    above, below = node("Relu", z), _exp_minus_1(node, z)
    return node("Add", node("Mul", above, _SELU_SCALE), node("Mul", below, _SELU_SCALE * _SELU_ALPHA))


def _softplus(node: _Nodes, z: str) -> str:
    """log(1 + exp(z)) = max(z, 0) + log(1 + exp(-abs(z))), so that nothing overflows."""
    small = node("Exp", node("Neg", node("Abs", z)))
    return node("Add", node("Relu", z), node("Log", node("Add", small, 1.0)))


def _gelu(node: _Nodes, z: str) -> str:
    """Multiply z with Phi(z) = (1 + erf(z / sqrt(2))) / 2; ONNX Runtime has erf in float only."""
    erf = node("Erf", node("Cast", node("Mul", z, math.sqrt(0.5)), to=TensorProto.FLOAT))
    return node("Mul", node("Mul", z, node("Add", node.floats(erf), 1.0)), 0.5)


def _gelu_tanh(node: _Nodes, z: str) -> str:
    slope = node("Add", node("Mul", node("Mul", z, z), _GELU_SLOPE * 0.044715), _GELU_SLOPE)
    return node("Mul", z, node("Sigmoid", node("Mul", z, slope)))


def _between(node: _Nodes, z: str, least: float, most: float) -> str:
    return node("Min", node("Max", z, least), most)


# The formulas of fastmlp.activations
_ACTIVATIONS: Mapping[str, Callable[[_Nodes, str], str]] = MappingProxyType(
    {
        "identity": lambda node, z: z,
        "sigmoid": lambda node, z: node("Sigmoid", z),
        "tanh": lambda node, z: node("Tanh", z),
        "relu": lambda node, z: node("Relu", z),
        "softmax": lambda node, z: node("Softmax", z, axis=1),
        "leaky_relu": lambda node, z: node("Max", z, node("Mul", z, _LEAK)),
        "elu": lambda node, z: node("Add", node("Relu", z), _exp_minus_1(node, z)),
        "selu": _selu,
        "softplus": _softplus,
        "exponential": lambda node, z: node("Exp", z),
        "silu": lambda node, z: node("Mul", z, node("Sigmoid", z)),
        "gelu": _gelu,
        "gelu_tanh": _gelu_tanh,
        "hard_sigmoid": lambda node, z: _between(node, node("Add", node("Mul", z, 1 / 6), 0.5), 0.0, 1.0),
        "hard_tanh": partial(_between, least=-1.0, most=1.0),
    }
)


def _network(model: BaseMLP) -> Network:
    """Give a fitted estimator's network, with the coefficients that it has now."""
    check_is_fitted(model)
    return model._current_network()


def _outputs(node: _Nodes, network: Network) -> str:
    """Compute the output layer's activations: h = f(h_below W + b), layer by layer."""
    h = node.features()
    for weights, biases, activation in zip(network.weights, network.biases, network.activations, strict=True):
        h = _ACTIVATIONS[activation](node, node("Gemm", h, weights, biases))
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
    bound = 0.0 if network.loss_name == "hinge" else 0.5  # above it, an output says yes
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
