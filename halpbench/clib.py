"""The kernels for C and Cython: paths of the headers and the library of this installation."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def get_include() -> str:
    """Return the folder of the C headers: ``#include <halp/kernels.h>``.

    ``lib`` beside it has ``libhalp.a``, the kernels for programs without Python, and
    ``pkgconfig/halp.pc``. Extension modules need no library: ``halp_import`` of ``halp/api.h``
    gives them the kernels of this package.

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError
        If the package is neither installed nor built in place.

    Examples
    --------
    >>> from setuptools import Extension
    >>> import halpbench
    >>> module = Extension("example", ["example.pyx"], include_dirs=[halpbench.get_include()])
    """
    # Headers of an installed package, and of one that was built in place.
    candidates = (_PACKAGE / "include", _PACKAGE.parent / "build" / "prefix" / "include")
    for folder in candidates:
        if (folder / "halp" / "kernels.h").is_file():
            return str(folder)
    raise FileNotFoundError(f"no halp/kernels.h in {' or '.join(map(str, candidates))}")
