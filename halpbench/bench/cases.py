"""What is measured: kernels, problems and contenders of each suite, as data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

TABLES = ("kernels", "epochs", "convergence")
SUITES = ("full", "smoke")

DTYPES = ("f64", "f32", "i16", "i8i16", "i8")

# Bytes that one element of a call reads and writes, by the vectors that the kernel works on:
# dot reads x and y; axpy reads x and h and reads and writes w, where h is 16 bits wide for an
# integer model.
BYTES_PER_ELEMENT = {
    "dot": {"f64": 16, "f32": 8, "i16": 4, "i8i16": 3, "i8": 2},
    "axpy": {"f64": 32, "f32": 16, "i16": 8, "i8i16": 7, "i8": 5},
    "read": {"i8": 1},
}

# Bytes of a data element, by the precision's name.
DATA_BYTES = {"D64fM64f": 8, "D32fM32f": 4, "D16M16": 2, "D8M16": 1, "D8M8": 1}


@dataclass(frozen=True)
class KernelCase:
    """One kernel on vectors of one length and one backend; the dtypes are the contenders.

    Attributes
    ----------
    op : str
        "dot", "axpy", or "read" (memory bandwidth; `n` is in bytes).
    n : int
        Elements of each vector.
    backend : str
    dtypes : tuple of str
    at_least, at_most : int
        Bounds on the number of rounds.
    budget_seconds : float
    tables : tuple of str
        The tables that need it.
    suite : str
    """

    op: str
    n: int
    backend: str
    dtypes: tuple[str, ...] = DTYPES
    at_least: int = 5
    at_most: int = 15
    budget_seconds: float = 1.0
    tables: tuple[str, ...] = ("kernels",)
    suite: str = "full"

    kind = "kernel"

    @property
    def name(self) -> str:
        """What a progress line calls it."""
        unit = "bytes" if self.op == "read" else "elements"
        return f"{self.op}, {self.n:,} {unit}, {self.backend}"

    @property
    def bytes_needed(self) -> int:
        """Memory that the largest contender takes."""
        return self.n * max(BYTES_PER_ELEMENT[self.op][dtype] for dtype in self.dtypes)


@dataclass(frozen=True)
class Contender:
    """An algorithm at a precision, with the options that only it takes, such as ``mu``."""

    algorithm: str
    precision: str
    options: tuple[tuple[str, float | str], ...] = ()

    @property
    def name(self) -> str:
        """Its name in records and tables, e.g. "HALP D8M8"."""
        return f"{self.algorithm.upper()} {self.precision}"


@dataclass(frozen=True)
class Problem:
    """A data set and the loss that is minimised on it.

    Attributes
    ----------
    name : str
    dataset : str
        Name that `halpbench.load` knows.
    model : str
        "least-squares" or "softmax".
    n_samples, n_features, n_classes : int
        Expected shape, to tell beforehand whether it fits in memory; no more than `n_samples`
        samples are used.
    options : tuple of pairs
        Keywords of `halpbench.load`.
    l2, step_size : float
    steps_per_sample : float
        Epoch length as a multiple of the number of samples.
    fallback : Problem or None
        Stands in where the data set cannot be had offline.
    """

    name: str
    dataset: str
    model: str
    n_samples: int
    n_features: int
    step_size: float
    n_classes: int = 1
    options: tuple[tuple[str, float], ...] = ()
    l2: float = 0.0
    steps_per_sample: float = 2.0
    fallback: "Problem | None" = None


@dataclass(frozen=True)
class EpochsCase:
    """Epochs of several contenders on one problem, in turns.

    Attributes
    ----------
    problem : Problem
    data : str
        "quantized" or "exact", as `halpbench.solve` takes it.
    contenders : tuple of Contender
    epochs_per_turn : int
        Epochs that a contender runs before the next has its turn: more than one where an epoch
        is so short that refilling the caches would show.
    at_least, at_most : int
        Bounds on the number of turns.
    budget_seconds : float
    tables : tuple of str
        The tables that need it.
    seed : int
        Of the index sequence, the same for all contenders.
    suite : str
    """

    problem: Problem
    data: str
    contenders: tuple[Contender, ...]
    epochs_per_turn: int = 1
    at_least: int = 5
    at_most: int = 15
    budget_seconds: float = 20.0
    tables: tuple[str, ...] = ("epochs",)
    seed: int = 0
    suite: str = "full"

    kind = "epochs"

    @property
    def name(self) -> str:
        """What a progress line calls it."""
        return f"{self.problem.name}, {self.data} data"

    @property
    def bytes_needed(self) -> int:
        """Memory for the original in float64, one temporary of its size, and each copy."""
        widths = [DATA_BYTES[contender.precision] for contender in self.contenders]
        return self.problem.n_samples * self.problem.n_features * (16 + sum(widths))


Case = KernelCase | EpochsCase

MNIST_5K = Problem(
    name="mnist-5k",
    dataset="mnist-5k",
    model="softmax",
    n_samples=5_000,
    n_features=784,
    n_classes=10,
    l2=1e-4,
    step_size=0.02,
)
FASHION_MNIST = Problem(
    name="fashion-mnist",
    dataset="fashion-mnist",
    model="softmax",
    n_samples=60_000,
    n_features=784,
    n_classes=10,
    l2=1e-4,
    step_size=0.01,
    fallback=MNIST_5K,
)
# Figure 1 of the paper: synthetic linear regression, 1,000 samples of 100 features, T = 2,000.
FIGURE_1 = Problem(
    name="figure-1",
    dataset="synthetic-regression",
    model="least-squares",
    n_samples=1_000,
    n_features=100,
    options=(("n_samples", 1_000), ("n_features", 100)),
    step_size=5e-3,
)


def regression(n_samples: int, n_features: int) -> Problem:
    """Describe synthetic linear regression of a given shape."""
    return Problem(
        name=f"regression-{n_samples}x{n_features}",
        dataset="synthetic-regression",
        model="least-squares",
        n_samples=n_samples,
        n_features=n_features,
        options=(("n_samples", n_samples), ("n_features", n_features)),
        # 1/(5 L): the component gradients have L = ||x_i||^2, about n_features for this generator.
        step_size=0.2 / n_features,
    )


def contenders(mu_8: float, mu_16: float) -> tuple[Contender, ...]:
    """Return the five of the epoch tables; `mu` is HALP's, by the bits of the model."""
    return (
        Contender("svrg", "D64fM64f"),
        Contender("svrg", "D32fM32f"),
        Contender("halp", "D16M16", (("mu", mu_16),)),
        Contender("halp", "D8M16", (("mu", mu_16),)),
        Contender("halp", "D8M8", (("mu", mu_8),)),
    )


