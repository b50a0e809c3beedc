"""The benchmark: its cases build, its verification catches a wrong build, its tables and figures hide nothing."""

from __future__ import annotations

import dataclasses
import doctest
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from inside import places

from fastmlp import activations, losses, optimizers

NAMES = ("xor", "chains", "expm", "digits-float32", "digits-float64", "mnist", "higgs", "wide")
RIVALS = ("numpy", "scikit-learn", "pytorch", "jax")
BUILDS = [name for name in places.backend.available() if name != "reference"]
QUICK = ["--repeats", "1", "--seconds", "0.001"]


def fixture_of(name: str):
    """A fixture that imports a script of bench/, or a module of its harness."""

    @pytest.fixture(name=name.rpartition(".")[2])
    def module(from_bench) -> ModuleType:
        return from_bench(name)

    return module


FITS = """dataset,shape,rival,seed,seconds,epochs,score
iris,150×4,fastmlp,0,0.02,100,0.9
iris,150×4,scikit-learn,0,0.3,100,0.9
iris,150×4,scikit-learn,1,0.2,100,1.0
iris,150×4,fastmlp,1,0.025,100,1.0
iris,150×4,scikit-learn,2,0.4,100,0.95
iris,150×4,fastmlp,2,0.02,100,0.95
large,9000×9,scikit-learn,0,1,90,0.5
large,9000×9,fastmlp,0,2,100,0.6
iris,150×4,products,0,0.01,100,
large,9000×9,products,0,0.5,90,
"""

cases, datasets, options, records, rivals, timing = (
    fixture_of(f"harness.{name}") for name in ("cases", "datasets", "options", "records", "rivals", "timing")
)
choices, compare, estimators, growth, overheads, plot, products, readme, run, sweep = map(
    fixture_of,
    ("choices", "compare", "estimators", "growth", "overheads", "plot", "products", "readme", "run", "sweep"),
)


def flat(layers) -> np.ndarray:
    return np.concatenate([np.ravel(array) for layer in layers for array in layer if array is not None])


@pytest.mark.parametrize(
    "name", ["harness.cases", "harness.records", "harness.rivals", "growth", "plot", "products", "readme"]
)
def test_examples_run(from_bench, name):
    found = doctest.testmod(from_bench(name))
    assert found.attempted > 0
    assert found.failed == 0


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
    assert "agree with the reference" in run.verify(cases.CASES[name], 2)


def scaled(dw, db):
    dw *= 1.01  # Adam's steps don't show this; the gradient's norm does.


def without_the_last_column(dw, db):
    dw[:, -1] = 0


def without_biases(dw, db):
    db[:] = 0


@pytest.mark.parametrize("corrupt", [scaled, without_the_last_column, without_biases])
def test_verification_catches_a_wrong_gradient(run, monkeypatch, capsys, corrupt):
    right = places.reference.training.dense_backward_weights

    def wrong(dw, db, *arguments):
        right(dw, db, *arguments)
        corrupt(dw, db)

    # The builds are compiled, so it is the other side of the comparison that is made wrong.
    monkeypatch.setattr(places.reference.training, "dense_backward_weights", wrong)
    assert run.SCRIPT.main(["--check", "--cases", "digits-float32"]) == 1
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
        run.verify(cases.CASES["xor"], 2)


