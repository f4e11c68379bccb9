"""Responses API events to the response they add up to; storage.wire_responses tells the rules.

`response.completed`, `.incomplete` and `.failed` hold the whole response. Without one of them the
items are put together from what came before: a `done` event outweighs the deltas it ends. Text
that grows is kept in pieces and joined once: the cost is linear in the bytes of the stream.

Previews of images (`partial_image`) and padding (`obfuscation`) are left out. The text of a delta
of a kind not known here is kept in its item, under the event's name. Limits: those of storage.wire.
"""

from storage.trace import Json
from storage.wire import Notes, Object, as_array, as_object, as_text

TERMINALS = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
)
_TAIL_EVENTS = 4  # a `[DONE]`, keepalives or an error may follow the terminal event
_IGNORED = frozenset({"keepalive", "ping", ""})
# Where the text of a delta goes: the item's type, the list in it, the type of its parts, the field.
_PLACES = {
    "response.output_text": ("message", "content", "output_text", "text"),
    "response.refusal": ("message", "content", "refusal", "refusal"),
    "response.reasoning_text": ("reasoning", "content", "reasoning_text", "text"),
    "response.reasoning_summary_text": ("reasoning", "summary", "summary_text", "text"),
    "response.function_call_arguments": ("function_call", "", "", "arguments"),
    "response.mcp_call_arguments": ("mcp_call", "", "", "arguments"),
    "response.custom_tool_call_input": ("custom_tool_call", "", "", "input"),
    "response.code_interpreter_call_code": ("code_interpreter_call", "", "", "code"),
}
_PART_EVENTS = {
    "response.content_part": ("content", "content_index"),
    "response.reasoning_part": ("content", "content_index"),
    "response.reasoning_summary_part": ("summary", "summary_index"),
}


def assemble(events: list[tuple[str, Object]], notes: Notes) -> tuple[Object, bool]:
    """Assemble the events of a stream to its response; tell whether the terminal event came.

    An `error` event becomes the response's error, and is no end.
    """
    begun = sum(kind == "response.created" for kind, _ in events)
    if begun > 1:
        notes.append(f"the stream holds {begun} responses, the last is understood")
    terminal: Object | None = None
    for kind, event in events[-_TAIL_EVENTS:]:
        if kind in TERMINALS and isinstance(event.get("response"), dict):
            terminal = as_object(event["response"])
    if terminal is not None and terminal.get("output"):
        return terminal, True
    made = _Response()
    for kind, event in events:
        made.add(kind, event, notes)
    return made.finish(), made.ended


class _Response:
    """A response, growing."""

    def __init__(self) -> None:
        self.fields: Object = {}
        self.items: dict[int, _Item] = {}
        self.loose: dict[str, list[str]] = {}  # text that belongs to no item: audio
        self.ended = False

    def add(self, kind: str, event: Object, notes: Notes) -> None:
        if isinstance(event.get("response"), dict):
            self.fields.update(as_object(event["response"]))
            self.ended |= kind in TERMINALS
            return
        if kind == "error" or (kind == "" and "error" in event):
            nested = event.get("error")
            self.fields["error"] = nested if nested is not None else event
            return
        stem, _, act = kind.rpartition(".")
        index = event.get("output_index")
        if not isinstance(index, int):
            if act == "delta" and isinstance(event.get("delta"), str):
                self.loose.setdefault(stem, []).append(as_text(event["delta"]))
            elif kind not in _IGNORED and act != "done":
                notes.append("the stream holds events of no known kind")
            return
        if index not in self.items:
            self.items[index] = _Item()
        self.items[index].add(stem, act, event)

    def finish(self) -> Object:
        answer = dict(self.fields)
        if self.items and not answer.get("output"):
            answer["output"] = [self.items[index].finish() for index in sorted(self.items)]
        for stem, pieces in self.loose.items():
            answer[stem.removeprefix("response.")] = "".join(pieces)
        return answer


class _Item:
    """One output item, growing."""

    def __init__(self) -> None:
        self.fields: Object = {}
        self.parts: dict[tuple[str, int], Object] = {}
        self.pieces: dict[tuple[str, int, str], list[str]] = {}
        self.done = False

    def add(self, stem: str, act: str, event: Object) -> None:
        if stem == "response.output_item":
            self.fields = dict(as_object(event.get("item")))
            self.done = act == "done"
        elif stem in _PART_EVENTS:
            place, index_key = _PART_EVENTS[stem]
            index = event.get(index_key)
            index = index if isinstance(index, int) else 0
            self.parts[place, index] = dict(as_object(event.get("part")))
            if act == "done":
                self._forget_pieces(place, index)
        elif act in ("delta", "done"):
            self._add_text(stem, act, event)
        elif stem == "response.output_text.annotation":
            part = self._part("content", event.get("content_index"), "output_text")
            annotations = part.setdefault("annotations", [])
            if isinstance(annotations, list):
                annotations.append(event.get("annotation"))
        elif act != "partial_image":
            self.fields["status"] = act

    def _add_text(self, stem: str, act: str, event: Object) -> None:
        unknown = ("", "", "", stem.removeprefix("response."))
        item_type, place, part_type, field = _PLACES.get(stem, unknown)
        if item_type:
            self.fields.setdefault("type", item_type)  # where its beginning is missing
        index = 0
        if place:
            said = event.get("summary_index" if place == "summary" else "content_index")
            index = said if isinstance(said, int) else 0
            part = self._part(place, index, part_type)
            logprobs = event.get("logprobs")
            if logprobs and act == "done":
                part["logprobs"] = logprobs
            elif isinstance(logprobs, list) and logprobs:
                as_array(part.setdefault("logprobs", [])).extend(logprobs)
        whole = event.get(field)
        if act == "done" and isinstance(whole, str):
            self.pieces[place, index, field] = [whole]
        elif isinstance(event.get("delta"), str):
            self.pieces.setdefault((place, index, field), []).append(as_text(event["delta"]))

    def _part(self, place: str, index: Json, part_type: str) -> Object:
        key = (place, index if isinstance(index, int) else 0)
        return self.parts.setdefault(key, {"type": part_type})

    def _forget_pieces(self, place: str, index: int) -> None:
        for key in [key for key in self.pieces if key[:2] == (place, index)]:
            del self.pieces[key]

    def finish(self) -> Object:
        if self.done:
            return self.fields
        for (place, index, field), pieces in self.pieces.items():
            target = self.parts[place, index] if place else self.fields
            target[field] = "".join(pieces)
        for place in ("content", "summary"):
            indexes = sorted(index for where, index in self.parts if where == place)
            if indexes:
                self.fields[place] = [self.parts[place, index] for index in indexes]
        return self.fields
