import io
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import fastmlp
from fastmlp import cli
from fastmlp.tables import Table


@pytest.fixture
def run(capsys):
    """Run the command; return its exit code, standard output and standard error."""

    def run_command(*arguments):
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        return code, out, err

    return run_command


def shapes(rows=240, seed=0):
    """Make a table whose label follows from size and colour."""
    rng = np.random.default_rng(seed)
    size, colour = rng.normal(size=rows), rng.choice(["red", "green", "blue"], rows)
    big = size + 2.0 * (colour == "red") > 0.5
    return pd.DataFrame(
        {
            "size": size,
            "colour": colour,
            "round": rng.random(rows) < 0.5,
            "count": rng.integers(0, 50, rows),
            "label": np.where(big, "big", "small"),
            "price": 100.0 + 20.0 * size + 30.0 * (colour == "blue"),
        }
    )


@pytest.fixture
def data(tmp_path):
    shapes().to_csv(tmp_path / "shapes.csv", index=False)
    return tmp_path / "shapes.csv"


@pytest.fixture
def model(tmp_path, data, run):
    path = tmp_path / "model.safetensors"
    code, _, err = run(
        "train", data, "--target", "label", "--ignore", "price", "--hidden", 8, "--epochs", 5, "--save", path
    )
    assert code == 0, err
    return path


def check_pictures(folder, frames):
    for name in ("accuracy.png", "boundary.png", "loss.png"):
        with Image.open(folder / name) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 500
            assert np.asarray(picture.convert("L")).std() > 5  # a blank picture has 0
    with Image.open(folder / "all.gif") as gif:
        assert gif.format == "GIF"
        assert gif.n_frames == frames
        first = np.asarray(gif.convert("RGB"))
        gif.seek(frames - 1)
        assert (np.asarray(gif.convert("RGB")) != first).mean() > 0.01


def test_xor_trains_and_draws(run, tmp_path):
    out = tmp_path / "deep" / "folder"
    code, text, err = run("xor", "--epochs", 2000, "--frames", 6, "--out", out)
    assert code == 0
    check_pictures(out, frames=6)
    network = fastmlp.article.train(epochs=2000)
    assert f"loss      {network.history.loss[-1]:.6g}" in text
    assert f"accuracy  {network.history.accuracy[-1]:.1%} of 300 points" in text
    assert "2,000 in" in text
    assert f"{out / 'all.gif'}" in text
    assert "accuracy" in err  # the progress bar
    assert "2.00k/2.00k" in err


def test_xor_takes_the_articles_settings(run, tmp_path):
    settings = {"hidden": 4, "learning_rate": 0.01, "reg": 0.001, "rows": 40, "ridge": "true", "seed": 5}
    options = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]
    code, text, _ = run("xor", *options, "--epochs", 50, "--frames", 2, "--out", tmp_path)
    assert code == 0
    network = fastmlp.article.train(**settings, epochs=50)
    assert f"loss      {network.history.loss[-1]:.6g}" in text


def test_xor_that_diverges_says_when_and_what_to_try(run, tmp_path):
    code, text, err = run("xor", "--hidden", 50, "--reg", 0.01, "--epochs", 5000, "--frames", 4, "--out", tmp_path)
    assert code == 0
    with pytest.warns(fastmlp.DivergenceWarning):
        history = fastmlp.article.train(hidden=50, reg=0.01, epochs=5000).history
    assert f"at epoch {len(history):,}: the training stopped there" in text
    assert "try a smaller --learning-rate, or --ridge true" in text
    assert "warning" not in err  # the summary says it
    assert (tmp_path / "all.gif").exists()


def test_xor_modern_reaches_98_percent(run, tmp_path):
    code, text, _ = run("xor", "--modern", "--frames", 4, "--out", tmp_path)
    assert code == 0
    check_pictures(tmp_path, frames=4)
    accuracy = float(text.split("accuracy")[1].split("%")[0])
    assert accuracy > 98.0


@pytest.mark.parametrize("seed", range(8))
def test_xor_modern_reaches_98_percent_from_any_seed(seed):
    networks = cli._train_modern({**cli.MODERN, "seed": seed}, frames=2)
    network = networks[-1]
    X, y = fastmlp.article.data()
    assert np.mean(network.predict(X) == y.argmax(axis=1)) > 0.98
    assert 1 <= len(networks) <= cli.MODERN_STARTS
    assert [epoch for epoch, _ in network.history.frames] == [0, len(network.history)]


