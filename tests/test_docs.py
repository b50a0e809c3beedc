"""The documentation: examples that run, and docstrings that tell all that a signature takes."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import fastmlp

MODULES = [
    module.name
    for module in pkgutil.walk_packages(fastmlp.__path__, "fastmlp.")
    if not module.name.startswith(("fastmlp.__main__", "fastmlp._kernels"))
]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def public_module(name: str) -> bool:
    """Whether users may import a module: no part of its name begins with an underscore."""
    return not any(part.startswith("_") for part in name.split("."))


def public_objects(module: ModuleType) -> Iterator[tuple[str, object]]:
    """The public functions and classes that a module defines, and the classes' public methods."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(thing) or (inspect.isclass(thing) and not issubclass(thing, Warning)):
            yield f"{module.__name__}.{name}", thing
        if inspect.isclass(thing):
            for method, function in vars(thing).items():
                function = getattr(function, "__func__", function)
                if not method.startswith("_") and inspect.isfunction(function):
                    yield f"{module.__name__}.{name}.{method}", function


def sections(docstring: str) -> dict[str, str]:
    """The text of each section of a NumPy-style docstring."""
    parts = re.split(r"^([A-Z][A-Za-z ]+)\n-{3,}$", inspect.cleandoc(docstring), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def documented(section: str) -> list[str]:
    """The names that a "Parameters" section describes, in order."""
    names = re.findall(r"^(\*{0,2}\w[\w, *]*?)(?: : .*)?$", section, flags=re.MULTILINE)
    return [name.strip().lstrip("*") for group in names for name in group.split(",")]


PUBLIC = (
    dict(pair for name in MODULES if public_module(name) for pair in public_objects(importlib.import_module(name)))
    | {
        f"fastmlp.{name}": getattr(fastmlp, name)
        for name in fastmlp.__all__
        if callable(getattr(fastmlp, name)) and not issubclass(type(getattr(fastmlp, name)), type)
    }
    | {"fastmlp.Progress": fastmlp.Progress}
)
FUNCTIONS = [name for name, thing in PUBLIC.items() if inspect.isfunction(thing)]


@pytest.mark.parametrize("name", ["fastmlp", *MODULES])
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # an example may write a file
    results = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    assert results.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [
        example for name in MODULES for test in finder.find(importlib.import_module(name)) for example in test.examples
    ]
    assert len(examples) > 40


@pytest.mark.parametrize("name", ["fastmlp", *MODULES])
def test_every_module_says_what_it_is_for(name):
    module = importlib.import_module(name)
    if hasattr(module, "__path__") and not Path(module.__file__).read_text():
        return  # a folder whose modules each say it
    assert len(inspect.getdoc(module)) > 40


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_parameter_is_documented(name):
    thing = PUBLIC[name]
    text = inspect.getdoc(thing) or ""
    assert text, "no docstring"
    taken = [parameter for parameter in inspect.signature(thing).parameters if parameter not in ("self", "cls")]
    assert sorted(documented(sections(text).get("Parameters", ""))) == sorted(taken)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_returned_is_documented(name):
    returned = inspect.signature(PUBLIC[name]).return_annotation
    told = sections(inspect.getdoc(PUBLIC[name]))
    assert ("Returns" in told) == (returned not in (None, "None"))


@pytest.mark.parametrize("name", PUBLIC)
def test_public_signatures_are_annotated(name):
    signature = inspect.signature(PUBLIC[name])
    bare = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")
    ]
    assert bare == []
    if inspect.isfunction(PUBLIC[name]):
        assert signature.return_annotation is not signature.empty


@pytest.mark.parametrize("name", [name for name in fastmlp.__all__ if not name.startswith("_")])
def test_every_name_of_the_package_is_there_and_documented(name):
    thing = getattr(fastmlp, name)
    assert inspect.getdoc(thing)
    if dataclasses.is_dataclass(thing):
        fields = {field.name for field in dataclasses.fields(thing)}
        assert fields <= set(documented(sections(inspect.getdoc(thing))["Parameters"]))
