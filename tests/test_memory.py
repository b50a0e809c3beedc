"""What training takes in memory, asked as bench/memory.py asks it, at small sizes."""

import os
from pathlib import Path

import numpy as np
import pytest

resource = pytest.importorskip("resource", reason="the system has no limits of memory that a process can set")

pytestmark = pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the system's counts of memory cannot be read here"
)

MIB = 1 << 20


@pytest.fixture
def memory(from_bench):
    """The script."""
    return from_bench("memory")


def test_the_measures_see_what_is_allocated(memory):
    size = 64 * MIB
    # NumPy allocates the size and a few bytes of the object.
    assert size <= memory.traced_peak(lambda: np.ones(size // 8)) < size + memory.OBJECTS
    assert size - memory.SLACK < memory.peak_over(lambda: np.ones(size // 8)) < size + memory.SLACK


def test_mapped_rows_are_not_copied(memory, tmp_path):
    row = memory.not_copied(tmp_path, 128 * MIB)
    assert row["kept"] == "yes", row
    # Room to spare would prove nothing: rows of another dtype, which have to be copied, don't fit in.
    (path,) = tmp_path.iterdir()
    with pytest.raises(MemoryError):
        memory.alone(memory.train_on_file, path, 128 * MIB // (8 * 64), 64, "float64")


@pytest.mark.parametrize("number", range(3))
@pytest.mark.slow
def test_the_peak_is_the_workspace_four_times_the_parameters_and_the_way_back(memory, number):
    cases = memory.cases(small=True)
    assert len(cases) == 3
    for row in memory.within_workspace(*cases[number]):
        assert row["kept"] == "yes", row


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.slow
def test_resident_memory_is_flat_over_a_thousand_trainings(memory, threads):
    row = memory.flat(memory.TRAININGS, threads)
    assert row["kept"] == "yes", row


def test_nothing_is_allocated_in_the_loop(memory):
    row = memory.nothing_in_the_loop((1, 100))
    assert row["kept"] == "yes", row


def test_a_bound_that_is_broken_is_told(memory, monkeypatch, tmp_path, capsys):
    def broken(*_):
        return memory.row_of("a question", "of something", 2 * MIB, MIB, "")

    for name in ("not_copied", "flat", "nothing_in_the_loop"):
        monkeypatch.setattr(memory, name, broken)
    monkeypatch.setattr(memory, "cases", lambda small: [])
    path = Path(tmp_path) / "memory.csv"
    assert memory.SCRIPT.main(["--out", str(path)]) == 1
    assert "2.000 of at most      1.000 MiB  of something;   BROKEN" in capsys.readouterr().out
    assert "a question,of something,2097152,1048576,no," in path.read_text(encoding="utf-8")
