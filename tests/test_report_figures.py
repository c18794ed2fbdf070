"""The figures of the benchmark: that they are drawn, show every contender, and repeat exactly."""

import pytest

pytest.importorskip("matplotlib")

from halpbench.report import figures, paper
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
        "speedups.png",
        "speedups.svg",
        "convergence.png",
        "convergence.svg",
    ]
    for path in written:
        start = path.read_bytes()[:100]
        assert start.startswith(b"\x89PNG") if path.suffix == ".png" else b"<?xml" in start


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
    for name, (color, dashes, _) in figures.LOOKS.items():
        algorithm, precision = name.split()
        assert color == paper.COLORS[algorithm.lower()]
        assert dashes == paper.DASHES[precision]
    # Dashes and markers suffice without colour.
    assert len({str(look[1:]) for look in figures.LOOKS.values()}) == len(figures.LOOKS)
    assert len({shade for shade, _ in figures.SHADES.values()}) == len(figures.BARS)
    assert len({hatch for _, hatch in figures.SHADES.values()}) == len(figures.BARS)


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
    assert [path.name for path in written] == ["roofline.png", "roofline.svg"]
    text = (tmp_path / "roofline.svg").read_text()
    for label in ("L1 300 GB/s", "DRAM 20.0 GB/s", "i8, i8i16", "kernels, avx2", "in DRAM"):
        assert label in text
    # No solver ran on the scalar backend.
    assert "scalar" not in text
