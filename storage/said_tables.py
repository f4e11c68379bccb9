"""The tables of what is said of calls: scores and labels (storage.labels).

`storage.schema` has them with all the others.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Float, Index, Table

from storage.column_types import CALL_ID_OR_EMPTY, ID, TEXT, metadata, partial_index


def _said_columns() -> list[Column[Any]]:
    """Make what scores and labels share: which call is meant, by which name (storage.labels).

    No foreign key: what is said may be here before its call. It waits while `joined_at` is NULL.
    """
    return [
        Column("id", ID, primary_key=True),
        Column("project", TEXT, nullable=False),
        Column("call_id", CALL_ID_OR_EMPTY, nullable=False),  # empty while it is not known
        Column("provider_id", TEXT, nullable=False),
        Column("session_id", TEXT, nullable=False),
        Column("joined_at", BigInteger),  # when its call was here, too
        Column("created_at", BigInteger, nullable=False),
        Column("source", TEXT, nullable=False),
        Column("author", TEXT, nullable=False),
    ]


# What was said of answers: judgements under a name. Rows are only added.
score = Table(
    "score",
    metadata,
    *_said_columns(),
    Column("name", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),  # boolean, number or text
    Column("number", Float),  # of a boolean 0 or 1
    Column("text", TEXT, nullable=False),
    Column("comment", TEXT, nullable=False),
    Index(None, "call_id", "name"),
    Index(None, "project", "name"),
    # Of both kinds there are few, and every batch of calls asks for them.
    partial_index("ix_score_waiting", "joined_at IS NULL", "provider_id"),
    partial_index("ix_score_session", "session_id <> ''", "project", "session_id"),
)

# Corrected answers, and verdicts on them: rows with the id of a label. Rows are only added.
label = Table(
    "label",
    metadata,
    *_said_columns(),
    Column("label_id", ID, nullable=False),  # of the label that this is a verdict on, else empty
    Column("status", TEXT, nullable=False),
    Column("message", TEXT, nullable=False),  # JSON; empty in a verdict
    Column("note", TEXT, nullable=False),
    Index(None, "call_id"),
    partial_index("ix_label_waiting", "joined_at IS NULL", "provider_id"),
    partial_index("ix_label_session", "session_id <> ''", "project", "session_id"),
)
