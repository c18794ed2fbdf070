"""The machine and the build, as far as numbers depend on them. Reads, never changes."""

import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from halpbench import kernels

UNKNOWN = "unknown"
SYS, PROC = Path("/sys"), Path("/proc")
PACKAGE = Path(__file__).resolve().parents[1]

# Parts of the package that no timed loop runs.
UNMEASURED = ("bench", "report", "cli", "deep", "__main__.py")

LIBRARIES = (
    "halpbench",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "Cython",
    "threadpoolctl",
    "numkong",
    "scikit-learn-intelex",
    "snapml",
    "skglm",
)
# As Linux names them.
X86_FLAGS = ("sse4_1", "avx", "avx2", "fma", "bmi2", "f16c", "avx_vnni", "amx_int8")
AVX512_FLAGS = ("avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512vbmi")
ARM_FLAGS = ("asimd", "asimddp", "i8mm", "sve")


def record(root: Path = SYS, proc: Path = PROC) -> dict[str, Any]:
    """Describe this machine and this build as JSON data; "unknown" is a value.

    Parameters
    ----------
    root : Path
        Mount point of sysfs; another folder serves tests.
    proc : Path
        Mount point of procfs.
    """
    # Late, so that the commands which need no machine record run without the extra [bench].
    import psutil
    from threadpoolctl import threadpool_info

    cpu, info = root / "devices/system/cpu", _cpuinfo(proc)
    return {
        "cpu": _cpu(cpu, info),
        "caches": caches(root),
        "memory_bytes": psutil.virtual_memory().total,
        "numa_nodes": len(list((root / "devices/system/node").glob("node[0-9]*"))) or UNKNOWN,
        "system": {
            "os": platform.system(),
            "kernel": platform.release(),
            "libc": " ".join(platform.libc_ver()).strip() or UNKNOWN,
            "hypervisor": _hypervisor(root, info),
            "huge_pages": _selected(_text(root / "kernel/mm/transparent_hugepage/enabled")),
            "governor": _text(cpu / "cpu0/cpufreq/scaling_governor"),
            "turbo": _turbo(cpu),
        },
        "build": {
            "kernels": _plain(kernels.build_info()),
            "backends": list(kernels.backends()),
            "active": kernels.active(),
            "code": code_digest(),
        },
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": {name: _version(name) for name in LIBRARIES},
        "blas": [
            {
                "name": pool.get("internal_api", UNKNOWN),
                "version": pool.get("version") or UNKNOWN,
                "threads": pool.get("num_threads", UNKNOWN),
                "architecture": pool.get("architecture", UNKNOWN),
            }
            for pool in threadpool_info()
        ],
        "revision": revision(),
        "state": {
            "load_1min": round(psutil.getloadavg()[0], 2),
            "memory_available_bytes": psutil.virtual_memory().available,
        },
    }


