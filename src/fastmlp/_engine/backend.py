"""Which build of the kernels computes: picked once, when it is first needed, or forced.

A build is one instruction set, with one module per dtype. The best build that both the CPU and the operating system
support is in use; `FASTMLP_BACKEND` forces one. ``"reference"`` is the NumPy twin. A build is loaded when it is first
needed, so that importing fastmlp never fails by it: what cannot be used raises one line where a network is made, and
in the command.
"""

import functools
import importlib.util
import os
import sys
from collections.abc import Mapping
from itertools import zip_longest
from types import MappingProxyType, ModuleType
from typing import NamedTuple

import numpy as np

from fastmlp._engine import reference, threads
from fastmlp._spec.records import names
from fastmlp._spec.values import choice
from fastmlp._version import __version__

# Instruction set -> the features that NumPy must find usable on this machine. NumPy asks the CPU and the operating
# system both: a kernel that does not save the wide registers makes the feature absent.
_REQUIREMENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "x86-64-v4": ("AVX512F", "AVX512BW", "AVX512CD", "AVX512DQ", "AVX512VL", "AVX2", "FMA3", "F16C"),
        "x86-64-v3": ("AVX2", "FMA3", "F16C"),
        "baseline": (),
    }
)
REFERENCE = "reference"
NAMES: tuple[str, ...] = (REFERENCE, *reversed(_REQUIREMENTS))


class Backend(NamedTuple):
    """One way to compute: the reference, or a build of the kernels for an instruction set.

    Parameters
    ----------
    name : str
        What ``backend=`` and the environment variable ``FASTMLP_BACKEND`` take.
    in_use : bool
        Whether networks compute with it unless told otherwise.
    missing : str
        Why it cannot be used; empty if it can.
    """

    name: str
    in_use: bool
    missing: str


def _cpu_features() -> Mapping[str, bool]:
    """Return what NumPy found on this machine: it checks the CPU and the operating system when it is imported."""
    core = importlib.import_module("numpy._core" if int(np.__version__.split(".")[0]) >= 2 else "numpy.core")
    return core._multiarray_umath.__cpu_features__


def _module_name(instruction_set: str, dtype: str) -> str:
    return f"fastmlp._kernels_{dtype}_{instruction_set.replace('-', '_')}"


def _load(instruction_set: str) -> dict[np.dtype, ModuleType]:
    """Load a build's modules, one per dtype; raise ImportError if one was built from other rows than `_spec` has."""
    modules = {}
    for dtype in ("float32", "float64"):
        module = modules[np.dtype(dtype)] = importlib.import_module(_module_name(instruction_set, dtype))
        found = difference(module.spec(), names()) if hasattr(module, "spec") else "it does not name its fields"
        if not found and module.sizes()["dtype"] != dtype:
            found = f"it computes in {module.sizes()['dtype']}, {dtype} expected"
        if found:
            raise ImportError(f"fastmlp: {module.__name__} was built from other sources ({found}); reinstall fastmlp")
    return modules


def difference(built: Mapping[str, tuple[str, ...]], expected: Mapping[str, tuple[str, ...]]) -> str:
    """Return the first difference between the names in a build and those in `_spec`; empty if there is none."""
    for kind, fields in expected.items():
        field = "field " if kind[0].isupper() else ""
        for ours, theirs in zip_longest(fields, built.get(kind, ())):
            if theirs is None:
                return f"{kind} has no {field}{ours!r}"
            if theirs != ours:
                wanted = "which is not expected" if ours is None else f"{ours!r} expected"
                return f"{kind} has {field and 'the field '}{theirs!r}, {wanted}"
    return ""


def _find_missing() -> dict[str, str]:
    found: dict[str, str] = {}
    present = _cpu_features()
    for instruction_set, features in _REQUIREMENTS.items():
        lacking = [feature for feature in features if not present.get(feature, False)]
        if importlib.util.find_spec(_module_name(instruction_set, "float32")) is None:
            found[instruction_set] = "not built for this machine"
        elif lacking:
            found[instruction_set] = f"this machine lacks {', '.join(lacking)}"
    return found


