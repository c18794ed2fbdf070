"""The paper's algorithms: SGD, LP-SGD, SVRG, LP-SVRG and HALP on linear models."""

from halpbench.solvers.run import ALGORITHMS, Epoch, Run
from halpbench.solvers.solve import DivergenceWarning, Interrupted, Result, solve

__all__ = ["ALGORITHMS", "DivergenceWarning", "Epoch", "Interrupted", "Result", "Run", "solve"]
