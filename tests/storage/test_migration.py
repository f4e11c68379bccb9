"""The revisions make exactly the tables of the schema."""

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, insert, inspect

from storage import sqlite
from storage.column_types import NO_ID
from storage.database import open_engine, reading, upgrade, writing
from storage.features import FEATURE_VERSION
from storage.migration import SCRIPTS, newest_revision, run_migrations
from storage.partitions import create, partition_of
from storage.postgres import migrating as postgres_migrating
from storage.rederive import rederive
from storage.rows import Checkpoint, Placed, call_values, feature_values, tag_values
from storage.schema import SCHEMA_REVISION, call, metadata, tag
from storage.soundness import examine
from storage.store import TraceStore
from storage.trace import Side
from tests.postgres import TEMPLATE, Server
from tests.storage import released
from tests.storage.calls import StillClock, ask, at, new_store, recorded, url_of

# Alembic does not ask whose index it is, and in SQLite sees none of an expression; the test below
# compares those.
NOT_COMPARED = {
    "sqlite": {"ix_tag_key_value", "ix_call_answer_end"},
    "postgresql": {"ix_tag_key_value_call_id"},
}
STORES = Path(__file__).parents[1] / "corpus" / "stores"
ONE, TWO, LATE = (f"{begins:0<32}" for begins in ("01", "02", "019a"))


def test_the_code_reads_and_writes_the_newest_revision() -> None:
    assert newest_revision() == SCHEMA_REVISION


def test_revisions_are_numbered_without_gaps() -> None:
    numbers = sorted(path.name[:4] for path in (SCRIPTS / "versions").glob("*.py"))
    assert numbers == [f"{number:04d}" for number in range(1, len(numbers) + 1)]


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_the_upgraded_database_is_the_schema(empty_url: str) -> None:
    engine = open_engine(empty_url)
    upgrade(engine)
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = [
            each
            for each in compare_metadata(context, metadata)
            if each[0] != "add_index" or each[1].name not in NOT_COMPARED[engine.dialect.name]
        ]
    engine.dispose()
    if engine.dialect.name == "postgresql":  # where no foreign key leads into a partitioned table
        missing = {(kind, key.referred_table.name) for kind, key in differences}
        assert missing == {("add_fk", "call"), ("add_fk", "body")}
    else:
        assert differences == []


def test_texts_are_compared_by_their_bytes(postgres: Server) -> None:
    otherwise = (
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_name <> "
        "'alembic_version' AND data_type IN ('text', 'character varying') AND "
        "collation_name IS DISTINCT FROM 'C' AND table_schema = 'public'"
    )
    assert ask(postgres.url(TEMPLATE), otherwise) == []


def test_the_upgraded_database_is_what_the_schema_itself_would_create(tmp_path: Path) -> None:
    """Down to what Alembic does not compare: partial indexes, WITHOUT ROWID, keys."""
    for name in ("upgraded", "created"):
        (tmp_path / name).mkdir()
    upgraded, created = (open_engine(url_of(tmp_path / name)) for name in ("upgraded", "created"))
    upgrade(upgraded)
    with created.begin() as connection:
        metadata.create_all(connection)
    tables = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"
    rows = {
        name: {
            (kind, object_name): re.sub(r'[\s"]+', "", sql)
            for kind, object_name, sql in ask(url_of(tmp_path / name), tables)
            if object_name != "alembic_version"
        }
        for name in ("upgraded", "created")
    }
    assert rows["upgraded"] == rows["created"]
    upgraded.dispose()
    created.dispose()


def test_a_percent_sign_and_a_space_in_the_path_do_no_harm(tmp_path: Path) -> None:
    directory = tmp_path / "a 100% path"
    directory.mkdir()
    engine = open_engine(url_of(directory))
    upgrade(engine)
    engine.dispose()
    assert ask(url_of(directory), "SELECT version_num FROM alembic_version") == [(SCHEMA_REVISION,)]


@contextmanager
def filled_at(url: str, revision: str) -> Iterator[Connection]:
    """Let rows be put into a new PostgreSQL database at a revision, then upgrade it."""
    engine = open_engine(url)
    with postgres_migrating(engine) as connection:
        run_migrations(connection, revision)
        yield connection
    upgrade(engine)
    engine.dispose()


