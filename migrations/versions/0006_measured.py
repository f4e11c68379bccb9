"""Measured: what is measured of a call in the call's row, and its columns by their width.

Revision 0006, from 0005. The rows of `call` are copied with those of `feature`, in constant memory
and one transaction: it is whole or did not happen. In SQLite the pages that a thousand rows leave
are used by the thousand after the next; in PostgreSQL both tables are there twice until the end.
"""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ROWS_AT_ONCE: Final = 1_000  # copied, and deleted, so that their pages are used again

_BYTEWISE = postgresql.TEXT(collation="C")
_TEXT = sa.Text().with_variant(_BYTEWISE, "postgresql")
_ID = sa.String(length=32).with_variant(_BYTEWISE, "postgresql")

_TRUTHS: Final = ("streamed", "redacted", "truncated", "usage_estimated")
_SMALL_FEATURES: Final = (
    *(
        f"{side}_{name}"
        for side in ("prompt", "answer")
        for name in (
            "sentences",
            "lines",
            "word_length",
            "digits_permille",
            "punctuation_permille",
            "uppercase_permille",
            "non_ascii_permille",
            "unique_words_permille",
        )
    ),
    "refusal",
)
_LARGE_NUMBERS: Final = ("started_at", "request_bytes", "response_bytes")
_REAL_NUMBERS: Final = ("cost_usd", "duration_ms", "time_to_first_token_ms", "overhead_ms")
_NUMBERS: Final = (
    *("status_code", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"),
    *("cache_write_tokens", "cache_write_1h_tokens", "audio_input_tokens", "audio_output_tokens"),
    "derive_version",
)
_FEATURES: Final = (
    *("feature_version", "prompt_chars", "prompt_words", "answer_chars", "answer_words"),
    *("turn_count", "message_count", "tool_count", "tool_call_count"),
)
_TEXTS: Final = (
    *("project", "upstream", "dialect", "endpoint", "method", "path", "request_model"),
    *("response_model", "outcome", "error", "finish_reason", "session_id", "trace_id", "user_id"),
    *("provider_id", "previous_id", "linked_to", "group_id", "group_source", "side", "note"),
    *("source", "price_version", "service_tier", "regenerated_from", "edited_from"),
)
_TEXT_FEATURES: Final = (
    *("tools_hash", "template_hash", "tools_called", "prompt_years", "answer_years"),
    *("prompt_dates", "prompt_scripts", "prompt_marks", "prompt_json"),
    *("answer_dates", "answer_scripts", "answer_marks", "answer_json"),
    *("answer_new_years", "answer_keys", "roles"),
    *("system_hash", "system_fingerprint", "parameters"),
)
_MAY_BE_NULL: Final = {*_NUMBERS, "cost_usd", "time_to_first_token_ms"} - {"derive_version"}

_OF_CALL: Final = ("id", *_TRUTHS, *_LARGE_NUMBERS, *_REAL_NUMBERS, *_NUMBERS, *_TEXTS)
_MEASURED: Final = (*_SMALL_FEATURES, *_FEATURES, *_TEXT_FEATURES)
_COPY: Final = (
    f"INSERT INTO {{new}} ({', '.join((*_OF_CALL, *_MEASURED))})"  # noqa: S608  our own names
    f" SELECT {', '.join(f'old.{name}' for name in _OF_CALL)},"
    f" {', '.join(f'feature.{name}' for name in _MEASURED)}"
    " FROM {old} AS old LEFT JOIN {feature} AS feature ON feature.call_id = old.id "
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _copy_partitions()
    else:
        _copy_table()
    op.drop_table("feature")


def _create_table(name: str, **options: Any) -> None:
    kinds: tuple[tuple[tuple[str, ...], sa.types.TypeEngine[Any]], ...] = (
        (_TRUTHS, sa.Boolean()),
        (_LARGE_NUMBERS, sa.BigInteger()),
        (_REAL_NUMBERS, sa.Float()),
        (_NUMBERS, sa.Integer()),
        (_TEXTS, _TEXT),
        (_SMALL_FEATURES, sa.SmallInteger()),
        (_FEATURES, sa.Integer()),
        (_TEXT_FEATURES, _TEXT),
    )
    op.create_table(
        name,
        sa.Column("id", _ID, nullable=False),
        *(
            sa.Column(each, kind, nullable=each in _MAY_BE_NULL or each in _MEASURED)
            for names, kind in kinds
            for each in names
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_call")),
        **options,
    )


def _drop_indexes() -> None:
    for index in sa.inspect(op.get_bind()).get_indexes("call"):
        op.drop_index(str(index["name"]), "call")


def _create_indexes() -> None:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    op.create_index(op.f("ix_call_project_id"), "call", ["project", "id"])
    for name, condition, columns in (
        ("ix_call_project_id_failed", "outcome <> 'complete'", ["project", "id", "outcome"]),
        ("ix_call_project_linked_to", "linked_to <> ''", ["project", "linked_to"]),
    ):
        where = sa.text(condition)
        op.create_index(op.f(name), "call", columns, sqlite_where=where, postgresql_where=where)
    op.create_index(op.f("ix_call_project_group_id"), "call", ["project", "group_id"])
    op.create_index(op.f("ix_call_project_session_id"), "call", ["project", "session_id"])
    if is_postgres:
        name = op.f("ix_call_provider_id")
        op.create_index(name, "call", ["provider_id"], postgresql_using="hash")
    else:
        op.create_index(op.f("ix_call_project_provider_id"), "call", ["project", "provider_id"])


def _copy_table() -> None:
    connection = op.get_bind()
    _drop_indexes()
    _create_table("call_measured")
    last_of_next = sa.text(
        "SELECT max(rowid) FROM (SELECT rowid FROM call ORDER BY rowid LIMIT :count)"
    )
    copy = _COPY.format(new="call_measured", old="call", feature="feature")
    steps = (
        copy + "WHERE old.rowid <= :last ORDER BY old.rowid",
        "DELETE FROM feature WHERE call_id IN (SELECT id FROM call WHERE rowid <= :last)",
        "DELETE FROM call WHERE rowid <= :last",
    )
    while last := connection.scalar(last_of_next, {"count": ROWS_AT_ONCE}):
        for step in map(sa.text, steps):
            connection.execute(step, {"last": last})
    op.drop_table("call")
    op.rename_table("call_measured", "call")
    _create_indexes()


def _copy_partitions() -> None:
    """Put a copy in the place of each partition, with the options that the store gives them."""
    connection = op.get_bind()
    query = sa.text(
        "SELECT relname, pg_get_expr(relpartbound, oid) FROM pg_inherits"
        " JOIN pg_class ON oid = inhrelid WHERE inhparent = to_regclass('call')"
    )
    partitions = connection.execute(query).all()
    _drop_indexes()
    op.execute("ALTER TABLE call DROP CONSTRAINT pk_call")
    op.rename_table("call", "call_before")
    _create_table("call", postgresql_partition_by="RANGE (id)")
    _create_indexes()
    for name, bound in partitions:
        old, features = f"{name}_before", f"feature_{name.removeprefix('call_')}"
        is_there = connection.scalar(sa.text("SELECT to_regclass(:name)"), {"name": features})
        copy = _COPY.format(new=name, old=old, feature=features if is_there else "feature")
        op.rename_table(name, old)
        op.execute(f"CREATE TABLE {name} (LIKE call INCLUDING ALL)")
        for index in ("pkey", "project_id_idx"):
            op.execute(f"ALTER INDEX {name}_{index} SET (fillfactor = 100)")
        op.execute(copy + "ORDER BY old.id")
        op.execute(f"DROP TABLE {old}")
        op.execute(f"ALTER TABLE call ATTACH PARTITION {name} {bound}")
    op.drop_table("call_before")
