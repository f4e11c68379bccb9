"""A store in each kind of database, and a clock that stands still."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.store import TraceStore
from tests.stores import lay, lay_salt

NOON_NS = 1_790_942_400_000_000_000  # 2026-10-02T12:00:00Z


class StillClock:
    """A clock for tests: always noon of 2 October 2026, UTC."""

    def wall_ns(self) -> int:
        return NOON_NS

    def monotonic_ns(self) -> int:
        return 0


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


def make_store(url: str) -> TraceStore:
    """Make a store whose salt is known, so that no test depends on how groups happen to fall."""
    made = TraceStore(lay(url), clock=StillClock())
    made.upgrade()
    lay_salt(made.engine)
    return made


@pytest.fixture
def store(store_url: str) -> Iterator[TraceStore]:
    """A store; the test runs once on SQLite and once on PostgreSQL."""
    made = make_store(store_url)
    yield made
    made.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[TraceStore]:
    """A store for what does not depend on the kind of database."""
    made = make_store(f"sqlite:///{tmp_path}/store.sqlite")
    yield made
    made.close()
