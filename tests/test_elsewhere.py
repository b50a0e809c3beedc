"""Names and keywords of scikit-learn, PyTorch, Keras, MATLAB and JAX: refused, with the one that is meant here."""

import inspect
import re

import numpy as np
import pytest

import fastmlp
from fastmlp import losses, metrics, optimizers, schedules

X, NUMBERS = np.random.default_rng(0).random((8, 3)), np.arange(8.0)
NETWORK = fastmlp.Network((3, 2, 1), seed=0)
SCHEDULES = [
    kind
    for kind in vars(schedules).values()
    if inspect.isclass(kind)
    and issubclass(kind, schedules.RateSchedule)
    and kind not in (schedules.RateSchedule, schedules.FeedbackSchedule)
]


# ---- names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "name", "answer"),
    [
        ("loss", "mse", "'squared_error' (½ Σ (y − h)²)"),
        ("loss", "MSELoss", "'squared_error' (½ Σ (y − h)²)"),
        ("loss", "mean_squared_error", "'squared_error' (½ Σ (y − h)²)"),
        ("loss", "Squared Error", "'squared_error' (½ Σ (y − h)²)"),
        ("loss", "mae", "'absolute_error' (Σ |y − h|)"),
        ("loss", "L1Loss", "'absolute_error' (Σ |y − h|)"),
        ("loss", "nll", "'cross_entropy' (−Σ y log h)"),
        ("loss", "crossentropy", "'cross_entropy' (−Σ y log h)"),
        ("loss", "sparse_categorical_crossentropy", "'cross_entropy' (−Σ y log h)"),
        ("loss", "BCE", "'binary_cross_entropy' (−Σ (y log h + (1 − y) log(1 − h)))"),
        ("loss", "BCEWithLogitsLoss", "'binary_cross_entropy' (−Σ (y log h + (1 − y) log(1 − h)))"),
        ("loss", "binary_crossentropy", "'binary_cross_entropy' (−Σ (y log h + (1 − y) log(1 − h)))"),
        (
            "loss",
            "log_loss",
            "'binary_cross_entropy' (−Σ (y log h + (1 − y) log(1 − h))) or 'cross_entropy' (−Σ y log h)",
        ),
        ("activation", "swish", "'silu'"),
        ("activation", "logistic", "'sigmoid'"),
        ("activation", "ReLU", "'relu'"),
        ("activation", "LeakyReLU", "'leaky_relu'"),
        ("activation", "linear", "'identity'"),
        ("activation", "tansig", "'tanh'"),
        ("output", "linear", "'identity'"),
        ("optimizer", "Adam", "'adam'"),
        ("optimizer", "SGD", "'sgd'"),
        ("optimizer", "L-BFGS-B", "'lbfgs'"),
        ("optimizer", "trainrp", "'rprop'"),
        ("init", "xavier_uniform_", "'glorot_uniform'"),
        ("init", "kaiming_normal", "'he_normal'"),
        ("init", "Xavier", "'glorot_uniform' or 'glorot_normal'"),
    ],
)
def test_a_name_from_elsewhere_is_answered_with_the_one_here(argument, name, answer):
    with pytest.raises(ValueError, match=f"^{re.escape(f'{argument}: got {name!r}; use {answer}')}$"):
        fastmlp.train(X, NUMBERS, **{argument: name})


def test_metrics_and_single_activations_say_which_one():
    with pytest.raises(ValueError, match=r"^metrics\[1\]: got 'mean_absolute_error'; use 'mae'$"):
        fastmlp.train(X, NUMBERS, metrics=["mse", "mean_absolute_error"])
    with pytest.raises(ValueError, match=r"^metric: got 'R2Score'; use 'r2'$"):
        NETWORK.score(X, NUMBERS, metric="R2Score")
    with pytest.raises(ValueError, match=r"^activation\[1\]: got 'swish'; use 'silu'$"):
        fastmlp.Network((3, 2, 2, 1), activation=("tanh", "swish"))


@pytest.mark.parametrize(
    ("name", "answer"),
    [("cosine", "Cosine"), ("CosineAnnealingLR", "Cosine"), ("invscaling", "InverseScaling"), ("adaptive", "Adaptive")],
)
def test_a_schedule_by_name_is_answered_with_its_class(name, answer):
    words = rf"^learning_rate: got '{name}'; use fastmlp\.schedules\.{answer}\(…\)$"
    with pytest.raises(TypeError, match=words):
        fastmlp.train(X, NUMBERS, learning_rate=name)


def test_functions_and_objects_from_elsewhere_are_answered_by_their_names():
    class MSELoss:
        def __repr__(self):
            return "MSELoss()"

    with pytest.raises(TypeError, match=r"^loss: got MSELoss\(\) \(MSELoss\); use 'squared_error' \(½ Σ"):
        fastmlp.train(X, NUMBERS, loss=MSELoss())
    with pytest.raises(TypeError, match="; use 'tanh'$"):
        fastmlp.train(X, NUMBERS, activation=np.tanh)


