"""Chat completion chunks to the answer they add up to; storage.wire_openai tells the rules.

The result is the object the server would have sent without streaming, so one reader serves both.
Text that grows is kept in pieces and joined once: the cost is linear in the bytes of the stream.
Limits are those of storage.wire, and NAME_CHARS_MAX for a tool's name that comes in fragments.
"""

import base64
import binascii
from collections.abc import Iterable

from storage.trace import Json
from storage.wire import Object, as_array, as_object, as_text, read_json, rest

NAME_CHARS_MAX = 1_024

_CHUNK_KEYS = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "system_fingerprint"}
    | {"service_tier", "obfuscation", "p", "x_groq"}
)
_CHOICE_KEYS = frozenset(
    {"index", "delta", "message", "text", "finish_reason", "logprobs", "obfuscation"}
)
_CALL_KEYS = frozenset({"index", "id", "type", "function"})


def assemble(chunks: Iterable[Object]) -> Object:
    """Assemble the chunks of a stream to the answer it would have been without streaming."""
    answer: Object = {}
    choices: dict[int, _Choice] = {}
    groq: Object = {}
    awaited = ["id", "model", "system_fingerprint", "created"]  # the first that is filled holds
    known: list[str] = []  # the keys of the chunk before, where all were known: most are alike
    for chunk in chunks:
        if awaited:  # Azure's first chunk leaves them empty
            answer.update({key: chunk[key] for key in awaited if chunk.get(key)})
            awaited = [key for key in awaited if key not in answer]
        if (keys := list(chunk)) != known:
            if chunk.keys() <= _CHUNK_KEYS:
                known = keys
            else:
                answer.update(rest(chunk, _CHUNK_KEYS) or {})
        usage = chunk.get("usage")
        if isinstance(usage, dict) and any(type(count) is int for count in usage.values()):
            answer["usage"] = usage
        if chunk.get("service_tier"):
            answer["service_tier"] = chunk["service_tier"]
        if "x_groq" in chunk:
            groq.update(as_object(chunk["x_groq"]))
            answer["x_groq"] = groq
        for position, value in enumerate(as_array(chunk.get("choices"))):
            if isinstance(value, dict):
                index = value.get("index")
                index = index if isinstance(index, int) else position
                choice = choices.get(index)
                if choice is None:
                    choice = choices[index] = _Choice()
                choice.add(value)
    if choices or "error" not in answer:
        answer["choices"] = [choices[index].finish(index) for index in sorted(choices)]
    return answer


