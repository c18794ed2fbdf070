"""margins and update: against their oracles on every backend, their checks, and their rounding."""

import itertools
import pickle

import numpy as np
import pytest
import reference
import tolerances
from builders import I16, INTEGER_FAMILIES, all_families, float_families, integer_families
from hypothesis import given
from hypothesis import strategies as st
from reference import ReferenceRng

from halpbench import kernels

# Around every register width, group of lanes, block of lanes and chunk.
LENGTHS = [1, *(n + i for n in (8, 16, 32, 64, 128, 512, 1024, 2048) for i in (-1, 0, 1)), 4099]
BATCHES = [1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 17]  # around every tile
OUTPUTS = [1, 2, 3, 4, 5, 10, 17]


def data(random, dtype, shape):
    """Random numbers of the whole range, some at either end of it; read-only."""
    if dtype.kind == "f":
        array = random.standard_normal(shape).astype(dtype)
    else:
        ends = np.iinfo(dtype)
        array = random.integers(ends.min, ends.max + 1, shape).astype(dtype)
        array[random.random(shape) < 0.1] = ends.max
        array[random.random(shape) < 0.1] = ends.min
    array.flags.writeable = False
    return array


def model(random, dtype, shape):
    """The same in the symmetric range, writable."""
    array = data(random, dtype, shape).copy()
    return array if dtype.kind == "f" else np.maximum(array, -reference.largest(dtype))


def shapes():
    """Every length with some batches and outputs, every batch with every number of outputs."""
    random = np.random.default_rng(5)
    for n in LENGTHS:
        yield int(random.choice(BATCHES)), int(random.choice(OUTPUTS)), n
    for rows, count in itertools.product(BATCHES, OUTPUTS):
        yield rows, count, int(random.integers(1, 200))
    yield from [(64, 2, 1100), (63, 3, 130), (5, 100, 70), (8, 100, 65), (3, 1000, 33)]


# ---- margins -------------------------------------------------------------------------------------


@integer_families
def test_integer_margins_are_exact(backend, family):
    random = np.random.default_rng(0)
    for rows, count, n in shapes():
        x, w = data(random, family[0], (rows, n)), model(random, family[1], (count, n))
        got = kernels.margins(x, w)
        assert got.dtype == np.float64
        expected = x.astype(np.int64) @ w.astype(np.int64).T
        np.testing.assert_array_equal(got, expected, f"{rows} {count} {n}")


@float_families
def test_float_margins_are_as_close_as_any_order_of_summation(backend, family):
    random = np.random.default_rng(0)
    for rows, count, n in shapes():
        x, w = data(random, family[0], (rows, n)), model(random, family[1], (count, n))
        got = kernels.margins(x, w)
        exact = x.astype(np.longdouble) @ w.astype(np.longdouble).T
        bound = tolerances.EPS[family[0]] * n * (np.abs(x) @ np.abs(w).T)
        assert (np.abs(got - exact) <= bound).all(), (rows, count, n)


def test_chunks_of_float32_are_added_in_double(backend):
    """A sum of 2**24 and many ones is exact: ones are lost within a chunk only."""
    n = 9 * 1024
    x, w = np.ones((1, n), np.float32), np.ones((3, n), np.float32)
    w[:, 0] = 2.0**24
    w[:, 1:1024] = 0.0
    assert kernels.margins(x, w).tolist() == [[2.0**24 + 8 * 1024] * 3]


@integer_families
@pytest.mark.parametrize("signs", ["same", "opposite", "alternating"])
def test_the_longest_margins_are_exact(backend, family, signs):
    lowest, top = int(np.iinfo(family[0]).min), reference.largest(family[1])
    for n in (1023, 1024, 2047, 2048, 2049, 65_537, 300_001):
        x, w = np.full((5, n), lowest, family[0]), np.full((3, n), top, family[1])
        if signs != "same":
            w[:, :: 1 if signs == "opposite" else 2] *= -1
        expected = lowest * top * int(np.sign(w[0]).sum(dtype=np.int64))
        assert (kernels.margins(x, w) == expected).all(), n


