"""The kernels against their oracles on every backend, their checks, and their rounding."""

import itertools
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
import reference
import tolerances
from hypothesis import given
from hypothesis import strategies as st
from reference import ReferenceRng

from halpbench import _kernels, kernels

# Around every register width, group of lanes, and block of random lanes (1,024 and 512).
LENGTHS = [0, 1, *(n + i for n in (16, 32, 64, 128, 256, 512, 1024) for i in (-1, 0, 1)), 4099]

I8, I16, F32, F64 = (np.dtype(t) for t in (np.int8, np.int16, np.float32, np.float64))
INTEGER_FAMILIES = [(I8, I8), (I8, I16), (I16, I16)]  # data, model
FLOAT_FAMILIES = [(F32, F32), (F64, F64)]
FAMILIES = INTEGER_FAMILIES + FLOAT_FAMILIES


def family_name(family):
    return f"{family[0]}-{family[1]}"


integer_families = pytest.mark.parametrize("family", INTEGER_FAMILIES, ids=family_name)
float_families = pytest.mark.parametrize("family", FLOAT_FAMILIES, ids=family_name)
all_families = pytest.mark.parametrize("family", FAMILIES, ids=family_name)


def values(random, dtype, shape):
    """Random numbers of the whole range, read-only; a few integers at either end of it."""
    if dtype.kind == "f":
        array = random.standard_normal(shape).astype(dtype)
    else:
        top = reference.largest(dtype)
        array = random.integers(-top, top + 1, shape).astype(dtype)
        array[random.random(shape) < 0.1] = top
        array[random.random(shape) < 0.1] = -top
    array.flags.writeable = False
    return array


def shifted(array, elements):
    """A copy of an array that starts some elements behind a cache line, with room behind it."""
    block = np.zeros(array.size + 64 + elements, array.dtype)
    start = -block.ctypes.data % 64 // array.itemsize + elements
    view = block[start : start + array.size].reshape(array.shape)
    view[...] = array
    return view


# ---- dot and gemv --------------------------------------------------------------------------------


@integer_families
def test_integer_dot_is_exact(backend, family):
    random = np.random.default_rng(0)
    for n in LENGTHS:
        x, y = values(random, family[0], n), values(random, family[1], n)
        got = kernels.dot(x, y)
        assert type(got) is int
        assert got == reference.dot(x, y) == kernels.dot(y, x), n


@float_families
def test_float_dot_is_as_close_as_any_order_of_summation(backend, family):
    random = np.random.default_rng(0)
    for n in LENGTHS:
        x, y = values(random, family[0], n), values(random, family[1], n)
        got = kernels.dot(x, y)
        assert type(got) is float
        exact = np.dot(x.astype(np.longdouble), y.astype(np.longdouble))
        assert abs(got - exact) <= tolerances.summation_bound(x, y), n


@all_families
def test_dot_of_unaligned_views(backend, family):
    random = np.random.default_rng(0)
    x, y = values(random, family[0], 200), values(random, family[1], 200)
    for start_x, start_y in itertools.product([0, 1, 3, 8, 31], [0, 1, 5]):
        got = kernels.dot(shifted(x, start_x), shifted(y, start_y))
        if family in INTEGER_FAMILIES:
            assert got == reference.dot(x, y)
        else:
            assert abs(got - float(x @ y)) <= 2 * tolerances.summation_bound(x, y)


@integer_families
@pytest.mark.parametrize("signs", ["same", "opposite", "alternating"])
def test_the_longest_sums_are_exact(backend, family, signs):
    """Products as large as they can be, around the lengths at which accumulators are emptied."""
    a, b = (reference.largest(dtype) for dtype in family)
    for n in [2047, 2048, 2049, 65535, 65536, 65537, 131_073, 1_000_003]:
        x, y = np.full(n, a, family[0]), np.full(n, b, family[1])
        if signs != "same":
            y[:: 1 if signs == "opposite" else 2] *= -1
        expected = a * b * int(np.sign(y).sum(dtype=np.int64))
        assert kernels.dot(x, y) == expected, n
        assert list(kernels.gemv(x, y[None])) == [expected], n


def test_dot_of_int8_takes_every_int8(backend):
    random = np.random.default_rng(0)
    for n in [*LENGTHS, 131_073]:
        for low, high in [(-128, 128), (-128, -126), (-128, -127)]:
            x, y = (random.integers(low, high, n).astype(np.int8) for _ in range(2))
            assert kernels.dot(x, y) == int(x.astype(np.int64) @ y.astype(np.int64)), n


