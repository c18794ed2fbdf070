"""Comparisons of made-up runs, whose differences are known."""

import json
import re
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from builders import STARTED
from msgspec.structs import replace as altered

from halpbench import cli
from halpbench.bench import cases, suites
from halpbench.bench.records import Record, RecordError, Series
from halpbench.bench.runs import SavedRun, load
from halpbench.bench.schema import full_case
from halpbench.bench.store import Store
from halpbench.report import agreement, compare

MACHINE = {
    "cpu": {
        "vendor": "V",
        "model": "Fast CPU",
        "family_model_stepping": "1/2/3",
        "isa": ["avx2"],
        "usable_cores": 2,
    },
    "caches": [{"level": 1, "size_bytes": 32768, "shared_by": "0"}],
    "memory_bytes": 8 * 2**30,
    "system": {"governor": "performance"},
    "build": {
        "kernels": {"compiler": "gcc 99", "flags": ["-O3"], "levels": {}},
        "backends": ["avx2", "scalar"],
        "code": "c0",
    },
    "python": "CPython 3.11",
    "revision": "abc123",
}
LENGTHS = (16, 256, 4_096, 100_000)
DTYPES = {"f32": 1000.0, "i16": 500.0, "i8": 250.0}


def times(rng, ns, rounds):
    """Samples of ten calls each with the scatter of life: 3 %, and now and then an outlier."""
    scatter = rng.normal(1, 0.03, rounds) * np.where(rng.random(rounds) < 0.05, 2, 1)
    return tuple(int(10 * ns * factor) for factor in scatter)


def run(seed, slower=None, *, name="", rounds=31, machine=MACHINE, backends=("avx2",)):
    """Made-up kernels; `slower`: factors on the time of a call by length and dtype."""
    rng = np.random.default_rng(seed)
    records = []
    for backend in backends:
        for n in LENGTHS:
            series = tuple(
                Series(
                    dtype,
                    {"calls": times(rng, ns * (slower or {}).get((n, dtype), 1), rounds)},
                    {"calls": 10, "bytes": 2 * n},
                )
                for dtype, ns in DTYPES.items()
            )
            case = cases.KernelCase("dot", n, backend, tuple(DTYPES))
            fields = {"started": STARTED, "series": series}
            records.append(Record("kernel", full_case("kernel", case), f"f{seed}", **fields))
    return SavedRun(name or f"run {seed}", f"f{seed}", machine, records)


def epochs_run(seed, norms, **constants):
    contenders = (cases.Setting("svrg", "D32fM32f"), cases.Setting("halp", "D8M8", **constants))
    series = tuple(
        Series(
            contender.name,
            {
                part: (2000, *[1000] * (len(norms) - 2))
                for part in ("inner", "full_gradient", "epoch")
            },
            {
                "data_bytes": 1,
                "step_bytes": 1,
                "gradient_row_bytes": 1,
                "gradient_norms": norms,
                "diverged": False,
            },
        )
        for contender in contenders
    )
    case = cases.EpochsCase(suites.FIGURE_1, "exact", "avx2", contenders)
    facts = {"epoch_length": 1, "n_samples": 1, "n_features": 1}
    record = Record("epochs", full_case("epochs", case), f"f{seed}", STARTED, series, facts)
    return SavedRun(f"run {seed}", f"f{seed}", MACHINE, [record])


def changed(path, value):
    """MACHINE with another value in one place."""
    machine = deepcopy(MACHINE)
    *above, last = path
    inner = machine
    for key in above:
        inner = inner[key]
    inner[last] = value
    return machine


@pytest.mark.parametrize("across", compare.ACROSS)
def test_a_run_against_itself_is_unchanged(across):
    found = compare.compare([run(1), run(1)], across)
    assert len(found.rows) == len(LENGTHS) * (3 if across == "revisions" else 2)
    assert {row["ratio"] for row in found.rows} == {1.0}
    assert {row["verdict"] for row in found.rows} == {"alike"}
    assert found.notes == []
    assert found.below(1.0) == []


def test_two_runs_of_the_same_code_differ_by_chance_alone():
    """Holm's promise: comparing like with like, one in 20 calls anything changed at all."""
    wrong = 0
    for seed in range(20):
        found = compare.compare([run(seed), run(1000 + seed)])
        wrong += any(row["verdict"] != "alike" for row in found.rows)
        assert found.below(0.9) == []
    assert wrong <= 3


