"""The paper's experiments: problems, records, resuming, and pictures of the smoke suite."""

import csv
import json

import numpy as np
import pytest

from halpbench import cli
from halpbench.bench import cases, conditioned, curves, experiments, loading, references, theory
from halpbench.bench.cases import ConditioningCase
from halpbench.bench.loading import Problems
from halpbench.bench.records import identity
from halpbench.bench.schema import full_case
from halpbench.bench.store import Store

pytest.importorskip("matplotlib")
from halpbench.report import paper, pictures, placement


@pytest.mark.parametrize("condition", [1.0, 30.0, 1e4])
def test_the_problem_has_the_condition_number(condition):
    problem = conditioned.conditioned_problem(condition, 100, 8, seed=0)
    eigenvalues = np.linalg.eigvalsh(problem.X.T @ problem.X / 100)
    assert eigenvalues[0] == pytest.approx(1 / condition)
    assert eigenvalues[-1] == pytest.approx(1)


@pytest.mark.parametrize("condition", [0.99, 0.0, -1.0, float("nan"), float("inf")])
def test_bad_condition_numbers_are_refused(condition):
    with pytest.raises(ValueError, match="condition number"):
        conditioned.conditioned_problem(condition, 10, 2, seed=0)


def test_the_exact_solution_has_no_gradient():
    problem = conditioned.conditioned_problem(100.0, 60, 5, seed=3)
    w = references.least_squares_solution(problem)
    assert np.linalg.norm(problem.gradient(w)) < 1e-13
    assert references.suboptimality(problem, w + 1e-3, w) == pytest.approx(
        problem.loss(w + 1e-3) - problem.loss(w), rel=1e-6
    )


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown figure 'fig3'; expected one of fig1"):
        experiments.experiments("fig3")
    with pytest.raises(ValueError, match="full, smoke"):
        experiments.experiments("fig1", "medium")
    with pytest.raises(ValueError, match="quadratic or logistic"):
        theory.theory_problem("cubic")


def test_every_figure_has_experiments_and_a_picture():
    assert list(experiments.FIGURES) == list(paper.FIGURES)
    for name in experiments.FIGURES:
        for suite in ("full", "smoke"):
            found = experiments.experiments(name, suite)
            assert found
            kinds = [task.case.kind for task in found]
            fields = [full_case(task.case.kind, task.case) for task in found]
            assert len({identity(task.case.kind, task.case, "") for task in found}) == len(found)
            assert set(map(placement.figure, kinds, fields)) == {name}
            if name in ("fig1", "fig4"):
                panels = len(set(map(placement.panel, fields)))
                seeds = len({case["seed"] for case in fields})
                assert panels * seeds == len(found)


def test_figure_1_shows_what_the_paper_claims():
    """HALP converges where LP-SVRG, at the paper's scale, has stalled."""
    task = experiments.experiments("fig1", "smoke")[0]
    series, facts = experiments.measure(Problems(), task.case, task.plan)
    norms = {s.contender: s.facts["grad_norm"] for s in series}
    assert (facts["n_samples"], facts["epoch_length"]) == (1000, 2000)
    assert norms["HALP D8M8, paper"][-1] < 0.02 * norms["LP-SVRG D8M8, paper"][-1]
    assert norms["HALP D8M8, paper"][-1] < 3 * norms["SVRG D64fM64f, paper"][-1]
    distance = {s.contender: s.facts["distance"] for s in series}
    assert distance["SVRG D64fM64f, paper"][-1] < 0.01 * distance["SVRG D64fM64f, paper"][0]
    for s in series:
        assert len(s.facts["loss"]) == task.case.epochs + 1
        assert len(s.samples_ns["inner"]) == task.case.epochs * task.plan.at_least


