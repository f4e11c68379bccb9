"""What was said of a call, as its page shows it: labels with what they change, scores, verdicts.

Oldest first, each with who said it and when. What a label changes is told word by word where the
texts are short (DIFF_WORDS_MAX), else the label is shown as it is.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final, Literal

import msgspec

from review import facts
from review.passages import Passage, Room
from storage.labels import Label, Score, Status, Verdict
from storage.trace import Message

DIFF_WORDS_MAX: Final = 2_000  # of both texts together: some 20 ms
ENTRIES_MAX: Final = 200

_WORD = re.compile(r"\s+|\w+|[^\w\s]+")


class Change(msgspec.Struct, frozen=True):
    """A piece of a text: of both answers, of the label alone, or of the recorded one alone."""

    kind: Literal["same", "added", "removed"]
    text: str


class ShownCall(msgspec.Struct, frozen=True):
    """A tool call of a label."""

    name: str
    arguments: Passage


class Entry(msgspec.Struct, frozen=True):
    """One thing that was said. `label_id` is of a label that can be judged, else empty.

    `changes` are those of the text where there are any; `passage` is the text as it is otherwise.
    """

    title: str
    by: str
    time: str
    note: Passage
    label_id: str = ""
    status: str = ""
    changes: tuple[Change, ...] = ()
    passage: Passage = Passage("")
    calls: tuple[ShownCall, ...] = ()

    @property
    def may_be_accepted(self) -> bool:
        """Whether a button accepts it."""
        return bool(self.label_id) and self.status != Status.ACCEPTED

    @property
    def may_be_rejected(self) -> bool:
        """Whether a button rejects it."""
        return bool(self.label_id) and self.status != Status.REJECTED


def history(
    original: Message | None,
    scores: Sequence[Score],
    labels: Sequence[Label],
    verdicts: Sequence[Verdict],
) -> tuple[Entry, ...]:
    """Bring all that was said of a call in the order of its time, the newest ENTRIES_MAX."""
    room = Room()
    said: list[Score | Label | Verdict] = sorted(
        [*scores, *labels, *verdicts], key=lambda each: (each.created_at, each.id)
    )
    entries: list[Entry] = []
    for each in said[-ENTRIES_MAX:]:
        if isinstance(each, Score):
            entries.append(_of_score(each, room))
        elif isinstance(each, Label):
            entries.append(_of_label(each, original, room))
        else:
            entries.append(_of_verdict(each, room))
    return tuple(entries)


def _of_score(score: Score, room: Room) -> Entry:
    value = str(score.value).lower() if isinstance(score.value, bool) else f"{score.value}"
    return Entry(
        title=f"{score.name} = {value.removesuffix('.0')}",
        by=_by(score.source.value, score.author),
        time=facts.moment(score.created_at),
        note=room.take(score.comment, as_json=False),
    )


def _of_label(label: Label, original: Message | None, room: Room) -> Entry:
    text = label.message.text
    changes = tuple(_changes(original.text, text)) if original is not None else ()
    return Entry(
        title="corrected answer",
        by=_by(label.source.value, label.author),
        time=facts.moment(label.created_at),
        note=room.take(label.note, as_json=False),
        label_id=label.id,
        status=label.status.value,
        changes=changes,
        passage=Passage("") if changes else room.take(text),
        calls=tuple(
            ShownCall(call.name, room.take(call.arguments)) for call in label.message.tool_calls
        ),
    )


def _of_verdict(verdict: Verdict, room: Room) -> Entry:
    return Entry(
        title=f"label {verdict.status}",
        by=_by("human", verdict.author),
        time=facts.moment(verdict.created_at),
        note=room.take(verdict.note, as_json=False),
    )


def _by(source: str, author: str) -> str:
    return f"{source} · {author}" if author else source


def _changes(before: str, after: str) -> Iterator[Change]:
    """Yield what becomes of a text, word by word; nothing where they are too long, or have nothing
    in common."""
    old, new = _WORD.findall(before), _WORD.findall(after)
    if not old or not new or len(old) + len(new) > DIFF_WORDS_MAX:
        return
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if kind == "equal":
            yield Change("same", "".join(old[old_from:old_to]))
            continue
        if old_to > old_from:
            yield Change("removed", "".join(old[old_from:old_to]))
        if new_to > new_from:
            yield Change("added", "".join(new[new_from:new_to]))