def suite(
    name: str,
    *,
    backends: Sequence[str],
    cache_bytes: Sequence[int],
    tables: Iterable[str] = TABLES,
    repeats: int | None = None,
) -> list[Case]:
    """List the cases of a suite, in the order in which they run.

    Parameters
    ----------
    name : str
        "full" or "smoke".
    backends : sequence of str
        Usable backends, best first.
    cache_bytes : sequence of int
        Sizes of the data caches, nearest first; may be empty.
    tables : iterable of str
        Keep only what these tables need.
    repeats : int, optional
        Fixed number of rounds in place of the cases' own bounds.

    Raises
    ------
    ValueError
        If the suite or a table is unknown, or `repeats` is less than 1.
    """
    wanted = set(tables)
    if name not in SUITES:
        raise ValueError(f"got suite {name!r}; expected one of {', '.join(SUITES)}")
    if not wanted or not wanted <= set(TABLES):
        raise ValueError(f"got tables {sorted(wanted)}; expected some of {', '.join(TABLES)}")
    if repeats is not None and repeats < 1:
        raise ValueError(f"got {repeats} repeats; expected at least 1")
    cases: list[Case]
    if name == "full":
        cases = [*_bandwidth(backends[0], cache_bytes), *_kernels(backends, cache_bytes), *_full()]
    else:
        cases = [
            *_bandwidth(backends[0], cache_bytes, at_most=5),
            *(
                KernelCase(op, n, backend, at_least=3, at_most=7, budget_seconds=0.2)
                for op in ("dot", "axpy")
                for backend in dict.fromkeys((backends[0], backends[-1]))
                for n in (256, 100_000)
            ),
            *_smoke(),
        ]
    cases = [replace(case, suite=name) for case in cases if wanted & set(case.tables)]
    if repeats is not None:
        cases = [replace(case, at_least=repeats, at_most=repeats) for case in cases]
    return cases


