"""A contender must give the right answer before it is timed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halpbench import kernels
from halpbench.bench import timing

# The longest vectors that are compared; not a multiple of any register's width.
LONGEST = 4_099

# Rounding errors of a sum of LONGEST products of numbers around 1, with a margin.
TOLERANCE = {"f32": 1e-3, "f64": 1e-10}

# Samples of a batch that is checked: two tiles and a rest.
BATCH_ROWS = 11

# Scale of quantization: most of the numbers drawn fit, and some saturate in 8 bits.
SCALE = 1 / 64


class WrongResultError(ArithmeticError):
    """A kernel's result is not the one that NumPy or the scalar backend gives."""


def arguments(op: str, dtype: str, n: int, classes: int = 1) -> tuple[Any, ...]:
    """Return random arguments of a function of `halpbench.kernels`: the same ones each time.

    Parameters
    ----------
    op : str
        "dot", "axpy", "gemv", "ger", "accumulate", "margins", "update", "quantize" (of float32) or
        "dequantize" (to float32).
    dtype : str
        "i8", "i8i16", "i16", "f32" or "f64".
    n : int
        Elements.
    classes : int
        Rows of the model, for gemv, ger, accumulate, margins and update.
    """
    rng = np.random.default_rng(n)
    data, model, _ = kernels.FAMILIES[dtype]
    if op == "quantize":
        return (
            _random(rng, np.float32, (n,)),
            8 * np.dtype(data).itemsize,
            SCALE,
            "stochastic",
            kernels.Rng(1),
        )
    x = _random(rng, data, (n,))
    if op == "dequantize":
        return x, SCALE
    if op == "accumulate":
        x = _random(rng, data, (timing.BLOCK_ROWS, n))
        return rng.standard_normal((classes, n)), x, rng.standard_normal((len(x), classes))
    if op in timing.BATCHED:
        x = _random(rng, data, (BATCH_ROWS, n))
        w = _random(rng, model, (classes, n))
        if op == "margins":
            return x, w
        c = rng.uniform(-1, 1, (BATCH_ROWS, classes))
        return w, x, c, rng.standard_normal(w.shape), kernels.Rng(1)
    w = _random(rng, model, (classes, n) if op in ("gemv", "ger") else (n,))
    if op in ("dot", "gemv"):
        return x, w
    h = rng.standard_normal(w.shape)
    c = rng.uniform(-1, 1, classes)
    return w, x, float(c[0]) if op == "axpy" else c, h, kernels.Rng(1)


def check(
    op: str,
    dtype: str,
    n: int,
    classes: int = 1,
    *,
    function: Callable[..., object] | None = None,
) -> None:
    """Compare a kernel of the active backend with its definition in NumPy, or the scalar backend.

    Parameters
    ----------
    op, dtype, classes
        As of `arguments`; "read" has nothing to compare.
    n : int
        Elements; at most `LONGEST` are compared.
    function : callable, optional
        The kernel to check; by default that of `halpbench.kernels`.

    Raises
    ------
    WrongResultError
        With the backend and kernel, got and expected.
    """
    if op == "read":
        return
    what = op, dtype, min(n, LONGEST), classes
    kernel: Callable[..., object] = getattr(kernels, op)
    got = _result(kernel if function is None else function, *what)
    if op in ("dot", "gemv"):
        x, w = arguments(*what)
        wide = np.float64 if dtype in TOLERANCE else np.int64
        expected = w.astype(wide) @ x.astype(wide)
    elif op == "margins":
        x, w = arguments(*what)
        expected = x.astype(np.float64) @ w.astype(np.float64).T
    elif op == "update" and dtype in TOLERANCE:
        w, x, c, h, _ = arguments(*what)
        expected = w - (c.T @ x + h)
    elif op == "dequantize":
        x, scale = arguments(*what)
        expected = (x * scale).astype(np.float32)
    elif op == "accumulate" and dtype in TOLERANCE:
        g, x, b = arguments(*what)
        expected = g + b.T @ x
    else:  # rounded at random, by bits that are the same on every backend
        with kernels.use("scalar"):
            expected = _result(kernel, *what)
    _compare(op, dtype, got, expected)


def _result(
    function: Callable[..., Any], op: str, dtype: str, n: int, classes: int
) -> NDArray[Any]:
    """Return what a function computes of `arguments`: its value, or the model it has updated."""
    given = arguments(op, dtype, n, classes)
    value = function(*given)
    if op in ("axpy", "ger", "accumulate", "update"):
        value = given[0]
    return np.asarray(value[0] if op == "quantize" else value)


def check_call(
    function: Callable[[NDArray[Any], NDArray[Any]], object], n: int, dtype: str = "i8"
) -> None:
    """Compare a dot product, ours or a library's, with NumPy in 64 bits.

    Of floats at most `LONGEST` elements are compared.

    Raises
    ------
    WrongResultError
        With what was got and expected.
    """
    x, y = arguments("dot", dtype, min(n, LONGEST) if dtype in TOLERANCE else n)
    wide = np.float64 if dtype in TOLERANCE else np.int64
    _compare("dot", dtype, np.asarray(function(x, y)), x.astype(wide) @ y.astype(wide))


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
