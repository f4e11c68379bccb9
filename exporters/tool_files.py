"""The tools an application offers now, from a JSON file: `--current tools.json`.

A list of definitions as any of the dialects writes them, or an object that holds the list under
`tools` (or `functions`), so that the body of a request will do:

    OpenAI chat      {"type": "function", "function": {"name": …, "parameters": …}}
    Responses        {"type": "function", "name": …, "parameters": …}
    Anthropic        {"name": …, "input_schema": …}
    Gemini           {"functionDeclarations": [{"name": …, "parameters": …}, …]}

Only functions can be compared: tools that the upstream runs itself are not looked at. Every schema
must be valid, for recorded arguments are checked against it; nothing is fetched from the network.
"""

from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import msgspec

from exporters.tool_changes import schema_of
from storage.trace import Json, Tool

FILE_BYTES_MAX = 16 * 2**20
TOOLS_MAX = 10_000

Object = dict[str, Json]


class ToolsError(ValueError):
    """A file of tools cannot be used; the message says what is wrong with it."""


def read_text(path: Path) -> str:
    """Read the text of a file of tools. Raises ToolsError unless `read_tools` would take it."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ToolsError(f"{path}: {error.strerror}") from error
    if len(data) > FILE_BYTES_MAX:
        raise ToolsError(f"{path} is larger than {FILE_BYTES_MAX:,} bytes")
    try:
        read_tools(data)
    except ToolsError as error:
        raise ToolsError(f"{path}: {error}") from error
    return data.decode()


def read_tools(data: bytes) -> tuple[Tool, ...]:
    """Read the current tools from JSON. Raises ToolsError for what is no tool, a name that is
    there twice, and a schema that is none."""
    try:
        value: Json = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ToolsError(f"not JSON: {error}") from error
    if isinstance(value, dict):
        value = value.get("tools", value.get("functions", value))
    if not isinstance(value, list):
        raise ToolsError("write a list of tool definitions, or an object with such a list as tools")
    tools: dict[str, Tool] = {}
    for tool in _tools(value):
        if tool.name in tools:
            raise ToolsError(f"tool {tool.name!r} is there twice")
        if len(tools) == TOOLS_MAX:
            raise ToolsError(f"there are more than {TOOLS_MAX:,} tools")
        validator_of(tool)
        tools[tool.name] = tool
    if not tools:
        raise ToolsError("there is no function among the tools")
    return tuple(tools.values())


def validator_of(tool: Tool) -> jsonschema_rs.Validator:
    """Make what checks arguments against a tool's schema. Raises ToolsError for a wrong schema."""
    try:
        return jsonschema_rs.validator_for(schema_of(tool), offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ToolsError(f"the parameters of tool {tool.name!r} are no schema: {reason}") from error


def _tools(values: list[Json]) -> Iterator[Tool]:
    for number, value in enumerate(values, 1):
        if not isinstance(value, dict):
            raise ToolsError(f"tool {number} is not an object")
        declared = value.get("functionDeclarations", value.get("function_declarations"))
        if isinstance(declared, list):
            for one in declared:
                yield _tool(number, one)
        elif isinstance(value.get("function"), dict):
            yield _tool(number, value["function"])
        elif "name" in value and ("input_schema" in value or _is_function(value)):
            yield _tool(number, value)
        elif _is_function(value):
            raise ToolsError(f"tool {number} has no name")


def _is_function(value: Object) -> bool:
    return value.get("type", "function") == "function"


def _tool(number: int, value: Json) -> Tool:
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(name, str) or not name:
        raise ToolsError(f"tool {number} has no name")
    description, strict = value.get("description"), value.get("strict")
    names = ("parameters", "input_schema", "parametersJsonSchema")
    parameters = next((value[key] for key in names if value.get(key) is not None), None)
    if not isinstance(parameters, dict | None):
        raise ToolsError(f"the parameters of tool {name!r} are not an object")
    return Tool(
        name=name,
        description=description if isinstance(description, str) else "",
        parameters=parameters,
        raw={"strict": strict} if isinstance(strict, bool) else None,
    )