@pytest.mark.parametrize("across", compare.ACROSS)
@pytest.mark.parametrize(("rounds", "at_least"), [(31, 10), (9, 8)])
def test_a_slowdown_of_a_fifth_is_found(across, rounds, at_least):
    """20 % longer in one of 12 places: found in all of 10 runs of 31 rounds, in most of 9."""
    found = []
    for seed in range(10):
        slow = run(100 + seed, {(256, "i8"): 1.2}, rounds=rounds)
        found += compare.compare([run(seed, rounds=rounds), slow], across).below(0.95)
    assert at_least <= len(found) <= 10
    for row in found:
        assert (row["case"], row["contender"]) == ("dot, 256, avx2", "i8")
        assert row["ratio"] == pytest.approx(1 / 1.2, rel=0.1)
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"] < 0.95
        assert row["p_value"] < row["p_holm"] < 0.05


def test_a_speedup_is_no_failure():
    found = compare.compare([run(1), run(2, {(16, "i8"): 0.5})])
    (row,) = [row for row in found.rows if row["verdict"] != "alike"]
    assert row["verdict"] == "faster"
    assert row["ratio"] == pytest.approx(2, rel=0.05)
    assert found.below(1.0) == []


def test_both_directions_read_alike():
    slower = {"ratio": 0.5, "ratio_low": 0.4, "ratio_high": 0.8}
    assert compare.change(slower) == "2.00x slower [1.25-2.50]"
    faster = {"ratio": 2.0, "ratio_low": 1.25, "ratio_high": 2.5}
    assert compare.change(faster) == "2.00x faster [1.25-2.50]"


def test_machines_meet_in_ratios_only():
    """A machine of twice the speed is no better; one on which only i8 is faster is."""
    other = changed(["cpu", "model"], "Other CPU")
    twice = {(n, dtype): 0.5 for n in LENGTHS for dtype in DTYPES}
    found = compare.compare([run(1), run(2, twice, machine=other)], "machines")
    assert {row["verdict"] for row in found.rows} == {"alike"}
    assert not any("ns" in name for row in found.rows for name in row)
    better = {(n, "i8"): 0.5 for n in LENGTHS}
    found = compare.compare([run(1), run(2, better, machine=other)], "machines")
    for row in found.rows:
        assert row["verdict"] == ("faster" if row["contender"] == "i8" else "alike")
        assert row["first_speedup"] == pytest.approx(1000 / DTYPES[row["contender"]], rel=0.05)


def test_the_best_backends_of_two_machines_meet():
    other = changed(["build", "backends"], ["neon", "scalar"])
    runs = [run(1, backends=("avx2", "scalar")), run(2, machine=other, backends=("neon", "scalar"))]
    found = compare.compare(runs, "machines")
    assert {row["backend"] for row in found.rows} == {"scalar", "best backend"}
    brief, rest = found.tables
    assert brief.title == "Speedups, best backend"
    assert brief.rows[0][0] == "dot, 16"
    assert rest.rows[0][0] == "dot, 16, scalar"
    assert any("in A, not in B: dot, 16, avx2" in note for note in found.notes)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["cpu", "model"], "Slow CPU", "cpu.model is 'Fast CPU' and 'Slow CPU'"),
        (["caches", 0, "size_bytes"], 1, r"caches\[0\].size_bytes is 32768 and 1 "),
        (["build", "kernels", "compiler"], "clang 1", "compiler is 'gcc 99' and 'clang 1'"),
        (["cpu"], "?", "cpu.vendor is 'V' and 'unknown'; cpu.model"),
    ],
)
def test_other_machines_and_compilers_are_refused(path, value, message):
    runs = [run(1), run(2, machine=changed(path, value))]
    with pytest.raises(agreement.IncomparableError, match=f"run 1 and run 2 .*{message}"):
        compare.compare(runs)
    assert compare.compare(runs, "machines").rows


def test_a_lost_machine_record_is_refused():
    with pytest.raises(agreement.IncomparableError, match="run 2: no machine record"):
        compare.compare([run(1), run(2, machine={})])


