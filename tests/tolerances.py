"""Tolerances of floating-point results against their oracles, with reasons."""

import numpy as np

EPS = {np.dtype(np.float32): 2.0**-23, np.dtype(np.float64): 2.0**-52}

# w - (c x + h): c rounded to the dtype, then three roundings.
AXPY_ULPS = 4


def summation_bound(x, y):
    """The largest error of a dot product of two vectors of one float dtype.

    In any order, fused or not, a sum of n products is off by n eps / 2 times the sum of their
    absolute values (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1).
    """
    terms = np.abs(x.astype(np.float64)) @ np.abs(y.astype(np.float64))
    return max(1, len(x)) * EPS[x.dtype] * terms


def path(*dtypes):
    """Weights after some hundred contracting steps, relative to the largest of them.

    Given the dtypes that the run computes in: full gradients have the precision of the data.
    """
    return 200 * max(EPS[np.dtype(dtype)] for dtype in dtypes)


def gradient(dtype):
    """Loss and full gradient on data of a dtype, relative to the gradient norm.

    float32 data take the weights in float32; integer data take them in 30 bits, and blocks of
    their rows are summed in float32.
    """
    return 100 * EPS[np.dtype(np.float64 if dtype == np.float64 else np.float32)]


def kept_gradient(dtype):
    """Of the first full gradient of integer rows, relative to its norm.

    The derivatives are rounded to units of about 2^-15 (int8) or 2^-10 (int16) of the largest one,
    which small problems with cancellation see a few times enlarged.
    """
    return {"int8": 2.0**-12, "int16": 2.0**-9}[np.dtype(dtype).name]