def test_verification_catches_one_bit_that_depends_on_threads(cases, run, monkeypatch):
    right = run.few_steps

    def wrong(case, backend, threads):
        trained = right(case, backend, threads)
        if threads > 1:
            trained.params[-1] = np.nextafter(trained.params[-1], np.inf, dtype=trained.params.dtype)
        return trained

    monkeypatch.setattr(run, "few_steps", wrong)
    with pytest.raises(run.MismatchError, match="2 threads give other bits than one"):
        run.verify(cases.CASES["xor"], 1)


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
        ("cases-a.csv", "2031-01-02 10:00", new),
        ("cases-b.csv", "2031-01-01 10:00", old),
        ("sweep-c.csv", "2031-01-03 10:00", "not of the cases"),
    ):
        (tmp_path / "record" / name).write_text(HEADER.format(date=date) + rows, encoding="utf-8")
    (tmp_path / "record" / "estimators-d.csv").write_text(
        HEADER.format(date="2031-01-02 11:00").partition("case,")[0] + FITS, encoding="utf-8"
    )
    marks = "\n".join(f"<!-- {name}:{edge} -->" for name in ("bench", "estimators") for edge in ("begin", "end"))
    text = f"before\n{marks}\nafter\n"
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    monkeypatch.setattr(readme, "RECORD", tmp_path / "record")
    return tmp_path


def test_the_table_keeps_what_is_lost_and_what_is_missing(readme, place):
    assert readme.SCRIPT.main([]) == 0
    text = (place / "README.md").read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert all(word in text for word in ("python bench/run.py", "Abacus, 2 cores", "2031-01-02 10:00"))
    fits = [line for line in text.splitlines() if line.startswith(("| iris", "| large"))]
    assert fits == [
        "| iris | 150×4 | 0.3 | 0.02 | 15.0 | 0.01 | 100 | 0.9500 | 0.9500 |",
        "| large | 9000×9 | 1 | 2 | **0.50** | 0.5 | 90 to 100 | 0.5000 | 0.6000 |",
    ]
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
    assert readme.SCRIPT.main(["--check"]) == 1
    assert "run python bench/readme.py" in capsys.readouterr().err
    assert (place / "README.md").read_text(encoding="utf-8") == before
    readme.SCRIPT.main([])
    assert readme.SCRIPT.main(["--check"]) == 0


def test_a_readme_without_marks_is_refused(readme, place):
    (place / "README.md").write_text("nothing here", encoding="utf-8")
    with pytest.raises(ValueError, match="bench:begin"):
        readme.SCRIPT.main([])


def test_the_figure_is_included_where_it_has_been_drawn(readme, place):
    readme.SCRIPT.main([])
    assert "![" not in (place / "README.md").read_text(encoding="utf-8")
    (place / readme.FIGURE).parent.mkdir(parents=True)
    (place / readme.FIGURE).write_bytes(b"a picture")
    assert readme.SCRIPT.main(["--check"]) == 1
    readme.SCRIPT.main([])
    assert "(bench/figures/ratios.png)\n<!-- bench:end -->" in (place / "README.md").read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------ estimators


@pytest.mark.slow
def test_estimators_are_fitted_in_turns_and_their_record_is_read(estimators, readme, records, tmp_path, capsys):
    path = tmp_path / "fits.csv"
    assert estimators.SCRIPT.main(["--datasets", "iris,wine", "--seeds", "2", "--out", str(path)]) == 0
    record = records.read(path)
    first, second = ["fastmlp", "scikit-learn"], ["scikit-learn", "fastmlp"]
    assert [row["rival"] for row in record.rows[:6]] == [*first, "products", *second, "products"]
    assert {(row["dataset"], row["seed"]) for row in record.rows} == {
        (name, seed) for name in ("iris", "wine") for seed in "01"
    }
    assert all(float(row["seconds"]) > 0 and 0 < int(row["epochs"]) <= 200 for row in record.rows)
    assert "times faster" in capsys.readouterr().out
    assert "| wine | 178×13 |" in readme.estimators_section(record)


def test_the_products_alone_are_those_of_a_fit(estimators, monkeypatch):
    terms, matmul = [], np.matmul
    monkeypatch.setattr(estimators.np, "matmul", lambda a, b: terms.append(a.shape + b.shape[1:]) or matmul(a, b))
    assert estimators.products("wine", 2)["epochs"] == 2
    # 142 rows of 13 features, 100 units, 3 classes: forward, and back to the hidden layer and to both gradients.
    layers = [(142, 13, 100), (142, 100, 3), (142, 3, 100), (100, 142, 3), (13, 142, 100)]
    assert terms == 2 * layers
    assert estimators.products("diabetes", 1)["seconds"] > 0
    assert [shape[0] for shape in terms[len(2 * layers) :][:: len(layers)]] == [200, 154], "batches of 200 rows"


