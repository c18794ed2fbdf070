"""Build the extension modules, and the C library of the kernels that they share.

Everything else about the package is in pyproject.toml. What is compiled is found: each ``.pyx`` of
the package is a module, each ``.c`` of ``kernels/`` a member of ``libhalp.a``, which is linked into
the modules that call it. Each instruction set needs flags of its own (``kernels/flags.txt``); one
that the compiler cannot compile for is left out, which ``halpbench.kernels.build_info()`` says.

Every file is made by one command, in parallel with others, and again only when the command, a tool
or a file that was read has changed. ``CC``, ``CFLAGS`` and ``LDFLAGS`` are those of the user, whose
flags come last: ``CFLAGS=-g`` keeps debug information, ``CFLAGS=-O0`` does not optimize.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import Cython
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

PACKAGE, KERNELS = Path("halpbench"), Path("kernels")
# Not build_temp, which is a new folder for every editable installation.
OBJECTS, MODULES, PREFIX = Path("build/kernels"), Path("build/modules"), Path("build/prefix")
LIBRARY, PKG_CONFIG_FILE = PREFIX / "lib" / "libhalp.a", PREFIX / "lib" / "pkgconfig" / "halp.pc"
PREFIX_HEADERS = PREFIX / "include" / "halp"
OTHER_TARGET = "not a target of this compiler"

PKG_CONFIG = """\
prefix=${pcfiledir}/../..
includedir=${prefix}/include
libdir=${prefix}/lib

Name: halp
Description: Hand-vectorized kernels of low-precision training
Version: %s
Cflags: -I${includedir}
Libs: -L${libdir} -lhalp -lm
"""


def read_levels() -> dict[str, tuple[list[str], str]]:
    """Return the flags of each instruction set, and a macro that shows that they take effect."""
    lines = (KERNELS / "flags.txt").read_text().splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return {isa: (flags, macro) for isa, macro, *flags in rows}


LEVELS = read_levels()
FLAGS, _ = LEVELS.pop("all")
C_FLAGS = ["-std=c11", "-Wall", "-Wextra", "-fvisibility=hidden", *FLAGS]
USER_FLAGS = shlex.split(os.environ.get("CFLAGS", ""))


def choose_compiler() -> None:
    """Take any C compiler there is where the one that Python was built with is missing."""
    built_with = (sysconfig.get_config_var("CC") or "").split()
    if "CC" in os.environ or not built_with or shutil.which(built_with[0]):
        return
    found = [compiler for compiler in ("cc", "gcc", "clang") if shutil.which(compiler)]
    os.environ["CC"] = found[0] if found else built_with[0]


def write(path: Path, text: str) -> None:
    """Write a file, unless it has this content: its date then stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def files_read(dependencies: Path) -> list[Path]:
    """Return the files that a compiler or Cython noted that it has read, in the words of make."""
    _, _, listed = dependencies.read_text().replace("\\\n", " ").partition(": ")
    return [Path(name) for name in shlex.split(listed)]


