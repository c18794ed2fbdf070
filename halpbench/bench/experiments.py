"""The paper's experiments (De Sa et al. 2018, arXiv:1803.03383): their runs and records.

Each figure is a list of experiments, each experiment becomes one record; `report.paper` draws them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from msgspec.structs import replace

from halpbench.bench import conditioned, curves, feedback, needed, rivals, suites, theory
from halpbench.bench.cases import (
    BitCenteringCase,
    BitsCase,
    Case,
    ConditioningCase,
    CurvesCase,
    FeedbackCase,
    NeededBitsCase,
    Plan,
    Planned,
    RivalCase,
    Setting,
    TheoryCase,
)
from halpbench.bench.conditioned import ADAPTIVE, LOW_PRECISION, PRECISION
from halpbench.bench.loading import Problems
from halpbench.bench.loop import Measured, OnEvent, OnRound, each, ignore
from halpbench.bench.machine import with_code
from halpbench.bench.records import Record
from halpbench.bench.store import Store
from halpbench.formats import FORMATS
from halpbench.solvers import ALGORITHMS

# Origin of the constants, where a picture shows the paper's as well.
BESIDE = "tuned beside the paper's"

# Modules that these records depend on beyond those that the fingerprint of timed code covers.
CODE = (
    "cases.py",
    "conditioned.py",
    "curves.py",
    "experiments.py",
    "feedback.py",
    "needed.py",
    "references.py",
    "rivals.py",
    "theory.py",
    "../fixedpoint.py",
    "../numberformats.py",
    "../rivals.py",
    "../simulate.py",
    "../theory.py",
)


def experiments(figure: str, suite: str = "full") -> list[Planned]:
    """List the experiments of a figure.

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
    if suite not in suites.SUITES:
        raise ValueError(f"got suite {suite!r}; expected one of {', '.join(suites.SUITES)}")
    return [
        replace(planned, plan=replace(planned.plan, suite=suite))
        for planned in FIGURES[figure](suite == "smoke")
    ]


def fingerprint(machine: str) -> str:
    """Digest the machine's fingerprint together with the code of the experiments."""
    return with_code(machine, *CODE, "tune.py")


def run(
    tasks: Sequence[Planned],
    store: Store,
    fingerprint: str,
    *,
    fresh: bool = False,
    on_event: OnEvent = ignore,
) -> list[Record]:
    """Run the experiments one after another; each is on disk before its "done" event.

    Parameters
    ----------
    tasks : sequence of Planned
    store : Store
        Store to which finished records are added, and in which they are looked up.
    fingerprint : str
        Of this machine and build.
    fresh : bool
        Run also cases that have a record already.
    on_event : callable
        Takes each `loop.Event`.

    Returns
    -------
    list of Record
        One an experiment, newly run or already stored.
    """
    measured = partial(measure, Problems())
    return list(each(tasks, store, fingerprint, measured, fresh=fresh, on_event=on_event))


def measure(
    problems: Problems, case: Case, plan: Plan, on_round: OnRound = lambda rounds: None
) -> Measured:
    """Run one experiment; its facts have the seconds that it took.

    Raises
    ------
    DatasetNotFoundError, ImportError, MemoryError
        If it cannot be run.
    TypeError
        If the case is none of the experiments.
    """
    begin = time.monotonic_ns()
    if isinstance(case, CurvesCase):
        series, facts = curves.measure(problems, case, plan, on_round)
    elif isinstance(case, BitCenteringCase):
        series, facts = conditioned.bit_centering(case)
    elif isinstance(case, ConditioningCase):
        series, facts = conditioned.conditioning(case)
    elif isinstance(case, BitsCase):
        series, facts = conditioned.bits(case)
    elif isinstance(case, TheoryCase):
        series, facts = theory.measure(case)
    elif isinstance(case, RivalCase):
        series, facts = rivals.measure(problems, case)
    elif isinstance(case, FeedbackCase):
        series, facts = feedback.measure(problems, case)
    elif isinstance(case, NeededBitsCase):
        series, facts = needed.measure(case)
    else:
        raise TypeError(f"got a {type(case).__name__}; expected the case of an experiment")
    return series, {**facts, "wall_ns": time.monotonic_ns() - begin}


# ---- Figure 1 --------------------------------------------------------------------------------

