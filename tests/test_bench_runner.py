"""The runner with made-up kernels and solvers, whose times are known."""

import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec.structs import replace

from halpbench.bench import loading, loop, records, runner, suites, verify
from halpbench.bench.cases import (
    CallCase,
    EpochsCase,
    KernelCase,
    Plan,
    Planned,
    ProblemSpec,
    Setting,
)
from halpbench.bench.store import Store
from halpbench.datasets import DatasetNotFoundError

TINY = ProblemSpec("tiny", "synthetic-regression", "least-squares", 6, 2, step_size=0.1)
KERNEL = Planned(KernelCase("dot", 100, "avx2", ("f32", "i8")), Plan(at_least=3, at_most=3))
EPOCHS = Planned(
    EpochsCase(
        TINY, "quantized", "avx2", (Setting("svrg", "D32fM32f"), Setting("halp", "D8M8", mu=3.0))
    ),
    Plan(epochs_per_turn=2, at_least=3, at_most=3),
)


def altered(task, **changes):
    """The task with other fields of its case."""
    return replace(task, case=replace(task.case, **changes))


class FakeKernels:
    """Kernels that take 4 ns a call for each element of f32, and 1 ns for any other dtype."""

    def __init__(self):
        self.used = []
        self.name = "scalar"

    @contextmanager
    def use(self, name):
        before, self.name = self.name, name
        yield
        self.name = before

    def dot(self, x, y):
        return int(x.astype(int) @ y.astype(int))

    def time_kernel(self, op, dtype, n, repeats, classes=1):
        self.used.append((self.name, op, dtype, n, repeats))
        return repeats * n * classes * (4 if dtype == "f32" else 1)


class FakeRun:
    """An epoch of float32 takes 8 us and of any other precision 2 us; |g| falls tenfold.

    Runs of a precision in `fakes.diverging` fail in their third epoch.
    """

    def __init__(self, fakes, problem, *, precision, **options):
        self.fakes = fakes
        self.problem, self.precision, self.options = problem, precision, options
        self.norm, self.epochs = 1.0, 0
        self.step_bytes = self.gradient_row_bytes = 8 if precision == "D32fM32f" else 2
        self.data_bytes = 6 * self.step_bytes
        self.batch_size = options.get("batch_size", 1)
        fakes.runs.append(self)

    def epoch(self):
        self.fakes.order.append((self.fakes.kernels.name, self.precision))
        if self.fakes.interrupted:
            raise KeyboardInterrupt
        self.epochs += 1
        diverged = self.precision in self.fakes.diverging and self.epochs == 3
        self.norm *= 1 if diverged else 0.1
        seconds = 8e-6 if self.precision == "D32fM32f" else 2e-6
        return SimpleNamespace(
            inner_seconds=seconds * 0.75,
            full_gradient_seconds=seconds * 0.25,
            seconds=seconds,
            saturated=0,
            scale=None,
            diverged=diverged,
        )

    def evaluate(self):
        return 0.0, self.norm


@dataclass
class Info:
    source: str = "made up"
    sha256: str = "00"


class Fakes:
    """Kernels, solvers, data and memory of a machine that is made up.

    `error`, if there is one, is raised where data are loaded; `wrong`, where a kernel is checked.
    """

    def __init__(self):
        self.kernels = FakeKernels()
        self.loads, self.checked, self.runs, self.order = [], [], [], []
        self.found, self.diverging = {}, set()
        self.memory = 10**12
        self.error = self.wrong = None
        self.interrupted = False

    def load(self, name, return_info, **options):
        self.loads.append(name)
        if self.error:
            raise self.error
        rng = np.random.default_rng(0)
        return rng.random((9, 2)), rng.random(9), Info()

    def check(self, op, dtype, n, classes):
        if self.wrong:
            raise verify.WrongResultError(self.wrong)
        self.checked.append(dtype)

    @property
    def instruments(self):
        return runner.Instruments(
            use=self.kernels.use,
            dot=self.kernels.dot,
            time_kernel=self.kernels.time_kernel,
            check=self.check,
            solver=partial(FakeRun, self),
            load=self.load,
            find=lambda name: self.found.get(name, "here"),
            available_memory=lambda: self.memory,
        )

    def measure(self, task, fingerprint=""):
        problems = loading.Problems(self.load)
        measure = partial(runner.measure, problems, instruments=self.instruments)
        return loop.attempt(task, fingerprint, measure)

    def events(self, cases, store, fingerprint="machine", **options):
        """Run cases; return all that happened."""
        events = []
        runner.run(
            cases,
            store,
            fingerprint,
            on_event=events.append,
            instruments=self.instruments,
            **options,
        )
        return events

    def run(self, cases, store, **options):
        """Run cases; return what happened but rounds."""
        return [event for event in self.events(cases, store, **options) if event.what != "round"]


