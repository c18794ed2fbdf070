"""Build the extension modules. Everything else about the package is in pyproject.toml.

The C kernels are compiled here rather than by setuptools, because each instruction set needs flags
of its own (kernels/flags.txt). An instruction set that the compiler cannot compile for is left out,
which the console and ``halpbench.kernels.build_info()`` say.
"""

import json
import logging
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = Path("kernels")
HEADERS = sorted(str(path) for path in KERNELS.glob("*.h"))
# Not build_temp, which is a new folder for every editable installation.
CYTHON_DIR, OBJECT_DIR = Path("build", "cython"), Path("build", "kernels")


def read_levels() -> dict[str, tuple[list[str], str]]:
    """Return the flags of each instruction set, and a macro that shows that they take effect."""
    lines = (KERNELS / "flags.txt").read_text().splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return {isa: (flags, macro) for isa, macro, *flags in rows}


# The inner loop and the full-gradient pass, which reach the kernels through a table of backends.
CONTEXTS = ("loop", "losses", "pass", "rounding")

LEVELS = read_levels()
FLAGS, _ = LEVELS.pop("all")
C_FLAGS = ["-std=c11", "-Wall", "-Wextra", "-fvisibility=hidden", *FLAGS]


class BuildKernels(build_ext):
    """``build_ext`` that also compiles the kernels, and links them into ``halpbench._kernels``."""

    def build_extension(self, ext: Extension) -> None:
        if ext.name == "halpbench._kernels":
            ext.extra_objects = self.compile_kernels()
        else:
            ext.extra_objects = [
                self.compile_object(KERNELS / f"{name}.c", []) for name in CONTEXTS
            ]
        ext.depends = [*ext.depends, *ext.extra_objects]
        ext.sources = cythonize([ext], build_dir=str(CYTHON_DIR), quiet=True)[0].sources
        super().build_extension(ext)

    def compile_kernels(self) -> list[str]:
        """Compile what has changed; return the object files."""
        OBJECT_DIR.mkdir(parents=True, exist_ok=True)
        skipped = {isa: reason for isa in LEVELS if (reason := self.why_not(isa))}
        levels = {isa: flags for isa, (flags, _) in LEVELS.items() if isa not in skipped}
        for isa, reason in skipped.items():
            self.announce(f"kernels: no {isa} backend: {reason}", level=logging.INFO)

        build_info = OBJECT_DIR / "build_info.c"
        build_info.write_text(self.build_info_source(levels, skipped))
        have = [f"-DHALP_HAVE_{isa.upper()}" for isa in levels if isa != "scalar"]
        objects = [
            self.compile_object(build_info, []),
            self.compile_object(KERNELS / "cpu.c", []),
            self.compile_object(KERNELS / "rounding.c", []),
            self.compile_object(KERNELS / "backends.c", have),
        ]
        for isa, flags in levels.items():
            objects.append(self.compile_object(KERNELS / f"backend_{isa}.c", flags))
        return objects

    def why_not(self, isa: str) -> str:
        """Return why the compiler cannot compile for this instruction set, or nothing if it can."""
        flags, macro = LEVELS[isa]
        command = [*self.compiler.compiler_so, *flags, "-dM", "-E", "-x", "c", os.devnull]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode == 0:
            return "" if f" {macro} " in run.stdout else "not a target of this compiler"
        return run.stderr.partition("\n")[0]

    def build_info_source(self, levels: dict[str, list[str]], skipped: dict[str, str]) -> str:
        """Return C source of ``halp_build_info``, a JSON string."""
        command = [self.compiler.compiler_so[0], "--version"]
        version = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        info = {
            "compiler": version.partition("\n")[0],
            "flags": [*self.compiler.compiler_so[1:], *C_FLAGS],
            "levels": levels,
            "skipped": skipped,
        }
        # A JSON string of ASCII characters is a C string too.
        return (
            "extern const char halp_build_info[];\n"
            f"const char halp_build_info[] = {json.dumps(json.dumps(info))};\n"
        )

    def compile_object(self, source: Path, flags: list[str]) -> str:
        """Compile one C file, unless its object is newer than all sources and was made alike."""
        target = OBJECT_DIR / f"{source.stem}.o"
        stamp = target.with_suffix(".json")
        command = [*self.compiler.compiler_so, *C_FLAGS, *flags, f"-I{KERNELS}"]
        command += ["-c", str(source), "-o", str(target)]
        # The text of build_info.c stands for the compiler and its version. It is written each
        # time; the dates of the others are enough.
        made_from = json.dumps([command, (OBJECT_DIR / "build_info.c").read_text()])
        inputs = [source, *map(Path, HEADERS)] if source.parent == KERNELS else []
        if not self.force and target.exists() and stamp.exists():
            newest = max((path.stat().st_mtime for path in inputs), default=0.0)
            if stamp.read_text() == made_from and newest < target.stat().st_mtime:
                return str(target)
        stamp.unlink(missing_ok=True)
        self.spawn(command)
        stamp.write_text(made_from)
        return str(target)


def choose_compiler() -> None:
    """Take any C compiler there is where the one that Python was built with is missing."""
    built_with = (sysconfig.get_config_var("CC") or "").split()
    if "CC" in os.environ or not built_with or shutil.which(built_with[0]):
        return
    found = [compiler for compiler in ("cc", "gcc", "clang") if shutil.which(compiler)]
    os.environ["CC"] = found[0] if found else built_with[0]


def extension(name: str) -> Extension:
    """Return the extension module whose Cython source lies where its name says."""
    return Extension(
        name,
        [name.replace(".", "/") + ".pyx"],
        include_dirs=[str(KERNELS)],
        depends=HEADERS,
        extra_compile_args=FLAGS,
    )


choose_compiler()
setup(
    # Only _kernels contains the kernels; _loops is handed one of its backends.
    ext_modules=[extension("halpbench._kernels"), extension("halpbench.solvers._loops")],
    cmdclass={"build_ext": BuildKernels},
)
