"""Real conversations as examples, and what a rendered row must show of them."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from exporters.formats import FORMATS
from exporters.row_shape import PLAIN, Shape
from exporters.selection import Example, Reason
from storage.trace import Json
from tests.exporters.rows import recorded_example, understood
from tests.shared import data_set

DATA_SETS = (
    "sgd",
    "glaive_toolcall_en",
    "glaive_toolcall_zh",
    "tau_bench_airline",
    "bfcl_v4",
    "gsm8k_models",
    "xquad",
    "mgsm",
)
# Conversations of a data set, evenly spread: every language, every kind of call. All of them:
# benchmarks/format_loaders.py.
EACH = 60
ENCODED = 12  # of these, for loaders that turn every text into tokens
# The types of Python, Java and JavaScript that the Berkeley data has in the place of JSON's.
_TYPES = {"dict": "object", "float": "number", "double": "number", "long": "integer"} | {
    "tuple": "array",
    "ArrayList": "array",
    "Array": "array",
    "HashMap": "object",
    "any": "string",
    "char": "string",
    "String": "string",
    "Boolean": "boolean",
    "Bigint": "integer",
    "byte": "integer",
    "short": "integer",
    "HashSet": "array",
    "Set": "array",
}


@cache
def examples_of(name: str) -> tuple[Example, ...]:
    """Read some conversations of a data set, ending with an answer; skip where it is missing."""
    path = data_set(name)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row for row in rows if _has_answer(row)]
    found = [one for row in rows[:: max(1, len(rows) // EACH)] if (one := _example(row))]
    assert len(found) >= 50
    return tuple(found)


def fitting(
    format_name: str, name: str, shape: Shape = PLAIN
) -> tuple[list[tuple[Example, bytes]], dict[Reason, int]]:
    """Return the examples that fit a format with their rows, and why the others do not."""
    format = FORMATS[format_name]
    found: list[tuple[Example, bytes]] = []
    unfit: dict[Reason, int] = {}
    for one in examples_of(name):
        call = understood(*one.messages, tools=one.tools)
        reason = format.unfit(call, shape) or format.unfit_row(one, shape)
        if reason:
            unfit[reason] = unfit.get(reason, 0) + 1
        else:
            found.append((one, format.row(one, shape)))
    return found, unfit


def assert_shown(one: Example, rendered: str, *, calls: bool = True, texts: bool = True) -> None:
    """Check that every text, tool name and argument value of an example is in what was rendered.

    A template may trim a text, and may write it as JSON.
    """
    squeezed = "".join(rendered.split())
    for message in one.messages:
        if message.text and (texts or not message.tool_calls):
            assert _is_in(message.text, squeezed), message.text
        for call in message.tool_calls if calls else ():
            assert call.name in rendered, call.name
            for value in leaves(json.loads(call.arguments)):
                assert _is_in(value, squeezed), value
    for tool in one.tools:
        assert tool.name in rendered, tool.name


def leaves(value: Json) -> Iterator[str]:
    """Yield every text, number and word in a JSON value, written as JSON does."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value if isinstance(value, str) else json.dumps(value)


def _is_in(text: str, squeezed: str) -> bool:
    plain = "".join(text.split())
    if plain[:1] in (
        "{",
        "[",
    ):  # mistral-common 3 reads results that are JSON, and writes them anew
        try:
            return all(_is_in(leaf, squeezed) for leaf in leaves(json.loads(text)))
        except ValueError:
            pass
    written = "".join(json.dumps(text, ensure_ascii=False)[1:-1].split())
    escaped = json.dumps(text, ensure_ascii=False)[1:-1]
    for space in ("\\n", "\\t", "\\r"):
        escaped = escaped.replace(space, "")
    return any(one in squeezed for one in (plain, written, "".join(escaped.split())))


def _has_answer(row: dict[str, Any]) -> bool:
    labels = row.get("labels") or {}
    return bool(labels.get("ground_truth", True))


def _example(row: dict[str, Any]) -> Example | None:
    messages, tools = row["messages"], row.get("tools") or []
    labels = row.get("labels") or {}
    if "ground_truth" in labels:
        tools = [_repaired(tool) for tool in tools]
        messages = [*messages, _accepted_calls(labels["ground_truth"])]
    elif "answer" in labels:
        messages = [*messages, {"role": "assistant", "content": labels["answer"]}]
    while messages and messages[-1]["role"] != "assistant":
        messages = messages[:-1]
    if len(messages) < 2:
        return None
    return recorded_example(messages, tools)


def _accepted_calls(truth: list[dict[str, dict[str, list[Json]]]]) -> dict[str, Json]:
    calls: list[Json] = []
    for number, one in enumerate(truth):
        for name, values in one.items():
            arguments = {key: said[0] for key, said in values.items() if said and said[0] != ""}
            function: Json = {
                "name": _name(name),
                "arguments": json.dumps(arguments, ensure_ascii=False),
            }
            calls.append({"id": f"call_{number}", "type": "function", "function": function})
    return {"role": "assistant", "content": None, "tool_calls": calls}


def _repaired(tool: dict[str, Any]) -> Json:
    function = tool["function"]
    parameters = _with_json_types(function["parameters"])
    return {
        "type": "function",
        "function": {**function, "name": _name(function["name"]), "parameters": parameters},
    }


def _with_json_types(schema: Json) -> Json:
    if isinstance(schema, list):
        return [_with_json_types(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _TYPES.get(value, value)
        if key == "type" and isinstance(value, str)
        else _with_json_types(value)
        for key, value in schema.items()
        if (key, value) != ("default", None)  # Python's; gpt-oss' template adds it to a text
    }


def _name(name: str) -> str:
    return name.replace(".", "_")
