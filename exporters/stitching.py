"""The turns an upstream kept for the application, put before the calls that go on from them.

With `previous_response_id` or `conversation` the Responses API keeps the earlier turns, and a
request holds only what is new. Where all of them are calls of the group, stored and whole, the
call becomes what it would have been had it sent its whole history: the messages of the call it
continues, that call's answer, its own messages. `instructions` are not carried over, neither by the
API nor here: those of the newest request are what the model saw, and so are its tools.

    previous_response_id    the call is the earliest of the group whose answer had that id. Calls
                            may come in any order, from several hosts.
    conversation            the history is what the calls of the conversation before it said, in
                            order. Of two at once nobody knows the order, and an application can
                            put items into a conversation by other means: it counts as known only
                            as far as no two calls overlapped, all of them were whole, and the
                            upstream's count of input tokens is no more than UNSEEN_RATIO_MAX of
                            what the messages here are estimated at (storage.usage).

A call whose history is not known stays as it was, and exporters.selection leaves it out
(`history_elsewhere`): an ancestor that is missing, failed, was cut, or is still being made
(`background`); a prompt kept upstream (`prompt`), in itself or in an ancestor. What the upstream
itself leaves out of a history (`truncation: auto`, compaction) cannot be seen from outside.

Limits: SPANS_HELD_MAX calls of a group are held, at about 10 KB each, others are read again; a
chain of more than CHAIN_MAX calls is not stitched. Calls of other dialects pass at no cost.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import msgspec

from storage.capture import Endpoint, Outcome
from storage.trace import Choice, Span
from storage.usage import NO_USAGE, usage_of

SPANS_HELD_MAX = 1_000
CHAIN_MAX = 10_000
# Of 333 recorded inputs 75 are counted at more than this although all of them is here (built-in
# tools bring prompts of their own): such conversations are left out, too.
UNSEEN_RATIO_MAX = 1.5
UNSEEN_TOKENS_MAX = 64  # what a server adds to the shortest input

Tag = TypeVar("Tag")


class Histories:
    """The calls of one group, each to be had with its whole history.

    `read_again` fetches the span of a call of the group as it was recorded, None if its body is
    gone; it is asked for calls that are no longer held.
    """

    def __init__(self, read_again: Callable[[str], Span | None]) -> None:
        self._read_again = read_again
        self._held: dict[str, Span] = {}
        self._by_answer: dict[str, str] = {}  # earliest call's id by its answer's
        self._conversations: dict[str, list[str]] = {}
        self._unknown: set[str] = set()  # calls whose history was looked for in vain

    def whole(self, calls: Iterable[tuple[Tag, Span]]) -> Iterator[tuple[Tag, Span]]:
        """Yield the calls of a group with their histories, each with what it came with.

        The calls come in the order of their ids, and so they go, but for those that continue a
        call with a later id (clocks of two hosts): these come last.
        """
        waiting: list[tuple[Tag, str]] = []
        for tag, span in calls:
            if span.endpoint is not Endpoint.RESPONSES:
                yield tag, span
                continue
            self._note(span)
            if _is_continued(span):
                found = self.again(span)
                if found is span and span.understood.previous_id:
                    waiting.append((tag, span.id))
                    continue
                span = found
            yield tag, span
        self._unknown.clear()  # what was in vain before may be there now
        for tag, call_id in waiting:
            yield tag, self.again(self._span(call_id))

    def again(self, span: Span) -> Span:
        """Return a call of the group, as recorded, with its history; as it is if that is unknown.

        Of calls that `whole` has yielded, this gives the same span again.
        """
        children: list[Span] = []
        parent: Span | None = span
        try:
            while parent is not None and _is_continued(parent):
                children.append(parent)
                if parent.id in self._unknown or len(children) > CHAIN_MAX:
                    raise _HistoryUnknown
                parent = self._parent(parent)
            for child in reversed(children):
                parent = _joined(parent, child)
                self._hold(parent)
        except _HistoryUnknown:
            self._unknown.update(child.id for child in children)
            return span
        return parent or span

    def _note(self, span: Span) -> None:
        """Make a call known to those that continue it."""
        self._hold(span)
        understood = span.understood
        if understood.provider_id:
            earliest = self._by_answer.setdefault(understood.provider_id, span.id)
            self._by_answer[understood.provider_id] = min(earliest, span.id)
        if understood.conversation_id:
            self._conversations.setdefault(understood.conversation_id, []).append(span.id)

    def _parent(self, span: Span) -> Span | None:
        """Find the call that a call continues, None if it is the first of its conversation."""
        understood = span.understood
        if understood.previous_id:
            return self._span(self._by_answer.get(understood.previous_id, ""))
        members = self._conversations.get(understood.conversation_id, [])
        for call_id in reversed(members[: bisect_left(members, span.id)]):
            before = self._span(call_id)
            if not _added_nothing(before):
                return before
        return None

    def _span(self, call_id: str) -> Span:
        span = self._held.get(call_id) or (self._read_again(call_id) if call_id else None)
        if span is None:
            raise _HistoryUnknown
        return span

    def _hold(self, span: Span) -> None:
        # The newest stay: a call is continued soon, or never.
        self._held.pop(span.id, None)
        self._held[span.id] = span
        if len(self._held) > SPANS_HELD_MAX:
            del self._held[next(iter(self._held))]


class _HistoryUnknown(Exception):
    """Something of a call's history is not here."""


