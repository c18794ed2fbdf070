"""Records survive the round trip, interruptions, and whatever else a file may hold."""

import cProfile
import gc
import json
import lzma
import os
import pstats
import re
import resource
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as altered

from halpbench.bench import files, records, schema, store, suites
from halpbench.bench.cases import EpochsCase, Setting
from halpbench.bench.files import LockedError
from halpbench.bench.records import Record, RecordError, Series, identity
from halpbench.bench.schema import full_case
from halpbench.bench.store import Store

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
times = st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
# The kind whose case and facts may hold anything.
about = {"kind": st.just("training"), "case": facts, "fingerprint": names, "started": times}
contenders = st.lists(series, min_size=1, max_size=3, unique_by=lambda s: s.contender).map(tuple)
any_record = st.one_of(
    st.builds(Record, **about, series=contenders, facts=facts),
    st.builds(Record, **about, skipped=names),
    st.builds(Record, **about, wrong=names),
)

STARTED = "2024-01-01T00:00:00+00:00"
I8 = Series("i8", {"calls": (100, 110)}, {"calls": 10, "bytes": 32})


def record(n=1, **changes):
    """A kernel of which all is well but for the changes."""
    case = {"op": "dot", "n": n, "backend": "avx2", "dtypes": ["i8"], "classes": 1, "beside": ""}
    fields = {"kind": "kernel", "case": case, "fingerprint": "f", "started": STARTED}
    return Record(**(fields | {"series": (I8,), "id": f"id-{n}"} | changes))


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
                line.replace('"schema":2', text).encode()
                for text in ('"schema":3', '"schema":"2"', '"schema":' + "9" * 5000)
            ]
        ),
        st.sampled_from(["NaN", "-Infinity", "1e999", "-1" + "0" * 5000, '"\\ud800"', "[" * 10**5])
        .map(lambda text: line.replace('"case":{', '"case":{"x":' + text + ",", 1))
        .map(str.encode),
    )


def append(path, record):
    files.append(path, record.to_json().encode())


def json_bytes(value):
    return json.dumps(value).encode()


def read_with_warnings(read):
    """Result of a reader, and the texts of its warnings."""
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
        ({"schema": 3}, "got schema 3; expected 2 or 1"),
        ({"schema": True}, r"Expected `int`, got `bool` - at `\$.schema`"),
        ({"series": {}}, r"Expected `array`, got `object` - at `\$.series`"),
        ({"series": [3]}, r"Expected `object`, got `int` - at `\$.series\[0\]`"),
        ({"series": []}, "got no series of a case that was measured"),
        ({"kind": None}, r"Expected `str` - at `\$.kind`"),
        ({"kind": "foreign"}, r"Invalid value 'foreign' - at `\$.kind`"),
        ({"skipped": 1}, r"Expected `str \| null`, got `int` - at `\$.skipped`"),
        ({"skipped": "why"}, "got series of a case that was not measured"),
        ({"more": 1}, "unknown field `more`"),
        ({"started": "yesterday"}, "started: got 'yesterday'; expected a time in UTC"),
        ({"started": "2024-02-30T00:00:00+00:00"}, "expected a time in UTC as ISO 8601"),
        ({"started": "2024-02-03T00:00:00+01:00"}, "expected a time in UTC as ISO 8601"),
        ({"started": "2024-02-03T00:00:00"}, "expected a time in UTC as ISO 8601"),
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
    with pytest.raises(RecordError, match=r"at `\$.series\[...\]?.?samples_ns.calls"):
        records.parse(json.dumps(content))


def test_a_diverged_run_is_written_as_null():
    diverged = Series("a", {}, {"grad_norms": [1.0, float("inf"), float("nan"), np.float64(2)]})
    diverged.facts["library"] = np.str_("numpy 2")
    parsed = records.parse(record(kind="training", series=(diverged,)).to_json())
    assert parsed.series[0].facts["grad_norms"] == [1.0, None, None, 2.0]
    assert parsed.series[0].facts["library"] == "numpy 2"


