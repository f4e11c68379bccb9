"""A set of tools is the same in any order, and each tool is known by its own hash."""

import json

from storage.tool_sets import NO_TOOLS, tool_set_of
from storage.trace import Tool

FIND = Tool("find", "Find it", {"type": "object", "properties": {"a": {}, "b": {}}})
STOP = Tool("stop")


def test_the_order_of_tools_and_keys_does_not_matter() -> None:
    turned = Tool("find", "Find it", {"properties": {"b": {}, "a": {}}, "type": "object"})
    assert tool_set_of([FIND, STOP]) == tool_set_of([STOP, turned])


def test_a_tool_that_changes_is_another_and_the_rest_stay() -> None:
    before = json.loads(tool_set_of([FIND, STOP]).tools)
    after = json.loads(tool_set_of([Tool("find", "Find it now"), STOP]).tools)
    assert [each.partition("@")[0] for each in before] == ["find", "stop"]
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_hashes_stay_what_they_are() -> None:
    """They are stored: the same text has the same hash in every version."""
    assert tool_set_of([STOP]) == (
        "05a95d773d715a5d",
        '["stop@05a95d773d715a5d"]',
    )


def test_no_tools_are_no_set() -> None:
    assert tool_set_of([]) == NO_TOOLS


def test_names_that_no_database_can_store_are_replaced_and_long_ones_cut() -> None:
    made = tool_set_of([Tool("a\0\ud800" + "x" * 1_000)])
    made.tools.encode()
    assert "\\u0000" not in made.tools
    assert len(made.tools) < 200


def test_a_tool_without_a_name_goes_by_its_kind() -> None:
    assert json.loads(tool_set_of([Tool("", kind="web_search")]).tools)[0].startswith("web_search@")
