"""The paper's experiments (De Sa et al. 2018, arXiv:1803.03383): what runs, and its records.

Each figure is a list of experiments, each experiment becomes one record; `report.paper` draws them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from halpbench import datasets, kernels, simulate
from halpbench.bench import cases, clock
from halpbench.bench.loop import OnEvent, OnRound, each, ignore, now
from halpbench.bench.machine import with_code
from halpbench.bench.records import Record, Series, Store
from halpbench.bench.runner import Problems
from halpbench.fixedpoint import largest_integer
from halpbench.formats import FORMATS
from halpbench.problems import LeastSquares, SoftmaxRegression
from halpbench.solvers import ALGORITHMS, Epoch, Solver

AnyProblem = LeastSquares | SoftmaxRegression
Measured = tuple[list[Series], dict[str, Any]]
Options = tuple[tuple[str, float], ...]
FloatArray = NDArray[np.float64]

# The model's integers by bits; D8M8 and D16M16 are what the paper calls 8 and 16 bits.
PRECISION = {8: "D8M8", 16: "D16M16"}
BESIDE = "tuned beside the paper's"
LOW_PRECISION = ("lp-sgd", "lp-svrg", "halp")


@dataclass(frozen=True)
class Contender:
    """An algorithm at a precision, and where its constants come from.

    That is "paper", "tuned", or BESIDE where a picture shows both.
    """

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
    repeats : int
        Whole runs, for the times; what they compute is the same each time.
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
    repeats: int = 1
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
        epochs: dict[str, list[Epoch]] = {c.name: [] for c in self.contenders}
        with clock.one_thread():
            for _ in range(self.repeats):
                iterates, losses = self._run(problem, length, epochs)
        judges = self._judges(problem, test)
        series = []
        for contender in self.contenders:
            name, done = contender.name, epochs[contender.name]
            samples = {
                "inner": tuple(_ns(e.inner_seconds) for e in done),
                "full_gradient": tuple(_ns(e.full_gradient_seconds) for e in done),
            }
            history = {
                "loss": [loss for loss, _ in losses[name]],
                "grad_norm": [norm for _, norm in losses[name]],
                **{quantity: [judge(w) for w in iterates[name]] for quantity, judge in judges},
                "scale": [e.scale for e in done[: self.epochs]],
                "saturated": [e.saturated for e in done[: self.epochs]],
            }
            series.append(Series(name, samples, {**_about(contender), **history}))
        facts |= {"n_samples": problem.n_samples, "n_features": problem.n_features}
        facts |= {"epoch_length": length, "backend": kernels.active()}
        return series, facts

    def _run(
        self, problem: AnyProblem, length: int, epochs: dict[str, list[Epoch]]
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
                self.data,
                epoch_length=length,
                seed=self.seed,
                quantized_bits=self.bits,
                **_options(c, self.problem.step_size),
            )
            for c in self.contenders
        }
        iterates = {name: [run.w] for name, run in runs.items()}
        losses = {name: [run.evaluate()] for name, run in runs.items()}
        for order in clock.rounds(
            list(runs), at_least=self.epochs, at_most=self.epochs, budget_seconds=math.inf
        ):
            for name in order:
                # A run that has diverged stays where it was, which its picture then shows.
                epochs[name].append(runs[name].epoch())
                iterates[name].append(runs[name].w)
                losses[name].append(runs[name].evaluate())
        return iterates, losses

    def _judges(
        self, problem: AnyProblem, test: tuple[Any, Any] | None
    ) -> list[tuple[str, Callable[[FloatArray], float]]]:
        """Return what else can be said of an iterate, by the name of the quantity."""
        if test is not None:
            X, y = test
            return [("test_error", lambda w: float((problem.predict(w, X) != y).mean()))]
        solved = reference_problem(problem, self.bits) if self.data == "quantized" else problem
        if not isinstance(solved, LeastSquares):
            return []
        optimum = least_squares_solution(solved)
        return [("distance", lambda w: float(np.linalg.norm(w - optimum)))]


@dataclass(frozen=True)
class BitCentering:
    """A run of HALP in two dimensions with few bits, every iterate kept: Figure 2.

    Attributes
    ----------
    bits : int
        So few that a grid of all representable models can be drawn.
    """

    figure: str = "fig2"
    bits: int = 4
    n_samples: int = 40
    condition: float = 2.0
    epoch_length: int = 60
    epochs: int = 4
    seed: int = 1
    suite: str = "full"
    kind: ClassVar[str] = "bit-centering"

    @property
    def name(self) -> str:
        """What a progress line calls it."""
        return f"{self.figure}, {self.bits} bits in 2 dimensions"

    def measure(self, problems: Problems) -> Measured:
        """Simulate; the compiled solvers have too many bits for a picture."""
        problem = conditioned_problem(self.condition, self.n_samples, 2, self.seed)
        mu = problem.strong_convexity()
        found = simulate.solve(
            problem,
            "halp",
            simulate.FixedPoint(self.bits),
            step_size=0.5 / problem.smoothness(),
            epoch_length=self.epoch_length,
            epochs=self.epochs,
            mu=mu,
            seed=self.seed,
            keep_path=True,
        )
        path = [epoch.tolist() for epoch in found.path]
        series = Series(
            f"HALP {self.bits} bits",
            {},
            {
                "algorithm": "halp",
                "path": path,
                "scale": found.history["scale"].tolist()[1:],
                "grad_norm": found.history["grad_norm"].tolist(),
            },
        )
        facts = {
            "highest": simulate.FixedPoint(self.bits).highest,
            "optimum": least_squares_solution(problem).tolist(),
            "hessian": (problem.X.T @ problem.X / problem.n_samples).tolist(),
            "mu": mu,
        }
        return [series], facts


# Values of mu in Figure 5, as multiples of the constant of strong convexity: the first is what the
# theory asks for, the best of all is what a grid search finds.
MU_FACTORS = (1.0, 3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True)
class Conditioning:
    """The gradient norm after some epochs on a problem of a given condition number: Figure 5.

    Attributes
    ----------
    condition : float
        Largest over smallest eigenvalue of the Hessian, at least 1.
    """

    condition: float
    seed: int
    figure: str = "fig5"
    n_samples: int = 1_000
    n_features: int = 50
    epochs: int = 50
    suite: str = "full"
    kind: ClassVar[str] = "conditioning"

    @property
    def name(self) -> str:
        """What a progress line calls it."""
        return f"{self.figure}, condition number {self.condition:,.0f}, seed {self.seed}"

    def measure(self, problems: Problems) -> Measured:
        """Run every algorithm; the gradients are those of the original data, in float64."""
        problem = conditioned_problem(self.condition, self.n_samples, self.n_features, self.seed)
        mu, largest = problem.strong_convexity(), problem.smoothness()
        reach = 1.25 * float(np.abs(least_squares_solution(problem)).max())
        contenders = [Contender("sgd", "D64fM64f"), Contender("svrg", "D64fM64f")]
        for bits, precision in PRECISION.items():
            # The finest fixed scale that reaches the solution: the best that could be chosen.
            delta = (("delta", reach / largest_integer(bits)),)
            contenders += [Contender(a, precision, delta) for a in ("lp-sgd", "lp-svrg")]
            contenders += [
                Contender("halp", precision, (("mu", factor * mu),), f"mu x {factor:g}")
                for factor in MU_FACTORS
            ]
        series = []
        for contender in contenders:
            run = Solver(
                problem,
                contender.algorithm,
                contender.precision,
                "exact",
                seed=self.seed,
                **_options(contender, 0.25 / largest),
            )
            for _ in range(self.epochs):
                if run.epoch().diverged:
                    break
            norm = float(np.linalg.norm(problem.gradient(run.w)))
            series.append(Series(contender.name, {}, {**_about(contender), "grad_norm": norm}))
        start = float(np.linalg.norm(problem.gradient(np.zeros(self.n_features))))
        return series, {"mu": mu, "smoothness": largest, "grad_norm_start": start}


@dataclass(frozen=True)
class Bits:
    """The gradient norm after some epochs at a number of bits, simulated.

    Attributes
    ----------
    bits : int
        2 to 24.
    """

    bits: int
    seed: int
    figure: str = "bits"
    n_samples: int = 200
    n_features: int = 20
    condition: float = 10.0
    epochs: int = 25
    suite: str = "full"
    kind: ClassVar[str] = "bits"

    @property
    def name(self) -> str:
        """What a progress line calls it."""
        return f"{self.figure}, {self.bits} bits, seed {self.seed}"

    def measure(self, problems: Problems) -> Measured:
        """Simulate on data that are not quantized: the model's bits are the only difference."""
        problem = conditioned_problem(self.condition, self.n_samples, self.n_features, self.seed)
        reach = 1.25 * float(np.abs(least_squares_solution(problem)).max())
        series = []
        for algorithm in LOW_PRECISION:
            for rounding in ("unbiased", "biased"):
                model = simulate.FixedPoint(self.bits, rounding=rounding)
                found = simulate.solve(
                    problem,
                    algorithm,
                    model,
                    step_size=0.25 / problem.smoothness(),
                    epochs=self.epochs,
                    mu=problem.strong_convexity(),
                    delta=reach / model.highest,
                    seed=self.seed,
                )
                facts = {
                    "algorithm": algorithm,
                    "rounding": rounding,
                    "grad_norm": float(found.history["grad_norm"].iloc[-1]),
                }
                series.append(Series(f"{algorithm.upper()}, {rounding}", {}, facts))
        start = float(np.linalg.norm(problem.gradient(np.zeros(self.n_features))))
        return series, {"grad_norm_start": start}


