"""What the tests share: every backend in turn, and the settings of hypothesis."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from halpbench import kernels

# The fixture `backend` only names the kernels to use, so it need not be set up for each example.
settings.register_profile(
    "halpbench",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("halpbench")


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
