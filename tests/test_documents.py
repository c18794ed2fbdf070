"""Numbers in documents are those of the records, and nothing else in a document changes."""

import re

import pytest

pytest.importorskip("matplotlib")

from test_report_tables import MACHINE, epochs

from halpbench import cli
from halpbench.bench.store import Store
from halpbench.report import documents, page

DOCUMENT = """# A document

<!-- halpbench report: {name} -->
what stood here before
<!-- end -->

After it.
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Results of epochs alone."""
    store = Store(tmp_path_factory.mktemp("results"), "cpu")
    store.add_machine("f", MACHINE)
    store.add(epochs())
    return page.read(store)


def test_a_block_is_made_of_the_records(found):
    text = documents.fill(DOCUMENT.format(name="speedups"), found)
    assert "what stood here" not in text
    assert text.startswith("# A document\n\n<!-- halpbench report: speedups -->\n| problem |")
    assert text.endswith(".\n<!-- end -->\n\nAfter it.\n")
    # HALP D8M8 takes a quarter of the time of float32, an eighth of that of float64.
    (line,) = (line for line in text.splitlines() if "HALP D8M8" in line)
    assert re.findall(r"\| (\d\.\d+) ", line)[:3] == ["4.00", "4.00", "8.00"]
    assert "one thread: Fast CPU, revision abc123." in text
    assert documents.fill(text, found) == text


def test_the_numbers_are_those_of_the_verdict(found):
    text = documents.fill(DOCUMENT.format(name="numbers"), found)
    assert "- **4.00 times as fast** per epoch: HALP D8M8 beside SVRG in float32" in text
    assert "Measured by `make bench`, one thread: " in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DOCUMENT.format(name="speed"), "got a block 'speed'; expected one of numbers, "),
        (DOCUMENT.format(name="speedups").replace("<!-- end -->", ""), "without its end"),
        (DOCUMENT.format(name="time-to-accuracy"), "no records for peers; `make bench-peers`"),
    ],
)
def test_a_block_that_cannot_be_made_is_an_error(found, text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        documents.fill(text, found)


def test_pictures_for_documents_are_small(found, tmp_path):
    (path,) = documents.draw(found, None, tmp_path)
    assert path == tmp_path / "speedups.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size < 100_000


def test_the_command_writes_all_documents_or_none(found, tmp_path, capsys):
    root = found.store.root
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    good.write_text(DOCUMENT.format(name="speedups"))
    bad.write_text(DOCUMENT.format(name="speed"))
    arguments = ["report", "--results", str(root), "--json", "--documents", str(good)]
    assert cli.main([*arguments, str(bad)]) == 2
    assert "got a block 'speed'" in capsys.readouterr().err
    assert good.read_text() == DOCUMENT.format(name="speedups")
    assert not (root / "readme").exists()
    assert cli.main(arguments) == 0
    assert good.read_text() == documents.fill(DOCUMENT.format(name="speedups"), found)
    picture = root / "readme" / "speedups.png"
    assert f"documents: {good}, {picture}\n" in capsys.readouterr().err
    assert picture.exists()
