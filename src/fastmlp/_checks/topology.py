"""What a network is made of: sizes, activations, penalties, dtype, start; a record that checks itself."""

import os
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from fastmlp import initialization
from fastmlp._checks.task import Task
from fastmlp._engine import backend
from fastmlp._spec.values import choice, flag, number, shown, typed, whole
from fastmlp.activations import ELSEWHERE, HIDDEN_ACTIVATIONS

_MAX_BYTES = 2**44  # of the parameters: more than any machine has


def hidden_sizes(hidden: Any, argument: str = "hidden") -> tuple[int, ...]:
    """Check the sizes of the hidden layers; an int is one layer, an empty sequence a linear model."""
    if isinstance(hidden, np.ndarray) and hidden.ndim == 1:
        hidden = hidden.tolist()
    if isinstance(hidden, (list, tuple)):
        return tuple(whole(size, f"{argument}[{layer}]") for layer, size in enumerate(hidden))
    if isinstance(hidden, (int, np.integer)):
        return (whole(hidden, argument),)
    raise TypeError(
        f"{argument}: got {typed(hidden)}; a whole number or a tuple or list of them is accepted, such as (64, 32)"
    )


def activations(activation: Any, layers: int) -> tuple[str, ...]:
    if not isinstance(activation, (list, tuple)):
        return (choice(activation, HIDDEN_ACTIVATIONS, "activation", ELSEWHERE),) * layers
    names = tuple(choice(name, HIDDEN_ACTIVATIONS, f"activation[{i}]", ELSEWHERE) for i, name in enumerate(activation))
    if len(names) != layers:
        raise ValueError(
            f"activation: got {len(names)} names for {layers} hidden layers; one name for all, or one per "
            "hidden layer, is accepted"
        )
    return names


def floating(dtype: Any) -> np.dtype | None:
    """Check the dtype that a network computes in; None leaves it to the data."""
    if dtype is None:
        return None
    accepted = "'float32', 'float64' or None is accepted"
    try:
        found = np.dtype(dtype)
    except Exception as error:  # whatever NumPy meets in a foreign object
        raise TypeError(f"dtype: got {typed(dtype)}; {accepted}") from error
    if found not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype: got {found}; {accepted}")
    return found


def checked_seed(value: Any) -> int:
    if value is None:
        return int.from_bytes(os.urandom(8), "little") >> 1
    return whole(value, "seed", minimum=0, maximum=2**63 - 1)


# The fractions of units that steps leave out of each hidden layer, or what gives them for each epoch.
Dropout = tuple[float, ...] | Callable[[int], Any]


def checked_dropout(value: Any, layers: int) -> Dropout:
    """Check fractions, or a callable, whose answers `Topology.fractions` checks."""
    if not callable(value) or isinstance(value, type):
        return _fractions(value, layers)
    import inspect  # here: only a callable needs it

    try:
        inspect.signature(value).bind(0)
    except TypeError as error:
        raise TypeError(
            f"dropout: got {shown(value)}, which cannot be called with an epoch ({error}); a callable that takes one "
            "is accepted"
        ) from None
    except ValueError:  # it does not tell its signature
        pass
    return value


def _fractions(value: Any, layers: int) -> tuple[float, ...]:
    if isinstance(value, np.ndarray) and value.ndim <= 1:
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        fraction = number(value, "dropout", below=1.0)
        if fraction > 0 and not layers:
            raise ValueError(
                f"dropout: got {fraction} without a hidden layer whose units could be left out; leave it out"
            )
        return (fraction,) * layers
    fractions = tuple(number(fraction, f"dropout[{i}]", below=1.0) for i, fraction in enumerate(value))
    if len(fractions) != layers:
        raise ValueError(
            f"dropout: got {len(fractions)} fractions for {layers} hidden layers; one for all, or one each, is accepted"
        )
    return fractions


def _bias_init(value: Any, topology: "Topology") -> float | None:
    if value is None:
        return None
    start = number(value, "bias_init", minimum=-np.inf)
    if not topology.bias:
        raise ValueError(f"bias_init: got {start} with bias=False; leave it out, or take biases")
    largest = float(np.finfo(topology.dtype).max)
    if abs(start) > largest:
        raise ValueError(f"bias_init: got {start}; {topology.dtype} holds numbers up to {largest:.4g}")
    return start


def _init(value: Any, topology: "Topology") -> Any:
    count = topology.parameters
    if count * topology.dtype.itemsize > _MAX_BYTES:
        raise ValueError(
            f"hidden: got {shown(topology.hidden)}, which make {count} parameters of {topology.dtype}; at most "
            f"{_MAX_BYTES // topology.dtype.itemsize} are accepted"
        )
    return initialization.checked(value, count, topology.dtype)


def checked(check: Callable[[Any, Any], Any], default: Any = MISSING) -> Any:
    """Make a field whose value is what `check(value, record)` returns; fields above it are checked already."""
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True, eq=False)
class CheckedRecord:
    """A frozen record, all of whose values have been checked."""

    def __post_init__(self) -> None:
        for name, check in _checks_of(type(self)):
            object.__setattr__(self, name, check(getattr(self, name), self))


@cache
def _checks_of(record: type) -> tuple[tuple[str, Callable[[Any, Any], Any]], ...]:
    """Return the fields of a kind of record that are checked, in their order, each with its check."""
    return tuple((each.name, each.metadata["check"]) for each in fields(record) if "check" in each.metadata)


@dataclass(frozen=True, eq=False)
class Topology(CheckedRecord):
    """What a network is made of, checked: the arguments of `Network` that are not its task's."""

    inputs: int
    task: Task
    hidden: Sequence[int] = checked(lambda value, _: hidden_sizes(value))
    backend: str | None = checked(lambda value, _: value if value is None else backend.resolve(value), None)
    activation: Sequence[str] = checked(lambda value, self: activations(value, len(self.hidden)), "relu")
    bias: bool = checked(lambda value, _: flag(value, "bias"), True)
    l1: float = checked(lambda value, _: number(value, "l1"), 0.0)
    l2: float = checked(lambda value, _: number(value, "l2"), 0.0)
    dropout: Dropout = checked(lambda value, self: checked_dropout(value, len(self.hidden)), 0.0)
    seed: int = checked(lambda value, _: checked_seed(value), None)
    dtype: np.dtype = checked(lambda value, _: floating(value) or np.dtype(np.float64), None)
    init: Any = checked(_init, "glorot_uniform")
    bias_init: float | None = checked(_bias_init, None)

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.inputs, *self.hidden, self.task.outputs)

    @property
    def activations(self) -> tuple[str, ...]:
        return (*self.activation, self.task.output)

    @property
    def parameters(self) -> int:
        return sum((inputs + self.bias) * outputs for inputs, outputs in pairwise(self.sizes))

    def fractions(self, epoch: int) -> tuple[float, ...]:
        """Return what an epoch, counted from 0 over all training runs, leaves out of each hidden layer."""
        if not callable(self.dropout):
            return self.dropout
        given, layers = self.dropout(epoch), len(self.hidden)
        try:
            return _fractions(given, layers)
        except (TypeError, ValueError) as error:
            plain = given.tolist() if isinstance(given, np.ndarray | np.generic) else given
            each = f"one for all or one for each of {layers} hidden layers" if layers else "only 0 without hidden ones"
            raise type(error)(
                f"dropout: got {shown(plain)} for epoch {epoch}; numbers of at least 0 and below 1, {each}, are "
                "accepted"
            ) from error
