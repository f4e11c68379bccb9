"""Narrow: the base of a body in its row, and indexes of hashes in PostgreSQL.

Revision 0005, from 0004. The rows of `body` are copied, in constant memory and one transaction: it
is whole or did not happen. In SQLite the file hardly grows, its log does by one and a half times
the bodies (40,000 calls: 0.6 s of CPU); in PostgreSQL they are there twice until the end. Changed
in place, both would keep the rows of before as free space that nothing comes to use.
"""

import json
from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.filling import fill_order  # nothing but space depends on it

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROWS_AT_ONCE: Final = 1_000  # copied, and deleted, so that their pages are used again

_ROW_BYTES: Final = 39  # of a row beside the capture and the base

_BYTEWISE = postgresql.TEXT(collation="C")
_ID = sa.String(length=32).with_variant(_BYTEWISE, "postgresql")
_COPY = (
    "INSERT INTO {new} (call_id, codec, capture, base_id)"
    " SELECT old.call_id, old.codec, old.capture, body_base.base_id"
    " FROM {old} AS old LEFT JOIN body_base ON body_base.call_id = old.call_id "
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.add_column("body", sa.Column("base_id", _ID))
        _create_index_of_bases()
        _copy_partitions()
        op.drop_index(op.f("ix_call_project_provider_id"), "call")
        name = op.f("ix_call_provider_id")
        op.create_index(name, "call", ["provider_id"], postgresql_using="hash")
    else:
        _copy_table()
        _create_index_of_bases()
    op.drop_table("body_base")


def _create_index_of_bases() -> None:
    has_base = sa.text("base_id IS NOT NULL")
    op.create_index(
        op.f("ix_body_base_id"),
        "body",
        ["base_id"],
        sqlite_where=has_base,
        postgresql_where=has_base,
        postgresql_using="hash",
    )


def _copy_table() -> None:
    """Copy the rows, each batch in the order in which it fills its pages."""
    op.create_table(
        "body_narrow",
        sa.Column("call_id", _ID, nullable=False),
        sa.Column("codec", sa.Integer(), nullable=False),
        sa.Column("capture", sa.LargeBinary(), nullable=False),
        sa.Column("base_id", _ID),
        sa.ForeignKeyConstraint(["call_id"], ["call.id"], name=op.f("fk_body_call_id")),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_body")),
    )
    connection = op.get_bind()
    oldest = sa.text(
        "SELECT body.rowid, length(capture) + coalesce(length(base_id), 0) FROM body LEFT JOIN"
        " body_base ON body_base.call_id = body.call_id ORDER BY body.rowid LIMIT :count"
    )
    copy = sa.text(
        _COPY.format(new="body_narrow", old="json_each(:rows) AS wanted CROSS JOIN body")
        + "WHERE old.rowid = wanted.value ORDER BY wanted.key"
    )
    copied = sa.text("DELETE FROM body WHERE rowid <= :last")
    while rows := connection.execute(oldest, {"count": ROWS_AT_ONCE}).all():
        order = fill_order([size + _ROW_BYTES for _, size in rows])
        connection.execute(copy, {"rows": json.dumps([rows[place][0] for place in order])})
        connection.execute(copied, {"last": rows[-1][0]})
    op.drop_table("body")
    op.rename_table("body_narrow", "body")


def _copy_partitions() -> None:
    """Put a copy in the place of each partition, with the options that the store gives them."""
    partitions = op.get_bind().execute(
        sa.text(
            "SELECT relname, pg_get_expr(relpartbound, oid) FROM pg_inherits"
            " JOIN pg_class ON oid = inhrelid WHERE inhparent = to_regclass('body')"
        )
    )
    for name, bound in partitions.all():
        new = f"{name}_narrow"
        op.execute(f"CREATE TABLE {new} (LIKE body INCLUDING ALL)")
        op.execute(f"ALTER INDEX {new}_pkey SET (fillfactor = 100)")
        op.execute(
            f"ALTER TABLE {new} ALTER capture SET STORAGE EXTERNAL, SET (toast_tuple_target = 4080)"
        )
        op.execute(_COPY.format(new=new, old=name) + "ORDER BY old.call_id")
        op.execute(f"DROP TABLE {name}")
        op.execute(f"ALTER TABLE {new} RENAME TO {name}")
        for index in ("pkey", "base_id_idx"):
            op.execute(f"ALTER INDEX {new}_{index} RENAME TO {name}_{index}")
        op.execute(f"ALTER TABLE body ATTACH PARTITION {name} {bound}")
