"""The command line: what it prints, writes and returns."""

import contextlib
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import pytest

from halpbench import cli, kernels
from halpbench.bench import cases, machine, runner, schema
from halpbench.bench.store import Store
from halpbench.cli import bench as bench_commands

HELPS = ([], ["info"], ["datasets"], ["kernels"], ["bench"], ["compare"], ["report"], ["peers"])


def no_ceilings(machine):
    return {"read": [], "multiply_add": []}


@pytest.fixture
def bench(tmp_path):
    """Run `halpbench bench` on two small cases whose times are made up; returns the exit code."""

    def time_kernel(op, dtype, n, calls, classes):
        return calls * {"f32": 40, "i8": 10}[dtype]

    def suite(name, *, backends, cache_bytes, libraries, repeats):
        kernels = [cases.KernelCase("dot", n, "avx2", ("f32", "i8")) for n in (10, 20)]
        plan = cases.Plan(suite=name, at_least=2, at_most=2)
        return [cases.Planned(kernel, plan) for kernel in kernels]

    def bench(*arguments, results=tmp_path, time_kernel=time_kernel, measure_ceilings=no_ceilings):
        place = [] if results is None else ["--results", str(results)]
        instruments = runner.Instruments(
            use=lambda backend: contextlib.nullcontext(),
            time_kernel=time_kernel,
            check=lambda *_: None,
        )
        return cli.main(
            ["bench", *place, *arguments],
            make_suite=suite,
            measure_ceilings=measure_ceilings,
            instruments=instruments,
        )

    return bench


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


def test_info_measures_ceilings_when_asked(capsys):
    made_up = {"made up": 1}
    arguments = ["info", "--json", "--ceilings"]
    assert cli.main(arguments, measure_ceilings=lambda machine: made_up) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["ceilings"] == made_up
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
    assert sorted(os.listdir(folder)) == [".lock", "machine.json", "records.jsonl"]
    assert "kernels.md" in os.listdir(tmp_path / "tables" / folder.name)


def test_bench_continues(bench, capsys):
    bench()
    capsys.readouterr()
    assert bench() == 0
    assert capsys.readouterr().err.count(": reused") == 2
    assert bench("--fresh") == 0
    assert capsys.readouterr().err.count(": done") == 2


def test_bench_measures_ceilings_once(bench, tmp_path):
    counts = iter(range(9))

    def count(machine):
        return {"count": next(counts)}

    def kept():
        (folder,) = (tmp_path / "raw").iterdir()
        (record,) = Store(tmp_path, folder.name).machines().values()
        return record["ceilings"]["count"]

    bench(measure_ceilings=count)
    assert kept() == 0
    bench(measure_ceilings=count)
    assert kept() == 0
    bench("--fresh", measure_ceilings=count)
    assert kept() == 1


def test_bench_json(bench, capsys):
    assert bench("--json") == 0
    kernels, summary = json.loads(capsys.readouterr().out)
    assert summary["table"] == "summary"
    assert kernels["table"] == "kernels"
    assert kernels["machine"]["build"]["active"]


def test_an_interruption_returns_130_and_keeps_records(bench, tmp_path, capsys):
    def interrupted(op, dtype, n, calls, classes):
        if n == 20:
            raise KeyboardInterrupt
        return 40 * calls

    assert bench(time_kernel=interrupted) == 130
    assert "the same command continues" in capsys.readouterr().err
    (folder,) = (tmp_path / "raw").iterdir()
    assert len(Store(tmp_path, folder.name).records()) == 1
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


