"""Recorded tools against the current ones: keep, flag, upgrade, drop."""

import random
from pathlib import Path

import msgspec
import pytest

from exporters.dataset import export
from exporters.request import ExportError, ExportRequest, check_request
from exporters.row_lines import IdLine
from exporters.selection import NEEDS_LABEL, Example, Reason, Turns, reason_against
from exporters.tool_changes import Change
from exporters.toolsets import ToolMode, ToolPolicy
from exporters.turns import Conversations
from storage.derive import derive
from storage.store import TraceStore
from storage.trace import Json, Side, Span, Tool
from tests.exporters.calls import WORDS, chat, record, said


def takes(required: list[Json], **properties: Json) -> dict[str, Json]:
    return {"type": "object", "properties": properties, "required": required}


FIND = takes(["query"], query={"type": "string"})
OLD: list[Json] = [
    {"type": "function", "function": {"name": "find", "description": "Find", "parameters": FIND}},
    {"type": "function", "function": {"name": "gone", "parameters": {"type": "object"}}},
]
WIDER = takes(["query"], query={"type": "string"}, limit={"type": "integer"})
CURRENT = (Tool("find", "Find things", WIDER), Tool("new", "", None))
NARROWER = (Tool("find", "Find", {**WIDER, "required": ["query", "limit"]}),)


def call(name: str, arguments: str) -> dict[str, Json]:
    function: dict[str, Json] = {"name": name, "arguments": arguments}
    return said("assistant", None, tool_calls=[{"id": "1", "function": function}])


def asked(answer: dict[str, Json], tools: list[Json] | None = None) -> Span:
    return derive(chat(1, [said("user", "hello")], answer, tools=tools))


def example(span: Span) -> Example:
    conversations = Conversations(Turns.AUTO, lambda call_id: span)
    conversations.add(span, reason_against(span, Side.TRAIN, True))
    (found,) = conversations.examples()
    return found


FITTING = asked(call("find", '{"query": "x"}'), OLD)


def test_keep_leaves_everything_as_it_was() -> None:
    policy = ToolPolicy(ToolMode.KEEP)
    assert policy.reason(FITTING.understood, Side.TRAIN) is None
    assert policy.apply(example(FITTING)) == example(FITTING)


def test_flag_says_how_the_tools_differ() -> None:
    found = ToolPolicy(ToolMode.FLAG, CURRENT).apply(example(FITTING))
    assert found.tool_change == Change.BREAKING  # `gone` is
    assert found.tools == example(FITTING).tools
    compatible = asked(said("assistant", "hi"), OLD[:1])
    assert ToolPolicy(ToolMode.FLAG, CURRENT).apply(example(compatible)).tool_change == "compatible"


def test_upgrade_replaces_definitions_and_adds_none() -> None:
    policy = ToolPolicy(ToolMode.UPGRADE, CURRENT)
    assert policy.reason(FITTING.understood, Side.TRAIN) is None
    found = policy.apply(example(FITTING))
    assert (found.tools, found.tool_change, found.tools_kept) == (CURRENT[:1], "breaking", "")


@pytest.mark.parametrize(
    ("answer", "current", "reason"),
    [
        (call("gone", "{}"), CURRENT, Reason.TOOL_GONE),
        (call("never offered", "{}"), CURRENT, Reason.TOOL_GONE),
        (call("find", '{"query": "x"}'), NARROWER, Reason.TOOL_ARGUMENTS),
        (call("find", '{"query": 7}'), CURRENT, Reason.TOOL_ARGUMENTS),
        (call("find", "no JSON"), CURRENT, Reason.TOOL_ARGUMENTS),
        (call("new", "[]"), CURRENT, Reason.TOOL_ARGUMENTS),
        (call("new", ""), CURRENT, None),
    ],
)
def test_a_call_that_does_not_fit_waits_for_a_label(
    answer: dict[str, Json], current: tuple[Tool, ...], reason: Reason | None
) -> None:
    span = asked(answer, OLD)
    policy = ToolPolicy(ToolMode.UPGRADE, current)
    assert policy.reason(span.understood, Side.TRAIN) is reason
    assert reason is None or reason in NEEDS_LABEL
    assert policy.reason(span.understood, Side.TEST) is None


