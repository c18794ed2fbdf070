"""Type checkers see the package as it is: they accept right programs and reject wrong ones."""

import json
import subprocess
import sys

import pytest

RIGHT = """
import numpy as np
import halpbench
from halpbench import HALPClassifier, LeastSquares, kernels, solve

X, y = np.eye(3), np.ones(3)
result = solve(LeastSquares(X, y), "halp", epochs=2)
norms: list[float] = result.history["grad_norm"].to_list()
backends: list[str] = halpbench.kernels.backends()
model = HALPClassifier(C=1.0).fit(X, [0, 1, 1])
product: float = kernels.dot(X[0], X[1])
print(halpbench.__version__, halpbench.get_include(), halpbench.simulate.solve)
"""

# A mistake a line, behind those that import.
WRONG = """\
import halpbench
from halpbench import HALPRegressor, LeastSquares, solve
solve(1, 2, algoritm="x")
solve(LeastSquares([[1.0]], [1.0])).histry
halpbench.sove
halpbench.kernels.dott
halpbench.HALPClassifier(c=1)
HALPRegressor().fit([[1.0]])
halpbench.load(1)
"""


@pytest.fixture
def programs(tmp_path):
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text(WRONG)
    return tmp_path


def wrong_lines(errors):
    """Check that only wrong.py has errors, and return their lines."""
    assert {name for name, _ in errors} == {"wrong.py"}
    return sorted({line for _, line in errors})


def run(folder, *command):
    done = subprocess.run(
        [sys.executable, "-m", *command, "right.py", "wrong.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_mypy(programs):
    output = run(programs, "mypy", "--strict", "--no-error-summary", "--hide-error-context")
    errors = [line.split(":", 2) for line in output.splitlines() if ": error: " in line]
    lines = [(name, int(line)) for name, line, _ in errors]
    assert wrong_lines(lines) == [*range(3, len(WRONG.splitlines()) + 1)], output


def test_pyright(programs):
    output = run(programs, "basedpyright", "--outputjson", "--pythonpath", sys.executable)
    errors = [
        (diagnostic["file"].rpartition("/")[2], diagnostic["range"]["start"]["line"] + 1)
        for diagnostic in json.loads(output)["generalDiagnostics"]
        if diagnostic["severity"] == "error"
    ]
    assert wrong_lines(errors) == [*range(3, len(WRONG.splitlines()) + 1)], output
