"""``halpbench info | datasets | kernels``: what there is, without records."""

import argparse
from collections.abc import Iterator

from halpbench import datasets, kernels
from halpbench.bench import cases, machine, runner
from halpbench.cli.common import Add, console, positive, print_json, show, warn
from halpbench.report import kernels as kernel_tables


def add_commands(add: Add) -> None:
    """See `common.Add`."""
    add("info", _info, "show the machine, the build, and what may disturb a measurement", "")
    add(
        "datasets",
        _datasets,
        "list the data sets that can be loaded",
        "In Python: X, y = halpbench.load(NAME)",
    )
    command = add(
        "kernels",
        _kernels,
        "time the kernels once on every usable backend",
        "examples:\n  halpbench kernels\n  halpbench kernels --n 1000000 --op axpy",
    )
    command.add_argument("--op", choices=("dot", "axpy"), default="dot", help="default: dot")
    command.add_argument(
        "--n", type=positive, default=100_000, help="elements of a vector (default: 100,000)"
    )


def _info(options: argparse.Namespace) -> None:
    record = machine.record()
    found = machine.warnings_for(record)
    if options.json:
        print_json({**record, "warnings": found, "fingerprint": machine.fingerprint(record)})
        return
    output = console()
    for name, value in record.items():
        output.print(f"[bold]{name}[/bold]")
        for line in _lines(value):
            output.print(f"  {line}", markup=False, soft_wrap=True)
    warn(found)


def _lines(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            text = ", ".join(map(str, item)) if isinstance(item, list) else str(item)
            yield f"{name}: {text}"
    elif isinstance(value, list):
        for item in value:
            yield ", ".join(_lines(item))
    else:
        yield str(value)


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