def test_figure_5_shows_what_the_paper_claims():
    """Eight bits serve low condition numbers, sixteen higher ones; LP-SVRG none."""

    def norms(condition):
        series, _ = conditioned.conditioning(ConditioningCase(condition, 0, epochs=20))
        return {s.contender: s.facts["grad_norm"] for s in series}

    low, high = norms(2.0), norms(50.0)
    assert low["HALP D8M8, mu x 1"] < 1e-3 * low["LP-SVRG D8M8, paper"]
    assert high["HALP D8M8, mu x 1"] > 1e3 * high["SVRG D64fM64f, paper"]
    assert high["HALP D16M16, mu x 1"] < 10 * high["SVRG D64fM64f, paper"]


def test_figure_2_is_a_run_on_shrinking_grids():
    (task,) = experiments.experiments("fig2")
    series, facts = experiments.measure(Problems(), task.case, task.plan)
    scales = series[0].facts["scale"]
    assert scales == sorted(scales, reverse=True)
    assert scales[-1] < 0.2 * scales[0]
    # In theory the optimum is always within reach of the grid.
    for path, scale in zip(series[0].facts["path"], scales, strict=True):
        offset = np.abs(np.array(facts["optimum"]) - path[0])
        assert offset.max() <= scale * facts["highest"]


def test_an_interrupted_run_goes_on(tmp_path):
    store = Store(tmp_path, "machine")
    todo = experiments.experiments("fig1", "smoke")
    first = experiments.run(todo[:2], store, "f")
    events = []
    records = experiments.run(todo, store, "f", on_event=events.append)
    expected = ["reused"] * 2 + ["start", "done"] * (len(todo) - 2)
    assert [e.what for e in events if e.what != "round"] == expected
    # As they come back from the file; JSON has no NaN.
    assert [r.identity for r in records[:2]] == [r.identity for r in first]
    assert len(store.records()) == len(todo)
    events = []
    experiments.run(todo[:1], store, "other build", on_event=events.append)
    assert [e.what for e in events if e.what != "round"] == ["start", "done"]


def test_a_batch_is_a_constant_like_others():
    def options(**constants):
        return curves.about(cases.Setting("halp", "D8M8", **constants))["options"]

    assert options(mu="adaptive", batch_size=8) == {"mu": "adaptive", "batch_size": 8}
    assert options(step_size=0.1, batch_size="auto") == {"step_size": 0.1, "batch_size": "auto"}
    assert options(delta=0.5) == {"delta": 0.5}, "one sample a step goes without saying"


def test_missing_data_is_a_skipped_record(tmp_path, monkeypatch):
    def load(*_):
        raise loading.datasets.DatasetNotFoundError("not on this machine")

    monkeypatch.setattr(curves, "load", load)
    store = Store(tmp_path, "machine")
    (record,) = experiments.run(experiments.experiments("fig1", "smoke")[:1], store, "f")
    assert record.skipped == "not on this machine"
    assert paper.draw("fig1", [record], tmp_path / "figures") == []


@pytest.mark.parametrize("name", list(experiments.FIGURES))
def test_the_smoke_suite_draws_every_figure(name, tmp_path, capsys):
    assert (
        cli.main(["figures", name, "--suite", "smoke", "--results", str(tmp_path), "--json"]) == 0
    )
    written = json.loads(capsys.readouterr().out)[name]
    endings = {path.rsplit(".", 1)[1] for path in written}
    assert endings == {"png", "svg", "csv", "txt"} | ({"gif"} if name == "fig2" else set())
    for path in written:
        with open(path, "rb") as file:
            start = file.read(300)
        if path.endswith(".png"):
            assert start.startswith(b"\x89PNG")
        elif path.endswith(".gif"):
            assert start.startswith(b"GIF8")
        elif path.endswith(".svg"):
            assert b"<svg" in start or b"<?xml" in start
        elif path.endswith(".csv"):
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            assert rows
            assert None not in rows[0]
        else:
            assert len(start.split()) > 20


def test_the_same_records_draw_the_same_files(tmp_path):
    store = Store(tmp_path, "machine")
    records = experiments.run(experiments.experiments("fig1", "smoke"), store, "f")
    # Read back, so that both come from the file.
    records = [r for r in store.records() if r.identity in {known.identity for known in records}]
    for folder in ("a", "b"):
        paper.draw("fig1", records, tmp_path / folder)
    for ending in ("png", "svg", "csv", "txt"):
        files = [(tmp_path / folder / f"fig1.{ending}").read_bytes() for folder in ("a", "b")]
        assert files[0] == files[1]


