"""Names and first words: one meaning a class name, locals by content, nouns and verbs first."""

import ast
import io
import itertools
import re
import tokenize
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "halpbench").rglob("*.py"))
PYTHON = [
    *PACKAGE,
    *(path for name in ("tests", "benchmarks", "adapters") for path in (ROOT / name).rglob("*.py")),
    ROOT / "setup.py",
]
OTHERS = [
    path
    for pattern in ("halpbench/**/*.p[yx][xd]", "kernels/**/*.[ch]", "examples/*/*.[ch]")
    for path in ROOT.glob(pattern)
]

# A relative or indirect clause as the subject of a comment: name the thing instead.
CLAUSE = re.compile(r"(What|Where|How|Which|Whether|Who|Whose|Why|That)\b(?!.*\?$)")
# Locals that say how a value was come by, not what it holds.
EMPTY_NAMES = {"found", "mine", "made", "theirs", "told"}
FOREIGN_COMMENT = re.compile(r'(?:/\*+|//|^\s*\*|#|""")[ \-]*(\S.*)')


def descriptions(first, text):
    """Yield the first line of each description of a parameter, attribute or result."""
    lines = text.splitlines()
    for number, (before, line) in enumerate(itertools.pairwise(lines), first + 1):
        if line.startswith("    ") and not before.startswith(" "):
            yield number, line.strip()


def python_texts(source):
    """Yield line and text of each docstring, its descriptions, and each block of comments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                first = node.body[0].lineno
                yield first, text.splitlines()[0]
                yield from descriptions(first, text)
    previous = -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != previous + 1:
                yield token.start[0], token.string.lstrip("#:- ")
            previous = token.start[0]


def foreign_texts(source):
    """Yield line and text of each line of C and Cython that begins with a comment."""
    for number, line in enumerate(source.splitlines(), 1):
        match = FOREIGN_COMMENT.search(line)
        if match:
            yield number, match[1]


def clauses(texts):
    return [f"{line}: {text}" for line, text in texts if CLAUSE.match(text)]


@pytest.mark.parametrize("text", ["What a run reached.", "Whether it ends.", "How many there are."])
def test_a_clause_as_subject_is_noticed(text):
    assert clauses(python_texts(f'"""{text}"""\n'))
    assert clauses(python_texts(f"x = 1\n# {text}\n"))
    assert clauses(foreign_texts(f"int x; /* {text} */\n"))
    assert clauses(python_texts(f'"""Run.\n\nReturns\n-------\nfloat\n    {text}\n"""\n'))
    assert not clauses(python_texts(f'"""Result: {text}"""\n'))


def test_comments_and_docstrings_begin_with_a_noun_or_a_verb():
    wrong = [
        f"{path.relative_to(ROOT)}:{clause}"
        for paths, texts in ((PYTHON, python_texts), (OTHERS, foreign_texts))
        for path in paths
        for clause in clauses(texts(path.read_text(encoding="utf-8")))
    ]
    assert len(PYTHON) > 150
    assert len(OTHERS) > 50
    assert not wrong


def test_a_class_name_occurs_once_in_the_package():
    places = defaultdict(list)
    for path in PACKAGE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert len(places) > 100
    assert not {name: paths for name, paths in places.items() if len(paths) > 1}


def test_locals_are_named_by_their_content():
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.id}"
        for path in PACKAGE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id in EMPTY_NAMES
    ]
    assert not wrong
