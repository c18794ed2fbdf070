"""Parts that the tests share: every backend in turn, settings of hypothesis, allowed skips."""

import os
import re
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

import halpbench
from halpbench import kernels

# The fixture `backend` only names the kernels to use, so it need not be set up for each example.
settings.register_profile(
    "halpbench",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("halpbench")


def pytest_addoption(parser):
    parser.addoption(
        "--skip-only",
        metavar="REGEX",
        help="fail a test that is skipped for a reason that this does not match",
    )


def pytest_report_header(config):
    return f"halpbench: {os.path.dirname(halpbench.__file__)}, {kernels.active()}"


def judged(report, config):
    """Turn a skip for a reason that was not expected here into a failure."""
    allowed = config.getoption("--skip-only")
    if allowed is not None and report.skipped and not hasattr(report, "wasxfail"):
        path, line, reason = report.longrepr
        if not re.search(allowed, reason):
            report.outcome = "failed"
            report.longrepr = f"{path}:{line}: skipped where nothing may be: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return judged((yield), item.config)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return judged((yield), collector.config)


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """SIGINT raises KeyboardInterrupt, in a run in the background, whose shell ignores it, too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(params=kernels.compiled())
def backend(request):
    """Each backend compiled in, in use for the length of the test."""
    if request.param not in kernels.backends():
        pytest.skip(f"this CPU does not support {request.param}")
    with kernels.use(request.param):
        yield request.param


@pytest.fixture
def switching():
    """Threads take turns as often as the interpreter lets them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
