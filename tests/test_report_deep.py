"""Tables and figures of deep learning, from records that are made up."""

import csv
import math
from pathlib import Path

import pytest
from msgspec.structs import replace as altered
from test_report_tables import MACHINE

from halpbench import cli
from halpbench.bench.records import Record, Series
from halpbench.bench.store import Store, stores
from halpbench.report import deep

RESULTS = Path(__file__).parents[1] / "results"

TASK = {"size": "small", "dataset": "letters", "n_train": 1000, "window": 32}


def record(algorithm, bits, seed, losses, accuracies=None, *, task="lstm", skipped=None):
    case = {"task": {**TASK, "name": task}, "seed": seed}
    facts = {
        "algorithm": algorithm,
        "bits": bits,
        "options": {"lr": 1.0},
        "train_loss": losses,
        "validation_loss": losses,
        "validation_accuracy": accuracies or [0.5] * len(losses),
    }
    name = algorithm.upper() + (f", {bits} bits" if bits else "")
    series = () if skipped else (Series(name, {"epoch": (1,) * (len(losses) - 1)}, facts),)
    about = {"n_parameters": 1234, "epoch_length": 10}
    return Record("training", case, "f", "2024-01-01", series, about, skipped)


def lstm_records():
    """LP-SGD ends at a perplexity of 8 to 10, HALP 2 to 3 below, seed by seed."""
    records = []
    for seed, (lp_sgd, halp) in enumerate([(8, 6), (9, 6.5), (10, 7)]):
        for bits in (4, 8):
            records.append(record("lp-sgd", bits, seed, [4.0, math.log(lp_sgd)]))
            records.append(record("halp", bits, seed, [4.0, math.log(halp)]))
        records.append(record("sgd", None, seed, [4.0, math.log(5 + seed)]))
    return records


def test_the_best_so_far_is_monotone():
    lstm = record("halp", 8, 0, [4.0, 2.0, 3.0, None, 1.0])
    assert deep.best_so_far(lstm) == pytest.approx([math.exp(x) for x in (4, 2, 2, 2, 1)])
    resnet = record("halp", 8, 0, [4.0] * 4, [0.1, 0.6, 0.5, 0.7], task="resnet")
    assert deep.best_so_far(resnet) == [0.1, 0.6, 0.6, 0.7]


def test_a_gain_is_positive_where_it_is_one():
    low, high = record("halp", 8, 0, [2.0]), record("halp", 8, 0, [3.0])
    assert deep.gain(low, high) == pytest.approx(math.exp(3) - math.exp(2))
    low, high = (record("halp", 8, 0, [2.0], [a], task="resnet") for a in (0.4, 0.9))
    assert deep.gain(low, high) == pytest.approx(-0.5)


def test_table_compares_seed_by_seed():
    table = deep.table(lstm_records())
    cells = {row[0]: row for row in table.rows}
    assert set(cells) == {"SGD", "LP-SGD, 4 bits", "LP-SGD, 8 bits", "HALP, 4 bits", "HALP, 8 bits"}
    # Student's t of 2 degrees of freedom is 4.303 at 97.5 %: 9 +- 4.303 / sqrt(3).
    assert cells["LP-SGD, 8 bits"][3] == "9.000 [6.516, 11.484]"
    assert cells["SGD"][4] == "3"
    # Gains of 2, 2.5 and 3: their scatter is half that of the perplexities.
    assert "8 bits: HALP is better than LP-SGD by 2.500 [1.258, 3.742], in 3 seeds." in table.notes


def test_skipped_runs_are_named():
    missing = record("halp", 8, 0, [1.0], skipped="no such text")
    assert deep.table([missing]).notes[0] == "no such text"
    assert len(deep.table([*lstm_records(), missing]).rows) == 5


def test_a_diverged_run_has_an_infinite_loss():
    (row,) = deep.table([record("sgd", None, 0, [4.0, None])]).rows
    assert row[2] == "inf"


