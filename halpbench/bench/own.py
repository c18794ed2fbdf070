"""Problems on data of the user's own: known by name and content, with constants of their own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as with_fields
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from halpbench import datafiles, datasets
from halpbench.batches import largest_batch
from halpbench.bench import suites
from halpbench.bench.cases import (
    OWN_SIGN,
    CurvesCase,
    EpochsCase,
    Plan,
    Planned,
    ProblemSpec,
    Setting,
)
from halpbench.bench.experiments import REPEATS
from halpbench.problems import LeastSquares, SoftmaxRegression
from halpbench.solvers import Solver

FIGURE = "own"
# Tables that show problems.
TABLES = ("epochs", "convergence")
LOSSES = ("squared", "softmax")

# Whole numbers of more values than this are taken for quantities, not for classes.
MOST_CLASSES = 100
DEFAULT_L2 = 1e-4

# The step size is searched for on so many samples, with so many epochs for each.
SEARCH_SAMPLES = 2_000
SEARCH_EPOCHS = 3
STEP_FACTORS = (1.0, 2.0, 4.0)

Array = NDArray[Any]


@dataclass(frozen=True)
class DataFile:
    """A file of data, the column with its targets, and the loss.

    Attributes
    ----------
    path : Path
    target : str or None
        Name or position of a column; None for the last one, or for a file that has targets apart.
    loss : str or None
        "squared", "softmax", or None to tell by the targets.
    sha256 : str
        Hash of the arrays that `read` returns; empty before the first time.
    """

    path: Path
    target: str | None = None
    loss: str | None = None
    sha256: str = ""

    @property
    def name(self) -> str:
        """Name in records: that of the file, and the beginning of the hash."""
        return f"{self.path.name.split('.')[0]}{OWN_SIGN}{self.sha256[:8]}"

    def read(self) -> tuple[Array, Array]:
        """Return X and y, checked; classes are numbered from 0.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ImportError
            If what reads it is not installed.
        ValueError
            If it cannot be read or has no such target, if a number is not finite, if the targets
            are all alike or not what the loss needs.
        """
        X, y = datasets.load(self.path, **self._options())
        for what, values in (("the features", X), ("the targets", y)):
            bad = np.argwhere(~np.isfinite(values))
            if len(bad):
                row = int(bad[0][0])
                raise ValueError(
                    f"{self.path}: {what} got {len(bad)} values that are not finite, the first in "
                    f"sample {row}; expected none"
                )
        if not X.any():
            raise ValueError(f"{self.path}: got features that are all 0, expected some that differ")
        y = self._targets(y)
        return X, y

    def source(self) -> tuple[Array, Array, str]:
        """Return X and y as `datasets.load` does.

        Raises
        ------
        ValueError
            As `read`, and if the content is not what it was.
        """
        X, y = self.read()
        if datasets.content_hash(X, y) != self.sha256:
            raise ValueError(f"{self.path}: got another content than before, expected {self.name}")
        return X, y, str(self.path)

    def adopt(self) -> None:
        """Let this process load the data by their name."""
        _FILES[self.name] = self
        datasets.adopt(self.name, self.source)

    def _options(self) -> dict[str, Any]:
        reader = datafiles.reader_of(self.path.expanduser())
        known = datafiles.options_of(reader) if reader else {}
        if "target" in known:
            # The last column, as of tables.
            last = -1 if "y" in known else None
            return {"target": last if self.target is None else self.target}
        if self.target is not None:
            raise ValueError(
                f"{self.path}: got target {self.target!r}, expected none: targets stand apart from "
                "the features in files of this kind"
            )
        return {}

    def _targets(self, y: Array) -> Array:
        y = datafiles.whole(y)  # so that classes may be floats, whatever the kind of file
        values = np.unique(y)
        if len(values) < 2:
            raise ValueError(
                f"{self.path}: got {values[0]} as the target of every sample, expected values that "
                "differ"
            )
        loss = self.loss
        if loss is None:
            loss = "softmax" if y.dtype.kind in "iu" and len(values) <= MOST_CLASSES else "squared"
        if loss == "squared":
            return y if y.dtype.kind == "f" else y.astype(np.float64)
        if y.dtype.kind not in "iu":
            broken = values[values != np.rint(values)]
            raise ValueError(
                f"{self.path}: got {broken[0] if len(broken) else values[0]} as a target, expected "
                "classes, for the loss is softmax"
            )
        return np.unique(y, return_inverse=True)[1].astype(np.int64)


def problem(path: str | Path, target: str | None, loss: str | None, l2: float) -> ProblemSpec:
    """Read a file, describe the problem in it, and let `datasets.load` know it by its name.

    Parameters
    ----------
    path : str or Path
    target, loss
        As of `DataFile`.
    l2 : float

    Raises
    ------
    FileNotFoundError, ImportError, ValueError
        As `DataFile.read`, and for a loss that is not known or an l2 that is negative.
    """
    if loss is not None and loss not in LOSSES:
        raise ValueError(f"got loss {loss!r}, expected one of {', '.join(LOSSES)}")
    if not 0 <= l2 < math.inf:
        raise ValueError(f"got l2 {l2:g}, expected a finite number of at least 0")
    file = DataFile(Path(path), target, loss)
    X, y = file.read()
    file = with_fields(file, sha256=datasets.content_hash(X, y))
    file.adopt()
    classes = int(y.max()) + 1 if y.dtype.kind in "iu" else 1
    model = "softmax" if y.dtype.kind in "iu" else "least-squares"
    return ProblemSpec(
        file.name,
        file.name,
        model,
        len(X),
        X.shape[1],
        step_size=0.0,
        n_classes=classes,
        l2=l2,
    )


def file_of(name: str) -> DataFile | None:
    """Return the file that this process knows by a name, to make it known to another one."""
    return _FILES.get(name)


def with_constants(spec: ProblemSpec) -> tuple[ProblemSpec, tuple[Setting, ...]]:
    """Find a step size, and return the problem with it and the contenders.

    Few epochs on a part of the data: the step size of SVRG in float64 that comes furthest, of some
    around 1/(2 L). HALP's scale follows the displacement. Batches are as large as the step size
    allows, if it allows any.
    """
    X, y = datasets.load(spec.dataset)
    rows = np.random.default_rng(0).permutation(len(X))[:SEARCH_SAMPLES]
    kind = SoftmaxRegression if spec.model == "softmax" else LeastSquares
    classes = {"n_classes": spec.n_classes} if spec.model == "softmax" else {}
    part: Any = kind(X[rows], y[rows], l2=spec.l2, **classes)
    whole: Any = kind(X, y, l2=spec.l2, **classes)
    # The largest of all samples: that of a part may be smaller.
    step = float(f"{whole.default_step_size():.3g}")
    if not 0 < step < math.inf:
        raise ValueError(
            f"{spec.name}: got features up to {abs(X).max():.2g}, for which float64 holds no step "
            "size; expected features in other units"
        )
    step *= _best_factor(part, step)
    size = largest_batch(whole, step)
    return replace(spec, step_size=step), suites.contenders(*[size] * (size > 1))


def curves(spec: ProblemSpec, contenders: tuple[Setting, ...], suite: str) -> list[Planned]:
    """List the cases of a problem's figure: data at 8 and at 16 bits, and exact data.

    Without batches: a picture of all contenders would show none.
    """
    contenders = tuple(c for c in contenders if c.batch_size == 1)
    columns = [
        ("quantized", 8, tuple(c for c in contenders if c.precision != "D16M16")),
        ("quantized", 16, tuple(c for c in contenders if not c.precision.startswith("D8"))),
        ("exact", 8, contenders),
    ]
    epochs = 5 if suite == "smoke" else 20
    plan = Plan(suite, at_least=REPEATS, at_most=REPEATS)
    return [
        Planned(CurvesCase(spec, data, bits, some, epochs), plan) for data, bits, some in columns
    ]


def suite(
    spec: ProblemSpec,
    contenders: tuple[Setting, ...],
    name: str,
    *,
    backends: Sequence[str],
    cache_bytes: Sequence[int],
    repeats: int | None = None,
) -> list[Planned]:
    """List the cases of a problem, with those of reading memory; see `suites.suite`."""
    if repeats is not None and repeats < 1:
        raise ValueError(f"got {repeats} repeats; expected at least 1")
    seconds, epochs = (40.0, 15) if name == "full" else (5.0, 5)
    sizes = [spec.n_samples * spec.n_features * bytes_each for bytes_each in (1, 2, 4, 8)]
    planned = [*suites.bandwidth(backends[0], cache_bytes, sizes, at_most=5)]
    # Several epochs a turn, so that the samples of small data are no shorter than the clock can
    # tell.
    plan = replace(
        suites.EPOCHS_PLAN, epochs_per_turn=max(1, 200_000 // (spec.n_samples * spec.n_features))
    )
    best = replace(plan, at_most=epochs, budget_seconds=seconds)
    other = replace(plan, at_most=5, budget_seconds=seconds / 2)
    for backend, data in itertools.product(suites.of_interest(backends), ("quantized", "exact")):
        case = EpochsCase(spec, data, backend, contenders)
        planned.append(Planned(case, best if backend == backends[0] else other))
    bounds = {} if repeats is None else {"at_least": repeats, "at_most": repeats}
    return [replace(one, plan=replace(one.plan, suite=name, **bounds)) for one in planned]


def _best_factor(problem: Any, step: float) -> float:
    """Return the factor of the step size by which SVRG comes furthest."""
    reached = {}
    for factor in STEP_FACTORS:
        if step * factor * problem.l2 >= 1:
            continue
        length = 2 * problem.n_samples
        run = Solver(
            problem, "svrg", "D64fM64f", "exact", epoch_length=length, step_size=step * factor
        )
        diverged = any(run.epoch().diverged for _ in range(SEARCH_EPOCHS))
        reached[factor] = math.inf if diverged else run.evaluate()[1]
    return min(reached, key=lambda factor: reached[factor], default=STEP_FACTORS[0])


_FILES: dict[str, DataFile] = {}
