"""What tests of several packages ask for: the databases a store can lie in."""

import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.postgres import KINDS, Server, fresh_url, running_postgres

# Where the tests run in the background, Ctrl-C is ignored, in the processes they start, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What is tried is the same in each run, and takes as long as busy cores take: a test that fails by
# chance stops what has nothing to do with it. New examples are looked for on purpose:
# pytest --hypothesis-profile search tests/storage/test_years.py
hypothesis.settings.register_profile(
    "same",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("search", deadline=None, max_examples=5_000)
hypothesis.settings.load_profile("same")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server; skips the test where none is installed."""
    with running_postgres() as server:
        server.prepare_template()
        yield server


@pytest.fixture(params=KINDS)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a store of the test's own, in each kind of database; upgrade it before use."""
    with fresh_url(request, tmp_path) as url:
        yield url
