"""The page of the report: what it says, and what a browser makes of it."""

import dataclasses
import html.parser
import itertools
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from msgspec.structs import replace

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from browser import CHROMIUM, Browser
from builders import CEILINGS, PROBLEM, call, counted_kernel, epochs, kernel

from halpbench.bench import experiments, machine, stats
from halpbench.bench.records import Record
from halpbench.bench.store import Store, stores
from halpbench.report import cells, page
from halpbench.report.page import sort_value

NASTY = "<i>\"'&amp;</i><script>alert(1)</script>"
SIZES = (256, 4096, 100_000, 40_000_000)
TITLES = (
    "In short",
    "Speedups",
    "Kernels",
    "Roofline",
    "Convergence",
    "The paper's figures",
    "Machines",
    "Provenance",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Results of two machines, one with names that HTML must not take for its own."""
    root = tmp_path_factory.mktemp("results")
    problem = {**PROBLEM, "name": NASTY}
    named = epochs()
    named = replace(named, case={**named.case, "problem": problem})
    left_out = replace(
        named, case={**named.case, "data": "exact"}, series=(), skipped=NASTY, id="other"
    )
    this = machine.record()
    for name, model in (("fast-cpu", "Fast CPU"), ("slow-cpu", NASTY)):
        store = Store(root, name)
        cpu = {**this["cpu"], "model": model}
        store.add_machine("f", {**this, "cpu": cpu, "ceilings": CEILINGS})
        for n, backend in itertools.product(SIZES, ("avx2", "scalar")):
            store.add(kernel("dot", n, {"f32": n, "f64": 2 * n, "i8": 9 + n // 4}, backend))
        for record in (
            call(16, 50, 100),
            kernel("read", 10_000, {"i8": 1_000}),
            counted_kernel("axpy", 400, {"f32": 160, "i8": 80}),
            named,
            left_out,
        ):
            store.add(record)
    with open(store.raw / "records.jsonl", "a") as file:
        file.write(NASTY + "\n")
    paper = Store(root / "paper", "fast-cpu")
    experiments.run(experiments.experiments("fig2", "smoke"), paper, "f")
    return root


@pytest.fixture(scope="module")
def written(root):
    with pytest.warns(UserWarning, match=r"line 14 skipped: not JSON"):
        results = [page.read(store) for store in stores(root)]
    return page.write(root, results)


@pytest.fixture(scope="module")
def text(written):
    return written.read_text(encoding="utf-8")


class Elements(html.parser.HTMLParser):
    """The elements of a page with their attributes, and the text outside of scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def elements(text):
    return Elements(text)


# ---- Content -------------------------------------------------------------------------------------


def test_what_records_say_is_text(elements):
    tags = [tag for tag, _ in elements.elements]
    assert tags.count("script") == 1
    assert "i" not in tags
    for place in ("Epochs: ", "Fast CPU", "slow-cpu", "Damaged: ", "skipped, ", "kind epochs, "):
        assert place in elements.text
    # A problem in titles and figures, a machine, a reason, a damaged line.
    assert elements.text.count(NASTY) > 10


def test_nothing_comes_from_elsewhere(text, elements):
    assert "://" not in text
    assert "@import" not in text
    for _, attributes in elements.elements:
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith(("#", "data:,"))
    assert set(re.findall(r"url\((.)", text)) <= {"#"}


def test_ids_are_unique_and_references_lead_somewhere(text, elements):
    ids = [attributes["id"] for _, attributes in elements.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = re.findall(r'(?:url\(|href=")#([^")]+)', text)
    assert len(targets) > 100
    assert set(targets) <= set(ids)


def test_sections_come_in_the_order_of_a_reader(text):
    assert tuple(re.findall(r"<h2>(.*?)</h2>", text.replace("&#39;", "'"))) == TITLES


def test_equal_records_give_equal_bytes(root, written):
    before = written.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = [page.read(store) for store in stores(root)]
    assert page.write(root, results).read_bytes() == before


def test_the_headline_has_ratios_and_bounds(text):
    headline = text[text.index("with the bounds") :]
    line = re.search(r"<td class=.name.>HALP D8M8</td>.*?</tr>", headline, re.S)[0]
    values = re.findall(r'data-value="([^"]*)"', line)
    # Inner step and epoch: 4 times faster, a quarter of the bytes; fewer to the same norm.
    assert [float(value) for value in values[:4]] == [4.0] * 4
    assert 0 < float(values[4]) < 4


def test_machines_stand_side_by_side(text):
    rows = re.findall(r'<tr( class="differs")?><th scope="row">([\w ]+)</th><td>', text)
    assert {"caches", "compiler", "libraries"} <= {name for _, name in rows}
    assert [name for differs, name in rows if differs] == ["model"]
    assert text.count("10^9 multiply-adds a second, one thread</figcaption>") == 2


def test_slower_is_not_called_times_faster(elements):
    assert "times as fast" in elements.text
    assert "times faster" not in elements.text.lower()


def test_words_are_explained_before_tables_use_them(elements):
    tables = elements.text.index("machine by machine")
    for word in ("Quantized data: ", "exact data: ", "The bound is ", "same gradient norm, the "):
        assert elements.text.index(word) < tables


def test_machines_compare_by_ratios(text):
    start = text.index("machine by machine</figcaption>")
    body = text[start : text.index("</table>", start)]
    assert "fast-cpu, avx2" in body
    assert "slow-cpu, avx2" in body
    assert re.findall(r'data-value="([^"]*)"', body) == ["4.0", "4.0"]


def test_older_code_stands_beside_no_newer(tmp_path):
    """Each machine has its own tables; claims and what sets machines side by side have one code."""
    this = machine.record()
    for name, code, revision, year in (
        ("old-cpu", "c0", "r0", 2023),
        ("new-cpu", "c1", "r1", 2024),
    ):
        store = Store(tmp_path, name)
        build = {**this["build"], "code": code}
        store.add_machine("f", {**this, "build": build, "revision": revision})
        store.add(replace(epochs(), started=f"{year}-01-01T00:00:00+00:00"))
    results = [page.read(store) for store in stores(tmp_path)]
    assert [found.store.machine for found in page.newest(results)] == ["new-cpu"]
    assert [found.store.machine for found in page.by_time(results)] == ["old-cpu", "new-cpu"]
    text = page.render(results)
    assert "machine by machine" not in text
    assert "1 machine)" in text
    for title in ("old-cpu, revision r0", "new-cpu, revision r1"):
        assert f"<h3>{title}</h3>" in text


def test_provenance(elements):
    assert "f13" + 2 * "2024-01-01T00:00:00+00:00" in re.sub(r"\s", "", elements.text)
    assert "raw records of 2024-01-01 to 20" in elements.text
    assert "Skipped: 1 of kind epochs" in elements.text
    assert "No record is damaged." in elements.text


def test_foreign_records_are_not_drawn(tmp_path):
    store = Store(tmp_path / "paper", "fast-cpu")
    store.add(Record("curves", {"figure": "fig1"}, "f", "2024-01-01T00:00:00+00:00"))
    with pytest.warns(UserWarning, match="line 1 skipped: not a record"):
        assert "<svg" not in page.write(tmp_path, []).read_text()


def test_no_results_make_a_page():
    assert "Provenance" in page.render([])


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1.86 [1.75-1.89]", 1.86),
        ("40,000,000", 4e7),
        ("784 x 10", 784),
        ("12.4 ns", 12.4e-9),
        ("7.80 us", 7.8e-6),
        ("320 MB", 3.2e8),
        ("38%", 0.38),
        ("1.2e-07", 1.2e-7),
        ("-", None),
        ("diverged", None),
        ("HALP D8M8", None),
        ("", None),
    ],
)
def test_cells_sort_by_what_they_mean(cell, value):
    assert sort_value(cell) == (value if value is None else pytest.approx(value))