@dataclass(frozen=True)
class Theory:
    """Suboptimality of many runs of LP-SVRG or HALP, next to the bounds of docs/theory.md.

    Attributes
    ----------
    problem : str
        "quadratic" or "logistic".
    algorithm : str
        "lp-svrg" or "halp".
    precision : str or None
        Of the compiled solver, which runs on the quantized problem; None for a simulation on the
        original one.
    bits : int
        Of the model.
    delta : float
        LP-SVRG: the fixed scale; 0 for HALP.
    gamma : float
        The contraction that the theory promises for exact arithmetic; it sets step size and epoch
        length.
    runs : int
        Seeds 0, 1, ...
    """

    problem: str
    algorithm: str
    precision: str | None
    bits: int
    delta: float = 0.0
    gamma: float = 0.5
    epochs: int = 10
    runs: int = 100
    figure: str = "theory"
    suite: str = "full"
    kind: ClassVar[str] = "theory"

    @property
    def name(self) -> str:
        """What a progress line calls it."""
        by = self.precision or f"{self.bits} bits, simulated"
        scale = f", delta {self.delta:g}" if self.delta else ""
        return f"{self.figure}, {self.problem}, {self.algorithm.upper()} {by}{scale}"

    def measure(self, problems: Problems) -> Measured:
        """Run all seeds with option II; the bounds go into the facts."""
        problem = theory_problem(self.problem)
        solved = problem
        if self.precision is not None:
            solved = reference_problem(problem, FORMATS[self.precision].data.bits)
        mu, smoothness = solved.strong_convexity(), solved.smoothness()
        length = theory_epoch_length(self.gamma, smoothness / mu)
        options: dict[str, Any] = {
            "step_size": theory_step_size(self.gamma, smoothness),
            "epoch_length": length,
            "option": "II",
        }
        options |= {"delta": self.delta} if self.delta else {"mu": mu}
        optimum = minimizer(solved)
        gaps = []
        for seed in range(self.runs):
            if self.precision is None:
                iterates = self._simulated(problem, seed, options)
            else:
                run = Solver(
                    problem, self.algorithm, self.precision, "quantized", seed=seed, **options
                )
                iterates = [run.w]
                for _ in range(self.epochs):
                    run.epoch()
                    iterates.append(run.w)
            gaps.append([suboptimality(solved, w, optimum) for w in iterates])
        d = math.prod(solved.weight_shape)
        facts: dict[str, Any] = {
            "mu": mu,
            "smoothness": smoothness,
            "dimension": d,
            "epoch_length": length,
            "optimum_max": float(np.abs(optimum).max()),
        }
        if self.delta:
            noise = lp_svrg_noise(self.gamma, d, self.delta, smoothness, length)
            facts["noise"] = noise
            facts["bound"] = [
                lp_svrg_bound(self.gamma, noise, gaps[0][0], k) for k in range(self.epochs + 1)
            ]
        else:
            facts["contraction_bound"] = halp_contraction(
                self.gamma, d, smoothness / mu, self.bits, length
            )
        name = f"{self.algorithm.upper()} {self.precision or self.bits}"
        return [Series(name, {}, {"algorithm": self.algorithm, "gaps": gaps})], facts

    def _simulated(
        self, problem: AnyProblem, seed: int, options: dict[str, Any]
    ) -> list[FloatArray]:
        found = simulate.solve(
            problem,
            self.algorithm,
            simulate.FixedPoint(self.bits),
            epochs=self.epochs,
            seed=seed,
            keep_path=True,
            **options,
        )
        return [found.path[0][0], *(path[-1] for path in found.path)]


