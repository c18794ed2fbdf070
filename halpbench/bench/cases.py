"""What is measured: kernels, problems and contenders of each suite, as data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from halpbench.bench import dots
from halpbench.bench.timing import BLOCK_ROWS
from halpbench.formats import FORMATS
from halpbench.kernels import FAMILIES

TABLES = ("kernels", "epochs", "convergence")
SUITES = ("full", "smoke")

DTYPES = ("f64", "f32", "i16", "i8i16", "i8")

# Bytes of an element of the data x, of the model w, and of the constant h of an update.
ELEMENT_BYTES = {
    dtype: tuple(np.dtype(kind).itemsize for kind in kinds) for dtype, kinds in FAMILIES.items()
}

# The dtype of kernels, by the precision's name.
DTYPE_OF = {name: row.family for name, row in FORMATS.items()}

# What few caches hold: the int8 data of Fashion-MNIST, of 10,000 x 10,000, and much more.
BEYOND_CACHES = (50_000_000, 100_000_000, 256_000_000)


def operand_bytes(op: str, dtype: str, n: int, classes: int = 1) -> int:
    """Count the bytes of a kernel's operands; a row that classes share counts once."""
    x, w, h = ELEMENT_BYTES[dtype]
    if op == "read":
        return n
    if op in ("dot", "gemv"):
        return n * (x + classes * w)
    if op in ("quantize", "dequantize"):
        return n * (x + 4)  # of or to float32
    if op == "accumulate":
        return n * (BLOCK_ROWS * x + classes * 8)  # into float64
    return n * (x + classes * (h + w))


def kernel_bytes(op: str, dtype: str, n: int, classes: int = 1) -> int:
    """Count the bytes that a call reads and writes; what is updated counts twice."""
    updated = {"axpy": ELEMENT_BYTES[dtype][1], "ger": ELEMENT_BYTES[dtype][1], "accumulate": 8}
    return operand_bytes(op, dtype, n, classes) + n * classes * updated.get(op, 0)


def kernel_elements(op: str, n: int, classes: int = 1) -> int:
    """Count the multiply-adds of a call, or the conversions."""
    return n * classes * (BLOCK_ROWS if op == "accumulate" else 1)