def test_figure_5_labels_the_start_of_each_condition(tmp_path):
    store = Store(tmp_path, "machine")
    records = experiments.run(experiments.experiments("fig5", "smoke"), store, "f")
    paper.draw("fig5", records, tmp_path)
    assert ">start</text>" in (tmp_path / "fig5.svg").read_text()
    with open(tmp_path / "fig5.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["algorithm"] == "start"]
    # It falls as the condition number grows.
    starts = [float(row["median"]) for row in rows]
    assert len(starts) == len({record.case["condition"] for record in records}) > 1
    assert starts == sorted(starts, reverse=True)


def test_figure_1_has_an_entry_for_each_algorithm_and_line(tmp_path):
    store = Store(tmp_path, "machine")
    records = experiments.run(experiments.experiments("fig1", "smoke"), store, "f")
    paper.draw("fig1", records, tmp_path)
    svg = (tmp_path / "fig1.svg").read_text()
    for name in ("LP-SVRG", "HALP", "HALP, adaptive scale", "D32fM32f", "D64fM64f or D8M8"):
        assert svg.count(f">{name}</text>") == 1
    assert "HALP D8M8" not in svg
    with open(tmp_path / "fig1.csv", newline="", encoding="utf-8") as file:
        ends = [row for row in csv.DictReader(file) if row["epoch"] == "10"]
    norms = {
        (row["panel"], row["algorithm"], row["precision"], row["constants"]): row["grad_norm"]
        for row in ends
    }
    assert len(norms) == len(ends)
    # Batches of 8 reach what single steps reach; so does the adaptive scale, which has no mu.
    batched, single = ("8 bits, batches of 8", "8 bits")
    for constants in ("paper", "adaptive scale"):
        found = [float(norms[p, "halp", "D8M8", constants]) for p in (batched, single)]
        assert 1 / 10 < found[0] / found[1] < 10
        assert found[1] < 0.05 * float(norms[single, "lp-svrg", "D8M8", "paper"])


def test_figure_4_has_bands_and_a_line_for_the_adaptive_scale(tmp_path):
    store = Store(tmp_path, "machine")
    tasks = [t for t in experiments.experiments("fig4", "smoke") if t.case.bits == 8]
    assert [task.case.seed for task in tasks] == [0, 1]
    records = experiments.run(tasks, store, "f")
    paper.draw("fig4", records, tmp_path)
    assert ">HALP, adaptive scale D8M8</text>" in (tmp_path / "fig4-digits-8bit.svg").read_text()
    with open(tmp_path / "fig4-digits-8bit.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["epoch"] == "2"]
    assert [row["constants"] for row in rows] == ["tuned"] * 5 + ["adaptive scale"]
    for row, number in zip(rows, range(6), strict=True):
        assert row["seeds"] == "2"
        norms = [record.series[number].facts["grad_norm"][2] for record in records]
        ends = [float(row[f"grad_norm_{end}"]) for end in ("lowest", "highest")]
        assert ends == [min(norms), max(norms)]
        assert 0 <= float(row["test_error"]) < 0.2


def test_the_command_line_names_mistakes(tmp_path, capsys):
    assert cli.main(["figures", "fig3", "--results", str(tmp_path)]) == 2
    assert "unknown figure 'fig3'" in capsys.readouterr().err
    arguments = ["tune", "--problem", "figure-1", "--results", str(tmp_path)]
    assert cli.main([*arguments, "--algorithm", "sgd", "--mu", "1"]) == 2
    assert "sgd does not take --mu" in capsys.readouterr().err
    assert cli.main([*arguments, "--mu", "-1"]) == 2
    assert "expected finite positive numbers" in capsys.readouterr().err


def test_algorithms_keep_their_colours():
    assert set(pictures.COLORS) == set(experiments.ALGORITHMS)
    assert len(set(pictures.COLORS.values())) == len(pictures.COLORS)
