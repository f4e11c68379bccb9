"""Whether a line is a row of a format: the trainers' rules, by themselves.

`validate_row` knows nothing of how rows are written here, so it can check anybody's. It is pure
and reads one line. What it does not know: whether images show what they should, what a chat
template makes of a row, and rules about whole files (10 rows at least for OpenAI).

Sources: OpenAI's FineTuneChatRequestInput and FineTunePreferenceRequestInput; `check_file` of
together 2.14.0; mistral-common 1.13 in mode finetuning; TRL's dataset formats; LLaMA-Factory's
`converter.py`; Axolotl's `chat_template.py`.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from exporters.chat_rows import TOOL_NAME, is_schema
from exporters.images import IMAGE_BYTES_MAX, IMAGES_MAX
from exporters.parquet_rows import RowColumns

_DATA_URL = re.compile(r"data:image/(jpeg|png|webp|gif);base64,")
_NINE = re.compile(r"[a-zA-Z0-9]{9}")


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Function(_Row):
    name: str
    arguments: str | dict[str, Any]


class _Call(_Row):
    id: str
    type: Literal["function"]
    function: _Function


class _Url(_Row):
    url: str
    detail: str | None = None


class _Part(_Row):
    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: _Url | None = None


class _Message(_Row):
    role: str
    content: str | list[_Part] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] = []
    tool_call_id: str | None = None
    weight: Literal[0, 1] | None = None
    train: bool | None = None
    reasoning_content: str | None = None
    thinking: str | None = None


class _Offered(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Tool(_Row):
    type: Literal["function"]
    function: _Offered


class _Chat(_Row):
    messages: list[_Message]
    tools: list[_Tool] | str = []
    parallel_tool_calls: bool | None = None


class _Asked(_Row):
    messages: list[_Message]
    tools: list[_Tool] = []
    parallel_tool_calls: bool | None = None


class _OpenaiPair(_Row):
    input: _Asked
    preferred_output: list[_Message]
    non_preferred_output: list[_Message]


class _Completion(_Row):
    prompt: list[_Message]
    completion: list[_Message]
    tools: str | None = None


class _TrlPair(_Row):
    prompt: list[_Message]
    chosen: list[_Message]
    rejected: list[_Message]
    tools: str | None = None


class _Texts(_Row):
    prompt: str
    completion: str


class _Labelled(_Row):
    text: str
    label: str


class _Turn(_Row):
    speaker: Literal["human", "gpt", "observation", "function_call"] = msgspec.field(name="from")
    value: str


class _Sharegpt(_Row):
    conversations: list[_Turn]
    system: str
    tools: str


class RowError(Exception):
    """A row breaks a rule; the message says which."""


def validate_row(format_name: str, row: bytes) -> str | None:
    """Say in a sentence which rule of a format a row breaks, None if it breaks none.

    `row` is a line without its end; of Parquet, a line of exporters.parquet_files.read_lines.
    Raises KeyError for a format that does not exist.
    """
    check = _CHECKS[format_name]
    try:
        check(row)
    except (RowError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return str(error)
    return None


def _check_openai(row: bytes) -> None:
    chat = msgspec.json.decode(row, type=_Chat)
    _check_chat(chat.messages, roles="system developer user assistant tool", keys="name refusal")
    _check_tools(chat.tools, named=True)
    _check_images(chat.messages, remote=True)


def _check_together(row: bytes) -> None:
    chat = msgspec.json.decode(row, type=_Chat)
    _require(chat.parallel_tool_calls is None, "there is a column beside messages and tools")
    _check_chat(chat.messages)
    _check_tools(chat.tools, named=False)
    _check_images(chat.messages, remote=False)
    kinds = {type(message.content) for message in chat.messages if message.content}
    _require(len(kinds) <= 1, "some contents are texts and some are parts")


def _check_fireworks(row: bytes) -> None:
    chat = msgspec.json.decode(row, type=_Chat)
    _require(chat.parallel_tool_calls is None, "parallel_tool_calls is not read")
    _check_chat(chat.messages, keys="weight reasoning_content")
    _check_tools(chat.tools, named=True)
    _check_images(chat.messages, remote=False)
    for message in chat.messages:
        _require(message.content is not None, "a content is null")
        _require(len(message.tool_calls) <= 1, "a message has several tool calls")


def _check_mistral(row: bytes) -> None:
    chat = msgspec.json.decode(row, type=_Chat)
    _require(chat.parallel_tool_calls is None, "parallel_tool_calls is not read")
    _check_chat(chat.messages)
    _check_tools(chat.tools, named=True)
    _check_images(chat.messages, remote=True)
    for tool in chat.tools:
        if isinstance(tool, _Tool):
            parameters = tool.function.parameters
            _require(parameters is not None, f"{tool.function.name} has no parameters")
            _require(is_schema(parameters), f"{tool.function.name}'s parameters are no schema")
    unanswered = 0
    before = ""
    for message in chat.messages:
        if message.role == "tool":
            _require(before in ("assistant", "tool"), f"a result follows {before or 'nothing'}")
            _require(unanswered > 0, "there are more results than tool calls")
            _require_nine(message.tool_call_id or "")
            unanswered -= 1
        elif message.role == "assistant":
            _require(unanswered == 0, "a tool call has no result")
            unanswered = len(message.tool_calls)
            says = bool(message.content) != bool(message.tool_calls)
            _require(says, "an assistant says both a text and tool calls, or neither")
            for call in message.tool_calls:
                _require_nine(call.id)
        else:
            _require(
                message.role == "user" or before in ("", "system", "user"),
                f"a system message follows {before}",
            )
        before = message.role


def _check_axolotl(row: bytes) -> None:
    chat = msgspec.json.decode(row, type=_Chat)
    _require(chat.parallel_tool_calls is None, "parallel_tool_calls is not read")
    _check_chat(chat.messages, keys="train reasoning_content", arguments="parsed")
    _check_texts(chat.messages)
    _check_tools_text(chat.tools)


def _check_trl(row: bytes) -> None:
    found = msgspec.json.decode(row, type=_Completion)
    _require(bool(found.prompt), "the prompt is empty")
    _check_trl_messages([*found.prompt, *found.completion])
    _require(found.completion[:1] != [], "the completion is empty")
    _require(found.completion[0].role == "assistant", "the completion begins with no answer")
    _check_tools_text(found.tools)


def _check_trl_chat(row: bytes) -> None:
    chat = msgspec.json.decode(row, type=_Chat)
    _require(chat.parallel_tool_calls is None, "parallel_tool_calls is not read")
    _check_trl_messages(chat.messages)
    _check_tools_text(chat.tools)


def _check_trl_pair(row: bytes) -> None:
    found = msgspec.json.decode(row, type=_TrlPair)
    _require(bool(found.prompt), "the prompt is empty")
    _check_trl_messages([*found.prompt, *found.chosen])
    _check_trl_messages([*found.prompt, *found.rejected])
    _check_pair(found.prompt, found.chosen, found.rejected)
    _check_tools_text(found.tools)


def _check_trl_messages(messages: Sequence[_Message]) -> None:
    _check_chat(messages, keys="reasoning_content thinking", arguments="object")
    _check_texts(messages)


def _check_openai_pair(row: bytes) -> None:
    found = msgspec.json.decode(row, type=_OpenaiPair)
    asked = found.input.messages
    _require(bool(asked), "the input is empty")
    roles = "system developer user assistant tool"
    for answers in (found.preferred_output, found.non_preferred_output):
        _check_chat([*asked, *answers], roles=roles, keys="name refusal")
    _check_texts([m for m in (*asked, *found.preferred_output) if m.content is not None])
    _check_pair(asked, found.preferred_output, found.non_preferred_output)
    _check_tools(found.input.tools, named=True)


def _check_pair(
    asked: Sequence[_Message], better: Sequence[_Message], worse: Sequence[_Message]
) -> None:
    _require(asked[-1].role != "assistant", "the input ends with an answer")
    for answers in (better, worse):
        _require(len(answers) == 1, "there is not one answer on each side")
    _require(better != worse, "both answers are the same")


def _check_sharegpt(row: bytes) -> None:
    found = msgspec.json.decode(row, type=_Sharegpt)
    turns = found.conversations
    _require(bool(turns) and len(turns) % 2 == 0, "the turns are no pairs of input and answer")
    for index, turn in enumerate(turns):
        allowed = ("gpt", "function_call") if index % 2 else ("human", "observation")
        _require(turn.speaker in allowed, f"turn {index} is from {turn.speaker}")
        if turn.speaker == "function_call":
            calls = msgspec.json.decode(turn.value)
            for call in calls if isinstance(calls, list) else [calls]:
                msgspec.convert(call, _Function)
    if found.tools:
        msgspec.json.decode(found.tools, type=list[_Offered])


def _check_texts_row(row: bytes) -> None:
    found = msgspec.json.decode(row, type=_Texts)
    _require(bool(found.completion), "the completion is empty")


def _check_labelled(row: bytes) -> None:
    found = msgspec.json.decode(row, type=_Labelled)
    _require(bool(found.label), "the label is empty")


def _check_parquet(row: bytes) -> None:
    found = msgspec.json.decode(row, type=RowColumns)
    _require(bool(found.messages), "there are no messages")
    _require(found.messages[-1].role == "assistant", "the last message is no answer")


def _check_chat(
    messages: Sequence[_Message],
    *,
    roles: str = "system user assistant tool",
    keys: str = "",
    arguments: Literal["text", "parsed", "object"] = "text",
) -> None:
    """Check what all chat formats ask for. `keys`: what a message may have beside the usual."""
    _require(bool(messages), "there are no messages")
    _require(messages[-1].role == "assistant", "the last message is no answer")
    usual = {"role", "content", "tool_calls", "tool_call_id", "weight", *keys.split()}
    if "train" in keys or arguments == "object":
        usual.discard("weight")
    for message in messages:
        _require(message.role in roles.split(), f"the role {message.role} is not known")
        for key in set(message.__struct_fields__) - usual:
            _require(getattr(message, key) is None, f"the key {key} is not known")
        is_answer = message.role == "assistant"
        _require(is_answer or message.weight is None, "a weight stands at what is no answer")
        _require(is_answer or not message.tool_calls, f"a {message.role} message calls tools")
        says = message.content is not None or message.tool_calls or message.refusal
        _require(bool(says), f"a message of the {message.role} says nothing")
        if message.role == "tool":
            _require(message.tool_call_id is not None, "a result names no tool call")
        for call in message.tool_calls:
            _check_arguments(call.function, arguments)


def _check_arguments(function: _Function, form: str) -> None:
    arguments = function.arguments
    if form == "object":
        _require(isinstance(arguments, dict), f"{function.name}'s arguments are no object")
        return
    _require(isinstance(arguments, str), f"{function.name}'s arguments are no text")
    if form == "parsed" and isinstance(arguments, str) and arguments.strip():
        msgspec.json.decode(arguments, type=dict[str, Any])


def _check_texts(messages: Sequence[_Message]) -> None:
    _require(all(isinstance(m.content, str) for m in messages), "a content is no text")


def _check_tools(tools: list[_Tool] | str, *, named: bool) -> None:
    _require(not isinstance(tools, str), "tools are a text")
    for tool in tools:
        if isinstance(tool, _Tool) and named:
            name = tool.function.name
            _require(bool(TOOL_NAME.fullmatch(name)), f"{name!r} is no name for a tool")


def _check_tools_text(tools: list[_Tool] | str | None) -> None:
    if tools:
        _require(isinstance(tools, str), "tools are no text")
        msgspec.json.decode(tools if isinstance(tools, str) else "", type=list[_Tool])


def _check_images(messages: Sequence[_Message], *, remote: bool) -> None:
    count = 0
    for message in messages:
        for part in message.content if isinstance(message.content, list) else ():
            if part.type == "text":
                _require(part.text is not None, "a part has no text")
                continue
            _require(message.role == "user", f"a {message.role} message has an image")
            url = part.image_url.url if part.image_url else ""
            found = _DATA_URL.match(url)
            _require(bool(found) or (remote and not url.startswith("data:")), "no image is read")
            start = found.end() if found else len(url)
            _require((len(url) - start) * 3 // 4 <= IMAGE_BYTES_MAX, "an image is too large")
            count += 1
    _require(count <= IMAGES_MAX, f"there are more than {IMAGES_MAX} images")


def _require_nine(call_id: str) -> None:
    _require(bool(_NINE.fullmatch(call_id)), f"the id {call_id!r} has not nine characters")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise RowError(message)


_CHECKS: dict[str, Callable[[bytes], None]] = {
    "openai": _check_openai,
    "openai-dpo": _check_openai_pair,
    "trl": _check_trl,
    "trl-messages": _check_trl_chat,
    "trl-dpo": _check_trl_pair,
    "axolotl": _check_axolotl,
    "sharegpt": _check_sharegpt,
    "together": _check_together,
    "fireworks": _check_fireworks,
    "mistral": _check_mistral,
    "prompt-completion": _check_texts_row,
    "text-label": _check_labelled,
    "parquet": _check_parquet,
}