def test_xor_modern_with_too_few_neurons_keeps_the_best_of_all_starts(run, tmp_path):
    code, text, _ = run("xor", "--modern", "--hidden", 1, "--epochs", 20, "--frames", 2, "--out", tmp_path)
    assert code == 0
    assert f"starts    {cli.MODERN_STARTS}; the best one counts" in text


def test_xor_modern_that_diverges_at_once_says_so_and_has_nothing_to_draw(run, tmp_path):
    code, text, err = run("xor", "--modern", "--learning-rate", 1e200, "--out", tmp_path)
    assert code == 2
    assert "at epoch 1: the training stopped there" in text
    assert "diverged  try a smaller --learning-rate" in text
    assert err.endswith("fastmlp: error: history: got no finite loss; a history with a finite loss is accepted\n")


@pytest.mark.parametrize("option", [("--ridge", "true"), ("--reg", 0), ("--rows", 50)])
def test_xor_modern_refuses_the_articles_options(run, tmp_path, option):
    code, _, err = run("xor", "--modern", *option, "--out", tmp_path / "no")
    assert code == 2
    assert f"{option[0]} is for the article's experiment and does not go with --modern" in err
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--frames", 1], "--frames: got 1"),
        (["--epochs", 0], "epochs: got 0"),
        (["--hidden", 0], "hidden"),
        (["--learning-rate", -1], "learning_rate: got -"),
        (["--epochs", "many"], "invalid int value"),
        (["--ridge", "false"], "invalid choice"),
        (["--rows", 301], "rows: got 301"),
        (["--modern", "--epochs", 0], "epochs: got 0"),
        (["--modern", "--hidden", 0], "got 0, expected a whole number"),
    ],
)
def test_xor_refusals(run, tmp_path, options, message):
    code, _, err = run("xor", *options, "--out", tmp_path)
    assert code == 2
    assert message in err
    assert not list(tmp_path.iterdir())


