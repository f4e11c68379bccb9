"""What a filter chooses among the calls of a project, and what was measured of some of them.

For who weighs a filter before it acts (exporters.selection_report): every call is looked at once,
in as few columns as will do; the rest is read of a sample alone. No body is touched.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

from sqlalchemy import case, select

from storage.capture import Endpoint, Outcome
from storage.erasure import visible
from storage.filters import compile_filter
from storage.reader import PAGE_ROWS, StoreReader
from storage.rows import (
    CALL_COLUMNS,
    FEATURE_COLUMNS,
    IS_MEASURED,
    MeasuredCall,
    features_of_row,
)
from storage.schema import call
from storage.trace import Side


class ChoosableCall(NamedTuple):
    """A call, and whether the filter matches it."""

    id: str
    group_id: str
    side: Side
    endpoint: Endpoint
    outcome: Outcome
    matches: bool


def read_choice(reader: StoreReader, project: str, where: str) -> Generator[ChoosableCall]:
    """Read all calls of a project, group after group; raise FilterError for a bad filter.

    Index (project, group_id), and a row for each call; five microseconds for each.
    """
    # A number, for SQLite has no truth values; what a filter cannot tell, it does not match.
    matches = case((compile_filter(where), 1), else_=0).label("matches")
    query = (
        select(call.c.id, call.c.group_id, call.c.side, call.c.endpoint, call.c.outcome, matches)
        .where(call.c.project == project)
        .order_by(call.c.group_id)
    )
    with reader.reading() as connection:
        query = query.where(*visible(connection))
        result = connection.execute(query, execution_options={"yield_per": PAGE_ROWS})
        with closing(result):  # whoever reads them may have had enough
            for call_id, group_id, side, endpoint, outcome, is_match in result:
                yield ChoosableCall(
                    call_id,
                    group_id,
                    _SIDES[side],
                    _ENDPOINTS[endpoint],
                    _OUTCOMES[outcome],
                    is_match == 1,
                )


def read_measured(reader: StoreReader, call_ids: Sequence[str]) -> Iterator[MeasuredCall]:
    """Read some calls with what was measured of them, in pages of the order given. Primary keys.

    Calls without features, and such as are not there, are left out.
    """
    for start in range(0, len(call_ids), PAGE_ROWS):
        page = call_ids[start : start + PAGE_ROWS]
        query = select(*CALL_COLUMNS, *FEATURE_COLUMNS).where(call.c.id.in_(page), IS_MEASURED)
        with reader.reading() as connection:
            found = connection.execute(query.where(*visible(connection))).all()
        measured = {row.id: features_of_row(row) for row in found}
        rows = {row.id: row for row in reader.rows(page)}
        for call_id in page:
            if call_id in measured and call_id in rows:
                yield MeasuredCall(rows[call_id], measured[call_id])


# Looking a word up is four times as fast as making a member of an enum of it.
_SIDES = {side.value: side for side in Side}
_ENDPOINTS = {endpoint.value: endpoint for endpoint in Endpoint}
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
