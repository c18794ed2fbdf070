"""The suites of `halpbench bench`: the cases in their order, and how long each runs."""

from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from halpbench import datasets
from halpbench.bench import dots
from halpbench.bench.cases import (
    DTYPES,
    CallCase,
    EpochsCase,
    KernelCase,
    Plan,
    Planned,
    ProblemSpec,
    Setting,
)

SUITES = ("full", "smoke")

KERNEL_PLAN = Plan(at_least=5, at_most=31, budget_seconds=0.6)
CALL_PLAN = Plan(at_least=9, at_most=31, budget_seconds=0.5)
EPOCHS_PLAN = Plan(at_least=5, at_most=15, budget_seconds=20.0)

# Sizes that few caches hold: the int8 data of Fashion-MNIST, of 10,000 x 10,000, and much more.
BEYOND_CACHES = (50_000_000, 100_000_000, 256_000_000)

# The steps of the two are 2.2 / L and 1.3 / L, with L the largest smoothness of a component. With
# larger ones the float64 baseline goes up as often as down, and D8M8 diverges.
MNIST_5K = ProblemSpec(
    name="mnist-5k",
    dataset="mnist-5k",
    model="softmax",
    n_samples=5_000,
    n_features=784,
    n_classes=10,
    l2=1e-4,
    step_size=0.02,
)
FASHION_MNIST = ProblemSpec(
    name="fashion-mnist",
    dataset="fashion-mnist",
    model="softmax",
    n_samples=60_000,
    n_features=784,
    n_classes=10,
    l2=1e-4,
    step_size=0.005,
)
# Substitutes of data sets that cannot be had offline.
FALLBACKS = {"fashion-mnist": MNIST_5K, "mnist": replace(MNIST_5K, n_samples=4_000)}
# Figure 1 of the paper: synthetic linear regression, 1,000 samples of 100 features, T = 2,000.
FIGURE_1 = ProblemSpec(
    name="figure-1",
    dataset="synthetic-regression",
    model="least-squares",
    n_samples=1_000,
    n_features=100,
    options=(("n_samples", 1_000), ("n_features", 100)),
    step_size=5e-3,
)


