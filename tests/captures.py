"""A call as a worker captures it, and as it is understood, for tests and benchmarks.

What they do not say of it is as of any other: a chat completion that OpenAI answered at once.
"""

from typing import Any, Final

import msgspec

from storage.capture import Body, Capture, Dialect, Endpoint, Outcome
from storage.trace import Span, Understood

_JSON: Final = [(b"content-type", b"application/json")]
_CAPTURE: Final = Capture(
    id="0" * 32,
    project="default",
    upstream="openai",
    dialect=Dialect.OPENAI,
    method="POST",
    target="/v1/chat/completions",
    request_headers=_JSON,
    request_body=Body(),
    status_code=200,
    response_headers=_JSON,
    response_body=Body(),
    outcome=Outcome.COMPLETE,
    error="",
    started_at_ns=0,
    forwarded_ns=1_000,
    response_started_ns=2_000,
    first_byte_ns=3_000,
    ended_ns=4_000,
    overhead_ns=1_000,
    redacted=False,
)
_SPAN: Final = Span(
    id=_CAPTURE.id,
    project="default",
    upstream="openai",
    dialect=Dialect.OPENAI,
    endpoint=Endpoint.CHAT_COMPLETIONS,
    method="POST",
    path="/v1/chat/completions",
    started_at_ns=0,
    duration_ms=1.0,
    time_to_first_token_ms=None,
    outcome=Outcome.COMPLETE,
    status_code=200,
    error="",
    session_id="",
    trace_id=_CAPTURE.id,
    user_id="",
    tags={},
    redacted=False,
    truncated=False,
    understood=Understood(),
)


def plain_capture(request: bytes = b"", response: bytes = b"", **fields: Any) -> Capture:
    """Capture a call with these bodies and fields."""
    bodies = {
        "request_body": Body(request, len(request)),
        "response_body": Body(response, len(response)),
    }
    return msgspec.structs.replace(_CAPTURE, **bodies | fields)


def plain_span(understood: Understood, **fields: Any) -> Span:
    """Wrap what was understood as a call with these fields."""
    return msgspec.structs.replace(_SPAN, understood=understood, **fields)