def test_identity_depends_on_case_machine_and_kind_alone():
    assert record().identity == record(started="later", skipped="why").identity
    assert record().identity != record(n=2).identity
    assert record().identity != record(fingerprint="g").identity
    assert record().identity != record(kind="call").identity
    assert record().identity == record(plan={"at_least": 9, "suite": "smoke"}).identity


def test_identity_is_the_same_after_reading_back():
    """Tuples become lists in JSON; that must not make a finished case look new."""
    original = record(case={**record().case, "dtypes": ("i8", "f32")})
    assert records.parse(original.to_json()).identity == original.identity


def test_append_and_read(tmp_path):
    path = tmp_path / "new" / "kernel.jsonl"
    assert store.read(path) == []
    for n in (1, 2):
        append(path, record(n))
    assert store.read(path) == [record(1), record(2)]


def test_a_damaged_last_line_is_named_and_kept(tmp_path):
    path = tmp_path / "kernel.jsonl"
    append(path, record(1))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    append(path, record(2))
    with pytest.warns(UserWarning, match="line 2 skipped: not a record|line 2 skipped: not JSON"):
        assert store.read(path) == [record(1), record(2)]
    assert path.read_bytes().startswith(whole + whole[:20] + b"\n")


@given(st.binary(max_size=60))
def test_any_bytes_can_be_read_and_appended_to(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("records") / "kernel.jsonl"
    path.write_bytes(content)
    append(path, record())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert store.read(path) == [record()]
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
    found, messages = read_with_warnings(lambda: store.read(path))
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
    found, messages = read_with_warnings(lambda: store.read(path))
    assert len(found) + len(messages) == sum(bool(line.strip()) for line in content.split(b"\n"))
    for each in found:
        assert records.parse(each.to_json()) == each
        assert each.identity


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NaN", "not JSON: JSON is malformed"),
        ("9" * 5000, "not a record: Integer value out of range"),
        ('"\\udfff"', "not JSON: JSON is malformed: unexpected end of hex escape|not JSON"),
        ("[" * 10**5, "not JSON: maximum recursion depth"),
    ],
)
def test_what_python_reads_and_json_forbids(text, message):
    training = record(kind="training", series=(), skipped="why")
    line = training.to_json().replace('"case":{', f'"case":{{"x":{text},', 1)
    with pytest.raises(RecordError, match=message):
        records.parse(line)


def test_a_folder_in_place_of_a_file_is_named_and_skipped(tmp_path):
    (tmp_path / "raw" / "cpu" / "kernel.jsonl").mkdir(parents=True)
    store = Store(tmp_path, "cpu")
    store.add(record())
    with pytest.warns(UserWarning, match=r"kernel\.jsonl skipped: Is a directory"):
        assert store.records() == [record()]


def test_a_full_disk_takes_no_part_of_a_record(tmp_path):
    """The first write puts down as much as fits, the second fails: the file is as before."""
    path = tmp_path / "kernel.jsonl"
    append(path, record(1))
    before = path.read_bytes()
    error = rf"cannot write {re.escape(str(path))}: File too large"
    with files_limited_to(len(before) + 20), pytest.raises(OSError, match=error):
        append(path, record(2))
    assert path.read_bytes() == before
    append(path, record(3))
    assert store.read(path) == [record(1), record(3)]