def test_a_test_row_that_cannot_be_upgraded_keeps_its_tools_and_says_so() -> None:
    before = example(asked(call("gone", "{}"), OLD))
    found = ToolPolicy(ToolMode.UPGRADE, CURRENT).apply(before)
    assert (found.tools, found.tools_kept) == (before.tools, Reason.TOOL_GONE)


def test_a_call_in_the_history_counts_too() -> None:
    result = said("tool", "ok", tool_call_id="1")
    history = [said("user", "hi"), call("gone", "{}"), result]
    span = derive(chat(1, history, said("assistant", "done"), tools=OLD))
    policy = ToolPolicy(ToolMode.UPGRADE, CURRENT)
    assert policy.reason(span.understood, Side.TRAIN) is Reason.TOOL_GONE


def test_drop_leaves_out_what_breaks_and_never_on_test() -> None:
    policy = ToolPolicy(ToolMode.DROP, CURRENT)
    assert policy.reason(FITTING.understood, Side.TRAIN) is Reason.TOOL_BREAKING
    assert policy.reason(FITTING.understood, Side.TEST) is None
    compatible = asked(said("assistant", "hi"), OLD[:1])
    assert policy.reason(compatible.understood, Side.TRAIN) is None
    assert policy.reason(asked(said("assistant", "hi")).understood, Side.TRAIN) is None


def test_tools_that_the_upstream_runs_stay() -> None:
    span = FITTING
    search = Tool("web_search", kind="web_search")
    understood = msgspec.structs.replace(span.understood, tools=(search, *span.understood.tools))
    found = ToolPolicy(ToolMode.UPGRADE, CURRENT).apply(
        example(msgspec.structs.replace(span, understood=understood))
    )
    assert found.tools == (search, CURRENT[0])


def test_an_export_upgrades_what_fits_and_lists_the_rest(store: TraceStore, tmp_path: Path) -> None:
    chance = random.Random(4)
    calls = []
    for number in range(240):
        opening = [said("user", " ".join(chance.choices(WORDS, k=30)))]
        name, tools = ("find", OLD[:1]) if number % 2 else ("gone", OLD)
        calls.append(chat(number, opening, call(name, '{"query": "x"}'), tools=tools))
    record(store, calls)
    text = msgspec.json.encode(
        [{"name": one.name, "parameters": one.parameters} for one in CURRENT]
    ).decode()
    wanted = ExportRequest(tools=ToolMode.UPGRADE, current_tools=text)
    manifest = export(store, wanted, tmp_path / "out")
    train, test = manifest.sides[Side.TRAIN], manifest.sides[Side.TEST]
    assert train.reasons == {Reason.TOOL_GONE: train.calls - train.rows}
    assert (test.rows, test.reasons) == (test.calls, {})
    rows = [
        msgspec.json.decode(line)["tools"]
        for line in (tmp_path / "out" / "train.jsonl").read_bytes().splitlines()
    ]
    assert {row[0]["function"]["parameters"]["properties"]["limit"]["type"] for row in rows} == {
        "integer"
    }
    lines = [
        msgspec.json.decode(line, type=IdLine)
        for line in (tmp_path / "out" / "ids.jsonl").read_bytes().splitlines()
    ]
    kept = {line.tools_kept for line in lines if line.file == "test.jsonl"}
    assert kept == {"", "tool_gone"}
    assert {line.tools for line in lines} == {"compatible", "breaking"}
    waiting = (tmp_path / "out" / "needs_label.jsonl").read_bytes().splitlines()
    assert len(waiting) == sum(
        entry.reasons.get(Reason.TOOL_GONE, 0) for entry in manifest.sides.values()
    )
    assert manifest.versions.changes["compatible"]["train"] == train.rows
    assert (manifest.tools, len(manifest.current_tools_sha256)) == (ToolMode.UPGRADE, 64)


@pytest.mark.parametrize(
    ("mode", "current", "message"),
    [
        (ToolMode.UPGRADE, "", "the current ones must be known"),
        (ToolMode.KEEP, "[]", "choose flag, upgrade or drop"),
        (ToolMode.FLAG, "[7]", "tool 1 is not an object"),
    ],
)
def test_a_mode_and_its_tools_must_go_together(mode: ToolMode, current: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        check_request(ExportRequest(tools=mode, current_tools=current))