Experiment = Curves | BitCentering | Conditioning | Bits | Theory


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


def fingerprint(machine: str) -> str:
    """Digest the machine's fingerprint together with the code of the experiments."""
    return with_code(machine, "experiments.py", "tune.py")


def run(
    todo: Sequence[Experiment],
    store: Store,
    fingerprint: str,
    *,
    fresh: bool = False,
    on_event: OnEvent = ignore,
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
        Takes each `loop.Event`.

    Returns
    -------
    list of Record
        One an experiment, new or found.
    """
    problems = Problems()

    def measured(experiment: Experiment, left_seconds: float, on_round: OnRound) -> Record:
        started = now()
        begun = time.monotonic()
        series: list[Series] = []
        facts: dict[str, Any] = {}
        skipped = None
        try:
            series, facts = experiment.measure(problems)
        except (datasets.DatasetNotFoundError, ImportError, MemoryError) as error:
            skipped = str(error) or type(error).__name__
        facts["wall_seconds"] = round(time.monotonic() - begun, 3)
        content = asdict(experiment)
        return Record(experiment.kind, content, fingerprint, started, tuple(series), facts, skipped)

    return list(each(todo, store, fingerprint, measured, fresh=fresh, on_event=on_event))


# ---- Figure 1 --------------------------------------------------------------------------------

# Constants of the paper: its step sizes, HALP's mu, and the scale of LP-SGD and LP-SVRG by bits.
SGD_STEP, SVRG_STEP, MU, DELTA = 2.5e-6, 5e-3, 3.0, {8: 0.7, 16: 0.003}
# `halpbench tune --problem figure-1 --epochs 40 --seeds 3`: the winners for SGD and LP-SGD are
# 3e-4 (8-bit data) and 1e-3 (16-bit data); the floor is that of the paper's constants or lower.
SGD_STEP_TUNED = {8: 3e-4, 16: 1e-3}
# An epoch takes a fraction of a millisecond; a median of its times is worth the few seconds.
REPEATS = 5


def _figure_1(smoke: bool) -> Iterable[Experiment]:
    epochs = 10 if smoke else 40
    for bits, low in PRECISION.items():
        contenders = (
            *(Contender("sgd", p, (("step_size", SGD_STEP),)) for p in ("D64fM64f", "D32fM32f")),
            Contender("sgd", "D64fM64f", (("step_size", SGD_STEP_TUNED[bits]),), BESIDE),
            Contender("lp-sgd", low, (("step_size", SGD_STEP), ("delta", DELTA[bits]))),
            Contender(
                "lp-sgd",
                low,
                (("step_size", SGD_STEP_TUNED[bits]), ("delta", DELTA[bits])),
                BESIDE,
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
    yield Curves("fig1", "exact data", cases.FIGURE_1, "exact", 8, ours, epochs, REPEATS)


# ---- The other figures -----------------------------------------------------------------------


def _figure_2(smoke: bool) -> Iterable[Experiment]:
    yield BitCentering(epochs=2 if smoke else 4)


MNIST = replace(
    cases.MNIST_5K,
    name="mnist",
    dataset="mnist",
    n_samples=60_000,
    fallback=replace(cases.MNIST_5K, n_samples=4_000),
)

# Constants of Figure 4, from `halpbench tune` (docs/reproduction.md has the grids): step size, and
# mu or delta, by data set, algorithm and bits.
TUNED: dict[str, dict[tuple[str, int], tuple[float, ...]]] = {
    "mnist": {
        ("sgd", 32): (1e-3,),
        ("svrg", 32): (0.02,),
        ("lp-sgd", 8): (1e-3, 4e-3),
        ("lp-svrg", 8): (0.01, 4e-3),
        ("halp", 8): (0.02, 1.0),
        ("lp-sgd", 16): (1e-3, 1.2e-4),
        ("lp-svrg", 16): (0.02, 1.2e-4),
        ("halp", 16): (0.02, 0.01),
    },
    "fashion-mnist": {
        ("sgd", 32): (1e-4,),
        ("svrg", 32): (2e-3,),
        ("lp-sgd", 8): (1e-4, 8e-3),
        ("lp-svrg", 8): (2e-3, 8e-3),
        ("halp", 8): (2e-3, 3.0),
        ("lp-sgd", 16): (1e-4, 6e-5),
        ("lp-svrg", 16): (2e-3, 6e-5),
        ("halp", 16): (2e-3, 0.1),
    },
}


def _figure_4(smoke: bool) -> Iterable[Experiment]:
    for problem in [MNIST] if smoke else [MNIST, cases.FASHION_MNIST]:
        # Fashion-MNIST has fifteen times the steps of an epoch of mnist-5k.
        epochs = 2 if smoke else 25 if problem is MNIST else 15
        tuned = TUNED[problem.name]
        if problem.fallback is not None and datasets.find(problem.dataset) is None:
            problem = problem.fallback
        for bits, precision in PRECISION.items():
            contenders = []
            for algorithm in ALGORITHMS:
                low = algorithm in LOW_PRECISION
                values = tuned[algorithm, bits if low else 32]
                names = ("step_size", "mu" if algorithm == "halp" else "delta")
                constants = tuple(zip(names, values, strict=False))
                width = precision if low else "D32fM32f"
                contenders.append(Contender(algorithm, width, constants, "tuned"))
            panel = f"{problem.name}, {bits} bits"
            yield Curves("fig4", panel, problem, "quantized", bits, tuple(contenders), epochs)


def _figure_5(smoke: bool) -> Iterable[Experiment]:
    exponents = (0, 2, 4) if smoke else np.arange(0, 4.01, 1 / 3)
    for exponent in exponents:
        for seed in range(1 if smoke else 5):
            yield Conditioning(float(10**exponent), seed, epochs=10 if smoke else 50)


def _bits(smoke: bool) -> Iterable[Experiment]:
    for bits in (2, 8, 16) if smoke else (2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24):
        for seed in range(1 if smoke else 3):
            yield Bits(bits, seed, epochs=5 if smoke else 25)


def _theory(smoke: bool) -> Iterable[Experiment]:
    runs, epochs = (10, 6) if smoke else (100, 10)
    for problem in ("quadratic", "logistic"):
        for precision, exponents in (("D8M8", (-7, -5, -3)), ("D16M16", (-9, -7, -5, -3))):
            bits = FORMATS[precision].model.bits
            yield Theory(problem, "halp", precision, bits, epochs=5, runs=runs)
            for exponent in exponents:
                yield Theory(
                    problem, "lp-svrg", precision, bits, 2.0**exponent, epochs=epochs, runs=runs
                )
        for bits in (4, 8) if smoke else (3, 4, 5, 6, 7, 8, 10, 12, 14, 16):
            yield Theory(problem, "halp", None, bits, epochs=5, runs=runs // 2)


# ---- Bounds: docs/theory.md derives them -----------------------------------------------------


def theory_step_size(gamma: float, smoothness: float) -> float:
    """Return a = gamma / (4 L (1 + gamma))."""
    return gamma / (4 * smoothness * (1 + gamma))


def theory_epoch_length(gamma: float, condition: float) -> int:
    """Return the least T >= 8 kappa (1 + gamma) / gamma^2."""
    return math.ceil(8 * condition * (1 + gamma) / gamma**2)


def lp_svrg_noise(gamma: float, d: int, delta: float, smoothness: float, length: int) -> float:
    """Return what rounding adds to the expected suboptimality in an epoch of LP-SVRG."""
    rounding = d * delta**2 * smoothness * (1 + gamma) ** 2 / (gamma * (2 + gamma))
    return rounding * (length + 1) / length


def lp_svrg_bound(gamma: float, noise: float, start: float, epoch: int) -> float:
    """Return the bound on E[f - f*] after some epochs: Theorem 1."""
    return gamma**epoch * start + noise * (1 - gamma**epoch) / (1 - gamma)


def halp_contraction(gamma: float, d: int, condition: float, bits: int, length: int) -> float:
    """Return the factor by which an epoch of HALP shrinks E[f - f*] at least: Theorem 2.

    It is a promise only where it is below 1.
    """
    rounding = 2 * d * condition**2 / largest_integer(bits) ** 2
    rounding *= (1 + gamma) ** 2 / (gamma * (2 + gamma)) * (length + 1) / length
    return gamma + rounding


# ---- What the experiments share ----------------------------------------------------------------


def load(
    spec: cases.Problem, problems: Problems
) -> tuple[AnyProblem, tuple[Any, Any] | None, dict[str, Any]]:
    """Return a problem, its test set (None for regression), and where the data came from."""
    problem, facts = problems.load(spec)
    if isinstance(problem, LeastSquares):
        return problem, None, dict(facts)
    if spec.dataset != "mnist-5k":
        return problem, datasets.load(spec.dataset, "test"), dict(facts)
    # It has no split of its own, and is sorted by class.
    X, y = datasets.load(spec.dataset)
    order = np.random.default_rng(0).permutation(len(y))
    train, test = order[: spec.n_samples], order[spec.n_samples :]
    held_out = (X[test], y[test]) if len(test) else None
    return SoftmaxRegression(X[train], y[train], spec.l2), held_out, dict(facts)


def conditioned_problem(
    condition: float, n_samples: int, n_features: int, seed: int
) -> LeastSquares:
    """Return least squares whose Hessian has a given condition number.

    X = sqrt(N) U S V^T with random orthonormal columns in U and V and geometrically spaced singular
    values, so that the eigenvalues of X^T X / N go from 1 / condition to 1.

    Raises
    ------
    ValueError
        If `condition` is less than 1.
    """
    if not 1 <= condition < math.inf:
        raise ValueError(
            f"condition number: got {condition}, expected a finite number of at least 1"
        )
    random = np.random.default_rng(seed)
    u = np.linalg.qr(random.standard_normal((n_samples, n_features)))[0]
    v = np.linalg.qr(random.standard_normal((n_features, n_features)))[0]
    singular = np.geomspace(condition**-0.5, 1, n_features)
    X = math.sqrt(n_samples) * (u * singular) @ v.T
    y = X @ random.standard_normal(n_features) + 0.1 * random.standard_normal(n_samples)
    return LeastSquares(np.ascontiguousarray(X), y)


def theory_problem(name: str) -> AnyProblem:
    """Return a small strongly convex problem; rows of norm 1 keep L / mu low.

    Raises
    ------
    ValueError
        If the name is neither "quadratic" nor "logistic".
    """
    random = np.random.default_rng(0)
    X = random.standard_normal((400, 5))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    if name == "quadratic":
        return LeastSquares(X, X @ random.uniform(-1, 1, 5) + 0.1 * random.standard_normal(400))
    if name == "logistic":
        scores = X @ random.standard_normal((5, 3)) + 0.3 * random.standard_normal((400, 3))
        return SoftmaxRegression(X, scores.argmax(axis=1), l2=0.1)
    raise ValueError(f"got problem {name!r}; expected quadratic or logistic")


def minimizer(problem: AnyProblem) -> FloatArray:
    """Return the minimizer of a small strongly convex problem to the precision of float64."""
    if isinstance(problem, LeastSquares):
        return least_squares_solution(problem)
    w = np.zeros(problem.weight_shape)
    for _ in range(100):  # Newton's method; the losses here need no line search
        gradient = problem.gradient(w)
        if np.linalg.norm(gradient) < 1e-15:
            break
        w -= np.linalg.solve(softmax_hessian(problem, w), gradient.ravel()).reshape(w.shape)
    return w


def softmax_hessian(problem: SoftmaxRegression, w: FloatArray) -> FloatArray:
    """Return the Hessian at `w`, of shape (C d, C d)."""
    a = problem.margins(w)
    p = np.exp(a - a.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    middle = -np.einsum("ic,ie->ice", p, p)
    middle[:, range(p.shape[1]), range(p.shape[1])] += p
    X = problem.X
    size = p.shape[1] * X.shape[1]
    hessian = np.einsum("ice,ij,ik->cjek", middle, X, X, optimize=True).reshape(size, size)
    hessian /= problem.n_samples
    hessian[np.diag_indices(size)] += problem.l2
    return np.asarray(hessian)


def suboptimality(problem: AnyProblem, w: FloatArray, optimum: FloatArray) -> float:
    """Return f(w) - f*, for a quadratic without the cancellation of a difference."""
    if isinstance(problem, LeastSquares):
        error = w - optimum
        product = problem.X @ error
        return 0.5 * float(product @ product / problem.n_samples + problem.l2 * error @ error)
    return problem.loss(w) - problem.loss(optimum)


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


def _options(contender: Contender, step_size: float) -> dict[str, Any]:
    """Return keywords of `Solver`; a contender's own step size goes before the problem's."""
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
    "fig2": _figure_2,
    "fig4": _figure_4,
    "fig5": _figure_5,
    "bits": _bits,
    "theory": _theory,
}