def test_scores_that_differ_by_more_than_noise_are_told(estimators):
    def rows(ours):
        return [
            {"dataset": "a", "rival": rival, "seed": str(seed), "score": str(score)}
            for rival, scores in (("scikit-learn", (0.9, 0.8, 0.85)), ("fastmlp", ours))
            for seed, score in enumerate(scores)
        ]

    assert not estimators.scores_differ(rows((0.9, 0.8, 0.85)), "a")
    assert not estimators.scores_differ(rows((0.8, 0.9, 0.85)), "a")
    assert estimators.scores_differ(rows((0.89, 0.79, 0.84)), "a")


@pytest.mark.parametrize("name", ["iris", "wine", "diabetes", "breast cancer", "digits", "images"])
def test_data_sets_are_what_they_are_called(datasets, name):
    (X, y), (tested, targets) = datasets.parts(name)
    assert len(X) == len(y)
    assert len(tested) == len(targets) == round(datasets.TESTED * (len(X) + len(tested)))
    assert np.isfinite(X).all()
    if name == "images":
        assert X.shape == (4000, 784)
        assert 0.5 < np.mean(X == 0) < 0.8


@pytest.mark.slow
def test_the_script_of_that_name_does_not_hide_scikit_learn():
    def python(*arguments):
        root = Path(__file__).parents[1]
        return subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True, text=True, check=False)

    lines = "import sys; sys.path.insert(0, 'bench'); {}; from sklearn import neural_network; print(neural_network)"
    assert "neural_network" in python("-c", lines.format("import harness")).stdout
    # Without the harness the script is found first, and is as good as missing.
    assert "No module named 'sklearn'" in python("-c", lines.format("pass")).stderr
    assert "--seeds" in python("bench/sklearn.py", "--help").stdout


def test_a_record_that_is_written_is_read_again(records, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RECORD", tmp_path / "new")
    written = records.begun("python bench/run.py")
    written.describe("median of 5", ["Abacus 1: of wood"])
    written.rows = [{"case": "xor", "rival": "", "note": "with, a comma"}]
    path = written.write("cases")
    assert path.name.startswith(f"cases-{written.about['date'][:10]}-")
    assert records.newest("cases", tmp_path / "new") == written
    for kind, script in (("sweep", "sweep"), ("cases", "run"), ("estimators", "sklearn")):
        with pytest.raises(FileNotFoundError, match=f"run python bench/{script}.py first"):
            records.newest(kind, tmp_path)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "bench" / "record").glob("*.csv")), ids=str)
def test_a_record_that_is_kept_can_be_read(records, path):
    record = records.read(path)
    assert {"date", "machine", "build", "versions", "command", "timing"} <= set(record.about)
    assert record.rows


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
            run.SCRIPT.parse(arguments)
        assert word in capsys.readouterr().err


def test_the_command_that_is_recorded_leaves_out_where_it_writes(options):
    given = ["--cases", "xor", "--out", "somewhere.csv", "--repeats", "3", "--out=elsewhere.csv"]
    assert options.command("run.py", given) == "python bench/run.py --cases xor --repeats 3"


def test_a_rival_that_is_missing_or_fails_has_a_row_that_says_so(cases, run, timing):
    def fail(function, *arguments):
        raise timing.RivalError("Traceback …\nMemoryError: too wide")

    rows = run.time_case(cases.CASES["xor"], {("numpy", 1): fail}, ["jax"], repeats=2, seconds=0.1)
    assert [(row["rival"], row["median_us"], row["note"]) for row in rows] == [
        ("numpy", "", "failed: MemoryError: too wide"),
        ("jax", "", "not installed"),
    ]


