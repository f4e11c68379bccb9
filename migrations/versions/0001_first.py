"""The first tables: calls and their bodies, tags and features; split, datasets, spool positions.

Revision 0001, from nothing. In PostgreSQL the tables of which every call has rows are partitioned
by its id, and no foreign key leads into them (storage.schema says why).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BYTEWISE = postgresql.TEXT(collation="C")
_TEXT = sa.Text().with_variant(_BYTEWISE, "postgresql")
_ID = sa.String(length=32).with_variant(_BYTEWISE, "postgresql")
_HASH = sa.String(length=64).with_variant(_BYTEWISE, "postgresql")

_LINKED = sa.text("linked_to <> ''")


def upgrade() -> None:
    _create_call()
    _create_call_parts()
    _create_split()
    _create_datasets()
    _create_spool_checkpoint()


def _create_call() -> None:
    op.create_table(
        "call",
        sa.Column("id", _ID, nullable=False),
        sa.Column("project", _TEXT, nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("upstream", _TEXT, nullable=False),
        sa.Column("dialect", _TEXT, nullable=False),
        sa.Column("endpoint", _TEXT, nullable=False),
        sa.Column("method", _TEXT, nullable=False),
        sa.Column("path", _TEXT, nullable=False),
        sa.Column("request_model", _TEXT, nullable=False),
        sa.Column("response_model", _TEXT, nullable=False),
        sa.Column("outcome", _TEXT, nullable=False),
        sa.Column("status_code", sa.Integer()),
        sa.Column("error", _TEXT, nullable=False),
        sa.Column("streamed", sa.Boolean(), nullable=False),
        sa.Column("finish_reason", _TEXT, nullable=False),
        sa.Column("input_tokens", sa.Integer()),
        sa.Column("output_tokens", sa.Integer()),
        sa.Column("cached_tokens", sa.Integer()),
        sa.Column("reasoning_tokens", sa.Integer()),
        sa.Column("cost_usd", sa.Float()),
        sa.Column("duration_ms", sa.Float(), nullable=False),
        sa.Column("time_to_first_token_ms", sa.Float()),
        sa.Column("overhead_ms", sa.Float(), nullable=False),
        sa.Column("session_id", _TEXT, nullable=False),
        sa.Column("trace_id", _TEXT, nullable=False),
        sa.Column("user_id", _TEXT, nullable=False),
        sa.Column("provider_id", _TEXT, nullable=False),
        sa.Column("previous_id", _TEXT, nullable=False),
        sa.Column("linked_to", _TEXT, nullable=False),
        sa.Column("group_id", _TEXT, nullable=False),
        sa.Column("group_source", _TEXT, nullable=False),
        sa.Column("side", _TEXT, nullable=False),
        sa.Column("request_bytes", sa.BigInteger(), nullable=False),
        sa.Column("response_bytes", sa.BigInteger(), nullable=False),
        sa.Column("redacted", sa.Boolean(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("note", _TEXT, nullable=False),
        sa.Column("derive_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_call")),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(op.f("ix_call_project_group_id"), "call", ["project", "group_id"])
    op.create_index(op.f("ix_call_project_id"), "call", ["project", "id"])
    op.create_index(
        op.f("ix_call_project_linked_to"),
        "call",
        ["project", "linked_to"],
        sqlite_where=_LINKED,
        postgresql_where=_LINKED,
    )
    op.create_index(op.f("ix_call_project_provider_id"), "call", ["project", "provider_id"])
    op.create_index(op.f("ix_call_project_session_id"), "call", ["project", "session_id"])
    op.create_index(op.f("ix_call_project_started_at"), "call", ["project", "started_at"])


def _create_call_parts() -> None:
    op.create_table(
        "body",
        sa.Column("call_id", _ID, nullable=False),
        sa.Column("codec", sa.Integer(), nullable=False),
        sa.Column("capture", sa.LargeBinary(), nullable=False),
        *_reference("fk_body_call_id"),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_body")),
        postgresql_partition_by="RANGE (call_id)",
    )
    op.create_table(
        "tag",
        sa.Column("call_id", _ID, nullable=False),
        sa.Column("key", _TEXT, nullable=False),
        sa.Column("value", _TEXT, nullable=False),
        *_reference("fk_tag_call_id"),
        sa.PrimaryKeyConstraint("call_id", "key", name=op.f("pk_tag")),
        sqlite_with_rowid=False,
        postgresql_partition_by="RANGE (call_id)",
    )
    op.create_table(
        "feature",
        sa.Column("call_id", _ID, nullable=False),
        sa.Column("feature_version", sa.Integer(), nullable=False),
        sa.Column("prompt_chars", sa.Integer(), nullable=False),
        sa.Column("prompt_words", sa.Integer(), nullable=False),
        sa.Column("answer_chars", sa.Integer(), nullable=False),
        sa.Column("answer_words", sa.Integer(), nullable=False),
        sa.Column("turn_count", sa.Integer(), nullable=False),
        sa.Column("message_count", sa.Integer(), nullable=False),
        sa.Column("tool_count", sa.Integer(), nullable=False),
        sa.Column("tool_call_count", sa.Integer(), nullable=False),
        sa.Column("tools_hash", _TEXT, nullable=False),
        sa.Column("template_hash", _TEXT, nullable=False),
        sa.Column("tools_called", _TEXT, nullable=False),
        sa.Column("prompt_years", _TEXT, nullable=False),
        sa.Column("answer_years", _TEXT, nullable=False),
        *_reference("fk_feature_call_id"),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_feature")),
        sqlite_with_rowid=False,
        postgresql_partition_by="RANGE (call_id)",
    )


def _reference(name: str) -> list[sa.ForeignKeyConstraint]:
    """Refer to the call, in SQLite."""
    if op.get_bind().dialect.name == "postgresql":
        return []
    return [sa.ForeignKeyConstraint(["call_id"], ["call.id"], name=op.f(name))]


def _create_split() -> None:
    op.create_table(
        "split_policy",
        sa.Column("project", _TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("salt", _ID, nullable=False),
        sa.Column("test_ratio", sa.Float(), nullable=False),
        sa.Column("val_ratio", sa.Float(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "version", name=op.f("pk_split_policy")),
    )
    op.create_table(
        "reservation",
        sa.Column("project", _TEXT, nullable=False),
        sa.Column("group_id", _TEXT, nullable=False),
        sa.Column("side", _TEXT, nullable=False),
        sa.Column("u", sa.Float(), nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("reserved_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "group_id", name=op.f("pk_reservation")),
        sqlite_with_rowid=False,
    )


def _create_datasets() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", _ID, nullable=False),
        sa.Column("project", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("directory", _TEXT, nullable=False),
        sa.Column("manifest_sha256", _HASH, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
    )
    op.create_table(
        "dataset_item",
        sa.Column("dataset_id", _ID, nullable=False),
        sa.Column("call_id", _ID, nullable=False),
        sa.Column("group_id", _TEXT, nullable=False),
        sa.Column("side", _TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_dataset_item_dataset_id")
        ),
        sa.PrimaryKeyConstraint("dataset_id", "call_id", name=op.f("pk_dataset_item")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_dataset_item_call_id"), "dataset_item", ["call_id"])
    op.create_index(op.f("ix_dataset_item_group_id"), "dataset_item", ["group_id"])


def _create_spool_checkpoint() -> None:
    op.create_table(
        "spool_checkpoint",
        sa.Column("writer", _ID, nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("opened", _TEXT, nullable=False),
        sa.Column("stored", sa.BigInteger(), nullable=False),
        sa.Column("poisoned", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.BigInteger()),
        sa.Column("sampled_out", sa.BigInteger()),
        sa.Column("opted_out", sa.BigInteger()),
        sa.Column("dropped", _TEXT),
        sa.Column("closed_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("writer", name=op.f("pk_spool_checkpoint")),
    )
