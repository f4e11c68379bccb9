"""The revisions make exactly the tables of the schema."""

import re
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from storage.database import open_engine, reading, upgrade
from storage.migration import SCRIPTS, newest_revision
from storage.schema import SCHEMA_REVISION, metadata
from tests.postgres import TEMPLATE, Server
from tests.storage.calls import ask, url_of


def test_the_code_reads_and_writes_the_newest_revision() -> None:
    assert newest_revision() == SCHEMA_REVISION


def test_revisions_are_numbered_without_gaps() -> None:
    numbers = sorted(path.name[:4] for path in (SCRIPTS / "versions").glob("*.py"))
    assert numbers == [f"{number:04d}" for number in range(1, len(numbers) + 1)]


def test_the_upgraded_database_is_the_schema(empty_url: str) -> None:
    engine = open_engine(empty_url)
    upgrade(engine)
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)
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
