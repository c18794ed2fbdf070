"""Time to accuracy: the contenders solve one problem, their processes, their records, the table."""

import json
import multiprocessing
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor

import msgspec
import numpy as np
import pytest

from halpbench import cli
from halpbench.bench import accuracy, worker
from halpbench.bench.cases import Classification
from halpbench.bench.contenders import CONTENDERS, Entrant
from halpbench.bench.loop import Finished
from halpbench.bench.store import Store
from halpbench.losses import LOGISTIC, SOFTMAX
from halpbench.objective import Objective
from halpbench.report import figures, tables
from halpbench.rows import Rows

TINY = Classification("tall", 300, 4, 2, l2=1e-2)
QUICK, SLOW, GONE = "halpbench", "scikit-learn lbfgs", "no such library"


def blobs(n_classes, n_samples=300, n_features=4):
    random = np.random.default_rng(0)
    y = random.integers(0, n_classes, n_samples)
    centers = random.standard_normal((n_classes, n_features))
    return (centers[y] + random.standard_normal((n_samples, n_features))).astype(np.float32), y


def coefficients(name, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CONTENDERS[name].make(len(X), 1e-2, 1e-6).fit(X, y)
    return np.asarray(model.coef_, np.float64)


@pytest.mark.parametrize(
    ("name", "n_classes"),
    [
        (name, n_classes)
        for name, contender in CONTENDERS.items()
        for n_classes in ((2,) if contender.two_classes_only else (2, 3))
    ],
)
def test_all_minimize_the_same_objective(name, n_classes):
    absence = CONTENDERS[name].absence(n_classes)
    if absence:
        pytest.skip(f"{name}: {absence}")
    X, y = blobs(n_classes)
    loss, outputs = (LOGISTIC, 1) if n_classes == 2 else (SOFTMAX, n_classes)
    objective = Objective(Rows(X), y, loss, outputs, l2=1e-2)
    start = objective.evaluate(np.zeros((outputs, 4)))
    if CONTENDERS[name].package in ("halpbench", "scikit-learn"):
        w = coefficients(name, X, y)
    else:  # in a process of its own: some libraries change the floating-point mode of theirs
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            w = process.submit(coefficients, name, X, y).result()
    w = w.reshape(outputs, -1)
    found = objective.evaluate(w)
    assert np.linalg.norm(found.weights) < 1e-3 * np.linalg.norm(start.weights)
    assert found.loss < start.loss


def test_absent_contenders_say_why():
    missing = Entrant("x", "some-package", "module_that_is_not_there", lambda *_: None)
    assert missing.absence(2) == "not installed (`pip install some-package`)"
    assert missing.library == ""
    assert CONTENDERS["liblinear primal"].absence(2) == ""
    assert "one against the rest" in CONTENDERS["liblinear primal"].absence(3)
    assert CONTENDERS[QUICK].library.startswith("halpbench ")


def test_problems_have_the_shape_they_say():
    for problem, _ in accuracy.problems("smoke").values():
        (X, y), source = accuracy.load(problem)
        assert X.shape == (problem.n_samples, problem.n_features)
        assert len(np.unique(y)) == problem.n_classes
        assert X.dtype == np.float32
        assert source
    assert set(accuracy.problems()) >= {"fashion-mnist", "mnist-5k", "wide"}
    with pytest.raises(ValueError, match="expected one of smoke, full"):
        accuracy.problems("tiny")


# ---- Processes -----------------------------------------------------------------------------------


@pytest.fixture
def start(tmp_path):
    """Start workers on given data; they are ended after the test."""
    started = []

    def start(name, X, y):
        np.save(tmp_path / "X.npy", X)
        np.save(tmp_path / "y.npy", y)
        started.append(worker.Worker(name, tmp_path))
        return started[-1]

    yield start
    for each in started:
        each.end()


def test_a_worker_fits_measures_and_is_stopped(start):
    X, y = blobs(2, n_samples=50_000, n_features=20)
    process = start("scikit-learn sag", X, y)
    process.wait()
    found = process.fit(1e-2, 1e-3, 60)
    expected = CONTENDERS["scikit-learn sag"].make(len(X), 1e-2, 1e-3).fit(X, y)
    # The worker's BLAS has one thread.
    np.testing.assert_allclose(found.coef, expected.coef_, rtol=1e-9)
    assert found.wall_ns > 0
    # One core: no more processor time than time on the clock, but for the grain of the clocks.
    assert 0 < found.cpu_ns < 1.05 * found.wall_ns + 10_000_000
    assert found.peak_bytes is None or found.peak_bytes >= 0
    with pytest.raises(worker.FitError, match="stopped after 0 s"):
        process.fit(1e-9, 1e-15, 0.05)


def test_a_worker_tells_of_errors_and_of_its_end(start):
    X, y = blobs(2)
    one_class = start("scikit-learn lbfgs", X, np.zeros_like(y))
    with pytest.raises(worker.FitError, match=r"ValueError: .* 2 classes"):
        one_class.wait()
    X[:, 0] = np.nan
    process = start("scikit-learn lbfgs", X, y)
    with pytest.raises(worker.FitError, match=r"ValueError: .*NaN"):
        process.wait()
    process._process.kill()
    process._process.join()
    with pytest.raises(worker.FitError, match="its process ended"):
        process.fit(1e-2, 1e-3, 1)


def test_a_worker_ends_with_its_parent(tmp_path):
    X, y = blobs(2, n_samples=50_000, n_features=20)
    np.save(tmp_path / "X.npy", X.astype(np.float64))  # of float32 the steps soon vanish
    np.save(tmp_path / "y.npy", y)
    program = (
        "import pathlib, sys; from halpbench.bench.worker import Worker\n"
        "worker = Worker('scikit-learn sag', pathlib.Path(sys.argv[1])); worker.wait()\n"
        "worker._pipe.send((1e-9, 0.0)); print('fitting', flush=True); worker._pipe.poll(None)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout.readline() == "fitting\n"
        parent.kill()
        # The worker shares this end of the pipe, and would fit for minutes.
        assert parent.communicate(timeout=20) == ("", None)


# ---- Records -------------------------------------------------------------------------------------


class FakeWorker:
    """Solves the problem the better, the smaller the tolerance; no process, and made-up times."""

    fits: list
    failing: set

    def __init__(self, contender, folder):
        self.contender = contender
        self.X, self.y = np.load(folder / "X.npy"), np.load(folder / "y.npy")

    def wait(self):
        if "start" in self.failing:
            raise worker.FitError("cannot start")

    def fit(self, l2, tol, limit_seconds):
        self.fits.append((self.contender, tol))
        if self.contender in self.failing:
            raise worker.FitError("stopped")
        model = CONTENDERS["scikit-learn newton-cholesky"].make(len(self.X), l2, tol)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            coef = model.fit(self.X, self.y).coef_
        ns = 2_000_000_000 if self.contender == SLOW else 1_000_000
        return worker.Fit(ns, ns, coef * (1 + 10 * tol), 1000)

    def end(self):
        pass


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(FakeWorker, "fits", [], raising=False)
    monkeypatch.setattr(FakeWorker, "failing", set(), raising=False)
    monkeypatch.setattr(accuracy, "Worker", FakeWorker)
    lacking = Entrant(GONE, "gone", "module_that_is_not_there", lambda *_: None)
    monkeypatch.setitem(accuracy.CONTENDERS, GONE, lacking)
    return FakeWorker


def race(folder, budget=60.0, **options):
    todo = accuracy.tasks([(TINY, budget)], [QUICK, SLOW, GONE])
    events = []
    records = accuracy.run(todo, Store(folder, "m"), "fp", on_event=events.append, **options)
    return records, [event.what for event in events if event.what not in ("start", "round")]


def test_contenders_are_fitted_until_they_reach_the_last_levels(fake, tmp_path):
    records, events = race(tmp_path)
    assert events == ["done"] * (1 + len(accuracy.TOLERANCES))
    optimum, *fits = records
    assert optimum.facts["error_bound"] < 1e-9
    assert optimum.facts["loss"] < optimum.facts["loss_start"] == pytest.approx(np.log(2))
    last = [r for r in fits if r.series][-1]
    for series in last.series:
        assert series.facts["grad_norm"] <= accuracy.GRAD_NORMS[-1]
        assert 0 <= series.facts["suboptimality"] <= accuracy.SUBOPTIMALITIES[-1]
    before = fits[fits.index(last) - 1]
    for series in before.series:
        assert not (
            series.facts["grad_norm"] <= accuracy.GRAD_NORMS[-1]
            and series.facts["suboptimality"] <= accuracy.SUBOPTIMALITIES[-1]
        )
    assert fits.index(last) < len(fits) - 1
    # The quick one is repeated, the slow one is not.
    counts = {series.contender: len(series.samples_ns["fit"]) for series in last.series}
    assert counts == {QUICK: accuracy.REPEATS, SLOW: 1}
    assert "not installed" in last.facts["absent"][GONE]


def test_a_contender_that_has_used_up_its_time_is_out(fake, tmp_path):
    records, _ = race(tmp_path, budget=3)
    slow = [s for r in records for s in r.series if s.contender == SLOW]
    quick = [s for r in records for s in r.series if s.contender == QUICK]
    assert len(slow) == 2
    assert len(quick) > 2


def test_a_contender_that_fails_is_out(fake, tmp_path):
    fake.failing = {SLOW}
    records, _ = race(tmp_path)
    assert [s.facts for r in records for s in r.series if s.contender == SLOW] == [
        {"failed": "stopped"}
    ]
    assert fake.fits.count((SLOW, accuracy.TOLERANCES[0])) == 1


def test_a_contender_that_cannot_start_is_out(fake, tmp_path):
    fake.failing = {"start"}
    records, _ = race(tmp_path)
    assert not fake.fits
    assert [s.facts for s in records[1].series] == [{"failed": "cannot start"}] * 2
    assert not any(record.series for record in records[2:])


def test_an_interrupted_race_continues(fake, tmp_path, monkeypatch):
    def interrupted(self, l2, tol, limit_seconds):
        if tol < 1e-2:
            raise KeyboardInterrupt
        return FakeWorker.fit(self, l2, tol, limit_seconds)

    class Interrupted(FakeWorker):
        fit = interrupted

    monkeypatch.setattr(accuracy, "Worker", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        race(tmp_path)
    monkeypatch.setattr(accuracy, "Worker", FakeWorker)
    fake.fits.clear()
    records, events = race(tmp_path)
    kept = sum(tol >= 1e-2 for tol in accuracy.TOLERANCES)
    assert events == ["reused"] * (1 + kept) + ["done"] * (len(accuracy.TOLERANCES) - kept)
    assert all(tol < 1e-2 for _, tol in fake.fits)
    again, events = race(tmp_path)
    assert set(events) == {"reused"}
    assert [r.to_json() for r in again] == [r.to_json() for r in records]


def test_too_little_memory_is_a_reason_to_skip(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(accuracy.machine, "available_memory", lambda: 100)
    records, _ = race(tmp_path)
    assert records[0].skipped is None
    assert "of memory" in records[1].skipped


# ---- Tables and figure ---------------------------------------------------------------------------


def test_the_table_shows_the_least_time_to_each_level(fake, tmp_path):
    race(tmp_path)
    (report,) = tables.build(Store(tmp_path, "m"))
    times = report.data["time_to_accuracy"]
    fits = report.data["fits"]
    assert {row["contender"] for row in times} == {QUICK, SLOW}
    for row in times:
        there = [
            fit["seconds"]
            for fit in fits
            if fit["contender"] == row["contender"] and fit[row["quantity"]] <= row["level"]
        ]
        assert row["seconds"] == min(there)
    summary, norms, losses = report.tables
    assert summary.rows[-1] == ["tall", "1e-03", "1.00 ms", "~2.0 s", SLOW, "~2,000"]
    assert [row[0] for row in norms.rows] == [QUICK, SLOW]
    assert norms.rows[0][1:] == ["1.00 ms"] * 3 + ["1.00", str(accuracy.REPEATS), "1 KB"]
    assert losses.rows[1][1:] == ["~2.0 s"] * 3
    text = tables.markdown(report)
    assert "Command: `halpbench peers --suite full`" in text
    assert "Absent, not installed (`pip install gone`): no such library." in text


def test_the_table_tells_of_what_was_not_reached(fake, tmp_path):
    fake.failing = {QUICK}
    race(tmp_path)
    (report,) = tables.build(Store(tmp_path, "m"))
    summary, norms, _ = report.tables
    assert summary.rows[-1] == ["tall", "1e-03", "-", "~2.0 s", SLOW, "-"]
    assert norms.rows[0] == [QUICK, "-", "-", "-", "", "", "unknown"]
    assert "halpbench, tolerance 1e-01: stopped." in norms.notes


def test_the_figure(fake, tmp_path):
    pytest.importorskip("matplotlib")
    race(tmp_path)
    written = figures.draw(tables.build(Store(tmp_path, "m")), tmp_path / "figures")
    assert [path.name for path in written] == [
        f"peers.{ending}" for ending in ("png", "svg", "csv", "txt")
    ]
    svg = written[1].read_text()
    for text in (QUICK, SLOW, "tall, ", "gradient norm"):
        assert text in svg


def test_the_command(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(accuracy, "problems", lambda suite: {TINY.name: (TINY, 60.0)})
    arguments = ["peers", "--results", str(tmp_path), "--only", f"{QUICK},{SLOW}"]
    assert cli.main(arguments) == 0
    output = capsys.readouterr()
    assert "In short: time to a gradient norm" in output.out
    assert "[2/12] tall, tolerance 1e-01: done" in output.err
    assert cli.main([*arguments, "--json"]) == 0
    output = capsys.readouterr()
    assert output.err.count(": reused") == 12
    (report,) = json.loads(output.out)
    assert report["data"]["time_to_accuracy"][0]["contender"] == QUICK
    (folder,) = (tmp_path / "tables").iterdir()
    assert (folder / "peers.md").exists()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"budget_seconds": 30.0}, "reused"),
        ({"grad_norms": (1e-1, 1e-2, 5e-3, 1e-3)}, "reused"),
        ({"budget_seconds": 90.0}, "done"),
        ({"grad_norms": (1e-1, 1e-4)}, "done"),
    ],
)
def test_one_more_level_is_no_other_measurement(fake, tmp_path, change, expected):
    """A tighter one is, for contenders have stopped before it; so is more time."""
    race(tmp_path)
    todo = [
        msgspec.structs.replace(task, plan=msgspec.structs.replace(task.plan, **change))
        for task in accuracy.tasks([(TINY, 60.0)], [QUICK, SLOW, GONE])
        if task.case.kind == "fits"
    ]
    finished = Finished(Store(tmp_path, "m"), "fp")
    assert all((finished.record(task) is not None) == (expected == "reused") for task in todo)
