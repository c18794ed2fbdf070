"""Rivals of HALP: every step against its paper's definition, and what the figure is made of."""

import csv

import numpy as np
import pytest
from msgspec.structs import replace

from halpbench import LeastSquares, SoftmaxRegression, rivals, simulate
from halpbench.bench import cases, experiments
from halpbench.bench import rivals as harness
from halpbench.bench.loading import Problems
from halpbench.bench.store import Store
from halpbench.numberformats import NUMBER_FORMATS, block_wise
from halpbench.simulate import FixedPoint


@pytest.fixture(scope="module")
def least_squares():
    random = np.random.default_rng(0)
    X = random.standard_normal((60, 7))
    y = X @ random.standard_normal(7) + 0.1 * random.standard_normal(60)
    return LeastSquares(X, y, 0.05)


@pytest.fixture(scope="module")
def softmax():
    random = np.random.default_rng(1)
    X = random.standard_normal((60, 5))
    return SoftmaxRegression(X, np.arange(60) % 3, l2=0.1)


def sample_gradient(problem, i, w):
    """The gradient of one sample, from scratch."""
    x, y = problem.X[i], problem.y[i]
    if isinstance(problem, LeastSquares):
        return (x @ w - y) * x + problem.l2 * w
    p = np.exp(w @ x)
    p /= p.sum()
    p[y] -= 1
    return np.outer(p, x) + problem.l2 * w


def batches(problem, length, size, epochs, seed):
    """The samples of every epoch, in steps."""
    random = np.random.default_rng(seed)
    for _ in range(epochs):
        chosen = random.integers(problem.n_samples, size=length)
        yield [chosen[t : t + size] for t in range(0, length, size)]


def saga(problem, a, steps, state):
    """A table of whole gradients of the losses, and their mean taken anew at every step."""
    w = np.zeros(problem.weight_shape)
    loss = [sample_gradient(problem, i, w) for i in range(problem.n_samples)]
    for epoch in steps:
        for batch in epoch:
            new = {i: sample_gradient(problem, i, w) - problem.l2 * w for i in batch}
            mean = np.mean(loss, axis=0) + problem.l2 * w
            w = w - a * sum(new[i] - loss[i] + mean for i in batch)
            for i, gradient in new.items():
                loss[i] = gradient
        yield w


def adam(problem, a, steps, state):
    """Algorithm 1 of Kingma and Ba."""
    w = m = v = np.zeros(problem.weight_shape)
    t = 0
    for epoch in steps:
        for batch in epoch:
            t += 1
            g = np.mean([sample_gradient(problem, i, w) for i in batch], axis=0)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            w = w - a * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            m, v = state(m, True), state(v, False)
        yield w


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("kind", ["least_squares", "softmax"])
@pytest.mark.parametrize(
    ("algorithm", "oracle", "state"),
    [
        ("saga", saga, None),
        ("adam", adam, lambda x, signed: x),
        ("adam-8bit", adam, block_wise),
    ],
)
def test_solutions_are_those_of_the_definition(algorithm, oracle, state, kind, size, request):
    problem = request.getfixturevalue(kind)
    a, length, epochs = 0.01, 40, 3
    found = rivals.solve(
        problem,
        algorithm,
        step_size=a,
        epoch_length=length,
        epochs=epochs,
        batch_size=size,
        seed=4,
    )
    steps = batches(problem, length, size, epochs, seed=4)
    expected = [np.zeros(problem.weight_shape), *oracle(problem, a, steps, state)]
    np.testing.assert_allclose(found.solutions, expected, rtol=0, atol=1e-12)
    assert found.history["full_gradients"].tolist() == [int(algorithm == "saga")] * 4
    assert found.history["loss"].iloc[-1] == pytest.approx(problem.loss(expected[-1]))


@pytest.mark.parametrize("warm_up", [0, 2])
@pytest.mark.parametrize("cycle", [1, 3])
def test_swalp_is_the_mean_of_iterates_of_low_precision_sgd(warm_up, cycle, softmax):
    options = {"step_size": 0.02, "epoch_length": 40, "batch_size": 4, "delta": 0.02, "seed": 3}
    model = NUMBER_FORMATS["e4m3"]
    found = rivals.solve(softmax, "swalp", model, warm_up=warm_up, cycle=cycle, epochs=4, **options)
    twin = simulate.solve(softmax, "lp-sgd", model, epochs=4, keep_path=True, **options)
    iterates = np.concatenate([path[1:] for path in twin.path])
    for epoch in range(5):
        averaged = iterates[10 * warm_up : 10 * epoch][cycle - 1 :: cycle]
        expected = averaged.mean(axis=0) if len(averaged) else twin.solutions[epoch]
        np.testing.assert_allclose(found.solutions[epoch], expected, rtol=0, atol=1e-13)


