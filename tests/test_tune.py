"""Grid search: the winner, resuming, and running on a cluster."""

import importlib.util
import math

import pytest

from halpbench.bench import tune
from halpbench.bench.experiments import fingerprint
from halpbench.bench.loop import Pool
from halpbench.bench.store import Store

STEPS = (1e-4, 5e-3, 10.0)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path, "machine")


@pytest.fixture
def todo():
    spec = tune.problem_named("figure-1", samples=200)
    grid = {"step_size": STEPS, "mu": (1.0, 3.0)}
    return tune.points(spec, "halp", "D8M8", grid, epochs=2)


def test_the_winner_is_the_best_point_and_is_on_record(store, todo):
    winner = tune.tune(todo, store, "f")
    assert winner.facts["winner"]["step_size"] == 5e-3
    scores = {t.case.options: tune.evaluate(t.case)[0] for t in todo}
    assert winner.facts["grad_norm"] == min(scores.values())
    assert winner.facts["diverged"] == sum(math.isinf(score) for score in scores.values())
    records = store.records()
    assert [r.kind for r in records].count("tune") == len(todo)
    assert next(r for r in records if r.kind == "tune-winner").facts == winner.facts
    assert len(winner.case["grid"]) == len(todo)


def test_a_winner_at_the_edge_is_named(store):
    spec = tune.problem_named("figure-1", samples=200)
    points = tune.points(spec, "svrg", "D64fM64f", {"step_size": (1e-5, 1e-4)}, epochs=2)
    assert tune.tune(points, store, "f").facts["at_edge"] == ["step_size"]


def test_an_interrupted_search_goes_on(store, todo):
    class StopError(Exception):
        pass

    def stop(event):
        if (event.what, event.index) == ("done", 2):
            raise StopError

    with pytest.raises(StopError):
        tune.tune(todo, store, "f", on_event=stop)
    events = []
    winner = tune.tune(todo, store, "f", on_event=events.append)
    assert [e.what for e in events if e.what != "start"] == ["reused"] * 3 + ["done"] * 3
    assert winner.facts == tune.tune(todo, store, "f", fresh=True).facts


def test_other_code_is_another_fingerprint():
    assert fingerprint("a") != fingerprint("b")
    assert fingerprint("a") == fingerprint("a")


def assert_same_winner(found, expected):
    """The norm but for the last bits: BLAS may use other numbers of threads in other processes."""
    norm = pytest.approx(expected.facts["grad_norm"], rel=1e-9)
    assert found.facts == expected.facts | {"grad_norm": norm}


def test_processes_find_the_same_winner(store, todo, tmp_path):
    alone = tune.tune(todo, store, "f")
    together = tune.tune(todo, Store(tmp_path / "other", "machine"), "f", pool=Pool(2))
    assert_same_winner(together, alone)


MISSING = [m for m in ("dask", "distributed") if importlib.util.find_spec(m) is None]


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
# Dask and its event loop leave sockets to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_dask_cluster_finds_the_same_winner(store, todo, tmp_path):
    from distributed import LocalCluster

    alone = tune.tune(todo, store, "f")
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path)
    ) as cluster:
        address = cluster.scheduler_address
        together = tune.tune(
            todo, Store(tmp_path / "other", "machine"), "f", pool=Pool(-1, address)
        )
    assert_same_winner(together, alone)


def test_a_dataset_becomes_a_problem():
    spec = tune.problem_named("digits", l2=1e-3)
    assert (spec.model, spec.n_classes, spec.l2) == ("softmax", 10, 1e-3)
    assert tune.problem_named("diabetes").model == "least-squares"


@pytest.mark.parametrize(
    ("algorithm", "precision", "grid", "options", "message"),
    [
        ("adam", "D8M8", {"step_size": (1.0,)}, {}, "expected one of sgd"),
        ("halp", "D4M4", {"step_size": (1.0,)}, {}, "in one of D8M8"),
        ("halp", "D32fM32f", {"step_size": (1.0,)}, {}, "halp does not run in D32fM32f"),
        ("halp", "D8M8", {"step_size": (1.0, -1.0)}, {}, "step_size: got"),
        ("halp", "D8M8", {"mu": ()}, {}, "mu: got"),
        ("halp", "D8M8", {}, {}, "the grid is empty"),
        ("halp", "D8M8", {"mu": (1.0,)}, {"epochs": 0}, "epochs and seeds"),
    ],
)
def test_bad_grids_are_refused(algorithm, precision, grid, options, message):
    spec = tune.PROBLEMS["figure-1"]
    with pytest.raises(ValueError, match=message):
        tune.points(spec, algorithm, precision, grid, **options)


def test_unknown_problems_are_refused():
    with pytest.raises(ValueError, match="expected one of"):
        tune.problem_named("no-such-problem")
