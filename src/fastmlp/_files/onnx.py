"""ONNX: the layers of a network as the nodes of a graph, and model files of one network.

A layer is a Gemm node, h W + b, and its activation, written with operators that ONNX Runtime has in double too: Elu,
Selu, LeakyRelu, Softplus and HardSigmoid, which would be one node, it has in float only. The nodes are those of the
formula of the activation's row.
"""

from abc import ABC, abstractmethod
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

try:
    from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
except ImportError as error:
    raise ImportError('to_onnx needs the package onnx: pip install "fastmlp[onnx]"') from error

from fastmlp._checks.task import Task
from fastmlp._spec.activations import ACTIVATIONS
from fastmlp._version import __version__

# Of files; all that is used is in it, and every ONNX Runtime since 1.10 reads both.
_OPSET, _IR_VERSION = 15, 8
_MAX_BYTES = 2**31 - 2**20  # of parameters; a file of protobuf holds less than 2 GiB


class Value(NDArrayOperatorsMixin):
    """A result of the graph; arithmetic with it, comparisons and NumPy's functions of it add nodes."""

    def __init__(self, graph: "Graph", name: str) -> None:
        self.graph, self.name = graph, name

    def __array_ufunc__(self, function: np.ufunc, _method: str, *inputs: Any) -> "Value":
        return self.graph.node(_OPERATORS[function], *inputs)


class Graph(ABC):
    """A graph to which nodes are added, and whose floats are all of one dtype; subclasses say where nodes go."""

    def __init__(self, dtype: Any, opset: int) -> None:
        self._dtype, self.opset = np.dtype(dtype), opset

    @abstractmethod
    def unique(self, stem: str) -> str:
        """Return a name that nothing else in the graph has."""

    @abstractmethod
    def add_node(self, operator: str, inputs: list[str], output: str, attributes: dict[str, Any]) -> None:
        """Add a node with one output."""

    @abstractmethod
    def add_constant(self, name: str, kind: int, values: np.ndarray) -> None:
        """Add a constant of one of ONNX's types."""

    def node(self, operator: str, *inputs: Any, result: str | None = None, **attributes: Any) -> Value:
        """Add a node. Its inputs are values, or arrays and numbers, which become constants."""
        result = result or self.unique(operator.lower())
        names = [given.name if isinstance(given, Value) else self._constant(given) for given in inputs]
        self.add_node(operator, names, result, attributes)
        return Value(self, result)

    def floats(self, value: Value) -> Value:
        """Cast a value to the type that the graph computes in."""
        return self.node("Cast", value, to=helper.np_dtype_to_tensor_dtype(self._dtype))

    def _constant(self, given: Any) -> str:
        is_kept = isinstance(given, np.ndarray) and given.dtype.kind != "f"  # whole numbers and strings
        values = np.asarray(given, None if is_kept else self._dtype)
        name = self.unique("constant")
        self.add_constant(name, helper.np_dtype_to_tensor_dtype(values.dtype), values)
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


def _apply(operator: str, x: Value, *others: Any) -> Value:
    return x.graph.node(operator, x, *others)


def _expm1(x: Value) -> Value:
    return np.exp(x) - 1


def _log1p(x: Value) -> Value:
    return np.log(x + 1)


def _erf(x: Value) -> Value:
    """Compute erf, which ONNX Runtime has in float only."""
    return x.graph.floats(x.graph.node("Erf", x.graph.node("Cast", x, to=TensorProto.FLOAT)))


def _over_units(operator: str, axes_are_input: int, x: Value) -> Value:
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


def outputs(network: Any, h: Value) -> Value:
    """Compute the output layer's activations of a network or a model: h = f(h_below W + b), layer by layer."""
    parts = network.weights, network.activations, network.biases  # of which the last may be empty
    for weights, activation, *biases in zip(*filter(len, parts), strict=True):
        z = h.graph.node("Gemm", h, weights, *biases)
        h = eval(ACTIVATIONS[activation].value, _FUNCTIONS, {"z": z})  # a formula of our own
    return h


