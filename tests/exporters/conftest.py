"""A store on a real SQLite file, and a clock that stands still."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert

from storage.schema import split_policy
from storage.store import TraceStore

NOON_NS = 1_790_942_400_000_000_000  # 2026-10-02T12:00:00Z
SALT = "0123456789abcdef" * 2


class StillClock:
    """A clock for tests: always noon of 2 October 2026, UTC."""

    def wall_ns(self) -> int:
        return NOON_NS

    def monotonic_ns(self) -> int:
        return 0


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


def make_store(path: Path) -> TraceStore:
    """Make a store whose salt is known, so that no test depends on how groups happen to fall."""
    url = f"sqlite:///{path}"
    made = TraceStore(url, clock=StillClock())
    made.upgrade()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            insert(split_policy).values(
                project="default",
                version=1,
                salt=SALT,
                test_ratio=0.10,
                val_ratio=0.05,
                created_at=0,
            )
        )
    engine.dispose()
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TraceStore]:
    made = make_store(tmp_path / "shalt.sqlite")
    yield made
    made.close()
