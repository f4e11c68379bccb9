"""Gemini Live: the messages of a BidiGenerateContent socket as one conversation.

Source: https://ai.google.dev/api/live. The client sets up model, instructions and tools, then sends
contents, sound, text and results of functions; the server sends the model's turns in pieces, calls
of functions, and, if asked to, what it understood of the speech of both sides. What was said before
the model's last turn are the messages, that turn is the answer; both are read as those of
storage.wire_gemini. Speech stands as its transcript, and the sound is left to the bytes.

Each direction is recorded by itself, so the order is found again: a turn of the model answers the
speech that the server transcribed for it, else the client's next text or contents that end its own
turn; results of functions follow the call they name. What the client said behind the last turn is
noted. A turn ends as complete, interrupted, or with calls of functions, and the finish reason says
so in the wire's word. Tokens are those of all turns: of a turn the last count, as it grows.

Limits: TURNS_MAX turns of the model; those of storage.wire_realtime for messages.
"""

from collections import deque
from collections.abc import Sequence

import msgspec

from storage.trace import Json, Understood
from storage.wire import Notes, Object, as_array, as_object, as_text
from storage.wire_gemini import understand as understand_content

TURNS_MAX = 10_000
_CLIENT = frozenset({"setup", "clientContent", "realtimeInput", "toolResponse"})
_SERVER = frozenset(
    {
        "setupComplete",
        "serverContent",
        "toolCall",
        "toolCallCancellation",
        "sessionResumptionUpdate",
    }
)
# The names of Live for what generateContent counts by others.
_COUNTS = {
    "responseTokenCount": "candidatesTokenCount",
    "responseTokensDetails": "candidatesTokensDetails",
}


def is_live(asked: Sequence[Object], told: Sequence[Object]) -> bool:
    """Tell whether the first messages of a socket are those of Gemini Live."""
    first = [_camel(each) for each in (*asked[:1], *told[:1])]
    return any(not (_CLIENT | _SERVER).isdisjoint(each) for each in first)


def understand(asked: Sequence[Object], told: Sequence[Object], notes: Notes) -> Understood:
    """Understand a socket from the messages of client and server, in order. Never raises."""
    inputs = _Inputs()
    for message in asked:
        inputs.add(_camel(message))
    turns = _Turns()
    for message in told:
        turns.add(_camel(message))
    turns.end_unfinished()
    contents: list[Json] = []
    for number, turn in enumerate(turns.all):
        contents += inputs.before(turn, turns.all[number - 1] if number else None)
        if turn is not turns.all[-1]:
            contents.append(turn.content())
    if not turns.all:
        contents += inputs.rest()
    elif later := len(inputs.rest()):
        notes.append(f"{later} messages behind the model's last turn are no messages here")
    if turns.left_out:
        notes.append(f"only {TURNS_MAX} turns of the model were read")
    setup = inputs.setup
    model = as_text(setup.get("model"))
    request = {**setup, "model": model.rpartition("/")[2], "contents": contents}
    answer = turns.answer()
    understood = understand_content(
        msgspec.json.encode(request), msgspec.json.encode(answer) if answer else b"", False
    )
    last = turns.all[-1] if turns.all else None
    if last is not None and not last.ended_by:
        notes.append("a turn broke off before its end")
    extra = {**(understood.extra or {}), "responses": len(turns.all)} if turns.all else None
    note = "; ".join(dict.fromkeys([*notes, understood.note])).removesuffix("; ")
    ended = last is not None and bool(last.ended_by)
    session_id = as_text(turns.set_up.get("sessionId"))
    return msgspec.structs.replace(
        understood, ended=ended, extra=extra, note=note, provider_id=session_id
    )


class _Turn:
    """A turn of the model: its parts, what was said in it, and what it answers."""

    def __init__(self) -> None:
        self.heard: list[str] = []  # of the user
        self.ended_by = ""
        self.calls: list[Object] = []
        self._parts: list[Json] = []
        self._spoken: list[str] = []

    @property
    def is_empty(self) -> bool:
        return not (self._parts or self._spoken or self.calls or self.heard)

    @property
    def has_begun(self) -> bool:
        """Whether the model has said something in it."""
        return bool(self._parts or self._spoken or self.calls)

    def add(self, content: Object) -> None:
        """Add a piece."""
        self._parts += as_array(as_object(content.get("modelTurn")).get("parts"))
        for key, texts in (
            ("inputTranscription", self.heard),
            ("outputTranscription", self._spoken),
        ):
            text = as_object(content.get(key)).get("text")
            if isinstance(text, str):
                texts.append(text)

    def content(self) -> Object:
        """Write the turn as a content of generateContent; sound without its bytes, or its words."""
        spoken = "".join(self._spoken)
        parts: list[Json] = []
        sounded = False
        for part in self._parts:
            sound = as_object(as_object(part).get("inlineData"))
            if not as_text(sound.get("mimeType")).startswith("audio/"):
                parts.append(part)
            elif not sounded:
                sounded = True
                whole: Json = {"inlineData": {"mimeType": sound["mimeType"]}}
                parts.append({"text": spoken} if spoken else whole)
        if spoken and not sounded:
            parts.append({"text": spoken})
        parts += [{"functionCall": call} for call in self.calls]
        return {"role": "model", "parts": parts}


