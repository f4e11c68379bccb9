"""Calls that ask for an answer again: regenerated, or after the last message was edited.

A call is `regenerated_from` another of its group if it sends the same messages again, and
`edited_from` it if its last message, the user's, says something else after the same messages. What
is the same is what a model would see (storage.digests). It began when the other had its answer: of
two that overlap, one is no answer to the other. Of several, the latest before it counts.

Both need to be turns of one conversation, for strangers send the same first words, and every call
of a few-shot prompt has the same examples. So the last reply among the messages must be the answer
of a recorded call, or the call must name the one that it continues; without any reply, only a group
that the application named tells that it is the same conversation, and only for a regeneration: an
edited first message cannot be told from a new question. What failed is no answer, so a call that
is sent again after it is a retry, not a regeneration.

`compare_all` is exact, over every call of a group. `Retakes` is what the recorder has: the last
CALLS_HELD of each group that it stored, in the order in which they came. It misses what repeats an
older one, and what was before a restart; `shalt db rederive` finds that. Only a call with as many
messages as one of those is digested: 3 µs for another, 20 µs for ten turns of one that is. Memory
is HELD_BYTES_MAX, of which a call of a few words takes 2 KB.
"""

from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from storage.capture import Endpoint, Outcome
from storage.digests import Digested, digest_answered, digest_turns
from storage.rows import Recorded
from storage.trace import Choice, Message, Span, Understood

CONVERSATIONS: Final = frozenset(
    {
        Endpoint.CHAT_COMPLETIONS,
        Endpoint.RESPONSES,
        Endpoint.MESSAGES,
        Endpoint.GENERATE_CONTENT,
    }
)
# What the recorder remembers. People ask again for the last answer, seldom for one before.
CALLS_HELD: Final = 4  # of one group
HELD_BYTES_MAX: Final = 48 * 2**20  # of all groups together
# Of the objects around the texts: of a call, and the group it may be alone in; of each message.
_CALL_BYTES: Final = 1_900
_MESSAGE_BYTES: Final = 300


class Retake(NamedTuple):
    """Which call of its group a call repeats or edits; empty texts if none."""

    regenerated_from: str = ""
    edited_from: str = ""


class Take(NamedTuple):
    """What is compared of a call. `context` is all but the last message, if that is the user's;
    `reply` is all up to the last answer among the messages; `end` is all with its own answer."""

    id: str
    started_ns: int
    ended_ns: int
    whole: bytes
    context: bytes | None
    reply: bytes | None
    continues: bool
    end: bytes | None


NO_RETAKE: Final = Retake()
_NO_TAGS: Final[dict[str, str]] = {}


def take_of(span: Span, like: Digested | None = None) -> tuple[Take, Digested] | None:
    """Digest a call; None where it is no conversation, or one that the upstream keeps unseen.

    `like`: what came back for a call before it, to spare what both begin with.
    """
    understood = span.understood
    messages = understood.messages
    if span.endpoint not in CONVERSATIONS or not messages or understood.conversation_id:
        return None
    digested = digest_turns(messages, like=like)
    turns = digested.turns
    # Chained, so that the same words after another answer are another call.
    before = understood.previous_id.encode("utf-8", "surrogatepass")
    by_user = messages[-1].role == "user"
    context = None
    if by_user:
        context = before + (turns[-2].digest if len(turns) > 1 else b"")
    reply = next(
        (turn.digest for turn in reversed(turns) if messages[turn.last].role == "assistant"), None
    )
    end = None
    if span.outcome is Outcome.COMPLETE and understood.choices:
        end = digest_answered(digested, understood.choices[0].message)
    take = Take(
        id=span.id,
        started_ns=span.started_at_ns,
        ended_ns=span.started_at_ns + int(span.duration_ms * 1e6),
        whole=before + turns[-1].digest,
        context=context,
        reply=reply,
        continues=bool(before),
        end=end,
    )
    return take, digested


