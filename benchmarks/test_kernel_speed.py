"""Every kernel x dtype x size x backend, the cost of calling it from Python, and other libraries.

The groups hold what differs in the backend (or the library) alone. Other groups:
``--benchmark-group-by=param:op,param:level,param:backend`` has the dtypes beside each other.
"""

import functools
import itertools

import pytest

from halpbench import kernels
from halpbench.bench import clock, dots, levels, verify
from halpbench.bench.cases import DTYPES, ELEMENT_BYTES
from halpbench.bench.operands import kernel_bytes, kernel_elements
from halpbench.bench.timing import BATCHED, BatchTimer, KernelTimer

# The shape of (Fashion-)MNIST: ten classes share a row of the data.
CLASSES = {"dot": 1, "axpy": 1, "gemv": 10, "ger": 10, "accumulate": 10}
CLASSES |= {"quantize": 1, "dequantize": 1}
DTYPES_OF = {
    "accumulate": ("f64", "f32", "i16", "i8"),
    "quantize": ("i16", "i8"),
    "dequantize": ("i16", "i8"),
}
KERNELS = [(op, dtype) for op in CLASSES for dtype in DTYPES_OF.get(op, DTYPES)]
BATCH_CLASSES = 10
BATCH_ROWS = (1, 4, 8, 16)
SHORT = 16  # elements: so few that a call takes no longer than its checks
OURS = "halpbench"


@pytest.mark.parametrize(("op", "dtype"), KERNELS)
def test_kernel(op, dtype, level, backend, place, benchmark, measure):
    """A kernel, repeated in C."""
    classes = CLASSES[op]
    n = levels.length(place, op, dtype, classes)
    benchmark.group = f"{op} {dtype}, {level} ({_shape(n, classes)})"
    with kernels.use(backend):
        verify.check(op, dtype, n, classes)
    elements = kernel_elements(op, n, classes)
    contenders = {backend: (kernel_timer(op, dtype, place, backend), elements)}
    if dtype != "f32" and (op, "f32") in KERNELS:
        of_f32 = kernel_elements(op, levels.length(place, op, "f32", classes), classes)
        contenders["f32"] = (kernel_timer(op, "f32", place, backend), of_f32)
    if backend != "scalar":
        contenders["scalar"] = (kernel_timer(op, dtype, place, "scalar"), elements)
    measure(contenders, n_bytes=kernel_bytes(op, dtype, n, classes), backend=backend)


@pytest.mark.parametrize(("op", "dtype"), KERNELS)
def test_call(op, dtype, backend, benchmark, measure):
    """The same from Python, on vectors so short that calls and checks are what takes time."""
    classes = CLASSES[op]
    benchmark.group = f"call of {op} {dtype} ({_shape(SHORT, classes)})"
    with kernels.use(backend):
        verify.check(op, dtype, SHORT, classes)
        call = clock.call_timer(getattr(kernels, op), verify.arguments(op, dtype, SHORT, classes))
        kernel = KernelTimer(op, dtype, SHORT, classes)
        elements = kernel_elements(op, SHORT, classes)
        ns = measure(
            {"call": (call, elements), "kernel": (kernel, elements)},
            n_bytes=kernel_bytes(op, dtype, SHORT, classes),
            backend=backend,
        )
    if ns:
        benchmark.extra_info["overhead_ns"] = min(ns["call"]) - min(ns["kernel"])


