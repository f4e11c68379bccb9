"""What goes into the store and comes out of it, and how it becomes rows.

What no database can keep in a text column, NUL and lone surrogates, is replaced by U+FFFD in the
columns and said so in `note`; the capture keeps the bytes. A count that is negative or does not
fit 32 bits is no count: it becomes NULL, and is said too.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import NamedTuple

import msgspec
from sqlalchemy import ColumnElement, String

from storage.capture import Capture, Dialect, Endpoint, Outcome
from storage.counters import Tally
from storage.drift_tables import FEATURE_TEXTS
from storage.features import Features
from storage.grouping import Group
from storage.prices import billed, cost_of
from storage.schema import call
from storage.short_columns import read_column
from storage.terms import TextFeatures
from storage.trace import Apart, Side, Span
from storage.usage import usage_of

COUNT_MAX = 2**31 - 1  # an INTEGER of PostgreSQL

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNSTORABLE = "characters that no database can store were replaced"
_UNCOUNTABLE = "a count of tokens was out of range"

ColumnValue = str | int | float | bytes | None
Values = dict[str, ColumnValue]


class Recorded(msgspec.Struct, frozen=True):
    """A call ready to be stored: the record, what was understood, its group, its measures.

    `encoded` is the MessagePack of the capture where it is at hand, to be kept as it is; `texts`
    is measured of calls that are in the sample.
    """

    capture: Capture
    span: Span
    group: Group
    features: Features
    encoded: bytes = b""
    texts: TextFeatures | None = None


class Checkpoint(msgspec.Struct, frozen=True):
    """How far a writer's spool has been stored: everything before `offset` of `segment`.

    `opened` is JSON text that only the recorder reads: where the frames of calls lie that had
    begun before that place and not ended.
    """

    writer: str
    segment: int
    offset: int
    opened: str = "{}"


class Writer(msgspec.Struct, frozen=True):
    """A writer as the store knows it. The last two are None until it has closed."""

    checkpoint: Checkpoint
    stored: int
    poisoned: int
    tally: Tally | None
    closed_at: datetime | None


class LedgerTotals(msgspec.Struct, frozen=True):
    """The store's part of the ledger, over all writers; `closed` is of closed ones only."""

    stored: int
    poisoned: int
    closed: Tally


class Placed(NamedTuple):
    """Where the store has put a call, and which calls of its group it does again (retakes)."""

    group_id: str
    group_source: str
    side: Side
    regenerated_from: str = ""
    edited_from: str = ""


class CallRow(msgspec.Struct, frozen=True):
    """One row of `call` with its tags: the fields of `shalt ls --json`, then the others."""

    id: str
    started_at: datetime
    project: str
    upstream: str
    endpoint: Endpoint
    request_model: str
    response_model: str
    outcome: Outcome
    status_code: int | None
    streamed: bool
    finish_reason: str
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    duration_ms: float
    time_to_first_token_ms: float | None
    session_id: str
    trace_id: str
    user_id: str
    group_id: str
    side: Side
    tags: dict[str, str]
    redacted: bool
    truncated: bool
    dialect: Dialect
    method: str
    path: str
    error: str
    cached_tokens: int | None
    reasoning_tokens: int | None
    overhead_ms: float
    provider_id: str
    previous_id: str
    linked_to: str
    group_source: str
    request_bytes: int
    response_bytes: int
    note: str
    derive_version: int
    source: str
    cache_write_tokens: int | None
    audio_input_tokens: int | None
    audio_output_tokens: int | None
    usage_estimated: bool
    price_version: str
    cache_write_1h_tokens: int | None
    service_tier: str
    regenerated_from: str
    edited_from: str


class StoredCall(msgspec.Struct, frozen=True):
    """A call as it was stored: its row, and the verbatim record; None where that is deleted."""

    row: CallRow
    capture: Capture | None


class MeasuredCall(msgspec.Struct, frozen=True):
    """A call's row with what was measured of it."""

    row: CallRow
    features: Features


class DatasetItem(msgspec.Struct, frozen=True):
    """A call that left in a published dataset, with its group at that time, and in which file."""

    call_id: str
    group_id: str
    side: Side | Apart


class SideCount(msgspec.Struct, frozen=True):
    """How many groups and calls a side holds; calls that nobody made are counted apart."""

    groups: int
    calls: int
    synthetic: int = 0


class PeriodCount(msgspec.Struct, frozen=True):
    """How many calls started in a period, and how many of those did not end `complete`."""

    start: datetime  # UTC
    calls: int
    failed: int


class GroupSize(msgspec.Struct, frozen=True):
    """A group and how many calls it holds."""

    group_id: str
    group_source: str
    side: Side
    calls: int


_ROW_FIELDS = tuple(name for name in CallRow.__struct_fields__ if name != "tags")
CALL_COLUMNS: tuple[ColumnElement[object], ...] = tuple(map(read_column, _ROW_FIELDS))
FEATURE_COLUMNS: tuple[ColumnElement[object], ...] = tuple(
    call.c[name] for name in Features.__struct_fields__
)

IS_MEASURED: ColumnElement[bool] = call.c.feature_version.is_not(None)


