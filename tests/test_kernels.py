"""The kernels against their oracles on every backend, their checks, and their rounding."""

import array
import ctypes
import decimal
import fractions
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
from builders import (
    F32,
    F64,
    I8,
    I16,
    INTEGER_FAMILIES,
    all_families,
    float_families,
    in_threads,
    integer_families,
)
from hypothesis import given
from hypothesis import strategies as st
from reference import ReferenceRng

from halpbench import _kernels, kernels

# Around every register width, group of lanes, and block of random lanes (1,024 and 512).
LENGTHS = [0, 1, *(n + i for n in (16, 32, 64, 128, 256, 512, 1024) for i in (-1, 0, 1)), 4099]


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
    """Fold an l2 factor into a model: z <- z - c z."""
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
    with pytest.raises(ValueError, match="no state of an Rng"):
        _kernels._rng_from_bytes(bytes(len(kernels.Rng(1).__reduce__()[1][0])))
    with pytest.raises(TypeError):
        _kernels._rng_from_bytes(None)


def test_a_state_that_was_not_initialized_is_usable():
    """It is the stream of seed 0, and no memory out of bounds."""
    raw, zero = kernels.Rng.__new__(kernels.Rng), kernels.Rng(0)
    for got, wanted in zip(sequence_of_calls(raw), sequence_of_calls(zero), strict=True):
        np.testing.assert_array_equal(got, wanted)


# ---- Threads -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("switching")
@pytest.mark.parametrize("dtype", [I8, I16], ids=str)
def test_a_state_shared_by_threads_serves_one_call_after_another(dtype):
    """All calls are alike: together they get what as many calls of one thread would get."""
    shared, alone = kernels.Rng(1), kernels.Rng(1)
    half = np.full(700, 0.5)

    def draw(rng):
        z = np.zeros(700, dtype)
        kernels.axpy(z, z, 0.0, half, rng)
        return z.tobytes()

    found = in_threads(lambda _: [draw(shared) for _ in range(200)])
    expected = [draw(alone) for _ in range(800)]
    assert sorted(itertools.chain(*found)) == sorted(expected)
    assert draw(shared) == draw(alone)


@pytest.mark.usefixtures("switching")
def test_a_state_shared_by_threads_of_all_dtypes_rounds_to_neighbours():
    """The lanes of the state are cut anew for each dtype: a call must not see those of another."""
    rng = kernels.Rng(1)
    families = [*INTEGER_FAMILIES, None]

    def work(i):
        random = np.random.default_rng(i)
        worst = 0.0
        for _ in range(150):
            if families[i] is None:
                x = random.uniform(-100, 100, 1500)
                q, _ = kernels.quantize(x, [8, 16][random.integers(2)], 1.0, rng=rng)
                worst = max(worst, np.abs(q - x).max())
                assert rng.copy().rounding == "stochastic"
                continue
            x = random.integers(-9, 10, 1500).astype(families[i][0])
            z = random.integers(-50, 51, 1500).astype(families[i][1])
            h = random.uniform(-3, 3, 1500)
            exact = z - (0.25 * x + h)
            kernels.axpy(z, x, 0.25, h, rng)
            worst = max(worst, np.abs(z - exact).max())
        return worst

    assert max(in_threads(work)) <= 1 + 2**-6


@pytest.mark.usefixtures("switching")
def test_kernels_in_threads_give_what_they_give_alone(backend):
    expected = [sequence_of_calls(kernels.Rng(i)) for i in range(4)]
    found = in_threads(lambda i: sequence_of_calls(kernels.Rng(i)))
    for got, wanted in zip(found, expected, strict=True):
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("switching")
def test_blocks_that_choose_a_backend_in_threads_leave_none_behind():
    before = kernels.active()
    names = itertools.cycle(kernels.backends())
    chosen = [[next(names) for _ in range(300)] for _ in range(4)]
    x = np.arange(-50, 50, dtype=np.int8)

    def work(i):
        for name in chosen[i]:
            with kernels.use(name):
                assert kernels.active() in kernels.backends()
                assert kernels.dot(x, x) == 83350

    in_threads(work)
    assert kernels.active() == before


