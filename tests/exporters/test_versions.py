"""Versions of tools and instructions, counted by part, whatever the segments."""

from pathlib import Path

import msgspec
import pytest

from exporters import versions as versions_module
from exporters.selection import Example
from exporters.versions import Versions
from storage.trace import Message, Tool, ToolCall

DATA = Path(__file__).parents[3] / "shared" / "data" / "datasets" / "bfcl_v4.jsonl"
SECOND_NS = 1_000_000_000


def row(
    second: int, system: str = "", tools: tuple[Tool, ...] = (), called: tuple[str, ...] = ()
) -> Example:
    messages = [Message("system", system)] if system else []
    messages.append(Message("user", "hello"))
    calls = tuple(ToolCall(name, "{}") for name in called)
    return Example(
        call_id=f"{second:032x}",
        messages=(*messages, Message("assistant", "hi", tool_calls=calls)),
        tools=tools,
        parallel_tool_calls=None,
        untrained=frozenset(),
        continued=(),
        choice_count=1,
        started_at_ns=second * SECOND_NS,
    )


def test_a_version_says_how_many_rows_have_it_and_since_when() -> None:
    versions = Versions()
    old, new = Tool("find", "Find"), Tool("find", "Find it")
    for second, part, tool in [(3, "train", old), (1, "test", old), (2, "train", new)]:
        versions.count(row(second, tools=(tool,)), part)
    first, other = versions.entry().tools
    assert (first.rows, other.rows) == ({"test": 1, "train": 1}, {"train": 1})
    assert (first.first_at, first.last_at) == ("1970-01-01T00:00:01Z", "1970-01-01T00:00:03Z")
    assert (first.shape, first.full != other.full) == (other.shape, True)


def test_a_clock_in_the_instructions_makes_no_new_version() -> None:
    versions = Versions()
    for second, text in enumerate(["It is 10:31. Be brief.", "It is 11:02. Be brief.", "Be kind."]):
        versions.count(row(second, system=text), "train")
    first, other = versions.entry().templates
    assert (first.begins, first.rows) == ("It is #. Be brief.", {"train": 2})
    assert other.begins == "Be kind."


def test_what_is_odd_about_tools_is_counted() -> None:
    versions = Versions()
    find, other = Tool("find"), Tool("find", parameters={"properties": {"a": {}}})
    versions.count(row(1, tools=(find,), called=("find",)), "train")
    versions.count(row(2, tools=(find, other), called=("open",)), "train", "breaking")
    versions.count(row(3, called=("find",)), "test")
    entry = versions.entry()
    assert (entry.tool_names, entry.names_with_several_shapes) == (1, 1)
    assert entry.called_not_offered == {"test": 1, "train": 1}
    assert (entry.offered_twice, entry.changes) == ({"train": 1}, {"breaking": {"train": 1}})


def test_counts_of_segments_add_up_in_any_order() -> None:
    rows = [
        row(n, f"You are {'abc'[n % 3]}.", (Tool("find", "ab"[n % 2]),), ("x",)) for n in range(12)
    ]
    whole = Versions()
    parts = [Versions() for _ in range(3)]
    for number, one in enumerate(rows):
        whole.count(one, "train", "identical")
        parts[number % 3].count(one, "train", "identical")
    for order in ([0, 1, 2], [2, 0, 1]):
        added = Versions()
        for place in order:
            added.add(parts[place])
        assert msgspec.json.encode(added.entry()) == msgspec.json.encode(whole.entry())
    assert whole.other_tools == {}


def test_versions_that_are_not_named_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions_module, "VERSIONS_HELD_MAX", 3)
    monkeypatch.setattr(versions_module, "VERSIONS_NAMED_MAX", 2)
    versions = Versions()
    for second in range(5):
        versions.count(row(second, system="abcde"[second], tools=(Tool("abcde"[second]),)), "train")
    entry = versions.entry()
    assert (len(entry.tools), entry.other_tools) == (2, {"train": 3})
    assert (len(entry.templates), entry.other_templates) == (2, {"train": 3})


@pytest.mark.skipif(not DATA.exists(), reason="the recorded data sets are not beside the checkout")
def test_names_with_several_schemas_are_found_in_recorded_tools() -> None:
    versions, schemas = Versions(), dict[str, set[bytes]]()
    for number, line in enumerate(DATA.read_bytes().splitlines()):
        offered = msgspec.json.decode(line).get("tools") or []
        functions = [tool["function"] for tool in offered]
        tools = tuple(
            Tool(one["name"], one.get("description", ""), one["parameters"]) for one in functions
        )
        versions.count(row(number, tools=tools), "train")
        for one in functions:
            schemas.setdefault(one["name"], set()).add(msgspec.json.encode(one["parameters"]))
    entry = versions.entry()
    assert entry.tool_names == len(schemas) == 1050
    assert sum(len(found) > 1 for found in schemas.values()) == 214
    assert entry.names_with_several_shapes == 138  # the others differ in texts alone
