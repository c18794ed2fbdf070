"""Builders of test data that several files use: made-up records, threads, families of kernels."""

import threading
from concurrent import futures

import numpy as np
import pytest

from halpbench.bench import work
from halpbench.bench.records import Record, Series

# ---- Records -------------------------------------------------------------------------------------

MACHINE = {
    "cpu": {
        "vendor": "Maker",
        "model": "Fast CPU",
        "family_model_stepping": "1/2/3",
        "microarchitecture": "zen9",
        "isa": ["avx2"],
        "cores": 2,
        "threads": 2,
        "usable_cores": 2,
        "smt": "off",
    },
    "caches": [{"level": 1, "size_bytes": 32768, "shared_by": "0"}],
    "memory_bytes": 8 * 2**30,
    "numa_nodes": "unknown",
    "system": {
        "os": "Linux",
        "kernel": "6.0",
        "libc": "glibc 2",
        "hypervisor": "none",
        "huge_pages": "madvise",
        "governor": "performance",
        "turbo": "unknown",
    },
    "build": {
        "kernels": {"compiler": "gcc 99", "flags": ["-O3"], "levels": {"avx2": ["-mavx2"]}},
        "backends": ["avx2", "scalar"],
        "active": "avx2",
        "code": "c0de",
    },
    "python": "CPython 3.11",
    "libraries": {"numpy": "2.0"},
    "blas": [{"name": "openblas", "version": "0.3", "threads": 1, "architecture": "Zen"}],
    "revision": "abc123",
    "state": {"load_1min": 0.1, "memory_available_bytes": 4 * 2**30},
}

STARTED = "2024-01-01T00:00:00+00:00"
PROBLEM = {
    "name": "made-up",
    "dataset": "made-up",
    "model": "softmax",
    "n_samples": 50,
    "n_features": 1000,
    "n_classes": 10,
    "l2": 0.1,
    "step_size": 0.01,
}


def kernel(op, n, ns_by_dtype, backend="avx2", **changes):
    """A record of three samples of ten calls each; `ns_by_dtype`: time of a call."""
    series = tuple(
        Series(dtype, {"calls": (10 * ns,) * 3}, {"calls": 10, "bytes": 2 * n})
        for dtype, ns in ns_by_dtype.items()
    )
    case = {"op": op, "n": n, "backend": backend, "dtypes": list(ns_by_dtype), "classes": 1}
    case["beside"] = "dot" if op == "axpy" else ""
    fields = {"fingerprint": "f", "started": STARTED, "series": series}
    return Record("kernel", case, **(fields | changes))


def call(n, ours, theirs=None, dtype="i8", **changes):
    """A record of calls; `theirs`: time of the other library's, None if it is not installed."""
    ns = {"halpbench": ours} | ({"numkong 7": theirs} if theirs else {})
    series = kernel("dot", n, ns).series
    case = {"n": n, "dtype": dtype, "backend": "avx2"}
    case["libraries"] = ["numkong 7" if theirs else "numkong"]
    fields = {"fingerprint": "f", "started": STARTED, "series": series}
    return Record("call", case, **(fields | changes))


