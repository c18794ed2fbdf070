"""A process that fits one contender: on one core, with memory of its own, and ended on demand."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halpbench.bench import clock
from halpbench.bench.contenders import CONTENDERS

# Imports and compilation at the first fit must not be timed: a fit of a corner of the data.
WARM_UP_SAMPLES, WARM_UP_FEATURES, WARM_UP_L2 = 100, 5, 0.1

ENDED = "its process ended"


class FitError(RuntimeError):
    """Failure of a contender's fit; the message gives the reason."""


@dataclass(frozen=True)
class Fit:
    """Times, memory and coefficients of one fit.

    Attributes
    ----------
    wall_ns, cpu_ns : int
        Time on the clock, and of the processor in all threads.
    coef : ndarray
    peak_bytes : int or None
        Most memory so far above that before the first fit; None where Linux does not tell.
    """

    wall_ns: int
    cpu_ns: int
    coef: NDArray[np.float64]
    peak_bytes: int | None


class Worker:
    """The process of one contender and one data set.

    Parameters
    ----------
    contender : str
        One of `contenders.CONTENDERS`.
    folder : Path
        Holds X.npy and y.npy.
    """

    def __init__(self, contender: str, folder: Path) -> None:
        # Not forked: the libraries' thread pools do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._pipe, far_end = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(far_end, contender, folder), daemon=True
        )
        self._process.start()
        far_end.close()

    def wait(self) -> None:
        """Return when it has loaded all that it needs.

        Raises
        ------
        FitError
            If it cannot.
        """
        self._receive(None)

    def fit(self, l2: float, tol: float, limit_seconds: float) -> Fit:
        """Fit the contender.

        Raises
        ------
        FitError
            If it fails, or takes longer than the limit: it is of no use then.
        """
        try:
            self._pipe.send((l2, tol))
        except ConnectionError:
            raise FitError(ENDED) from None
        answer: Fit = self._receive(limit_seconds)
        return answer

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _receive(self, limit_seconds: float | None) -> Any:
        try:
            if not self._pipe.poll(limit_seconds):
                raise FitError(f"stopped after {limit_seconds:.0f} s")
            answer = self._pipe.recv()
        except (EOFError, ConnectionError):
            raise FitError(ENDED) from None
        if isinstance(answer, str):
            raise FitError(answer)
        return answer


def _serve(pipe: Connection, contender: str, folder: Path) -> None:
    """Fit on request, until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it will end it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    make = CONTENDERS[contender].make
    with warnings.catch_warnings():
        # An early stop of a solver shows in the gradient.
        warnings.simplefilter("ignore")
        with _errors_sent(pipe):
            X, y = np.load(folder / "X.npy"), np.load(folder / "y.npy")
            rows = np.concatenate(
                [np.flatnonzero(y == label)[:WARM_UP_SAMPLES] for label in np.unique(y)]
            )
            corner = make(len(rows), WARM_UP_L2, 1e-2)
            _use_one_core()
            corner.fit(X[rows, :WARM_UP_FEATURES], y[rows])
            before = _restart_peak()
            pipe.send(None)
        while True:
            try:
                l2, tol = pipe.recv()
            except EOFError:
                return
            # Again each time: it takes hold of libraries that are loaded by then.
            with _errors_sent(pipe), clock.one_thread():
                model = make(len(X), l2, tol)
                wall, cpu = time.perf_counter_ns(), time.process_time_ns()
                model.fit(X, y)
                wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
                peak = None if before is None else max(0, _memory("VmHWM") - before)
                pipe.send(Fit(wall, cpu, np.array(model.coef_, np.float64), peak))


def _end_with_parent() -> None:
    """End at once when the process that started this one has ended: if killed, it told nobody."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has been started by another process"
    parent.join()
    os._exit(1)


@contextmanager
def _errors_sent(pipe: Connection) -> Iterator[None]:
    """Send an error of the contender's in place of an answer."""
    try:
        yield
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def _use_one_core() -> None:
    """Keep to the last usable core, whatever thread pools a library has.

    Not the first one, where most interrupts go.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _restart_peak() -> int | None:
    """Have Linux forget the peak so far; return the memory in use, None if that cannot be done."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5)
        return _memory("VmRSS")
    except OSError:
        return None


def _memory(field: str) -> int:
    """Bytes that Linux states for this process: private, shared and on huge pages alike."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024