def test_a_cell_that_is_not_certain_is_sorted_by_its_number():
    certain, rough, unknown = (
        cells.plain({"x": value, "x_low": low, "x_high": high}, "x")
        for value, low, high in ((2.0, 1.95, 2.05), (2.125, 1.5, 2.5), (9.0, 1.0, 20.0))
    )
    assert (certain, rough, unknown) == ("2.00", "~2.1", "~?")
    assert [sort_value(cell) for cell in (certain, rough, unknown)] == [2.0, 2.125, 9.0]
    assert sort_value(cells.share(0.25, stats.Estimate(1.0, 0.5, 0.9, 9))) == 0.25


@pytest.mark.filterwarnings("ignore:.*skipped")
def test_the_speedup_to_the_same_norm_is_as_certain_as_in_other_tables(root):
    (store, *_) = stores(root)
    (epochs_report,) = (r for r in page.read(store).reports if r.name == "epochs")
    rows = [
        {**row, "repetitions": 2, "same_norm_speedup_over_f32_high": 1e9}
        for row in epochs_report.data["epochs"]
    ]
    _, lines = page._headlines([dataclasses.replace(epochs_report, data={"epochs": rows})])
    assert {str(line.same_norm) for line in lines} == {"~?"}


def test_the_template_is_in_the_package(tmp_path):
    """As setuptools builds it, for wheels and for installation."""
    top = Path(__file__).parents[1]
    command = ["setup.py", "-q", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run([sys.executable, *command], cwd=top, check=True, capture_output=True)
    built = tmp_path / "halpbench" / "report" / "page.html"
    assert built.read_bytes() == (top / "halpbench" / "report" / "page.html").read_bytes()


# ---- In a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory, written):
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        browser.resize(1280)
        browser.open(written.as_uri())
        yield browser


@pytest.fixture
def wide(browser):
    """The page as loaded, in a wide window and light colours."""
    browser.resize(1280)
    browser.prefer("light")
    return browser


def test_it_opens_from_a_file_in_silence(wide, written):
    assert [told["request"]["url"] for told in wide.told("Network.requestWillBeSent")] == [
        written.as_uri()
    ]
    for kind in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
        assert not wide.told(kind)


def test_every_figure_is_visible(wide):
    boxes = wide.evaluate(
        "[...document.querySelectorAll('.drawing svg')].map(svg => {"
        "  const box = svg.getBoundingClientRect();"
        "  const inner = svg.getBBox();"
        "  return [box.width, box.height, inner.width, inner.height]; })"
    )
    # Four of each machine, and one of the paper's.
    assert len(boxes) == 9
    assert all(min(width, height) > 100 for *_, width, height in boxes)
    assert all(min(width, height) > 100 for width, height, *_ in boxes)


def column(browser, title, heading):
    """Return what reads the order of a column and its cells, and what clicks on its heading."""
    browser.evaluate(
        f"window.table = [...document.querySelectorAll('.table')].find("
        f"  figure => figure.querySelector('figcaption').textContent === {title!r});"
        f"window.heading = [...table.querySelectorAll('thead th')].find("
        f"  heading => heading.textContent === {heading!r});"
        f"document.documentElement.style.scrollBehavior = 'auto';"
        f"heading.scrollIntoView({{block: 'center'}})"
    )

    def state():
        return browser.evaluate(
            "[heading.ariaSort, [...table.querySelectorAll('tbody tr')].map("
            "  row => row.cells[heading.cellIndex].textContent)]"
        )

    def click():
        box = browser.evaluate("heading.firstElementChild.getBoundingClientRect().toJSON()")
        browser.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    return state, click


SORTED = [f"{n:,}" for n in SIZES]


def test_a_click_sorts_numbers_by_value(wide):
    state, click = column(wide, "dot, avx2", "elements")
    click()
    assert state() == ["ascending", SORTED]
    click()
    assert state() == ["descending", SORTED[::-1]]
    state, click = column(wide, "dot, avx2", "i8")
    click()
    # By time, not by the digits.
    assert state() == ["ascending", ["73.0 ns", "1.03 us", "25.0 us", "10.0 ms"]]


def test_the_keyboard_sorts_too(wide):
    state, _ = column(wide, "dot, scalar", "elements")
    wide.evaluate("table.closest('details').open = true; heading.firstElementChild.focus()")
    wide.press("Enter")
    wide.press("Enter")
    assert state() == ["descending", SORTED[::-1]]


def test_text_sorts_by_its_letters(wide):
    state, click = column(wide, "In short: HALP over SVRG", "contender")
    click()
    way, cells = state()
    assert way == "ascending"
    assert cells == sorted(cells)


def settle(browser):
    """Wait until the page is laid out and has been told of new sizes."""
    browser.evaluate(
        "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))", wait=True
    )


@pytest.fixture
def phone(browser, request):
    """The page as loaded, in a window of 390 pixels or of the width that a test asks for."""
    browser.resize(getattr(request, "param", 390), 844)
    settle(browser)
    return browser


def boxes(browser, selector):
    """Return [left, top, right, bottom] of the elements that are displayed."""
    return browser.evaluate(
        f"[...document.querySelectorAll({selector!r})].map(e => e.getBoundingClientRect())"
        ".filter(b => b.width && b.height).map(b => [b.left, b.top, b.right, b.bottom])"
    )


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800)])
def test_the_first_screen_has_the_words_and_the_verdict(browser, width, height):
    browser.resize(width, height)
    browser.evaluate("document.documentElement.style.scrollBehavior = 'auto'; scrollTo(0, 0)")
    said = browser.evaluate("document.querySelector('.lead').textContent")
    assert all(word in said for word in ("HALP", "SVRG", "epoch", "D8M16"))
    assert said.count(".") == 1
    # Per epoch and to the same norm.
    assert len(boxes(browser, ".verdict dt")) == 2
    for left, top, right, bottom in boxes(browser, "h1, .lead, .verdict dt, .verdict dd"):
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height