def fingerprint(machine: Mapping[str, Any]) -> str:
    """Digest the properties that records must share to be put side by side.

    The CPU, its caches, the compiler, its flags, the backend in use and the code; not the state,
    which changes from minute to minute, nor the revision, which may concern the documents alone.
    """
    cpu = machine["cpu"]
    parts = [
        {name: cpu[name] for name in ("vendor", "model", "family_model_stepping", "isa")},
        machine["caches"],
        machine["build"],
        machine["python"],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def with_code(fingerprint: str, *modules: str) -> str:
    """Digest a fingerprint together with modules that it does not cover: paths from `bench`.

    For records that depend on more than the timed code: a record of other code must not be reused.
    """
    digest = hashlib.sha256(fingerprint.encode())
    for name in modules:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()[:16]


def slug(machine: Mapping[str, Any]) -> str:
    """Name the directory for the results of this kind of CPU."""
    cpu = machine["cpu"]
    name = f"{cpu['model']} {cpu['microarchitecture']}".lower()
    # Trade marks, frequencies and core counts say nothing that the microarchitecture does not.
    name = re.sub(r"\(r\)|\(tm\)|@.*?ghz|\b\d+-core\b|\bprocessor\b|\bcpu\b", " ", name)
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-") or UNKNOWN


def warnings_for(machine: Mapping[str, Any]) -> list[str]:
    """List the possible disturbances of a measurement on this machine, one sentence each."""
    sentences = []
    system, cpu = machine["system"], machine["cpu"]
    load = machine["state"]["load_1min"]
    if load > 0.5:
        sentences.append(f"other work is running (load {load}); timings will scatter")
    if system["governor"] not in ("performance", UNKNOWN):
        sentences.append(f"CPU frequency governor is {system['governor']!r}, not 'performance'")
    if system["turbo"] == "on":
        sentences.append("turbo is on: the clock rate depends on temperature and load")
    if system["hypervisor"] not in ("none", UNKNOWN):
        sentences.append("this is a virtual machine: neighbours may disturb it")
    if isinstance(cpu["usable_cores"], int) and cpu["usable_cores"] < 2:
        sentences.append("only one core is usable: the system's own work shares it")
    if "OPENBLAS_CORETYPE" in os.environ:
        sentences.append(f"OPENBLAS_CORETYPE is set to {os.environ['OPENBLAS_CORETYPE']!r}")
    if os.environ.get("HALPBENCH_ISA"):
        sentences.append(f"HALPBENCH_ISA forces the backend {os.environ['HALPBENCH_ISA']!r}")
    return sentences


def caches(root: Path = SYS) -> list[dict[str, Any]]:
    """List the data caches of the first core, nearest first."""
    data_caches = []
    for index in sorted((root / "devices/system/cpu/cpu0/cache").glob("index[0-9]*")):
        size = re.fullmatch(r"(\d+)([KMG]?)", _text(index / "size"))
        if size is None or _text(index / "type") not in ("Data", "Unified"):
            continue
        data_caches.append(
            {
                "level": int(_text(index / "level")),
                "size_bytes": int(size[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[size[2]],
                "shared_by": _text(index / "shared_cpu_list"),
            }
        )
    return sorted(data_caches, key=lambda cache: cache["level"])


def code_digest(package: Path = PACKAGE) -> str:
    """Digest the code whose speed is measured: all of the package but `UNMEASURED`."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        parts = path.relative_to(package).parts
        if path.suffix not in (".py", ".so", ".pyd") or parts[0] in UNMEASURED:
            continue
        digest.update("/".join(parts).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def available_memory() -> int:
    """Bytes of memory that can be had without swapping."""
    import psutil

    return int(psutil.virtual_memory().available)


def _cpu(folder: Path, info: Mapping[str, str]) -> dict[str, Any]:
    import archspec.cpu
    import psutil

    host = archspec.cpu.host()
    # archspec lists what the microarchitecture should have; the kernel, what this CPU has.
    flags = (info.get("flags") or info.get("Features") or " ".join(host.features)).split()
    usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 0))(0)
    return {
        "vendor": info.get("vendor_id", host.vendor),
        "model": archspec.cpu.brand_string() or platform.processor() or UNKNOWN,
        "family_model_stepping": "/".join(
            info.get(name, UNKNOWN) for name in ("cpu family", "model", "stepping")
        ),
        "microarchitecture": host.name,
        "isa": [flag for flag in X86_FLAGS + AVX512_FLAGS + ARM_FLAGS if flag in flags],
        "cores": psutil.cpu_count(logical=False) or UNKNOWN,
        "threads": psutil.cpu_count() or UNKNOWN,
        "usable_cores": len(usable) or UNKNOWN,
        "smt": {"1": "on", "0": "off"}.get(_text(folder / "smt/active"), UNKNOWN),
    }


def _cpuinfo(proc: Path) -> dict[str, str]:
    """Read the description of the first CPU by Linux; empty elsewhere."""
    first = _text(proc / "cpuinfo").split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _hypervisor(root: Path, info: Mapping[str, str]) -> str:
    if "flags" not in info:
        return UNKNOWN
    if "hypervisor" not in info["flags"].split():
        return "none"
    name = _text(root / "class/dmi/id/product_name")
    return name if name != UNKNOWN else "present, name unknown"


def _turbo(cpu: Path) -> str:
    boost = _text(cpu / "cpufreq/boost")
    disabled = _text(cpu / "intel_pstate/no_turbo")
    if boost in "01":
        return "on" if boost == "1" else "off"
    return {"0": "on", "1": "off"}.get(disabled, UNKNOWN)


def _selected(choices: str) -> str:
    """Find the setting in force, which sysfs puts in brackets: "always [madvise] never"."""
    match = re.search(r"\[(\w+)\]", choices)
    return match[1] if match else UNKNOWN


def _text(path: Path) -> str:
    try:
        return path.read_text().strip() or UNKNOWN
    except OSError:
        return UNKNOWN


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return UNKNOWN


def revision(package: Path = PACKAGE) -> str:
    """Ask git for the revision of the source tree this runs from, with a mark if changed.

    An installed package has no tree, but pip may have noted the commit; otherwise only its version
    is known.
    """
    if (package.parent / ".git").exists():
        git = ["git", "-C", str(package.parent), "describe", "--always", "--dirty", "--abbrev=12"]
        try:
            done = subprocess.run(git, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            pass
        else:
            return done.stdout.strip()
    try:
        origin = metadata.distribution("halpbench").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        origin = None
    return installed_revision(origin, _version("halpbench"))


def installed_revision(direct_url: str | None, version: str) -> str:
    """Return the commit that pip installed a package from (PEP 610); its version if none is known.

    Parameters
    ----------
    direct_url : str or None
        Content of ``direct_url.json``.
    version : str
    """
    try:
        commit = json.loads(direct_url or "{}")["vcs_info"]["commit_id"]
        return str(commit)[:12]
    except (ValueError, LookupError, TypeError):
        return f"{UNKNOWN} (version {version})"


def _plain(value: Any) -> Any:
    """Turn a value into JSON data: values of types that JSON lacks become text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
