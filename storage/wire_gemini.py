"""Gemini: generateContent, its stream, and embedContent, as Google AI and Vertex speak them.

Source: https://ai.google.dev/api/generate-content. A `functionCall` is a tool call with its
arguments as compact JSON text, a `functionResponse` a tool message of its own, named after the
function and, where Google gave one, with the call's id; thoughts are reasoning; what the upstream
ran itself (code, searches) stays as parts, in order. `extra["parts"]` keeps a model's parts as sent
where they hold thoughts, signatures or text after a call. Clients write names in camel or in snake
case, and both are read.

A stream is events, or one JSON array that grows (no `alt=sse`); each chunk adds parts, and texts in
a row are one text, streamed or not. Usage: the prompt's tokens and those of tool results are input;
thoughts are counted beside the candidates by Google, here they are part of the output. The model
stands in the path (storage.derive). Embeddings are as in storage.wire_embeddings. Limits are those
of storage.wire.
"""

import json
from collections.abc import Iterable, Iterator

from storage.trace import Choice, Json, Message, Part, Role, Tool, ToolCall, Understood, Usage
from storage.wire import (
    EVENTS_MAX,
    Notes,
    Object,
    as_array,
    as_count,
    as_object,
    as_text,
    content_of,
    error_of,
    join,
    read_object,
    read_stream,
    rest,
)
from storage.wire_embeddings import with_vectors

_ROLES: dict[str, Role] = {
    "user": "user",
    "model": "assistant",
    "function": "user",
    "system": "system",
}
_REQUEST_KEYS = frozenset(
    {"model", "contents", "content", "requests", "tools", "systemInstruction", "system_instruction"}
)
_ANSWER_KEYS = frozenset({"candidates", "modelVersion", "responseId", "error"})
_CANDIDATE_KEYS = frozenset({"index", "content", "finishReason", "logprobsResult"})
_EMBEDDING_KEYS = frozenset({"embedding", "embeddings"})
_MEDIA_KINDS = {"image": "image", "audio": "audio"}


def understand(request: bytes, response: bytes, streamed: bool) -> Understood:
    """Understand a Gemini call from its two bodies, decoded; either may be empty or broken.

    `streamed`: the response is an event stream; an array of chunks is found to be one here. Never
    raises for what the bodies hold.
    """
    notes: Notes = []
    asked = _read_request(read_object(request, "the request", notes), notes)
    if not response:
        return join(asked, Understood(), streamed, notes)
    in_array = not streamed and response[:64].lstrip().startswith(b"[")
    if streamed:
        chunks = [chunk for _, chunk in read_stream(response, notes).objects]
    elif in_array:
        chunks = list(_elements(response, notes))
    else:
        chunks = [read_object(response, "the answer", notes)]
    answer = _assemble(chunks)
    finished = [as_object(c).get("finishReason") for c in as_array(answer.get("candidates"))]
    ended = bool(answer) and not (streamed or in_array)
    ended |= (bool(finished) and all(finished)) or _is_blocked(answer)
    if not ended and answer.get("error") is None:
        notes.append("the stream broke off before its end")
    return join(asked, _read_answer(answer, ended, notes), streamed or in_array, notes)


def _elements(response: bytes, notes: Notes) -> Iterator[Object]:
    """Yield the objects of an array as far as they are whole."""
    text = response.decode("utf-8", "replace")
    scan = json.JSONDecoder(strict=False).raw_decode
    at = text.index("[") + 1
    for _ in range(EVENTS_MAX):
        while at < len(text) and text[at] in ", \r\n\t":
            at += 1
        if text.startswith("]", at):
            return
        try:
            _, end = scan(text, at)
        except (ValueError, RecursionError):
            break
        yield read_object(text[at:end].encode("utf-8", "replace"), "a chunk", notes)
        at = end
    notes.append("the array of chunks is not whole")


def _read_request(request: Object, notes: Notes) -> Understood:
    messages: list[Message] = []
    system = _get(request, "systemInstruction")
    if system is not None:
        messages.append(Message("system", _content(system)))
    embedded = [request, *map(as_object, as_array(request.get("requests")))]
    contents = request.get("contents")
    if contents is not None:
        for value in contents if isinstance(contents, list) else [contents]:
            messages += _messages(value, notes)
    elif any("content" in each for each in embedded):
        given = [each["content"] for each in embedded if "content" in each]
        messages += [Message("user", _content(each)) for each in given]
    elif request:
        notes.append("the request has no contents")
    return Understood(
        request_model=as_text(request.get("model")).removeprefix("models/"),
        messages=tuple(messages),
        tools=tuple(_tools(request)),
        settings=rest(request, _REQUEST_KEYS) or {},
    )


