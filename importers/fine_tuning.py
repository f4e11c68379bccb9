"""OpenAI chat fine-tuning JSONL, as `shalt export` and many a tool write it.

A line is `{"messages": […], "tools": […], "parallel_tool_calls": …}`
(https://platform.openai.com/docs/guides/supervised-fine-tuning). Its last assistant message is
the answer, those before it the request; what stands behind it is kept in `imported`. The format
knows neither id nor time; `timestamp`, `created_at` or `created` are believed where they are.
Further short fields are tags, longer ones are kept in `imported`.
"""

from importers.fields import as_tags, first_time_ns, flat_metadata, text_of
from importers.imported import ImportedCall, NotUnderstood, Reading
from importers.messages import choice
from storage.trace import Json
from storage.wire import Object, as_object

# What a fine-tuning line may hold that is part of the request.
_REQUEST_KEYS = ("model", "tools", "functions", "parallel_tool_calls", "response_format")
_TIME_KEYS = ("timestamp", "created_at", "created")
_KNOWN_KEYS = {"messages", "metadata", *_REQUEST_KEYS, *_TIME_KEYS}


def recognise(record: Object) -> bool:
    """Tell whether a record is of this format."""
    return isinstance(record.get("messages"), list)


def read(record: Object) -> Reading:
    """Read a line. Raise NotUnderstood for one that has no answer in it."""
    messages = record.get("messages")
    if not isinstance(messages, list):
        raise NotUnderstood("it has no list of messages")
    roles = [as_object(message).get("role") for message in messages]
    if "assistant" not in roles:
        raise NotUnderstood("none of its messages is an assistant's answer")
    at = len(roles) - 1 - roles[::-1].index("assistant")
    request: Object = {key: record[key] for key in _REQUEST_KEYS if record.get(key) is not None}
    request["messages"] = messages[:at]
    if metadata := flat_metadata(record.get("metadata")):
        request["metadata"] = metadata
    choices: list[Json] = [choice(as_object(messages[at]))]
    response: Object = {"object": "chat.completion", "choices": choices}
    if model := text_of(record, "model"):
        response["model"] = model
    others = {key: value for key, value in record.items() if key not in _KNOWN_KEYS}
    tags, rest = as_tags(others)
    if messages[at + 1 :]:
        rest["messages_after"] = messages[at + 1 :]
    call = ImportedCall(
        request=request,
        response=response,
        started_at_ns=first_time_ns(record, _TIME_KEYS),
        upstream="openai",
        tags=tags,
        rest=rest,
    )
    return Reading([call])