def test_results_are_where_the_environment_says(bench, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HALPBENCH_RESULTS", str(tmp_path / "there"))
    monkeypatch.chdir(tmp_path)
    assert bench(results=None) == 0
    (folder,) = (tmp_path / "there" / "raw").iterdir()
    assert f"raw records: {folder}; tables: {tmp_path}/there/tables/" in capsys.readouterr().err
    assert bench("--suite", "smoke", results=None) == 0
    assert (tmp_path / "there" / "smoke" / "raw").is_dir()
    assert bench(results="here") == 0, "the option goes first"
    assert f"raw records: {tmp_path}/here/raw/" in capsys.readouterr().err, "an absolute path"
    monkeypatch.delenv("HALPBENCH_RESULTS")
    assert bench(results=None) == 0
    assert (tmp_path / "results" / "raw").is_dir()


def test_another_table_is_no_other_measurement(bench, capsys):
    assert bench("--tables", "kernels") == 0
    capsys.readouterr()
    assert bench() == 0
    assert bench("--suite", "smoke", "--tables", "kernels,epochs") == 0
    assert capsys.readouterr().err.count(": reused") == 4
    assert bench("--tables", "convergence") == 0
    assert "dot" not in capsys.readouterr().err


def test_the_schema_is_printed(capsys):
    assert cli.main(["records", "schema"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content == json.loads(json.dumps(schema.json_schema()))
    assert {"KernelRecord", "EpochsRecord", "Setting"} <= set(content["$defs"])


def test_old_records_are_upgraded(bench, tmp_path, capsys):
    bench()
    (folder,) = (tmp_path / "raw").iterdir()
    old = folder / "kernel.jsonl"
    (folder / "records.jsonl").rename(old)
    assert cli.main(["records", "upgrade", "--results", str(tmp_path)]) == 0
    assert f"upgraded: {folder}" in capsys.readouterr().err
    assert not old.exists()
    assert len(Store(tmp_path, folder.name).records()) == 2


def test_records_are_packed(bench, tmp_path, capsys):
    bench()
    (folder,) = (tmp_path / "raw").iterdir()
    before = Store(tmp_path, folder.name).records()
    kernels = tmp_path / "kernels" / folder.name / "Linux" / "0001_run.json"
    kernels.parent.mkdir(parents=True)
    kernels.write_text('{"benchmarks": []}')
    assert cli.main(["records", "pack", "--results", str(tmp_path)]) == 0
    error = capsys.readouterr().err
    assert f"packed: {folder}, {kernels}.xz" in error
    assert Store(tmp_path, folder.name).records() == before
    assert os.listdir(kernels.parent) == ["0001_run.json.xz"]
    assert lzma.decompress(Path(f"{kernels}.xz").read_bytes()) == b'{"benchmarks": []}'
    assert bench() == 0
    assert capsys.readouterr().err.count(": reused") == 2, "what is packed is not run again"
    assert not (folder / "records.jsonl").exists()


def test_report_without_records(tmp_path, capsys):
    assert cli.main(["report", "--results", str(tmp_path)]) == 2
    assert "`halpbench bench` makes them" in capsys.readouterr().err


def test_a_missing_package_is_named_with_its_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert cli.main(["info"]) == 2
    error = capsys.readouterr().err
    assert "psutil" in error
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
    )
    assert done.returncode == 0


def test_debug_shows_the_traceback_above_the_message(tmp_path, capsys):
    assert cli.main(["--debug", "report", "--results", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("Traceback (most recent call last)")
    assert "\nhalpbench: error: no raw records below" in error


# ---- Exit codes and messages ---------------------------------------------------------------------


def run_python(code, *arguments, encoding="utf-8", **environment):
    """Run Python code in a process of its own; output is decoded by the encoding it was set to."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        encoding=encoding,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding, **environment},
    )


def lines_of(text):
    return [line for line in text.splitlines() if line]


def test_a_bad_backend_is_one_line_and_exit_code_2_for_every_command():
    code = (
        "from halpbench import cli\n"
        "needed = {'compare': ['a'], 'records': ['schema']}\n"
        "for command in cli.COMMANDS:\n"
        "    print(cli.main([command, *needed.get(command, [])]))\n"
    )
    done = run_python(code, HALPBENCH_ISA="sse9")
    assert done.stdout.split() == ["2"] * len(cli.COMMANDS)
    expected = (
        "halpbench: error: HALPBENCH_ISA: backend 'sse9' is not compiled in; usable here: "
        + ", ".join(kernels.backends())
    )
    assert lines_of(done.stderr) == [expected] * len(cli.COMMANDS)


def test_an_empty_backend_is_none():
    done = run_python("from halpbench import kernels; print(kernels.active())", HALPBENCH_ISA="")
    assert done.stdout.strip() == kernels.backends()[0]


def test_only_a_backend_that_is_forced_is_said_to_be(monkeypatch):
    for name, said in (("", False), ("scalar", True)):
        monkeypatch.setenv("HALPBENCH_ISA", name)
        forced = [
            line for line in machine.warnings_for(machine.record()) if "HALPBENCH_ISA" in line
        ]
        assert bool(forced) is said


RAISING = """
import signal, sys
from halpbench import cli

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            {what}

sys.meta_path.insert(0, Interrupting())
sys.exit(cli.main({arguments}))
"""


@pytest.mark.parametrize("module", ["halpbench.kernels", "numpy", "halpbench.cli.info"])
def test_an_interruption_while_importing_is_as_quiet_as_later(module):
    """The signal itself, handled by Python, in the middle of the imports of a command."""
    what = "signal.raise_signal(signal.SIGINT)"
    done = run_python(RAISING.format(module=module, what=what, arguments=["info"]))
    assert done.returncode == 130
    assert lines_of(done.stderr) == [
        "halpbench: interrupted; finished records are kept, the same command continues"
    ]
    assert done.stdout == ""


INTERRUPTED_START = """
import signal, sys
from halpbench.__main__ import main

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.modules.pop({module!r}, None)
sys.exit(main())
"""


@pytest.mark.parametrize("module", ["halpbench.cli", "argparse", "halpbench.cli.common"])
def test_an_interruption_before_the_command_line_is_there(module):
    """The command itself, with a finder in the way of what it imports first."""
    code = INTERRUPTED_START.format(module=module)
    done = run_python(code)
    assert done.returncode == 130
    assert lines_of(done.stderr) == ["halpbench: interrupted"]
    assert done.stdout == ""


@pytest.mark.parametrize("module", ["halpbench.kernels", "halpbench.datasets"])
def test_a_module_that_cannot_be_imported_is_one_line(module):
    what = "raise ImportError('cannot load it')"
    done = run_python(RAISING.format(module=module, what=what, arguments=["datasets"]))
    assert done.returncode == 2
    (line,) = lines_of(done.stderr)
    assert line.startswith("halpbench: error: cannot load it; `pip install ")


@pytest.mark.parametrize(
    "error", [RuntimeError("no way"), TypeError(), MemoryError(), RecursionError("deep")]
)
def test_no_error_has_the_exit_code_of_a_judgement(error, capsys):
    def fail():
        raise error

    assert cli.main(["info"], record=fail) == 2
    lines = lines_of(capsys.readouterr().err)
    assert lines[-1] == f"halpbench: error: {str(error) or type(error).__name__}"
    assert (lines[0] == lines[-1]) == isinstance(error, MemoryError)


ODD = "\N{GREEK SMALL LETTER MU}\N{MULTIPLICATION SIGN}\N{SNOWMAN}\udcff\n\x1b[31m[/red]"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_user_text_of_any_characters_prints_on_any_terminal(encoding, tmp_path):
    """Lone surrogates are what Python makes of file names that are not UTF-8."""
    results = f"{tmp_path}/{ODD}"
    commands = [
        ["report", "--results", results],
        ["compare", results, results],
        ["bench", "--tables", ODD],
        ["peers", "--only", ODD],
    ]
    code = "import sys; from halpbench import cli; print([cli.main(c) for c in eval(sys.argv[1])])"
    done = run_python(code, ascii(commands), encoding=encoding)
    assert done.stdout.strip() == "[2, 2, 2, 2]", done.stderr
    lines = lines_of(done.stderr)
    assert len(lines) == len(commands)
    for line in lines:
        assert line.startswith("halpbench: error: ")
        assert "\\udcff" in line
        assert "\x1b" not in line


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_tables_print_on_any_terminal(encoding):
    code = """
import sys
from halpbench import cli, datasets
from halpbench.cli import common, info

def shown(options):
    print(sys.argv[1].encode("ascii").decode("unicode_escape"), "end")

info._datasets = shown
sys.exit(cli.main(["datasets"]))
"""
    done = run_python(code, ODD.encode("unicode_escape").decode("ascii"), encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("end\n")
    assert "\\udcff" in done.stdout


def test_the_streams_are_left_as_they_were(tmp_path):
    before = sys.stdout.errors, sys.stderr.errors
    cli.main(["report", "--results", str(tmp_path)])
    assert (sys.stdout.errors, sys.stderr.errors) == before


def test_output_that_cannot_be_written_is_an_error():
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "halpbench", "datasets", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert lines_of(done.stderr) == ["halpbench: error: [Errno 28] No space left on device"]


def test_a_damaged_record_is_a_warning(bench, tmp_path, capsys):
    bench()
    (folder,) = (tmp_path / "raw").iterdir()
    with open(folder / "records.jsonl", "a") as file:
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
    )
    assert done.returncode == 2
    assert done.stderr.startswith("halpbench: error: no raw records below")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", [["deep", "lstm"], ["deep-speed"], ["deep-integer"], ["figures", "--suite", "deep"]]
)
def test_deep_learning_without_torch(command, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("halpbench.deep")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert cli.main(command) == 2
    assert "pip install '.[deep]'" in capsys.readouterr().err


def test_a_reader_of_a_table_that_has_seen_enough_is_no_bad_judgement():
    """As `head`: a pipe without a reader; `info` prints through rich, which would exit with 1."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "halpbench", "info"], stdout=write, stderr=subprocess.PIPE
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_error_that_cannot_be_told_has_its_exit_code():
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as full:
        for command in (["report", "--results", "/nowhere"], ["info"]):
            done = subprocess.run(
                [sys.executable, "-m", "halpbench", *command], stdout=full, stderr=full
            )
            assert done.returncode == 2