@all_families
@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5, 7, 8, 10, 17])
def test_gemv_is_a_dot_for_each_row(backend, family, rows):
    random = np.random.default_rng(0)
    for n in (0, 1, 31, 64, 65, 129, 257, 1025):
        x, w = values(random, family[0], n), values(random, family[1], (rows, n))
        got = kernels.gemv(x, w)
        assert got.shape == (rows,)
        if family in INTEGER_FAMILIES:
            assert got.dtype == np.int64
            assert got.tolist() == [reference.dot(x, w_r) for w_r in w], n
        else:
            assert got.dtype == family[0]
            for got_r, w_r in zip(got, w, strict=True):
                exact = np.dot(x.astype(np.longdouble), w_r.astype(np.longdouble))
                assert abs(got_r - exact) <= tolerances.summation_bound(x, w_r), n


# ---- axpy and ger --------------------------------------------------------------------------------

# Small, medium, at the edges between the ways to split c, beyond what the vector code takes, and
# beyond what saturates.
STEPS = [0.0, 1e-9, -3e-4, 0.01, 0.25, 0.49999, 0.5, -0.5, 0.50001, -1.0, 1.7, -130.3, 255.5, 4e4]
# h: none, with the finest exponent, with coarser ones, one that needs `wide`, ones that saturate.
CONSTANTS = [None, 0.2, 1.1, 20.0, 31.9, 127.0, 1e4, 1e9]


@integer_families
def test_integer_axpy_is_exact(backend, family):
    random = np.random.default_rng(0)
    for n in LENGTHS:
        c, size = random.choice(STEPS), random.choice(np.array(CONSTANTS, object))
        x, z = values(random, family[0], n), values(random, family[1], n)
        h = None if size is None else size * random.uniform(-1, 1, n)
        got = z.copy()
        kernels.axpy(got, x, c, h, rng=n)
        np.testing.assert_array_equal(got, reference.axpy(z, x, c, h, ReferenceRng(n)), f"{n}")


@integer_families
@pytest.mark.parametrize("rounding", ["stochastic", "nearest"])
def test_integer_axpy_is_exact_for_every_kind_of_step(backend, family, rounding):
    random = np.random.default_rng(0)
    rng, oracle = kernels.Rng(7, rounding), ReferenceRng(7, rounding)
    x, z = values(random, family[0], 77), values(random, family[1], 77)
    for c, size in itertools.product(STEPS, CONSTANTS):
        h = None if size is None else size * random.uniform(-1, 1, 77)
        got = z.copy()
        kernels.axpy(got, x, c, h, rng)
        np.testing.assert_array_equal(got, reference.axpy(z, x, c, h, oracle), f"{c} {size}")


@integer_families
def test_integer_ger_is_exact(backend, family):
    random = np.random.default_rng(0)
    rng, oracle = kernels.Rng(3), ReferenceRng(3)
    for rows, n in itertools.product([0, 1, 2, 10], [0, 1, 63, 65, 1025]):
        x, z = values(random, family[0], n), values(random, family[1], (rows, n))
        c, h = 0.1 * random.standard_normal(rows), 3 * random.standard_normal((rows, n))
        got = z.copy()
        kernels.ger(got, x, c, h, rng)
        np.testing.assert_array_equal(got, reference.ger(z, x, c, h, oracle), f"{rows} {n}")


@float_families
def test_float_ger_and_axpy(backend, family):
    random = np.random.default_rng(0)
    for n, with_h in itertools.product(LENGTHS, [True, False]):
        x, z = values(random, family[0], n), values(random, family[1], (3, n))
        c, h = random.standard_normal(3), random.standard_normal((3, n))
        change = [np.outer(c, x.astype(np.longdouble)), h if with_h else np.zeros_like(h)]
        exact = z - (change[0] + change[1])
        size = np.abs(z) + np.abs(change[0]) + np.abs(change[1])
        bound = tolerances.AXPY_ULPS * tolerances.EPS[family[0]] * size
        got = z.copy()
        kernels.ger(got, x, c, h if with_h else None)
        assert (np.abs(got - exact) <= bound).all(), n
        one = z[1].copy()
        kernels.axpy(one, x, c[1], h[1] if with_h else None)
        np.testing.assert_array_equal(one, got[1])


@all_families
def test_axpy_of_unaligned_views_touches_nothing_else(backend, family):
    random = np.random.default_rng(0)
    x, z = values(random, family[0], 150), values(random, family[1], 150)
    h = random.standard_normal(150)
    expected = z.copy()
    kernels.axpy(expected, x, 0.01, h, rng=1)
    for start_z, start_x in itertools.product([1, 3, 17], [0, 1, 5]):
        got = shifted(z, start_z)
        kernels.axpy(got, shifted(x, start_x), 0.01, h, rng=1)
        np.testing.assert_array_equal(got, expected)
        around = np.delete(
            got.base, np.arange(150) + (got.ctypes.data - got.base.ctypes.data) // got.itemsize
        )
        assert not around.any()