@pytest.fixture
def fakes():
    return Fakes()


def whats(events):
    return [event.what for event in events]


def test_kernel_record(fakes, tmp_path):
    record = fakes.measure(KERNEL, "machine")
    assert record.fingerprint == "machine"
    assert [series.contender for series in record.series] == ["f32", "i8"]
    for series, ns_per_call in zip(record.series, (400, 100), strict=True):
        assert series.facts["calls"] * ns_per_call == pytest.approx(runner.SAMPLE_NS, rel=0.01)
        assert series.samples_ns["calls"] == (series.facts["calls"] * ns_per_call,) * 3
    # A dot reads two vectors.
    assert [series.facts["bytes"] for series in record.series] == [800, 200]


def test_kernels_run_on_the_backend_of_the_case_which_is_put_back(fakes):
    fakes.measure(KERNEL)
    assert {used[0] for used in fakes.kernels.used} == {"avx2"}
    assert fakes.kernels.name == "scalar"


def test_kernels_are_checked_before_they_are_timed(fakes):
    fakes.measure(KERNEL)
    assert fakes.checked == ["f32", "i8"]
    fakes.kernels.used.clear()
    fakes.wrong = "wrong result of dot i8: got 1, expected 2"
    record = fakes.measure(KERNEL)
    assert (record.skipped, record.wrong) == (None, "wrong result of dot i8: got 1, expected 2")
    assert fakes.kernels.used == []


def test_epochs_record(fakes):
    record = fakes.measure(EPOCHS)
    f32, i8 = record.series
    assert f32.contender == "SVRG D32fM32f"
    assert f32.samples_ns["epoch"] == (8000,) * 6
    assert f32.samples_ns["inner"] == (6000,) * 6
    assert i8.samples_ns["full_gradient"] == (500,) * 6
    assert i8.facts["gradient_norms"] == pytest.approx([10.0**-k for k in range(7)])
    assert i8.facts["gradient_row_bytes"] == 2
    assert not i8.facts["diverged"]
    assert {backend for backend, _ in fakes.order} == {"avx2"}
    assert record.facts["n_samples"] == 6, "no more samples than the problem asks for"
    assert record.facts["epoch_length"] == 12
    assert record.facts["source"] == "made up"
    # Six rows of two features: from afar, and beside model and constant from near.
    assert i8.facts["work"]["inner"]["reads"] == [[12, 2], [8, 10]]
    assert f32.facts["work"]["full_gradient"]["multiply_adds"] == {"f32": 4}


def test_contenders_take_turns(fakes):
    fakes.measure(EPOCHS)
    order = [precision for _, precision in fakes.order]
    turns = order[::2]
    assert order[1::2] == turns, "a turn is two epochs"
    rounds = [turns[0:2], turns[2:4], turns[4:6]]
    assert rounds[1] == rounds[0][::-1]
    assert all(sorted(order) == ["D32fM32f", "D8M8"] for order in rounds)


def test_contenders_get_the_same_problem_seed_and_length(fakes):
    fakes.measure(EPOCHS)
    f32, i8 = fakes.runs
    assert f32.problem is i8.problem
    copies = i8.options["rows"]
    assert i8.options == f32.options | {"algorithm": "halp", "mu": 3.0, "rows": copies}
    assert copies[0].dtype == np.int8
    assert f32.options["seed"] == 0
    assert f32.options["epoch_length"] == 12


def test_a_diverged_contender_has_no_more_turns(fakes):
    fakes.diverging = {"D8M8"}
    f32, i8 = records.parse(fakes.measure(EPOCHS).to_json()).series
    assert i8.facts["diverged"]
    assert i8.samples_ns["epoch"] == (2000,) * 2, "the epoch that failed is no timing"
    assert i8.facts["gradient_norms"] == pytest.approx([1, 0.1, 0.01])
    assert fakes.order.count(("avx2", "D8M8")) == 3
    assert f32.samples_ns["epoch"] == (8000,) * 6, "the others go on"


