"""What this machine can do at best: reading each level of memory, and multiply-adds in registers.

Measured by kernels of our own (``read`` and ``peak`` of kernels/kernels.h), in the fastest of many
short windows: whatever else runs on the machine can only make a window longer.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halpbench import kernels, memory
from halpbench.bench import clock

WINDOW_NS = 1_000_000
WINDOWS = 40
# Of several threads at once: long against the time in which they start.
JOINT_WINDOW_NS = 5_000_000
JOINT_WINDOWS = 40

# What is read of a cache: half of it, but no more than eight times the cache before, for the last
# one may be shared with others; at least twice the cache before, or that would be measured.
OF_A_CACHE, LEAST_RATIO, MOST_RATIO = 2, 2, 8
# What is read of memory beyond the caches: four times the last one, within bounds, slice by slice.
OF_MEMORY, LEAST_BYTES, MOST_BYTES = 4, 256 << 20, 1 << 30
SLICE_BYTES = 64 << 20
DRAM = "DRAM"


def measure(machine: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Measure the ceilings of this machine, which takes some seconds.

    Parameters
    ----------
    machine : mapping
        Its record, see `machine.record`.

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
    available = machine["state"]["memory_available_bytes"]
    alone, together = (arrays(machine["caches"], available, count) for count in (1, threads))
    block = memory.empty(
        (max(row["array_bytes"] * row["threads"] for row in alone + together),), np.int8
    )
    block.fill(1)  # all pages that were never written to are one page of zeros
    reads, peaks = [], []
    for backend in backends:
        with kernels.use(backend):
            for row in alone:
                speed = _read_speed(block[: row["array_bytes"]])
                reads.append(row | {"backend": backend, "gigabytes_per_second": speed})
            for dtype in kernels.FAMILIES:
                speed = _peak_speed(dtype)
                peaks.append({"backend": backend, "dtype": dtype, "giga_per_second": speed})
    if threads > 1:
        with kernels.use(backends[0]):
            for row in together:
                parts = block[: row["array_bytes"] * threads].reshape(threads, -1)
                speed = _joint_read_speed(parts)
                reads.append(row | {"backend": backends[0], "gigabytes_per_second": speed})
    return {"read": reads, "multiply_add": peaks}


def arrays(
    caches: Sequence[Mapping[str, Any]], available: int, threads: int
) -> list[dict[str, Any]]:
    """Choose how much each thread reads to measure each level.

    A cache is left out if the threads' shares of it are too small beside the cache before.

    Parameters
    ----------
    caches : sequence of mapping
        See `machine.caches`.
    available : int
        Bytes of free memory, a quarter of which is used at most.
    threads : int
    """
    rows = []
    before = 0
    for cache in caches:
        share = cache["size_bytes"] // min(threads, sharers(cache["shared_by"]))
        size = share // OF_A_CACHE
        if before:
            size = min(size, MOST_RATIO * before)
        if size >= LEAST_RATIO * before:
            level = {"level": f"L{cache['level']}", "size_bytes": cache["size_bytes"]}
            rows.append(level | {"array_bytes": size, "threads": threads})
        before = share
    last = caches[-1]["size_bytes"] if caches else 0
    size = min(max(OF_MEMORY * last, LEAST_BYTES), MOST_BYTES, available // 4) // threads
    size = max(size // SLICE_BYTES, 1) * SLICE_BYTES
    level = {"level": DRAM, "size_bytes": None}
    return [*rows, level | {"array_bytes": size, "threads": threads}]


def sharers(cpus: str) -> int:
    """Count the CPUs of a list as Linux writes it, "0-3,8"; one where there is none."""
    count = 0
    for part in cpus.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            count += int(last or first) - int(first) + 1
    return max(count, 1)


def _peak_speed(dtype: str) -> float:
    count = clock.calls_for(lambda n: kernels.time_peak(dtype, n), WINDOW_NS)
    return count / min(kernels.time_peak(dtype, count) for _ in range(WINDOWS))


def _read_speed(array: NDArray[np.int8]) -> float:
    parts = _slices(array)
    repeats = _repeats(parts, WINDOW_NS)
    best = min(kernels.time_read(parts[window % len(parts)], repeats) for window in range(WINDOWS))
    return parts[0].nbytes * repeats / best


def _joint_read_speed(arrays: NDArray[np.int8]) -> float:
    """Read the rows of an array, a thread for each; GB/s from the first start to the last end."""
    parts = [_slices(array) for array in arrays]
    repeats = _repeats(parts[0], JOINT_WINDOW_NS)
    barrier = Barrier(len(parts))

    def read(part: NDArray[np.int8]) -> tuple[int, int]:
        barrier.wait()
        start = time.perf_counter_ns()
        kernels.time_read(part, repeats)
        return start, time.perf_counter_ns()

    best = float("inf")
    with ThreadPoolExecutor(len(parts)) as pool:
        for window in range(JOINT_WINDOWS):
            spans = list(pool.map(read, [mine[window % len(mine)] for mine in parts]))
            best = min(best, max(stop for _, stop in spans) - min(start for start, _ in spans))
    return len(parts) * parts[0][0].nbytes * repeats / best


def _slices(array: NDArray[np.int8]) -> list[NDArray[np.int8]]:
    """Cut what is too long for a window; a slice is out of the caches when its turn comes."""
    return [array[i : i + SLICE_BYTES] for i in range(0, array.size, SLICE_BYTES)]


def _repeats(parts: Sequence[NDArray[np.int8]], window_ns: int) -> int:
    if len(parts) > 1:
        return 1
    return clock.calls_for(lambda calls: kernels.time_read(parts[0], calls), window_ns)
