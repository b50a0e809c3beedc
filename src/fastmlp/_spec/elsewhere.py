"""What other libraries call what fastmlp has: scikit-learn, PyTorch, Keras, MATLAB, JAX and optax.

A name from elsewhere is never accepted; the error says which one of fastmlp's to use. The names of losses, activations,
optimizers, metrics, starts and schedules stand beside their rows, as do the keywords of a class beside the class. Here
are the keywords that several functions take.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

_Target = TypeVar("_Target", bound=Callable[..., Any])

# fastmlp.train's parameter, or what else to write -> all names of one thing. A function's own parameter is the first of
# them that it has.
_KEYWORDS: Mapping[str, str] = {
    "X": "X X_train data features inputs",
    "y": "y y_train target targets labels",
    "hidden": "hidden sizes hidden_layer_sizes hidden_sizes hidden_layers hidden_units hidden_dims n_hidden num_hidden "
    "layers layer_sizes units neurons architecture",
    "activation": "activation activations hidden_activation activation_function activation_fn nonlinearity "
    "transfer_function act",
    "output": "output output_activation out_activation final_activation",
    "loss": "loss criterion loss_function loss_fn loss_func objective cost",
    "optimizer": "optimizer solver optimiser algorithm opt train_fcn method",
    "learning_rate": "learning_rate_init learning_rate rate lr eta eta0 step_size initial_lr init_lr base_lr max_lr "
    "initial_learning_rate initial_learn_rate learn_rate init_value",
    "learning_rate=fastmlp.schedules.Cosine(…)": "learning_rate schedule scheduler lr_schedule lr_scheduler "
    "learning_rate_schedule learn_rate_schedule",
    "epochs": "epochs max_iter n_iter n_epochs num_epochs max_epochs nb_epoch nb_epochs iterations n_iters "
    "n_iterations num_iterations max_iterations total_epochs train_epochs",
    "batch_size": "batch_size minibatch_size minibatch batch",
    "seed": "seed random_state random_seed rng key prng_key",
    "l2": "l2 alpha weight_decay reg reg_lambda l2_reg l2_penalty l2_regularization lambda_l2 lam kernel_regularizer",
    "l1": "l1 reg_alpha l1_reg l1_penalty l1_regularization lambda_l1",
    "dropout": "dropout dropout_rate dropout_p drop_rate drop_prob",
    "clip_norm": "clip_norm max_grad_norm grad_clip gradient_clip gradient_clip_norm gradient_clip_val global_clipnorm "
    "gradient_threshold",
    "clip_value": "clip_value gradient_clip_value",
    "bias": "bias use_bias fit_intercept",
    "init": "init initializer kernel_initializer weight_init weights_init initialization",
    "bias_init": "bias_init bias_initializer",
    "validation": "validation validation_fraction validation_split validation_size val_split val_fraction val_size",
    "validation=(X, y)": "validation validation_data val_data eval_set X_val",
    "early_stopping": "early_stopping early_stop",
    "early_stopping=fastmlp.EarlyStopping(patience=…)": "n_iter_no_change patience max_fail early_stopping_rounds "
    "validation_patience",
    "early_stopping=fastmlp.EarlyStopping(min_delta=…)": "tol tolerance min_delta",
    "early_stopping=fastmlp.EarlyStopping(restore_best=…)": "restore_best restore_best_weights",
    "metrics": "metrics stopping_metric metric eval_metric scoring",
    "callbacks": "callbacks callback",
    "progress": "progress verbose verbosity progress_bar show_progress disp display",
    "n_threads": "n_threads n_jobs num_threads nthreads nthread threads num_workers workers",
    "sample_weight": "sample_weight sample_weights row_weights",
    "class_weight": "class_weight class_weights pos_weight",
    "optimizer=fastmlp.SGD(momentum=…)": "momentum",
    "optimizer=fastmlp.SGD(momentum=…, nesterov=True)": "nesterovs_momentum nesterov use_nesterov",
    "optimizer='amsgrad'": "amsgrad",
    "optimizer=fastmlp.LBFGS(most_looks=…)": "max_fun",
    "optimizer=fastmlp.Adam(beta1=…, beta2=…)": "beta_1 beta1 b1 betas",
    "optimizer=fastmlp.Adam(beta2=…)": "beta_2 beta2 b2",
    "optimizer=fastmlp.Adam(epsilon=…)": "epsilon eps",
    "learning_rate=fastmlp.schedules.InverseScaling(…, power=…)": "power_t",
    "net.train(X, y), which goes on from where net stands": "warm_start",
}
# What differs between libraries by a factor.
_FORMULAS: Mapping[str, str] = {
    "l2": "l2 / 2N Σ W², N the training rows",
    "l1": "l1 / N Σ |W|, N the training rows",
    "alpha": "alpha / 2n Σ W², n the rows of a batch",
}


def plain(name: str) -> str:
    """Return a name without what libraries write differently: case, underscores, hyphens, a "loss" at its end."""
    bare = "".join(filter(str.isalnum, name.lower()))
    return bare.removesuffix("loss") or bare


def table(names: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return plain foreign name -> fastmlp's, from pairs of fastmlp's name and its names elsewhere."""
    found: dict[str, list[str]] = {}
    for ours, words in names:
        for word in dict.fromkeys(map(plain, (ours, *words.split()))):
            found.setdefault(word, []).append(ours)
    return found


