"""The PyTorch optimizers: against the NumPy reference, and as optimizers."""

import copy
import functools
import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halpbench import LeastSquares, SoftmaxRegression, simulate

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from halpbench.deep import HALP, LPSGD, LPSVRG, SVRG  # noqa: E402
from halpbench.deep.rounding import add_rounded_, random_offsets  # noqa: E402

VARIANCE_REDUCED = (SVRG, LPSVRG, HALP)
ROUNDED = (LPSGD, LPSVRG, HALP)
EVERY = (SVRG, *ROUNDED)
EPOCH_LENGTH = 40


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """More of them only slow these small models down."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# ---- The reference in NumPy ----------------------------------------------------------------------


def least_squares():
    random = np.random.default_rng(0)
    X = random.standard_normal((60, 7))
    y = X @ random.standard_normal(7) + 0.1 * random.standard_normal(60)
    return LeastSquares(X, y, l2=0.05)


def softmax():
    random = np.random.default_rng(1)
    return SoftmaxRegression(random.standard_normal((60, 5)), np.arange(60) % 3, l2=0.1)


def as_module(problem):
    """A model of the problem, and a closure that takes the numbers of samples."""
    X, y = torch.tensor(problem.X), torch.tensor(problem.y)
    classes = 1 if y.is_floating_point() else problem.weight_shape[0]
    model = nn.Linear(X.shape[1], classes, bias=False, dtype=torch.float64)
    nn.init.zeros_(model.weight)

    def closure(samples):
        margins = model(X[samples])
        if y.is_floating_point():
            loss = nn.functional.mse_loss(margins[:, 0], y[samples]) / 2
        else:
            loss = nn.functional.cross_entropy(margins, y[samples].long())
        loss.backward()
        return loss

    return model, closure


def path(problem, algorithm, cls, *, epochs, seed=3, **arguments):
    """Every iterate, with the samples of `simulate.solve`; the optimizer that made them."""
    model, closure = as_module(problem)
    arguments |= {} if issubclass(cls, LPSGD) else {"epoch_length": EPOCH_LENGTH}
    optimizer = cls(
        model.parameters(),
        lr=problem.default_step_size(),
        weight_decay=problem.l2,
        **arguments,
    )
    samples = np.random.default_rng(seed)
    # Batches of different sizes: each must count by its size.
    everything = torch.arange(problem.n_samples).split(7)
    iterates = []
    for _ in range(epochs):
        chosen = torch.from_numpy(samples.integers(problem.n_samples, size=EPOCH_LENGTH))
        if optimizer.needs_full_gradient:
            optimizer.full_gradient(closure, everything)
        iterates.append(model.weight.detach().numpy().copy())
        for sample in chosen.split(1):
            optimizer.step(functools.partial(closure, sample))
            iterates.append(model.weight.detach().numpy().copy())
    return np.array(iterates), optimizer


class FedHALP(HALP):
    """Rounds with the random numbers of NumPy."""

    random = None

    def _offsets(self, count):
        return torch.from_numpy(self.random.random(count) - 0.5)


class FedLPSGD(LPSGD):
    random = None
    _offsets = FedHALP._offsets


class FedLPSVRG(LPSVRG):
    random = None
    _offsets = FedHALP._offsets


FED = {"lp-sgd": FedLPSGD, "lp-svrg": FedLPSVRG, "halp": FedHALP}


@pytest.mark.filterwarnings("ignore::halpbench.fixedpoint.SaturationWarning")  # of two bits
@pytest.mark.parametrize("rounding", ["stochastic", "nearest"])
@pytest.mark.parametrize("bits", [2, 8, 24])
@pytest.mark.parametrize("algorithm", ["lp-sgd", "lp-svrg", "halp"])
@pytest.mark.parametrize("problem", [least_squares(), softmax()], ids=["linear", "logistic"])
def test_iterates_are_those_of_the_reference(problem, algorithm, bits, rounding, monkeypatch):
    cls = FED[algorithm]
    monkeypatch.setattr(cls, "random", np.random.default_rng([3, 1]))
    special = {"mu": 0.3} if algorithm == "halp" else {"delta": 1.5 / (2 ** (bits - 1) - 1)}
    iterates, optimizer = path(
        problem, algorithm, cls, epochs=3, bits=bits, rounding=rounding, **special
    )
    model = simulate.FixedPoint(
        bits, rounding={"stochastic": "unbiased", "nearest": "biased"}[rounding]
    )
    expected = simulate.solve(
        problem,
        algorithm,
        model,
        epoch_length=EPOCH_LENGTH,
        epochs=3,
        seed=3,
        keep_path=True,
        **special,
    )
    np.testing.assert_allclose(
        iterates, np.concatenate(expected.path).reshape(iterates.shape), rtol=0, atol=1e-13
    )
    assert optimizer.saturated == expected.history["saturated"].iloc[-1]


@pytest.mark.parametrize("problem", [least_squares(), softmax()], ids=["linear", "logistic"])
def test_svrg_is_that_of_the_reference(problem):
    iterates, _ = path(problem, "svrg", SVRG, epochs=4)
    expected = simulate.solve(
        problem, "svrg", epoch_length=EPOCH_LENGTH, epochs=4, seed=3, keep_path=True
    )
    np.testing.assert_allclose(
        iterates, np.concatenate(expected.path).reshape(iterates.shape), rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("problem", [least_squares(), softmax()], ids=["linear", "logistic"])
def test_halp_at_24_bits_follows_svrg(problem):
    full, _ = path(problem, "svrg", SVRG, epochs=4)
    rounded, _ = path(problem, "halp", HALP, epochs=4, bits=24, mu=0.1)
    coarse, _ = path(problem, "halp", HALP, epochs=4, bits=4, mu=0.1)
    assert np.abs(rounded - full).max() < 1e-4 * np.abs(full).max()
    assert np.abs(coarse - full).max() > 1e-2 * np.abs(full).max()


def test_halp_converges_linearly_below_the_floor_of_lp_svrg():
    problem = least_squares()

    def gradient_norms(iterates):
        centers = iterates[:: EPOCH_LENGTH + 1].reshape(-1, *problem.weight_shape)
        return np.array([np.linalg.norm(problem.loss_and_gradient(w)[1]) for w in centers])

    floor, _ = path(problem, "lp-svrg", LPSVRG, epochs=20, bits=8, delta=3 / 127)
    iterates, _ = path(problem, "halp", HALP, epochs=20, bits=8, mu=0.3)
    norms = gradient_norms(iterates)
    assert (norms <= norms[0] * 0.6 ** np.arange(20)).all()
    assert norms[-1] < 1e-3 * gradient_norms(floor).min()


# ---- Rounding ------------------------------------------------------------------------------------


def test_random_offsets_are_uniform():
    n = 1_000_003
    u = random_offsets(n, torch.Generator().manual_seed(0)).double() / 2**16
    assert u.shape == (n,)
    assert -0.5 < u.min() < 1e-4 - 0.5 < 0.5 - 1e-4 < u.max() < 0.5
    assert u.abs().min() == 2**-16  # never a half after an integer was added, and symmetric
    # Six standard errors of the mean and of the share of each of 64 equal intervals.
    assert abs(float(u.mean())) < 6 * (1 / 12) ** 0.5 / 1000
    shares = torch.bincount((64 * (u + 0.5)).long(), minlength=64) / len(u)
    assert (shares - 1 / 64).abs().max() < 6 * (1 / 64 / len(u)) ** 0.5
    # Nor do neighbours, which may come from one word, depend on each other.
    for lag in (1, 2, 3, 4):
        assert abs(float(torch.corrcoef(torch.stack([u[lag:], u[:-lag]]))[0, 1])) < 6 / 1000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("start", [0, -100, 2**22])
@pytest.mark.parametrize("step", [-20.75, -0.3, 0.01, 0.5, 63.9])
def test_stochastic_rounding_is_unbiased(step, start, dtype):
    """A bias of 2**-8 of a unit is five standard errors or more, and is found.

    Also where a float of the size of the integer has no room for the fraction of a step.
    """
    n = 2**19
    units, steps = (torch.full((n,), float(x), dtype=dtype) for x in (start, step))
    add_rounded_([units], [steps], 24, random_offsets(n, torch.Generator().manual_seed(1)))
    units -= start
    assert set(units.tolist()) == {np.floor(step), np.ceil(step)}
    assert 0.5 / n**0.5 < 2**-8 / 5
    assert abs(float(units.double().mean()) - float(torch.tensor(step, dtype=dtype))) < 2**-8


@pytest.mark.parametrize("bits", [2, 8, 16, 24])
def test_whole_steps_are_kept_and_the_rest_saturates(bits):
    highest = 2 ** (bits - 1) - 1
    k = torch.linspace(-highest, highest, 200_001).round()
    for offsets in (None, random_offsets(len(k), torch.Generator().manual_seed(2))):
        units = [k.clone(), torch.tensor([])]
        add_rounded_(units, [torch.zeros_like(x) for x in units], bits, offsets)
        assert torch.equal(units[0], k)
        # From 2**7 on a float32 has no room for all of the 16 bits of an offset.
        steps = k.clamp(-(2**6), 2**6)
        units = [torch.zeros_like(k)]
        add_rounded_(units, [steps.clone()], bits, offsets)
        assert torch.equal(units[0], steps)
    units = [torch.zeros(2)]
    add_rounded_(units, [torch.tensor([2.0**30, -(2.0**30)])], bits, None)
    assert units[0].tolist() == [highest, -highest]


def test_nearest_rounding_takes_halves_up():
    units = [torch.zeros(3), torch.ones(2, 2)]
    steps = [torch.tensor([-1.5, -0.6, -0.5]), torch.tensor([[0.49, 0.5], [1.2, 0.0]])]
    add_rounded_(units, steps, 8, None)
    assert units[0].tolist() == [-1, -1, 0]
    assert units[1].tolist() == [[1, 2], [2, 1]]


# ---- As optimizers of any module -----------------------------------------------------------------


def network(dtype=torch.float32):
    """A small network with batch norm and dropout, its closure, and six batches."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3)
    ).to(dtype)
    X, y = torch.randn(48, 5, dtype=dtype), torch.arange(48) % 3

    def closure(batch):
        inputs, targets = batch
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        return loss

    return model, closure, list(zip(X.split(8), y.split(8), strict=True))


