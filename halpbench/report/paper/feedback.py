"""Gradients kept in integers: their error by epoch, beside the derivation of docs/theory.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from halpbench.bench.records import Record
from halpbench.report.cells import Row
from halpbench.report.pictures import COLORS, Picture, new_figure

# Blues for the simulation, dark with many bits; HALP's colour for what is compiled.
SHADES = ("#9ecae1", "#4292c6", "#08519c")
ERROR, ANEW = "gradient_error", "error_without_feedback"


def figure_feedback(records: Sequence[Record]) -> Iterator[Picture]:
    """Relative error of the full gradient by epoch, medians and ranges of the seeds."""
    figure = new_figure(3.2)
    axes = figure.subplots()
    simulated = sorted({r.case["bits"] for r in records if r.case["bits"] is not None})
    lines = [
        *((f"{bits} bits, simulated", ERROR, (8, bits)) for bits in simulated),
        ("D8M16, compiled", ERROR, (8, None)),
        ("D16M16, compiled", ERROR, (16, None)),
        ("16 bits, no feedback", ANEW, (8, None)),
    ]
    looks = [(color, "-") for color in SHADES]
    looks += [(COLORS["halp"], "-"), (COLORS["halp"], "--"), (COLORS["sgd"], ":")]
    rows: list[Row] = []
    for (name, quantity, key), (color, dash) in zip(lines, looks, strict=True):
        runs = [
            record.series[0].facts[quantity]
            for record in records
            if (record.case["data_bits"], record.case["bits"]) == key
        ]
        if not runs:
            continue
        by_epoch = [sorted(values) for values in zip(*runs, strict=True)]
        axes.plot([median(v) for v in by_epoch], dash, color=color, label=name)
        low, high = [v[0] for v in by_epoch], [v[-1] for v in by_epoch]
        axes.fill_between(range(len(by_epoch)), low, high, color=color, alpha=0.2, linewidth=0)
        rows += [
            {
                "contender": name,
                "epoch": epoch,
                "relative_error": median(values),
                "lowest": values[0],
                "highest": values[-1],
                "seeds": len(values),
            }
            for epoch, values in enumerate(by_epoch)
        ]
    axes.set(yscale="log", xlabel="epoch", ylabel="relative error of the full gradient")
    axes.locator_params(axis="x", integer=True)
    figure.legend(loc="outside upper center", ncols=3)
    yield Picture("feedback", figure, _caption(records), rows)


def _caption(records: Sequence[Record]) -> str:
    first = records[0]
    norms = [record.series[0].facts["grad_norm"] for record in records]
    start, end = (median(norm[at] for norm in norms) for at in (0, -1))
    return (
        "Error of the full gradient that HALP keeps in integers, as a share of the norm of the "
        "float64 gradient at the same centre on the same quantized data: linear regression of "
        f"Figure 1, {first.facts['n_samples']:,} x {first.facts['n_features']}, model of 16 bits, "
        f"scale that follows the displacement; the gradient norm falls from {start:.3g} to "
        f"{end:.2g}. With error feedback the error stays a fixed share, 16 times smaller for four "
        "more bits. Changes of the derivatives have 8, 12 and 16 bits in NumPy "
        "(`halpbench.simulate`); the compiled engine has bit counts of its own, 15 for int8 data "
        "and 10 for int16 data, of a unit for each block of rows. Dotted: derivatives rounded "
        "anew in every epoch, at the centres of the compiled D8M16 run. Lines are medians, bands "
        f"the range of {len({record.case['seed'] for record in records})} seeds."
    )
