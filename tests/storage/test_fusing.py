"""Chunks made one add up to what they did before, whatever the stream."""

import json
import tracemalloc

import pytest

from storage.chunks import assemble
from storage.fusing import SLICE_BYTES, fuse
from storage.sse import events
from storage.wire import Notes, Stream
from tests.storage.traffic import STREAMS, body_of, needs_recordings, recordings


def answer_of(data: bytes, *, fused: bool) -> object:
    notes: Notes = []
    stream = Stream(fuse(data) if fused else data, notes)
    return assemble(chunk for _, chunk in stream), stream.done, notes


def chunk(text: str, **more: object) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    value = {"id": "a", "created": 1, "choices": [choice | more], "usage": None}
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


LAST = b"data: [DONE]\n\n"


@pytest.mark.parametrize("name", STREAMS)
def test_every_stream_adds_up_to_the_same_at_every_cut(name: str) -> None:
    data = STREAMS[name]
    for end in range(len(data) + 1):
        assert answer_of(data[:end], fused=True) == answer_of(data[:end], fused=False), end


@needs_recordings
def test_every_recorded_stream_adds_up_to_the_same() -> None:
    bodies = [body_of(record, "response") for record in recordings()]
    streams = [body for body in bodies if body.lstrip().startswith((b"data:", b"event:", b":"))]
    assert len(streams) > 100
    for data in streams:
        # How many events are no objects is said of the events there are; fused, they are fewer.
        assert answer_of(data, fused=True)[:2] == answer_of(data, fused=False)[:2]  # type: ignore[index]


def test_alike_chunks_become_one() -> None:
    data = b"".join(chunk(text) for text in ("Hello", " wor", 'ld, "you"\n', "\\", "é", ""))
    assert len(events(fuse(data + LAST))) == 2
    assert answer_of(data, fused=True) == answer_of(data, fused=False)


def test_a_long_stream_becomes_one_chunk_in_less_than_its_own_memory() -> None:
    data = chunk("word ") * (16 * SLICE_BYTES // len(chunk("word "))) + LAST
    tracemalloc.start()
    fused = fuse(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(events(fused)) == 2
    assert answer_of(data, fused=True) == answer_of(data, fused=False)
    assert peak < len(data) / 2  # its texts as objects alone are more


@pytest.mark.parametrize("at", [1, 16, 17, 30, 39])
@pytest.mark.parametrize("odd", [chunk("b", index=1), chunk("\ud83d"), b"data: {}\n\n"])
def test_a_run_ends_where_a_chunk_differs(at: int, odd: bytes) -> None:
    chunks = [chunk(text) for text in ('two "words"\n', " and", "more") * 14][:40]
    data = b"".join([*chunks[:at], odd, *chunks[at:], LAST])
    assert len(events(fuse(data))) == 4  # the run, the odd one, another run, the end
    assert answer_of(data, fused=True) == answer_of(data, fused=False)


def test_padding_is_no_difference() -> None:
    padded = [
        chunk(text).replace(b"}\n\n", b',"obfuscation":"%s"}\n\n' % (b"x" * n))
        for n, text in enumerate(("one", " two", " three"))
    ]
    assert len(events(fuse(b"".join(padded) + LAST))) == 2
    assert answer_of(b"".join(padded), fused=True) == answer_of(b"".join(padded), fused=False)


@pytest.mark.parametrize(
    "others",
    [
        chunk("a", logprobs={"content": [{"token": "a"}]}) * 2,
        chunk("a", index=0) + chunk("a", index=1),
        chunk("a", delta={"content": "a", "role": "assistant"}) * 2,
        chunk("a", delta={"content": "a", "tool_calls": [{"index": 0}]}) * 2,
        chunk("\ud83d") + chunk("\ude00"),
        chunk("a").replace(b'"usage":null', b'"usage":{"total_tokens":1}') * 2,
        b'data: {"choices":[{"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}]}\n\n'
        * 2,
        b'data: {"choices":[{"delta":{"content":"a"}}],"choices":[]}\n\n' * 2,
    ],
)
def test_chunks_with_more_than_text_are_left_alone(others: bytes) -> None:
    assert fuse(others + LAST) == others + LAST


def test_what_is_no_plain_stream_comes_back_as_it_is() -> None:
    for data in (
        b"",
        b"no stream",
        b"id: 1\n" + chunk("a") * 3,
        chunk("a").replace(b"\n", b"\r\n"),
    ):
        assert fuse(data) == data


def test_fields_between_the_data_are_not_lost() -> None:
    data = chunk("a")[:-1] + b"id: 7\n\n" + chunk("a")[:-1] + b"id: 8\n\n"
    assert [event.id for event in events(fuse(data + LAST))] == ["7", "8", "8"]