def _bandwidth(backend: str, cache_bytes: Sequence[int], at_most: int = 15) -> Iterable[KernelCase]:
    """Read memory only: half of each cache, and well beyond the last one."""
    # At most 1 GB: enough to pass any cache of one core's neighbourhood without a long wait.
    beyond = min(max([256_000_000, *(4 * size for size in cache_bytes)]), 1_000_000_000)
    for size in [*(size // 2 for size in cache_bytes), beyond]:
        yield KernelCase(
            "read", size, backend, ("i8",), at_most=at_most, tables=("kernels", "epochs")
        )


def _kernels(backends: Sequence[str], cache_bytes: Sequence[int]) -> Iterable[KernelCase]:
    for op in ("dot", "axpy"):
        for backend in backends:
            for n in (256, 4_096, 100_000, 1_000_000):
                yield KernelCase(op, n, backend)
        # Two int8 vectors of twice the last cache leave it, and so do all wider ones.
        beyond = min(max([50_000_000, *(2 * size for size in cache_bytes)]), 100_000_000)
        for n in (10_000_000, beyond):
            yield KernelCase(op, n, backends[0], at_least=3, budget_seconds=5.0)


def _full() -> Iterable[EpochsCase]:
    big, small = regression(10_000, 10_000), regression(2_000, 256)
    for data in ("quantized", "exact"):
        yield EpochsCase(big, data, contenders(mu_8=10, mu_16=1), at_most=9)
    for data in ("quantized", "exact"):
        yield EpochsCase(
            FASHION_MNIST,
            data,
            contenders(mu_8=0.5, mu_16=0.1),
            at_most=40,
            budget_seconds=80.0,
            tables=("epochs", "convergence"),
        )
    for data in ("quantized", "exact"):
        yield EpochsCase(
            small, data, contenders(mu_8=3, mu_16=3), epochs_per_turn=10, budget_seconds=5.0
        )
    yield from _figure_1()


def _smoke() -> Iterable[EpochsCase]:
    yield EpochsCase(
        regression(1_000, 1_000), "quantized", contenders(mu_8=3, mu_16=3), budget_seconds=2.0
    )
    yield EpochsCase(
        replace(FASHION_MNIST, name="fashion-mnist-6k", n_samples=6_000),
        "quantized",
        contenders(mu_8=0.5, mu_16=0.1),
        at_most=10,
        budget_seconds=4.0,
        tables=("epochs", "convergence"),
    )
    yield from _figure_1()


def _figure_1() -> Iterable[EpochsCase]:
    """Take the paper's constants: mu = 3; LP-SVRG's delta 0.7 at 8 bits, 0.003 at 16 bits."""
    for data in ("quantized", "exact"):
        low_precision: tuple[Contender, ...] = ()
        if data == "quantized":
            low_precision = (
                Contender("lp-svrg", "D16M16", (("scale", 0.003),)),
                Contender("lp-svrg", "D8M8", (("scale", 0.7),)),
            )
        yield EpochsCase(
            FIGURE_1,
            data,
            contenders(mu_8=3, mu_16=3) + low_precision,
            epochs_per_turn=10,
            at_least=4,
            at_most=4,
            budget_seconds=2.0,
            tables=("convergence",),
        )
