"""Data of the user's own: what is refused, how they are known, and the commands that take them."""

import json
from pathlib import Path

import numpy as np
import pytest

from halpbench import batches, cli, datasets
from halpbench.bench import cases, curves, own, schema, suites, tune
from halpbench.bench.loading import Problems
from halpbench.bench.store import Store, stores

pytest.importorskip("pandas")
pytest.importorskip("matplotlib")
from halpbench.report import paper, placement

FEATURES = np.random.default_rng(0).standard_normal((60, 5)).round(3)
TARGETS = (FEATURES @ [1.0, -2.0, 0.5, 0.0, 3.0]).round(3)


def write(path, y, features=FEATURES):
    lines = ["a,b,c,d,e,y"]
    lines += [",".join([*map(str, row), str(t)]) for row, t in zip(features, y, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def table(tmp_path):
    return write(tmp_path / "house.csv", TARGETS)


def test_the_loss_follows_the_targets(tmp_path):
    regression = own.problem(write(tmp_path / "a.csv", TARGETS), None, None, 0.0)
    assert (regression.model, regression.n_classes) == ("least-squares", 1)
    text = write(tmp_path / "b.csv", np.where(TARGETS > 0, "up", "down"))
    assert own.problem(text, "y", None, 0.1).model == "softmax"
    # 3, 5 and 9 are the classes 0, 1 and 2.
    labels = write(tmp_path / "c.csv", np.resize([9, 3, 5], 60))
    spec = own.problem(labels, None, None, 0.1)
    assert (spec.model, spec.n_classes, spec.l2) == ("softmax", 3, 0.1)
    assert datasets.load(spec.dataset)[1][:3].tolist() == [2, 0, 1]
    spec = own.problem(labels, None, "squared", 0.0)
    assert spec.model == "least-squares"
    assert datasets.load(spec.dataset)[1][:3].tolist() == [9, 3, 5]
    many = FEATURES.repeat(2, axis=0)
    counts = write(tmp_path / "d.csv", range(120), many)
    assert own.problem(counts, None, None, 0.0).model == "least-squares"
    assert own.problem(counts, None, "softmax", 0.0).n_classes == 120


@pytest.mark.parametrize(
    ("y", "loss", "message"),
    [
        (np.full(60, 2.5), None, "got 2.5 as the target of every sample"),
        (np.full(60, "yes"), None, "got 0 as the target of every sample"),
        (np.full(60, 3), "softmax", "got 3 as the target of every sample"),
        (TARGETS, "softmax", "as a target, expected classes, for the loss is softmax"),
        (np.where(TARGETS > 0, "", "1"), None, "column 'y' got .* missing values"),
        (TARGETS, "hinge", "got loss 'hinge', expected one of squared, softmax"),
    ],
)
def test_targets_that_do_not_fit_are_refused(tmp_path, y, loss, message):
    with pytest.raises(ValueError, match=message):
        own.problem(write(tmp_path / "a.csv", y), None, loss, 0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["the features", "the targets"])
def test_what_is_not_finite_is_refused(tmp_path, value, where):
    features, y = FEATURES.copy(), TARGETS.copy()
    if where == "the features":
        features[7, 2] = value
    else:
        y[7] = value
    np.savez(tmp_path / "a.npz", X=features, y=y)
    with pytest.raises(ValueError, match=rf"a.npz: {where} got 1 values .* the first in sample 7"):
        own.problem(tmp_path / "a.npz", None, None, 0.0)


def test_other_faults_are_named(tmp_path, table):
    np.savez(tmp_path / "a.npz", X=0 * FEATURES, y=TARGETS)
    with pytest.raises(ValueError, match="got features that are all 0"):
        own.problem(tmp_path / "a.npz", None, None, 0.0)
    with pytest.raises(ValueError, match="got target 'y', expected none"):
        own.problem(tmp_path / "a.npz", "y", None, 0.0)
    for l2 in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"got l2 .*, expected a finite number"):
            own.problem(table, None, None, l2)
    with pytest.raises(FileNotFoundError, match=r"absent\.csv"):
        own.problem(tmp_path / "absent.csv", None, None, 0.0)


@pytest.mark.parametrize("text", ["U", "S"])
def test_classes_of_arrays_are_those_of_tables(tmp_path, text):
    """Text and whole floats are classes in every kind of file."""
    labels = np.where(TARGETS > 0, "up", "down")
    table = own.problem(write(tmp_path / "table.csv", labels), None, None, 0.1)
    np.savez(tmp_path / "text.npz", X=FEATURES, y=labels.astype(text))
    np.savez(tmp_path / "floats.npz", X=FEATURES, y=(TARGETS > 0) * 2.0)
    for name, loss in (("text", None), ("floats", None), ("floats", "softmax")):
        spec = own.problem(tmp_path / f"{name}.npz", None, loss, 0.1)
        assert (spec.model, spec.n_classes) == ("softmax", 2)
        for array, of_table in zip(
            datasets.load(spec.dataset), datasets.load(table.dataset), strict=True
        ):
            np.testing.assert_array_equal(array, of_table)
    spec = own.problem(tmp_path / "floats.npz", None, "squared", 0.1)
    assert set(datasets.load(spec.dataset)[1]) == {0.0, 2.0}
    np.savez(tmp_path / "halves.npz", X=FEATURES, y=(TARGETS > 0) / 2)
    with pytest.raises(ValueError, match=r"got 0\.5 as a target, expected classes"):
        own.problem(tmp_path / "halves.npz", None, "softmax", 0.1)


def test_features_without_a_step_size_are_refused(tmp_path):
    np.savez(tmp_path / "huge.npz", X=FEATURES * 1e200, y=TARGETS)
    spec = own.problem(tmp_path / "huge.npz", None, None, 0.0)
    with pytest.raises(ValueError, match=r"huge@\w+: got features up to .*e\+200, .* other units"):
        own.with_constants(spec)


def test_data_are_known_by_name_and_content(tmp_path, table):
    spec = own.problem(table, "y", None, 0.0)
    name, _, digest = spec.name.partition("@")
    assert (name, len(digest), spec.dataset) == ("house", 8, spec.name)
    (tmp_path / "elsewhere").mkdir()
    moved = table.rename(tmp_path / "elsewhere" / "house.csv")
    # Another folder is the same data; another number, or another target, is not.
    assert own.problem(moved, "y", None, 0.0).name == spec.name
    assert own.problem(moved, "a", None, 0.0).name != spec.name
    before = own.file_of(spec.name)
    write(moved, TARGETS + 1)
    assert own.problem(moved, "y", None, 0.0).name != spec.name
    with pytest.raises(ValueError, match="got another content than before"):
        before.source()


def test_known_sets_keep_their_names():
    with pytest.raises(ValueError, match="'digits' of a known set"):
        datasets.adopt("digits", lambda: None)


def test_the_constants_let_every_contender_converge(table):
    spec, contenders = own.with_constants(own.problem(table, None, None, 0.0))
    size = batches.largest_batch(Problems().load(spec)[0], spec.step_size)
    assert contenders == suites.contenders(*[size] * (size > 1))
    (task,) = own.curves(spec, contenders, "smoke")[2:]
    series, facts = curves.measure(Problems(), task.case, task.plan, lambda rounds: None)
    assert facts["n_samples"] == 60
    for one in series:
        assert one.facts["grad_norm"][-1] < 0.2 * one.facts["grad_norm"][0], one.contender
    assert own.with_constants(spec)[1] == contenders


def test_cases_are_those_of_the_problem(table):
    spec, contenders = own.with_constants(own.problem(table, None, None, 0.0))
    about = {"backends": ["avx512", "avx2"], "cache_bytes": [1000]}
    found = own.suite(spec, contenders, "smoke", **about)
    assert {task.case.kind for task in found} == {"kernel", "epochs"}
    assert {task.plan.suite for task in found} == {"smoke"}
    timed = [(t.case.backend, t.case.data) for t in found if t.case.kind == "epochs"]
    assert timed == [(b, d) for b in ("avx512", "avx2") for d in ("quantized", "exact")]
    found = own.suite(spec, contenders, "full", **about, repeats=3)
    assert {(t.plan.at_least, t.plan.at_most) for t in found} == {(3, 3)}
    with pytest.raises(ValueError, match="0 repeats"):
        own.suite(spec, contenders, "full", **about, repeats=0)


def test_records_of_data_of_ones_own_have_a_figure_of_their_own(table):
    assert placement.OWN_SIGN == cases.OWN_SIGN
    spec, contenders = own.with_constants(own.problem(table, None, None, 0.0))
    for task in own.curves(spec, contenders, "smoke"):
        case = schema.full_case(task.case.kind, task.case)
        assert placement.figure(task.case.kind, case) == own.FIGURE
        assert own.FIGURE in paper.DRAWN
    known = [*tune.PROBLEMS, *(dataset.name for dataset in datasets.list_datasets())]
    assert not any(cases.OWN_SIGN in name for name in known)


def test_the_bench_command(table, tmp_path, capsys):
    root = tmp_path / "results"
    arguments = ["bench", "--data", str(table), "--target", "y", "--suite", "smoke"]
    arguments += ["--tables", "convergence", "--repeats", "2", "--results", str(root), "--json"]
    assert cli.main(arguments) == 0
    (report,) = [r for r in json.loads(capsys.readouterr().out) if r["table"] == "convergence"]
    (name,) = {row["problem"] for row in report["data"]["trajectories"]}
    assert name.startswith("house@")
    # By name and content: nothing says where the file was.
    (store,) = stores(root)
    records = store.records()  # all of them, unless the machine was so busy that the time ran out
    assert records
    for record in records:
        assert str(tmp_path) not in json.dumps(record.case)
    assert cli.main(arguments) == 0
    assert capsys.readouterr().err.count("reused") == len(records)


def test_tables_that_have_nothing_to_show_are_refused(table, tmp_path, capsys):
    arguments = ["bench", "--data", str(table), "--tables", "kernels", "--results", str(tmp_path)]
    assert cli.main(arguments) == 2
    assert "got tables kernels; of one's own data there are epochs and" in capsys.readouterr().err


def test_the_figures_command(tmp_path, capsys):
    path = write(tmp_path / "kinds.csv", np.where(TARGETS > 0, "up", "down"))
    root = tmp_path / "results"
    arguments = ["figures", "--data", str(path), "--suite", "smoke", "--results", str(root)]
    assert cli.main([*arguments, "--json"]) == 0
    (written,) = json.loads(capsys.readouterr().out).values()
    assert [one.rsplit(".", 1)[1] for one in written] == ["png", "svg", "csv", "txt"]
    assert "softmax, 60 x 5, l2 0.0001" in Path(written[3]).read_text()
    assert Path(written[3]).parent.parent == root / "figures"
    assert cli.main([*arguments[:3], "fig1"]) == 2
    assert "expected no names" in capsys.readouterr().err


def test_the_tune_command_in_two_processes(table, tmp_path, capsys):
    root = tmp_path / "results"
    arguments = ["tune", "--problem", str(table), "--target", "y", "--algorithm", "svrg"]
    arguments += ["--step-size", "0.01,0.02", "--epochs", "1", "--results", str(root)]
    assert cli.main([*arguments, "--jobs", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["winner"]["step_size"] in (0.01, 0.02)
    (store,) = [Store(root / "paper", path.name) for path in (root / "paper" / "raw").iterdir()]
    (name,) = {record.case["problem"]["name"] for record in store.records() if record.series}
    assert name.startswith("house@")
    assert cli.main(["tune", "--problem", "digits", "--target", "y"]) == 2
    assert "--target and --loss need a file" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--target", "y"], ["--loss", "squared"], ["--l2", "1"]])
@pytest.mark.parametrize("command", ["bench", "figures"])
def test_options_of_data_need_data(command, option, capsys, tmp_path):
    assert cli.main([command, *option, "--results", str(tmp_path)]) == 2
    assert option[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "choices"),
    [
        ("tune", ["figure-1", "fashion-mnist", "lp-svrg", "D16M16", "FILE"]),
        ("figures", ["fig1", "theory", "squared", "softmax"]),
        ("compare", ["revisions", "machines"]),
    ],
)
def test_help_lists_the_choices(command, choices, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for choice in choices:
        assert choice in text
