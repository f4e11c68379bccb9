"""Every capture gives a span: ours, recorded ones, and bytes that are nothing at all."""

import gzip
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.capture import Body, Capture, Dialect, Endpoint, Outcome
from storage.derive import (
    NAME_CHARS_MAX,
    TAG_KEY_CHARS_MAX,
    TAG_VALUE_CHARS_MAX,
    TAGS_MAX,
    derive,
)
from storage.trace import Json, Message
from storage.wire import Object, as_array, as_object, read_object, read_stream
from tests.storage.traffic import (
    STREAMS,
    body_of,
    capture,
    capture_of,
    needs_recordings,
    recordings,
)

REQUEST = b'{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}'
STREAM = STREAMS["chat_text"]
CHAT = (b"content-type", b"text/event-stream; charset=utf-8")
TRACE = "0af7651916cd43dd8448eb211c80319c"


def note(made: Capture) -> str:
    return derive(made).understood.note


def test_a_call_is_understood_with_its_times_and_outcome() -> None:
    span = derive(capture(request=REQUEST, response=STREAM, response_headers=[CHAT]))
    assert (span.endpoint, span.dialect, span.path) == (
        Endpoint.CHAT_COMPLETIONS,
        Dialect.OPENAI,
        "/v1/chat/completions",
    )
    assert (span.duration_ms, span.time_to_first_token_ms) == (4.0, 3.0)
    assert (span.outcome, span.finish_reason) == (Outcome.COMPLETE, "stop")
    assert (span.understood.streamed, span.understood.ended, span.understood.note) == (
        *(True, True, ""),
    )
    assert span.trace_id == span.id


@pytest.mark.parametrize(
    ("target", "dialect", "headers", "expected"),
    [
        ("/v1/chat/completions", Dialect.RAW, [], Dialect.OPENAI),
        ("/openai/deployments/g/chat/completions?api-version=1", Dialect.RAW, [], Dialect.OPENAI),
        ("/u/x/api/v1/responses", Dialect.ANTHROPIC, [], Dialect.OPENAI),
        ("/v1/messages?beta=true", Dialect.OPENAI, [], Dialect.ANTHROPIC),
        ("/v1/threads/t/messages", Dialect.OPENAI, [], None),
        ("/v1/threads/t/messages", Dialect.ANTHROPIC, [], Dialect.ANTHROPIC),
        ("/threads/messages", Dialect.RAW, [(b"anthropic-version", b"1")], Dialect.ANTHROPIC),
        ("/v1/messages/count_tokens", Dialect.ANTHROPIC, [], None),
        ("/v1/embeddings?note=:embedContent", Dialect.RAW, [], Dialect.OPENAI),
        ("/v1beta/models/g:generateContent", Dialect.RAW, [], Dialect.GEMINI),
        ("/v1beta/models/g:embedContent?key=x", Dialect.RAW, [], Dialect.GEMINI),
        ("/v1beta/models/g:countTokens", Dialect.GEMINI, [], None),
    ],
)
def test_path_then_header_then_dialect_decide_how_bodies_are_read(
    target: str,
    dialect: Dialect,
    headers: list[tuple[bytes, bytes]],
    expected: Dialect | None,
) -> None:
    made = capture(target=target, dialect=dialect, request_headers=headers, request=REQUEST)
    assert derive(made).dialect == (expected or dialect)
    assert ("bodies of this kind are not understood" in note(made)) == (expected is None)


def test_a_call_of_another_kind_says_so_and_keeps_its_model() -> None:
    made = capture(target="/v1/rerank", request=b'{"model": "rank-1", "query": "x"}')
    assert derive(made).understood.request_model == "rank-1"
    assert note(made) == "bodies of this kind are not understood (other)"


def test_a_body_that_is_no_json_has_no_model() -> None:
    made = capture(target="/v1/audio/transcriptions", request=b"--boundary\r\n\xff\xd8")
    assert derive(made).understood.request_model == ""


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("/openai/deployments/gpt-4o%2Feu/chat/completions?x=1", "gpt-4o/eu"),
        ("/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro"),
    ],
)
def test_a_model_named_by_the_path_alone_is_taken(target: str, model: str) -> None:
    assert derive(capture(target=target, request=b"{}")).understood.request_model == model


def test_encoded_bodies_are_decoded_for_understanding() -> None:
    encoding = (b"content-encoding", b"gzip")
    made = capture(
        request=gzip.compress(REQUEST, mtime=0),
        request_headers=[encoding],
        response=gzip.compress(STREAM, mtime=0),
        response_headers=[encoding, CHAT],
    )
    assert derive(made).understood.messages == (Message("user", "Hi"),)
    assert derive(made).understood.choices[0].message.text.startswith("The tide")
    assert note(made) == ""


