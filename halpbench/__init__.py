"""HALP: high-accuracy low-precision training, and the benchmarks that measure it.

"High-Accuracy Low-Precision Training" (De Sa et al. 2018, arXiv:1803.03383) is stochastic gradient
descent with variance reduction whose inner loop runs in 8- or 16-bit integers and which converges
to the exact solution all the same.

The public names stand in ``__init__.pyi`` and are imported when they are first used, so that
``import halpbench`` stays light.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
