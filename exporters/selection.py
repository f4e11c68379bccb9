"""Which calls become examples, and why the others do not. Every call is counted once.

A call is an example if it is a conversation, the record is whole, and a complete answer of the
assistant ends it. What fails for the sake of its answer alone (an error, a refusal, a reply cut
at its token limit) keeps its input and waits for a label: those are `NEEDS_LABEL`, and left out
for now, never silently. What the answer says is no reason: dropping bad answers drops hard inputs.

How the turns of a conversation, each recorded as a call that repeats the turns before, become
rows (`Turns`):

    leaf    one row for each branch of a conversation: the calls that no later call continues. All
            assistant turns are trained, but for those whose own call was left out above.
    last    one row for each call; only its own answer is trained, earlier turns have weight 0.
            For models whose template strips earlier reasoning.
    chain   one row for each call, as it is, in the order of time: the steps of an agent's run.

A call continues another if its messages begin with the other's messages and answer. Compared is
what a model would see, tolerant of what clients change when they send it back: white space, ids,
names, key order in arguments, one assistant message written as two, the clock in a system message.
Where equal calls were made, each continuation uses up one of them, so frequencies stay natural.

Limits: of a group, 100 bytes a message and `CALLS_HELD_MAX` calls are held; others are read again.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

import msgspec

from exporters.windows import CONVERSATIONS
from storage.capture import Outcome
from storage.grouping import masked
from storage.trace import Message, Part, Side, Span, Tool

CALLS_HELD_MAX = 1_000  # calls of one group kept in memory, at about 10 KB each


class Turns(StrEnum):
    """How the turns of a conversation become rows; see the module."""

    LEAF = "leaf"
    LAST = "last"
    CHAIN = "chain"


class Reason(StrEnum):
    """Why a call is no row of its own."""

    QUARANTINE = "quarantine"  # its group was found on two sides
    TARGETED = "targeted"  # its group is in a targeted test set: train and val only
    TIME_HOLDOUT = "time_holdout"  # its group is, or was, held out by its time: train and val only
    SYNTHETIC = "synthetic"  # made up: no call to test with
    NOT_A_CONVERSATION = "not_a_conversation"  # embeddings, a list of models, …
    NOT_MATCHING = "not_matching"  # the filter; train and val only
    BODY_DELETED = "body_deleted"  # by its age: `retain_bodies_days`
    BODY_CUT = "body_cut"  # longer than body_bytes_max: not all of it was kept
    NOT_UNDERSTOOD = "not_understood"  # no messages could be read
    HISTORY_ELSEWHERE = "history_elsewhere"  # the upstream keeps the earlier turns, or the prompt
    FAILED = "failed"  # the outcome is not `complete`
    ANSWER_CUT = "answer_cut"  # a stream without its end
    TOKEN_LIMIT = "token_limit"  # finish reason length, max_tokens, …
    REFUSED = "refused"  # by a content filter, or by the model where its dialect says so
    NO_ANSWER = "no_answer"  # neither text nor a tool call
    CONTINUED = "continued"  # `leaf`: a later call's row holds it
    # What a format cannot carry (exporters.formats).
    AUDIO = "audio"
    FILE = "file"
    IMAGE_PLACE = "image_place"  # an image anywhere but in a user message
    CONTENT_KIND = "content_kind"  # a search result, a block of a tool run upstream, …
    TOOL_KIND = "tool_kind"  # a tool or call that is no function
    ROLE = "role"  # a message of a role the dialects here do not have
    TOOL_NAME = "tool_name"  # not 1 to 64 of a-z, A-Z, 0-9, underscore, dash
    TOOL_SCHEMA = "tool_schema"  # parameters that are no JSON schema
    TOOL_RESULTS = "tool_results"  # not one result for each tool call
    TOOLS = "tools"  # a tool call, where rows are text
    ARGUMENTS = "arguments"  # no JSON object, or one that an object cannot hold unchanged
    CONTENT_WITH_CALLS = "content_with_calls"  # a text and tool calls in one message
    PARALLEL_CALLS = "parallel_calls"  # several tool calls, or results, at once
    TURN_ORDER = "turn_order"  # roles follow each other in a way the trainer refuses
    EMPTY_TURN = "empty_turn"  # a message that says nothing
    SEVERAL_TURNS = "several_turns"  # more than one input and its answer
    UNTRAINED_TURN = "untrained_turn"  # a turn not to be trained, and no way to say so
    IMAGE = "image"  # rows are text
    IMAGE_REMOTE = "image_remote"  # a URL where the data is asked for: nothing is fetched
    IMAGE_KIND = "image_kind"  # not of the kinds the trainer reads
    IMAGE_BYTES = "image_bytes"  # larger than 10 MB
    IMAGE_COUNT = "image_count"  # more than ten
    NO_LABEL = "no_label"  # the answer is no label, or its JSON has not the field asked for
    NO_PAIR = "no_pair"  # nothing that its answer is preferred to
    NOT_UNICODE = "not_unicode"  # half of a surrogate pair: no loader reads it


NEEDS_LABEL = frozenset(
    {Reason.FAILED, Reason.ANSWER_CUT, Reason.TOKEN_LIMIT, Reason.REFUSED, Reason.NO_ANSWER}
)

# The dialects' words: OpenAI chat, Responses, Anthropic; and Gemini's behind OpenAI's.
_TOKEN_LIMITS = frozenset(
    {"length", "max_output_tokens", "max_tokens", "model_context_window_exceeded", "MAX_TOKENS"}
)
_REFUSALS = frozenset({"content_filter", "refusal", "SAFETY"})


@dataclass(frozen=True)
class Example:
    """A row to be: the whole conversation, the answer last.

    `untrained`: indices of assistant messages with weight 0. `continued`: ids of the calls
    that this row holds besides its own. `choice_count`: answers the call had; the first is here.
    `answer_source` and `label_id`: where the answer is from, if it is not the recorded one.
    `rejected`: an answer that this one is preferred to; only preference formats ask for one.
    """

    call_id: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    parallel_tool_calls: bool | None
    untrained: frozenset[int]
    continued: tuple[str, ...]
    choice_count: int
    answer_source: str = "original"
    label_id: str = ""
    rejected: Message | None = None


def reason_against(span: Span, side: Side, matches: bool) -> Reason | None:
    """Say why a call is no example, None if it is one. `matches`: the filter, if there is any."""
    understood = span.understood
    answer = understood.choices[0] if understood.choices else None
    if side is Side.QUARANTINE:
        return Reason.QUARANTINE
    if span.endpoint not in CONVERSATIONS:
        return Reason.NOT_A_CONVERSATION
    if not matches and side is not Side.TEST:
        return Reason.NOT_MATCHING
    if span.truncated:
        return Reason.BODY_CUT
    if not understood.messages:
        return Reason.NOT_UNDERSTOOD
    if understood.previous_id or understood.conversation_id or understood.settings.get("prompt"):
        return Reason.HISTORY_ELSEWHERE
    if span.outcome is not Outcome.COMPLETE:
        return Reason.FAILED
    if not understood.ended:
        return Reason.ANSWER_CUT
    if answer is None:
        return Reason.NO_ANSWER
    if answer.finish_reason in _TOKEN_LIMITS:
        return Reason.TOKEN_LIMIT
    if answer.finish_reason in _REFUSALS or answer.message.refusal:
        return Reason.REFUSED
    if not answer.message.content and not answer.message.tool_calls:
        return Reason.NO_ANSWER
    return None


class Conversations:
    """The calls of one group, in the order of their ids, becoming examples.

    `add` every call of the group, those that are no examples too; then take `examples`.
    `read_again` fetches what is no longer held.
    """

    def __init__(self, turns: Turns, read_again: Callable[[str], Span]) -> None:
        self._turns = turns
        self._read_again = read_again
        self._calls: list[_Call] = []
        self._held: dict[str, Span] = {}
        self.continued_count = 0  # calls that have no row of their own, known after `examples`

    def add(self, span: Span, reason: Reason | None) -> None:
        """Take in a call; `reason`: why it is no example, None if it is one."""
        if self._turns is not Turns.LEAF and reason:
            return
        self._calls.append(_call_of(span, is_example=reason is None))
        if reason is None and len(self._held) < CALLS_HELD_MAX:
            self._held[span.id] = span

    def examples(self) -> Iterator[Example]:
        """Yield the rows of the group. Calls that were added as examples and are in no row's
        `call_id` are in the `continued` of one or more."""
        good = [call for call in self._calls if call.is_example]
        continued = _continued(good) if self._turns is Turns.LEAF else {}
        gone = {call_id for call_ids in continued.values() for call_id in call_ids}
        self.continued_count = len(gone)
        trusted = {call.end for call in good}
        refused = {call.end for call in self._calls if not call.is_example} - trusted
        for call in good:
            if call.id in gone:
                continue
            span = self._held.pop(call.id, None) or self._read_again(call.id)
            held = [call_id for _, prefix in call.prefixes for call_id in continued.get(prefix, ())]
            yield _example(span, self._untrained(span, call, refused), tuple(held))

    def _untrained(self, span: Span, call: "_Call", refused: set[bytes]) -> frozenset[int]:
        messages = span.understood.messages
        if self._turns is Turns.CHAIN:
            return frozenset()
        if self._turns is Turns.LAST:
            return frozenset(i for i, message in enumerate(messages) if message.role == "assistant")
        untrained: set[int] = set()
        for index, prefix in call.prefixes:
            if prefix in refused:
                while index >= 0 and messages[index].role == "assistant":
                    untrained.add(index)
                    index -= 1
        return frozenset(untrained)


@dataclass(frozen=True)
class _Call:
    """What is kept of a call to find what continues it. `end`: digest of all its messages and
    its answer. `prefixes`: for each assistant turn of the request, where it ends and the digest of
    the messages up to there."""

    id: str
    is_example: bool
    end: bytes
    prefixes: tuple[tuple[int, bytes], ...]


def _call_of(span: Span, is_example: bool) -> _Call:
    understood = span.understood
    answers = tuple(choice.message for choice in understood.choices[:1])
    *_, (_, end) = [(0, b""), *_digests(understood.messages + answers)]
    prefixes = [
        (index, digest)
        for index, digest in _digests(understood.messages)
        if understood.messages[index].role == "assistant"
    ]
    return _Call(span.id, is_example, end, tuple(prefixes))


def _continued(calls: Sequence[_Call]) -> dict[bytes, list[str]]:
    """Find the calls that others continue: ids by the digest of their end."""
    by_end: dict[bytes, list[str]] = {}
    for call in calls:
        by_end.setdefault(call.end, []).append(call.id)
    uses: Counter[bytes] = Counter()
    for call in calls:
        # The longest beginning that was a call itself: what it continues, itself continues more.
        nearest = next((end for _, end in reversed(call.prefixes) if end in by_end), None)
        if nearest is not None:
            uses[nearest] += 1
    return {end: by_end[end][:count] for end, count in uses.items()}


def _example(span: Span, untrained: frozenset[int], continued: tuple[str, ...]) -> Example:
    understood = span.understood
    parallel = understood.settings.get("parallel_tool_calls")
    return Example(
        call_id=span.id,
        messages=(*understood.messages, understood.choices[0].message),
        tools=understood.tools,
        parallel_tool_calls=parallel if isinstance(parallel, bool) else None,
        untrained=untrained,
        continued=continued,
        choice_count=len(understood.choices),
    )


def _digests(messages: Sequence[Message]) -> Iterator[tuple[int, bytes]]:
    """Yield, for each turn, the index of its last message and a digest of all up to there."""
    digest = b""
    index = -1
    for is_assistant, run in groupby(messages, key=lambda message: message.role == "assistant"):
        together = list(run)
        turns = [together] if is_assistant else [[message] for message in together]
        for turn in turns:
            index += len(turn)
            digest = hashlib.blake2b(digest + _canonical(turn), digest_size=16).digest()
            yield index, digest


def _canonical(turn: Sequence[Message]) -> bytes:
    """Write what a model would see of a turn, without what clients change on the way back."""
    instructs = turn[0].role in ("system", "developer")
    text = "".join(message.text + message.refusal for message in turn)
    said: list[str] = ["system" if instructs else turn[0].role]
    said.append("".join((masked(text) if instructs else text).split()))
    for message in turn:
        said += [f"{call.name} {_canonical_json(call.arguments)}" for call in message.tool_calls]
        if isinstance(message.content, tuple):
            said += [_canonical_part(part) for part in message.content if part.kind != "text"]
    return "\x1f".join(said).encode("utf-8", "surrogatepass")


def _canonical_part(part: Part) -> str:
    raw = {key: value for key, value in (part.raw or {}).items() if key != "cache_control"}
    return hashlib.sha256(_encode_sorted([part.kind, part.text, raw])).hexdigest()


def _canonical_json(text: str) -> str:
    try:
        return _encode_sorted(msgspec.json.decode(text)).decode()
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return text


_encode_sorted = msgspec.json.Encoder(order="sorted").encode