@pytest.mark.parametrize("task", ["lstm", "resnet"])
def test_figure(task, tmp_path):
    pytest.importorskip("matplotlib")
    records = [
        record(
            algorithm, bits, seed, [4.0, 2.0 + seed, 1.5], [0.1, 0.5, 0.6 + seed / 10], task=task
        )
        for algorithm, bits in (("sgd", None), ("lp-sgd", 4), ("halp", 4), ("halp", 8))
        for seed in (0, 1, 2)
    ]
    paths = deep.draw([*records, record("svrg", None, 0, [1.0], skipped="no data")], tmp_path)
    assert [path.name for path in paths] == [
        f"deep-{task}.{ending}" for ending in ("png", "svg", "csv", "txt")
    ]
    text = (tmp_path / f"deep-{task}.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 4 * 3
    last = rows[-1]
    assert (last["algorithm"], last["bits"], last["epoch"], last["seeds"]) == (
        "halp",
        "8",
        "2",
        "3",
    )
    assert float(last["training_loss"]) == 1.5
    # The median and the range of three seeds, which are no mean and no interval.
    second = rows[-2]
    assert [float(second[f"training_loss{end}"]) for end in ("", "_low", "_high")] == [3, 2, 4]
    assert float(last["best"]) == pytest.approx(math.exp(1.5) if task == "lstm" else 0.7)
    assert "gain over LP-SGD: 4 bits 0.000 [0.000, 0.000]" in (
        tmp_path / f"deep-{task}.txt"
    ).read_text(encoding="utf-8")


def caption(records, folder):
    deep.draw(records, folder)
    return (folder / "deep-resnet.txt").read_text(encoding="utf-8")


def test_jumps_of_the_loss_are_counted(tmp_path):
    pytest.importorskip("matplotlib")
    losses = {"sgd": ([2.0, 1.0, 1.4], [2.0, 1.0, 1.0]), "halp": ([2.0, 1.0, 1.39], [2.0, None])}
    records = [
        record(algorithm, 8 if algorithm == "halp" else None, seed, run, task="resnet")
        for algorithm, runs in losses.items()
        for seed, run in enumerate(runs)
    ]
    text = caption(records, tmp_path)
    assert "grew by 40 % or more within an epoch for SGD in 1 of 2 seeds" in text
    # Bits that are not drawn do not count.
    steep = record("halp", 4, 0, [1.0, 9.0], task="resnet")
    assert "throw a run back" not in caption([*records[1:], steep], tmp_path)


def test_nothing_to_draw(tmp_path):
    assert deep.draw([record("sgd", None, 0, [1.0], skipped="no data")], tmp_path) == []


def with_options(record, **options):
    return altered(record, case={**record.case, "options": options})


def test_a_search_for_constants_is_no_result():
    search = [with_options(record("sgd", None, 100, [2.0, 1.0]), lr=lr) for lr in (0.1, 0.2, 0.4)]
    results = [with_options(record("sgd", None, seed, [2.0, 1.0]), lr=0.2) for seed in (0, 1)]
    # The run of the search that has the constants of the results, but other epochs.
    other = altered(search[1], case={**search[1].case, "epochs": 3})
    assert deep.without_search([search[0], *results, search[2], other]) == results
    assert deep.without_search(search) == search, "there is nothing else"


def test_every_figure_of_the_records_is_drawn_into_the_folder_of_the_machine(tmp_path):
    """From records alone: `halpbench report` needs neither PyTorch nor a benchmark."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    store = Store(tmp_path / "deep", "fast-cpu")
    store.add_machine("f", MACHINE)
    (committed,) = stores(RESULTS / "deep")
    records = [r for r in committed.records() if r.case["seed"] in (0, 1)]
    for each in records:
        store.add(altered(each, fingerprint="f"))
    assert cli.main(["report", "--results", str(tmp_path)]) == 0
    folder = tmp_path / "figures" / "fast-cpu"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"deep-{task}.{ending}"
        for task in ("lstm", "resnet")
        for ending in ("csv", "png", "svg", "txt")
    ]
    text = (folder / "deep-lstm.txt").read_text(encoding="utf-8")
    assert text.endswith(" Measured on Fast CPU, revision abc123.\n")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert page.count(" Measured at revision abc123.") == 2
