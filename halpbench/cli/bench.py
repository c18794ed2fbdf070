"""``halpbench bench | report``: the main job, and its tables again."""

import argparse
from pathlib import Path

from halpbench.bench import cases, ceilings, dots, loop, machine, runner
from halpbench.bench.records import Run, Store, stores
from halpbench.cli.common import (
    RESULTS,
    Add,
    add_suite_options,
    console,
    positive,
    print_json,
    progress,
    say,
    some_of,
    warn,
)
from halpbench.report import tables

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
        "  halpbench bench --fresh                      measure again what has a record\n\n"
        "Raw records go to RESULTS/raw, tables to RESULTS/tables. An interrupted run is continued\n"
        "by the same command: what has a record of this machine and build is not run again.",
    )
    add_suite_options(command, cases.SUITES)
    command.add_argument(
        "--tables",
        metavar="NAME[,NAME]",
        help=f"some of {', '.join(cases.TABLES)} (default: all)",
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
        "all and needs no network, with all machines that have records below RESULTS/raw.",
    )
    command.add_argument(
        "--results", type=Path, default=RESULTS["full"], metavar="DIR", help="default: results"
    )


def _bench(options: argparse.Namespace) -> None:
    chosen = some_of(cases.TABLES, options.tables, "--tables")
    this_machine = machine.record()
    warn(machine.warnings_for(this_machine))
    fingerprint = machine.fingerprint(this_machine)
    store = Store(options.results or RESULTS[options.suite], machine.slug(this_machine))
    todo = cases.suite(
        options.suite,
        backends=this_machine["build"]["backends"],
        cache_bytes=[cache["size_bytes"] for cache in this_machine["caches"]],
        peers=dots.peers(),
        tables=chosen,
        repeats=options.repeats,
    )
    left = 0
    with store.locked(), progress() as show:
        known = store.machines().get(fingerprint, {})
        if options.fresh or "ceilings" not in known:
            say("measuring what memory and multiply-adds can do at best")
            known = {"ceilings": ceilings.measure(this_machine)}
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
        )
    if options.save:
        Run(str(options.save), fingerprint, this_machine, measured).save(options.save)
    wanted = {*chosen, *tables.OVERVIEWS}
    reports = [report for report in tables.build(store) if report.name in wanted]
    written = tables.write(store, reports)
    if options.json:
        print_json([tables.as_json(report) for report in reports])
    else:
        tables.show(reports, console())
    say(f"raw records: {store.raw}; tables: {store.tables} ({len(written)} files)")
    if left:
        say(f"no time for {left} of {len(todo)} cases; the same command measures them")


def _report(options: argparse.Namespace) -> None:
    from halpbench.report import figures, page

    found = [page.read(store) for store in stores(options.results)]
    if not found:
        raise FileNotFoundError(
            f"no raw records below {options.results / 'raw'}; `halpbench bench` makes them"
        )
    content = []
    for store, reports in ((results.store, results.reports) for results in found):
        tables.write(store, reports)
        drawn = figures.draw(reports, options.results / "figures" / store.machine)
        content += [tables.as_json(report) for report in reports]
        if not options.json:
            tables.show(reports, console())
        say(f"tables: {store.tables}; figures: {', '.join(map(str, drawn)) or 'none'}")
    say(f"page: {page.write(options.results, found)}")
    if options.json:
        print_json(content)
