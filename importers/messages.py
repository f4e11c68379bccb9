"""Messages in the shapes tools log them, as messages of a chat completion.

Known are: OpenAI's own; the parts of OpenTelemetry's GenAI conventions
(https://github.com/open-telemetry/semantic-conventions-genai, gen-ai-input-messages.json);
LangChain's `type: human` and tool calls with `args`; Anthropic's and Gemini's blocks, which stay
content parts as they are; a plain text, which is what a user said or the model answered.
What a message holds beyond that stays in it under its own name.
"""

from collections.abc import Iterable

from importers.fields import parsed
from storage.trace import Json
from storage.wire import Object, as_array, as_object, as_text, write_json

_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "bot": "assistant"}
_FINISH_REASONS = {"tool_call": "tool_calls"}  # OpenTelemetry's word and the dialect's
_MEDIA = {"image": "image_url", "audio": "input_audio"}


def chat_messages(value: Json, role: str = "user") -> list[Object]:
    """Make messages of a value: an array of them, one of them, or a text that `role` said."""
    written, value = value, parsed(value)
    if value is None or value == "" or value == []:
        return []
    if isinstance(value, list) and all(_is_message(each) for each in value):
        return [message for each in value for message in _message(as_object(each), role)]
    if isinstance(value, dict) and _is_message(value):
        return _message(value, role)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return [{"role": role, "content": as_text(each)} for each in value]
    if isinstance(value, list) and all(isinstance(each, list) for each in value):
        return [message for each in value for message in chat_messages(each, role)]
    return [{"role": role, "content": as_text(written)}]  # a text that is JSON stays as it is


def request_of(value: Json) -> Object:
    """Make a request of what a tool logged as input: messages, or a whole request."""
    written, value = value, parsed(value)
    if isinstance(value, dict) and not _is_message(value):
        for key in ("messages", "input_messages"):
            if isinstance(value.get(key), list):
                others = {name: each for name, each in value.items() if name != key}
                return {"messages": _listed(chat_messages(value[key])), **others}
    return {"messages": _listed(chat_messages(written))}


def choices_of(value: Json) -> list[Object]:
    """Make choices of what a tool logged as output; several messages are several choices."""
    written, value = value, parsed(value)
    if isinstance(value, dict) and isinstance(value.get("choices"), list):
        return [as_object(choice) for choice in as_array(value["choices"])]
    if isinstance(value, list) and all(_is_message(each) for each in value):
        found = [(_message(as_object(each), "assistant"), as_object(each)) for each in value]
        answers = [(messages[-1], given) for messages, given in found if messages]
    else:
        messages = chat_messages(written, "assistant")
        answers = [(message, as_object(value)) for message in messages[-1:]]
    return [choice(message, index, given) for index, (message, given) in enumerate(answers)]


def choice(message: Object, index: int = 0, given: Object | None = None) -> Object:
    """Make a choice of an answer; its finish reason is what `given` says, else what it shows."""
    said = as_text((given or {}).get("finish_reason"))
    shown = "tool_calls" if message.get("tool_calls") else "stop"
    kept = {key: value for key, value in message.items() if key != "finish_reason"}
    return {
        "index": index,
        "message": kept,
        "finish_reason": finish_reason(said) or shown,
    }


def finish_reason(said: str) -> str:
    """Say a finish reason in the words of a chat completion."""
    return _FINISH_REASONS.get(said, said)


def system_messages(value: Json) -> list[Object]:
    """Make system messages of instructions: a text, or parts."""
    value = parsed(value)
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        return _message({"role": "system", "parts": value}, "system")
    return chat_messages(value, "system")


def tool_of(value: Json) -> Json:
    """Write a tool as a chat completion offers it: flat definitions go under `function`."""
    tool = as_object(parsed(value))
    if "function" in tool or as_text(tool.get("type") or "function") != "function":
        return tool
    function = {key: each for key, each in tool.items() if key != "type"}
    if "input_schema" in function and "parameters" not in function:
        function["parameters"] = function.pop("input_schema")
    function["parameters"] = parsed(function.get("parameters"))
    return {"type": "function", "function": function}


def _listed(messages: list[Object]) -> Json:
    return [*messages]


