"""Rows and formats: padding, blocks, numbers, and the tables that must agree."""

import numpy as np
import pytest

from halpbench import kernels
from halpbench.formats import FORMATS, INTEGERS
from halpbench.rows import BLOCK_ELEMENTS, Rows
from halpbench.solvers import _loops


@pytest.mark.parametrize("row", FORMATS.values(), ids=FORMATS)
def test_kernels_and_loops_have_the_numbers_of_the_format(row):
    data, model, _ = kernels.FAMILIES[row.family]
    assert (row.data.dtype, row.model.dtype) == (data, model)
    assert _loops.FORMATS[row.name][1:] == (row.data.dtype.name, row.model.dtype.name)
    for number in (row.data, row.model):
        assert number.bits == 8 * number.dtype.itemsize
    assert row.is_integer == (row.model.dtype.kind == "i")
    assert set(_loops.FORMATS) == set(FORMATS)


@pytest.mark.parametrize("columns", [1, 63, 64, 65])
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float32, np.float64])
def test_padding_is_aligned_zero_and_written_by_nobody(dtype, columns):
    rows = Rows.zeros(3, columns, dtype, scale=0.5)
    assert rows.values.shape == (3, columns)
    assert (len(rows), rows.columns, rows.scale) == (3, columns, 0.5)
    group = 64 if np.dtype(dtype).kind == "i" else 64 // np.dtype(dtype).itemsize
    assert rows.padded.shape == (3, -(-columns // group) * group)
    assert all(row.ctypes.data % 64 == 0 for row in rows.padded)
    rows.values[...] = 1
    assert rows.padded.sum() == 3 * columns
    assert rows.nbytes == 3 * columns * np.dtype(dtype).itemsize


@pytest.mark.parametrize(("count", "columns"), [(1, 5), (7, 3), (10, 10**7), (70_001, 11)])
def test_blocks_have_every_row_once(count, columns):
    rows = Rows(np.broadcast_to(np.float32(1), (count, columns)))
    for elements in (None, 1, 100):
        blocks = rows.blocks(elements)
        assert [row for block in blocks for row in range(count)[block]] == list(range(count))
        most = max(1, (elements or BLOCK_ELEMENTS) // columns)
        assert {len(range(count)[block]) for block in blocks[:-1]} <= {most}


@pytest.mark.parametrize("bits", INTEGERS)
@pytest.mark.parametrize("columns", [3, 64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quantized_rows_are_the_nearest_multiples(bits, columns, dtype):
    X = np.random.default_rng(0).standard_normal((20, columns)).astype(dtype)
    rows = Rows(X)
    quantized = rows.quantized(INTEGERS[bits])
    highest = 2 ** (bits - 1) - 1
    assert rows.largest() == np.abs(X).max()
    assert quantized.scale == np.abs(X).max() / highest
    assert quantized.dtype == INTEGERS[bits].dtype
    assert np.abs(quantized.values).max() == highest
    error = np.abs(quantized.converted(np.float64).values - X)
    assert 0.25 * quantized.scale < error.max() <= 0.5001 * quantized.scale


def test_conversion_copies_only_where_something_changes():
    X = np.arange(6.0).reshape(2, 3)
    rows = Rows(X)
    assert rows.converted(np.float64) is rows
    np.testing.assert_array_equal(rows.converted(np.float32).values, X.astype(np.float32))
    assert Rows(np.zeros((2, 3), np.float32)).quantized(INTEGERS[8]).scale == 1.0
