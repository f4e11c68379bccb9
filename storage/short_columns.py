"""Columns of `call` that say less than they mean, and how they are read in full.

Of most calls some columns say what others say already, or what they say of nearly all. Their rows
hold a mark instead, which takes a tenth of a row's bytes beside the body:

    trace_id      empty where it is the call's id
    session_id    SAME where the session is the group, as it is for most calls with one
    path          empty where it is the usual one of the endpoint
    method, dialect, source    empty where they are USUAL; none of them is ever empty

A row of before revision 0008 has them in full. Both are read alike, and what is derived again is
written in full: a mark is never needed. What a mark stands for must therefore never change.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal_column, or_

from storage.capture import Endpoint
from storage.column_types import answer_end, answer_end_of, id_text
from storage.database import among
from storage.schema import call

SAME: Final = "="  # in session_id; a session of that very name is stored and read alike
# In call.group_source where the group's id is a session's, or a conversation's.
SESSION: Final = "session"

USUAL: Final = {"method": "POST", "dialect": "openai", "source": "relay"}
USUAL_PATHS: Final = {
    Endpoint.CHAT_COMPLETIONS.value: "/v1/chat/completions",
    Endpoint.COMPLETIONS.value: "/v1/completions",
    Endpoint.RESPONSES.value: "/v1/responses",
    Endpoint.MESSAGES.value: "/v1/messages",
    Endpoint.EMBEDDINGS.value: "/v1/embeddings",
    Endpoint.MODERATIONS.value: "/v1/moderations",
}

# Literally, for the partial indexes to be used.
_IS_ANSWER: Final = call.c.provider_id != literal_column("''")
_IS_OWN_SESSION: Final = and_(
    call.c.session_id != literal_column("''"), call.c.session_id != literal_column(f"'{SAME}'")
)

# An expression: of the column itself SQLite takes the index of all the calls of a project.
_PROJECT: Final = func.coalesce(call.c.project, "")


def shorten(values: dict[str, Any]) -> None:
    """Put marks into the row of a call, where they say what it says."""
    if values["trace_id"] == values["id"]:
        values["trace_id"] = ""
    if values["group_source"] == SESSION and values["session_id"] == values["group_id"]:
        values["session_id"] = SAME
    if USUAL_PATHS.get(values["endpoint"]) == values["path"]:
        values["path"] = ""
    for name, usual in USUAL.items():
        if values[name] == usual:
            values[name] = ""


def read_column(name: str) -> ColumnElement[Any]:
    """Name a column of `call` as it is read: the id as text, the others in full."""
    column = call.c[name]
    if name == "id":
        read: ColumnElement[Any] = id_text(column)
    elif name == "trace_id":
        read = case((column == "", id_text(call.c.id)), else_=column)
    elif name == "session_id":
        is_group = and_(column == SAME, call.c.group_source == SESSION)
        read = case((is_group, call.c.group_id), else_=column)
    elif name == "path":
        usual = case(USUAL_PATHS, value=call.c.endpoint, else_="")
        read = case((column == "", usual), else_=column)
    elif name == "provider_id":
        # An expression: a column that equals a value SQLite replaces by it, in `answer_end`, too,
        # which is then no longer what the index is of.
        read = func.coalesce(column, "")
    elif name in USUAL:
        read = case((column == "", USUAL[name]), else_=column)
    else:
        return column
    return read.label(name)


def of_session(project: str, session_id: str) -> ColumnElement[bool]:
    """Say that a call is of a project, and there of a session.

    Indexes (project, group_id), and (session_id) of the calls whose session is no group; none for
    the empty text, which most calls have, or SAME.
    """
    is_meant = and_(_PROJECT == project, read_column("session_id") == session_id)
    if session_id in ("", SAME):
        return is_meant
    as_group = and_(call.c.project == project, call.c.group_id == session_id)
    return and_(or_(as_group, and_(_IS_OWN_SESSION, call.c.session_id == session_id)), is_meant)


def of_answer(project: str, provider_id: str) -> ColumnElement[bool]:
    """Say that a call is of a project, and its answer has an id, which is not empty.

    Index of the ends of such ids.
    """
    end = answer_end(call.c.provider_id) == answer_end_of(provider_id)
    return and_(_IS_ANSWER, end, read_column("provider_id") == provider_id, _PROJECT == project)


def of_answers(
    connection: Connection, project: str, provider_ids: Sequence[str]
) -> ColumnElement[bool]:
    """Say that a call is of a project, and its answer has one of some ids. As `of_answer`."""
    ends = sorted(set(map(answer_end_of, provider_ids)))
    named = among(connection, call.c.provider_id, provider_ids)
    is_end = among(connection, answer_end(call.c.provider_id), ends)
    return and_(_IS_ANSWER, is_end, named, _PROJECT == project)
