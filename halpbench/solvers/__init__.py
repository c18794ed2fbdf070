"""The paper's algorithms: SGD, LP-SGD, SVRG, LP-SVRG and HALP on linear models."""

from halpbench.solvers.algorithms import ALGORITHMS
from halpbench.solvers.paper import Epoch, Solver
from halpbench.solvers.solve import DivergenceWarning, Interrupted, Result, solve

__all__ = ["ALGORITHMS", "DivergenceWarning", "Epoch", "Interrupted", "Result", "Solver", "solve"]
