"""The paper's headline: which speedups count, what they come to, and that the document says so."""

import re
from pathlib import Path

import pytest

from halpbench.bench.store import Store
from halpbench.report import headline, tables

ROOT = Path(__file__).parents[1]


def epoch(contender, f32, f64, same_norm, **changes):
    row = {"problem": "p", "contender": contender, "data": "quantized", "backend": "avx2"}
    row |= {"batch_size": 1, "repetitions": 9}
    row |= {"inner_speedup_over_f32": 2 * f32, "inner_speedup_over_f64": 2 * f64}
    row |= {"epoch_speedup_over_f32": f32, "epoch_speedup_over_f64": f64}
    row |= {"same_norm_speedup_over_f32": same_norm, "same_norm_speedup_over_f64": same_norm}
    return row | changes


def speedups(rows):
    return {(r["quantity"], r["baseline"]): (r["speedup"], r["contender"]) for r in rows}


def test_the_best_of_what_the_paper_means_counts():
    rows = [
        epoch("SVRG D32fM32f", 9.0, 9.0, 9.0),
        epoch("HALP D8M8", 3.0, 5.0, None),
        epoch("HALP D8M16", 2.0, 6.0, 1.5),
        epoch("HALP D8M16, batch 8", 9.0, 9.0, 9.0, batch_size=8),
        epoch("HALP D8M8", 9.0, 9.0, 9.0, data="exact"),
        epoch("HALP D8M8", 9.0, 9.0, 9.0, backend="sse41"),
    ]
    best = headline.best(rows)
    assert speedups(best) == {
        ("inner", "f32"): (6.0, "HALP D8M8"),
        ("epoch", "f32"): (3.0, "HALP D8M8"),
        ("same_norm", "f32"): (1.5, "HALP D8M16"),
        ("inner", "f64"): (12.0, "HALP D8M16"),
        ("epoch", "f64"): (6.0, "HALP D8M16"),
        ("same_norm", "f64"): (1.5, "HALP D8M16"),
    }
    assert "epoch 3.00 (D8M8, p)" in headline.sentence(best)
    assert headline.table(best).rows[1][:3] == ["epoch, over 32 bits", "HALP D8M8", "p"]
    assert headline.best([]) == []


@pytest.mark.parametrize(
    ("f32", "f64", "same_norm", "verdict"),
    [
        (4.5, 9.0, 4.0, "reproduced over SVRG in 32 bits, to the same gradient norm"),
        (4.0, 9.0, 3.9, "reproduced over SVRG in 32 bits, by the epoch"),
        (3.9, 4.0, 3.9, "reproduced over SVRG in 64 bits, by the epoch; not over 32 bits"),
        (3.9, 3.9, None, "not reproduced"),
    ],
)
def test_the_verdict_is_that_of_the_best_over_the_narrowest(f32, f64, same_norm, verdict):
    assert headline.verdict(headline.best([epoch("HALP D8M8", f32, f64, same_norm)])) == verdict


def test_the_document_has_the_headline_of_the_newest_records():
    """After a new measurement the message has the line to put there."""
    stores = [Store(ROOT / "results", path.name) for path in (ROOT / "results" / "raw").iterdir()]
    newest = max(stores, key=lambda store: max(r.started for r in store.records()))
    summary = next(r for r in tables.build(newest) if r.name == "summary")
    best, machine = summary.data["headline"], summary.machine
    where = f"{machine['cpu']['microarchitecture']}, revision {machine['revision']}"
    expected = f"`make bench` | {headline.sentence(best)} ({where}) | {headline.verdict(best)} |"
    text = (ROOT / "docs" / "reproduction.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^\| HALP runs up to 4 times faster [^|]*\| (.*)$", text, flags=re.M)
    assert line == expected, f"expected: {expected}"