def test_train_classifies_and_saves_a_model_that_predicts_the_same(run, data, tmp_path):
    model, out = tmp_path / "model.safetensors", tmp_path / "predictions.csv"
    code, text, err = run(
        "train",
        data,
        "--target",
        "label",
        "--ignore",
        "price",
        "--hidden",
        "16,8",
        "--epochs",
        200,
        "--learning-rate",
        0.01,
        "--save",
        model,
    )
    assert code == 0
    assert "task: classification (target 'label' holds text)" in text
    assert "rows: 192 for training, 48 for the test" in text
    assert "inputs: 6 from 4 columns" in text
    last = text.splitlines()[-1]
    assert last.startswith("test accuracy: ")
    assert last.endswith("(48 rows)")
    assert float(last.split()[2]) > 0.85  # the rule is simple; guessing gives at most 0.7
    assert "loss" in err  # the progress bar

    command = [sys.executable, "-m", "fastmlp", "predict", str(model), str(data)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert run("predict", model, data, "--out", out)[:2] == (0, f"240 predictions written to {out}\n")
    assert out.read_text() == printed
    assert run("predict", model, data)[1] == printed

    network, frame = fastmlp.load(model), shapes()
    table = Table.from_json(network.metadata["table"])
    predictions = pd.read_csv(io.StringIO(printed))
    X = table.features(frame)
    assert predictions["prediction"].tolist() == network.predict(X).tolist()
    np.testing.assert_array_equal(
        predictions[["probability_big", "probability_small"]].to_numpy(network.params.dtype), network.predict_proba(X)
    )
    assert np.mean(predictions["prediction"] == frame["label"]) > 0.85


def test_train_fits_numbers(run, data, tmp_path):
    model = tmp_path / "model.safetensors"
    code, text, _ = run(
        "train",
        data,
        "--target",
        "price",
        "--ignore",
        "label",
        "--hidden",
        32,
        "--epochs",
        200,
        "--dtype",
        "float64",
        "--learning-rate",
        0.01,
        "--save",
        model,
    )
    assert code == 0
    assert "task: regression (target 'price' holds fractional numbers)" in text
    last = text.splitlines()[-1]
    assert last.startswith("test R²: ")
    assert last.endswith("(48 rows)")
    assert float(last.split()[2]) > 0.9  # the rule is linear
    frame = shapes(seed=1).drop(columns=["price", "label"])
    frame.to_parquet(tmp_path / "later.parquet")
    code, text, _ = run("predict", model, tmp_path / "later.parquet")
    assert code == 0
    error = pd.read_csv(io.StringIO(text))["prediction"] - shapes(seed=1)["price"]
    assert error.std() < 10.0  # the price's own deviation is about 25


def test_train_is_the_same_from_csv_and_parquet_and_from_run_to_run(run, data, tmp_path):
    shapes().to_parquet(tmp_path / "shapes.pq")
    texts = [
        run("train", path, "--target", "label", "--hidden", "none", "--epochs", 3, "--seed", 4)[1]
        for path in (data, data, tmp_path / "shapes.pq")
    ]
    lines = [[line for line in text.splitlines() if " s, loss" not in line] for text in texts]  # that one has a time
    assert lines[0] == lines[1] == lines[2]


def test_train_without_test_rows_says_training(run, data):
    code, text, _ = run("train", data, "--target", "label", "--test-fraction", 0, "--epochs", 2)
    assert code == 0
    assert text.splitlines()[-1].startswith("training accuracy: ")
    assert text.splitlines()[-1].endswith("(240 rows)")


@pytest.mark.filterwarnings("always::fastmlp.DivergenceWarning")
def test_train_that_diverges_says_so_and_saves_all_the_same(run, data, tmp_path):
    model = tmp_path / "model.safetensors"
    code, text, err = run(
        "train", data, "--target", "label", "--optimizer", "sgd", "--learning-rate", 1e20, "--save", model
    )
    assert code == 1
    assert "fastmlp: warning: the loss stopped being finite" in err
    assert f"saved: {model}" in text
    assert np.isfinite(fastmlp.load(model).params).all()


def test_labels_that_look_like_numbers_stay_themselves(run, tmp_path):
    frame = pd.DataFrame({"x": np.tile([0.0, 1.0], 40), "code": ["01", "1"] * 40, "digit": [7, 3] * 40})
    frame.to_csv(tmp_path / "a.csv", index=False)
    model = tmp_path / "m.safetensors"
    code, text, err = run(
        "train", tmp_path / "a.csv", "--target", "digit", "--epochs", 100, "--hidden", 8, "--save", model
    )
    assert code == 0, err
    code, text, err = run("predict", model, tmp_path / "a.csv")
    predictions = pd.read_csv(io.StringIO(text))
    assert list(predictions.columns) == ["prediction", "probability_3", "probability_7"]
    assert predictions["prediction"].tolist() == frame["digit"].tolist()


@pytest.mark.filterwarnings("always::UserWarning")
def test_unseen_category_warns_and_predicts(run, model, tmp_path):
    frame = shapes(rows=10)
    frame["colour"] = ["violet", "red"] * 5
    frame.to_csv(tmp_path / "later.csv", index=False)
    code, text, err = run("predict", model, tmp_path / "later.csv")
    assert code == 0
    assert err.startswith("fastmlp: warning: column 'colour': 5 of 10 rows")
    assert len(err.splitlines()) == 1
    assert len(text.splitlines()) == 11


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "lable"], "--target: got 'lable', expected one of .*did you mean 'label'"),
        (["--target", "label", "--ignore", "prize"], "--ignore: got 'prize'.*did you mean 'price'"),
        (["--target", "label", "--ignore", "label"], "--ignore: got 'label', expected one of 'size'"),
        (["--target", "label", "--save", "."], "--save: got '.', which is a folder"),
        (["--target", "label", "--task", "regression"], "column 'label', row 1: got '(big|small)'; a finite number"),
        (["--target", "label", "--test-fraction", 0.9], "test_fraction: got 0.9"),
        (["--target", "label", "--epochs", 0], "epochs: got 0"),
        (["--target", "label", "--hidden", "8,0"], r"hidden\[1\]: got 0"),
        (["--target", "label", "--hidden", "8;8"], "--hidden: got '8;8', expected numbers"),
        (["--target", "label", "--batch-size", "some"], "--batch-size: got 'some'"),
        (["--target", "label", "--batch-size", 0], "batch_size: got 0"),
        (["--target", "label", "--threads", 0], "n_threads: got 0"),
        (["--target", "label", "--activation", "ReLU"], "argument --activation: got 'ReLU'; use 'relu'"),
        (["--target", "label", "--optimizer", "adma"], "--optimizer: got 'adma', expected .*did you mean 'adam'"),
        (["--target", "label", "--save", "no/folder/model"], "--save: got 'no/folder/model', whose folder"),
        ([], "required: --target"),
    ],
)
def test_train_refusals(run, data, options, message):
    code, text, err = run("train", data, *options)
    assert code == 2
    last = err.splitlines()[-1]
    assert last.startswith("fastmlp")
    assert "error: " in last
    assert re.search(message, last)
    assert "accuracy" not in text


