"""The commands that look at calls: `ls` and `show`. They read the store and change nothing."""

from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import msgspec

from shalt.recording import open_store
from shalt.settings import Settings
from shalt.terminal import (
    one_line,
    print_bytes,
    print_json,
    print_line,
    print_note,
    print_table,
)
from storage.capture import Endpoint, Outcome
from storage.derive import derive
from storage.encoding import decoded_body
from storage.labels import Label, Score
from storage.rows import CallRow, StoredCall
from storage.trace import Choice, Message, Span
from storage.tracing import whole_id

PROJECTS_NAMED = 10  # to whoever asks for one that has no calls

_COLUMNS = (
    "id started_at outcome endpoint request_model finish_reason tokens duration_ms side tags"
).split()
_BODY_DELETED = "what was said is not kept any more: retain_bodies_days"
_ELASTIC = ("endpoint", "request_model", "tags")  # of the others, every character is needed


class _Said(NamedTuple):
    """What was said of a call, oldest first."""

    scores: tuple[Score, ...]
    labels: tuple[Label, ...]


class CallNotFound(Exception):
    """There is no call of this id in this project."""


class BodyDeleted(Exception):
    """What this call said is not kept any more."""


def ls(
    settings: Settings,
    *,
    where: str | None,
    limit: int,
    as_json: bool,
    search: str | None = None,
) -> None:
    """Print the newest calls, newest first."""
    with closing(open_store(settings)) as store:
        store.check()
        rows = store.list(settings.project, where, limit=limit, search=search)
        if not rows and where is None and search is None:
            known = ", ".join(store.projects(PROJECTS_NAMED)) or "none"
            print_note(f"project {settings.project} has no calls; projects that have: {known}")
    if as_json:
        for row in rows:
            print_json(msgspec.structs.asdict(row))
    else:
        print_table(_COLUMNS, map(_cells, rows), elastic=_ELASTIC)


def print_call(row: CallRow) -> None:
    """Print one call as a line: what `ls` has in columns."""
    print_line(one_line("  ".join(filter(None, _cells(row)))))


def show(settings: Settings, call_id: str, *, as_json: bool) -> None:
    """Print one call as a person reads it, or all that is known of it as one JSON object."""
    call, said = _find(settings, call_id)
    span = derive(call.capture) if call.capture is not None else None
    if as_json:
        understood = msgspec.to_builtins(span.understood) if span else None
        said_of_it = {
            "scores": [*map(msgspec.structs.asdict, said.scores)],
            "labels": [msgspec.to_builtins(msgspec.structs.asdict(each)) for each in said.labels],
        }
        row = msgspec.structs.asdict(call.row)
        print_json({**row, "understood": understood, **said_of_it})
        return
    for line in _head(call.row):
        print_line(one_line(line))
    if span is None:
        print_line(_BODY_DELETED)
    else:
        for message in span.understood.messages:
            _print_message(message.role, message)
        for choice in span.understood.choices:
            _print_message(_answer_title(span, choice), choice.message)
        if names := [tool.name or tool.kind for tool in span.understood.tools]:
            print_line()
            print_line(one_line(f"tools offered: {', '.join(names)}"), style="dim")
    _print_said(said)


def write_body(settings: Settings, call_id: str, *, request: bool, decoded: bool) -> None:
    """Write a recorded body to standard output, byte for byte or with its encoding undone."""
    capture = _find(settings, call_id)[0].capture
    if capture is None:
        raise BodyDeleted(f"call {call_id}: {_BODY_DELETED}")
    headers = capture.request_headers if request else capture.response_headers
    data = capture.request_body.data if request else capture.response_body.data
    print_bytes(decoded_body(headers, data) if decoded else data)


def _find(settings: Settings, call_id: str) -> tuple[StoredCall, _Said]:
    with closing(open_store(settings)) as store:
        store.check()
        found = whole_id(call_id, store)
        call = store.get(found, settings.project)
        scores, labels = store.scores([found]), store.labels([found])
    if call is None:
        raise CallNotFound(
            f"there is no call {call_id} in project {settings.project}: `shalt ls` lists them, "
            f"`shalt why {call_id}` says what became of it"
        )
    return call, _Said(scores.get(found, ()), labels.get(found, ()))


