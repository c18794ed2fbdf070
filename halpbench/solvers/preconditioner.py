"""The change of variables that is folded into the quantized data: it makes them well-conditioned.

The inner loop reads a copy of the data anyway. That copy may as well hold x' = P (x - m) for any
matrix P: with w = P^T v the margins are the same, and full gradients, which are exact, are turned
into those of v by one product with P. So a preconditioner costs nothing per step (compare Gonen,
Orabona, Shalev-Shwartz, "Solving Ridge Regression using Sketched Preconditioned SVRG", ICML 2016).

P scales the columns to a largest absolute value of about 1, and then shrinks the leading principal
axes of the curvature, which is that of the data plus that of the penalty, to the length of the
first one that is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halpbench.fixedpoint import largest_integer
from halpbench.formats import Number
from halpbench.objective import FloatArray, Objective
from halpbench.rows import Rows

SAMPLE_ELEMENTS = 1 << 20  # of the rows from which the principal axes are computed, at least 256
EXACT_BELOW = 512  # features: all axes rather than a sketch
SKETCH_AXES, OVERSAMPLING = 48, 8
# Multiply-adds of the projections of all rows on the axes, if these are more than SKETCH_AXES.
PROJECTION_LIMIT = 10**9
# The penalty on a scaled weight is l2 / scale^2. A column that is small next to the penalty is left
# small, so that this is at most a fortieth of the loss's curvature.
PENALTY_SHARE = 1 / 40
PIECES = 16  # in which that sample is transformed
HEADROOM = 1.25  # of the scale over the largest entry of that sample
FLOOR = 1e-12  # of the largest eigenvalue: below, rounding error


def column_scales(objective: Objective) -> FloatArray:
    """The unit of each column: its largest value, or what the penalty makes of a small one."""
    least = objective.l2 / (PENALTY_SHARE * objective.loss.curvature)
    scales: FloatArray = np.sqrt(objective.columns.largest**2 + least)
    return scales


@dataclass(frozen=True)
class QuantizedRows:
    """x' as integers.

    ``constant`` is the value of the column that stands for the intercept, 0 without one; ``norm``
    is E c^2 ||x'||^4 / E c ||x'||^2, the mean of c ||x'||^2 where a row counts by its own share of
    it, c being its curvature. Steps of mean-square stability are shorter than 2 over that.
    """

    rows: Rows
    constant: float
    norm: float


class Preconditioner:
    """P = (I + U diag(k) U^T) diag(1 / scales).

    Parameters
    ----------
    objective : Objective
    row_norm_limit : float
        Of E||x'||^2 over `level`. More axes are shrunk as long as it is kept: they all then
        converge at the same rate, which is inverse to that ratio.
    random : numpy.random.Generator
        Chooses the rows from which the axes are computed.
    curvatures : ndarray of shape (N,), optional
        Of the loss of each sample over the largest possible one; by default 1.

    Attributes
    ----------
    scales : ndarray of shape (d,)
    mean_square : float
        The largest one of a scaled column.
    level : float
        The curvature along the axes that have been shrunk, in units of that of the loss in its
        margins; no axis has more.
    """

    def __init__(
        self,
        objective: Objective,
        row_norm_limit: float,
        random: np.random.Generator,
        curvatures: FloatArray | None = None,
    ) -> None:
        self.objective, self.curvatures = objective, curvatures
        n, d = objective.rows.values.shape
        self.scales = column_scales(objective)
        rows = min(n, max(256, SAMPLE_ELEMENTS // d))
        chosen = np.sort(random.choice(n, rows, replace=False))
        sample = self._scaled(chosen)
        self.mean_square = float(np.einsum("ij,ij->j", sample, sample).max()) / rows
        if objective.weights is not None:
            s = objective.weights[chosen]
            sample *= np.sqrt(s / max(s.mean(), 1e-300))[:, None]
        if curvatures is not None:
            sample *= np.sqrt(curvatures[chosen])[:, None]
        penalty = objective.l2 / objective.loss.curvature / self.scales**2
        # No more than `row_norm_limit` axes can be shrunk, nor more than may be projected on.
        most = min(row_norm_limit, max(SKETCH_AXES, PROJECTION_LIMIT // (n * d)))
        eigenvalues, axes = _principal_axes(sample, penalty, random, int(most) + 1)
        trace = float(np.vdot(sample, sample) / rows + penalty.sum())
        rank = _rank(eigenvalues[: int(most) + 1], trace, row_norm_limit)
        self.level = float(eigenvalues[rank]) if trace > 0 else 1.0
        self.least = float(eigenvalues[-1]) if d < EXACT_BELOW else 0.0
        self.axes = np.ascontiguousarray(axes[:, :rank])
        self.shrink = np.sqrt(self.level / eigenvalues[:rank]) - 1.0
        # Largest entry of x' before its axes are shrunk.
        self.largest = float((objective.columns.largest / self.scales).max())
        if rank:
            # In pieces: the temporaries of all these rows would be most of what a fit takes.
            pieces = np.array_split(chosen, min(PIECES, rows))
            largest = max(np.abs(self._shrunk(self._scaled(piece))).max() for piece in pieces)
            self.largest = HEADROOM * float(largest)

    @property
    def rank(self) -> int:
        """Number of axes that are shrunk."""
        return int(self.axes.shape[1])

    def weights(self, v: FloatArray) -> FloatArray:
        """Return w = P^T v, for rows v."""
        w: FloatArray = self._shrunk(v) / self.scales
        return w

    def variables(self, w: FloatArray) -> FloatArray:
        """The v that belongs to w."""
        v = w * self.scales
        stretch = self.shrink / (1 + self.shrink)
        variables: FloatArray = v - ((v @ self.axes) * stretch) @ self.axes.T
        return variables

    def gradient(self, of_w: FloatArray) -> FloatArray:
        """The gradient with respect to v, P times that with respect to w."""
        return self._shrunk(of_w / self.scales)

    def _scaled(self, chosen: NDArray[np.integer]) -> FloatArray:
        """Rows of the data, centered and in units of the columns' scales."""
        rows: FloatArray = self.objective.rows.values[chosen] - self.objective.columns.mean
        rows /= self.scales
        return rows

    def _shrunk(self, v: NDArray[Any]) -> NDArray[Any]:
        if not self.rank:
            return v
        axes, shrink = self.axes.astype(v.dtype), self.shrink.astype(v.dtype)
        result: NDArray[Any] = v + ((v @ axes) * shrink) @ axes.T
        return result

    def quantize(self, number: Number) -> QuantizedRows:
        """x', with a constant column for the intercept, as integers of one scale.

        The scale is that of the largest entry as far as it is known; if a larger one turns up, the
        pass over the data is repeated.
        """
        objective, limit = self.objective, largest_integer(number.bits)
        (n, d), dtype = objective.rows.values.shape, objective.rows.dtype
        quantized = Rows.zeros(n, d + objective.intercept, number.dtype)
        axes, shrink = self.axes.astype(dtype), self.shrink.astype(dtype)

        def fill(rows: slice) -> tuple[float, float, float]:
            block = objective.centered(rows, inverse)
            if self.rank:
                block += ((block @ axes) * shrink) @ axes.T
            np.rint(block, out=block)
            norms = np.einsum("ij,ij->i", block, block).astype(np.float64) * scale**2
            if self.curvatures is not None:
                norms *= self.curvatures[rows]
            s = 1.0 if objective.weights is None else objective.weights[rows]
            # Without projections the range of the columns is known.
            largest = float(max(block.max(), -block.min())) if self.rank else 0.0
            with np.errstate(invalid="ignore"):  # larger ones are seen to below
                np.copyto(quantized.values[rows, :d], block, casting="unsafe")
            return largest, float((s * norms).sum()), float((s * norms**2).sum())

        scale = self.largest / limit or 1.0
        while True:
            inverse = (1 / (scale * self.scales)).astype(dtype)
            largest, second, fourth = np.array(list(objective.map_blocks(fill))).T
            if largest.max() <= limit:
                break
            scale *= float(largest.max() + 1) / limit
        constant = 0
        if objective.intercept:
            constant = int(np.clip(np.rint(np.sqrt(self.level) / scale), 1, limit))
            quantized.values[:, d] = constant
        mean_norm = second.sum() / objective.total_weight
        norm = fourth.sum() / second.sum() if mean_norm > 0 else 0.0
        quantized.scale = scale
        return QuantizedRows(quantized, constant * scale, norm + (constant * scale) ** 2)