# Constants of the paper beside the step size of the problem: that of SGD, HALP's mu, and the scale
# of LP-SGD and LP-SVRG by bits.
SGD_STEP, MU, DELTA = 2.5e-6, 3.0, {8: 0.7, 16: 0.003}
# `halpbench tune --problem figure-1 --epochs 40 --seeds 3`: the winners for SGD and LP-SGD are
# 3e-4 (8-bit data) and 1e-3 (16-bit data); the floor is that of the paper's constants or lower.
SGD_STEP_TUNED = {8: 3e-4, 16: 1e-3}
# An epoch takes a fraction of a millisecond; a median of its times is worth the few seconds.
REPEATS = 5
# Samples a step, where Figure 1 has batches: a (L + 7 lambda_max) = 0.86 at the paper's step size.
BATCH = 8


def _figure_1(smoke: bool) -> Iterable[Planned]:
    epochs = 10 if smoke else 40
    repeated = Plan(at_least=REPEATS, at_most=REPEATS)
    paper = partial(Setting, constants="paper")
    for bits, low in PRECISION.items():
        contenders = (
            *(paper("sgd", p, step_size=SGD_STEP) for p in ("D64fM64f", "D32fM32f")),
            Setting("sgd", "D64fM64f", step_size=SGD_STEP_TUNED[bits], constants=BESIDE),
            paper("lp-sgd", low, step_size=SGD_STEP, delta=DELTA[bits]),
            Setting(
                "lp-sgd",
                low,
                step_size=SGD_STEP_TUNED[bits],
                delta=DELTA[bits],
                constants=BESIDE,
            ),
            paper("svrg", "D64fM64f"),
            paper("svrg", "D32fM32f"),
            paper("lp-svrg", low, delta=DELTA[bits]),
            paper("halp", low, mu=MU),
            Setting("halp", low, mu="adaptive", constants=ADAPTIVE),
        )
        yield Planned(CurvesCase(suites.FIGURE_1, "quantized", bits, contenders, epochs), repeated)
    ours = (
        paper("svrg", "D64fM64f"),
        paper("svrg", "D32fM32f"),
        *(paper("halp", p, mu=MU) for p in ("D8M8", "D8M16", "D16M16")),
        Setting("halp", "D8M8", mu="adaptive", constants=ADAPTIVE),
    )
    yield Planned(CurvesCase(suites.FIGURE_1, "exact", 8, ours, epochs), repeated)
    batched = tuple(
        replace(setting, batch_size=BATCH)
        for setting in (
            paper("svrg", "D64fM64f"),
            paper("svrg", "D32fM32f"),
            *(paper("halp", p, mu=MU) for p in ("D8M8", "D8M16")),
            Setting("halp", "D8M8", mu="adaptive", constants=ADAPTIVE),
        )
    )
    yield Planned(CurvesCase(suites.FIGURE_1, "quantized", 8, batched, epochs), repeated)


# ---- The other figures -----------------------------------------------------------------------


def _figure_2(smoke: bool) -> Iterable[Planned]:
    yield Planned(BitCenteringCase(epochs=2 if smoke else 4), Plan())