@all_families
def test_margins_do_not_depend_on_what_else_is_in_the_batch(backend, family):
    random = np.random.default_rng(0)
    x, w = data(random, family[0], (9, 777)), model(random, family[1], (7, 777))
    together = kernels.margins(x, w)
    for rows, count in [(1, 7), (4, 2), (8, 1), (9, 3)]:
        np.testing.assert_array_equal(kernels.margins(x[:rows], w[:count]), together[:rows, :count])


@all_families
def test_margins_of_nothing(backend, family):
    for rows, count, n in [(0, 3, 5), (3, 0, 5), (3, 2, 0), (0, 0, 0)]:
        got = kernels.margins(np.ones((rows, n), family[0]), np.ones((count, n), family[1]))
        assert got.shape == (rows, count)
        assert not got.any()


def test_margins_go_where_they_are_asked_to(backend):
    x, w = np.ones((2, 40), np.int8), np.ones((3, 40), np.int16)
    out = np.full((2, 3), np.nan)
    assert kernels.margins(x, w, out) is out
    assert (out == 40).all()


# ---- update of integers --------------------------------------------------------------------------

# Coefficients per unit of the largest datum: tiny, ordinary, beyond the least exponent.
SIZES = [0.0, 1e-9, 1e-4, 0.01, 0.3, 1.0, 30.0, 1e4, 1e300]
CONSTANTS = [None, 0.2, 1.1, 20.0, 127.0, 1e4, 1e9, 1e300]


def draw_update(random, family, rows, count, n, size, constant):
    x, w = data(random, family[0], (rows, n)), model(random, family[1], (count, n))
    c = size * random.uniform(-1, 1, (rows, count))
    h = None if constant is None else constant * random.uniform(-1, 1, (count, n))
    return w, x, c, h


@integer_families
def test_integer_update_is_exact(backend, family):
    random = np.random.default_rng(0)
    rng, oracle = kernels.Rng(3), ReferenceRng(3)
    for rows, count, n in shapes():
        size = 10.0 ** random.uniform(-5, 1)
        what = draw_update(random, family, rows, count, n, size, random.choice([0.1, 3.0, 300.0]))
        got = what[0].copy()
        kernels.update(got, *what[1:], rng)
        expected = reference.update(*what, oracle)
        np.testing.assert_array_equal(got, expected, f"{rows} {count} {n}")


@integer_families
@pytest.mark.parametrize("rounding", ["stochastic", "nearest"])
def test_integer_update_is_exact_for_every_size(backend, family, rounding):
    random = np.random.default_rng(0)
    rng, oracle = kernels.Rng(7, rounding), ReferenceRng(7, rounding)
    for size, constant, rows in itertools.product(SIZES, CONSTANTS, (1, 8)):
        what = draw_update(random, family, rows, 2, 77, size, constant)
        got = what[0].copy()
        kernels.update(got, *what[1:], rng)
        expected = reference.update(*what, oracle)
        np.testing.assert_array_equal(got, expected, f"{size} {constant} {rows}")


