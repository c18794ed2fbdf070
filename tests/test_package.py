"""The package as its users meet it: names, versions, what is imported when, completion."""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import halpbench
from halpbench import cli

NUMPY_ALONE = {"joblib", "matplotlib", "pandas", "rich", "scipy", "sklearn", "threadpoolctl"}
NOTHING = {*NUMPY_ALONE, "numpy", "torch", "psutil", "archspec"}


def output_of(*arguments, cwd):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=cwd
    ).stdout


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import halpbench; dir(halpbench)", NOTHING),
        ("from halpbench import kernels; kernels.dot", NUMPY_ALONE),
        ("import halpbench.cli", NOTHING),
    ],
)
def test_what_is_not_needed_is_not_imported(statement, unwanted, tmp_path):
    code = f"{statement}; import sys; print(*{unwanted} & set(sys.modules))"
    assert output_of("-c", code, cwd=tmp_path) == "\n"


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_imports_no_command(option, tmp_path):
    code = (
        "import sys\nfrom halpbench import cli\n"
        f"try: cli.main(['{option}'])\n"
        f"except SystemExit as end: print('exit', end.code, *{NOTHING} & set(sys.modules))"
    )
    assert output_of("-c", code, cwd=tmp_path).splitlines()[-1] == "exit 0"


def test_the_public_names_are_there():
    assert dir(halpbench) == sorted(halpbench.__all__)
    assert {"solve", "HALPClassifier", "kernels", "load", "get_include"} <= set(dir(halpbench))
    for name in halpbench.__all__:
        assert getattr(halpbench, name).__name__.rpartition(".")[2] == name
    with pytest.raises(AttributeError, match="sove"):
        halpbench.sove  # noqa: B018 - reading it is the test


def test_submodules_are_attributes(tmp_path):
    code = "import halpbench; print(halpbench.kernels.backends()[-1], halpbench.solvers.__name__)"
    assert output_of("-c", code, cwd=tmp_path) == "scalar halpbench.solvers\n"


def test_the_version_is_one(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"halpbench {halpbench.__version__}\n"
    assert importlib.metadata.version("halpbench") == halpbench.__version__
    citation = (Path(__file__).parents[1] / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {halpbench.__version__}\n" in citation


def completion(shell, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--print-completion", shell])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(shell, capsys, tmp_path):
    script = completion(shell, capsys)
    for name in (*cli.COMMANDS, "--version", "--fail-below", "--suite"):
        assert name.lstrip("-") in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "script"
    path.write_text(script)
    subprocess.run([shell, "-n", str(path)], check=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["com"], {"compare"}),
        (["deep"], {"deep", "deep-speed", "deep-integer"}),
        (["--ver"], {"--version"}),
        (["bench", "--su"], {"--suite"}),
        (["bench", "--suite", "s"], {"smoke"}),
    ],
)
def test_bash_completes(words, expected, capsys, tmp_path):
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    path = tmp_path / "script"
    path.write_text(completion("bash", capsys))
    typed = " ".join(["halpbench", *words])
    code = (
        f'source {path}; COMP_WORDS=({typed}); COMP_CWORD={len(words)}; COMP_LINE="{typed}"; '
        '_shtab_halpbench; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert {word.strip() for word in done.stdout.split()} == expected