def _get(value: Object, name: str) -> Json:
    """Look up a camel-case name, also as it is written in snake case."""
    found = value.get(name)
    if found is not None:
        return found
    return value.get("".join(f"_{c.lower()}" if c.isupper() else c for c in name))


def _tools(request: Object) -> Iterable[Tool]:
    for value in as_array(request.get("tools")):
        tool = as_object(value)
        declared = as_array(_get(tool, "functionDeclarations"))
        for function in map(as_object, declared):
            schema = _get(function, "parametersJsonSchema")
            yield Tool(
                name=as_text(function.get("name")),
                description=as_text(function.get("description")),
                parameters=function.get("parameters") if schema is None else schema,
                raw=function,
            )
        for name, setting in tool.items():
            if name not in ("functionDeclarations", "function_declarations"):
                yield Tool(name=name, kind=name, raw={name: setting})


def _messages(value: Json, notes: Notes) -> Iterable[Message]:
    """One content: what the model said, or an input divided at the results of functions."""
    if not isinstance(value, dict):
        yield Message("user", _content(value))
        return
    said = value.get("role", "user")
    role = _ROLES.get(said) if isinstance(said, str) else None
    extra: Object = {} if role is not None else {"role": said}
    if role is None:
        notes.append("a message has a role of no known kind, read as user")
    if role == "assistant":
        yield _assistant(_parts_of(value))
        return
    parts: list[Part] = []
    divided = False
    for each in _parts_of(value):
        result = _get(as_object(each), "functionResponse")
        if isinstance(result, dict):
            if parts:
                yield Message(role or "user", content_of(parts), extra=extra or None)
            parts, divided = [], True
            yield Message(
                role="tool",
                content=as_text(result.get("response")),
                tool_call_id=as_text(result.get("id")),
                name=as_text(result.get("name")),
                extra=rest(result, {"response", "id", "name"}),
            )
        else:
            parts.append(_part(each))
    if parts or not divided:
        yield Message(role or "user", content_of(parts), extra=extra or None)


def _parts_of(content: Object) -> list[Json]:
    parts = content.get("parts")
    return parts if isinstance(parts, list) else [] if parts is None else [parts]


def _content(value: Json) -> str | tuple[Part, ...] | None:
    if isinstance(value, dict):
        pieces = _parts_of(value) or ([value] if "text" in value else [])
        return content_of([_part(each) for each in pieces])
    if isinstance(value, list):
        return content_of([_part(each) for each in value])
    return as_text(value)


def _part(value: Json) -> Part:
    if not isinstance(value, dict):
        return Part("text", as_text(value))
    text = value.get("text")
    if isinstance(text, str):
        return Part("text", text, value if len(value) > 1 else None)
    for name in ("inlineData", "fileData"):
        sent = _get(value, name)
        if isinstance(sent, dict):
            media = as_text(_get(sent, "mimeType")).partition("/")[0]
            match _MEDIA_KINDS.get(media):
                case "image":
                    return Part("image", raw=value)
                case "audio":
                    return Part("audio", raw=value)
            return Part("file", raw=value)
    return Part("other", raw=value)


def _assistant(values: list[Json]) -> Message:
    parts: list[Part] = []
    calls: list[ToolCall] = []
    reasoning: list[str] = []
    plain = True
    for value in values:
        part = as_object(value)
        call = _get(part, "functionCall")
        plain &= _get(part, "thoughtSignature") is None
        if isinstance(call, dict):
            arguments = call.get("args")
            calls.append(
                ToolCall(
                    name=as_text(call.get("name")),
                    arguments="{}" if arguments is None else as_text(arguments),
                    id=as_text(call.get("id")),
                    raw=part if rest(call, {"name", "args", "id"}) else None,
                )
            )
        elif part.get("thought") is True and isinstance(part.get("text"), str):
            plain = False
            reasoning.append(as_text(part["text"]))
        elif part.get("text") == "" and "text" in part:
            continue  # it only brings a signature
        else:
            plain &= not calls
            parts.append(_part({"text": part["text"]} if "text" in part else value))
    return Message(
        role="assistant",
        content=content_of(parts),
        tool_calls=tuple(calls),
        reasoning="\n\n".join(reasoning),
        extra=None if plain else {"parts": values},
    )


