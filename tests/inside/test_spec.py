"""The rows and what is made of them: a forgotten function, a misspelt setting, two swapped fields each fail by name."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import fastmlp
from fastmlp._engine import backend, layout
from fastmlp._spec import generate
from fastmlp._spec.activations import ACTIVATIONS, STORED
from fastmlp._spec.losses import LOSSES
from fastmlp._spec.optimizers import FROZEN, OPTIMIZERS
from fastmlp._spec.records import EPOCH, LAYER, METRICS, SETTINGS, STRUCTS, Record, names

KERNELS = Path(__file__).parents[2] / "src/fastmlp/kernels"
with_sources = pytest.mark.skipif(not KERNELS.is_dir(), reason="reads the sources, which are in a checkout only")


def code_of(name: str) -> int:
    """The number that a name has in the kernels' enum."""
    return int(re.search(rf"^    {name} = (-?\d+)", generate.types(), re.MULTILINE)[1])


# ---- what is made ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [ACTIVATIONS, LOSSES, OPTIMIZERS], ids=["activations", "losses", "optimizers"])
def test_a_code_is_a_rows_place(rows):
    for place, (name, row) in enumerate(rows.items()):
        assert (row.name, row.code, code_of(name.upper())) == (name, place, place)


def test_the_codes_beside_the_rows():
    assert code_of("STORED") == STORED == len(ACTIVATIONS)
    assert code_of("FROZEN") == FROZEN == len(OPTIMIZERS)
    assert [code_of(name.upper()) for name in METRICS] == list(range(len(METRICS)))
    assert [code_of(f"EPOCH_{name.upper()}") for name in (*EPOCH.names, "rows")] == list(range(len(EPOCH.names) + 1))


@pytest.mark.parametrize("record", STRUCTS, ids=lambda record: record.name)
def test_a_struct_has_each_field_once_with_its_comment(record):
    lines = generate.struct(record).splitlines()
    assert lines[0] == f"ctypedef struct {record.name}:"
    expected = [f"    int64_t {name}  # {comment}" for name, comment in record.integers.items()]
    expected += [f"    double {name}  # {comment}" for name, comment in record.floats.items()]
    assert lines[1:] == expected
    assert getattr(layout, record.name.upper()).names == record.names
    assert getattr(layout, record.name.upper()).itemsize == 8 * len(record.names)


@with_sources
def test_every_function_that_the_rows_ask_for_is_in_the_kernels():
    defined = "".join(path.read_text() for path in KERNELS.glob("*.pxi")) + generate.dispatch()
    called = set(re.findall(r"\b(\w+_(?:vector|slope|both|loss|rows|as|parameter))\(", generate.dispatch()))
    assert {"gelu_tanh_both", "hinge_loss", "cross_entropy_rows", "rprop_vector", "update_as"} <= called
    assert [
        name for name in sorted(called) if not re.search(rf"^(cdef[^\n]*|    vec) {name}\(", defined, re.MULTILINE)
    ] == []


def test_a_code_that_no_row_has_gives_nan():
    text = generate.dispatch()
    for name in ("activate_vector", "slope_vector", "loss_of_h", "loss_of_z", "step_vector"):
        body = re.search(rf"^cdef inline vec {name}\(.*?\n\n", text, re.MULTILINE | re.DOTALL)[0]
        assert body.rstrip().endswith("return splat(<real> NAN)"), name
    for name in ("activate_of", "multiply_by_slope_of", "loss_of", "update_of"):
        body = re.search(rf"^cdef inline void {name}\(.*?\n\n", text, re.MULTILINE | re.DOTALL)[0]
        assert "UNKNOWN" in body[body.rindex("else:") :], name


def test_what_has_not_changed_is_not_written_again(tmp_path):
    generate.write(tmp_path)
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["dispatch.pxi", "spec.pxi"]
    files[0].write_text("")
    for path in files:
        path.chmod(0o444)
    written = files[1].stat().st_mtime_ns
    files[0].chmod(0o644)
    generate.write(tmp_path)
    assert files[0].read_text() == generate.dispatch()
    assert files[1].stat().st_mtime_ns == written


# ---- rows that were tampered with ------------------------------------------------------------------------


def test_a_new_activation_is_asked_for_by_its_name():
    rows = ACTIVATIONS | {
        "cosine": replace(ACTIVATIONS["tanh"], name="cosine"),
        "mish": replace(ACTIVATIONS["silu"], name="mish"),
    }
    text = "".join(generate.of_activations(rows))
    for call in ("cosine_vector(z)", "cosine_slope(h)", "mish_vector(z)", "mish_both(z, slope)"):
        assert f"return {call}" in text
    assert "mish_slope" not in text
    assert "rows, stride, size, COSINE, both)" in text
    first = len(ACTIVATIONS)
    assert f"COSINE = {first}\n    MISH = {first + 1}\n    STORED = {first + 2}" in generate.enums(
        rows, LOSSES, OPTIMIZERS
    )


def test_every_step_has_its_optimizer():
    codes = {optimizer.code for optimizer in fastmlp.optimizers.OPTIMIZERS.values() if not optimizer.searches_step}
    assert codes == {row.code for row in OPTIMIZERS.values()}


def test_a_new_optimizer_is_asked_for_by_its_name():
    rows = OPTIMIZERS | {"follow": replace(OPTIMIZERS["sgd"], name="follow")}
    text = "".join(generate.of_optimizers(rows))
    assert "return follow_vector(w, g, s, lanes, step, momentum)" in text
    assert "update_as(w, g, s, size, step, penalty, FOLLOW, True)" in text