def make(cls, model, **changes):
    """An optimizer of a class, with what it needs besides a step size."""
    needed = {} if cls is LPSGD else {"epoch_length": 4, "buffers": model.buffers()}
    return cls(model.parameters(), **({"lr": 0.1} | needed | changes))


def train(optimizer, closure, batches, schedule=None):
    """The loop of the documentation; the batches are the training set, too."""
    for batch in batches:
        if optimizer.needs_full_gradient:
            optimizer.full_gradient(closure, batches)
        optimizer.step(functools.partial(closure, batch))
        if schedule:
            schedule.step()


def values(model):
    """A copy of everything that the module holds."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_equal(left, right):
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("cls", [LPSGD, LPSVRG])
@pytest.mark.parametrize("delta", [None, 0.02])
def test_parameters_are_on_a_fixed_grid(cls, delta):
    model, closure, batches = network(torch.float64)
    ranges = [2 * float(p.detach().abs().max()) or 1.0 for p in model.parameters()]
    optimizer = make(cls, model, bits=6, delta=delta)
    train(optimizer, closure, batches)
    for p, largest in zip(model.parameters(), ranges, strict=True):
        scale = delta or largest / 31
        assert optimizer.state[p]["scale"] == pytest.approx(scale)
        units = p.detach() / optimizer.state[p]["scale"]
        assert (units - units.round()).abs().max() < 1e-12
        assert units.abs().max() < 31 + 1e-12
        assert len(units.round().unique()) > 1


def test_halp_moves_on_a_grid_that_the_full_gradient_sets():
    model, closure, batches = network()
    optimizer = make(HALP, model, bits=5, mu=0.7, weight_decay=0.3)
    train(optimizer, closure, batches[:3])
    for p in model.parameters():
        state = optimizer.state[p]
        gradient = (state["full_gradient"] + 0.3 * state["center"]).double()
        assert state["scale"] == pytest.approx(float(gradient.norm()) / (0.7 * 15), rel=1e-5)
        assert torch.equal(state["units"], state["units"].round())
        assert 0 < state["units"].abs().max() <= 15
        expected = torch.add(state["center"], state["units"], alpha=state["scale"])
        assert torch.equal(p, expected)
    units = torch.cat([optimizer.state[p]["units"].flatten() for p in model.parameters()])
    assert optimizer.saturated == torch.count_nonzero(units.abs() == 15)


@pytest.mark.parametrize("cls", VARIANCE_REDUCED)
def test_the_direction_is_the_variance_reduced_gradient(cls):
    """Against gradients that torch computes without any ``backward()`` or ``.grad``."""
    model, closure, batches = network(torch.float64)
    model.eval()
    names = [name for name, _ in model.named_parameters()]

    def gradient(parameters, batch):
        def loss(parameters):
            named = dict(zip(names, parameters, strict=True))
            output = torch.func.functional_call(model, named, (batch[0],))
            return nn.functional.cross_entropy(output, batch[1])

        return torch.func.grad(loss)([p.detach().clone() for p in parameters])

    optimizer = make(cls, model)
    train(optimizer, closure, batches[:3])  # the centre is the start, the data these batches
    center = [optimizer.state[p]["center"] for p in model.parameters()]
    here = gradient(list(model.parameters()), batches[3])
    there = gradient(center, batches[3])
    full = zip(*(gradient(center, batch) for batch in batches[:3]), strict=True)
    optimizer.step(functools.partial(closure, batches[3]))
    for p, a, b, c in zip(model.parameters(), here, there, full, strict=True):
        assert (a - b).abs().max() > 1e-6
        expected = a - b + torch.stack(c).mean(0)
        torch.testing.assert_close(p.grad, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cls", VARIANCE_REDUCED)
def test_both_evaluations_of_a_step_see_the_same_dropout(cls):
    """In the first step of an epoch both are at the centre, and cancel to the last bit."""
    model, closure, batches = network()
    optimizer = make(cls, model)
    optimizer.full_gradient(closure, batches)
    optimizer.step(functools.partial(closure, batches[0]))
    for p in model.parameters():
        assert torch.equal(p.grad, optimizer.state[p]["full_gradient"])
    # Masks of other steps are others.
    assert closure(batches[0]) != closure(batches[0])


@pytest.mark.parametrize("cls", VARIANCE_REDUCED)
def test_batch_statistics_are_those_of_ordinary_training(cls):
    model, closure, batches = network()
    optimizer = make(cls, model)
    shadow = copy.deepcopy(model)
    for batch in batches:
        if optimizer.needs_full_gradient:
            before = values(model)
            optimizer.full_gradient(closure, batches)
            if cls is not LPSVRG or batch is not batches[0]:  # it rounds to its grid
                assert_equal(before, values(model))
        # One forward pass at the parameters before the step.
        with torch.no_grad():
            for there, here in zip(shadow.parameters(), model.parameters(), strict=True):
                there.copy_(here)
            shadow(batch[0])
        optimizer.step(functools.partial(closure, batch))
        assert_equal(dict(shadow.named_buffers()), dict(model.named_buffers()))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_svrg_on_one_batch_is_sgd(momentum):
    """With momentum and weight decay as torch.optim.SGD has them."""
    model, closure, batches = network(torch.float64)
    model[3].p = 0.0
    other = copy.deepcopy(model)
    arguments = {"lr": 0.1, "momentum": momentum, "weight_decay": 0.02}
    optimizer = SVRG(model.parameters(), epoch_length=3, **arguments)
    expected = torch.optim.SGD(other.parameters(), **arguments)
    for _ in range(8):
        if optimizer.needs_full_gradient:
            optimizer.full_gradient(closure, batches[:1])
        optimizer.step(functools.partial(closure, batches[0]))
        expected.zero_grad()
        nn.functional.cross_entropy(other(batches[0][0]), batches[0][1]).backward()
        expected.step()
        for p, q in zip(model.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cls", ROUNDED)
def test_momentum_and_weight_decay_are_rounded_away_at_few_bits_only(cls):
    """At 24 bits the low-precision optimizers follow those in full precision."""
    arguments = {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.02}
    results = []
    for special in ({"bits": 24}, None):
        model, closure, batches = network(torch.float64)
        model[3].p = 0.0
        if special:
            optimizer = make(cls, model, **arguments, **special)
        elif cls is LPSGD:
            optimizer = torch.optim.SGD(model.parameters(), **arguments)
        else:
            optimizer = make(SVRG, model, **arguments)
        for batch in batches:
            optimizer.zero_grad()
            if getattr(optimizer, "needs_full_gradient", False):
                optimizer.full_gradient(closure, batches)
            optimizer.step(functools.partial(closure, batch))
        results.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert (results[0] - results[1]).abs().max() < 1e-4


def test_the_full_gradient_is_that_of_all_samples():
    model, closure, _ = network(torch.float64)
    model.eval()
    X, y = torch.randn(50, 5, dtype=torch.float64), torch.arange(50) % 3
    sets = torch.utils.data.TensorDataset(X, y)
    loader = torch.utils.data.DataLoader(sets, batch_size=16)  # 16, 16, 16, 2
    expected = nn.functional.cross_entropy(model(X), y)
    gradients = torch.autograd.grad(expected, list(model.parameters()))
    optimizer = make(SVRG, model)

    def named(batch):
        return closure((batch["data"][0], batch["data"][1]))

    def columns(batch):
        return closure((batch[0].T, batch[1]))

    ways = [
        (closure, loader, None),
        (named, [{"data": batch} for batch in loader], None),
        (columns, [(inputs.T, targets) for inputs, targets in loader], lambda batch: len(batch[1])),
    ]
    for way in ways:
        assert optimizer.full_gradient(*way) == pytest.approx(expected.item())
        for p, g in zip(model.parameters(), gradients, strict=True):
            computed = optimizer.state[p]["full_gradient"]
            torch.testing.assert_close(computed, g, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cls", EVERY)
def test_frozen_and_unused_parameters_stay(cls):
    model, closure, batches = network()
    model.append(nn.Linear(3, 3).requires_grad_(False))
    start = torch.tensor([0.3, -0.7])
    unused = nn.Parameter(start.clone())
    groups = [{"params": model.parameters()}, {"params": [unused]}]
    arguments = {} if cls is LPSGD else {"epoch_length": 4}
    optimizer = cls(groups, lr=0.1, weight_decay=0.5, momentum=0.9, **arguments)
    frozen = model[5].weight.clone()
    train(optimizer, closure, batches)
    assert torch.equal(model[5].weight, frozen)
    on_grid = cls in (LPSGD, LPSVRG)  # a grid of 127 steps to twice its largest entry
    assert (unused - start).abs().max() <= (0.701 / 127 if on_grid else 0)

    # Now the other way round: frozen in the middle of an epoch, and unfrozen.
    model[4].requires_grad_(False)
    frozen = model[4].weight.clone()
    optimizer.step(functools.partial(closure, batches[0]))
    assert torch.equal(model[4].weight, frozen)
    model[5].requires_grad_(True)
    before = values(model)
    if cls is not LPSGD:
        with pytest.raises(RuntimeError, match="after unfreezing"):
            optimizer.step(functools.partial(closure, batches[0]))
        assert_equal(before | dict(model.named_buffers()), values(model))
        optimizer.full_gradient(closure, batches)
    optimizer.step(functools.partial(closure, batches[0]))
    assert (model[5].weight != before["5.weight"]).any()


def test_a_parameter_that_some_batches_do_not_use_still_moves():
    """As in a mixture of experts: a missing gradient is zero, and the full gradient is not."""
    weights = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizer = SVRG(weights, lr=0.5, epoch_length=5)

    def closure(batch):
        loss = (weights[int(batch)] ** 2).sum() / 2
        loss.backward()
        return loss

    batches = torch.tensor([[0.0], [1.0]])
    optimizer.full_gradient(closure, batches)
    optimizer.step(functools.partial(closure, batches[0]))
    for weight in weights:
        assert weight.tolist() == [0.75, 0.75]


@pytest.mark.parametrize("cls", EVERY)
def test_schedulers_set_the_step_size(cls):
    """A schedule that ends at zero stops everything but the random numbers."""
    model, closure, batches = network()
    optimizer = make(cls, model, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=6)
    start = values(model)
    train(optimizer, closure, batches, schedule)
    middle = {name: p.clone() for name, p in model.named_parameters()}
    assert any((middle[name] != start[name]).any() for name in middle)
    assert optimizer.param_groups[0]["lr"] == 0
    train(optimizer, closure, batches, schedule)
    if cls is HALP:
        # A new centre is the sum of the old one and the units: rounded, but where it was.
        torch.testing.assert_close(dict(model.named_parameters()), middle, rtol=0, atol=1e-6)
    else:
        assert_equal(dict(model.named_parameters()), middle)


def test_parameter_groups_have_settings_of_their_own():
    model, closure, batches = network()
    groups = [
        {"params": model[0].parameters(), "bits": 3, "lr": 0.3},
        {"params": model[1].parameters(), "lr": 0.0},
        {"params": model[4].parameters(), "bits": 24, "rounding": "nearest"},
    ]
    optimizer = HALP(groups, lr=0.1, epoch_length=6, mu=0.5)
    before = values(model)
    train(optimizer, closure, batches)
    units = [optimizer.state[p]["units"].abs().max() for p in model.parameters()]
    assert 1 <= units[0] <= 3
    assert units[2] == units[3] == 0
    assert units[4] > 1000
    assert torch.equal(before["1.weight"], model[1].weight)

    extra = nn.Parameter(torch.zeros(3))
    optimizer.full_gradient(closure, batches)
    optimizer.add_param_group({"params": [extra], "mu": 2.0})
    assert optimizer.needs_full_gradient
    with pytest.raises(ValueError, match="mu must be"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(3))], "mu": 0.0})
    assert [group["mu"] for group in optimizer.param_groups] == [0.5, 0.5, 0.5, 2.0]


@pytest.mark.parametrize("cls", EVERY)
@settings(max_examples=10)
@given(stop=st.integers(0, 12), momentum=st.sampled_from([0.0, 0.9]))
def test_a_run_resumes_bit_for_bit(cls, stop, momentum):
    def start():
        model, closure, batches = network()
        optimizer = make(cls, model, momentum=momentum)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        return model, closure, batches * 2, optimizer, schedule

    def run(closure, todo, everything, optimizer, schedule):
        for batch in todo:
            if optimizer.needs_full_gradient:
                optimizer.full_gradient(closure, everything)
            optimizer.step(functools.partial(closure, batch))
            schedule.step()

    model, closure, batches, optimizer, schedule = start()
    run(closure, batches[:stop], batches, optimizer, schedule)
    file = io.BytesIO()
    parts = (model, optimizer, schedule)
    torch.save([[part.state_dict() for part in parts], torch.get_rng_state()], file)
    run(closure, batches[stop:], batches, optimizer, schedule)

    other, closure, batches, *rest = start()
    file.seek(0)
    states, random_state = torch.load(file)
    for part, state in zip((other, *rest), states, strict=True):
        part.load_state_dict(state)
    torch.set_rng_state(random_state)
    run(closure, batches[stop:], batches, *rest)
    assert_equal(values(model), values(other))


@pytest.mark.parametrize("cls", EVERY)
def test_copies_are_independent(cls):
    model, closure, batches = network()
    model[3].p = 0.0
    optimizer = make(cls, model)
    train(optimizer, closure, batches[:2])
    model_2, optimizer_2 = copy.deepcopy((model, optimizer))

    def closure_2(batch):
        loss = nn.functional.cross_entropy(model_2(batch[0]), batch[1])
        loss.backward()
        return loss

    between = values(model_2)
    train(optimizer, closure, batches)
    assert_equal(between, values(model_2))
    train(optimizer_2, closure_2, batches)
    assert_equal(values(model), values(model_2))


@pytest.mark.parametrize("cls", ROUNDED)
def test_random_numbers_come_from_the_generator(cls):
    results = []
    for seed in (1, 1, 2):
        model, closure, batches = network()
        optimizer = make(cls, model, generator=torch.Generator().manual_seed(seed))
        train(optimizer, closure, batches)
        results.append(values(model))
    assert_equal(results[0], results[1])
    assert (results[0]["0.weight"] != results[2]["0.weight"]).any()


def test_the_documented_example_trains(capsys):
    page = Path(__file__).parents[1] / "docs" / "deep.md"
    (example,) = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.S | re.M)
    exec(example, {})
    losses = [float(line.split()[1]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 10
    assert losses[-1] < losses[0] / 5


# ---- Faults of the loop around the optimizer -----------------------------------------------------


def test_a_loader_with_persistent_workers_is_refused():
    """The pass over it would end the loop over it: 9 steps of 16, without a word."""
    model, closure, batches = network()
    optimizer = make(SVRG, model)
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    sets = torch.utils.data.TensorDataset(inputs, targets)
    persistent = torch.utils.data.DataLoader(
        sets, batch_size=8, num_workers=1, persistent_workers=True
    )
    with pytest.raises(ValueError, match="a second loader without persistent workers"):
        optimizer.full_gradient(closure, persistent)
    assert optimizer.needs_full_gradient
    steps = 0
    for batch in (loader := torch.utils.data.DataLoader(sets, batch_size=8)):
        if optimizer.needs_full_gradient:
            optimizer.full_gradient(closure, loader)
        optimizer.step(functools.partial(closure, batch))
        steps += 1
    assert steps == 6


def test_a_generator_that_the_loop_runs_over_is_refused():
    model, closure, batches = network()
    optimizer = make(SVRG, model)
    optimizer.full_gradient(closure, (batch for batch in batches))
    stream = (batch for batch in batches)
    next(stream)
    with pytest.raises(ValueError, match="generator that has begun"):
        optimizer.full_gradient(closure, stream)
    assert len(list(stream)) == 5


@pytest.mark.parametrize("cls", VARIANCE_REDUCED)
def test_a_closure_that_draws_a_new_batch_at_each_call_is_noticed(cls):
    model, closure, batches = network()
    model[3].p = 0.0
    optimizer = make(cls, model)
    optimizer.full_gradient(closure, batches)
    stream = iter(batches)
    with pytest.warns(UserWarning, match="the losses .* at the same parameters"):
        optimizer.step(lambda: closure(next(stream)))
    optimizer.full_gradient(closure, batches)
    optimizer.step(functools.partial(closure, batches[0]))  # warnings are errors here


@pytest.mark.parametrize("result", [None, "loss", torch.zeros(2)], ids=["None", "text", "vector"])
def test_a_closure_without_a_loss_is_refused_where_the_loss_is_needed(result):
    model, closure, batches = network()
    before = values(model)

    def without(batch):
        closure(batch)
        return result

    optimizer = make(SVRG, model)
    with pytest.raises(TypeError, match="must return the loss, a number, got"):
        optimizer.full_gradient(without, batches)
    assert_equal(before | dict(model.named_buffers()), values(model))
    optimizer.full_gradient(closure, batches)
    assert optimizer.step(lambda: closure(batches[0]) and None) is None
    assert (model[0].weight != before["0.weight"]).any()


def test_summed_losses_are_a_sum_with_batches_that_count_once():
    """As the documentation says: the full gradient is then the mean of the batches' sums."""
    model, closure, batches = network(torch.float64)
    model.eval()
    batches = [*batches, tuple(part[:3] for part in batches[0])]  # a smaller one

    def summed(batch):
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="sum")
        loss.backward()
        return loss

    optimizer = make(SVRG, model)
    optimizer.full_gradient(closure, batches)
    mean = [optimizer.state[p]["full_gradient"].clone() for p in model.parameters()]
    optimizer.full_gradient(summed, batches, batch_size=lambda batch: 1)
    for p, g in zip(model.parameters(), mean, strict=True):
        torch.testing.assert_close(optimizer.state[p]["full_gradient"], g * 51 / 7)