def compare_all(takes: Iterable[Take], *, named: bool) -> dict[str, Retake]:
    """Say of each call of a group what it repeats or edits; calls that do neither are left out.

    `named`: whether the application said that they are one conversation (`is_named`).
    """
    in_order = sorted(takes, key=lambda take: take.id)
    ends = {take.end for take in in_order}
    by_whole: dict[bytes, list[Take]] = {}
    by_context: dict[bytes, list[Take]] = {}
    found: dict[str, Retake] = {}
    for take in in_order:
        is_turn = take.continues or (take.reply is not None and take.reply in ends)
        if is_turn or (named and take.reply is None):
            if again := _latest(by_whole.get(take.whole, ()), take):
                found[take.id] = Retake(regenerated_from=again)
            elif is_turn and take.context is not None:
                if edited := _latest(by_context.get(take.context, ()), take):
                    found[take.id] = Retake(edited_from=edited)
        if take.end is not None:
            by_whole.setdefault(take.whole, []).append(take)
            if take.context is not None:
                by_context.setdefault(take.context, []).append(take)
    return found


def _latest(before: Sequence[Take], take: Take) -> str:
    """Find the latest that had its answer when this one began; empty if there is none."""
    had_answers = (each.id for each in reversed(before) if each.ended_ns <= take.started_ns)
    return next(had_answers, "")


class Retakes:
    """What the recorder remembers of the groups that it stored last."""

    def __init__(self) -> None:
        self._groups: OrderedDict[tuple[str, str], deque[_Held]] = OrderedDict()
        self._held_bytes = 0

    def add(self, recorded: Recorded, group_id: str, *, named: bool) -> Retake:
        """Say what a call that is being stored repeats or edits, and remember it."""
        span = recorded.span
        if span.endpoint not in CONVERSATIONS or not span.understood.messages:
            return NO_RETAKE
        new = _Held(span, recorded.capture.request_body.length)
        key = (span.project, group_id)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = deque()
        else:
            self._groups.move_to_end(key)
        retake = _compare_held(new, group, named=named)
        group.append(new)
        self._held_bytes += new.byte_count
        if len(group) > CALLS_HELD:
            self._held_bytes -= group.popleft().byte_count
        while self._held_bytes > HELD_BYTES_MAX:
            _, oldest = self._groups.popitem(last=False)
            self._held_bytes -= sum([each.byte_count for each in oldest])
        return retake

    def forget(self) -> None:
        """Forget the calls of a transaction that failed, and all others with them."""
        self._groups.clear()
        self._held_bytes = 0


class _Held:
    """A call in memory, digested when it is first compared. `byte_count`: about what it takes."""

    __slots__ = ("_take", "byte_count", "span")

    def __init__(self, span: Span, request_bytes: int) -> None:
        self.span = _compared_of(span)
        self._take: tuple[Take, Digested] | None = None
        understood = self.span.understood
        answers = sum([_size_of(choice.message) for choice in understood.choices])
        around = _CALL_BYTES + _MESSAGE_BYTES * len(understood.messages)
        self.byte_count = around + request_bytes + answers

    def digest(self, like: Digested | None) -> tuple[Take, Digested] | None:
        if self._take is None:
            self._take = take_of(self.span, like)
        return self._take


def _compared_of(span: Span) -> Span:
    """Leave of a span what `take_of` looks at: tools and settings are half of what it takes."""
    understood = span.understood
    kept = Understood(
        messages=understood.messages,
        choices=tuple([Choice(choice.message) for choice in understood.choices[:1]]),
        previous_id=understood.previous_id,
        conversation_id=understood.conversation_id,
    )
    return msgspec.structs.replace(span, tags=_NO_TAGS, understood=kept)


def _size_of(answer: Message) -> int:
    """Say about how many bytes an answer takes; twice as many where it is kept as sent, too."""
    calls = sum([len(call.arguments) for call in answer.tool_calls])
    content = len(answer.text) + len(answer.reasoning) + len(answer.refusal) + calls
    return content if answer.extra is None else 2 * content


def _compare_held(new: _Held, group: Collection[_Held], *, named: bool) -> Retake:
    understood = new.span.understood
    count = len(understood.messages)
    if all(len(each.span.understood.messages) != count for each in group):
        return NO_RETAKE
    if not named and not understood.previous_id:
        if all(message.role != "assistant" for message in understood.messages):
            return NO_RETAKE  # without a reply, and without a name: strangers
    takes: list[Take] = []
    like: Digested | None = None
    for each in (*group, new):
        if (found := each.digest(like)) is not None:
            takes.append(found[0])
            like = found[1]
    return compare_all(takes, named=named).get(new.span.id, NO_RETAKE)


def is_named(group_source: str) -> bool:
    """Tell whether the application said that the calls of such a group are one conversation.

    Equal first words do not say so, nor that they are of one user.
    """
    return group_source not in ("root", "user")
