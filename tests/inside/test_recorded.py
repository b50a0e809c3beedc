"""What was recorded before: the bits of trainings, and model files that must still load."""

import json
from pathlib import Path

import numpy as np
import pytest
from inside import places, recorded

import fastmlp

DATA = Path(__file__).parents[1] / "data"
RECORD = json.loads(recorded.RECORD.read_text())


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("build", places.BUILDS)
def test_no_bit_has_changed(build, n_threads, every_thread):
    if build in places.backend.missing:
        pytest.skip(f"{build}: {places.backend.missing[build]}")
    for dtype in ("float32", "float64"):
        compiler = places.backend.kernels(np.dtype(dtype), build).sizes()["compiler"]
        if compiler != RECORD["compiler"]:
            pytest.skip(f"recorded with the kernels of GCC {RECORD['compiler']}; these are of {compiler}")
    changed = [
        name
        for name, data, options in recorded.cases()
        if recorded.bits(*data, options, n_threads, build) != RECORD["bits"][build][name]
    ]
    assert changed == []


def test_every_training_that_is_recorded_is_run():
    names = {name for name, *_ in recorded.cases()}
    assert all(names == bits.keys() for bits in RECORD["bits"].values())
    assert len(names) >= 12


def test_a_model_file_that_was_written_before_loads():
    net, known = fastmlp.load(DATA / "network-1.safetensors"), json.loads((DATA / "network-1.json").read_text())
    assert net.sizes == tuple(known["sizes"])
    assert net.activations == tuple(known["activations"])
    assert net.classes_.tolist() == known["classes"]
    assert net.dropout == (0.2, 0.0)
    assert net.metadata == {"note": "written before the redesign"}
    # another build may round otherwise
    np.testing.assert_allclose(net.predict_proba(np.array(known["X"])), known["proba"], rtol=1e-12)


def test_a_model_of_the_command_that_was_written_before_predicts(tmp_path):
    from fastmlp.cli import main

    out, table = tmp_path / "predictions.csv", DATA / "table-1.csv"
    assert main(["predict", str(DATA / "table-1.safetensors"), str(table), "--out", str(out)]) == 0
    found, expected = (np.loadtxt(path, skiprows=1) for path in (out, DATA / "table-1-predictions.csv"))
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # float32, on a build that may round otherwise