def _is_continued(span: Span) -> bool:
    """Tell whether a call goes on from turns that its upstream keeps."""
    return bool(span.understood.previous_id or span.understood.conversation_id)


def _joined(parent: Span | None, child: Span) -> Span:
    """Put a parent's turns, which are whole themselves, before its child's."""
    understood = child.understood
    messages = understood.messages
    in_conversation = bool(understood.conversation_id)
    if in_conversation and understood.previous_id:
        raise _HistoryUnknown  # the API forbids it
    if parent is not None:
        if in_conversation and _ended_at_ns(parent) > child.started_at_ns:
            raise _HistoryUnknown
        own, before = understood.instruction_count, parent.understood
        earlier = (*before.messages[before.instruction_count :], _continuable(parent).message)
        messages = (*messages[:own], *earlier, *messages[own:])
    joined = msgspec.structs.replace(
        child,
        understood=msgspec.structs.replace(
            understood, messages=messages, previous_id="", conversation_id=""
        ),
    )
    if in_conversation and not _is_all(joined):
        raise _HistoryUnknown
    return joined


def _continuable(span: Span) -> Choice:
    """Return the answer of a call that can be gone on from: whole, and with a known history."""
    understood = span.understood
    whole = (
        span.outcome is Outcome.COMPLETE
        and not span.truncated
        and understood.ended
        and understood.messages
        and understood.choices
        and not _is_continued(span)
        and understood.settings.get("prompt") is None
    )
    if not whole:
        raise _HistoryUnknown
    return understood.choices[0]


def _added_nothing(span: Span) -> bool:
    """Tell whether a call left its conversation as it was: the upstream refused it."""
    refused = span.status_code is None or span.status_code >= 400
    return refused and span.outcome in (
        Outcome.UPSTREAM_ERROR,
        Outcome.UPSTREAM_UNREACHABLE,
        Outcome.REFUSED,
    )


def _is_all(span: Span) -> bool:
    """Tell whether the upstream counted about as much input as there is here."""
    tokens = span.understood.usage.input_tokens
    uncounted = msgspec.structs.replace(span.understood, usage=NO_USAGE)
    estimate = usage_of(msgspec.structs.replace(span, understood=uncounted))[0].input_tokens
    if tokens is None or estimate is None:
        return False
    return tokens <= UNSEEN_RATIO_MAX * estimate + UNSEEN_TOKENS_MAX


def _ended_at_ns(span: Span) -> int:
    return span.started_at_ns + round(span.duration_ms * 1e6)
