"""What a filter says of scores and labels, in SQL: `scores['name']`, `labelled`.

Of several scores of a name the newest counts. It is read as a number (a boolean is 0 or 1), as a
text or as a boolean, by what it is compared with; what is of another kind is NULL then. A call is
labelled if it has a label whose status, by its newest verdict, is accepted.

Index (call_id, name) of `score`, (call_id) of `label`: a look-up for each call that is looked at.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import Boolean, ColumnElement, case, exists, func, literal, null, select

from storage.filter_columns import LABELLED, Kind
from storage.labels import Status
from storage.schema import TEXT, call, label, score


def score_kind(name: str) -> ColumnElement[str]:
    """Say of which kind the newest score of a name is: NULL where there is none."""
    return _newest(name, score.c.kind)


def score_number(name: str) -> ColumnElement[float]:
    """Read the newest score as a number, NULL for a text."""
    return _newest(name, score.c.number)


def score_text(name: str) -> ColumnElement[str]:
    """Read the newest score as a text, NULL for anything else."""
    return _newest(name, case((score.c.kind == "text", score.c.text), else_=null()))


def score_boolean(name: str) -> ColumnElement[bool]:
    """Read the newest score as a boolean, NULL for anything else."""
    is_boolean = score.c.kind == "boolean"
    return _newest(
        name,
        case(
            (is_boolean & (score.c.number == 1), literal(True, Boolean())),
            (is_boolean, literal(False, Boolean())),
            else_=null(),
        ),
    )


READINGS: Final[Mapping[Kind, Callable[[str], ColumnElement[Any]]]] = {
    Kind.NUMBER: score_number,
    Kind.TEXT: score_text,
    Kind.BOOLEAN: score_boolean,
}


def labelled() -> ColumnElement[bool]:
    """Say whether a call has a label that is accepted."""
    verdict = label.alias("verdict")
    newest = (
        select(verdict.c.status)
        .where(verdict.c.call_id == label.c.call_id, verdict.c.label_id == label.c.id)
        .order_by(verdict.c.created_at.desc(), verdict.c.id.desc())
        .limit(1)
        .correlate(label)
        .scalar_subquery()
    )
    status = func.coalesce(newest, label.c.status)
    of_call = select(label.c.id).where(
        label.c.call_id == call.c.id, label.c.label_id == "", status == Status.ACCEPTED.value
    )
    return exists(of_call.correlate(call))


COLUMNS: Final[Mapping[str, Callable[[], ColumnElement[bool]]]] = {LABELLED: labelled}


def _newest(name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
    query = select(value).where(score.c.call_id == call.c.id, score.c.name == literal(name, TEXT))
    newest = query.order_by(score.c.created_at.desc(), score.c.id.desc()).limit(1)
    return newest.correlate(call).scalar_subquery()
