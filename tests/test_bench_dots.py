"""The dot products of other libraries: found, or absent."""

from importlib import metadata

import numpy as np
import pytest

from halpbench.bench import dots


def test_numpy_is_a_peer_with_its_version():
    assert f"numpy {np.__version__}" in dots.libraries()


def test_a_library_that_is_not_installed_is_a_bare_name():
    def version(name):
        if name == "numkong":
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    assert dots.libraries(version) == ("numkong", "numpy 1.0")
    assert dots.installed(dots.libraries(version)) == {"numpy 1.0": np.dot}


@pytest.mark.parametrize("dtype", ["i8", "f32", "f64"])
def test_vectors_are_aligned_and_in_range(dtype):
    for vector in dots.vectors(dtype, 1001):
        assert vector.shape == (1001,)
        assert vector.ctypes.data % 64 == 0
        assert 100 < abs(vector).max() <= 127