@pytest.mark.parametrize(
    ("path", "value", "note"),
    [
        (["revision"], "def456", None),
        (["build", "code"], "c1", None),
        (["python"], "CPython 3.12", "python is 'CPython 3.11' and 'CPython 3.12'"),
        (["system", "governor"], "powersave", "system.governor is 'performance' and 'powersave'"),
        (["build", "kernels", "flags"], ["-O2"], "build.kernels.flags[0] is '-O3' and '-O2'"),
    ],
)
def test_what_may_differ_is_noted_if_it_may_explain(path, value, note):
    found = compare.compare([run(1), run(2, machine=changed(path, value))])
    assert found.notes == ([f"differs between A and B: {note}"] if note else [])


def test_what_one_run_lacks_is_noted():
    full, part = run(1), run(2)
    first, *others = part.records
    first = altered(first, series=first.series[:2])
    found = compare.compare([full, replace(part, records=[first, *others[1:]])])
    assert found.notes == ["in A, not in B: i8 in dot, 16, avx2; dot, 256, avx2"]
    assert len(found.rows) == 3 * len(LENGTHS) - 4


def test_a_missing_baseline_is_noted():
    part = run(2)
    first, *others = part.records
    first = altered(first, series=first.series[1:])
    found = compare.compare([run(1), replace(part, records=[first, *others])], "machines")
    assert found.notes[0] == "without a baseline in B: dot, 16, avx2"
    assert len(found.rows) == 2 * (len(LENGTHS) - 1)


def test_nothing_in_common_is_an_error():
    with pytest.raises(ValueError, match="run 1, run 2: no case and contender in common"):
        compare.compare([run(1), run(2, backends=("scalar",))])


def test_few_samples_are_not_judged():
    found = compare.compare([run(1, rounds=7), run(2, {(16, "i8"): 9}, rounds=31)])
    assert found.judged == 0
    assert {row["verdict"] for row in found.rows} == {"too few"}
    assert found.below(0.9) == []
    assert "12 more have fewer than 8 samples" in found.tables[0].notes[-1]


def test_all_samples_of_a_case_count():
    """A run in a slow mood is a change; beside one in a good mood it is scatter."""
    good, slow = run(2), run(3, {(16, "i8"): 1.3})
    assert len(compare.compare([run(1), slow]).below(0.95)) == 1
    both = replace(good, records=[*good.records, *slow.records])
    found = compare.compare([run(1), both])
    assert {row["samples"] for row in found.rows} == {62}
    assert found.below(0.95) == []


def test_a_case_matches_whatever_the_rounds_and_its_neighbours():
    """Budgets, suites and which contenders stand beside do not change what is measured."""
    other = run(2)
    plan = {"at_least": 1, "suite": "smoke", "budget_seconds": 9.0}
    records = [altered(r, case={**r.case, "dtypes": ["i8"]}, plan=plan) for r in other.records]
    found = compare.compare([run(1), replace(other, records=records)])
    assert len(found.rows) == 3 * len(LENGTHS)


def test_a_changed_result_stands_beside_the_speedup():
    same, other = [9.0, 3.0, 1.0], [9.0, 3.0, 1.2, 0.5]
    assert compare.compare([epochs_run(1, same), epochs_run(2, same)]).notes == []
    notes = compare.compare([epochs_run(1, same), epochs_run(2, other)]).notes
    text = "HALP D8M8 in figure-1, exact, avx2: gradient norm after 2 epochs 1.0e+00 in A, 1.2e+00"
    assert text in notes[1]


# ---- Files and the command --------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    """Two saved runs: B is slower than A in one place."""
    run(1).save(tmp_path / "A.json")
    run(2, {(256, "i8"): 1.25}).save(tmp_path / "B.json")
    return [str(tmp_path / name) for name in ("A.json", "B.json")]


def test_a_saved_run_is_read_back(tmp_path):
    saved = run(1)
    saved.save(tmp_path / "A.json")
    (found,) = load(tmp_path / "A.json", compare.KINDS)
    assert (found.fingerprint, found.machine) == (saved.fingerprint, saved.machine)
    assert [r.identity for r in found.records] == [r.identity for r in saved.records]