def _assemble(chunks: list[Object]) -> Object:
    """Assemble chunks to the answer they add up to, texts in a row joined; also of one chunk."""
    answer: Object = {}
    usage: Object = {}
    candidates: dict[int, Object] = {}
    parts: dict[int, list[Json]] = {}
    for chunk in chunks:
        answer.update({k: v for k, v in chunk.items() if k != "candidates" and v is not None})
        usage.update(rest(as_object(chunk.get("usageMetadata")), set()) or {})
        for position, value in enumerate(as_array(chunk.get("candidates"))):
            candidate = as_object(value)
            said = candidate.get("index")
            index = said if isinstance(said, int) else position
            candidates.setdefault(index, {}).update(rest(candidate, {"content"}) or {})
            parts.setdefault(index, []).extend(_parts_of(as_object(candidate.get("content"))))
    if usage:
        answer["usageMetadata"] = usage
    if candidates:
        answer["candidates"] = [
            {**candidates[index], "index": index, "content": {"parts": _joined(parts[index])}}
            for index in sorted(candidates)
        ]
    return answer


def _joined(parts: list[Json]) -> list[Json]:
    """Join texts in a row, thoughts apart from what is said; a signature ends its text."""
    joined: list[Json] = []
    pieces: list[str] = []
    thought = False

    def put_text() -> None:
        if pieces:
            text = "".join(pieces)
            joined.append({"text": text, "thought": True} if thought else {"text": text})
            pieces.clear()

    for part in parts:
        grows = isinstance(part, dict) and part.keys() <= {"text", "thought"}
        text = as_object(part).get("text") if grows else None
        if isinstance(text, str):
            if pieces and (as_object(part).get("thought") is True) != thought:
                put_text()
            thought = as_object(part).get("thought") is True
            pieces.append(text)
        else:
            put_text()
            joined.append(part)
    put_text()
    return joined


def _read_answer(answer: Object, ended: bool, notes: Notes) -> Understood:
    error = answer.get("error")
    error_code, error_message = error_of(error)
    if isinstance(error, dict):  # its `code` repeats the HTTP status
        error_code = as_text(error.get("status")) or error_code
    embedded = [answer.get("embedding"), *as_array(answer.get("embeddings"))]
    vectors = [each.get("values") for each in embedded if isinstance(each, dict)]
    choices = tuple(_choice(as_object(each)) for each in as_array(answer.get("candidates")))
    if answer and not choices and not vectors and error is None:
        blocked = "the prompt was blocked"
        notes.append(blocked if _is_blocked(answer) else "the answer has no candidates")
    extra = rest(answer, _ANSWER_KEYS | _EMBEDDING_KEYS)
    if rest(as_object(error), {"message", "status", "code"}):
        extra = {**(extra or {}), "error": error}
    usage = as_object(answer.get("usageMetadata"))
    tier = as_text(usage.get("serviceTier")) or as_text(usage.get("trafficType"))
    return Understood(
        response_model=as_text(answer.get("modelVersion")),
        choices=choices,
        usage=_usage(usage),
        provider_id=as_text(answer.get("responseId")),
        service_tier=tier.lower().removeprefix("on_demand_"),
        error_code=error_code,
        error_message=error_message,
        ended=ended,
        extra=with_vectors(extra, vectors, packed=False),
    )


def _is_blocked(answer: Object) -> bool:
    return as_object(answer.get("promptFeedback")).get("blockReason") is not None


def _choice(raw: Object) -> Choice:
    return Choice(
        message=_assistant(_parts_of(as_object(raw.get("content")))),
        finish_reason=as_text(raw.get("finishReason")),
        index=as_count(raw.get("index")) or 0,
        logprobs=raw.get("logprobsResult"),
        extra=rest(raw, _CANDIDATE_KEYS),
    )


def _usage(raw: Object) -> Usage:
    prompt = as_count(raw.get("promptTokenCount"))
    results = as_count(raw.get("toolUsePromptTokenCount"))
    said = as_count(raw.get("candidatesTokenCount"))
    thoughts = as_count(raw.get("thoughtsTokenCount"))
    return Usage(
        input_tokens=_sum(prompt, results),
        output_tokens=_sum(said, thoughts),
        cached_tokens=as_count(raw.get("cachedContentTokenCount")),
        reasoning_tokens=thoughts,
        audio_input_tokens=_of_audio(raw.get("promptTokensDetails")),
        audio_output_tokens=_of_audio(raw.get("candidatesTokensDetails")),
    )


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return as_count(sum(known)) if known else None


def _of_audio(details: Json) -> int | None:
    for value in as_array(details):
        detail = as_object(value)
        if detail.get("modality") == "AUDIO":
            return as_count(detail.get("tokenCount"))
    return None
