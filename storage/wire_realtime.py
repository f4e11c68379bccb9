"""WebSockets: the messages of both directions, and OpenAI's Realtime events in them.

Source: https://platform.openai.com/docs/api-reference/realtime-client-events and -server-events.
A socket is one call: what was said before the model's last response are its messages, and that
response is the answer. The server's events tell the order of all items, the client's own among
them; speech stands as what was understood of it (its transcript), and the sound is left to the
bytes. Instructions and tools are those the session had last. Tokens are those of all responses.

The Responses API over a WebSocket (`response.create` with an input) is read as storage.
wire_responses reads a stream, of several responses the last; Gemini Live by storage.
wire_gemini_live. Of any other messages only the frames are counted. `extra` has the counts: frames
of each direction, responses, close codes.

Limits: messages of MESSAGE_BYTES_MAX, compressed or not; EVENTS_MAX (storage.wire) of a direction;
ITEMS_MAX of a conversation.
"""

from collections.abc import Iterator

import msgspec

from storage import wire_gemini_live
from storage.frames import BINARY, CLOSE, TEXT, UNREAD, MessageReader
from storage.trace import Choice, Json, Message, Understood, Usage
from storage.usage import NO_USAGE, openai_usage
from storage.wire import (
    EVENTS_MAX,
    Notes,
    Object,
    as_array,
    as_object,
    as_text,
    error_of,
    join,
    read_object,
    rest,
)
from storage.wire_responses import messages_of, read_tool
from storage.wire_responses import understand as understand_responses

MESSAGE_BYTES_MAX = 64 << 20
ITEMS_MAX = 10_000
_ITEM_EVENTS = frozenset(
    {
        "conversation.item.added",
        "conversation.item.created",
        "conversation.item.done",
        "conversation.item.retrieved",
        "response.output_item.added",
        "response.output_item.done",
    }
)
# Pieces of an answer, in the words of today and of the beta.
_PIECES = frozenset(
    {
        "response.output_text.delta",
        "response.text.delta",
        "response.output_audio_transcript.delta",
        "response.audio_transcript.delta",
    }
)
_TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
_SESSION_EVENTS = frozenset({"session.created", "session.updated"})
_SESSION_KEYS = frozenset(
    {"id", "object", "model", "instructions", "tools", "expires_at", "client_secret"}
)
_ITEM_KEYS = frozenset({"type", "role", "content", "call_id", "name", "arguments", "output"})
_BY_RESPONSES = ("response.completed", "response.incomplete", "response.failed")


def understand(request: bytes, response: bytes, streamed: bool) -> Understood:
    """Understand a WebSocket from the frames of its two directions, as they are recorded.

    Never raises for what they hold. `streamed` says nothing here: every such answer is a stream.
    """
    notes: Notes = []
    sent, received = _Direction("client"), _Direction("upstream")
    asked = list(sent.events(request, notes))
    told = list(received.events(response, notes))
    kinds = {kind for kind, _ in told}
    messages = [event for _, event in asked], [event for _, event in told]
    if not kinds.isdisjoint(_BY_RESPONSES):
        understood = _read_responses(asked, told, notes)
    elif wire_gemini_live.is_live(*messages):
        understood = wire_gemini_live.understand(*messages, notes)
    else:
        session = _Session()
        session.read(asked, told)
        if session.is_empty and (asked or told or sent.binary_count or received.binary_count):
            notes.append("the messages of this socket are of no known kind")
        understood = join(session.asked(notes), session.answered(notes), True, notes)
    counts: Object = {"client": sent.counts(), "upstream": received.counts()}
    extra = {**(understood.extra or {}), "frames": counts}
    return msgspec.structs.replace(understood, streamed=True, extra=extra)


