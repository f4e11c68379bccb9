"""One call as a page: its facts, what was said, its bodies, and the calls around it.

The page reads one body, that of its call; where that is deleted, the facts are the page. The calls
around it are those of its session, or else of its group: TURNS_AROUND older ones and as many newer.
"""

import msgspec

from review import addresses, facts
from review.addresses import Selection
from review.conditions import equals, tag_name
from review.dialogue import Dialogue, dialogue_of
from review.facts import Fact
from review.history import Entry, history
from review.judging import Draft, draft_of
from review.listing import Link, marks, newer_than, older_than
from review.passages import Passage, Room
from storage.capture import Body, Capture, Headers, Outcome
from storage.derive import derive
from storage.encoding import decode
from storage.label_rows import read_labels, read_scores, read_verdicts
from storage.reader import StoreReader
from storage.rows import CallRow, StoredCall
from storage.trace import Message, Understood

TURNS_AROUND = 12
HEADERS_MAX = 100
BODIES_CHARS_MAX = 40_000  # of both bodies together, and a text's own limit for each
_DECODED_BYTES = 400_000  # of a body, what is looked at to show its beginning


class Turn(msgspec.Struct, frozen=True):
    """A call of the same session or group."""

    href: str
    time: str
    model: str
    outcome: str
    is_complete: bool
    tokens: str
    duration: str
    is_this: bool


class Half(msgspec.Struct, frozen=True):
    """The request or the answer as bytes: its headers, its beginning, where to get all of it.

    `passage` is None where the body is no text. `trouble` says why it cannot be decoded whole.
    """

    name: str
    length: int
    headers: tuple[tuple[str, str], ...]
    headers_left_out: int
    passage: Passage | None
    trouble: str
    truncated: bool
    recorded: str
    decoded: str


class Reading(msgspec.Struct, frozen=True):
    """One call's page."""

    selection: Selection
    row: CallRow
    title: str
    outcome: str
    is_complete: bool
    summary: tuple[str, ...]
    facts: tuple[tuple[Fact, str], ...]  # each with the list of its condition, or ""
    tags: tuple[Link, ...]
    marks: tuple[str, ...]
    dialogue: Dialogue
    halves: tuple[Half, ...]  # request and response; none where the bodies are deleted
    request_address: str  # of the recorded bodies
    response_address: str
    turns: tuple[Turn, ...]  # the oldest first; empty where the call is alone
    history: tuple[Entry, ...]
    draft: Draft | None  # the form of an answer; None where it is too long for one
    said_address: str
    token: str  # of the forms; empty where nothing can be said
    turns_of: str  # session or group
    turns_list: str
    turn_before: str
    turn_after: str
    older: str
    newer: str


def reading(
    store: StoreReader,
    call: StoredCall,
    selection: Selection,
    *,
    token: str = "",
    draft: Draft | None = None,
) -> Reading:
    """Bring a call into the form of its page, within the list that it is read from.

    `token` is that of its forms, `draft` what was typed into the one of an answer before.
    """
    row = call.row
    alone = Selection(row.project)
    understood = Understood() if call.capture is None else derive(call.capture).understood
    answer = answer_of(understood)
    turns_of = "session" if row.session_id else "group"
    shared = equals(f"{turns_of}_id", row.session_id or row.group_id)
    turns = _turns(store, row, shared, selection)
    place = next((place for place, turn in enumerate(turns) if turn.is_this), 0)
    return Reading(
        selection=selection,
        row=row,
        title=facts.model(row) or facts.endpoint(row),
        outcome=facts.outcome(row),
        is_complete=row.outcome is Outcome.COMPLETE,
        summary=tuple(filter(None, (
            facts.endpoint(row),
            f"{tokens} tokens" if (tokens := facts.tokens(row)) else "",
            facts.dollars(row.cost_usd),
            facts.duration(row.duration_ms),
        ))),
        facts=tuple(
            (fact, alone.list(where=fact.condition) if fact.condition else "")
            for fact in facts.facts(row)
        ),
        tags=tuple(
            Link(f"{key}={value}", alone.list(where=equals(tag_name(key), value)))
            for key, value in row.tags.items()
        ),
        marks=marks(row),
        dialogue=dialogue_of(understood),
        halves=() if call.capture is None else _halves(call.capture),
        request_address=addresses.body(row.id, "request", decoded=False),
        response_address=addresses.body(row.id, "response", decoded=False),
        history=_history(store, row.id, answer),
        draft=draft or draft_of(answer),
        said_address=addresses.said(row.id),
        token=token,
        turns=turns if len(turns) > 1 else (),
        turns_of=turns_of,
        turns_list=alone.list(where=shared),
        turn_before=turns[place - 1].href if place > 0 else "",
        turn_after=turns[place + 1].href if place + 1 < len(turns) else "",
        older=selection.neighbour(row.id, "older"),
        newer=selection.neighbour(row.id, "newer"),
    )  # fmt: skip


