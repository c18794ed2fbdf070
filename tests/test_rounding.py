"""Stochastic rounding is unbiased, and its errors are not correlated.

Every backend rounds with the same bits (test_kernels.py), so the one in use stands for all. Bounds
are the bias or correlation that the contract allows (kernels/kernels.h, kernels/rounding.h) plus
Z standard errors. With the fewer than 12,000 comparisons made here, chance exceeds one of them with
probability below 1e-6; the seeds are fixed, so that it does not happen now and then.
"""

import itertools
import math

import numpy as np
import pytest
from reference import largest

from halpbench import kernels

Z = 6.5  # 8e-11 two-sided, for one comparison
UNBIASED_TO = 2**-8
BLOCKS_PER_POOL = 256

FAMILIES = [(np.int8, np.int8), (np.int8, np.int16), (np.int16, np.int16)]  # data, model
families = pytest.mark.parametrize("family", FAMILIES, ids=["i8", "i8i16", "i16"])


def places(family):
    """Starts of blocks: two blocks of one pool share their lanes once in so many times."""
    return 2048 if family[1] == np.int8 else 1024


# ---- Unbiased ------------------------------------------------------------------------------------


@families
@pytest.mark.parametrize("c", [0.3, 5.3, -37.0, 0.37, -1.3], ids="c={}".format)
@pytest.mark.parametrize("h_size", [0.0, 0.3, 20.0], ids="h={}".format)
def test_updates_are_unbiased_in_every_coordinate(family, c, h_size):
    """2**19 draws: a standard error of 0.0008 at most, so that a bias of 3 / 256 would be found.

    |c| below 1 or beyond 1 is taken as it is only for the last two; the first three are units of
    the model for the largest x.
    """
    calls, rows, n = 32, 1 << 14, 64
    top_x, top_z = largest(family[0]), largest(family[1])
    if abs(c) in (0.3, 5.3, 37.0):
        c /= top_x
    reach = min(top_x, 0.7 * top_z / abs(c))  # nothing saturates
    x = np.linspace(-reach, reach, n).astype(family[0])
    h = h_size * np.random.default_rng(0).uniform(-1, 1, n)

    rng = kernels.Rng(1)
    total = np.zeros(n)
    for _ in range(calls):
        z = np.zeros((rows, n), family[1])
        kernels.ger(z, x, np.full(rows, c), np.broadcast_to(h, z.shape), rng)
        total += z.sum(axis=0, dtype=np.int64)
    bias = total / (calls * rows) + (c * x + h)

    # The lane (variance 1/4) and c, whose fixed-point error times x is at most half a unit
    # (variance 1/16). Draws of one pool are the more alike the more of them there are.
    variance = (1 / 4 + 1 / 16) * (1 + BLOCKS_PER_POOL / places(family))
    standard_error = math.sqrt(variance / (calls * rows))
    assert standard_error < 0.00088
    assert np.abs(bias).max() < UNBIASED_TO + Z * standard_error


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quantization_is_unbiased(bits, dtype):
    """2**18 independent lanes a value: a bias of 3 / 256 would be found."""
    # A pool serves 256 blocks of 1,024 lanes. It has 3,072 of its own, the outer ones used less.
    blocks, pools, own = BLOCKS_PER_POOL, 128, 2048
    x = np.array([-126.7, -3.5, -0.01, 0.004, 0.25, 0.5, 0.999, 99.9], dtype)
    rng = kernels.Rng(1)
    total = np.zeros(len(x))
    for _ in range(pools):
        q, _ = kernels.quantize(np.tile(x, blocks * 1024 // len(x)), bits, 1.0, rng=rng)
        total += q.reshape(-1, len(x)).sum(axis=0, dtype=np.int64)
    bias = total / (pools * blocks * 1024 / len(x)) - x
    standard_error = 0.5 / math.sqrt(pools * own)
    assert standard_error < 0.001
    assert np.abs(bias).max() < UNBIASED_TO + Z * standard_error


# ---- Not correlated ------------------------------------------------------------------------------


def signs(family, rows, n, rng):
    """Rounding errors of one half, as +-1, for `rows` steps of `n` coordinates."""
    z = np.zeros((rows, n), family[1])
    kernels.ger(z, np.zeros(n, family[0]), np.zeros(rows), np.full((rows, n), 0.5), rng)
    return 2 * z.astype(np.float32) + 1


def correlation(errors, lag, shift):
    """Of step t, coordinate j with step t + lag, coordinate j + shift: the mean over t and j."""
    rows, n = errors.shape
    return float(
        np.mean(errors[: rows - lag, : n - shift] * errors[lag:, shift:], dtype=np.float64)
    )


@families
def test_steps_and_coordinates_are_not_correlated(family):
    """64 coordinates, 2**16 steps: a correlation of 0.006 would be found."""
    rows, n = 1 << 16, 64
    errors = signs(family, rows, n, kernels.Rng(1))
    assert abs(errors.mean()) < Z / math.sqrt(rows)
    shared = 1 / places(family)
    for lag, shift in itertools.product(
        [0, 1, 2, 3, 5, 17, 64, 255, 256, 257, 1000], [0, 1, 2, 3, 4, 8, 16, 31, 32, 33]
    ):
        if (lag, shift) != (0, 0):
            standard_error = math.sqrt((1 / (n - shift) + shared) / (rows - lag))
            assert abs(correlation(errors, lag, shift)) < shared + Z * standard_error, (lag, shift)


@families
def test_blocks_of_a_long_vector_are_not_correlated(family):
    """4,096 coordinates, so several blocks a step: a correlation of 0.008 would be found."""
    rows, n = 1 << 12, 4096
    errors = signs(family, rows, n, kernels.Rng(1))
    shared = 1 / places(family)
    for lag, shift in itertools.product([0, 1, 2, 7, 64, 100], [0, 1, 2, 32, 63, 512, 1024, 2048]):
        if (lag, shift) != (0, 0):
            standard_error = math.sqrt((1 / (n - shift) + shared) / (rows - lag))
            assert abs(correlation(errors, lag, shift)) < shared + Z * standard_error, (lag, shift)


@families
def test_no_step_repeats_another(family):
    """A step has 2**64 possible errors in 64 coordinates; at most the places of a pool coincide."""
    rows = 20_000
    errors = signs(family, rows, 64, kernels.Rng(1))
    distinct = len(np.unique(np.packbits(errors > 0, axis=1), axis=0))
    # 256 draws among the places of each pool: about 256**2 / (2 places) repetitions.
    expected = rows * (1 - BLOCKS_PER_POOL / (2 * places(family)))
    assert distinct > expected - 0.02 * rows


@families
def test_seeds_give_different_streams(family):
    """64 x 64 errors for each of 68 seeds: a correlation of 0.15 between two would be found."""
    seeds = [*range(64), 2**32, 2**63, 2**64 - 2, 2**64 - 1]
    streams = np.array([signs(family, 64, 64, kernels.Rng(seed)).ravel() for seed in seeds])
    # Within a stream, places coincide now and then.
    standard_error = math.sqrt((1 + 64 / places(family)) / streams.shape[1])
    between = streams @ streams.T / streams.shape[1] - np.eye(len(seeds))
    assert np.abs(between).max() < Z * standard_error
