"""The current tools read from a file, in every dialect, and what is wrong with others."""

from pathlib import Path

import msgspec
import pytest

from exporters.tool_files import FILE_BYTES_MAX, ToolsError, read_text, read_tools
from storage.trace import Json

PARAMETERS: Json = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    "definition",
    [
        {"type": "function", "function": {"name": "find", "parameters": PARAMETERS}},
        {"type": "function", "name": "find", "parameters": PARAMETERS},
        {"name": "find", "input_schema": PARAMETERS},
        {"type": "custom", "name": "find", "input_schema": PARAMETERS},
        {"functionDeclarations": [{"name": "find", "parameters": PARAMETERS}]},
    ],
)
def test_every_dialect_is_read(definition: Json) -> None:
    (tool,) = read_tools(msgspec.json.encode([definition]))
    assert (tool.name, tool.parameters) == ("find", PARAMETERS)
    assert read_tools(msgspec.json.encode({"tools": [definition]})) == (tool,)


def test_tools_that_the_upstream_runs_are_not_looked_at() -> None:
    tools: Json = [{"type": "web_search"}, {"name": "find", "description": "Find", "strict": True}]
    (tool,) = read_tools(msgspec.json.encode(tools))
    assert (tool.name, tool.description, tool.raw) == ("find", "Find", {"strict": True})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "not JSON"),
        (b"7", "write a list of tool definitions"),
        (b"[]", "there is no function"),
        (b"[7]", "tool 1 is not an object"),
        (b'[{"name": "a"}, {"type": "function"}]', "tool 2 has no name"),
        (b'[{"function": {"name": 7}}]', "tool 1 has no name"),
        (b'[{"name": "a"}, {"name": "a"}]', "'a' is there twice"),
        (b'[{"name": "a", "parameters": "x"}]', "are not an object"),
        (b'[{"name": "a", "parameters": {"type": "dict"}}]', "'a' are no schema"),
        (b'[{"name": "a", "parameters": {"$ref": "http://localhost/"}}]', "'a' are no schema"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tools.json"
    path.write_bytes(data)
    with pytest.raises(ToolsError, match=message) as error:
        read_text(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolsError, match="No such file"):
        read_text(tmp_path / "none.json")
    large = tmp_path / "large.json"
    large.touch()
    with large.open("r+b") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(ToolsError, match="larger than"):
        read_text(large)


def test_the_text_of_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "tools.json"
    path.write_text('[{"name": "größe"}]', encoding="utf-8")
    assert read_text(path) == '[{"name": "größe"}]'
