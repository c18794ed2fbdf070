"""A machine record in words: groups of lines, for the console and for pages."""

from collections.abc import Iterable, Mapping
from typing import Any

from halpbench.report import cells
from halpbench.report.cells import Row, Table

Group = tuple[str, dict[str, str]]


def describe(machine: Mapping[str, Any]) -> list[Group]:
    """Describe a machine, most telling facts first.

    Parameters
    ----------
    machine : mapping
        As `bench.machine.record` makes it.

    Returns
    -------
    list of (str, dict)
        Title of a group, and its lines: name and text.
    """
    cpu, system, build, state = (machine[part] for part in ("cpu", "system", "build", "state"))
    compiled = build["kernels"]
    return [
        (
            "CPU",
            {
                "model": f"{cpu['model']} ({cpu['vendor']}, {cpu['family_model_stepping']})",
                "microarchitecture": cpu["microarchitecture"],
                "cores": f"{cpu['cores']}, {cpu['threads']} threads, {cpu['usable_cores']} usable; "
                f"SMT {cpu['smt']}; NUMA nodes {machine['numa_nodes']}",
                "caches": ", ".join(map(_cache, machine["caches"])) or "unknown",
                "memory": f"{_binary(machine['memory_bytes'])}, "
                f"{_binary(state['memory_available_bytes'])} available",
                "instructions": _listed(cpu["isa"]),
            },
        ),
        (
            "System",
            {
                "kernel": f"{system['os']} {system['kernel']}, {system['libc']}",
                "hypervisor": system["hypervisor"],
                "governor": f"{system['governor']}, turbo {system['turbo']}",
                "huge pages": system["huge_pages"],
                "load": f"{state['load_1min']:.2f} in the last minute",
            },
        ),
        (
            "Build",
            {
                "compiler": compiled.get("compiler", "unknown"),
                "flags": " ".join(compiled.get("flags", ())) or "unknown",
                "compiled": _listed(compiled.get("levels", ())),
                "usable": _listed(build["backends"]),
                "active": build["active"],
                "revision": f"{machine['revision']}, code {build['code']}",
            },
        ),
        (
            "Python",
            {
                "interpreter": machine["python"],
                "libraries": _listed(f"{k} {v}" for k, v in machine["libraries"].items()),
                "BLAS": _listed(
                    f"{pool['name']} {pool['version']}, {pool['threads']} threads, "
                    f"{pool['architecture']}"
                    for pool in machine["blas"]
                ),
            },
        ),
    ]


def ceilings(machine: Mapping[str, Any]) -> list[Table]:
    """Tabulate the peak rates of a machine; no tables where they were not measured.

    Parameters
    ----------
    machine : mapping
        A machine record, with the result of `bench.ceilings.measure` under "ceilings".
    """
    measured = machine.get("ceilings")
    if not measured:
        return []
    reads, peaks = measured["read"], measured["multiply_add"]
    backends = list(dict.fromkeys(row["backend"] for row in peaks))
    together = [row for row in reads if row["threads"] > 1]
    header = ["read GB/s", *backends]
    header += [f"{row['threads']} threads" for row in together[:1]]
    lines = []
    for level in dict.fromkeys(row["level"] for row in reads):
        of_level = [row for row in reads if row["level"] == level]
        speeds_there: list[Row | None] = [
            cells.find(of_level, backend=backend, threads=1) for backend in backends
        ]
        speeds_there += [cells.find(of_level, threads=row["threads"]) for row in together[:1]]
        lines.append([level, *(cells.plain(row, "gigabytes_per_second") for row in speeds_there)])
    speeds = [
        [
            dtype,
            *(
                cells.plain(cells.find(peaks, backend=backend, dtype=dtype), "giga_per_second")
                for backend in backends
            ),
        ]
        for dtype in dict.fromkeys(row["dtype"] for row in peaks)
    ]
    notes = (
        [f"{together[0]['threads']} threads: with {together[0]['backend']}."] if together else []
    )
    return [
        Table("Reading memory, one thread", tuple(header), lines, notes),
        Table("10^9 multiply-adds a second, one thread", ("of", *backends), speeds),
    ]


def _cache(cache: Mapping[str, Any]) -> str:
    return f"L{cache['level']} {_binary(cache['size_bytes'])} (CPUs {cache['shared_by']})"


def _binary(count: float) -> str:
    """Write a number of bytes as memory is sold."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
