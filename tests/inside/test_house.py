"""The rules of the house: which floor may import which, and how long functions and files may be."""

import ast
import importlib.util
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src" / "fastmlp"

# From the ground up; a module may import from its own floor and from those before it.
FLOORS = (
    ("_spec",),
    ("_engine",),
    (
        "activations",
        "losses",
        "optimizers",
        "schedules",
        "metrics",
        "initialization",
        "stopping",
        "callbacks",
        "history",
        "exceptions",
    ),
    ("_checks",),
    ("_files",),
    ("_training",),
    ("network",),
    ("_api",),
    ("many",),
    ("sklearn",),
    ("plotting", "tabular", "tables", "article", "diagnostics", "datasets"),
    ("cli",),
)
PRIVATE_ON_TOP = {"_api.py", "_version.py"}
MAX_PARAMETERS, MAX_BODY, MAX_FILE = 8, 50, 600
# Public constructors and what trains take what a user may choose, each by its name.
MANY_PARAMETERS = {"__init__", "train", "fit", "partial_train"}

if not ROOT.is_dir():
    pytest.skip("the sources are not here", allow_module_level=True)


def modules():
    """Each module's dotted name below fastmlp, and its file."""
    for path in sorted(ROOT.rglob("*.py")):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").strip("."), path


def imported(path, known):
    """The modules of fastmlp that a file imports, also within functions, but not for annotations alone."""
    tree = ast.parse(path.read_text())
    for_annotations = {
        statement
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for statement in ast.walk(node)
    }
    package = ("fastmlp", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(tree):
        if node in for_annotations:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level + 1]) + "." if node.level else ""
            base = (start + (node.module or "")).rstrip(".")
            below = [f"{base}.{alias.name}" for alias in node.names]
            names = [name for name in below if name.removeprefix("fastmlp.") in known] or [base]
        else:
            continue
        ours = {name.removeprefix("fastmlp.") for name in names if name.startswith("fastmlp.")}
        yield from ours & known


def floor(module):
    """The floor of a module; None for the package itself and its entry."""
    first = module.split(".")[0]
    return next((number for number, names in enumerate(FLOORS) if first in names), None)


def graph():
    """Module -> the modules that it imports."""
    known = {name for name, _ in modules()}
    return {name: set(imported(path, known)) - {name, ""} for name, path in modules()}


def test_every_module_has_a_floor():
    """A new module needs a place."""
    homeless = [name for name in graph() if floor(name) is None and name not in ("", "__main__", "_version")]
    assert not homeless


def test_imports_run_down_only():
    """No floor imports from one above."""
    up = [
        f"{module} -> {other}"
        for module, others in graph().items()
        for other in others
        if None not in (floor(module), floor(other)) and floor(other) > floor(module)
    ]
    assert not up


def test_no_circle():
    """No module leads back to itself."""
    arrows, done = graph(), set()

    def visit(module, path):
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for other in sorted(arrows[module]):
                visit(other, [*path, module])
            done.add(module)

    for module in arrows:
        if module:
            visit(module, [])


def test_private_modules_lie_in_folders():
    """What lies at the top may be imported by users."""
    private = {path.name for path in ROOT.glob("_*.py") if not path.name.startswith("__")}
    assert private == PRIVATE_ON_TOP


def code_lines(text):
    """The numbers of lines that hold code: not docstrings, comments and blanks."""
    docstrings = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)) and ast.get_docstring(node, clean=False)
        for line in range(node.body[0].lineno, node.body[0].end_lineno + 1)
    }
    ignored = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    return {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in ignored
        for line in range(token.start[0], token.end[0] + 1)
    } - docstrings


def counts():
    """Functions of too many parameters or lines, and files of too many lines."""
    parameters, bodies, files = [], [], []
    for _, path in modules():
        text = path.read_text()
        lines = code_lines(text)
        if len(lines) > MAX_FILE:
            files.append(f"{path.name}: {len(lines)}")
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            names = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            count = len(names) - (names[:1] in (["self"], ["cls"]))
            if count > MAX_PARAMETERS and node.name not in MANY_PARAMETERS:
                parameters.append(f"{path.name}: {node.name} ({count})")
            body = sum(node.body[0].lineno <= line <= node.end_lineno for line in lines)
            if body > MAX_BODY:
                bodies.append(f"{path.name}: {node.name} ({body})")
    for path in sorted(each for pattern in ("*.pyx", "*.pxi", "*.h") for each in ROOT.rglob(pattern)):
        text = path.read_text()
        if text.count("\n") > MAX_FILE:
            files.append(f"{path.name}: {text.count(chr(10))}")
        for match in re.finditer(r"^(?:cdef|cpdef|def)[^\n(]*?(\w+)\(([^)]*)\)", text, re.M):
            count = sum(bool(part.strip()) and part.strip() != "*" for part in match.group(2).split(","))
            if count > MAX_PARAMETERS:
                parameters.append(f"{path.name}: {match.group(1)} ({count})")
    return parameters, bodies, files


def test_functions_and_files_are_short():
    """At most 8 parameters, 50 lines of a body, 600 lines of a file."""
    assert counts() == ([], [], [])


def test_public_modules_are_attributes():
    """After `import fastmlp`, each public module is there."""
    import fastmlp

    names = {path.stem for path in ROOT.glob("[a-z]*.py")} | {
        path.parent.name for path in ROOT.glob("[a-z]*/__init__.py")
    }
    needs = {"cli": "pandas", "plotting": "matplotlib", "sklearn": "sklearn"}
    for name in names:
        if name not in needs or importlib.util.find_spec(needs[name]):
            assert getattr(fastmlp, name).__name__ == f"fastmlp.{name}"


if __name__ == "__main__":
    for what, found in zip(
        ("over 8 parameters", "bodies over 50 lines", "files over 600 lines"), counts(), strict=True
    ):
        print(f"{what}: {len(found)} {found}")
    statements = sum(isinstance(n, ast.stmt) for _, path in modules() for n in ast.walk(ast.parse(path.read_text())))
    print(f"statements: {statements}")
