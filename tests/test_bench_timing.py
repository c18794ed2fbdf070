"""The loops in C that time the kernels."""

import itertools

import numpy as np
import pytest

from halpbench import kernels
from halpbench.bench import _timing, timing


def test_time_kernel_counts_nanoseconds_and_checks_names():
    for op, dtype in itertools.product(("dot", "axpy", "gemv", "ger"), kernels.FAMILIES):
        assert timing.time_kernel(op, dtype, 100, 3, classes=2) > 0
    for op, dtype in itertools.product(("quantize", "dequantize"), ("i8", "i16")):
        assert timing.time_kernel(op, dtype, 100, 3) > 0
    for dtype in ("i8", "i16", "f32", "f64"):
        assert timing.time_kernel("accumulate", dtype, 100, 3, classes=2) > 0
    assert timing.time_kernel("read", "i8", 100_000, 3) > 0
    for arguments in [
        ("sum", "i8", 1, 1),
        ("dot", "i4", 1, 1),
        ("quantize", "f32", 1, 1),
        ("accumulate", "i8i16", 1, 1),
    ]:
        with pytest.raises(ValueError, match=r"unknown op|no kernel"):
            timing.time_kernel(*arguments)
    for arguments in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 65)]:
        with pytest.raises(ValueError, match="must be positive"):
            timing.time_kernel("ger", "i8", *arguments)


def test_ceilings_count_nanoseconds(backend):
    for dtype in kernels.FAMILIES:
        assert timing.time_peak(dtype, 100_000) > 0
    x = np.ones(100_000, np.float32)
    x.flags.writeable = False
    assert timing.time_read(x, 3) > 0
    with pytest.raises(ValueError, match="got dtype 'i4'; expected one of i8"):
        timing.time_peak("i4", 1)
    with pytest.raises(TypeError):
        timing.time_read(np.ones(3, np.complex64), 1)
    with pytest.raises(ValueError, match="repeats must be positive, got 0"):
        timing.time_read(x, 0)
    for bad in (-1, 0, 10**400):
        with pytest.raises(ValueError, match="n must be positive, got"):
            timing.time_peak("i8", bad)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"op": "sum"}, ValueError, "got op 'sum'; expected one of dot, gemv"),
        ({"op": ["ger"]}, ValueError, "got op"),
        ({"dtype": "i4"}, ValueError, "got dtype 'i4'; expected one of i8"),
        ({"dtype": "i8i16"}, TypeError, "x and w do not have the dtypes of ger i8i16"),
        ({"op": "quantize", "dtype": "f32"}, ValueError, "no kernel 'quantize' for dtype 'f32'"),
        ({"op": "accumulate"}, TypeError, "x and w do not have the dtypes of accumulate i8"),
        ({"op": "quantize"}, TypeError, "h does not have the dtype of quantize i8"),
        ({"x": np.ones(99, np.int8)}, ValueError, "length of x: got 99, expected 100"),
        ({"w": np.ones((65, 100), np.int8)}, ValueError, "w must have 1 to 64 rows, got 65 x 100"),
        ({"w": np.ones((2, 0), np.int8)}, ValueError, "w must have 1 to 64 rows, got 2 x 0"),
        ({"h": np.ones((2, 100), np.int16)}, ValueError, "columns of h: got 100, expected 128"),
        ({"h": np.ones((1, 128), np.int16)}, ValueError, "rows of h: got 1, expected 2"),
        ({"repeats": 0}, ValueError, "repeats must be positive, got 0"),
        ({"repeats": 1.5}, TypeError, "integer"),
        ({"x": list(range(100))}, TypeError, "x must be an array, got list"),
    ],
)
def test_the_timed_loop_checks_its_arguments(change, error, match):
    given = {
        "op": "ger",
        "dtype": "i8",
        "x": np.ones(100, np.int8),
        "w": np.ones((2, 100), np.int8),
        "h": np.zeros((2, 128), np.int16),
        "repeats": 1,
    }
    assert _timing.time_calls(**given) > 0
    with pytest.raises(error, match=match):
        _timing.time_calls(**(given | change))


