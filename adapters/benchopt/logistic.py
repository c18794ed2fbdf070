"""halpbench in benchopt's benchmark of l2-regularized logistic regression.

That minimizes sum_i log(1 + exp(-y_i x_i . w)) + (lmbd / 2) ||w||^2 with labels -1 and 1.
"""

import warnings
from typing import ClassVar

import numpy as np
from benchopt import BaseSolver
from scipy.sparse import issparse

from halpbench import HALPClassifier, SoftmaxRegression, solve


class Solver(BaseSolver):
    """The estimator, which chooses everything itself, and two algorithms of the paper."""

    name = "halpbench"
    sampling_strategy = "iteration"  # epochs
    parameters: ClassVar = {"solver": ["estimator", "halp", "svrg"]}
    parameter_template = "{solver}"

    def skip(self, X, y, lmbd):
        """Say whether it is not made for these data, and why."""
        if issparse(X):
            return True, "halpbench takes dense data only"
        return False, None

    def set_objective(self, X, y, lmbd):
        """Take the data."""
        self.X, self.y, self.lmbd = X, y, lmbd

    def run(self, n_iter):
        """Run so many epochs from the start."""
        if n_iter == 0:
            self.coef = np.zeros(self.X.shape[1])
        elif self.solver == "estimator":
            model = HALPClassifier(
                C=1 / self.lmbd, tol=0, max_iter=n_iter, fit_intercept=False, random_state=0
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # max_iter is meant to stop it
                self.coef = model.fit(self.X, self.y).coef_[0]
        else:
            # Of softmax regression with two classes the rows are -w/2 and w/2, so that twice the
            # penalty is the same objective.
            problem = SoftmaxRegression(
                self.X, (self.y > 0).astype(int), l2=2 * self.lmbd / len(self.X)
            )
            precision = {"halp": "D8M16", "svrg": "D64fM64f"}[self.solver]
            w = solve(problem, self.solver, precision, epochs=n_iter, seed=0).w
            self.coef = w[1] - w[0]

    def get_result(self):
        """Return the coefficients."""
        return {"beta": self.coef}