def row_of(row: Sequence[object], tags: dict[str, str]) -> CallRow:
    """Make a CallRow of a result that begins with CALL_COLUMNS."""
    values = dict(zip(_ROW_FIELDS, row, strict=False))
    microseconds = values["started_at"]
    assert isinstance(microseconds, int)
    values["started_at"] = time_of(microseconds)
    values["tags"] = tags
    return msgspec.convert(values, CallRow)


def features_of_row(row: Sequence[object]) -> Features:
    """Make Features of a result that has FEATURE_COLUMNS after CALL_COLUMNS."""
    values = row[len(CALL_COLUMNS) :]
    return msgspec.convert(dict(zip(Features.__struct_fields__, values, strict=True)), Features)


def time_of(microseconds: int) -> datetime:
    """Turn a stored time, microseconds since 1970 UTC, into an aware one."""
    return _EPOCH + timedelta(microseconds=microseconds)


def microseconds_of(time: datetime) -> int:
    """Turn an aware time into microseconds since 1970 UTC, as the tables keep it."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def storable(text: str) -> str:
    """Replace NUL and lone surrogates by U+FFFD; return any other text as it is."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    return text


def call_values(recorded: Recorded, placed: Placed) -> Values:
    """Write the row of `call` in full, but for what is measured of it."""
    span, capture = recorded.span, recorded.capture
    understood = span.understood
    usage, estimated = usage_of(span)
    cost = cost_of(billed(span, usage))
    values: Values = {
        "id": span.id,
        "project": span.project,
        "started_at": span.started_at_ns // 1000,
        "upstream": span.upstream,
        "dialect": span.dialect.value,
        "endpoint": span.endpoint.value,
        "method": span.method,
        "path": span.path,
        "request_model": understood.request_model,
        "response_model": understood.response_model,
        "outcome": span.outcome.value,
        "status_code": span.status_code,
        "error": span.error,
        "streamed": understood.streamed,
        "finish_reason": span.finish_reason,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost_usd": cost.usd,
        "duration_ms": span.duration_ms,
        "time_to_first_token_ms": span.time_to_first_token_ms,
        "overhead_ms": capture.overhead_ns / 1e6,
        "session_id": span.session_id,
        "trace_id": span.trace_id,
        "user_id": span.user_id,
        "provider_id": understood.provider_id,
        "previous_id": understood.previous_id,
        "linked_to": recorded.group.linked_to,
        "group_id": placed.group_id,
        "group_source": placed.group_source,
        "side": placed.side.value,
        "request_bytes": capture.request_body.length,
        "response_bytes": capture.response_body.length,
        "redacted": span.redacted,
        "truncated": span.truncated,
        "note": understood.note,
        "derive_version": span.derive_version,
        "source": span.source,
        "cache_write_tokens": usage.cache_write_tokens,
        "audio_input_tokens": usage.audio_input_tokens,
        "audio_output_tokens": usage.audio_output_tokens,
        "usage_estimated": estimated,
        "price_version": cost.version,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "service_tier": understood.service_tier,
        "regenerated_from": placed.regenerated_from,
        "edited_from": placed.edited_from,
    }
    _make_storable(values)
    return values


def tag_values(recorded: Recorded) -> list[Values]:
    """Write the rows of `tag`."""
    tags = {storable(key): storable(value) for key, value in recorded.span.tags.items()}
    return [{"call_id": recorded.span.id, "key": key, "value": tags[key]} for key in tags]


def feature_values(recorded: Recorded) -> Values:
    """Write what is measured of a call: the other columns of its row."""
    values: Values = msgspec.structs.asdict(recorded.features)
    _replace_unstorable(values, FEATURE_TEXTS, _feature_texts_of)
    return values


def text_feature_values(call_id: str, texts: TextFeatures) -> Values:
    """Write the row of `text_feature`."""
    return {"call_id": call_id, **msgspec.structs.asdict(texts)}


_TOKEN_COLUMNS = tuple(name for name in call.c.keys() if name.endswith("_tokens"))
_TEXT_COLUMNS = tuple(
    column.name
    for column in call.c
    if isinstance(column.type, String) and column.name not in Features.__struct_fields__
)
_texts_of = itemgetter(*_TEXT_COLUMNS)
_feature_texts_of = itemgetter(*FEATURE_TEXTS)


def _make_storable(values: Values) -> None:
    """Replace what a database would refuse, so that a strange answer does not cost its record."""
    notes = []
    if _replace_unstorable(values, _TEXT_COLUMNS, _texts_of):
        notes.append(_UNSTORABLE)
    for name in _TOKEN_COLUMNS:
        count = values[name]
        if count is not None and not (isinstance(count, int) and 0 <= count <= COUNT_MAX):
            values[name] = None
            notes.append(_UNCOUNTABLE)
    if notes:
        values["note"] = "; ".join(filter(None, [str(values["note"]), *dict.fromkeys(notes)]))


def _replace_unstorable(
    values: Values, names: Sequence[str], texts_of: Callable[[Values], Sequence[str]]
) -> bool:
    """Replace what a database would refuse in texts; tell whether there was any."""
    if _is_storable("".join(texts_of(values))):
        return False
    for name in names:
        values[name] = storable(str(values[name]))
    return True


def _is_storable(text: str) -> bool:
    return text.isascii() and "\0" not in text or storable(text) == text