def test_the_timed_loop_refuses_operands_that_overlap():
    block = np.ones((2, 128), np.int8)
    h = np.zeros((1, 128), np.int16)
    with pytest.raises(ValueError, match="x and w overlap"):
        _timing.time_calls("axpy", "i8", block[0], block[:1], h, 1)


def test_the_timed_kernels_do_what_they_are_named_after(backend):
    """One call of each family of steps, against the public face on the same operands."""
    x, w = np.arange(-50, 50, dtype=np.float32), np.ones((1, 100), np.float32)
    h = np.zeros((1, 128), np.float32)
    expected = w.copy()
    kernels.axpy(expected[0], x, -1e-3)
    _timing.time_calls("axpy", "f32", x, w, h, 1)
    np.testing.assert_array_equal(w, expected)
    g = np.zeros((2, 50))
    _timing.time_calls("accumulate", "f32", x, g, np.zeros((2, 64), np.float32), 1)
    expected = np.zeros((2, 50))
    kernels.accumulate(expected, x.reshape(2, 50), np.array([[-1e-3, 1e-3], [-1e-3, 1e-3]]))
    np.testing.assert_array_equal(g, expected)


def test_the_timed_batches_do_what_they_are_named_after(backend):
    """One call of each kernel and family, against the public face on the same operands."""
    for data, model, _ in kernels.FAMILIES.values():
        x = np.arange(-50, 50).reshape(5, 20).astype(data)
        w = np.full((3, 20), 7, model)
        assert _timing.time_batch("margins", x, w, 0.01, 0.3, 2) > 0
        np.testing.assert_array_equal(w, np.full((3, 20), 7, model))
        expected = w.copy()
        kernels.update(expected, x, np.full((5, 3), 0.01), np.full(w.shape, 0.3), rng=0)
        _timing.time_batch("update", x, w, 0.01, 0.3, 1)
        np.testing.assert_array_equal(w, expected)
    assert timing.BatchTimer("update", "i8i16", 100, 3, 64)(2) > 0
    for arguments, message in [
        (("dot", "i8", 1, 1, 1), "no kernel 'dot'"),
        (("update", "i4", 1, 1, 1), "for dtype 'i4'"),
        (("update", "i8", 0, 1, 1), "must be positive"),
        (("update", "i8", 1, 1, 65), "must be positive"),
    ]:
        with pytest.raises(ValueError, match=message):
            timing.BatchTimer(*arguments)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"op": "ger"}, ValueError, "got op 'ger'; expected one of margins, update"),
        ({"w": np.ones((2, 100), np.float32)}, TypeError, "no kernel for int8 data"),
        ({"x": np.ones((65, 100), np.int8)}, ValueError, "1 to 64 rows"),
        ({"x": np.ones((0, 100), np.int8)}, ValueError, "1 to 64 rows"),
        ({"x": np.ones((4, 99), np.int8)}, ValueError, "columns of x: got 99, expected 100"),
        ({"w": np.ones((0, 100), np.int8)}, ValueError, "at least one element"),
        ({"c": np.nan}, ValueError, "c must be finite"),
        ({"h": np.inf}, ValueError, "h must be finite"),
        ({"repeats": 0}, ValueError, "repeats must be positive, got 0"),
    ],
)
def test_the_timed_batches_check_their_arguments(change, error, match):
    given = {
        "op": "update",
        "x": np.ones((4, 100), np.int8),
        "w": np.ones((2, 100), np.int8),
        "c": 1e-3,
        "h": 0.1,
        "repeats": 1,
    }
    assert _timing.time_batch(**given) > 0
    with pytest.raises(error, match=match):
        _timing.time_batch(**(given | change))