MNIST = replace(suites.MNIST_5K, name="mnist", dataset="mnist", n_samples=60_000)
# The rest of the 1,797 is held out.
DIGITS = replace(suites.MNIST_5K, name="digits", dataset="digits", n_samples=1_400, n_features=64)

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
    "digits": {
        ("sgd", 32): (0.01,),
        ("svrg", 32): (0.2,),
        ("lp-sgd", 8): (0.01, 0.032),
        ("lp-svrg", 8): (0.05, 0.032),
        ("halp", 8): (0.2, 0.03),
        ("lp-sgd", 16): (0.01, 2.4e-4),
        ("lp-svrg", 16): (0.2, 2.4e-4),
        ("halp", 16): (0.2, 0.01),
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


def _figure_4(smoke: bool) -> Iterable[Planned]:
    for problem in [DIGITS] if smoke else [DIGITS, MNIST, suites.FASHION_MNIST]:
        # Fashion-MNIST has fifteen times the steps of an epoch of mnist-5k.
        epochs = 2 if smoke else 15 if problem is suites.FASHION_MNIST else 25
        there = suites.available(problem)
        for bits, precision in PRECISION.items():
            contenders = []
            for algorithm in ALGORITHMS:
                low = algorithm in LOW_PRECISION
                values = TUNED[problem.name][algorithm, bits if low else 32]
                names = ("step_size", "mu" if algorithm == "halp" else "delta")
                constants: dict[str, Any] = dict(zip(names, values, strict=False))
                width = precision if low else "D32fM32f"
                contenders.append(Setting(algorithm, width, **constants, constants="tuned"))
            step = TUNED[problem.name]["halp", bits][0]
            contenders.append(Setting("halp", precision, step, mu="adaptive", constants=ADAPTIVE))
            for seed in range(2 if smoke else 5):
                case = CurvesCase(there, "quantized", bits, tuple(contenders), epochs, seed)
                yield Planned(case, Plan())


def _figure_5(smoke: bool) -> Iterable[Planned]:
    exponents = (0, 2, 4) if smoke else np.arange(0, 4.01, 1 / 3)
    for exponent in exponents:
        for seed in range(1 if smoke else 5):
            case = ConditioningCase(float(10**exponent), seed, epochs=10 if smoke else 50)
            yield Planned(case, Plan())


def _bits(smoke: bool) -> Iterable[Planned]:
    for bits in (2, 8, 16) if smoke else (2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24):
        for seed in range(1 if smoke else 3):
            yield Planned(BitsCase(bits, seed, epochs=5 if smoke else 25), Plan())


def _theory(smoke: bool) -> Iterable[Planned]:
    runs, epochs = (10, 6) if smoke else (100, 10)
    for problem in ("quadratic", "logistic"):
        for precision, exponents in (("D8M8", (-7, -5, -3)), ("D16M16", (-9, -7, -5, -3))):
            bits = FORMATS[precision].model.bits
            yield _theory_case(problem, "halp", precision, bits, epochs=5, runs=runs)
            for exponent in exponents:
                yield _theory_case(
                    problem, "lp-svrg", precision, bits, 2.0**exponent, epochs=epochs, runs=runs
                )
        for bits in (4, 8) if smoke else (3, 4, 5, 6, 7, 8, 10, 12, 14, 16):
            yield _theory_case(problem, "halp", None, bits, epochs=5, runs=runs // 2)


def _theory_case(
    problem: str,
    algorithm: str,
    precision: str | None,
    bits: int,
    delta: float = 0.0,
    *,
    epochs: int,
    runs: int,
) -> Planned:
    case = TheoryCase(problem, algorithm, precision, bits, delta, epochs=epochs, runs=runs)
    return Planned(case, Plan())


def _rivals(smoke: bool) -> Iterable[Planned]:
    return (Planned(case, Plan()) for case in rivals.cases(smoke))


def _feedback(smoke: bool) -> Iterable[Planned]:
    epochs = 8 if smoke else 30
    for bits in (8, 12, 16):
        for seed in range(1 if smoke else 3):
            yield Planned(FeedbackCase(suites.FIGURE_1, 8, bits, epochs, seed), Plan())
    for data_bits in PRECISION:
        for seed in range(1 if smoke else 3):
            yield Planned(FeedbackCase(suites.FIGURE_1, data_bits, None, epochs, seed), Plan())


def _needed_bits(smoke: bool) -> Iterable[Planned]:
    conditions = tuple((10.0 ** np.arange(0, 4.01, 2 if smoke else 0.25)).tolist())
    dimensions = (1, 100, 10_000) if smoke else (1, 10, 100, 1_000, 10_000)
    yield Planned(NeededBitsCase(dimensions, conditions), Plan())
    widths = (2, 8, 256) if smoke else (2, 4, 8, 16, 32, 64, 256, 1_024, 4_096, 16_384, 65_536)
    condition = 10.0 if smoke else 100.0
    yield Planned(NeededBitsCase(widths, (condition,), 2.0**-9, 8 if smoke else 32), Plan())


FIGURES: dict[str, Callable[[bool], Iterable[Planned]]] = {
    "fig1": _figure_1,
    "fig2": _figure_2,
    "fig4": _figure_4,
    "fig5": _figure_5,
    "bits": _bits,
    "needed-bits": _needed_bits,
    "feedback": _feedback,
    "theory": _theory,
    "rivals": _rivals,
}