@pytest.mark.parametrize("dtype", [I8, I16, F32, F64], ids=str)
def test_axpy_of_a_vector_with_itself(backend, dtype):
    """What folds an l2 factor into a model: z <- z - c z."""
    z = values(np.random.default_rng(0), dtype, 1300)
    expected = z.copy()
    kernels.axpy(expected, z, 0.125, rng=1)
    got = z.copy()
    kernels.axpy(got, got, 0.125, rng=1)
    np.testing.assert_array_equal(got, expected)
    if dtype.kind == "i":
        np.testing.assert_array_equal(got, reference.axpy(z, z, 0.125, None, ReferenceRng(1)))


@integer_families
def test_updates_saturate_at_the_symmetric_range(backend, family):
    top = reference.largest(family[1])
    x = np.array([1, -1, 0] * 50, family[0])
    for sign in (1, -1):
        z = np.full(150, sign * top, family[1])
        kernels.axpy(z, x, 3.0, rng=0)
        assert z[:3].tolist() == ([top - 3, top, top] if sign > 0 else [-top, 3 - top, -top])


@st.composite
def updates(draw):
    """Arguments of an integer axpy: any length, values, step and constant."""
    family = draw(st.sampled_from(INTEGER_FAMILIES))
    n = draw(st.integers(0, 300))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    sparse = random.random(n) < draw(st.floats(0, 1))
    x, z = (np.where(sparse, 0, values(random, dtype, n)).astype(dtype) for dtype in family)
    c = draw(
        st.floats(-300, 300) | st.floats(-1, 1) | st.floats(allow_nan=False, allow_infinity=False)
    )
    scale = draw(
        st.none() | st.floats(-1e3, 1e3) | st.floats(allow_nan=False, allow_infinity=False)
    )
    h = None if scale is None else scale * np.where(sparse, 0, random.uniform(-1, 1, n))
    return (
        z,
        x,
        c,
        h,
        draw(st.integers(0, 2**64 - 1)),
        draw(st.sampled_from(["stochastic", "nearest"])),
    )


@given(updates())
def test_any_integer_axpy_is_exact(backend, update):
    z, x, c, h, seed, rounding = update
    got = z.copy()
    kernels.axpy(got, x, c, h, seed, rounding)
    expected = reference.axpy(z, x, c, h, ReferenceRng(seed, rounding))
    np.testing.assert_array_equal(got, expected)


@integer_families
def test_a_small_update_lands_on_a_neighbour(backend, family):
    """Without saturation the result is within one unit, and 2**-8 of one, of the exact value."""
    random = np.random.default_rng(0)
    top = reference.largest(family[0])
    x = random.integers(-top, top + 1, 2000).astype(family[0])
    for c, size in [(0.3 / top, 0.3), (9 / top, 4.0), (40 / top, 0.0)]:
        z = random.integers(-50, 51, 2000).astype(family[1])
        h = size * random.uniform(-1, 1, 2000)
        exact = z - (c * x + h)
        kernels.axpy(z, x, c, h, rng=1)
        # c is rounded too, which moves int16 updates by less than half a unit more (F bits of c).
        slack = 2**-8 if family[1] == I8 else 0.5
        assert np.abs(z - exact).max() < 1 + slack


@given(
    st.sampled_from(["D8M8", "D8M16", "D16M16"]),
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e3),
    st.integers(1, 3),
    st.integers(1, 200),
)
def test_encode_h(precision, scale, factor, rows, n):
    h = scale * np.random.default_rng(0).uniform(-1, 1, (rows, n))
    encoded, exponent, wide = _kernels.encode_h(h, factor, precision)
    assert encoded.shape == (rows, -(-n // 64) * 64)
    j = np.arange(n)
    if precision == "D8M8":
        expected, expected_exponent = reference.encode_h_i8(h, factor)
        got = encoded[:, reference.lane_i8(j)]
        assert wide == (np.abs(h).max() * abs(factor) * 2**exponent > 2**13 - 1)
    else:
        fraction = 16 if precision == "D16M16" else 8
        expected, expected_exponent = reference.encode_h_i16(h, fraction, factor)
        got = encoded[:, j]
        assert not wide
    assert exponent == expected_exponent
    np.testing.assert_array_equal(got, expected)
    assert np.count_nonzero(encoded) == np.count_nonzero(expected)  # padded with zeros


# ---- quantize and dequantize ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("rounding", ["stochastic", "nearest"])
def test_quantize_is_exact(backend, dtype, bits, rounding):
    random = np.random.default_rng(0)
    integer = kernels.INTEGERS[bits]
    rng, oracle = kernels.Rng(11, rounding), ReferenceRng(11, rounding)
    for n in LENGTHS:
        x = 3 * values(random, dtype, n)
        scale = float(random.uniform(1, 4)) / reference.largest(integer)  # some saturate
        q, used = kernels.quantize(x, bits, scale, rng=rng)
        assert (q.dtype, used) == (integer, scale)
        np.testing.assert_array_equal(q, reference.quantize(x, scale, integer, oracle), f"{n}")


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
@pytest.mark.parametrize("bits", [8, 16])
def test_dequantize_is_exact(backend, dtype, bits):
    random = np.random.default_rng(0)
    for n in LENGTHS:
        q = values(random, kernels.INTEGERS[bits], n)
        got = kernels.dequantize(q, 0.0123, dtype)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, (q * 0.0123).astype(dtype))


# A unit of subnormal numbers would underflow.
@given(
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=80),
    st.sampled_from([8, 16]),
    st.sampled_from(["stochastic", "nearest"]),
)
def test_quantization_is_within_a_unit_and_saturates_nothing_by_default(backend, x, bits, rounding):
    x = np.array(x)
    q, scale = kernels.quantize(x, bits, rounding=rounding, rng=0)
    top = reference.largest(q.dtype)
    assert np.abs(q).max() == (top if x.any() else 0) or rounding == "stochastic"
    error = np.abs(x - kernels.dequantize(q, scale, np.float64)) / scale
    # 16 bits of the fraction, and the rounding of a product and a quotient of up to 2**15 units.
    assert error.max() <= (0.5 if rounding == "nearest" else 1.0) + 2**-16


