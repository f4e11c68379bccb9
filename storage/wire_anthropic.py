"""Anthropic messages: request, response and stream.

Source: https://docs.anthropic.com/en/api/messages. Blocks become what chat completions would
have, in order: a `tool_result` is a tool message of its own, and what stands before and after it in
the same user message are two user messages; `tool_use` is a tool call with its input as compact
JSON text; `thinking` is reasoning. Blocks of tools that Anthropic runs itself, and all others,
stay as parts of the content. `extra["blocks"]` keeps an assistant's blocks as sent where they hold
thinking (its signatures count) or text after a call.

Usage: Anthropic counts what was read from or written to a cache apart from `input_tokens`; here, as
in OpenTelemetry's conventions, `input_tokens` is the sum of the three. In a stream later counts
replace earlier ones. The usage as sent is in `extra`. Limits are those of storage.wire.
"""

from collections.abc import Iterable

from storage.trace import Choice, Json, Message, Part, Role, Tool, ToolCall, Understood, Usage
from storage.wire import (
    Notes,
    Object,
    as_array,
    as_count,
    as_object,
    as_text,
    content_of,
    error_of,
    join,
    metadata_texts,
    read_json,
    read_object,
    read_stream,
    rest,
)

_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
_REQUEST_KEYS = frozenset({"model", "messages", "system", "tools", "metadata"})
_ANSWER_KEYS = frozenset({"type", "id", "model", "role", "content", "stop_reason", "error"})
_THINKING = frozenset({"thinking", "redacted_thinking"})
# What a delta grows, by its type: (field of the delta, field of the block, type of the block).
_GROWING = {
    "text_delta": ("text", "text", "text"),
    "thinking_delta": ("thinking", "thinking", "thinking"),
    "signature_delta": ("signature", "signature", "thinking"),
    "input_json_delta": ("partial_json", "input", "tool_use"),
    "compaction_delta": ("content", "content", "compaction"),
}


def understand(request: bytes, response: bytes, streamed: bool) -> Understood:
    """Understand a messages call from its two bodies, decoded; either may be empty or broken.

    `streamed`: the response is an event stream. Never raises for what the bodies hold.
    """
    notes: Notes = []
    asked = _read_request(read_object(request, "the request", notes), notes)
    if not response:
        return join(asked, Understood(), streamed, notes)
    if streamed:
        answers, ended = assemble(read_stream(response, notes), notes)
        if len(answers) > 1:
            notes.append(f"the stream holds {len(answers)} messages, each is a choice")
        if not ended and not any("error" in answer for answer in answers):
            notes.append("the stream broke off before its end")
    else:
        answers = [read_object(response, "the answer", notes)]
        ended = bool(answers[0])
    return join(asked, _read_answers(answers, ended, notes), streamed, notes)


def _read_request(request: Object, notes: Notes) -> Understood:
    messages: list[Message] = []
    system = request.get("system")
    if system is not None:
        messages.append(Message("system", _content(system)))
    given = request.get("messages")
    if request and not isinstance(given, list):
        notes.append("the request has no list of messages")
    for value in as_array(given):
        if not isinstance(value, dict):
            notes.append("a message is not an object")
        elif value.get("role") == "assistant":
            messages.append(_assistant(value))
        else:
            messages.extend(_input_messages(value, notes))
    metadata = request.get("metadata")
    user_id = as_object(metadata).get("user_id")
    known = _REQUEST_KEYS if isinstance(metadata, dict | None) else _REQUEST_KEYS - {"metadata"}
    return Understood(
        request_model=as_text(request.get("model")),
        messages=tuple(messages),
        tools=tuple(_tool(as_object(value)) for value in as_array(request.get("tools"))),
        settings=rest(request, known) or {},
        metadata=metadata_texts(rest(as_object(metadata), {"user_id"})),
        user_id=as_text(user_id),
    )


def _tool(raw: Object) -> Tool:
    kind = as_text(raw.get("type"))
    return Tool(
        name=as_text(raw.get("name")) or kind,
        description=as_text(raw.get("description")),
        parameters=raw.get("input_schema"),
        kind="function" if kind in ("", "custom") else kind,
        raw=raw,
    )