@pytest.mark.parametrize("cls", EVERY)
def test_maximizing_is_minimizing_the_negative(cls):
    """Weight decay included, which is that of torch.optim.SGD."""
    results = []
    for sign in (1, -1):
        model, _, batches = network(torch.float64)

        def signed(batch, sign=sign, model=model):
            loss = sign * nn.functional.cross_entropy(model(batch[0]), batch[1])
            loss.backward()
            return loss

        optimizer = make(cls, model, maximize=sign < 0, momentum=0.5, weight_decay=0.1)
        train(optimizer, signed, batches)
        results.append(values(model))
        assert optimizer.param_groups[0]["maximize"] is (sign < 0)
    assert_equal(*results)
    with pytest.raises(TypeError, match="maximize must be a bool, got 1"):
        make(cls, model, maximize=1)


@pytest.mark.parametrize("cls", EVERY)
@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [
        ("foreach", (None, True), False),
        ("fused", (None, False), True),
        ("capturable", (False,), True),
        ("differentiable", (False,), True),
        ("dampening", (0, 0.0), 0.5),
        ("nesterov", (False,), True),
    ],
)
def test_settings_of_torch_are_what_is_done_anyway_or_refused(cls, name, accepted, refused):
    model, _, _ = network()
    for value in accepted:
        make(cls, model, **{name: value})
    message = f"{cls.__name__} does not have {name}={refused}"
    with pytest.raises(ValueError, match=message):
        make(cls, model, **{name: refused})
    optimizer = make(cls, model)
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))], name: refused})
    assert len(optimizer.param_groups) == 1
    with pytest.raises(TypeError, match=f"{cls.__name__} has no setting betas"):
        make(cls, model, betas=(0.9, 0.999))


