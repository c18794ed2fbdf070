"""scikit-learn estimators that train linear models by HALP, to the exact solution."""

from __future__ import annotations

import numbers
import warnings
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from joblib import effective_n_jobs  # type: ignore[import-untyped]
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from halpbench import kernels
from halpbench.formats import INTEGER_FORMATS
from halpbench.losses import LOGISTIC, SOFTMAX, SQUARED, Loss
from halpbench.objective import Objective
from halpbench.parallel import Executor
from halpbench.rows import Rows
from halpbench.solvers.adaptive import minimize

__all__ = ["HALPClassifier", "HALPRegressor"]

WHY = {
    "max_iter": "max_iter={max_iter} epochs were not enough; allow more, or a larger tol",
    "no progress": "no epoch makes progress any more; scale the features, regularize more, or "
    "allow a larger tol",
}


class _HALPEstimator(BaseEstimator):  # type: ignore[misc]
    """Parts that the two estimators share: parameters, fitting, margins."""

    coef_: Any
    intercept_: Any

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "fit_intercept": ["boolean"],
        "tol": [Interval(numbers.Real, 0, None, closed="left")],
        "max_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "precision": [StrOptions({"auto", *INTEGER_FORMATS})],
        "warm_start": ["boolean"],
        "n_jobs": [None, numbers.Integral],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def _minimize(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        loss: Loss,
        *,
        n_outputs: int,
        inverse_l2: float,
        sample_weight: NDArray[np.float64] | None,
        unit: float = 1.0,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weights and intercepts of the solution; set the fitted attributes of the run."""
        total = len(X) if sample_weight is None else float(sample_weight.sum())
        if not total > 0:
            raise ValueError("the sum of sample_weight must be positive")
        with Executor(effective_n_jobs(self.n_jobs)) as executor:
            objective = Objective(
                Rows(X),
                y,
                loss,
                n_outputs,
                l2=1 / (inverse_l2 * total) if inverse_l2 else 0.0,
                weights=sample_weight,
                intercept=self.fit_intercept,
                executor=executor,
            )
            outcome = minimize(
                objective,
                tol=self.tol,
                max_epochs=self.max_iter,
                precision="D8M16" if self.precision == "auto" else self.precision,
                unit=unit,
                seed=int(check_random_state(self.random_state).randint(2**31)),
                start=self._start(n_outputs, X.shape[1]),
                callback=_print_row if self.verbose else None,
            )
        self.history_ = pd.DataFrame(outcome.history)
        self.n_iter_ = outcome.n_epochs
        self.precision_ = outcome.history[-1]["precision"]
        self.isa_ = kernels.active()
        if outcome.status in WHY:
            reached = outcome.history[-1]["grad_norm"]
            warnings.warn(
                f"stopped at gradient norm {reached:.1e}, tol={self.tol:.1e}: "
                + WHY[outcome.status].format(max_iter=self.max_iter),
                ConvergenceWarning,
                stacklevel=3,
            )
        w, b = outcome.w, outcome.b if self.fit_intercept else np.zeros(n_outputs)
        if loss is SOFTMAX:
            # Adding the same to all classes changes no probability; zero sums are the convention.
            w, b = w - w.mean(axis=0), b - b.mean()
        return w, b

    def _start(
        self, n_outputs: int, n_features: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return the last solution, for a warm start on data of the same shape."""
        if not (self.warm_start and hasattr(self, "coef_")):
            return None
        w = np.array(self.coef_, np.float64).reshape(-1, self.coef_.shape[-1])
        if w.shape != (n_outputs, n_features):
            return None
        return w, np.array(np.broadcast_to(self.intercept_, n_outputs), np.float64)

    def _margins(self, X: Any) -> NDArray[np.float64]:
        """Return x . w + b, of shape (n_samples, n_outputs), without converting X."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        w = self.coef_.reshape(-1, self.n_features_in_).T
        margins = np.empty((len(X), w.shape[1]))
        for rows in Rows(X).blocks():
            margins[rows] = X[rows] @ w
        margins += self.intercept_
        return margins


class HALPClassifier(ClassifierMixin, _HALPEstimator):  # type: ignore[misc]
    """Logistic regression, binary or multinomial, trained by HALP.

    Minimizes what ``sklearn.linear_model.LogisticRegression`` does, ||w||^2 / 2 + C sum_i s_i
    loss_i, with an intercept that is not penalized. In the notation of this package that is the
    mean loss plus (l2/2) ||w||^2 with l2 = 1 / (C sum_i s_i).

    Parameters
    ----------
    C : float, default 1.0
        Inverse strength of the regularization; ``inf`` for none.
    fit_intercept : bool, default True
    class_weight : dict or "balanced", default None
    tol : float, default 1e-4
        Stops when no entry of the gradient of the mean loss is larger, every feature being measured
        in units of its largest (centered) absolute value.
    max_iter : int, default 200
        Epochs, each two or more passes over the quantized data and one over the data themselves.
    precision : {"auto", "D8M8", "D8M16", "D16M16"}, default "auto"
        Bits of data and model to begin with ("auto": "D8M16"); the next of this list is taken where
        they do not suffice. The solution does not depend on it.
    warm_start : bool, default False
        Start from the last solution.
    n_jobs : int, default None
        Threads of the passes over the data themselves. The result does not depend on it.
    random_state : int, RandomState or None, default None
    verbose : int, default 0
        Print a line an epoch.

    Attributes
    ----------
    coef_ : ndarray of shape (1 or n_classes, n_features)
    intercept_ : ndarray of shape (1 or n_classes,)
    classes_ : ndarray of shape (n_classes,)
    n_iter_ : int
        Epochs run.
    history_ : DataFrame
        Row 0 is the start, then a row an epoch: ``epoch``, ``seconds`` since the start, ``passes``
        over the data, ``samples`` that ``loss`` and ``grad_norm`` (what `tol` is compared with)
        are of, ``step_samples`` among which steps choose, ``accepted``, ``precision``,
        ``step_size``, ``steps``, ``scale``.
    precision_, isa_ : str
        The last number format, and the backend of the kernels.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        If X had names.

    Examples
    --------
    >>> from halpbench import HALPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> float(HALPClassifier(random_state=0).fit(X, y).score(X, y)) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_HALPEstimator._parameter_constraints,
        "C": [Interval(numbers.Real, 0, None, closed="right")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        C: float = 1.0,
        *,
        fit_intercept: bool = True,
        class_weight: dict[Any, float] | str | None = None,
        tol: float = 1e-4,
        max_iter: int = 200,
        precision: str = "auto",
        warm_start: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter
        self.precision = precision
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> HALPClassifier:
        """Fit the model.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            float32 and float64 arrays, memory maps included, are read as they are, never copied.
        y : array_like of shape (n_samples,)
        sample_weight : array_like of shape (n_samples,), optional

        Returns
        -------
        HALPClassifier
        """
        self._validate_params()
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        n_classes = len(self.classes_)
        if n_classes < 2:
            raise ValueError(
                "HALPClassifier needs samples of at least 2 classes, but the data contains only "
                f"one class: {self.classes_[0]!r}"
            )
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
        if self.class_weight is not None:
            if self.class_weight == "balanced":  # every class weighs the same in total
                each = 1 / np.maximum(np.bincount(labels, sample_weight), 1e-300)
                each *= (len(X) if sample_weight is None else sample_weight.sum()) / n_classes
            else:
                each = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
            sample_weight = each[labels] * (1.0 if sample_weight is None else sample_weight)
        loss, n_outputs = (LOGISTIC, 1) if n_classes == 2 else (SOFTMAX, n_classes)
        labels = labels.astype(np.int64)
        inverse_l2 = 0.0 if np.isinf(self.C) else self.C
        self.coef_, self.intercept_ = self._minimize(
            X,
            labels,
            loss,
            n_outputs=n_outputs,
            inverse_l2=inverse_l2,
            sample_weight=sample_weight,
        )
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """The margins: (n_samples,) for two classes, else (n_samples, n_classes)."""
        margins = self._margins(X)
        return margins[:, 0] if margins.shape[1] == 1 else margins

    def predict(self, X: Any) -> NDArray[Any]:
        """The most likely class of each sample."""
        margins = self._margins(X)
        one = margins.shape[1] == 1
        best = (margins[:, 0] > 0).astype(int) if one else margins.argmax(axis=1)
        predicted: NDArray[Any] = self.classes_[best]
        return predicted

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probabilities of the classes, (n_samples, n_classes)."""
        margins = self._margins(X)
        if margins.shape[1] == 1:
            return np.hstack([expit(-margins), expit(margins)])
        probabilities: NDArray[np.float64] = softmax(margins, axis=1)
        return probabilities

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """The logarithms of the probabilities of the classes, (n_samples, n_classes)."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))


class HALPRegressor(RegressorMixin, _HALPEstimator):  # type: ignore[misc]
    """Ridge regression, of one or several targets, trained by HALP.

    Minimizes what ``sklearn.linear_model.Ridge`` does, sum_i s_i (y_i - w . x_i - b)^2 +
    alpha ||w||^2, with an intercept that is not penalized. In the notation of this package that is
    half the mean squared residual plus (l2/2) ||w||^2 with l2 = alpha / sum_i s_i.

    Parameters
    ----------
    alpha : float, default 1.0
        Strength of the regularization.
    fit_intercept, tol, max_iter, precision, warm_start, n_jobs, random_state, verbose
        As for `HALPClassifier`; `tol` is in units of the standard deviation of the targets.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
    intercept_ : float or ndarray of shape (n_targets,)
    n_iter_, history_, precision_, isa_, n_features_in_, feature_names_in_
        As for `HALPClassifier`.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_HALPEstimator._parameter_constraints,
        "alpha": [Interval(numbers.Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        tol: float = 1e-4,
        max_iter: int = 200,
        precision: str = "auto",
        warm_start: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.precision = precision
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> HALPRegressor:
        """Fit the model.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            float32 and float64 arrays, memory maps included, are read as they are, never copied.
        y : array_like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array_like of shape (n_samples,), optional

        Returns
        -------
        HALPRegressor
        """
        self._validate_params()
        X, y = validate_data(
            self, X, y, dtype=[np.float64, np.float32], multi_output=True, y_numeric=True
        )
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
        targets = np.array(y, np.float64).reshape(len(X), -1)
        # The intercept starts at the mean of the targets, which are centered by it.
        center = np.average(targets, axis=0, weights=sample_weight) * self.fit_intercept
        targets -= center
        unit = float(np.sqrt(np.average(targets**2, axis=0, weights=sample_weight).max())) or 1.0
        if self.warm_start and hasattr(self, "intercept_"):
            self.intercept_ = self.intercept_ - center
        w, b = self._minimize(
            X,
            targets,
            SQUARED,
            n_outputs=targets.shape[1],
            inverse_l2=1 / self.alpha if self.alpha else 0.0,
            sample_weight=sample_weight,
            unit=unit,
        )
        b = b + center
        flat = np.ndim(y) == 1
        self.coef_, self.intercept_ = (w[0], float(b[0])) if flat else (w, b)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The predicted targets, of the shape of y."""
        margins = self._margins(X)
        return margins[:, 0] if self.coef_.ndim == 1 else margins

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _print_row(row: dict[str, Any]) -> None:
    print(
        f"epoch {row['epoch']:3d}  {row['seconds']:8.2f} s  loss {row['loss']:.8g}  "
        f"gradient norm {row['grad_norm']:.2e}  {row['precision']}"
        + ("" if row["accepted"] else "  undone, smaller step"),
        flush=True,
    )