@dataclass(frozen=True)
class KernelCase:
    """One kernel on vectors of one length and one backend; the dtypes are the contenders.

    Attributes
    ----------
    op : str
        "dot", "axpy", "gemv", "ger", or "read" (memory bandwidth; `n` is in bytes).
    n : int
        Elements of each vector.
    backend : str
    classes : int
        Rows of the model, for gemv and ger.
    beside : str
        Another op, whose int8 kernel takes turns with these; none if empty.
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
    classes: int = 1
    beside: str = ""
    dtypes: tuple[str, ...] = DTYPES
    at_least: int = 5
    at_most: int = 31
    budget_seconds: float = 0.6
    tables: tuple[str, ...] = ("kernels",)
    suite: str = "full"

    kind: ClassVar[str] = "kernel"

    @property
    def name(self) -> str:
        """What a progress line calls it."""
        unit = "bytes" if self.op == "read" else "elements"
        times = f" x {self.classes}" if self.classes > 1 else ""
        return f"{self.op}, {self.n:,}{times} {unit}, {self.backend}"

    @property
    def bytes_needed(self) -> int:
        """Memory that the largest contender takes, and 8 bytes an element while it is filled."""
        largest = max(kernel_bytes(self.op, dtype, self.n, self.classes) for dtype in self.dtypes)
        return 8 * self.n + largest


@dataclass(frozen=True)
class CallCase:
    """A dot product as Python calls it, checks of the arguments included, against its peers.

    Attributes
    ----------
    n : int
        Elements of each vector.
    dtype : str
        "i8", "f32" or "f64".
    backend : str
    peers : tuple of str
        Other libraries' names, with the version of each that is installed, see `dots.peers`.
    at_least, at_most, budget_seconds, tables, suite
        As of `KernelCase`.
    """

    n: int
    dtype: str
    backend: str
    peers: tuple[str, ...] = ()
    at_least: int = 9
    at_most: int = 31
    budget_seconds: float = 0.5
    tables: tuple[str, ...] = ("kernels",)
    suite: str = "full"

    kind: ClassVar[str] = "call"

    @property
    def name(self) -> str:
        """What a progress line calls it."""
        return f"call of dot {self.dtype}, {self.n:,} elements, {self.backend}"

    @property
    def bytes_needed(self) -> int:
        """Memory for both vectors, and 8 bytes an element while they are filled."""
        return 8 * self.n + kernel_bytes("dot", self.dtype, self.n)


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
        Expected shape, to tell beforehand whether it fits in memory; of more samples than
        `n_samples`, as many are chosen at random.
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
    options: tuple[tuple[str, int | str], ...] = ()
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
    backend : str
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
    backend: str
    contenders: tuple[Contender, ...]
    epochs_per_turn: int = 1
    at_least: int = 5
    at_most: int = 15
    budget_seconds: float = 20.0
    tables: tuple[str, ...] = ("epochs",)
    seed: int = 0
    suite: str = "full"

    kind: ClassVar[str] = "epochs"

    @property
    def name(self) -> str:
        """What a progress line calls it."""
        return f"{self.problem.name}, {self.data} data, {self.backend}"

    @property
    def bytes_needed(self) -> int:
        """Memory for the original in float64, one temporary of its size, and each copy."""
        widths = [ELEMENT_BYTES[DTYPE_OF[c.precision]][0] for c in self.contenders]
        return self.problem.n_samples * self.problem.n_features * (16 + sum(widths))


Case = KernelCase | CallCase | EpochsCase

# The steps of the two are 2.2 / L and 1.3 / L, with L the largest smoothness of a component. With
# larger ones the float64 baseline goes up as often as down, and D8M8 diverges.
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
    step_size=0.005,
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


def regression(n_samples: int, n_features: int, l2: float) -> Problem:
    """Describe synthetic linear regression of a given shape, every feature of which matters.

    The data are float32, as in most training sets: float32 SVRG then reads the original itself,
    without a copy of twice the width.
    """
    return Problem(
        name=f"regression-{n_samples}x{n_features}",
        dataset="synthetic-regression",
        model="least-squares",
        n_samples=n_samples,
        n_features=n_features,
        options=(
            ("n_samples", n_samples),
            ("n_features", n_features),
            ("n_informative", n_features),
            ("dtype", "float32"),
        ),
        l2=l2,
        # The component gradients have L = ||x_i||^2, about n_features for this generator. Of the
        # steps tried, the float64 baseline contracts most by this one.
        step_size=0.3 / n_features,
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
    peers: Sequence[str] = (),
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
    peers : sequence of str
        Libraries whose dot products calls are compared with, see `dots.peers`.
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
    make = _full if name == "full" else _smoke
    cases = [replace(case, suite=name) for case in make(backends, cache_bytes, peers)]
    cases = [case for case in cases if wanted & set(case.tables)]
    if repeats is not None:
        cases = [replace(case, at_least=repeats, at_most=repeats) for case in cases]
    return cases


def _full(
    backends: Sequence[str], cache_bytes: Sequence[int], peers: Sequence[str]
) -> Iterable[Case]:
    best = backends[0]
    yield from _bandwidth(best, cache_bytes, BEYOND_CACHES)
    yield from _calls(best, (16, 256, 10_000, 100_000, 1_000_000), peers)
    for backend in backends:
        yield from _kernels(backend, (256, 4_096, 100_000, 1_000_000))
    # Two int8 vectors of this length leave the last cache, and so do all wider ones; 40 million
    # are 2.5 times what most CPUs share between a few cores, and do not take minutes to fill.
    beyond = min(max([20_000_000, *(2 * size for size in cache_bytes)]), 40_000_000)
    for op in ("dot", "axpy"):
        yield KernelCase(op, beyond, best, at_least=3, budget_seconds=3.0)
    for problem, mu_8, mu_16, epochs, seconds in (
        (regression(10_000, 10_000, l2=1.0), 80.0, 20.0, 10, 40.0),
        (FASHION_MNIST, 1.0, 0.1, 25, 75.0),
    ):
        for backend in _of_interest(backends):
            for data in ("quantized", "exact"):
                yield EpochsCase(
                    problem,
                    data,
                    backend,
                    contenders(mu_8, mu_16),
                    at_most=epochs if backend == best else 7,
                    budget_seconds=seconds if backend == best else 15.0,
                    # The integer state is the same on every backend: its convergence shows once.
                    tables=("epochs", "convergence") if backend == best else ("epochs",),
                )
    for backend in _of_interest(backends):
        for data in ("quantized", "exact"):
            yield EpochsCase(
                regression(4_000, 1_024, l2=0.1),
                data,
                backend,
                contenders(mu_8=12, mu_16=2),
                epochs_per_turn=5,
                at_least=3,
                at_most=5,
                budget_seconds=5.0,
            )
    yield from _figure_1(best)


def _smoke(
    backends: Sequence[str], cache_bytes: Sequence[int], peers: Sequence[str]
) -> Iterable[Case]:
    best = backends[0]
    yield from _bandwidth(best, cache_bytes, BEYOND_CACHES[:1], at_most=5)
    for call in _calls(best, (16, 100_000), peers):
        yield replace(call, at_most=9, budget_seconds=0.2)
    for backend in dict.fromkeys((best, backends[-1])):
        for case in _kernels(backend, (256, 100_000)):
            yield replace(case, at_least=3, at_most=7, budget_seconds=0.2)
    yield EpochsCase(
        regression(1_000, 1_000, l2=1.0),
        "quantized",
        best,
        contenders(mu_8=20, mu_16=3),
        epochs_per_turn=5,
        at_most=5,
        budget_seconds=2.0,
    )
    yield EpochsCase(
        replace(FASHION_MNIST, name="fashion-mnist-6k", n_samples=6_000),
        "quantized",
        best,
        contenders(mu_8=1, mu_16=0.1),
        at_most=10,
        budget_seconds=4.0,
        tables=("epochs", "convergence"),
    )
    yield from _figure_1(best)


def _of_interest(backends: Sequence[str]) -> tuple[str, ...]:
    """Take the best backend, and AVX2, which most x86 machines have and results are quoted for."""
    return tuple(dict.fromkeys((backends[0], *(b for b in backends if b == "avx2"))))


def _bandwidth(
    backend: str, cache_bytes: Sequence[int], beyond: Sequence[int], at_most: int = 15
) -> Iterable[KernelCase]:
    """Read memory only: half of each cache, and sizes like those of the problems' data."""
    for size in sorted({*(size // 2 for size in cache_bytes), 4_200_000, *beyond}):
        yield KernelCase(
            "read",
            size,
            backend,
            dtypes=("i8",),
            # Each sample fills memory anew, which takes far longer than reading it.
            at_least=3,
            at_most=at_most,
            tables=("kernels", "epochs"),
        )


def _kernels(backend: str, lengths: Iterable[int]) -> Iterable[KernelCase]:
    for n in lengths:
        yield KernelCase("dot", n, backend)
        yield KernelCase("axpy", n, backend, beside="dot")
    # The shape of (Fashion-)MNIST.
    yield KernelCase("gemv", 784, backend, classes=10)
    yield KernelCase("ger", 784, backend, classes=10, beside="gemv")


def _calls(backend: str, lengths: Iterable[int], peers: Sequence[str]) -> Iterable[CallCase]:
    for n in lengths:
        for dtype in ("i8", "f32", "f64"):
            able = tuple(peer for peer in peers if dtype in dots.DTYPES[dots.name_of(peer)])
            yield CallCase(n, dtype, backend, able)


def _figure_1(backend: str) -> Iterable[EpochsCase]:
    """Take the paper's constants: mu = 3; LP-SVRG's delta 0.7 at 8 bits, 0.003 at 16 bits."""
    for data in ("quantized", "exact"):
        low_precision: tuple[Contender, ...] = ()
        if data == "quantized":
            low_precision = (
                Contender("lp-svrg", "D16M16", (("delta", 0.003),)),
                Contender("lp-svrg", "D8M8", (("delta", 0.7),)),
            )
        yield EpochsCase(
            FIGURE_1,
            data,
            backend,
            contenders(mu_8=3, mu_16=3) + low_precision,
            epochs_per_turn=10,
            at_least=4,
            at_most=4,
            budget_seconds=2.0,
            tables=("convergence",),
        )