@pytest.mark.parametrize("cls", EVERY)
def test_numbers_of_numpy_are_numbers(cls):
    """And plain ones in the state, as torch.load wants them."""
    results = []
    for real, integer in [(float, int), (np.float64, np.int64), (np.float32, np.int8)]:
        model, closure, batches = network()
        changes = {"lr": real(0.125), "momentum": real(0.5)}
        if cls is not SVRG:
            changes["bits"] = integer(6)
        if cls is not LPSGD:
            changes["epoch_length"] = integer(4)
        optimizer = make(cls, model, **changes)
        for batch in batches:
            if optimizer.needs_full_gradient:
                size = lambda batch, integer=integer: integer(len(batch[0]))  # noqa: E731
                optimizer.full_gradient(closure, batches, batch_size=size)
            optimizer.step(functools.partial(closure, batch))
        file = io.BytesIO()
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
        optimizer.load_state_dict(torch.load(file, weights_only=True))
        results.append(values(model))
    assert_equal(results[0], results[1])
    assert_equal(results[0], results[2])


# ---- States of others ----------------------------------------------------------------------------


def started(cls, **changes):
    """An optimizer in the middle of an epoch; its model."""
    model, closure, batches = network()
    if cls is torch.optim.SGD:
        optimizer = cls(model.parameters(), lr=0.1)
        closure(batches[0])
        optimizer.step()
    else:
        optimizer = make(cls, model, momentum=0.9, **changes)
        train(optimizer, closure, batches[:2])
    return optimizer, model


