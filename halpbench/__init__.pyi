# The names of the package: type checkers read them here, and __init__.py imports them on first use.
from . import datasets as datasets
from . import estimators as estimators
from . import fixedpoint as fixedpoint
from . import kernels as kernels
from . import problems as problems
from . import simulate as simulate
from . import solvers as solvers
from .clib import get_include as get_include
from .datasets import load as load
from .estimators import HALPClassifier as HALPClassifier
from .estimators import HALPRegressor as HALPRegressor
from .problems import LeastSquares as LeastSquares
from .problems import SoftmaxRegression as SoftmaxRegression
from .solvers import Result as Result
from .solvers import solve as solve

__version__: str
