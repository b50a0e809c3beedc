"""The benchmark: its cases build, its verification catches a wrong build, its table hides nothing."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCH = Path(__file__).parents[1] / "bench"
MODULES = (
    "cases", "growth", "memory", "options", "overheads", "plot", "products", "readme", "records", "rivals", "run",
    "sweep", "timing",
)
NAMES = ("xor", "chains", "expm", "digits-float32", "digits-float64", "mnist", "higgs", "wide")
RIVALS = ("numpy", "scikit-learn", "pytorch", "jax")

pytestmark = pytest.mark.skipif(not BENCH.is_dir(), reason="bench/ does not stand beside tests/")


@pytest.fixture(scope="module", autouse=True)
def bench_on_path():
    """Let bench's scripts be imported by their bare names, as they import each other, in this file only."""
    sys.path.insert(0, str(BENCH))
    yield
    sys.path.remove(str(BENCH))
    for name in MODULES:
        sys.modules.pop(name, None)


def fixture_of(name: str):
    """A fixture that imports one of bench's scripts."""

    @pytest.fixture(name=name)
    def script() -> ModuleType:
        return importlib.import_module(name)

    return script


cases, options, readme, records, rivals, run, timing = map(
    fixture_of, ("cases", "options", "readme", "records", "rivals", "run", "timing")
)
growth, overheads, plot, products, sweep = map(fixture_of, ("growth", "overheads", "plot", "products", "sweep"))


def flat(layers) -> np.ndarray:
    return np.concatenate([np.ravel(array) for layer in layers for array in layer if array is not None])


# ---------------------------------------------------------------------------------------------------- cases