def _input_messages(raw: Object, notes: Notes) -> Iterable[Message]:
    """A user message, divided at its tool results."""
    said = raw.get("role")
    role = _ROLES.get(said) if isinstance(said, str) else None
    extra = rest(raw, {"role", "content"}) or {}
    if role is None:
        notes.append("a message has a role of no known kind, read as user")
        role, extra["role"] = "user", said
    content = raw.get("content")
    if not isinstance(content, list):
        yield Message(role, _content(content), extra=extra or None)
        return
    parts: list[Part] = []
    divided = False
    for block in content:
        if isinstance(block, dict) and block.get("type") == "tool_result":
            if parts:
                yield Message(role, content_of(parts), extra=extra or None)
            parts = []
            divided = True
            yield Message(
                role="tool",
                content=_content(block.get("content")),
                tool_call_id=as_text(block.get("tool_use_id")),
                extra=rest(block, {"type", "tool_use_id", "content"}),
            )
        else:
            parts.append(_part(block))
    if parts or not divided:
        yield Message(role, content_of(parts), extra=extra or None)


def _assistant(raw: Object) -> Message:
    content = raw.get("content")
    blocks = content if isinstance(content, list) else []
    extra = rest(raw, {"role", "content"}) or {}
    if not blocks:
        return Message("assistant", _content(content), extra=extra or None)
    parts: list[Part] = []
    calls: list[ToolCall] = []
    reasoning: list[str] = []
    for value in blocks:
        block = as_object(value)
        kind = as_text(block.get("type"))
        if kind == "tool_use":
            calls.append(_tool_call(block))
        elif kind in _THINKING:
            reasoning.append(as_text(block.get("thinking")))
            extra["blocks"] = blocks
        else:
            parts.append(_part(value))
            if calls:
                extra["blocks"] = blocks
    return Message(
        role="assistant",
        content=content_of(parts),
        tool_calls=tuple(calls),
        reasoning="\n\n".join(text for text in reasoning if text),
        extra=extra or None,
    )


def _tool_call(block: Object) -> ToolCall:
    more = rest(block, {"type", "id", "name", "input"})
    return ToolCall(
        name=as_text(block.get("name")),
        arguments=as_text(block.get("input")),
        id=as_text(block.get("id")),
        raw=block if more else None,
    )


def _content(value: Json) -> str | tuple[Part, ...] | None:
    if isinstance(value, str) or value is None:
        return value
    return content_of([_part(block) for block in (value if isinstance(value, list) else [value])])


def _part(value: Json) -> Part:
    if isinstance(value, str):
        return Part("text", value)
    if not isinstance(value, dict):
        return Part("other", as_text(value))
    kind = value.get("type")
    if kind == "text":
        more = [v for k, v in value.items() if k not in ("type", "text") and v not in (None, [])]
        return Part("text", as_text(value.get("text")), value if more else None)
    if kind == "image":
        return Part("image", raw=value)
    if kind in ("document", "container_upload"):
        return Part("file", raw=value)
    return Part("other", raw=value)


def _read_answers(answers: list[Object], ended: bool, notes: Notes) -> Understood:
    answer = answers[-1]
    choices = tuple(
        Choice(
            message=_assistant({"content": message.get("content")}),
            finish_reason=as_text(message.get("stop_reason")),
            index=index,
        )
        for index, message in enumerate(answers)
        if "content" in message
    )
    error = answer.get("error")
    error_code, error_message = error_of(error)
    if isinstance(error, dict):  # its `code` is nobody's: Anthropic names errors by type
        error_code = as_text(error.get("type")) or error_code
    elif answer and not choices and error is None:
        error_message = as_text(answer.get("message", answer.get("detail")))
        if not error_message:
            notes.append("the answer has no content")
    usage = as_object(answer.get("usage"))
    extra = rest(answer, _ANSWER_KEYS)
    if rest(as_object(error), {"message", "type"}):
        extra = {**(extra or {}), "error": error}
    return Understood(
        response_model=as_text(answer.get("model")),
        choices=choices,
        usage=_usage(usage),
        provider_id=as_text(answer.get("id")),
        service_tier=as_text(usage.get("service_tier")),
        error_code=error_code,
        error_message=error_message,
        ended=ended,
        extra=extra,
    )