@given(st.integers(1, 200), st.sampled_from([8, 16]), st.sampled_from([F32, F64]))
def test_quantizing_representable_numbers_changes_nothing(backend, n, bits, dtype):
    q = values(np.random.default_rng(n), kernels.INTEGERS[bits], n)
    x = kernels.dequantize(q, 0.25, dtype)
    for rounding in ("stochastic", "nearest"):
        again, _ = kernels.quantize(x, bits, 0.25, rounding, rng=n)
        np.testing.assert_array_equal(again, q)


def test_quantize_takes_any_shape(backend):
    x = np.random.default_rng(0).standard_normal((5, 3, 7)).astype(np.float32)
    q, scale = kernels.quantize(x, rng=1)
    flat, _ = kernels.quantize(x.ravel(), rng=1)
    np.testing.assert_array_equal(q.ravel(), flat)
    assert q.shape == kernels.dequantize(q, scale).shape == x.shape
    scalar, _ = kernels.quantize(np.float64(3.0))
    assert (scalar.shape, int(scalar)) == ((), 127)
    for empty in (np.zeros(0), np.zeros((3, 0))):
        q, scale = kernels.quantize(empty)
        assert (q.shape, scale) == (empty.shape, 1.0)
    assert kernels.quantize(np.zeros(4))[1] == 1.0
    strided = x[:, ::2, 1]
    np.testing.assert_array_equal(
        kernels.quantize(strided, rng=1)[0], kernels.quantize(strided.copy(), rng=1)[0]
    )


# ---- The same bits everywhere --------------------------------------------------------------------


def sequence_of_calls(rng):
    """Updates and quantizations of all kinds that share a random state: everything they produce."""
    random = np.random.default_rng(1)
    results = []
    for n in (1, 50, 700, 2100):
        for x_dtype, z_dtype in INTEGER_FAMILIES:
            x, z = values(random, x_dtype, n), values(random, z_dtype, (3, n)).copy()
            for c in (1e-4, 0.02, -0.3, 2.5):
                kernels.axpy(z[0], x, c, random.standard_normal(n), rng)
                kernels.ger(z, x, c * random.standard_normal(3), None, rng)
            results += [z, kernels.gemv(x, z)]
        results.append(kernels.quantize(random.standard_normal(n), 8, rng=rng)[0])
        results.append(kernels.quantize(random.standard_normal(n), 16, rng=rng)[0])
    return results


