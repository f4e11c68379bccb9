"""Attributes that spell a nested value out by their names, put together again.

OpenInference and OpenLLMetry write a list of messages as one attribute a field:
`llm.input_messages.0.message.role`, `gen_ai.prompt.0.content`. Names and meanings:
https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md and
https://www.traceloop.com/docs/openllmetry/contributing/semantic-conventions.

Limit: names are divided at LEVELS_MAX dots, the rest is one name.
"""

import re

from importers.fields import parsed
from importers.messages import chat_messages, choice, tool_of
from storage.trace import Json
from storage.wire import Object, as_array, as_object, as_text

LEVELS_MAX = 16


class Attributes:
    """The attributes of a span; what is taken from them is no longer in `rest`."""

    def __init__(self, attributes: Object) -> None:
        self.rest: Object = dict(attributes)

    def take(self, *names: str) -> Json:
        """Take all of these; return the first that holds anything."""
        found = [self.rest.pop(name, None) for name in names]
        return next((value for value in found if value not in (None, "", [])), None)

    def take_list(self, prefix: str) -> list[Json]:
        """Take what is numbered below `prefix` (`prefix.0.…`), put together, in order."""
        numbered = re.compile(re.escape(prefix) + r"\.\d")
        root: Object = {}
        for name in [name for name in self.rest if numbered.match(name)]:
            *steps, last = name.removeprefix(prefix + ".").split(".", LEVELS_MAX)
            node = root
            for step in steps:
                below = node.setdefault(step, {})
                if not isinstance(below, dict):  # a value and values below it: keep both
                    below = node[step] = {"": below}
                node = below
            node[last] = self.rest.pop(name)
        return as_array(_with_lists(root))


def _with_lists(value: Json) -> Json:
    """Make lists of objects whose names are numbers."""
    if not isinstance(value, dict):
        return value
    children = {name: _with_lists(child) for name, child in value.items()}
    if children and all(name.isdecimal() for name in children):
        return [children[name] for name in sorted(children, key=int)]
    return children


def openllmetry_messages(attributes: Attributes) -> list[Object]:
    """Take the prompts as OpenLLMetry writes them."""
    prompts = attributes.take_list("gen_ai.prompt")
    return [message for prompt in prompts for message in _spoken(as_object(prompt), "user")]


def openllmetry_choices(attributes: Attributes) -> list[Object]:
    """Take the completions as OpenLLMetry writes them."""
    choices: list[Object] = []
    for value in attributes.take_list("gen_ai.completion"):
        completion = as_object(value)
        for message in _spoken(completion, "assistant")[-1:]:
            choices.append(choice(message, len(choices), completion))
    return choices


def openllmetry_tools(attributes: Attributes) -> list[Json]:
    """Take the tools that were offered as OpenLLMetry writes them."""
    return [tool_of(tool) for tool in attributes.take_list("llm.request.functions")]


def openinference_messages(attributes: Attributes) -> list[Object]:
    """Take the messages of a request as OpenInference writes them."""
    found = attributes.take_list("llm.input_messages")
    return [_unwrapped(as_object(message)) for message in found]


def openinference_choices(attributes: Attributes) -> list[Object]:
    """Take the messages of an answer as OpenInference writes them."""
    found = attributes.take_list("llm.output_messages")
    return [choice(_unwrapped(as_object(each)), index) for index, each in enumerate(found)]


def openinference_tools(attributes: Attributes) -> list[Json]:
    """Take the tools that were offered as OpenInference writes them."""
    tools = [as_object(each) for each in attributes.take_list("llm.tools")]
    schemas = [as_object(tool.get("tool")).get("json_schema") for tool in tools]
    return [tool_of(schema) for schema in schemas if schema is not None]


def _spoken(given: Object, role: str) -> list[Object]:
    """Make messages of a prompt or a completion; content may be parts written as JSON text."""
    message = {"role": role, **given}
    content = parsed(message.get("content"))
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        message["content"] = content
    message.setdefault("content", None)
    return chat_messages([message], role)


def _unwrapped(given: Object) -> Object:
    """Make a message of OpenInference's, in which every value stands under its kind's name."""
    message = dict(as_object(given.get("message")))
    contents = as_array(message.pop("contents", None))
    calls = [as_object(as_object(call).get("tool_call")) for call in as_array(
        message.pop("tool_calls", None)
    )]  # fmt: skip
    if "function_call_name" in message:
        name, arguments = (
            message.pop(f"function_call_{key}", "") for key in ("name", "arguments_json")
        )
        calls.append({"function": {"name": name, "arguments": arguments}})
    parts = [_part(as_object(as_object(each).get("message_content"))) for each in contents]
    if parts:
        message["content"] = [*parts]
    if calls:
        message["tool_calls"] = [*calls]
    message.setdefault("content", None)
    role = as_text(message.get("role")) or "user"
    return chat_messages([{**message, "role": role}])[0]


def _part(content: Object) -> Json:
    image = as_object(as_object(content.get("image")).get("image"))
    if url := as_text(image.get("url")):
        return {"type": "image_url", "image_url": {"url": url}}
    return content
