"""The machine record, on this machine and on made-up ones."""

import json

import pytest

from halpbench.bench import machine


@pytest.fixture(scope="module")
def here():
    return machine.record()


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def test_record_is_json_and_complete(here):
    assert json.loads(json.dumps(here)) == here
    assert {"cpu", "caches", "system", "build", "libraries", "blas", "revision"} <= set(here)
    assert here["memory_bytes"] > 0
    assert here["build"]["active"] in here["build"]["backends"]


def test_unknown_is_a_value(tmp_path):
    empty = machine.record(tmp_path)
    assert empty["caches"] == []
    assert empty["system"]["governor"] == machine.UNKNOWN
    assert empty["system"]["turbo"] == machine.UNKNOWN
    assert empty["cpu"]["smt"] == machine.UNKNOWN
    assert isinstance(machine.fingerprint(empty), str)


def test_caches_from_sysfs(tmp_path):
    cpu = tmp_path / "devices/system/cpu/cpu0/cache"
    for index, (level, kind, size) in enumerate(
        [(1, "Data", "32K"), (1, "Instruction", "32K"), (2, "Unified", "1M"), (3, "Unified", "9")]
    ):
        write(
            cpu / f"index{index}",
            {"level": str(level), "type": kind, "size": size, "shared_cpu_list": "0-1"},
        )
    write(cpu / "index9", {"level": "4", "type": "Unified", "size": "huge"})
    found = machine.caches(tmp_path)
    assert [(c["level"], c["size_bytes"]) for c in found] == [(1, 32 << 10), (2, 1 << 20), (3, 9)]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("cpufreq/boost", "1", "on"),
        ("cpufreq/boost", "0", "off"),
        ("intel_pstate/no_turbo", "1", "off"),
        ("intel_pstate/no_turbo", "0", "on"),
    ],
)
def test_turbo(tmp_path, name, value, expected):
    write(tmp_path / "devices/system/cpu", {name: value})
    assert machine.record(tmp_path)["system"]["turbo"] == expected


def test_arm(tmp_path):
    """The kernel names neither vendor nor model there."""
    info = "processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\nCPU implementer\t: 0x41\n\n"
    write(tmp_path, {"cpuinfo": info})
    found = machine.record(tmp_path, tmp_path)
    assert found["cpu"]["isa"] == ["asimd", "asimddp", "i8mm"]
    assert found["cpu"]["family_model_stepping"] == "unknown/unknown/unknown"
    assert found["system"]["hypervisor"] == machine.UNKNOWN


def test_macos(tmp_path, monkeypatch):
    """Neither /proc nor /sys, and no affinity."""
    monkeypatch.delattr(machine.os, "sched_getaffinity")
    found = machine.record(tmp_path, tmp_path)
    assert found["cpu"]["usable_cores"] == machine.os.cpu_count()
    assert found["numa_nodes"] == machine.UNKNOWN
    assert machine.slug(found)
    assert isinstance(machine.warnings_for(found), list)


def test_fingerprint_ignores_what_changes_by_the_minute(here):
    later = here | {"state": {"load_1min": 9.0, "memory_available_bytes": 1}, "revision": "abc"}
    later |= {"ceilings": {"read": [], "multiply_add": []}}
    assert machine.fingerprint(later) == machine.fingerprint(here)


@pytest.mark.parametrize("part", ["caches", "build", "python"])
def test_fingerprint_tells_builds_and_machines_apart(here, part):
    assert machine.fingerprint(here | {part: "other"}) != machine.fingerprint(here)


def test_code_digest_follows_the_measured_code_alone(tmp_path):
    write(
        tmp_path,
        {"solvers/halp.py": "a", "_loops.so": "b", "bench/cases.py": "c", "cli/info.py": "d"},
    )
    before = machine.code_digest(tmp_path)
    write(tmp_path, {"bench/cases.py": "other", "cli/info.py": "other", "report/x.py": "new"})
    assert machine.code_digest(tmp_path) == before
    write(tmp_path, {"_loops.so": "other"})
    assert machine.code_digest(tmp_path) != before


@pytest.mark.parametrize(
    ("model", "microarchitecture", "expected"),
    [
        ("AMD EPYC 7B13", "zen3", "amd-epyc-7b13-zen3"),
        ("Intel(R) Core(TM) i7-1260P CPU @ 2.10GHz", "alderlake", "intel-core-i7-1260p-alderlake"),
        ("AMD Ryzen 9 5950X 16-Core Processor", "zen3", "amd-ryzen-9-5950x-zen3"),
        ("../..", "", "unknown"),
    ],
)
def test_slug(model, microarchitecture, expected):
    cpu = {"model": model, "microarchitecture": microarchitecture}
    assert machine.slug({"cpu": cpu}) == expected


def quiet(here):
    return here | {
        "state": {"load_1min": 0.0},
        "system": {"governor": "performance", "turbo": "off", "hypervisor": "none"},
        "cpu": {"usable_cores": 4},
    }


def test_a_quiet_machine_has_no_warnings(here, monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.delenv("HALPBENCH_ISA", raising=False)
    assert machine.warnings_for(quiet(here)) == []


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("state", "load_1min", 3.0, "load 3.0"),
        ("system", "governor", "powersave", "powersave"),
        ("system", "turbo", "on", "turbo"),
        ("system", "hypervisor", "KVM", "virtual machine"),
        ("cpu", "usable_cores", 1, "one core"),
    ],
)
def test_warnings(here, monkeypatch, part, name, value, message):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.delenv("HALPBENCH_ISA", raising=False)
    disturbed = quiet(here)
    disturbed[part] = disturbed[part] | {name: value}
    (found,) = machine.warnings_for(disturbed)
    assert message in found


def test_warnings_name_variables_that_change_the_build(here, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("HALPBENCH_ISA", "sse41")
    assert [w for w in machine.warnings_for(quiet(here)) if "Haswell" in w]
    assert [w for w in machine.warnings_for(quiet(here)) if "sse41" in w]


def test_the_revision_of_an_installed_package(tmp_path):
    """As pip notes it where it installed from git; else the version is all that is known."""
    noted = (
        '{"url": "https://host/x.git", "vcs_info": {"vcs": "git", "commit_id": "0123456789abcdef"}}'
    )
    assert machine.installed_revision(noted, "1.2") == "0123456789ab"
    for text in (None, "", "{", "[]", '{"dir_info": {"editable": true}}', '{"vcs_info": null}'):
        assert machine.installed_revision(text, "1.2") == "unknown (version 1.2)"
    assert machine.revision(tmp_path / "halpbench").startswith("unknown (version ")
