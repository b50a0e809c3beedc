"""Sizes in, offsets out: where every number of a training run lies. No arithmetic of a network.

The parameters are one flat vector, W then b, layer by layer; gradient and optimizer state have the same layout. A
call of the kernels works in one workspace, whose size is computed here. The structured dtypes are the kernels' C
structs: both are made of the records in `_spec`.
"""

import functools
import struct
from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from fastmlp._spec import records
from fastmlp._spec.activations import ACTIVATIONS
from fastmlp._spec.values import listing

LAYER, SLAB, SETTINGS, POSITION = (
    np.dtype([(name, "i8" if name in record.integers else "f8") for name in record.names]) for record in records.STRUCTS
)
_PACKED_SETTINGS = struct.Struct("q" * len(records.SETTINGS.integers) + "d" * len(records.SETTINGS.floats))
_KEPT = tuple(row.kept for row in ACTIVATIONS.values())  # by code

LINE_BYTES = 64  # of a cache line, and of the longest vector
_TINY = 512  # parameters up to which samples lie along the lanes, however few they are
_SMALL = 1024  # the same from _NARROW_BATCH samples on: what a row costs by itself outweighs its products
_NARROW = 4096  # the same if outputs would leave lanes empty; above, outputs fill them well enough
_NARROW_BATCH = 16
_POOR_FILL = 0.85
_NARROW_BYTES = 192 * 1024  # of a chunk's samples, activations and deltas together: well inside a usual L2
_RESIDENT_BYTES = 1 << 20  # of samples that are laid along the lanes once instead of every epoch
_MAX_GROUPS = 64  # gradients of a batch that are summed apart: as many threads, at most, have work in a narrow network
_WIDE_CHUNK = 1024  # rows that go through a wide network together
_SLABS_PER_LAYER = 32
_MAX_SLAB_ROWS = 256
_MANY_INPUTS = 1024  # from which on packing a layer's deltas pays, if a slab has at least so many rows:
_LARGE_SLAB_ROWS = 64
_WEIGHTS_PER_THREAD = 250_000  # that are worth a thread by themselves, for any number of rows
FIRST_NOTED = 16  # epochs whose layers' norms are noted at any cost
_NOTED_STEPS = 64  # steps from one later note to the next, which then cost a five-hundredth of the smallest step
_GROUP_ROWS = 64  # at least, per group of a wide network: its gradient is loaded and stored once for so many rows