def epochs_series(contender, epoch_ns, width, norms):
    """Epochs of 100 steps on 50 samples of 1,000 features: 80 % inner loop, 20 % full gradient."""
    count = len(norms) - 1
    # The first epoch takes much longer, as in life.
    epoch = ([epoch_ns * 9] + [epoch_ns] * count)[:count]
    return Series(
        contender,
        {
            "epoch": tuple(epoch),
            "inner": tuple(ns * 8 // 10 for ns in epoch),
            "full_gradient": tuple(ns * 2 // 10 for ns in epoch),
        },
        {
            "step_bytes": 1000 * width,
            "data_bytes": 50_000 * width,
            "gradient_row_bytes": 2000 * width,
            "gradient_norms": norms,
            "diverged": False,
        },
    )


def epochs(series=None, **changes):
    series = series or (
        epochs_series("SVRG D64fM64f", 800_000, 8, [10.0, 0.5, 0.05, 0.004]),
        epochs_series("SVRG D32fM32f", 400_000, 4, [10.0, 0.5, 0.05, 0.005]),
        epochs_series("HALP D8M8", 100_000, 1, [10.0, 0.6, 0.06, 0.006]),
    )
    case = {
        "problem": PROBLEM,
        "data": "quantized",
        "backend": "avx2",
        "contenders": [
            {"algorithm": "svrg", "precision": "D32fM32f"},
            {"algorithm": "halp", "precision": "D8M8", "mu": 3.0},
        ],
    }
    facts = {
        "n_samples": 50,
        "n_features": 1000,
        "epoch_length": 100,
        "source": "a generator",
    }
    fields = {"fingerprint": "f", "started": STARTED, "series": series}
    return Record("epochs", case, facts=facts, **(fields | changes))


CEILINGS = {
    "read": [
        {
            "level": level,
            "size_bytes": size,
            "array_bytes": 1,
            "backend": "avx2",
            "threads": threads,
            "gigabytes_per_second": speed,
        }
        for level, size, threads, speed in [
            ("L1", 1000, 1, 100.0),
            ("L2", 10_000, 1, 50.0),
            ("DRAM", None, 1, 10.0),
            ("L1", 1000, 2, 200.0),
        ]
    ],
    "multiply_add": [
        {"backend": "avx2", "dtype": dtype, "giga_per_second": speed}
        for dtype, speed in [("i8", 200.0), ("i8i16", 20.0), ("i16", 4.0), ("f32", 50.0)]
    ],
}
MACHINE_WITH_CEILINGS = MACHINE | {"ceilings": CEILINGS}


def counted_kernel(op, n, ns_by_dtype, **changes):
    """A record of ten calls in a sample, with their work; `ns_by_dtype`: time of a call."""
    series = tuple(
        Series(
            dtype,
            {"calls": (10 * ns,) * 3},
            {"calls": 10, "bytes": 1, "work": {"calls": work.kernel(op, dtype.split()[-1], n)}},
        )
        for dtype, ns in ns_by_dtype.items()
    )
    case = {"op": op, "n": n, "backend": "avx2", "classes": 1, "dtypes": list(ns_by_dtype)}
    case["beside"] = "dot" if op == "axpy" else ""
    return Record("kernel", case, "f", STARTED, series, **changes)


def counted_steps(contender="HALP D8M8", samples=(900, 100, 100), n=100, data_bytes=10**6):
    """A record of epochs of ten steps on five samples, with their work; the first is slow."""
    facts = {
        "step_bytes": n,
        "data_bytes": data_bytes,
        "gradient_row_bytes": n,
        "gradient_norms": [1.0] * (len(samples) + 1),
        "diverged": False,
        "work": {
            "inner": work.inner_step("D8M8", n, 1, data_bytes),
            "full_gradient": work.gradient_row(n, n, 1, 5),
        },
    }
    times = {name: tuple(samples) for name in ("inner", "full_gradient", "epoch")}
    problem = {**PROBLEM, "n_classes": 1, "step_size": 0.5}
    case = {"problem": problem, "data": "quantized", "backend": "avx2", "contenders": []}
    shape = {"n_samples": 5, "n_features": n, "epoch_length": 10}
    series = (Series(contender, times, facts),)
    return Record("epochs", case, "f", STARTED, series, shape)


# ---- Threads -------------------------------------------------------------------------------------

THREADS = 4


def in_threads(work):
    """Call work(i) in threads that start together; return their results, or the first error."""
    barrier = threading.Barrier(THREADS)

    def begin(i):
        barrier.wait()
        return work(i)

    with futures.ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


# ---- Families of kernels -------------------------------------------------------------------------

I8, I16, F32, F64 = (np.dtype(t) for t in (np.int8, np.int16, np.float32, np.float64))
INTEGER_FAMILIES = [(I8, I8), (I8, I16), (I16, I16)]  # data, model
FLOAT_FAMILIES = [(F32, F32), (F64, F64)]
FAMILIES = INTEGER_FAMILIES + FLOAT_FAMILIES


def family_name(family):
    return f"{family[0]}-{family[1]}"


integer_families = pytest.mark.parametrize("family", INTEGER_FAMILIES, ids=family_name)
float_families = pytest.mark.parametrize("family", FLOAT_FAMILIES, ids=family_name)
all_families = pytest.mark.parametrize("family", FAMILIES, ids=family_name)