@integer_families
def test_coefficients_that_spend_the_budget_exactly(backend, family):
    """Data and coefficients at their ends, and h, which alone nearly fills its range."""
    budget = 2**14 if family[0] == I16 else 124
    lowest, top = int(np.iinfo(family[0]).min), reference.largest(family[1])
    for exponent, sign, rows in itertools.product((-3, 0, 5), (-1, 1), (1, 4, 62)):
        k = np.full(rows, budget // rows)
        k[0] += budget - k.sum()
        c = sign * k[:, None] * 2.0**-exponent
        for value in (lowest, -lowest - 1):
            x, w = np.full((rows, 70), value, family[0]), np.zeros((1, 70), family[1])
            for constant in (-0.9 * top, 0.9 * top):
                h = np.full(w.shape, constant)
                got = w.copy()
                kernels.update(got, x, c, h, 1)
                np.testing.assert_array_equal(got, reference.update(w, x, c, h, ReferenceRng(1)))


@integer_families
def test_the_state_is_the_same_after_an_update(backend, family):
    """Also where an update takes more blocks than a pool may serve."""
    random = np.random.default_rng(0)
    rng, oracle = kernels.Rng(9), ReferenceRng(9)
    for count in (3, 300, 2, 1):
        what = draw_update(random, family, 2, count, 60, 0.01, None)
        for _ in range(3):
            got = what[0].copy()
            kernels.update(got, *what[1:], rng)
            np.testing.assert_array_equal(got, reference.update(*what, oracle))
        w, x, c = what[0][0], what[1][0], 0.01
        got = w.copy()
        kernels.axpy(got, x.clip(-reference.largest(x.dtype)), c, rng=rng)
        limited = np.maximum(x, -reference.largest(x.dtype))
        np.testing.assert_array_equal(got, reference.axpy(w, limited, c, None, oracle))


@integer_families
def test_updates_saturate_at_the_symmetric_range(backend, family):
    top = reference.largest(family[1])
    x = np.array([[1, -1, 0] * 50, [1, -1, 0] * 50], family[0])
    for sign in (1, -1):
        w = np.full((1, 150), sign * top, family[1])
        kernels.update(w, x, [[2.0], [1.0]], rng=0)
        assert w[0, :3].tolist() == ([top - 3, top, top] if sign > 0 else [-top, 3 - top, -top])


@st.composite
def updates(draw):
    """Arguments of an integer update: any shape, values, coefficients and constant."""
    family = draw(st.sampled_from(INTEGER_FAMILIES))
    rows, count, n = draw(st.integers(1, 64)), draw(st.integers(0, 4)), draw(st.integers(0, 150))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    x, w = data(random, family[0], (rows, n)), model(random, family[1], (count, n))
    numbers = st.floats(-300, 300) | st.floats(-1, 1) | st.floats(-1e308, 1e308)
    one = st.lists(numbers, min_size=rows, max_size=rows)
    c = np.array([draw(one) for _ in range(count)], np.float64).reshape(count, rows).T
    scale = draw(st.none() | st.floats(-1e3, 1e3) | st.floats(-1e308, 1e308))
    h = None if scale is None else scale * random.uniform(-1, 1, (count, n))
    seed = draw(st.integers(0, 2**64 - 1))
    return w, x, c, h, seed, draw(st.sampled_from(["stochastic", "nearest"]))


@given(updates())
def test_any_integer_update_is_exact(backend, arguments):
    w, x, c, h, seed, rounding = arguments
    got = w.copy()
    kernels.update(got, x, c, h, seed, rounding)
    np.testing.assert_array_equal(got, reference.update(w, x, c, h, ReferenceRng(seed, rounding)))


# ---- Rounding ------------------------------------------------------------------------------------

MEAN_DRAWS = 20_000


@integer_families
@pytest.mark.parametrize("rows", [1, 4, 16])
def test_update_is_unbiased(family, rows):
    """The mean error over all columns of many updates, in standard errors.

    Each column's error has a variance of at most 1/4 plus that of its coefficients, and columns of
    an update share the coefficients: the mean over the columns of one update is taken as one
    observation, of which there are so many that a bias of a hundredth of a unit would lie ten
    standard errors away.
    """
    random = np.random.default_rng(1)
    n, top = 48, 20
    x = random.integers(-top, top + 1, (rows, n)).astype(family[0])
    c = 0.3 * random.uniform(-1, 1, (rows, 1)) / rows
    h = random.uniform(-2, 2, (1, n))
    exact = (c.T @ x + h)[0]
    rng = kernels.Rng(2)
    errors = np.empty((MEAN_DRAWS, n))
    for draw in errors:
        w = np.zeros((1, n), family[1])
        kernels.update(w, x, c, h, rng)
        draw[:] = -w[0] - exact
    standard_error = errors.std(axis=0) / np.sqrt(MEAN_DRAWS)
    assert standard_error.max() < 0.006
    assert (np.abs(errors.mean(axis=0)) < 5 * standard_error).all()
    of_all = errors.mean(axis=1)
    assert abs(of_all.mean()) < 5 * of_all.std() / np.sqrt(MEAN_DRAWS) < 0.01


@integer_families
def test_rounding_adds_no_more_variance_than_it_must(family):
    """f (1 - f) of the sum's fraction f: what one rounding of a real number has."""
    n = 64
    x, c = np.ones((2, n), family[0]), np.array([[0.25], [0.125]])  # exact at any exponent
    rng = kernels.Rng(4)
    steps = np.empty((5000, n))
    for step in steps:
        w = np.zeros((1, n), family[1])
        kernels.update(w, x, c, None, rng)
        step[:] = -w[0]
    assert set(np.unique(steps)) == {0.0, 1.0}
    variance = 0.375 * 0.625
    assert abs(steps.mean() - 0.375) < 6 * np.sqrt(variance / 5000 / 8)  # lanes are reused
    assert abs(steps.var() / variance - 1) < 0.05


# ---- update of floats ----------------------------------------------------------------------------


@float_families
def test_float_update(backend, family):
    random = np.random.default_rng(0)
    for rows, count, n in shapes():
        for constant in (None, 2.0):
            w, x, c, h = draw_update(random, family, rows, count, n, 1.0, constant)
            wide = x.astype(np.longdouble)
            exact = w - (c.T @ wide + (0.0 if h is None else h))
            size = np.abs(w) + np.abs(c).T @ np.abs(wide) + (0.0 if h is None else np.abs(h))
            kernels.update(w, x, c, h)
            bound = (rows + 3) * tolerances.EPS[family[0]] * size
            assert (np.abs(w - exact) <= bound).all(), (rows, count, n)


@all_families
def test_update_of_unaligned_views_touches_nothing_else(backend, family):
    random = np.random.default_rng(0)
    w, x, c, h = draw_update(random, family, 5, 3, 77, 0.1, 1.0)
    expected = w.copy()
    kernels.update(expected, x, c, h, 1)
    for start_w, start_x in itertools.product([1, 3, 17], [0, 1, 5]):
        block, rows = np.zeros(w.size + 64, w.dtype), np.zeros(x.size + 64, x.dtype)
        got = block[start_w : start_w + w.size].reshape(w.shape)
        near = rows[start_x : start_x + x.size].reshape(x.shape)
        got[...], near[...] = w, x
        kernels.update(got, near, c, h, 1)
        np.testing.assert_array_equal(got, expected)
        assert not block[:start_w].any()
        assert not block[start_w + w.size :].any()


@all_families
def test_constants_that_are_the_model_itself(backend, family):
    """h and c are taken as they were before the call."""
    random = np.random.default_rng(0)
    w, x, _, _ = draw_update(random, family, 3, 3, 3, 0.0, None)
    if family[1].kind == "i":
        w //= 64
    expected = w.copy()
    kernels.update(expected, x, w.astype(np.float64).copy(), w.astype(np.float64).copy(), 5)
    kernels.update(w, x, w, w, 5)
    np.testing.assert_array_equal(w, expected)


# ---- Checks --------------------------------------------------------------------------------------


def good():
    return np.zeros((3, 8), np.int8), np.ones((2, 8), np.int8), np.ones((2, 3))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": np.ones((2, 7), np.int8)}, ValueError, "columns of x: got 7, expected 8"),
        ({"x": np.ones(8, np.int8)}, ValueError, "dimension"),
        ({"x": np.ones((2, 8), np.int16)}, TypeError, "int16 data with a int8 model"),
        ({"x": np.ones((2, 8), np.uint8)}, TypeError, "got uint8"),
        ({"x": np.ones((2, 16), np.int8)[:, ::2]}, ValueError, "contiguous"),
        ({"x": np.ones((0, 8), np.int8), "c": np.ones((0, 3))}, ValueError, "1 to 64 rows, got 0"),
        ({"x": np.ones((65, 8), np.int8)}, ValueError, "1 to 64 rows, got 65"),
        ({"w": np.full((3, 8), -128, np.int8)}, ValueError, "-127 .. 127, got -128"),
        ({"c": np.ones((3, 2))}, ValueError, r"shape \(2, 3\), got \(3, 2\)"),
        ({"c": np.full((2, 3), np.nan)}, ValueError, "c must be finite"),
        ({"h": np.ones(8)}, ValueError, r"shape \(3, 8\), got \(8,\)"),
        ({"h": np.full((3, 8), np.inf)}, ValueError, "h must be finite"),
        ({"h": np.ones((3, 8), complex)}, TypeError, "h must be real"),
        ({"rounding": "up"}, ValueError, "rounding must be"),
        ({"rng": -1}, ValueError, "seed"),
    ],
)
def test_update_refuses(change, error, message):
    w, x, c = good()
    arguments = {"w": w, "x": x, "c": c} | change
    before = arguments["w"].copy()
    with pytest.raises(error, match=message):
        kernels.update(**arguments)
    np.testing.assert_array_equal(arguments["w"], before)


