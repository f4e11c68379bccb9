"""Understand stored calls again: new columns from old bytes, and new prices from old columns.

`rederive` reads the calls that an older version understood, in the order of their ids, and writes
the columns, tags and features that come out otherwise; of calls that are in the sample, and young
enough, it measures the texts (storage.terms). It may be stopped at any time and goes on where it
was: a call that is done bears the new versions. `reprice` reads no bodies.

What never changes: the group and the side of a call, whatever would come out for them today. They
were fixed when it was recorded, exports rely on that, and moving one could put a conversation on
both sides of a split. A call whose body is deleted stays as it is, at its old version. The words of
a call that is in an index for full-text search are written anew.

Memory is that of one page: CALLS_AT_ONCE calls, or as many as have BYTES_AT_ONCE in their bodies.
A page is written in one transaction; recording goes on between two of them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from storage import database, search
from storage.derive import derive
from storage.features import FEATURE_VERSION, Features, features_of
from storage.filters import compile_filter
from storage.grouping import Group
from storage.lists import conditions
from storage.prices import WITHOUT_OUTPUT, Billed, cost_of
from storage.rows import (
    FEATURE_COLUMNS,
    IS_MEASURED,
    CallRow,
    ColumnValue,
    Placed,
    Recorded,
    StoredCall,
    Values,
    call_values,
    feature_values,
    microseconds_of,
    tag_values,
    text_feature_values,
)
from storage.schema import call, tag, text_feature
from storage.search_words import Entry, entry_of
from storage.store import TraceStore, add_tool_sets
from storage.terms import sample_bits_of, text_features_of
from storage.text_sample import DAY_NS, bits_after
from storage.trace import DERIVE_VERSION, Usage

CALLS_AT_ONCE = 200
BYTES_AT_ONCE = 32 * 2**20
EXAMPLES_MAX = 3
TEXT_CHARS_MAX = 80  # of a value shown in an example

# Told by nothing that is derived, or fixed for ever.
_KEPT = frozenset(
    {
        "id",
        "project",
        "started_at",
        "group_id",
        "group_source",
        "side",
        "linked_to",
        "source",
        "regenerated_from",
        "edited_from",
    }
)
_PRICED = ("cost_usd", "price_version")
_MEASURED = Features.__struct_fields__

Progress = Callable[[int, int], None]  # calls done, calls to do


class Example(msgspec.Struct, frozen=True):
    """What one column of one call was and has become."""

    call_id: str
    before: ColumnValue
    after: ColumnValue


class ColumnChange(msgspec.Struct):
    """For how many calls a column has changed, and the first of them."""

    calls: int = 0
    examples: list[Example] = []


class Report(msgspec.Struct):
    """What has changed. `columns` are those of `call`, `tags`, and `feature.` with a feature."""

    calls: int = 0  # looked at
    changed: int = 0  # calls of which something beside the version has changed
    without_body: int = 0  # calls that stay as they are
    texts: int = 0  # calls in the sample whose texts were measured
    columns: dict[str, ColumnChange] = {}

    def add(self, call_id: str, before: Values, after: Values) -> None:
        """Count the values of one call that have changed."""
        self.changed += bool(after)
        for name, value in after.items():
            change = self.columns.setdefault(name, ColumnChange())
            change.calls += 1
            if len(change.examples) < EXAMPLES_MAX:
                example = Example(call_id, _shown(before[name]), _shown(value))
                change.examples.append(example)


class _Change(msgspec.Struct, frozen=True):
    """What is to be written of one call."""

    call_id: str
    columns: Values
    tags: Sequence[Values] | None = None  # None: as they were
    texts: Values | None = None
    recorded: Recorded | None = None  # where its tools are to be written down
    words: Entry | None = None  # where there is an index of words


def rederive(
    store: TraceStore,
    project: str,
    where: str | None = None,
    *,
    dry_run: bool = False,
    texts_from: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Understand again what an older version understood or measured; write it unless `dry_run`.

    The texts of calls are measured whose ids are `texts_from` or greater; of none for None. Reads
    and derives every call there is to do: some 2,000 a second. Raises FilterError for a wrong
    `where`.
    """
    to_do = f"(derive_version < {DERIVE_VERSION} or feature_version < {FEATURE_VERSION})"
    if where is not None:
        compile_filter(where)  # by itself: it must not end the brackets around it
        to_do = f"{to_do} and ({where})"
    report = Report()
    total = store.count(project, to_do)
    days = _Days(store, project, texts_from)
    with database.reading(store.engine) as connection:
        has_words = search.exists(connection)
    left = to_do
    while (last := _last_of_page(store, project, left)) is not None:
        page = list(store.scan(project, f"{left} and id <= '{last}'"))
        measured = _features(store, [each.row.id for each in page])
        again = [
            _derived_again(each, measured.get(each.row.id), days, report, has_words=has_words)
            for each in page
        ]
        changes = [change for change in again if change is not None]
        if not dry_run:
            _write(store, changes)
        report.calls += len(page)
        progress(report.calls, total)
        left = f"{to_do} and id > '{last}'"
    return report


