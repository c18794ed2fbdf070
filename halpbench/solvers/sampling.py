"""Samples: the one of each step, and a part of them that is enough to take steps on."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from halpbench.objective import Objective

__all__ = ["SampleSets", "uniform", "weighted"]

# Steps are taken on a part of the samples where it has many of them for every weight: its Hessian
# is then close to that of all, to about the root of one over this number.
PART_OF_SAMPLES = 8
SAMPLES_PER_WEIGHT = 1000
FLOAT32_RANGE = 1e-30, 1e30  # of the columns' largest values: the part is held as float32


def uniform(
    random: np.random.Generator, n: int, length: int, option: str, batch_size: int = 1
) -> NDArray[np.int32]:
    """Indices of an epoch, each uniformly random.

    The next centre is the last iterate (option I) or a uniformly random one (option II): the steps
    behind the chosen one cannot matter and are left out.
    """
    samples = random.integers(n, size=length)
    if option == "II":
        steps = -(-length // batch_size)
        samples = samples[: batch_size * random.integers(1, steps + 1)]
    return samples.astype(np.int32)


def weighted(
    random: np.random.Generator, n: int, length: int, weights: NDArray[np.float64] | None
) -> NDArray[np.int32]:
    """Indices of an epoch: every sample as often as its weight says, in random order.

    Systematic sampling: each sample occurs floor or ceil of its expected number of times.
    """
    orders = []
    for _ in range(-(-length // n)):
        if weights is None:
            order = random.permutation(n)
        else:
            cumulative = np.cumsum(weights) / weights.sum()
            at = (np.arange(n) + random.random()) / n
            order = np.minimum(np.searchsorted(cumulative, at, side="right"), n - 1)
            random.shuffle(order)
        orders.append(order.astype(np.int32))
    return np.concatenate(orders)[:length]


class SampleSets:
    """The samples whose gradients are full ones, and those among which steps choose.

    Both are all of them, unless a part is enough: then that part is both until its own minimum is
    reached, and full gradients are those of all afterwards.

    Attributes
    ----------
    whole : Objective
    objective : Objective
        Objective of the full gradients.
    stepped : Objective
        Objective of the samples among which steps choose.
    """

    def __init__(self, whole: Objective) -> None:
        self.whole = self.objective = self.stepped = whole
        self._chosen: NDArray[np.intp] | None = None

    @property
    def on_part(self) -> bool:
        """True if full gradients are those of a part."""
        return self.objective is not self.whole

    @property
    def beyond_part(self) -> bool:
        """True if steps are taken on a part, and full gradients on all."""
        return self.objective is not self.stepped

    def choose_part(self, random: np.random.Generator) -> bool:
        """Take steps on a part where it is enough for all the weights; tell whether it is."""
        rows, weights = self.whole.rows, self.whole.weights
        candidates = np.arange(len(rows)) if weights is None else np.flatnonzero(weights)
        size = len(candidates) // PART_OF_SAMPLES
        if size < SAMPLES_PER_WEIGHT * rows.columns * self.whole.n_outputs:
            return False
        largest = self.whole.columns.largest
        if not FLOAT32_RANGE[0] < largest.min() <= largest.max() < FLOAT32_RANGE[1]:
            return False
        self._chosen = np.sort(random.choice(candidates, size, replace=False))
        self.stepped = self.whole.of_samples(self._chosen)
        return True

    def noise(self, loss: float, mean_square: float) -> float:
        """Return the size of an entry of the whole gradient where that of the part is zero.

        The variance of a mean over n of N samples, where e^2 / 2 <= loss for every loss with
        derivative e with respect to the margins; ``mean_square`` is that of a column.
        """
        n, total = len(self.stepped), len(self.whole)
        square = max(mean_square, float(self.whole.intercept))
        return math.sqrt(2 * loss * square * (1 / n - 1 / total))

    def use_part(self) -> None:
        """Take full gradients over the part alone."""
        self.objective = self.stepped

    def leave_part(self) -> None:
        """Take full gradients over all samples; the steps remain on the part."""
        self.objective = self.whole

    def take_all(self) -> None:
        """Take steps on all samples."""
        self.stepped, self._chosen = self.whole, None

    def of_steps(self, predictions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows of the samples among which steps choose, out of those of the full gradient."""
        if self.beyond_part and self._chosen is not None:
            return predictions[self._chosen]
        return predictions[: len(self.stepped)]
