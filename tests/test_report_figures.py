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
