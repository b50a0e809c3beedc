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
from .names import names
from .optimizers import OPTIMIZERS, OptimizerRow
from .records import EPOCH, METRICS, SETTINGS, STRUCTS, Record

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
    own = own_struct(OPTIMIZERS, SETTINGS)
    return "\n".join((_HEAD, enums(ACTIVATIONS, LOSSES, OPTIMIZERS), *map(struct, STRUCTS), own))


def dispatch() -> str:
    """Return the text of dispatch.pxi: what chooses among the rows' functions."""
    return "\n\n".join(
        (
            _HEAD,
            *of_activations(ACTIVATIONS),
            *of_one_loss(LOSSES),
            of_losses(LOSSES, ACTIVATIONS),
            *of_optimizers(OPTIMIZERS),
            own_settings(OPTIMIZERS, SETTINGS),
            spec_function(),
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
    names = ["unknown", *(name for group in groups.values() for name in group)]
    if wrong := [name for name in names if names.count(name) > 1 or not name.isidentifier()]:
        raise ValueError(f"_spec: {wrong[0]!r} names two codes, or is not a name")
    lines = ["cdef enum:", "    UNKNOWN = -1  # no row's code"]
    for comment, group in groups.items():
        lines += [f"    # {comment}", *(f"    {name.upper()} = {code}" for code, name in enumerate(group))]
    return "\n".join(lines) + "\n"


def struct(record: Record) -> str:
    """Return a record's C struct, one field per line, each with its comment."""
    integers = (f"    int64_t {name}  # {comment}\n" for name, comment in record.integers.items())
    floats = (f"    double {name}  # {comment}\n" for name, comment in record.floats.items())
    return "".join((f"ctypedef struct {record.name}:\n", *integers, *floats))


def own_fields(optimizers: Mapping[str, OptimizerRow], settings: Record) -> dict[str, str]:
    """Return the type of every setting that an optimizer reads; raise ValueError if the settings lack it."""
    readers = {name: row.name for row in optimizers.values() for name in row.settings}
    if unknown := [name for name in readers if name not in settings.names]:
        name = unknown[0]
        raise ValueError(f"_spec: optimizer {readers[name]!r} reads {name!r}, which is not a field of {settings.name}")
    return {name: "bint" if name in settings.integers else "real" for name in readers}


def own_struct(optimizers: Mapping[str, OptimizerRow], settings: Record) -> str:
    """Return the struct of the optimizers' own settings, in the kernels' own types."""
    lines = (f"    {kind} {name}" for name, kind in own_fields(optimizers, settings).items())
    return "\n".join(("ctypedef struct OwnSettings:  # what optimizers read", *lines)) + "\n"


def own_settings(optimizers: Mapping[str, OptimizerRow], settings: Record) -> str:
    """Return the function that copies the optimizers' own settings."""
    copied = (f"    own.{name} = <{kind}> settings.{name}" for name, kind in own_fields(optimizers, settings).items())
    return _function(
        "OwnSettings own_settings(const Settings* settings)",
        "The settings that optimizers read; those of another optimizer are 0.",
        "\n".join(("    cdef OwnSettings own", *copied, "    return own")),
    )


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
    rows = losses.values()
    calls = {row.name: f"return {row.name}_loss(h, y, parameter, slope)" for row in rows if row.takes == "h"}
    yield _function(
        "vec loss_of_h(vec h, vec y, real parameter, vec* slope, const int loss)",
        "The loss of one output h, and slope = dL/dh.",
        _switch("loss", calls, f"slope[0] = {_NAN}\n        return {_NAN}"),
    )
    calls = {row.name: f"return {row.name}_loss(z, y, parameter, h, dz)" for row in rows if row.takes == "z"}
    yield _function(
        "vec loss_of_z(vec z, vec y, real parameter, vec* h, vec* dz, const int loss)",
        "The loss of one output h = f(z), and dz = dL/dz.",
        _switch("loss", calls, f"h[0] = dz[0] = {_NAN}\n        return {_NAN}"),
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
        f"optimizer == {row.name.upper()} and step.own.momentum > 0": call(row.name.upper(), True)
        for row in optimizers.values()
        if row.momentum
    }
    cases |= {f"optimizer == {name.upper()}": call(name.upper(), False) for name in ("frozen", *optimizers)}
    yield _function(
        "void update_of(real* w, real* g, Slots s, Index size, const Step* step, const Penalty* penalty, "
        "int optimizer)",
        "update_as with the optimizer, and whether it has momentum, made constants.",
        _chain(cases, call("UNKNOWN", False)),
    )


def spec_function() -> str:
    """Return the function by which a build names what it was made of."""
    lines = "".join(f"        {kind!r}: {found!r},\n" for kind, found in names().items())
    return f"cdef dict names_of_rows():\n    return {{\n{lines}    }}\n"


def _switch(variable: str, actions: Mapping[str, str], otherwise: str) -> str:
    """Return the chain that compares a code with those of names."""
    return _chain({f"{variable} == {name.upper()}": action for name, action in actions.items()}, otherwise)


def _chain(cases: Mapping[str, str], otherwise: str) -> str:
    """Return an if-elif chain of conditions and statements, and what is done if none of them holds."""
    lines = [f"    {'elif' if n else 'if'} {test}:\n        {then}" for n, (test, then) in enumerate(cases.items())]
    return "\n".join((*lines, f"    else:\n        {otherwise}"))


def _function(signature: str, docstring: str, body: str) -> str:
    return f'cdef inline {signature} noexcept nogil:\n    """{docstring}"""\n{body}\n'
