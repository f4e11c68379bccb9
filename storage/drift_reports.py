"""Kept drift reports: what was found when two windows were compared, newest first.

A report is the JSON of exporters.report, compressed. This module knows one thing of it: an object
with `example_call_ids` was found in those calls. What it says (`value`, `also`, `sentence`) may be
their words, so it is taken away with them: a report that is read says nothing of an erased call
from the moment the erasure is asked for (`find_drift_report`), and once the rows are gone the kept
report itself is written without (`forget_in_reports`, called by storage.eraser). Words stay when
bodies go by their age: a word is only found drifting where many calls say it.

Limits: of a project, a monitor and a window the KEPT_MAX newest reports are kept, and beyond them
those with drift for DRIFT_DAYS; whoever adds a report takes out what is over. A report has at most
REPORT_BYTES_MAX. Forgetting reads every report of a project: a quarter of a millisecond each.
"""

import re
from collections.abc import Sequence, Set
from datetime import datetime
from typing import Any, Final

import msgspec
import zstandard
from sqlalchemy import Connection, and_, delete, insert, or_, select, update

from storage import database
from storage.capture import Clock, new_id
from storage.erasure import visible
from storage.reader import StoreReader
from storage.reservation import IN_MAX
from storage.rows import storable, time_of
from storage.schema import call, drift_report, erased_call
from storage.store_errors import StoreError

KEPT_MAX: Final = 1_000  # of hourly evaluations six weeks
DRIFT_DAYS: Final = 90
REPORT_BYTES_MAX: Final = 4 * 2**20
PAGE_REPORTS: Final = 50
ERASED: Final = "What this was found in has been erased."
_DAY_US: Final = 86_400_000_000
_ZSTD_LEVEL: Final = 6
_ID: Final = re.compile(rb'"([0-9a-f]{32})"')
_columns = drift_report.c
_LISTED = [column for column in _columns if column.name != "report"]


class ReportTooLarge(StoreError):
    """A report is larger than what is kept."""


class NewReport(msgspec.Struct, frozen=True):
    """A report to be kept. `monitor` is empty where somebody asked by hand."""

    project: str
    monitor: str
    window: str
    verdict: str
    reference: str
    report: bytes


class ListedReport(msgspec.Struct, frozen=True):
    """A kept report in a list."""

    id: str
    project: str
    monitor: str
    window: str
    created_at: datetime
    verdict: str
    reference: str


class KeptReport(msgspec.Struct, frozen=True):
    """A kept report with its JSON."""

    listed: ListedReport
    report: bytes


def add_drift_report(store: StoreReader, new: NewReport, *, clock: Clock) -> str:
    """Keep a report; return its id. Older ones of its monitor and window may go.

    Raise ReportTooLarge beyond REPORT_BYTES_MAX, StoreUnavailable where it cannot be written.
    """
    if len(new.report) > REPORT_BYTES_MAX:
        raise ReportTooLarge(
            f"the report has {len(new.report):,} bytes, at most {REPORT_BYTES_MAX:,} are kept"
        )
    now_us = clock.wall_ns() // 1000
    report_id = new_id(clock)
    with database.writing(store.engine) as connection:
        # A call may have been erased since the windows were read.
        gone = _forgotten(connection, _ids_in(new.report))
        report = _without(new.report, gone) if gone else new.report
        connection.execute(
            insert(drift_report).values(
                id=report_id,
                project=new.project,
                monitor=new.monitor,
                window=storable(new.window),
                created_at=now_us,
                verdict=new.verdict,
                reference=storable(new.reference),
                report=zstandard.compress(report, _ZSTD_LEVEL),
            )
        )
        _drop_old(connection, new, now_us)
    return report_id


def list_drift_reports(
    store: StoreReader,
    project: str,
    *,
    limit: int,
    monitor: str | None = None,
    window: str | None = None,
    before: str = "",
) -> Sequence[ListedReport]:
    """List kept reports of a project, newest first; `before` is the last id of the page before.

    Index (project, monitor, window, created_at), and a sort.
    """
    query = select(*_LISTED).where(_columns.project == project)
    if monitor is not None:
        query = query.where(_columns.monitor == monitor)
    if window is not None:
        query = query.where(_columns.window == window)
    if before:
        query = query.where(_columns.id < before)
    with store.reading() as connection:
        found = connection.execute(query.order_by(_columns.id.desc()).limit(limit)).all()
    return [_listed(row._mapping) for row in found]


