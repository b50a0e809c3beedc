"""A converter to ONNX: `register` lets skl2onnx know the estimators of `fastmlp.sklearn`.

The layers are those of `Network.to_onnx`, whose file needs neither scikit-learn nor skl2onnx.

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

from typing import Any

import numpy as np

try:
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

from fastmlp._files.onnx import Graph, Value, add_labels, label_values, outputs
from fastmlp.sklearn._estimators import MLPClassifier, MLPRegressor

_INPUTS = [BooleanTensorType, Int64TensorType, FloatTensorType, DoubleTensorType]


class _Graph(Graph):
    """skl2onnx's graph, whose floats all have the type of its input, double or float."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        (given,) = operator.inputs
        super().__init__(np.float64 if isinstance(given.type, DoubleTensorType) else np.float32, container.target_opset)
        self._scope, self._container = scope, container
        self.features = self.floats(Value(self, given.full_name))

    def unique(self, stem: str) -> str:
        return self._scope.get_unique_variable_name(stem)

    def add_node(self, operator: str, inputs: list[str], output: str, attributes: dict[str, Any]) -> None:
        name = self._scope.get_unique_operator_name(operator)
        self._container.add_node(operator, inputs, output, name=name, **attributes)

    def add_constant(self, name: str, kind: int, values: np.ndarray) -> None:
        self._container.add_initializer(name, kind, values.shape, values.ravel())


def _labels(scope: Any, model: MLPClassifier) -> np.ndarray:
    """Return the labels as ONNX has them, int64 or strings in UTF-8."""
    advice = "fit with y.astype(str), or convert with options={'nocl': True}, which gives their places in classes_"
    return label_values(get_label_classes(scope, model), advice)  # with nocl their numbers


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
    size, threshold = network.sizes[-1], network._model.task.loss.threshold
    # One class has two columns; whichever is the largest, the label is the only one.
    classes = None if model._multilabel else np.resize(_labels(scope, model), max(size, 2))
    decisive = add_labels(outputs(network, graph.features), size, threshold, classes, labels)
    graph.node("Identity", decisive, result=scores)


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    graph = _Graph(scope, operator, container)
    network = operator.raw_operator._fitted_network()
    graph.node("Identity", outputs(network, graph.features), result=operator.outputs[0].full_name)


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
