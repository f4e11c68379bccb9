"""The tables, as SQLite has them after an upgrade."""

from storage.schema import metadata
from storage.store import TraceStore
from tests.storage.calls import ask


def test_the_database_invents_nothing() -> None:
    columns = [column for table in metadata.tables.values() for column in table.columns]
    assert not [c for c in columns if c.default or c.server_default or c.autoincrement is True]


def test_every_constraint_and_index_has_a_name() -> None:
    for table in metadata.tables.values():
        assert all(index.name for index in table.indexes), table.name
        assert all(constraint.name for constraint in table.constraints), table.name


def test_narrow_tables_are_one_tree_and_wide_ones_are_not(
    sqlite_store: TraceStore,
) -> None:
    rows = ask(sqlite_store, "SELECT name, sql FROM sqlite_master WHERE type = 'table'")
    single = {name for name, sql in rows if "WITHOUT ROWID" in sql}
    assert single == {
        *("tag", "reservation", "dataset_item"),
        *("body_part", "erased_call", "dropped_call"),
        *("reservation_change", "test_set", "test_set_call"),
    }


def test_only_links_are_in_the_index_of_links(sqlite_store: TraceStore) -> None:
    sql = "SELECT sql FROM sqlite_master WHERE name = 'ix_call_project_linked_to'"
    assert ask(sqlite_store, sql)[0][0].endswith("WHERE linked_to <> ''")
