"""The PyTorch optimizers: against the NumPy reference, and as optimizers."""

import functools

import numpy as np
import pytest

from halpbench import LeastSquares, SoftmaxRegression, simulate

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from halpbench.deep import HALP, LPSGD, LPSVRG, SVRG  # noqa: E402

EPOCH_LENGTH = 40


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

    def _uniforms(self, count):
        return torch.from_numpy(self.random.random(count))


class FedLPSGD(LPSGD):
    random = None
    _uniforms = FedHALP._uniforms


class FedLPSVRG(LPSVRG):
    random = None
    _uniforms = FedHALP._uniforms


FED = {"lp-sgd": FedLPSGD, "lp-svrg": FedLPSVRG, "halp": FedHALP}


@pytest.mark.parametrize("rounding", ["stochastic", "nearest"])
@pytest.mark.parametrize("bits", [2, 8, 24])
@pytest.mark.parametrize("algorithm", ["lp-sgd", "lp-svrg", "halp"])
@pytest.mark.parametrize("problem", [least_squares(), softmax()], ids=["linear", "logistic"])
def test_iterates_are_those_of_the_reference(problem, algorithm, bits, rounding, monkeypatch):
    cls = FED[algorithm]
    monkeypatch.setattr(cls, "random", np.random.default_rng([3, 1]))
    special = {"mu": 0.3} if algorithm == "halp" else {"delta": 1.5 / (2 ** (bits - 1) - 1)}
    iterates, optimizer = path(
        problem, algorithm, cls, epochs=4, bits=bits, rounding=rounding, **special
    )
    model = simulate.FixedPoint(
        bits, rounding={"stochastic": "unbiased", "nearest": "biased"}[rounding]
    )
    expected = simulate.solve(
        problem,
        algorithm,
        model,
        epoch_length=EPOCH_LENGTH,
        epochs=4,
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