@pytest.mark.parametrize(
    ("takes", "text"),
    [
        ("h", "return mape_loss(h, y, parameter, slope)"),
        ("z", "return mape_loss(z, y, parameter, h, dz)"),
        ("row", "mape_rows(block, first_parameter(parameters))"),
    ],
)
def test_a_new_loss_is_asked_for_by_its_name(takes, text):
    rows = LOSSES | {"mape": replace(LOSSES["huber"], name="mape", takes=takes)}
    assert text in "".join((*generate.of_one_loss(rows), generate.of_losses(rows, ACTIVATIONS)))


def test_a_misspelt_setting_is_named():
    rows = {"sgd": replace(OPTIMIZERS["sgd"], settings=("momentum", "nestorov"))}
    with pytest.raises(
        ValueError, match=r"^_spec: optimizer 'sgd' reads 'nestorov', which is not a field of Settings$"
    ):
        generate.own_fields(rows)


@with_sources
def test_an_optimizer_of_too_many_state_vectors_is_named():
    rows = {"adam": replace(OPTIMIZERS["adam"], slots=4)}
    with pytest.raises(ValueError, match=r"^_spec: optimizer 'adam' has more than the 3 state vectors of Slots"):
        "".join(generate.of_optimizers(rows))
    pointers = re.search(r"ctypedef struct Slots:\n.*?\n\n", (KERNELS / "updates.pxi").read_text(), re.DOTALL)[0]
    assert pointers.count("real*") == generate.MAX_SLOTS


def test_a_loss_of_an_unknown_activation_or_kind_is_named():
    row = LOSSES["huber"]
    with pytest.raises(ValueError, match=r"^_spec: loss 'huber' goes with 'idenity', which is not an activation$"):
        generate.of_losses({"huber": replace(row, outputs=("idenity",))}, ACTIVATIONS)
    with pytest.raises(ValueError, match=r"^_spec: loss 'huber' takes 'x'; 'h', 'z' or 'row' is accepted$"):
        generate.of_losses({"huber": replace(row, takes="x")}, ACTIVATIONS)


@pytest.mark.parametrize("name", ["sgd", "threshold", "soft sign"])
def test_a_name_that_is_taken_or_is_no_name_is_refused(name):
    rows = ACTIVATIONS | {name: replace(ACTIVATIONS["tanh"], name=name)}
    with pytest.raises(ValueError, match=f"^_spec: '{name}|^_spec: '{name}' names two codes, or is not a name$"):
        generate.enums(rows, LOSSES, OPTIMIZERS)


def test_an_unknown_setting_of_a_plan_is_named():
    layers = layout.network_layers((3, 2), (0,), True)
    build = backend.kernels("float64", "reference").sizes()
    with pytest.raises(TypeError, match=r"^settings: got 'beta', 'momentun'; names of the kernels' settings"):
        layout.plan(layers, build, batch=1, rows=1, settings={"momentun": 0.9, "beta": 1.0, "seed": 3})


# ---- a build of other rows -------------------------------------------------------------------------------


def swapped(fields: tuple[str, ...], place: int) -> tuple[str, ...]:
    return (*fields[:place], fields[place + 1], fields[place], *fields[place + 2 :])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Settings": swapped(SETTINGS.names, 2)}, r"Settings has the field 'rows', 'narrow' expected"),
        ({"Layer": LAYER.names[:-1]}, r"Layer has no field 'slopes'"),
        ({"Epoch": (*EPOCH.names, "seconds")}, r"Epoch has the field 'seconds', which is not expected"),
        ({"Slab": ()}, r"Slab has no field 'layer'"),
        ({"activations": tuple(ACTIVATIONS)[:-1]}, r"activations has no 'hard_tanh'"),
        ({"losses": swapped(tuple(LOSSES), 0)}, r"losses has 'binary_cross_entropy', 'squared_error' expected"),
        ({"optimizers": (*OPTIMIZERS, "lars")}, r"optimizers has 'lars', which is not expected"),
    ],
)
def test_a_build_of_other_rows_is_refused(monkeypatch, change, message):
    other = SimpleNamespace(__name__="other", spec=lambda: names() | change, sizes=lambda: {"dtype": "float32"})
    monkeypatch.setattr(backend.importlib, "import_module", lambda name: other)
    with pytest.raises(ImportError, match=rf"^fastmlp: other was built from other sources \({message}\); reinstall"):
        backend._load("baseline")


def test_a_build_of_another_dtype_or_from_before_the_rows_is_refused(monkeypatch):
    other = SimpleNamespace(__name__="other", spec=names, sizes=lambda: {"dtype": "float16"})
    monkeypatch.setattr(backend.importlib, "import_module", lambda name: other)
    with pytest.raises(ImportError, match=r"\(it computes in float16, float32 expected\); reinstall fastmlp"):
        backend._load("baseline")
    del other.spec
    with pytest.raises(ImportError, match=r"\(it does not name its fields\); reinstall fastmlp"):
        backend._load("baseline")


@pytest.mark.parametrize("name", [row.name for row in backend.backends() if not row.missing])
def test_a_build_names_what_it_was_made_of(name):
    for dtype in ("float32", "float64"):
        assert backend.kernels(dtype, name).spec() == names()
        compiler = backend.kernels(dtype, name).sizes()["compiler"]
        assert bool(compiler) is (name != backend.REFERENCE)


def test_names_are_in_order():
    record = Record("Some", {"b": "first"}, {"a": "then"})
    assert record.names == ("b", "a")
    assert list(names()) == [
        "Layer",
        "Slab",
        "Settings",
        "Position",
        "Epoch",
        "activations",
        "losses",
        "optimizers",
        "metrics",
    ]