def test_the_cases_are_those_that_are_promised(cases):
    assert tuple(cases.CASES) == NAMES
    assert cases.CASES["xor"].shape == "50×2→10→2"
    assert cases.CASES["higgs"].shape == "100000×28→300×5→1"
    assert cases.CASES["wide"].shape == "4096×1024→4096×2→1000"
    assert all(case.question.endswith((".", "?")) for case in cases.CASES.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_case_makes_its_data_and_its_start(cases, name):
    case = cases.CASES[name]
    rows = min(case.rows, 2000)  # Enough for 1000 classes, without the whole of the large cases.
    X, y = cases.data(case, rows)
    assert X.shape == (rows, case.sizes[0])
    assert X.dtype == case.dtype
    if case.labelled:
        assert y.shape == (rows,)
        assert np.array_equal(np.unique(y), np.arange(max(2, case.sizes[-1])))
    else:
        assert y.shape == (rows, case.sizes[-1])
        assert y.dtype == case.dtype
    layers = cases.start(case)
    assert [weights.shape for weights, _ in layers] == list(zip(case.sizes, case.sizes[1:], strict=False))
    assert all((biases is not None) == case.bias for _, biases in layers)
    assert {weights.dtype.name for weights, _ in layers} == {case.dtype}


def test_data_and_start_are_the_same_every_time(cases):
    case = cases.CASES["chains"]
    assert all(map(np.array_equal, cases.data(case), cases.data(case)))
    assert np.array_equal(flat(cases.start(case)), flat(cases.start(case)))


def test_steps_per_epoch_count_the_last_smaller_batch(cases):
    assert cases.CASES["digits-float32"].steps_per_epoch == 9  # 8 · 200 + 197
    assert cases.CASES["mnist"].steps_per_epoch == 469  # 468 · 128 + 96
    assert cases.CASES["xor"].steps_per_epoch == 1


# --------------------------------------------------------------------------------------------------- rivals


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rival_name", RIVALS)
def test_a_rival_trains_the_same_thing(cases, rivals, rival_name, name):
    rival = rivals.RIVALS[rival_name]
    if not rivals.installed(rival):
        pytest.skip(f"{rival_name} is not installed")
    case = cases.CASES[name]
    if rival.note(case):
        pytest.skip(f"{rival_name} trains something else by necessity: {rival.note(case)}")
    if name == "wide":  # Its size is of no interest here.
        case = dataclasses.replace(case, sizes=(64, 96, 96, 50))
    # Without minibatches, since every library shuffles in its own order.
    case = dataclasses.replace(case, rows=min(case.rows, 300), batch=None)
    (X, y), start = cases.data(case), cases.start(case)
    expected = flat(rivals.RIVALS["fastmlp"].prepare(case, X, y, start, 1)(3)())
    begin = rival.prepare(case, X, y, start, 1)
    moved = np.linalg.norm(expected - flat(start))
    for _ in range(2):  # A second run starts where the first did.
        apart = np.linalg.norm(flat(begin(3)()) - expected)
        # scikit-learn adds Adam's epsilon before the bias correction, which changes the steps of very small
        # gradients and, measured, 0.7 % of the movement; all else is rounding, which is well below.
        assert apart <= 0.01 * moved


@pytest.mark.parametrize("rival_name", RIVALS)
def test_a_rival_trains_in_minibatches(cases, rivals, rival_name):
    rival = rivals.RIVALS[rival_name]
    if not rivals.installed(rival):
        pytest.skip(f"{rival_name} is not installed")
    case = dataclasses.replace(cases.CASES["digits-float32"], rows=500)  # The last batch has 100 rows.
    (X, y), start = cases.data(case), cases.start(case)
    expected = flat(rivals.RIVALS["fastmlp"].prepare(case, X, y, start, 1)(4)())
    trained = flat(rival.prepare(case, X, y, start, 1)(4)())
    movement, expected_movement = trained - flat(start), expected - flat(start)
    cosine = movement @ expected_movement / np.linalg.norm(movement) / np.linalg.norm(expected_movement)
    # Other orders of the same rows go nearly the same way; a wrong gradient or too few steps would not.
    assert cosine > 0.9
    assert 0.9 < np.linalg.norm(movement) / np.linalg.norm(expected_movement) < 1.1


# --------------------------------------------------------------------------------------------- verification


@pytest.mark.parametrize("name", ["xor", "digits-float32"])
def test_verification_passes(cases, run, name):
    assert "agree with the reference" in run.verify(cases.CASES[name], run.builds(), 2)


def scaled(dw, db):
    dw *= 1.01  # Adam's steps don't show this; the gradient's norm does.


def without_the_last_column(dw, db):
    dw[:, -1] = 0


def without_biases(dw, db):
    db[:] = 0


@pytest.mark.parametrize("corrupt", [scaled, without_the_last_column, without_biases])
def test_verification_catches_a_wrong_gradient(run, monkeypatch, capsys, corrupt):
    from fastmlp import _reference

    right = _reference.dense_backward_weights

    def wrong(dw, db, *arguments):
        right(dw, db, *arguments)
        corrupt(dw, db)

    # The builds are compiled, so it is the other side of the comparison that is made wrong.
    monkeypatch.setattr(_reference, "dense_backward_weights", wrong)
    assert run.main(["--check", "--cases", "digits-float32"]) == 1
    assert "wrong: digits-float32, " in capsys.readouterr().err


def test_verification_catches_parameters_that_are_not_numbers(cases, run, monkeypatch):
    right = run.few_steps

    def wrong(case, backend, threads):
        trained = right(case, backend, threads)
        if backend != "reference":
            trained.params[-1] = np.nan
        return trained

    monkeypatch.setattr(run, "few_steps", wrong)
    with pytest.raises(run.MismatchError, match="parameters are nan of"):
        run.verify(cases.CASES["xor"], run.builds(), 2)


def test_verification_catches_one_bit_that_depends_on_threads(cases, run, monkeypatch):
    right = run.few_steps

    def wrong(case, backend, threads):
        trained = right(case, backend, threads)
        if threads > 1:
            trained.params[-1] = np.nextafter(trained.params[-1], np.inf, dtype=trained.params.dtype)
        return trained

    monkeypatch.setattr(run, "few_steps", wrong)
    with pytest.raises(run.MismatchError, match="2 threads give other bits than one"):
        run.verify(cases.CASES["xor"], run.builds(), 1)


# -------------------------------------------------------------------------------------------------- the table


HEADER = """\
# date: {date}
# machine: Abacus, 2 cores
# build: x86-64-v4
# versions: Python 3.14, fastmlp 1.0
# command: python bench/run.py
# timing: median of 5 timings
case,rival,build,dtype,threads,steps,median_us,minimum_us,ratio_to_fastmlp,note
"""
ROWS = """\
xor,fastmlp,x86-64-v4,float64,1,1000,1.25,1.2,1,
xor,fastmlp,x86-64-v4,float64,2,1000,2.5,2.4,2,
xor,fastmlp,baseline,float64,1,1000,1,0.9,0.8,
xor,numpy,numpy 2,float64,1,1000,40,39,32,
xor,scikit-learn,scikit-learn 1,float64,1,1000,125,120,100,identity output
xor,pytorch,,float64,,,,,,not installed
wide,fastmlp,x86-64-v4,float32,2,8,400000,390000,1,
wide,fastmlp,baseline,float32,2,8,900000,900000,2.25,
wide,numpy,numpy 2,float32,1,8,500000,490000,1.25,
wide,numpy,numpy 2,float32,2,8,300000,290000,0.75,
wide,pytorch,,float32,,,,,,not installed
"""


@pytest.fixture
def place(readme, tmp_path, monkeypatch) -> Path:
    """Make a folder with a README and records, to be used instead of the project's own."""
    (tmp_path / "record").mkdir()
    new, old = ROWS, ROWS.replace("1.25,1.2", "9.75,9.7")
    for name, date, rows in (
        ("cases-a.csv", "2031-01-02 10:00", new), ("cases-b.csv", "2031-01-01 10:00", old),
        ("sweep-c.csv", "2031-01-03 10:00", "not of the cases"),
    ):
        (tmp_path / "record" / name).write_text(HEADER.format(date=date) + rows, encoding="utf-8")
    text = f"before\n{readme.BEGIN}\n{readme.END}\nafter\n"
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    monkeypatch.setattr(readme, "RECORD", tmp_path / "record")
    return tmp_path


def test_the_table_keeps_what_is_lost_and_what_is_missing(readme, place):
    assert readme.main([]) == 0
    text = (place / "README.md").read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert all(word in text for word in ("python bench/run.py", "Abacus, 2 cores", "2031-01-02 10:00"))
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith(("| xor", "| wide"))]
    xor, wide = lines[:2]
    # The best of both numbers of threads, of the newest record; ratios are to fastmlp's best.
    assert xor[1:5] == ["50×2→10→2", "1.25", "40.0 (32.0×)", "125 (100×) <sup>1</sup>"]
    assert wide[2:4] == ["400,000", "**300,000 (0.75×, slower)**"]
    assert xor[5] == wide[5] == "— <sup>2</sup>"
    assert xor[6] == "— <sup>3</sup> |"
    # The forced build has a table of its own, in which the ratios are NumPy's times to the builds'.
    assert lines[2:] == [
        ["| xor", "1.25 (32.0×)", "1.00 (40.0×)", "40.0 |"],
        ["| wide", "**400,000 (0.75×)**", "**900,000 (0.33×)**", "300,000 |"],
    ]
    notes = [line.rstrip() for line in text.splitlines() if line.startswith("<sup>")]
    texts = ["identity output", "not installed", "not measured"]
    assert notes == [f"<sup>{number}</sup> {text}" for number, text in enumerate(texts, start=1)]


