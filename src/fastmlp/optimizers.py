"""The optimizers: what the user may choose, as small frozen dataclasses that check themselves.

No arithmetic here: the kernels and the reference take the steps, by the rows of `_spec.optimizers`.

Formulas and defaults are PyTorch's, so that a step equals `torch.optim`'s. Notation: p a parameter, g its gradient of
the objective, t the step counted from 1, lr the learning rate.

======================= =============== ===========================================================
name                    whose formulas  what PyTorch calls otherwise
======================= =============== ===========================================================
sgd, `SGD`              torch.optim     nothing
adam, amsgrad, `Adam`   torch.optim     betas = (beta1, beta2), eps = epsilon
adamw, `AdamW`          torch.optim     the same; biases decay too
nadam, `NAdam`          torch.optim     the same; momentum_decay as here
rmsprop, `RMSprop`      torch.optim     alpha = beta2, eps = epsilon
adagrad, `Adagrad`      torch.optim     lr_decay = rate_decay, initial_accumulator_value = initial_accumulator
adadelta, `Adadelta`    torch.optim     rho = beta2, eps = epsilon
rprop, `Rprop`          torch.optim     etas = (eta_minus, eta_plus), step_sizes = (least_step, most_step)
lion, `Lion`            its paper       not in torch.optim
lbfgs, `LBFGS`          SciPy           L-BFGS-B with its line search; torch.optim.LBFGS is another one
======================= =============== ===========================================================
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

from fastmlp._spec import optimizers as rows
from fastmlp._spec.elsewhere import keywords, table
from fastmlp._spec.values import check_fields, flag, number, whole

_CHECKS: Mapping[str, Callable[..., Any]] = {
    "momentum": partial(number, maximum=1.0),
    **dict.fromkeys(("beta1", "beta2"), partial(number, below=1.0)),
    **dict.fromkeys(("epsilon", "least_step", "most_step"), partial(number, above=0.0)),
    "eta_minus": partial(number, above=0.0, below=1.0),
    "eta_plus": partial(number, above=1.0),
    **dict.fromkeys(
        ("weight_decay", "momentum_decay", "rate_decay", "initial_accumulator", "gradient_tolerance", "loss_tolerance"),
        number,
    ),
    **dict.fromkeys(("nesterov", "amsgrad", "centered", "rate_in_velocity", "epsilon_hat"), flag),
    "memory": partial(whole, maximum=1000),  # SciPy's workspace grows with its square
    **dict.fromkeys(("trials", "most_looks"), partial(whole, maximum=2**31 - 1)),
}


@dataclass(frozen=True)
class Optimizer:
    """What all optimizers have; not one by itself.

    Attributes
    ----------
    name : str
        The name that stands for its defaults.
    code : int
        The number by which the kernels know its step.
    default_learning_rate : float
        The rate if none is given.
    slots : int
        How many state vectors as long as the parameters it keeps.
    full_batch : bool
        Whether it needs the gradient over all rows in every step.
    searches_step : bool
        Whether it finds the length of each step itself, and has no learning rate.
    elsewhere : str
        Its names in other libraries, which may differ in case and hyphens.
    """

    name: ClassVar[str] = ""
    default_learning_rate: ClassVar[float] = 0.01
    full_batch: ClassVar[bool] = False
    searches_step: ClassVar[bool] = False
    elsewhere: ClassVar[str] = ""
    slots: ClassVar[int] = 0
    _row: ClassVar[rows.OptimizerRow] = rows.OptimizerRow("frozen", (), 0, code=rows.FROZEN)  # the kernels take no step
    code: ClassVar[int] = _row.code

    def __init_subclass__(cls, **facts: Any) -> None:
        """Set what a class says in its head, and find the row of its step: that of its name, else its base class's."""
        for attribute, value in facts.items():
            if not hasattr(cls, attribute):
                raise TypeError(f"{cls.__name__}: got {attribute!r}, which no optimizer has")
            setattr(cls, attribute, value)
        cls._row = rows.OPTIMIZERS.get(cls.name, cls._row)
        cls.code = cls._row.code
        if cls.code == rows.FROZEN and not cls.searches_step:
            raise TypeError(f"{cls.__name__}: got the name {cls.name!r}, of which _spec.optimizers has no row")

    def __post_init__(self) -> None:
        check_fields(self, _CHECKS)  # which also keeps them as Python's own floats and bools: equal ones print alike

    def starts(self, learning_rate: float) -> tuple[float, ...]:
        """Return what each state vector is filled with at the beginning.

        Parameters
        ----------
        learning_rate : float
            The rate of the first epoch.

        Returns
        -------
        tuple of float
            One number per state vector.
        """
        return (0.0,) * self.slots

    def settings(self) -> dict[str, Any]:
        """Return the fields of the kernels' settings that follow from it.

        Returns
        -------
        dict
            The code, the number of state vectors, and the settings that its step reads by their names.
        """
        own = {name: getattr(self, name) for name in self._row.settings}
        return own | {"optimizer": self.code, "slots": self.slots}


