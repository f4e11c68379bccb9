"""Chat completions: request, response and stream, as OpenAI and its many imitators speak them.

A stream is first assembled to the object that the answer would have been without streaming, then
read by the same code. Sources: https://platform.openai.com/docs/api-reference/chat, and recorded
traffic of some twenty servers. Where those disagree:

* A tool call's fragments belong to its `index`. A new id that comes with a name starts a new call
  even under a used index; without index, so does a name after arguments.
* `usage` may come in every chunk, cumulative: the last one that counts anything holds. Groq's
  `x_groq.usage` and a choice's own `usage` stand in for it.
* Reasoning text is `reasoning_content` or `reasoning`, or Mistral's `thinking` parts, which stay
  in the content too. `reasoning_details` are merged by type and index.
* A stream without `[DONE]` has ended if every choice has its finish reason.

Random padding (`obfuscation`, Mistral's `p`) and nulls are left out. Everything else the models
here have no field for is in `extra`, `raw` or `settings`. Limits are those of storage.wire.
"""

from collections.abc import Iterable

from storage.chunks import assemble
from storage.fusing import fuse
from storage.trace import Choice, Json, Message, Part, Role, Tool, ToolCall, Understood
from storage.usage import openai_usage
from storage.wire import (
    Notes,
    Object,
    as_array,
    as_count,
    as_object,
    as_text,
    error_of,
    join,
    metadata_texts,
    read_object,
    read_stream,
    rest,
)

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",  # the result of a legacy function call: it has a name and no id
}
_PART_KINDS = {"image_url": "image", "input_audio": "audio", "file": "file", "document_url": "file"}

_REQUEST_KEYS = frozenset({"model", "messages", "tools", "functions", "metadata"})
_MESSAGE_KEYS = frozenset({"role", "content", "tool_calls", "tool_call_id", "name", "refusal"})
_ANSWER_KEYS = frozenset({"id", "model", "choices", "system_fingerprint", "error"})
_ERROR_KEYS = frozenset({"message", "type", "code"})
_CHOICE_KEYS = frozenset({"index", "message", "finish_reason", "logprobs"})


def understand(request: bytes, response: bytes, streamed: bool) -> Understood:
    """Understand a chat completion from its two bodies, decoded; either may be empty or broken.

    `streamed`: the response is an event stream. Never raises for what the bodies hold.
    """
    notes: Notes = []
    asked = read_request(read_object(request, "the request", notes), notes)
    answered = read_answer(response, streamed, notes) if response else Understood()
    return join(asked, answered, streamed, notes)


def read_answer(response: bytes, streamed: bool, notes: Notes) -> Understood:
    """Read the answer alone, which is not empty; legacy completions answer like this, too."""
    if streamed:
        stream = read_stream(fuse(response), notes)
        answer = assemble(chunk for _, chunk in stream)
        finished = [
            bool(as_object(c).get("finish_reason")) for c in as_array(answer.get("choices"))
        ]
        ended = answer.get("error") is None and (stream.done or (bool(finished) and all(finished)))
        if not ended and answer.get("error") is None:
            notes.append("the stream broke off before its end")
    else:
        answer = read_object(response, "the answer", notes)
        ended = bool(answer)
    return _read_answer(answer, ended, notes)


def read_request(request: Object, notes: Notes) -> Understood:
    """Read the request alone."""
    messages = request.get("messages")
    if request and not isinstance(messages, list):
        notes.append("the request has no list of messages")
    user_key = "safety_identifier" if request.get("safety_identifier") is not None else "user"
    metadata = request.get("metadata")
    known = _REQUEST_KEYS
    if metadata is not None and not isinstance(metadata, dict):
        known -= {"metadata"}
    return Understood(
        request_model=as_text(request.get("model")),
        messages=tuple(_messages(as_array(messages), notes)),
        tools=tuple(_tools(request, notes)),
        settings=rest(request, known | {user_key}) or {},
        metadata=metadata_texts(metadata) if metadata else {},
        user_id=as_text(request.get(user_key)),
    )


def _messages(values: list[Json], notes: Notes) -> Iterable[Message]:
    for value in values:
        if isinstance(value, dict):
            yield read_message(value, notes)
        else:
            notes.append("a message is not an object")


def read_message(raw: Object, notes: Notes) -> Message:
    """Read one message, of a request or an answer."""
    said = raw.get("role")
    role = _ROLES.get(said, "user") if isinstance(said, str) else "user"
    content = raw.get("content")
    if len(raw) == 2 and isinstance(content, str) and role == said:  # most messages, and no more
        return Message(role, content)
    extra = rest(raw, _MESSAGE_KEYS) or {}
    if said != role:
        extra["role"] = said
        if said != "function":
            notes.append("a message has a role of no known kind, read as user")
    parts: str | tuple[Part, ...] | None
    if isinstance(content, list):
        parts = tuple(_part(value) for value in content)
    else:
        parts = as_text(content) if content is not None else None
        if isinstance(content, dict):  # Cloudflare: JSON mode answers come parsed
            extra["content"] = content
    calls = [_tool_call(as_object(value)) for value in as_array(raw.get("tool_calls"))]
    if raw.get("function_call") is not None:
        calls.append(_function_call(as_object(extra.pop("function_call"))))
    refusal = raw.get("refusal")
    return Message(
        role=role,
        content=parts,
        tool_calls=tuple(calls),
        tool_call_id=as_text(raw.get("tool_call_id")),
        name=as_text(raw.get("name")),
        reasoning=_take_reasoning(extra, content) if extra or parts is not content else "",
        refusal=as_text(refusal),
        extra=extra or None,
    )