def label_values(classes: np.ndarray, advice: str) -> np.ndarray:
    """Return labels as ONNX has them, int64 or strings in UTF-8."""
    if classes.dtype.kind in "biuf" and np.array_equal(classes.astype(np.int64), classes):
        return classes.astype(np.int64)
    if not all(isinstance(label, str) for label in classes):
        raise ValueError(
            f"classes_: got labels of dtype {classes.dtype}; ONNX has strings and whole numbers below 2**63: {advice}"
        )
    return np.array([label.encode() for label in classes], object)


def add_labels(h: Value, size: int, threshold: float, labels: np.ndarray | None, result: str) -> Value:
    """Add what `size` outputs predict, and return what decides: a column per class, or per label of several.

    `labels` are those of the classes; None: each output above the threshold means yes. Two classes that share an output
    h have 1 - h and h, with hinge -h and h.
    """
    if labels is None:
        h.graph.node("Cast", h > threshold, to=TensorProto.INT64, result=result)
        return h
    if size < len(labels):
        h = h.graph.node("Concat", 2 * threshold - h, h, axis=1)
    h.graph.node("Gather", labels, h.graph.node("ArgMax", h, axis=1, keepdims=0), result=result)
    return h


class _FileGraph(Graph):
    """A graph of its own, with one input, X."""

    def __init__(self, model: Any) -> None:
        super().__init__(model.dtype, _OPSET)
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.results: list[ValueInfoProto] = []
        self.type = helper.np_dtype_to_tensor_dtype(model.dtype)
        self.input = helper.make_tensor_value_info("X", self.type, ["rows", model.sizes[0]])

    def unique(self, stem: str) -> str:
        return f"{stem}_{len(self.nodes) + len(self.constants)}"

    def add_node(self, operator: str, inputs: list[str], output: str, attributes: dict[str, Any]) -> None:
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))

    def add_constant(self, name: str, kind: int, values: np.ndarray) -> None:
        self.constants.append(numpy_helper.from_array(values, name))

    def add_result(self, name: str, kind: int, *columns: int) -> str:
        self.results.append(helper.make_tensor_value_info(name, kind, ["rows", *columns]))
        return name


def model_bytes(model: Any, metadata: dict[str, str]) -> bytes:
    """Return a model as an ONNX file: its outputs or probabilities and, for classes and labels, what is predicted."""
    if model.params.nbytes > _MAX_BYTES:
        raise ValueError(
            f"to_onnx: got a network of {model.params.nbytes} bytes; an ONNX file holds up to {_MAX_BYTES}; save() "
            "writes larger ones"
        )
    graph, known = _FileGraph(model), model.task
    h = outputs(model, Value(graph, "X"))
    columns, is_probability = known.outputs, known.loss.probabilities
    if is_probability and known.classes is not None:
        columns = len(known.classes)
    numbers = graph.add_result("probabilities" if is_probability else "outputs", graph.type, columns)
    if not known.is_regression:
        h = _with_label(graph, known, h)
    graph.node("Identity", h, result=numbers)
    written = helper.make_model(
        helper.make_graph(graph.nodes, "fastmlp", [graph.input], graph.results, graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="fastmlp",
        producer_version=__version__,
    )
    helper.set_model_props(written, metadata)
    return written.SerializeToString()


def _with_label(graph: _FileGraph, known: Task, h: Value) -> Value:
    """Add the label; return the probabilities, or the outputs as they are if they are no probabilities."""
    if known.is_multilabel:
        labels, name = None, graph.add_result("label", TensorProto.INT64, known.outputs)
    else:
        labels = label_values(known.classes, "train with y.astype(str)")
        name = graph.add_result("label", TensorProto.STRING if labels.dtype == object else TensorProto.INT64)
    scores = add_labels(h, known.outputs, known.loss.threshold, labels, name)
    if not known.loss.probabilities:
        return h
    return np.maximum(scores, 1.0) if known.single_class else scores  # which is certain
