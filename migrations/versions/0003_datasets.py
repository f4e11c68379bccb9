"""Datasets: groups that change sides, targeted test sets, calls that repeat or edit others.

Revision 0003, from 0002. The rows of `call` are copied (three seconds a million).
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BYTEWISE = postgresql.TEXT(collation="C")
_TEXT = sa.Text().with_variant(_BYTEWISE, "postgresql")
_ID = sa.String(length=32).with_variant(_BYTEWISE, "postgresql")


def upgrade() -> None:
    _extend_call()
    _find_failures_by_outcome()
    _create_changes()
    _create_test_sets()
    _create_scores_and_labels()


def _extend_call() -> None:
    # The defaults are for the rows that are there; the last step takes them away again.
    with op.batch_alter_table("call") as batch:
        for name in ("regenerated_from", "edited_from"):
            batch.add_column(sa.Column(name, _TEXT, nullable=False, server_default=""))
    with op.batch_alter_table("call") as batch:
        for name in ("regenerated_from", "edited_from"):
            batch.alter_column(name, server_default=None)


def _find_failures_by_outcome() -> None:
    failed = sa.text("outcome <> 'complete'")
    op.drop_index(op.f("ix_call_project_id_failed"), table_name="call")
    op.create_index(
        op.f("ix_call_project_id_failed"),
        "call",
        ["project", "id", "outcome"],
        sqlite_where=failed,
        postgresql_where=failed,
    )


def _create_changes() -> None:
    op.create_table(
        "reservation_change",
        sa.Column("project", _TEXT, nullable=False),
        sa.Column("group_id", _TEXT, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("side", _TEXT, nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "project", "group_id", "number", name=op.f("pk_reservation_change")
        ),
        sqlite_with_rowid=False,
    )


def _create_test_sets() -> None:
    op.create_table(
        "test_set",
        sa.Column("project", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("selector", _TEXT, nullable=False),
        sa.Column("note", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("project", "name", name=op.f("pk_test_set")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "test_set_call",
        sa.Column("project", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("call_id", _ID, nullable=False),
        sa.Column("group_id", _TEXT, nullable=False),
        sa.Column("taken", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "name"],
            ["test_set.project", "test_set.name"],
            name=op.f("fk_test_set_call_project_name"),
        ),
        sa.PrimaryKeyConstraint("project", "name", "call_id", name=op.f("pk_test_set_call")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_test_set_call_project_group_id"), "test_set_call", ["project", "group_id"]
    )


def _create_scores_and_labels() -> None:
    op.create_table(
        "score",
        *_said_columns(),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("number", sa.Float()),
        sa.Column("text", _TEXT, nullable=False),
        sa.Column("comment", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_score")),
    )
    op.create_index(op.f("ix_score_call_id_name"), "score", ["call_id", "name"])
    op.create_index(op.f("ix_score_project_name"), "score", ["project", "name"])
    op.create_table(
        "label",
        *_said_columns(),
        sa.Column("label_id", _ID, nullable=False),
        sa.Column("status", _TEXT, nullable=False),
        sa.Column("message", _TEXT, nullable=False),
        sa.Column("note", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label")),
    )
    op.create_index(op.f("ix_label_call_id"), "label", ["call_id"])
    for table in ("score", "label"):
        for name, columns, condition in (
            ("waiting", ["provider_id"], sa.text("joined_at IS NULL")),
            ("session", ["project", "session_id"], sa.text("session_id <> ''")),
        ):
            op.create_index(
                op.f(f"ix_{table}_{name}"),
                table,
                columns,
                sqlite_where=condition,
                postgresql_where=condition,
            )


def _said_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", _ID, nullable=False),
        sa.Column("project", _TEXT, nullable=False),
        sa.Column("call_id", _ID, nullable=False),
        sa.Column("provider_id", _TEXT, nullable=False),
        sa.Column("session_id", _TEXT, nullable=False),
        sa.Column("joined_at", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("source", _TEXT, nullable=False),
        sa.Column("author", _TEXT, nullable=False),
    ]
