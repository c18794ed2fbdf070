"""Time to accuracy of the estimators beside those that people use today, on the same problems.

The other libraries have no callback, so that each contender is fitted anew for every tolerance; the
gradient of the stated problem is then computed in float64 for all of them alike. What a contender
needs for a level is the least time of its fits that got there.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from halpbench.datasets import load
from halpbench.estimators import HALPClassifier
from halpbench.solvers.objective import LinearObjective

LEVELS = (1e-1, 1e-2, 1e-3)  # of the Euclidean norm of the gradient of the mean loss
TOLERANCES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)


@dataclass(frozen=True)
class Fit:
    """One fit: its time on the clock and of the processor, and what it reached."""

    problem: str
    contender: str
    tol: float
    seconds: float
    cpu_seconds: float
    loss: float
    grad_norm: float
    accuracy: float


def problems() -> dict[str, Callable[[], tuple[NDArray[Any], NDArray[Any]]]]:
    """The data of each problem: softmax regression, l2 = 1e-4, without intercept."""

    def digits() -> tuple[NDArray[Any], NDArray[Any]]:
        X, y = load_digits(return_X_y=True)
        return (X / 16).astype(np.float32), y

    def tall() -> tuple[NDArray[Any], NDArray[Any]]:
        random = np.random.default_rng(0)
        X = random.standard_normal((1_000_000, 100), np.float32)
        margins = X @ random.standard_normal(100, np.float32)
        return X, (margins + 3 * random.standard_normal(len(X)) > 0).astype(int)

    def wide() -> tuple[NDArray[Any], NDArray[Any]]:
        random = np.random.default_rng(0)
        X = random.standard_normal((10_000, 10_000), np.float32)
        X *= 0.01
        margins = X @ random.standard_normal(10_000, np.float32)
        return X, (margins + random.standard_normal(len(X)) > 0).astype(int)

    return {
        "digits": digits,
        "mnist-5k": lambda: load("mnist-5k"),
        "fashion-mnist": lambda: load("fashion-mnist"),
        "tall": tall,
        "wide": wide,
    }


def contenders(n_classes: int) -> dict[str, Callable[[float, float], Any]]:
    """Estimators by name, made from C and tol; those of libraries that are not there are absent."""
    # Of scikit-learn's solvers, those that minimize this objective for that many classes.
    solvers = ["lbfgs", "newton-cg", "saga", "newton-cholesky"]
    if n_classes == 2:
        solvers.append("liblinear")

    def scikit_learn(solver: str) -> Callable[[float, float], Any]:
        return lambda C, tol: LogisticRegression(
            C=C, tol=tol, solver=solver, fit_intercept=False, max_iter=10_000
        )

    result: dict[str, Callable[[float, float], Any]] = {
        "halpbench": lambda C, tol: HALPClassifier(C, tol=tol, fit_intercept=False, random_state=0),
        **{f"scikit-learn {solver}": scikit_learn(solver) for solver in solvers},
    }
    try:
        from sklearnex.linear_model import (
            LogisticRegression as Accelerated,
        )
    except ImportError:
        return result
    result["scikit-learn-intelex lbfgs"] = lambda C, tol: Accelerated(
        C=C, tol=tol, fit_intercept=False, max_iter=10_000
    )
    return result


def run(
    names: list[str],
    only: list[str] | None = None,
    *,
    l2: float = 1e-4,
    budget_seconds: float = 60.0,
) -> Iterator[Fit]:
    """Fit every contender to every problem, tighter and tighter, one thread each.

    Parameters
    ----------
    names : list of str
        Of `problems`.
    only : list of str, optional
        Of `contenders`.
    l2 : float
    budget_seconds : float
        A contender that has used that much on a problem is not fitted again; the fit that runs
        out of it is still counted.
    """
    for name in names:
        X, y = problems()[name]()
        n_classes = len(np.unique(y))
        kind, outputs = ("logistic", 1) if n_classes == 2 else ("softmax", n_classes)
        with threadpool_limits(1):
            objective = LinearObjective(
                X, y.astype(np.int64), kind, outputs, l2, fit_intercept=False
            )
            objective.double = True
            makers = contenders(n_classes)
            spent = {each: 0.0 for each in makers if only is None or each in only}
            done: set[str] = set()
            for tol in TOLERANCES:
                for each in spent:
                    if each in done:
                        continue
                    fit = _fit(name, each, makers[each], X, y, objective, tol, l2)
                    spent[each] += fit.seconds
                    if fit.grad_norm <= LEVELS[-1] or spent[each] > budget_seconds:
                        done.add(each)
                    yield fit


def _fit(
    problem: str,
    contender: str,
    make: Callable[[float, float], Any],
    X: NDArray[Any],
    y: NDArray[Any],
    objective: LinearObjective,
    tol: float,
    l2: float,
) -> Fit:
    model = make(1 / (l2 * len(X)), tol)
    wall, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they stop early shows in the gradient
        model.fit(X, y)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    w = np.asarray(model.coef_, np.float64)
    with objective.threads():
        at = objective.evaluate(w, np.zeros(len(w)))
    accuracy = float(np.mean(model.predict(X) == y))
    norm = float(np.linalg.norm(at.weights))
    return Fit(problem, contender, tol, wall, cpu, at.loss, norm, accuracy)


def table(fits: list[Fit], column: str = "cpu_seconds") -> pd.DataFrame:
    """Least time to each level, a row for each problem and contender; NaN where not reached."""
    frame = pd.DataFrame([asdict(fit) for fit in fits])
    keys = ["problem", "contender"]
    result = frame[keys].drop_duplicates().set_index(keys)
    for level in LEVELS:
        reached = frame[frame["grad_norm"] <= level]
        result[f"{level:.0e}"] = reached.groupby(keys)[column].min()
    return result
