"""The two estimators: their targets, and what they predict."""

import sys
from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import check_consistent_length, validate_data

from fastmlp._checks.samples import balanced, named_weights
from fastmlp._checks.targets import refuse_not_binary
from fastmlp._spec.elsewhere import keywords
from fastmlp.losses import ELSEWHERE, LOSSES, Loss
from fastmlp.metrics import Metric, metric, pinball
from fastmlp.network import Network
from fastmlp.sklearn._base import BaseMLP, one_at_a_time
from fastmlp.sklearn._translation import ACCEPTED, Rows, dense_or_windows, naming, target_array

_OF_NUMBERS = [name for name, loss in LOSSES.items() if "real" in loss.targets]
_OF_LABELS = [name for name in LOSSES if name not in _OF_NUMBERS]
ROWS_TO_VALIDATE_ON = {"fit(X, y, X_val=…, y_val=…)": "validation_data val_data eval_set X_val y_val"}
_PROBABILITIES = [name for name, loss in LOSSES.items() if loss.probabilities]


def _of_one(value: Any, codes: np.ndarray, weights: np.ndarray | None, labels: list) -> np.ndarray:
    """Return the weights of one label's classes; those that a dict does not name weigh 1."""
    if value == "balanced":
        return balanced(codes, weights, len(labels))
    if not isinstance(value, dict):
        raise ValueError(f"class_weight: got {value!r}; 'balanced' or a dict of label to weight is accepted")
    missing = [label for label in labels if label not in value]
    if missing and len(labels) - len(missing) != len(value):  # scikit-learn's rule: a name is misspelt
        raise ValueError(f"The classes, {missing}, are not in class_weight.")
    return named_weights(value, labels)


def _checked_loss(loss: Any, accepted: list[str], targets: str) -> Any:
    if isinstance(loss, Loss) and loss.name not in accepted:
        raise ValueError(f"loss: got {loss.name!r} for {targets}; one of {', '.join(accepted)} is accepted")
    return loss


