"""The command line: ``halpbench info | datasets | kernels | bench | report | figures | tune``."""

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from halpbench import datasets, kernels
from halpbench.bench import cases, machine, runner
from halpbench.bench.records import Store, stores
from halpbench.report import kernels as kernel_tables
from halpbench.report import tables
from halpbench.report.cells import Table

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
    except ImportError as error:
        if options.debug:
            raise
        _say(f"error: {error}; `pip install 'halpbench[bench]'` installs what this command needs")
        return USER_ERROR
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
        "make the tables again from the raw records, and draw their figures",
        "example:\n  halpbench report --results results",
    )
    command.add_argument("--results", type=Path, default=RESULTS["full"], metavar="DIR")
    _add_figures(add)
    _add_tune(add)
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
    data, shown = kernel_tables.make(records)
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
        peer=_installed_peer(this_machine),
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
    wanted = {*options.tables, "summary"}
    reports = [report for report in tables.build(store) if report.name in wanted]
    written = tables.write(store, reports)
    if options.json:
        _print_json([tables.as_json(report) for report in reports])
    else:
        tables.show(reports, _console())
    _say(f"raw records: {store.raw}; tables: {store.tables} ({len(written)} files)")
    if left:
        _say(f"no time for {left} of {len(todo)} cases; the same command measures them")


def _installed_peer(this_machine: dict[str, Any]) -> str:
    """Name the library that kernels are compared with, and its version; empty if absent."""
    version = this_machine["libraries"]["numkong"]
    return "" if version == machine.UNKNOWN else f"numkong {version}"


def _report(options: argparse.Namespace) -> None:
    from halpbench.report import figures

    found = list(stores(options.results))
    if not found:
        raise FileNotFoundError(
            f"no raw records below {options.results / 'raw'}; `halpbench bench` makes them"
        )
    content = []
    for store in found:
        reports = tables.build(store)
        tables.write(store, reports)
        drawn = figures.draw(reports, options.results / "figures" / store.machine)
        content += [tables.as_json(report) for report in reports]
        if not options.json:
            tables.show(reports, _console())
        _say(f"tables: {store.tables}; figures: {', '.join(map(str, drawn)) or 'none'}")
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
    fingerprint = experiments.fingerprint(machine.fingerprint(this_machine))
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


def _add_tune(add: Callable[..., argparse.ArgumentParser]) -> None:
    command = add(
        "tune",
        _tune,
        "search a grid of step sizes, mu and delta for the least gradient norm",
        "examples:\n"
        "  halpbench tune --problem figure-1 --algorithm sgd --precision D64fM64f\n"
        "  halpbench tune --problem digits --l2 1e-3 --algorithm halp --mu 0.1,0.3,1 --jobs 2\n"
        "  halpbench tune --problem fashion-mnist --algorithm halp --scheduler tcp://host:8786\n\n"
        "Records go to RESULTS/paper/raw. An interrupted search is continued by the same command.\n"
        "Nothing is timed: the points run in parallel.",
    )
    command.add_argument(
        "--problem", required=True, metavar="NAME", help="a problem, a data set, or a file"
    )
    command.add_argument("--l2", type=float, help="default: the problem's; 0 for a data set")
    command.add_argument("--samples", type=_positive, help="use the first ones only")
    command.add_argument("--algorithm", default="halp", help="as in the paper (default: halp)")
    command.add_argument("--precision", metavar="NAME", help="default: D8M8 or D64fM64f")
    command.add_argument("--data", choices=("quantized", "exact"), default="quantized")
    for name in ("--step-size", "--mu", "--delta"):
        command.add_argument(name, type=_numbers, metavar="X[,X]", help="values of the grid")
    command.add_argument("--epochs", type=_positive, default=10, help="default: 10")
    command.add_argument("--seeds", type=_positive, default=1, help="default: 1")
    command.add_argument("--jobs", type=int, default=-1, help="processes (default: one a core)")
    command.add_argument("--scheduler", metavar="ADDRESS", help="run on a Dask cluster")
    command.add_argument("--results", type=Path, default=RESULTS["full"], metavar="DIR")
    command.add_argument("--fresh", action="store_true", help="evaluate again what has a record")


def _tune(options: argparse.Namespace) -> None:
    from halpbench.bench import experiments, tune

    precision = options.precision
    if precision is None:
        precision = "D64fM64f" if options.algorithm in ("sgd", "svrg") else "D8M8"
    spec = tune.problem_named(options.problem, options.l2, options.samples)
    grid = tune.default_grid(runner.Problems().load(spec)[0], options.algorithm, precision)
    given = {"step_size": options.step_size, "mu": options.mu, "delta": options.delta}
    for name, values in given.items():
        if values is not None and name not in grid:
            raise ValueError(f"{options.algorithm} does not take --{name}")
        if values is not None:
            grid[name] = values
    todo = tune.points(
        spec,
        options.algorithm,
        precision,
        grid,
        data=options.data,
        epochs=options.epochs,
        seeds=options.seeds,
    )
    this_machine = machine.record()
    fingerprint = experiments.fingerprint(machine.fingerprint(this_machine))
    store = Store(options.results / "paper", machine.slug(this_machine))
    store.add_machine(fingerprint, this_machine)
    with _progress() as show:
        winner = tune.tune(
            todo,
            store,
            fingerprint,
            jobs=options.jobs,
            scheduler=options.scheduler,
            fresh=options.fresh,
            on_event=show,
        )
    facts = winner.facts
    if options.json:
        _print_json(facts)
        return
    chosen = ", ".join(f"{name} {value:.4g}" for name, value in facts["winner"].items())
    print(f"{spec.name}, {options.algorithm} {precision}: {chosen}")
    print(f"gradient norm {facts['grad_norm']:.3g} after {options.epochs} epochs")
    print(f"{len(todo)} points, {facts['diverged']} of them diverged")
    for name in facts["at_edge"]:
        print(f"the best {name} is at the edge of the grid; a wider one may have a better")


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected numbers, as 0.1,0.3,1") from None


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


def _show(shown: Sequence[Table]) -> None:
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
