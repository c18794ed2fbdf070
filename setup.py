"""Build the extension modules. Everything else about the package is in pyproject.toml.

The C kernels are compiled here rather than by setuptools, because each instruction set needs flags
of its own. An instruction set that the compiler does not know is left out, which the console and
``halpbench.kernels.build_info()`` say.
"""

import json
import logging
import subprocess
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# No fused multiply-adds but those written out: results must have the same bits on every CPU.
# No LTO: it would let code of one instruction set leak into another's functions.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fno-lto"]
C_FLAGS = ["-std=c11", "-Wall", "-Wextra", "-fvisibility=hidden", *FLAGS]
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"]

# Instruction set: flags of kernels/backend_<isa>.c, and the macro that shows they took effect.
LEVELS = {
    "scalar": (["-fno-tree-vectorize", "-fno-tree-slp-vectorize"], "__STDC__"),
    "sse41": (["-msse4.1"], "__SSE4_1__"),
    "avx2": (["-mavx2", "-mfma"], "__AVX2__"),
    "avx512": (AVX512, "__AVX512BW__"),
    "avx512vnni": ([*AVX512, "-mavx512vnni"], "__AVX512VNNI__"),
    "neon": ([], "__aarch64__"),
}

KERNELS = Path("kernels")
HEADERS = sorted(str(path) for path in KERNELS.glob("*.h"))
# Not build_temp, which is a new folder for every editable installation.
CYTHON_DIR, OBJECT_DIR = Path("build", "cython"), Path("build", "kernels")


class BuildKernels(build_ext):
    """``build_ext`` that also compiles the kernels, and links them into ``halpbench._kernels``."""

    def build_extension(self, ext: Extension) -> None:
        if ext.name == "halpbench._kernels":
            ext.extra_objects = self.compile_kernels()
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
        probe = OBJECT_DIR / f"probe_{isa}.c"
        probe.write_text(f"#ifndef {macro}\n#error not a target of this compiler\n#endif\n")
        command = [*self.compiler.compiler_so, *flags, "-fsyntax-only", str(probe)]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode == 0:
            return ""
        errors = [line for line in run.stderr.splitlines() if "error" in line]
        return (errors or ["the compiler failed"])[0].split("error")[-1].strip(": ")

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
        # The text of build_info.c stands for the compiler's version, the others' dates are enough.
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


def extension(name: str) -> Extension:
    """Return the extension module whose Cython source lies where its name says."""
    return Extension(
        name,
        [name.replace(".", "/") + ".pyx"],
        include_dirs=[str(KERNELS)],
        depends=HEADERS,
        extra_compile_args=FLAGS,
    )


setup(
    # Only _kernels contains the kernels; _loops calls them through its table of backends.
    ext_modules=[extension("halpbench._kernels"), extension("halpbench.solvers._loops")],
    cmdclass={"build_ext": BuildKernels},
)
