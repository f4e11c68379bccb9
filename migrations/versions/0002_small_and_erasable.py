"""Bodies that share what they have in common; erasure; source, usage and price of a call.

Revision 0002, from 0001. The rows of `call` are copied (three seconds a million), bodies are not
touched: those of 0001 stay readable as they are.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BYTEWISE = postgresql.TEXT(collation="C")
_TEXT = sa.Text().with_variant(_BYTEWISE, "postgresql")
_ID = sa.String(length=32).with_variant(_BYTEWISE, "postgresql")
_HASH = sa.String(length=64).with_variant(_BYTEWISE, "postgresql")


def upgrade() -> None:
    _extend_call()
    _create_body_parts()
    _create_erasure()
    _replace_indexes()


def _replace_indexes() -> None:
    op.create_index(op.f("ix_tag_key_value_call_id"), "tag", ["key", "value", "call_id"])
    op.drop_index(op.f("ix_call_project_started_at"), "call")  # (project, id) serves as well
    failed = sa.text("outcome <> 'complete'")
    op.create_index(
        op.f("ix_call_project_id_failed"),
        "call",
        ["project", "id"],
        sqlite_where=failed,
        postgresql_where=failed,
    )


def _extend_call() -> None:
    # The defaults are for the rows that are there; the last step takes them away again.
    with op.batch_alter_table("call") as batch:
        batch.add_column(sa.Column("source", _TEXT, nullable=False, server_default="relay"))
        batch.add_column(sa.Column("cache_write_tokens", sa.Integer()))
        batch.add_column(sa.Column("audio_input_tokens", sa.Integer()))
        batch.add_column(sa.Column("audio_output_tokens", sa.Integer()))
        batch.add_column(
            sa.Column("usage_estimated", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch.add_column(sa.Column("price_version", _TEXT, nullable=False, server_default=""))
        batch.add_column(sa.Column("cache_write_1h_tokens", sa.Integer()))
        batch.add_column(sa.Column("service_tier", _TEXT, nullable=False, server_default=""))
    with op.batch_alter_table("call") as batch:
        batch.alter_column("source", server_default=None)
        batch.alter_column("usage_estimated", server_default=None)
        batch.alter_column("price_version", server_default=None)
        batch.alter_column("service_tier", server_default=None)


def _create_body_parts() -> None:
    op.create_table(
        "body_base",
        sa.Column("call_id", _ID, nullable=False),
        sa.Column("base_id", _ID, nullable=False),
        *_reference("call_id", "fk_body_base_call_id"),
        *_reference("base_id", "fk_body_base_base_id"),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_body_base")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_body_base_base_id"), "body_base", ["base_id"])
    op.create_table(
        "part",
        sa.Column("hash", _HASH, nullable=False),
        sa.Column("codec", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_part")),
    )
    op.create_table(
        "body_part",
        sa.Column("call_id", _ID, nullable=False),
        sa.Column("hash", _HASH, nullable=False),
        *_reference("call_id", "fk_body_part_call_id"),
        sa.ForeignKeyConstraint(["hash"], ["part.hash"], name=op.f("fk_body_part_hash")),
        sa.PrimaryKeyConstraint("call_id", "hash", name=op.f("pk_body_part")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_body_part_hash"), "body_part", ["hash"])
    op.create_table(
        "dictionary",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dictionary")),
    )


def _reference(column: str, name: str) -> list[sa.ForeignKeyConstraint]:
    """Refer to a body, in SQLite."""
    if op.get_bind().dialect.name == "postgresql":
        return []
    return [sa.ForeignKeyConstraint([column], ["body.call_id"], name=op.f(name))]


def _create_erasure() -> None:
    op.create_table(
        "erasure",
        sa.Column("id", _ID, nullable=False),
        sa.Column("project", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("selector", _TEXT, nullable=False),
        sa.Column("bodies_only", sa.Boolean(), nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("call_count", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger()),
        sa.Column("scrubbed_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
    )
    op.create_index(op.f("ix_erasure_requested_at"), "erasure", ["requested_at"])
    op.create_index(
        op.f("ix_erasure_scrubbed_at"),
        "erasure",
        ["scrubbed_at"],
        sqlite_where=sa.text("scrubbed_at IS NULL"),
        postgresql_where=sa.text("scrubbed_at IS NULL"),
    )
    op.create_table(
        "erased_call",
        sa.Column("call_id", _ID, nullable=False),
        sa.Column("erasure_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["erasure_id"], ["erasure.id"], name=op.f("fk_erased_call_erasure_id")
        ),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_erased_call")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "dropped_call",
        sa.Column("call_id", _ID, nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_dropped_call")),
        sqlite_with_rowid=False,
    )
