"""Framing: the HTML standard's rules, every cut of every stream, and what a stream's end leaves."""

import pytest

from storage.sse import SLICE_BYTES, Decoder, Event, events, iterate_events
from tests.storage.traffic import STREAMS


def fed(chunks: list[bytes]) -> list[Event]:
    decoder = Decoder()
    found = [event for chunk in chunks for event in decoder.feed(chunk)]
    return found + decoder.close()


@pytest.mark.parametrize("name", STREAMS)
def test_every_cut_in_two_gives_the_events_of_the_whole(name: str) -> None:
    data = STREAMS[name]
    whole = events(data)
    for cut in range(len(data) + 1):
        assert fed([data[:cut], data[cut:]]) == whole, cut


@pytest.mark.parametrize("name", STREAMS)
def test_single_bytes_give_the_events_of_the_whole(name: str) -> None:
    data = STREAMS[name]
    assert fed([data[i : i + 1] for i in range(len(data))]) == events(data)


@pytest.mark.parametrize("name", STREAMS)
def test_every_end_of_line_gives_the_same_events(name: str) -> None:
    data = STREAMS[name]
    lines = data.splitlines()
    expected = events(b"\n".join(lines) + b"\n")
    assert events(b"\r\n".join(lines) + b"\r\n") == expected
    assert events(b"\r".join(lines) + b"\r") == expected


def test_an_event_has_its_data_name_and_id() -> None:
    stream = b"event: add\nid: 7\ndata: 1\n\ndata: 2\n\n"
    assert events(stream) == [Event(b"1", "add", "7"), Event(b"2", "", "7")]


def test_data_lines_of_an_event_are_joined() -> None:
    assert events(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [Event(b"YHOO\n+2\n10")]


def test_only_one_space_after_the_colon_is_taken() -> None:
    assert events(b"data:a\n\ndata:  b\n\n") == [Event(b"a"), Event(b" b")]


def test_a_data_line_without_colon_or_value_is_an_empty_event() -> None:
    assert events(b"data\n\ndata:\n\ndata\ndata\n\n") == [Event(b""), Event(b""), Event(b"\n")]


def test_an_event_without_data_is_none_and_its_name_is_forgotten() -> None:
    assert events(b"event: lost\n\ndata: x\n\n") == [Event(b"x")]


def test_comments_unknown_fields_and_retry_are_skipped() -> None:
    assert events(b": hello\n:\nfoo: bar\nretry: 10\ndata: x\n\n") == [Event(b"x")]


def test_a_byte_order_mark_is_skipped_at_the_start_only() -> None:
    mark = b"\xef\xbb\xbf"
    assert events(mark + b"data: a\n\n" + mark + b"data: b\n\n") == [Event(b"a")]


def test_an_id_with_a_null_is_ignored() -> None:
    assert events(b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n")[1].id == "1"


def test_line_separators_of_unicode_end_no_line() -> None:
    text = "a\u2028b\u2029c\x0bd\x0ce\x1cf\x85g".encode()
    assert events(b"data: " + text + b"\n\n") == [Event(text)]


def test_an_unfinished_last_event_is_delivered_and_marked() -> None:
    assert events(b"data: a\n\ndata: b\n") == [Event(b"a"), Event(b"b", terminated=False)]
    assert events(b"data: b") == [Event(b"b", terminated=False)]
    assert events(b"event: b") == []


def test_an_event_is_delivered_with_its_last_byte_and_not_later() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: a\r\n\r") == [Event(b"a")]
    assert decoder.feed(b"\ndata: b\r\n\r\n") == [Event(b"b")]
    assert decoder.close() == []


def test_a_long_line_in_small_chunks_costs_no_more_than_its_length() -> None:
    chunks = [b"data: "] + [b"x" * 1024] * 16_384 + [b"\n\n"]
    assert len(fed(chunks)[0].data) == 16 << 20


def test_a_long_stream_is_read_in_slices_with_the_same_events() -> None:
    stream = b"".join(b"id: %d\r\ndata: %b\r\n\r\n" % (n, b"x" * (n % 97)) for n in range(20_000))
    assert len(stream) > 4 * SLICE_BYTES
    assert list(iterate_events(stream)) == events(stream)
    assert list(iterate_events(stream + b"data: cut")) == events(stream + b"data: cut")