class _Choice:
    """One choice, growing."""

    def __init__(self) -> None:
        self.role: Json = "assistant"
        self.content = _Content()
        self.texts: dict[str, list[str]] = {}  # refusal and reasoning
        self.calls: list[_ToolCall] = []
        self.last_call_of_index: dict[int | None, _ToolCall] = {}
        self.call_of_id: dict[tuple[int | None, str], _ToolCall] = {}
        self.function_call: _ToolCall | None = None
        self.audio: dict[str, list[str]] = {}  # its data and transcript
        self.audio_rest: Object = {}
        self.details = _Details()
        self.message_rest: Object = {}
        self.logprobs: dict[str, list[Json]] = {}
        self.finish_reason = ""
        self.rest: Object = {}

    def add(self, choice: Object) -> None:
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = choice.get("message")
        if not isinstance(delta, dict):
            delta = {"content": choice.get("text")}
        for key, value in delta.items():
            if value is None:
                continue
            if key == "content":
                self.content.add(value)
            elif key == "role":
                self.role = value or self.role
            else:
                self._add_more(key, value)
        if choice.get("finish_reason"):
            self.finish_reason = as_text(choice["finish_reason"])
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict):
            for key, value in logprobs.items():
                self.logprobs.setdefault(key, []).extend(as_array(value))
        if not choice.keys() <= _CHOICE_KEYS:
            self.rest.update(rest(choice, _CHOICE_KEYS) or {})

    def _add_more(self, key: str, value: Json) -> None:
        if key in ("reasoning_content", "reasoning", "refusal") and isinstance(value, str):
            self.texts.setdefault(key, []).append(value)
        elif key == "tool_calls":
            for call in as_array(value):
                self._add_call(as_object(call))
        elif key == "function_call":
            self.function_call = self.function_call or _ToolCall(None)
            self.function_call.add({"function": value})
        elif key == "audio" and isinstance(value, dict):
            for name, text in value.items():
                if isinstance(text, str) and name in ("data", "transcript"):
                    self.audio.setdefault(name, []).append(text)
                elif text is not None:
                    self.audio_rest[name] = text
        elif key == "reasoning_details":
            self.details.add(as_array(value))
        elif isinstance(value, list):
            _extend(self.message_rest, key, value)
        else:
            self.message_rest[key] = value

    def _add_call(self, fragment: Object) -> None:
        """Find the call a fragment belongs to, or begin a new one."""
        index = fragment.get("index")
        index = index if isinstance(index, int) else None
        call_id = as_text(fragment.get("id"))
        call = self.call_of_id.get((index, call_id)) if call_id else None
        if call is None:
            call = self.last_call_of_index.get(index)
            named = bool(as_object(fragment.get("function")).get("name"))
            if call is None or (named and call.is_followed_by(call_id, index)):
                call = _ToolCall(index)
                self.calls.append(call)
        self.last_call_of_index[index] = call
        if call_id:
            self.call_of_id[index, call_id] = call
        call.add(fragment)

    def finish(self, index: int) -> Object:
        message: Object = {"role": self.role, "content": self.content.finish()}
        for key, pieces in self.texts.items():
            message[key] = "".join(pieces)
        calls = sorted(self.calls, key=lambda call: call.index or 0)
        if calls:
            message["tool_calls"] = [call.finish() for call in calls]
        if self.function_call:
            message["function_call"] = self.function_call.finish()["function"]
        if message["content"] == "" and (calls or self.function_call or message.get("refusal")):
            message["content"] = None  # as it is when not streamed
        message.update(self.message_rest)
        if self.audio or self.audio_rest:
            audio = message["audio"] = self.audio_rest
            if "data" in self.audio:
                audio["data"] = _join_base64(self.audio["data"])
            if "transcript" in self.audio:
                audio["transcript"] = "".join(self.audio["transcript"])
        details = self.details.finish()
        if details:
            message["reasoning_details"] = details
        logprobs: Object = {key: values or None for key, values in self.logprobs.items()}
        return {
            **self.rest,
            "index": index,
            "message": message,
            "finish_reason": self.finish_reason,
            "logprobs": logprobs or None,
        }


class _Content:
    """The content of a message, growing: text, or Mistral's parts."""

    def __init__(self) -> None:
        self.seen = False
        self.plain = True
        self.runs: list[tuple[Object, list[str]]] = []  # a part, and its text in pieces

    def add(self, value: Json) -> None:
        self.seen = True
        if isinstance(value, str):
            if self.runs and self.runs[-1][0].get("type") == "text":  # nearly every delta
                self.runs[-1][1].append(value)
            else:
                self._grow({"type": "text"}, value)
            return
        self.plain = False
        for part in value if isinstance(value, list) else [value]:
            if not isinstance(part, dict):
                continue
            if part.get("type") == "text":
                self._grow(part, as_text(part.get("text")))
            elif part.get("type") == "thinking":
                thoughts = [as_object(piece) for piece in as_array(part.get("thinking"))]
                self._grow(part, "".join(as_text(piece.get("text")) for piece in thoughts))
            else:
                self.runs.append((part, []))

    def _grow(self, part: Object, text: str) -> None:
        if self.runs and self.runs[-1][0].get("type") == part["type"]:
            self.runs[-1][1].append(text)
            self.runs[-1][0].update(rest(part, {"type", "text", "thinking"}) or {})
        elif text or part["type"] != "text" or not self.runs:
            self.runs.append((dict(part), [text]))

    def finish(self) -> Json:
        if self.plain:
            return "".join(self.runs[0][1]) if self.runs else ("" if self.seen else None)
        parts: list[Json] = []
        for part, pieces in self.runs:
            text = "".join(pieces)
            if part.get("type") == "text":
                parts += [{**part, "text": text}] if text else []
            elif part.get("type") == "thinking":
                parts.append({**part, "thinking": [{"type": "text", "text": text}]})
            else:
                parts.append(part)
        return parts


