"""The kernels for the Cython modules of other packages: what needs no library to link with.

``halp_import().active()`` is a table of kernels, a member for each. The contract is that of
``<halp/api.h>`` and ``<halp/kernels.h>``, which are in ``halpbench.get_include()``.
"""

from halpbench._kernels cimport (
    HALP_FRACTION_I8I16,
    HALP_FRACTION_I16,
    HALP_MOST_ROWS,
    HALP_NEAREST,
    HALP_PADDED,
    HALP_STOCHASTIC,
    HALP_VERSION,
    Rng,
    halp_api,
    halp_backend,
    halp_h,
    halp_import,
    halp_rng,
    halp_rounding,
)
