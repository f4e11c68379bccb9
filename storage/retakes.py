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
older one, and what was before a restart; `shalt db rederive` finds that. Of each it holds the
capture as bytes: one object instead of a hundred, which are slow to let go of, and mostly the one
that storage.bodies holds to encode the next against. Only a call with as many messages as one of
those is digested, and those with it: a microsecond for another, 2 µs a message for one that is, 50
once for a call that is held. Memory is HELD_BYTES_MAX, of which a call of a few words takes 1 KB.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from storage.capture import Endpoint, Outcome
from storage.derive import derive
from storage.digests import Digested, digest_answered, digest_turns
from storage.packing import Parts, as_packed, unpack
from storage.rows import Recorded
from storage.trace import Span

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
# Bodies of more than this are digested at once: they would push out all others, and one of 64 MiB
# would be copied while its record is, too.
KEPT_BYTES_MAX: Final = 2**20
_CALL_BYTES: Final = 600  # of the objects around it, and of the group it may be alone in


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
        self._groups: OrderedDict[tuple[str, str], list[_Held]] = OrderedDict()
        self._held_bytes = 0

    def add(self, recorded: Recorded, group_id: str, *, named: bool, packed: bytes = b"") -> Retake:
        """Say what a call that is being stored repeats or edits, and remember it.

        `packed`: the whole capture as storage.packing has it, where it is held elsewhere anyway.
        """
        span = recorded.span
        if span.endpoint not in CONVERSATIONS or not span.understood.messages:
            return NO_RETAKE
        new = _Held(recorded, packed)
        key = (span.project, group_id)
        group = self._groups.get(key)
        retake = NO_RETAKE
        if group is None:
            group = self._groups[key] = []
        else:
            self._groups.move_to_end(key)
            if _may_be_asked_again(span, group, named=named):
                new.digest(span)
                takes = [take for each in (*group, new) if (take := each.take()) is not None]
                retake = compare_all(takes, named=named).get(span.id, NO_RETAKE)
        group.append(new)
        self._held_bytes += new.byte_count
        if len(group) > CALLS_HELD:
            self._held_bytes -= group.pop(0).byte_count
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

    __slots__ = ("_packed", "_take", "byte_count", "message_count")

    def __init__(self, recorded: Recorded, packed: bytes) -> None:
        capture = recorded.capture
        self.message_count = len(recorded.span.understood.messages)
        self._packed = b""
        self._take: Take | None = None
        if len(capture.request_body.data) + len(capture.response_body.data) > KEPT_BYTES_MAX:
            self.digest(recorded.span)
        else:
            self._packed = packed or as_packed(capture, recorded.encoded)
        self.byte_count = _CALL_BYTES + len(self._packed)

    def digest(self, span: Span) -> None:
        """Keep of the call what is compared, and no more. `span`: its own."""
        found = take_of(span)
        self._take = None if found is None else found[0]
        self._packed = b""

    def take(self) -> Take | None:
        """Return what is compared of the call; None where nothing is."""
        if self._packed:
            self.digest(derive(unpack(self._packed, _no_parts)))
        return self._take


def _may_be_asked_again(span: Span, group: Collection[_Held], *, named: bool) -> bool:
    """Tell whether a call may be one of a group again, before anything is digested."""
    understood = span.understood
    count = len(understood.messages)
    if all(each.message_count != count for each in group):
        return False
    if named or understood.previous_id:
        return True
    # Without a reply, and without a name: strangers.
    return any(message.role == "assistant" for message in understood.messages)


def _no_parts(hashes: Sequence[bytes]) -> Parts:
    raise AssertionError(f"{len(hashes)} parts were taken out of a call that is held whole")


def is_named(group_source: str) -> bool:
    """Tell whether the application said that the calls of such a group are one conversation.

    Equal first words do not say so, nor that they are of one user.
    """
    return group_source not in ("root", "user")
