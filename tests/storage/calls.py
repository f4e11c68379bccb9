"""Calls for the tests of the store, made by hand; the number of a call is its place in time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.capture import Capture
from storage.database import open_engine
from storage.features import features_of
from storage.grouping import group_of
from storage.rows import Checkpoint, Recorded
from storage.store import TraceStore
from storage.terms import text_features_of
from storage.trace import Choice, Message, Span, Understood, Usage
from tests.captures import plain_capture, plain_span
from tests.stores import lay

START_NS = 1_790_000_000_000_000_000  # 21 September 2026
WRITER = "f" * 32


@dataclass
class StillClock:
    """A clock that stands until it is set."""

    now_ns: int = START_NS

    def wall_ns(self) -> int:
        return self.now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns


def id_of(number: int) -> str:
    """Ids begin with the millisecond of their call, as real ones do, and end in its number."""
    return f"{START_NS // 10**6 + number * 1000:012x}{number:020x}"


def capture_of(number: int, project: str = "default", request: bytes = b"{}") -> Capture:
    return plain_capture(
        request,
        b'{"answer": "%d"}' % number,
        id=id_of(number),
        project=project,
        request_headers=[(b"content-type", b"application/json"), (b"x-twice", b"\xff")],
        started_at_ns=START_NS + number * 1_000_000_000,
        ended_ns=12_500_000,
        overhead_ns=50_000,
    )


def span_of(capture: Capture, understood: Understood, **fields: Any) -> Span:
    values = {
        "id": capture.id,
        "project": capture.project,
        "path": capture.target,
        "started_at_ns": capture.started_at_ns,
        "duration_ms": 12.5,
        "outcome": capture.outcome,
        "status_code": capture.status_code,
        "trace_id": capture.id,
    }
    return plain_span(understood, **values | fields)


def understood_of(text: str, **fields: Any) -> Understood:
    values: dict[str, Any] = {
        "request_model": "small-1",
        "response_model": "small-1-0613",
        "messages": (Message("user", text),),
        "choices": (Choice(Message("assistant", "Certainly."), "stop"),),
        "usage": Usage(7, 3),
        "ended": True,
    }
    return Understood(**values | fields)


def recorded(
    number: int,
    text: str | None = None,
    *,
    project: str = "default",
    session_id: str = "",
    tags: dict[str, str] | None = None,
    request: bytes = b"{}",
    sampled: bool = False,
    **understood: Any,
) -> Recorded:
    """Make call `number`, which begins a conversation of its own unless `text` says otherwise.

    Its texts are measured where it is `sampled`.
    """
    capture = capture_of(number, project, request)
    meaning = understood_of(text or f"Question {number}?", **understood)
    span = span_of(capture, meaning, session_id=session_id, tags=tags or {})
    texts = text_features_of(span) if sampled else None
    return Recorded(capture, span, group_of(span, capture), features_of(span), texts=texts)


def at(offset: int, segment: int = 1) -> Checkpoint:
    return Checkpoint(WRITER, segment, offset)


def url_of(directory: Path) -> str:
    return f"sqlite:///{directory / 'shalt.sqlite'}"


def new_store(url: str, **options: Any) -> TraceStore:
    store = TraceStore(lay(url), clock=StillClock(), **options)
    store.upgrade()
    return store


def ask(store: TraceStore | str, sql: str) -> list[tuple[Any, ...]]:
    """Ask the database itself, past the store."""
    url = store if isinstance(store, str) else store._engine.url.render_as_string(False)
    engine = open_engine(url)
    with engine.begin() as connection:
        result = connection.exec_driver_sql(sql)
        rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows
