"""Short ids: in PostgreSQL the id of a call is a uuid, 16 bytes for 33, in each table and index.

Revision 0007, from 0006. Partitions are taken off, rewritten by the server, one after the other,
and put back; all in one transaction: it is whole or did not happen, and memory does not grow. Until
it ends the disk holds the tables twice. SQLite, which has no such type, keeps its ids as they are.
The index of the answers' ids leaves out calls that have none.
"""

import re
from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Tables that are partitioned by their first column, and their primary keys.
_PARTITIONED: Final = {
    "call": ("id",),
    "body": ("call_id",),
    "tag": ("call_id", "key"),
    "text_feature": ("call_id",),
}
_WHOLE: Final = (
    *("body_part", "dataset_item", "test_set_call", "erased_call", "dropped_call"),
    *("score", "label"),
)
_NO_ID: Final = "f" * 32  # what the empty text becomes
_BOUND: Final = re.compile(r"'([0-9a-f]+)'")


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, key in _PARTITIONED.items():
        _convert_partitions(table, key)
    for table in (*_WHOLE, *_searches()):
        _convert(table, ("call_id",))
    # Of calls without an answer's id the index of hashes made one chain, walked by each insert.
    op.drop_index("ix_call_provider_id", "call")
    op.create_index(
        "ix_call_provider_id",
        "call",
        ["provider_id"],
        postgresql_using="hash",
        postgresql_where=sa.text("provider_id <> ''"),
    )


def _convert(table: str, columns: tuple[str, ...]) -> None:
    changes = (
        f"ALTER {column} TYPE uuid USING"
        f" CASE {column} WHEN '' THEN '{_NO_ID}' ELSE {column} END::uuid"
        for column in columns
    )
    op.execute(f"ALTER TABLE {table} {', '.join(changes)}")


def _convert_partitions(table: str, key: tuple[str, ...]) -> None:
    """Make the table anew: what it is partitioned by cannot change. Its partitions can, alone."""
    columns = (key[0], "base_id") if table == "body" else key[:1]
    partitions = _read(
        "SELECT relname, pg_get_expr(relpartbound, oid) FROM pg_inherits"
        " JOIN pg_class ON oid = inhrelid WHERE inhparent = to_regclass(:name)",
        table,
    )
    indexes = _read(
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid = to_regclass(:name) AND NOT indisprimary",
        table,
    )
    for name, _ in partitions:
        op.execute(f"ALTER TABLE {table} DETACH PARTITION {name}")
    # A copy without partitions has its columns changed, and is what the new table is made like.
    op.execute(f"CREATE TABLE {table}_like (LIKE {table})")
    op.drop_table(table)
    _convert(f"{table}_like", columns)
    op.execute(f"CREATE TABLE {table} (LIKE {table}_like) PARTITION BY RANGE ({key[0]})")
    op.drop_table(f"{table}_like")
    op.create_primary_key(op.f(f"pk_{table}"), table, list(key))
    for (definition,) in indexes:
        op.execute(definition)
    for name, bound in partitions:
        _convert(name, columns)
        whole = _BOUND.sub(lambda found: f"'{found[1]:0<32}'", bound)
        op.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} {whole}")


def _searches() -> list[str]:
    """Name the tables of the index of words, which is made where it is asked for."""
    query = (
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ :name"
        " AND pg_table_is_visible(oid)"
    )
    return [name for (name,) in _read(query, "^search_[0-9]")]


def _read(query: str, name: str) -> list[tuple[str, ...]]:
    return [tuple(row) for row in op.get_bind().execute(sa.text(query), {"name": name})]
