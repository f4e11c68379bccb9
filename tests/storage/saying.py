"""Scores, labels and verdicts for tests, made by hand; a second apart, as calls are."""

from datetime import UTC, datetime, timedelta
from typing import Any

from storage.labels import (
    FIRST_STATUS,
    Label,
    LabelSource,
    Score,
    ScoreSource,
    Status,
    Value,
    Verdict,
)
from storage.trace import Message
from tests.storage.calls import START_NS, id_of

START = datetime.fromtimestamp(START_NS / 1e9, UTC)


def said_id(number: int) -> str:
    """The id of what was said; the calls' ids are others."""
    return f"{START_NS // 10**6 + number * 1000:012x}5{number:019x}"


def time_at(number: float) -> datetime:
    """When what is said as number so is said: half a second after the call of that number."""
    return START + timedelta(seconds=number + 0.5)


def score(number: int, call: int | None = None, value: Value = 1.0, **fields: Any) -> Score:
    """A score named `good` of call number `call`, or of what the fields say."""
    values: dict[str, Any] = {
        "id": said_id(number),
        "project": "default",
        "call_id": "" if call is None else id_of(call),
        "provider_id": "",
        "session_id": "",
        "created_at": time_at(number),
        "name": "good",
        "value": value,
        "comment": "",
        "source": ScoreSource.FEEDBACK,
        "author": "",
    }
    return Score(**values | fields)


def label(
    number: int,
    call: int | None = None,
    text: str = "Better.",
    source: LabelSource = LabelSource.HUMAN,
    **fields: Any,
) -> Label:
    """A label of call number `call`, or of what the fields say."""
    values: dict[str, Any] = {
        "id": said_id(number),
        "project": "default",
        "call_id": "" if call is None else id_of(call),
        "provider_id": "",
        "session_id": "",
        "created_at": time_at(number),
        "message": Message("assistant", text),
        "note": "",
        "source": source,
        "author": "ada",
        "status": FIRST_STATUS[source],
    }
    return Label(**values | fields)


def verdict(number: int, call: int, on: int, status: Status = Status.ACCEPTED) -> Verdict:
    """A verdict on label number `on`."""
    created_at = time_at(number)
    return Verdict(said_id(number), "default", id_of(call), said_id(on), created_at, status, "", "")