def test_update_refuses_what_float32_cannot_hold():
    w, x = np.zeros((1, 4), np.float32), np.ones((1, 4), np.float32)
    for c, h in [([[1e39]], None), ([[1.0]], np.full((1, 4), 1e39))]:
        with pytest.raises(ValueError, match="must be finite"):
            kernels.update(w, x, c, h)
    assert not w.any()


def test_update_refuses_data_that_overlap():
    block = np.zeros((5, 8), np.int8)
    with pytest.raises(ValueError, match="overlap"):
        kernels.update(block[:3], block[2:4], np.ones((2, 3)))
    frozen = np.zeros((3, 8), np.int8)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        kernels.update(frozen, block[:2], np.ones((2, 3)))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"w": np.ones((3, 7), np.int8)}, ValueError, "columns of w: got 7, expected 8"),
        ({"w": np.ones(8, np.int8)}, ValueError, "dimension"),
        ({"w": np.ones((3, 8), np.float32)}, TypeError, "int8 data with a float32 model"),
        ({"w": np.full((3, 8), -128, np.int8)}, ValueError, "-127 .. 127, got -128"),
        ({"out": np.zeros((3, 2))}, ValueError, r"shape \(2, 3\), got \(3, 2\)"),
        ({"out": np.zeros((2, 3), np.float32)}, TypeError, "float64"),
        ({"out": np.zeros((3, 2)).T}, ValueError, "contiguous"),
    ],
)
def test_margins_refuses(change, error, message):
    w, x, _ = good()
    with pytest.raises(error, match=message):
        kernels.margins(**({"x": x, "w": w} | change))


