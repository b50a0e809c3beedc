"""Which builds are found, loaded and refused."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from inside import places
from new_process import TRAIN, in_new_process

import fastmlp

pytestmark = pytest.mark.usefixtures("plain_environment")


def test_a_machine_that_lacks_features_gets_the_builds_it_can_run(monkeypatch):
    places.switch(monkeypatch, cpu_features=lambda: {"AVX2": True, "FMA3": True, "F16C": False})
    missing = places.find_missing()
    assert "F16C" in places.REQUIREMENTS["x86-64-v3"]
    assert set(places.BUILDS) - set(missing) <= {"baseline"}
    for build, text in (("x86-64-v3", "F16C"), ("x86-64-v4", "AVX512F, AVX512BW, AVX512CD, AVX512DQ, AVX512VL, F16C")):
        assert missing[build] in (f"this machine lacks {text}", "not built for this machine")


def test_an_unusable_backend_is_refused_with_its_reason(monkeypatch):
    monkeypatch.setitem(places.backend.missing, "x86-64-v4", "this machine lacks AVX512F")
    with pytest.raises(ValueError, match=r"^backend: got 'x86-64-v4', which cannot be used: this machine lacks AVX"):
        fastmlp.train([[0.0], [1.0]], [0, 1], epochs=1, backend="x86-64-v4")
    monkeypatch.setenv("FASTMLP_BACKEND", "x86-64-v4")
    with pytest.raises(ValueError, match=r"^FASTMLP_BACKEND: got 'x86-64-v4', which cannot be used"):
        places.backend.in_use.__wrapped__()


def test_a_build_names_what_the_rows_name(backend, dtype):
    kernels = places.backend.kernels(dtype, backend)
    assert kernels.spec() == places.spec_names()
    if backend != places.backend.REFERENCE:
        assert kernels.sizes()["dtype"] == np.dtype(dtype).name


def test_a_build_of_other_sources_fails_when_it_is_used_and_is_told_of(monkeypatch, capsys):
    stale = SimpleNamespace(__name__="stale", sizes=lambda: places.reference.sizes() | {"layer": 8})
    places.switch(monkeypatch, loaded_builds={})
    places.switch(monkeypatch, import_module=lambda name: stale)
    monkeypatch.delitem(places.backend.missing, "baseline", raising=False)
    with pytest.raises(ImportError, match="stale was built from other sources .*reinstall fastmlp"):
        fastmlp.train([[0.0], [1.0]], [0, 1], epochs=1, backend="baseline")
    fastmlp.show_config()
    assert "  baseline: broken: fastmlp: stale was built from other sources" in capsys.readouterr().out


def test_the_reference_serves_both_dtypes():
    assert places.backend.kernels(np.dtype("float32"), "reference") is places.backend.kernels(
        np.dtype("float64"), "reference"
    )
    assert places.backend.available()[0] == "reference"


def test_a_backend_is_a_string():
    with pytest.raises(TypeError, match=r"^backend: got 3 \(int\), expected one of 'reference'"):
        places.backend.resolve(3)


def test_show_config_tells_versions_builds_and_threads(capsys, monkeypatch):
    monkeypatch.setitem(places.backend.missing, "baseline", "not built for this machine")
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")
    fastmlp.show_config()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"fastmlp {fastmlp.__version__} (Python ")
    assert f"NumPy {np.__version__}" in lines[0]
    assert lines[1] == f"build in use: {places.backend.in_use()}"
    assert [line.split(":")[0].strip() for line in lines[2:-1]] == list(reversed(places.backend.NAMES))
    assert "  baseline: not built for this machine" in lines
    assert lines[-1] == f"threads: 1 (of {places.threads.usable_cpus()} usable CPUs)"


def without(*builds: str) -> str:
    """Code that makes builds look as if they had never been built."""
    names = [places.module_name(build, "float32") for build in builds]
    return f"import sys; sys.modules.update(dict.fromkeys({names!r}))"


def raises(code: str, kind: str, *words: str, before: str = "", **variables: str) -> None:
    """Check that a new process imports fastmlp, and that code then raises one line."""
    done = in_new_process(f"print('imported')\n{code}", before, **variables)
    assert (done.returncode, done.stdout) == (1, "imported\n")
    assert done.stderr.splitlines()[-1].startswith(f"{kind}: {words[0]}")
    assert all(text in done.stderr.splitlines()[-1] for text in words)
    assert "During handling" not in done.stderr
    assert "direct cause" not in done.stderr


USES = [
    "fastmlp.train([[0.0], [1.0]], [0, 1])",
    "fastmlp.Network((1, 1))",
    "fastmlp.show_config()",
    "fastmlp.backends()",
]


@pytest.mark.parametrize("code", USES)
def test_a_wrong_backend_in_the_environment_is_refused_where_it_is_used_each_time(code):
    twice = f"try:\n    {code}\nexcept ValueError:\n    {code}"
    done = in_new_process(twice, FASTMLP_BACKEND="x86-64-v33")
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ValueError: FASTMLP_BACKEND: got 'x86-64-v33', expected one of 'reference', 'baseline'")
    assert message.endswith("did you mean 'x86-64-v3'?")
    raises(code, "ValueError", "FASTMLP_BACKEND: got 'foo', expected one of", FASTMLP_BACKEND="foo")


def test_a_backend_that_is_asked_for_needs_none_of_the_environment():
    done = in_new_process("print(fastmlp.Network((1, 1), backend='reference').backend)", FASTMLP_BACKEND="foo")
    assert done.stdout == "reference\n", done.stderr


def test_a_forced_build_that_was_not_built_is_refused_where_it_is_used():
    message = "FASTMLP_BACKEND: got 'baseline', which cannot be used: not built for this machine; usable here are"
    raises(USES[0], "ValueError", message, before=without("baseline"), FASTMLP_BACKEND="baseline")


def test_a_package_without_builds_says_so_where_one_is_used_and_has_the_reference():
    builds = [name for name in places.backend.NAMES if name != places.backend.REFERENCE]
    reasons = [f"{build}: " for build in builds]
    message = "fastmlp: no build of the kernels can be used"
    raises(USES[0], "ImportError", message, *reasons, before=without(*builds))
    done = in_new_process(TRAIN, without(*builds), FASTMLP_BACKEND="reference")
    assert done.stdout.split() == ["reference", places.reference.__name__], done.stderr


def test_a_build_of_which_one_dtype_is_missing_is_refused_where_it_is_used():
    build = places.backend.available()[-1]
    if build == places.backend.REFERENCE:
        pytest.skip("no build of the kernels is there")
    name = places.module_name(build, "float64")
    done = in_new_process("fastmlp.Network((1, 1))", f"import sys; sys.modules[{name!r}] = None")
    assert done.returncode == 1
    assert name in done.stderr.splitlines()[-1]


def test_a_file_is_read_for_any_backend_whichever_is_in_use(tmp_path, monkeypatch, backend):
    # The plan of a forward pass is laid out for one build; another build's would be too small for it.
    X = np.random.default_rng(0).normal(size=(500, 100))
    path = tmp_path / "model.safetensors"
    net = fastmlp.Network((100, 300, 10), seed=0)
    net.save(path)
    for in_use in places.backend.available():
        places.switch(monkeypatch, backend_in_use=lambda name=in_use: name)
        read = fastmlp.load(path, backend=backend)
        assert read.backend == backend
        # Sums of 300 products in another order: some 300 roundings of 1e-16 of numbers around 1.
        np.testing.assert_allclose(read.predict(X), net.predict(X), rtol=0, atol=1e-12)


def test_a_pickle_takes_the_build_of_the_machine_that_reads_it(monkeypatch):
    net = fastmlp.Network((3, 40, 2), seed=0)
    stored = pickle.dumps(net)
    places.switch(monkeypatch, backend_in_use=lambda: "reference")
    assert pickle.loads(stored).backend == "reference"
    assert pickle.loads(pickle.dumps(fastmlp.Network((3, 2), backend="baseline"))).backend == "baseline"