@pytest.mark.parametrize("phone", [320, 375, 390], indirect=True)
def test_a_phone_shows_the_page_without_scrolling_sideways(phone):
    # Not the width of the document, which Chromium at times rounds up by a pixel or two.
    wider = """[...document.querySelectorAll("body, body *")]
        .filter(e => !e.closest(".scroll.wider") && e.getBoundingClientRect().right > innerWidth)
        .map(e => e.outerHTML.slice(0, 80))"""
    assert phone.evaluate(wider) == []


HINTS = """[...document.querySelectorAll(".scroll")].filter(box => box.clientWidth).map(box => [
    box.scrollWidth > box.clientWidth + 1, getComputedStyle(box, "::before").content !== "none"])"""


@pytest.mark.parametrize("phone", [320, 390, 1280], indirect=True)
def test_tables_fit_or_show_that_they_scroll(phone):
    phone.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    settle(phone)
    found = phone.evaluate(HINTS)
    assert len(found) > 30
    assert all(scrolls == hint for scrolls, hint in found)
    # Most fit; which do not depends on the fonts.
    assert sum(scrolls for scrolls, _ in found) < len(found) / 3


def test_a_box_that_becomes_too_narrow_says_so(phone):
    phone.evaluate("document.querySelector('.scroll').style.width = '60px'")
    settle(phone)
    scrolls, hint = phone.evaluate(HINTS)[0]
    phone.evaluate("document.querySelector('.scroll').style.width = ''")
    assert (scrolls, hint) == (True, True)


