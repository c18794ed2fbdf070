"""The check that precedes timing lets right kernels pass and stops wrong ones."""

import pytest

from halpbench import kernels
from halpbench.bench import verify


@pytest.mark.parametrize("backend", kernels.backends())
@pytest.mark.parametrize("dtype", kernels.FAMILIES)
@pytest.mark.parametrize("op", ["dot", "axpy", "gemv", "ger", "margins", "update", "read"])
@pytest.mark.parametrize("n", [1, 256, 100_000])
def test_right_kernels_pass(backend, dtype, op, n):
    with kernels.use(backend):
        verify.check(op, dtype, n, classes=1 if op in ("dot", "axpy") else 10)


@pytest.mark.parametrize("dtype", kernels.FAMILIES)
def test_a_dot_that_is_slightly_off_is_stopped(dtype):
    with pytest.raises(verify.WrongResultError, match=f"dot {dtype} on .*: got .*, expected"):
        verify.check("dot", dtype, 256, function=lambda x, y: kernels.dot(x, y) * 1.01 + 1)


@pytest.mark.parametrize("dtype", kernels.FAMILIES)
def test_an_axpy_that_misses_one_element_is_stopped(dtype):
    def off(z, x, c, h, rng):
        kernels.axpy(z, x, c, h, rng)
        z[-1] += 1 if z[-1] < 100 else -1

    with pytest.raises(verify.WrongResultError, match=f"axpy {dtype}"):
        verify.check("axpy", dtype, 256, function=off)


@pytest.mark.parametrize("backend", kernels.backends())
@pytest.mark.parametrize("dtype", ["i8", "i16"])
@pytest.mark.parametrize("op", ["quantize", "dequantize"])
def test_right_conversions_pass_and_wrong_ones_do_not(backend, dtype, op):
    def off(*arguments):
        result = getattr(kernels, op)(*arguments)
        array = result[0] if op == "quantize" else result
        array[-1] += 1 if array[-1] < 100 else -1
        return result

    with kernels.use(backend):
        verify.check(op, dtype, 100_000)
        with pytest.raises(verify.WrongResultError, match=f"{op} {dtype} on {backend}"):
            verify.check(op, dtype, 100_000, function=off)


@pytest.mark.parametrize("backend", kernels.backends())
@pytest.mark.parametrize("dtype", ["i8", "i16", "f32", "f64"])
def test_right_sums_of_gradients_pass_and_wrong_ones_do_not(backend, dtype):
    def off(g, x, b):
        kernels.accumulate(g, x, b)
        g[-1, -1] += 1

    with kernels.use(backend):
        verify.check("accumulate", dtype, 300, 3)
        with pytest.raises(verify.WrongResultError, match=f"accumulate {dtype} on {backend}"):
            verify.check("accumulate", dtype, 300, 3, function=off)


@pytest.mark.parametrize("op", ["gemv", "ger"])
def test_one_wrong_class_is_stopped(op):
    def off(*arguments):
        result = getattr(kernels, op)(*arguments)
        rows = result if op == "gemv" else arguments[0][:, 0]
        rows[-1] += 1 if rows[-1] < 100 else -1
        return result

    with pytest.raises(verify.WrongResultError, match=f"{op} i8"):
        verify.check(op, "i8", 256, classes=10, function=off)


def test_calls_are_checked():
    verify.check_call(kernels.dot, 100_000)
    with pytest.raises(verify.WrongResultError, match=r"got .*, expected"):
        verify.check_call(lambda x, y: kernels.dot(x, y) + 1, 16)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_calls_of_floats_are_checked(dtype):
    verify.check_call(kernels.dot, 100_000, dtype)
    with pytest.raises(verify.WrongResultError, match=f"dot {dtype}"):
        verify.check_call(lambda x, y: kernels.dot(x, y) * 1.1, 100_000, dtype)