def test_folders_and_files_hold_the_last_build(tmp_path):
    store = Store(tmp_path, "cpu")
    for number, year in ((2, 2024), (1, 2023)):  # as if the clock had been set back
        measured = run(number)
        store.add_machine(measured.fingerprint, MACHINE)
        for record in measured.records:
            store.add(altered(record, started=f"{year}-01-01T00:00:00+00:00"))
    for path in (tmp_path, store.raw, store.raw / "records.jsonl"):
        with pytest.warns(UserWarning, match="2 builds; the last measured is taken"):
            (found,) = load(path, compare.KINDS)
        assert found.fingerprint == "f1"
        assert found.machine == MACHINE
        assert len(found.records) == len(LENGTHS)


def test_a_results_folder_holds_a_run_a_machine(tmp_path):
    for number in (1, 2):
        for record in run(number).records:
            Store(tmp_path, f"cpu-{number}").add(record)
    Store(tmp_path, "empty").raw.mkdir()
    assert [found.fingerprint for found in load(tmp_path, compare.KINDS)] == ["f1", "f2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a saved run: Input data was truncated"),
        ('{"schema": 3}', r"not a saved run: Invalid enum value 3 - at `\$.schema`"),
        (
            '{"schema": 1, "machines": {}}',
            "unknown field `machines`",
        ),
    ],
)
def test_a_foreign_file_is_refused(tmp_path, content, message):
    (tmp_path / "A.json").write_text(content)
    with pytest.raises(RecordError, match=message):
        load(tmp_path / "A.json", compare.KINDS)


def test_a_bad_record_of_a_saved_run_is_named(tmp_path):
    run(1).save(tmp_path / "A.json")
    content = json.loads((tmp_path / "A.json").read_text())
    content["records"][1]["series"] = 7
    (tmp_path / "A.json").write_text(json.dumps(content))
    with pytest.warns(UserWarning, match=r"A\.json, record 2 skipped: .* - at `\$.series`"):
        (found,) = load(tmp_path / "A.json", compare.KINDS)
    assert len(found.records) == len(LENGTHS) - 1


def test_console(files, capsys):
    assert cli.main(["compare", *files]) == 0
    output = capsys.readouterr().out
    assert "B against A: 1 slower, 0 faster, 11 alike" in output
    assert "dot, 256, avx2" in output
    assert re.search(r"1\.2\dx slower \[1\.2", output)
    assert "dot, 16, avx2" not in output


def test_the_gate(files, capsys):
    assert cli.main(["compare", *files, "--fail-below", "0.9"]) == 1
    error = capsys.readouterr().err
    assert "below 0.9: i8 in dot, 256, avx2 (B): 1.2" in error
    assert "1 of 12 comparisons are below 0.9" in error
    assert cli.main(["compare", *files, "--fail-below", "0.7"]) == 0
    assert cli.main(["compare", *files[::-1], "--fail-below", "0.9"]) == 0
    assert cli.main(["compare", *files, "--across", "machines", "--fail-below", "0.9"]) == 1


def unmeasured(run, index, **reason):
    """The run with a last record of one of its cases that has no samples."""
    record = altered(run.records[index], series=(), id="again", **reason)
    return replace(run, records=[*run.records, record])


def without(run, index):
    return replace(run, records=[r for i, r in enumerate(run.records) if i != index])


@pytest.mark.parametrize("across", compare.ACROSS)
@pytest.mark.parametrize(
    ("other", "shortfall"),
    [
        (without(run(1), 1), "lost: dot, 256, avx2 (B)"),
        (unmeasured(run(1), 1, skipped="no memory"), "skipped: dot, 256, avx2 (B): no memory"),
        (unmeasured(run(1), 1, wrong="1 is 2"), "wrong: dot, 256, avx2 (B): 1 is 2"),
    ],
)
def test_what_is_no_longer_measured_fails_the_gate(tmp_path, capsys, other, shortfall, across):
    """The record appended last decides, even if an earlier one of the case has samples."""
    what = shortfall.partition(":")[0]
    run(1).save(tmp_path / "A.json")
    other.save(tmp_path / "B.json")
    gate = ["compare", *(str(tmp_path / f"{name}.json") for name in "AB"), "--across", across]
    gate += ["--fail-below", "0.5"]
    # Another machine has other backends: nothing is lost by that.
    passes = (what, across) == ("lost", "machines")
    assert cli.main(gate) == (0 if passes else 1)
    assert (shortfall in capsys.readouterr().err) == (not passes)
    assert cli.main([*gate, "--allow", what]) == 0
    others = ",".join(set(compare.SHORTFALLS) - {what})
    assert cli.main([*gate, "--allow", others]) == (0 if passes else 1)
    capsys.readouterr()
    assert cli.main([*gate, "--json"]) == (0 if passes else 1)
    shortfalls = json.loads(capsys.readouterr().out)["shortfalls"]
    assert [one["what"] for one in shortfalls] == ([] if passes else [what])