# --------------------------------------------------------------------------------------------------- timing


def test_enough_calls_are_those_that_fill_the_time(timing):
    # A call of a millisecond, of which a run's first has ten more to pay.
    assert timing.enough(lambda count: count / 1000, 1, 2.0) == 2000
    assert timing.enough(lambda count: count / 1000, 7, 0.001) == 1, "one call at least, however long it takes"
    # The ten milliseconds are 2 % of the run of 512 calls that the answer is taken from.
    assert timing.enough(lambda count: (count + 10) / 1000, 2, 2.0) == round(2000 * 512 / 522)


def test_functions_take_turns(timing, monkeypatch):
    calls = []
    first, second = (lambda: calls.append("first")), (lambda: calls.append("second"))
    monkeypatch.setattr(timing, "enough", lambda *_: 2)
    found = timing.take_turns({"first": first, "second": second}, repeats=2, seconds=1.0)
    assert calls == ["first", "first", "second", "second"] * 2
    assert {name: len(seconds) for name, seconds in found.items()} == {"first": 2, "second": 2}


def test_a_process_has_its_number_of_threads(timing, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with timing.process(threads=3) as ask:
        assert ask(os.getenv, "OMP_NUM_THREADS") == ask(os.getenv, "OPENBLAS_NUM_THREADS") == "3"
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def test_a_training_that_stops_early_is_not_timed(cases, rivals):
    case = dataclasses.replace(cases.regression((2, 3, 1), 4, 8), optimizer="sgd", learning_rate=1e30)
    run = rivals.find("fastmlp").prepare(case, *cases.data(case), cases.start(case), 1)(50)
    with pytest.warns(RuntimeWarning, match="stopped being finite"), pytest.raises(RuntimeError, match="of 50 epochs"):
        run()


@pytest.mark.slow
def test_forced_builds_are_timed_and_recorded(run, records, tmp_path):
    path = tmp_path / "cases.csv"
    asked = ["--cases", "chains", "--rivals", "numpy", "--builds", "all", "--threads", "1", "--out", str(path)]
    assert run.SCRIPT.main([*asked, *QUICK]) == 0
    record = records.read(path)
    assert record.about["build"] == places.backend.in_use()
    assert [row["rival"] for row in record.rows] == ["fastmlp"] * len(BUILDS) + ["numpy"]
    assert {row["build"] for row in record.rows if row["rival"] == "fastmlp"} == set(BUILDS)
    own = record.rows[0]
    assert own["build"] == places.backend.in_use()
    for row in record.rows:
        # Both medians are written with five digits, their ratio with four.
        assert float(row["ratio_to_fastmlp"]) == pytest.approx(
            float(row["median_us"]) / float(own["median_us"]), rel=1e-3
        )


@pytest.mark.slow
def test_two_installations_are_compared_in_turns(compare, monkeypatch, capsys):
    asked = [sys.executable, sys.executable, "--cases", "xor", "--threads", "1", "--estimators", "--datasets", "iris"]
    assert compare.SCRIPT.main([*asked, *QUICK]) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()[-2:]] == ["xor", "iris"]
    assert all(len(line.split()) == 8 for line in printed.splitlines()[-2:]), "medians, minima and their ratios"
    assert printed.count("fastmlp ") == 2, "which installations they are"


def test_a_build_that_an_installation_does_not_have_is_left_out(compare, monkeypatch, capfd):
    monkeypatch.setattr(compare, "BUILDS", ("abacus",))
    asked = [sys.executable, sys.executable, "--builds", "abacus", "--cases", "xor"]
    assert compare.SCRIPT.main([*asked, *QUICK]) == 1
    assert "build: abacus left out, since it cannot be used" in capfd.readouterr().out


# -------------------------------------------------------------------------------------------------- choices