def test_check_tells_whether_the_table_is_that_of_the_newest_record(readme, place, capsys):
    before = (place / "README.md").read_text(encoding="utf-8")
    assert readme.main(["--check"]) == 1
    assert "run python bench/readme.py" in capsys.readouterr().err
    assert (place / "README.md").read_text(encoding="utf-8") == before
    readme.main([])
    assert readme.main(["--check"]) == 0


def test_a_readme_without_marks_is_refused(readme, place):
    (place / "README.md").write_text("nothing here", encoding="utf-8")
    with pytest.raises(ValueError, match="bench:begin"):
        readme.main([])


def test_the_figure_is_included_where_it_has_been_drawn(readme, place):
    readme.main([])
    assert "![" not in (place / "README.md").read_text(encoding="utf-8")
    (place / readme.FIGURE).parent.mkdir(parents=True)
    (place / readme.FIGURE).write_bytes(b"a picture")
    assert readme.main(["--check"]) == 1
    readme.main([])
    assert "(bench/figures/ratios.png)\n<!-- bench:end -->" in (place / "README.md").read_text(encoding="utf-8")


def test_a_record_that_is_written_is_read_again(records, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RECORD", tmp_path / "new")
    about = records.header("python bench/run.py", "median of 5", ["Abacus 1: of wood"])
    rows = [{"case": "xor", "rival": "", "note": "with, a comma"}]
    path = records.write("cases", about, rows)
    assert path.name.startswith(f"cases-{about['date'][:10]}-")
    record = records.newest("cases", tmp_path / "new")
    assert record.about == about
    assert record.rows == rows
    with pytest.raises(FileNotFoundError, match="run python bench/sweep.py first"):
        records.newest("sweep", tmp_path / "new")


# ----------------------------------------------------------------------------------------- the command line


def test_unknown_names_on_the_command_line_are_refused(run, capsys):
    for arguments, word in (
        (["--cases", "xor,nand"], "nand; known are xor"),
        (["--rivals", "abacus"], "abacus; known are numpy"),
        (["--threads", "0"], "expected whole numbers"),
        (["--threads", "some"], "expected whole numbers"),
        (["--builds", "abacus"], "abacus; known are baseline"),
        (["--repeats", "0"], "expected a positive number"),
        (["--seconds", "nan"], "expected a positive number"),
    ):
        with pytest.raises(SystemExit):
            run.parse(arguments)
        assert word in capsys.readouterr().err


def test_the_command_that_is_recorded_leaves_out_where_it_writes(options):
    given = ["--cases", "xor", "--out", "somewhere.csv", "--repeats", "3", "--out=elsewhere.csv"]
    assert options.command("run.py", given) == "python bench/run.py --cases xor --repeats 3"


def test_a_rival_that_is_missing_or_fails_has_a_row_that_says_so(cases, run, timing):
    class Failing:
        rival_name, threads = "numpy", 1

        def ask(self, task, value):
            raise timing.RivalError("Traceback …\nMemoryError: too wide")

    rows = run.time_case(cases.CASES["xor"], [Failing()], ["jax"], repeats=2, seconds=0.1)
    assert [(row["rival"], row["median_us"], row["note"]) for row in rows] == [
        ("numpy", "", "failed: MemoryError: too wide"),
        ("jax", "", "not installed"),
    ]
