"""One row per optimizer. The kernels' dispatch, the reference and the dataclasses of `fastmlp.optimizers` follow them.

Standard library only: setup.py reads the rows before anything is built.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class OptimizerRow:
    """One kind of step.

    Parameters
    ----------
    name : str
        The stem of the functions' names in the kernels and in the reference.
    settings : tuple of str
        The fields of the kernels' settings that the step reads.
    slots : int
        The largest number of state vectors, each as long as the parameters.
    momentum : bool, default False
        Whether the step is compiled twice, with momentum and without.
    code : int
        The number by which the kernels know it: its place among the rows.
    """

    name: str
    settings: tuple[str, ...]
    slots: int
    momentum: bool = False
    code: int = -1


_ROWS = (
    OptimizerRow("sgd", ("momentum", "nesterov", "rate_in_velocity"), 1, momentum=True),
    # AdamW and AMSGrad too
    OptimizerRow("adam", ("beta1", "beta2", "epsilon", "amsgrad", "epsilon_hat", "weight_decay"), 3),
    OptimizerRow("nadam", ("beta1", "beta2", "epsilon", "momentum_decay"), 2),
    OptimizerRow("rmsprop", ("beta2", "epsilon", "momentum", "centered"), 3, momentum=True),
    OptimizerRow("adagrad", ("rate_decay", "epsilon"), 1),
    OptimizerRow("adadelta", ("beta2", "epsilon"), 2),
    OptimizerRow("lion", ("beta1", "beta2", "weight_decay"), 1),
    OptimizerRow("rprop", ("eta_minus", "eta_plus", "least_step", "most_step"), 2),
)

OPTIMIZERS = {row.name: replace(row, code=code) for code, row in enumerate(_ROWS)}
FROZEN = len(_ROWS)  # the code of no step: the gradient alone is wanted