def plain(value):
    """A state without tensors, to be compared."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ours, theirs)
        for ours in EVERY
        for theirs in (*EVERY, torch.optim.SGD)
        if ours is not theirs
    ],
)
def test_states_of_other_optimizers_are_refused(ours, theirs):
    optimizer, _ = started(ours)
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match=f"not a state of {ours.__name__}: it (lacks|has) '"):
        optimizer.load_state_dict(started(theirs)[0].state_dict())
    assert plain(optimizer.state_dict()) == plain(before)


@pytest.mark.parametrize("cls", EVERY)
def test_states_of_other_models_and_bad_settings_are_refused(cls):
    optimizer, _ = started(cls)
    before = copy.deepcopy(optimizer.state_dict())

    def spoil(change):
        state = copy.deepcopy(before)
        change(state)
        return state

    def another_shape(state):
        state["state"][0]["momentum_buffer"] = torch.zeros(3, 5)

    def no_step_size(state):
        state["param_groups"][0]["lr"] = float("nan")

    def fewer_parameters(state):
        state["param_groups"][0]["params"].pop()

    def another_device(state):
        state["generator"] = torch.zeros(16, dtype=torch.uint8)

    wrong = [
        (another_shape, r"momentum_buffer has the shape \(3, 5\), the parameter \(6, 5\)"),
        (no_step_size, "lr must be"),
        (fewer_parameters, "size"),
    ]
    if cls is not SVRG:
        wrong.append((another_device, "generator's state is of no cpu device"))
    for change, message in wrong:
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict(spoil(change))
        assert plain(optimizer.state_dict()) == plain(before)


@pytest.mark.parametrize("cls", VARIANCE_REDUCED)
def test_the_length_of_an_epoch_belongs_to_the_state(cls):
    optimizer, _ = started(cls, epoch_length=5)
    other, _ = started(cls, epoch_length=3)
    other.load_state_dict(optimizer.state_dict())
    assert other.epoch_length == 5
    assert not other.needs_full_gradient


@pytest.mark.parametrize("cls", EVERY)
def test_a_loaded_state_shares_nothing(cls):
    """Training goes on here, and what it was loaded from stays."""
    optimizer, _ = started(cls)
    model, closure, batches = network()
    other = make(cls, model)
    before = copy.deepcopy(optimizer.state_dict())
    other.load_state_dict(optimizer.state_dict())
    train(other, closure, batches)
    assert plain(optimizer.state_dict()) == plain(before)


# ---- Wrong use -----------------------------------------------------------------------------------


class Loader(list):
    """Promises one batch more than there are."""

    def __len__(self):
        return super().__len__() + 1


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("cls", EVERY)
def test_errors_leave_everything_as_it_was(cls, started):
    """The parameters to the last bit; and the run goes on as if nothing had happened."""

    def no_backward(batch):
        return model(batch[0]).sum()

    def broken(batch):
        raise LookupError("in the closure")

    def infinite(batch):
        with torch.no_grad():
            model[4].bias.grad = torch.full_like(model[4].bias, float("inf"))
        return torch.tensor(0.0)

    def nan(batch):
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1]) * float("nan")
        loss.backward()
        return loss

    def nan_at_last(batch):
        calls.append(batch)
        return (nan if len(calls) == 2 else closure)(batch)

    def without_tensors(batch):
        return closure(batches[0])

    results, calls = [], []
    for interrupted in (False, True):
        model, closure, batches = network()
        model[3].p = 0.0
        optimizer = make(cls, model)
        if started:
            train(optimizer, closure, batches[:3])
        if interrupted:
            before = values(model)
            errors = [
                (TypeError, "needs a closure", None),
                (RuntimeError, "left no gradient", no_backward),
                (LookupError, "in the closure", broken),
                (FloatingPointError, "1 of", infinite),
                (FloatingPointError, "6 of 6", nan),
            ]
            if cls is not LPSGD and not started:
                errors = [errors[0], (RuntimeError, "call full_gradient", closure)]
            elif cls is not LPSGD:
                errors.append((FloatingPointError, "6 of 6", nan_at_last))
            for error, message, wrong in errors:
                with pytest.raises(error, match=message):
                    optimizer.step(wrong and functools.partial(wrong, batches[0]))
                assert_equal(before | dict(model.named_buffers()), values(model))
            model.load_state_dict(before)  # batch statistics: the closure has changed them
            if cls is not LPSGD:
                for error, message, wrong, loader in [
                    (ValueError, "yielded 0 batches", closure, []),
                    (ValueError, "yielded 6 batches, its length is 7", closure, Loader(batches)),
                    (RuntimeError, "left no gradient", no_backward, batches),
                    (LookupError, "in the closure", broken, batches),
                    (FloatingPointError, "6 of 6", nan, batches),
                    (TypeError, "pass batch_size", without_tensors, ["text"]),
                ]:
                    with pytest.raises(error, match=message):
                        optimizer.full_gradient(wrong, loader)
                    assert_equal(before, values(model))
        train(optimizer, closure, batches)
        results.append(values(model))
    assert_equal(*results)


@pytest.mark.parametrize("cls", EVERY)
def test_sparse_gradients_are_refused(cls):
    model = nn.Embedding(5, 2, sparse=True)
    before = values(model)
    optimizer = make(cls, model)

    def closure(batch):
        loss = model(batch).sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="sparse"):
        train(optimizer, closure, [torch.tensor([1, 2])])
    assert_equal(before, values(model))


@pytest.mark.parametrize("cls", EVERY)
@pytest.mark.parametrize("dtype", [torch.complex64, torch.float16, torch.bfloat16])
def test_dtypes_without_the_precision_are_refused(cls, dtype):
    model = nn.Linear(2, 2, dtype=dtype)
    with pytest.raises(TypeError, match="float32 or float64"):
        make(cls, model)


@pytest.mark.parametrize(
    ("classes", "error", "setting"),
    [
        *((EVERY, ValueError, {"lr": lr}) for lr in (-0.1, float("nan"), float("inf"))),
        (EVERY, ValueError, {"momentum": -0.1}),
        (EVERY, ValueError, {"weight_decay": -0.1}),
        *((ROUNDED, ValueError, {"bits": bits}) for bits in (-8, 1, 25)),
        *((ROUNDED, TypeError, {"bits": bits}) for bits in (8.0, True, "8")),
        (ROUNDED, ValueError, {"rounding": "up"}),
        *(((LPSGD, LPSVRG), ValueError, {"delta": delta}) for delta in (0.0, -1.0, float("nan"))),
        *(((HALP,), ValueError, {"mu": mu}) for mu in (0.0, -1.0, float("inf"))),
        *((VARIANCE_REDUCED, ValueError, {"epoch_length": length}) for length in (0, -3)),
        *((VARIANCE_REDUCED, TypeError, {"epoch_length": length}) for length in (1.5, True)),
    ],
)
def test_settings_out_of_range_are_refused(classes, error, setting):
    model = nn.Linear(2, 2)
    before = values(model)
    for cls in classes:
        with pytest.raises(error, match=next(iter(setting))):
            make(cls, model, **setting)
    assert_equal(before, values(model))
