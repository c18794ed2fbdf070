"""HALP in integers on a perceptron: its steps, its runs, its errors, and its command."""

import copy
import functools
import itertools
import json

import numpy as np
import pytest

from halpbench import cli, datasets, kernels

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from halpbench.deep import HALP  # noqa: E402
from halpbench.deep.integer import IntegerHALP  # noqa: E402

FEATURES, HIDDEN, CLASSES, SAMPLES = 20, 16, 3, 256


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """More of them only slow these small models down."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def problem():
    """A network, and samples that int8 holds exactly, of classes that a network can tell."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))
    inputs = torch.randint(-127, 128, (SAMPLES, FEATURES)) / 64
    inputs[0, 0] = 127 / 64
    targets = (inputs @ torch.randn(FEATURES, CLASSES)).abs().argmax(1)
    return model, inputs, targets


def gradients(model, inputs, targets):
    """Those of the mean loss by the two weights and the two biases."""
    loss = functional.cross_entropy(model(inputs), targets)
    w_1, b_1, w_2, b_2 = torch.autograd.grad(loss, list(model.parameters()))
    return {"weights": (w_1, w_2), "biases": (b_1, b_2)}


def loss_of(model, inputs, targets):
    with torch.no_grad():
        return float(functional.cross_entropy(model(inputs), targets))


def layers(halp):
    return halp._hidden, halp._output


# ---- A step --------------------------------------------------------------------------------------


def mean_step(halp, starts, batch, draws):
    """The mean over the rounding of where a step from `starts` leads, by weights and biases."""
    sums = {"weights": [0.0, 0.0], "biases": [0.0, 0.0]}
    for _ in range(draws):
        for layer, start in zip(layers(halp), starts, strict=True):
            layer.units[:] = start
            layer.moved_bias = torch.zeros_like(layer.bias)
        with torch.no_grad():
            halp._step(batch)
        for i, (layer, start) in enumerate(zip(layers(halp), starts, strict=True)):
            moved = torch.from_numpy(layer.units.astype(float) - start)
            sums["weights"][i] += layer.scale * moved / draws
            sums["biases"][i] += layer.moved_bias / draws
    return sums


def test_the_mean_step_is_that_of_svrg_in_floats():
    """Far from the centre, where all four products count: against gradients by autograd.

    The part of the full gradient is taken off; the rest is compared by its projection on what it
    should be. 600 rounded steps have a standard error below one per cent of that, and the output
    layer's weights at the centre, rounded once an epoch, make as much again.
    """
    model, inputs, targets = problem()
    halp = IntegerHALP(model, inputs, targets, lr=0.5, mu=0.5, batch_size=16, seed=1)
    batch, random = torch.arange(16), np.random.default_rng(2)
    with torch.no_grad():
        halp._full_gradient()
    full = gradients(model, inputs, targets)
    there = gradients(model, inputs[batch], targets[batch])
    starts = [random.integers(-60, 61, layer.units.shape).astype(np.int8) for layer in layers(halp)]
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for linear, start, layer in zip((moved[0], moved[2]), starts, layers(halp), strict=True):
            linear.weight += layer.scale * torch.from_numpy(start)
    here = gradients(moved, inputs[batch], targets[batch])
    steps = mean_step(halp, starts, batch, draws=600)
    for kind, i in itertools.product(("weights", "biases"), (0, 1)):
        got = steps[kind][i] / -halp.lr - full[kind][i]
        expected = here[kind][i] - there[kind][i]
        assert expected.norm() > 0.2 * full[kind][i].norm()  # not lost in it
        projection = float((got * expected).sum() / (expected**2).sum())
        assert projection == pytest.approx(1.0, abs=0.03), (kind, i)
        assert (got - expected).norm() < 0.1 * expected.norm(), (kind, i)


def test_the_full_gradient_is_that_of_autograd():
    model, inputs, targets = problem()
    halp = IntegerHALP(model, inputs, targets, lr=0.5, mu=2.0)
    expected = gradients(model, inputs, targets)
    with torch.no_grad():
        loss = halp._full_gradient()
    assert loss == pytest.approx(loss_of(model, inputs, targets), rel=1e-5)
    for layer, weight, bias in zip(
        layers(halp), expected["weights"], expected["biases"], strict=True
    ):
        torch.testing.assert_close(layer.bias_gradient, bias, rtol=1e-4, atol=1e-6)
        assert layer.scale == pytest.approx(float(weight.norm()) / (2.0 * 127), rel=1e-4)
        # An update without samples' share is the full gradient alone.
        steps = np.zeros((2000, *weight.shape))
        for step in steps:
            units, rows = np.zeros(weight.shape, np.int8), np.zeros((1, weight.shape[1]), np.int8)
            kernels.update(units, rows, np.zeros((1, len(weight))), layer.full, layer.rng)
            step[:] = units
        mean = torch.from_numpy(steps.mean(axis=0)) * (layer.scale / -halp.lr)
        assert (mean - weight).norm() < 0.1 * weight.norm()


# ---- Runs ----------------------------------------------------------------------------------------