def regression(n_samples: int, n_features: int, l2: float) -> ProblemSpec:
    """Describe synthetic linear regression of a given shape, every feature of which matters.

    The data are float32, as in most training sets: float32 SVRG then reads the original itself,
    without a copy of twice the width.
    """
    return ProblemSpec(
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


def contenders(*batch_sizes: int) -> tuple[Setting, ...]:
    """Return the five of the epoch tables with one sample a step, and with each batch size.

    HALP's scale follows the displacement: nothing is tuned.
    """
    plain = (
        Setting("svrg", "D64fM64f"),
        Setting("svrg", "D32fM32f"),
        Setting("halp", "D16M16", mu="adaptive"),
        Setting("halp", "D8M16", mu="adaptive"),
        Setting("halp", "D8M8", mu="adaptive"),
    )
    return tuple(
        replace(setting, batch_size=size) for size in (1, *batch_sizes) for setting in plain
    )


def suite(
    name: str,
    *,
    backends: Sequence[str],
    cache_bytes: Sequence[int],
    libraries: Sequence[str] = (),
    repeats: int | None = None,
) -> list[Planned]:
    """List the cases of a suite with their plans, in the order in which they run.

    Parameters
    ----------
    name : str
        "full" or "smoke".
    backends : sequence of str
        Usable backends, best first.
    cache_bytes : sequence of int
        Sizes of the data caches, nearest first; may be empty.
    libraries : sequence of str
        Libraries whose dot products calls are compared with, see `dots.libraries`.
    repeats : int, optional
        Fixed number of rounds in place of the plans' own bounds.

    Raises
    ------
    ValueError
        If the suite is unknown, or `repeats` is less than 1.
    """
    if name not in SUITES:
        raise ValueError(f"got suite {name!r}; expected one of {', '.join(SUITES)}")
    if repeats is not None and repeats < 1:
        raise ValueError(f"got {repeats} repeats; expected at least 1")
    make = _full if name == "full" else _smoke
    bounds = {} if repeats is None else {"at_least": repeats, "at_most": repeats}
    return [
        replace(planned, plan=replace(planned.plan, suite=name, **bounds))
        for planned in make(backends, cache_bytes, libraries)
    ]


def available(
    problem: ProblemSpec, find: Callable[[str], str | None] = datasets.find
) -> ProblemSpec:
    """Return the problem, or the one that stands in where its data set is not to be had offline."""
    if problem.dataset in FALLBACKS and find(problem.dataset) is None:
        return FALLBACKS[problem.dataset]
    return problem


def _full(
    backends: Sequence[str], cache_bytes: Sequence[int], libraries: Sequence[str]
) -> Iterable[Planned]:
    best = backends[0]
    yield from bandwidth(best, cache_bytes, BEYOND_CACHES)
    yield from _calls(best, (16, 256, 10_000, 100_000, 1_000_000), libraries)
    for backend in backends:
        yield from _kernels(backend, (256, 4_096, 100_000, 1_000_000))
    # Two int8 vectors of this length leave the last cache, and so do all wider ones; 40 million
    # are 2.5 times what most CPUs share between a few cores, and do not take minutes to fill.
    beyond = min(max([20_000_000, *(2 * size for size in cache_bytes)]), 40_000_000)
    for op in ("dot", "axpy"):
        case = KernelCase(op, beyond, best, DTYPES)
        yield Planned(case, replace(KERNEL_PLAN, at_least=3, budget_seconds=3.0))
    for problem, batch_sizes, most, seconds in (
        (regression(10_000, 10_000, l2=1.0), (8, 16), 8, 50.0),
        (FASHION_MNIST, (4, 8), 16, 75.0),
    ):
        long = replace(EPOCHS_PLAN, at_most=most, budget_seconds=seconds)
        short = replace(EPOCHS_PLAN, at_most=7, budget_seconds=15.0)
        for backend in of_interest(backends):
            for data in ("quantized", "exact"):
                epochs = EpochsCase(problem, data, backend, contenders(*batch_sizes))
                yield Planned(epochs, long if backend == best else short)
    for backend in of_interest(backends):
        for data in ("quantized", "exact"):
            yield Planned(
                EpochsCase(
                    regression(4_000, 1_024, l2=0.1),
                    data,
                    backend,
                    contenders(8, 16),
                ),
                Plan(epochs_per_turn=5, at_least=3, at_most=5, budget_seconds=5.0),
            )
    yield from _figure_1(best)


def _smoke(
    backends: Sequence[str], cache_bytes: Sequence[int], libraries: Sequence[str]
) -> Iterable[Planned]:
    best = backends[0]
    yield from bandwidth(best, cache_bytes, BEYOND_CACHES[:1], at_most=5)
    for call in _calls(best, (16, 100_000), libraries):
        yield replace(call, plan=replace(CALL_PLAN, at_most=9, budget_seconds=0.2))
    for backend in dict.fromkeys((best, backends[-1])):
        for kernel in _kernels(backend, (256, 100_000)):
            yield replace(kernel, plan=Plan(at_least=3, at_most=7, budget_seconds=0.2))
    yield Planned(
        EpochsCase(
            regression(1_000, 1_000, l2=1.0),
            "quantized",
            best,
            contenders(8),
        ),
        replace(EPOCHS_PLAN, epochs_per_turn=5, at_most=5, budget_seconds=2.0),
    )
    yield Planned(
        EpochsCase(
            replace(FASHION_MNIST, name="fashion-mnist-6k", n_samples=6_000),
            "quantized",
            best,
            contenders(4),
        ),
        replace(EPOCHS_PLAN, at_most=10, budget_seconds=4.0),
    )
    yield from _figure_1(best)


def of_interest(backends: Sequence[str]) -> tuple[str, ...]:
    """Take the best backend, and AVX2, which most x86 machines have and results are quoted for."""
    return tuple(dict.fromkeys((backends[0], *(b for b in backends if b == "avx2"))))


def bandwidth(
    backend: str, cache_bytes: Sequence[int], beyond: Sequence[int], at_most: int = 15
) -> Iterable[Planned]:
    """Read memory only: half of each cache, and sizes like those of the problems' data."""
    for size in sorted({*(size // 2 for size in cache_bytes), 4_200_000, *beyond}):
        # Each sample fills memory anew, which takes far longer than reading it.
        plan = replace(KERNEL_PLAN, at_least=3, at_most=at_most)
        yield Planned(KernelCase("read", size, backend, ("i8",)), plan)


def _kernels(backend: str, lengths: Iterable[int]) -> Iterable[Planned]:
    # gemv and ger have the shape of (Fashion-)MNIST.
    for case in (
        *(
            KernelCase(op, n, backend, DTYPES, beside=beside)
            for n in lengths
            for op, beside in (("dot", ""), ("axpy", "dot"))
        ),
        KernelCase("gemv", 784, backend, DTYPES, classes=10),
        KernelCase("ger", 784, backend, DTYPES, classes=10, beside="gemv"),
    ):
        yield Planned(case, KERNEL_PLAN)


def _calls(backend: str, lengths: Iterable[int], libraries: Sequence[str]) -> Iterable[Planned]:
    for n in lengths:
        for dtype in ("i8", "f32", "f64"):
            able = tuple(
                library for library in libraries if dtype in dots.DTYPES[dots.name_of(library)]
            )
            yield Planned(CallCase(n, backend, dtype, able), CALL_PLAN)


def _figure_1(backend: str) -> Iterable[Planned]:
    """Take the paper's step size; LP-SVRG's delta is 0.7 at 8 bits, 0.003 at 16 bits."""
    plan = Plan(epochs_per_turn=10, at_least=4, at_most=4, budget_seconds=2.0)
    for data in ("quantized", "exact"):
        low_precision: tuple[Setting, ...] = ()
        if data == "quantized":
            low_precision = (
                Setting("lp-svrg", "D16M16", delta=0.003),
                Setting("lp-svrg", "D8M8", delta=0.7),
            )
        settings = contenders(8) + low_precision
        yield Planned(EpochsCase(FIGURE_1, data, backend, settings), plan)
