"""Whatever stands in a record: what is not fit for the tables is named, the rest is shown."""

import copy
import io
import json
import warnings

import pytest
from builders import MACHINE_WITH_CEILINGS as MACHINE
from builders import STARTED, call, counted_kernel, counted_steps, epochs, kernel
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from halpbench.bench.records import Record, Series, parse
from halpbench.bench.runs import SavedRun
from halpbench.bench.store import Store
from halpbench.report import compare, machine, tables

FITTED = {"name": "fitted", "n_samples": 50, "n_features": 9, "n_classes": 3, "l2": 0.1}
SOLVED = {"source": "a generator", "loss": 0.1, "grad_norm": 1e-6, "error_bound": 1e-12}
FITS = {
    "problem": FITTED,
    "tol": 1e-3,
    "contenders": [["halpbench", "halpbench 1"], ["other", "other 2"]],
}
PLAN = {"budget_seconds": 2.0, "grad_norms": [1e-1, 1e-3], "suboptimalities": [1e-2]}
FIT = Series(
    "halpbench",
    {"fit": (2000, 1000), "cpu": (2000, 1000)},
    {"loss": 0.5, "grad_norm": 1e-4, "suboptimality": 1e-5, "peak_bytes": 100},
)
ABSENT = {"absent": {"another": "not installed"}}
GOOD = [
    kernel("dot", 1000, {"f32": 400, "f64": 800, "i8": 100}),
    kernel("axpy", 4096, {"f32": 400, "i8": 200, "dot i8": 100}),
    kernel("read", 10_000, {"i8": 1_000}),
    call(16, 50, 100),
    epochs(),
    Record("optimum", {"problem": FITTED}, "f", STARTED, facts=SOLVED),
    Record("fits", FITS, "f", STARTED, (FIT, replace(FIT, contender="other")), ABSENT, plan=PLAN),
    counted_kernel("dot", 400, {"i8": 16}),
    counted_steps(),
]
NUMBERS = [0, -1, 1, 7, 2**62, 0.0, 0.5, -2.5, 1e-300, 1e300]
TEXTS = ["", "i8", "SVRG D32fM32f", "[bold]", "\u2028"]
ODD = st.sampled_from([None, True, False, *NUMBERS, *TEXTS, [], [0], ["a"], [[]], {}, {"a": 1}])


def places(value, path=()):
    """Every place below a value, as the keys that lead there."""
    items = {dict: dict.items, list: enumerate}.get(type(value), lambda _: ())(value)
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


@st.composite
def mutated(draw, content):
    """A copy of JSON data with something else, or nothing, in one to three places."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from(list(places(content))))
        inner = content
        for key in above:
            inner = inner[key]
        if draw(st.booleans()):
            inner[last] = copy.deepcopy(draw(ODD))
        else:
            del inner[last]
    return content


def everything_made_of(store):
    reports = tables.build(store)
    for report in reports:
        tables.markdown(report)
        json.dumps(tables.as_json(report), allow_nan=False)
        for rows in report.data.values():
            tables.as_csv(rows)
        tables.show([report], Console(file=io.StringIO()))
        if report.machine:
            machine.describe(report.machine)
            machine.ceilings(report.machine)
    return reports


@settings(max_examples=25)
@given(st.sampled_from(GOOD).flatmap(lambda record: mutated(json.loads(record.to_json()))))
def test_a_malformed_record_spoils_nothing(tmp_path_factory, content):
    store = Store(tmp_path_factory.mktemp("results"), "cpu")
    store.add_machine("f", MACHINE)
    for record in GOOD:
        store.add(record)
    path = store.raw / "records.jsonl"
    with open(path, "a") as file:
        file.write(json.dumps({"id": "mutated"} | content) + "\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        everything_made_of(store)
        found = store.records()
        for across in compare.ACROSS:
            runs = [SavedRun("A", "f", MACHINE, GOOD), SavedRun("B", "f", MACHINE, found)]
            compare.compare(runs, across)
    place = f"{path}, line {len(GOOD) + 1} skipped: "
    assert all(place in str(warning.message) for warning in caught)
    assert bool(caught) == (len(found) < len(GOOD) + 1)


@settings(max_examples=25)
@given(mutated(MACHINE))
def test_a_malformed_machine_is_unknown(tmp_path_factory, content):
    store = Store(tmp_path_factory.mktemp("results"), "cpu")
    for record in GOOD:
        store.add(record)
    store.add_machine("f", content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reports = everything_made_of(store)
        runs = [SavedRun(name, "f", content, GOOD) for name in "AB"]
        assert compare.compare(runs, "machines").rows
        compare.compare(runs)
    assert {bool(report.machine) for report in reports} == {not caught}
    assert all(
        f"{store.raw / 'machine.json'}, machine 'f' skipped" in str(w.message) for w in caught
    )


@pytest.mark.parametrize("record", GOOD, ids=lambda record: tables.describe(record))
def test_good_records_have_no_fault(record):
    assert parse(record.to_json()).identity == record.identity


def test_a_fit_without_a_time_reaches_nothing(tmp_path):
    untimed = replace(FIT, samples_ns={"fit": (), "cpu": ()})
    store = Store(tmp_path, "cpu")
    store.add(GOOD[5])
    store.add(replace(GOOD[6], series=(untimed,)))
    (report,) = everything_made_of(store)
    assert {row["seconds"] for row in report.data["time_to_accuracy"]} == {None}


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (["case", "n"], "9", r"Expected `int`, got `str` - at `\$.case.n`"),
        (["case", "backend"], None, r"Expected `str`, got `null` - at `\$.case.backend`"),
        (
            ["series", 1, "facts"],
            {"bytes": 1},
            r"field `calls` - at `\$.series\[1\].facts`",
        ),
        (["series", 0, "samples_ns", "calls", 2], 0, r"Expected `int` >= 1 - at .*calls\[2\]`"),
        (["series", 0, "samples_ns", "calls"], [], r"of length >= 1 - at `.*calls`"),
        (["series", 0, "contender"], "i8", "a contender stands twice"),
        (["case"], {}, r"missing required field `op` - at `\$.case`"),
        (["kind"], "foreign", r"Invalid value 'foreign' - at `\$.kind`"),
    ],
)
def test_the_message_says_where_and_what(tmp_path, place, value, message):
    content = json.loads(GOOD[0].to_json())
    *above, last = place
    inner = content
    for key in above:
        inner = inner[key]
    inner[last] = value
    store = Store(tmp_path, "cpu")
    store.add(GOOD[0])
    path = store.raw / "records.jsonl"
    path.write_text(path.read_text() + json.dumps(content) + "\n")
    with pytest.warns(UserWarning, match=f"{path}, line 2 skipped: .*{message}"):
        assert [report.name for report in tables.build(store)] == ["kernels", "summary"]
