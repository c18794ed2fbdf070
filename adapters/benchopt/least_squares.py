"""halpbench in benchopt's benchmarks of least squares: ordinary, and ridge regression.

They minimize ||y - X w - b||^2 / 2 + (lmbd / 2) ||w||^2, lmbd = 0 for the ordinary one; an
intercept b, where there is one, is the last of the coefficients.
"""

import warnings
from typing import ClassVar

import numpy as np
from benchopt import BaseSolver
from scipy.sparse import issparse

from halpbench import HALPRegressor, LeastSquares, solve


class Solver(BaseSolver):
    """The estimator, which chooses everything itself, and two algorithms of the paper."""

    name = "halpbench"
    sampling_strategy = "iteration"  # epochs
    parameters: ClassVar = {"solver": ["estimator", "halp", "svrg"]}
    parameter_template = "{solver}"

    def skip(self, X, y, lmbd=0.0, fit_intercept=False):
        """Say whether it is not made for these data, and why."""
        if issparse(X):
            return True, "halpbench takes dense data only"
        if fit_intercept and self.solver != "estimator":
            return True, "only the estimator has an intercept"
        return False, None

    def set_objective(self, X, y, lmbd=0.0, fit_intercept=False):
        """Take the data."""
        self.X, self.y, self.lmbd, self.fit_intercept = X, y, lmbd, fit_intercept

    def run(self, n_iter):
        """Run so many epochs from the start."""
        if n_iter == 0:
            self.coef = np.zeros(self.X.shape[1] + self.fit_intercept)
        elif self.solver == "estimator":
            model = HALPRegressor(
                alpha=self.lmbd,
                tol=0,
                max_iter=n_iter,
                fit_intercept=self.fit_intercept,
                random_state=0,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # max_iter is meant to stop it
                model.fit(self.X, self.y)
            self.coef = np.append(model.coef_, [model.intercept_] * self.fit_intercept)
        else:
            problem = LeastSquares(self.X, self.y, l2=self.lmbd / len(self.X))
            precision = {"halp": "D8M16", "svrg": "D64fM64f"}[self.solver]
            self.coef = solve(problem, self.solver, precision, epochs=n_iter, seed=0).w

    def get_result(self):
        """Return the coefficients."""
        return {"beta": self.coef}
