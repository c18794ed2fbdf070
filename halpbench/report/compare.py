"""Runs side by side: revisions on one machine by their times, machines by ratios within each."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from msgspec import structs

from halpbench.bench import stats
from halpbench.bench.records import Record, identity
from halpbench.bench.runs import SavedRun
from halpbench.report import agreement, cells, epochs, tables
from halpbench.report.cells import Row, Table

ACROSS = ("revisions", "machines")
KINDS = ("kernel", "call", "epochs")

# Baselines of the other contenders of a record: the first of these that it has.
BASELINES = ("f32", epochs.F32, "halpbench")

# Fields of the contenders beside a case: ignored where two runs are compared.
BESIDE = ("dtypes", "beside", "contenders", "libraries")

# Kinds of shortfalls of a run against the first one, which the gate lets pass only if asked to.
SHORTFALLS = ("lost", "skipped", "wrong")

SIGNIFICANT = 0.05
# With 8 samples on each side the least p-value is 2 / (16 choose 8) = 1.6e-4, which stays
# significant among 300 comparisons; with fewer no change ever could be.
MIN_SAMPLES = 8

# The name that the best backend of each machine goes by, where machines differ in it.
BEST = "best backend"

# Number of cases that a note names.
NAMED = 3

# A gradient norm that changes by more is a change of results, not of rounding.
SAME_NORM = 0.01

T = TypeVar("T")


@dataclass(frozen=True)
class Shortfall:
    """A case and contender of the first run that another does not have, or a wrong result there.

    Attributes
    ----------
    what : str
        One of `SHORTFALLS`.
    case : str
        The case, and the contender if the others of the case are there.
    run : str
        Letter of the other run.
    reason : str
        Reason for skipping it, or the wrong result.
    """

    what: str
    case: str
    run: str
    reason: str = ""

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.what}: {self.case} ({self.run})" + (self.reason and f": {self.reason}")


@dataclass(frozen=True)
class RunComparison:
    """The first run, A, against each of the others: B, C and so on.

    Attributes
    ----------
    rows : list of Row
        One for each case, contender and other run. ``ratio``: how many times as fast as A (or,
        across machines, how many times larger the speedup over the baseline), with interval;
        ``p_value`` of the rank test, ``p_holm`` adjusted for the number of rows that are judged
        (None where samples are too few); ``verdict``: "faster", "slower", "alike" or "too few".
    tables : list of Table
    notes : list of str
        Contents of one run only, and other differences.
    shortfalls : list of Shortfall
        Measurements of A that the others lack, and their wrong results.
    """

    rows: list[Row]
    tables: list[Table]
    notes: list[str]
    shortfalls: list[Shortfall]

    def failing(self, allowed: Collection[str] = ()) -> list[Shortfall]:
        """Return the shortfalls of kinds that are not allowed."""
        return [shortfall for shortfall in self.shortfalls if shortfall.what not in allowed]

    @property
    def judged(self) -> int:
        """Number of rows that have samples enough for a verdict."""
        return sum(row["p_value"] is not None for row in self.rows)

    def below(self, limit: float) -> list[Row]:
        """Return the rows that are slower for sure: significant, the whole interval below."""
        slower = [row for row in self.rows if row["verdict"] == "slower"]
        return [row for row in slower if row["ratio_high"] < limit]


def compare(runs: Sequence[SavedRun], across: str = "revisions") -> RunComparison:
    """Compare the first of some runs with each of the others.

    Parameters
    ----------
    runs : sequence of SavedRun
        At least two.
    across : str
        "revisions": times, of one machine and compiler. "machines": each contender's speedup
        over the baseline of its own record, so that no time leaves its machine.

    Raises
    ------
    agreement.IncomparableError
        Across revisions, if the machines or compilers differ or are not known.
    ValueError
        If there are less than two runs, or nothing that the first has in common with another.
    """
    if len(runs) < 2 or across not in ACROSS:
        raise ValueError(
            f"got {len(runs)} runs across {across!r}; expected two or more across "
            f"{' or '.join(ACROSS)}"
        )
    notes: list[str] = []
    if across == "revisions":
        for letter, run in _others(runs):
            notes += agreement.check(runs[0], run, letter)
        measured = [_measured(run, _times) for run in runs]
    else:
        notes += [note for letter, run in lettered(runs) for note in _baseline_lacks(run, letter)]
        measured = [_measured(run, _speedups) for run in _best_named_alike(runs)]
    rows: list[Row] = []
    shortfalls: list[Shortfall] = []
    first = measured[0]
    for (letter, other), run in zip(_others(measured), runs[1:], strict=True):
        notes += _only_in(first, other, "A", letter) + _only_in(other, first, letter, "A")
        rows += _rows(first, other, letter, across)
        shortfalls += _shortfalls(first, other, run, letter)
    notes += _changed_norms(rows)
    if not rows and {shortfall.what for shortfall in shortfalls} <= {"lost"}:
        raise ValueError(f"{', '.join(run.name for run in runs)}: no case and contender in common")
    if across == "revisions":
        return RunComparison(rows, _revision_tables(rows), notes, shortfalls)
    # Another machine has other backends: it has lost nothing by that.
    shortfalls = [shortfall for shortfall in shortfalls if shortfall.what != "lost"]
    return RunComparison(rows, _machine_tables(rows), notes, shortfalls)


def origin(run: SavedRun) -> str:
    """Say in one line where a run comes from."""
    machine = run.machine
    started = run.records[0].started
    return ", ".join(
        [
            run.name,
            str(agreement.at(machine, "cpu.model")),
            str(agreement.at(machine, "build.kernels.compiler")),
            f"revision {agreement.at(machine, 'revision')}",
            started,
        ]
    )


# ---- Samples of runs -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Samples:
    """Samples of a contender in a case: nanoseconds, or speedups over its record's baseline."""

    case: str
    backend: str
    contender: str
    constants: str
    values: Sequence[float]
    gradient_norms: Sequence[float | None]
    diverged: bool