def test_a_full_disk_takes_no_part_of_a_whole_file(tmp_path):
    path = tmp_path / "machine.json"
    path.write_text("old")
    error = rf"cannot write {re.escape(str(path))}: File too large"
    with files_limited_to(100), pytest.raises(OSError, match=error):
        files.write_atomic(path, "new" * 10**5)
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
    with pytest.raises(OSError, match=r"cannot write /sys/kernel/raw/cpu/records\.jsonl: "):
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
    path.write_text(record(fingerprint="a\u2028b\x85c").to_json(), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(store.read(path)) == 1


def test_write_atomic_replaces_the_whole_file(tmp_path):
    path = tmp_path / "new" / "table.md"
    for text in ("a longer text", "short"):
        files.write_atomic(path, text)
        assert path.read_text() == text
    assert os.listdir(path.parent) == ["table.md"]


def test_write_atomic_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "table.md"
    path.write_text("old")

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        files.write_atomic(path, "new")
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
    "content",
    [b"", b"{", b"[]", b'{"schema": 9, "machines": {}}', b'{"schema": 1}', b"\xff", b"[" * 10**5],
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
    assert content == {"schema": 2, "machines": entries | {"new": {"cpu": 1}}}


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


def test_a_store_keeps_the_order_of_all_kinds(tmp_path):
    store_ = Store(tmp_path, "cpu")
    kept = [record(2), record(kind="training", series=(), skipped="why", id="other"), record(1)]
    for item in kept:
        store_.add(item)
    assert os.listdir(store_.raw) == ["records.jsonl"]
    assert store_.records() == kept
    assert list(store.stores(tmp_path)) == [store_]
    assert list(store.stores(tmp_path / "none")) == []


# ---- Identity and order --------------------------------------------------------------------------

SVRG, HALP = Setting("svrg", "D32fM32f"), Setting("halp", "D8M8", mu=3.0)
EPOCHS = EpochsCase(suites.FIGURE_1, "exact", "avx2", (SVRG, HALP))


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        (Setting("halp", "D8M8", mu=3), True),
        (Setting("halp", "D8M8", mu=3.0, batch_size=1), True),
        (Setting("halp", "D8M8", mu=3.0, batch_size=4), False),
        (Setting("halp", "D8M8", mu=3.0, batch_size="auto"), False),
        (Setting("halp", "D8M8", mu="adaptive"), False),
        (Setting("halp", "D8M8"), False),
        (Setting("halp", "D8M8", mu=2.0), False),
    ],
)
def test_what_identifies_an_algorithm(changed, same):
    other = altered(EPOCHS, contenders=(SVRG, changed))
    assert (identity("epochs", other, "f") == identity("epochs", EPOCHS, "f")) == same


def test_a_case_and_its_fields_have_one_identity():
    """Defaults are spelled out, as in a record, or not, as in one of older code."""
    fields = full_case("epochs", EPOCHS)
    assert fields["contenders"][1] == {
        "algorithm": "halp",
        "precision": "D8M8",
        "step_size": None,
        "mu": 3.0,
        "delta": None,
        "batch_size": 1,
        "constants": "",
    }
    assert identity("epochs", fields, "f") == identity("epochs", EPOCHS, "f")
    for contender in fields["contenders"]:
        del contender["batch_size"], contender["constants"]
    assert identity("epochs", fields, "f") == identity("epochs", EPOCHS, "f")


def test_a_name_tells_settings_of_one_case_apart():
    settings = [HALP, altered(HALP, batch_size=4), altered(HALP, constants="paper")]
    assert [one.name for one in settings] == [
        "HALP D8M8",
        "HALP D8M8, batch 4",
        "HALP D8M8, paper",
    ]
    assert settings[1].keywords(0.5) == {"step_size": 0.5, "mu": 3.0, "batch_size": 4}
    assert altered(HALP, mu="adaptive", step_size=0.1).keywords(0.5) == {"step_size": 0.1}


def test_a_record_that_stands_twice_counts_once(tmp_path):
    """As after a merge of two copies of one folder."""
    path = tmp_path / "records.jsonl"
    for item in (record(1), record(2), record(1), record(3, id="id-2")):
        append(path, item)
    with pytest.warns(UserWarning, match="skipped: a record of the id id-. came before") as caught:
        assert store.read(path) == [record(1), record(2)]
    assert [str(w.message).split(" skipped")[0] for w in caught] == [
        f"{path}, line 3",
        f"{path}, line 4",
    ]


# ---- Schema 1 ------------------------------------------------------------------------------------