class _ToolCall:
    """One tool call, growing."""

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self.kind = ""
        self.name = ""
        self.arguments: list[str] = []
        self.rest: Object = {}
        self.function_rest: Object = {}

    def is_followed_by(self, call_id: str, index: int | None) -> bool:
        """Tell whether a name under the same index begins another call, or repeats this one's."""
        if call_id and self.id:
            return True
        if index is None:
            return bool(self.arguments)
        # Who sends whole calls sends each in one fragment.
        return len(self.arguments) == 1 and isinstance(
            read_json(self.arguments[0].encode(), "", []), dict
        )

    def add(self, fragment: Object) -> None:
        self.id = self.id or as_text(fragment.get("id"))
        self.kind = self.kind or as_text(fragment.get("type"))
        where = "custom" if "custom" in fragment else "function"
        function = as_object(fragment.get(where))
        name = as_text(function.get("name"))
        if name != self.name and len(self.name) < NAME_CHARS_MAX:  # some repeat it every time
            self.name += name
        payload = "input" if where == "custom" else "arguments"
        arguments = as_text(function.get(payload))
        if arguments:
            self.arguments.append(arguments)
        self.function_rest.update(rest(function, {"name", payload}) or {})
        self.rest.update(rest(fragment, _CALL_KEYS | {"custom"}) or {})

    def finish(self) -> Object:
        custom = self.kind == "custom"
        call: Object = {"id": self.id, "type": self.kind or "function"}
        call["custom" if custom else "function"] = {
            "name": self.name,
            "input" if custom else "arguments": "".join(self.arguments),
            **self.function_rest,
        }
        return {**call, **self.rest}


class _Details:
    """OpenRouter's `reasoning_details`, growing: texts of one type and index are one text."""

    def __init__(self) -> None:
        self.entries: list[tuple[Object, dict[str, list[str]]]] = []

    def add(self, values: list[Json]) -> None:
        for value in values:
            detail = as_object(value)
            last = self.entries[-1][0] if self.entries else {}
            if not self.entries or any(last.get(k) != detail.get(k) for k in ("type", "index")):
                self.entries.append(({}, {}))
            entry, texts = self.entries[-1]
            for key, field in detail.items():
                if isinstance(field, str) and key in ("text", "summary", "data"):
                    texts.setdefault(key, []).append(field)
                elif field is not None or key not in entry:
                    entry[key] = field

    def finish(self) -> list[Json]:
        return [
            {**entry, **{key: "".join(pieces) for key, pieces in texts.items()}}
            for entry, texts in self.entries
        ]


def _extend(message: Object, key: str, values: list[Json]) -> None:
    """Add list elements to a message; one that carries a known `index` brings its element up
    to date (Groq's executed_tools come once without and once with their output)."""
    known = message.setdefault(key, [])
    if not isinstance(known, list):
        known = message[key] = [known]
    for value in values:
        index = as_object(value).get("index")
        place = index if isinstance(index, int) and 0 <= index < len(known) else None
        if place is not None and as_object(known[place]).get("index") == index:
            known[place] = {**as_object(known[place]), **as_object(value)}
        else:
            known.append(value)


def _join_base64(pieces: list[str]) -> str:
    """Join pieces that were each encoded on their own, or were cut out of one."""
    if not any(piece.endswith("=") for piece in pieces[:-1]):
        return "".join(pieces)
    try:
        return base64.b64encode(b"".join(base64.b64decode(piece) for piece in pieces)).decode()
    except (binascii.Error, ValueError):
        return "".join(pieces)
