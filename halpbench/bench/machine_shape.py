"""Shape of a machine record: the description of the machine beside the tables and on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

Count = Annotated[int, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
# A number, or text that says why there is none.
Known = Count | str


class Processor(Struct):
    """The CPU, as the system names it."""

    vendor: str
    model: str
    family_model_stepping: str
    microarchitecture: str
    isa: list[str]
    cores: Known
    threads: Known
    usable_cores: Known
    smt: str


class Cache(Struct):
    """One cache of data."""

    level: Count
    size_bytes: Count
    shared_by: str


class System(Struct):
    """The operating system and its settings."""

    os: str
    kernel: str
    libc: str
    hypervisor: str
    huge_pages: str
    governor: str
    turbo: str


class KernelBuild(Struct):
    """Compiler and flags of the kernels."""

    compiler: str | UnsetType = UNSET
    flags: list[str] | UnsetType = UNSET
    levels: dict[str, Any] | UnsetType = UNSET


class PackageBuild(Struct):
    """Backends, and a digest of the code that is timed."""

    kernels: KernelBuild
    backends: list[str]
    active: str
    code: str


class Blas(Struct):
    """A linear algebra library that is loaded."""

    name: str
    version: str
    threads: Known
    architecture: str


class State(Struct):
    """State that changes from minute to minute."""

    load_1min: NonNegative
    memory_available_bytes: NonNegative


class ReadCeiling(Struct):
    """Speed of reading a level of memory."""

    level: str
    size_bytes: Count | None
    backend: str
    threads: Count
    gigabytes_per_second: Positive


class ArithmeticCeiling(Struct):
    """Speed of multiply-adds."""

    backend: str
    dtype: str
    giga_per_second: Positive


class Ceilings(Struct):
    """Peak rates of the machine."""

    read: list[ReadCeiling]
    multiply_add: list[ArithmeticCeiling]


class Machine(Struct):
    """A machine and a build, see `bench.machine.record`; more fields may be there."""

    cpu: Processor
    caches: list[Cache]
    memory_bytes: Count
    numa_nodes: Known
    system: System
    build: PackageBuild
    python: str
    libraries: dict[str, str]
    blas: list[Blas]
    revision: str
    state: State
    ceilings: Ceilings | UnsetType = UNSET


def fault(machine: Mapping[str, Any]) -> str:
    """Describe the deviation of a machine record from the shape, if there is one."""
    try:
        msgspec.convert(machine, Machine)
    except msgspec.ValidationError as error:
        return str(error)
    return ""
