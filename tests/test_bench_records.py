"""Records survive the round trip, interruptions, and whatever else a file may hold."""

import json
import os
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halpbench.bench import records
from halpbench.bench.records import Record, RecordError, Series, Store

names = st.text(max_size=12)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
facts = st.dictionaries(names, st.none() | st.booleans() | numbers | names, max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
series = st.builds(
    Series,
    contender=names,
    samples_ns=st.dictionaries(
        names, st.lists(st.integers(0, 2**62), max_size=4).map(tuple), max_size=3
    ),
    facts=facts,
)
any_record = st.builds(
    Record,
    kind=names,
    case=facts,
    fingerprint=names,
    started=names,
    series=st.lists(series, max_size=3).map(tuple),
    facts=facts,
    skipped=st.none() | names,
)


def record(n=1, **changes):
    fields = {"kind": "kernel", "case": {"op": "dot", "n": n}, "fingerprint": "f", "started": "t"}
    return Record(**(fields | changes))


@given(any_record)
def test_round_trip(original):
    line = original.to_json()
    assert "\n" not in line
    assert records.parse(line) == original


@given(st.text())
def test_text_that_is_no_record_is_refused(line):
    with pytest.raises(RecordError):
        records.parse(line)


@given(any_record, st.data())
def test_a_damaged_field_is_refused_or_harmless(original, data):
    """Whatever stands in a field, the reader answers with a record or a RecordError."""
    content = json.loads(original.to_json())
    name = data.draw(st.sampled_from(sorted(content)))
    content[name] = data.draw(json_values)
    try:
        parsed = records.parse(json.dumps(content))
    except RecordError:
        return
    assert all(isinstance(s, Series) for s in parsed.series)
    assert isinstance(parsed.case, dict)


@given(any_record, st.data())
def test_a_line_cut_short_is_refused(original, data):
    line = original.to_json()
    with pytest.raises(RecordError):
        records.parse(line[: data.draw(st.integers(0, len(line) - 1))])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "got schema 2; expected 1"),
        ({"schema": True}, "got schema True; expected 1"),
        ({"series": {}}, "'series': got dict; expected list"),
        ({"series": [3]}, "a series that is a int"),
        ({"kind": None}, "'kind': got NoneType; expected str"),
        ({"skipped": 1}, "'skipped': got int"),
    ],
)
def test_the_message_says_what_is_wrong(change, message):
    content = json.loads(record().to_json()) | change
    with pytest.raises(RecordError, match=message):
        records.parse(json.dumps(content))


@pytest.mark.parametrize("samples", [[1.5], [-1], [True], ["1"], 7])
def test_samples_are_whole_nanoseconds(samples):
    content = json.loads(record().to_json())
    content["series"] = [{"contender": "i8", "samples_ns": {"calls": samples}, "facts": {}}]
    with pytest.raises(RecordError, match="nanoseconds"):
        records.parse(json.dumps(content))


def test_a_diverged_run_is_written_as_null():
    diverged = Series("a", {}, {"gradient_norms": [1.0, float("inf"), float("nan")]})
    parsed = records.parse(record(series=(diverged,)).to_json())
    assert parsed.series[0].facts["gradient_norms"] == [1.0, None, None]


def test_identity_depends_on_case_machine_and_kind_alone():
    assert record().identity == record(started="later", skipped="why").identity
    assert record().identity != record(n=2).identity
    assert record().identity != record(fingerprint="g").identity
    assert record().identity != record(kind="epochs").identity


def test_identity_is_the_same_after_reading_back():
    """Tuples become lists in JSON; that must not make a finished case look new."""
    original = record(case={"dtypes": ("i8", "f32"), "options": (("mu", 3),)})
    assert records.parse(original.to_json()).identity == original.identity


def test_append_and_read(tmp_path):
    path = tmp_path / "new" / "kernel.jsonl"
    assert records.read(path) == []
    for n in (1, 2):
        records.append(path, record(n))
    assert records.read(path) == [record(1), record(2)]


def test_a_damaged_last_line_is_named_and_kept(tmp_path):
    path = tmp_path / "kernel.jsonl"
    records.append(path, record(1))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    records.append(path, record(2))
    with pytest.warns(UserWarning, match="line 2 skipped: not JSON"):
        assert records.read(path) == [record(1), record(2)]
    assert path.read_bytes().startswith(whole + whole[:20] + b"\n")


@given(st.binary(max_size=60))
def test_any_bytes_can_be_read_and_appended_to(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("records") / "kernel.jsonl"
    path.write_bytes(content)
    records.append(path, record())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert records.read(path) == [record()]
    assert path.read_bytes().startswith(content)


def test_line_separators_within_strings_do_not_split_records(tmp_path):
    path = tmp_path / "kernel.jsonl"
    path.write_text(record(started="a\u2028b\x85c").to_json().encode().decode("unicode_escape"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(records.read(path)) == 1


def test_write_atomic_replaces_the_whole_file(tmp_path):
    path = tmp_path / "new" / "table.md"
    for text in ("a longer text", "short"):
        records.write_atomic(path, text)
        assert path.read_text() == text
    assert os.listdir(path.parent) == ["table.md"]


def test_write_atomic_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "table.md"
    path.write_text("old")

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        records.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.md"]


def test_machines_are_kept_by_fingerprint(tmp_path):
    store = Store(tmp_path, "cpu")
    assert store.machines() == {}
    store.add_machine("a", {"cpu": 1})
    store.add_machine("b", {"cpu": 2})
    store.add_machine("a", {"cpu": 3})
    assert store.machines() == {"a": {"cpu": 3}, "b": {"cpu": 2}}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 9}', '{"schema": 1}'])
def test_a_foreign_machine_file_is_never_overwritten(tmp_path, content):
    store = Store(tmp_path, "cpu")
    store.raw.mkdir(parents=True)
    (store.raw / "machine.json").write_text(content)
    with (
        pytest.warns(UserWarning, match="skipped"),
        pytest.raises(RecordError, match="move it away"),
    ):
        store.add_machine("a", {})
    assert (store.raw / "machine.json").read_text() == content


def test_store_files_by_kind(tmp_path):
    store = Store(tmp_path, "cpu")
    kept = [record(kind="epochs"), record(1), record(2)]
    for item in kept:
        store.add(item)
    assert sorted(os.listdir(store.raw)) == ["epochs.jsonl", "kernel.jsonl"]
    assert store.records() == kept
    assert list(records.stores(tmp_path)) == [store]
    assert list(records.stores(tmp_path / "none")) == []