def test_blocks_that_overlap_restore_what_was_before_the_first():
    before = kernels.active()
    names = ("scalar", kernels.backends()[0], "scalar")
    for order in itertools.permutations(range(3)):
        blocks = dict(enumerate(map(kernels.use, names)))
        for i in order:
            blocks.pop(i).__exit__(None, None, None)
            assert kernels.active() == (names[max(blocks)] if blocks else before)


def test_a_choice_for_good_within_a_block_ends_with_it():
    before = kernels.active()
    with kernels.use("scalar"):
        kernels.use(kernels.backends()[0])
        kernels.use("scalar")
        with kernels.use(kernels.backends()[0]):
            pass
        assert kernels.active() == "scalar"
    assert kernels.active() == before


def test_many_choices_for_good_take_no_memory():
    before = kernels.active()
    for _ in range(100):
        kernels.use("scalar")
        kernels.use(before)
    assert len(kernels.use._choices) < 10


# ---- Refusals: clear, and with nothing changed ---------------------------------------------------


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
    "size",
    [5e-324, 3e-320, 2.0**-1047, 2.0**-1046, 2.3e-308, 1e-280, 2.0**-901, 1e280, 1e300],
    ids=float.hex,
)
def test_accumulate_of_int8_data_is_right_at_both_ends_of_the_doubles(backend, size):
    """Its weights are rounded to 2**-28 of the largest, and are exact where they are subnormal."""
    random = np.random.default_rng(0)
    x = values(random, I8, (70, 40))
    b = size * random.uniform(-1, 1, (70, 2))
    b[0] = size
    g = np.zeros((2, 40))
    kernels.accumulate(g, x, b)
    # Python's integers: nothing is rounded.
    unit = fractions.Fraction(size) / 2**28
    for r, j in itertools.product(range(2), range(40)):
        terms = [
            fractions.Fraction(b_i) * int(x_i) for b_i, x_i in zip(b[:, r], x[:, j], strict=True)
        ]
        error = abs(fractions.Fraction(g[r, j]) - sum(terms))
        slack = 0 if size < 2.0**-1046 else abs(x[:, j].astype(int)).sum() * unit
        assert error <= slack + abs(sum(terms)) / 2**50


@pytest.mark.parametrize("dtype", [I16, F32])
@pytest.mark.parametrize(
    "size", [5e-324, 2.3e-308, 1e-280, 1e-45, 1e-39, 2.0**-65, 1e19, 2.0**64, 3e38, 1e39, 1e300]
)
def test_accumulate_in_float32_is_right_at_both_ends_of_the_doubles(backend, dtype, size):
    """The weights have their own power of two; what is in g already is not lost."""
    random = np.random.default_rng(0)
    x = values(random, dtype, (70, 40))
    b = random.uniform(-1, 1, (70, 2))
    b[0] = 1.0
    b *= size
    start = size * random.uniform(-1, 1, (2, 40))
    g = start.copy()
    kernels.accumulate(g, x, b)
    whole, weights = x.astype(np.longdouble), b.astype(np.longdouble)
    # Eps of float32 for each of 70 terms and for b itself; 5e-324 is the least double.
    bound = 72 * 2.0**-24 * (np.abs(weights).T @ np.abs(whole)) + 5e-324
    assert (np.abs(g - (start + weights.T @ whole)) <= bound).all()
    assert np.abs(g - start).max() > size


def test_accumulate_of_int8_data_takes_the_largest_double(backend):
    most = np.finfo(np.float64).max
    for b in ([[most], [0.0]], [[most], [-most]], [[-most], [most / 2]]):
        g = np.zeros((1, 40))
        kernels.accumulate(g, np.ones((2, 40), np.int8), b)
        np.testing.assert_allclose(g, b[0][0] + b[1][0], rtol=2**-27)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"g": np.zeros((2, 5), np.float32)}, TypeError, "g must be float64, got float32"),
        ({"g": np.zeros((2, 4))}, ValueError, "columns of x: got 5, expected 4"),
        ({"x": np.zeros((3, 5), np.int32)}, TypeError, "x must be int8, int16, float32 or"),
        ({"x": np.full((3, 5), -128, np.int8)}, ValueError, "x must lie in -127 .. 127"),
        ({"b": np.zeros((2, 3))}, ValueError, r"b must have shape \(3, 2\), got \(2, 3\)"),
        ({"b": np.full((3, 2), np.nan)}, ValueError, "b must be finite, got nan"),
        ({"b": np.full((3, 2), -np.inf)}, ValueError, "b must be finite, got -inf"),
        ({"b": np.full((3, 2), 10**400)}, ValueError, "b must be finite, got an integer beyond"),
    ],
)
def test_accumulate_refuses(change, error, match):
    given = {"g": np.zeros((2, 5)), "x": np.ones((3, 5), np.float32), "b": np.ones((3, 2))} | change
    before = given["g"].copy()
    with pytest.raises(error, match=match):
        kernels.accumulate(**given)
    np.testing.assert_array_equal(given["g"], before)