def test_samples_are_chosen_at_random_and_aligned(fakes):
    """Nine rows are loaded and six wanted: files are often sorted by label."""
    fakes.measure(EPOCHS)
    problem = fakes.runs[0].problem
    rng = np.random.default_rng(0)
    x, y = rng.random((9, 2)), rng.random(9)
    rows = [int(np.flatnonzero(y == value)[0]) for value in problem.y]
    assert len(set(rows)) == 6
    assert rows != sorted(rows)
    np.testing.assert_array_equal(problem.X, x[rows])
    assert problem.X.ctypes.data % 64 == 0


def test_kernels_with_classes_and_another_beside(fakes):
    record = fakes.measure(altered(KERNEL, op="ger", classes=10, beside="gemv"))
    assert [series.contender for series in record.series] == ["f32", "i8", "gemv i8"]
    assert {used[1:3] for used in fakes.kernels.used} == {
        ("ger", "f32"),
        ("ger", "i8"),
        ("gemv", "i8"),
    }
    # x once; for each class h, and the model read and written.
    by_name = {series.contender: series.facts["bytes"] for series in record.series}
    assert by_name == {"f32": 100 * 4 * 31, "i8": 100 * 41, "gemv i8": 100 * 11}


@pytest.mark.parametrize("dtype", ["i8", "f32"])
def test_calls(fakes, monkeypatch, dtype):
    case = CallCase(1, "avx2", dtype, ("other 1.0", "absent"))
    task = Planned(case, Plan(at_least=3, at_most=3))
    right = SimpleNamespace(dot=lambda x, y: x.astype(float) @ y.astype(float))
    wrong = SimpleNamespace(dot=lambda x, y: right.dot(x, y) + 1)
    fakes.kernels.dot = right.dot
    monkeypatch.setitem(sys.modules, "other", right)
    record = fakes.measure(task)
    assert record.measured
    assert [series.contender for series in record.series] == ["halpbench", "other 1.0"]
    assert all(len(series.samples_ns["calls"]) == 3 for series in record.series)
    monkeypatch.setitem(sys.modules, "other", wrong)
    assert "expected" in fakes.measure(task).wrong
    alone = fakes.measure(altered(task, libraries=("absent",)))
    assert [series.contender for series in alone.series] == ["halpbench"]


def test_blas_is_held_to_one_thread_where_calls_are_timed(fakes):
    task = Planned(CallCase(16, "avx2", "f64"), Plan())
    fakes.kernels.dot = lambda x, y: x @ y
    assert set(re.findall(r"threads: (\d+)", fakes.measure(task).facts["blas"])) == {"1"}


def test_finished_records_are_reused(fakes, tmp_path):
    store = Store(tmp_path, "cpu")
    assert whats(fakes.run([KERNEL, EPOCHS], store)) == ["start", "done"] * 2
    kept = store.records()
    fakes.loads.clear()
    assert whats(fakes.run([KERNEL, EPOCHS], store)) == ["reused"] * 2
    assert store.records() == kept
    assert fakes.loads == [], "what is reused is not loaded"


def test_fresh_measures_again(fakes, tmp_path):
    store = Store(tmp_path, "cpu")
    fakes.run([KERNEL], store)
    assert whats(fakes.run([KERNEL], store, fresh=True)) == ["start", "done"]
    assert len(store.records()) == 2


@pytest.mark.parametrize("change", [{"n": 101}, {"dtypes": ("i8",)}, {"backend": "sse41"}])
def test_another_case_is_measured(fakes, tmp_path, change):
    store = Store(tmp_path, "cpu")
    fakes.run([KERNEL], store)
    assert whats(fakes.run([altered(KERNEL, **change)], store)) == ["start", "done"]


def test_another_machine_or_build_is_measured(fakes, tmp_path):
    store = Store(tmp_path, "cpu")
    fakes.run([KERNEL], store)
    events = fakes.run([KERNEL], store, fingerprint="another")
    assert events[-1].what == "done"


def test_an_interruption_keeps_what_is_finished(fakes, tmp_path):
    """Ctrl-C in the second case: the first is on disk, and the next run begins with the second."""
    store = Store(tmp_path, "cpu")
    fakes.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        fakes.run([KERNEL, EPOCHS], store)
    assert [record.kind for record in store.records()] == ["kernel"]
    fakes.interrupted = False
    assert whats(fakes.run([KERNEL, EPOCHS], store)) == ["reused", "start", "done"]


