"""Imports of modules: one way, from the command line down to the kernels."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import halpbench

PACKAGE = Path(halpbench.__file__).parent

# Each part of the package, and the parts that it may import besides itself. "halpbench" is the
# package's own __init__.
ALLOWED = {
    "clib": set(),
    "memory": set(),
    "formats": set(),
    "kernels": {"memory", "formats"},
    "fixedpoint": {"kernels"},
    "rows": {"formats", "fixedpoint", "kernels", "memory"},
    "losses": set(),
    "parallel": set(),
    "objective": {"losses", "rows", "parallel"},
    "problems": {"arguments", "kernels", "losses", "rows"},
    "datafiles": set(),
    "datasets": {"datafiles"},
    "solvers": {
        "arguments",
        "batches",
        "problems",
        "objective",
        "losses",
        "rows",
        "formats",
        "fixedpoint",
        "kernels",
        "memory",
    },
    "arguments": {"kernels"},
    "batches": {"problems"},
    "numberformats": {"arguments"},
    "simulate": {"arguments", "batches", "fixedpoint", "losses", "numberformats", "problems"},
    "rivals": {"arguments", "batches", "numberformats", "problems", "simulate"},
    "theory": {"arguments", "batches", "fixedpoint", "problems"},
    "estimators": {"solvers", "objective", "losses", "parallel", "rows", "formats", "kernels"},
    "deep": {"arguments", "kernels", "fixedpoint", "datasets", "bench"},
    "bench": {
        "estimators",
        "formats",
        "losses",
        "objective",
        "parallel",
        "rows",
        "solvers",
        "problems",
        "batches",
        "datafiles",
        "datasets",
        "kernels",
        "memory",
        "fixedpoint",
        "numberformats",
        "rivals",
        "simulate",
        "theory",
    },
    "report": {"bench"},
    "cli": {"deep", "report", "bench", "datasets", "kernels"},
    "__main__": {"cli"},
    "__init__": set(),
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def part(path):
    """The part that a module belongs to; `_kernels` and the like count with their face."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported(path):
    """Dotted names of all modules of this package that a module imports, at any depth of code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = ["halpbench", *path.relative_to(PACKAGE).parts[:-1]]
                base = base[: len(base) - node.level + 1]
                module = ".".join([*base, *(node.module.split(".") if node.module else [])])
            else:
                module = node.module
            # "from halpbench import kernels" names the module last.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def own(path):
    names = [name.split(".") for name in imported(path)]
    return [name[1:] for name in names if name[0] == "halpbench" and len(name) > 1]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    here = part(path)
    assert here in ALLOWED, f"{path.name}: say in ALLOWED what it may import"
    targets = {name[0].lstrip("_") for name in own(path) if name[0].lstrip("_") in ALLOWED}
    assert targets <= ALLOWED[here] | {here}, f"{here} imports {targets - ALLOWED[here] - {here}}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "report").rglob("*.py")), ids=lambda p: p.name)
def test_report_knows_records_and_statistics_only(path):
    names = [name[1] for name in own(path) if name[0] == "bench" and len(name) > 1]
    assert set(names) <= {"files", "machine_shape", "records", "runs", "stats", "store"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_matplotlib_is_imported_for_figures_alone_and_late(path):
    names = {name.split(".")[0] for name in imported(path)}
    drawing = PACKAGE / "report"
    if path.parent in (drawing / "paper", drawing / "figures") or path in {
        drawing / f"{name}.py" for name in ("deep", "inline", "pictures")
    }:
        top = ast.parse(path.read_text(encoding="utf-8")).body
        assert not [
            node
            for node in top
            if isinstance(node, ast.Import | ast.ImportFrom) and "matplotlib" in ast.dump(node)
        ]
    else:
        assert "matplotlib" not in names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_torch_is_imported_for_deep_learning_alone(path):
    assert part(path) == "deep" or "torch" not in {name.split(".")[0] for name in imported(path)}


def test_importing_the_package_is_quiet_and_light():
    """No output, no thread pool limits, none of the benchmark's or the report's libraries."""
    code = (
        "import sys, halpbench; heavy = ('matplotlib', 'rich', 'psutil', 'archspec', 'torch'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_class_name_occurs_once():
    """A name that means one thing needs no module in front of it."""
    places = {}
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyx")]):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"^(?:cdef )?class (\w+)", text, flags=re.M):
            places.setdefault(name, []).append(str(path.relative_to(PACKAGE)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
