"""The revisions make exactly the tables of the schema."""

import re
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from storage.database import open_engine, reading, upgrade
from storage.migration import SCRIPTS, newest_revision
from storage.schema import SCHEMA_REVISION, metadata
from tests.storage.calls import ask, url_of


def test_the_code_reads_and_writes_the_newest_revision() -> None:
    assert newest_revision() == SCHEMA_REVISION


def test_revisions_are_numbered_without_gaps() -> None:
    numbers = sorted(path.name[:4] for path in (SCRIPTS / "versions").glob("*.py"))
    assert numbers == [f"{number:04d}" for number in range(1, len(numbers) + 1)]


def test_the_upgraded_database_is_the_schema(tmp_path: Path) -> None:
    engine = open_engine(url_of(tmp_path))
    upgrade(engine)
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


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
            for kind, object_name, sql in ask(tmp_path / name, tables)
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
    assert ask(directory, "SELECT version_num FROM alembic_version") == [(SCHEMA_REVISION,)]
