"""The calls of one group to rows, branch by branch; never a context that no model saw.

A call continues another if its messages begin with the other's messages and answer
(storage.digests). Where equal calls were made, each continuation uses up one of them, so
frequencies stay natural. Calls that nothing continues are rows: one for each branch, that is for
each regeneration and edit, too. A turn before the branch is in both rows and trained in both.

What `auto` and `chain` take for the same beginning is stricter than what `leaf` does: the same
tools must have been offered, for `auto` the reasoning must have been sent back, for `chain` the
calls must be of one run (the trace the application named, else the group). And only those turns
are trained whose own call is an example and had exactly this beginning. So a history that was
compacted, edited, stripped of its reasoning or taken over by a sub-agent begins a row of its own,
in which the turns from before are context; every recorded answer is trained, and in the context
it was given in. A fine-tuning line that was imported, or made up, is a conversation as a whole: all
its answers are trained but those of weight 0.

Limits: of a group, 100 bytes a message are held, and `CALLS_HELD_MAX` of the calls that nothing
continues (`chain`: of all); others are read again. The only call of a group costs nothing here,
others 2 µs for each message that is new in them.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from operator import attrgetter

import msgspec

from exporters.selection import Example, Reason, Turns
from storage.digests import (
    DIGEST_BYTES,
    Digested,
    TurnDigest,
    answered,
    digest_answered,
    digest_turns,
)
from storage.trace import Message, Span, Tool
from storage.withheld import SYNTHETIC

CALLS_HELD_MAX = 1_000  # calls of one group kept in memory, at about 10 KB each
# A line of these is a whole conversation, all of whose answers are meant to be trained.
FINE_TUNING_SOURCES = frozenset({"import:openai-chat", SYNTHETIC})


class Conversations:
    """The calls of one group, becoming examples.

    `add` every call of the group, those that are no examples too; then take `examples`.
    `read_again` fetches what is no longer held: the span as it was added.
    """

    def __init__(self, turns: Turns, read_again: Callable[[str], Span]) -> None:
        self._turns = turns
        self._read_again = read_again
        self._calls: list[_Call] = []
        self._held: dict[str, Span] = {}
        self._ends: dict[bytes, str] = {}  # of calls that nothing continues so far
        self._first: _Added | None = None  # not digested unless there is a second
        self._last: Digested | None = None
        self._last_seed: tuple[tuple[Tool, ...], str, bytes] = ((), "", b"")
        self.continued_count = 0  # calls that have no row of their own, known after `examples`

    def add(
        self,
        span: Span,
        reason: Reason | None,
        *,
        recorded: Message | None = None,
        answer_source: str = "original",
        label_id: str = "",
    ) -> None:
        """Take in a call; `reason`: why it is no example, None if it is one.

        Where a label stands in the place of its answer, `recorded` is the answer it replaces, and
        source and id are those of the label.
        """
        if reason and self._turns is not Turns.LEAF:
            return  # what is not known to be an example is not trained, but in leaf rows
        added = _Added(span, reason is None, recorded, answer_source, label_id)
        if self._first is None:
            self._first = added
        else:
            if not self._calls:
                self._calls.append(self._digested(self._first))
            self._calls.append(self._digested(added))
        if reason is None and len(self._held) < CALLS_HELD_MAX:
            self._held[span.id] = span

    def examples(self) -> Iterator[Example]:
        """Yield the rows of the group, in the order of their calls' ids.

        Calls that were added as examples and are in no row's `call_id` are in the `continued` of
        one or more.
        """
        if not self._calls:
            if self._first is not None and self._first.is_example:
                yield self._alone(self._first)
            return
        self._calls.sort(key=attrgetter("id"))
        good = [call for call in self._calls if call.is_example]
        continued = _continued(good) if self._turns is not Turns.LAST else {}
        gone = {call_id for call_ids in continued.values() for call_id in call_ids}
        self.continued_count = len(gone)
        trained = {call.end for call in good}
        refused = {call.end for call in self._calls if not call.is_example}
        refused = (refused | {call.recorded_end for call in good}) - trained
        for call in good:
            if call.id in gone:
                continue
            span = self._span(call.id)
            held = [one for turn in call.turns for one in continued.get(turn.digest, ())]
            messages = span.understood.messages
            untrained = self._untrained(span, call.turns, trained, refused)
            if self._turns is Turns.CHAIN:
                answers = {
                    turn.last: self._span(continued[turn.digest][-1])
                    for turn in call.turns
                    if turn.digest in continued
                }
                messages, untrained = _as_received(messages, untrained, answers)
            yield _example(span, messages, untrained, tuple(held), call.source, call.label_id)

    def _digested(self, added: "_Added") -> "_Call":
        """Digest a call as strictly as these turns are; not at all where each is a row."""
        span = added.span
        if self._turns is Turns.LAST:
            return _Call(span.id, True, b"", b"", (), added.source, added.label_id)
        messages, choices = span.understood.messages, span.understood.choices
        answer = choices[0].message if choices else Message("assistant")
        before, reasoning = self._last_seed[2], self._turns is Turns.AUTO
        seed = self._seed(span)
        like = self._last if seed == before else None
        asked = digest_turns(messages, seed=seed, reasoning=reasoning, like=like)
        # The next call repeats them, as a rule, with the answer that it was given.
        given = added.recorded or answer
        self._last = answered(asked, given, seed=seed, reasoning=reasoning)
        recorded_end = end = self._last.turns[-1].digest
        if given is not answer:
            end = digest_answered(asked, answer, seed=seed, reasoning=reasoning)
        turns = [turn for turn in asked.turns if messages[turn.last].role == "assistant"]
        if added.is_example:
            self._let_go(turns)
            self._ends.setdefault(end, span.id)
        return _Call(
            id=span.id,
            is_example=added.is_example,
            end=end,
            recorded_end=recorded_end,
            turns=tuple(turns),
            source=added.source,
            label_id=added.label_id,
        )

    def _let_go(self, turns: Sequence[TurnDigest]) -> None:
        """Hold no longer the call that is gone on from: it will hardly be a row of its own."""
        if self._turns in (Turns.LAST, Turns.CHAIN):
            return
        for turn in reversed(turns):
            if turn.digest in self._ends:
                self._held.pop(self._ends.pop(turn.digest), None)
                return

    def _seed(self, span: Span) -> bytes:
        """Say what two calls must have in common before their messages are looked at."""
        if self._turns in (Turns.LEAF, Turns.LAST):
            return b""
        tools = span.understood.tools
        sent_trace = span.trace_id != span.id
        run = span.trace_id if self._turns is Turns.CHAIN and sent_trace else ""
        last_tools, last_run, seed = self._last_seed
        if tools != last_tools or run != last_run:
            seed = _seed_of(tools, run)
            self._last_seed = (tools, run, seed)
        return seed

    def _untrained(
        self, span: Span, turns: Sequence[TurnDigest], trained: set[bytes], refused: set[bytes]
    ) -> frozenset[int]:
        """Say which messages of a request are context alone. `turns` are its assistant's."""
        messages = span.understood.messages
        if self._turns is Turns.LAST:
            return _earlier_answers(messages)
        if self._turns is Turns.LEAF:
            left_out = [turn.last for turn in turns if turn.digest in refused]
            return _indices(messages, left_out) | _of_no_weight(messages)
        if span.source in FINE_TUNING_SOURCES:
            return _of_no_weight(messages)
        known = [turn.last for turn in turns if turn.digest in trained]
        return _earlier_answers(messages) - _indices(messages, known)

    def _alone(self, added: "_Added") -> Example:
        """Make the row of a call that has no other beside it."""
        untrained = self._untrained(added.span, (), set(), set())
        messages = added.span.understood.messages
        return _example(added.span, messages, untrained, (), added.source, added.label_id)

    def _span(self, call_id: str) -> Span:
        return self._held.get(call_id) or self._read_again(call_id)