class Plan(NamedTuple):
    """One call of the kernels, laid out.

    Parameters
    ----------
    layers : ndarray of LAYER, shape (layers,)
        The layers, with offsets into the parameter vector and the workspace.
    slabs : ndarray of SLAB, shape (slabs,)
        The ranges of the parameter vector that threads take through gradient and update.
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


class Arrays(NamedTuple):
    """The arrays that a `Run` of the kernels works on, in place; what it does not need is None.

    Parameters
    ----------
    parameters : ndarray, shape (parameters,)
        The flat parameter vector.
    state : ndarray, shape (slots * parameters,)
        The optimizer's state vectors, one after the other.
    gradient : ndarray, shape (parameters,)
        The gradient: of an epoch's last step, or what `differentiate` computes.
    record : ndarray of float64, shape (fields of EPOCH, epochs)
        What is written at the end of each epoch.
    layer_record : ndarray of float64, shape (2 layers, noted epochs)
        The layers' norms: of the gradient, then root mean squares of the activations.
    rates : ndarray of float64, shape (epochs * rates_per_epoch,)
        The learning rates.
    dropped : ndarray of int64, shape (hidden layers,)
        The fraction of units that a step leaves out of each, of 2^31; it may change between two calls, as long as the
        layers that any are left out of stay the same.
    position : ndarray of POSITION, shape (1,)
        Where the training run stands.
    order : ndarray of int32, shape (given_orders, rows) or (rows,)
        The rows' order.
    loss_parameters : ndarray of float64, shape (outputs,)
        The loss's parameter of each output.
    """

    parameters: np.ndarray
    state: np.ndarray | None = None
    gradient: np.ndarray | None = None
    record: np.ndarray | None = None
    layer_record: np.ndarray | None = None
    rates: np.ndarray | None = None
    dropped: np.ndarray | None = None
    position: np.ndarray | None = None
    order: np.ndarray | None = None
    loss_parameters: np.ndarray | None = None


class DroppedUnits(NamedTuple):
    """Which units a step leaves out of a layer.

    Parameters
    ----------
    threshold : int
        The fraction of the units, of 2^31.
    seed, epoch, layer : int
        What the draw follows from; the layer counts from 0.
    """

    threshold: int
    seed: int
    epoch: int
    layer: int


class OutputLayer(NamedTuple):
    """What the output layer computes.

    Parameters
    ----------
    loss, metric, activation : int
        Codes.
    threshold : float, default 0.5
        The output above which a class or a label is predicted.
    parameters : ndarray of float64, shape (outputs,), or None, default None
        The loss's parameter of each output.
    """

    loss: int
    metric: int
    activation: int
    threshold: float = 0.5
    parameters: np.ndarray | None = None


@functools.lru_cache(maxsize=64)
def network_layers(
    sizes: tuple[int, ...], activations: tuple[int, ...], bias: bool, dropping: tuple[bool, ...] = ()
) -> np.ndarray:
    """Return the layers of a network: where their weights and biases lie in the parameter vector.

    Parameters
    ----------
    sizes : tuple of int
        Inputs, hidden sizes, outputs.
    activations : tuple of int
        The activation's code for each layer, output included.
    bias : bool
        Whether layers have biases.
    dropping : tuple of bool, default ()
        For each hidden layer whether steps leave units out of it; () means none.

    Returns
    -------
    ndarray of LAYER, shape (len(sizes) - 1,)
        The layers, read-only; offsets into a workspace are still 0, and slopes -1 if none are kept.
    """
    layers = np.zeros(len(sizes) - 1, LAYER)
    kept = [_KEPT[code] or drops for code, drops in zip_longest(activations[:-1], dropping, fillvalue=False)]
    layers["slopes"] = np.where([*kept, False], 0, -1)
    layers["inputs"], layers["outputs"], layers["activation"] = sizes[:-1], sizes[1:], activations
    weights = layers["inputs"] * layers["outputs"]
    ends = np.cumsum(weights + (layers["outputs"] if bias else 0))
    layers["weights"] = np.concatenate(([0], ends[:-1]))
    layers["bias"] = layers["weights"] + weights if bias else -1
    layers.flags.writeable = False
    return layers


def dropped(fractions: Iterable[float]) -> tuple[int, ...]:
    """Return fractions of units, in [0, 1), as the kernels compare them: of 2^31."""
    return tuple(min(round(fraction * 2**31), 2**31 - 1) for fraction in fractions)


def parameter_count(layers: np.ndarray) -> int:
    return int(layers["outputs"] @ (layers["inputs"] + (layers["bias"] >= 0)))


def plan(
    layers: np.ndarray,
    build: Mapping[str, Any],
    *,
    batch: int,
    rows: int,
    validation_rows: int = 0,
    threads: int = 1,
    settled: bool = False,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> Plan:
    """Lay out one call of the kernels.

    Parameters
    ----------
    layers : ndarray of LAYER
        From `network_layers`.
    build : mapping
        What the build of the kernels reports (``sizes()``).
    batch, rows, validation_rows : int
        Rows of a batch, of all samples and of the validation samples.
    threads : int, default 1
        Threads that make the call.
    settled : bool, default False
        Whether every step takes all rows in the same order, so that they may stay laid out.
    settings : mapping
        Further fields of SETTINGS by name; the others are 0, except threshold, which is 0.5. ``shuffle``: the rows of
        a batch lie anywhere, and have to be gathered.

    Returns
    -------
    Plan
        The layout. It is the same for any number of threads, except for the threads' own parts of the workspace.

    Raises
    ------
    TypeError
        If there is no such setting.
    """
    sizes = {"rows": rows, "validation_rows": validation_rows, "batch": batch, "threads": threads}
    records, slabs, fields, workspace, tallies = _laid_out(
        layers.tobytes(), tuple(build.items()), tuple(sizes.items()), bool(settings.get("shuffle", False)), settled
    )
    if unknown := settings.keys() - fields.keys():
        raise TypeError(f"settings: got {listing(sorted(unknown))}; names of the kernels' settings are accepted")
    # Packed by struct: NumPy takes five times as long to make a record of so many fields.
    packed = bytearray(_PACKED_SETTINGS.pack(*(fields | settings).values()))
    return Plan(records, slabs, np.frombuffer(packed, SETTINGS), workspace, tallies)


# Kept: a sweep trains networks of the same sizes on as many rows again and again, and a small training run takes no
# longer than this.
@functools.lru_cache(maxsize=64)
def _laid_out(
    layers: bytes,
    about_build: tuple[tuple[str, Any], ...],
    sizes: tuple[tuple[str, int], ...],
    gathered: bool,
    settled: bool,
) -> tuple[np.ndarray, np.ndarray, dict[str, Any], int, int]:
    """Lay out a call: layers, slabs, the fields of its settings that follow from sizes, workspace and tallies."""
    given, build = np.frombuffer(layers, LAYER), dict(about_build)
    # dicts: NumPy takes longer to set one field of a record than Python to compute it
    offsets = [dict(zip(LAYER.names, layer, strict=True)) for layer in given.tolist()]
    fields = dict.fromkeys(SETTINGS.names, 0) | dict(sizes)
    fields |= {
        "narrow": is_narrow(given, build["lanes"], fields["batch"]),
        "shuffle": gathered,
        "inputs": offsets[0]["inputs"],
        "outputs": offsets[-1]["outputs"],
        "parameters": parameter_count(given),
        "threshold": 0.5,
        "resident_at": -1,
        "validation_resident_at": -1,
    }
    line = LINE_BYTES // np.dtype(build["dtype"]).itemsize
    if fields["narrow"]:
        shared, private = _lay_out_narrow(offsets, fields, line, settled)
    else:
        shared, private = _lay_out_wide(offsets, fields, line, build)
    # The threads' own parts lie after the shared part, a cache line apart from each other.
    fields |= {"private_at": _rounded_up(shared, line), "private_size": _rounded_up(private, line) + line}
    workspace = fields["private_at"] + fields["threads"] * fields["private_size"]
    slabs = _array(_slabs(offsets, fields["narrow"], build["tile_rows"]), SLAB)
    tallies = _lay_out_tallies(fields, len(offsets), len(slabs), build["row_block"])
    return _array(offsets, LAYER), slabs, fields, workspace, tallies


def noted_epochs(first: int, epochs: int, batches: int, every_one: bool = False) -> tuple[int, np.ndarray]:
    """Return the epochs whose layers' norms are noted.

    Parameters
    ----------
    first, epochs : int
        Epochs before the training run, and of it.
    batches : int
        Steps of an epoch.
    every_one : bool, default False
        Whether to note them all, and the epoch that would come next.

    Returns
    -------
    every : int
        From the 16th epoch on, epochs from one to the next.
    noted : ndarray of int64
        The epochs, counted from 0; they do not depend on how a training run is cut into calls.
    """
    every, end = 1 if every_one else -(-_NOTED_STEPS // batches), first + epochs + every_one
    head = np.arange(first, min(end, FIRST_NOTED))
    if end <= FIRST_NOTED:
        return every, head
    later = max(first, FIRST_NOTED)
    return every, np.concatenate((head, np.arange(-(-later // every) * every, end, every)))


def is_narrow(layers: np.ndarray, lanes: int, batch: int) -> bool:
    """Return whether samples lie along the lanes, as they do if outputs would not fill them.

    The bounds were measured, over widths 4 to 784 and batches of 8 to 512 in both dtypes: within them this layout is
    up to 8 times faster than the other, and outside of them never by more than a fifth.
    """
    count, inputs, outputs = parameter_count(layers), layers["inputs"], layers["outputs"]
    if batch < _NARROW_BATCH:
        return count <= _TINY
    fill = float(inputs @ outputs / (inputs @ _rounded_up(outputs, lanes)))
    return count <= _SMALL or (count <= _NARROW and fill < _POOR_FILL)


def max_threads(layers: np.ndarray, build: Mapping[str, Any], *, batch: int) -> int:
    """Return the number of threads from which on more would wait.

    One per group of samples, or one per block of rows. If weights are many, they alone are worth threads, since every
    step reads and writes each weight and its optimizer's state.

    Parameters
    ----------
    layers : ndarray of LAYER
        From `network_layers`.
    build : mapping
        What the build of the kernels reports (``sizes()``).
    batch : int
        Rows of a batch.

    Returns
    -------
    int
        At least 1.
    """
    settings = plan(layers, build, batch=batch, rows=batch).settings[0]
    groups, chunk = int(settings["groups"]), int(settings["chunk"])
    if settings["narrow"] or groups > 1:
        return groups
    return max(-(-min(batch, chunk) // build["row_block"]), parameter_count(layers) // _WEIGHTS_PER_THREAD)


def aligned(make: Callable[..., np.ndarray], size: int, dtype: np.dtype) -> np.ndarray:
    """Return numbers that begin on a cache line, so that no vector lies across two; `make` is np.zeros or np.empty."""
    whole = make(size + LINE_BYTES // dtype.itemsize, dtype)
    first = -whole.ctypes.data % LINE_BYTES // dtype.itemsize
    return whole[first : first + size]


def _rounded_up(count: int, unit: int) -> int:
    return -(-count // unit) * unit


def _place(record: dict[str, Any], sizes: Mapping[str, int], at: int = 0) -> int:
    """Fill in where ranges begin that lie one after the other from `at` on; return where the last one ends."""
    for field, size in sizes.items():
        record[field] = at
        at += size
    return at


def _place_layers(layers: list[dict[str, int]], row: str, chunk: int, at: int) -> int:
    """Fill in where each layer's numbers of a chunk lie; `row` is the field that tells how many one row takes."""
    for layer in layers:
        kept = ("activations", "deltas", "slopes") if layer["slopes"] >= 0 else ("activations", "deltas")
        at = _place(layer, dict.fromkeys(kept, layer[row] * chunk), at)
    return at


