"""Drift: more features of every call, text features of a sample, tool sets, reports.

Revision 0004, from 0003. The rows of `feature` are copied in SQLite (two seconds a million) and
keep their version: what is new is neutral in them until `shalt db rederive` measures it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BYTEWISE = postgresql.TEXT(collation="C")
_TEXT = sa.Text().with_variant(_BYTEWISE, "postgresql")
_ID = sa.String(length=32).with_variant(_BYTEWISE, "postgresql")
_HASH = sa.String(length=64).with_variant(_BYTEWISE, "postgresql")

_SIDES = ("prompt", "answer")
_MEASURES = (
    "sentences",
    "lines",
    "word_length",
    "digits_permille",
    "punctuation_permille",
    "uppercase_permille",
    "non_ascii_permille",
    "unique_words_permille",
)
_LISTS = ("dates", "scripts", "marks", "json")
_NUMBERS = [*(f"{side}_{name}" for side in _SIDES for name in _MEASURES), "refusal"]
_TEXTS = [
    *(f"{side}_{name}" for side in _SIDES for name in _LISTS),
    "answer_new_years",
    "answer_keys",
    "roles",
    "system_hash",
    "system_fingerprint",
    "parameters",
]
_TERMS = ("prompt_terms", "answer_terms", "answer_fields")


def upgrade() -> None:
    _extend_feature()
    _create_text_feature()
    _create_tool_set()
    _create_drift_report()


def _extend_feature() -> None:
    # The defaults are for the rows that are there; the last step takes them away again.
    without_rowid = {"sqlite_with_rowid": False}
    with op.batch_alter_table("feature", table_kwargs=without_rowid) as batch:
        for name in _NUMBERS:
            batch.add_column(sa.Column(name, sa.SmallInteger(), nullable=False, server_default="0"))
        for name in _TEXTS:
            batch.add_column(sa.Column(name, _TEXT, nullable=False, server_default=""))
    with op.batch_alter_table("feature", table_kwargs=without_rowid) as batch:
        for name in (*_NUMBERS, *_TEXTS):
            batch.alter_column(name, server_default=None)


def _create_text_feature() -> None:
    op.create_table(
        "text_feature",
        sa.Column("call_id", _ID, nullable=False),
        sa.Column("feature_version", sa.SmallInteger(), nullable=False),
        sa.Column("sample_bits", sa.SmallInteger(), nullable=False),
        sa.Column("prompt_language", _TEXT, nullable=False),
        sa.Column("answer_language", _TEXT, nullable=False),
        *(sa.Column(name, sa.LargeBinary(), nullable=False) for name in _TERMS),
        *_reference("fk_text_feature_call_id"),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_text_feature")),
        postgresql_partition_by="RANGE (call_id)",
    )
    if op.get_bind().dialect.name == "postgresql":
        _partition_text_feature()


def _reference(name: str) -> list[sa.ForeignKeyConstraint]:
    """Refer to the call, in SQLite."""
    if op.get_bind().dialect.name == "postgresql":
        return []
    return [sa.ForeignKeyConstraint(["call_id"], ["call.id"], name=op.f(name))]


def _partition_text_feature() -> None:
    """Make the partitions that `call` has already; the store makes those to come."""
    for name in _TERMS:  # hashes cannot be compressed
        op.execute(f"ALTER TABLE text_feature ALTER {name} SET STORAGE EXTERNAL")
    partitions = op.get_bind().execute(
        sa.text(
            "SELECT substr(child.relname, 6), pg_get_expr(child.relpartbound, child.oid)"
            " FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid"
            " WHERE inhparent = to_regclass('call')"
        )
    )
    for name, bound in partitions.all():
        op.execute(f"CREATE TABLE text_feature_{name} PARTITION OF text_feature {bound}")
        op.execute(f"ALTER INDEX text_feature_{name}_pkey SET (fillfactor = 100)")


def _create_tool_set() -> None:
    op.create_table(
        "tool_set",
        sa.Column("tools_hash", _HASH, nullable=False),
        sa.Column("tools", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("tools_hash", name=op.f("pk_tool_set")),
    )


def _create_drift_report() -> None:
    op.create_table(
        "drift_report",
        sa.Column("id", _ID, nullable=False),
        sa.Column("project", _TEXT, nullable=False),
        sa.Column("monitor", _TEXT, nullable=False),
        sa.Column("window", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("verdict", _TEXT, nullable=False),
        sa.Column("reference", _TEXT, nullable=False),
        sa.Column("report", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift_report")),
    )
    op.create_index(
        op.f("ix_drift_report_project_monitor_window_created_at"),
        "drift_report",
        ["project", "monitor", "window", "created_at"],
    )
