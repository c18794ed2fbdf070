"""Settings of the documentation site: `make docs` builds it into build/docs."""

import importlib.util
import os
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import inspect
from sphinx.util.docutils import SphinxDirective

import halpbench

DOCS = Path(__file__).parent
ROOT = DOCS.parent
RESULTS = Path(os.environ.get("HALPBENCH_RESULTS") or ROOT / "results").absolute()
# Documents outside docs/ that the site includes, and the pages that do.
INCLUDED = {"../results/README.md": "results.md", "../datasets/README.md": "datasets.md"}

project = "halpbench"
author = "halpbench contributors"
copyright = author  # noqa: A001 - the name that Sphinx reads
version = release = halpbench.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_argparse_cli",
    "sphinx_copybutton",
]
exclude_patterns = ["conftest.py"]
default_role = "py:obj"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_fence_as_directive = ["math"]  # the fences that GitHub knows
myst_heading_anchors = 4

autodoc_default_options = {"members": True}
autodoc_member_order = "groupwise"
autodoc_typehints = "none"  # types, shapes and units stand in the docstrings
autodoc_preserve_defaults = True
autodoc_mock_imports = [] if importlib.util.find_spec("torch") else ["torch"]
autosummary_generate = False
numpydoc_show_class_members = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"halpbench {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
html_extra_path = [str(RESULTS / "report.html")] if (RESULTS / "report.html").exists() else []
# The placeholder of pyproject.toml, and a page that is copied.
linkcheck_ignore = [r"https://repository\.example", r"report\.html"]
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


class Figures(SphinxDirective):
    """The pictures that `halpbench report` and `halpbench figures` have left in a folder.

    The argument is a folder below the results; `:machines:` takes each folder below it, with a
    heading. A picture is a PNG or GIF, its caption a text file of the same name.
    """

    required_arguments = 1
    option_spec: ClassVar = {"machines": directives.flag}

    def run(self) -> list[nodes.Node]:
        """Return the figures."""
        folder = RESULTS / self.arguments[0]
        if "machines" not in self.options:
            text = self._pictures(folder)
        else:
            machines = sorted(path for path in folder.glob("*/") if any(path.glob("*.png")))
            text = "\n".join(f"### {path.name}\n\n{self._pictures(path)}" for path in machines)
        text = text or "*None here: `make figures` and `make report` make them before `make docs`.*"
        return self.parse_text_to_nodes(text, allow_section_headings=True)

    def _pictures(self, folder: Path) -> str:
        """Return MyST for the pictures of one folder."""
        paths = [*folder.glob("*.png"), *folder.glob("*.gif")]
        paths.sort(key=lambda path: (not path.stem.startswith("fig"), path))  # the paper's first
        return "\n".join(self._picture(path) for path in paths)

    def _picture(self, path: Path) -> str:
        caption = path.with_suffix(".txt")
        self.env.note_dependency(str(path))
        text = caption.read_text(encoding="utf-8").strip() if caption.exists() else ""
        where = os.path.relpath(path, DOCS)
        return f"```{{figure}} {where}\n:alt: {path.stem}\n\n**{path.stem}.** {text}\n```\n"


class ReportPage(SphinxDirective):
    """A link to the page of `halpbench report`, where it has been made."""

    def run(self) -> list[nodes.Node]:
        """Return the link."""
        if not html_extra_path:
            return self.parse_text_to_nodes("*Not made yet: `make report` before `make docs`.*")
        link = nodes.reference("", "report.html", refuri="report.html")
        return [nodes.paragraph("", "", link)]


def link_to_pages(app: Sphinx, docname: str, source: list[str]) -> None:
    """Let links to documents that the site includes lead to the pages that include them."""
    for path, page in INCLUDED.items():
        source[0] = source[0].replace(f"]({path}", f"]({page}")


def class_signature(app: Sphinx, what: str, name: str, obj: type, *_: object) -> object:
    """Return the parameters of an optimizer whose base class, of torch, is mocked."""
    if what != "class" or "torch" not in autodoc_mock_imports or ".deep." not in name:
        return None
    signature = inspect.signature(obj.__init__, bound_method=True)
    return inspect.stringify_signature(signature, show_annotation=False), None


def inline_math(self, node: nodes.math) -> None:
    """Write a formula as MathML, which browsers show without a script."""
    self.body.append(convert(node.astext()))
    raise nodes.SkipNode


def block_math(self, node: nodes.math_block) -> None:
    """Write a displayed formula as MathML."""
    formula = convert(node.astext(), display="block")
    self.body.append(f'<div class="math-block">{formula}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register the parts above."""
    app.add_directive("figures", Figures)
    app.add_directive("report-page", ReportPage)
    app.connect("autodoc-process-signature", class_signature)
    app.connect("source-read", link_to_pages)
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
