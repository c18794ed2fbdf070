"""The modules: all that they need of halpbench are its headers."""

from setuptools import Extension, setup

import halpbench

setup(
    ext_modules=[
        Extension("nearest", ["nearest.pyx"], include_dirs=[halpbench.get_include()]),
        Extension("norms", ["norms.c"], include_dirs=[halpbench.get_include()]),
    ]
)