@keywords(**ROWS_TO_VALIDATE_ON)
class MLPClassifier(ClassifierMixin, BaseMLP):
    """scikit-learn's multilayer perceptron classifier, on fastmlp's kernels.

    Parameters, attributes and methods up to `max_fun` are those of ``sklearn.neural_network.MLPClassifier``, with the
    same meaning and defaults. With the same `random_state` it draws the same initial weights and takes the same batches
    in the same order, so that a fit of sgd or adam gives the same coefficients except for rounding (a fit of lbfgs,
    whose line search amplifies rounding, has the same objective and rule). The parameters after `max_fun` are
    fastmlp's.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, or int, default (100,)
        Neurons of each hidden layer; () makes a linear model.
    activation : str or sequence of str, default "relu"
        Of the hidden layers, one for all or one per layer: identity, logistic, tanh, relu, or any other of
        `fastmlp.activations`.
    solver : str or Optimizer, default "adam"
        lbfgs, sgd and adam are scikit-learn's; any name or instance of `fastmlp.optimizers` is accepted.
    alpha : float, default 0.0001
        The factor of the penalty: a step's objective has alpha / 2 Σ W², divided by the batch's rows (or the sum of
        their weights).
    batch_size : int or "auto", default "auto"
        Rows per batch; "auto" is 200, or all rows if there are fewer. lbfgs takes all.
    learning_rate : {"constant", "invscaling", "adaptive"} or RateSchedule, default "constant"
        How the rate changes: not at all; as ``learning_rate_init / t ** power_t`` with t the rows seen; divided by 5
        whenever the loss no longer improves; or by one of `fastmlp.schedules`. The named ones are for all solvers
        except lbfgs and adam, which keep the rate.
    learning_rate_init : float, default 0.001
        The rate at the beginning, if `learning_rate` is not one of `fastmlp.schedules`.
    power_t : float, default 0.5
        The exponent of "invscaling".
    max_iter : int, default 200
        The largest number of epochs, or of lbfgs's iterations.
    shuffle : bool, default True
        Whether each epoch takes the rows in a new order.
    random_state : int, RandomState or None, default None
        The source of initial weights, the split for early stopping, the orders of the rows and dropout.
    tol : float, default 1e-4
        Training ends when the loss (with `early_stopping` the score) has not improved by this for more than
        `n_iter_no_change` epochs in a row; for lbfgs, the bound of the gradient's entries. With one of
        `fastmlp.schedules` in `learning_rate` the rule is that of `fastmlp.EarlyStopping`, for which small improvements
        count once they add up.
    verbose : bool, int or "bar", default False
        True prints one line per epoch; "bar" shows a progress bar.
    warm_start : bool, default False
        Whether `fit` goes on from the last fit, as scikit-learn's does: from its coefficients. If early stopping found
        nothing better than in earlier fits, the coefficients are the best so far, and training goes on from the last
        weights, which the estimator keeps until coefficients are set by hand.
    momentum : float, default 0.9
        Of sgd, in [0, 1].
    nesterovs_momentum : bool, default True
        Whether sgd has Nesterov's momentum: the gradient at the point that the velocity leads to.
    early_stopping : bool, default False
        Whether to hold out a fraction of the rows, to stop by the score on them, and to restore the best weights. It
        has no effect on lbfgs.
    validation_fraction : float, default 0.1
        The fraction that is held out.
    beta_1, beta_2, epsilon : float, default 0.9, 0.999 and 1e-8
        Of adam.
    n_iter_no_change : int or inf, default 10
        The number of epochs in a row that may pass without an improvement.
    max_fun : int, default 15000
        How often lbfgs may compute the objective.
    loss : {"log_loss", "hinge"} or Loss, default "log_loss"
        Cross-entropy, hinge loss, or one of `fastmlp.losses` for labels. hinge has `decision_function` instead of
        probabilities.
    label_smoothing : float, default 0.0
        The fraction of each target, in [0, 1), that is distributed evenly over all classes.
    class_weight : dict, list of dict, "balanced" or None, default None
        One weight per class, as in scikit-learn's other classifiers; with several labels per row a list of dicts, one
        per label, whose weights are multiplied. It multiplies `sample_weight` in losses, of training rows and of rows
        to validate on; scores and metrics are not weighed by class. "balanced" is as in `fastmlp.train`: by the rows
        that are trained on, without those that are held out.
    l1 : float, default 0.0
        The factor of Σ abs(W), divided by the batch's rows as `alpha` is.
    dropout, clip_norm, clip_value, max_norm, init
        As in `fastmlp.train`.
    stopping_metric : str, callable, Metric or None, default None
        What `early_stopping` monitors: None is the accuracy; "loss", or any of `fastmlp.metrics`. A callable is given
        indices into `classes_`, not labels. "roc_auc" is refused if the rows to validate on have one class.
    callbacks : list of callable or None, default None
        Called after every epoch with a `fastmlp.EpochState`; one that returns True ends the training. scikit-learn's
        own callbacks, which it has since 1.9, go into ``set_callbacks``.
    n_jobs : int or None, default None
        Threads. None and -1 take as many CPUs as there is work for, None a single one within a task of joblib. The
        result does not depend on their number.

    Attributes
    ----------
    classes_ : ndarray
        The labels.
    coefs_, intercepts_ : list of ndarray, shapes (in, out) and (out,)
        The weights and biases of every layer: views of those of `network_`. They may be replaced, and set by hand
        without a fit, together with `classes_`.
    loss_, best_loss_ : float
        The last epoch's loss and the lowest; `best_loss_` is None with early stopping.
    loss_curve_, validation_loss_curve_ : list of float
        The loss after every epoch, on the training rows and on the rows to validate on (None without these).
    validation_scores_, best_validation_score_ : list of float and float
        The score after every epoch on the rows to validate on, and the best; None without these.
    n_iter_, t_ : int
        Epochs of the last fit; rows that were trained on, counted in every epoch.
    n_features_in_, feature_names_in_, n_layers_, n_outputs_, out_activation_
        As in scikit-learn.
    network_ : fastmlp.Network
        The trained network; its labels are the indices into `classes_`.
    history_ : fastmlp.History
        The record of every epoch.

    Raises
    ------
    TypeError, ValueError
        By `fit`, if a parameter or the data cannot be used, or if the loss stops being finite.
    RuntimeError
        By `fit` and `partial_fit`, if another call is fitting this estimator.

    Warns
    -----
    ConvergenceWarning
        By `fit`, if `max_iter` was reached first.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(solver="lbfgs", random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.95)
    True
    """

    _parameter_constraints: ClassVar[dict] = BaseMLP._parameter_constraints | {
        "loss": [StrOptions({"log_loss", *_OF_LABELS} - {*_PROBABILITIES}), Loss],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }
    # scikit-learn has one name for both cross-entropies.
    _elsewhere: ClassVar[dict] = BaseMLP._elsewhere | {
        "loss": {
            word: list(dict.fromkeys("log_loss" if name in _PROBABILITIES else name for name in names))
            for word, names in ELSEWHERE.items()
        }
    }
    _score_metric = "accuracy"
    _needed: ClassVar[set[str]] = BaseMLP._needed | {"classes_"}
    _multilabel = False  # unless a fit sees rows of several labels
    _sparse_labels: LabelBinarizer | None = None

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int | str = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        loss: Any = "log_loss",
        label_smoothing: float = 0.0,
        class_weight: Any = None,
        l1: float = 0.0,
        dropout: Any = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        max_norm: float | None = None,
        init: str = "glorot_uniform",
        stopping_metric: Any = None,
        callbacks: list | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self._keep(locals())

    # ---- targets ---------------------------------------------------------------------------------------------------

    def _check_rows(self, X: Any, y: Any, reset: bool, incremental: bool, classes: Any) -> tuple[Any, np.ndarray, int]:
        """Check rows and labels, and learn the labels if they are not known yet."""
        if incremental and _check_partial_fit_first_call(self, classes):
            self._learn_kind(y, type_of_target(y))
        X, given = validate_data(self, X, y, **ACCEPTED, multi_output=True, order="C", reset=reset)
        y = target_array(given)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            binarizer = LabelBinarizer().fit(y)  # which checks labels as scikit-learn's own classifiers do
            self.classes_ = binarizer.classes_
            self._learn_kind(given, binarizer.y_type_)
        else:
            self.classes_ = np.asarray(self.classes_)
            self._check_known(y)
        coded, classes = self._code(y), len(self.classes_)
        if self._multilabel:
            return X, coded, coded.shape[1]
        return X, coded, classes if classes > 2 else 1

    def _learn_kind(self, y: Any, kind: str) -> None:
        """Learn whether rows have several labels, and what makes predictions sparse if these were."""
        self._multilabel = kind.startswith("multilabel")
        self._sparse_labels = LabelBinarizer().fit(y) if self._multilabel and issparse(y) else None

    def _check_known(self, y: np.ndarray) -> None:
        classes = unique_labels(y)
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _code(self, y: Any, argument: str = "y") -> np.ndarray:
        """Return labels as indices into `classes_`; rows of several labels stay 0 and 1."""
        y = target_array(y)
        if self._multilabel:
            if y.ndim != 2 or y.dtype.kind not in "biuf":
                raise ValueError(
                    f"{argument}: got {y.dtype} of shape {y.shape}; rows of {len(self.classes_)} labels 0 and 1, as in "
                    "fit, are accepted"
                )
            refuse_not_binary(y, argument)
            return y.astype(np.int64)
        if y.ndim != 1:
            raise ValueError(f"{argument}: got shape {y.shape}; one label per row, as in fit, is accepted")
        try:
            order = np.argsort(self.classes_)  # if set by hand, they need not be sorted
            indices = order[np.minimum(np.searchsorted(self.classes_, y, sorter=order), len(order) - 1)]
        except TypeError as error:  # text and numbers have no order
            raise ValueError(f"{argument}: got labels of another kind than those of fit, {self.classes_}") from error
        unknown = self.classes_[indices] != y
        if np.any(unknown):
            raise ValueError(
                f"{argument}: got label {y[unknown][0]!r}, which fit has not seen; {self.classes_} are accepted"
            )
        return indices

    def _decode(self, y: np.ndarray) -> np.ndarray:
        if self._multilabel:
            return y if self._sparse_labels is None else self._sparse_labels.inverse_transform(y)
        labels = np.asarray(self.classes_)
        return labels[y if len(labels) > 1 else np.zeros_like(y)]  # a network of a single class has two

    def _network_options(self, outputs: int) -> dict[str, Any]:
        loss = _checked_loss(self.loss, _OF_LABELS, "labels")
        if loss == "log_loss":  # scikit-learn's name of both cross-entropies
            loss = "cross_entropy" if outputs > 1 and not self._multilabel else "binary_cross_entropy"
        known, classes = len(self.classes_), None if self._multilabel else np.arange(max(2, outputs))
        if classes is not None and not outputs <= known <= len(classes):  # set by hand
            raise ValueError(
                f"classes_: got {known} labels with coefficients of {outputs} outputs; one label per output, or two "
                "for a single output, are accepted"
            )
        return {"loss": loss, "classes": classes, "label_smoothing": self.label_smoothing}

    def _class_weights(self, rows: Rows) -> Callable[[np.ndarray], np.ndarray | None]:
        given = self.class_weight
        if given is None:
            return super()._class_weights(rows)
        columns, labels = self._columns(rows.y), [0, 1] if self._multilabel else self.classes_.tolist()
        if isinstance(given, str) or (isinstance(given, dict) and not self._multilabel):
            given = [given] * len(columns)
        elif not self._multilabel or len(given) != len(columns):
            raise ValueError(
                f"class_weight: got {given!r} for rows of {len(columns)} labels; 'balanced' is accepted, for one label "
                "per row a dict, for several labels a list of one dict per label"
            )
        each = [_of_one(*pair, rows.weights, labels) for pair in zip(given, columns, strict=True)]
        # Of several labels the product, as in scikit-learn.
        return lambda y: np.prod([of[codes] for of, codes in zip(each, self._columns(y), strict=True)], axis=0)

    def _columns(self, y: np.ndarray) -> np.ndarray:
        """Return the codes of every label as a row: of one label per row there is one."""
        return (y.T > 0).astype(np.int64) if self._multilabel else y[None]

    def _metric(self) -> tuple[str, tuple, int]:
        chosen = super()._metric()
        if chosen[0] != "val_accuracy" or len(self.classes_) > 1 or self._multilabel:
            return chosen
        # Every prediction is the only class, whatever the network's output is.
        one_class = Metric("one_class", lambda y, predicted, sample_weight=None: 1.0, training=False)
        return "val_one_class", (one_class,), 1

    # ---- what users call -------------------------------------------------------------------------------------------

    @available_if(lambda estimator: estimator._takes_parts())
    @one_at_a_time
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> "MLPClassifier":
        """Take one pass over rows and their labels, and go on from what is there.

        Parameters
        ----------
        X, y, sample_weight
            As `fit` takes them.
        classes : array-like, shape (classes,), or None, default None
            All labels that the stream may have; needed in the first call only.

        Returns
        -------
        MLPClassifier
            The estimator itself.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight: got {self.class_weight!r} for partial_fit, whose rows need not have the classes' "
                "fractions of all; a dict of label to weight is accepted"
            )
        return self._fit_rows(X, y, sample_weight, classes=classes, incremental=True)

    @available_if(lambda estimator: estimator._loss_is_among("log_loss", *_PROBABILITIES))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (rows, features)
            The features.

        Returns
        -------
        ndarray, shape (rows, classes) or (rows, labels)
            One column per class, in the order of `classes_`, two for two classes.
        """
        return self._predictions(X, Network.predict_proba)

    # For hinge alone: calibration would prefer it to probabilities, which the other losses have.
    @available_if(lambda estimator: estimator._loss_is_among("hinge"))
    def decision_function(self, X: Any) -> np.ndarray:
        """Compute margins, the outputs of a network with hinge loss; the other losses have probabilities instead.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (rows, features)
            The features.

        Returns
        -------
        ndarray, shape (rows,), (rows, classes) or (rows, labels)
            Of two classes, above 0 for ``classes_[1]``; of more, one column per class, the largest for the class that
            is predicted; of several labels per row, above 0 for each that is predicted.
        """
        margins = self._predictions(X, Network._outputs)
        return margins if self._multilabel or margins.shape[1] > 1 else margins[:, 0]

    @available_if(lambda estimator: estimator._loss_is_among("log_loss", *_PROBABILITIES))
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict logarithms of probabilities.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (rows, features)
            The features.

        Returns
        -------
        ndarray, shape (rows, classes) or (rows, labels)
            ``log(predict_proba(X))``.
        """
        return np.log(self.predict_proba(X))

    def _loss_is_among(self, *names: str) -> bool:
        """Raise if a method is there with other losses only."""
        name = getattr(self.loss, "name", self.loss)
        if name not in names:
            raise AttributeError(f"loss {name!r} does not have it; {names[0]!r} has")
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@keywords(**ROWS_TO_VALIDATE_ON)
class MLPRegressor(RegressorMixin, BaseMLP):
    """scikit-learn's multilayer perceptron regressor, on fastmlp's kernels.

    Parameters, attributes and methods up to `max_fun` are those of ``sklearn.neural_network.MLPRegressor``, with the
    same meaning and defaults and, for the same `random_state`, the same coefficients. The parameters after `max_fun`
    are fastmlp's.

    Parameters
    ----------
    loss : str or Loss, default "squared_error"
        squared_error (half of it) and poisson (half the deviance; the outputs are exp(z)) are scikit-learn's;
        absolute_error, huber, quantile, log_cosh and gamma, or an instance with settings of its own, such as
        ``fastmlp.losses.quantile(0.1, 0.9)``, are fastmlp's.
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter
        As in `MLPClassifier`.
    shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction
        As in `MLPClassifier`; the score of early stopping is that of `score`.
    beta_1, beta_2, epsilon, n_iter_no_change, max_fun
        As in `MLPClassifier`.
    missing_targets : {"error", "mask"}, default "error"
        Whether NaN in y (or None, or pandas' NA) is an error or means "not observed": `fit` and `score` leave it out.
        Scorers of scikit-learn refuse NaN.
    l1, dropout, clip_norm, clip_value, max_norm, init, stopping_metric, callbacks, n_jobs
        As in `MLPClassifier`; `stopping_metric` None is R², with several quantiles minus the mean pinball loss.

    Attributes
    ----------
    coefs_, intercepts_, loss_, best_loss_, loss_curve_, validation_loss_curve_, validation_scores_
        As in `MLPClassifier`. The squared error of several outputs is their mean, as in scikit-learn (in
        `network_.loss` too); every other loss is their sum. The gradient is that of the sum.
    best_validation_score_, n_iter_, t_, n_features_in_, feature_names_in_, n_layers_, n_outputs_, out_activation_
        As in `MLPClassifier`.
    network_, history_
        As in `MLPClassifier`.

    Raises
    ------
    TypeError, ValueError
        By `fit`, if a parameter or the data cannot be used, or if the loss stops being finite.
    RuntimeError
        By `fit` and `partial_fit`, if another call is fitting this estimator.

    Warns
    -----
    ConvergenceWarning
        By `fit`, if `max_iter` was reached first.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 200).reshape(-1, 1)
    >>> model = MLPRegressor(solver="lbfgs", random_state=0).fit(X, X.ravel() ** 2)
    >>> bool(model.score(X, X.ravel() ** 2) > 0.99)
    True
    """

    _parameter_constraints: ClassVar[dict] = BaseMLP._parameter_constraints | {
        "loss": [StrOptions({*_OF_NUMBERS}), Loss],
        "missing_targets": [StrOptions({"error", "mask"})],
    }
    _score_metric = "r2"

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int | str = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        missing_targets: str = "error",
        l1: float = 0.0,
        dropout: Any = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        max_norm: float | None = None,
        init: str = "glorot_uniform",
        stopping_metric: Any = None,
        callbacks: list | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self._keep(locals())

    # ---- targets ---------------------------------------------------------------------------------------------------

    def _check_rows(self, X: Any, y: Any, reset: bool, incremental: bool, classes: None) -> tuple[Any, np.ndarray, int]:
        checks = (ACCEPTED | {"order": "C"}, self._accepted_targets())
        X, y = validate_data(self, X, y, validate_separately=checks, reset=reset)
        check_consistent_length(X, y)
        coded = self._code(y)
        columns = 1 if coded.ndim == 1 else coded.shape[1]
        return X, coded, columns * (self.loss.outputs_per_target if isinstance(self.loss, Loss) else 1)

    def _code(self, y: Any, argument: str = "y") -> np.ndarray:
        """Return numbers as floats, a column as a row; what is None or pandas' NA becomes NaN."""
        y = target_array(y)
        if y.dtype.kind == "f":
            return y
        if y.dtype.kind not in "biuO":
            raise TypeError(f"{argument}: got dtype {y.dtype}; numbers are accepted; convert them")
        if y.dtype.kind == "O":
            missing = getattr(sys.modules.get("pandas"), "NA", None)
            y = np.array([None if value is missing else value for value in y.flat], object).reshape(y.shape)
        with naming(argument):
            return y.astype(np.float64)

    def _network_options(self, outputs: int) -> dict[str, Any]:
        loss = _checked_loss(self.loss, _OF_NUMBERS, "numbers")
        return {"loss": loss, "missing_targets": self.missing_targets}

    @property
    def _score_metric(self) -> str | Metric:
        """R², which of several quantiles would measure each as if it were the mean."""
        loss = self.loss
        if not isinstance(loss, Loss) or loss.outputs_per_target == 1:
            return "r2"
        return Metric("pinball", partial(pinball, levels=loss.parameters), "codes", rises=False, targets=("real",))

    # ---- what users call -------------------------------------------------------------------------------------------

    @available_if(lambda estimator: estimator._takes_parts())
    @one_at_a_time
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":
        """Take one pass over rows and their numbers, and go on from what is there.

        Parameters
        ----------
        X, y, sample_weight
            As `fit` takes them.

        Returns
        -------
        MLPRegressor
            The estimator itself.
        """
        return self._fit_rows(X, y, sample_weight, incremental=True)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute R², or for several quantiles minus the mean pinball loss: more is better.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (rows, features)
            The features.
        y : array-like, shape (rows,) or (rows, targets)
            The true numbers; with ``missing_targets="mask"``, NaN is left out.
        sample_weight : array-like, shape (rows,), or None, default None
            One weight per row.

        Returns
        -------
        float
            Both are those of `fastmlp.metrics`: `r2`, and minus `pinball`, which is averaged over levels and targets.

        Raises
        ------
        TypeError, ValueError
            If an argument cannot be used, or no target was observed.
        """
        chosen = metric(self._score_metric)
        if chosen.rises and self.missing_targets == "error":
            return super().score(X, y, sample_weight)
        network = self._fitted_network()
        X = dense_or_windows(validate_data(self, X, **ACCEPTED, reset=False), network.dtype)
        value = network.score(X, self._code(self._checked_targets(y, "y")), sample_weight, metric=chosen)
        return value if chosen.rises else -value


for _estimator in (MLPClassifier, MLPRegressor):
    _estimator.__module__ = "fastmlp.sklearn"  # where users find it, and pickles look for it