def test_swalp_goes_below_the_floor_of_low_precision_sgd(least_squares):
    options = {"step_size": 0.01, "epochs": 30, "delta": 0.05}
    floor = simulate.solve(least_squares, "lp-sgd", **options).history["grad_norm"].iloc[-1]
    found = rivals.solve(least_squares, "swalp", **options).history["grad_norm"].iloc[-1]
    assert found < 0.2 * floor


def test_a_centre_that_never_moves_is_an_epoch_of_svrg(least_squares):
    # In so long an epoch the centre moves with probability 40 / 10^6.
    loopless = rivals.solve(
        least_squares, "l-svrg", step_size=0.01, epoch_length=40, epochs=1, seed=2
    )
    svrg = simulate.solve(least_squares, "svrg", step_size=0.01, epoch_length=40, epochs=1, seed=2)
    if loopless.history["full_gradients"].iloc[-1] == 1:
        np.testing.assert_allclose(loopless.w, svrg.w, rtol=1e-12)
    else:
        pytest.fail("choose a seed whose centre stays")


@pytest.mark.parametrize("size", [1, 5])
def test_a_centre_moves_once_an_epoch_on_average(size, least_squares):
    found = rivals.solve(
        least_squares, "l-svrg", step_size=1e-3, epoch_length=20, epochs=400, batch_size=size
    )
    # 400 on average, and one at the start; the standard deviation is below 20.
    assert abs(found.history["full_gradients"].iloc[-1] - 401) < 5 * 20
    assert (found.history["full_gradients"].diff().iloc[1:] >= 0).all()


@pytest.mark.parametrize("algorithm", ["saga", "l-svrg"])
@pytest.mark.parametrize("kind", ["least_squares", "softmax"])
def test_variance_reduction_has_no_floor(algorithm, kind, request):
    problem = request.getfixturevalue(kind)
    found = rivals.solve(problem, algorithm, step_size=0.02, epochs=60)
    assert found.history["grad_norm"].iloc[-1] < 1e-9


def test_a_run_that_diverges_keeps_its_last_solution(least_squares):
    found = rivals.solve(least_squares, "saga", step_size=1e3, epochs=200)
    assert np.isinf(found.history["loss"].iloc[-1])
    assert np.isfinite(found.w).all()
    assert len(found.solutions) == len(found.history) - 1 < 200


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"algorithm": "sgd"}, ValueError, "algorithm must be one of saga, l-svrg"),
        ({"step_size": 0.0}, ValueError, "step_size must be finite and positive"),
        ({"delta": np.inf}, ValueError, "delta must be finite and positive"),
        ({"epochs": -1}, ValueError, "epochs must be at least 0, got -1"),
        ({"epochs": 1.0}, TypeError, "epochs must be an integer"),
        ({"epoch_length": 0}, ValueError, "epoch_length must be at least 1, got 0"),
        ({"batch_size": 65}, ValueError, "batch_size: got 65"),
        ({"warm_up": -1}, ValueError, "warm_up must be at least 0, got -1"),
        ({"cycle": 0}, ValueError, "cycle must be at least 1, got 0"),
    ],
)
def test_mistakes_are_named(arguments, error, message, least_squares):
    with pytest.raises(error, match=message):
        rivals.solve(least_squares, **{"algorithm": "swalp", **arguments})


# ---- The figure ----------------------------------------------------------------------------------

SPEC = cases.ProblemSpec("tiny", "none", "softmax", 60, 5, 0.1, n_classes=3)


def moved(problem, algorithm, number_format, full_gradients=(0, 1), batch_size=8):
    """Bits of one epoch of 120 samples, after the start."""
    case = cases.RivalCase(SPEC, algorithm, number_format, 0.1, 1, batch_size)
    start, end = harness.bits_moved(problem, case, full_gradients)
    return end - start


def test_bits_are_those_that_the_page_counts(softmax):
    n, d, classes, samples, steps = 15, 5, 3, 120, 15
    one_pass = 60 * (8 * d + 32 * classes) + n * (64 + 16)
    halp = samples * (8 * d + 32 * classes) + steps * n * (2 * 8 + 16)
    assert moved(softmax, "halp", "int8") == halp + one_pass
    assert moved(softmax, "lp-sgd", "int8", (0, 0)) == samples * 8 * d + steps * n * 16
    assert moved(softmax, "lp-sgd", "mxfp4", (0, 0)) == samples * 8 * d + steps * n * 2 * 4.25
    assert moved(softmax, "lp-sgd", "nvfp4", (0, 0)) == samples * 8 * d + steps * n * 2 * 4.5
    assert moved(softmax, "sgd", "float32", (0, 0)) == samples * 32 * d + steps * n * 64
    table = samples * (32 * d + 2 * 32 * classes) + steps * n * (64 + 64)
    assert moved(softmax, "saga", "float32", (1, 1)) == table
    moments = samples * 32 * d + steps * n * (64 + 4 * (8 + 32 / 2048))
    assert moved(softmax, "adam-8bit", "float32", (0, 0)) == pytest.approx(moments)
    averages = samples * 8 * d + steps * n * (16 + 64 / harness.CYCLE)
    assert moved(softmax, "swalp", "int8", (0, 0)) == pytest.approx(averages)
    # The last step of an epoch has fewer samples, but moves the model all the same.
    more = moved(softmax, "lp-sgd", "int8", (0, 0), batch_size=7)
    assert more == samples * 8 * d + 18 * n * 16


