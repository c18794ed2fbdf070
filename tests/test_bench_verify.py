"""The check that precedes timing lets right kernels pass and stops wrong ones."""

import pytest

from halpbench import kernels
from halpbench.bench import verify


@pytest.mark.parametrize("backend", kernels.backends())
@pytest.mark.parametrize("dtype", verify.TYPES)
@pytest.mark.parametrize("op", ["dot", "axpy", "read"])
@pytest.mark.parametrize("n", [1, 256, 100_000])
def test_right_kernels_pass(backend, dtype, op, n):
    with kernels.use(backend):
        verify.check(op, dtype, n)


@pytest.mark.parametrize("dtype", verify.TYPES)
def test_a_dot_that_is_slightly_off_is_stopped(monkeypatch, dtype):
    dot = kernels.dot
    monkeypatch.setattr(kernels, "dot", lambda x, y: dot(x, y) * 1.01 + 1)
    with pytest.raises(verify.WrongResultError, match=f"dot {dtype} on .*: got .*, expected"):
        verify.check("dot", dtype, 256)


@pytest.mark.parametrize("dtype", verify.TYPES)
def test_an_axpy_that_misses_one_element_is_stopped(monkeypatch, dtype):
    axpy = kernels.axpy
    calls = []

    def off(z, x, c, h, rng):
        axpy(z, x, c, h, rng=rng)
        calls.append(z)
        if len(calls) == 1:
            z[-1] += 1 if z[-1] < 100 else -1

    monkeypatch.setattr(kernels, "axpy", off)
    with pytest.raises(verify.WrongResultError, match=f"axpy {dtype}"):
        verify.check("axpy", dtype, 256)