def _measured(
    run: SavedRun, values_of: Callable[[Record], dict[str, list[float]]]
) -> dict[bytes, _Samples]:
    """Collect the samples of a run under a text that equal measurements share.

    All samples of a case that was measured several times count: a machine varies more between
    measurements than within one.
    """
    measured: dict[bytes, _Samples] = {}
    for record in _usable(run):
        facts = {series.contender: series.facts for series in record.series}
        for contender, values in values_of(record).items():
            key = _key(record, contender)
            earlier = measured[key].values if key in measured else ()
            measured[key] = _Samples(
                _describe(record),
                record.case["backend"],
                contender,
                _constants(record, contender),
                [*earlier, *values],
                facts[contender].get("gradient_norms", ()),
                facts[contender].get("diverged", False),
            )
    return measured


def _key(record: Record, contender: str = "") -> bytes:
    """Return bytes that equal measurements of two builds share."""
    case = {name: value for name, value in record.case.items() if name not in BESIDE}
    return identity(record.kind, {**case, "constants": _constants(record, contender)}, contender)


def _constants(record: Record, contender: str) -> str:
    constants = record.constants(contender)
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in constants.items())


def _usable(run: SavedRun) -> list[Record]:
    return [record for record in run.records if record.kind in KINDS and record.measured]


def _times(record: Record) -> dict[str, list[float]]:
    """Nanoseconds of a call or an epoch by contender; one that diverged at once has none."""
    times: dict[str, list[float]] = {}
    for series in record.series:
        if series.contender == f"{record.case.get('beside')} i8":
            continue
        if "calls" in series.samples_ns:
            values = cells.per_call(series)
        else:
            values = list(map(float, epochs.timed(series, "epoch")))
        if values and min(values) > 0:
            times[series.contender] = values
    return times