def keywords(**own: str) -> Callable[[_Target], _Target]:
    """Decorate a function or a class so that its TypeError at a keyword from elsewhere names its own keyword.

    Signature and cost stay: only a call that Python refuses is inspected. `own` is parameter -> names elsewhere, if
    these are of this function alone.
    """

    def decorate(target: _Target) -> _Target:
        function: Any = target.__init__ if isinstance(target, type) else target

        @functools.wraps(function)
        def answering(*args: Any, **options: Any) -> Any:
            try:
                return function(*args, **options)
            except TypeError as error:
                if error.__traceback__.tb_next is None:  # raised by the call itself, before the function's first line
                    _refuse_foreign(function, options, own)
                raise

        if not isinstance(target, type):
            return answering
        target.__init__ = answering
        return target

    return decorate


def _refuse_foreign(function: Callable[..., Any], options: Iterable[str], own: Mapping[str, str]) -> None:
    """Raise at the first keyword that a function does not have, if it is known or near which one is meant."""
    import difflib  # here: only a mistake needs it

    title = f"{function.__qualname__.removesuffix('.__init__')}()"
    parameters = [name for name in inspect.signature(function).parameters if name != "self"]
    for word in options:
        if word in parameters:
            continue
        if answer := _answer(word, parameters, own):
            raise TypeError(f"{title} got {word}=; {answer}") from None
        if near := difflib.get_close_matches(word, parameters, n=1):
            hint = f"did you mean {near[0]}=?"
            raise TypeError(f"{title} got an unexpected keyword argument {word!r}; {hint}") from None


def _answer(word: str, parameters: list[str], own: Mapping[str, str]) -> str | None:
    """Return what to write for a keyword from elsewhere: the function's own parameter, or else where it belongs."""
    names = table((dict.fromkeys(parameters, "") | own).items()).get(plain(word))
    if names:
        return f"use {', '.join(f'{name}=' if name.isidentifier() else name for name in names)}"
    for ours, words in _KEYWORDS.items():
        if plain(word) in map(plain, words.split()):
            name = next((name for name in words.split() if name in parameters), ours)
            formula = f" ({_FORMULAS[name]})" if name in _FORMULAS else ""
            if name in parameters:
                return f"use {name}={formula}"
            return f"pass {name}= to fastmlp.train{formula}" if name.isidentifier() else f"use {name}"
    return None
