"""The README: its Python runs as it stands there, and the commands that it names exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"

pytestmark = pytest.mark.skipif(not README.is_file(), reason="README.md does not stand beside tests/")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def run(code: str) -> dict:
    names: dict = {}
    exec(compile(code, str(README), "exec"), names)
    return names


def test_python_runs_and_reaches_the_promised_accuracy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = run(blocks("python")[1])
    assert names["net"].score(names["X_test"], names["y_test"]) >= 0.97
    assert "test accuracy 0.9" in capsys.readouterr().out
    assert (tmp_path / "digits.safetensors").is_file()


@pytest.mark.slow
def test_an_import_is_changed(capsys):
    names = run(blocks("python")[0])
    assert names["search"].best_score_ > 0.94
    assert type(names["search"].best_estimator_[-1]).__module__ == "fastmlp.sklearn"
    assert "mlpclassifier__alpha" in capsys.readouterr().out


def test_quantiles_classes_stops_and_gaps(capsys):
    # One after the other, as a reader would: later examples use what earlier ones have imported.
    texts, names = blocks("python")[2:], {}
    printed = []
    for text in texts:
        exec(compile(text, str(README), "exec"), names)
        printed.append(capsys.readouterr().out)
        if len(printed) == 1:
            share = float(printed[0].split()[0])
            assert abs(share - 0.8) < 0.03, "between the levels 0.1 and 0.9 lie eight tenths"
            assert (names["low"] < names["high"]).mean() > 0.99
        elif len(printed) == 3:
            assert len(names["net"].history) < 500
            assert names["net"].history.metrics["val_roc_auc"][-1] > 0.99
    plain, balanced = (float(line.split()[-1]) for line in printed[1].splitlines())
    assert balanced > plain + 0.1
    assert "val_loss has not improved for 20 epochs" in printed[2]
    assert "layer activation" in printed[2]
    assert float(printed[3].split()[-1]) > 0.95
    assert len(printed) == 4, "every example runs"


def test_ten_lines_are_ten():
    code = blocks("python")[1]
    assert len([line for line in code.splitlines() if line and not line.startswith(("from", "import"))]) <= 10


@pytest.mark.slow
def test_the_table_commands_run(tmp_path):
    (commands,) = [block for block in blocks("sh") if "fastmlp train" in block]
    # `python` and `fastmlp` are those of this environment, whatever is on the path.
    here = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        commands, shell=True, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    accuracy = float(re.search(r"test accuracy: ([0-9.]+)", done.stdout).group(1))
    assert accuracy > 0.9, "wine's three classes are all but separable"
    rows = (tmp_path / "predictions.csv").read_text().splitlines()
    assert len(rows) == 179, "a header and 178 wines"