@keywords()
@dataclass(frozen=True)
class SGD(Optimizer, name="sgd", elsewhere="gd gradient_descent traingd"):
    """Stochastic gradient descent, plain or with momentum.

    Without momentum ``p -= lr * g``. With momentum, as in PyTorch, a buffer that starts at zero::

        buffer = momentum * buffer + g
        p -= lr * buffer                          # Polyak, 1964
        p -= lr * (g + momentum * buffer)         # nesterov (Nesterov, 1983; Sutskever et al., 2013)

    or, as scikit-learn and Keras have it and with the same steps as long as the rate stays the same, with the rate of
    its time in every gradient that a velocity remembers::

        velocity = momentum * velocity + lr * g   # rate_in_velocity
        p -= velocity, or lr * g + momentum * velocity

    Parameters
    ----------
    momentum : float, default 0.0
        The fraction of the buffer that each step keeps, in [0, 1].
    nesterov : bool, default False
        Look ahead along the buffer; needs a momentum above 0.
    rate_in_velocity : bool, default False
        Keep gradients times the rate that they were found at.

    Raises
    ------
    TypeError
        If `momentum` is not a real number, or `nesterov` or `rate_in_velocity` is not a bool.
    ValueError
        If `momentum` lies outside [0, 1], or `nesterov` is asked for without momentum.

    Examples
    --------
    >>> SGD(momentum=0.9, nesterov=True).slots
    1
    """

    momentum: float = 0.0
    nesterov: bool = False
    rate_in_velocity: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov: got True with momentum 0; it needs a momentum above 0, such as 0.9")

    @property
    def slots(self) -> int:
        """One, the buffer, with momentum."""
        return int(self.momentum > 0.0)


@keywords(beta1="b1 betas", beta2="b2 betas")
@dataclass(frozen=True)
class Adam(Optimizer, name="adam", default_learning_rate=0.001):
    """Adam (Kingma & Ba, 2015): steps scaled by running means of the gradient and of its square.

    The two means start at zero and are corrected for it, with epsilon at PyTorch's place::

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)

    Parameters
    ----------
    beta1 : float, default 0.9
        The fraction of the mean gradient that each step keeps, in [0, 1).
    beta2 : float, default 0.999
        The fraction of the mean squared gradient that each step keeps, in [0, 1).
    epsilon : float, default 1e-8
        Keeps the division finite; above 0.
    amsgrad : bool, default False
        Divide by the largest v so far (Reddi et al., On the convergence of Adam and beyond, 2018);
        ``optimizer="amsgrad"`` is short for it.
    epsilon_hat : bool, default False
        Add epsilon to sqrt(v) before it is corrected, as the paper's short form, scikit-learn and TensorFlow do:
        ``p -= lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + epsilon)``. By keyword only.

    Raises
    ------
    TypeError
        If a value is not a real number, or `amsgrad` or `epsilon_hat` is not a bool.
    ValueError
        If a beta lies outside [0, 1) or `epsilon` is not above 0.

    Examples
    --------
    >>> Adam(beta2=0.99)
    Adam(beta1=0.9, beta2=0.99, epsilon=1e-08, amsgrad=False, epsilon_hat=False)
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    amsgrad: bool = False
    epsilon_hat: bool = field(default=False, kw_only=True)

    weight_decay: ClassVar[float] = 0.0  # AdamW's, which takes the same step

    @property
    def slots(self) -> int:
        """Two, m and v, and the largest v for AMSGrad."""
        return 2 + self.amsgrad


@keywords(beta1="b1 betas", beta2="b2 betas")
@dataclass(frozen=True)
class AdamW(Adam, name="adamw"):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019).

    Every step first shrinks the parameters, biases included, as PyTorch's does: ``p *= 1 - lr * weight_decay``; then
    it is Adam's.

    Parameters
    ----------
    beta1, beta2, epsilon, amsgrad, epsilon_hat
        As in `Adam`.
    weight_decay : float, default 0.01
        How fast parameters shrink, at least 0.

    Raises
    ------
    TypeError, ValueError
        As in `Adam`; if `weight_decay` is not a number of at least 0.

    Examples
    --------
    >>> AdamW(weight_decay=0.1).weight_decay
    0.1
    """

    weight_decay: float = 0.01