def _speedups(record: Record) -> dict[str, list[float]]:
    """Speedups over the baseline of the record, round by round."""
    times = _times(record)
    baseline = next((name for name in BASELINES if name in times), None)
    return {
        name: [b / t for b, t in zip(times[baseline], values, strict=False)]
        for name, values in times.items()
        if baseline is not None and name != baseline
    }


def _best_named_alike(runs: Sequence[SavedRun]) -> list[SavedRun]:
    """Let the best backends of the machines meet under one name, where they differ."""
    known = [agreement.at(run.machine, "build.backends") for run in runs]
    bests = [names[0] if names and isinstance(names, list) else None for names in known]
    if bests.count(bests[0]) == len(bests):
        return list(runs)
    return [
        replace(
            run,
            records=[
                *run.records,
                *(
                    structs.replace(record, case={**record.case, "backend": BEST})
                    for record in run.records
                    if record.case.get("backend") == best
                ),
            ],
        )
        for run, best in zip(runs, bests, strict=True)
    ]


def _baseline_lacks(run: SavedRun, letter: str) -> list[str]:
    """Note the cases with several contenders of which none is a baseline."""
    lacking = [r for r in _usable(run) if len(r.series) > 1 and not _speedups(r)]
    names = list(dict.fromkeys(map(tables.describe, lacking)))
    return [f"without a baseline in {letter}: {_some(names)}"] if names else []


def _only_in(
    one: Mapping[bytes, _Samples], another: Mapping[bytes, _Samples], letter: str, other: str
) -> list[str]:
    """Note the cases and contenders of one run that the other lacks."""
    names = list(dict.fromkeys(name for name, _ in _lacking(one, another)))
    return [f"in {letter}, not in {other}: {_some(names)}"] if names else []


def _lacking(
    one: Mapping[bytes, _Samples], another: Mapping[bytes, _Samples]
) -> list[tuple[str, str]]:
    """Name the cases that one run has and the other lacks; the contenders if only some lack."""
    missing = [samples for key, samples in one.items() if key not in another]
    known = {samples.case for samples in another.values()}
    namesakes = {(samples.case, samples.contender) for samples in another.values()}
    return [
        (s.case if s.case not in known else f"{_named(s, namesakes)} in {s.case}", s.case)
        for s in missing
    ]


def _named(samples: _Samples, namesakes: Collection[tuple[str, str]]) -> str:
    """Name a contender, with its constants where the other run has it with different ones."""
    if (samples.case, samples.contender) not in namesakes:
        return samples.contender
    return f"{samples.contender} ({samples.constants or 'default constants'})"


def _shortfalls(
    first: Mapping[bytes, _Samples], other: Mapping[bytes, _Samples], run: SavedRun, letter: str
) -> list[Shortfall]:
    """List the measurements of the first run that another lacks, and all its wrong results.

    The record that was appended last decides, even if an earlier one has samples.
    """
    last = {_key(record): record for record in run.records if record.kind in KINDS}
    cases = {samples.case for samples in first.values()}
    shortfalls = []
    failed = set()
    for record in last.values():
        case = _describe(record)
        for name, reason in _newly_diverged(first, record):
            shortfalls.append(Shortfall("wrong", name, letter, reason))
            failed.add(name)
        if record.wrong is not None:
            shortfalls.append(Shortfall("wrong", case, letter, record.wrong))
            failed.add(case)
        elif record.skipped is not None and case in cases:
            shortfalls.append(Shortfall("skipped", case, letter, record.skipped))
            failed.add(case)
    lacking = dict.fromkeys(pair for pair in _lacking(first, other) if failed.isdisjoint(pair))
    return shortfalls + [Shortfall("lost", name, letter) for name, _ in lacking]


