"""``halpbench info | datasets | kernels``: machine, data sets and kernels at hand."""

import argparse
from functools import partial

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from halpbench import datasets, kernels
from halpbench.bench import ceilings, machine
from halpbench.cli.common import Add, console, positive, print_json, show, warn


def add_commands(add: Add) -> None:
    """See `common.Add`."""
    command = add(
        "info",
        _info,
        "examples:\n  halpbench info\n  halpbench info --ceilings --json",
    )
    command.set_defaults(record=machine.record, measure_ceilings=ceilings.measure)
    command.add_argument(
        "--ceilings",
        action="store_true",
        help="measure, in some seconds, how fast each level of memory is read and how many "
        "multiply-adds each backend does",
    )
    add(
        "datasets",
        _datasets,
        "In Python: X, y = halpbench.load(NAME)",
    )
    command = add(
        "kernels",
        _kernels,
        "examples:\n  halpbench kernels\n  halpbench kernels --n 1000000 --op axpy",
    )
    command.add_argument("--op", choices=("dot", "axpy"), default="dot", help="default: dot")
    command.add_argument(
        "--n", type=positive, default=100_000, help="elements of a vector (default: 100,000)"
    )


def _info(options: argparse.Namespace) -> None:
    from halpbench.report import machine as machines

    record = options.record()
    if options.ceilings:
        record["ceilings"] = options.measure_ceilings(record)
    warnings = machine.warnings_for(record)
    if options.json:
        print_json({**record, "warnings": warnings, "fingerprint": machine.fingerprint(record)})
        return
    output = console()
    for title, lines in machines.describe(record):
        grid = Table.grid(padding=(0, 2))
        grid.add_column(min_width=17, style="dim")
        for name, text in lines.items():
            grid.add_row(name, Text(text))
        output.print(Text(title, style="bold"))
        output.print(Padding(grid, (0, 0, 1, 2), expand=False))
    show(machines.ceilings(record))
    warn(warnings)


def _datasets(options: argparse.Namespace) -> None:
    listed = [
        {
            "name": dataset.name,
            "task": dataset.task,
            "description": dataset.description,
            "license": dataset.license,
            "splits": dataset.splits,
            "source": datasets.find(dataset.name),
        }
        for dataset in datasets.list_datasets()
    ]
    if options.json:
        print_json(listed)
        return
    for entry in listed:
        print(f"{entry['name']}: {entry['description']}")
        source = entry["source"] or "not on this machine; load(..., download=True) fetches it"
        print(f"    {entry['task']}, licence {entry['license']}, source: {source}")


def _kernels(options: argparse.Namespace) -> None:
    from halpbench.bench import loop, runner
    from halpbench.bench.cases import DTYPES, KernelCase, Plan, Planned
    from halpbench.bench.loading import Problems
    from halpbench.report import kernels as kernel_tables

    plan = Plan(at_least=3, at_most=7, budget_seconds=0.6)
    measure = partial(runner.measure, Problems())
    records = []
    for backend in kernels.backends():
        task = Planned(KernelCase(options.op, options.n, backend, DTYPES), plan)
        records.append(loop.attempt(task, "", measure))
    warn(
        f"{record.case['backend']}: {record.skipped or record.wrong}"
        for record in records
        if not record.measured
    )
    data, shown = kernel_tables.make([record for record in records if record.measured])
    if options.json:
        print_json(data["kernels"])
        return
    show(shown)