def test_an_answer_cut_inside_its_encoding_gives_what_came() -> None:
    encoded = gzip.compress(STREAM, mtime=0)
    made = capture(
        request=REQUEST,
        response=encoded[: len(encoded) // 2],
        response_headers=[(b"content-encoding", b"gzip"), CHAT],
        outcome=Outcome.UPSTREAM_CUT,
    )
    assert derive(made).understood.messages == (Message("user", "Hi"),)
    assert "the answer is cut off (gzip)" in note(made)


def test_a_truncated_body_is_noted() -> None:
    made = capture(request_body=Body(REQUEST[:20], len(REQUEST), "00", truncated=True))
    assert derive(made).truncated
    assert note(made) == "of the request 20 of 63 bytes were kept; the request is not JSON"


def test_a_request_without_a_body_is_noted() -> None:
    assert note(capture()) == "the request has no body"


@pytest.mark.parametrize("kind", [b"application/json", b"", b"text/plain"])
def test_a_stream_is_recognised_by_how_it_begins(kind: bytes) -> None:
    made = capture(request=REQUEST, response=STREAM, response_headers=[(b"content-type", kind)])
    assert derive(made).understood.streamed
    assert derive(made).understood.ended


def test_json_that_is_called_a_stream_is_read_as_json() -> None:
    made = capture(request=REQUEST, response=b'{"error": {"code": "x"}}', response_headers=[CHAT])
    assert derive(made).understood.error_code == "x"
    assert not derive(made).understood.streamed


def test_without_an_answer_the_request_says_whether_it_would_have_streamed() -> None:
    request = b'{"messages": [], "stream": true}'
    made = capture(request=request, status_code=None, outcome=Outcome.UPSTREAM_UNREACHABLE)
    assert derive(made).understood.streamed
    assert derive(made).time_to_first_token_ms is None


def test_without_an_answer_the_path_says_that_gemini_would_have_streamed() -> None:
    target = "/v1beta/models/gull-3:streamGenerateContent?alt=sse"
    made = capture(target=target, status_code=None, outcome=Outcome.UPSTREAM_UNREACHABLE)
    assert derive(made).understood.streamed


@pytest.mark.parametrize("status_code", [199, 302, 429, 500])
def test_only_a_good_stream_has_a_first_token(status_code: int) -> None:
    made = capture(
        request=REQUEST, response=STREAM, response_headers=[CHAT], status_code=status_code
    )
    assert derive(made).time_to_first_token_ms is None


@pytest.mark.parametrize(
    ("value", "trace_id"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", TRACE),
        (f" 00-{TRACE}-b7ad6b7169203331-01 ", TRACE),
        (f"cc-{TRACE}-b7ad6b7169203331-01-what-comes", TRACE),
        (f"00-{TRACE}-b7ad6b7169203331-01-no", ""),
        (f"ff-{TRACE}-b7ad6b7169203331-01", ""),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", ""),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE}-b7ad6b7169203331", ""),
        ("", ""),
    ],
)
def test_only_a_valid_traceparent_gives_the_trace(value: str, trace_id: str) -> None:
    made = capture(request_headers=[(b"traceparent", value.encode())])
    assert derive(made).trace_id == (trace_id or made.id)


def test_the_session_is_the_header_in_utf8_or_latin1() -> None:
    for value in ("Zürich 7".encode(), "Zürich 7".encode("latin-1")):
        assert derive(capture(request_headers=[(b"x-shalt-session", value)])).session_id == (
            "Zürich 7"
        )


def test_without_the_context_all_else_is_the_same() -> None:
    headers = [
        (b"x-shalt-session", b"s"),
        (b"x-shalt-tag-team", b"red"),
        (b"helicone-user-id", b"u"),
        (b"traceparent", f"00-{TRACE}-b7ad6b7169203331-01".encode()),
    ]
    made = capture(request=REQUEST, response=STREAM, request_headers=headers)
    whole = derive(made)
    assert (whole.session_id, whole.user_id, whole.tags) == ("s", "u", {"team": "red"})
    bare = msgspec.structs.replace(whole, session_id="", user_id="", tags={})
    assert derive(made, with_context=False) == bare


def test_tags_are_of_headers_and_body_and_headers_win() -> None:
    made = capture(
        request=b'{"messages": [], "metadata": {"Team": "a", "n": 2, "deep": {"x": [1]}}}',
        request_headers=[(b"x-shalt-tag-team", b"b"), (b"x-shalt-tag-env", b"prod")],
    )
    assert derive(made).tags == {"team": "b", "env": "prod", "n": "2", "deep": '{"x":[1]}'}