@pytest.mark.parametrize(
    ("data", "model", "most"), [(I8, I8, 127), (I8, I16, 32767), (I16, I16, 8191)]
)
def test_constants_saturate_where_the_documentation_says(backend, data, model, most):
    x = np.zeros(40, data)
    for h in (0.9 * most, 2.0 * most, -3.0 * most):
        z = np.zeros(40, model)
        kernels.axpy(z, x, 0.0, np.full(40, h), rounding="nearest")
        assert set(z) <= {-round(np.clip(h, -most, most)), -round(np.clip(h, -most - 1, most + 1))}


@pytest.mark.parametrize(("model", "most"), [(I8, 128), (I16, 32768)])
def test_steps_saturate_before_they_are_subtracted(backend, model, most):
    x = np.full(40, most - 1, model)
    z = x.copy()
    kernels.axpy(z, x, 3.0, rounding="nearest")
    assert set(z) <= ({1 - most} if model == I8 else {-1, 0})
    w = np.stack([x])
    kernels.update(w, np.stack([x]), [[3.0]], rounding="nearest")
    assert set(w[0]) == {-1} or set(w[0]) == {0}


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


@pytest.mark.parametrize(
    "other",
    [[1, 2, 3, 4, 5], 1, None, "abcde", 10**400, 1j, np.ndarray, {}, range(5)],
    ids=lambda other: type(other).__name__,
)
def test_what_is_no_array_is_refused(other):
    x, g = np.ones(5, np.int8), np.zeros((1, 5))
    for call in (
        lambda: kernels.dot(other, x),
        lambda: kernels.gemv(other, x[None]),
        lambda: kernels.axpy(x.copy(), other, 0.1),
        lambda: kernels.ger(x[None].copy(), other, [0.1]),
        lambda: kernels.accumulate(g, other, [[1.0]]),
    ):
        with pytest.raises(TypeError, match="x must be an array, got"):
            call()
    for call in (lambda: kernels.axpy(other, x, 0.1), lambda: kernels.ger(other, x, [0.1])):
        with pytest.raises(TypeError, match="z must be an array, got"):
            call()
    with pytest.raises(TypeError, match="y must be an array, got"):
        kernels.dot(x, other)
    with pytest.raises(TypeError, match="w must be an array, got"):
        kernels.gemv(x, other)
    with pytest.raises(TypeError, match="g must be an array, got"):
        kernels.accumulate(other, x[None], [[1.0]])


NO_ARRAYS_OF_OURS = [
    b"abcde",
    bytearray(5),
    memoryview(b"abcde"),
    memoryview(np.ones(5)).cast("B"),
    array.array("i", range(5)),
    (ctypes.c_int * 5)(),
    (ctypes.c_ubyte * 5)(),
    (ctypes.c_double.__ctype_be__ * 5)(),
    np.ones(5, complex),
    np.ones(5, bool),
    np.ones(5, np.longdouble),
    np.array(["a"] * 5),
    np.array([b"a"] * 5),
    np.array([1, 10**400, None, "a", 1.0], object),
    np.zeros(5, "datetime64[s]"),
    np.zeros(5, "V4"),
    np.zeros(5, [("a", np.int8), ("b", np.float64)]),
]