def simulated(model, inputs, targets, **settings):
    """An epoch of the optimizer that simulates low precision in floats."""
    optimizer = HALP(model.parameters(), epoch_length=-(-len(inputs) // 16), **settings)

    def closure(samples):
        loss = functional.cross_entropy(model(inputs[samples]), targets[samples])
        loss.backward()
        return loss

    def epoch():
        optimizer.full_gradient(closure, torch.arange(len(inputs)).split(64), batch_size=len)
        for samples in torch.randperm(len(inputs)).split(16):
            optimizer.step(functools.partial(closure, samples))

    return epoch


def test_runs_follow_the_simulation_in_floats():
    """Epoch by epoch the same loss, but for the order of samples and the rounding."""
    losses = []
    for kind in ("integers", "floats"):
        model, inputs, targets = problem()
        if kind == "integers":
            halp = IntegerHALP(model, inputs, targets, lr=0.3, mu=0.5, batch_size=16, seed=1)
            epoch = halp.epoch
        else:
            torch.manual_seed(101)
            epoch = simulated(model, inputs, targets, lr=0.3, mu=0.5)
        path = []
        for _ in range(12):
            epoch()
            path.append(loss_of(model, inputs, targets))
        losses.append(np.array(path))
    assert losses[0][-1] < 0.4 * loss_of(*problem())
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.1)


def trained(seed):
    model, inputs, targets = problem()
    halp = IntegerHALP(model, inputs, targets, lr=0.3, mu=0.5, batch_size=24, seed=seed)
    halp.epoch()
    halp.epoch()
    return model, halp


def test_a_run_has_the_same_bits_on_every_backend():
    expected, halp = trained(seed=3)
    for name in kernels.backends():
        with kernels.use(name):
            model, _ = trained(seed=3)
        for p, q in zip(model.parameters(), expected.parameters(), strict=True):
            assert torch.equal(p, q), name
    assert (trained(seed=4)[0][0].weight != expected[0].weight).any()
    units = np.concatenate([layer.units.ravel() for layer in layers(halp)])
    assert units.any()
    assert halp.saturated == np.count_nonzero(np.abs(units) == 127)


def test_the_model_is_the_centre_plus_the_integers():
    model, halp = trained(seed=3)
    before = [p.detach().clone() for p in model.parameters()]
    halp.epoch()
    for i, layer in enumerate(layers(halp)):
        weight = before[2 * i] + layer.scale * torch.from_numpy(layer.units)
        torch.testing.assert_close(list(model.parameters())[2 * i].detach(), weight)
        assert np.unique(layer.units).size > 10


def test_a_small_mu_gives_few_units_and_a_large_one_saturates():
    saturated = []
    for mu in (0.1, 50.0):
        model, inputs, targets = problem()
        halp = IntegerHALP(model, inputs, targets, lr=0.3, mu=mu, batch_size=16)
        halp.epoch()
        saturated.append(halp.saturated)
    assert saturated[0] == 0 < saturated[1]


# ---- Wrong use -----------------------------------------------------------------------------------


def test_a_full_gradient_that_is_not_finite_changes_nothing():
    model, inputs, targets = problem()
    halp = IntegerHALP(model, inputs, targets, lr=0.3)
    with torch.no_grad():
        model[2].weight[0, 0] = float("inf")
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(FloatingPointError, match="full gradient is infinite or not a number"):
        halp.epoch()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def deeper(model):
    return nn.Sequential(*model, nn.ReLU(), nn.Linear(CLASSES, CLASSES))


def without_bias(model):
    return nn.Sequential(nn.Linear(FEATURES, 4, bias=False), nn.ReLU(), nn.Linear(4, CLASSES))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": deeper}, ValueError, "expected Linear, ReLU, Linear with biases, got"),
        ({"model": without_bias}, ValueError, "expected Linear, ReLU, Linear with biases, got"),
        ({"model": lambda m: m.double()}, TypeError, "float32 on the CPU, got torch.float64"),
        ({"inputs": lambda x: x.double()}, TypeError, "float32 on the CPU, got torch.float64"),
        ({"inputs": lambda x: x[:, 1:]}, ValueError, r"do not fit the network: got \(\(256, 19\)"),
        ({"inputs": lambda x: x * float("nan")}, ValueError, "finite"),
        ({"targets": lambda y: y[1:]}, ValueError, "do not fit the network"),
        ({"targets": lambda y: y.int()}, TypeError, "targets must be int64, got torch.int32"),
        ({"targets": lambda y: y + 1}, ValueError, "targets must be from 0 to 2"),
        ({"lr": 0.0}, ValueError, "lr must be"),
        ({"mu": float("inf")}, ValueError, "mu must be"),
        ({"batch_size": 65}, ValueError, "batch_size must be from 1 to 64, got 65"),
        ({"batch_size": 8.0}, TypeError, "batch_size must be an integer"),
        ({"seed": -1}, ValueError, "seed"),
    ],
)
def test_bad_arguments_are_refused(change, error, message):
    given = dict(zip(("model", "inputs", "targets"), problem(), strict=True)) | {"lr": 0.1}
    for name, value in change.items():
        given[name] = value(given[name]) if callable(value) else value
    with pytest.raises(error, match=message):
        IntegerHALP(given.pop("model"), given.pop("inputs"), given.pop("targets"), **given)


# ---- The command ---------------------------------------------------------------------------------


def test_the_command_prints_an_epoch_of_each(capsys):
    try:
        datasets.load("fashion-mnist")
    except datasets.DatasetNotFoundError as missing:
        pytest.skip(str(missing))
    arguments = ["deep-integer", "--epochs", "1", "--samples", "640"]
    assert cli.main([*arguments, "--json"]) == 0
    epochs = json.loads(capsys.readouterr().out)
    assert [epoch["contender"] for epoch in epochs] == [
        "HALP, int8",
        "SVRG, float32",
        "SGD, float32",
    ]
    for epoch in epochs:
        assert epoch["seconds"] > 0
        assert epoch["accuracy"] > 0.4  # of ten classes, after ten steps
    assert epochs[0]["loss"] == pytest.approx(epochs[1]["loss"], rel=0.2)
    assert cli.main(arguments) == 0
    assert "test accuracy" in capsys.readouterr().out
