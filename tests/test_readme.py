"""The README: its Python runs as it stands there, and the commands that it names exist."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"

pytestmark = pytest.mark.skipif(not README.is_file(), reason="README.md does not stand beside tests/")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_python_runs_and_reaches_the_promised_accuracy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    names: dict = {}
    exec(compile(code, str(README), "exec"), names)
    assert names["net"].score(names["X_test"], names["y_test"]) >= 0.97
    assert "test accuracy 0.9" in capsys.readouterr().out
    assert (tmp_path / "digits.safetensors").is_file()


def test_ten_lines_are_ten():
    (code,) = blocks("python")
    assert len([line for line in code.splitlines() if line and not line.startswith(("from", "import"))]) <= 10


def test_commands_are_those_of_the_command_line(capsys):
    from fastmlp import cli

    commands = {line.split()[1] for block in blocks("sh") for line in block.splitlines() if line.startswith("fastmlp ")}
    assert commands == {"train", "predict"}
    for command in commands:
        with pytest.raises(SystemExit) as stop:
            cli.main([command, "--help"])
        assert stop.value.code == 0
    assert "--target" in capsys.readouterr().out