def _is_message(value: Json) -> bool:
    if not isinstance(value, dict):
        return False
    speaks = "role" in value or value.get("type") in ("human", "ai", "system", "tool")
    return speaks and bool({"content", "parts", "tool_calls", "data", "refusal"} & value.keys())


def _message(given: Object, default_role: str) -> list[Object]:
    """Make messages of one: the results of several tools are a message each."""
    if "role" not in given and isinstance(given.get("data"), dict):
        given = {"type": given.get("type"), **as_object(given["data"])}
    message = dict(given)
    said = as_text(message.get("role") or message.get("type"))
    message["role"] = _ROLES.get(said, said) or default_role
    if "role" not in given:
        message.pop("type", None)
    if isinstance(message.get("parts"), list):
        parts = as_array(message.pop("parts"))
        return _from_parts(message, [as_object(part) for part in parts])
    if calls := as_array(parsed(message.get("tool_calls"))):
        message["tool_calls"] = [_tool_call(as_object(call)) for call in calls]
    elif "tool_calls" in message:
        del message["tool_calls"]
    message.setdefault("content", None)
    return [message]


def _tool_call(call: Object) -> Json:
    """Write a tool call as a chat completion does; one that is stays as it is."""
    function = as_object(call.get("function"))
    if function:
        arguments = function.get("arguments")
        written = arguments if isinstance(arguments, str) else write_json(arguments)
        return {"type": "function", **call, "function": {**function, "arguments": written}}
    arguments = next((call[key] for key in ("arguments", "args", "input") if key in call), None)
    known = ("type", "name", "arguments", "args", "input")
    others = {key: value for key, value in call.items() if key not in known}
    written = "" if arguments is None else as_text(arguments)
    name = as_text(call.get("name"))
    return {**others, "type": "function", "function": {"name": name, "arguments": written}}


def _from_parts(message: Object, parts: Iterable[Object]) -> list[Object]:
    """Make messages of OpenTelemetry's parts, in the order they have."""
    content: list[Json] = []
    calls: list[Json] = []
    reasoning: list[str] = []
    results: list[Object] = []
    for part in parts:
        kind = as_text(part.get("type")) or ("text" if "text" in part else "")
        if kind == "text":
            text = as_text(part["content"] if "content" in part else part.get("text"))
            more = {k: v for k, v in part.items() if k not in ("type", "content", "text")}
            content.append({"type": "text", "text": text, **more})
        elif kind == "tool_call":
            calls.append(_tool_call(part))
        elif kind == "tool_call_response":
            said = next((part[key] for key in ("response", "result") if key in part), None)
            result = {"role": "tool", "tool_call_id": part.get("id"), "content": as_text(said)}
            known = ("type", "id", "response", "result")
            results.append(result | {k: v for k, v in part.items() if k not in known})
        elif kind in ("reasoning", "thinking"):
            reasoning.append(as_text(part.get("content")))
        else:
            content.append(_media(kind, part))
    if reasoning:
        message["reasoning_content"] = "\n\n".join(reasoning)
    if calls:
        message["tool_calls"] = calls
    if not (content or calls or reasoning or not results):
        return results
    message["content"] = _content(content)
    # Results answer the calls before them, so what a user adds in the same turn stands after.
    return [*results, message]


def _content(parts: list[Json]) -> Json:
    """One plain text is a string, no part at all null, as chat completions are mostly written."""
    if not parts:
        return None
    only = as_object(parts[0])
    return only["text"] if len(parts) == 1 and only.keys() == {"type", "text"} else parts


def _media(kind: str, part: Object) -> Json:
    """Write an image or a recording as a chat completion does; any other part as it is."""
    wanted = _MEDIA.get(as_text(part.get("modality")))
    mime_type = as_text(part.get("mime_type"))
    if kind == "uri" and wanted == "image_url":
        return {"type": wanted, "image_url": {"url": part.get("uri")}}
    if kind == "blob" and wanted == "image_url":
        url = f"data:{mime_type or 'image/png'};base64,{as_text(part.get('content'))}"
        return {"type": wanted, "image_url": {"url": url}}
    if kind == "blob" and wanted == "input_audio":
        form = mime_type.rpartition("/")[2]
        return {"type": wanted, "input_audio": {"data": part.get("content"), "format": form}}
    return part