class _Turns:
    """The turns of the model, growing message by message."""

    def __init__(self) -> None:
        self.all: list[_Turn] = []
        self.set_up: Object = {}
        self.left_out = 0
        self._turn = _Turn()
        self._counts: Object = {}  # of the turn, so far
        self._totals: dict[str, int] = {}
        self._audio: dict[str, int] = {}

    def add(self, message: Object) -> None:
        """Add a message of the server."""
        self.set_up = as_object(message.get("setupComplete")) or self.set_up
        if "usageMetadata" in message:
            self._counts = as_object(message["usageMetadata"])
        content = as_object(message.get("serverContent"))
        self._turn.add(content)
        calls = as_array(as_object(message.get("toolCall")).get("functionCalls"))
        self._turn.calls += [as_object(call) for call in calls]
        ended_by = "interrupted" if content.get("interrupted") is True else ""
        if content.get("turnComplete") is True:
            ended_by = as_text(content.get("turnCompleteReason")) or "turnComplete"
        if calls:
            ended_by = "toolCall"
        if ended_by:
            self._end(ended_by)
        elif self._turn.is_empty:
            self._count()  # which came behind the end of its turn

    def end_unfinished(self) -> None:
        """No more will come."""
        if self._turn.has_begun:
            self._end("")
        self._count()

    def answer(self) -> Object:
        """Write the last turn, and the tokens of all, as an answer of generateContent."""
        answer: Object = {}
        if self.all:
            last = self.all[-1]
            answer["candidates"] = [{"content": last.content(), "finishReason": last.ended_by}]
        if self._totals:
            audio: dict[str, Json] = {
                name: [{"modality": "AUDIO", "tokenCount": count}]
                for name, count in self._audio.items()
            }
            answer["usageMetadata"] = {**self._totals, **audio}
        return answer

    def _end(self, ended_by: str) -> None:
        if self._turn.has_begun:  # else an end after the end: interrupted, then complete
            self._turn.ended_by = ended_by
            if len(self.all) < TURNS_MAX:
                self.all.append(self._turn)
            else:
                self.left_out += 1
            self._turn = _Turn()
        self._count()

    def _count(self) -> None:
        for key, value in self._counts.items():
            name = _COUNTS.get(key, key)
            if isinstance(value, int):
                self._totals[name] = self._totals.get(name, 0) + value
            for detail in map(as_object, as_array(value)):
                count = detail.get("tokenCount")
                if detail.get("modality") == "AUDIO" and isinstance(count, int):
                    self._audio[name] = self._audio.get(name, 0) + count
        self._counts = {}


class _Inputs:
    """What the client said, to be put before the turns that answer it."""

    def __init__(self) -> None:
        self.setup: Object = {}
        self._waiting: deque[tuple[bool, list[Json]]] = deque()  # whether the model is to answer
        self._results: list[Object] = []

    def add(self, message: Object) -> None:
        """Add a message of the client."""
        setup = message.get("setup")
        if isinstance(setup, dict):
            self.setup = _camel(setup)
        said = _camel(as_object(message.get("clientContent")))
        if said:
            complete = said.get("turnComplete") is True
            self._waiting.append((complete, list(as_array(said.get("turns")))))
        text = as_object(message.get("realtimeInput")).get("text")
        if isinstance(text, str):
            self._waiting.append((True, [_user(text)]))
        results = _camel(as_object(message.get("toolResponse"))).get("functionResponses")
        self._results += [as_object(result) for result in as_array(results)]

    def before(self, turn: _Turn, previous: _Turn | None) -> list[Json]:
        """Take what a turn of the model answers."""
        contents: list[Json] = []
        for call in previous.calls if previous is not None else ():
            result = self._take_result("id", call) or self._take_result("name", call)
            if result is not None:
                contents.append(_result(result))
        heard = "".join(turn.heard)
        answered = bool(contents)
        while self._waiting and not answered:
            answered = self._waiting[0][0]
            if heard and answered:  # the next turn's
                break
            contents += self._waiting.popleft()[1]
        return [*contents, _user(heard)] if heard else contents

    def rest(self) -> list[Json]:
        """What no turn has answered."""
        said = [content for _, each in self._waiting for content in each]
        return said + [_result(result) for result in self._results]

    def _take_result(self, key: str, call: Object) -> Object | None:
        wanted = call.get(key)
        for result in self._results if wanted is not None else ():
            if result.get(key) == wanted:
                self._results.remove(result)
                return result
        return None


def _result(result: Object) -> Object:
    return {"role": "user", "parts": [{"functionResponse": result}]}


def _user(text: str) -> Object:
    return {"role": "user", "parts": [{"text": text}]}


def _camel(message: Object) -> Object:
    """Write the names of a message's members in camel case, as the server does."""
    if not any("_" in name for name in message):
        return message
    named: Object = {}
    for name, value in message.items():
        first, *more = name.split("_")
        named[first + "".join(word.capitalize() for word in more)] = value
    return named
