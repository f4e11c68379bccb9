"""Recorded tools against those offered now: keep, flag, upgrade or drop.

    keep      rows have the tools they were recorded with. The default
    flag      the same; ids.jsonl says of each row how its tools differ (exporters.tool_changes)
    upgrade   definitions are replaced by the current ones of the same name, in calls whose recorded
              tool calls all fit them: no called tool is gone, and the arguments are valid under
              the current schema. Offered tools that are gone and were not called are left out;
              tools that are new are not put in, for nobody knows whether the model would have
              called them. Calls that do not fit wait for a label (needs_label.jsonl)
    drop      calls whose tools differ in a way that breaks are left out, and counted

Judged is a call with its whole history, for a row shows the model all of it. On the test side
nothing is left out, whatever is asked: what cannot be upgraded keeps its recorded tools, and
ids.jsonl says so (`tools_kept`). Calls without tools are as they were.
"""

from enum import StrEnum
from functools import lru_cache
from itertools import chain

import jsonschema_rs
import msgspec
from msgspec.structs import replace

from exporters.selection import Example, Reason
from exporters.tool_changes import Change, change_of, worst
from exporters.tool_files import validator_of
from storage.trace import Message, Side, Tool, ToolCall, Understood

# Toolsets that were compared need not be again: 256 of the longest that are kept are 16 MB.
TOOLSETS_HELD_MAX = 256
TOOLSET_HELD_BYTES_MAX = 64 * 1024
FUNCTIONS = frozenset({"function", "function_call"})  # kinds of tools that can be compared


class ToolMode(StrEnum):
    """What becomes of tools that are not the current ones; see the module."""

    KEEP = "keep"
    FLAG = "flag"
    UPGRADE = "upgrade"
    DROP = "drop"


class ToolPolicy:
    """A mode and the current tools; `reason` before a call becomes a row, `apply` to the row.

    `current` is empty only for `keep`. Not for several threads.
    """

    def __init__(self, mode: ToolMode, current: tuple[Tool, ...] = ()) -> None:
        assert current or mode is ToolMode.KEEP, "there is nothing to compare with"
        self._mode = mode
        self._current = {tool.name: tool for tool in current}
        self._validators: dict[str, jsonschema_rs.Validator] = {}
        self._known_change = lru_cache(TOOLSETS_HELD_MAX)(self._change_of)

    def reason(self, understood: Understood, side: Side) -> Reason | None:
        """Say why a call is no row because of its tools; never on the test side."""
        if side is Side.TEST or self._mode in (ToolMode.KEEP, ToolMode.FLAG):
            return None
        if self._mode is ToolMode.DROP:
            breaks = self.change(understood.tools) is Change.BREAKING
            return Reason.TOOL_BREAKING if breaks else None
        answers = tuple(choice.message for choice in understood.choices[:1])
        return self._misfit((*understood.messages, *answers))

    def apply(self, example: Example) -> Example:
        """Give a row the tools it is to have, and say how they differed."""
        if not self._current or not example.tools:
            return example
        change = self.change(example.tools)
        if self._mode is not ToolMode.UPGRADE:
            return replace(example, tool_change=change)
        if reason := self._misfit(example.messages):
            return replace(example, tool_change=change, tools_kept=reason)
        tools = (
            self._current.get(tool.name) if tool.kind in FUNCTIONS else tool
            for tool in example.tools
        )
        kept = tuple(tool for tool in tools if tool is not None)
        return replace(example, tools=kept, tool_change=change)

    def change(self, tools: tuple[Tool, ...]) -> Change:
        """Say how offered tools differ from the current ones, by the worst of them."""
        functions = [tool for tool in tools if tool.kind in FUNCTIONS]
        encoded = _encode([(tool.name, tool.description, tool.parameters) for tool in functions])
        known = len(encoded) <= TOOLSET_HELD_BYTES_MAX
        return self._known_change(encoded) if known else self._change_of(encoded)

    def _change_of(self, encoded: bytes) -> Change:
        tools = (Tool(*fields) for fields in msgspec.json.decode(encoded))
        return worst([change_of(tool, self._current.get(tool.name)) for tool in tools])

    def _misfit(self, messages: tuple[Message, ...]) -> Reason | None:
        """Say why the calls in these messages do not fit the current tools."""
        for call in chain.from_iterable(message.tool_calls for message in messages):
            if call.kind not in FUNCTIONS:
                continue
            if call.name not in self._current:
                return Reason.TOOL_GONE
            if not self._fits(call):
                return Reason.TOOL_ARGUMENTS
        return None

    def _fits(self, call: ToolCall) -> bool:
        if call.name not in self._validators:
            self._validators[call.name] = validator_of(self._current[call.name])
        try:
            # No arguments at all are written as nothing by some servers.
            arguments = msgspec.json.decode(call.arguments or "{}")
            return isinstance(arguments, dict) and self._validators[call.name].is_valid(arguments)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, OverflowError):
            return False


_encode = msgspec.json.encode
