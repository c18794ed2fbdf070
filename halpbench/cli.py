"""The command line: ``halpbench info | datasets | kernels | bench | report``."""

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from halpbench import datasets, kernels
from halpbench.bench import cases, machine, runner
from halpbench.bench.records import Store, stores
from halpbench.report import tables

OK, USER_ERROR, INTERRUPTED = 0, 2, 130

# The promise is 10 minutes and 1 minute from start to end; a case that has begun is finished, so
# that none may begin later than this.
LIMIT_SECONDS = {"full": 510.0, "smoke": 45.0}
RESULTS = {"full": Path("results"), "smoke": Path("results/smoke")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process when None.

    Returns
    -------
    int
        0 done, 2 a mistake of the user or of the surroundings (a message says which), 130
        interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = lambda message, *_, **__: _say(f"warning: {message}")
            options.run(options)
    except KeyboardInterrupt:
        _say("interrupted; finished records are kept, the same command continues")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; what is left in the buffer has no way out.
        sys.stdout = None
        return OK
    except (OSError, ValueError, LookupError) as error:
        if options.debug:
            raise
        _say(f"error: {error}")
        return USER_ERROR
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="halpbench",
        description="Low-precision training at full accuracy: measure HALP and its kernels on "
        "this machine.",
        epilog="Begin with `halpbench bench --suite smoke`, which takes less than a minute.",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(
        name: str, run: Callable[[argparse.Namespace], None], summary: str, more: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=more,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        command.add_argument("--json", action="store_true", help="write JSON to standard output")
        return command

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
        "--n", type=_positive, default=100_000, help="elements of a vector (default: 100,000)"
    )

    command = add(
        "bench",
        _bench,
        "measure kernels, epochs and convergence, and make the speedup tables",
        "examples:\n"
        "  halpbench bench                              everything, within 10 minutes\n"
        "  halpbench bench --suite smoke                a glance, within a minute\n"
        "  halpbench bench --tables epochs --repeats 9  one table, nine rounds of each case\n"
        "  halpbench bench --fresh                      measure again what has a record\n\n"
        "Raw records go to RESULTS/raw, tables to RESULTS/tables. An interrupted run is continued\n"
        "by the same command: what has a record of this machine and build is not run again.",
    )
    command.add_argument("--suite", choices=cases.SUITES, default="full", help="default: full")
    command.add_argument(
        "--tables",
        type=_names,
        default=cases.TABLES,
        metavar="NAME[,NAME]",
        help=f"some of {', '.join(cases.TABLES)} (default: all)",
    )
    command.add_argument(
        "--repeats", type=_positive, metavar="N", help="rounds of each case (default: adaptive)"
    )
    command.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="default: results, or results/smoke for the smoke suite",
    )
    command.add_argument("--fresh", action="store_true", help="measure again what has a record")

    command = add(
        "report",
        _report,
        "make the tables again from the raw records",
        "example:\n  halpbench report --results results",
    )
    command.add_argument("--results", type=Path, default=RESULTS["full"], metavar="DIR")
    _add_figures(add)
    return parser


def _info(options: argparse.Namespace) -> None:
    record = machine.record()
    found = machine.warnings_for(record)
    if options.json:
        _print_json({**record, "warnings": found, "fingerprint": machine.fingerprint(record)})
        return
    console = _console()
    for name, value in record.items():
        console.print(f"[bold]{name}[/bold]")
        for line in _lines(value):
            console.print(f"  {line}", markup=False, soft_wrap=True)
    _warn(found)


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
        _print_json(listed)
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
    data, shown = tables.kernels(records)
    if options.json:
        _print_json(data["kernels"])
        return
    _show(shown)


def _bench(options: argparse.Namespace) -> None:
    this_machine = machine.record()
    _warn(machine.warnings_for(this_machine))
    fingerprint = machine.fingerprint(this_machine)
    store = Store(options.results or RESULTS[options.suite], machine.slug(this_machine))
    todo = cases.suite(
        options.suite,
        backends=this_machine["build"]["backends"],
        cache_bytes=[cache["size_bytes"] for cache in this_machine["caches"]],
        tables=options.tables,
        repeats=options.repeats,
    )
    store.add_machine(fingerprint, this_machine)
    left = 0
    with _progress() as show:

        def on_event(event: runner.Event) -> None:
            nonlocal left
            left += event.what == "left"
            show(event)

        runner.run(
            todo,
            store,
            fingerprint,
            fresh=options.fresh,
            limit_seconds=LIMIT_SECONDS[options.suite],
            on_event=on_event,
        )
    reports = [r for r in tables.build(store) if r.name in options.tables]
    written = tables.write(store, reports)
    if options.json:
        _print_json([tables.as_json(report) for report in reports])
    else:
        tables.show(reports, _console())
    _say(f"raw records: {store.raw}; tables: {store.tables} ({len(written)} files)")
    if left:
        _say(f"no time for {left} of {len(todo)} cases; the same command measures them")


