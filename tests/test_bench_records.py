"""Records survive the round trip, interruptions, and whatever else a file may hold."""

import json
import os
import re
import resource
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halpbench.bench import records
from halpbench.bench.records import LockedError, Record, RecordError, Series, Store

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


def damaged(original):
    """Lines that once were this record, or never were one."""
    line = original.to_json()
    content = json.loads(line)
    return st.one_of(
        st.integers(1, len(line) - 1).map(lambda end: line[:end].encode()),
        st.binary(max_size=40).map(lambda noise: b"\xff" + noise.replace(b"\n", b"")),
        json_values.filter(lambda value: not isinstance(value, dict)).map(json_bytes),
        json_values.map(lambda value: json_bytes(content | {"series": [value]})),
        st.sampled_from(
            [
                line.replace('"schema":1', text).encode()
                for text in ('"schema":2', '"schema":1,"schema":1', '"schema":' + "9" * 5000)
            ]
        ),
        st.sampled_from(["NaN", "-Infinity", "1e999", "-1" + "0" * 400, '"\\ud800"', "[" * 10**5])
        .map(lambda text: line.replace('"facts":{', '"facts":{"x":' + text + ",", 1))
        .map(str.encode),
    )


def json_bytes(value):
    return json.dumps(value).encode()


def read_with_warnings(read):
    """What a reader returns, and the texts of its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return read(), [str(warning.message) for warning in caught]


@contextmanager
def files_limited_to(size):
    """As on a disk that fills up: what reaches beyond `size` bytes of a file is not written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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


@given(st.data())
def test_bad_lines_are_named_and_their_neighbours_survive(tmp_path_factory, data):
    lines = data.draw(
        st.lists(
            any_record.flatmap(lambda r: st.tuples(st.just(r), st.none() | damaged(r))),
            max_size=5,
        )
    )
    path = tmp_path_factory.mktemp("records") / "kernel.jsonl"
    path.write_bytes(
        b"".join((bad or good.to_json().encode()) + b"\n" for good, bad in lines),
    )
    found, messages = read_with_warnings(lambda: records.read(path))
    assert found == [good for good, bad in lines if bad is None]
    bad_numbers = [number for number, (_, bad) in enumerate(lines, start=1) if bad is not None]
    assert [message.split(" skipped: ")[0] for message in messages] == [
        f"{path}, line {number}" for number in bad_numbers
    ]


@given(any_record, st.data())
def test_flipped_bytes_are_a_record_or_a_warning(tmp_path_factory, original, data):
    content = bytearray(original.to_json().encode())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("records") / "kernel.jsonl"
    path.write_bytes(content)
    found, messages = read_with_warnings(lambda: records.read(path))
    assert len(found) + len(messages) == sum(bool(line.strip()) for line in content.split(b"\n"))
    for record in found:
        assert records.parse(record.to_json()) == record
        assert record.identity


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NaN", "not JSON: Out of range float"),
        ("9223372036854775808", "not JSON: an integer of 19 digits; expected at most 64 bits"),
        ('{"a": 1, "b": 2, "a": 3}', "not JSON: key 'a' stands twice"),
        ('"\\udfff"', "not JSON: .*surrogates not allowed"),
        ("[" * 10**5, "not JSON: maximum recursion depth"),
    ],
)
def test_what_python_reads_and_json_forbids(text, message):
    line = record().to_json().replace('"facts":{}', f'"facts":{{"x":{text}}}')
    with pytest.raises(RecordError, match=message):
        records.parse(line)


def test_a_folder_in_place_of_a_file_is_named_and_skipped(tmp_path):
    (tmp_path / "raw" / "cpu" / "kernel.jsonl").mkdir(parents=True)
    store = Store(tmp_path, "cpu")
    store.add(record(kind="epochs"))
    with pytest.warns(UserWarning, match=r"kernel\.jsonl skipped: Is a directory"):
        assert store.records() == [record(kind="epochs")]


