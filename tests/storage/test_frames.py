"""Tests of storage.frames: the examples of RFC 6455 and RFC 7692, every cut, and what is broken."""

import random
import zlib

import pytest

from storage.frames import (
    BINARY,
    CLOSE,
    FRAME_BYTES,
    PING,
    PONG,
    TEXT,
    UNREAD,
    FrameWalk,
    MessageReader,
    SocketMessage,
    frame_of,
)

# RFC 6455, section 5.7, and RFC 7692, section 7.2.3.
UNMASKED = bytes.fromhex("8105 48656c6c6f")
MASKED = bytes.fromhex("8185 37fa213d 7f9f4d5158")
FRAGMENTED = bytes.fromhex("0103 48656c 8002 6c6f")
PINGED = bytes.fromhex("8905 48656c6c6f")
PONGED = bytes.fromhex("8a85 37fa213d 7f9f4d5158")
DEFLATED = bytes.fromhex("c107 f248cdc9c90700")
DEFLATED_AGAIN = bytes.fromhex("c105 f200110000")  # refers to the one before
DEFLATED_FRAGMENTS = bytes.fromhex("4103 f248cd 8004 c9c90700")
STORED = bytes.fromhex("c10b 000500faff48656c6c6f00")
LAST_BLOCK = bytes.fromhex("c108 f348cdc9c9070000")
EXAMPLES = [UNMASKED, MASKED, FRAGMENTED, DEFLATED, DEFLATED_FRAGMENTS, STORED, LAST_BLOCK]


def fed(pieces: list[bytes], limit: int = 2**20) -> tuple[list[SocketMessage], MessageReader]:
    reader = MessageReader(limit)
    messages = [message for piece in pieces for message in reader.feed(piece)]
    return messages + reader.rest(), reader


def said(pieces: list[bytes]) -> list[tuple[int, bytes]]:
    return [(message.opcode, message.payload) for message in fed(pieces)[0]]


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_of_the_standards_say_hello(example: bytes) -> None:
    assert said([example]) == [(TEXT, b"Hello")]


def test_a_message_may_refer_to_the_one_before() -> None:
    assert said([DEFLATED + DEFLATED_AGAIN]) == [(TEXT, b"Hello")] * 2


def test_pings_and_pongs_are_messages_of_their_own() -> None:
    first, second = FRAGMENTED[:5], FRAGMENTED[5:]
    messages = said([first + PINGED + second + PONGED])
    assert messages == [(PING, b"Hello"), (TEXT, b"Hello"), (PONG, b"Hello")]


def test_every_cut_gives_the_messages_of_the_whole() -> None:
    data = (
        MASKED
        + FRAGMENTED
        + PINGED
        + DEFLATED
        + DEFLATED_AGAIN
        + frame_of(2, b"b" * 300, masked=True)
    )
    whole = said([data])
    for cut in range(len(data) + 1):
        assert said([data[:cut], data[cut:]]) == whole, cut
    assert said([data[i : i + 1] for i in range(len(data))]) == whole


def test_what_is_recorded_is_as_long_as_what_passed_and_means_the_same() -> None:
    chance = random.Random(3)
    data = b"".join(
        frame_of(BINARY, chance.randbytes(length), masked=True, key=chance.randbytes(4))
        for length in (0, 1, 125, 126, 65535, 65536)
    )
    for size in (1, 7, 1000, len(data)):
        walk = FrameWalk()
        cuts = [data[at : at + size] for at in range(0, len(data), size)]
        recorded = b"".join(piece.recorded for cut in cuts for piece in walk.feed(cut))
        assert len(recorded) == len(data)
        assert recorded[2:6] == bytes(4)
        assert said([recorded]) == said([data])


def test_a_walk_knows_when_it_is_between_frames_and_when_a_side_closes() -> None:
    walk = FrameWalk()
    walk.feed(MASKED[:3])
    assert not walk.between_frames
    walk.feed(MASKED[3:])
    assert (walk.between_frames, walk.closing) == (True, False)
    walk.feed(frame_of(CLOSE, b"\x03\xe9", masked=False))
    assert walk.closing


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x83\x00",
        b"\xf1\x00",
        b"\x89\x7e\x00\x80",
        b"\x09\x00",
        b"\x81\x7f" + b"\xff" * 8,
        b"GET /",
    ],
    ids=["opcode", "reserved bits", "long ping", "ping in pieces", "length", "text"],
)
def test_what_is_no_frame_is_handed_out_as_it_came(garbage: bytes) -> None:
    messages, reader = fed([UNMASKED + garbage, b"more"])
    assert messages[0].payload == b"Hello"
    assert b"".join(message.recorded for message in messages[1:]) == garbage + b"more"
    assert {message.opcode for message in messages[1:]} == {UNREAD}
    assert reader.trouble