PLAN_1 = {"at_least": 3, "at_most": 15, "budget_seconds": 0.6, "suite": "full"}
PROBLEM_1 = {
    "name": "figure-1",
    "dataset": "synthetic-regression",
    "model": "least-squares",
    "n_samples": 1000,
    "n_features": 100,
    "step_size": 0.005,
    "n_classes": 1,
    "options": [["n_samples", 1000]],
    "l2": 0.0,
    "steps_per_sample": 2.0,
    "fallback": None,
}
HALP_1 = {"algorithm": "halp", "precision": "D8M8", "options": [["mu", 3.0]]}
FITTED_1 = {"name": "digits", "n_samples": 9, "n_features": 2, "n_classes": 3, "l2": 0.1}
CASES_1 = {
    "kernel": (
        {"op": "dot", "n": 9, "backend": "b", "classes": 1, "beside": "", "dtypes": ["i8"]},
        {**PLAN_1, "tables": ["kernels"]},
    ),
    "call": (
        {"n": 16, "backend": "b", "peers": ["numkong 7"], "dtype": "f32"},
        {**PLAN_1, "tables": ["kernels"]},
    ),
    "epochs": (
        {"problem": PROBLEM_1, "data": "exact", "backend": "b", "contenders": [HALP_1], "seed": 0},
        {**PLAN_1, "epochs_per_turn": 5, "tables": ["epochs"]},
    ),
    "fits": (
        {"problem": {**FITTED_1, "budget_seconds": 10}, "tol": 0.1, "contenders": [["a", "a 1"]]},
        {"grad_norms": [0.1, 0.01], "suboptimalities": [0.01], "suite": "smoke"},
    ),
    "curves": (
        {
            "problem": PROBLEM_1,
            "data": "quantized",
            "bits": 8,
            "contenders": [{**HALP_1, "constants": "paper"}],
            "epochs": 40,
            "seed": 0,
        },
        {"figure": "fig1", "panel": "8 bits", "repeats": 5, "suite": "full"},
    ),
}
EXPECTED_1 = {
    "kernel": {"dtypes": ["i8"]},
    "call": {"libraries": ["numkong 7"], "dtype": "f32"},
    "epochs": {"problem": {k: v for k, v in PROBLEM_1.items() if k != "fallback"}},
    "fits": {"problem": FITTED_1},
    "curves": {"epochs": 40, "bits": 8},
}


def old_line(name, started=STARTED, **changes):
    case, rest = CASES_1[name]
    content = {"schema": 1, "kind": name, "case": {**case, **rest}, "fingerprint": "f"}
    content |= {"started": started, "series": [], "facts": {}, "skipped": "why"}
    return json.dumps(content | changes)


@pytest.mark.parametrize("kind", CASES_1)
def test_records_of_schema_1_are_read(kind):
    parsed = records.parse(old_line(kind))
    assert parsed.schema == 2
    assert (parsed.kind, parsed.fingerprint, parsed.skipped) == (kind, "f", "why")
    assert parsed.case | EXPECTED_1[kind] == parsed.case
    assert not {"tables", "figure", "panel", "suite", "at_least", "repeats"} & set(parsed.case)
    assert parsed == records.parse(parsed.to_json()), "the id is that of the content"
    assert parsed.id == records.parse(old_line(kind)).id


def test_the_plan_of_schema_1_is_kept():
    plans = {kind: records.parse(old_line(kind)).plan for kind in CASES_1}
    assert plans["kernel"] == PLAN_1
    assert plans["epochs"] == {**PLAN_1, "epochs_per_turn": 5}
    assert plans["curves"] == {"suite": "full", "at_least": 5, "at_most": 5}
    assert plans["fits"] == {
        "suite": "smoke",
        "budget_seconds": 10,
        "grad_norms": [0.1, 0.01],
        "suboptimalities": [0.01],
    }


def test_options_of_schema_1_have_names_now():
    (setting,) = records.parse(old_line("epochs")).case["contenders"]
    assert (setting["mu"], setting["batch_size"], setting["delta"]) == (3.0, 1, None)


