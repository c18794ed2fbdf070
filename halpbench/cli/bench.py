"""``halpbench bench | report``: the main job, and its tables again."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halpbench.bench import ceilings, dots, loop, machine, own, runner, suites
from halpbench.bench.cases import Planned
from halpbench.bench.files import write_atomic
from halpbench.bench.runs import SavedRun
from halpbench.bench.schema import full_case
from halpbench.bench.store import Store, stores
from halpbench.cli.common import (
    Add,
    add_data_options,
    add_results_option,
    add_suite_options,
    console,
    own_problem,
    positive,
    print_json,
    progress,
    refuse_without_data,
    results,
    say,
    some_of,
    warn,
)
from halpbench.report import placement, tables

if TYPE_CHECKING:
    from halpbench.report.page import Results

# The promise is 10 minutes and 1 minute from start to end; a case that has begun is finished, so
# that none may begin later than this. The ceilings are measured before.
LIMIT_SECONDS = {"full": 500.0, "smoke": 38.0}


def add_commands(add: Add) -> None:
    """See `common.Add`."""
    command = add(
        "bench",
        _bench,
        "examples:\n"
        "  halpbench bench                              everything, within 10 minutes\n"
        "  halpbench bench --suite smoke                a glance, within a minute\n"
        "  halpbench bench --tables epochs --repeats 9  one table, nine rounds of each case\n"
        "  halpbench bench --fresh                      measure again what has a record\n"
        "  halpbench bench --data my.csv --target price  does it pay on my data?\n\n"
        "Raw records go to RESULTS/raw, tables to RESULTS/tables. An interrupted run is continued\n"
        "by the same command: what has a record of this machine and build is not run again.",
    )
    command.set_defaults(
        make_suite=suites.suite,
        measure_ceilings=ceilings.measure,
        instruments=runner.INSTRUMENTS,
    )
    add_suite_options(command)
    add_data_options(command)
    command.add_argument(
        "--tables",
        metavar="NAME[,NAME]",
        help=f"some of {', '.join(placement.TABLES)} (default: all)",
    )
    command.add_argument(
        "--repeats", type=positive, metavar="N", help="rounds of each case (default: adaptive)"
    )
    command.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help="also write the records of this machine and build to a file that `halpbench compare` "
        "takes",
    )

    command = add(
        "report",
        _report,
        "example:\n  halpbench report --results results\n\n"
        "Writes RESULTS/tables, RESULTS/figures and RESULTS/report.html: one page that holds it\n"
        "all and needs no network, with all machines that have records below RESULTS/raw,\n"
        "RESULTS/paper/raw and RESULTS/deep/raw.",
    )
    add_results_option(command)
    command.add_argument(
        "--documents",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="write the numbers of the machine measured last into the blocks of these documents, "
        "and the pictures that they show to RESULTS/readme",
    )


def _bench(options: argparse.Namespace) -> None:
    chosen = some_of(placement.TABLES, options.tables, "--tables")
    this_machine = machine.record()
    warn(machine.warnings_for(this_machine))
    fingerprint = machine.fingerprint(this_machine)
    todo = _tasks(options, this_machine, chosen)
    root = results(options, options.suite, own=options.data is not None)
    store = Store(root, machine.slug(this_machine))
    left = 0
    with store.locked(), progress() as show:
        known = store.machines().get(fingerprint, {})
        if options.fresh or "ceilings" not in known:
            say("measuring what memory and multiply-adds can do at best")
            known = {"ceilings": options.measure_ceilings(this_machine)}
        store.add_machine(fingerprint, {**this_machine, "ceilings": known["ceilings"]})

        def on_event(event: loop.Event) -> None:
            nonlocal left
            left += event.what == "left"
            show(event)

        measured = runner.run(
            todo,
            store,
            fingerprint,
            fresh=options.fresh,
            limit_seconds=LIMIT_SECONDS[options.suite],
            on_event=on_event,
            instruments=options.instruments,
        )
    if options.save:
        SavedRun(str(options.save), fingerprint, this_machine, measured).save(options.save)
    wanted = {*chosen, *placement.OVERVIEWS}
    reports = [report for report in tables.build(store) if report.name in wanted]
    written = tables.write(store, reports)
    if options.json:
        print_json([tables.as_json(report) for report in reports])
    else:
        tables.show(reports, console())
    say(
        f"raw records: {store.raw.absolute()}; tables: {store.tables.absolute()} "
        f"({len(written)} files)"
    )
    if left:
        say(f"no time for {left} of {len(todo)} cases; the same command measures them")


def _tasks(
    options: argparse.Namespace, this_machine: Mapping[str, Any], chosen: Sequence[str]
) -> list[Planned]:
    """List the cases that the chosen tables show: of a suite, or on data of the user's own."""
    refuse_without_data(options, options.data)
    about: dict[str, Any] = {
        "backends": this_machine["build"]["backends"],
        "cache_bytes": [cache["size_bytes"] for cache in this_machine["caches"]],
        "repeats": options.repeats,
    }
    if options.data is None:
        tasks = options.make_suite(options.suite, libraries=dots.libraries(), **about)
    else:
        if not set(chosen) & set(own.TABLES):
            raise ValueError(
                f"got tables {', '.join(chosen)}; of one's own data there are "
                f"{' and '.join(own.TABLES)}"
            )
        spec = own_problem(options)
        shape = f"{spec.n_samples:,} x {spec.n_features:,}"
        say(f"{spec.name}: {shape}, {spec.model}; finding constants")
        tasks = own.suite(*own.with_constants(spec), options.suite, **about)
    return [
        task
        for task in tasks
        if set(chosen) & set(placement.tables(task.case.kind, full_case(task.case.kind, task.case)))
    ]


