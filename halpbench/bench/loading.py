"""Problems in memory, laid out as well as the integer copies that the solvers make of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halpbench import datasets, memory
from halpbench.bench.cases import ProblemSpec
from halpbench.problems import LeastSquares, SoftmaxRegression


class Problems:
    """Loads problems; keeps the last one, for cases of one problem stand side by side.

    Parameters
    ----------
    load : callable
        Function that loads data sets, `datasets.load`.
    """

    def __init__(self, load: Callable[..., Any] = datasets.load) -> None:
        self._load = load
        self._spec: ProblemSpec | None = None
        self._loaded: tuple[Any, dict[str, Any]] | None = None

    def load(self, spec: ProblemSpec) -> tuple[Any, dict[str, Any]]:
        """Return the problem, and facts about where its data came from."""
        if self._loaded is not None and self._spec == spec:
            return self._loaded
        self.drop()
        options: dict[str, Any] = dict(spec.options)
        x, y, info = self._load(spec.dataset, return_info=True, **options)
        facts = {"source": info.source, "sha256": info.sha256}
        x, y = _laid_out(x, y, spec.n_samples)
        kind = LeastSquares if spec.model == "least-squares" else SoftmaxRegression
        self._spec, self._loaded = spec, (kind(x, y, l2=spec.l2), facts)
        return self._loaded

    def holds(self, spec: ProblemSpec) -> bool:
        """Tell whether this problem is in memory already."""
        return self._spec == spec

    def drop(self) -> None:
        """Free the memory of the last problem."""
        self._spec = self._loaded = None


def _laid_out(
    x: NDArray[Any], y: NDArray[Any], n_samples: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Copy the data, or a random part of them, to memory as good as that of the integer copies.

    Aligned and on huge pages, for the baselines that read the original deserve no less. A random
    part, because files are often sorted by label.
    """
    if len(x) > n_samples:
        rows = np.random.default_rng(0).permutation(len(x))[:n_samples]
        x, y = x[rows], y[rows]
    aligned = memory.empty(x.shape, x.dtype)
    aligned[...] = x
    return aligned, y
