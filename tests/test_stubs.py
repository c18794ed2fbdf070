"""The type stubs of the compiled modules name what is there, with the same parameters."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "halpbench"
SOURCES = sorted(PACKAGE.rglob("*.pyx"))

compiled_modules = pytest.mark.parametrize(
    "source", SOURCES, ids=lambda path: ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
)


def public(names):
    return {name for name in names if not name.startswith("_")}


def module_of(source):
    path = source.relative_to(PACKAGE.parent).with_suffix("")
    return importlib.import_module(".".join(path.parts))


def stub_of(source):
    """Classes and functions of a stub: name -> node. Of overloads, any one."""
    return members(ast.parse(source.with_suffix(".pyi").read_text(encoding="utf-8")))


def members(node):
    kinds = ast.ClassDef | ast.FunctionDef
    return {member.name: member for member in node.body if isinstance(member, kinds)}


def classes(stub):
    return {name: node for name, node in stub.items() if isinstance(node, ast.ClassDef)}


def defined_in(module):
    """Classes and functions that a compiled module defines itself."""
    return {
        name: value
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and callable(value)
    }


def parameters_in_stub(function):
    """(name, whether it may be left out, whether by keyword only) of each parameter."""
    arguments = function.args
    assert not any((arguments.posonlyargs, arguments.vararg, arguments.kwarg)), function.name
    optional = len(arguments.args) - len(arguments.defaults)
    return [(a.arg, i >= optional, False) for i, a in enumerate(arguments.args)] + [
        (a.arg, default is not None, True)
        for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]


def parameters_at_run_time(function):
    return [
        (p.name, p.default is not p.empty, p.kind is p.KEYWORD_ONLY)
        for p in inspect.signature(function).parameters.values()
    ]


def parameters_of_constructor(source, class_name):
    """The same of a cdef class, from its source: compiled, it has no signature."""
    text = source.read_text(encoding="utf-8")
    (body,) = re.findall(rf"^cdef class {class_name}\b[^\n]*\n((?:[ ]+.*\n|\n)*)", text, re.M)
    found = re.findall(r"^    def __(?:c?init)__\(([^)]*)\):", body, re.M)
    parameters, keyword_only = [], False
    for part in re.sub(r"\[.*?\]|not None", "", max(found, key=len, default="self")).split(","):
        declared, has_default, _ = part.partition("=")
        words = declared.split()
        if words == ["*"]:
            keyword_only = True
        elif words:
            parameters.append((words[-1], bool(has_default), keyword_only))
    return parameters


def test_every_compiled_module_is_found():
    assert {"_kernels", "_timing"} <= {source.stem for source in SOURCES}


@compiled_modules
def test_stubs_name_what_is_there(source):
    module, stub = module_of(source), stub_of(source)
    assert public(stub) == public(defined_in(module))
    for class_name, node in classes(stub).items():
        assert public(members(node)) == public(vars(getattr(module, class_name))), class_name


@compiled_modules
def test_stubs_have_the_parameters_of_functions_and_methods(source):
    module, stub = module_of(source), stub_of(source)
    places = [(module, stub)]
    places += [(getattr(module, name), members(node)) for name, node in classes(stub).items()]
    compared = 0
    for there, nodes in places:
        for name, node in nodes.items():
            value = getattr(there, name, None)
            if isinstance(node, ast.FunctionDef) and callable(value) and "__" not in name:
                assert parameters_in_stub(node) == parameters_at_run_time(value), name
                compared += 1
    assert compared


@compiled_modules
def test_stubs_have_the_parameters_of_constructors(source):
    module = module_of(source)
    for name, node in classes(stub_of(source)).items():
        if issubclass(getattr(module, name), BaseException):
            continue
        in_stub = members(node).get("__init__")
        expected = parameters_of_constructor(source, name)
        got = parameters_in_stub(in_stub) if in_stub else [("self", False, False)]
        assert got == expected, f"{name} in {source.with_suffix('.pyi').name}"


def test_the_parameters_of_a_constructor_are_read_from_its_source(tmp_path):
    """Types, defaults, `not None`, memory views, several lines; `__init__` beside `__cinit__`."""
    source = tmp_path / "example.pyx"
    source.write_text(
        "cdef class Example:\n"
        '    """Text."""\n'
        "    def __cinit__(self):\n"
        "        pass\n\n"
        "    def __init__(self, x, double[:, ::1] w, Rng rng not None, *,\n"
        '                 str name="a", int n = 2):\n'
        "        pass\n\n\n"
        "cdef class Other:\n"
        "    def __init__(self, y):\n"
        "        pass\n"
    )
    assert parameters_of_constructor(source, "Other") == [
        ("self", False, False),
        ("y", False, False),
    ]
    assert parameters_of_constructor(source, "Example") == [
        ("self", False, False),
        ("x", False, False),
        ("w", False, False),
        ("rng", False, False),
        ("name", True, True),
        ("n", True, True),
    ]