def test_a_full_disk_takes_no_part_of_a_record(tmp_path):
    """The first write puts down as much as fits, the second fails: the file is as before."""
    path = tmp_path / "kernel.jsonl"
    records.append(path, record(1))
    before = path.read_bytes()
    error = rf"cannot write {re.escape(str(path))}: File too large"
    with files_limited_to(len(before) + 20), pytest.raises(OSError, match=error):
        records.append(path, record(2))
    assert path.read_bytes() == before
    records.append(path, record(3))
    assert records.read(path) == [record(1), record(3)]


def test_a_full_disk_takes_no_part_of_a_whole_file(tmp_path):
    path = tmp_path / "machine.json"
    path.write_text("old")
    error = rf"cannot write {re.escape(str(path))}: File too large"
    with files_limited_to(100), pytest.raises(OSError, match=error):
        records.write_atomic(path, "new" * 10**5)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["machine.json"]


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.add(record()),
        lambda store: store.add_machine("f", {}),
        lambda store: store.locked().__enter__(),
    ],
    ids=["add", "add_machine", "locked"],
)
def test_a_folder_that_cannot_be_written_is_named(tmp_path, write):
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file", "cpu")
    with pytest.raises(OSError, match=f"cannot write {re.escape(str(store.raw))}.*: Not a dir"):
        write(store)


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder closed even to root")
def test_a_folder_without_permission_is_named():
    store = Store(Path("/sys/kernel"), "cpu")
    with pytest.raises(OSError, match=r"cannot write /sys/kernel/raw/cpu/kernel\.jsonl: "):
        store.add(record())


def test_a_second_run_is_refused(tmp_path):
    store = Store(tmp_path, "cpu")
    with store.locked():
        process = rf"writing to {re.escape(str(store.raw))} \(process {os.getpid()} on "
        with pytest.raises(LockedError, match=process), Store(tmp_path, "cpu").locked():
            pass
        with Store(tmp_path, "another-cpu").locked():
            pass
    with store.locked():
        pass
    assert store.records() == []
    assert store.machines() == {}


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


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"schema": 9}', b'{"schema": 1}', b"\xff", b"[" * 10**5]
)
def test_a_foreign_machine_file_is_never_overwritten(tmp_path, content):
    store = Store(tmp_path, "cpu")
    store.raw.mkdir(parents=True)
    path = store.raw / "machine.json"
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=rf"skipped: {re.escape(str(path))} is not a machine"):
        assert store.machines() == {}
    with pytest.raises(RecordError, match="move it away"):
        store.add_machine("a", {})
    assert path.read_bytes() == content


@given(st.dictionaries(names, json_values, max_size=3))
def test_entries_that_are_no_machines_are_named_and_kept(tmp_path_factory, entries):
    store = Store(tmp_path_factory.mktemp("results"), "cpu")
    store.raw.mkdir(parents=True)
    path = store.raw / "machine.json"
    path.write_text(json.dumps({"schema": 1, "machines": entries}))
    found, messages = read_with_warnings(store.machines)
    assert found == {name: entry for name, entry in entries.items() if isinstance(entry, dict)}
    assert len(messages) == len(entries) - len(found)
    assert all(str(path) in message for message in messages)
    store.add_machine("new", {"cpu": 1})
    content = json.loads(path.read_text())
    assert content == {"schema": 1, "machines": entries | {"new": {"cpu": 1}}}


@given(st.binary(max_size=60), st.integers(0, 60))
def test_a_damaged_machine_file_is_read_or_refused(tmp_path_factory, noise, position):
    store = Store(tmp_path_factory.mktemp("results"), "cpu")
    store.add_machine("a", {"cpu": 1})
    path = store.raw / "machine.json"
    content = path.read_bytes()
    content = content[:position] + noise + content[position + len(noise) :]
    path.write_bytes(content)
    found, messages = read_with_warnings(store.machines)
    assert all(isinstance(machine, dict) for machine in found.values())
    assert found or messages or json.loads(content)["machines"] == {}
    assert path.read_bytes() == content


def test_store_files_by_kind(tmp_path):
    store = Store(tmp_path, "cpu")
    kept = [record(kind="epochs"), record(1), record(2)]
    for item in kept:
        store.add(item)
    assert sorted(os.listdir(store.raw)) == ["epochs.jsonl", "kernel.jsonl"]
    assert store.records() == kept
    assert list(records.stores(tmp_path)) == [store]
    assert list(records.stores(tmp_path / "none")) == []
