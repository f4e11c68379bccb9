"""A store of its own for each test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.store import TraceStore
from tests.postgres import KINDS, fresh_url
from tests.storage.calls import new_store, url_of


@pytest.fixture
def store(store_url: str) -> Iterator[TraceStore]:
    """A store; the test runs once on SQLite and once on PostgreSQL."""
    opened = new_store(store_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[TraceStore]:
    """A store for what only a SQLite file has."""
    opened = new_store(url_of(tmp_path))
    yield opened
    opened.close()


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a store that has no tables yet, in each kind of database."""
    with fresh_url(request, tmp_path, migrated=False) as url:
        yield url
