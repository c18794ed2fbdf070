"""Rivals of the paper's algorithms, simulated: other variance reduction, averaging, 8-bit state.

SAGA, loopless SVRG, SWALP and Adam with its state in 8 bits, on the problems of `simulate`, with
its samples and its formats. Everything but the rounding is float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from halpbench.arguments import count, one_of, positive
from halpbench.batches import checked_batch_size
from halpbench.numberformats import block_wise
from halpbench.problems import LinearProblem
from halpbench.simulate import FixedPoint, FloatArray, Model, Simulation, default_delta

__all__ = ["ALGORITHMS", "solve"]

Samples = NDArray[np.int64]

# Kingma and Ba, "Adam", ICLR 2015, section 2.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class _Constants:
    """The arguments of `solve` that a rival needs, checked."""

    step_size: float
    epoch_length: int
    model: Model
    delta: float
    warm_up: int
    cycle: int


class _Rival:
    """An algorithm by its steps: each adds up what its samples would do from the same point.

    Attributes
    ----------
    w : ndarray
        The iterate.
    solution : ndarray
        The solution, as the algorithm returns it.
    full_gradients : int
        Passes over all data so far.
    """

    full_gradients = 0

    def __init__(self, problem: LinearProblem, constants: _Constants, random: np.random.Generator):
        self.problem, self.constants, self.random = problem, constants, random
        self.w = np.zeros(problem.weight_shape)

    @property
    def solution(self) -> FloatArray:
        """The iterate, unless a rival averages."""
        return self.w

    def step(self, samples: Samples) -> None:
        """Take one step."""
        raise NotImplementedError

    def _derivative(self, w: FloatArray, samples: Samples) -> FloatArray:
        margins = self.problem.X[samples] @ w.T
        derivative: FloatArray = self.problem.margin_derivative(margins, self.problem.y[samples])
        return derivative

    def _sum(self, w: FloatArray, samples: Samples) -> FloatArray:
        """Return the sum of the gradients of samples."""
        loss = self._derivative(w, samples).T @ self.problem.X[samples]
        return np.asarray(loss + len(samples) * self.problem.l2 * w)


class _Saga(_Rival):
    """Defazio, Bach, Lacoste-Julien, "SAGA", NIPS 2014: the last derivative of every sample."""

    full_gradients = 1

    def __init__(self, problem: LinearProblem, constants: _Constants, random: np.random.Generator):
        super().__init__(problem, constants, random)
        self.table = problem.margin_derivative(problem.margins(self.w))
        self.mean = np.asarray(self.table.T @ problem.X / problem.n_samples)

    def step(self, samples: Samples) -> None:
        """Correct the gradient by the table, then bring the table up to date."""
        problem, x = self.problem, self.problem.X[samples]
        change = self._derivative(self.w, samples) - self.table[samples]
        shared = len(samples) * (self.mean + problem.l2 * self.w)
        self.w = self.w - self.constants.step_size * (change.T @ x + shared)
        # A sample that was drawn twice has changed once.
        _, first = np.unique(samples, return_index=True)
        self.mean = self.mean + change[first].T @ x[first] / problem.n_samples
        self.table[samples] += change


class _LooplessSvrg(_Rival):
    """Kovalev, Horvath, Richtarik, "Don't jump through hoops", ALT 2020: a centre at random."""

    def __init__(self, problem: LinearProblem, constants: _Constants, random: np.random.Generator):
        super().__init__(problem, constants, random)
        self._move()

    def _move(self) -> None:
        self.center, self.full_gradient = self.w, self.problem.gradient(self.w)
        self.full_gradients += 1

    def step(self, samples: Samples) -> None:
        """Take a step of SVRG; move the centre once in an epoch's samples, on average."""
        change = self._sum(self.w, samples) - self._sum(self.center, samples)
        step = change + len(samples) * self.full_gradient
        self.w = self.w - self.constants.step_size * step
        if self.random.random() < len(samples) / self.constants.epoch_length:
            self._move()


class _Swalp(_Rival):
    """Yang et al., "SWALP", ICML 2019, algorithm 1: the mean of iterates of low-precision SGD."""

    def __init__(self, problem: LinearProblem, constants: _Constants, random: np.random.Generator):
        super().__init__(problem, constants, random)
        self.mean, self.averaged, self.steps = np.zeros_like(self.w), 0, 0
        self.samples = 0

    @property
    def solution(self) -> FloatArray:
        """The mean, as soon as there is one."""
        return self.mean if self.averaged else self.w

    def step(self, samples: Samples) -> None:
        """Take a step of LP-SGD; after the warm-up add every so many iterates to the mean."""
        constants = self.constants
        moved = self.w - constants.step_size * self._sum(self.w, samples)
        units = constants.model.quantize(moved, constants.delta, self.random)
        self.w = constants.delta * units
        self.samples += len(samples)
        if self.samples > constants.warm_up * constants.epoch_length:
            self.steps += 1
            if self.steps % constants.cycle == 0:
                self.averaged += 1
                self.mean = self.mean + (self.w - self.mean) / self.averaged