def test_a_sequence_of_calls_gives_the_same_bits_on_every_backend(backend):
    with kernels.use("scalar"):
        expected = sequence_of_calls(kernels.Rng(5))
    for got, wanted in zip(sequence_of_calls(kernels.Rng(5)), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_a_state_goes_on_from_call_to_call():
    one, two = np.zeros((2, 500), np.int8)
    rng = kernels.Rng(1)
    for z in (one, two):
        kernels.axpy(z, z, 0.0, np.full(500, 0.5), rng)
    assert not np.array_equal(one, two)
    again = np.zeros(500, np.int8)
    kernels.axpy(again, again, 0.0, np.full(500, 0.5), rng=1)
    np.testing.assert_array_equal(again, one)


def test_without_a_seed_the_rounding_differs_from_call_to_call():
    results = []
    for _ in range(2):
        z = np.zeros(500, np.int8)
        kernels.axpy(z, z, 0.0, np.full(500, 0.5))
        results.append(z)
    assert not np.array_equal(*results)  # alike with probability 2**-500


@pytest.mark.parametrize("copy", [kernels.Rng.copy, lambda rng: pickle.loads(pickle.dumps(rng))])
@pytest.mark.parametrize("rounding", ["stochastic", "nearest"])
def test_a_copied_state_goes_on_alike_and_independently(copy, rounding):
    rng = kernels.Rng(3, rounding)
    sequence_of_calls(rng)
    twin, third = copy(rng), copy(rng)
    expected = sequence_of_calls(rng)
    assert twin.rounding == rounding
    for got, wanted in zip(sequence_of_calls(twin), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    for got, wanted in zip(sequence_of_calls(third), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_rng_describes_itself_and_checks_its_arguments():
    assert repr(kernels.Rng(1)) == "Rng(rounding='stochastic')"
    assert kernels.Rng(np.int64(1), "nearest").rounding == "nearest"
    with pytest.raises(ValueError, match="rounding must be 'stochastic' or 'nearest', got 'up'"):
        kernels.Rng(1, "up")
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="a seed must be in 0"):
            kernels.Rng(seed)
    for seed in (1.0, "1"):
        with pytest.raises(TypeError, match="a seed must be an integer, got"):
            kernels.Rng(seed)
    with pytest.raises(ValueError, match="bytes of state, got 3"):
        _kernels._rng_from_bytes(b"abc")


# ---- What is refused: clearly, and with nothing changed ------------------------------------------


def refuse(error, match, call, z, *args, **options):
    """The call raises, and changes neither its output nor its random state."""
    rng = kernels.Rng(1)
    state = pickle.dumps(rng)
    before = np.array(z, copy=True)
    with pytest.raises(error, match=match):
        call(z, *args, **{"rng": rng, **options})
    np.testing.assert_array_equal(z, before)
    assert pickle.dumps(rng) == state


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@all_families
def test_numbers_that_are_not_finite_are_refused(family, bad):
    x, z = np.ones(70, family[0]), np.ones(70, family[1])
    h = np.zeros(70)
    h[69] = bad
    refuse(ValueError, "c must be finite", kernels.axpy, z, x, bad)
    refuse(ValueError, "h must be finite", kernels.axpy, z, x, 0.1, h)
    refuse(ValueError, "c must be finite", kernels.ger, z[None], x, [bad])
    refuse(ValueError, "h must be finite", kernels.ger, z[None], x, [0.1], h[None])


@pytest.mark.parametrize("dtype", [I8, I16], ids=str)
def test_the_most_negative_integer_is_refused(backend, dtype):
    top = reference.largest(dtype)
    for n, place in [(1, 0), (64, 63), (65, 64), (300, 17), (5000, 4999)]:
        good, bad = np.ones(n, dtype), np.ones(n, dtype)
        bad[place] = -top - 1
        match = f"must lie in -{top} .. {top}, got -{top + 1}"
        for x, y in ((good, bad), (bad, good)):
            if dtype == I16:
                with pytest.raises(ValueError, match=match):
                    kernels.dot(x, y)
            with pytest.raises(ValueError, match=match):
                kernels.gemv(x, y[None])
            refuse(ValueError, match, kernels.axpy, x, y, 0.1)
            refuse(ValueError, match, kernels.ger, x[None], y, [0.1])
    x, z = np.ones(70, np.int8), np.ones(70, np.int16)
    for bad_x, bad_z in ((x, np.full(70, -32768, np.int16)), (np.full(70, -128, np.int8), z)):
        with pytest.raises(ValueError, match="must lie in"):
            kernels.dot(bad_x, bad_z)


def sum_of_gradients(dtype, rows, n, outputs):
    """Gradient, data, weights, and what accumulate should make of them, with its error bound."""
    random = np.random.default_rng(rows + n)
    g, b = random.standard_normal((outputs, n)), random.standard_normal((rows, outputs))
    x = values(random, dtype, (rows, n))
    wide = x.astype(np.longdouble)
    eps = tolerances.EPS[dtype if dtype in tolerances.EPS else F32]
    size = np.abs(b).max(axis=0, initial=0)[:, None] * np.abs(wide).sum(axis=0)
    return g, x, b, g + b.T @ wide, (rows + 2) * eps * (size + np.abs(g))


@pytest.mark.parametrize("dtype", [I8, I16, F32, F64], ids=str)
@pytest.mark.parametrize("rows", [0, 1, 2, 63, 64, 65, 150])
def test_accumulate_adds_a_weighted_sum_of_rows(backend, dtype, rows):
    for n, outputs in [(0, 1), (1, 1), (64, 3), (129, 10), (1025, 2)]:
        g, x, b, expected, bound = sum_of_gradients(dtype, rows, n, outputs)
        by_scalar = g.copy()
        kernels.accumulate(g, x, b)
        assert (np.abs(g - expected) <= bound).all(), n
        if dtype in (I8, I16):
            with kernels.use("scalar"):
                kernels.accumulate(by_scalar, x, b)
            np.testing.assert_array_equal(g, by_scalar)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"g": np.zeros((2, 5), np.float32)}, TypeError, "g must be float64, got float32"),
        ({"g": np.zeros((2, 4))}, ValueError, "columns of x: got 5, expected 4"),
        ({"x": np.zeros((3, 5), np.int32)}, TypeError, "x must be int8, int16, float32 or"),
        ({"x": np.full((3, 5), -128, np.int8)}, ValueError, "x must lie in -127 .. 127"),
        ({"b": np.zeros((2, 3))}, ValueError, r"b must have shape \(3, 2\), got \(2, 3\)"),
        ({"b": np.full((3, 2), np.nan)}, ValueError, "b must be finite"),
        ({"b": np.full((3, 2), 1e300)}, ValueError, "b must be finite"),
    ],
)
def test_accumulate_refuses(change, error, match):
    given = {"g": np.zeros((2, 5)), "x": np.ones((3, 5), np.float32), "b": np.ones((3, 2))} | change
    before = given["g"].copy()
    with pytest.raises(error, match=match):
        kernels.accumulate(**given)
    np.testing.assert_array_equal(given["g"], before)