class _Added(msgspec.Struct, frozen=True):
    """A call as it was added."""

    span: Span
    is_example: bool
    recorded: Message | None
    source: str
    label_id: str


class _Call(msgspec.Struct, frozen=True):
    """What is kept of a call to find what continues it.

    `end`: digest of all its messages and its answer; `recorded_end`: with the answer as recorded.
    `turns`: the assistant turns of its request.
    """

    id: str
    is_example: bool
    end: bytes
    recorded_end: bytes
    turns: tuple[TurnDigest, ...]
    source: str
    label_id: str


def _continued(calls: Sequence[_Call]) -> dict[bytes, list[str]]:
    """Find the calls that others continue: ids by the digest of their end."""
    by_end: dict[bytes, list[str]] = {}
    for call in calls:
        by_end.setdefault(call.end, []).append(call.id)
    uses: Counter[bytes] = Counter()
    for call in calls:
        # The longest beginning that was a call itself: what it continues, itself continues more.
        ends = (turn.digest for turn in reversed(call.turns) if turn.digest in by_end)
        nearest = next(ends, None)
        if nearest is not None:
            uses[nearest] += 1
    return {end: by_end[end][:count] for end, count in uses.items()}


def _seed_of(tools: Sequence[Tool], run: str) -> bytes:
    """Digest what is offered, in whatever order, and the run it is offered in."""
    if not tools and not run:
        return b""
    offered = [_encode_sorted([t.kind, t.name, t.description, t.parameters]) for t in tools]
    return blake2b(_encode_sorted([run, sorted(offered)]), digest_size=DIGEST_BYTES).digest()