def _newly_diverged(first: Mapping[bytes, _Samples], record: Record) -> list[tuple[str, str]]:
    """Name the contenders that diverged in a record and did not in the first run."""
    diverged = [series for series in record.series if series.facts.get("diverged", False)]
    known = [(series, first.get(_key(record, series.contender))) for series in diverged]
    return [
        (
            f"{series.contender} in {_describe(record)}",
            f"diverged, epochs done: {len(series.samples_ns['epoch'])}",
        )
        for series, before in known
        if before is not None and not before.diverged
    ]


def _describe(record: Record) -> str:
    return tables.describe(record).replace(" data", "")


def _some(names: Sequence[str]) -> str:
    shown = "; ".join(names[:NAMED])
    return shown + (f"; and {len(names) - NAMED} more" if len(names) > NAMED else "")


def lettered(items: Sequence[T]) -> list[tuple[str, T]]:
    """Name things A, B, C in their order."""
    return [(chr(ord("A") + index), item) for index, item in enumerate(items)]


def _others(items: Sequence[T]) -> list[tuple[str, T]]:
    """Return all but the first, which they are compared with."""
    return lettered(items)[1:]


# ---- Rows -------------------------------------------------------------------------------------


def _rows(
    first: Mapping[bytes, _Samples], other: Mapping[bytes, _Samples], letter: str, across: str
) -> list[Row]:
    unit = "ns" if across == "revisions" else "speedup"
    rows: list[Row] = []
    for key, before in first.items():
        if key not in other:
            continue
        after = other[key]
        # The faster is the smaller of times, and the larger of speedups.
        pair = (before.values, after.values) if unit == "ns" else (after.values, before.values)
        enough = min(len(before.values), len(after.values)) >= MIN_SAMPLES
        rows.append(
            {
                "case": before.case,
                "backend": before.backend,
                "contender": before.contender,
                "run": letter,
                **cells.columns(f"first_{unit}", stats.median(before.values)),
                **cells.columns(unit, stats.median(after.values)),
                "first_samples": len(before.values),
                "samples": len(after.values),
                **cells.columns("ratio", stats.change(*pair)),
                "p_value": stats.rank_test(*pair) if enough else None,
                "p_holm": None,
                "verdict": "too few",
                **_norms(before.gradient_norms, after.gradient_norms),
            }
        )
    judged = [row for row in rows if row["p_value"] is not None]
    for row, p in zip(judged, stats.holm([row["p_value"] for row in judged]), strict=True):
        changed = "faster" if row["ratio"] > 1 else "slower"
        row |= {"p_holm": p, "verdict": changed if p < SIGNIFICANT else "alike"}
    return rows


def _norms(first: Sequence[float | None], other: Sequence[float | None]) -> Row:
    """Return the gradient norms after as many epochs as both runs have."""
    epochs_of_both = min(len(first), len(other)) - 1
    if epochs_of_both < 1:
        return {}
    return {
        "epochs": epochs_of_both,
        "first_gradient_norm": first[epochs_of_both],
        "gradient_norm": other[epochs_of_both],
    }


def _changed_norms(rows: Sequence[Row]) -> list[str]:
    """Note the cases in which a run reached another accuracy, without which its speedup is void."""
    changed = []
    for row in rows:
        first, other = row.get("first_gradient_norm"), row.get("gradient_norm")
        if first == other or (first and other and abs(other / first - 1) <= SAME_NORM):
            continue
        changed.append(
            f"{row['contender']} in {row['case']}: gradient norm after {row['epochs']} epochs "
            f"{cells.norm(first)} in A, {cells.norm(other)} in {row['run']}"
        )
    return changed


# ---- Tables -----------------------------------------------------------------------------------


