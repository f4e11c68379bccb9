"""A store of its own for each test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.store import TraceStore
from tests.storage.calls import new_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TraceStore]:
    opened = new_store(tmp_path)
    yield opened
    opened.close()
