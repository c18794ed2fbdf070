"""Readers of data files: every format gives the same numbers, and what is wrong is named."""

import bz2
import gzip
import sys

import numpy as np
import pytest

from halpbench import datafiles, load

pandas = pytest.importorskip("pandas")

X = np.array([[0.5, 0, 2], [1, 3, 0], [0, 0, 7]])
CSV = "a,b,c,kind\n0.5,0,2,yes\n1,3,0,no\n0,0,7,yes\n"
LIBSVM = "1 1:0.5 3:2\n-1 1:1 2:3\n1 3:7\n"


def test_csv_takes_the_last_column_or_the_one_that_is_named(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(CSV)
    features, y = load(path)
    np.testing.assert_array_equal(features, X)
    # In alphabetical order: no, yes.
    np.testing.assert_array_equal(y, [1, 0, 1])
    path.write_text(CSV.replace("yes", "1").replace("no", "2.5"))
    features, y = load(path, target="b")
    np.testing.assert_array_equal(features, [[0.5, 2, 1], [1, 0, 2.5], [0, 7, 1]])
    assert (y.tolist(), y.dtype) == ([0, 3, 0], np.int64)
    assert load(path)[1].tolist() == [1, 2.5, 1]


@pytest.mark.parametrize("rows", ["1,2,3\n4,5,6\n", "1,1,3\n4,5,6\n", "-1e3,2,3\n4,5,6\n"])
def test_csv_without_names_loses_no_row(tmp_path, rows):
    path = tmp_path / "data.csv"
    path.write_text(rows)
    features, y = load(path)
    assert features[:, 1].tolist() == [float(line.split(",")[1]) for line in rows.split()]
    assert y.tolist() == [3, 6]
    assert load(path, target=0)[1].tolist() == [float(rows.split(",")[0]), 4]


@pytest.mark.parametrize(("ending", "module"), [(".gz", gzip), (".bz2", bz2)])
@pytest.mark.parametrize(
    ("name", "text"), [("d.csv", CSV), ("d.libsvm", LIBSVM), ("d", LIBSVM), ("d.t", LIBSVM)]
)
def test_compressed_files_and_names_without_a_suffix(tmp_path, ending, module, name, text):
    (tmp_path / name).write_text(text)
    path = tmp_path / f"{name}{ending}"
    with module.open(path, "wt") as file:
        file.write(text)
    for known in (tmp_path / name, path):
        np.testing.assert_array_equal(load(known)[0], X)


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a9a").write_text(LIBSVM)
    np.testing.assert_array_equal(load("~/a9a")[0], X)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", X[:, 0])
    np.testing.assert_array_equal(load("~/X.npy", y="~/y.npy")[1], X[:, 0])


def test_libsvm_from_zero_or_from_one(tmp_path):
    path = tmp_path / "a.svm"
    path.write_text("1 1:5\n2 2:6\n")
    assert load(path)[0].tolist() == [[5, 0], [0, 6]]
    assert load(path, zero_based=True)[0].tolist() == [[0, 5, 0], [0, 0, 6]]
    assert load(path, n_features=3)[0].tolist() == [[5, 0, 0], [0, 6, 0]]


@pytest.mark.parametrize("number", [2**24 + 1, -(2**24) - 1, 2**53])
def test_whole_numbers_keep_their_digits(tmp_path, number):
    path = tmp_path / "a.svm"
    path.write_text(f"1 1:{number}\n2 2:0.5\n")
    assert load(path)[0][0, 0] == number
    for dtype in (np.int32, np.int64):
        if abs(number) < np.iinfo(dtype).max:
            np.savez(tmp_path / "a.npz", X=np.array([[number], [1]], dtype), y=np.array([0, 1]))
            loaded = load(tmp_path / "a.npz")[0]
            assert (loaded[0, 0], loaded.dtype) == (number, np.float64)
    path = tmp_path / "a.csv"
    path.write_text(f"{number},1\n1,2\n")
    assert load(path)[0][0, 0] == number


@pytest.mark.parametrize(
    "value",
    [
        np.int64(2**53 + 1),
        np.int64(2**63 - 1),
        np.uint64(2**64 - 1),
        np.longdouble(1) + np.finfo(np.longdouble).eps,
    ],
)
def test_what_float64_does_not_hold_is_refused(tmp_path, value):
    if value == np.float64(value) and value.dtype.kind == "f":
        # A long double may be a double.
        value = np.int64(2**53 + 1)
    np.savez(tmp_path / "a.npz", X=np.array([[1], [value]], value.dtype), y=np.array([0, 1]))
    with pytest.raises(ValueError, match=r"a.npz: got .* which float64 does not hold"):
        load(tmp_path / "a.npz")


def test_a_long_double_becomes_float64(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.array([[0.1], [np.inf]], "longdouble"), y=np.array([0.1, 1]))
    loaded = load(tmp_path / "a.npz")[0]
    assert (loaded.dtype, loaded.tolist()) == (np.float64, [[0.1], [np.inf]])


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (CSV, {"target": "d"}, "got target 'd', expected one of the columns a, b, c, kind"),
        (CSV.replace("3", "three"), {}, "column 'b' got 'three', expected numbers alone"),
        (CSV, {"target": "a"}, "column 'kind' got 'yes', expected numbers alone"),
        (CSV.replace("3", ""), {}, "column 'b' got 1 missing values"),
        (CSV.replace("no", ""), {}, "column 'kind' got 1 missing values"),
        ("a\n1\n2\n", {}, "got a table of 2 x 1, expected features and a target"),
        ("", {}, "got a file that cannot be read"),
        ("a,b\n1,2\n3,4,5,6\n", {}, "got a file that cannot be read"),
        ("a,b\n", {}, "not empty"),
    ],
)
def test_faults_of_tables_are_named(tmp_path, text, options, message):
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"data.csv: .*{message}"):
        load(path, **options)


