"""Sizes in, offsets out: where every number of a training lies. Integers only, no arithmetic of a network.

The parameters are one flat vector, W then b, layer by layer; gradient and optimizer state have the same layout. A
call of the kernels works in one workspace that is sized here beforehand. The structured dtypes are what the kernels
read as C structs (kernels/records.pxi), field by field in the same order, every field 8 bytes wide.

Network, training and the backends import it; it imports nothing of fastmlp.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


def _record(integers: str, floats: str = "") -> np.dtype:
    return np.dtype([(name, "i8") for name in integers.split()] + [(name, "f8") for name in floats.split()])


LAYER = _record("inputs outputs activation weights bias activations deltas stride slopes dropout")
SLAB = _record("layer first_row rows begin end penalized cost")
SETTINGS = _record(
    "loss metric narrow rows validation_rows inputs outputs parameters batch shuffle given_orders seed first_epoch "
    "epochs rates_per_epoch optimizer slots nesterov amsgrad centered rate_in_velocity epsilon_hat skip_inputs "
    "dropping note_first note_every notes published_ridge own_average threads chunk groups private_at private_size "
    "inputs_at inputs_stride slab_inputs_at targets_at losses_at labels_at weights_at packed_at outputs_at "
    "output_deltas_at groups_at resident_at validation_resident_at penalties_at norms_at validation_at activations_at",
    "momentum beta1 beta2 epsilon weight_decay momentum_decay rate_decay eta_minus eta_plus least_step most_step "
    "clip_norm clip_value max_norm l1 l2 loss_share",
)
_PACKED_SETTINGS = struct.Struct("".join("q" if field[0].kind == "i" else "d" for field in SETTINGS.fields.values()))
EPOCH = _record("", "loss accuracy val_loss val_accuracy learning_rate gradient_norm")
POSITION = _record("epoch batch step diverged noted", "loss_sum hits beta1_power beta2_power")
# int64: what threads meet by, the barrier's and then each helper's, cache lines apart; and the places of two of them
CONTROL_WORDS, HELPER_WORDS, ABANDONED, CALL_STEPS = 24, 8, 16, 17

_LINE = 64  # bytes of a cache line, and of the longest vector
_TINY = 512  # parameters up to which samples lie along the lanes, however few they are
_SMALL = 1024  # the same from _NARROW_BATCH samples on: what a row costs by itself outweighs its products
_NARROW = 4096  # the same where outputs would leave lanes empty; above, outputs fill them well enough
_NARROW_BATCH = 16
_POOR_FILL = 0.85
_NARROW_BYTES = 192 * 1024  # of a chunk's samples, activations and deltas together: well inside a usual L2
_RESIDENT_BYTES = 1 << 20  # of samples that are laid along the lanes once instead of every epoch
_MOST_GROUPS = 64  # gradients of a batch that are summed apart: the most threads that a narrow network feeds
_WIDE_CHUNK = 1024  # rows that go through a wide network together
_SLABS_PER_LAYER = 32
_MOST_SLAB_ROWS = 256
_MANY_INPUTS = 1024  # of a layer so large that packing its deltas pays, which slabs of so many rows do:
_LARGE_SLAB_ROWS = 64
_WEIGHTS_PER_THREAD = 250_000  # that are worth a thread by themselves, however few the rows
FIRST_NOTED = 16  # epochs of which layers' norms are noted, whatever they cost
_NOTED_STEPS = 64  # later on, steps from one note to the next: they then cost a five-hundredth of the smallest step
_GROUP_ROWS = 64  # at least, of a wide network's group: its gradient is loaded and stored once for so many rows


class Plan(NamedTuple):
    """One call of the kernels, laid out.

    Parameters
    ----------
    layers : ndarray of LAYER, shape (layers,)
        The layers, with offsets into the parameter vector and the workspace.
    slabs : ndarray of SLAB, shape (slabs,)
        The ranges of the parameter vector that a thread takes through gradient and update.
    settings : ndarray of SETTINGS, shape (1,)
        What stays the same during the call.
    workspace : int
        Numbers of the network's dtype that the workspace holds.
    tallies : int
        float64 numbers that the sums of losses, hits, penalties and norms take.
    """

    layers: np.ndarray
    slabs: np.ndarray
    settings: np.ndarray
    workspace: int
    tallies: int


def network_layers(
    sizes: Sequence[int], activations: Sequence[int], bias: bool, keeps: Sequence[bool] = (),
    dropout: Sequence[float] = (),
) -> np.ndarray:
    """Lay out the parameter vector of a network.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden sizes, outputs.
    activations : sequence of int
        The activation's code for each layer, output included.
    bias : bool
        Whether layers have biases.
    keeps : sequence of bool, default ()
        For each hidden layer whether its slopes do not follow from its outputs, and are kept; () means none.
    dropout : sequence of float, default ()
        For each hidden layer the share of units that a step leaves out, in [0, 1); () means none.

    Returns
    -------
    ndarray of LAYER, shape (len(sizes) - 1,)
        The layers, not to be written; offsets into a workspace are still 0, and slopes -1 where none are kept.
    """
    return _network_layers(tuple(sizes), tuple(activations), bias, tuple(keeps), tuple(dropout))


@functools.lru_cache(maxsize=64)
def _network_layers(
    sizes: tuple[int, ...], activations: tuple[int, ...], bias: bool, keeps: tuple[bool, ...],
    dropout: tuple[float, ...],
) -> np.ndarray:
    layers = np.zeros(len(sizes) - 1, LAYER)
    if dropout:
        layers["dropout"][:-1] = [min(round(share * 2**31), 2**31 - 1) for share in dropout]
    layers["slopes"] = -1
    if keeps:
        layers["slopes"][:-1][np.array(keeps, np.bool_)] = 0
    layers["slopes"][layers["dropout"] > 0] = 0
    layers["inputs"], layers["outputs"], layers["activation"] = sizes[:-1], sizes[1:], activations
    weights = layers["inputs"] * layers["outputs"]
    ends = np.cumsum(weights + (layers["outputs"] if bias else 0))
    layers["weights"] = np.concatenate(([0], ends[:-1]))
    layers["bias"] = layers["weights"] + weights if bias else -1
    layers.flags.writeable = False
    return layers


def parameter_count(layers: np.ndarray) -> int:
    """Count the parameters of a network."""
    inputs, outputs, _, weights, bias = layers[-1].item()[:5]
    return bias + outputs if bias >= 0 else weights + inputs * outputs


def plan(
    layers: np.ndarray, build: Mapping[str, Any], *, batch: int, rows: int, validation_rows: int = 0,
    threads: int = 1, settled: bool = False, shuffle: bool = False, **settings: Any,
) -> Plan:
    """Lay out one call of the kernels.

    Parameters
    ----------
    layers : ndarray of LAYER
        From `network_layers`.
    build : mapping
        What the build of the kernels says of itself (``sizes()``).
    batch, rows, validation_rows : int
        Rows of a batch, of all samples and of the validation samples.
    threads : int, default 1
        How many threads make the call.
    settled : bool, default False
        Whether every step sees all rows in the same order, so that they may stay laid out.
    shuffle : bool, default False
        Whether the rows of a batch lie anywhere, and have to be gathered.
    **settings
        Further fields of SETTINGS.

    Returns
    -------
    Plan
        The layout. It is the same for any number of threads, but for the threads' own parts of the workspace.
    """
    narrow = is_narrow(layers, int(build["lanes"]), batch)
    records, slabs, fields, workspace, tallies = _laid_out(
        layers.tobytes(), tuple(build.items()), narrow, batch, rows, validation_rows, threads, settled,
        shuffle,
    )
    # Packed by struct: NumPy takes five times as long to make a record of so many fields.
    packed = np.frombuffer(_PACKED_SETTINGS.pack(*(fields | settings).values()), SETTINGS)
    return Plan(records, slabs, packed, workspace, tallies)


# Kept: a sweep trains networks of the same sizes on as many rows again and again, and a small training takes no
# longer than this.
@functools.lru_cache(maxsize=64)
def _laid_out(
    layers: bytes, about_build: tuple[tuple[str, Any], ...], narrow: bool, batch: int, rows: int, validation_rows: int,
    threads: int, settled: bool, shuffle: bool,
) -> tuple[np.ndarray, np.ndarray, dict[str, Any], int, int]:
    """Lay out a call: layers, slabs, the fields of its settings that follow from sizes, workspace and tallies."""
    build = dict(about_build)
    # Laid out in dicts: NumPy takes longer to set one field of a record than Python to compute it.
    given = np.frombuffer(layers, LAYER)
    offsets = [dict(zip(LAYER.names, layer, strict=True)) for layer in given.tolist()]
    fields = dict.fromkeys(SETTINGS.names, 0) | {
        "rows": rows, "validation_rows": validation_rows, "batch": batch, "threads": threads, "narrow": narrow,
        "shuffle": shuffle,
        "inputs": offsets[0]["inputs"], "outputs": offsets[-1]["outputs"], "parameters": parameter_count(given),
    }
    item = np.dtype(build["dtype"]).itemsize
    if narrow:
        workspace = _lay_out_narrow(offsets, fields, build, item, settled)
    else:
        workspace = _lay_out_wide(offsets, fields, build, item)
    slabs = np.array(_slabs(offsets, narrow, int(build["tile_rows"])), SLAB)
    records = np.array([tuple(layer.values()) for layer in offsets], LAYER)
    slabs.flags.writeable = records.flags.writeable = False
    tallies = _lay_out_tallies(fields, len(records), len(slabs), int(build["row_block"]))
    return records, slabs, fields, workspace, tallies


def noted_epochs(first: int, epochs: int, batches: int, every_one: bool = False) -> tuple[int, np.ndarray]:
    """List the epochs whose layers' norms are noted.

    Parameters
    ----------
    first, epochs : int
        Epochs before the training, and of it.
    batches : int
        Steps of an epoch.
    every_one : bool, default False
        Whether to note them all, and the one that would come next.

    Returns
    -------
    every : int
        From the 16th epoch on, epochs from one to the next.
    noted : ndarray of int64
        The epochs, counted from 0; they do not depend on how a training is cut into calls.
    """
    every, end = 1 if every_one else -(-_NOTED_STEPS // batches), first + epochs + every_one
    head = np.arange(first, min(end, FIRST_NOTED))
    if end <= FIRST_NOTED:
        return every, head
    later = max(first, FIRST_NOTED)
    return every, np.concatenate((head, np.arange(-(-later // every) * every, end, every)))


def is_narrow(layers: np.ndarray, lanes: int, batch: int) -> bool:
    """Tell whether samples lie along the lanes, as they do where outputs would not fill them.

    The bounds were measured, over widths 4 to 784 and batches of 8 to 512 in both dtypes: within them this layout is
    up to 8 times faster than the other, and outside of them never by more than a fifth.
    """
    count = parameter_count(layers)
    weights = lanes_taken = 0
    for inputs, outputs, *_ in layers.tolist():
        weights += inputs * outputs
        lanes_taken += inputs * _rounded_up(outputs, lanes)
    fill = weights / lanes_taken
    if batch < _NARROW_BATCH:
        return count <= _TINY
    return count <= _SMALL or (count <= _NARROW and fill < _POOR_FILL)


def most_threads(layers: np.ndarray, build: Mapping[str, Any], *, batch: int) -> int:
    """Count the threads that a step can be shared out among.

    One a group of samples, or one a block of rows; where weights are many, they alone are worth threads, since every
    step reads and writes each of them and its optimizer's state.

    Parameters
    ----------
    layers : ndarray of LAYER
        From `network_layers`.
    build : mapping
        What the build of the kernels says of itself (``sizes()``).
    batch : int
        Rows of a batch.

    Returns
    -------
    int
        At least 1; more threads would wait.
    """
    settings = plan(layers, build, batch=batch, rows=batch).settings
    groups, chunk = int(settings["groups"][0]), int(settings["chunk"][0])
    if settings["narrow"][0] or groups > 1:
        return groups
    return max(-(-min(batch, chunk) // int(build["row_block"])), parameter_count(layers) // _WEIGHTS_PER_THREAD)


def _rounded_up(count: int, unit: int) -> int:
    return -(-count // unit) * unit


def _lay_out_narrow(
    layers: list[dict[str, int]], settings: dict[str, Any], build: Mapping[str, Any], item: int, settled: bool,
) -> int:
    """Fill in the offsets of a narrow network; returns the workspace's size."""
    inputs, outputs, line = settings["inputs"], settings["outputs"], _LINE // item
    sample = inputs + outputs + 1 + 3 + sum((2 + (layer["slopes"] >= 0)) * layer["outputs"] for layer in layers)
    batch = settings["batch"]
    chunks = -(-batch // max(line, _NARROW_BYTES // item // sample // line * line))
    chunk = _rounded_up(-(-batch // chunks), line)
    settings["chunk"], settings["groups"] = chunk, min(chunks, _MOST_GROUPS)

    private = _Cursor()
    settings["inputs_at"] = private.take((inputs + outputs + 2) * chunk)
    settings["losses_at"] = private.take(3 * chunk)
    for layer in layers:
        layer["stride"] = chunk
        layer["activations"] = private.take(layer["outputs"] * chunk)
        layer["deltas"] = private.take(layer["outputs"] * chunk)
        if layer["slopes"] >= 0:
            layer["slopes"] = private.take(layer["outputs"] * chunk)

    shared = _Cursor()
    settings["groups_at"] = shared.take(settings["groups"] * _rounded_up(settings["parameters"], 16))
    for field, rows, stays in (
        ("resident_at", batch, settled),
        ("validation_resident_at", settings["validation_rows"], True),
    ):
        size = -(-rows // chunk) * (inputs + outputs + 2) * chunk
        settings[field] = shared.take(size) if stays and 0 < size * item <= _RESIDENT_BYTES else -1
    return _private_parts(settings, shared, private, line)


def _lay_out_wide(
    layers: list[dict[str, int]], settings: dict[str, Any], build: Mapping[str, Any], item: int,
) -> int:
    """Fill in the offsets of a wide network; returns the workspace's size."""
    line = _LINE // item
    row_block = int(build["row_block"])
    chunk = min(_WIDE_CHUNK, _rounded_up(max(settings["batch"], 1), row_block))
    groups = _wide_groups([(layer["inputs"], layer["outputs"]) for layer in layers], min(settings["batch"], chunk))
    settings["chunk"], settings["groups"] = chunk, groups

    shared = _Cursor()
    settings["groups_at"] = shared.take(groups * _rounded_up(settings["parameters"], 16) if groups > 1 else 0)
    for layer in layers:
        layer["stride"] = _stride(layer["outputs"], line)
        layer["activations"] = shared.take(layer["stride"] * chunk)
        layer["deltas"] = shared.take(layer["stride"] * chunk)
        if layer["slopes"] >= 0:
            layer["slopes"] = shared.take(layer["stride"] * chunk)

    private = _Cursor()
    block = settings["outputs"] * int(build["row_block"])
    settings["packed_at"] = private.take(int(build["pack_reals"]))
    settings["outputs_at"] = private.take(block)
    settings["output_deltas_at"] = private.take(block)
    settings["targets_at"] = private.take(block)
    settings["losses_at"] = private.take(3 * int(build["row_block"]))
    settings["labels_at"] = private.take(int(build["row_block"]))
    settings["weights_at"] = private.take(int(build["row_block"]))
    if settings["shuffle"]:
        threads, inputs = settings["threads"], settings["inputs"]
        settings["inputs_stride"] = _stride(inputs, line)
        units, unit_rows = (groups, -(-chunk // groups)) if groups > 1 else (chunk // row_block, row_block)
        settings["inputs_at"] = private.take(settings["inputs_stride"] * -(-units // threads) * unit_rows)
        slab_rows = _slab_rows(inputs, int(build["tile_rows"])) if groups == 1 and threads > 1 else 0
        settings["slab_inputs_at"] = private.take(slab_rows * chunk)
    settings["resident_at"] = settings["validation_resident_at"] = -1
    return _private_parts(settings, shared, private, line)


def _wide_groups(sizes: list[tuple[int, int]], rows: int) -> int:
    """Say how many gradients of a wide network's chunk are summed apart; 1: the weights are shared out instead.

    Groups pay where a thread would otherwise take more numbers from other threads' caches, half of each layer's
    inputs and all deltas of every row, than there are weights: a gradient is written and read once more.
    """
    weights = sum(inputs * outputs for inputs, outputs in sizes)
    if 2 * weights > rows * sum(inputs // 2 + outputs for inputs, outputs in sizes):
        return 1
    return min(_MOST_GROUPS, 1 << max(0, (rows // _GROUP_ROWS).bit_length() - 1))


def _stride(width: int, line: int) -> int:
    """Pad a row to an odd number of cache lines: rows an even number apart crowd into a few sets of the cache."""
    lines = -(-width // line)
    return (lines + (lines > 1 and lines % 2 == 0)) * line


class _Cursor:
    """Hands out ranges one behind the other."""

    def __init__(self) -> None:
        self.at = 0

    def take(self, size: int) -> int:
        begin = self.at
        self.at += size
        return begin


def _private_parts(settings: dict[str, Any], shared: _Cursor, private: _Cursor, line: int) -> int:
    """Put the threads' own parts behind the shared one, a cache line apart from each other."""
    settings["private_at"] = _rounded_up(shared.at, line)
    settings["private_size"] = _rounded_up(private.at, line) + line
    return settings["private_at"] + settings["threads"] * settings["private_size"]


def _slabs(layers: list[dict[str, int]], narrow: bool, tile_rows: int) -> list[tuple[int, ...]]:
    """Cut each layer's weights into slabs of whole rows; the biases go with the last one."""
    slabs: list[tuple[int, ...]] = []
    for number, layer in enumerate(layers):
        inputs, outputs = layer["inputs"], layer["outputs"]
        rows = inputs if narrow else _slab_rows(inputs, tile_rows)
        for first in range(0, inputs, rows):
            count = min(rows, inputs - first)
            begin = layer["weights"] + first * outputs
            end = begin + count * outputs
            if first + count == inputs and layer["bias"] >= 0:
                end += outputs
            slabs.append((number, first, count, begin, end, count * outputs, count * outputs))
    return slabs


def _slab_rows(inputs: int, tile_rows: int) -> int:
    """Say how many rows of a wide layer's weights a slab has."""
    rows = _rounded_up(-(-inputs // _SLABS_PER_LAYER), tile_rows)
    return min(rows if inputs < _MANY_INPUTS else max(rows, _LARGE_SLAB_ROWS), _MOST_SLAB_ROWS)


def _lay_out_tallies(settings: dict[str, Any], layers: int, slabs: int, row_block: int) -> int:
    """Fill in where sums of losses, penalties and norms go; returns how many numbers they take."""
    narrow, chunk = settings["narrow"], settings["chunk"]
    cursor = _Cursor()
    batch_parts = settings["groups"] if narrow else _units(settings, settings["batch"], row_block)
    cursor.take(2 * batch_parts)
    settings["penalties_at"] = cursor.take(2 * slabs)
    settings["norms_at"] = cursor.take(slabs)
    checked = max(settings["validation_rows"], settings["rows"])
    parts = -(-checked // chunk) if narrow else _units(settings, checked, row_block)
    settings["validation_at"] = cursor.take(2 * parts)
    settings["activations_at"] = cursor.take(layers * batch_parts)
    return cursor.at


def _units(settings: dict[str, Any], rows: int, row_block: int) -> int:
    """Count the parts, at most, that a wide network's rows are shared out in."""
    return max(-(-rows // row_block), -(-rows // settings["chunk"]) * settings["groups"])