def test_accumulate_refuses_to_overwrite_its_data():
    g = np.ones((2, 5))
    with pytest.raises(ValueError, match="x and g overlap"):
        kernels.accumulate(g, g, np.ones((2, 2)))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float16", "bool", "complex64", ">i2", ">f8"])
def test_other_dtypes_are_refused(dtype):
    other, x = np.zeros(5, dtype), np.ones(5, np.int8)
    match = "must be int8, int16, float32 or float64, got "
    for call in (lambda: kernels.dot(other, x), lambda: kernels.gemv(x, other[None])):
        with pytest.raises(TypeError, match=match):
            call()
    refuse(TypeError, match, kernels.axpy, other, x, 0.1)
    refuse(TypeError, match, kernels.axpy, np.ones(5, np.int8), other, 0.1)


@pytest.mark.parametrize(
    ("x", "z"), [(I16, I8), (F32, F64), (F64, F32), (I8, F32), (F32, I8)], ids=str
)
def test_dtypes_that_do_not_go_together_are_refused(x, z):
    data, model = np.ones(5, x), np.ones(5, z)
    refuse(TypeError, f"no kernel for {x} data with a {z} model", kernels.axpy, model, data, 0.1)
    refuse(TypeError, f"no kernel for {x} data", kernels.ger, model[None], data, [0.1])
    with pytest.raises(TypeError, match="no kernel for"):
        kernels.gemv(data, model[None])
    if {x, z} != {I8, I16}:
        with pytest.raises(TypeError, match="no kernel for"):
            kernels.dot(data, model)


@pytest.mark.parametrize("other", [[1, 2, 3, 4, 5], 1, None, "abcde"])
def test_what_is_no_array_is_refused(other):
    x = np.ones(5, np.int8)
    with pytest.raises(TypeError, match="x must be an array, got"):
        kernels.dot(other, x)
    with pytest.raises(TypeError, match="z must be an array, got"):
        kernels.axpy(other, x, 0.1)
    refuse(TypeError, "must be real number", kernels.axpy, x, x.copy(), "much")
    refuse(TypeError, "h must be real", kernels.axpy, x, x.copy(), 0.1, np.ones(5, complex))


def test_shapes_that_do_not_fit_are_refused():
    x, z = np.ones(6, np.int8), np.ones((2, 6), np.int8)
    with pytest.raises(ValueError, match="equal lengths, got 6 and 5"):
        kernels.dot(x, x[:5])
    with pytest.raises(ValueError, match=r"x must have 1 dimension\(s\), got 2"):
        kernels.dot(z, x)
    with pytest.raises(ValueError, match="columns of w: got 6, expected 5"):
        kernels.gemv(x[:5], z)
    refuse(ValueError, "length of x: got 5, expected 6", kernels.axpy, x, np.ones(5, np.int8), 0.1)
    refuse(ValueError, r"z must have 1 dimension\(s\), got 2", kernels.axpy, z, x, 0.1)
    refuse(ValueError, r"z must have 2 dimension\(s\), got 1", kernels.ger, x, x, 0.1)
    refuse(ValueError, "length of x: got 5, expected 6", kernels.ger, z, x[:5], [0.1, 0.1])
    refuse(ValueError, r"c must have shape \(2,\), got \(3,\)", kernels.ger, z, x, [0.1] * 3)
    refuse(ValueError, r"h must have shape \(6,\), got \(5,\)", kernels.axpy, x, x, 0.1, np.ones(5))
    refuse(
        ValueError, r"h must have shape \(2, 6\), got \(6,\)", kernels.ger, z, x, [1, 1], np.ones(6)
    )


