"""A contender must give the right answer before it is timed."""

import numpy as np

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


def check(op: str, dtype: str, n: int) -> None:
    """Compare a kernel of the active backend with NumPy (dot) or the scalar backend (axpy).

    Parameters
    ----------
    op : str
        "dot" or "axpy"; others have nothing to compare.
    dtype : str
        "i8", "i8i16", "i16", "f32" or "f64".
    n : int
        Elements; at most `LONGEST` are compared.

    Raises
    ------
    WrongResultError
        With the backend and kernel, got and expected.
    """
    rng = np.random.default_rng(n)
    x, w = (_vector(rng, kind, min(n, LONGEST)) for kind in TYPES[dtype])
    wide = np.float64 if dtype in TOLERANCE else np.int64
    if op == "dot":
        got: object = kernels.dot(x, w)
        _compare(op, dtype, np.asarray(got), np.dot(x.astype(wide), w.astype(wide)))
    elif op == "axpy":
        h = rng.standard_normal(x.size)
        c = 0.37
        if dtype in TOLERANCE:
            h = h.astype(w.dtype)
        results = []
        for backend in (kernels.active(), "scalar"):
            updated = w.copy()
            with kernels.use(backend):
                kernels.axpy(updated, x, c, h, rng=1)
            results.append(updated)
        _compare(op, dtype, *results)


def _vector(rng: np.random.Generator, kind: type, n: int) -> np.ndarray:
    if issubclass(kind, np.integer):
        limit = np.iinfo(kind).max
        return rng.integers(-limit, limit + 1, n).astype(kind)
    return rng.standard_normal(n).astype(kind)


def _compare(op: str, dtype: str, got: np.ndarray, expected: np.ndarray) -> None:
    tolerance = TOLERANCE.get(dtype)
    if tolerance is None:
        good = np.array_equal(got, expected)
    else:
        good = np.allclose(got, expected, rtol=tolerance, atol=tolerance)
    if not good:
        where = np.flatnonzero(np.atleast_1d(got != expected))[0]
        raise WrongResultError(
            f"wrong result of {op} {dtype} on {kernels.active()}: got "
            f"{np.atleast_1d(got)[where]}, expected {np.atleast_1d(expected)[where]}"
        )