def test_every_choice_is_measured(choices, records, tmp_path):
    path = tmp_path / "choices.csv"
    assert choices.SCRIPT.main(["--sizes", "3,4,2", "--batch", "700", "--out", str(path), *QUICK]) == 0
    rows = records.read(path).rows
    assert [row["choice"] for row in rows] == list(choices.CHOICES)
    named = {name.partition(" ")[2] for name in choices.CHOICES} | set(choices.IN_PLAIN)
    tables = activations.HIDDEN_ACTIVATIONS, losses.LOSSES, set(optimizers.OPTIMIZERS) - {"lbfgs"}
    assert set().union(*tables) <= named, "none of the library's tables is left out"
    assert rows[0]["ratio_to_plain"] == "1"
    assert all(float(row["minimum_us"]) > 0 for row in rows)


# ------------------------------------------------------------------------------------------------- products


def test_rates_and_ratios_of_products(products):
    timings = {"forward": {"numpy": [0.04, 0.02], "baseline": [0.01, 0.03]}}
    numpy, build = products.rows_of("float32", (1000, 1000, 1000), timings, most=400.0)
    assert (numpy["best_gflops"], numpy["ratio_to_limit"], numpy["ratio_to_numpy"]) == ("100", "0.25", "1")
    assert (build["best_gflops"], build["ratio_to_limit"], build["ratio_to_numpy"]) == ("200", "0.5", "2")
    assert build["median_gflops"] == "100"  # of 10 and 30 milliseconds


def test_products_of_every_build_are_recorded(products, records, tmp_path, monkeypatch):
    path = tmp_path / "products.csv"
    monkeypatch.setattr(products, "process", fake_process(products))
    assert products.SCRIPT.main(["--shapes", "5x6x7,8x8x8", "--out", str(path), *QUICK]) == 0
    record = records.read(path)
    assert len(record.rows) == 2 * 2 * 3 * (1 + len(BUILDS)), "dtypes, shapes, products, builds and NumPy"
    assert {row["build"] for row in record.rows} == {"numpy", *BUILDS}
    assert "200" in record.about["limit float64"]


def fake_process(products: ModuleType):
    """What stands for another process: calls are made here, and a limit is given instead of measured."""

    class Process:
        def __init__(self, threads):
            assert threads == 1

        def __enter__(self):
            return lambda function, *arguments: 200.0 if function is products.limit else function(*arguments)

        def __exit__(self, *_):
            return None

    return Process


@pytest.mark.parametrize("shape", ["5x6", "5x6x0", "5x6xseven"])
def test_shapes_that_are_none_are_refused(products, capsys, shape):
    with pytest.raises(SystemExit):
        products.SCRIPT.parse(["--shapes", shape])
    assert "expected rows x inputs x outputs" in capsys.readouterr().err


# -------------------------------------------------------------------------------------- the sweep and growth


def test_a_regression_of_any_shape_can_be_trained(cases, rivals):
    for sizes, batch, rows in (((1, 1, 1), 1, 1), ((1, 1, 1), 1, 2), ((3, 3, 3, 3), 4, 9)):
        case = cases.regression(sizes, batch, rows)
        X, y = cases.data(case)
        assert np.isfinite(y).all()
        rivals.find("fastmlp").prepare(case, X, y, cases.start(case), None)(2)()


def test_multiply_adds_are_those_of_the_products(cases):
    # Forward 2·3 + 3·4, the weights' gradients as many, and the deltas of the hidden layer 3·4; five rows each.
    assert cases.regression((2, 3, 4), 5, 10).multiply_adds == 5 * (18 + 18 + 12)


