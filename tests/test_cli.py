"""The command line: what it prints, writes and returns."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from halpbench import cli
from halpbench.bench import cases, ceilings, machine, runner
from halpbench.bench.records import Record, Series, Store
from halpbench.cli import bench as bench_commands

HELPS = ([], ["info"], ["datasets"], ["kernels"], ["bench"], ["compare"], ["report"], ["peers"])


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """Run `halpbench bench` on two small cases whose samples are made up; returns the exit code."""

    def measure(case, fingerprint="", *rest):
        series = tuple(
            Series(dtype, {"calls": (ns, ns)}, {"calls": 1, "bytes": 10})
            for dtype, ns in (("f32", 40), ("i8", 10))
        )
        from dataclasses import asdict

        return Record(case.kind, asdict(case), fingerprint, "2024-01-01", series)

    def suite(name, *, backends, cache_bytes, peers, tables, repeats):
        dtypes = ("f32", "i8")
        return [cases.KernelCase("dot", n, "avx2", dtypes=dtypes, suite=name) for n in (10, 20)]

    monkeypatch.setattr(runner, "measure", measure)
    monkeypatch.setattr(cases, "suite", suite)
    monkeypatch.setattr(ceilings, "measure", lambda machine: {"read": [], "multiply_add": []})
    return lambda *arguments: cli.main(["bench", "--results", str(tmp_path), *arguments])


@pytest.mark.parametrize("command", HELPS, ids=lambda command: " ".join(command) or "none")
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([*command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "usage: halpbench" in text
    assert "show this help message" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["bench", "--suite", "tiny"], "invalid choice: 'tiny'"),
        (["bench", "--repeats", "0"], "got '0'; expected an integer of at least 1"),
        (["kernels", "--n", "many"], "got 'many'; expected an integer"),
    ],
)
def test_mistakes_in_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "--tables", "speed"], "--tables: got 'speed'; expected some of kernels, epochs"),
        (["bench", "--tables", ","], "--tables: got ','; expected some of kernels"),
        (["peers", "--problems", "digits,x"], "got 'digits,x'; expected some of digits, tall"),
        (["peers", "--only", "nobody"], "--only: got 'nobody'; expected some of halpbench"),
    ],
)
def test_unknown_names_are_refused(arguments, message, capsys):
    assert cli.main([*arguments, "--suite", "smoke"]) == 2
    assert message in capsys.readouterr().err


def test_info(capsys):
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    assert "CPU\n" in text
    assert "microarchitecture" in text


def test_info_json(capsys):
    assert cli.main(["info", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["fingerprint"] == machine.fingerprint(content)
    assert isinstance(content["warnings"], list)


def test_info_measures_ceilings_when_asked(monkeypatch, capsys):
    monkeypatch.setattr(ceilings, "measure", lambda machine: {"made up": 1})
    assert cli.main(["info", "--json", "--ceilings"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["ceilings"] == {"made up": 1}
    assert content["fingerprint"] == machine.fingerprint(content)


def test_datasets(capsys):
    assert cli.main(["datasets"]) == 0
    text = capsys.readouterr().out
    assert "fashion-mnist" in text
    assert "synthetic-regression" in text


def test_datasets_json(capsys):
    assert cli.main(["datasets", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {"name", "source", "license"} <= set(content[0])


def test_bench_writes_records_and_tables(bench, tmp_path, capsys):
    assert bench() == 0
    output = capsys.readouterr()
    assert "dot, avx2" in output.out
    assert "4.00" in output.out
    assert "[2/2] dot, 20 elements, avx2: done" in output.err
    (folder,) = (tmp_path / "raw").iterdir()
    assert sorted(os.listdir(folder)) == [".lock", "kernel.jsonl", "machine.json"]
    assert "kernels.md" in os.listdir(tmp_path / "tables" / folder.name)


def test_bench_continues(bench, capsys):
    bench()
    capsys.readouterr()
    assert bench() == 0
    assert capsys.readouterr().err.count(": reused") == 2
    assert bench("--fresh") == 0
    assert capsys.readouterr().err.count(": done") == 2


def test_bench_measures_ceilings_once(bench, monkeypatch, tmp_path):
    counts = iter(range(9))
    monkeypatch.setattr(ceilings, "measure", lambda machine: {"count": next(counts)})

    def kept():
        (folder,) = (tmp_path / "raw").iterdir()
        (record,) = Store(tmp_path, folder.name).machines().values()
        return record["ceilings"]["count"]

    bench()
    assert kept() == 0
    bench()
    assert kept() == 0
    bench("--fresh")
    assert kept() == 1


def test_bench_json(bench, capsys):
    assert bench("--json") == 0
    kernels, summary = json.loads(capsys.readouterr().out)
    assert summary["table"] == "summary"
    assert kernels["table"] == "kernels"
    assert kernels["machine"]["build"]["active"]


def test_an_interruption_returns_130_and_keeps_records(bench, monkeypatch, tmp_path, capsys):
    measure = runner.measure

    def interrupted(case, *rest):
        if case.n == 20:
            raise KeyboardInterrupt
        return measure(case, *rest)

    monkeypatch.setattr(runner, "measure", interrupted)
    assert bench() == 130
    assert "the same command continues" in capsys.readouterr().err
    (folder,) = (tmp_path / "raw").iterdir()
    assert len(Store(tmp_path, folder.name).records()) == 1
    monkeypatch.setattr(runner, "measure", measure)
    assert bench() == 0
    assert capsys.readouterr().err.count(": reused") == 1


@pytest.mark.parametrize("command", ["bench", "figures", "tune --problem figure-1"])
def test_a_second_run_on_the_same_results_is_refused(command, tmp_path, capsys):
    root = tmp_path if command == "bench" else tmp_path / "paper"
    with Store(root, machine.slug(machine.record())).locked():
        assert cli.main([*command.split(), "--results", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"error: another run is writing to {root / 'raw'}" in error
    assert "choose another results folder" in error
    assert not list(root.rglob("*.json*"))


def test_time_that_runs_out_is_told(bench, monkeypatch, capsys):
    monkeypatch.setitem(bench_commands.LIMIT_SECONDS, "full", 0.0)
    assert bench() == 0
    assert "no time for 2 of 2 cases" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert cli.main(["bench", "--results", str(blocked)]) == 2
    error = capsys.readouterr().err
    assert "error:" in error
    assert str(blocked) in error
    assert "Traceback" not in error


def test_report_makes_the_tables_again(bench, tmp_path, capsys):
    bench()
    (folder,) = (tmp_path / "tables").iterdir()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in folder.iterdir():
        path.unlink()
    assert cli.main(["report", "--results", str(tmp_path)]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_report_without_records(tmp_path, capsys):
    assert cli.main(["report", "--results", str(tmp_path)]) == 2
    assert "`halpbench bench` makes them" in capsys.readouterr().err


def test_a_missing_package_is_named_with_its_extra(monkeypatch, capsys):
    def lacking():
        raise ModuleNotFoundError("No module named 'psutil'")

    monkeypatch.setattr(machine, "record", lacking)
    assert cli.main(["info"]) == 2
    error = capsys.readouterr().err
    assert "No module named 'psutil'" in error
    assert "pip install '.[bench]'" in error


def test_commands_that_measure_nothing_run_without_the_extra():
    """The libraries that describe the machine are imported when it is described."""
    code = (
        "import sys, halpbench.cli; halpbench.cli.main(['datasets', '--json']); "
        "sys.exit(bool({'psutil', 'archspec', 'matplotlib', 'tabulate'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(FileNotFoundError):
        cli.main(["--debug", "report", "--results", str(tmp_path)])


def test_a_damaged_record_is_a_warning(bench, tmp_path, capsys):
    bench()
    (folder,) = (tmp_path / "raw").iterdir()
    with open(folder / "kernel.jsonl", "a") as file:
        file.write('{"schema": 1, "ki')
    capsys.readouterr()
    assert cli.main(["report", "--results", str(tmp_path)]) == 0
    assert "line 3 skipped: not JSON" in capsys.readouterr().err


def test_the_module_runs():
    done = subprocess.run(
        [sys.executable, "-m", "halpbench", "report", "--results", "/nonexistent"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 2
    assert done.stderr.startswith("halpbench: error: no raw records below")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", [["deep", "lstm"], ["deep-speed"], ["figures", "--suite", "deep"]]
)
def test_deep_learning_without_torch(command, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("halpbench.deep")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert cli.main(command) == 2
    assert "pip install '.[deep]'" in capsys.readouterr().err