def _usage(raw: Object) -> Usage:
    fresh = as_count(raw.get("input_tokens"))
    cached = as_count(raw.get("cache_read_input_tokens"))
    written = as_count(raw.get("cache_creation_input_tokens"))
    by_age = as_object(raw.get("cache_creation"))
    total = None if fresh is None else fresh + (cached or 0) + (written or 0)
    return Usage(
        input_tokens=as_count(total),
        output_tokens=as_count(raw.get("output_tokens")),
        cached_tokens=cached,
        reasoning_tokens=as_count(
            as_object(raw.get("output_tokens_details")).get("thinking_tokens")
        ),
        cache_write_tokens=written,
        cache_write_1h_tokens=as_count(by_age.get("ephemeral_1h_input_tokens")),
    )


def assemble(events: Iterable[tuple[str, Object]], notes: Notes) -> tuple[list[Object], bool]:
    """Assemble the events of a stream to its messages, at least one; tell whether it ended.

    A stream holds one message; some gateways send several in a row. An `error` event becomes the
    `error` of the last message, and is no end.
    """
    growing: list[_GrowingMessage] = []
    ended = False
    for kind, event in events:
        if kind == "message_start" or not growing:
            if growing and growing[-1].is_empty:  # a ping came first
                growing.pop()
            growing.append(_GrowingMessage(as_object(event.get("message"))))
            ended = False
        if kind == "message_stop":
            ended = True
        elif kind == "error" or (kind == "" and "error" in event):
            growing[-1].fields["error"] = event.get("error", event)
        else:
            growing[-1].add(kind, event, notes)
    return [message.finish() for message in growing] or [{}], ended


class _GrowingMessage:
    """A message, growing."""

    def __init__(self, fields: Object) -> None:
        self.fields = dict(fields)
        self.blocks: dict[int, Object] = {
            index: dict(as_object(block))
            for index, block in enumerate(as_array(self.fields.get("content")))
        }
        self.pieces: dict[tuple[int, str], list[str]] = {}
        self.usage = dict(as_object(self.fields.get("usage")))

    @property
    def is_empty(self) -> bool:
        return not self.fields and not self.blocks

    def add(self, kind: str, event: Object, notes: Notes) -> None:
        said = event.get("index")
        index = said if isinstance(said, int) else 0
        if kind == "content_block_delta":
            self._grow(index, as_object(event.get("delta")), notes)
        elif kind == "content_block_start":
            self.blocks[index] = dict(as_object(event.get("content_block")))
        elif kind == "message_delta":
            self.fields.update(as_object(event.get("delta")))
            counts = rest(as_object(event.get("usage")), set())
            if counts:
                self.usage.update(counts)
                self.fields["usage"] = self.usage
            self.fields.update(rest(event, {"type", "delta", "usage"}) or {})
        elif kind not in ("message_start", "content_block_stop", "ping", "message_stop"):
            notes.append("the stream holds events of no known kind")

    def _grow(self, index: int, delta: Object, notes: Notes) -> None:
        block = self.blocks.setdefault(index, {})
        kind = as_text(delta.get("type"))
        if kind in _GROWING:
            field, target, block_type = _GROWING[kind]
            block.setdefault("type", block_type)  # where its start is missing
            if delta.get(field) is not None:
                self.pieces.setdefault((index, target), []).append(as_text(delta[field]))
        elif kind == "citations_delta":
            citations = block.setdefault("citations", [])
            if isinstance(citations, list):
                citations.append(delta.get("citation"))
            else:
                block["citations"] = [delta.get("citation")]
        else:
            block.update(rest(delta, {"type"}) or {})
            notes.append("the stream holds deltas of no known kind")

    def finish(self) -> Object:
        for (index, target), pieces in self.pieces.items():
            block, text = self.blocks[index], "".join(pieces)
            if target == "input":
                # An input cut off or broken stays the text it is.
                value = read_json(text.encode(), "an input", []) if text else block.get("input")
                block["input"] = text if value is None else value
            else:
                before = block.get(target)
                block[target] = (before if isinstance(before, str) else "") + text
        if self.blocks or "content" in self.fields:
            self.fields["content"] = [self.blocks[index] for index in sorted(self.blocks)]
        return self.fields
