"""Number formats: every code against published tables and ml_dtypes; rounding to neighbours."""

from dataclasses import replace

import numpy as np
import pytest

from halpbench.numberformats import (
    NUMBER_FORMATS,
    BlockFloat,
    MiniFloat,
    block_wise,
    dynamic_code,
)

FLOATS = {name: f for name, f in NUMBER_FORMATS.items() if isinstance(f, MiniFloat)}
BLOCKS = {name: f for name, f in NUMBER_FORMATS.items() if isinstance(f, BlockFloat)}
FEW = {name: f for name, f in FLOATS.items() if f.bits <= 8}
ORACLES = {"bf16": "bfloat16", "e4m3": "float8_e4m3fn", "e5m2": "float8_e5m2"}

# OCP OFP8 1.0, tables 1 and 2; OCP MX 1.0, table 5: by code.
PUBLISHED = {
    "e4m3": {
        0b0_0000_000: 0.0,
        0b0_0000_001: 2**-9,
        0b0_0000_111: 0.875 * 2**-6,
        0b0_0001_000: 2**-6,
        0b0_1111_110: 448.0,
        0b0_1111_111: np.nan,
        0b1_0000_000: -0.0,
        0b1_1111_110: -448.0,
        0b1_1111_111: np.nan,
    },
    "e5m2": {
        0b0_00000_00: 0.0,
        0b0_00000_01: 2**-16,
        0b0_00000_11: 0.75 * 2**-14,
        0b0_00001_00: 2**-14,
        0b0_11110_11: 57344.0,
        0b0_11111_00: np.inf,
        0b0_11111_01: np.nan,
        0b0_11111_10: np.nan,
        0b0_11111_11: np.nan,
        0b1_11110_11: -57344.0,
        0b1_11111_00: -np.inf,
    },
    "e2m1": dict(enumerate([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])),
    "bf16": {0x0001: 2**-133, 0x0080: 2**-126, 0x3F80: 1.0, 0x7F80: np.inf, 0x7FC0: np.nan},
}


def same(got, expected):
    """Equal, NaN and the sign of zero included."""
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))


def grid(target):
    """The numbers of a format from zero up."""
    positive = target.values[: 2 ** (target.bits - 1)]
    return positive[np.isfinite(positive)]


@pytest.mark.parametrize("name", PUBLISHED)
def test_codes_have_the_published_values(name):
    values = NUMBER_FORMATS[name].values
    codes = list(PUBLISHED[name])
    expected = np.array(list(PUBLISHED[name].values()), float)
    numbers = ~np.isnan(expected)
    same(values[codes][numbers], expected[numbers])
    assert np.isnan(values[codes][~numbers]).all()
    assert {"e4m3": 2, "e5m2": 6, "e2m1": 0, "bf16": 254}[name] == np.isnan(values).sum()
    assert {"e4m3": 0, "e5m2": 2, "e2m1": 0, "bf16": 2}[name] == np.isinf(values).sum()