def _lay_out_narrow(
    layers: list[dict[str, int]], settings: dict[str, Any], line: int, settled: bool
) -> tuple[int, int]:
    """Fill in the offsets of a narrow network; return the sizes of the shared part and of a thread's own."""
    batch, columns, item = settings["batch"], settings["inputs"] + settings["outputs"] + 2, LINE_BYTES // line
    row = columns + 2 + sum((2 + (layer["slopes"] >= 0)) * layer["outputs"] for layer in layers)
    chunks = -(-batch // max(line, _NARROW_BYTES // item // row // line * line))
    chunk, groups = _rounded_up(-(-batch // chunks), line), min(chunks, _MAX_GROUPS)
    settings |= {"chunk": chunk, "groups": groups}
    for layer in layers:
        layer["stride"] = chunk
    private = _place(settings, {"inputs_at": columns * chunk, "losses_at": 3 * chunk})
    resident = {
        "resident_at": columns * _rounded_up(batch, chunk) if settled else 0,
        "validation_resident_at": columns * _rounded_up(settings["validation_rows"], chunk),
    }
    shared = {"groups_at": groups * _rounded_up(settings["parameters"], 16)} | {
        field: size for field, size in resident.items() if 0 < size * item <= _RESIDENT_BYTES
    }
    return _place(settings, shared), _place_layers(layers, "outputs", chunk, private)


def _lay_out_wide(
    layers: list[dict[str, int]], settings: dict[str, Any], line: int, build: Mapping[str, Any]
) -> tuple[int, int]:
    """Fill in the offsets of a wide network; return the sizes of the shared part and of a thread's own."""
    batch, inputs, row_block = settings["batch"], settings["inputs"], build["row_block"]
    chunk = min(_WIDE_CHUNK, _rounded_up(batch, row_block))
    groups = _wide_groups([(layer["inputs"], layer["outputs"]) for layer in layers], min(batch, chunk))
    settings |= {"chunk": chunk, "groups": groups}
    for layer in layers:
        layer["stride"] = _stride(layer["outputs"], line)
    sums = groups * _rounded_up(settings["parameters"], 16) if groups > 1 else 0
    shared = _place_layers(layers, "stride", chunk, _place(settings, {"groups_at": sums}))
    block = settings["outputs"] * row_block
    private = {
        "packed_at": build["pack_reals"],
        "outputs_at": block,
        "output_deltas_at": block,
        "targets_at": block,
        "losses_at": 3 * row_block,
        "labels_at": row_block,
        "weights_at": row_block,
    }
    if settings["shuffle"]:
        settings["inputs_stride"], threads = _stride(inputs, line), settings["threads"]
        units, unit_rows = (groups, -(-chunk // groups)) if groups > 1 else (chunk // row_block, row_block)
        slab_rows = _slab_rows(inputs, build["tile_rows"]) if groups == 1 and threads > 1 else 0
        private |= {
            "inputs_at": settings["inputs_stride"] * -(-units // threads) * unit_rows,
            "slab_inputs_at": slab_rows * chunk,
        }
    return shared, _place(settings, private)


def _wide_groups(sizes: list[tuple[int, int]], rows: int) -> int:
    """Return how many gradients of a wide network's chunk are summed apart; 1: the weights are shared out instead.

    Groups pay if a thread would otherwise take more numbers from other threads' caches, half of each layer's inputs
    and all deltas of every row, than there are weights: a gradient is written and read once more.
    """
    weights = sum(inputs * outputs for inputs, outputs in sizes)
    if 2 * weights > rows * sum(inputs // 2 + outputs for inputs, outputs in sizes):
        return 1
    return min(_MAX_GROUPS, 1 << max(0, (rows // _GROUP_ROWS).bit_length() - 1))


def _stride(width: int, line: int) -> int:
    """Pad a row to an odd number of cache lines: rows that are an even number apart share few sets of the cache."""
    lines = -(-width // line)
    return (lines + (lines > 1 and lines % 2 == 0)) * line


def _array(rows: list[dict[str, int]], dtype: np.dtype) -> np.ndarray:
    array = np.array([tuple(map(row.__getitem__, dtype.names)) for row in rows], dtype)
    array.flags.writeable = False
    return array


def _slabs(layers: list[dict[str, int]], narrow: bool, tile_rows: int) -> list[dict[str, int]]:
    """Cut each layer's weights into slabs of whole rows; the biases go with the last one."""
    slabs: list[dict[str, int]] = []
    for number, layer in enumerate(layers):
        inputs, outputs = layer["inputs"], layer["outputs"]
        rows = inputs if narrow else _slab_rows(inputs, tile_rows)
        for first in range(0, inputs, rows):
            count = min(rows, inputs - first)
            begin, weights = layer["weights"] + first * outputs, count * outputs
            biases = outputs if first + count == inputs and layer["bias"] >= 0 else 0
            slabs.append(
                {
                    "layer": number,
                    "first_row": first,
                    "rows": count,
                    "begin": begin,
                    "end": begin + weights + biases,
                    "penalized": weights,
                    "cost": weights,
                }
            )
    return slabs


def _slab_rows(inputs: int, tile_rows: int) -> int:
    rows = _rounded_up(-(-inputs // _SLABS_PER_LAYER), tile_rows)
    return min(rows if inputs < _MANY_INPUTS else max(rows, _LARGE_SLAB_ROWS), _MAX_SLAB_ROWS)


def _lay_out_tallies(settings: dict[str, Any], layers: int, slabs: int, row_block: int) -> int:
    """Fill in where sums of losses, penalties and norms go; return how many numbers they take."""
    batch_parts = settings["groups"] if settings["narrow"] else _wide_parts(settings, settings["batch"], row_block)
    checked = max(settings["validation_rows"], settings["rows"])
    parts = -(-checked // settings["chunk"]) if settings["narrow"] else _wide_parts(settings, checked, row_block)
    return _place(
        settings,
        {
            "penalties_at": 2 * slabs,
            "norms_at": slabs,
            "validation_at": 2 * parts,
            "activations_at": layers * batch_parts,
        },
        at=2 * batch_parts,  # after a batch's losses and hits
    )


def _wide_parts(settings: dict[str, Any], rows: int, row_block: int) -> int:
    """Count the parts, at most, that a wide network's rows are shared out in."""
    return max(-(-rows // row_block), -(-rows // settings["chunk"]) * settings["groups"])
