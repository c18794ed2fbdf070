"""Work spread over threads, in order; and BLAS kept to one thread meanwhile."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import TypeVar

from threadpoolctl import ThreadpoolController

__all__ = ["Executor"]

Item = TypeVar("Item")
Value = TypeVar("Value")


@functools.cache
def _thread_pools() -> ThreadpoolController:
    """The thread pools there are; looking for them takes some ms."""
    return ThreadpoolController()


class _SingleBlasThread:
    """BLAS on one thread as long as anybody is within.

    The number of its threads belongs to the whole process, and users may overlap in time: the first
    to enter sets it, and the last to leave sets it back. As threadpoolctl lets nobody else change
    it while the Python thread that did so lives, a thread of its own does both.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._left = threading.Event()
        self._keeper = threading.Thread()

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                entered, self._left = threading.Event(), threading.Event()
                self._keeper = threading.Thread(
                    target=self._keep, args=(entered, self._left), daemon=True
                )
                self._keeper.start()
                entered.wait()
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._left.set()
                self._keeper.join()

    @staticmethod
    def _keep(entered: threading.Event, left: threading.Event) -> None:
        try:
            with _thread_pools().limit(limits=1, user_api="blas"):
                entered.set()
                left.wait()
        finally:
            entered.set()


_single_blas_thread = _SingleBlasThread()


class Executor:
    """A function of many items, on threads of its own; results come in the order of the items.

    To be used in a ``with`` block. Within it BLAS keeps to one thread; outside of it `map` works
    all the same, on the caller's thread alone.

    Parameters
    ----------
    n_threads : int
        1 for the caller's thread.
    """

    def __init__(self, n_threads: int = 1) -> None:
        self.n_threads = n_threads
        self._pool: ThreadPoolExecutor | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Executor:
        with ExitStack() as stack:
            stack.enter_context(_single_blas_thread)
            # A BLAS on OpenMP has a number of threads for each of the process's.
            stack.enter_context(_thread_pools().limit(limits=1, user_api="openmp"))
            if self.n_threads > 1:
                self._pool = stack.enter_context(ThreadPoolExecutor(self.n_threads))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool = None
        self._stack.__exit__(kind, error, traceback)

    def map(self, function: Callable[[Item], Value], items: Iterable[Item]) -> Iterator[Value]:
        """``function`` of every item, in order."""
        return map(function, items) if self._pool is None else self._pool.map(function, items)