def test_names_stand_above_numbers_on_phones_alone(browser):
    rows = """[...document.querySelectorAll(".table tbody tr")].map(row => {
        const [name, ...others] = [...row.cells].map(cell => cell.getBoundingClientRect());
        return [name.bottom, others.filter(b => b.width).map(b => b.top)];
    }).filter(([bottom]) => bottom)"""
    browser.resize(390)
    stacked = browser.evaluate(rows)
    assert len(stacked) > 20
    assert all(top >= bottom - 0.5 for bottom, tops in stacked for top in tops)
    # Values without a column of their own stand beside the name.
    assert browser.evaluate(
        "[...document.querySelectorAll('.table .name')].every(c => !c.clientWidth)"
    )
    assert "HALP D8M8" in browser.evaluate(
        "getComputedStyle(document.querySelector('.table tbody [data-more]'), '::after').content"
    )
    browser.resize(1280)
    assert all(top < bottom for bottom, tops in browser.evaluate(rows) for top in tops)


@pytest.mark.parametrize("phone", [390, 1280], indirect=True)
def test_figures_are_not_cut(phone):
    width = phone.evaluate("document.documentElement.clientWidth")
    found = boxes(phone, ".drawing svg")
    assert len(found) == 9
    assert all(0 <= left < right <= width for left, _, right, _ in found)


def test_figures_on_phones_can_be_enlarged(phone):
    state = """(() => {
        const drawing = document.querySelector(".drawing"), box = drawing.querySelector(".scroll");
        return [drawing.querySelector("svg").getBoundingClientRect().width,
                box.scrollWidth > box.clientWidth + 1];
    })()"""
    small, scrolls = phone.evaluate(state)
    assert not scrolls
    press = "document.querySelector('.enlarge').click()"
    phone.evaluate(press)
    large, scrolls = phone.evaluate(state)
    phone.evaluate(press)
    assert large > 2 * small
    assert scrolls
    assert phone.evaluate(state) == [small, False]


def luminance(color):
    """Relative luminance of "rgb(r, g, b)", as WCAG 2 defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(wide, scheme):
    wide.prefer(scheme)
    page_color, *inks = wide.evaluate(
        "[getComputedStyle(document.body).backgroundColor,"
        " ...['body', '.note', 'nav a', 'summary', 'thead button'].map("
        "   name => getComputedStyle(document.querySelector(name)).color),"
        " ...[...document.querySelectorAll('.drawing text')].map("
        "   text => getComputedStyle(text).fill)]"
    )
    behind = luminance(page_color)
    assert (behind > 0.5) == (scheme == "light")
    for ink in set(inks):
        low, high = sorted((behind, luminance(ink)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, ink


def test_print_has_every_section_and_table(wide):
    printed = wide.pdf()
    assert printed.startswith(b"%PDF")
    for title in TITLES:
        assert title.encode() in printed, title
    assert wide.evaluate("[...document.querySelectorAll('details')].every(d => d.open)")
