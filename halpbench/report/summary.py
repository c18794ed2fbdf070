"""Summary of the tables: the speedups that matter, one line each."""

from collections.abc import Iterator, Mapping, Sequence

from halpbench.report import cells, headline
from halpbench.report.cells import Content, Row, Table

# Lengths at which the summary quotes kernels: int8 vectors fit the first cache, and do not.
IN_CACHE, BEYOND_L1 = 4_096, 100_000


def make(rows: Mapping[str, Sequence[Row]]) -> Content:
    """Gather the speedups of epochs on quantized data, of kernels and of calls.

    Parameters
    ----------
    rows : mapping of str to sequence of Row
        Of the other tables, by name: "kernels", "calls" and "epochs", as far as there are any.
    """
    epochs = rows.get("epochs", ())
    halp = [
        row
        for row in epochs
        if row["contender"].startswith("HALP")
        and row["data"] == "quantized"
        and row["repetitions"]
        and (row["batch_size"] == 1 or row["best_batch"])
    ]
    kernels, calls = rows.get("kernels", ()), rows.get("calls", ())
    # The backends of the epochs; the table of the kernels has the others.
    shown = list(dict.fromkeys(row["backend"] for row in epochs))
    shown = shown or list(dict.fromkeys(row["backend"] for row in (*calls, *kernels)))[:1]
    others = [*_kernel_rows(kernels), *_call_rows(calls)]
    others = [row for row in others if row["backend"] in shown]
    tables = []
    best = headline.best(epochs)
    if halp:
        tables.append(_epoch_table(halp))
    if best:
        tables.append(headline.table(best))
    if others:
        tables.append(_other_table(others, shown))
    return {"summary": others} | ({"headline": best} if best else {}), tables


def _epoch_table(rows: Sequence[Row]) -> Table:
    lines = [
        [
            row["problem"],
            row["backend"],
            row["contender"],
            *cells.speedups(row),
        ]
        for row in rows
    ]
    header = ("problem", "backend", "contender", "inner, f32", "epoch, f32", "epoch, f64")
    notes = [
        "Times as fast as SVRG in float32 and float64, data quantized for all. D8M16: int8 data,",
        "int16 model, and so on. same norm: speedup to the same gradient norm as float32, in place",
        "of the same number of epochs. Beside a batch stands SVRG with its own fastest batch.",
        "Intervals, bounds and exact data: table of epochs.",
    ]
    return Table("In short: HALP over SVRG", (*header, "same norm"), lines, notes)


def _other_table(rows: Sequence[Row], backends: Sequence[str]) -> Table:
    lines = []
    for measure in dict.fromkeys(row["measure"] for row in rows):
        of_backends = [cells.find(rows, measure=measure, backend=backend) for backend in backends]
        lines.append([measure, *(cells.interval(row, "speedup") for row in of_backends)])
    return Table("In short: int8 kernels", ("times as fast", *backends), lines)


def _kernel_rows(rows: Sequence[Row]) -> Iterator[Row]:
    for row in rows:
        if row["dtype"] != "i8":
            continue
        if row["op"] == "dot" and row["n"] == BEYOND_L1:
            yield from _row(f"int8 dot over f32 dot, {row['n']:,} elements", row, "ratio_to_f32")
        if row["op"] == "axpy" and row["n"] in (IN_CACHE, BEYOND_L1):
            measure = f"int8 axpy over int8 dot, elements a second, {row['n']:,} elements"
            yield from _row(measure, row, "ratio_to_beside")


def _call_rows(rows: Sequence[Row]) -> Iterator[Row]:
    for row in rows:
        if row["dtype"] == "i8":
            measure = f"int8 dot over {row['library']}, Python call, {row['n']:,} elements"
            yield from _row(measure, row, "ratio_to_library")


def _row(measure: str, row: Row, name: str) -> Iterator[Row]:
    """Yield the estimate in a row's columns as a line of the summary, if it is there."""
    if row.get(name) is not None:
        yield {
            "measure": measure,
            "backend": row["backend"],
            "speedup": row[name],
            "speedup_low": row[f"{name}_low"],
            "speedup_high": row[f"{name}_high"],
            "repetitions": row["repetitions"],
        }
