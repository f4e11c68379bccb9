"""What a verifier knows of each group: the means of its rows, and a few values.

Read from the rows themselves, whatever their format (exporters.row_reading), so that nobody has to
be believed; the model and the day, which no row holds, are those that `ids.jsonl` gives.

Memory: 1 KB for each group that is kept.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from exporters.representative import Groups
from exporters.row_lines import IdLine
from exporters.row_reading import Row
from storage.grouping import masked
from storage.trace import Message

NUMBERS = (
    "user messages",
    "messages",
    "characters of the prompt",
    "words of the prompt",
    "characters of the answer",
    "words of the answer",
    "tool calls",
    "tools offered",
)
CATEGORIES = ("model", "weekday", "system message", "tools", "tool called first")


class GroupFacts:
    """Takes in rows, and keeps what tests of representativeness are made on.

    `rank_max`: only groups whose hash is at most this are kept; None for all.
    """

    def __init__(self, rank_max: int | None = None) -> None:
        self._rank_max = rank_max
        self._groups: dict[int, _Seen] = {}

    def add(self, rank: int, row: Row, origin: IdLine, *, is_test: bool) -> None:
        """Take in a row of the group that hashes to `rank`."""
        if self._rank_max is not None and rank > self._rank_max:
            return
        seen = self._groups.setdefault(rank, _Seen(is_test))
        seen.rows += 1
        for place, number in enumerate(_measure(row)):
            seen.sums[place] += number
        if not seen.values:
            seen.values = _values(row, origin)

    def groups(self) -> Groups:
        """Give what is known of the groups, in the order of their hashes."""
        seen = [self._groups[rank] for rank in sorted(self._groups)]
        means = np.array([[total / one.rows for total in one.sums] for one in seen])
        means = means.reshape(len(seen), len(NUMBERS))
        return Groups(
            test=np.array([one.is_test for one in seen], dtype=np.bool_),
            numbers={name: means[:, column] for column, name in enumerate(NUMBERS)},
            categories={
                name: [one.values[column] for one in seen] for column, name in enumerate(CATEGORIES)
            },
        )


@dataclass
class _Seen:
    """What is known of one group: sums over its rows, and the values of its first row."""

    is_test: bool
    rows: int = 0
    sums: list[int] = field(default_factory=lambda: [0] * len(NUMBERS))
    values: tuple[str, ...] = ()


def _measure(row: Row) -> tuple[int, ...]:
    """Measure a row, in the order of NUMBERS."""
    prompt = _prompt(row.messages)
    answer = row.messages[-1].text
    return (
        sum(message.role == "user" for message in row.messages),
        len(row.messages),
        len(prompt),
        len(prompt.split()),
        len(answer),
        len(answer.split()),
        sum(len(message.tool_calls) for message in row.messages),
        len(row.tools),
    )


def _values(row: Row, origin: IdLine) -> tuple[str, ...]:
    """Read the values of a row, in the order of CATEGORIES."""
    called = [call.name for message in row.messages for call in message.tool_calls]
    system = "\n".join(
        masked(message.text) for message in row.messages if message.role in ("system", "developer")
    )
    return (
        origin.model,
        date.fromisoformat(origin.day).strftime("%A") if origin.day else "",
        _short_hash(system),
        _short_hash("\n".join(sorted(tool.name for tool in row.tools))),
        called[0] if called else "",
    )


def _prompt(messages: Sequence[Message]) -> str:
    for message in reversed(messages):
        if message.role == "user":
            return message.text
    return ""


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16] if text else ""