class _Direction:
    """The messages that one side sent."""

    def __init__(self, side: str) -> None:
        self.binary_count = 0
        self._side = side
        self._reader = MessageReader(MESSAGE_BYTES_MAX)
        self._close_code: int | None = None

    def events(self, data: bytes, notes: Notes) -> Iterator[tuple[str, Object]]:
        """Read the frames; yield the JSON objects among the messages, each with its type."""
        unread = count = 0
        for message in (*self._reader.feed(data), *self._reader.rest()):
            if message.opcode == CLOSE and len(message.payload) >= 2:
                self._close_code = int.from_bytes(message.payload[:2])
            self.binary_count += message.opcode == BINARY
            if message.opcode == UNREAD:
                unread += len(message.recorded)
            if message.opcode not in (TEXT, BINARY) or not message.whole:
                continue
            count += 1
            if count > EVENTS_MAX:
                notes.append(f"only the first {EVENTS_MAX} messages of the {self._side} were read")
                break
            if message.payload[:64].lstrip().startswith(b"{"):
                event = read_object(message.payload, f"a message of the {self._side}", notes)
                yield as_text(event.get("type")), event
        if unread:
            why = f": {self._reader.trouble}" if self._reader.trouble else ""
            notes.append(f"{unread} bytes of the {self._side} are not read as frames{why}")
        elif self._reader.trouble:
            notes.append(f"the {self._side} sent {self._reader.trouble}")

    def counts(self) -> Object:
        """Say how many frames there were, and with which code the side closed."""
        counts: Object = {"count": self._reader.frame_count}
        if self._close_code is not None:
            counts["close_code"] = self._close_code
        return counts


class _Session:
    """A session and its conversation, growing event by event."""

    def __init__(self) -> None:
        self._session: Object = {}
        self._wanted: Object = {}  # by the client
        self._items: dict[str, Object] = {}
        self._order: list[str] = []
        self._pieces: dict[str, dict[int, list[str]]] = {}  # by item and part
        self._arguments: dict[str, list[str]] = {}
        self._begun = self._done = self._left_out = 0
        self._last: Object = {}  # response
        self._error: Json = None
        self._usage = NO_USAGE

    @property
    def is_empty(self) -> bool:
        return not (self._session or self._wanted or self._items or self._begun or self._error)

    def read(self, asked: list[tuple[str, Object]], told: list[tuple[str, Object]]) -> None:
        """Read what the client asked for and what the server told."""
        for kind, event in asked:
            if kind == "session.update":
                self._wanted.update(as_object(event.get("session")))
        for kind, event in told:
            self._add(kind, event)
        if not self._items:  # the server's part is not here: take the client's word
            created = [event for kind, event in asked if kind == "conversation.item.create"]
            for number, event in enumerate(created):
                item = as_object(event.get("item"))
                self._put({**item, "id": as_text(item.get("id")) or f"#{number}"})

    def _add(self, kind: str, event: Object) -> None:
        if kind in _SESSION_EVENTS:
            self._session.update(as_object(event.get("session")))
        elif kind in _ITEM_EVENTS:
            self._put(as_object(event.get("item")), event.get("previous_item_id"))
        elif kind in _PIECES:
            parts = self._pieces.setdefault(as_text(event.get("item_id")), {})
            parts.setdefault(_index(event), []).append(as_text(event.get("delta")))
        elif kind == "response.function_call_arguments.delta":
            pieces = self._arguments.setdefault(as_text(event.get("item_id")), [])
            pieces.append(as_text(event.get("delta")))
        elif kind == _TRANSCRIBED:
            self._transcribe(event)
        elif kind == "conversation.item.deleted":
            deleted = as_text(event.get("item_id"))
            if self._items.pop(deleted, None) is not None:
                self._order.remove(deleted)
        elif kind == "response.created":
            self._begun += 1
        elif kind == "response.done":
            self._done += 1
            self._last = as_object(event.get("response"))
            self._usage = _sum(self._usage, openai_usage(as_object(self._last.get("usage"))))
            for item in as_array(self._last.get("output")):
                self._put(as_object(item))
        elif kind == "error":
            self._error = event.get("error")

    def _put(self, item: Object, previous: Json = None) -> None:
        """Put an item into the conversation, or what is known of it now in place of what was."""
        name = as_text(item.get("id"))
        known = self._items.get(name)
        if known is None:
            if len(self._items) == ITEMS_MAX:
                self._left_out += 1
                return
            follows = isinstance(previous, str) and previous in self._items
            at = self._order.index(as_text(previous)) + 1 if follows else len(self._order)
            self._order.insert(at, name)
        elif not item.get("content") and known.get("content"):
            item = {**item, "content": known["content"]}
        self._items[name] = item

    def _transcribe(self, event: Object) -> None:
        item = self._items.get(as_text(event.get("item_id")))
        if item is not None:
            content = as_array(item.setdefault("content", []))
            heard: Object = {"type": "input_audio", "transcript": as_text(event.get("transcript"))}
            index = min(_index(event), len(content))
            content[index : index + 1] = [heard]

    def asked(self, notes: Notes) -> Understood:
        """What was said before the last response."""
        session = {**self._wanted, **self._session}
        instructions = as_text(session.get("instructions"))
        messages = [Message("system", instructions)] if instructions else []
        names = self._order
        own = self._names_of_last()
        if own:
            first = min(names.index(name) for name in own)
            later = [name for name in names[first:] if name not in own]
            if later:
                notes.append(f"{len(later)} items after the last response are no messages here")
            names = names[:first]
        messages += messages_of([self._item(name) for name in names], notes)
        if self._left_out:
            notes.append(f"only {ITEMS_MAX} items of the conversation were read")
        return Understood(
            request_model=as_text(self._wanted.get("model")),
            messages=tuple(messages),
            tools=tuple(read_tool(as_object(tool)) for tool in as_array(session.get("tools"))),
            settings=rest(session, _SESSION_KEYS) or {},
        )

    def answered(self, notes: Notes) -> Understood:
        """The last response, and what is known of the session."""
        details = as_object(self._last.get("status_details"))
        failure = details.get("error")
        error_code, error_message = error_of(failure if failure is not None else self._error)
        made = messages_of([self._item(name) for name in self._names_of_last()], notes)
        if self._begun > self._done:
            notes.append("a response broke off before its end")
        reason = as_text(details.get("reason")) or as_text(self._last.get("status"))
        return Understood(
            response_model=as_text(self._session.get("model")),
            choices=tuple(Choice(message, finish_reason=reason) for message in made[-1:]),
            usage=self._usage,
            provider_id=as_text(self._last.get("id")),
            error_code=error_code,
            error_message=error_message,
            ended=bool(self._last) and self._begun <= self._done,
            extra={"responses": self._done} if self._done else None,
        )

    def _names_of_last(self) -> list[str]:
        """The items that the last response made; of one that broke off, those after the user's."""
        output = [as_text(as_object(item).get("id")) for item in as_array(self._last.get("output"))]
        if self._begun <= self._done:
            return [name for name in output if name in self._items]
        made: list[str] = []
        for name in reversed(self._order):
            item = self._items[name]
            if item.get("role") != "assistant" and item.get("type") != "function_call":
                break
            made.append(name)
        return made[::-1]

    def _item(self, name: str) -> Object:
        """An item as messages are made of it: speech as its transcript, pieces joined."""
        item = rest(self._items[name], self._items[name].keys() - _ITEM_KEYS) or {}
        item.setdefault("type", "message")
        if item["type"] == "function_call" and not item.get("arguments"):
            item["arguments"] = "".join(self._arguments.get(name, []))
        content: list[Json] = [_part(as_object(part)) for part in as_array(item.get("content"))]
        if not content:
            content = [
                {"type": "text", "text": "".join(pieces)}
                for _, pieces in sorted(self._pieces.get(name, {}).items())
            ]
        if item["type"] == "message":
            item["content"] = content
        return item


