"""A benchmark that is killed at any moment: what was finished is kept, the next run continues."""

import os
import random
import subprocess
import sys
import warnings

from halpbench.bench.store import stores

CASES, KILLS = 60, 12

# Runs the real command on small cases, time and again, each time in a new process that is killed:
# after a random delay, or by itself in the middle of writing its second record. One process forks
# the others, so that the package is imported once.
DRIVER = f"""
import io, os, random, signal, sys, time
from halpbench import cli
from halpbench.bench import files, suites
from halpbench.bench.cases import DTYPES, KernelCase, Plan, Planned

plan = Plan(budget_seconds=0.0)
suites.suite = lambda name, **_: [
    Planned(KernelCase("dot", 16 + i, "scalar", DTYPES), plan) for i in range({CASES})
]
results, seed = sys.argv[1], int(sys.argv[2])

class Killed(io.FileIO):
    def write(self, line):
        if self.tell() == 0 or not str(self.name).endswith("records.jsonl"):
            return super().write(line)
        super().write(line[:len(line) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

def bench(number, killed):
    log = os.open(f"{{results}}/log-{{number}}", os.O_WRONLY | os.O_CREAT)
    child = os.fork()
    if child == 0:
        if killed:
            files.open = lambda path, mode, buffering: Killed(path, mode.replace("b", ""))
        os.dup2(log, 1)
        os.dup2(log, 2)
        os._exit(cli.main(["bench", "--results", results]))
    os.close(log)
    return child

delays = random.Random(seed)
for number in range({KILLS}):
    in_the_middle = number % 4 == 0
    child = bench(number, in_the_middle)
    if not in_the_middle:
        time.sleep(delays.uniform(0.0, 0.3))
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
_, status = os.waitpid(bench({KILLS}, False), 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_killed_at_any_moment(tmp_path):
    seed = random.randrange(2**32)
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path), str(seed)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    (store,) = stores(tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = store.records()
    assert 1 <= len(caught) <= KILLS, f"seed {seed}"
    assert all("records.jsonl, line " in str(warning.message) for warning in caught)
    # No case is lost, none was measured twice.
    assert len({record.identity for record in found}) == len(found) == CASES, f"seed {seed}"
    assert len(store.machines()) == 1
    assert sorted(path.name for path in store.raw.iterdir()) == [
        ".lock",
        "machine.json",
        "records.jsonl",
    ]
    *killed, last = [(tmp_path / f"log-{number}").read_text() for number in range(KILLS + 1)]
    finished, reused = sum(log.count(": done") for log in killed), last.count(": reused")
    # A run can be killed between the record and the word of it.
    assert 0 < finished <= reused <= finished + KILLS, f"seed {seed}"
    assert reused + last.count(": done") == CASES, f"seed {seed}"
