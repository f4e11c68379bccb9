"""A store on a real SQLite file, and a clock that stands still."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.store import TraceStore

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


@pytest.fixture
def store(tmp_path: Path, clock: StillClock) -> Iterator[TraceStore]:
    made = TraceStore(f"sqlite:///{tmp_path / 'shalt.sqlite'}", clock=clock)
    made.upgrade()
    yield made
    made.close()
