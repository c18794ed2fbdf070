"""A contender must give the right answer before it is timed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halpbench import kernels

# The longest vectors that are compared; not a multiple of any register's width.
LONGEST = 4_099

# Rounding errors of a sum of LONGEST products of numbers around 1, with a margin.
TOLERANCE = {"f32": 1e-3, "f64": 1e-10}

TYPES = {
    "i8": (np.int8, np.int8),
    "i8i16": (np.int8, np.int16),
    "i16": (np.int16, np.int16),
    "f32": (np.float32, np.float32),
    "f64": (np.float64, np.float64),
}


class WrongResultError(ArithmeticError):
    """A kernel's result is not the one that NumPy or the scalar backend gives."""


def check(op: str, dtype: str, n: int, classes: int = 1) -> None:
    """Compare a kernel of the active backend with NumPy (dot, gemv) or the scalar one (axpy, ger).

    Parameters
    ----------
    op : str
        "dot", "axpy", "gemv" or "ger"; others have nothing to compare.
    dtype : str
        "i8", "i8i16", "i16", "f32" or "f64".
    n : int
        Elements; at most `LONGEST` are compared.
    classes : int
        Rows of the model, for gemv and ger.

    Raises
    ------
    WrongResultError
        With the backend and kernel, got and expected.
    """
    rng = np.random.default_rng(n)
    data, model = TYPES[dtype]
    n = min(n, LONGEST)
    x = _random(rng, data, (n,))
    w = _random(rng, model, (classes, n) if op in ("gemv", "ger") else (n,))
    wide = np.float64 if dtype in TOLERANCE else np.int64
    if op in ("dot", "gemv"):
        got = kernels.dot(x, w) if op == "dot" else kernels.gemv(x, w)
        _compare(op, dtype, np.asarray(got), w.astype(wide) @ x.astype(wide))
    elif op in ("axpy", "ger"):
        h = rng.standard_normal(w.shape)
        c = rng.uniform(-1, 1, classes)
        results = []
        for backend in (kernels.active(), "scalar"):
            updated = w.copy()
            with kernels.use(backend):
                if op == "axpy":
                    kernels.axpy(updated, x, float(c[0]), h, rng=1)
                else:
                    kernels.ger(updated, x, c, h, rng=1)
            results.append(updated)
        _compare(op, dtype, *results)


def check_call(function: Callable[[NDArray[Any], NDArray[Any]], object], n: int) -> None:
    """Compare an int8 dot product, ours or a peer's, with NumPy.

    Raises
    ------
    WrongResultError
        With what was got and expected.
    """
    rng = np.random.default_rng(n)
    x, y = (_random(rng, np.int8, (n,)) for _ in range(2))
    _compare("dot", "i8", np.asarray(function(x, y)), x.astype(np.int64) @ y.astype(np.int64))


def _random(rng: np.random.Generator, kind: type, shape: tuple[int, ...]) -> NDArray[Any]:
    if issubclass(kind, np.integer):
        limit = np.iinfo(kind).max
        return rng.integers(-limit, limit + 1, shape).astype(kind)
    return rng.standard_normal(shape).astype(kind)


def _compare(op: str, dtype: str, got: NDArray[Any], expected: NDArray[Any]) -> None:
    tolerance = TOLERANCE.get(dtype)
    if tolerance is None:
        good = np.array_equal(got, expected)
    else:
        good = np.allclose(got, expected, rtol=tolerance, atol=tolerance)
    if not good:
        got, expected = np.atleast_1d(got).ravel(), np.atleast_1d(expected).ravel()
        where = np.flatnonzero(got != expected)[0]
        raise WrongResultError(
            f"wrong result of {op} {dtype} on {kernels.active()}: got {got[where]}, expected "
            f"{expected[where]}"
        )