@pytest.mark.parametrize("loss", losses.LOSSES.values(), ids=losses.LOSSES)
def test_every_loss_shows_its_formula(loss):
    with pytest.raises(ValueError, match=re.escape(f"; use {loss.name!r} ({loss.shown})")):
        fastmlp.Network((3, 2), loss=loss.name.upper())


# ---- keywords --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "answer"),
    [
        ("lr", "use learning_rate="),
        ("learning_rate_init", "use learning_rate="),
        ("validation_split", "use validation="),
        ("validation_data", "use validation="),
        ("validation_fraction", "use validation="),
        ("random_state", "use seed="),
        ("max_iter", "use epochs="),
        ("n_iter", "use epochs="),
        ("num_epochs", "use epochs="),
        ("hidden_layer_sizes", "use hidden="),
        ("solver", "use optimizer="),
        ("criterion", "use loss="),
        ("n_jobs", "use n_threads="),
        ("verbose", "use progress="),
        ("batchSize", "use batch_size="),
        ("x", "use X="),
        ("alpha", "use l2= (l2 / 2N Σ W², N the training rows)"),
        ("weight_decay", "use l2= (l2 / 2N Σ W², N the training rows)"),
        ("patience", "use early_stopping=fastmlp.EarlyStopping(patience=…)"),
        ("momentum", "use optimizer=fastmlp.SGD(momentum=…)"),
    ],
)
def test_a_keyword_from_elsewhere_is_answered_with_the_one_here(keyword, answer):
    with pytest.raises(TypeError, match=f"^{re.escape(f'train() got {keyword}=; {answer}')}$"):
        fastmlp.train(X, NUMBERS, **{keyword: 1})


@pytest.mark.parametrize(
    ("call", "keyword", "answer"),
    [
        (lambda **given: NETWORK.train(X, NUMBERS, **given), "lr", "Network.train() got lr=; use learning_rate="),
        (lambda **given: NETWORK.partial_train(X, NUMBERS, **given), "random_state", "got random_state=; use seed="),
        (lambda **given: NETWORK.train(X, NUMBERS, **given), "hidden", "got hidden=; pass hidden= to fastmlp.train"),
        (fastmlp.Network, "hidden_layer_sizes", "Network() got hidden_layer_sizes=; use sizes="),
        (fastmlp.EarlyStopping, "n_iter_no_change", "EarlyStopping() got n_iter_no_change=; use patience="),
        (fastmlp.EarlyStopping, "restore_best_weights", "use restore_best="),
        (fastmlp.EarlyStopping, "tol", "use min_delta="),
        (fastmlp.Adam, "lr", "Adam() got lr=; pass learning_rate= to fastmlp.train"),
        (fastmlp.Adam, "betas", "Adam() got betas=; use beta1=, beta2="),
        (fastmlp.Adam, "beta_1", "use beta1="),
        (fastmlp.Adam, "eps", "use epsilon="),
        (fastmlp.RMSprop, "alpha", "use beta2="),
        (fastmlp.SGD, "weight_decay", "pass l2= to fastmlp.train (l2 / 2N"),
        (fastmlp.LBFGS, "history_size", "use memory="),
        (schedules.Cosine, "T_max", "Cosine() got T_max=; use length="),
        (schedules.StepDecay, "step_size", "use every="),
        (schedules.StepDecay, "gamma", "use factor="),
        (schedules.OneCycle, "max_lr", "use rate="),
        (schedules.OneCycle, "div_factor", "use start=1 / div_factor"),
        (metrics.Metric, "greater_is_better", "use rises="),
    ],
)
def test_methods_and_classes_answer_too(call, keyword, answer):
    with pytest.raises(TypeError, match=re.escape(answer)):
        call(**{keyword: 1})


@pytest.mark.parametrize(
    "make",
    [*dict.fromkeys(map(type, optimizers.OPTIMIZERS.values())), *SCHEDULES, fastmlp.EarlyStopping, fastmlp.Network],
)
def test_every_class_answers_and_shows_its_own_parameters_only(make):
    with pytest.raises(TypeError, match=rf"^{make.__name__}\(\) got random_state=; "):
        make(random_state=0)
    kinds = {parameter.kind for parameter in inspect.signature(make).parameters.values()}
    assert kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


def test_a_near_miss_is_hinted_at_and_anything_else_left_to_python():
    with pytest.raises(
        TypeError, match=r"^train\(\) got an unexpected keyword argument 'epoch'; did you mean epochs=\?$"
    ):
        fastmlp.train(X, NUMBERS, epoch=3)
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'qqq'"):
        fastmlp.train(X, NUMBERS, qqq=3)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'y'"):
        fastmlp.train(X)
    with pytest.raises(TypeError, match="takes 2 positional arguments but 3 were given"):
        fastmlp.train(X, NUMBERS, 3)


def test_an_error_from_within_is_left_as_it_is():
    def stop(state):
        raise TypeError("train() got lr=")

    with pytest.raises(TypeError, match=r"^train\(\) got lr=$"):
        fastmlp.train(X, NUMBERS, epochs=1, callbacks=[stop])
    with pytest.raises(TypeError, match="^epochs: got 'lr'"):
        fastmlp.train(X, NUMBERS, epochs="lr")