@pytest.mark.parametrize("name", sorted(path.name for path in STORES.iterdir()))
def test_a_store_of_a_released_schema_is_upgraded_with_every_byte(
    name: str, tmp_path: Path
) -> None:
    before = everything(STORES / name)
    place = tmp_path / "shalt.sqlite"
    shutil.copyfile(STORES / name, place)
    store = new_store(url_of(tmp_path))
    assert examine(store, full=True).faults == []
    found = [each for project in ("default", "other") for each in store.scan(project)]
    found.sort(key=lambda each: each.row.id)
    assert [each.capture for each in found] == released.calls()
    assert found[0].row.tags == {"task": "intent"}
    assert store.insert([], Checkpoint("ef" * 16, 1, 1)) == 0
    measured = [each for page in store.features("default") for each in page]
    assert {each.features.feature_version for each in measured} == {2 if name >= "0004" else 1}
    store.close()
    after = everything(place)
    bases = before.pop("body_base", None)  # in the rows of bodies now
    encoded = {row["call_id"]: row["base_id"] for row in after["body"].values()}
    if bases is not None:
        assert set(bases) == {pair for pair in encoded.items() if pair[1] is not None}
    for (call_id, _), measures in before.pop("feature", {}).items():  # in the rows of calls now
        del measures["call_id"]
        assert measures.items() <= after["call"][call_id,].items()
    for table, rows in before.items():
        assert all(row.items() <= after[table][key].items() for key, row in rows.items()), table


def test_bases_and_the_index_of_answers_are_as_new_in_an_upgraded_postgresql(
    postgres: Server,
) -> None:
    url = postgres.url(postgres.create())
    with filled_at(url, "0004") as connection:
        for table in ("call", "body"):
            connection.exec_driver_sql(f"CREATE TABLE {table}_all PARTITION OF {table} DEFAULT")
        for number, call_id in enumerate((ONE, TWO), start=1):
            connection.exec_driver_sql(f"INSERT INTO body VALUES ('{call_id}', {number}, 'abc')")
        connection.exec_driver_sql(f"INSERT INTO body_base VALUES ('{TWO}', '{ONE}')")
    bodies = "SELECT call_id, codec, capture, base_id FROM body_all ORDER BY call_id"
    assert ask(url, bodies) == [(ONE, 1, b"abc", None), (TWO, 2, b"abc", ONE)]
    indexes = "SELECT indexdef FROM pg_indexes WHERE tablename IN ('call_all', 'body_all')"
    made = [row[0].rpartition(" USING ")[2] for row in ask(url, indexes)]
    answers = "btree (\"right\"(provider_id, 7)) WHERE (provider_id <> ''::text)"
    assert {answers, "btree (base_id) WHERE (base_id IS NOT NULL)"} <= set(made)
    options = "SELECT attstorage, reloptions FROM pg_class JOIN pg_attribute ON attrelid = oid"
    of_captures = f"{options} WHERE relname = 'body_all' AND attname = 'capture'"
    assert ask(url, of_captures) == [("e", ["toast_tuple_target=4080"])]
    postgres.drop(url)


def test_features_are_in_the_rows_of_their_calls_in_an_upgraded_postgresql(
    postgres: Server,
) -> None:
    url = postgres.url(postgres.create())
    with filled_at(url, "0005") as connection:
        week = "2026_09_17 PARTITION OF {} FOR VALUES FROM ('019a') TO ('019b')"
        for table in ("call", "feature"):
            connection.exec_driver_sql(f"CREATE TABLE {table}_{week.format(table)}")
        connection.exec_driver_sql("CREATE TABLE call_all PARTITION OF call DEFAULT")
        for table, call_id in (("call", LATE), ("feature", LATE), ("call", TWO)):
            others = ", '1'" * (len(inspect(connection).get_columns(table)) - 1)
            connection.exec_driver_sql(f"INSERT INTO {table} VALUES ('{call_id}'{others})")
    found = "SELECT tableoid::regclass::text, id, path, prompt_words, roles FROM call ORDER BY id"
    assert ask(url, found) == [
        ("call_2026_09_17", LATE, "1", 1, "1"),
        ("call_all", TWO, "1", None, None),
    ]
    later = partition_of("01a0" + "0" * 28)
    engine = open_engine(url)
    with writing(engine) as connection:
        create(connection, [later])
    engine.dispose()
    upgraded, made = (
        [
            (definition.replace(week, ""), options)
            for definition, options in ask(
                url,
                "SELECT pg_get_indexdef(indexrelid), reloptions FROM pg_index JOIN pg_class"
                f" ON oid = indexrelid WHERE indrelid = 'call_{week}'::regclass ORDER BY relname",
            )
        ]
        for week in ("2026_09_17", later.name)
    )
    assert upgraded == made
    assert len(made) == 7
    postgres.drop(url)


