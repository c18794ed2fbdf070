"""How far floating-point results may lie from their oracles, and why."""

import numpy as np

EPS = {np.dtype(np.float32): 2.0**-23, np.dtype(np.float64): 2.0**-52}


# Summing n products in any order, fused or not, is off by n eps / 2 times the sum of their absolute
# values at most (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1).
def summation_bound(x, y):
    """The largest error of a dot product of two vectors of one float dtype."""
    terms = np.abs(x.astype(np.float64)) @ np.abs(y.astype(np.float64))
    return max(1, len(x)) * EPS[x.dtype] * terms


# w - (c x + h): c rounded to the dtype, then three roundings.
AXPY_ULPS = 4

# The path of a float run against float64 arithmetic in textbook order, relative to the largest
# weight: rounding errors of some hundred contracting steps.
PATH = {"D64fM64f": 1e-11, "D32fM32f": 2e-5}

# The full gradient, relative to the root mean square of the terms it sums. Integer precisions sum
# blocks of 16 rows in float32, and integer data take w in 30 bits.
GRADIENT = {"D64fM64f": 1e-12, "float32": 1e-5}