def _report(options: argparse.Namespace) -> None:
    found = list(stores(options.results))
    if not found:
        raise FileNotFoundError(
            f"no raw records below {options.results / 'raw'}; `halpbench bench` makes them"
        )
    content = []
    for store in found:
        reports = tables.build(store)
        tables.write(store, reports)
        content += [tables.as_json(report) for report in reports]
        if not options.json:
            tables.show(reports, _console())
            _say(f"tables: {store.tables}")
    if options.json:
        _print_json(content)


def _add_figures(add: Callable[..., argparse.ArgumentParser]) -> None:
    command = add(
        "figures",
        _figures,
        "repeat the paper's experiments and draw its figures",
        "examples:\n"
        "  halpbench figures                 all of them, within 15 minutes\n"
        "  halpbench figures fig1 fig5       some of them\n"
        "  halpbench figures --suite smoke   all of them, small, within a minute\n\n"
        "Raw records go to RESULTS/paper/raw, pictures to RESULTS/figures. An interrupted run is\n"
        "continued by the same command.",
    )
    command.add_argument("names", nargs="*", metavar="NAME", help="figures (default: all)")
    command.add_argument("--suite", choices=cases.SUITES, default="full", help="default: full")
    command.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="default: results, or results/smoke for the smoke suite",
    )
    command.add_argument("--fresh", action="store_true", help="run again what has a record")


def _figures(options: argparse.Namespace) -> None:
    from halpbench.bench import experiments
    from halpbench.report import paper

    names = options.names or list(experiments.FIGURES)
    todo = {name: experiments.experiments(name, options.suite) for name in names}
    this_machine = machine.record()
    fingerprint = machine.fingerprint(this_machine)
    root = options.results or RESULTS[options.suite]
    # Apart from the benchmark's records, whose tables know nothing of experiments.
    store = Store(root / "paper", machine.slug(this_machine))
    store.add_machine(fingerprint, this_machine)
    written: dict[str, list[str]] = {}
    for name, wanted in todo.items():
        with _progress() as show:
            records = experiments.run(
                wanted, store, fingerprint, fresh=options.fresh, on_event=show
            )
        written[name] = [str(path) for path in paper.draw(name, records, root / "figures")]
        _say(f"{name}: {', '.join(written[name]) or 'nothing to draw'}")
    if options.json:
        _print_json(written)


@contextmanager
def _progress() -> Iterator[Callable[[runner.Event], None]]:
    """Show events on standard error: a bar on a terminal, a line for each case elsewhere."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task("")

    def show(event: runner.Event) -> None:
        name = event.case.name
        if event.what == "start":
            bar.update(task, description=f"{name}: preparing", total=event.total)
        elif event.what == "round":
            bar.update(task, description=f"{name}: round {event.rounds + 1}")
        else:
            reason = f", {event.record.skipped}" if event.record and event.record.skipped else ""
            bar.update(task, completed=event.index + 1, total=event.total)
            if reason or not console.is_terminal:
                print(
                    f"[{event.index + 1}/{event.total}] {name}: {event.what}{reason}",
                    file=sys.stderr,
                )

    with bar:
        yield show


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


def _show(shown: Sequence[tables.Table]) -> None:
    tables.show([tables.Report("", {}, shown, {}, "")], _console())


def _console() -> Console:
    console = Console()
    return Console(width=min(console.width, tables.CONSOLE_WIDTH) if console.is_terminal else 100)


def _warn(found: Iterable[str]) -> None:
    for sentence in found:
        _say(f"warning: {sentence}")


def _say(text: str) -> None:
    print(f"halpbench: {text}", file=sys.stderr)


def _print_json(content: object) -> None:
    print(json.dumps(content, indent=1))


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in cases.TABLES]
    if unknown or not names:
        expected = ", ".join(cases.TABLES)
        raise argparse.ArgumentTypeError(f"got {text!r}; expected some of {expected}")
    return names


def _positive(text: str) -> int:
    try:
        number = int(text.replace(",", "").replace("_", ""))
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected an integer of at least 1")
    return number
