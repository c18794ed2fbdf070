"""Estimators in the race to the solution of logistic regression: ours and those of libraries.

All minimize the mean loss plus (l2/2) ||w||^2, without intercept; each states the penalty in a way
of its own, and the gradient of that one objective checks each solution.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

# Enough for every solver: the budget of time stops the others.
MAX_ITER = 100_000

NOT_SOFTMAX = "several classes: one against the rest, which is another objective than softmax"


@dataclass(frozen=True)
class Entrant:
    """An estimator, at one setting of its solver.

    Attributes
    ----------
    name : str
        In records and tables.
    package, module : str
        As pip and as Python call the library.
    make : callable
        Takes the number of samples, l2 and the tolerance; returns the estimator.
    two_classes_only : str
        Reason for not solving softmax regression; empty if it does.
    """

    name: str
    package: str
    module: str
    make: Callable[[int, float, float], Any]
    two_classes_only: str = ""

    def absence(self, n_classes: int) -> str:
        """Say why it does not take part in a problem of so many classes; empty if it does."""
        if importlib.util.find_spec(self.module) is None:
            return f"not installed (`pip install {self.package}`)"
        return self.two_classes_only if n_classes > 2 else ""

    @property
    def library(self) -> str:
        """The library and its version; empty where it is not installed."""
        try:
            return f"{self.package} {metadata.version(self.package)}"
        except metadata.PackageNotFoundError:
            return ""


def _halpbench(n_samples: int, l2: float, tol: float) -> Any:
    from halpbench.estimators import HALPClassifier

    return HALPClassifier(C=1 / (l2 * n_samples), tol=tol, fit_intercept=False, random_state=0)


def _scikit_learn(solver: str, **options: Any) -> Callable[[int, float, float], Any]:
    def make(n_samples: int, l2: float, tol: float) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(
            C=1 / (l2 * n_samples),
            tol=tol,
            solver=solver,
            fit_intercept=False,
            max_iter=MAX_ITER,
            random_state=0,
            **options,
        )

    return make


def _intelex(n_samples: int, l2: float, tol: float) -> Any:
    from sklearnex.linear_model import LogisticRegression

    # Its tolerance is of the gradient of the sum of the losses, not of their mean.
    return LogisticRegression(
        C=1 / (l2 * n_samples),
        tol=tol * n_samples,
        fit_intercept=False,
        max_iter=MAX_ITER,
        n_jobs=1,
    )


def _snapml(dual: bool) -> Callable[[int, float, float], Any]:
    def make(n_samples: int, l2: float, tol: float) -> Any:
        from snapml import LogisticRegression

        return LogisticRegression(
            regularizer=l2 * n_samples,
            tol=tol,
            dual=dual,
            fit_intercept=False,
            max_iter=MAX_ITER,
            n_jobs=1,
            random_state=0,
        )

    return make


def _skglm(solver: str) -> Callable[[int, float, float], Any]:
    def make(n_samples: int, l2: float, tol: float) -> Any:
        from skglm import GeneralizedLinearEstimator, solvers
        from skglm.datafits import Logistic
        from skglm.penalties import L1_plus_L2

        # Its penalty L2 has no proximal operator; the elastic net without its l1 part is the same.
        chosen = getattr(solvers, solver)(tol=tol, fit_intercept=False, max_iter=1_000)
        return GeneralizedLinearEstimator(Logistic(), L1_plus_L2(l2, l1_ratio=0.0), chosen)

    return make


CONTENDERS = {
    contender.name: contender
    for contender in (
        Entrant("halpbench", "halpbench", "halpbench", _halpbench),
        *(
            Entrant(f"scikit-learn {solver}", "scikit-learn", "sklearn", _scikit_learn(solver))
            for solver in ("lbfgs", "newton-cg", "newton-cholesky", "sag", "saga")
        ),
        # LIBLINEAR, as scikit-learn bundles it: a trust-region Newton method, and dual ascent.
        *(
            Entrant(
                f"liblinear {name}",
                "scikit-learn",
                "sklearn",
                _scikit_learn("liblinear", dual=name == "dual"),
                NOT_SOFTMAX,
            )
            for name in ("primal", "dual")
        ),
        Entrant("intelex lbfgs", "scikit-learn-intelex", "sklearnex", _intelex),
        *(
            Entrant(f"snapml {name}", "snapml", "snapml", _snapml(name == "dual"), NOT_SOFTMAX)
            for name in ("primal", "dual")
        ),
        *(
            Entrant(
                f"skglm {solver}",
                "skglm",
                "skglm",
                _skglm(solver),
                "several classes: it has no softmax regression",
            )
            for solver in ("AndersonCD", "ProxNewton")
        ),
    )
}