def test_a_misspelt_header_is_noted_and_a_tag_without_a_key_is_none() -> None:
    headers = [(b"x-shalt-sesion", b"s"), (b"x-shalt-tag-", b"v"), (b"x-shalt-timing", b"1")]
    made = capture(request=b'{"messages": []}', request_headers=headers)
    assert (derive(made).session_id, derive(made).tags) == ("", {})
    assert note(made) == "x-shalt-sesion is no header of shalt's"


def test_tags_have_limits_and_what_is_cut_is_noted() -> None:
    metadata = {f"k{i}": "v" for i in range(TAGS_MAX)}
    headers = [(b"x-shalt-tag-" + b"a" * 200, b"b" * 2_000)]
    request = json.dumps({"messages": [], "metadata": metadata}).encode()
    made = capture(request=request, request_headers=headers)
    tags = derive(made).tags
    assert len(tags) == TAGS_MAX
    assert tags["a" * TAG_KEY_CHARS_MAX] == "b" * TAG_VALUE_CHARS_MAX
    assert note(made) == (
        f"a tag's key was cut to {TAG_KEY_CHARS_MAX} characters; "
        f"a tag's value was cut to {TAG_VALUE_CHARS_MAX} characters; only {TAGS_MAX} tags were kept"
    )


def test_names_and_ids_are_bounded_and_fit_a_database() -> None:
    long = "x" * 10_000
    request: Object = {"model": long, "messages": [], "user": "a\0b", "previous_response_id": long}
    answer: Object = {"id": long, "choices": [{"message": {}, "finish_reason": long}]}
    made = capture(request=json.dumps(request).encode(), response=json.dumps(answer).encode())
    span = derive(made)
    assert span.user_id == "a\ufffdb"
    assert len(span.understood.request_model) == NAME_CHARS_MAX
    assert len(span.understood.provider_id) == NAME_CHARS_MAX
    assert len(span.finish_reason) == NAME_CHARS_MAX
    assert note(made) == f"a name or id was cut to {NAME_CHARS_MAX} characters"


@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from(list(Endpoint)))
def test_any_bytes_give_a_span_that_can_be_written(
    request: bytes, response: bytes, endpoint: Endpoint
) -> None:
    target = f"/v1/{endpoint.replace('chat_', 'chat/')}"
    made = capture(
        target=target,
        request=request,
        response=response,
        request_headers=[(b"x-shalt-session", request), (b"x-shalt-tag-" + request, response)],
    )
    msgspec.json.encode(derive(made))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.sampled_from(
        "model messages role content tool_calls function id type text input output usage error "
        "index delta choices message response item part content_block metadata prompt data "
        "embedding results image file contents parts functionCall functionResponse candidates "
        "usageMetadata requests systemInstruction tools segments".split()
    ), children),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.parametrize(
    "target",
    [
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/messages",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/moderations",
        "/v1/images/generations",
        "/v1/audio/transcriptions",
        "/v1beta/models/gull-3:generateContent",
        "/v1beta/models/gull-3:embedContent",
    ],
)
@given(request=JSON, answer=JSON)
def test_any_json_is_understood_without_a_fault(target: str, request: Json, answer: Json) -> None:
    asked, answered = json.dumps(request).encode(), json.dumps(answer).encode()
    for response in (answered, b"data: " + answered + b"\n\n"):
        made = capture(target=target, request=asked, response=response)
        assert "while reading" not in note(made)
        msgspec.json.encode(derive(made))


TARGETS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "completions": "/v1/completions",
    "images": "/v1/images/generations",
    "audio": "/v1/audio/transcriptions",
    "gemini": "/v1beta/models/gull-3:streamGenerateContent?alt=sse",
}


@pytest.mark.parametrize("name", STREAMS)
def test_every_beginning_of_a_stream_gives_a_span(name: str) -> None:
    kind = name.partition("_")[0]
    target = TARGETS.get(kind, "/messages")
    whole = derive(capture(target=target, request=b"{}", response=STREAMS[name]))
    for cut in range(0, len(STREAMS[name]), 7):
        made = capture(target=target, request=b"{}", response=STREAMS[name][:cut])
        assert "while reading" not in note(made)
    assert whole.understood.streamed


def test_a_fault_of_ours_is_noted_by_its_type_and_keeps_the_request() -> None:
    broken = msgspec.structs.replace(
        capture(request=REQUEST), response_body=Body(data=None)  # type: ignore[arg-type]
    )  # fmt: skip
    assert derive(broken).understood.messages == (Message("user", "Hi"),)
    assert note(broken) == "not all was understood: TypeError while reading"


