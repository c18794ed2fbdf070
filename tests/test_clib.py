"""The kernels from C and Cython: the examples are built against this installation, and run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import halpbench
from halpbench import kernels

EXAMPLES = Path(__file__).parents[1] / "examples"
INCLUDE = Path(halpbench.get_include())
COMPILER = next(filter(shutil.which, ("cc", "gcc", "clang")), None)

USE = """
import numpy as np
import nearest, norms
from halpbench import kernels

random = np.random.default_rng(0)
rows = random.integers(-128, 128, (300, 201), dtype=np.int8)
products = rows.astype(int) @ rows[7].astype(int)
for name in kernels.backends():
    with kernels.use(name):
        assert norms.backend() == name
        assert nearest.nearest(rows, rows[7]) == (products.argmax(), products.max())
        assert norms.squared_norm(rows[7]) == products[7]
        x = random.standard_normal(201).astype(np.float32)
        q, scale = kernels.quantize(x, scale=0.01, rng=3)
        assert nearest.quantize(x, 0.01, kernels.Rng(3)) == q.tobytes()
print(norms.__file__)
"""


def run(*command, cwd, **environment):
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(folder, include=INCLUDE):
    """Build a copy of the example with the headers of a folder; return where the modules are."""
    shutil.copytree(EXAMPLES / "extension", folder / "sources")
    run(
        *(sys.executable, "setup.py", "-q", "build_ext", f"--include-dirs={include}"),
        *("--build-lib", folder / "built", "--build-temp", folder / "objects"),
        cwd=folder / "sources",
    )
    return folder / "built"


def test_an_extension_package_in_cython_and_c(tmp_path):
    built = build(tmp_path)
    path = run(sys.executable, "-c", USE, cwd=tmp_path, PYTHONPATH=str(built))
    assert path.startswith(str(built))
    for module in ("norms", "nearest"):
        code = f"import {module}, sys; print(sys.modules['halpbench._kernels'].active())"
        paths = {"PYTHONPATH": str(built), "HALPBENCH_ISA": "scalar"}
        assert run(sys.executable, "-c", code, cwd=tmp_path, **paths) == "scalar\n"


def test_headers_of_another_version_are_refused(tmp_path):
    headers = tmp_path / "include" / "halp"
    shutil.copytree(INCLUDE / "halp", headers, ignore=shutil.ignore_patterns("tests"))
    text = (headers / "kernels.h").read_text()
    minor = re.search(r"define HALP_VERSION_MINOR (\d+)", text)
    (headers / "kernels.h").write_text(text.replace(minor[0], "define HALP_VERSION_MINOR 99"))
    command = f"{COMPILER} -E -dM -I{headers.parent} -x c -include halp/kernels.h /dev/null"
    assert "#define HALP_VERSION_MINOR 99" in run(*command.split(), cwd=tmp_path)
    sources = tmp_path / "sources"
    shutil.copytree(EXAMPLES / "extension", sources)
    (sources / "setup.py").write_text(
        "from setuptools import Extension, setup\n"
        f"setup(name='x', ext_modules=[Extension('norms', ['norms.c'], "
        f"include_dirs=[{str(headers.parent)!r}])])\n"
    )
    (sources / "pyproject.toml").unlink()
    run(sys.executable, "setup.py", "-q", "build_ext", "--inplace", cwd=sources)
    code = (
        "import sys; sys.path.insert(0, '')\n"
        "try: import norms\nexcept ImportError as error: print(error)"
    )
    said = run(sys.executable, "-c", code, cwd=sources)
    version = ".".join(halpbench.__version__.split(".")[:2])
    assert said.startswith(f"halpbench {version} is installed, and this module was compiled for ")
    assert "0.99; compile it again" in said


def test_a_program_without_python(tmp_path):
    if shutil.which("pkg-config") is None:
        pytest.skip("pkg-config is not installed")
    paths = {"PKG_CONFIG_PATH": str(INCLUDE.parent / "lib" / "pkgconfig")}
    flags = run("pkg-config", "--cflags", "--libs", "halp", cwd=tmp_path, **paths).split()
    version = run("pkg-config", "--modversion", "halp", cwd=tmp_path, **paths)
    assert version.strip() == halpbench.__version__
    source = EXAMPLES / "program" / "dot.c"
    run(COMPILER, "-std=c11", "-Wall", "-Werror", source, *flags, "-o", "dot", cwd=tmp_path)
    version = ".".join(halpbench.__version__.split(".")[:2])
    assert run(tmp_path / "dot", cwd=tmp_path) == f"{version} {kernels.backends()[0]}: 381\n"


def test_the_version_of_the_headers_is_that_of_the_package(tmp_path):
    text = (INCLUDE / "halp" / "kernels.h").read_text()
    numbers = re.findall(r"define HALP_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", text)
    assert ".".join(numbers) == halpbench.__version__


@pytest.mark.parametrize("language", ["c", "c++"])
def test_headers_compile_alone(language, tmp_path):
    command = [COMPILER, "-x", language, f"-I{INCLUDE}", "-fsyntax-only", "-Wall", "-Werror"]
    if subprocess.run([*command, os.devnull], capture_output=True).returncode:
        pytest.skip(f"{COMPILER} does not compile {language}")
    for header in ("kernels.h", "api.h", "loop.h", "pass.h", "rounding.h", "cpu.h"):
        run(*command, "-include", f"halp/{header}", os.devnull, cwd=tmp_path)