@pytest.mark.slow
def test_the_sweep_is_recorded_and_leaves_out_what_is_too_long(sweep, records, tmp_path):
    path = tmp_path / "sweep.csv"
    asked = ["--widths", "1,6", "--batches", "1,1024", "--limit", "1e-6", "--out", str(path)]
    assert sweep.SCRIPT.main([*asked, *QUICK]) == 0
    rows = records.read(path).rows
    kinds = 2 * len({1, places.threads.usable_cpus()}) + 1
    assert len(rows) == 2 * 2 * kinds
    for row in rows:
        # A smaller batch takes well over the millionth of the limit that it would have to stay below.
        assert row["note"].startswith("left out: a step would take") == (row["batch"] == "1024")
        assert bool(row["minimum_us"]) == bool(row["ratio_to_one_thread"]) == (row["batch"] == "1")
        if row["threads"] == "1" and row["minimum_us"]:
            assert float(row["ratio_to_one_thread"]) == 1
            multiply_adds = 5 * int(row["width"]) ** 2
            per_multiply_add = float(row["minimum_us"]) * 1000 / multiply_adds
            assert float(row["ns_per_multiply_add"]) == pytest.approx(per_multiply_add, rel=1e-3)  # of four digits


def test_what_was_left_out_stays_out_at_larger_batches(sweep, timing, cases):
    small, large = (timing.Entry(cases.regression((2, 2, 2), batch, 16), "numpy", 1) for batch in (2, 8))
    small.epochs, small.seconds = 1, [8 * 0.3]  # eight batches an epoch of 0.3 seconds; four times as many rows
    assert sweep.left_out(large, small, 1.0) == "left out: a step would take about 1.2 s"
    small.seconds = [8 * 0.2]
    assert sweep.left_out(large, small, 1.0) == ""
    small.seconds, small.problem = [], "left out already"
    assert sweep.left_out(large, small, 1.0) == "left out already"
    assert sweep.left_out(large, None, 1.0) == ""
    assert sweep.ratio(large, small) == "", "neither was timed"


def test_the_exponent_is_that_of_the_largest_sizes(growth):
    sizes = [2**power for power in range(12)]
    exponent, first = growth.fit([(size, 3 * size**1.5) for size in sizes])
    assert exponent == pytest.approx(1.5, rel=1e-12)  # rounding alone
    assert first == 0
    exponent, first = growth.fit([(size, 1000 + size**2) for size in sizes])
    assert 1.9 < exponent < 2.0, "what is left of the fixed cost bends the line a little"
    assert sizes[first] >= 32, "where the fixed cost is as large as what grows"
    assert growth.fit([(1, 8.0), (2, 4.0)])[0] == pytest.approx(-1, rel=1e-12)
    assert np.isnan(growth.fit([(1, 8.0)])[0])


@pytest.mark.slow
def test_growth_is_recorded(growth, records, tmp_path):
    path = tmp_path / "growth.csv"
    assert growth.SCRIPT.main(["--questions", "width,threads", "--most", "8", "--out", str(path), *QUICK]) == 0
    rows = records.read(path).rows
    assert [row["size"] for row in rows if row["question"] == "width"] == ["4", "8"]
    threads = [int(row["size"]) for row in rows if row["question"] == "threads"]
    assert threads == list(range(1, min(8, places.threads.usable_cpus()) + 1))
    assert all(float(row["minimum_us"]) > 0 and row["fitted"] in ("yes", "no") for row in rows)


# ------------------------------------------------------------------------------------------------- overheads


@pytest.mark.slow
def test_overheads_are_recorded_and_what_is_missing_is_said(overheads, records, tmp_path):
    path = tmp_path / "overheads.csv"
    assert overheads.SCRIPT.main(["--out", str(path), *QUICK]) == 0
    rows = records.read(path).rows
    questions = list(dict.fromkeys(row["question"] for row in rows))
    assert questions[0] == "import fastmlp over import numpy"
    assert sum(question.startswith("train, ") for question in questions) == 2
    for question in (question for question in questions if question.startswith("predict_proba")):
        found = {row["contender"]: row for row in rows if row["question"] == question}
        assert set(found) == set(overheads.PREDICTORS)
        for name, row in found.items():
            assert row["note"] == ("not installed" if name in overheads.missing() else "")
            assert bool(row["median"]) == (not row["note"])
        assert found["fastmlp"]["ratio_to_fastmlp"] == "1"