def reprice(
    store: TraceStore,
    project: str,
    where: str | None = None,
    *,
    dry_run: bool = False,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Price stored calls again by the table of today's package; write it unless `dry_run`.

    From their columns alone, newest first. Raises FilterError for a wrong `where`.
    """
    report = Report()
    total = store.count(project, where)
    before: str | None = None
    while rows := store.list(project, where, limit=CALLS_AT_ONCE, before=before):
        changes = []
        for row in rows:
            old = {name: getattr(row, name) for name in _PRICED}
            cost = cost_of(_billed(row))
            new: Values = {"cost_usd": cost.usd, "price_version": cost.version}
            changed = {name: new[name] for name in _PRICED if new[name] != old[name]}
            report.add(row.id, old, changed)
            if changed:
                changes.append(_Change(row.id, changed))
        if not dry_run:
            _write(store, changes)
        report.calls += len(rows)
        progress(report.calls, total)
        before = rows[-1].id
    return report


def _last_of_page(store: TraceStore, project: str, condition: str) -> str | None:
    """Find the last id of the next page, None where there is nothing left. Index (project, id)."""
    size = call.c.request_bytes + call.c.response_bytes
    query = select(call.c.id, size).where(*conditions(project, condition))
    last: str | None = None
    page_bytes = 0
    with database.reading(store.engine) as connection:
        for call_id, call_bytes in connection.execute(
            query.order_by(call.c.id).limit(CALLS_AT_ONCE)
        ):
            page_bytes += call_bytes
            if last is not None and page_bytes > BYTES_AT_ONCE:
                break
            last = call_id
    return last


def _features(store: TraceStore, ids: Sequence[str]) -> dict[str, Values]:
    """Read what was measured of some calls. Primary key."""
    query = select(call.c.id, *FEATURE_COLUMNS).where(call.c.id.in_(ids), IS_MEASURED)
    with database.reading(store.engine) as connection:
        rows = connection.execute(query)
        return {row.id: {name: getattr(row, name) for name in _MEASURED} for row in rows}


class _Days:
    """How large a sample each day has whose texts are measured."""

    def __init__(self, store: TraceStore, project: str, texts_from: str | None) -> None:
        self._store = store
        self._project = project
        self._from = texts_from
        self._bits: dict[int, int] = {}

    def bits_for(self, call_id: str, started_at: datetime) -> int | None:
        """Return the bits of the sample that a call is in, None where it is in none."""
        if self._from is None or call_id < self._from:
            return None
        day = microseconds_of(started_at) * 1000 // DAY_NS
        if day not in self._bits:
            self._bits[day] = bits_after(self._count(day))
        bits = self._bits[day]
        return bits if sample_bits_of(call_id) >= bits else None

    def _count(self, day: int) -> int:
        """Count the calls of a day. Index (project, id)."""
        start, end = (f"{number * DAY_NS // 1_000_000:012x}" for number in (day, day + 1))
        within = (call.c.project == self._project, call.c.id >= start, call.c.id < end)
        query = select(func.count()).select_from(call).where(*within)
        with database.reading(self._store.engine) as connection:
            return connection.scalar(query) or 0


def _derived_again(
    stored: StoredCall, measured: Values | None, days: _Days, report: Report, *, has_words: bool
) -> _Change | None:
    """Derive one call, and say what has changed; None where its bytes are gone."""
    row, capture = stored.row, stored.capture
    if capture is None:
        report.without_body += 1
        return None
    span = derive(capture)
    group = Group(row.group_id, row.group_source, row.linked_to)
    recorded = Recorded(capture, span, group, features_of(span))
    values = call_values(recorded, Placed(row.group_id, row.group_source, row.side))
    old: Values = {name: getattr(row, name) for name in values if name not in _KEPT}
    new = {name: values[name] for name in old if values[name] != old[name]}
    version = {"derive_version": new.pop("derive_version", values["derive_version"])}
    tags = tag_values(recorded)
    features = feature_values(recorded)
    shown_old, shown_new = dict(old), dict(new)
    told = {str(each["key"]): each["value"] for each in tags}
    if told != row.tags:
        shown_old["tags"], shown_new["tags"] = _as_text(row.tags), _as_text(told)
    for name, value in features.items():
        was = (measured or {}).get(name)
        if was != value:
            shown_old[f"feature.{name}"], shown_new[f"feature.{name}"] = was, value
    report.add(row.id, shown_old, shown_new)
    bits = days.bits_for(row.id, row.started_at)
    report.texts += bits is not None
    return _Change(
        row.id,
        {**new, **version, **(features if features != measured else {})},
        tags if told != row.tags else None,
        None if bits is None else text_feature_values(row.id, text_features_of(span, bits)),
        recorded if span.understood.tools else None,
        entry_of(span) if has_words else None,
    )


def _write(store: TraceStore, changes: Iterable[_Change]) -> None:
    """Write the changes to those calls that are still there. Primary keys."""
    wanted = {change.call_id: change for change in changes}
    if not wanted:
        return
    with database.writing(store.engine) as connection:
        # Locked, so that none of them is deleted before its tags come back.
        there = select(call.c.id).where(call.c.id.in_(wanted)).with_for_update()
        found = [wanted[id] for id in connection.scalars(there)]
        _update_columns(connection, found)
        ids = [change.call_id for change in found if change.tags is not None]
        tags = [values for change in found for values in change.tags or ()]
        connection.execute(delete(tag).where(tag.c.call_id.in_(ids)))
        if tags:
            connection.execute(insert(tag), tags)
        texts = [change.texts for change in found if change.texts is not None]
        ids = [str(values["call_id"]) for values in texts]
        connection.execute(delete(text_feature).where(text_feature.c.call_id.in_(ids)))
        if texts:
            connection.execute(insert(text_feature), texts)
        add_tool_sets(connection, [each.recorded for each in found if each.recorded is not None])
        search.replace(connection, [each.words for each in found if each.words is not None])


def _update_columns(connection: Connection, changes: Iterable[_Change]) -> None:
    """Write only what has changed: indexes of what has not stay untouched."""
    alike: defaultdict[tuple[str, ...], list[Values]] = defaultdict(list)
    for change in changes:
        values: Values = {f"new_{name}": value for name, value in change.columns.items()}
        alike[tuple(change.columns)].append({"the_id": change.call_id, **values})
    for names, rows in alike.items():
        statement = update(call).where(call.c.id == bindparam("the_id"))
        connection.execute(statement.values({n: bindparam(f"new_{n}") for n in names}), rows)


def _billed(row: CallRow) -> Billed:
    return Billed(
        row.upstream,
        row.dialect,
        row.request_model,
        row.response_model,
        row.service_tier,
        microseconds_of(row.started_at),
        Usage(
            row.input_tokens,
            row.output_tokens,
            row.cached_tokens,
            row.reasoning_tokens,
            row.cache_write_tokens,
            row.audio_input_tokens,
            row.audio_output_tokens,
            row.cache_write_1h_tokens,
        ),
        row.endpoint not in WITHOUT_OUTPUT,
    )


def _shown(value: ColumnValue) -> ColumnValue:
    """Cut a text of an example to what one can read in a line."""
    return value[:TEXT_CHARS_MAX] if isinstance(value, str) else value


def _as_text(tags: dict[str, ColumnValue] | dict[str, str]) -> str:
    return msgspec.json.encode(tags, order="sorted").decode()
