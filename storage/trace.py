"""The vocabulary: what a call means, whatever dialect it was spoken in.

A `Span` is derived from a `Capture` by `storage.derive`, a pure function, and can be derived
again when we understand more. Nothing is lost by that: the bytes stay in the store. Names follow
OpenTelemetry's GenAI conventions where they have one. What a dialect says that has no place
here is kept as the JSON it came in (`raw`, `extra`).
"""

from enum import StrEnum
from typing import Literal

import msgspec

from storage.capture import RELAYED, Dialect, Endpoint, Outcome

DERIVE_VERSION = 3

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Role = Literal["system", "developer", "user", "assistant", "tool"]


class Side(StrEnum):
    """Where a group's calls may go: see storage.reservation, and storage.sides for what changes."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"
    QUARANTINE = "quarantine"


class Apart(StrEnum):
    """A file beside those of the sides in which a call may leave. Nothing of it is trained on."""

    TARGETED = "targeted"
    TIME_HOLDOUT = "time_holdout"


class ToolCall(msgspec.Struct, frozen=True):
    """A tool call the model asked for. `arguments` is the text it wrote, JSON or not.

    `kind` is the dialect's word; `function_call` is the one of OpenAI's first function calls,
    which had no id. `raw` is the call as it was sent, where that held more than is here.
    """

    name: str
    arguments: str
    id: str = ""
    kind: str = "function"
    raw: dict[str, Json] | None = None


class Part(msgspec.Struct, frozen=True):
    """One piece of a message's content. `raw` is the piece as the dialect wrote it.

    A text has no `raw` unless it held more than its text (citations, a cache mark).
    """

    kind: Literal["text", "image", "audio", "file", "other"]
    text: str = ""
    raw: dict[str, Json] | None = None


class Message(msgspec.Struct, frozen=True):
    """One message. Text alone is a `str`; anything richer is parts, in order.

    `extra` is what else the message held. Under `role` it keeps a role that is none of ours; under
    `items` (Responses), `blocks` (Anthropic) or `parts` (Gemini) the whole message as sent, where
    order or detail would be lost otherwise: reasoning between calls, signatures, ids.
    """

    role: Role
    content: str | tuple[Part, ...] | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""
    reasoning: str = ""
    refusal: str = ""
    extra: dict[str, Json] | None = None

    @property
    def text(self) -> str:
        """The text of the content, its parts joined; refusals and reasoning are not content."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "".join(part.text for part in self.content if part.kind == "text")


class Tool(msgspec.Struct, frozen=True):
    """A tool the application offered. `parameters` is its JSON schema; `raw` what was sent."""

    name: str
    description: str = ""
    parameters: Json = None
    kind: str = "function"
    raw: dict[str, Json] | None = None


class Choice(msgspec.Struct, frozen=True):
    """One answer of possibly several. `finish_reason` is the dialect's own word."""

    message: Message
    finish_reason: str = ""
    index: int = 0
    logprobs: Json = None
    extra: dict[str, Json] | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the upstream counted them; None where it did not say.

    `input_tokens` is all of the input, in every dialect: `cached_tokens` (read from a cache) and
    `cache_write_tokens` (written to one) are parts of it, `reasoning_tokens` part of the output,
    and each of the two counts of audio part of its side. Of what was written to a cache,
    `cache_write_1h_tokens` stay for an hour and cost more.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    cache_write_1h_tokens: int | None = None


class Understood(msgspec.Struct, frozen=True):
    """What a wire format makes of one call's bodies: the part of a Span that is the dialect's.

    `note` says in one sentence what could not be understood, and is empty when all was.
    `ended`: the answer came to its proper end (for a stream: its terminal event was seen).
    `instruction_count`: how many of the first messages are the request's `instructions`, which a
    call that continues this one does not take over (Responses).
    """

    request_model: str = ""
    response_model: str = ""
    streamed: bool = False
    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    choices: tuple[Choice, ...] = ()
    usage: Usage = Usage()
    settings: dict[str, Json] = {}  # what else the request said: sampling, response_format, …
    metadata: dict[str, str] = {}
    user_id: str = ""
    provider_id: str = ""  # the upstream's id of the answer: chatcmpl-…, resp_…, msg_…
    previous_id: str = ""  # Responses: previous_response_id
    conversation_id: str = ""  # Responses: conversation
    instruction_count: int = 0
    system_fingerprint: str = ""
    service_tier: str = ""  # what the answer was served and is priced as: default, flex, …
    error_code: str = ""  # of the upstream's error body, if it sent one
    error_message: str = ""
    ended: bool = False
    note: str = ""
    extra: dict[str, Json] | None = None  # what else the answer said: usage as sent, citations, …


class Span(msgspec.Struct, frozen=True):
    """A call understood."""

    id: str
    project: str
    upstream: str
    dialect: Dialect
    endpoint: Endpoint
    method: str
    path: str  # without query
    started_at_ns: int  # since 1970 UTC
    duration_ms: float
    time_to_first_token_ms: float | None
    outcome: Outcome
    status_code: int | None
    error: str
    session_id: str
    trace_id: str  # W3C trace id of the request, else the call's own id
    user_id: str
    tags: dict[str, str]
    redacted: bool
    truncated: bool
    understood: Understood
    source: str = RELAYED
    derive_version: int = DERIVE_VERSION

    @property
    def finish_reason(self) -> str:
        """That of the first choice; empty when there is none."""
        choices = self.understood.choices
        return choices[0].finish_reason if choices else ""