def test_a_column_of_an_array_as_targets(tmp_path):
    np.save(tmp_path / "a.npy", X)
    features, y = load(tmp_path / "a.npy", target=-1)
    np.testing.assert_array_equal(features, X[:, :2])
    assert (y.tolist(), y.dtype) == ([2, 0, 7], np.int64)
    assert load(tmp_path / "a.npy", target="0")[1].tolist() == [0.5, 1, 0]
    for target in (3, -4, "price"):
        with pytest.raises(ValueError, match=r"expected a column from -3 to 2"):
            load(tmp_path / "a.npy", target=target)


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    table = pandas.DataFrame(X.astype(np.float32), columns=["a", "b", "c"])
    table["kind"] = ["yes", "no", "yes"]
    table.to_parquet(tmp_path / "a.parquet")
    features, y = load(tmp_path / "a.parquet")
    np.testing.assert_array_equal(features, X)
    assert (features.dtype, y.tolist()) == (np.float32, [1, 0, 1])
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="expected a Parquet file"):
        load(tmp_path / "b.parquet")


def test_what_reads_parquet_is_optional(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"needs the package pyarrow.*\[parquet\]: pip install"):
        load(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.svm", "a.csv"])
@pytest.mark.filterwarnings("error::ResourceWarning")
def test_files_are_closed_on_errors(tmp_path, name, recwarn):
    (tmp_path / name).write_bytes(b"\x93NUMPY no such thing")
    with pytest.raises(ValueError, match=name):
        load(tmp_path / name)
    np.savez(tmp_path / "b.npz", Z=X)
    with pytest.raises(ValueError, match="expected X and y"):
        load(tmp_path / "b.npz")
    assert not [w for w in recwarn if issubclass(w.category, ResourceWarning)]


def test_unknown_names_are_no_files(tmp_path):
    for name in ("minst", "data.xlsx", "data.csv.zip", "data.npz.gz"):
        assert datafiles.reader_of(tmp_path / name) is None
    with pytest.raises(ValueError, match=r"got 'minst', expected one of: .*\.csv, \.parquet"):
        load("minst")