def test_a_contender_that_is_lost_fails_the_gate():
    part = run(1)
    first, *others = part.records
    part = replace(part, records=[altered(first, series=first.series[:2]), *others])
    (shortfall,) = compare.compare([run(1), part]).shortfalls
    assert (shortfall.what, shortfall.case) == ("lost", "i8 in dot, 16, avx2")
    assert compare.compare([part, run(1)]).shortfalls == [], "what is new is no shortfall"


@pytest.mark.parametrize("across", compare.ACROSS)
@pytest.mark.parametrize("name", ["mu", "delta", "step_size"])
def test_a_contender_with_another_constant_is_another(name, across):
    """HALP with mu 8 has the name of HALP with mu 2, and is no measure of it."""
    norms = [10.0**-k for k in range(11)]
    two, eight, usual = (
        epochs_run(1, norms, **constants) for constants in ({name: 2.0}, {name: 8.0}, {})
    )
    alike = compare.compare([two, two], across)
    assert "HALP D8M8" in {row["contender"] for row in alike.rows}
    assert alike.notes == alike.shortfalls == []
    for other, told in ((eight, f"{name.replace('_', ' ')} 8.0"), (usual, "default constants")):
        if across == "machines":  # there SVRG is what HALP is compared with, and has no row
            with pytest.raises(ValueError, match="no case and contender in common"):
                compare.compare([two, other], across)
            continue
        found = compare.compare([two, other])
        assert {row["contender"] for row in found.rows} == {"SVRG D32fM32f"}
        case = "figure-1, exact, avx2"
        this = f"HALP D8M8 ({name.replace('_', ' ')} 2.0) in {case}"
        assert found.notes == [
            f"in A, not in B: {this}",
            f"in B, not in A: HALP D8M8 ({told}) in {case}",
        ]
        assert list(map(str, found.shortfalls)) == [f"lost: {this} (B)"]


def test_a_wrong_result_fails_the_gate_whatever_the_first_run_had():
    wrong = unmeasured(run(1), 1, wrong="1 is 2")
    assert [
        shortfall.what for shortfall in compare.compare([without(run(1), 1), wrong]).shortfalls
    ] == ["wrong"]
    skipped = unmeasured(run(1), 1, skipped="no memory")
    assert compare.compare([without(run(1), 1), skipped]).shortfalls == []


@pytest.mark.parametrize("done", [0, 3, 9])
@pytest.mark.parametrize("across", compare.ACROSS)
def test_a_contender_that_diverges_fails_the_gate(done, across):
    """Its epochs may be too few to be compared, or none."""
    norms = [10.0**-k for k in range(11)]
    sound = epochs_run(1, norms)
    (record,) = sound.records
    svrg, halp = record.series
    facts = {**halp.facts, "gradient_norms": norms[: done + 1], "diverged": True}
    halp = altered(
        halp, samples_ns={k: ns[:done] for k, ns in halp.samples_ns.items()}, facts=facts
    )
    broken = replace(sound, records=[altered(record, series=(svrg, halp))])
    (shortfall,) = compare.compare([sound, broken], across).shortfalls
    assert str(shortfall) == (
        f"wrong: HALP D8M8 in figure-1, exact, avx2 (B): diverged, epochs done: {done}"
    )
    if done:  # otherwise the first run may have nothing to compare
        assert compare.compare([broken, sound], across).shortfalls == []
        assert compare.compare([broken, broken], across).shortfalls == []


