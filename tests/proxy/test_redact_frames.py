"""Tests of proxy.redact_frames: however the frames are cut, no key is handed out."""

import random
import zlib

import pytest

from proxy import redact_frames
from proxy.redact import Redactor
from proxy.redact_bodies import BodyRedactor
from proxy.redact_frames import FrameStrainer
from storage.frames import BINARY, TEXT, MessageReader, frame_of

BODIES = BodyRedactor(Redactor(b"key"))
KEY = b"sk-" + b"a1B2c3D4e5F6g7H8i9J0"


def strained(data: bytes, size: int) -> tuple[bytes, FrameStrainer]:
    strainer = FrameStrainer(BODIES)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    kept = b"".join(strainer.strain(piece) for piece in pieces)
    return kept + strainer.strain(b"", last=True), strainer


def messages(data: bytes) -> list[tuple[int, bytes]]:
    reader = MessageReader(2**26)
    return [(m.opcode, m.payload) for m in (*reader.feed(data), *reader.rest())]


def text(payload: bytes, *, masked: bool = False) -> bytes:
    return frame_of(TEXT, payload, masked=masked)


def deflated(payloads: list[bytes]) -> bytes:
    """Write compressed messages that refer to each other."""
    machine = zlib.compressobj(wbits=-15)
    frames = b""
    for payload in payloads:
        data = machine.compress(payload) + machine.flush(zlib.Z_SYNC_FLUSH)
        frame = bytearray(frame_of(TEXT, data[:-4], masked=False))
        frame[0] |= 0x40
        frames += bytes(frame)
    return frames


@pytest.mark.parametrize("size", [1, 2, 13, 10_000])
def test_messages_without_a_key_stay_as_they_came(size: int) -> None:
    data = text(b'{"delta": "one"}') + frame_of(BINARY, bytes(300), masked=True) + b"\x01\x03abc"
    data += b"\x80\x02de" + deflated([b"much the same", b"much the same"])
    kept, strainer = strained(data, size)
    assert kept == data
    assert (strainer.redacted, strainer.cut, strainer.kept) == (False, False, len(data))


@pytest.mark.parametrize("size", [1, 2, 13, 10_000])
def test_a_key_is_taken_out_of_its_message_alone(size: int) -> None:
    data = text(b"before", masked=True) + text(b'{"a": "' + KEY + b'"}', masked=True) + text(b"on")
    kept, strainer = strained(data, size)
    assert strainer.redacted
    found = messages(kept)
    assert [found[0], found[2]] == [(TEXT, b"before"), (TEXT, b"on")]
    assert found[1][1].startswith(b'{"a": "redacted:')
    assert KEY not in kept


@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_a_key_that_comes_event_by_event_is_found(size: int) -> None:
    pieces = [b'{"delta": "' + KEY[at : at + 4] + b'"}' for at in range(0, len(KEY), 4)]
    data = b"".join(text(piece) for piece in (b'{"delta": "here: "}', *pieces, b'{"delta": "."}'))
    kept, _ = strained(data, size)
    joined = b"".join(payload for _, payload in messages(kept))
    assert b"redacted:" in joined
    assert not any(KEY[at : at + 4] in joined for at in range(4, 20, 4))


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_behind_a_key_compressed_messages_are_stored_inflated(size: int) -> None:
    said = [b"much the same", b"much the same " + KEY, b"much the same again"]
    kept, _ = strained(deflated(said), size)
    found = [payload for _, payload in messages(kept)]
    assert (found[0], found[2]) == (said[0], said[2])
    assert found[1].startswith(b"much the same redacted:")
    assert kept.startswith(deflated(said[:1]))


def test_a_key_in_fragments_of_a_message_is_found() -> None:
    payload = b"a " + KEY + b" b"
    data = b"\x01\x0a" + payload[:10] + bytes((0x80, len(payload) - 10)) + payload[10:]
    kept, _ = strained(data, 4)
    assert messages(kept)[0][1].startswith(b"a redacted:")


def test_a_key_in_what_is_no_frame_is_found() -> None:
    kept, _ = strained(b"\xff\xff " + KEY + b" and so on", 5)
    assert KEY not in kept
    assert b"redacted:" in kept
    assert kept.endswith(b"and so on")


def test_a_key_in_a_message_that_broke_off_is_found() -> None:
    kept, _ = strained(text(b"x " + KEY + b" " * 200)[:60], 7)
    assert KEY not in kept


def test_what_cannot_be_searched_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact_frames, "MESSAGE_BYTES_MAX", 1000)
    kept, strainer = strained(text(b"short") + text(b"x" * 1001) + text(b"behind"), 100)
    assert kept == text(b"short")
    assert strainer.cut
    kept, strainer = strained(b"\xc1\x04\xff\xff\xff\xff" + text(b"behind"), 100)
    assert (kept, strainer.cut) == (b"", True)


def test_random_bytes_never_raise_and_are_kept() -> None:
    for seed in range(200):
        data = random.Random(seed).randbytes(150)
        kept, strainer = strained(data, 11)
        assert strainer.cut or len(kept) == len(data), seed