# Of the recorded answers with a status below 300 these were not understood to their end.
NOT_ENDED = {
    "9366e929621d2eb4": "the answer has no body",
    "b50642ffb4c49153": "the answer has no body",
    "66759f835250dd4a": "its events are JSON in JSON strings: recorded so, not sent so",
    "77f41fbc8f39a4a0": "an error in the stream",
    "f73b6bafbd768521": "an error in the stream",
    "61b11805a283cd44": "the recording is its first event alone",
    "b233f4f9a4021c32": "the recording is one of its events alone",
}
NOTES = {
    "": "",
    "the request has no body": "the request was not recorded",
    "the text of the prompt is stored upstream": "a prompt by id",
    "the request has no body; the stream holds 15 messages, each is a choice": "15 put together",
    "the request has no body; the stream holds 4 responses, the last is understood": "4 of them",
    "the request has no body; the answer has no output": "a chat completion under /responses",
}
UNDERSTOOD = (Endpoint.CHAT_COMPLETIONS, Endpoint.RESPONSES, Endpoint.MESSAGES)


@needs_recordings
def test_every_recorded_call_gives_a_span_and_no_fault() -> None:
    spans = [derive(capture_of(record)) for record in recordings()]
    assert len(spans) == 2_205
    assert not any("while reading" in span.understood.note for span in spans)
    msgspec.json.encode(spans)


@needs_recordings
def test_every_complete_recorded_answer_is_understood_to_its_end() -> None:
    notes = set()
    for record in recordings():
        span = derive(capture_of(record))
        if span.endpoint in UNDERSTOOD and (span.status_code or 0) < 300:
            assert span.understood.ended == (record["id"] not in NOT_ENDED), record["id"]
            assert span.understood.streamed == record["streaming"], record["id"]
            if span.understood.ended:
                notes.add(span.understood.note)
    assert notes == set(NOTES)


OTHERS = (
    Endpoint.COMPLETIONS,
    Endpoint.EMBEDDINGS,
    Endpoint.MODERATIONS,
    Endpoint.IMAGES,
    Endpoint.AUDIO,
    Endpoint.GENERATE_CONTENT,
)
OTHER_KINDS = {
    "f8883eb664719194": "an assistant's run under /completions",
    "b952a47b3d091ea7": "an assistant's message under /completions",
    "f99042ec860485ac": "Writer's events, of a shape of their own",
}
OTHER_NOTES = {
    "": "",
    "the request has no body": "the request was not recorded",
    "the request has no prompt": "chat messages were recorded apart",
    "the request is not JSON": "a form was recorded without its boundary",
}


@needs_recordings
def test_every_other_recorded_answer_is_understood_to_its_end() -> None:
    notes = []
    for record in recordings():
        span = derive(capture_of(record))
        if span.endpoint in OTHERS and (span.status_code or 0) < 300:
            if record["id"] not in OTHER_KINDS:
                assert span.understood.ended, record["id"]
                notes.append(span.understood.note)
    assert len(notes) > 300
    assert set(notes) <= set(OTHER_NOTES)


def streamed_text(data: bytes) -> str:
    """All text of a stream, taken from its deltas by a way of its own; choices by index."""
    texts: dict[Json, str] = {}
    for _, event in read_stream(data, []).objects:
        for choice in map(as_object, as_array(event.get("choices"))):
            content = as_object(choice.get("delta")).get("content")
            pieces = [as_object(p).get("text") for p in as_array(content)] or [content]
            text = "".join(piece for piece in pieces if isinstance(piece, str))
            texts[choice.get("index")] = texts.get(choice.get("index"), "") + text
        delta = as_object(event.get("delta"))
        if event.get("type") == "response.output_text.delta":
            texts[0] = texts.get(0, "") + str(event["delta"])
        elif delta.get("type") == "text_delta":
            texts[0] = texts.get(0, "") + str(delta["text"])
    return "".join(texts[index] for index in sorted(texts, key=str))


@needs_recordings
def test_recorded_streams_have_the_text_of_their_deltas() -> None:
    recorded_oddly = {"e69a0ca3d00f7570", "a5b3d081fb199153", "45e3309bb78ca488"}  # see test_items
    checked = 0
    for record in recordings():
        span = derive(capture_of(record))
        if span.endpoint in UNDERSTOOD and span.understood.streamed and span.understood.ended:
            if record["id"] not in recorded_oddly:
                made = "".join(choice.message.text for choice in span.understood.choices)
                assert made == streamed_text(body_of(record, "response")), record["id"]
                checked += 1
    assert checked == 570


@needs_recordings
def test_recorded_answers_that_were_not_streamed_lose_no_text() -> None:
    for record in recordings():
        span = derive(capture_of(record))
        if span.endpoint is Endpoint.CHAT_COMPLETIONS and not span.understood.streamed:
            answer = read_object(body_of(record, "response"), "the answer", [])
            for choice, sent in zip(
                span.understood.choices, as_array(answer.get("choices")), strict=True
            ):
                content = as_object(as_object(sent)["message"]).get("content")
                if isinstance(content, str):
                    assert choice.message.content == content
