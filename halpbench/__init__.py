"""HALP: high-accuracy low-precision training, and the benchmarks that measure it.

"High-Accuracy Low-Precision Training" (De Sa et al. 2018, arXiv:1803.03383) is stochastic gradient
descent with variance reduction whose inner loop runs in 8- or 16-bit integers and which converges
to the exact solution all the same.
"""

from typing import Any

__version__ = "0.1.0"

__all__ = [
    "HALPClassifier",
    "HALPRegressor",
    "LeastSquares",
    "Result",
    "SoftmaxRegression",
    "load",
    "solve",
]

_HOMES = {
    "HALPClassifier": "halpbench.estimators",
    "HALPRegressor": "halpbench.estimators",
    "LeastSquares": "halpbench.problems",
    "SoftmaxRegression": "halpbench.problems",
    "Result": "halpbench.solvers",
    "solve": "halpbench.solvers",
    "load": "halpbench.datasets",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used: ``import halpbench`` stays light."""
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'halpbench' has no attribute {name!r}")
