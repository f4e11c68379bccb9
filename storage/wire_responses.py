"""The Responses API: request, response and stream.

Source: https://platform.openai.com/docs/api-reference/responses. The items of a conversation
become messages: what the model made between two inputs (reasoning, texts, calls) is one assistant
message, as it would be in chat completions; the output of a call is a tool message. Calls that the
application answers are tool calls; tools the upstream runs itself (web search, MCP, …) stay as
parts of the content, in order. `extra["items"]` keeps the items as sent wherever they held more.

The last event of a stream holds the whole response and is used; only without it, or where its
output was left out, is the response put together from the events before (storage.items). The
finish reason is the status, or why the response is incomplete. Limits are those of storage.wire.
"""

from storage.items import assemble
from storage.trace import Choice, Json, Message, Part, Role, Tool, ToolCall, Understood
from storage.usage import openai_usage
from storage.wire import (
    Notes,
    Object,
    as_array,
    as_object,
    as_text,
    content_of,
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
}
_TEXT_TYPES = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})
_IMAGE_TYPES = frozenset({"input_image", "computer_screenshot"})
# Calls that wait for the application. Every other item of the model's runs upstream.
_CALL_PAYLOADS = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "computer_call": "action",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
}
_KINDS = {"function_call": "function", "custom_tool_call": "custom"}
_INPUT_TYPES = frozenset({"mcp_approval_response"})  # the application's, without a role
_REQUEST_KEYS = frozenset(
    {"model", "instructions", "input", "tools", "metadata", "previous_response_id", "conversation"}
)
_ANSWER_KEYS = frozenset({"id", "model", "output", "error", "conversation", "previous_response_id"})
_UNFINISHED = frozenset({"in_progress", "queued"})


def understand(request: bytes, response: bytes, streamed: bool) -> Understood:
    """Understand a Responses call from its two bodies, decoded; either may be empty or broken.

    `streamed`: the response is an event stream. Never raises for what the bodies hold.
    """
    notes: Notes = []
    asked = _read_request(read_object(request, "the request", notes), notes)
    if not response:
        return join(asked, Understood(), streamed, notes)
    if streamed:
        answer, ended = assemble(read_stream(response, notes).objects, notes)
        if not ended and answer.get("error") is None:
            notes.append("the stream broke off before its end")
    else:
        answer = read_object(response, "the answer", notes)
        ended = bool(answer) and as_text(answer.get("status")) not in _UNFINISHED
        if answer and not ended:
            notes.append("the answer is still being made upstream")
    return join(asked, _read_answer(answer, ended, notes), streamed, notes)


def _read_request(request: Object, notes: Notes) -> Understood:
    turns = _Turns(notes)
    instructions = request.get("instructions")
    if isinstance(instructions, str):
        turns.messages.append(Message("system", instructions))
    given = request.get("input")
    for item in as_array(instructions):
        turns.add(item)
    instruction_count = len(turns.messages)
    if isinstance(given, str):
        turns.messages.append(Message("user", given))
    for item in as_array(given):
        turns.add(item)
    if request and not isinstance(given, str | list) and request.get("prompt") is None:
        notes.append("the request has no input")
    if request.get("prompt") is not None:
        notes.append("the text of the prompt is stored upstream")
    user_key = "safety_identifier" if request.get("safety_identifier") is not None else "user"
    known = _REQUEST_KEYS | {user_key}
    if not isinstance(request.get("metadata"), dict | None):
        known -= {"metadata"}
    return Understood(
        request_model=as_text(request.get("model")),
        messages=tuple(turns.finish()),
        tools=tuple(read_tool(as_object(value)) for value in as_array(request.get("tools"))),
        settings=rest(request, known) or {},
        metadata=metadata_texts(request.get("metadata")),
        user_id=as_text(request.get(user_key)),
        previous_id=as_text(request.get("previous_response_id")),
        conversation_id=_conversation_id(request),
        instruction_count=instruction_count,
    )


def _conversation_id(value: Object) -> str:
    conversation = value.get("conversation")
    return as_text(conversation.get("id") if isinstance(conversation, dict) else conversation)


def messages_of(items: list[Json], notes: Notes) -> list[Message]:
    """Make messages of a conversation's items, in their order."""
    turns = _Turns(notes)
    for item in items:
        turns.add(item)
    return turns.finish()


def read_tool(raw: Object) -> Tool:
    """Read a tool that was offered."""
    kind = as_text(raw.get("type")) or "function"
    return Tool(
        name=as_text(raw.get("name", raw.get("server_label"))) or kind,
        description=as_text(raw.get("description")),
        parameters=raw.get("parameters"),
        kind=kind,
        raw=raw,
    )


class _Turns:
    """Items, one after the other, becoming messages."""

    def __init__(self, notes: Notes) -> None:
        self.messages: list[Message] = []
        self._notes = notes
        self._turn: _Turn | None = None

    def add(self, value: Json) -> None:
        if not isinstance(value, dict):
            self._notes.append("an input item is not an object")
            return
        kind, role = as_text(value.get("type")), value.get("role")
        if kind in ("", "message") and role != "assistant":
            self._end_turn()
            self.messages.append(_message(value, self._notes))
        elif kind.endswith("_output") and value.get("call_id") is not None:
            self._end_turn()
            self.messages.append(_tool_message(value))
        elif kind in _INPUT_TYPES or (role is not None and role != "assistant"):
            self._end_turn()
            self.messages.append(
                Message(_ROLES.get(as_text(role), "user"), (Part("other", raw=value),))
            )
        else:
            if self._turn is None:
                self._turn = _Turn()
            self._turn.add(kind, value)

    def finish(self) -> list[Message]:
        self._end_turn()
        return self.messages

    def _end_turn(self) -> None:
        if self._turn is not None:
            self.messages.append(self._turn.message())
            self._turn = None