def _earlier_answers(messages: Sequence[Message]) -> frozenset[int]:
    return frozenset(i for i, message in enumerate(messages) if message.role == "assistant")


def _of_no_weight(messages: Sequence[Message]) -> frozenset[int]:
    """Find the answers that a fine-tuning line says are not to be trained."""
    return frozenset(
        i
        for i, message in enumerate(messages)
        if message.role == "assistant" and (message.extra or {}).get("weight") == 0
    )


def _indices(messages: Sequence[Message], lasts: Sequence[int]) -> frozenset[int]:
    """Return the indices of all messages of the assistant turns that end there."""
    indices: set[int] = set()
    for index in lasts:
        while index >= 0 and messages[index].role == "assistant":
            indices.add(index)
            index -= 1
    return frozenset(indices)


def _as_received(
    messages: Sequence[Message], untrained: frozenset[int], answers: dict[int, Span]
) -> tuple[tuple[Message, ...], frozenset[int]]:
    """Put answers as the upstream gave them, reasoning and all, for the turns sent back of them.

    `answers`: by the index of a turn's last message. Returns the messages and which of them are
    not trained.
    """
    received: list[Message] = []
    marks: set[int] = set()
    for index, message in enumerate(messages):
        if index in answers:
            turn = [message]
            while received and received[-1].role == "assistant":
                turn.insert(0, received.pop())
            message = _with_calls_of(answers[index].understood.choices[0].message, turn)
        elif index in untrained:
            marks.add(len(received))
        received.append(message)
    return tuple(received), frozenset(marks)


def _with_calls_of(answer: Message, turn: Sequence[Message]) -> Message:
    """Let an answer have the ids of its calls that the results sent after it go by."""
    calls = tuple(call for message in turn for call in message.tool_calls)
    if [call.id for call in calls] == [call.id for call in answer.tool_calls]:
        return answer
    return msgspec.structs.replace(answer, tool_calls=calls)


def _example(
    span: Span,
    messages: Sequence[Message],
    untrained: frozenset[int],
    continued: tuple[str, ...],
    answer_source: str,
    label_id: str,
) -> Example:
    understood = span.understood
    parallel = understood.settings.get("parallel_tool_calls")
    return Example(
        call_id=span.id,
        messages=(*messages, understood.choices[0].message),
        tools=understood.tools,
        parallel_tool_calls=parallel if isinstance(parallel, bool) else None,
        untrained=untrained,
        continued=continued,
        choice_count=len(understood.choices),
        answer_source=answer_source,
        label_id=label_id,
        started_at_ns=span.started_at_ns,
        request_model=understood.request_model,
    )


_encode_sorted = msgspec.json.Encoder(order="sorted").encode