def answer_of(understood: Understood) -> Message | None:
    """Return the answer that can be corrected: the first, None where there is none."""
    return understood.choices[0].message if understood.choices else None


def _history(store: StoreReader, call_id: str, answer: Message | None) -> tuple[Entry, ...]:
    with store.reading() as connection:
        verdicts = read_verdicts(connection, call_id)
        scores = read_scores(connection, [call_id]).get(call_id, ())
        labels = read_labels(connection, [call_id]).get(call_id, ())
    return history(answer, scores, labels, verdicts)


def neighbour(store: StoreReader, call_id: str, selection: Selection, direction: str) -> str | None:
    """Find the id of the next `older` or `newer` call of a list, None at its end."""
    look = older_than if direction == "older" else newer_than
    found = look(store, selection, call_id, 1)
    return found[0].id if found else None


def _turns(store: StoreReader, row: CallRow, shared: str, selection: Selection) -> tuple[Turn, ...]:
    newer = store.list(row.project, shared, limit=TURNS_AROUND, after=row.id)
    older = store.list(row.project, shared, limit=TURNS_AROUND, before=row.id)
    return tuple(_turn(each, selection, row.id) for each in reversed([*newer, row, *older]))


def _turn(row: CallRow, selection: Selection, this_id: str) -> Turn:
    return Turn(
        href=selection.call(row.id),
        time=facts.moment(row.started_at),
        model=facts.model(row) or facts.endpoint(row),
        outcome=facts.outcome(row),
        is_complete=row.outcome is Outcome.COMPLETE,
        tokens=facts.tokens(row),
        duration=facts.duration(row.duration_ms),
        is_this=row.id == this_id,
    )


def _halves(capture: Capture) -> tuple[Half, ...]:
    room = Room(BODIES_CHARS_MAX)
    return (
        _half(capture.id, "request", capture.request_headers, capture.request_body, room),
        _half(capture.id, "response", capture.response_headers, capture.response_body, room),
    )


def _half(call_id: str, name: str, headers: Headers, body: Body, room: Room) -> Half:
    data, trouble = decode(headers, body.data)
    beginning = data[:_DECODED_BYTES]
    passage = None
    if b"\0" not in beginning:
        text = beginning.decode(errors="replace")
        passage = room.take(text)
        more = len(data) - len(beginning)  # bytes, nearly always characters
        passage = msgspec.structs.replace(passage, left_out=passage.left_out + more)
    return Half(
        name=name,
        length=body.length,
        headers=tuple(
            (key.decode("latin-1"), value.decode(errors="replace"))
            for key, value in headers[:HEADERS_MAX]
        ),
        headers_left_out=max(0, len(headers) - HEADERS_MAX),
        passage=passage,
        trouble=trouble,
        truncated=body.truncated,
        recorded=addresses.body(call_id, name, decoded=False) if body.data else "",
        decoded=addresses.body(call_id, name, decoded=True)
        if body.data and data is not body.data and not trouble
        else "",
    )