class _Turn:
    """What the model made between two inputs."""

    def __init__(self) -> None:
        self._items: list[Json] = []
        self._plain = True
        self._parts: list[Part] = []
        self._calls: list[ToolCall] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self.logprobs: list[Json] = []

    def add(self, kind: str, item: Object) -> None:
        self._items.append(item)
        if kind in ("", "message"):
            self._plain &= item.keys() <= {"type", "role", "content"}
            self._add_content(item.get("content"))
        elif kind == "reasoning":
            self._plain = False
            self._add_reasoning(item)
        elif kind in _CALL_PAYLOADS:
            self._plain &= item.keys() <= {"type", "call_id", "name", "arguments", "input"}
            self._calls.append(
                ToolCall(
                    name=as_text(item.get("name")) or kind,
                    arguments=as_text(item.get(_CALL_PAYLOADS[kind])),
                    id=as_text(item.get("call_id")),
                    kind=_KINDS.get(kind, kind),
                )
            )
        else:
            self._parts.append(Part("other", raw=item))

    def _add_content(self, content: Json) -> None:
        for piece in content if isinstance(content, list) else [content]:
            if isinstance(piece, dict) and piece.get("type") == "refusal":
                self._refusal.append(as_text(piece.get("refusal")))
            elif piece is not None:
                self._parts.append(_part(piece))
                self.logprobs += as_array(as_object(piece).get("logprobs"))

    def _add_reasoning(self, item: Object) -> None:
        # The reasoning itself where the model shows it, else its summary.
        pieces = as_array(item.get("content")) or as_array(item.get("summary"))
        texts = [as_text(as_object(piece).get("text")) for piece in pieces]
        self._reasoning += [text for text in texts if text]

    def message(self) -> Message:
        return Message(
            role="assistant",
            content=content_of(self._parts),
            tool_calls=tuple(self._calls),
            reasoning="\n\n".join(self._reasoning),
            refusal="".join(self._refusal),
            extra=None if self._plain else {"items": self._items},
        )


def _message(item: Object, notes: Notes) -> Message:
    said = item.get("role")
    role = _ROLES.get(said) if isinstance(said, str) else None
    extra = rest(item, {"type", "role", "content"}) or {}
    if role is None:
        notes.append("a message has a role of no known kind, read as user")
        extra["role"] = said
    return Message(role or "user", _content(item.get("content")), extra=extra or None)


def _tool_message(item: Object) -> Message:
    output = item.get("output")
    return Message(
        role="tool",
        content=_content(output if output is not None else item.get("tools")),
        tool_call_id=as_text(item.get("call_id")),
        extra=rest(item, {"type", "call_id", "output", "tools"}),
    )


def _content(value: Json) -> str | tuple[Part, ...] | None:
    if isinstance(value, str) or value is None:
        return value
    return content_of([_part(piece) for piece in (value if isinstance(value, list) else [value])])


def _part(value: Json) -> Part:
    if isinstance(value, str):
        return Part("text", value)
    if not isinstance(value, dict):
        return Part("other", as_text(value))
    kind = as_text(value.get("type"))
    if kind in _TEXT_TYPES:
        more = [v for k, v in value.items() if k not in ("type", "text") and v not in (None, [])]
        return Part("text", as_text(value.get("text")), value if more else None)
    if kind in _IMAGE_TYPES:
        return Part("image", raw=value)
    if kind == "input_audio":
        return Part("audio", raw=value)
    if kind == "input_file":
        return Part("file", raw=value)
    return Part("other", raw=value)


def _read_answer(answer: Object, ended: bool, notes: Notes) -> Understood:
    status = as_text(answer.get("status"))
    reason = as_text(as_object(answer.get("incomplete_details")).get("reason"))
    error_code, error_message = error_of(answer.get("error"))
    choices: tuple[Choice, ...] = ()
    turn = _Turn()
    output = as_array(answer.get("output"))
    for value in output:
        item = as_object(value)
        turn.add(as_text(item.get("type")), item)
    if output:
        choices = (
            Choice(
                message=turn.message(),
                finish_reason=reason or ("" if status in _UNFINISHED else status),
                logprobs={"content": turn.logprobs} if turn.logprobs else None,
            ),
        )
    elif answer and answer.get("error") is None:
        error_message = as_text(answer.get("message", answer.get("detail")))
        if ended and not error_message:
            notes.append("the answer has no output")
    extra = rest(answer, _ANSWER_KEYS)
    if rest(as_object(answer.get("error")), {"message", "type", "code"}):
        extra = {**(extra or {}), "error": answer["error"]}
    return Understood(
        response_model=as_text(answer.get("model")),
        choices=choices,
        usage=openai_usage(as_object(answer.get("usage"))),
        provider_id=as_text(answer.get("id")),
        previous_id=as_text(answer.get("previous_response_id")),
        conversation_id=_conversation_id(answer),
        service_tier=as_text(answer.get("service_tier")),
        error_code=error_code,
        error_message=error_message,
        ended=ended,
        extra=extra,
    )
