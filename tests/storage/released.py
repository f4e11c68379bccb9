"""Calls in the stored databases of released schemas, made by hand (tests/corpus/stores).

A database `NNNN.sqlite` was written by the last code of revision NNNN: `calls()` inserted in two
batches, the writer closed, a dataset recorded. Never write one anew: it stands for those out there.
"""

import json

from storage.capture import Body, Capture, Dialect, Outcome

GZIPPED = bytes.fromhex(  # other versions of zlib write other bytes
    "1f8b0800000000000203ab56ca4c51b252504ace482c49ce2dc8d13556d201f1f23393538b81"
    "12d1b1b500dea2ec3823000000"
)
START_NS = 1_790_000_000_000_000_000  # 21 September 2026
WRITER = "ab" * 16


def calls() -> list[Capture]:
    """Return every call that is in the databases, in the order of their ids."""
    question = json.dumps(
        {"model": "small-1", "messages": [{"role": "user", "content": "Ü?" * 99}]}
    )
    answer = {
        "id": "chatcmpl-1",
        "model": "small-1-0613",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "No."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }
    plain = json.dumps(answer).encode()
    events = (
        b'data: {"id":"chatcmpl-2","choices":[{"delta":{"content":"Yes"}}]}\n\ndata: [DONE]\n\n'
    )
    first = {"model": "large-2", "input": "Hello", "store": True}
    second = {"model": "large-2", "input": "And then?", "previous_response_id": "resp_1"}
    stored = [b'{"id": "resp_%d", "output": []}' % number for number in (1, 2)]
    tags = (("x-shalt-tag-task", "intent"), ("x-shalt-session", "s1"))
    return [
        _call(1, question.encode(), plain, *tags),
        _call(2, question.encode(), events, type="text/event-stream"),
        _call(3, question.encode(), GZIPPED, encoding="gzip"),
        _call(4, b"\x00\xff not JSON \xfe", b"", outcome=Outcome.UPSTREAM_CUT, status=502),
        _call(5, json.dumps(first).encode(), stored[0], path="/v1/responses"),
        _call(6, json.dumps(second).encode(), stored[1], path="/v1/responses"),
        _call(7, b"{}", b"{}", project="other"),
        _call(8, b"x" * 3_000, b"", outcome=Outcome.INTERRUPTED, truncated=True),
    ]  # fmt: skip


def _call(
    number: int,
    request: bytes,
    response: bytes,
    *headers: tuple[str, str],
    path: str = "/v1/chat/completions",
    project: str = "default",
    type: str = "application/json",
    encoding: str = "",
    outcome: Outcome = Outcome.COMPLETE,
    status: int = 200,
    truncated: bool = False,
) -> Capture:
    answered = [(b"content-type", type.encode()), (b"x-odd", b"\xff\xfe")]
    if encoding:
        answered.append((b"content-encoding", encoding.encode()))
    return Capture(
        id=f"{START_NS // 10**6 + number:012x}{number:020x}",
        project=project,
        upstream="openai",
        dialect=Dialect.OPENAI,
        method="POST",
        target=f"{path}?n={number}",
        request_headers=[(name.encode(), value.encode()) for name, value in headers],
        request_body=Body(
            request, len(request) + truncated, "01" * 32 if truncated else "", truncated
        ),
        status_code=status,
        response_headers=answered,
        response_body=Body(response, len(response)),
        outcome=outcome,
        error="the upstream hung up" if outcome is Outcome.UPSTREAM_CUT else "",
        started_at_ns=START_NS + number * 10**6,
        forwarded_ns=1_000 * number,
        response_started_ns=2_000 * number,
        first_byte_ns=3_000 * number,
        ended_ns=4_000 * number,
        overhead_ns=500,
        redacted=number == 3,
    )