def _revision_tables(rows: Sequence[Row]) -> list[Table]:
    """Make two tables of each run: the changes, for the console, and everything."""
    shown = []
    for letter in dict.fromkeys(row["run"] for row in rows):
        own = [row for row in rows if row["run"] == letter]
        changed = [row for row in own if row["verdict"] in ("faster", "slower")]
        changed.sort(key=lambda row: float(row["ratio"]))
        header = ("case", "contender", "A", letter, f"{letter} against A")
        count = Counter(row["verdict"] for row in own)
        title = f"{letter} against A: {count['slower']} slower, {count['faster']} faster, "
        title += f"{count['alike']} alike"
        legend = [
            "Ratios of median times, in brackets their 95 % intervals. Listed is what differs by a",
            f"rank test, p < {SIGNIFICANT} after adjustment for the "
            f"{len(own) - count['too few']} comparisons (Holm).",
        ]
        if count["too few"]:
            legend.append(
                f"{count['too few']} more have fewer than {MIN_SAMPLES} samples in a run and are "
                f"not judged; measure with --repeats {MIN_SAMPLES + 1}."
            )
        shown.append(Table(title, header, [_revision_line(row) for row in changed], legend))
        lines = [[*_revision_line(row), _p(row)] for row in own]
        shown.append(Table(f"{letter} against A: all", (*header, "p"), lines, brief=False))
    return shown


def _revision_line(row: Row) -> list[str]:
    times = [
        cells.time({**row, "repetitions": row[count]}, name, 1e-9)
        for name, count in (("first_ns", "first_samples"), ("ns", "samples"))
    ]
    return [row["case"], row["contender"], *times, change(row)]


def _p(row: Row) -> str:
    return row["verdict"] if row["p_holm"] is None else f"{row['p_holm']:.2g}"


def change(row: Row) -> cells.Cell:
    """Write a ratio with its interval so that it reads the same in both directions."""
    ratio, low, high = (row[f"ratio{end}"] for end in ("", "_low", "_high"))
    word = "faster"
    if ratio < 1:
        ratio, low, high, word = 1 / ratio, 1 / high, 1 / low, "slower"
    text = f"{cells.number(ratio)}x {word} [{cells.number(low)}-{cells.number(high)}]"
    return cells.Cell(text, row["ratio"])


def _machine_tables(rows: Sequence[Row]) -> list[Table]:
    """Make a table of the best backend, for the console, and one of the others."""
    backends = dict.fromkeys(row["backend"] for row in rows)
    best = BEST if BEST in backends else next(iter(backends), "")
    shown = []
    for title, own, brief in (
        (f"Speedups, {best}", [row for row in rows if row["backend"] == best], True),
        ("Speedups, other backends", [row for row in rows if row["backend"] != best], False),
    ):
        if own:
            shown.append(_machine_table(title, own, brief))
    return shown


def _machine_table(title: str, rows: Sequence[Row], brief: bool) -> Table:
    letters = list(dict.fromkeys(row["run"] for row in rows))
    lines = []
    for case, contender in dict.fromkeys((row["case"], row["contender"]) for row in rows):
        of_runs = [cells.find(rows, case=case, contender=contender, run=run) for run in letters]
        known = next(row for row in of_runs if row is not None)
        line = [case.removesuffix(f", {known['backend']}") if brief else case, contender]
        line.append(cells.interval(known, "first_speedup"))
        line += [cells.interval(row, "speedup") for row in of_runs]
        line += ["" if row is None else _relative(row) for row in of_runs]
        lines.append(line)
    header = ("case", "contender", "A", *letters, *(f"{letter}/A" for letter in letters))
    legend = [
        f"Times as fast as {', '.join(BASELINES)}, measured in turns with it on the same",
        "machine; in brackets 95 % intervals. B/A: how many times larger the speedup is on B; in",
        f"parentheses what does not differ by a rank test, p < {SIGNIFICANT} after adjustment for",
        f"their number (Holm), or has fewer than {MIN_SAMPLES} samples.",
    ]
    return Table(title, header, lines, legend, brief)


def _relative(row: Row) -> str:
    text = cells.number(row["ratio"])
    return text if row["verdict"] in ("faster", "slower") else f"({text})"