def test_margins_refuses_an_output_that_is_an_argument():
    x = np.ones((4, 4))
    with pytest.raises(ValueError, match="overlap"):
        kernels.margins(x, np.ones((4, 4)), x)
    with pytest.raises(ValueError, match="overlap"):
        kernels.margins(np.ones((4, 4)), x, x)
    assert (x == 1).all()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"rounding": "up"}, ValueError, "rounding must be 'stochastic' or 'nearest', got 'up'"),
        ({"rng": "abc"}, TypeError, "a seed must be an integer, got str"),
        ({"rng": kernels.Rng(0), "rounding": "nearest"}, ValueError, "an Rng that rounds"),
        ({"c": np.ones((2, 3), complex)}, TypeError, "c must be real, got complex128"),
        ({"c": np.full((2, 3), "1")}, TypeError, "c must be real, got <U1"),
        ({"c": [[10**400] * 3] * 2}, ValueError, "c must be finite"),
        ({"h": np.ones((3, 5), bool)}, TypeError, "h must be real, got bool"),
    ],
)
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float32, np.float64])
def test_an_update_checks_its_numbers_and_its_rounding(dtype, options, error, match):
    given = {"w": np.ones((3, 5), dtype), "x": np.ones((2, 5), dtype), "c": np.ones((2, 3))}
    with pytest.raises(error, match=match):
        kernels.update(**(given | options))
    assert (given["w"] == 1).all()


def test_batches_in_memory_of_other_kinds():
    w, x = np.ones((3, 5), np.int8), np.ones((2, 5), np.int8)
    expected, got = w.copy(), w.copy()
    kernels.update(expected, x, np.ones((2, 3)), rng=1)
    kernels.update(memoryview(got), memoryview(x), np.ones((2, 3)), rng=1)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(kernels.margins(memoryview(x), w), np.full((2, 3), 5.0))