def test_arrays_that_are_not_contiguous_or_aligned_are_refused():
    wide = np.ones((10, 20), np.int16)
    for strided in (wide[0, ::2], wide[:, 0], wide[0, ::-2]):
        with pytest.raises(ValueError, match="must be C-contiguous"):
            kernels.dot(strided, np.ones(10, np.int16))
        refuse(
            ValueError, "z must be C-contiguous", kernels.axpy, strided, np.ones(10, np.int16), 0.1
        )
    for matrix in (wide.T, wide[:, :5]):
        with pytest.raises(ValueError, match="w must be C-contiguous"):
            kernels.gemv(np.ones(matrix.shape[1], np.int16), matrix)
    between = np.zeros(33, np.int8)[1:].view(np.int16)
    with pytest.raises(ValueError, match="must be aligned"):
        kernels.dot(between, between)


@all_families
def test_arrays_that_overlap_are_refused(family):
    block = np.ones(1000, np.int64)
    x, z = block.view(family[0])[:90], block.view(family[1])[20:110]
    refuse(ValueError, "x and z overlap", kernels.axpy, z, x, 0.1)
    refuse(ValueError, "x and z overlap", kernels.ger, z.reshape(2, 45), x[45:], [0.1, 0.1])
    if family[0] == family[1]:
        refuse(ValueError, "x and z overlap", kernels.ger, z.reshape(2, 45), z[:45], [0.1, 0.1])
        kernels.ger(z[None], z, [0.0])
    kernels.axpy(z, block.view(family[0])[300:390], 0.1)


def test_what_float32_cannot_hold_is_refused():
    z = np.ones(3, np.float32)
    refuse(ValueError, "c must be finite in float32, got 1e\\+300", kernels.axpy, z, z, 1e300)
    refuse(ValueError, "h must be finite", kernels.axpy, z, z, 0.1, np.full(3, 1e300))


def test_read_only_arrays_are_read_and_never_written(backend):
    x = values(np.random.default_rng(0), I8, 70)
    assert kernels.dot(x, x) == reference.dot(x, x)
    refuse(ValueError, "z: .*read-only", kernels.axpy, x, x, 0.1)
    refuse(ValueError, "z: .*read-only", kernels.ger, x[None], x, [0.1])
    z, h = np.zeros(70, np.int8), np.ones(70)
    h.flags.writeable = False
    kernels.axpy(z, x, 0.1, h, rng=0)
    np.testing.assert_array_equal(z, reference.axpy(0 * x, x, 0.1, h, ReferenceRng(0)))


def test_bad_rounding_and_seeds_are_refused():
    z, x = np.ones(5, np.int8), np.ones(5, np.int8)
    match = "rounding must be 'stochastic' or 'nearest', got 'down'"
    refuse(ValueError, match, kernels.axpy, z, x, 0.1, rng=1, rounding="down")
    refuse(ValueError, match, kernels.ger, z[None], x, [0.1], rng=1, rounding="down")
    refuse(ValueError, "a seed must be in 0", kernels.axpy, z, x, 0.1, rng=-1)
    refuse(TypeError, "a seed must be an integer", kernels.axpy, z, x, 0.1, rng="abc")
    with pytest.raises(ValueError, match=match):
        kernels.quantize(np.ones(3), rounding="down")


def test_quantize_and_dequantize_check_their_arguments():
    x = np.ones(5)
    for bits in (4, 32, "8"):
        with pytest.raises(ValueError, match="bits must be 8 or 16, got"):
            kernels.quantize(x, bits)
    for scale in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="scale must be finite and positive"):
            kernels.quantize(x, scale=scale)
        with pytest.raises(ValueError, match="scale must be finite and positive"):
            kernels.dequantize(x.astype(np.int8), scale)
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="x must be finite"):
            kernels.quantize(np.array([1.0, bad, 2.0]))
    with pytest.raises(TypeError, match="x must be float32 or float64, got int64"):
        kernels.quantize([1, 2])
    with pytest.raises(TypeError, match="q must be int8 or int16, got float64"):
        kernels.dequantize(x, 1.0)
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got int8"):
        kernels.dequantize(x.astype(np.int8), 1.0, np.int8)


