"""pytest-benchmark on the kernels: timed by their own clock, saved in a folder for each CPU.

``pytest benchmarks`` runs all of it, and takes the options of pytest-benchmark. What is measured is
in test_kernel_speed.py.
"""

from pathlib import Path

import numpy as np
import pytest

from halpbench.bench import clock, dots, levels, machine, runner, stats
from halpbench.bench.cases import Plan
from halpbench.bench.suites import SUITES
from halpbench.cli.common import RESULTS
from halpbench.report.cells import columns

# Seconds and rounds of a case, without --benchmark-max-time and --benchmark-min-rounds.
BUDGETS = {"full": ("0.15", 7), "smoke": ("0.03", 3)}
COLUMNS = ["min", "median", "iqr", "rounds"]

# Fields of a machine record that are no property of the machine, or change with every commit.
CHANGING = ("state", "revision")

MACHINE = pytest.StashKey[dict]()


def pytest_addoption(parser):
    group = parser.getgroup("halpbench")
    group.addoption("--suite", choices=SUITES, default="full", help="default: full")
    group.addoption("--results", type=Path, help="default: results, or results/smoke")


def pytest_configure(config):
    """Choose what the command line leaves open, before pytest-benchmark reads it."""
    this_machine = config.stash[MACHINE] = machine.record()
    suite = config.option.suite
    results = config.option.results or config.rootpath / RESULTS[suite]
    max_time, min_rounds = BUDGETS[suite]
    for option, value in {
        "storage": str(results / "kernels" / machine.slug(this_machine)),
        "max-time": max_time,
        "min-rounds": min_rounds,
        "columns": COLUMNS,
    }.items():
        given = any(a.startswith(f"--benchmark-{option}") for a in config.invocation_params.args)
        if not given:
            setattr(config.option, f"benchmark_{option.replace('-', '_')}", value)
    # A baseline that is missing is a warning, not an error.
    config.addinivalue_line(
        "filterwarnings", "default::pytest_benchmark.logger.PytestBenchmarkWarning"
    )


def pytest_report_header(config):
    this_machine = config.stash[MACHINE]
    sizes = ", ".join(
        f"{level.name} {level.set_bytes >> 10:,} KiB" for level in levels_of_suite(config)
    )
    beside = dots.libraries()
    lines = [
        f"halpbench: {machine.slug(this_machine)}; operands fill {sizes}",
        f"peers: {', '.join(p if ' ' in p else f'{p} absent' for p in beside)}; one thread",
    ]
    return lines + [f"warning: {text}" for text in machine.warnings_for(this_machine)]


def levels_of_suite(config):
    """The levels of this machine; the smoke suite has the first two caches only."""
    this_machine = config.stash[MACHINE]
    available = this_machine["state"]["memory_available_bytes"]
    all_levels = levels.of(this_machine["caches"], available)
    return all_levels if config.option.suite == "full" else all_levels[:2]


def backends_of_suite(config):
    """The usable backends; the smoke suite has the best and the scalar one only."""
    backends = config.stash[MACHINE]["build"]["backends"]
    if config.option.suite == "full":
        return backends
    return list(dict.fromkeys((backends[0], backends[-1])))


@pytest.hookimpl(trylast=True)  # what the cases choose themselves varies least
def pytest_generate_tests(metafunc):
    values = {
        "level": [level.name for level in levels_of_suite(metafunc.config)],
        "backend": backends_of_suite(metafunc.config),
        "library": ["halpbench", *dots.DTYPES],
    }
    for name, choices in values.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, choices)


def pytest_collection_modifyitems(items):
    for item in items:
        if "measure" in item.fixturenames:
            item.add_marker(pytest.mark.benchmark(timer=kernel_clock, warmup=True, disable_gc=True))


def pytest_benchmark_update_machine_info(config, machine_info):
    """Keep what two runs on one machine have in common, and add the machine record."""
    del machine_info["node"]  # a container has another name each time
    for name in [name for name in machine_info["cpu"] if name.startswith("hz_actual")]:
        del machine_info["cpu"][name]
    record = {k: v for k, v in config.stash[MACHINE].items() if k not in CHANGING}
    record["build"] = {k: v for k, v in record["build"].items() if k != "code"}
    machine_info["halpbench"] = record


# ---- Timing ------------------------------------------------------------------------------------

_elapsed = 0.0


def kernel_clock():
    """Seconds that the kernels of this session have taken a call; it stands still outside them."""
    return _elapsed


def _advance(seconds):
    global _elapsed
    _elapsed += seconds


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    with clock.one_thread():
        yield


@pytest.fixture
def place(request, level):
    """The `Level` that a case names."""
    return next(each for each in levels_of_suite(request.config) if each.name == level)


@pytest.fixture
def measure(benchmark, request):
    """Time a contender and its references in turn; hand the contender's time to pytest-benchmark.

    Returns a function of the contenders by name, the one that is benchmarked first: of each its
    timer and the elements of a call; of the bytes of a call of the first; and of what else
    `extra_info` should hold. It returns the nanoseconds of a call of each, round by round.

    Times are those of one call, from batches that pytest-benchmark's own loop has no part in. All
    take turns; ratios are of elements a second, in pairs of one round. The search for the size of
    a batch warms up, and the first round, for the same reason, does not count.
    """

    def run(contenders, *, n_bytes, **info):
        if benchmark.disabled:
            benchmark.pedantic(lambda: None)
            return {}
        option = request.config.option
        samples, calls = runner.sample(
            {name: timer for name, (timer, _) in contenders.items()},
            Plan(
                at_least=int(option.benchmark_min_rounds) + 1,
                at_most=100,
                budget_seconds=float(option.benchmark_max_time),
            ),
        )
        ns = {name: [s / calls[name] for s in samples[name][1:]] for name in contenders}
        ours, *references = contenders
        times = iter(ns[ours])
        benchmark.pedantic(lambda: _advance(next(times) * 1e-9), rounds=len(ns[ours]))
        median, elements = stats.median(ns[ours]).value, contenders[ours][1]
        benchmark.extra_info |= {
            **info,
            "elements": elements,
            "bytes": n_bytes,
            "calls_per_round": calls[ours],
            "elements_per_second": elements / median * 1e9,
            "gigabytes_per_second": n_bytes / median,
        }
        for name in references:
            per_element = (np.divide(ns[each], contenders[each][1]) for each in (name, ours))
            benchmark.extra_info |= columns(f"ratio_to_{name}", stats.ratio(*per_element))
        return ns

    return run
