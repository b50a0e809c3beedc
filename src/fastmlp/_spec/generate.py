"""Write the Cython that follows from the rows: enums and structs (spec.pxi), dispatch (dispatch.pxi).

Dispatch makes codes into constants: each loop of the kernels that depends on an activation, a loss or an optimizer is
compiled once per row. A code that no row has gives NaN, never another row's numbers. Every function that a row asks
for is called by its name, so that Cython refuses to compile without it.

Standard library only: setup.py runs this before anything is built.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from .activations import ACTIVATIONS, Activation
from .losses import LOSSES, LossRow
from .optimizers import OPTIMIZERS, OptimizerRow
from .records import EPOCH, METRICS, SETTINGS, STRUCTS, Record, names

_HEAD = "# Made by _spec/generate.py of the rows in _spec: change those instead.\n"
MAX_SLOTS = 3  # the pointers of the kernels' Slots
_NAN = "splat(<real> NAN)"


def write(folder: Path) -> None:
    """Write spec.pxi and dispatch.pxi into a folder; a file that would not change is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("spec.pxi", types()), ("dispatch.pxi", dispatch())):
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def types() -> str:
    """Return the text of spec.pxi: what the rows declare."""
    own = "".join(f"    {kind} {name}\n" for name, kind in own_fields(OPTIMIZERS).items())
    return "\n".join(
        (
            _HEAD,
            enums(ACTIVATIONS, LOSSES, OPTIMIZERS),
            *map(struct, STRUCTS),
            f"ctypedef struct OwnSettings:  # what optimizers read\n{own}",
        )
    )


def dispatch() -> str:
    """Return the text of dispatch.pxi: what chooses among the rows' functions."""
    copied = "".join(f"    own.{name} = <{kind}> settings.{name}\n" for name, kind in own_fields(OPTIMIZERS).items())
    made_of = "".join(f"        {kind!r}: {found!r},\n" for kind, found in names().items())
    return "\n\n".join(
        (
            _HEAD,
            *of_activations(ACTIVATIONS),
            *of_one_loss(LOSSES),
            of_losses(LOSSES, ACTIVATIONS),
            *of_optimizers(OPTIMIZERS),
            _function(
                "OwnSettings own_settings(const Settings* settings)",
                "The settings that optimizers read; those of another optimizer are 0.",
                f"    cdef OwnSettings own\n{copied}    return own",
            ),
            f"cdef dict names_of_rows():\n    return {{\n{made_of}    }}\n",
        )
    )


def enums(
    activations: Mapping[str, Activation], losses: Mapping[str, LossRow], optimizers: Mapping[str, OptimizerRow]
) -> str:
    """Return the enum of all codes; raise ValueError if two of them have the same name."""
    groups = {
        "activations; STORED: a slope lies in the place of h": (*activations, "stored"),
        "losses": losses,
        "optimizers; FROZEN: no step, the gradient alone is wanted": (*optimizers, "frozen"),
        "what counts as a hit": METRICS,
        "the rows of job.record, one number per epoch": [f"epoch_{name}" for name in (*EPOCH.names, "rows")],
    }
    codes = ["unknown", *(name for group in groups.values() for name in group)]
    if wrong := [name for name in codes if codes.count(name) > 1 or not name.isidentifier()]:
        raise ValueError(f"_spec: {wrong[0]!r} names two codes, or is not a name")
    lines = ["cdef enum:", "    UNKNOWN = -1  # no row's code"]
    for comment, group in groups.items():
        lines += [f"    # {comment}", *(f"    {name.upper()} = {code}" for code, name in enumerate(group))]
    return "\n".join(lines) + "\n"


def struct(record: Record) -> str:
    """Return a record's C struct, one field per line, each with its comment."""
    return "".join(
        (
            f"ctypedef struct {record.name}:\n",
            *(f"    int64_t {name}  # {comment}\n" for name, comment in record.integers.items()),
            *(f"    double {name}  # {comment}\n" for name, comment in record.floats.items()),
        )
    )


def own_fields(optimizers: Mapping[str, OptimizerRow]) -> dict[str, str]:
    """Return the kernels' own type of every setting that an optimizer reads; raise ValueError if SETTINGS lacks it."""
    readers = {name: row.name for row in optimizers.values() for name in row.settings}
    for name, reader in readers.items():
        if name not in SETTINGS.names:
            raise ValueError(f"_spec: optimizer {reader!r} reads {name!r}, which is not a field of {SETTINGS.name}")
    return {name: "bint" if name in SETTINGS.integers else "real" for name in readers}


def of_activations(activations: Mapping[str, Activation]) -> Iterable[str]:
    """Return the functions of one vector, then the loops with the activation made a constant."""
    rows = [row for row in activations.values() if not row.couples]
    yield _function(
        "vec activate_vector(vec z, const int activation)",
        "h = f(z).",
        _switch("activation", {row.name: f"return {row.name}_vector(z)" for row in rows}, f"return {_NAN}"),
    )
    slopes = {row.name: f"return {row.name}_slope(h)" for row in rows if not row.kept}
    yield _function(
        "vec slope_vector(vec h, const int activation)",
        "f'(z) from h = f(z); h itself if it is STORED.",
        _switch("activation", {"stored": "return h"} | slopes, f"return {_NAN}"),
    )
    both = {row.name: f"return {row.name}_both(z, slope)" for row in rows if row.kept}
    apart = "h = activate_vector(z, activation)\n        slope[0] = slope_vector(h, activation)\n        return h"
    yield _function(
        "vec activate_both_vector(vec z, vec* slope, const int activation)",
        "h = f(z), slope = f'(z).",
        "    cdef vec h\n" + _switch("activation", both, apart),
    )
    call = "activate_as(h, slopes, rows, stride, size, {}, both)".format
    loops = {row.name: call(row.name.upper()) for row in rows}
    loops |= {row.name: f"if both: {loops[row.name]}" for row in rows if row.value == "z"}  # h = z needs no pass
    yield _function(
        "void activate_of(real* h, real* slopes, Index rows, Index stride, Index size, int activation, "
        "const bint both)",
        "activate_as with the activation made a constant.",
        _switch("activation", loops, call("UNKNOWN")),
    )
    call = "multiply_by_slope_as(dz, dz_stride, h, stride, rows, size, {})".format
    loops = {name: call(name.upper()) for name in (*slopes, "stored")}
    loops |= {row.name: "pass" for row in rows if row.slope == "1"}
    yield _function(
        "void multiply_by_slope_of(real* dz, Index dz_stride, const real* h, Index stride, Index rows, Index size, "
        "int activation)",
        "multiply_by_slope_as with the activation made a constant.",
        _switch("activation", loops, call("UNKNOWN")),
    )


