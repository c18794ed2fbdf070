"""Peak rates of this machine: reading each level of memory, and multiply-adds in registers.

Kernels of our own (``read`` and ``peak`` of kernels/kernels.h) measure them, in the fastest of many
short windows: whatever else runs on the machine can only make a window longer.
"""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halpbench import kernels, memory
from halpbench.bench import clock, levels, timing
from halpbench.bench.levels import Level

WINDOW_NS = 1_000_000
WINDOWS = 40
# Windows of several threads at once: long against the time in which they start.
JOINT_WINDOW_NS = 5_000_000


def measure(machine: Mapping[str, Any], windows: int = WINDOWS) -> dict[str, list[dict[str, Any]]]:
    """Measure the ceilings of this machine, which takes some seconds.

    Parameters
    ----------
    machine : mapping
        Its record, see `machine.record`.
    windows : int
        Windows of which the fastest counts; at least one for each set of operands.

    Returns
    -------
    dict
        ``"read"``: rows of ``level`` ("L1" ... "DRAM"), ``size_bytes`` of that level (None for
        DRAM), ``array_bytes`` read by each thread, ``backend``, ``threads`` and
        ``gigabytes_per_second``, of all threads together. ``"multiply_add"``: rows of
        ``backend``, ``dtype`` and ``giga_per_second``, of one thread.
    """
    cores = machine["cpu"]["usable_cores"]
    threads = cores if isinstance(cores, int) else 1
    backends = machine["build"]["backends"]
    caches = machine["caches"]
    available = machine["state"]["memory_available_bytes"]
    alone, together = (levels.of(caches, available, count) for count in (1, threads))
    most = [level.set_bytes * level.sets for level in alone]
    most += [threads * level.set_bytes * level.sets for level in together]
    block = memory.empty((max(most, default=0),), np.int8)
    block.fill(1)  # all pages that were never written to are one page of zeros
    sizes = {f"L{cache['level']}": cache["size_bytes"] for cache in caches}
    reads, peaks = [], []

    def add(level: Level, backend: str, threads: int) -> None:
        each = level.set_bytes * level.sets
        arrays = block[: threads * each].reshape(threads, level.sets, level.set_bytes)
        reads.append(
            {
                "level": level.name,
                "size_bytes": sizes.get(level.name),
                "array_bytes": each,
                "backend": backend,
                "threads": threads,
                "gigabytes_per_second": _read_speed(arrays, windows),
            }
        )

    for backend in backends:
        with kernels.use(backend):
            for level in alone:
                add(level, backend, 1)
            for dtype in kernels.FAMILIES:
                speed = _peak_speed(dtype, windows)
                peaks.append({"backend": backend, "dtype": dtype, "giga_per_second": speed})
    if threads > 1:
        with kernels.use(backends[0]):
            for level in together:
                add(level, backends[0], threads)
    return {"read": reads, "multiply_add": peaks}


def _peak_speed(dtype: str, windows: int) -> float:
    count = clock.calls_for(lambda n: timing.time_peak(dtype, n), WINDOW_NS)
    return count / min(timing.time_peak(dtype, count) for _ in range(windows))


def _read_speed(arrays: NDArray[np.int8], windows: int) -> float:
    """Read arrays of shape (threads, sets, bytes): a set after the other, a window each.

    In GB/s of all threads together, from the first start to the last end.
    """
    threads, sets, size = arrays.shape
    window_ns = WINDOW_NS if threads == 1 else JOINT_WINDOW_NS
    repeats = 1
    if sets == 1:
        repeats = clock.calls_for(lambda calls: timing.time_read(arrays[0, 0], calls), window_ns)
    windows = max(windows, sets)
    if threads == 1:
        best = min(timing.time_read(arrays[0, w % sets], repeats) for w in range(windows))
    else:
        best = min(_joint_windows(arrays, repeats, windows))
    return float(threads * size * repeats / best)


def _joint_windows(arrays: NDArray[np.int8], repeats: int, windows: int) -> Iterator[int]:
    """Yield the nanoseconds of windows in which threads begin together."""
    threads, sets, _ = arrays.shape
    barrier = Barrier(threads)

    def read(array: NDArray[np.int8]) -> tuple[int, int]:
        barrier.wait()
        start = time.perf_counter_ns()
        timing.time_read(array, repeats)
        return start, time.perf_counter_ns()

    with ThreadPoolExecutor(threads) as pool:
        for window in range(windows):
            spans = list(pool.map(read, arrays[:, window % sets]))
            yield max(stop for _, stop in spans) - min(start for start, _ in spans)
