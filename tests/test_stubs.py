"""The type stubs of the compiled modules name what is there, with the same parameters."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "halpbench"
MODULES = ["_kernels", "solvers._loops"]


def public(names):
    return {name for name in names if not name.startswith("_")}


def stub_of(module):
    """Classes and functions of a stub: name -> node. Of overloads, any one."""
    path = PACKAGE / (module.replace(".", "/") + ".pyi")
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name: node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def defined_in(module):
    """Classes and functions that a compiled module defines itself."""
    return {
        name: value
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and callable(value)
    }


@pytest.mark.parametrize("name", MODULES)
def test_stubs_name_what_is_there(name):
    compiled, stub = importlib.import_module(f"halpbench.{name}"), stub_of(name)
    assert public(stub) == public(defined_in(compiled))
    for class_name in (n for n, node in stub.items() if isinstance(node, ast.ClassDef)):
        members = {m.name for m in stub[class_name].body if isinstance(m, ast.FunctionDef)}
        there = getattr(compiled, class_name)
        assert public(members) == public(vars(there))


@pytest.mark.parametrize("name", MODULES)
def test_stubs_have_the_parameters_of_the_functions(name):
    compiled, stub = importlib.import_module(f"halpbench.{name}"), stub_of(name)
    functions = [n for n, node in stub.items() if isinstance(node, ast.FunctionDef)]
    assert functions
    for function in functions:
        there = inspect.signature(getattr(compiled, function)).parameters.values()
        arguments = stub[function].args
        assert [a.arg for a in arguments.args] == [p.name for p in there], function
        optional = sum(p.default is not p.empty for p in there)
        assert len(arguments.defaults) == optional, function
