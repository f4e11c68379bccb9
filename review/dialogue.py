"""What was said in a call, message by message, as a person reads it.

Instructions are folded, and so are reasoning, tools and what we have no form for; a tool's result
names the call it answers. Of a conversation of more than MESSAGES_MAX messages the first
BEGINNING_MESSAGES and the last are shown. Answers get their room on the page first, then the
newest messages: what the call was about is there, however long its history.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from review.passages import Passage, Room, first_line
from review.pictures import Gallery
from storage.trace import Choice, Message, Part, Tool, ToolCall, Understood
from storage.wire import as_text, write_json

MESSAGES_MAX = 300
BEGINNING_MESSAGES = 20
TOOLS_MAX = 200
CALLS_MAX = 200  # tool calls, or parts, of one message

BlockKind = Literal["text", "reasoning", "refusal", "image", "named", "other"]


class Block(msgspec.Struct, frozen=True):
    """A piece of a message. `source` is what an image is shown from."""

    kind: BlockKind
    passage: Passage = Passage("")
    name: str = ""
    source: str = ""


class ShownCall(msgspec.Struct, frozen=True):
    """A tool call the model asked for; `anchor` is its place on the page."""

    anchor: str
    name: str
    id: str
    kind: str
    arguments: Passage


class ShownMessage(msgspec.Struct, frozen=True):
    """A message. `answers` is the anchor of the tool call whose result it is, empty if unknown."""

    role: str
    title: str
    anchor: str
    blocks: tuple[Block, ...]
    calls: tuple[ShownCall, ...]
    beginning: str  # one line
    length: int  # characters of its text
    answers: str = ""

    @property
    def folded(self) -> bool:
        """Whether the page shows the first line until it is asked for more."""
        return self.role in ("system", "developer")


class ShownTool(msgspec.Struct, frozen=True):
    """A tool the application offered."""

    name: str
    description: Passage
    parameters: Passage


class Dialogue(msgspec.Struct, frozen=True):
    """All that was said. `left_out` messages stand between `beginning` and `rest`."""

    beginning: tuple[ShownMessage, ...]
    left_out: int
    rest: tuple[ShownMessage, ...]
    answers: tuple[ShownMessage, ...]
    tools: tuple[ShownTool, ...]
    tool_count: int
    settings: Passage | None
    error: Passage | None


def dialogue_of(understood: Understood) -> Dialogue:
    """Bring what was understood of a call's bodies into the form of a page."""
    writer = _Writer(understood.messages)
    answers = tuple(
        writer.message(choice.message, f"answer-{number}", _answer_title(understood, choice))
        for number, choice in enumerate(understood.choices[:CALLS_MAX], 1)
    )
    error = ": ".join(filter(None, (understood.error_code, understood.error_message)))
    shown_error = writer.room.take(error) if error else None
    places = _places(len(understood.messages))
    # From the newest back: if room runs out, it is the old ones that are cut.
    shown = {
        place: writer.message(understood.messages[place], f"message-{place + 1}")
        for place in reversed(places)
    }
    left_out = len(understood.messages) - len(places)
    cut = BEGINNING_MESSAGES if left_out else 0
    settings = understood.settings
    return Dialogue(
        beginning=tuple(shown[place] for place in places[:cut]),
        left_out=left_out,
        rest=tuple(shown[place] for place in places[cut:]),
        answers=answers,
        tools=tuple(writer.tool(tool) for tool in understood.tools[:TOOLS_MAX]),
        tool_count=len(understood.tools),
        settings=writer.room.take(write_json(dict(settings))) if settings else None,
        error=shown_error,
    )


def _places(count: int) -> Sequence[int]:
    if count <= MESSAGES_MAX:
        return range(count)
    newest = range(count - MESSAGES_MAX + BEGINNING_MESSAGES, count)
    return [*range(BEGINNING_MESSAGES), *newest]


class _Writer:
    """One page being written: the room left on it, and where each tool call stands."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.room = Room()
        self._gallery = Gallery()
        self._asked = _asked(messages)

    def message(self, message: Message, anchor: str, title: str = "") -> ShownMessage:
        """Write a message; without a title, one of its own."""
        asked, answers = self._asked.get(anchor, ("", ""))
        name = message.name or asked
        role = as_text((message.extra or {}).get("role")) or message.role
        words = title or " · ".join(filter(None, (_TITLES.get(role, role), name)))
        return ShownMessage(
            role=message.role,
            title=words,
            anchor=anchor,
            blocks=tuple(self._blocks(message)),
            calls=tuple(
                self._call(call, f"{anchor}-call-{number}")
                for number, call in enumerate(message.tool_calls[:CALLS_MAX], 1)
            ),
            beginning=first_line(message.text),
            length=len(message.text),
            answers=answers,
        )

    def tool(self, tool: Tool) -> ShownTool:
        """Write a tool with its schema, or as it was sent where it has none."""
        parameters = tool.parameters if tool.parameters is not None else tool.raw
        return ShownTool(
            name=tool.name or tool.kind,
            description=self.room.take(tool.description, as_json=False),
            parameters=self.room.take(write_json(parameters) if parameters is not None else ""),
        )

    def _call(self, call: ToolCall, anchor: str) -> ShownCall:
        kind = "" if call.kind == "function" else call.kind
        return ShownCall(anchor, call.name, call.id, kind, self.room.take(call.arguments))

    def _blocks(self, message: Message) -> list[Block]:
        blocks = []
        if message.reasoning:
            blocks.append(Block("reasoning", self.room.take(message.reasoning, as_json=False)))
        if isinstance(message.content, str):
            if message.content:
                blocks.append(Block("text", self.room.take(message.content)))
        elif message.content is not None:
            blocks += [self._block(part) for part in message.content[:CALLS_MAX]]
            if more := len(message.content) - CALLS_MAX:
                if more > 0:
                    blocks.append(Block("named", name=f"{more} more parts"))
        if message.refusal:
            blocks.append(Block("refusal", self.room.take(message.refusal, as_json=False)))
        return blocks

    def _block(self, part: Part) -> Block:
        if part.kind == "text":
            return Block("text", self.room.take(part.text))
        if part.kind == "other":
            kind = as_text((part.raw or {}).get("type")) or "other"
            text = write_json(part.raw) if part.raw is not None else part.text
            return Block("other", self.room.take(text), kind)
        picture = self._gallery.take(part)
        return Block("image" if picture.source else "named", Passage(""), picture.name,
                     picture.source)  # fmt: skip


def _asked(messages: Sequence[Message]) -> dict[str, tuple[str, str]]:
    """Find for each tool message, by its anchor, the call it answers: its name and its anchor.

    Ids recur where an application numbers its calls anew: the last one before the result counts.
    """
    calls: dict[str, tuple[str, str]] = {}
    found = {}
    for place in _places(len(messages)):
        message, anchor = messages[place], f"message-{place + 1}"
        if message.role == "tool" and message.tool_call_id in calls:
            found[anchor] = calls[message.tool_call_id]
        for number, call in enumerate(message.tool_calls[:CALLS_MAX], 1):
            if call.id:
                calls[call.id] = (call.name, f"{anchor}-call-{number}")
    return found


_TITLES = {"tool": "tool result", "function": "tool result"}


def _answer_title(understood: Understood, choice: Choice) -> str:
    count = len(understood.choices)
    number = f" {choice.index + 1} of {count}" if count > 1 else ""
    return f"answer{number} · {choice.finish_reason or 'unfinished'}"