@pytest.mark.parametrize("other", NO_ARRAYS_OF_OURS, ids=lambda other: type(other).__name__)
def test_arrays_of_other_items_are_refused_wherever_they_are_given(other):
    x, match = np.ones(5, np.float64), "must be int8, int16, float32 or float64, got "
    matrix = other.reshape(1, 5) if isinstance(other, np.ndarray) else None
    calls = [
        lambda: kernels.dot(other, x),
        lambda: kernels.dot(x, other),
        lambda: kernels.gemv(other, x[None]),
        lambda: kernels.axpy(x.copy(), other, 0.1),
        lambda: kernels.ger(x[None].copy(), other, [0.1]),
    ]
    if matrix is not None:
        calls += [
            lambda: kernels.axpy(other, x, 0.1),
            lambda: kernels.ger(matrix, x, [0.1]),
            lambda: kernels.gemv(x, matrix),
            lambda: kernels.accumulate(matrix, x[None], [[1.0]]),
            lambda: kernels.accumulate(np.zeros((1, 5)), matrix, [[1.0]]),
        ]
    for call in calls:
        with pytest.raises(TypeError, match=match):
            call()
    for call in (kernels.quantize, lambda q: kernels.dequantize(q, 1.0)):
        with pytest.raises(TypeError, match="must be"):
            call(other)


def with_interface(z):
    """An object that shows an array by its interface alone."""

    class Shown:
        __array_interface__ = z.__array_interface__

    Shown.keep = z
    return Shown()


def with_struct(z):
    class Shown:
        __array_struct__ = z.__array_struct__

    Shown.keep = z
    return Shown()


def in_ctypes(z):
    """A ctypes array of the same memory."""
    kind = {"b": ctypes.c_byte, "h": ctypes.c_short, "f": ctypes.c_float, "d": ctypes.c_double}
    for length in reversed(z.shape):
        kind = (kind[z.dtype.char] if isinstance(kind, dict) else kind) * length
    return kind.from_buffer(z)


@pytest.mark.parametrize(
    "face", [memoryview, with_interface, with_struct, in_ctypes], ids=lambda face: face.__name__
)
@all_families
def test_whatever_shows_an_array_is_read_and_written_in_place(face, family):
    random = np.random.default_rng(0)
    x, z = (random.integers(-9, 10, s).astype(t) for s, t in zip((6, (2, 6)), family, strict=True))
    h, c, b = 0.5 * random.standard_normal((2, 6)), np.array([0.5, 1.5]), np.ones((2, 3))
    assert kernels.dot(face(x), face(z[0])) == kernels.dot(x, z[0])
    np.testing.assert_array_equal(kernels.gemv(face(x), face(z)), kernels.gemv(x, z))
    expected, got = z.copy(), z.copy()
    kernels.ger(expected, x, c, h, rng=1)
    kernels.ger(face(got), face(x), face(c), face(h), rng=1)
    np.testing.assert_array_equal(got, expected)
    kernels.axpy(expected[0], x, 0.5, h[0], rng=1)
    kernels.axpy(face(got[0]), face(x), 0.5, face(h[0]), rng=1)
    np.testing.assert_array_equal(got, expected)
    expected, got = np.zeros((3, 6)), np.zeros((3, 6))
    rows = np.array([x, x])
    kernels.accumulate(expected, rows, b)
    kernels.accumulate(face(got), face(rows), face(b))
    np.testing.assert_array_equal(got, expected)


def test_whatever_makes_an_array_is_read_and_not_written():
    class Made:
        def __array__(self, dtype=None, copy=None):
            return np.arange(5.0)

    x = np.ones(5)
    assert kernels.dot(Made(), x) == 10
    with pytest.raises(TypeError, match="z is written to and must be an array that has a buffer"):
        kernels.axpy(Made(), x, 0.1)
    with pytest.raises(TypeError, match="g is written to"):
        kernels.accumulate(Made(), x[None], [[1.0]])


def test_sums_in_a_memoryview_of_another_dtype_are_refused():
    with pytest.raises(TypeError, match="g must be float64, got float32"):
        kernels.accumulate(memoryview(np.zeros((1, 5), np.float32)), np.ones((2, 5)), [[1], [1]])