@pytest.mark.parametrize("name", ORACLES)
def test_every_code_is_that_of_ml_dtypes(name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    target = NUMBER_FORMATS[name]
    codes = np.arange(2**target.bits, dtype=np.uint16 if target.bits > 8 else np.uint8)
    with np.errstate(invalid="ignore"):
        oracle = codes.view(getattr(ml_dtypes, ORACLES[name])).astype(np.float64)
    np.testing.assert_array_equal(target.values, oracle)


@pytest.mark.parametrize("name", [*ORACLES, "e2m1"])
def test_rounding_to_nearest_is_that_of_ml_dtypes(name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    target = replace(NUMBER_FORMATS[name], rounding="biased")
    random = np.random.default_rng(0)
    # float32, so that the oracle rounds once; all magnitudes, subnormal ones too.
    x = np.exp2(random.uniform(-140, 128, 20_000)) * random.choice([-1, 1], 20_000)
    x = np.concatenate([x, random.uniform(-7, 7, 20_000)]).astype(np.float32).astype(np.float64)
    x = x[np.abs(x) <= target.highest]
    oracle = x.astype(np.float32).astype(getattr(ml_dtypes, ORACLES.get(name, "float4_e2m1fn")))
    same(target.quantize(x), oracle.astype(np.float64))


@pytest.mark.parametrize("rounding", ["unbiased", "biased"])
@pytest.mark.parametrize("name", FLOATS)
def test_numbers_of_the_format_are_kept(name, rounding):
    target = replace(FLOATS[name], rounding=rounding)
    numbers = target.values[np.isfinite(target.values)]
    same(target.quantize(numbers, rng=0), numbers)
    same(target.quantize(0.75 * numbers, 0.75, rng=0), numbers)


@pytest.mark.parametrize("name", FLOATS)
def test_halves_go_to_the_even_code(name):
    target = replace(FLOATS[name], rounding="biased")
    numbers = grid(target)
    low, high = numbers[:-1], numbers[1:]
    middle = (low + high) / 2
    even = np.where(np.arange(len(middle)) % 2 == 0, low, high)
    same(target.quantize(middle), even)
    same(target.quantize(-middle), -even)
    same(target.quantize(np.nextafter(middle, 0)), low)
    same(target.quantize(np.nextafter(middle, np.inf)), high)


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_unbiased_rounding_takes_the_upper_neighbour_as_often_as_it_should(name, share):
    numbers = grid(FEW[name])
    low, high = numbers[:-1, None], numbers[1:, None]
    x = np.broadcast_to(low + share * (high - low), (len(low), 4_000))
    for sign in (1, -1):
        found = sign * FEW[name].quantize(sign * x, rng=1)
        assert ((found == low) | (found == high)).all()
        up = (found == high).mean(axis=1)
        # Five standard errors of a share, for a hundred gaps.
        assert np.abs(up - share).max() < 5 * np.sqrt(share * (1 - share) / 4_000)


@pytest.mark.parametrize("name", FLOATS)
def test_unbiased_rounding_has_no_bias_between_zero_and_the_least_number(name):
    least = grid(FLOATS[name])[1]
    found = FLOATS[name].quantize(np.full(40_000, -least / 64), rng=2)
    assert set(found) == {-least, 0.0}
    assert abs((found != 0).mean() - 1 / 64) < 5 * np.sqrt(1 / 64 / 40_000)


@pytest.mark.parametrize("rounding", ["unbiased", "biased"])
@pytest.mark.parametrize("name", FLOATS)
def test_what_is_out_of_range_becomes_the_largest_number(name, rounding):
    target = replace(FLOATS[name], rounding=rounding)
    largest = {"bf16": 255 * 2.0**120, "e4m3": 448, "e5m2": 57344, "e2m1": 6}[name]
    assert (target.highest, target.lowest) == (largest, -largest)
    x = np.array([1.001 * largest, np.inf, -1.5 * largest, -np.inf])
    same(target.quantize(x, rng=0), largest * np.array([1, 1, -1, -1]))
    assert np.isnan(target.quantize(np.array([np.nan]), rng=0)).all()


def by_definition(name, block):
    """The scale of a block, from the text of the specifications."""
    largest = max(abs(float(v)) for v in block)
    if name == "mxfp4":
        return 2.0 ** (np.floor(np.log2(largest)) - 2)
    if name == "mxfp4-up":
        return min(2.0**k for k in range(-80, 80) if largest <= 6 * 2.0**k)
    steps = grid(NUMBER_FORMATS["e4m3"])
    whole = float(np.float32(largest / 6 / 448))
    return whole * steps[np.abs(steps - largest / 6 / whole).argmin()]


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_its_scale_times_elements(name):
    target = replace(BLOCKS[name], rounding="biased")
    assert (target.block, target.bits) == (
        {"mxfp4": (32, 4.25), "mxfp4-up": (32, 4.25), "nvfp4": (16, 4.5)}[name]
    )
    random = np.random.default_rng(3)
    for exponent in (-30, -3, 0, 1, 2, 5, 40):
        x = 2.0**exponent * random.standard_normal(target.block)
        scale = by_definition(name, x)
        elements = target.element
        expected = scale * replace(elements, rounding="biased").quantize(x, scale)
        np.testing.assert_allclose(target.quantize(x), expected, rtol=1e-15)


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_lie_along_rows_and_share_nothing_else(name):
    target = replace(BLOCKS[name], rounding="biased")
    size = target.block
    random = np.random.default_rng(4)
    # The largest of all, which sets NVFP4's scale of the array, is in the first row.
    x = random.standard_normal((3, 2 * size + 5)) * np.array([[32.0], [1.0], [0.25]])
    whole = target.quantize(x)
    assert whole.shape == x.shape
    x[1, :size] = 0
    changed = target.quantize(x)
    assert (changed[1, :size] == 0).all()
    changed[1, :size] = whole[1, :size]
    same(changed, whole)


def test_mxfp4_saturates_where_the_rule_of_the_scale_says_so():
    x = np.zeros(32)
    x[0], x[1] = 7.9, 1.2
    found = NUMBER_FORMATS["mxfp4"].quantize(np.tile(x, (1000, 1)), rng=0)
    assert (found[:, 0] == 6).all(), "no rounding up to 8"
    assert found[:, 1].mean() == pytest.approx(1.2, abs=0.05)
    up = NUMBER_FORMATS["mxfp4-up"].quantize(np.tile(x, (4000, 1)), rng=0)
    assert up[:, 0].mean() == pytest.approx(7.9, abs=0.05)


@pytest.mark.parametrize(("name", "end"), [("mxfp4", 1.5), ("mxfp4-up", 20.0), ("nvfp4", 20.0)])
def test_the_largest_of_a_block_of_mxfp4_does_not_grow_by_small_steps(name, end):
    x = np.tile(np.eye(1, 32), (400, 1))
    random = np.random.default_rng(6)
    for _ in range(190):
        x[:, 0] += 0.1
        x = NUMBER_FORMATS[name].quantize(x, rng=random)
    assert x[:, 0].mean() == pytest.approx(end, rel=0.1)


def test_scales_of_mxfp4_end_where_e8m0_does():
    target = replace(NUMBER_FORMATS["mxfp4"], rounding="biased")
    x = np.zeros(32)
    for largest, expected in ((2.0**129, 2.0**129), (2.0**131, 6 * 2.0**127)):
        x[0] = largest
        assert target.quantize(x)[0] == expected
    x[0] = 2.0**-130  # a sixteenth of half the least scale: nothing
    assert target.quantize(x)[0] == 0
    x[0] = 2.0**-128
    assert target.quantize(x)[0] == 2.0**-128


@pytest.mark.parametrize("name", BLOCKS)
def test_zeros_and_tiny_blocks_stay_finite(name):
    target = BLOCKS[name]
    same(target.quantize(np.zeros((2, 40)), rng=0), np.zeros((2, 40)))
    x = np.ones((1, 64))
    x[0, 32:] = 1e-30
    found = target.quantize(x, rng=0)
    assert np.isfinite(found).all()
    # But for the rounding of NVFP4's scale to float32.
    np.testing.assert_allclose(found[0, :32], 1, rtol=2**-23)
    assert np.isfinite(target.quantize(np.full(16, 1e-300), rng=0)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", BLOCKS)
def test_nan_and_infinity_make_their_block_nan(name, value):
    x = np.ones((2, 64))
    x[1, 40] = value
    found = BLOCKS[name].quantize(x, rng=0)
    size = BLOCKS[name].block
    bad = np.zeros((2, 64), bool)
    bad[1, 40 // size * size : 40 // size * size + size] = True
    np.testing.assert_array_equal(np.isnan(found), bad)


def test_the_dynamic_code_has_its_published_numbers():
    signed, unsigned = dynamic_code(True), dynamic_code(False)
    for code in (signed, unsigned):
        assert code.shape == np.unique(code).shape == (256,)
        assert 0.0 in code
        assert code[-1] == 1.0
    # The ends of the tables that bitsandbytes prints.
    np.testing.assert_allclose(signed[[0, 1, -2]], [-0.99296875, -0.97890625, 0.99296875])
    np.testing.assert_allclose(signed[signed > 0][:3], [5.5e-7, 3.25e-6, 7.75e-6])
    np.testing.assert_allclose(unsigned[:4], [0, 3.25e-7, 7.75e-7, 2.125e-6])
    assert unsigned[-2] == pytest.approx(0.996484375)


@pytest.mark.parametrize("signed", [True, False])
def test_state_is_rounded_to_the_nearest_number_of_its_block(signed):
    random = np.random.default_rng(5)
    x = random.standard_normal((3, 50)) * np.exp2(random.integers(-20, 5, (3, 50)))
    x = x if signed else np.abs(x)
    found = block_wise(x, signed, block=40)
    code = dynamic_code(signed)
    for start in range(0, 150, 40):
        part = x.ravel()[start : start + 40]
        numbers = np.abs(part).max() * code
        nearest = numbers[np.abs(part[:, None] - numbers).argmin(axis=1)]
        np.testing.assert_allclose(found.ravel()[start : start + 40], nearest, rtol=1e-15)
    same(block_wise(np.zeros(7), signed), np.zeros(7))
    assert block_wise(np.zeros((0,)), signed).shape == (0,)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="specials must be one of ieee, nan, none, got 'fn'"):
        MiniFloat(4, 3, "fn")
    with pytest.raises(ValueError, match="rounding must be one of unbiased, biased, got 'up'"):
        MiniFloat(4, 3, rounding="up")
    with pytest.raises(ValueError, match="scales must be one of E8M0, E8M0-up, E4M3, got 'E5M3'"):
        BlockFloat(FLOATS["e2m1"], 16, "E5M3")
    with pytest.raises(ValueError, match="block: got 0, expected at least 1"):
        BlockFloat(FLOATS["e2m1"], 0, "E8M0")
    for target in NUMBER_FORMATS.values():
        with pytest.raises(ValueError, match="scale must be finite and positive"):
            target.quantize(np.ones(2), 0.0)
