"""The figures of the benchmark: that they are drawn, show every contender, and repeat exactly."""

import csv
import itertools

import pytest

pytest.importorskip("matplotlib")

from halpbench.report import figures, pictures
from halpbench.report.figures import looks, roofline, speedups
from halpbench.report.tables import Report

NAMES = ("SVRG D64fM64f", "SVRG D32fM32f", "HALP D16M16", "HALP D8M16", "HALP D8M8")


def epochs(contender, speedup, **changes):
    columns = {
        f"{part}_{what}_over_f32{end}": speedup
        for part in ("inner", "epoch")
        for what in ("speedup", "bound")
        for end in ("", "_low", "_high")
    }
    known = {"problem": "made-up", "data": "exact", "backend": "avx2", "repetitions": 3}
    known |= {"plain": contender, "best_batch": True}
    return {**known, "contender": contender, **columns, **changes}


@pytest.fixture
def reports():
    rows = [epochs(name, 1.0 + index) for index, name in enumerate(NAMES)]
    rows.append({**epochs("HALP D8M8", 1.0, data="quantized"), "repetitions": 0})
    trajectories = [
        {
            "problem": "made-up",
            "data": "exact",
            "contender": name,
            "batch_size": 1,
            "epoch": epoch,
            "seconds": 0.1 * epoch,
            "gradient_norm": norm,
        }
        for name in NAMES
        for epoch, norm in enumerate([10.0, 1.0, 0.0])
    ]
    return [
        Report("epochs", {"epochs": rows}, [], {}, ""),
        Report("convergence", {"trajectories": trajectories, "reached": []}, [], {}, ""),
    ]


def test_files(reports, tmp_path):
    written = figures.draw(reports, tmp_path / "new")
    assert [path.name for path in written] == [
        f"{name}.{ending}"
        for name in ("speedups", "convergence")
        for ending in ("png", "svg", "csv", "txt")
    ]
    starts = {path.name: path.read_bytes()[:100] for path in written}
    assert starts["speedups.png"].startswith(b"\x89PNG")
    assert b"<?xml" in starts["speedups.svg"]
    assert b"Times as fast as SVRG in float32" in starts["speedups.txt"]