BAD_NUMBERS = [
    (1 + 2j, TypeError),
    (np.complex128(1 + 0j), TypeError),
    (np.array(1 + 0j), TypeError),
    ("1.0", TypeError),
    (np.str_("1.0"), TypeError),
    (b"1", TypeError),
    (np.bytes_(b"1"), TypeError),
    (True, TypeError),
    (np.True_, TypeError),
    (None, TypeError),
    (np.array(None, object), TypeError),
    (np.array("1", object), TypeError),
    (np.array(True, object), TypeError),
    (np.datetime64(1, "s"), TypeError),
    ([1.0], ValueError),
    (np.ones(1), ValueError),
    (np.ones((2, 2)), ValueError),
    (10**400, ValueError),
    (-(10**5000), ValueError),
    (fractions.Fraction(10**400), ValueError),
    (decimal.Decimal("1e400"), ValueError),
    (decimal.Decimal("nan"), ValueError),
    (np.nan, ValueError),
    (-np.inf, ValueError),
    (np.float32("inf"), ValueError),
]


@pytest.mark.parametrize(("bad", "error"), BAD_NUMBERS, ids=lambda bad: type(bad).__name__)
@all_families
def test_what_is_no_finite_real_number_is_refused(family, bad, error):
    x, z = np.ones(5, family[0]), np.ones(5, family[1])
    refuse(error, "c must be", kernels.axpy, z, x, bad)
    for call in (
        lambda: kernels.quantize(np.ones(3), scale=bad),
        lambda: kernels.dequantize(np.ones(3, np.int8), bad),
    ):
        if bad is not None:
            with pytest.raises(error, match="scale must be"):
                call()


@pytest.mark.parametrize(("bad", "error"), BAD_NUMBERS, ids=lambda bad: type(bad).__name__)
@all_families
def test_arrays_of_what_is_no_finite_real_number_are_refused(family, bad, error):
    """As one of several, where NumPy makes objects of them, and as all."""
    x, z = np.ones(2, family[0]), np.ones(2, family[1])
    mixed = np.empty(2, object)
    mixed[:] = [1.0, None]
    mixed[1] = bad
    lists = [mixed]
    if error is TypeError and np.ndim(bad) == 0:
        lists.append([bad, bad])
    for several in lists:
        refuse(error, "h must be|h must have", kernels.axpy, z, x, 0.1, several)
        refuse(error, "h must be|h must have", kernels.ger, z[None], x, [0.1], [several])
        refuse(error, "c must be|c must have", kernels.ger, np.array([z, z]), x, several)
        g = np.zeros((1, 2))
        with pytest.raises(error, match=r"b must be|b must have"):
            kernels.accumulate(g, np.array([x, x]), np.reshape(several, (2, 1)))
        assert not g.any()


def test_numbers_of_every_real_kind_are_taken():
    z = np.zeros(3)
    halves = [0.5, np.float16(0.5), np.longdouble(0.5), np.array(0.5), np.array(0.5, object)]
    for c in [*halves, fractions.Fraction(1, 2), decimal.Decimal("0.5")]:
        z[:] = 1
        kernels.axpy(z, z, c)
        assert z[0] == 0.5
    for c in (1, np.int8(1), np.uint64(1), np.array(1)):
        z[:] = 3
        kernels.axpy(z, z, c)
        assert z[0] == 0
    for h in (
        [1, 2, 3],
        (1.0, 2.0, 3.0),
        np.arange(1, 4, dtype=np.uint8),
        np.arange(1.0, 4).astype(">f8"),
    ):
        z[:] = 0
        kernels.axpy(z, z, 0, h)
        np.testing.assert_array_equal(z, [-1, -2, -3])
    z[:] = 0
    kernels.axpy(z, z, 0, np.array([fractions.Fraction(1, 2), 2**70, decimal.Decimal(3)]))
    np.testing.assert_array_equal(z, [-0.5, -(2.0**70), -3])


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
def test_data_that_overlap_with_the_output_are_refused(family):
    block = np.ones(1000, np.int64)
    x, z = block.view(family[0])[:90], block.view(family[1])[20:110]
    refuse(ValueError, "x and z overlap", kernels.axpy, z, x, 0.1)
    refuse(ValueError, "x and z overlap", kernels.ger, z.reshape(2, 45), x[45:], [0.1, 0.1])
    if family[0] == family[1]:
        refuse(ValueError, "x and z overlap", kernels.ger, z.reshape(2, 45), z[:45], [0.1, 0.1])
        kernels.ger(z[None], z, [0.0])
    kernels.axpy(z, block.view(family[0])[300:390], 0.1)


