"""The examples of documents and docstrings run, and print what stands below them."""

import contextlib
import importlib.util
import io
import re
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers import markdown, rest

from halpbench import cli, datasets, kernels

ROOT = Path(__file__).parents[1]
FLAGS = ELLIPSIS | NORMALIZE_WHITESPACE
DOCUMENTS = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
# A measured cell of a table, with its unit and its interval, and the name of a backend.
MEASURED = r"~?\?|~?\d[\d.,]*(-[\d.]+)?( [([][\d.]+-[\d.]+[)\]])?( ?(ns|us|ms|s|%)\b)?"
BACKEND = "|".join(sorted(kernels.compiled(), key=len, reverse=True))


def lines(text):
    """The lines of an output without what differs between runs, CPUs, and widths of columns."""
    masked = re.sub(rf"\b({BACKEND})\b", "ISA", re.sub(MEASURED, "#", text))
    return [re.sub(r"[\s─]+", " ", line).strip() for line in masked.splitlines() if line.strip()]


def run_command(example):
    """Run the command in the first line; the lines below it, but for "...", are in its output."""
    command, *shown = example.parsed.splitlines()
    arguments = command.removeprefix("$ halpbench ").split()
    assert arguments != command.split(), f"expected $ halpbench ..., got {command!r}"
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert cli.main(arguments) == 0
    assert set(lines("\n".join(shown))) - {"..."} <= set(lines(output.getvalue()))


SYBIL = Sybil(
    [
        markdown.PythonCodeBlockParser(doctest_optionflags=FLAGS),
        markdown.CodeBlockParser("console", run_command),
        markdown.SkipParser(),
    ]
)
DOCSTRINGS = Sybil([rest.DocTestParser(FLAGS)])
# Conditions of the comments that skip an example, as in "skip: next if(lacks['torch'], ...)".
LACKS = {
    "avx2": "avx2" not in kernels.backends(),
    "fashion-mnist": datasets.find("fashion-mnist") is None,
    "torch": importlib.util.find_spec("torch") is None,
}


def examples(sybil, paths):
    """Every example in the order of its document, whose names it shares."""
    found = []
    for path in sorted(paths):
        document = sybil.parse(path)
        document.namespace["lacks"] = LACKS
        for example in document.examples():
            found.append(pytest.param(example, id=f"{path.relative_to(ROOT)}:{example.line}"))
    return found


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """Examples write where nothing is; later ones of a document find it."""
    with contextlib.chdir(tmp_path_factory.mktemp("examples")):
        yield


@pytest.mark.parametrize("example", examples(SYBIL, DOCUMENTS))
def test_documents(example):
    example.evaluate()


@pytest.mark.parametrize("example", examples(DOCSTRINGS, (ROOT / "halpbench").rglob("*.py")))
def test_docstrings(example):
    example.evaluate()
