"""The records that Python lays out and the kernels read: each field once, with its comment.

The kernels' C structs and NumPy's structured dtypes are both made of these fields, in this order. Every field is 8
bytes wide: `integers` are int64, `floats` are double.

Standard library only: setup.py reads the records before anything is built.
"""

from dataclasses import dataclass, field
from functools import cached_property

from .activations import ACTIVATIONS
from .losses import LOSSES
from .optimizers import OPTIMIZERS


@dataclass(frozen=True)
class Record:
    """A struct of the kernels.

    Parameters
    ----------
    name : str
        The struct's name in the kernels.
    integers, floats : dict of str to str
        Name and comment of each field.
    """

    name: str
    integers: dict[str, str]
    floats: dict[str, str] = field(default_factory=dict)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The fields' names in their order."""
        return (*self.integers, *self.floats)


LAYER = Record(
    "Layer",
    {
        "inputs": "columns of what comes in",
        "outputs": "units",
        "activation": "its code",
        "weights": "where W begins in the parameter vector",
        "bias": "where b begins, or -1",
        "activations": "where h lies in the workspace",
        "deltas": "where dL/dz lies in the workspace",
        "stride": "from one row of h, of dL/dz and of the slopes to the next",
        "slopes": "where f'(z) lies, times what dropout leaves; -1: the slope follows from h",
    },
)

SLAB = Record(
    "Slab",
    {
        "layer": "its layer's number",
        "first_row": "rows of W: first_row to first_row + rows",
        "rows": "how many",
        "begin": "the same rows as a range of the parameter vector, b after the last rows included",
        "end": "the range's end",
        "penalized": "how many of the range, from the first, are weights under a penalty",
        "cost": "multiply-adds per sample",
    },
)

SETTINGS = Record(
    "Settings",
    {
        "loss": "its code",
        "metric": "its code",
        "narrow": "1: samples along the lanes; 0: outputs along the lanes",
        "rows": "training samples",
        "validation_rows": "samples to validate on",
        "inputs": "columns of x",
        "outputs": "units of the last layer",
        "parameters": "of the network",
        "batch": "samples per step",
        "shuffle": "1: the rows of a batch lie anywhere",
        "given_orders": "of how many epochs orders were given together; 0: orders are made of the seed",
        "seed": "of shuffling and of dropout",
        "first_epoch": "the epoch of record[0]",
        "epochs": "the epoch to stop before",
        "rates_per_epoch": "1, or as many as an epoch has batches",
        "optimizer": "its code",
        "slots": "state vectors of the optimizer",
        "nesterov": "sgd: 1: the step is taken ahead along the buffer",
        "amsgrad": "adam: 1: divide by the largest v so far",
        "centered": "rmsprop: 1: divide by the standard deviation",
        "rate_in_velocity": "sgd: 1: the buffer holds gradients times their rates",
        "epsilon_hat": "adam: 1: epsilon is added before the correction",
        "skip_inputs": "1: many of the samples' features are zero",
        "note_first": "layers' norms are noted in the first so many epochs of a network,",
        "note_every": "and then in every such one",
        "notes": "how many epochs of this training run are noted",
        "published_ridge": "1: the article's penalty term instead of the gradient of its loss",
        "own_average": "1: a batch's loss and the penalties are over the batch's own weight, not over N",
        "threads": "how many make a call",
        "chunk": "samples that go through the layers together",
        "groups": "gradients of a batch (narrow) or a chunk (wide) that are summed apart; 1: none",
        "private_at": "where the threads' own parts of the workspace begin",
        "private_size": "how long each of them is",
        "inputs_at": "offset into a thread's part: gathered x",
        "inputs_stride": "from one gathered row of x to the next (wide)",
        "slab_inputs_at": "offset into a thread's part: columns of x that meet a slab",
        "targets_at": "offset into a thread's part: y of a block",
        "losses_at": "offset into a thread's part: losses of a block or chunk",
        "labels_at": "offset into a thread's part: labels of a block",
        "weights_at": "offset into a thread's part: samples' weights of a block",
        "packed_at": "offset into a thread's part: packed blocks of products",
        "outputs_at": "offset into a thread's part: h of the output layer, of a block",
        "output_deltas_at": "offset into a thread's part: dL/dz of the output layer, of a block",
        "groups_at": "offset into the shared part: the groups' gradients",
        "resident_at": "offset into the shared part: samples laid along the lanes once, to stay so (narrow); -1: none",
        "validation_resident_at": "the same of the samples to validate on",
        "penalties_at": "offset into the tallies: of each slab, twice",
        "norms_at": "offset into the tallies: of each slab",
        "validation_at": "offset into the tallies: of each part of the samples to validate on",
        "activations_at": "offset into the tallies: a sum of squares per layer, of each part of a batch",
    },
    {
        "threshold": "the output above which a class or a label is predicted",
        "momentum": "the fraction of the buffer that a step keeps",
        "beta1": "the fraction of the mean gradient that a step keeps",
        "beta2": "the fraction of the mean squared gradient that a step keeps",
        "epsilon": "keeps divisions finite",
        "weight_decay": "how fast parameters shrink",
        "momentum_decay": "nadam: how fast the momentum reaches beta1",
        "rate_decay": "adagrad: how fast the rate falls",
        "eta_minus": "rprop: the factor of a step whose gradient has turned",
        "eta_plus": "rprop: the factor of a step whose gradient has kept its sign",
        "least_step": "rprop: the smallest step",
        "most_step": "rprop: the largest step",
        "clip_norm": "what the gradient's norm is cut to; 0: not at all",
        "clip_value": "what the gradient's entries are cut to; 0: not at all",
        "max_norm": "what the norm of a unit's incoming weights is cut to; 0: not at all",
        "l1": "over N, as it stands in the gradient; with own_average over the rows' mean weight",
        "l2": "likewise",
        "loss_share": "the fraction of a loss that is written down: 1 / outputs if that is their mean",
        "loss_growth": "a loss above so many times the first one + 1 is questioned; 0: none is",
        "usable_growth": "the weights of a loss up to so many times the first one + 1 are usable",
    },
)

