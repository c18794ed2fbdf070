"""The paper's experiments (De Sa et al. 2018, arXiv:1803.03383): what runs, and its records.

Each figure is a list of experiments, each experiment becomes one record; `report.paper` draws them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from halpbench import datasets, kernels
from halpbench.bench import cases, clock
from halpbench.bench.records import Record, Series, Store, identity
from halpbench.bench.runner import Event, Problems
from halpbench.problems import LeastSquares, SoftmaxRegression
from halpbench.solvers import Run

AnyProblem = LeastSquares | SoftmaxRegression
Measured = tuple[list[Series], dict[str, Any]]
Options = tuple[tuple[str, float], ...]
FloatArray = NDArray[np.float64]

# The model's integers by bits; D8M8 and D16M16 are what the paper calls 8 and 16 bits.
PRECISION = {8: "D8M8", 16: "D16M16"}
LOW_PRECISION = ("lp-sgd", "lp-svrg", "halp")


@dataclass(frozen=True)
class Contender:
    """An algorithm at a precision, and where its constants come from: "paper" or "tuned"."""

    algorithm: str
    precision: str
    options: Options = ()
    constants: str = "paper"

    @property
    def name(self) -> str:
        """Its name in records, e.g. "HALP D8M8, paper"."""
        return f"{self.algorithm.upper()} {self.precision}, {self.constants}"


@dataclass(frozen=True)
class Curves:
    """Contenders on one problem, epoch by epoch: Figures 1 and 4.

    Attributes
    ----------
    panel : str
        Where the picture shows it.
    problem : cases.Problem
    data : str
        "quantized" or "exact", as `halpbench.solve` takes it.
    bits : int
        Of quantized data.
    contenders : tuple of Contender
    epochs : int
    seed : int
        Of samples and rounding, the same for all contenders.
    """

    figure: str
    panel: str
    problem: cases.Problem
    data: str
    bits: int
    contenders: tuple[Contender, ...]
    epochs: int
    seed: int = 0
    suite: str = "full"
    kind: ClassVar[str] = "curves"

    @property
    def name(self) -> str:
        """What a progress line calls it."""
        return f"{self.figure}, {self.panel}"

    def measure(self, problems: Problems) -> Measured:
        """Run the contenders in turns, an epoch each; look at the iterates afterwards."""
        problem, test, facts = load(self.problem, problems)
        length = round(self.problem.steps_per_sample * problem.n_samples)
        runs = {
            c.name: Run(
                problem,
                c.algorithm,
                c.precision,
                self.data,
                epoch_length=length,
                seed=self.seed,
                quantized_bits=self.bits,
                **options(c, self.problem.step_size),
            )
            for c in self.contenders
        }
        iterates = {name: [run.w] for name, run in runs.items()}
        epochs: dict[str, list[Any]] = {name: [] for name in runs}
        with clock.one_thread():
            for order in clock.rounds(
                list(runs), at_least=self.epochs, at_most=self.epochs, budget_seconds=math.inf
            ):
                for name in order:
                    if epochs[name] and epochs[name][-1].diverged:
                        continue
                    epochs[name].append(runs[name].epoch())
                    iterates[name].append(runs[name].w)
        judged = reference_problem(problem, self.bits) if self.data == "quantized" else problem
        facts |= {"n_samples": problem.n_samples, "n_features": problem.n_features}
        facts |= {"epoch_length": length, "backend": kernels.active()}
        optimum = least_squares_solution(judged) if isinstance(judged, LeastSquares) else None
        series = [
            Series(
                c.name,
                {
                    "inner": tuple(_ns(e.inner_seconds) for e in epochs[c.name]),
                    "full_gradient": tuple(_ns(e.full_gradient_seconds) for e in epochs[c.name]),
                },
                {
                    **_about(c),
                    **_history(judged, iterates[c.name], optimum, test),
                    "scale": [e.scale for e in epochs[c.name]],
                    "saturated": [e.saturated for e in epochs[c.name]],
                    "diverged": any(e.diverged for e in epochs[c.name]),
                },
            )
            for c in self.contenders
        ]
        return series, facts


Experiment = Curves


def experiments(figure: str, suite: str = "full") -> list[Experiment]:
    """List what a figure needs.

    Parameters
    ----------
    figure : str
        One of `FIGURES`.
    suite : {"full", "smoke"}

    Raises
    ------
    ValueError
        If the figure or the suite is unknown.
    """
    if figure not in FIGURES:
        raise ValueError(f"unknown figure {figure!r}; expected one of {', '.join(FIGURES)}")
    if suite not in cases.SUITES:
        raise ValueError(f"got suite {suite!r}; expected one of {', '.join(cases.SUITES)}")
    return [replace(e, suite=suite) for e in FIGURES[figure](suite == "smoke")]


def run(
    todo: Sequence[Experiment],
    store: Store,
    fingerprint: str,
    *,
    fresh: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
) -> list[Record]:
    """Run the experiments one after another; each is on disk before its "done" event.

    Parameters
    ----------
    todo : sequence of experiments
    store : Store
        Where finished records are looked up and added.
    fingerprint : str
        Of this machine and build.
    fresh : bool
        Run also what has a record already.
    on_event : callable
        Takes each `runner.Event`.

    Returns
    -------
    list of Record
        One an experiment, new or found.
    """
    finished = {} if fresh else {r.identity: r for r in store.records() if r.skipped is None}
    problems = Problems()
    records = []
    for index, experiment in enumerate(todo):
        # Events are shown by their case's name, which an experiment has too.
        case: Any = experiment
        event = Event("start", case, index, len(todo))
        content = asdict(experiment)
        record = finished.get(identity(experiment.kind, content, fingerprint))
        if record is not None:
            on_event(replace(event, what="reused", record=record))
            records.append(record)
            continue
        on_event(event)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        begun = time.monotonic()
        series: list[Series] = []
        facts: dict[str, Any] = {}
        skipped = None
        try:
            series, facts = experiment.measure(problems)
        except (datasets.DatasetNotFoundError, ImportError, MemoryError) as error:
            skipped = str(error) or type(error).__name__
        facts["wall_seconds"] = round(time.monotonic() - begun, 3)
        record = Record(
            experiment.kind, content, fingerprint, started, tuple(series), facts, skipped
        )
        store.add(record)
        records.append(record)
        on_event(replace(event, what="skipped" if skipped else "done", record=record))
    return records


# ---- Figure 1 --------------------------------------------------------------------------------

# Constants of the paper: its step sizes, HALP's mu, and the scale of LP-SGD and LP-SVRG by bits.
SGD_STEP, SVRG_STEP, MU, DELTA = 2.5e-6, 5e-3, 3.0, {8: 0.7, 16: 0.003}
# `halpbench tune --problem figure-1 --algorithm sgd`; LP-SGD gains from the same step.
SGD_STEP_TUNED = 1e-3


def _figure_1(smoke: bool) -> Iterable[Experiment]:
    epochs = 10 if smoke else 40
    for bits, low in PRECISION.items():
        contenders = (
            *(Contender("sgd", p, (("step_size", SGD_STEP),)) for p in ("D64fM64f", "D32fM32f")),
            Contender("sgd", "D64fM64f", (("step_size", SGD_STEP_TUNED),), "tuned"),
            Contender("lp-sgd", low, (("step_size", SGD_STEP), ("delta", DELTA[bits]))),
            Contender(
                "lp-sgd", low, (("step_size", SGD_STEP_TUNED), ("delta", DELTA[bits])), "tuned"
            ),
            Contender("svrg", "D64fM64f"),
            Contender("svrg", "D32fM32f"),
            Contender("lp-svrg", low, (("delta", DELTA[bits]),)),
            Contender("halp", low, (("mu", MU),)),
        )
        yield Curves("fig1", f"{bits} bits", cases.FIGURE_1, "quantized", bits, contenders, epochs)
    ours = (
        Contender("svrg", "D64fM64f"),
        Contender("svrg", "D32fM32f"),
        *(Contender("halp", p, (("mu", MU),)) for p in ("D8M8", "D8M16", "D16M16")),
    )
    yield Curves("fig1", "exact data", cases.FIGURE_1, "exact", 8, ours, epochs)


# ---- What the experiments share ----------------------------------------------------------------


def load(
    spec: cases.Problem, problems: Problems
) -> tuple[AnyProblem, tuple[Any, Any] | None, dict[str, Any]]:
    """Return a problem, its test set (None for regression), and where the data came from."""
    problem, facts = problems.load(spec)
    return problem, None, dict(facts)


def reference_problem(problem: AnyProblem, bits: int) -> AnyProblem:
    """Return the problem that ``data="quantized"`` solves, in floating point."""
    q, scale = kernels.quantize(problem.X, bits, rounding="nearest")
    return problem.reduced(kernels.dequantize(q, scale, problem.X.dtype))


def least_squares_solution(problem: LeastSquares) -> FloatArray:
    """Solve a least-squares problem with at least as many rows as columns."""
    hessian = problem.X.T @ problem.X / problem.n_samples
    hessian[np.diag_indices_from(hessian)] += problem.l2
    w: FloatArray = np.linalg.solve(hessian, problem.X.T @ problem.y / problem.n_samples)
    return w


def _history(
    problem: AnyProblem,
    iterates: list[FloatArray],
    optimum: FloatArray | None,
    test: tuple[Any, Any] | None,
) -> dict[str, list[float]]:
    """Judge the iterates: loss and gradient norm always, the rest where it is known."""
    found = [problem.loss_and_gradient(w) for w in iterates]
    history = {
        "loss": [loss for loss, _ in found],
        "grad_norm": [float(np.linalg.norm(gradient)) for _, gradient in found],
    }
    if optimum is not None:
        history["distance"] = [float(np.linalg.norm(w - optimum)) for w in iterates]
    if test is not None:
        X, y = test
        history["test_error"] = [float((problem.predict(w, X) != y).mean()) for w in iterates]
    return history


def options(contender: Contender, step_size: float) -> dict[str, Any]:
    """Return keywords of `Run`; a contender's own step size goes before the problem's."""
    return {"step_size": step_size, **dict(contender.options)}


def _about(contender: Contender) -> dict[str, Any]:
    return {
        "algorithm": contender.algorithm,
        "precision": contender.precision,
        "constants": contender.constants,
        "options": dict(contender.options),
    }


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


FIGURES: dict[str, Callable[[bool], Iterable[Experiment]]] = {
    "fig1": _figure_1,
}