def of_one_loss(losses: Mapping[str, LossRow]) -> Iterable[str]:
    """Return the functions of one vector of outputs: of the losses that take h, and of those that take z."""
    calls = {
        takes: {row.name: f"return {row.name}_loss({arguments})" for row in losses.values() if row.takes == takes}
        for takes, arguments in (("h", "h, y, parameter, slope"), ("z", "z, y, parameter, h, dz"))
    }
    yield _function(
        "vec loss_of_h(vec h, vec y, real parameter, vec* slope, const int loss)",
        "The loss of one output h, and slope = dL/dh.",
        _switch("loss", calls["h"], f"slope[0] = {_NAN}\n        return {_NAN}"),
    )
    yield _function(
        "vec loss_of_z(vec z, vec y, real parameter, vec* h, vec* dz, const int loss)",
        "The loss of one output h = f(z), and dz = dL/dz.",
        _switch("loss", calls["z"], f"h[0] = dz[0] = {_NAN}\n        return {_NAN}"),
    )


def of_losses(losses: Mapping[str, LossRow], activations: Mapping[str, Activation]) -> str:
    """Return the function of a block of samples; raise ValueError if a row names something that does not exist."""
    call = "elementwise_loss_as(block, {}, {}, {}, {}, backward)".format
    cases = {}
    for row in losses.values():
        code, parameters = row.name.upper(), "parameters" if re.search(r"\bparameter\b", row.formula) else "NULL"
        if unknown := set(row.outputs) - set(activations):
            raise ValueError(f"_spec: loss {row.name!r} goes with {unknown.pop()!r}, which is not an activation")
        if row.takes == "row":
            cases[f"loss == {code}"] = f"{row.name}_rows(block, first_parameter(parameters))"
        elif row.takes == "z":
            cases[f"loss == {code}"] = call(parameters, code, row.outputs[0].upper(), True)
        elif row.takes == "h":
            for output in map(str.upper, row.outputs):
                cases[f"loss == {code} and block.activation == {output}"] = call(parameters, code, output, False)
        else:
            raise ValueError(f"_spec: loss {row.name!r} takes {row.takes!r}; 'h', 'z' or 'row' is accepted")
    return _function(
        "void loss_of(const OutputBlock* block, const double* parameters, int loss, const bint backward)",
        "h, the samples' losses and dz of a block, with the loss and the activation made constants.",
        _chain(cases, call("NULL", "UNKNOWN", "UNKNOWN", False)),
    )


def of_optimizers(optimizers: Mapping[str, OptimizerRow]) -> Iterable[str]:
    """Return the step of one vector, then the pass over a range of parameters."""
    if large := [name for name, row in optimizers.items() if row.slots > MAX_SLOTS]:
        raise ValueError(
            f"_spec: optimizer {large[0]!r} has more than the {MAX_SLOTS} state vectors of Slots (updates.pxi)"
        )
    steps = {
        row.name: f"return {row.name}_vector(w, g, s, lanes, step{', momentum' if row.momentum else ''})"
        for row in optimizers.values()
    }
    yield _function(
        "vec step_vector(vec w, vec g, Slots s, Index lanes, const Step* step, const int optimizer, "
        "const bint momentum)",
        "w after one step of the optimizer along g; its state is updated in place.",
        _switch("optimizer", steps, f"return {_NAN}"),
    )
    call = "update_as(w, g, s, size, step, penalty, {}, {})".format
    cases = {
        f"optimizer == {name.upper()} and step.own.momentum > 0": call(name.upper(), True)
        for name, row in optimizers.items()
        if row.momentum
    }
    cases |= {f"optimizer == {name.upper()}": call(name.upper(), False) for name in ("frozen", *optimizers)}
    yield _function(
        "void update_of(real* w, real* g, Slots s, Index size, const Step* step, const Penalty* penalty, "
        "int optimizer)",
        "update_as with the optimizer, and whether it has momentum, made constants.",
        _chain(cases, call("UNKNOWN", False)),
    )


def _switch(variable: str, actions: Mapping[str, str], otherwise: str) -> str:
    """Return the chain that compares a code with those of names."""
    return _chain({f"{variable} == {name.upper()}": action for name, action in actions.items()}, otherwise)


def _chain(cases: Mapping[str, str], otherwise: str) -> str:
    """Return an if-elif chain of conditions and statements, and what is done if none of them holds."""
    lines = [f"    {'elif' if n else 'if'} {test}:\n        {then}" for n, (test, then) in enumerate(cases.items())]
    return "\n".join((*lines, f"    else:\n        {otherwise}"))


def _function(signature: str, docstring: str, body: str) -> str:
    return f'cdef inline {signature} noexcept nogil:\n    """{docstring}"""\n{body}\n'