@pytest.mark.parametrize("across", compare.ACROSS)
def test_a_run_of_which_nothing_is_left_fails_the_gate(tmp_path, across):
    run(1).save(tmp_path / "A.json")
    nothing = [altered(r, series=(), wrong="1 is 2") for r in run(1).records]
    replace(run(1), records=nothing).save(tmp_path / "B.json")
    paths = [str(tmp_path / f"{name}.json") for name in "AB"]
    gate = ["compare", *paths, "--across", across, "--fail-below", "0.5"]
    assert cli.main(gate) == 1


def test_what_may_be_allowed_is_named(files, capsys):
    assert cli.main(["compare", *files, "--fail-below", "0.5", "--allow", "slow"]) == 2
    assert "--allow: got 'slow'; expected some of lost, skipped, wrong" in capsys.readouterr().err
    assert cli.main(["compare", *files, "--fail-below", "0.5", "--allow", ""]) == 2
    assert "--allow: got ''; expected some of" in capsys.readouterr().err
    assert cli.main(["compare", *files, "--allow", "lost"]) == 2
    assert "--allow needs --fail-below" in capsys.readouterr().err


def test_a_gate_that_could_not_close_is_an_error(tmp_path, capsys):
    paths = []
    for number in (1, 2):
        paths.append(str(tmp_path / f"{number}.json"))
        run(number, rounds=5).save(tmp_path / f"{number}.json")
    assert cli.main(["compare", *paths]) == 0
    assert cli.main(["compare", *paths, "--fail-below", "0.9"]) == 2
    assert "--repeats 9" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["0", "1.5", "-1", "fast", "nan"])
def test_limits_that_make_no_sense(limit, files, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["compare", *files, f"--fail-below={limit}"])
    assert end.value.code == 2
    assert "expected a number above 0, at most 1" in capsys.readouterr().err


def test_json(files, capsys):
    assert cli.main(["compare", *files, "--json", "--fail-below", "0.9"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert [run["run"] for run in content["runs"]] == ["A", "B"]
    assert content["runs"][0]["machine"] == MACHINE
    assert len(content["data"]) == 12
    (below,) = content["below"]
    assert below["contender"] == "i8"
    assert below in content["data"]


def test_markdown(files, capsys):
    assert cli.main(["compare", *files, "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "# Comparison"
    assert lines[2].startswith(f"- A: {files[0]}, Fast CPU, gcc 99, revision abc123, 2024")
    assert "| case | contender | A | B | B against A |" in lines
    assert sum(line.startswith("| dot, ") for line in lines) == 13


def test_refusals_reach_the_user(tmp_path, capsys):
    run(1).save(tmp_path / "A.json")
    run(2, machine=changed(["cpu", "model"], "Slow CPU")).save(tmp_path / "B.json")
    paths = [str(tmp_path / name) for name in ("A.json", "B.json")]
    assert cli.main(["compare", *paths]) == 2
    error = capsys.readouterr().err
    assert "cpu.model is 'Fast CPU' and 'Slow CPU'" in error
    assert "--across machines" in error
    assert cli.main(["compare", paths[0]]) == 2
    assert "expected two or more" in capsys.readouterr().err
    assert cli.main(["compare", str(tmp_path / "C.json"), paths[0]]) == 2
    assert "no records in" in capsys.readouterr().err


def test_two_real_runs(tmp_path, capsys):
    """Measured, saved, compared: the same code twice, on this machine."""

    def suite(name, *, backends, repeats, **_):
        plan = cases.Plan(at_least=repeats, at_most=repeats, budget_seconds=0.0)
        kernels = [cases.KernelCase("dot", n, backends[0], ("f32", "i8")) for n in (16, 64)]
        return [cases.Planned(kernel, plan) for kernel in kernels]

    results = ["--results", str(tmp_path), "--repeats", "8"]
    for name in ("A.json", "B.json"):
        save = ["--fresh", "--save", str(tmp_path / name)]
        assert cli.main(["bench", *results, *save], make_suite=suite) == 0
    capsys.readouterr()
    paths = [str(tmp_path / name) for name in ("A.json", "B.json")]
    assert cli.main(["compare", *paths, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [row["contender"] for row in content["data"]] == ["f32", "i8", "f32", "i8"]
    assert all(row["samples"] == 8 and row["p_value"] is not None for row in content["data"])
    assert content["notes"] == []