def _part(part: Object) -> Object:
    """Make speech its transcript."""
    transcript = part.get("transcript")
    return {"type": "text", "text": transcript} if isinstance(transcript, str) else part


def _index(event: Object) -> int:
    index = event.get("content_index")
    return index if isinstance(index, int) and index >= 0 else 0


def _sum(one: Usage, other: Usage) -> Usage:
    """Add the tokens of two responses; what neither counted stays uncounted."""
    total: dict[str, int] = {}
    for name in Usage.__struct_fields__:
        counts = [n for usage in (one, other) if (n := getattr(usage, name)) is not None]
        if counts:
            total[name] = sum(counts)
    return msgspec.structs.replace(NO_USAGE, **total)


def _read_responses(
    asked: list[tuple[str, Object]], told: list[tuple[str, Object]], notes: Notes
) -> Understood:
    """Read the last response of the Responses API over a WebSocket."""
    requests = [event for kind, event in asked if kind == "response.create"]
    begun = [number for number, (kind, _) in enumerate(told) if kind == "response.created"]
    if len(begun) > 1:
        notes.append(f"the socket carried {len(begun)} responses, the last is understood")
    last = [event for _, event in told[begun[-1] if begun else 0 :]]
    request = rest(requests[-1], {"type"}) if requests else None
    stream = b"".join(b"data: %b\n\n" % msgspec.json.encode(event) for event in last)
    understood = understand_responses(
        msgspec.json.encode(request) if request else b"", stream, streamed=True
    )
    note = "; ".join(dict.fromkeys([*notes, understood.note]))
    return msgspec.structs.replace(understood, note=note.removesuffix("; "))
