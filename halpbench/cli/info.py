"""``halpbench info | datasets | kernels``: what there is, without records."""

import argparse

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from halpbench import datasets, kernels
from halpbench.bench import cases, ceilings, machine, runner
from halpbench.cli.common import Add, console, positive, print_json, show, warn
from halpbench.report import kernels as kernel_tables
from halpbench.report import machine as machines


def add_commands(add: Add) -> None:
    """See `common.Add`."""
    command = add(
        "info",
        _info,
        "examples:\n  halpbench info\n  halpbench info --ceilings --json",
    )
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
    record = machine.record()
    if options.ceilings:
        record["ceilings"] = ceilings.measure(record)
    found = machine.warnings_for(record)
    if options.json:
        print_json({**record, "warnings": found, "fingerprint": machine.fingerprint(record)})
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
    warn(found)


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
    backends = kernels.backends()
    records = []
    for backend in backends:
        case = cases.KernelCase(options.op, options.n, backend, at_least=3, at_most=7)
        records.append(runner.measure(case))
    data, shown = kernel_tables.make(records)
    if options.json:
        print_json(data["kernels"])
        return
    show(shown)