@pytest.mark.parametrize("rows", BATCH_ROWS)
@pytest.mark.parametrize(("op", "dtype"), [*itertools.product(BATCHED, DTYPES)])
def test_batch(op, dtype, rows, level, backend, place, benchmark, measure):
    """A kernel of batches, repeated in C; elements are multiply-adds."""
    n = batch_length(place, dtype, rows)
    shape = f"{rows} x {n:,} x {BATCH_CLASSES}"
    benchmark.group = f"{op} {dtype}, {level} ({shape})"
    with kernels.use(backend):
        verify.check(op, dtype, n, BATCH_CLASSES)
    elements = rows * n * BATCH_CLASSES
    contenders = {backend: (batch_timer(op, dtype, rows, place, backend), elements)}
    if dtype != "f32":
        of_f32 = rows * batch_length(place, "f32", rows) * BATCH_CLASSES
        contenders["f32"] = (batch_timer(op, "f32", rows, place, backend), of_f32)
    if backend != "scalar":
        contenders["scalar"] = (batch_timer(op, dtype, rows, place, "scalar"), elements)
    written = n * BATCH_CLASSES * ELEMENT_BYTES[dtype][1] if op == "update" else 0
    measure(contenders, n_bytes=batch_bytes(dtype, n, rows) + written, backend=backend, rows=rows)


@pytest.mark.parametrize("dtype", ["i8", "f32", "f64"])
def test_library(dtype, level, library, place, benchmark, measure):
    """Dot products called from Python, ours and those of other libraries, on one thread."""
    n = levels.length(place, "dot", dtype)
    benchmark.group = f"libraries: dot {dtype}, {level} ({_shape(n, 1)})"
    versions = {dots.name_of(library): library for library in dots.libraries()}
    installed = dots.installed(versions.values())
    functions = {OURS: kernels.dot} | {dots.name_of(peer): dot for peer, dot in installed.items()}
    if library != OURS and dtype not in dots.DTYPES[library]:
        pytest.skip(f"{library} has no dot product of {dtype} that is right")
    if library not in functions:
        pytest.skip(f"{library} is absent: pip install '.[peers]'")
    verify.check_call(functions[library], n, dtype)
    measure(
        {name: (library_timer(functions[name], dtype, place), n) for name in (library, OURS)},
        n_bytes=kernel_bytes("dot", dtype, n),
        library=versions.get(library, OURS),
        backend=kernels.active() if library == OURS else None,
        blas=dots.blas() if library == "numpy" else None,
    )


# Filling memory takes longer than working on it: cases that follow each other share operands.
# Whoever has its turn takes the next set: what another has just read may still be in a cache.
@functools.lru_cache(maxsize=2)
def kernel_timers(op, dtype, n, sets):
    return itertools.cycle([KernelTimer(op, dtype, n, CLASSES[op]) for _ in range(sets)])


@functools.lru_cache(maxsize=2)
def batch_timers(op, dtype, n, rows, sets):
    return itertools.cycle([BatchTimer(op, dtype, n, BATCH_CLASSES, rows) for _ in range(sets)])


@functools.lru_cache(maxsize=1)
def vectors(dtype, n, sets):
    return itertools.cycle([dots.vectors(dtype, n) for _ in range(sets)])


def batch_bytes(dtype, n, rows):
    """The bytes of a batch, of the model, and of a constant as large."""
    x, w, h = ELEMENT_BYTES[dtype]
    return n * (rows * x + BATCH_CLASSES * (w + h))


def batch_length(place, dtype, rows):
    """Return the number of columns that fill a level: whole groups of 64, at least one."""
    n = place.set_bytes // batch_bytes(dtype, 1, rows)
    return max(n - n % 64, 64)


def kernel_timer(op, dtype, place, backend):
    """A timer that uses a backend, whichever is in use when it has its turn."""
    n = levels.length(place, op, dtype, CLASSES[op])
    return on_backend(levels.in_turn(kernel_timers(op, dtype, n, place.sets), place), backend)


def batch_timer(op, dtype, rows, place, backend):
    n = batch_length(place, dtype, rows)
    timers = batch_timers(op, dtype, n, rows, place.sets)
    return on_backend(levels.in_turn(timers, place), backend)


def on_backend(timer, backend):
    def timed(calls):
        with kernels.use(backend):
            return timer(calls)

    return timed


def library_timer(dot, dtype, place):
    pairs = vectors(dtype, levels.length(place, "dot", dtype), place.sets)
    return levels.in_turn((clock.call_timer(dot, pair) for pair in pairs), place)


def _shape(n, classes):
    return f"{n:,} x {classes}" if classes > 1 else f"{n:,} elements"