def test_random_bytes_are_never_lost_and_never_raise() -> None:
    for seed in range(300):
        data = random.Random(seed).randbytes(200)
        pieces = [data[at : at + 37] for at in range(0, 200, 37)]
        messages, _ = fed(pieces)
        assert sum(len(message.recorded) for message in messages) == 200, seed


def test_a_message_that_broke_off_is_there_as_far_as_it_came() -> None:
    messages, _ = fed([UNMASKED, FRAGMENTED[:5]])
    assert [(m.payload, m.whole) for m in messages] == [(b"Hello", True), (b"Hel", False)]
    messages, _ = fed([DEFLATED_FRAGMENTS[:5]])
    assert [(m.payload, m.whole) for m in messages] == [(b"He", False)]  # an l is still in its bits


def test_a_ping_that_broke_off_in_a_message_that_did_loses_nothing() -> None:
    messages, _ = fed([FRAGMENTED[:5], PINGED[:4]])
    assert b"".join(message.recorded for message in messages) == FRAGMENTED[:5] + PINGED[:4]


def test_a_message_over_the_limit_and_all_behind_it_are_not_understood() -> None:
    messages, reader = fed([frame_of(TEXT, b"x" * 101, masked=False) + UNMASKED], limit=100)
    assert [message.opcode for message in messages] == [UNREAD, UNREAD]
    assert reader.too_long
    assert "100 bytes" in reader.trouble


def test_a_decompression_bomb_is_not_inflated_beyond_the_limit() -> None:
    machine = zlib.compressobj(wbits=-15)
    bomb = machine.compress(bytes(10**7)) + machine.flush(zlib.Z_SYNC_FLUSH)
    frame = bytearray(frame_of(TEXT, bomb[:-4], masked=False))
    frame[0] |= 0x40
    messages, reader = fed([bytes(frame)], limit=10**5)
    assert (messages[0].opcode, messages[0].payload) == (UNREAD, b"")
    assert reader.too_long


def test_broken_compression_is_said() -> None:
    messages, reader = fed([b"\xc1\x04\xff\xff\xff\xff"])
    assert messages[0].payload == b""
    assert "broken" in reader.trouble


def test_all_compressed_messages_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.frames.INFLATED_BYTES_MAX", 2**20)
    machine = zlib.compressobj(wbits=-15)
    packed = machine.compress(bytes(2**18)) + machine.flush(zlib.Z_SYNC_FLUSH)
    frame = bytearray(frame_of(BINARY, packed.removesuffix(b"\0\0\xff\xff"), masked=False))
    frame[0] |= 0x40
    messages, reader = fed([bytes(frame) * 8])
    read = [message for message in messages if message.opcode == BINARY]
    assert {len(message.payload) for message in read} == {2**18}
    assert 4 <= len(read) < 8
    assert "compressed messages" in reader.trouble
    assert b"".join(message.recorded for message in messages) == bytes(frame) * 8


def test_small_frames_are_read_up_to_a_limit_and_larger_ones_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("storage.frames.SMALL_FRAMES_MAX", 1000)
    empty, large = frame_of(TEXT, b"", masked=False), frame_of(TEXT, bytes(30), masked=False)
    assert len(large) == FRAME_BYTES
    reader = MessageReader(2**20)
    assert all(message.opcode == TEXT for message in reader.feed(large * 5000))
    messages = reader.feed(empty * 2000)
    assert reader.too_long
    assert reader.trouble == "more than 1000 small frames"
    assert len(messages) == reader.frame_count - 5000 + 1
    assert b"".join(message.recorded for message in messages) == empty * 2000


def test_a_message_that_broke_off_stands_before_what_is_no_frame() -> None:
    begun, garbage = FRAGMENTED[:5], b"\xff\xff no frames"
    messages, reader = fed([begun + garbage])
    assert [message.recorded for message in messages] == [begun, garbage]
    assert (messages[0].opcode, messages[0].payload, messages[0].whole) == (TEXT, b"Hel", False)
    assert reader.trouble == "a frame of no known kind"