def _part(value: Json) -> Part:
    if isinstance(value, str):
        return Part("text", value)
    if not isinstance(value, dict):
        return Part("other", as_text(value))
    kind = value.get("type")
    if kind == "text":
        return Part("text", as_text(value.get("text")), value if len(value) > 2 else None)
    match _PART_KINDS.get(as_text(kind)):
        case "image":
            return Part("image", raw=value)
        case "audio":
            return Part("audio", raw=value)
        case "file":
            return Part("file", raw=value)
    return Part("other", raw=value)


def _take_reasoning(extra: Object, content: Json) -> str:
    """Take the reasoning text out of what else a message holds; a second, other text stays."""
    found = ""
    for key in ("reasoning_content", "reasoning"):
        text = extra.get(key)
        if isinstance(text, str) and (not found or text == found):
            found = text
            del extra[key]
    if found or not isinstance(content, list):
        return found
    thoughts = [p for p in content if isinstance(p, dict) and p.get("type") == "thinking"]
    return "".join(
        as_text(as_object(piece).get("text"))
        for thought in thoughts
        for piece in as_array(thought.get("thinking"))
    )


def _tool_call(raw: Object) -> ToolCall:
    kind = as_text(raw.get("type")) or "function"
    where = "function" if isinstance(raw.get("function"), dict) else kind
    call = as_object(raw.get(where))
    payload = "arguments" if where == "function" else "input"
    more = rest(raw, {"id", "type", "index", where}) or rest(call, {"name", payload})
    return ToolCall(
        name=as_text(call.get("name")),
        arguments=as_text(call.get(payload)),
        id=as_text(raw.get("id")),
        kind=kind,
        raw=raw if more else None,
    )


def _function_call(raw: Object) -> ToolCall:
    more = rest(raw, {"name", "arguments"})
    return ToolCall(
        name=as_text(raw.get("name")),
        arguments=as_text(raw.get("arguments")),
        kind="function_call",
        raw=raw if more else None,
    )


def _tools(request: Object, notes: Notes) -> Iterable[Tool]:
    for value in as_array(request.get("tools")):
        if not isinstance(value, dict):
            notes.append("a tool is not an object")
            continue
        kind = as_text(value.get("type")) or "function"
        offered = as_object(value.get("function", value.get(kind)))
        yield Tool(
            name=as_text(offered.get("name")) or kind,
            description=as_text(offered.get("description")),
            parameters=offered.get("parameters"),
            kind=kind,
            raw=value,
        )
    for value in as_array(request.get("functions")):
        offered = as_object(value)
        yield Tool(
            name=as_text(offered.get("name")),
            description=as_text(offered.get("description")),
            parameters=offered.get("parameters"),
            kind="function_call",
            raw=offered,
        )


def _read_answer(answer: Object, ended: bool, notes: Notes) -> Understood:
    choices = [
        _choice(value, position, notes)
        for position, value in enumerate(as_array(answer.get("choices")))
        if isinstance(value, dict)
    ]
    error = answer.get("error")
    error_code, error_message = error_of(error)
    if answer and not choices and error is None:
        # Frameworks in front of models say what is wrong in words of their own.
        error_message = as_text(answer.get("message", answer.get("detail")))
        if not error_message:
            notes.append("the answer has no choices")
    usage = answer.get("usage")
    if usage is None:
        usage = as_object(answer.get("x_groq")).get("usage")
    if usage is None and choices:
        usage = (choices[0].extra or {}).get("usage")
    tier = answer.get("service_tier")
    if tier is None and isinstance(usage, dict):
        tier = usage.get("service_tier")  # Mistral
    extra = rest(answer, _ANSWER_KEYS)
    if isinstance(error, dict) and rest(error, _ERROR_KEYS):
        extra = {**(extra or {}), "error": error}
    return Understood(
        response_model=as_text(answer.get("model")),
        choices=tuple(choices),
        usage=openai_usage(as_object(usage)),
        provider_id=as_text(answer.get("id")),
        system_fingerprint=as_text(answer.get("system_fingerprint")),
        service_tier=as_text(tier),
        error_code=error_code,
        error_message=error_message,
        ended=ended,
        extra=extra,
    )


def _choice(raw: Object, position: int, notes: Notes) -> Choice:
    known = _CHOICE_KEYS
    message = raw.get("message")
    if message is None and isinstance(raw.get("delta"), dict):
        message, known = raw["delta"], known | {"delta"}
    if message is None and isinstance(raw.get("text"), str):
        message, known = {"role": "assistant", "content": raw["text"]}, known | {"text"}
    index = as_count(raw.get("index"))
    return Choice(
        message=read_message({"role": "assistant", **as_object(message)}, notes),
        finish_reason=as_text(raw.get("finish_reason")),
        index=position if index is None else index,
        logprobs=raw.get("logprobs"),
        extra=rest(raw, known),
    )