def find_drift_report(
    store: StoreReader, report_id: str, project: str | None = None
) -> KeptReport | None:
    """Read a report by its id, or the first characters of it; None where there is not one.

    Of a project where one is given. Primary key.
    """
    end = report_id + "g"  # sorts behind every id that begins so
    query = select(drift_report).where(_columns.id >= report_id, _columns.id < end)
    if project is not None:
        query = query.where(_columns.project == project)
    with store.reading() as connection:
        found = connection.execute(query.limit(2)).all()
        if len(found) != 1 or not report_id:
            return None
        report = _unpacked(found[0].report)
        gone = _forgotten(connection, _ids_in(report))
        return KeptReport(_listed(found[0]._mapping), _without(report, gone) if gone else report)


def forget_in_reports(store: StoreReader, project: str) -> int:
    """Take what erased calls said out of the kept reports of a project; return of how many.

    Reads all of them, page by page, each in a transaction of its own.
    """
    changed = 0
    last = ""
    while True:
        page = select(_columns.id, _columns.report).where(
            _columns.project == project, _columns.id > last
        )
        with store.reading() as connection:
            found = connection.execute(page.order_by(_columns.id).limit(PAGE_REPORTS)).all()
            reports = {row.id: _unpacked(row.report) for row in found}
            named = {id for report in reports.values() for id in _ids_in(report)}
            gone = _forgotten(connection, named)
        if not found:
            return changed
        last = found[-1].id
        for report_id, report in reports.items():
            if gone.isdisjoint(_ids_in(report)):
                continue
            packed = zstandard.compress(_without(report, gone), _ZSTD_LEVEL)
            with database.writing(store.engine) as connection:
                statement = update(drift_report).where(_columns.id == report_id)
                connection.execute(statement.values(report=packed))
            changed += 1


def _drop_old(connection: Connection, new: NewReport, now_us: int) -> None:
    """Take out what is over KEPT_MAX and not drift of the last days. The index, from its end."""
    of_window = and_(
        _columns.project == new.project,
        _columns.monitor == new.monitor,
        _columns.window == storable(new.window),
    )
    newest = select(_columns.created_at).where(of_window).order_by(_columns.created_at.desc())
    oldest_kept = connection.scalar(newest.limit(1).offset(KEPT_MAX - 1))
    if oldest_kept is None:
        return
    is_over = or_(_columns.verdict != "drift", _columns.created_at < now_us - DRIFT_DAYS * _DAY_US)
    over = and_(of_window, _columns.created_at < oldest_kept, is_over)
    connection.execute(delete(drift_report).where(over))


def _forgotten(connection: Connection, call_ids: Set[str]) -> Set[str]:
    """Say which of these calls are erased, or hidden until they are. Primary keys.

    Not those that are gone by their age.
    """
    hiding = visible(connection)
    gone: set[str] = set()
    ordered = sorted(call_ids)
    for start in range(0, len(ordered), IN_MAX):
        page = ordered[start : start + IN_MAX]
        gone |= set(
            connection.scalars(select(erased_call.c.call_id).where(erased_call.c.call_id.in_(page)))
        )
        if hiding:
            here = select(call.c.id).where(call.c.id.in_(page))
            gone |= set(connection.scalars(here)) - set(connection.scalars(here.where(*hiding)))
    return gone


def _ids_in(report: bytes) -> Set[str]:
    """Find whatever looks like the id of a call."""
    return {found.decode() for found in _ID.findall(report)}


def _without(report: bytes, gone: Set[str]) -> bytes:
    """Write a report without what was found in calls that are gone."""
    tree = msgspec.json.decode(report)
    features = set(_taken_out(tree, gone))
    for outcome in tree.get("outcomes", ()):
        if outcome.get("feature") in features and "distribution" in outcome:
            outcome["distribution"] = None  # its labels are values, too
    return msgspec.json.encode(tree)


def _taken_out(node: Any, gone: Set[str]) -> list[str]:
    """Take the words out of all objects that name such calls; return their features."""
    if isinstance(node, list):
        return [feature for each in node for feature in _taken_out(each, gone)]
    if not isinstance(node, dict):
        return []
    features = [feature for each in node.values() for feature in _taken_out(each, gone)]
    examples = node.get("example_call_ids")
    if isinstance(examples, list) and not gone.isdisjoint(examples):
        node["example_call_ids"] = [each for each in examples if each not in gone]
        words: dict[str, object] = {"value": "", "sentence": ERASED, "also": [], "action": None}
        node.update({name: words[name] for name in words.keys() & node.keys()})
        features.append(node.get("feature", ""))
    elif features and "feature" in node:
        features.append(node["feature"])  # of what is within it
    return features


def _unpacked(packed: bytes) -> bytes:
    return zstandard.decompress(packed, max_output_size=REPORT_BYTES_MAX)


def _listed(values: Any) -> ListedReport:
    return ListedReport(
        values["id"],
        values["project"],
        values["monitor"],
        values["window"],
        time_of(values["created_at"]),
        values["verdict"],
        values["reference"],
    )