def test_a_wrong_result_was_a_reason_to_skip():
    parsed = records.parse(old_line("kernel", skipped="wrong result of dot i8: got 1, expected 2"))
    assert parsed.skipped is None
    assert parsed.wrong == "wrong result of dot i8: got 1, expected 2"


@pytest.mark.parametrize("change", [{"case": 7}, {"kind": None}, {"case": {}}, {"series": 3}])
def test_damaged_records_of_schema_1_are_refused(change):
    with pytest.raises(RecordError):
        records.parse(old_line("epochs", **change))
    with pytest.raises(RecordError):
        records.parse('{"schema": 1}')


def old_folder(tmp_path):
    """Files of schema 1: kinds apart, so that times alone tell how they follow one another."""
    store_ = Store(tmp_path, "cpu")
    store_.raw.mkdir(parents=True)
    days = {"kernel": (1, 4), "call": (2,), "epochs": (3,)}
    for kind, began in days.items():
        lines = [old_line(kind, f"2024-01-0{day}T00:00:00+00:00") + "\n" for day in began]
        (store_.raw / f"{kind}.jsonl").write_text("".join(lines))
    (store_.raw / "machine.json").write_text('{"schema": 1, "machines": {"f": {"cpu": 1}}}')
    return store_


def test_kinds_of_schema_1_are_merged_by_time_and_come_first(tmp_path):
    store_ = old_folder(tmp_path)
    store_.add(record(1, started="2023-01-01T00:00:00+00:00"))
    assert [r.kind for r in store_.records()] == ["kernel", "call", "epochs", "kernel", "kernel"]
    assert store_.records()[-1] == record(1, started="2023-01-01T00:00:00+00:00")


def test_an_upgrade_changes_nothing_but_the_files(tmp_path):
    store_ = old_folder(tmp_path)
    before = store_.records(), store_.machines()
    assert store.rewrite(store_.raw) == []
    assert sorted(os.listdir(store_.raw)) == ["machine.json", "records.jsonl"]
    assert (store_.records(), store_.machines()) == before
    content = (store_.raw / "records.jsonl").read_bytes()
    assert b'"schema":1' not in content
    assert store.rewrite(store_.raw) == []
    assert (store_.raw / "records.jsonl").read_bytes() == content


def test_an_upgrade_leaves_a_folder_with_foreign_lines_alone(tmp_path):
    store_ = old_folder(tmp_path)
    with open(store_.raw / "call.jsonl", "a") as file:
        file.write('{"schema": 1, "ki')
    before = {path: path.read_bytes() for path in store_.raw.iterdir()}
    (message,) = store.rewrite(store_.raw)
    assert "call.jsonl, line 2 skipped: not JSON" in message
    assert {path: path.read_bytes() for path in store_.raw.iterdir()} == before


def test_an_upgrade_on_a_full_disk_loses_nothing(tmp_path):
    store_ = old_folder(tmp_path)
    before = {path: path.read_bytes() for path in store_.raw.iterdir()}
    for packed in (False, True):
        with files_limited_to(100), pytest.raises(OSError, match="File too large"):
            store.rewrite(store_.raw, packed=packed)
        assert {path: path.read_bytes() for path in store_.raw.iterdir()} == before


def test_packed_records_are_read_and_continued(tmp_path):
    store_ = Store(tmp_path, "cpu")
    for n in range(20):
        store_.add(record(n))
    lines = (store_.raw / "records.jsonl").read_bytes()
    assert store.rewrite(store_.raw, packed=True) == []
    assert os.listdir(store_.raw) == ["records.jsonl.xz"]
    path = store_.raw / "records.jsonl.xz"
    assert path.stat().st_size < len(lines) / 4
    assert lzma.decompress(path.read_bytes()) == lines
    assert store.read(path) == store_.records() == [record(n) for n in range(20)]
    store_.add(record(20))
    assert (store_.raw / "records.jsonl").exists(), "what is new is appended to a file of its own"
    assert store_.records() == [record(n) for n in range(21)]
    assert store.rewrite(store_.raw, packed=True) == []
    assert os.listdir(store_.raw) == ["records.jsonl.xz"]
    assert store.rewrite(store_.raw) == []
    assert os.listdir(store_.raw) == ["records.jsonl"]
    assert store_.records() == [record(n) for n in range(21)]