@pytest.mark.parametrize("copy", [kernels.Rng.copy, lambda rng: pickle.loads(pickle.dumps(rng))])
def test_a_state_can_be_copied_behind_any_batch(copy):
    """A batch takes all of its blocks from one pool, also where fewer were left."""
    rng = kernels.Rng(3)
    x, c = np.ones((2, 5000), np.int8), np.full((2, 8), 0.25)
    for _ in range(20):
        results = [np.zeros((8, 5000), np.int8) for _ in range(2)]
        for result, state in zip(results, (copy(rng), rng), strict=True):
            kernels.update(result, x, c, rng=state)
        np.testing.assert_array_equal(*results)
        assert set(np.unique(results[0])) == {-1, 0}


# ---- A constant that is encoded once -------------------------------------------------------------


@integer_families
@pytest.mark.parametrize("scale", [0.01, 30.0])
def test_a_constant_is_the_h_that_it_is_made_of(backend, family, scale):
    """Bit for bit: made and used with one state, it takes the same random numbers as an array."""
    random = np.random.default_rng(0)
    x, w = data(random, family[0], (5, 777)), model(random, family[1], (3, 777)) // 2
    c, h = random.uniform(-1e-3, 1e-3, (5, 3)), scale * random.uniform(-1, 1, (3, 777))
    rng, results = kernels.Rng(7), [w.copy(), w.copy(), w.copy()]
    kernels.update(results[0], x, c, kernels.Constant(h, *family, rng), rng)
    kernels.update(results[1], x, c, h, 7)
    kernels.update(results[2], x, c, None, 7)
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[1] != results[2]).any()


def test_a_constant_serves_many_updates():
    """And is its own: the array may change meanwhile."""
    h = np.full((2, 100), 0.25)
    constant = kernels.Constant(h, "int8", "int8", rounding="nearest")
    h[:] = 100.0
    w, x, rng = np.zeros((2, 100), np.int8), np.zeros((1, 100), np.int8), kernels.Rng(1)
    for _ in range(200):
        kernels.update(w, x, [[0.0, 0.0]], constant, rng)
    # 200 steps of variance 3/16: six standard errors of the mean of a row
    assert np.abs(w.mean(axis=1) + 50).max() < 6 * (200 * 3 / 16 / 100) ** 0.5
    assert len(np.unique(w)) > 5


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.ones(8), "int8", "int8"), ValueError, "2 dimensions, got 1"),
        ((np.full((3, 8), np.nan), "int8", "int8"), ValueError, "h must be finite"),
        ((np.full((3, 8), "1"), "int8", "int8"), TypeError, "h must be real"),
        ((np.ones((3, 8)), "int16", "int8"), TypeError, "int16 data with a int8 model"),
        ((np.ones((3, 8)), "float32", "float32"), TypeError, "no integer kernel for float32"),
        ((np.ones((3, 8)), "int8", "int8", -1), ValueError, "seed"),
        ((np.ones((3, 8)), "int8", "int8", 0, "up"), ValueError, "rounding must be"),
    ],
)
def test_a_constant_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        kernels.Constant(*arguments)


@pytest.mark.parametrize(
    ("constant", "error", "message"),
    [
        (kernels.Constant(np.ones((2, 8)), "int8", "int8"), ValueError, r"shape \(3, 8\), got \(2"),
        (kernels.Constant(np.ones((3, 7)), "int8", "int8"), ValueError, r"shape \(3, 8\), got \(3"),
        (kernels.Constant(np.ones((3, 8)), "int8", "int16"), TypeError, "of other data"),
        (kernels.Constant.__new__(kernels.Constant), TypeError, "of other data"),
    ],
)
def test_update_refuses_a_constant_of_another_model(constant, error, message):
    w, x, c = good()
    with pytest.raises(error, match=message):
        kernels.update(w, x, c, constant)
    assert not w.any()