def test_the_inner_quantizers_check_dtypes_and_lengths():
    """Solvers call them without the checks of their public faces."""
    x, q = np.ones(5), np.ones(5, np.int8)
    with pytest.raises(TypeError, match="cannot quantize int8 to int8"):
        _kernels.quantize_into(q, q.copy(), 1.0, kernels.Rng(0))
    with pytest.raises(TypeError, match="cannot dequantize float64 to float64"):
        _kernels.dequantize_into(x, x.copy(), 1.0)
    with pytest.raises(ValueError, match="length of q: got 4, expected 5"):
        _kernels.quantize_into(x, q[:4], 1.0, kernels.Rng(0))
    with pytest.raises(ValueError, match="length of x: got 4, expected 5"):
        _kernels.dequantize_into(q, x[:4], 1.0)


# ---- Choosing a backend --------------------------------------------------------------------------


def test_use_chooses_for_good_or_for_a_block():
    before = kernels.active()
    try:
        kernels.use("scalar")
        assert kernels.active() == "scalar"
        with kernels.use(kernels.backends()[0]):
            assert kernels.active() == kernels.backends()[0]
        assert kernels.active() == "scalar"
    finally:
        kernels.use(before)
    with pytest.raises(ZeroDivisionError), kernels.use("scalar"):
        raise ZeroDivisionError
    assert kernels.active() == before


def test_backends_are_listed_best_first():
    usable = kernels.backends()
    assert usable[-1] == "scalar"
    assert usable == [name for name in kernels.compiled() if name in usable]
    levels = kernels.build_info()["levels"]
    assert set(levels) == set(kernels.compiled())


def test_an_unknown_backend_is_refused_and_the_usable_ones_listed():
    before = kernels.active()
    for name in ("sse9", "", "SCALAR"):
        with pytest.raises(
            kernels.BackendError, match=f"{name!r} is not compiled in; usable here: "
        ) as e:
            kernels.use(name)
        assert str(e.value).endswith(", ".join(kernels.backends()))
    assert kernels.active() == before


@pytest.mark.parametrize(
    ("isa", "code", "said"),
    [
        ("scalar", 0, "scalar\n"),
        (kernels.backends()[0], 0, f"{kernels.backends()[0]}\n"),
        ("sse9", 1, f"usable here: {', '.join(kernels.backends())}\n"),
    ],
)
def test_the_environment_variable_chooses_a_backend(isa, code, said):
    done = subprocess.run(
        [sys.executable, "-c", "from halpbench import kernels; print(kernels.active())"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HALPBENCH_ISA": isa},
    )
    assert (done.returncode, (done.stderr if code else done.stdout).endswith(said)) == (code, True)


def test_a_long_dot_releases_the_gil():
    """Where threads are not switched by force, another one runs only if the GIL is released."""
    x = np.ones(1 << 24, np.int8)
    calls, calls_seen = [0], []

    def work():
        while calls[0] < 1000 and not calls_seen:
            kernels.dot(x, x)
            calls[0] += 1

    interval = sys.getswitchinterval()
    worker = threading.Thread(target=work)
    try:
        sys.setswitchinterval(1000)
        worker.start()
        calls_seen.append(calls[0])
        worker.join()
    finally:
        sys.setswitchinterval(interval)
    assert calls_seen[0] < 1000


def test_time_kernel_counts_nanoseconds_and_checks_names():
    for op, dtype in itertools.product(("dot", "axpy", "gemv", "ger"), kernels.FAMILIES):
        assert kernels.time_kernel(op, dtype, 100, 3, classes=2) > 0
    for op, dtype in itertools.product(("quantize", "dequantize"), ("i8", "i16")):
        assert kernels.time_kernel(op, dtype, 100, 3) > 0
    for dtype in ("i8", "i16", "f32", "f64"):
        assert kernels.time_kernel("accumulate", dtype, 100, 3, classes=2) > 0
    assert kernels.time_kernel("read", "i8", 100_000, 3) > 0
    for arguments in [
        ("sum", "i8", 1, 1),
        ("dot", "i4", 1, 1),
        ("quantize", "f32", 1, 1),
        ("accumulate", "i8i16", 1, 1),
    ]:
        with pytest.raises(ValueError, match=r"unknown op|no kernel"):
            kernels.time_kernel(*arguments)
    for arguments in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 65)]:
        with pytest.raises(ValueError, match="must be positive"):
            kernels.time_kernel("ger", "i8", *arguments)


def test_ceilings_count_nanoseconds(backend):
    for dtype in kernels.FAMILIES:
        assert kernels.time_peak(dtype, 100_000) > 0
    x = np.ones(100_000, np.float32)
    x.flags.writeable = False
    assert kernels.time_read(x, 3) > 0
    with pytest.raises(ValueError, match="got dtype 'i4'; expected one of i8"):
        kernels.time_peak("i4", 1)
    with pytest.raises(TypeError):
        kernels.time_read(np.ones(3, np.complex64), 1)