@functools.cache  # but for errors, so that each use raises
def in_use() -> str:
    """Return the name of the backend that computes unless told otherwise.

    ValueError if FASTMLP_BACKEND names one that cannot be used, ImportError if there is no build of the kernels.
    """
    if forced := os.environ.get("FASTMLP_BACKEND"):
        return resolve(forced, "FASTMLP_BACKEND")
    best = available()[-1]
    if best == REFERENCE:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
        raise ImportError(
            f"fastmlp: no build of the kernels can be used ({reasons}); reinstall fastmlp with a C compiler, or set "
            "FASTMLP_BACKEND=reference to compute in NumPy"
        )
    return best


def resolve(backend: str, argument: str = "backend") -> str:
    """Check a backend's name.

    Parameters
    ----------
    backend : str
        ``"reference"`` or an instruction set.
    argument : str, default "backend"
        The argument's name, for the error.

    Returns
    -------
    str
        The same name.

    Raises
    ------
    TypeError
        If the name is not a string.
    ValueError
        If the name is unknown, or that build is missing or cannot run on this machine.
    """
    choice(backend, NAMES, argument)
    if backend in missing:
        raise ValueError(
            f"{argument}: got {backend!r}, which cannot be used: {missing[backend]}; "
            f"usable here are {', '.join(map(repr, available()))}"
        )
    return backend


def kernels(dtype: np.dtype, backend: str | None = None) -> ModuleType:
    """Return the module that computes.

    Parameters
    ----------
    dtype : numpy dtype
        float32 or float64.
    backend : str or None, default None
        ``"reference"``, an instruction set, or None for the one in use.

    Returns
    -------
    module
        A build of the kernels, or the reference: the same names with the same signatures.

    Raises
    ------
    ValueError
        If FASTMLP_BACKEND names a backend that cannot be used.
    ImportError
        If the build cannot be loaded, or was built from other sources than this package.
    """
    name = in_use() if backend is None else resolve(backend)
    if name == REFERENCE:
        return reference
    if name not in _loaded:
        _loaded[name] = _load(name)
    return _loaded[name][np.dtype(dtype)]


def available() -> tuple[str, ...]:
    """Return the names of the backends that can be used on this machine, the reference first, the best build last."""
    return tuple(name for name in NAMES if name not in missing)


def backends() -> tuple[Backend, ...]:
    """Return all backends, the reference first, the best build last.

    Returns
    -------
    tuple of Backend
        Each with `name`, `in_use` and `missing`. A build that is there is loaded, so that one that is broken has its
        error in `missing`.

    Raises
    ------
    ValueError
        If FASTMLP_BACKEND names one that cannot be used.
    ImportError
        If there is no build of the kernels, and FASTMLP_BACKEND does not ask for the reference.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.backends()[0].name
    'reference'
    >>> sum(backend.in_use for backend in fastmlp.backends())
    1
    """
    return tuple(Backend(name, name == in_use(), _reason(name)) for name in NAMES)


def _reason(name: str) -> str:
    if name in missing:
        return missing[name]
    try:
        kernels(np.dtype(np.float64), name)
    except ImportError as error:
        return f"broken: {error}"
    return ""


def show_config() -> None:
    """Print the version, the build in use, all builds and the number of threads.

    Raises
    ------
    ValueError, ImportError
        As in `backends`; or if FASTMLP_NUM_THREADS or OMP_NUM_THREADS is no number of threads.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.show_config()  # doctest: +ELLIPSIS
    fastmlp ...
    """
    import platform  # here: nothing else needs it, and it takes as long to import as a build

    forced = " (forced by FASTMLP_BACKEND)" if os.environ.get("FASTMLP_BACKEND") else ""
    print(
        f"fastmlp {__version__} (Python {platform.python_version()}, NumPy {np.__version__}, {sys.platform})",
        f"build in use: {in_use()}{forced}",
        *(f"  {backend.name}: {backend.missing or 'available'}" for backend in reversed(backends())),
        f"threads: {threads.default_threads()} (of {threads.usable_cpus()} usable CPUs)",
        sep="\n",
    )


missing = _find_missing()
_loaded: dict[str, dict[np.dtype, ModuleType]] = {}