def _cells(row: CallRow) -> tuple[str, ...]:
    return (
        row.id,
        f"{row.started_at:%Y-%m-%d %H:%M:%S}",
        row.outcome + (f" {row.status_code}" if row.outcome is Outcome.UPSTREAM_ERROR else ""),
        row.endpoint if row.endpoint is not Endpoint.OTHER else f"{row.method} {row.path}",
        row.request_model,
        row.finish_reason,
        f"{_count(row.input_tokens)}+{_count(row.output_tokens)}",
        f"{row.duration_ms:.0f}",
        row.side,
        _tags(row),
    )


def _head(row: CallRow) -> Iterator[str]:
    """Say in a few lines what is not content."""
    model = row.request_model
    if row.response_model and row.response_model != model:
        model = f"{model} → {row.response_model}"
    status = "" if row.status_code is None else f" {row.status_code}"
    yield f"{row.id}  {row.outcome}{status}  {row.method} {row.path}  {model}"
    yield (
        f"{row.started_at:%Y-%m-%d %H:%M:%S.%f} UTC  project {row.project}  "
        f"upstream {row.upstream}  {row.endpoint}{', streamed' if row.streamed else ''}"
    )
    names = {"session": row.session_id, "user": row.user_id, "tags": _tags(row)}
    named = "".join(f"  {name} {value}" for name, value in names.items() if value)
    yield f"group {row.group_id} ({row.group_source})  side {row.side}{named}"
    first = row.time_to_first_token_ms
    yield (
        f"{row.duration_ms:.1f} ms"
        f"{'' if first is None else f', first token after {first:.1f} ms'}, "
        f"{row.overhead_ms:.1f} ms of it in shalt  "
        f"{_count(row.input_tokens)} tokens in, {_count(row.output_tokens)} out"
    )
    if marks := [name for name in ("redacted", "truncated") if getattr(row, name)]:
        yield ", ".join(marks)
    if row.error:
        yield f"error: {row.error}"
    if row.note:
        yield f"note: {row.note}"


def _answer_title(span: Span, choice: Choice) -> str:
    count = len(span.understood.choices)
    number = f" {choice.index + 1} of {count}" if count > 1 else ""
    return f"answer{number} ({choice.finish_reason or 'unfinished'})"


def _print_message(title: str, message: Message) -> None:
    about = "".join(f" {word}" for word in (message.name, message.tool_call_id) if word)
    print_line()
    print_line(one_line(f"{title}{about}"), style="bold")
    if message.reasoning:
        print_line(_indented(f"(reasoning) {message.reasoning}"), style="dim")
    if isinstance(message.content, tuple):
        for part in message.content:
            print_line(_indented(part.text if part.kind == "text" else f"[{part.kind}]"))
    elif message.content:
        print_line(_indented(message.content))
    if message.refusal:
        print_line(_indented(f"(refusal) {message.refusal}"))
    for call in message.tool_calls:
        print_line(_indented(f"→ {call.name}({call.arguments})  {call.id}".rstrip()))


def _print_said(said: _Said) -> None:
    for label in said.labels:
        by = f" by {label.author}" if label.author else ""
        title = f"label {label.id} ({label.source}{by}, {label.status})"
        _print_message(title, label.message)
        if label.note:
            print_line(_indented(f"note: {label.note}"), style="dim")
    if said.scores:
        print_line()
    for score in said.scores:
        by = f" by {score.author}" if score.author else ""
        comment = f"  {score.comment}" if score.comment else ""
        value = str(score.value).lower() if isinstance(score.value, bool) else score.value
        print_line(one_line(f"score {score.name} = {value} ({score.source}{by}){comment}"))


def _indented(text: str) -> str:
    # Not splitlines, which takes away what `print_line` is to show: \r, \x1c, U+0085.
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return "\n".join(f"  {line}" for line in lines)


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _tags(row: CallRow) -> str:
    return " ".join(f"{key}={value}" for key, value in row.tags.items())
