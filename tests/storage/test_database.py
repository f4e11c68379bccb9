"""The database of either kind: upgraded once, waited for, refused when too new."""

import multiprocessing
import threading

import pytest
from sqlalchemy import text

from storage.database import (
    StoreError,
    StoreTooNew,
    StoreUnavailable,
    check,
    open_engine,
    reading,
    upgrade,
    writing,
)
from storage.schema import SCHEMA_REVISION

PROCESSES = 4


def test_several_processes_may_upgrade_at_once(empty_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES) as pool:
        assert pool.map(upgrade_one, [empty_url] * PROCESSES) == [SCHEMA_REVISION] * PROCESSES


def upgrade_one(url: str) -> str:
    engine = open_engine(url)
    upgrade(engine)
    with reading(engine) as connection:
        revision: str = connection.execute(
            text("SELECT version_num FROM alembic_version")
        ).scalar_one()
    engine.dispose()
    return revision


def test_a_newer_database_is_refused(empty_url: str) -> None:
    engine = open_engine(empty_url)
    upgrade(engine)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for attempt in (upgrade, check):
        with pytest.raises(StoreTooNew, match="revision 9999.*run the newer shalt"):
            attempt(engine)
    engine.dispose()


def test_a_check_waits_for_the_tables(empty_url: str) -> None:
    engine = open_engine(empty_url)
    other = open_engine(empty_url)
    upgrading = threading.Timer(0.1, upgrade, [other])
    upgrading.start()
    check(engine, wait_seconds=30)
    upgrading.join()
    other.dispose()
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://", "sqlite:///:memory:", "shalt.sqlite", "sqlite+aiosqlite:///x", "nosuch://x",
        "postgresql://localhost", "postgresql+psycopg2://localhost/x", "postgresql://h:port/x",
    ],
)  # fmt: skip
def test_what_is_no_store_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="write it as sqlite:////.* or postgresql://"):
        open_engine(url)


def test_error_messages_hold_no_values(empty_url: str) -> None:
    engine = open_engine(empty_url)
    upgrade(engine)
    with pytest.raises(StoreUnavailable) as caught, reading(engine) as connection:
        connection.execute(text("SELECT nothing(:secret)"), {"secret": "what a user said"})
    assert "what a user said" not in str(caught.value) + str(caught.value.__cause__)
    engine.dispose()