class BuildExtensions(build_ext):
    """``build_ext`` in parallel, with the kernels as a library, and that library for C users."""

    def run(self) -> None:
        # setuptools builds elsewhere and copies, and says meanwhile that it builds elsewhere.
        self.for_wheel = not (self.inplace or self.editable_mode)
        super().run()
        if self.for_wheel:
            files = {PREFIX_HEADERS / header.name: header for header in KERNELS.glob("*.h")}
            files |= {path: path for path in (LIBRARY, PKG_CONFIG_FILE)}
            for path, source in files.items():
                target = Path(self.build_lib) / PACKAGE / path.relative_to(PREFIX)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)

    def build_extensions(self) -> None:
        self.tools = f"{self.compiler_version()}, Cython {Cython.__version__}"
        self.lay_out_prefix()
        kernels = self.kernel_steps()
        # The slowest first, so that no thread is left alone with it.
        jobs = [partial(self.compile_module, module) for module in self.extensions]
        jobs += [step for _, step in kernels]
        self.done, self.total = 0, len(kernels) + 1 + 3 * len(self.extensions)
        self.in_parallel(jobs)
        objects = [target for target, _ in kernels]
        self.make(LIBRARY, [*self.compiler.archiver, str(LIBRARY), *map(str, objects)], objects)
        self.in_parallel([partial(self.link_module, module) for module in self.extensions])

    def in_parallel(self, jobs: list[Callable[[], Any]]) -> None:
        """Do jobs in threads, each of which waits for a process."""
        threads = self.parallel if isinstance(self.parallel, int) else 0
        with ThreadPoolExecutor(threads if threads > 1 else os.cpu_count()) as pool:
            futures = [pool.submit(job) for job in jobs]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def lay_out_prefix(self) -> None:
        """Make what C users of a build in place find: <halp/kernels.h>, and a pkg-config file."""
        PREFIX_HEADERS.parent.mkdir(parents=True, exist_ok=True)
        if not PREFIX_HEADERS.is_symlink():
            PREFIX_HEADERS.symlink_to(os.path.relpath(KERNELS, PREFIX_HEADERS.parent))
        write(PKG_CONFIG_FILE, PKG_CONFIG % self.distribution.get_version())

    # ---- Steps ---------------------------------------------------------------------------------

    def kernel_steps(self) -> list[tuple[Path, Callable[[], None]]]:
        """Return the object files of the library, and what makes each."""
        skipped = {isa: reason for isa in LEVELS if (reason := self.why_not(isa))}
        levels = {isa: flags for isa, (flags, _) in LEVELS.items() if isa not in skipped}
        for isa, reason in skipped.items():
            if reason != OTHER_TARGET:
                print(f"no {isa} backend: {reason}", flush=True)
        build_info = OBJECTS / "build_info.c"
        write(build_info, self.build_info_source(levels, skipped))
        have = [f"-DHALP_HAVE_{isa.upper()}" for isa in levels if isa != "scalar"]
        backends = {KERNELS / f"backend_{isa}.c": flags for isa, flags in levels.items()}
        others = [source for source in KERNELS.glob("*.c") if not source.match("backend_*.c")]
        flags_of = backends | dict.fromkeys([*sorted(others), build_info], have)
        return [
            (target := OBJECTS / f"{source.stem}.o", partial(self.compile, source, target, flags))
            for source, flags in flags_of.items()
        ]

    def compile(self, source: Path, target: Path, flags: list[str]) -> None:
        """Compile a C file."""
        command = [*self.compiler.compiler_so, *C_FLAGS, *flags, *USER_FLAGS, f"-I{KERNELS}"]
        self.make_object(source, target, command)

    def compile_module(self, module: Extension) -> None:
        """Translate and compile a Cython file."""
        source, (translated, target) = Path(module.sources[0]), self.files_of(module)
        command = [sys.executable, "-m", "cython", "-M", "-3", str(source), "-o", str(translated)]
        self.make(translated, command, [source], Path(f"{translated}.dep"))
        include = [f"-I{folder}" for folder in (PREFIX / "include", KERNELS)]
        include += [f"-I{folder}" for folder in self.compiler.include_dirs]
        command = [*self.compiler.compiler_so, *FLAGS, *USER_FLAGS, *include]
        self.make_object(translated, target, command)

    def make_object(self, source: Path, target: Path, command: list[str]) -> None:
        """Run a compiler, which notes the headers that it reads."""
        dependencies = target.with_suffix(".d")
        command = [*command, "-MMD", "-MF", str(dependencies), "-c", str(source), "-o", str(target)]
        self.make(target, command, [source], dependencies)

    def link_module(self, module: Extension) -> None:
        """Link a module, and put it where setuptools expects it."""
        _, compiled = self.files_of(module)
        linked = compiled.with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
        stripped = self.for_wheel and sys.platform == "linux" and "-g" not in USER_FLAGS
        command = [*self.compiler.linker_so, str(compiled), str(LIBRARY), "-lm"]
        command += [*["-s"] * stripped, "-o", str(linked)]
        self.make(linked, command, [compiled, LIBRARY])
        target = Path(self.get_ext_fullpath(module.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        self.copy_file(str(linked), str(target))

    def files_of(self, module: Extension) -> tuple[Path, Path]:
        """Return where the C and the object file of a module are kept: apart for each Python."""
        base = MODULES / sysconfig.get_config_var("SOABI") / module.name.replace(".", "/")
        return base.with_suffix(".c"), base.with_suffix(".o")

    def make(
        self,
        target: Path,
        command: list[str],
        sources: list[Path],
        dependencies: Path | None = None,
    ) -> None:
        """Run a command, unless what it made is newer than what it read and was made alike."""
        stamp = target.with_name(f"{target.name}.json")
        made_from = json.dumps([command, self.tools])
        if self.force or not self.is_fresh(target, stamp, made_from, sources, dependencies):
            stamp.unlink(missing_ok=True)
            target.unlink(missing_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            started = time.time_ns()
            ran = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            if ran.returncode:
                raise CompileError(f"{shlex.join(command)}\n{ran.stdout}")
            # A source that was changed meanwhile is newer.
            os.utime(target, ns=(started, started))
            stamp.write_text(made_from)
            print(f"[{self.done + 1}/{self.total}] {target}\n{ran.stdout}", end="", flush=True)
        self.done += 1

    @staticmethod
    def is_fresh(
        target: Path, stamp: Path, made_from: str, sources: list[Path], dependencies: Path | None
    ) -> bool:
        """Tell whether a file need not be made again."""
        needed = [target, stamp, *([dependencies] if dependencies else [])]
        if not all(path.exists() for path in needed) or stamp.read_text() != made_from:
            return False
        read = [*sources, *(files_read(dependencies) if dependencies else [])]
        finished_ns = target.stat().st_mtime_ns
        return all(path.exists() and path.stat().st_mtime_ns < finished_ns for path in read)

    # ---- The compiler --------------------------------------------------------------------------

    def compiler_version(self) -> str:
        """Return the first line of what the compiler says about itself."""
        command = [self.compiler.compiler_so[0], "--version"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return text.partition("\n")[0]

    def why_not(self, isa: str) -> str:
        """Return why the compiler cannot compile for this instruction set, or nothing if it can."""
        flags, macro = LEVELS[isa]
        command = [*self.compiler.compiler_so, *flags, *USER_FLAGS]
        command += ["-dM", "-E", "-x", "c", os.devnull]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode == 0:
            return "" if f" {macro} " in run.stdout else OTHER_TARGET
        return run.stderr.partition("\n")[0]

    def build_info_source(self, levels: dict[str, list[str]], skipped: dict[str, str]) -> str:
        """Return C source of ``halp_build_info``, a JSON string."""
        info = {
            "compiler": self.compiler_version(),
            "flags": [*self.compiler.compiler_so[1:], *C_FLAGS, *USER_FLAGS],
            "levels": levels,
            "skipped": skipped,
        }
        # A JSON string of ASCII characters is a C string too.
        return (
            "extern const char halp_build_info[];\n"
            f"const char halp_build_info[] = {json.dumps(json.dumps(info))};\n"
        )


choose_compiler()
setup(
    ext_modules=[
        Extension(".".join(source.with_suffix("").parts), [str(source)])
        for source in sorted(PACKAGE.rglob("*.pyx"))
    ],
    cmdclass={"build_ext": BuildExtensions},
)
