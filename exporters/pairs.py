"""Preference pairs of a group's calls: which of two answers to the same request is better.

In the order in which they count, the first that a call has:

    label          the answer that the label policy chooses, over the recorded one
    score          of the calls that made the same request, one with higher scores over one with
                   lower: at least one name both have is higher, and none is lower. Booleans count
                   as 0 and 1, texts do not count, of a name the newest score counts
    regeneration   the last answer to a request over the ones before it, which somebody asked to be
                   replaced. Weak evidence: only if asked for

A row is made of the call that loses, so a call has at most one; the call whose answer is better is
in its `continued`, and `pair_source` says which of the three it was. Answers that say the same
(text and tool calls, white space aside) are no pair. Requests are the same if their messages and
tools are, byte for byte, or the recorder found one to be the other's regeneration.

Limits: `CALLS_HELD_MAX` calls of a group are compared, the first ones; those after them are counted
as unpaired. At most that many comparisons are made for each call.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from exporters.labelling import LabelPolicy, choose
from exporters.selection import Example
from storage.labels import Label, Score
from storage.trace import Message, Span

CALLS_HELD_MAX = 1_000
LABEL, SCORE, REGENERATION = "label", "score", "regeneration"


class Pairs:
    """The calls of one group and one side, becoming pairs.

    `add` every call that is an example, in the order of their ids; then take `examples`.
    """

    def __init__(self, policy: LabelPolicy, *, with_regenerations: bool = False) -> None:
        self._policy = policy
        self._with_regenerations = with_regenerations
        self._calls: list[_Call] = []
        self.unpaired_count = 0  # calls in no row, known after `examples`
        self.continued_count = 0  # calls without a row of their own, in another's; as above

    def add(
        self,
        span: Span,
        *,
        labels: Sequence[Label] = (),
        scores: Iterable[Score] = (),
        regenerated_from: str = "",
    ) -> None:
        """Take in a call as it was recorded, and what was said of it, the oldest first."""
        if len(self._calls) >= CALLS_HELD_MAX:
            self.unpaired_count += 1
            return
        values = {
            score.name: float(score.value) for score in scores if not isinstance(score.value, str)
        }
        self._calls.append(_Call(span, tuple(labels), values, regenerated_from))

    def examples(self) -> Iterator[Example]:
        """Yield a row for each call whose answer another is preferred to."""
        rows, better = set[str](), set[str]()
        for request in _by_request(self._calls):
            for call in request:
                example = self._example(call, request)
                if example:
                    rows.add(call.span.id)
                    better.update(example.continued)
                    yield example
        self.continued_count = len(better - rows)
        self.unpaired_count += len(self._calls) - len(better | rows)

    def _example(self, call: "_Call", request: Sequence["_Call"]) -> Example | None:
        label = choose(call.labels, self._policy)
        if label and _canonical(label.message) != _canonical(call.answer):
            return _pair(call, label.message, LABEL, label=label)
        # An answer that the policy took is the best there is of its call.
        winner = None if label else _winner(call, request)
        if winner:
            return _pair(call, winner.answer, SCORE, winner=winner)
        if self._with_regenerations and not label:
            last = request[-1]
            is_earlier = call.span.id < last.span.id and last.regenerated_from
            if is_earlier and _canonical(last.answer) != _canonical(call.answer):
                return _pair(call, last.answer, REGENERATION, winner=last)
        return None


@dataclass(frozen=True)
class _Call:
    span: Span
    labels: tuple[Label, ...]
    values: dict[str, float]
    regenerated_from: str

    @property
    def answer(self) -> Message:
        return self.span.understood.choices[0].message


def _by_request(calls: Sequence[_Call]) -> list[list[_Call]]:
    """Divide calls by what they asked, in the order of their ids."""
    first_of: dict[str, str] = {}  # a call, or the digest of a request -> the first such call
    requests: dict[str, list[_Call]] = defaultdict(list)
    for call in sorted(calls, key=lambda call: call.span.id):
        understood = call.span.understood
        asked = msgspec.json.encode([understood.messages, understood.tools])
        digest = blake2b(asked, digest_size=16).hexdigest()
        first = first_of.get(call.regenerated_from) or first_of.get(digest) or call.span.id
        first_of.setdefault(digest, first)
        first_of[call.span.id] = first
        requests[first].append(call)
    return list(requests.values())


def _winner(call: _Call, request: Sequence[_Call]) -> _Call | None:
    """Find whose answer is better by its scores: of several the best, then the newest."""
    winner: _Call | None = None
    for other in request:
        if _is_better(other, call) and (winner is None or not _is_better(winner, other)):
            winner = other
    return winner


def _is_better(one: _Call, other: _Call) -> bool:
    shared = one.values.keys() & other.values.keys()
    return (
        any(one.values[name] > other.values[name] for name in shared)
        and all(one.values[name] >= other.values[name] for name in shared)
        and _canonical(one.answer) != _canonical(other.answer)
    )


def _canonical(message: Message) -> object:
    """Return what two answers are compared by."""
    calls = [(call.name, "".join(call.arguments.split())) for call in message.tool_calls]
    return "".join((message.text or message.refusal).split()), calls


def _pair(
    call: _Call,
    preferred: Message,
    source: str,
    *,
    label: Label | None = None,
    winner: _Call | None = None,
) -> Example:
    understood = call.span.understood
    parallel = understood.settings.get("parallel_tool_calls")
    return Example(
        call_id=call.span.id,
        messages=(*understood.messages, preferred),
        tools=understood.tools,
        parallel_tool_calls=parallel if isinstance(parallel, bool) else None,
        untrained=frozenset(),
        continued=(winner.span.id,) if winner else (),
        choice_count=1,
        answer_source=label.source.value if label else "original",
        label_id=label.id if label else "",
        rejected=call.answer,
        pair_source=source,
        started_at_ns=call.span.started_at_ns,
        request_model=understood.request_model,
    )
