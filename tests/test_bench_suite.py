"""The suite for pytest-benchmark, run as users run it, on a few of its cases."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from halpbench.bench import machine

ROOT = Path(__file__).parents[1]
SELECTION = "(kernel and axpy-i8-L1) or (call and gemv-f32)"

# Runs pytest where no other library is installed.
WITHOUT_PEERS = (
    "import sys, pytest; from halpbench.bench import dots; "
    "dots.libraries = lambda: tuple(dots.DTYPES); sys.exit(pytest.main(sys.argv[1:]))"
)


def run(*arguments):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder with two saved runs of the selection."""
    folder = tmp_path_factory.mktemp("results")
    for name in ("before", "after"):
        run(
            *("-m", "pytest", "benchmarks", "--suite", "smoke", "--results", str(folder)),
            *("-k", SELECTION, f"--benchmark-save={name}", "--benchmark-max-time=0.001"),
        )
    return folder


@pytest.fixture(scope="module")
def saved(results):
    """The content of both runs."""
    folder = results / "kernels" / machine.slug(machine.record())
    paths = sorted(folder.glob("*/*.json"))
    assert [path.name for path in paths] == ["0001_before.json", "0002_after.json"]
    return [json.loads(path.read_text()) for path in paths]


def case(run, name):
    (found,) = [each for each in run["benchmarks"] if each["name"] == name]
    return found


def test_pytest_benchmark_compares_saved_runs(results, saved):
    (folder,) = (results / "kernels").iterdir()
    code = "from pytest_benchmark.cli import main; main()"
    table = run("-c", code, "--storage", str(folder), "compare", "--sort=name")
    for name in ("axpy-i8-L1-scalar] (0001_before)", "axpy-i8-L1-scalar] (0002_after)"):
        assert f"test_kernel[{name}" in table
    assert "benchmark 'axpy i8, L1 (" in table
    assert "benchmark 'call of gemv f32 (16 x 10)'" in table


def test_backends_stand_beside_each_other(saved):
    groups = {}
    for each in saved[0]["benchmarks"]:
        groups.setdefault(each["group"], set()).add(each["params"]["backend"])
    best = machine.record()["build"]["backends"][0]
    assert list(groups.values()) == [{best, "scalar"}] * 2


def test_numbers_belong_together(saved):
    for each in saved[0]["benchmarks"]:
        info, median = each["extra_info"], each["stats"]["median"]
        assert info["backend"] == each["params"]["backend"]
        assert info["elements_per_second"] == pytest.approx(info["elements"] / median)
        assert info["gigabytes_per_second"] == pytest.approx(info["bytes"] / median / 1e9)
        assert each["options"]["timer"] == "kernel_clock"
        assert each["stats"]["rounds"] >= 3


def test_ratios_to_float32_and_scalar(saved):
    scalar = case(saved[0], "test_kernel[axpy-i8-L1-scalar]")["extra_info"]
    assert scalar["ratio_to_f32"] > 0
    assert "ratio_to_scalar" not in scalar, "it is the scalar one itself"
    for each in saved[0]["benchmarks"]:
        if each["params"]["op"] == "axpy" and each["params"]["backend"] != "scalar":
            info = each["extra_info"]
            low, high = info["ratio_to_scalar_low"], info["ratio_to_scalar_high"]
            assert 0 < low <= info["ratio_to_scalar"] <= high


def test_calls_stand_beside_their_kernels(saved):
    calls = [each for each in saved[0]["benchmarks"] if each["name"].startswith("test_call")]
    assert calls
    for each in calls:
        assert each["extra_info"]["overhead_ns"] < each["stats"]["min"] * 1e9
        assert each["extra_info"]["ratio_to_kernel"] > 0


def test_two_runs_on_one_machine_have_the_same_machine_info(saved):
    before, after = (run["machine_info"] for run in saved)
    assert before == after
    assert before["halpbench"]["cpu"] == machine.record()["cpu"]
    assert before["halpbench"]["caches"]


def test_machine_info_drops_what_changes():
    spec = importlib.util.spec_from_file_location("suite", ROOT / "benchmarks" / "conftest.py")
    suite = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(suite)
    record = machine.record()
    info = {
        "node": "a-container",
        "release": "6.1",
        "cpu": {"hz_actual": [1, 0], "hz_actual_friendly": "1 Hz", "brand_raw": "Fast CPU"},
    }
    config = SimpleNamespace(stash={suite.MACHINE: record})
    suite.pytest_benchmark_update_machine_info(config, info)
    kept = info.pop("halpbench")
    assert info == {"release": "6.1", "cpu": {"brand_raw": "Fast CPU"}}
    assert not {"state", "revision"} & set(kept)
    assert "code" not in kept["build"]
    assert kept["build"]["kernels"] == record["build"]["kernels"]
    assert {"state", "revision"} < set(record), "the record itself is as it was"
    assert record["build"]["code"]


def test_a_library_that_is_not_installed_is_listed_as_absent(tmp_path):
    text = run(
        *("-c", WITHOUT_PEERS, "benchmarks", "--suite", "smoke", "--results", str(tmp_path)),
        *("-k", "library and f32-L1", "--benchmark-max-time=0.001"),
    )
    assert "peers: numkong absent, numpy absent" in text
    assert "numkong is absent: pip install '.[peers]'" in text
    assert "test_library[f32-L1-halpbench]" in text
    assert "1 passed, 2 skipped" in text
    assert list(tmp_path.rglob("*.json")) == [], "only a run that asks for it is saved"
