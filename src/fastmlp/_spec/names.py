"""The names of all fields and of all choices, in their order: what a build of the kernels has to agree with.

Standard library only: setup.py reads them before anything is built.
"""

from .activations import ACTIVATIONS
from .losses import LOSSES
from .optimizers import OPTIMIZERS
from .records import EPOCH, METRICS, STRUCTS


def names() -> dict[str, tuple[str, ...]]:
    """Return the fields of each record and the names of the choices."""
    fields = {record.name: record.names for record in (*STRUCTS, EPOCH)}
    choices = {"activations": ACTIVATIONS, "losses": LOSSES, "optimizers": OPTIMIZERS, "metrics": METRICS}
    return fields | {kind: tuple(rows) for kind, rows in choices.items()}
