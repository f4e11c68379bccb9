"""Which calls become examples, and why the others do not. Every call is counted once.

A call is an example if it is a conversation, the record is whole, and a complete answer of the
assistant ends it. What fails for the sake of its answer alone (an error, a refusal, a reply cut
at its token limit) keeps its input and waits for a label: those are `NEEDS_LABEL`, and left out
for now, never silently. What the answer says is no reason: dropping bad answers drops hard inputs.

How the turns of a conversation, each recorded as a call that repeats the turns before, become
rows (`Turns`; exporters.turns):

    auto    one row for each branch of a conversation, as `leaf`, as far as it was linear: every
            turn is trained in the very context its call had, and nothing else is. Where history
            was compacted or edited, tools changed or reasoning was not sent back, a row of its
            own begins, with the turns before as context of weight 0. The default.
    leaf    one row for each branch of a conversation: the calls that no later call continues. All
            assistant turns are trained, but for those whose own call was left out above, although
            reasoning that clients did not send back is missing in them.
    last    one row for each call; only its own answer is trained, earlier turns have weight 0.
    chain   one row for a run of an agent: the calls of one trace, or of the group where the
            application sent none, in time order, as `auto`; but every answer stands as it was
            received, its reasoning too. A sub-agent (other instructions or tools) has its own.
"""

from enum import StrEnum

import msgspec

from exporters.windows import CONVERSATIONS
from storage.capture import Outcome
from storage.trace import Message, Side, Span, Tool


class Turns(StrEnum):
    """How the turns of a conversation become rows; see the module."""

    AUTO = "auto"
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
    HISTORY_ELSEWHERE = "history_elsewhere"  # kept upstream: the prompt, or turns not stored
    FAILED = "failed"  # the outcome is not `complete`
    ANSWER_CUT = "answer_cut"  # a stream without its end
    TOKEN_LIMIT = "token_limit"  # finish reason length, max_tokens, …
    REFUSED = "refused"  # by a content filter, or by the model where its dialect says so
    NO_ANSWER = "no_answer"  # neither text nor a tool call
    CONTINUED = "continued"  # a later call's row holds it
    CONTAMINATED = "contaminated"  # it gives away a row held out: `drop_contaminated`
    DUPLICATE = "duplicate"  # as many equal rows are there as there may be: `max_duplicates`
    # What the current tools say of recorded calls (exporters.toolsets); train and val only.
    TOOL_GONE = "tool_gone"  # `upgrade`: a tool that was called is no more
    TOOL_ARGUMENTS = "tool_arguments"  # `upgrade`: arguments the current schema does not accept
    TOOL_BREAKING = "tool_breaking"  # `drop`: offered with definitions that break
    # What a format cannot carry (exporters.formats).
    AUDIO = "audio"
    FILE = "file"
    IMAGE_PLACE = "image_place"  # an image anywhere but in a user message
    CONTENT_KIND = "content_kind"  # a search result, a block of a tool run upstream, …
    TOOL_KIND = "tool_kind"  # a tool or call that is no function
    ROLE = "role"  # a message of a role the dialects here do not have
    TOOL_NAME = "tool_name"  # not 1 to 64 of a-z, A-Z, 0-9, underscore, dash
    TOOL_SCHEMA = "tool_schema"  # parameters that are no JSON schema
    TOOL_RESULTS = "tool_results"  # a result without its tool call; Mistral: not one for each
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


NEEDS_LABEL = frozenset(
    {Reason.FAILED, Reason.ANSWER_CUT, Reason.TOKEN_LIMIT, Reason.REFUSED, Reason.NO_ANSWER}
    | {Reason.TOOL_GONE, Reason.TOOL_ARGUMENTS}
)

# The dialects' words: OpenAI chat, Responses, Anthropic; and Gemini's, behind OpenAI's API too.
_TOKEN_LIMITS = frozenset(
    {"length", "max_output_tokens", "max_tokens", "model_context_window_exceeded", "MAX_TOKENS"}
)
_REFUSALS = frozenset(
    {"content_filter", "refusal"}
    | {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"}
)


class Example(msgspec.Struct, frozen=True):
    """A row to be: the whole conversation, the answer last.

    `untrained`: indices of assistant messages with weight 0. `continued`: ids of the calls
    that this row holds besides its own. `choice_count`: answers the call had; the first is here.
    `answer_source` and `label_id`: where the answer is from, if it is not the recorded one.
    `rejected`: an answer that this one is preferred to; only preference formats ask for one.
    `pair_source`: why it is preferred, if there is one (exporters.pairs).
    `started_at_ns`, `request_model`: of its call. `tool_change`: how the tools it was recorded with
    differ from the current ones, where those are known; `tools_kept`: why they were not upgraded.
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
    pair_source: str = ""
    started_at_ns: int = 0
    request_model: str = ""
    tool_change: str = ""
    tools_kept: str = ""


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