def test_predict_refusals(run, data, model, tmp_path):
    shapes()[["size", "round"]].to_csv(tmp_path / "narrow.csv", index=False)
    missing = run("predict", model, tmp_path / "narrow.csv")
    assert missing[0] == 2
    assert "lacks 2 of the columns that the model was trained with: 'colour', 'count'" in missing[2]

    shapes().assign(size=[None, *range(239)]).to_csv(tmp_path / "hole.csv", index=False)
    hole = run("predict", model, tmp_path / "hole.csv", "--out", tmp_path / "out.csv")
    assert hole[0] == 2
    assert "column 'size', row 1: got nothing" in hole[2]
    assert not (tmp_path / "out.csv").exists()

    assert run("predict", tmp_path / "no.safetensors", data)[0] == 2
    assert run("predict", data, data)[0] == 2

    network = fastmlp.load(model)
    del network.metadata["table"]
    network.save(tmp_path / "bare.safetensors")
    bare = run("predict", tmp_path / "bare.safetensors", data)
    assert bare[0] == 2
    assert "holds a network but no table" in bare[2]

    network.metadata["table"] = "{}"
    network.save(tmp_path / "damaged.safetensors")
    assert "model file is damaged" in run("predict", tmp_path / "damaged.safetensors", data)[2]


@pytest.mark.filterwarnings("error")
def test_the_command_knows_its_task_and_does_not_warn_of_targets(run, tmp_path):
    pd.DataFrame({"a": range(60), "b": np.arange(60) % 30}).to_csv(tmp_path / "data.csv", index=False)
    options = ("--target", "b", "--task", "classification", "--epochs", 1)
    code, text, err = run("train", tmp_path / "data.csv", *options)
    assert code == 0
    assert "task: classification" in text
    assert "warning" not in err


@pytest.mark.parametrize("module", ["pandas", "tqdm"])
def test_missing_extra_is_one_line(run, data, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    code, _, err = run("train", data, "--target", "label")
    assert code == 2
    assert err.splitlines()[-1].startswith("fastmlp: error: ")
    assert 'pip install "fastmlp[cli]"' in err


def test_version_and_config(run):
    assert run("--version") == (0, f"fastmlp {fastmlp.__version__}\n", "")
    code, text, _ = run("config")
    assert code == 0
    assert fastmlp.__version__ in text


def test_no_command_is_an_error(run):
    assert run()[0] == 2


@pytest.mark.skipif(os.name != "posix", reason="signals differ elsewhere")
def test_ctrl_c_ends_a_training(tmp_path):
    command = [sys.executable, "-m", "fastmlp", "xor", "--epochs", "5000000", "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert b"0%" in process.stderr.read(20)  # the bar: the training is under way
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith(b"fastmlp: interrupted\n")
    assert out == b""


def test_interrupt(run, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(fastmlp, "show_config", interrupted)
    assert run("config") == (130, "", "fastmlp: interrupted\n")


@pytest.mark.skipif(os.name != "posix", reason="pipes break otherwise elsewhere")
def test_reader_that_leaves_early_is_no_error(model, tmp_path):
    shapes(rows=20_000).to_csv(tmp_path / "long.csv", index=False)
    command = [sys.executable, "-m", "fastmlp", "predict", str(model), str(tmp_path / "long.csv")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("prediction,")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


@pytest.mark.parametrize("variable", ["FASTMLP_BACKEND", "FASTMLP_NUM_THREADS", "OMP_NUM_THREADS"])
@pytest.mark.parametrize("command", ["config", "xor", "train no.csv --target y", "predict no no"])
def test_a_wrong_variable_of_the_environment_is_one_line_before_any_work(tmp_path, command, variable):
    environment = os.environ | {variable: "foo"}
    called = [sys.executable, "-m", "fastmlp", *command.split()]
    done = subprocess.run(called, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"fastmlp: error: {variable}: got 'foo'")
    assert not list(tmp_path.iterdir())


def test_the_version_needs_no_build():
    environment = os.environ | {"FASTMLP_BACKEND": "foo"}
    called = [sys.executable, "-m", "fastmlp", "--version"]
    done = subprocess.run(called, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"fastmlp {fastmlp.__version__}\n"), done.stderr


@pytest.mark.parametrize(("error", "line"), [(MemoryError("no\nroom"), "no room"), (MemoryError(), "MemoryError")])
def test_too_little_memory_is_one_line(run, monkeypatch, error, line):
    def refuse():
        raise error

    monkeypatch.setattr(fastmlp, "show_config", refuse)
    assert run("config") == (2, "", f"fastmlp: error: {line}\n")
