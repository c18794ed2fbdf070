"""Documents: their links lead somewhere, and nothing is missing in them."""

import contextlib
import io
import re
import subprocess
from pathlib import Path

import pytest

from halpbench import cli
from halpbench.bench.store import stores

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(p for d in ROOT.glob("[a-z]*/") for p in d.rglob("*.md"))])
PAGES = [page for page in PAGES if {"tables", "build", "smoke", "own"}.isdisjoint(page.parts)]


def anchors(page):
    """The names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), flags=re.M)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {text.strip().replace(" ", "-") for text in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if not re.match(r"https?:", link):
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_the_map_has_every_module():
    contents = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = contents[contents.index("## The map") : contents.index("Imports run one way")]
    for path in (ROOT / "halpbench").rglob("*.py"):
        if not path.name.startswith("__") and path.parent.name != "cli":
            assert path.name in tree, path


def test_the_map_has_every_file_of_the_c_library_and_no_other():
    contents = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = contents[contents.index("\nkernels/ ") : contents.index("\nhalpbench/\n")]
    isa = re.compile(r"(?<=_)(sse41|avx2|avx512\w*|neon|x86)(?=\.)")
    files = {isa.sub("<isa>", path.name) for path in (ROOT / "kernels").glob("*.[ch]")}
    named = set(re.findall(r"[\w<>]+\.[ch]\b", tree))
    assert named == files


def test_the_readme_has_every_command():
    listed = re.findall(r"^\| `halpbench ([a-z-]+)`", (ROOT / "README.md").read_text(), flags=re.M)
    usage = re.findall(r"^    ([a-z-]+)", cli._parser().format_help(), flags=re.M)
    assert sorted(listed) == sorted(usage)


# ---- Code and numbers ----------------------------------------------------------------------------

README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```\n\n```\n(.*?)^```", README, flags=re.M | re.S)


@pytest.mark.parametrize(("code", "output"), SNIPPETS)
def test_the_snippets_of_the_readme_print_what_it_says(code, output):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    assert printed.getvalue() == output


def test_the_first_screen_of_the_readme():
    """Users, installation, code with its output, and two numbers."""
    first = README[: README.index("![")]
    assert first.count("\n") < 50
    for place in ("It is for", "make build", "```python", "same gradient norm", "scikit-learn: "):
        assert place in first
    assert len(SNIPPETS) == 3


def uncommitted_results():
    """Return true if there are records of this machine that git does not know."""
    command = ["git", "status", "--porcelain", "results"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode or done.stdout


@pytest.mark.parametrize("name", ["README.md", "docs/estimators.md"])
def test_numbers_are_those_of_the_records(name):
    pytest.importorskip("matplotlib")
    from halpbench.report import documents, page

    text = (ROOT / name).read_text(encoding="utf-8")
    latest = page.by_time([page.read(store) for store in stores(ROOT / "results")])[-1]
    made = documents.fill(text, latest)
    if made != text and uncommitted_results():
        pytest.skip("records of this machine are not committed; `make documents` fills them in")
    assert made == text, "`make documents` writes what the records say"