POSITION = Record(
    "Position",
    {
        "epoch": "the one that is under way",
        "batch": "the next one of this epoch",
        "step": "updates made",
        "diverged": "1 once a loss was not finite",
        "noted": "epochs of this training run whose layers' norms are in layer_record",
        "usable": "updates before the last loss that was not far above the first one",
        "validated": "samples that are over, if the epoch's validation has been paused",
    },
    {
        "loss_sum": "of this epoch so far",
        "loss_rows": "the rows that it is over: those of batches whose own weight is 0 have no loss",
        "hits": "the weight of the samples of this epoch that were classified correctly",
        "beta1_power": "the product of all steps' beta1, which NAdam changes",
        "beta2_power": "the product of all steps' beta2",
        "loss_limit": "a finite loss above it is questioned; 0: the first step sets it",
        "questioned": "the next step's loss, above loss_limit; 0: none is; below 0: it counts as not finite",
    },
)

# Fields of POSITION that are 0 when an epoch begins, and when a training run does.
OF_EPOCH = ("batch", "diverged", "validated", "loss_sum", "loss_rows", "hits")
OF_RUN = (*OF_EPOCH, "loss_limit", "questioned")

EPOCH = Record(
    "Epoch",
    {},
    {
        "loss": "mean objective over the epoch's batches",
        "accuracy": "the fraction of training samples classified correctly",
        "val_loss": "the objective over the samples to validate on, after the epoch",
        "val_accuracy": "the fraction of them classified correctly",
        "learning_rate": "written before the call; all others by it",
        "gradient_norm": "of the epoch's last step",
    },
)

STRUCTS = (LAYER, SLAB, SETTINGS, POSITION)
# What counts as a hit: nothing (regression), the largest output, every output on its target's side of the threshold.
METRICS = ("no_metric", "largest", "threshold")


def names() -> dict[str, tuple[str, ...]]:
    """Return the fields of each record and the names of the choices: what a build of the kernels has to agree with."""
    fields = {record.name: record.names for record in (*STRUCTS, EPOCH)}
    choices = {"activations": ACTIVATIONS, "losses": LOSSES, "optimizers": OPTIMIZERS, "metrics": METRICS}
    return fields | {kind: tuple(rows) for kind, rows in choices.items()}