def test_what_does_not_fit_in_memory_is_skipped_and_tried_again(fakes, tmp_path):
    store = Store(tmp_path, "cpu")
    fakes.memory = 10
    events = fakes.run([EPOCHS], store)
    assert whats(events) == ["start", "skipped"]
    assert "GB of memory" in events[-1].record.skipped
    assert fakes.loads == []
    fakes.memory = 10**12
    assert whats(fakes.run([EPOCHS], store)) == ["start", "done"]


def test_running_out_of_memory_is_a_reason_to_skip(fakes):
    fakes.error = MemoryError("no 800 MB")
    record = fakes.measure(EPOCHS)
    assert record.skipped == "out of memory: no 800 MB"
    assert record.series == ()


def test_a_data_set_that_is_not_there_is_replaced(fakes):
    rare = suites.FASHION_MNIST

    def resolved(problem):
        task = altered(EPOCHS, problem=problem)
        return runner.resolve(task, fakes.instruments.find).case.problem

    fakes.found[rare.dataset] = None
    assert resolved(rare) == suites.MNIST_5K
    fakes.found[rare.dataset] = "a folder"
    assert resolved(rare) == rare


def test_without_a_replacement_the_case_is_skipped(fakes):
    fakes.error = DatasetNotFoundError("not on this machine")
    assert fakes.measure(EPOCHS).skipped == "not on this machine"


def test_one_problem_is_loaded_once(fakes, tmp_path):
    exact = altered(EPOCHS, data="exact")
    other = altered(EPOCHS, problem=replace(TINY, name="other", dataset="other"))
    fakes.run([EPOCHS, exact, other], Store(tmp_path, "cpu"))
    assert fakes.loads == ["synthetic-regression", "other"]


def test_no_case_begins_after_the_limit(fakes, tmp_path):
    store = Store(tmp_path, "cpu")
    events = fakes.run([KERNEL, EPOCHS], store, limit_seconds=0)
    assert whats(events) == ["left", "left"]
    assert store.records() == []


def test_reused_records_cost_no_time(fakes, tmp_path):
    store = Store(tmp_path, "cpu")
    fakes.run([KERNEL], store)
    assert whats(fakes.run([KERNEL], store, limit_seconds=0)) == ["reused"]


def test_events_count_cases_and_rounds(fakes, tmp_path):
    events = fakes.events([KERNEL, EPOCHS], Store(tmp_path, "cpu"))
    assert [(e.index, e.rounds) for e in events if e.what == "round"] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
        (1, 2),
    ]
    assert {e.total for e in events} == {2}


def test_the_runner_prints_nothing(fakes, tmp_path, capsys):
    fakes.run([KERNEL, EPOCHS], Store(tmp_path, "cpu"))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ({"suite": "smoke"}, "reused"),
        ({"at_least": 2, "at_most": 2}, "reused"),
        ({"at_least": 4, "at_most": 4}, "done"),
        ({"at_most": 31}, "reused"),
        ({"at_most": 31, "budget_seconds": 9.0}, "done"),
        ({"at_most": 31, "budget_seconds": 0.5}, "reused"),
    ],
)
def test_a_plan_is_no_part_of_a_measurement(fakes, tmp_path, plan, expected):
    """A record serves if it has the rounds that are asked for, or had the time for them."""
    store = Store(tmp_path, "cpu")
    short = replace(KERNEL, plan=Plan(at_least=3, at_most=3, budget_seconds=1.0))
    fakes.run([short], store)
    longer = replace(short, plan=replace(short.plan, **plan))
    assert whats(fakes.run([longer], store))[-1] == expected
    assert len({record.identity for record in store.records()}) == 1


def test_a_wrong_result_is_an_event_of_its_own_and_is_tried_again(fakes, tmp_path):
    store = Store(tmp_path, "cpu")
    fakes.wrong = "wrong result of dot i8: got 1, expected 2"
    events = fakes.run([KERNEL], store)
    fakes.wrong = None
    assert whats(events) == ["start", "wrong"]
    assert events[-1].reason == "wrong result of dot i8: got 1, expected 2"
    assert store.records()[0].wrong == events[-1].reason
    assert whats(fakes.run([KERNEL], store)) == ["start", "done"]