def views_of(z, dtype, shape):
    """Arrays of a dtype and shape that share memory with z: before it, at it, and behind it."""
    everything = z.base.view(np.uint8)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    start = z.ctypes.data - z.base.ctypes.data
    offsets = {-(size // 2), -8, 0, 8, z.nbytes // 2}
    for first in sorted({start + offset // 8 * 8 for offset in offsets if -size < offset}):
        view = everything[first : first + size].view(dtype).reshape(shape)
        if np.shares_memory(view, z):
            yield view
            yield view[..., ::-1]


def between(dtype, shape):
    """Small numbers of a dtype, with room around them in the array that they are a view of."""
    count = int(np.prod(shape))
    block = np.zeros(count + 4096 // np.dtype(dtype).itemsize, dtype)
    start = len(block) // 2 // 64 * 64
    z = block[start : start + count].reshape(shape)
    z[...] = np.random.default_rng(0).integers(0, 6, shape)
    z.base[...][:start] = 1
    z.base[...][start + count :] = 2
    return z


@pytest.mark.parametrize("other", [F64, F32, np.dtype(np.int64), I16, I8], ids=str)
@all_families
def test_constants_that_overlap_with_the_output_are_those_before_the_call(family, other):
    """c and h of any dtype, and as any view: the right value is that of a copy."""
    for shape in ((20,), (3, 20)):
        call = kernels.axpy if len(shape) == 1 else kernels.ger
        x = np.arange(20).astype(family[0])
        steps = 0.0 if len(shape) == 1 else np.zeros(3)
        z = between(family[1], shape)
        before = z.base.copy()
        views = [h for h in views_of(z, other, shape) if np.isfinite(h).all()]
        assert len(views) >= 2
        for h in views:
            z.base[...] = before
            expected = z.copy()
            call(expected, x, steps, h.copy(), rng=1)
            call(z, x, steps, h, rng=1)
            np.testing.assert_array_equal(z, expected)


@all_families
def test_step_sizes_that_overlap_with_the_output_are_those_before_the_call(family):
    z = between(family[1], (8, 24))
    before = z.base.copy()
    for c in views_of(z, np.float64 if family[1] == F64 else family[1], (8,)):
        z.base[...] = before
        expected = z.copy()
        x = np.arange(24).astype(family[0])
        kernels.ger(expected, x, c.copy(), None, rng=1)
        kernels.ger(z, x, c, None, rng=1)
        np.testing.assert_array_equal(z, expected)


@pytest.mark.parametrize("dtype", [I8, I16, F32, F64], ids=str)
def test_weights_that_overlap_with_the_sums_are_those_before_the_call(dtype):
    g = between(F64, (4, 30))
    before = g.base.copy()
    x = np.arange(90).astype(dtype).reshape(3, 30)
    for b in views_of(g, np.float64, (3, 4)):
        g.base[...] = before
        expected = g.copy()
        kernels.accumulate(expected, x, b.copy())
        kernels.accumulate(g, x, b)
        np.testing.assert_array_equal(g, expected)


def test_an_h_shifted_by_one_element():
    """z[j] is h of element j + 1: the update of z[j] must not be read there."""
    for dtype in (np.float32, np.float64):
        block = np.arange(21, dtype=dtype)
        kernels.axpy(block[1:], np.ones(20, dtype), 0.0, block[:-1])
        np.testing.assert_array_equal(block, [0, *[1] * 20])


def test_the_inner_quantizers_refuse_to_overwrite_what_they_read():
    block = np.ones(100)
    with pytest.raises(ValueError, match="x and q overlap"):
        _kernels.quantize_into(block[:50], block.view(np.int8)[16:66], 1.0, kernels.Rng(0))
    with pytest.raises(ValueError, match="q and x overlap"):
        _kernels.dequantize_into(block.view(np.int8)[16:66], block[:50], 1.0)
    np.testing.assert_array_equal(block, 1)


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


@all_families
def test_bad_rounding_and_seeds_are_refused(family):
    """Also by floats, which round nothing."""
    z, x = np.ones(5, family[1]), np.ones(5, family[0])
    for bad in ("down", "", "Nearest", b"nearest", 1, True, ["nearest"], "\udcff"):
        match = "rounding must be 'stochastic' or 'nearest', got "
        refuse(ValueError, match, kernels.axpy, z, x, 0.1, rng=1, rounding=bad)
        refuse(ValueError, match, kernels.axpy, z, x, 0.1, rounding=bad)
        refuse(ValueError, match, kernels.ger, z[None], x, [0.1], rng=None, rounding=bad)
        with pytest.raises(ValueError, match=match):
            kernels.quantize(np.ones(3), rounding=bad)
        with pytest.raises(ValueError, match=match):
            kernels.Rng(1, bad)
    for bad in (-1, 2**64, 10**400, 10**5000):
        match = r"a seed must be in 0 \.\. 2\*\*64 - 1, got"
        refuse(ValueError, match, kernels.axpy, z, x, 0.1, rng=bad)
        refuse(ValueError, match, kernels.ger, z[None], x, [0.1], rng=bad, rounding="nearest")
        with pytest.raises(ValueError, match=match):
            kernels.quantize(np.ones(3), rng=bad)
    for bad in ("abc", 1.0, 1j, True, np.True_, b"1", [1], np.random.default_rng(0), int):
        match = "a seed must be an integer, got"
        refuse(TypeError, match, kernels.axpy, z, x, 0.1, rng=bad)
        refuse(TypeError, match, kernels.ger, z[None], x, [0.1], rng=bad)
        with pytest.raises(TypeError, match=match):
            kernels.quantize(np.ones(3), rng=bad, rounding="nearest")


@all_families
def test_a_state_and_a_rounding_that_contradict_each_other_are_refused(family):
    z, x = np.ones(5, family[1]), np.ones(5, family[0])
    for mine, other in itertools.permutations(("stochastic", "nearest")):
        rng = kernels.Rng(0, mine)
        state = pickle.dumps(rng)
        match = f"got rounding='{other}' and an Rng that rounds '{mine}'"
        refuse(ValueError, match, kernels.axpy, z, x, 0.1, rng=rng, rounding=other)
        refuse(ValueError, match, kernels.ger, z[None], x, [0.1], rng=rng, rounding=other)
        with pytest.raises(ValueError, match=match):
            kernels.quantize(np.ones(3), rng=rng, rounding=other)
        assert pickle.dumps(rng) == state
        kernels.axpy(z.copy(), x, 0.1, rng=rng, rounding=mine)


def test_a_state_rounds_in_its_own_way_where_no_rounding_is_given():
    x = np.full(1000, 0.5)
    for options in ({}, {"rounding": "nearest"}):
        q, _ = kernels.quantize(x, scale=1.0, rng=kernels.Rng(0, "nearest"), **options)
        np.testing.assert_array_equal(q, 1)
        q, _ = kernels.quantize(x, scale=1.0, rng=5, rounding="nearest")
        np.testing.assert_array_equal(q, 1)
    q, _ = kernels.quantize(x, scale=1.0, rng=kernels.Rng(0))
    assert 400 < np.count_nonzero(q) < 600


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("integer", [int, np.int8, np.uint8, np.int64])
def test_any_integer_says_how_many_bits(bits, integer):
    q, scale = kernels.quantize([-2.0, 0.0, 1.0], integer(bits), rounding="nearest")
    top = 2 ** (bits - 1) - 1
    assert scale == 2.0 / top
    assert type(scale) is float
    assert q.tolist() == [-top, 0, (top + 1) // 2]


def test_quantize_and_dequantize_take_what_is_not_aligned():
    x = np.frombuffer(b"." + np.array([-2.0, 1.0]).tobytes(), np.float64, offset=1)
    q, scale = kernels.quantize(x, 16, rounding="nearest")
    assert q.tolist() == [-32767, 16384]
    q = np.frombuffer(b"." + q.tobytes(), np.int16, offset=1)
    assert kernels.dequantize(q, scale, np.float64).tolist() == [-2.0, 16384 * scale]


def test_quantize_and_dequantize_check_their_arguments():
    x = np.ones(5)
    for bits in (4, 32, "8", 8.0, True, None, [8], np.array([8]), 10**400):
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
    """Without forced switches of threads another one runs only if the GIL is released."""
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
