"""Pictures as SVG inside a page: in the colours of its theme, with ids of their own."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from halpbench.report.pictures import COLORS, STYLE, Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours that the page's style sheet sets, for light and for dark; dark greys are its "soft".
_THEME = {
    **{color.lower(): f"var(--{algorithm})" for algorithm, color in COLORS.items()},
    "#000000": "currentColor",
    "#ffffff": "var(--page)",
}


class Drawing(NamedTuple):
    """Parts of a picture that the page shows."""

    name: str
    caption: str
    svg: str


def drawings(make: Callable[[], Iterable[Picture]], prefixes: Iterator[str]) -> list[Drawing]:
    """Draw pictures for a page.

    Parameters
    ----------
    make : callable
        Makes the pictures; called in the context of `pictures.STYLE`.
    prefixes : iterator of str
        Beginnings of the ids of each picture, to differ from those of the others on the page.

    Returns
    -------
    list of Drawing
    """
    from matplotlib import rc_context

    with rc_context(STYLE):
        return [
            Drawing(picture.name, picture.caption, _element(_file(picture.figure), next(prefixes)))
            for picture in make()
        ]


def _file(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    return text.getvalue()


def _element(svg: str, prefix: str) -> str:
    """Turn a file of matplotlib's into an element of a page, and make it smaller."""
    head, body = re.split(r"(?<=>)", svg[svg.index("<svg") :], maxsplit=1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None, "matplotlib writes a viewBox"
    # The page has a style of its own.
    body = re.sub(r"<(metadata|style).*?</\1>|<!--.*?-->", "", body, flags=re.S)
    body = re.sub(r"<[^>]*>", lambda tag: _tag(tag[0]), body)
    body = re.sub(r"\s+", " ", body).replace("> <", "><")
    # Backgrounds, which are transparent here.
    body = re.sub(r'<path d="[^"]*" style="fill: none"/>', "", body)
    # Marks of a curve share their look.
    body = re.sub(
        r'<use [^>]*( style="[^"]*")/>(<use [^>]*\1/>)+',
        lambda run: f"<g{run[1]}>{run[0].replace(run[1], '')}</g>",
        body,
    )
    # Only elements that others refer to need an id.
    used = dict.fromkeys(re.findall(r'(?:url\(|href=")#([^")]+)', body))
    short = {old: f"{prefix}{number}" for number, old in enumerate(used)}
    body = re.sub(r' id="([^"]*)"', lambda i: f' id="{short[i[1]]}"' if i[1] in short else "", body)
    body = re.sub(r'(url\(|href=")#([^")]+)', lambda i: f"{i[1]}#{short[i[2]]}", body)
    return f"<svg {box[0]}>{body}"


def _tag(tag: str) -> str:
    """Write a tag in the page's colours and font, to a tenth of a point."""
    tag = re.sub(r"; font-family: [^;\"]*|font-family: [^;\"]*; ?", "", tag)
    tag = re.sub(r"#[0-9a-f]{6}\b", lambda color: _THEME.get(color[0], color[0]), tag)
    tag = re.sub(r"#([0-8].)\1\1\b", "var(--soft)", tag)
    tag = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.1f}", tag)
    return tag.replace("xlink:href", "href")