@keywords(beta1="b1 betas", beta2="b2 betas", momentum_decay="schedule_decay")
@dataclass(frozen=True)
class NAdam(Optimizer, name="nadam", default_learning_rate=0.002, slots=2):
    """Adam with Nesterov's look ahead (Dozat, 2016).

    m and v are Adam's. With mu_t = beta1 (1 - 0.5 * 0.96^(t momentum_decay)) and P_t the product of mu_1 ... mu_t::

        step = (1 - mu_t) / (1 - P_t) * g + mu_{t+1} / (1 - P_{t+1}) * m
        p -= lr * step / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)

    Parameters
    ----------
    beta1, beta2, epsilon
        As in `Adam`.
    momentum_decay : float, default 0.004
        How fast the momentum reaches beta1, at least 0.

    Raises
    ------
    TypeError, ValueError
        As in `Adam`; if `momentum_decay` is not a number of at least 0.

    Examples
    --------
    >>> NAdam().default_learning_rate
    0.002
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    momentum_decay: float = 0.004


@keywords(beta2="alpha rho decay decay_rate")
@dataclass(frozen=True)
class RMSprop(Optimizer, name="rmsprop"):
    """RMSprop (Hinton, Neural networks for machine learning, lecture 6, 2012).

    Steps divided by the root of a running mean of the squared gradient::

        v = beta2 * v + (1 - beta2) * g^2
        r = sqrt(v) + epsilon                     # centered (Graves, 2013): sqrt(v - m^2), m the mean gradient
        p -= lr * g / r                           # with momentum: b = momentum * b + g / r; p -= lr * b

    Parameters
    ----------
    beta2 : float, default 0.99
        The fraction of the means that each step keeps, in [0, 1); PyTorch's alpha.
    epsilon : float, default 1e-8
        Keeps the division finite; above 0.
    momentum : float, default 0.0
        The fraction of the buffer that each step keeps, in [0, 1].
    centered : bool, default False
        Divide by the gradient's standard deviation instead of its root mean square.

    Raises
    ------
    TypeError, ValueError
        If a value is of another type or outside its range.

    Examples
    --------
    >>> RMSprop(momentum=0.9).slots
    2
    """

    beta2: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0
    centered: bool = False

    @property
    def slots(self) -> int:
        """One, v; two with the buffer of a momentum; three with the mean gradient too."""
        return 3 if self.centered else 1 + (self.momentum > 0.0)


@keywords(rate_decay="lr_decay decay", initial_accumulator="initial_accumulator_value")
@dataclass(frozen=True)
class Adagrad(Optimizer, name="adagrad", slots=1):
    """Adagrad (Duchi, Hazan & Singer, 2011): steps divided by the root of all squared gradients so far.

    ::

        s = s + g^2
        p -= lr / (1 + (t - 1) rate_decay) * g / (sqrt(s) + epsilon)

    Parameters
    ----------
    rate_decay : float, default 0.0
        How fast the rate falls with the steps, at least 0; PyTorch's lr_decay.
    initial_accumulator : float, default 0.0
        Where s starts, at least 0.
    epsilon : float, default 1e-10
        Keeps the division finite; above 0.

    Raises
    ------
    TypeError, ValueError
        If a value is of another type or outside its range.

    Examples
    --------
    >>> Adagrad(initial_accumulator=0.1).starts(0.01)
    (0.1,)
    """

    rate_decay: float = 0.0
    initial_accumulator: float = 0.0
    epsilon: float = 1e-10

    def starts(self, learning_rate: float) -> tuple[float, ...]:  # noqa: D102  documented in the base class
        return (self.initial_accumulator,)


@keywords(beta2="rho decay")
@dataclass(frozen=True)
class Adadelta(Optimizer, name="adadelta", default_learning_rate=1.0, slots=2):
    """Adadelta (Zeiler, 2012): steps in proportion to the root of past steps over that of past gradients.

    ::

        v = beta2 * v + (1 - beta2) * g^2
        d = sqrt(u + epsilon) / sqrt(v + epsilon) * g
        u = beta2 * u + (1 - beta2) * d^2
        p -= lr * d

    Parameters
    ----------
    beta2 : float, default 0.9
        The fraction of the means that each step keeps, in [0, 1); PyTorch's rho.
    epsilon : float, default 1e-6
        Where steps begin; above 0.

    Raises
    ------
    TypeError, ValueError
        If a value is of another type or outside its range.

    Examples
    --------
    >>> Adadelta().default_learning_rate
    1.0
    """

    beta2: float = 0.9
    epsilon: float = 1e-6


@keywords(beta1="b1 betas", beta2="b2 betas")
@dataclass(frozen=True)
class Lion(Optimizer, name="lion", default_learning_rate=0.0001, slots=1):
    """Lion (Chen et al., Symbolic discovery of optimization algorithms, 2023): the sign of a mean gradient.

    ::

        p -= lr * (sign(beta1 * m + (1 - beta1) * g) + weight_decay * p)
        m = beta2 * m + (1 - beta2) * g

    Parameters
    ----------
    beta1 : float, default 0.9
        The fraction of the mean in the step, in [0, 1).
    beta2 : float, default 0.99
        The fraction of the mean that each step keeps, in [0, 1).
    weight_decay : float, default 0.0
        How fast parameters, biases included, shrink; at least 0.

    Raises
    ------
    TypeError, ValueError
        If a value is of another type or outside its range.

    Examples
    --------
    >>> Lion().default_learning_rate
    0.0001
    """

    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0


@keywords(eta_minus="etas", eta_plus="etas", least_step="step_sizes min_step", most_step="step_sizes max_step")
@dataclass(frozen=True)
class Rprop(Optimizer, name="rprop", slots=2, full_batch=True, elsewhere="trainrp resilient"):
    """Resilient backpropagation (Riedmiller & Braun, 1993), as iRPROP- (Igel & Hüsken, 2000).

    Every parameter has a step of its own, which starts at the learning rate, grows by `eta_plus` while the gradient
    keeps its sign, and shrinks by `eta_minus` when it turns; there the gradient counts as zero once. The gradient's
    size plays no part. It needs the gradient over all rows: ``batch_size="full"``, which "auto" is with it.

    Parameters
    ----------
    eta_minus : float, default 0.5
        What a step is multiplied with when the sign turns, in (0, 1).
    eta_plus : float, default 1.2
        What it is multiplied with if the sign stays, above 1.
    least_step, most_step : float, default 1e-6 and 50.0
        Bounds of the steps, above 0.

    Raises
    ------
    TypeError, ValueError
        If a value is of another type or outside its range, or `least_step` above `most_step`.

    Examples
    --------
    >>> Rprop().starts(0.01)
    (0.0, 0.01)
    """

    eta_minus: float = 0.5
    eta_plus: float = 1.2
    least_step: float = 1e-6
    most_step: float = 50.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.least_step > self.most_step:
            raise ValueError(f"least_step: got {self.least_step}, above most_step {self.most_step}; at most that goes")

    def starts(self, learning_rate: float) -> tuple[float, ...]:  # noqa: D102  documented in the base class
        return (0.0, learning_rate)


@keywords(
    memory="history_size maxcor memory_size",
    gradient_tolerance="tolerance_grad gtol tol",
    loss_tolerance="tolerance_change ftol",
    trials="maxls max_linesearch_steps",
    most_looks="max_fun max_eval",
)
@dataclass(frozen=True)
class LBFGS(
    Optimizer,
    name="lbfgs",
    default_learning_rate=1.0,
    full_batch=True,
    searches_step=True,
    elsewhere="l_bfgs_b bfgs trainbfg",
):
    """L-BFGS (Liu & Nocedal, 1989), SciPy's L-BFGS-B: steps by an estimate of the curvature, as long as a search finds.

    It needs the gradient over all rows, ``batch_size="full"``, which "auto" is with it, and an objective that stays the
    same from step to step: no dropout, no clipping, no ``max_norm``. An epoch is one iteration, with as many passes
    over the rows as its line search takes, mostly one. It has no learning rate. What it has learned of the curvature is
    not kept from one training run to the next. SciPy is imported when it is asked for.

    Parameters
    ----------
    memory : int, default 10
        Steps that the curvature is estimated from, at most 1000.
    gradient_tolerance : float, default 1e-5
        The training run ends when no entry of the gradient is larger, at least 0.
    loss_tolerance : float, default 2.220446049250313e-09
        The training run ends when a step lessens the objective by no larger fraction of it, at least 0.
    trials : int, default 20
        How often a line search may compute the objective.
    most_looks : int, default 1000000000
        How often all iterations together may: the training run ends after the iteration that reaches it.

    Raises
    ------
    TypeError, ValueError
        If a value is of another type or outside its range.

    Examples
    --------
    >>> LBFGS(memory=20).slots
    0
    """

    memory: int = 10
    gradient_tolerance: float = 1e-5
    loss_tolerance: float = 2.220446049250313e-09
    trials: int = 20
    most_looks: int = 10**9


# Name -> what it stands for.
OPTIMIZERS: Mapping[str, Optimizer] = MappingProxyType(
    {kind.name: kind() for kind in (SGD, Adam, AdamW, NAdam, RMSprop, Adagrad, Adadelta, Lion, Rprop, LBFGS)}
    | {"amsgrad": Adam(amsgrad=True)}
)
ELSEWHERE: Mapping[str, list[str]] = table((name, chosen.elsewhere) for name, chosen in OPTIMIZERS.items())