def test_ids_take_half_of_their_bytes_in_an_upgraded_postgresql(postgres: Server) -> None:
    url = postgres.url(postgres.create())
    with filled_at(url, "0006") as connection:
        for number in (1, 2):
            connection.exec_driver_sql(
                f"INSERT INTO dropped_call VALUES ('{number}{ONE[1:]}', 'poison')"
            )
        connection.exec_driver_sql("CREATE TABLE search_1 (call_id text PRIMARY KEY)")
        connection.exec_driver_sql(
            "INSERT INTO score (id, project, call_id, provider_id, session_id, created_at, source,"
            " author, name, kind, text, comment) VALUES ('s', '', '', 'p', '', 1, '', '', '', '',"
            " '', '')"
        )
    assert ask(url, "SELECT pg_column_size(call_id), call_id FROM dropped_call ORDER BY 2") == [
        (16, f"1{ONE[1:]}"),
        (16, f"2{ONE[1:]}"),
    ]
    assert ask(url, "SELECT call_id FROM score") == [(NO_ID,)]
    texts = (
        "SELECT table_name, column_name FROM information_schema.columns WHERE"
        " column_name IN ('call_id', 'base_id') AND data_type <> 'uuid' AND table_schema = 'public'"
    )
    assert ask(url, texts) == []
    postgres.drop(url)


def test_calls_of_before_are_found_beside_new_ones(empty_url: str) -> None:
    old, new = (
        recorded(number, session_id="s", tags={"app": "a"}, provider_id=f"chatcmpl-{number}")
        for number in (1, 2)
    )
    engine = open_engine(empty_url)
    is_postgres = engine.dialect.name == "postgresql"
    if not is_postgres:
        sqlite.prepare(engine)
    with (postgres_migrating if is_postgres else sqlite.migrating)(engine) as connection:
        run_migrations(connection, "0007")
        if is_postgres:
            create(connection, [partition_of(old.span.id)])
        row = call_values(old, Placed("s", "session", Side.TRAIN)) | feature_values(old)
        connection.execute(insert(call), [row])
        connection.execute(insert(tag), tag_values(old))
    engine.dispose()
    store = TraceStore(empty_url, clock=StillClock())
    store.upgrade()
    store.insert([new], at(1))
    ids = [new.span.id, old.span.id]
    for where in ("session_id = 's'", "tags['app'] = 'a'", "path = '/v1/chat/completions'"):
        assert [row.id for row in store.list("default", where, limit=9)] == ids
    for number, id in ((1, ids[1]), (2, ids[0])):
        named = f"provider_id = 'chatcmpl-{number}'"
        assert [row.id for row in store.list("default", named, limit=9)] == [id]
    first, second = store.rows(ids)
    assert first.method == second.method == "POST"
    assert (first.session_id, first.trace_id) == ("s", first.id)
    assert [session for (session,) in ask(store, "SELECT session_id FROM call ORDER BY id")] == [
        "s",
        "=",
    ]
    store.close()


def test_weeks_that_calls_have_get_partitions_of_text_features(postgres: Server) -> None:
    url = postgres.url(postgres.create())
    weeks = {"2026_09_17": "FROM ('019a') TO ('019b')", "future": "FROM ('019b') TO (MAXVALUE)"}
    with filled_at(url, "0003") as connection:
        for week, bound in weeks.items():
            create = f"CREATE TABLE call_{week} PARTITION OF call FOR VALUES {bound}"
            connection.exec_driver_sql(create)
    partitions = "SELECT relname FROM pg_class WHERE relname ~ '^text_feature_[0-9f].*[0-9e]$'"
    assert sorted(ask(url, partitions)) == [(f"text_feature_{week}",) for week in weeks]
    ask(url, f"INSERT INTO text_feature VALUES ('{LATE}', 2, 0, '', '', '', '', '')")
    assert ask(url, "SELECT count(*) FROM text_feature_2026_09_17") == [(1,)]
    postgres.drop(url)


def test_a_store_of_a_released_schema_is_measured_again(tmp_path: Path) -> None:
    shutil.copyfile(STORES / "0003.sqlite", tmp_path / "shalt.sqlite")
    store = new_store(url_of(tmp_path))
    for project in ("default", "other"):
        assert rederive(store, project, texts_from="").calls == store.count(project)
    versions = ask(store, "SELECT DISTINCT feature_version FROM call")
    assert versions == [(FEATURE_VERSION,)]
    assert ask(store, "SELECT count(*) FROM text_feature") == [(len(released.calls()),)]
    store.close()


def everything(path: Path) -> dict[str, dict[tuple[object, ...], dict[str, object]]]:
    """Read every row of every table of a database file, by its first two columns.

    A call by its id: the columns after it are others in older tables.
    """
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'alembic_version'"
        return {
            name: {
                tuple(row)[: 1 if name == "call" else 2]: dict(row)
                for row in connection.execute(f"SELECT * FROM {name}")
            }
            for (name,) in connection.execute(tables).fetchall()
        }
