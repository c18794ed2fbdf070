"""examples/program/epochs.c: an epoch of HALP in C has the bits of ``solve``."""

import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import numpy as np
import pytest

import halpbench
from halpbench import LeastSquares, kernels

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "program" / "epochs.c"
INCLUDE = Path(halpbench.get_include())
LIBRARIES = INCLUDE.parent / "lib"
COMPILER = next(filter(shutil.which, ("cc", "gcc", "clang")), None)


def table(name: str, dtype: type) -> np.ndarray:
    """The numbers of an array in the example."""
    initializer = re.search(rf"\b{name}(?:\[\w+\])+ = \{{(.*?)\}};", EXAMPLE.read_text(), re.DOTALL)
    assert initializer is not None
    return np.array(re.findall(r"-?\d{1,19}\b(?!_)", initializer[1].replace("UINT64_C", "")), dtype)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The example, compiled against this installation."""
    out = tmp_path_factory.mktemp("example") / "epochs"
    flags = ["-std=c11", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", f"-I{INCLUDE}"]
    libraries = [f"-L{LIBRARIES}", "-lhalp", "-lm"]
    subprocess.run([COMPILER, *flags, EXAMPLE, *libraries, "-o", out], check=True)
    return out


def run(program: Path, *arguments: str) -> dict[str, list[float]]:
    """The solutions by precision."""
    ran = subprocess.run([program, *arguments], capture_output=True, text=True, check=True)
    rows = [line.split() for line in ran.stdout.splitlines()]
    return {precision: [float.fromhex(word) for word in words] for precision, *words in rows}


def solution(precision: str) -> list[float]:
    """Of the same problem, by ``solve``."""
    x, y = table("x", np.float64).reshape(8, 3), table("y", np.float64)
    result = halpbench.solve(
        LeastSquares(x, y, 100.0),
        "halp",
        precision,
        "quantized",
        mu=2000.0,
        step_size=2.0**-17,
        epoch_length=64,
        epochs=2,
        seed=0,
        batch_size=2,
    )
    gradient_norm = result.history.grad_norm
    assert gradient_norm.iloc[-1] < 0.06 * gradient_norm.iloc[0]  # it is a run that gets somewhere
    return result.w.tolist()


def test_example_has_the_bits_of_solve(program, backend):
    assert run(program, backend) == {p: solution(p) for p in ("D8M8", "D8M16")}


def test_example_takes_the_best_backend_by_default(program):
    assert run(program) == run(program, kernels.backends()[0])


def test_example_refuses_an_unknown_backend(program):
    ran = subprocess.run([program, "mmx"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", "no such backend here\n")


def test_tables_are_what_their_comments_say():
    random = np.random.default_rng(0)
    drawn = [random.integers(8, size=64) for _ in range(2)]
    np.testing.assert_array_equal(table("samples", np.int32).reshape(2, 64), drawn)
    random = np.random.default_rng([0, 2])
    assert table("seeds", np.uint64).tolist() == [random.integers(2**63) for _ in range(2)]


def test_readme_shows_the_example_as_it_is():
    (shown,) = re.findall(r"```c\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert textwrap.dedent(shown) in EXAMPLE.read_text()
