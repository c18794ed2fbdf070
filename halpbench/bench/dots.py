"""The dot products that ours are compared with: NumKong's, and those of NumPy's BLAS."""

import importlib
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halpbench import kernels, memory

# The dtypes whose dot product a library has. NumPy's of integers wrap around in their own width.
DTYPES = {"numkong": ("i8", "f32", "f64"), "numpy": ("f32", "f64")}


def libraries(version: Callable[[str], str] = metadata.version) -> tuple[str, ...]:
    """List the libraries: each with its version, or its name alone where it is not installed."""

    def listed(name: str) -> str:
        try:
            return f"{name} {version(name)}"
        except metadata.PackageNotFoundError:
            return name

    return tuple(map(listed, DTYPES))


def name_of(library: str) -> str:
    """Return the name of one of `libraries`, without its version."""
    return library.partition(" ")[0]


def installed(libraries: Iterable[str]) -> dict[str, Callable[..., Any]]:
    """Return the dot products of those of `libraries` that are installed."""
    return {
        library: importlib.import_module(name_of(library)).dot
        for library in libraries
        if library != name_of(library)
    }


def vectors(dtype: str, n: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two aligned random vectors to multiply."""
    rng = np.random.default_rng(0)
    kind = kernels.FAMILIES[dtype][0]
    x, y = memory.empty((n,), kind), memory.empty((n,), kind)
    for vector in (x, y):
        vector[:] = np.resize(rng.integers(-127, 128, 4096).astype(kind), n)
    return x, y


def blas() -> str:
    """Name each BLAS that is loaded, and the threads it may use at this moment."""
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    names = [
        f"{pool['internal_api']} {pool['version']}, threads: {pool['num_threads']}"
        for pool in pools
    ]
    return "; ".join(dict.fromkeys(names)) or "unknown BLAS"