class _Adam(_Rival):
    """Adam, whose moments are exact."""

    def __init__(self, problem: LinearProblem, constants: _Constants, random: np.random.Generator):
        super().__init__(problem, constants, random)
        self.first, self.second, self.steps = np.zeros_like(self.w), np.zeros_like(self.w), 0

    def step(self, samples: Samples) -> None:
        """Take a step along the mean gradient of the samples."""
        gradient = self._sum(self.w, samples) / len(samples)
        self.steps += 1
        first = BETA_1 * self.first + (1 - BETA_1) * gradient
        second = BETA_2 * self.second + (1 - BETA_2) * gradient**2
        root = np.sqrt(second / (1 - BETA_2**self.steps))
        direction = first / (1 - BETA_1**self.steps) / (root + EPSILON)
        self.w = self.w - self.constants.step_size * direction
        self.first, self.second = self._stored(first, second)

    def _stored(self, first: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
        return first, second


class _Adam8Bit(_Adam):
    """Dettmers et al., "8-bit Optimizers via Block-wise Quantization", ICLR 2022."""

    def _stored(self, first: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
        return block_wise(first, signed=True), block_wise(second, signed=False)


_RIVALS: dict[str, type[_Rival]] = {
    "saga": _Saga,
    "l-svrg": _LooplessSvrg,
    "swalp": _Swalp,
    "adam": _Adam,
    "adam-8bit": _Adam8Bit,
}
ALGORITHMS = tuple(_RIVALS)


def solve(
    problem: LinearProblem,
    algorithm: str,
    model: Model | None = None,
    *,
    step_size: float | None = None,
    epoch_length: int | None = None,
    epochs: int = 20,
    batch_size: int | str = 1,
    delta: float | None = None,
    warm_up: int = 1,
    cycle: int = 1,
    seed: int = 0,
) -> Simulation:
    """Minimize a problem by a rival of the paper's algorithms, simulated, from zero.

    Parameters
    ----------
    problem : LeastSquares or SoftmaxRegression
    algorithm : {"saga", "l-svrg", "swalp", "adam", "adam-8bit"}
        SAGA; loopless SVRG, whose centre moves once in `epoch_length` samples on average; SWALP;
        Adam; Adam whose moments are stored in the dynamic 8-bit code, in blocks.
    model : FixedPoint, MiniFloat or BlockFloat, optional
        SWALP: of the model; fixed point of 8 bits by default.
    step_size : float, optional
        Of one sample, of Adam of a step; by default ``problem.default_step_size()``.
    epoch_length : int, optional
        Samples between two rows of the history; by default 2 N.
    epochs : int
    batch_size : int or "auto"
        Samples a step, as `simulate.solve` takes it.
    delta : float, optional
        SWALP: the value of one unit; by default the model represents [-1, 1].
    warm_up : int
        SWALP: epochs before the first iterate that is averaged.
    cycle : int
        SWALP: steps from one that is averaged to the next.
    seed : int
        Of the samples, which are those of `simulate.solve`, and of the rounding.

    Returns
    -------
    Simulation
        Without a path; its history has the columns ``epoch``, ``loss``, ``grad_norm`` and
        ``full_gradients``, the passes over all data so far, evaluation not counted. A run that
        leaves the finite numbers has infinite loss in its last row.

    Raises
    ------
    TypeError
        If a number of samples, steps or epochs is not an integer.
    ValueError
        For unknown names and numbers out of range.
    """
    one_of("algorithm", algorithm, ALGORITHMS)
    model = model or FixedPoint()
    a = positive("step_size", problem.default_step_size() if step_size is None else step_size)
    length = 2 * problem.n_samples if epoch_length is None else epoch_length
    constants = _Constants(
        step_size=a,
        epoch_length=count("epoch_length", length, 1),
        model=model,
        delta=positive("delta", default_delta(model) if delta is None else delta),
        warm_up=count("warm_up", warm_up, 0),
        cycle=count("cycle", cycle, 1),
    )
    size = checked_batch_size(batch_size, problem, a)
    samples = np.random.default_rng(seed)
    rival = _RIVALS[algorithm](problem, constants, np.random.default_rng([seed, 1]))
    solutions = [rival.solution]
    rows = [_row(problem, 0, rival)]
    for epoch in range(1, count("epochs", epochs, 0) + 1):
        chosen = samples.integers(problem.n_samples, size=constants.epoch_length)
        with np.errstate(over="ignore", invalid="ignore"):
            for batch in np.split(chosen, range(size, len(chosen), size)):
                rival.step(batch)
            rows.append(_row(problem, epoch, rival))
        if math.isinf(rows[-1]["loss"]):
            break
        solutions.append(rival.solution)
    return Simulation(solutions[-1], pd.DataFrame(rows), [], size, solutions)


def _row(problem: LinearProblem, epoch: int, rival: _Rival) -> dict[str, Any]:
    loss, gradient = problem.loss_and_gradient(rival.solution)
    if not (math.isfinite(loss) and np.isfinite(gradient).all()):
        loss, gradient = math.inf, np.array(math.inf)
    return {
        "epoch": epoch,
        "loss": loss,
        "grad_norm": float(np.linalg.norm(gradient)),
        "full_gradients": rival.full_gradients,
    }
