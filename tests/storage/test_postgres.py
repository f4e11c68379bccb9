"""A PostgreSQL database: what its connections promise, and what its errors mean."""

import threading
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Engine, exc, make_url, text

from storage.database import (
    RowRejected,
    StoreError,
    StoreNotReady,
    StoreUnavailable,
    check,
    open_engine,
    reading,
    upgrade,
    writing,
)
from storage.postgres import lock, named, prepare
from storage.schema import reservation
from storage.store import TraceStore
from tests.postgres import TEMPLATE, Server
from tests.storage.calls import StillClock, ask, at, recorded

URL = make_url("postgresql+psycopg://shalt:s3cret@localhost/traces")


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    made = postgres.url(postgres.create(TEMPLATE))
    yield made
    postgres.drop(made)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    opened = open_engine(url)
    yield opened
    opened.dispose()


def setting(engine: Engine, name: str) -> str:
    with reading(engine) as connection:
        return str(connection.scalar(text(f"SHOW {name}")))


def test_connections_wait_so_long_and_no_longer(engine: Engine) -> None:
    assert setting(engine, "lock_timeout") == "10s"
    assert setting(engine, "statement_timeout") == "10min"
    with writing(engine) as connection:
        assert connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == "1min"


def test_options_of_the_url_come_after_ours(url: str) -> None:
    engine = open_engine(f"{url}&options=-c lock_timeout=50ms")
    assert setting(engine, "lock_timeout") == "50ms"
    assert setting(engine, "statement_timeout") == "10min"
    engine.dispose()


def test_a_commit_is_on_disk_whatever_the_database_prefers(url: str) -> None:
    name = str(make_url(url).database)
    ask(url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    engine = open_engine(url)
    assert setting(engine, "synchronous_commit") == "on"
    engine.dispose()


def test_a_stronger_promise_is_left_as_it_is(url: str) -> None:
    name = str(make_url(url).database)
    ask(url, f"ALTER DATABASE {name} SET synchronous_commit = remote_apply")
    engine = open_engine(url)
    assert setting(engine, "synchronous_commit") == "remote_apply"
    engine.dispose()


def test_one_who_reads_sees_one_state_and_cannot_write(engine: Engine) -> None:
    with reading(engine) as connection:
        assert connection.scalar(text("SHOW transaction_isolation")) == "repeatable read"
    with pytest.raises(StoreUnavailable, match="read-only"), reading(engine) as connection:
        connection.execute(text("DELETE FROM call"))


def test_a_database_without_tables_is_not_ready(postgres: Server) -> None:
    engine = open_engine(postgres.url("postgres"))
    with pytest.raises(StoreNotReady, match="is at revision none"):
        check(engine)
    with pytest.raises(StoreNotReady, match="has no tables"), reading(engine) as connection:
        connection.execute(text("SELECT 1 FROM call"))
    engine.dispose()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    engine = open_engine("postgresql://shalt:s3cret@127.0.0.1:1/traces")
    with pytest.raises(StoreUnavailable, match="Connection refused") as caught:
        upgrade(engine)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    engine.dispose()


def test_a_database_that_does_not_exist_is_unavailable(postgres: Server) -> None:
    engine = open_engine(postgres.url("nowhere"))
    with pytest.raises(StoreUnavailable, match='database "nowhere" does not exist'):
        check(engine)
    engine.dispose()


def test_a_database_in_another_encoding_is_refused(postgres: Server) -> None:
    name = "latin"
    ask(
        postgres.url("postgres") + "&options=-c search_path=public",
        "SELECT 1",
    )
    with psycopg.connect(
        host=str(postgres.directory), user="shalt", autocommit=True, dbname="postgres"
    ) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' LOCALE_PROVIDER libc"
            " TEMPLATE template0"
        )
    engine = open_engine(postgres.url(name))
    with pytest.raises(StoreError, match="encoded in SQL_ASCII"):
        upgrade(engine)
    engine.dispose()
    postgres.drop(postgres.url(name))


def test_an_older_server_is_refused(engine: Engine) -> None:
    with engine.connect():
        pass  # the version is read with the first connection
    engine.dialect.server_version_info = (14, 11)
    with pytest.raises(StoreError, match="PostgreSQL 14.11: shalt needs 15 or newer"):
        prepare(engine)


def test_a_lock_is_held_until_the_transaction_ends(engine: Engine) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        with writing(engine) as connection:
            waiting.set()
            lock(connection, "a", "b")
            order.append("second")

    other = threading.Thread(target=second)
    with writing(engine) as connection:
        lock(connection, "a", "b")
        other.start()
        assert waiting.wait(60)
        lock(connection, "another")
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_a_locked_table_is_unavailable_and_nothing_is_wrong_with_the_row(url: str) -> None:
    store = TraceStore(f"{url}&options=-c lock_timeout=20ms", clock=StillClock())
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(False)) as it:
        it.execute("LOCK TABLE body")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            store.insert([recorded(1)], at(100))
    assert store.insert([recorded(1)], at(100)) == 1
    store.close()


def test_a_connection_that_is_cut_is_unavailable_and_replaced(url: str) -> None:
    store = TraceStore(url, clock=StillClock())
    store.insert([recorded(1)], at(1))
    others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
    with pytest.raises(StoreUnavailable, match="terminating connection"):
        cut_off(store._engine, f"SELECT pg_terminate_backend(pid) {others}")
    assert store.insert([recorded(1), recorded(2)], at(2)) == 1
    store.close()


def cut_off(engine: Engine, how: str) -> None:
    with writing(engine) as connection:
        ask(engine.url.render_as_string(False), how)
        connection.execute(text("SELECT 1"))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("08006", StoreUnavailable), ("40001", StoreUnavailable), ("40P01", StoreUnavailable),
        ("53100", StoreUnavailable), ("57014", StoreUnavailable), ("23505", StoreUnavailable),
        ("23514", StoreUnavailable), ("42501", StoreUnavailable), ("42703", StoreUnavailable),
        ("22003", RowRejected), ("23502", RowRejected), ("54000", RowRejected),
        ("42P01", StoreNotReady),
    ],
)  # fmt: skip
def test_an_error_is_named_by_what_one_can_do(state: str, expected: type[StoreError]) -> None:
    error = psycopg.errors.lookup(state)("something is wrong")
    wrapped = exc.DBAPIError("SELECT 1", None, error)
    assert type(named(URL, error)) is expected
    assert type(named(URL, wrapped)) is expected
    assert "s3cret" not in str(named(URL, error))


def test_a_fault_of_ours_is_no_error_of_the_database() -> None:
    assert named(URL, KeyError("x")) is None


def test_what_the_server_quotes_of_a_row_is_not_passed_on(engine: Engine) -> None:
    values = {
        "project": "p", "group_id": "what a user said", "side": "train", "u": 0.5,
        "policy_version": 1, "reason": "first_call", "reserved_at": 1,
    }  # fmt: skip
    with pytest.raises(StoreUnavailable) as caught, writing(engine) as connection:
        connection.execute(reservation.insert(), [values, values])
    assert "duplicate key" in str(caught.value)
    assert "what a user said" not in str(caught.value)
    assert caught.value.__cause__ is None