def test_packed_records_that_are_damaged_are_named_and_kept(tmp_path):
    store_ = Store(tmp_path, "cpu")
    store_.add(record(0))
    store.rewrite(store_.raw, packed=True)
    path = store_.raw / "records.jsonl.xz"
    whole = path.read_bytes()
    store_.add(record(1))
    for damaged in (whole[:-20], whole[:50] + b"?" + whole[51:], b"no archive"):
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match=r"records\.jsonl\.xz skipped: "):
            assert store_.records() == [record(1)]
        for packed in (False, True):
            assert len(store.rewrite(store_.raw, packed=packed)) == 1
            assert path.read_bytes() == damaged


# ---- The committed records, and the JSON Schema --------------------------------------------------

RESULTS = Path(__file__).parents[1] / "results"
COMMITTED = sorted(
    path
    for path in RESULTS.rglob("raw/*/*.jsonl*")
    if "smoke" not in path.relative_to(RESULTS).parts
)


def lines():
    contents = (
        lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        for path in COMMITTED
    )
    return [line for content in contents for line in content.split(b"\n") if line]


def test_committed_records_are_of_this_schema():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [record for path in COMMITTED for record in store.read(path)]
    assert {path.name for path in COMMITTED} <= {"records.jsonl", "records.jsonl.xz"}
    assert len(found) == len(lines()) > 600
    assert all(record.schema == 2 and record.measured for record in found)
    kinds = {"kernel", "call", "epochs", "optimum", "fits", "curves", "theory", "training"}
    assert kinds <= {record.kind for record in found}
    assert [record.to_json().encode() for record in found] == lines(), "they are written so"


def test_the_json_schema_takes_what_the_structs_take():
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(schema.json_schema())
    kinds = {json.loads(line)["kind"]: line for line in lines()}
    for line in kinds.values():
        good = json.loads(line)
        validator.validate(good)
        for change in ({"schema": 1}, {"kind": "foreign"}, {"more": 1}, {"series": {}}, {"id": ""}):
            bad = good | change
            assert not validator.is_valid(bad), change
            with pytest.raises(RecordError):
                schema_check(bad)


def schema_check(content):
    """As `parse`, but for content that claims to be of schema 1."""
    try:
        schema.shaped(json_bytes(content))
    except ValueError as error:
        raise RecordError(str(error)) from None


def test_each_line_is_decoded_twice_and_no_more(tmp_path):
    """Once for its shape, once as a record: reading takes time in proportion to the lines."""
    path = tmp_path / "records.jsonl"
    path.write_text("".join(record(n).to_json() + "\n" for n in range(1000)))
    profile = cProfile.Profile()
    profile.runcall(store.read, path)
    calls = {name: count for (_, _, name), (count, *_) in pstats.Stats(profile).stats.items()}
    assert calls["parse"] == calls["shaped"] == 1000
    decodes = sum(count for name, count in calls.items() if "decode" in name and "Decoder" in name)
    assert decodes == 3 * 1000, "the head with the number of the schema, the shape, the record"


@pytest.mark.parametrize("enabled", [True, False])
def test_no_garbage_is_looked_for_while_records_are_read(tmp_path, enabled):
    """It took twice the time of reading; afterwards the collector is as it was before."""
    path = tmp_path / "records.jsonl"
    path.write_text("".join(record(n).to_json() + "\n" for n in range(1000)))
    phases = []
    before = gc.isenabled()
    gc.callbacks.append(lambda phase, info: phases.append(phase))
    try:
        (gc.enable if enabled else gc.disable)()
        read = store.read(path)
        looked, after = len(phases), gc.isenabled()
    finally:
        gc.callbacks.pop()
        (gc.enable if before else gc.disable)()
    assert len(read) == 1000
    assert after == enabled
    # One collection may run before the reading, and one after: a start and a stop each.
    assert looked <= 4
