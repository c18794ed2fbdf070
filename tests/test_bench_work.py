"""Counts of bytes and multiply-adds, against what the definitions say for one element."""

import pytest

from halpbench.bench import work


@pytest.mark.parametrize(
    ("op", "dtype", "classes", "read", "counts"),
    [
        ("dot", "i8", 1, 2, 1),
        ("dot", "f64", 1, 16, 1),
        ("gemv", "i8i16", 10, 21, 10),
        ("axpy", "i8", 1, 4, 1),  # x, w and a 16-bit h
        ("axpy", "f32", 1, 12, 2),
        ("ger", "i16", 10, 42, 20),
    ],
)
def test_kernels(op, dtype, classes, read, counts):
    assert work.kernel(op, dtype, 100, classes) == {
        "reads": [[100 * read, 100 * read]],
        "multiply_adds": {dtype: 100 * counts},
    }


def test_reading_multiplies_nothing():
    assert work.kernel("read", "i8", 100) == {"reads": [[100, 100]], "multiply_adds": {}}


def test_a_step_reads_a_row_from_afar_and_the_model_twice_from_near():
    found = work.inner_step("D8M16", n=100, classes=10, data_bytes=10**6)
    model, constant, row = 2000, 2000, 100
    assert found["reads"] == [
        [10**6, row],
        [row + model + constant, row + 2 * model + constant],
    ]
    # A product for the margin; c x and 2^e h for the update.
    assert found["multiply_adds"] == {"i8i16": 3 * 1000}


@pytest.mark.parametrize(
    ("itemsize", "counts"),
    [(8, {"f64": 2}), (4, {"f32": 2}), (2, {"i16": 2, "f32": 1}), (1, {"i8i16": 4})],
)
def test_a_row_of_the_full_gradient(itemsize, counts):
    found = work.gradient_row(100 * itemsize, n=100, classes=3, n_samples=50)
    assert found["reads"] == [[50 * 100 * itemsize, 100 * itemsize]]
    assert found["multiply_adds"] == {dtype: 300 * count for dtype, count in counts.items()}