def test_the_numbers_are_those_of_the_curves(reports, tmp_path):
    figures.draw(reports, tmp_path)
    with open(tmp_path / "convergence.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["gradient_norm"] for row in rows[:3]] == ["10.0", "1.0", "0.0"]
    assert len(rows) == 3 * len(NAMES)
    with open(tmp_path / "speedups.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # Contenders without times have no bar.
    assert [row["contender"] for row in rows] == list(NAMES)


def fit(contender, seconds, grad_norm, **changes):
    row = {"problem": "tall", "contender": contender, "seconds": seconds, "repetitions": 3}
    row |= {"n_samples": 1000, "n_features": 10, "grad_norm": grad_norm, "suboptimality": 1.0}
    return row | changes


def test_fits_are_drawn_as_the_best_so_far(tmp_path):
    fits = [
        fit("halpbench", 3.0, 1e-3),
        fit("halpbench", 1.0, 1e-1),
        # Slower, and no better.
        fit("halpbench", 2.0, 5e-1),
        fit("halpbench", 4.0, None),
        fit("halpbench", 0.1, 1e-9, repetitions=0),
        fit("scikit-learn sag", 2.0, 1e-2),
    ]
    figures.draw([Report("peers", {"fits": fits}, [], {}, "")], tmp_path)
    with open(tmp_path / "peers.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = [
        (row["contender"], float(row["seconds"]), float(row["best"]))
        for row in rows
        if row["quantity"] == "grad_norm"
    ]
    assert steps == [
        ("halpbench", 1.0, 1e-1),
        ("halpbench", 3.0, 1e-3),
        ("scikit-learn sag", 2.0, 1e-2),
    ]
    assert "tall, 1,000 x 10" in (tmp_path / "peers.svg").read_text()


def test_every_contender_is_named(reports, tmp_path):
    figures.draw(reports, tmp_path)
    convergence = (tmp_path / "convergence.svg").read_text()
    speedups = (tmp_path / "speedups.svg").read_text()
    assert all(name in convergence for name in NAMES)
    assert all((name in speedups) == name.startswith("HALP") for name in NAMES)
    assert "ratio of bytes read" in speedups


def test_drawing_again_gives_the_same_files(reports, tmp_path):
    first = {path: path.read_bytes() for path in figures.draw(reports, tmp_path)}
    assert {path: path.read_bytes() for path in figures.draw(reports, tmp_path)} == first


def test_nothing_to_draw(tmp_path):
    assert figures.draw([], tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_colours_tell_algorithms_and_dashes_precisions():
    for name, (color, dashes, _) in looks.LOOKS.items():
        algorithm, precision = name.split()
        assert color == pictures.COLORS[algorithm.lower()]
        assert dashes == pictures.DASHES[precision]
    # Dashes and markers suffice without colour.
    assert len({str(look[1:]) for look in looks.LOOKS.values()}) == len(looks.LOOKS)
    assert len({shade for shade, _ in speedups.SHADES.values()}) == len(speedups.BARS)
    assert len({hatch for _, hatch in speedups.SHADES.values()}) == len(speedups.BARS)


def test_names_in_the_roofline_cover_no_other_name():
    """Kernels of a smoke run lie close together; of those in one place only some have room."""
    ceilings = {
        "read": [{"level": "L1", "backend": "avx2", "threads": 1, "gigabytes_per_second": 300.0}],
        "multiply_add": [{"backend": "avx2", "dtype": "i8", "giga_per_second": 90.0}],
    }
    rows = [
        roofline_row(what=what, dtypes=dtype, giga_multiply_adds_per_second=9.0 + shift)
        for shift, dtype in enumerate(("i8", "i16", "f32"))
        for what in ("dot", "gemv", "axpy", "ger")
    ]
    report = Report("roofline", {"roofline": rows}, [], {"ceilings": ceilings}, "")
    from matplotlib import rc_context

    with rc_context(pictures.STYLE):
        (picture,) = roofline.roofline_panels(report)
    texts = [text for text in picture.figure.axes[0].texts if not text.get_rotation()]
    assert {"dot", "gemv", "axpy", "ger"} <= {text.get_text() for text in texts}
    boxes = [text.get_window_extent() for text in texts]
    assert not [
        (one, other) for one, other in itertools.combinations(boxes, 2) if one.overlaps(other)
    ]


def roofline_row(part="calls", what="dot", **changes):
    known = {"backend": "avx2", "level": "L1", "dtypes": "i8", "multiply_adds_per_byte": 0.5}
    return known | {"what": what, "part": part, "giga_multiply_adds_per_second": 9.0} | changes


def test_roofline_names_every_roof(tmp_path):
    ceilings = {
        "read": [
            {"level": level, "backend": "avx2", "threads": 1, "gigabytes_per_second": speed}
            for level, speed in (("L1", 300.0), ("DRAM", 20.0))
        ],
        "multiply_add": [
            {"backend": "avx2", "dtype": dtype, "giga_per_second": speed}
            for dtype, speed in (("i8", 90.0), ("i8i16", 88.0), ("f32", 60.0))
        ],
    }
    rows = [
        roofline_row(),
        roofline_row(what="axpy"),
        roofline_row("inner", "made-up", level="DRAM", dtypes="i16+f32"),
        roofline_row(backend="scalar"),
    ]
    report = Report("roofline", {"roofline": rows}, [], {"ceilings": ceilings}, "")
    written = figures.draw([report], tmp_path)
    assert [path.name for path in written][:2] == ["roofline.png", "roofline.svg"]
    text = (tmp_path / "roofline.svg").read_text()
    # Marks have names: two kernels, and a letter for the problem.
    for label in ("dot", "axpy", "A"):
        assert f">{label}</text>" in text
    assert "A made-up" in (tmp_path / "roofline.txt").read_text()
    for label in ("L1 300 GB/s", "DRAM 20.0 GB/s", "i8, i8i16", "kernels, avx2", "in DRAM"):
        assert label in text
    # No solver ran on the scalar backend.
    assert "scalar" not in text