def test_every_contender_runs_and_names_itself_once():
    listed = list(harness.cases())
    assert len({(case.problem.name, case.contender) for case in listed}) == len(listed)
    known = {*simulate.ALGORITHMS, *rivals.ALGORITHMS}
    assert {case.algorithm for case in listed} <= known
    assert {case.number_format for case in listed} == {harness.FULL, *harness.MODELS} - {"e2m1"}
    assert {case.contender for case in harness.cases(smoke=True)} <= {c.contender for c in listed}


def test_a_fixed_scale_reaches_as_far_in_every_format():
    for field in harness.FIELDS:
        for number_format in ("int8", "e4m3", "e5m2"):
            case = field.case("lp-sgd", number_format)
            model = harness.MODELS[number_format]
            assert case.delta * model.highest == pytest.approx(field.reach)
        for algorithm, number_format in (
            ("halp", "int8"),
            ("lp-sgd", "nvfp4"),
            ("svrg", "float32"),
        ):
            assert field.case(algorithm, number_format).delta == 0
    assert FixedPoint(8) == harness.MODELS["int8"]


def test_bit_centering_needs_variance_reduction():
    """On Figure 1's problem steps of the same format stall without it."""
    field = harness.FIELDS[0]
    ends = {}
    for algorithm in ("halp", "bc-sgd"):
        (series,), facts = harness.measure(Problems(), field.case(algorithm, "int8", 12))
        ends[algorithm] = series.facts["grad_norm"][-1]
        assert len(series.facts["bits"]) == len(series.facts["grad_norm"]) == 13
    assert facts["n_samples"] == 1000
    assert ends["halp"] < 0.1 * ends["bc-sgd"]


def test_the_picture_and_its_numbers_have_every_contender(tmp_path):
    pytest.importorskip("matplotlib")
    from halpbench.report import paper

    todo = experiments.experiments("rivals", "smoke")
    store = Store(tmp_path, "machine")
    records = experiments.run(todo, store, "f")
    paths = paper.draw("rivals", records, tmp_path / "figures")
    assert sorted(path.name for path in paths) == [
        f"rivals-figure-1.{ending}" for ending in ("csv", "png", "svg", "txt")
    ]
    svg = (tmp_path / "figures/rivals-figure-1.svg").read_text()
    for text in ("SVRG", "SAGA", "ADAM-8BIT", "SWALP", "HALP", "nvfp4", "bits moved", "epoch"):
        assert f">{text}</text>" in svg
    with open(tmp_path / "figures/rivals-figure-1.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for task in todo:
        case = task.case
        mine = [
            float(row["bits"])
            for row in rows
            if (row["algorithm"], row["number_format"]) == (case.algorithm, case.number_format)
        ]
        assert len(mine) == case.epochs + 1
        assert mine == sorted(set(mine))
        # The table of SAGA is made before the first step.
        assert (mine[0] == 0) == (case.algorithm != "saga")
    events = []
    experiments.run(todo, store, "f", on_event=events.append)
    assert {event.what for event in events} == {"reused"}


def test_a_contender_that_diverges_leaves_the_picture(tmp_path):
    pytest.importorskip("matplotlib")
    from halpbench.report import paper

    field = harness.FIELDS[0]
    good = field.case("halp", "int8", 2)
    bad = replace(field.case("svrg", "float32", 200), step_size=10.0)
    todo = [cases.Planned(case, cases.Plan()) for case in (good, bad)]
    store = Store(tmp_path, "machine")
    experiments.run(todo, store, "f")
    records = store.records()  # from the file, which has no infinity
    (series,) = records[1].series
    assert series.facts["loss"][-1] is None
    assert len(series.facts["bits"]) == len(series.facts["loss"]) < 201
    assert len(paper.draw("rivals", records, tmp_path / "figures")) == 4


def test_classification_has_a_test_error_and_two_more_rows_of_panels(tmp_path):
    pytest.importorskip("mlxtend")
    pytest.importorskip("matplotlib")
    from halpbench.report import paper

    case = harness.FIELDS[1].case("halp", "int8", 2)
    records = experiments.run([cases.Planned(case, cases.Plan())], Store(tmp_path, "m"), "f")
    errors = records[0].series[0].facts["test_error"]
    assert len(errors) == 3
    # One class out of ten is right at the start, where all are alike.
    assert 0.85 < errors[0] < 0.95
    assert errors[-1] < 0.2
    paper.draw("rivals", records, tmp_path)
    svg = (tmp_path / "rivals-mnist-5k.svg").read_text()
    assert svg.count(">gradient norm</text>") == svg.count(">test error</text>") == 2