def _rank(eigenvalues: FloatArray, trace: float, limit: float) -> int:
    """The most axes to shrink to the next eigenvalue such that E||x'||^2 / level <= limit."""
    if trace <= 0:
        return 0
    best = 0
    left = trace - np.cumsum(eigenvalues)
    for rank in range(1, len(eigenvalues)):
        if eigenvalues[rank] <= FLOOR * eigenvalues[0]:
            break
        if rank + 1 + max(left[rank], 0.0) / eigenvalues[rank] > limit:
            break
        best = rank
    return best


def _principal_axes(
    sample: FloatArray, penalty: FloatArray, random: np.random.Generator, count: int
) -> tuple[FloatArray, FloatArray]:
    """Leading eigenvalues and eigenvectors of sample^T sample / rows + diag(penalty).

    All of them for few features, else `count` and some more, whose values are less accurate.
    """
    rows, d = sample.shape
    if d < EXACT_BELOW:
        eigenvalues, axes = np.linalg.eigh(sample.T @ sample / rows + np.diag(penalty))
        return np.maximum(eigenvalues[::-1], 0.0), axes[:, ::-1]
    # Subspace iteration (Halko, Martinsson, Tropp, SIAM Review 53, 2011, algorithm 4.4).
    basis = random.standard_normal((d, min(count + OVERSAMPLING, SKETCH_AXES, rows)))
    for _ in range(3):
        product = sample.T @ (sample @ basis) / rows + penalty[:, None] * basis
        basis, _ = np.linalg.qr(product)
    projected = sample @ basis
    curvature = projected.T @ projected / rows + basis.T @ (penalty[:, None] * basis)
    eigenvalues, axes = np.linalg.eigh(curvature)
    return np.maximum(eigenvalues[::-1], 0.0), basis @ axes[:, ::-1]