def _report(options: argparse.Namespace) -> None:
    from halpbench.report import page

    root = results(options)
    machines = [page.read(store) for store in stores(root)]
    others = page.read_experiments(root)
    if not [*machines, *others]:
        raise FileNotFoundError(
            f"no raw records below {(root / 'raw').absolute()}; `halpbench bench` makes them"
        )
    content = []
    for machine_results in machines:
        _write_tables(machine_results, root)
        content += [tables.as_json(report) for report in machine_results.reports]
        if not options.json:
            tables.show(machine_results.reports, console())
    for machine_results in others:
        _draw_experiments(machine_results, root)
    say(f"page: {page.write(root, machines, others).absolute()}")
    if options.documents:
        _write_documents(options.documents, machines, others, root)
    if options.json:
        print_json(content)


def _write_tables(machine_results: Results, root: Path) -> None:
    """Write the tables and figures of a machine."""
    from halpbench.report import figures

    tables.write(machine_results.store, machine_results.reports)
    folder = root / "figures" / machine_results.store.machine
    drawn = figures.draw(machine_results.reports, folder)
    say(
        f"tables: {machine_results.store.tables.absolute()}; figures: {folder.absolute()} "
        f"({len(drawn)} files)"
    )


def _draw_experiments(machine_results: Results, root: Path) -> None:
    """Draw the experiments of a machine."""
    from halpbench.report import experiments
    from halpbench.report.pictures import save

    folder = root / "figures" / machine_results.store.machine
    machines = machine_results.store.machines()

    def draw(make: experiments.Make, fingerprint: str) -> list[Path]:
        return save(make, folder, tables.origin(machines.get(fingerprint, {})))

    drawn = experiments.each(machine_results.records, draw)
    say(
        f"figures of {machine_results.store.raw.absolute()}: {folder.absolute()} "
        f"({len(drawn)} files)"
    )


def _write_documents(
    paths: Sequence[Path], machines: Sequence[Results], others: Sequence[Results], root: Path
) -> None:
    """Bring the numbers in documents, and their pictures, up to date: all or none."""
    from halpbench.report import documents, page

    measured = page.by_time(machines)
    if not measured:
        raise FileNotFoundError(
            f"no raw records below {root / 'raw'}; `halpbench bench` makes them"
        )
    latest = measured[-1]
    texts = {path: documents.fill(path.read_text(encoding="utf-8"), latest) for path in paths}
    paper = [
        machine_results
        for machine_results in page.by_time(others)
        if machine_results.store.root == root / "paper"
    ]
    drawn = documents.draw(latest, paper[-1] if paper else None, root / "readme")
    for path, text in texts.items():
        write_atomic(path, text)
    written = ", ".join(str(path.absolute()) for path in [*paths, *drawn])
    say(f"documents: {written}")
