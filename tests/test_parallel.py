"""Executors: order, failures, and BLAS threads that are set back whatever overlaps."""

import itertools
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from halpbench import HALPRegressor
from halpbench.parallel import Executor


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def elsewhere(function):
    """Call it on a thread that ends: one that lives would keep BLAS to itself."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


@pytest.fixture
def two_blas_threads():
    """BLAS on two threads, whatever the machine has."""
    before = threadpool_limits(None, user_api="blas")
    elsewhere(lambda: threadpool_limits(2, user_api="blas"))
    if blas_threads() != {2}:
        pytest.skip("BLAS cannot have two threads here")
    yield
    elsewhere(before.restore_original_limits)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_results_come_in_the_order_of_the_items(n_threads):
    done = threading.Event()

    def double(item):
        if n_threads > 1 and item == 0:
            assert done.wait(60)  # the first item is the last one to be done
        if item == 1:
            done.set()
        return 2 * item

    with Executor(n_threads) as executor:
        assert list(executor.map(double, range(20))) == list(range(0, 40, 2))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_outside_of_its_block_an_executor_uses_the_thread_of_the_caller(n_threads):
    executor = Executor(n_threads)
    here = threading.get_ident()
    with executor:
        within = set(executor.map(lambda _: threading.get_ident(), range(4)))
    assert (here in within) == (n_threads == 1)
    assert set(executor.map(lambda _: threading.get_ident(), range(4))) == {here}


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.usefixtures("two_blas_threads")
def test_blas_threads_are_set_back_after_an_error(n_threads):
    def fail():
        with Executor(n_threads) as executor:
            assert blas_threads() == {1}
            list(executor.map(lambda item: 1 // item, [1, 0]))

    with pytest.raises(ZeroDivisionError):
        fail()
    assert blas_threads() == {2}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.usefixtures("two_blas_threads")
def test_users_that_overlap_share_the_limit(order):
    """Whichever leaves first: one thread until the last has left, and two after it."""
    executors = [Executor(n_threads) for n_threads in (1, 2, 1)]
    for executor in executors:
        executor.__enter__()
    for left in order:
        assert blas_threads() == {1}
        executors[left].__exit__(None, None, None)
    assert blas_threads() == {2}


@pytest.mark.usefixtures("two_blas_threads")
def test_fits_on_threads_that_overlap_leave_blas_as_it_was():
    """A fit that ends while another user is within, and the thread that was first leaves last."""
    X = np.random.default_rng(0).standard_normal((200, 5))
    inside, finish = threading.Event(), threading.Event()

    def stay():
        with Executor():
            inside.set()
            assert finish.wait(60)

    first = threading.Thread(target=stay)
    first.start()
    assert inside.wait(60)
    HALPRegressor().fit(X, X @ np.arange(5.0))
    assert blas_threads() == {1}
    with Executor():
        finish.set()
        first.join()
        assert blas_threads() == {1}
    assert blas_threads() == {2}
