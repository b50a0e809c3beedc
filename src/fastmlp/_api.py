"""The functions beside Network: train and load."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastmlp._checks import arrays, options, samples, targets, topology
from fastmlp._engine.backend import resolve
from fastmlp._spec.elsewhere import keywords
from fastmlp.callbacks import EpochState, Progress
from fastmlp.losses import Loss
from fastmlp.metrics import Metric
from fastmlp.network import Network
from fastmlp.optimizers import Optimizer
from fastmlp.schedules import RateSchedule
from fastmlp.stopping import EarlyStopping


@keywords()
def train(
    X: Any,
    y: Any,
    *,
    hidden: int | Sequence[int] = (100,),
    activation: str | Sequence[str] = "relu",
    loss: str | Loss | None = None,
    output: str | None = None,
    label_smoothing: float = 0.0,
    optimizer: str | Optimizer = "adam",
    learning_rate: float | RateSchedule | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    dropout: float | Sequence[float] | Callable[[int], float | Sequence[float]] = 0.0,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    max_norm: float | None = None,
    bias: bool = True,
    init: str | Any = "glorot_uniform",
    bias_init: float | None = None,
    batch_size: int | str = "auto",
    epochs: int = 200,
    shuffle: bool | Callable[[int], Any] = True,
    average: str = "rows",
    sample_weight: Any = None,
    class_weight: str | Mapping[Any, float] | None = None,
    missing_targets: str = "error",
    validation: float | tuple | None = None,
    early_stopping: bool | EarlyStopping | None = None,
    metrics: Sequence[str | Metric | Callable[..., float]] = (),
    callbacks: Sequence[Callable[[EpochState], object]] = (),
    progress: bool | Callable[[Progress], None] | None = None,
    on_divergence: str = "warn",
    seed: int | None = None,
    dtype: Any = None,
    n_threads: int | None = None,
    backend: str | None = None,
) -> Network:
    """Train a multilayer perceptron.

    The objective is (1/N) Σ_rows loss + (l2 / 2N) Σ W² + (l1 / N) Σ abs(W) with N the number of rows; every step
    follows its gradient over a batch. A loss sums over outputs; squared error is ½ Σ (y - h)² a row.

    Parameters
    ----------
    X : array-like or sparse matrix, shape (rows, inputs)
        The features, finite numbers. Not copied when C-contiguous and of the chosen dtype. The names of a data frame's
        columns become ``net.feature_names_in_``: rows with other names, or in another order, are refused from then on.
        One of ``scipy.sparse``, in any format, gives what its dense rows give. Where these would take more than a
        fourth of the free memory, it is made dense part by part; rows to validate on are made dense whole.
    y : array-like, shape (rows,) or (rows, outputs)
        Labels of any kind (integers, bools, strings), one-hot or multi-label rows of 0 and 1, or numbers (floats); with
        ``loss="cross_entropy"`` also rows of probabilities. A single label is predicted for every row.
    hidden : int or sequence of int, default (100,)
        Sizes of the hidden layers; () makes a linear model.
    activation : str or sequence of str, default "relu"
        One for all hidden layers or one each: identity, sigmoid, tanh, relu, leaky_relu, elu, selu, softplus, silu,
        gelu, gelu_tanh, hard_sigmoid, hard_tanh (`fastmlp.activations` has the formulas).
    loss : str, Loss or None, default None
        squared_error, absolute_error, huber, quantile, log_cosh, poisson, gamma, hinge, binary_cross_entropy or
        cross_entropy (`fastmlp.losses` has the formulas), or one with settings of its own, such as
        ``fastmlp.losses.quantile(0.1, 0.9)``. None takes cross-entropy for labels (one sigmoid output and binary
        cross-entropy for two classes and for multi-label rows), squared error for floats.
    output : str or None, default None
        The output activation; None takes the loss's own. squared_error allows sigmoid.
    label_smoothing : float, default 0.0
        The share s of each target, in [0, 1), that all classes share out evenly; with cross_entropy and
        binary_cross_entropy. The loss that is printed is that of the smoothed targets.
    optimizer : str or Optimizer, default "adam"
        The optimizer, such as ``fastmlp.SGD(momentum=0.9)``, or the name of one with its defaults: sgd, adam, amsgrad,
        adamw, nadam, rmsprop, adagrad, adadelta, lion, rprop, lbfgs. rprop and lbfgs take all rows at once.
    learning_rate : float, RateSchedule or None, default None
        A number, or a schedule such as ``fastmlp.schedules.Cosine(0.01)``. None takes the optimizer's own, such as
        0.001 for Adam and 0.01 for SGD.
    l1, l2 : float, default 0.0
        The penalties' factors.
    dropout : float, sequence of float or callable, default 0.0
        The fraction of units, in [0, 1), that each step leaves out of a hidden layer, one for all or one each; what is
        left grows by 1 / (1 - fraction). Training loss and accuracy are those with units left out; validation,
        `predict` and `loss` leave none out. A callable gives the fractions of each epoch, such as
        ``lambda epoch: min(0.5, 0.01 * epoch)``: it takes the number of the epoch, from 0 on over all training runs of
        the network, and returns one number or one each. It is called once per epoch, up to 1024 epochs ahead.
    clip_norm, clip_value : float or None, default None
        The largest norm of a step's gradient, to which all of it is scaled down, or the largest size of its entries, to
        which each is cut; one of the two, above 0. `history.gradient_norm` tells of the gradient before that.
    max_norm : float or None, default None
        The largest norm of the weights that come into a unit; those of a larger one are scaled down after each step.
    bias : bool, default True
        Whether layers have biases.
    init : str or array-like, default "glorot_uniform"
        What the weights start with: glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal,
        orthogonal, article (`fastmlp.initialization` has the formulas), or all parameters in one vector.
    bias_init : float or None, default None
        What the biases start with; None draws them like the weights.
    batch_size : int, "full" or "auto", default "auto"
        Rows of a batch; "auto" is 200, or all rows where there are fewer. More than all rows means all.
    epochs : int, default 200
        Passes over the rows.
    shuffle : bool or callable, default True
        Whether each epoch takes the rows in a new order. A callable gives the orders: it takes the number of the epoch,
        from 0 on, and returns as many numbers of rows as there are, of which one may come more than once. It is asked
        once an epoch, between two calls of the kernels. With one batch an epoch there is no order.
    average : {"rows", "batch"}, default "rows"
        What stands for N in a step. "rows" is N itself, so that the penalties weigh the same in every step. "batch" is
        the batch's rows, or the sum of their weights, as in scikit-learn: its loss is divided by that, and so are the
        penalties. With all rows in one batch both are the same.
    sample_weight : array-like, shape (rows,), or None, default None
        A weight a row: its loss counts as often, in the training and in what is measured. The sum of the weights stands
        for N.
    class_weight : "balanced", mapping of label to weight, or None, default None
        A weight a class, 1 for those that are not named. It multiplies the weights of the rows in losses, of training
        rows and of validation rows, and in N. Accuracy and `metrics` are not weighed by class. "balanced" weighs the
        classes alike: by Σ w / (number of classes × Σ w of the class) over the rows that are trained on, with w their
        `sample_weight` or 1; a class without such a row weighs 1 and is not counted.
    missing_targets : {"error", "mask"}, default "error"
        What NaN in float targets means: an error, or "not observed". Then it has neither loss nor gradient; N does not
        count rows without any observed target.
    validation : float, tuple of (X, y) or of (X, y, weights), or None, default None
        Rows to validate on after every epoch: rows of their own, or a share of these, such as 0.2, drawn at random, of
        every class as many as of all. Drawn rows are not trained on; both parts are then copies. The loss of validation
        rows is over the sum of their own weights.
    early_stopping : bool, EarlyStopping or None, default None
        When to stop before the last epoch; True stops where the validation loss has not improved for 10 epochs, and
        goes back to the best weights.
    metrics : sequence of str, callable or Metric, default ()
        What is measured besides loss and accuracy after every epoch, on the training rows and on the validation rows:
        accuracy, balanced_accuracy, f1, roc_auc, mse, mae, r2, or a callable that takes the targets and what `predict`
        gives. Each costs a pass over the rows. ``history.metrics`` has the numbers.
    callbacks : sequence of callable, default ()
        Called after every epoch with an `EpochState`, in order; one that returns True stops the training. Ready ones,
        and `Every`, are in `fastmlp.callbacks`.
    progress : bool, callable or None, default None
        True shows a bar with the losses and accuracies of the training rows and of the validation rows; a callable is
        called about twenty times a second with a `Progress`.
    on_divergence : {"warn", "raise"}, default "warn"
        What is done if the training run diverges: its loss stops being finite, or a batch's loss is above 10⁶ times
        (the run's first + 1), and not because of that batch's rows alone. Either way the weights come back of the last
        step whose loss was at most 10 times (the first + 1); of a network of over 4 MiB, of some seconds before.
    seed : int or None, default None
        Seed of the initial weights, the order and dropout; None draws one, which ``net.seed`` tells.
    dtype : float32, float64 or None, default None
        None keeps float32 features and takes float64 for all others.
    n_threads : int or None, default None
        The largest number of threads. None takes the CPUs that this process may use (its container's quota included),
        and at most FASTMLP_NUM_THREADS and OMP_NUM_THREADS. Fewer run if the work is not worth more, or if there are
        fewer CPUs: ``net.history.n_threads`` tells how many. The result does not depend on it, bit for bit.
    backend : str or None, default None
        ``"reference"`` (NumPy), an instruction set (see `show_config`), or None for the build in use.

    Returns
    -------
    Network
        The trained network; ``net.history`` tells what happened.

    Raises
    ------
    TypeError, ValueError
        If an argument cannot be used; the message names it, what came and what is accepted.
    ImportError
        If something is asked for that needs another package, such as SciPy for lbfgs.
    DivergenceError
        If the training run diverges and ``on_divergence="raise"``; its ``network`` is the network.

    Warns
    -----
    UserWarning
        If `y` holds a single label; if the loss is None and `y` holds integers of more than 20 different values with
        fewer than 5 rows each on average, or one column of floats that are exactly 0 and 1; if the learning rate is 0.
    DivergenceWarning
        If the training run diverges: it ends there, and earlier weights come back. The message says which, in which
        epoch, batch and layer it began, and the likeliest cause.
    UserWarning
        If of `X` and the rows to validate on only one has names of columns.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.moons(200, noise=0.1, seed=0)
    >>> net = fastmlp.train(X, y, hidden=16, learning_rate=0.01, epochs=300, seed=0)
    >>> net.score(X, y) > 0.98
    True
    """
    names, X = arrays.column_names(X), arrays.features(X, dtype=topology.floating(dtype), windows=True)
    task, values = targets.targets(
        y, len(X), X.dtype, loss=loss, output=output, label_smoothing=label_smoothing, missing_targets=missing_targets
    )
    seed = topology.checked_seed(seed)
    weights = samples.checked_weights(sample_weight, values, task)
    rows, held_out = samples.split(validation, (X, values, weights), task, seed, class_weight, names)
    fractions = topology.checked_dropout(dropout, len(topology.hidden_sizes(hidden)))
    training = options.TrainingOptions(
        options.TrainingData(task, X.dtype, rows, held_out, fractions),
        optimizer=optimizer,
        learning_rate=learning_rate,
        clip_norm=clip_norm,
        clip_value=clip_value,
        max_norm=max_norm,
        batch_size=batch_size,
        epochs=epochs,
        shuffle=shuffle,
        average=average,
        early_stopping=early_stopping,
        metrics=metrics,
        callbacks=callbacks,
        progress=progress,
        on_divergence=on_divergence,
        seed=seed,
        n_threads=n_threads,
    )
    layers = topology.Topology(
        X.shape[1],
        task,
        hidden,
        activation=activation,
        bias=bias,
        l1=l1,
        l2=l2,
        dropout=fractions,
        seed=seed,
        dtype=X.dtype,
        backend=backend,
        init=init,
        bias_init=bias_init,
    )
    return Network._of(layers)._fit(rows, held_out, training, names)


def load(path: Any, *, backend: str | None = None) -> Network:
    """Read a network from a file that `Network.save` wrote.

    Safe on files from strangers: no code is run, everything is checked, and nothing is allocated past the file's own
    size.

    Parameters
    ----------
    path : str or path-like
        Where from.
    backend : str or None, default None
        As in `Network`.

    Returns
    -------
    Network
        The network, its `metadata` included.

    Raises
    ------
    ValueError
        If the file is not such a file; the message says what is wrong with it.
    OSError
        If the file cannot be read.
    """
    from fastmlp._files import model_file  # here: only files need safetensors

    parameters, description = model_file.read(path)
    try:
        checked = description.topology(parameters)
    except (TypeError, ValueError) as error:
        raise model_file.refusal(path, error) from error
    network = Network._of(checked, parameters)
    if backend is not None:
        network._model.use(resolve(backend))
    network.metadata = description.metadata
    if description.feature_names is not None:
        network._record.feature_names = tuple(description.feature_names)
    return network
