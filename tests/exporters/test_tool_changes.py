"""Definitions of a tool compared: which changes break calls that were recorded."""

from collections.abc import Callable
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest

from exporters.tool_changes import Change, change_of, fingerprints, schema_of, worst
from storage.trace import Json, Tool


def tool(parameters: Json, description: str = "Find it", name: str = "find") -> Tool:
    return Tool(name, description, parameters)


def takes(required: list[Json] | None = None, **properties: Json) -> dict[str, Json]:
    return {"type": "object", "properties": properties, "required": required or []}


TEXT: Json = {"type": "string"}
TREE: Json = {
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/node"}},
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "left": {"$ref": "#/$defs/node"},
                "right": {"$ref": "#/$defs/node"},
            },
        }
    },
}
WIDER_TREE = msgspec.json.decode(msgspec.json.encode(TREE).replace(b"integer", b"number"))


@pytest.mark.parametrize(
    ("then", "now", "change"),
    [
        (takes(a=TEXT), takes(a=TEXT), Change.IDENTICAL),
        (takes(a=TEXT), {**takes(a=TEXT), "title": "Find"}, Change.DESCRIPTION),
        (takes(a=TEXT), takes(a={"type": "string", "description": "of it"}), Change.DESCRIPTION),
        (takes(["a", "b"], a=TEXT, b=TEXT), takes(["b", "a"], a=TEXT, b=TEXT), Change.DESCRIPTION),
        (None, {"type": "object", "properties": {}}, Change.DESCRIPTION),
        ({"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}, takes(a=TEXT), "description"),
        (takes(a=TEXT), takes(a=TEXT, b=TEXT), Change.COMPATIBLE),
        (takes(["a"], a=TEXT), takes(a=TEXT), Change.COMPATIBLE),
        (takes(a={"type": "integer"}), takes(a={"type": "number"}), Change.COMPATIBLE),
        (takes(a=TEXT), takes(a={"type": ["string", "null"]}), Change.COMPATIBLE),
        (takes(a=TEXT), takes(a={"anyOf": [TEXT, {"type": "null"}]}), Change.COMPATIBLE),
        (takes(a=TEXT), takes(a={"type": "string", "nullable": True}), Change.COMPATIBLE),
        (takes(a={"enum": ["x"]}), takes(a={"enum": ["y", "x"]}), Change.COMPATIBLE),
        (takes(a={"const": "x"}), takes(a={"enum": ["y", "x"]}), Change.COMPATIBLE),
        (takes(a={"type": "integer", "minimum": 1}), takes(a={"type": "integer"}), "compatible"),
        (takes(a={"maximum": 1}), takes(a={"maximum": 2}), Change.COMPATIBLE),
        (takes(a=TEXT), {**takes(a=TEXT), "additionalProperties": False}, Change.COMPATIBLE),
        (takes(a={"items": {"type": "integer"}}), takes(a={"items": {}}), Change.COMPATIBLE),
        (TREE, WIDER_TREE, Change.COMPATIBLE),
        (takes(a=TEXT), takes(b=TEXT), Change.BREAKING),
        (takes(a=TEXT), takes(), Change.BREAKING),
        (takes(a=TEXT), takes(["a"], a=TEXT), Change.BREAKING),
        (takes(a=TEXT), takes(["b"], a=TEXT, b=TEXT), Change.BREAKING),
        (takes(a=TEXT), takes(a={"type": "integer"}), Change.BREAKING),
        (takes(a={"type": "number"}), takes(a={"type": "integer"}), Change.BREAKING),
        (takes(a={"type": ["string", "null"]}), takes(a=TEXT), Change.BREAKING),
        (takes(a={"enum": ["x", "y"]}), takes(a={"enum": ["x"]}), Change.BREAKING),
        (takes(a=TEXT), takes(a={"type": "string", "enum": ["x"]}), Change.BREAKING),
        (takes(a={"type": "integer"}), takes(a={"type": "integer", "minimum": 1}), "breaking"),
        (takes(a={"maximum": 2}), takes(a={"maximum": 1}), Change.BREAKING),
        (takes(a=TEXT), takes(a={"type": "string", "pattern": "^x"}), Change.BREAKING),
        (takes(a={"items": {}}), takes(a={"items": TEXT}), Change.BREAKING),
        (takes(a=takes(b=TEXT)), takes(a=takes(["b"], b=TEXT)), Change.BREAKING),
        (
            {**takes(a=TEXT), "additionalProperties": True},
            {**takes(a=TEXT), "additionalProperties": False},
            Change.BREAKING,
        ),
        (WIDER_TREE, TREE, Change.BREAKING),
        (
            {"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "number"}}},
            {"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "integer"}}},
            Change.BREAKING,
        ),
    ],
)
def test_a_change_is_named_by_what_it_does_to_recorded_arguments(
    then: Json, now: Json, change: Change
) -> None:
    assert change_of(tool(then), tool(now)) is Change(change)


def test_a_tool_that_is_gone_or_renamed_breaks() -> None:
    assert change_of(tool(takes()), None) is Change.BREAKING
    assert change_of(tool(takes()), tool(takes(), name="search")) is Change.BREAKING


def test_a_parameter_called_description_is_no_description() -> None:
    assert change_of(tool(takes(description=TEXT)), tool(takes())) is Change.BREAKING


def test_the_shape_is_blind_to_texts_and_the_whole_is_not() -> None:
    one, other = fingerprints(tool(takes(a=TEXT))), fingerprints(tool(takes(a=TEXT), "Search"))
    assert one.shape == other.shape
    assert one.full != other.full


def test_a_union_of_more_branches_than_are_compared_breaks() -> None:
    many: list[Json] = [{"const": number} for number in range(200)]
    more: list[Json] = [*many, {"const": 200}]
    assert change_of(tool({"anyOf": many}), tool({"anyOf": more})) is Change.BREAKING


def test_the_worst_of_several_changes_counts() -> None:
    assert worst([Change.IDENTICAL, Change.COMPATIBLE, Change.DESCRIPTION]) is Change.COMPATIBLE
    assert worst([]) is Change.IDENTICAL


VALUES: list[Json] = [None, True, 0, 1, 2, 1.5, "x", "y", [], [1], ["x"], {}, {"a": 1}, {"a": "x"}]
SCHEMAS: list[Json] = [
    {},
    TEXT,
    {"type": "integer"},
    {"type": "number"},
    {"type": "integer", "minimum": 1},
    {"type": "integer", "maximum": 1},
    {"type": ["integer", "string"]},
    {"enum": ["x", 1]},
    {"const": "x"},
    {"anyOf": [TEXT, {"type": "null"}]},
    {"type": "array", "items": TEXT},
    {"type": "array", "items": {"type": ["string", "integer"]}},
    {"type": "array", "minItems": 1},
    takes(["a"], a=TEXT),
    takes(["a"], a={"type": ["string", "integer"]}),
]


@pytest.mark.parametrize("then", SCHEMAS)
@pytest.mark.parametrize("now", SCHEMAS)
def test_what_a_compatible_schema_accepted_is_accepted_still(then: Json, now: Json) -> None:
    before, after = tool(takes(["v"], v=then)), tool(takes(["v"], v=now))
    if change_of(before, after) is Change.BREAKING:
        return
    old, new = (
        jsonschema_rs.validator_for(schema_of(one), offline=True) for one in (before, after)
    )
    assert all(new.is_valid({"v": value}) for value in VALUES if old.is_valid({"v": value}))


DATA = Path(__file__).parents[3] / "shared" / "data" / "datasets" / "bfcl_v4.jsonl"
Object = dict[str, Json]


def without_texts(schema: Object) -> Object:
    """Take the descriptions out of the parameters at the top."""
    found = msgspec.json.decode(msgspec.json.encode(schema), type=dict)
    for parameter in found.get("properties", {}).values():
        parameter.pop("description", None)
    return {**found, "description": "changed"}


def with_one_more(schema: Object) -> Object:
    return {**schema, "properties": {**properties(schema), "page_": {"type": "integer"}}}


def asking_for_one_more(schema: Object) -> Object:
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    return {**with_one_more(schema), "required": [*names, "page_"]}


def with_one_renamed(schema: Object) -> Object:
    first, *others = properties(schema).items()
    return {**schema, "properties": {f"{first[0]}_": first[1], **dict(others)}}


def with_one_of_another_type(schema: Object) -> Object:
    first, *others = properties(schema).items()
    return {**schema, "properties": {first[0]: {"type": "null"}, **dict(others)}}


def asking_for_nothing(schema: Object) -> Object:
    return {**schema, "required": []}


def properties(schema: Object) -> Object:
    value = schema.get("properties")
    return value if isinstance(value, dict) else {}


@pytest.mark.skipif(not DATA.exists(), reason="the recorded data sets are not beside the checkout")
@pytest.mark.parametrize(
    ("variant", "changes"),
    [
        (without_texts, {Change.DESCRIPTION}),
        (with_one_more, {Change.COMPATIBLE}),
        (asking_for_nothing, {Change.COMPATIBLE, Change.IDENTICAL, Change.DESCRIPTION}),
        (asking_for_one_more, {Change.BREAKING}),
        (with_one_renamed, {Change.BREAKING}),
        (with_one_of_another_type, {Change.BREAKING}),
    ],
)
def test_variants_of_recorded_tools_are_told_apart(
    variant: Callable[[Object], Object], changes: set[Change]
) -> None:
    seen = 0
    for line in DATA.read_bytes().splitlines():
        for offered in msgspec.json.decode(line).get("tools") or []:
            parameters = offered["function"]["parameters"]
            if properties(parameters):
                seen += 1
                assert change_of(tool(parameters), tool(variant(parameters))) in changes, parameters
    assert seen > 1_000
