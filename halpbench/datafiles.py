"""Readers of data files: NumPy's own, LIBSVM, CSV and Parquet.

A reader returns X, as float32 or float64, and y. No value loses digits that it has: values that
float32 does not hold become float64, and values that float64 does not hold are an error.
"""

from __future__ import annotations

import importlib
import inspect
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
Reader = Callable[..., tuple[Array, Array]]

COMPRESSED = (".gz", ".bz2")


def reader_of(path: Path) -> Reader | None:
    """Return the reader of a file of this name; None for a suffix that is not known.

    A name without a suffix of its own, as "a9a", "a9a.t" and "mnist.scale.bz2", is taken for
    LIBSVM, whose data sets are named so, if there is such a file.
    """
    name = path.name.lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    suffix = Path(name).suffix
    compressed = name != path.name.lower()
    if suffix in READERS and not (compressed and suffix in (".npz", ".npy", ".parquet")):
        return READERS[suffix]
    return _read_libsvm if suffix in LIBSVM_SUFFIXES and path.is_file() else None


def options_of(reader: Reader) -> dict[str, Any]:
    """Return the options of a reader with their defaults."""
    parameters = inspect.signature(reader).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def require(module: str, purpose: str, extra: str = "bench") -> Any:
    """Import an optional package at the time it is needed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{purpose} needs the package {package}, which cannot be imported ({error}); "
            f"install the extra [{extra}]: pip install '.[{extra}]' in the folder of the sources"
        ) from error


# ---- NumPy's files -------------------------------------------------------------------------------


def _read_npz(path: Path, *, relabel: bool = False) -> tuple[Array, Array]:
    with (
        _reading(path, "a .npz file without pickled objects"),
        np.load(path, allow_pickle=False) as archive,
    ):
        names = sorted(archive.files)
        arrays = {name: archive[name] for name in ("X", "y") if name in names}
    if len(arrays) < 2:
        raise ValueError(f"{path}: got arrays {names}, expected X and y")
    return checked(path, arrays["X"], arrays["y"], relabel)


def _read_npy(
    path: Path,
    *,
    y: str | os.PathLike[str] | None = None,
    target: int | str | None = None,
    relabel: bool = False,
) -> tuple[Array, Array]:
    X = _mapped(path)
    if y is not None:
        return checked(path, X, _mapped(Path(y).expanduser()), relabel)
    if target is None:
        raise ValueError(
            f"{path}: got no targets, expected the option y='<file>.npy', or target=<column>"
        )
    if X.ndim != 2:
        raise ValueError(f"{path}: got an array of shape {X.shape}, expected (N, d)")
    column = _position(path, target, X.shape[1])
    return checked(path, np.delete(X, column, axis=1), whole(X[:, column]), relabel)


def _position(path: Path, target: int | str, count: int) -> int:
    """Return the place of a column of an array that has no names."""
    try:
        position = int(target)
    except ValueError:
        position = count
    if not -count <= position < count:
        raise ValueError(
            f"{path}: got target {target!r}, expected a column from {-count} to {count - 1}"
        )
    return position % count


def _mapped(path: Path) -> Array:
    # The map compares the header with the file's size before any memory is set aside for it.
    with _reading(path, "a .npy file without pickled objects"):
        return np.array(np.lib.format.open_memmap(path, mode="r"))


# ---- LIBSVM --------------------------------------------------------------------------------------


def _read_libsvm(
    path: Path,
    *,
    n_features: int | None = None,
    zero_based: bool | str = "auto",
    dtype: DTypeLike | None = None,
    relabel: bool = False,
) -> tuple[Array, Array]:
    if dtype is not None:
        check_float(dtype)
    load_svmlight_file = require("sklearn.datasets", f"reading {path}").load_svmlight_file
    with _reading(path, "LIBSVM lines such as '1 3:0.5 7:2'"):
        # scikit-learn decompresses by the suffix and closes what it opens.
        sparse, y = load_svmlight_file(
            os.fspath(path), n_features=n_features, zero_based=zero_based
        )
    chosen = np.dtype(dtype or (np.float32 if _fits_float32(sparse.data) else np.float64))
    needed = math.prod(sparse.shape) * chosen.itemsize
    available = require("psutil", f"reading {path}").virtual_memory().available
    if needed > available:
        raise ValueError(
            f"{path}: got {sparse.shape[0]} x {sparse.shape[1]} numbers, {needed / 1e9:.1f} GB as "
            f"a dense array, expected at most the {available / 1e9:.1f} GB of free memory"
        )
    return checked(path, sparse.astype(chosen).toarray(), whole(y), relabel)


def _fits_float32(values: NDArray[np.float64]) -> bool:
    """Tell whether float32 holds the whole numbers among these, and the range of all."""
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32).astype(np.float64)
    whole_ones = values == np.rint(values)
    return bool((np.isfinite(narrow) | ~np.isfinite(values)).all()) and bool(
        (narrow[whole_ones] == values[whole_ones]).all()
    )


# ---- Tables --------------------------------------------------------------------------------------


def _read_csv(
    path: Path, *, target: int | str | None = None, relabel: bool = False
) -> tuple[Array, Array]:
    """Read with or without a line of names: it is one if it holds a cell that is no number."""
    pandas = require("pandas", f"reading {path}")
    with _reading(path, "a table of comma-separated values"):
        table = pandas.read_csv(path, skipinitialspace=True)
        if all(_is_number(name) for name in table.columns):
            table = pandas.read_csv(path, skipinitialspace=True, header=None)
            table.columns = [str(name) for name in table.columns]
    return _from_table(path, table, target, relabel)


def _read_parquet(
    path: Path, *, target: int | str | None = None, relabel: bool = False
) -> tuple[Array, Array]:
    pandas = require("pandas", f"reading {path}")
    require("pyarrow", f"reading {path}", extra="parquet")
    with _reading(path, "a Parquet file"):
        table = pandas.read_parquet(path, engine="pyarrow")
    return _from_table(path, table, target, relabel)


def _is_number(text: object) -> bool:
    try:
        # pandas tells columns of one name apart by a suffix: 1, 1.1, 1.2.
        float(str(text))
    except ValueError:
        return False
    return True


def _from_table(
    path: Path, table: Any, target: int | str | None, relabel: bool
) -> tuple[Array, Array]:
    """Take a column of a table as targets, the last one by default, and the others as features."""
    table.columns = [str(name) for name in table.columns]
    names = list(table.columns)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path}: got two columns named {twice!r}, expected names of their own")
    if len(names) < 2 or not len(table):
        raise ValueError(
            f"{path}: got a table of {len(table)} x {len(names)}, expected features and a target, "
            "not empty"
        )
    chosen = names[-1] if target is None else str(target)
    if chosen not in names:
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise ValueError(f"{path}: got target {chosen!r}, expected one of the columns {shown}")
    for name in names:
        missing = int(table[name].isna().sum())
        if missing:
            raise ValueError(f"{path}: column {name!r} got {missing} missing values, expected none")
    features = [_numbers(path, name, table[name]) for name in names if name != chosen]
    X = np.column_stack(features)
    y = table[chosen]
    if y.dtype.kind in "biuf":
        return checked(path, X, whole(y.to_numpy()), relabel)
    return checked(path, X, np.unique(y.astype(str), return_inverse=True)[1], relabel)


def _numbers(path: Path, name: str, column: Any) -> Array:
    """Return a column of numbers as float32 or float64."""
    pandas = require("pandas", f"reading {path}")
    if not pandas.api.types.is_numeric_dtype(column.dtype):
        text = next((value for value in column if not _is_number(value)), column.iloc[0])
        raise ValueError(f"{path}: column {name!r} got {str(text)!r}, expected numbers alone")
    values = column.to_numpy()
    if values.dtype.kind not in "biuf":
        values = column.astype("float64").to_numpy()
    return _as_float(path, values)


# ---- Parts that the readers share ----------------------------------------------------------------


@contextmanager
def _reading(path: Path, expected: str) -> Iterator[None]:
    """Turn any error of a parser on a damaged file into one clear error."""
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    # zipfile, zlib, ast, scikit-learn and pandas raise some ten classes of errors between them.
    except Exception as error:
        raise ValueError(
            f"{path}: got a file that cannot be read ({type(error).__name__}: {error}), "
            f"expected {expected}"
        ) from error


def checked(path: Path, X: Array, y: Array, relabel: bool) -> tuple[Array, Array]:
    """Check shapes and types, and convert the types that the problems do not take."""
    if X.ndim != 2 or y.ndim != 1 or len(X) != len(y) or 0 in X.shape:
        raise ValueError(
            f"{path}: got X of shape {X.shape} and y of shape {y.shape}, expected (N, d) and (N,), "
            "not empty"
        )
    if y.dtype.kind in "SU":  # text, as in tables
        y = np.unique(y, return_inverse=True)[1]
    for name, array in (("X", X), ("y", y)):
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{path}: got {name} of dtype {array.dtype}, expected real numbers")
    X = np.ascontiguousarray(_as_float(path, X))
    if relabel:
        y = np.unique(y, return_inverse=True)[1]
    if y.dtype.kind == "f":
        y = _as_float(path, y)
    elif y.dtype.kind == "b":
        y = y.astype(np.int64)
    else:
        y = y.astype(y.dtype.newbyteorder("="), copy=False)
    return X, y


def _as_float(path: Path, values: Array) -> Array:
    """Return float32 where it holds every value of the type, or else float64, which must."""
    native = values.dtype.newbyteorder("=")
    if native in (np.float32, np.float64):
        return values.astype(native, copy=False)
    # Two bytes at most: 16 bits of an integer, 11 of a float16.
    if native.itemsize <= 2:
        return values.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        wide = values.astype(np.float64)
        exact = (wide.astype(native) == values) | ~np.isfinite(wide) & ~np.isfinite(values)
    # A float64 of 2^63 or 2^64 has no integer of 64 bits that it came from.
    if native.kind in "iu":
        exact &= wide < np.float64(2.0 ** (63 if native.kind == "i" else 64))
    if not exact.all():
        raise ValueError(
            f"{path}: got {values[~exact][0]} of dtype {native}, which float64 does not hold; "
            "expected numbers that it does"
        )
    return wide


def whole(y: Array) -> Array:
    """Return targets that are all whole numbers as int64, others as they are."""
    if y.dtype.kind != "f":
        return y
    if np.isfinite(y).all() and (y == np.rint(y)).all() and (abs(y) < 2**53).all():
        return y.astype(np.int64)
    return y


def check_float(dtype: DTypeLike) -> None:
    """Refuse what is neither float32 nor float64."""
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(f"dtype: got {np.dtype(dtype)}, expected float32 or float64")


LIBSVM_SUFFIXES = ("", ".t", ".tr", ".val", ".r", ".scale", ".libsvm", ".svm", ".svmlight", ".txt")
READERS: dict[str, Reader] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".libsvm": _read_libsvm,
    ".svm": _read_libsvm,
    ".svmlight": _read_libsvm,
    ".txt": _read_libsvm,
}