def test_a_contender_that_predicts_something_else_is_not_timed(overheads, monkeypatch):
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)  # This process keeps its CPUs.
    right = overheads.PREDICTORS["numpy"][1]
    wrong = ("numpy",), lambda layers: lambda X: np.roll(right(layers)(X), 1, axis=1)
    monkeypatch.setitem(overheads.PREDICTORS, "numpy", wrong)
    with pytest.raises(ValueError, match="numpy predicts something else"):
        overheads.time_predictions(3, 1, 0.001)


# --------------------------------------------------------------------------------------------------- figures


@pytest.fixture
def drawn_from(plot, records, growth, cases, timing, tmp_path, monkeypatch) -> Path:
    """Make a folder with small records of all kinds, in place of the project's own."""
    monkeypatch.setattr(plot, "RECORD", tmp_path)
    date = HEADER.format(date="2031-01-02 10:00")
    (tmp_path / "cases-a.csv").write_text(date + ROWS, encoding="utf-8")
    about = records.begun("python bench/…").about
    columns = ("activation", "optimizer", "dtype")
    rows = [
        dict(zip(columns, ("tanh", "adam", "float32"), strict=True))
        | {"width": width, "batch": batch, "rival": rival, "threads": threads}
        | {"minimum_us": width * batch, "ns_per_multiply_add": 5 / width, "ratio_to_one_thread": ratio}
        for width in (1, 4)
        for batch in (1, 2, 8)
        for rival, threads, ratio in (
            ("fastmlp", 1, 1),
            ("fastmlp", 2, 0.5 if width * batch < 32 else ""),
            ("fastmlp", "chosen", 1),
            ("numpy", 1, 1),
        )
    ]
    records.Record(about, rows).write("sweep", tmp_path / "sweep-a.csv")
    grown = []
    for name, question in growth.QUESTIONS.items():
        entries = [timing.Entry(question.case(size), "fastmlp", 1) for size in question.sizes[:5]]
        for number, entry in enumerate(entries):
            entry.epochs, entry.seconds = 1, [4.0**number]
        grown += growth.rows_of(name, entries)
    records.Record(about, grown).write("growth", tmp_path / "growth-a.csv")
    return tmp_path


def test_figures_are_drawn(plot, drawn_from):
    assert plot.SCRIPT.main(["--out", str(drawn_from / "figures")]) == 0
    for name in ("ratios", "sweep", "growth"):
        assert (drawn_from / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_figure_without_a_record_is_named(plot, drawn_from, capsys):
    (drawn_from / "growth-a.csv").unlink()
    assert plot.SCRIPT.main(["--out", str(drawn_from / "figures")]) == 1
    assert "growth was not drawn: no record growth-*.csv" in capsys.readouterr().err
    assert (drawn_from / "figures" / "sweep.png").is_file()


def test_the_figure_shows_what_is_lost(plot, records, drawn_from):
    record = records.newest("cases", drawn_from)
    # Each one's best number of threads; fastmlp in the build that it chose, though one that was forced is faster.
    assert plot.ratios_of(record, "numpy") == {"xor": 40 / 1.25, "wide": 0.75}
    assert plot.ratios_of(record, "pytorch") == {}
    (axes,) = plot.draw_ratios(record).axes
    assert axes.get_xlim()[0] < 0.75
    assert [label.get_text() for label in axes.get_yticklabels()] == ["xor", "wide"]


def test_the_sweeps_grid_keeps_gaps(plot, records, drawn_from):
    record = records.newest("sweep", drawn_from)
    widths, batches, values = plot.grid_of(record, "ratio_to_one_thread", "fastmlp", "2")
    assert (widths, batches) == ([1, 4], [1, 2, 8])
    assert np.isnan(values).tolist() == [[False] * 3, [False, False, True]]
    assert plot.grid_of(record, "minimum_us", "numpy")[2].tolist() == [[1, 2, 8], [4, 8, 32]]
