"""The adapter for benchopt: its solvers reach the minimum in a benchmark of two small problems."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("benchopt", reason="benchopt is not installed (`pip install benchopt`)")

ADAPTER = Path(__file__).parents[1] / "adapters" / "benchopt"
SAMPLES, FEATURES, LMBD = 200, 5, 1.0

DATASET = f"""
import numpy as np
from benchopt import BaseDataset


class Dataset(BaseDataset):
    name = "small"

    def get_data(self):
        random = np.random.default_rng(0)
        X = random.standard_normal(({SAMPLES}, {FEATURES}))
        return {{"X": X, "y": X.sum(axis=1) + random.standard_normal({SAMPLES})}}
"""

OBJECTIVE = f"""
import numpy as np
from benchopt import BaseObjective


class Objective(BaseObjective):
    name = "small"
    min_benchopt_version = "1.7"

    def set_data(self, X, y):
        self.X, self.y = X, {{labels}}

    def get_objective(self):
        return {{{{"X": self.X, "y": self.y, "lmbd": {LMBD}}}}}

    def get_one_result(self):
        return {{{{"beta": np.zeros(self.X.shape[1])}}}}

    def evaluate_result(self, beta):
        margins = self.X @ beta
        return {{{{"value": {{loss}} + {LMBD} / 2 * beta @ beta}}}}
"""

PROBLEMS = {
    "logistic": ("np.sign(y)", "np.logaddexp(0, -self.y * margins).sum()"),
    "least_squares": ("y", "((self.y - margins) ** 2).sum() / 2"),
}


def minimum(problem):
    """The least value, by a solver of scikit-learn's."""
    from sklearn.linear_model import LogisticRegression, Ridge

    random = np.random.default_rng(0)
    X = random.standard_normal((SAMPLES, FEATURES))
    y = X.sum(axis=1) + random.standard_normal(SAMPLES)
    if problem == "logistic":
        y = np.sign(y)
        model = LogisticRegression(
            C=1 / LMBD, fit_intercept=False, solver="newton-cholesky", tol=1e-10
        )
        w = model.fit(X, y).coef_[0]
        loss = np.logaddexp(0, -y * (X @ w)).sum()
    else:
        w = Ridge(alpha=LMBD, fit_intercept=False).fit(X, y).coef_
        loss = ((y - X @ w) ** 2).sum() / 2
    return loss + LMBD / 2 * w @ w


@pytest.mark.parametrize("problem", PROBLEMS)
def test_solvers_reach_the_minimum(problem, tmp_path):
    labels, loss = PROBLEMS[problem]
    for name in ("datasets", "solvers"):
        (tmp_path / name).mkdir()
    (tmp_path / "objective.py").write_text(OBJECTIVE.format(labels=labels, loss=loss))
    (tmp_path / "datasets" / "small.py").write_text(DATASET)
    shutil.copy(ADAPTER / f"{problem}.py", tmp_path / "solvers" / "halpbench.py")
    command = [sys.executable, "-c", "from benchopt.cli import benchopt; benchopt()"]
    options = "--local --no-plot --no-display --max-runs 15 --n-repetitions 1 --timeout 60"
    done = subprocess.run(
        [*command, "run", ".", *options.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (written,) = (tmp_path / "outputs").glob("*.parquet")
    rows = pd.read_parquet(written)
    least = rows.groupby("solver_name")["objective_value"].min()
    assert set(least.index) == {f"halpbench[{name}]" for name in ("estimator", "halp", "svrg")}
    np.testing.assert_allclose(least, minimum(problem), rtol=1e-6)
