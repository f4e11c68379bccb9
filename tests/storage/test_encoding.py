"""Content-encodings are undone to the end, or as far as they go, and within their limits."""

import gzip
import zlib

import brotli
import pytest
import zstandard

from storage.capture import Headers
from storage.encoding import (
    DECODED_BYTES_MAX,
    ENCODINGS_MAX,
    MEMBERS_MAX,
    UndecodableBodyError,
    decode,
    decoded_body,
)

TEXT = b'{"model": "m", "text": "' + b"tide " * 4_000 + b'"}'
ZSTD = zstandard.ZstdCompressor().compress(TEXT)
RAW_DEFLATE = zlib.compress(TEXT)[2:-4]


def named(*encodings: bytes) -> Headers:
    return [(b"content-encoding", encoding) for encoding in encodings]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([], TEXT),
        (named(b"identity"), TEXT),
        (named(b"gzip"), gzip.compress(TEXT, mtime=0)),
        (named(b" GZIP "), gzip.compress(TEXT, mtime=0)),
        (named(b"x-gzip"), gzip.compress(TEXT, mtime=0)),
        (named(b"gzip"), gzip.compress(TEXT[:9], mtime=0) + gzip.compress(TEXT[9:], mtime=0)),
        (named(b"gzip"), gzip.compress(TEXT, mtime=0) + b"\0" * 64),
        (named(b"deflate"), zlib.compress(TEXT)),
        (named(b"deflate"), RAW_DEFLATE),
        (named(b"zstd"), ZSTD),
        (named(b"zstd"), zstandard.compress(TEXT[:9]) + zstandard.compress(TEXT[9:])),
        (named(b"br"), brotli.compress(TEXT)),
        (named(b"br"), brotli.compress(TEXT, quality=0)),
        (named(b"deflate, gzip"), gzip.compress(zlib.compress(TEXT), mtime=0)),
        (named(b"deflate", b"gzip"), gzip.compress(zlib.compress(TEXT), mtime=0)),
    ],
)
def test_what_was_encoded_is_decoded(headers: Headers, body: bytes) -> None:
    assert decoded_body(headers, body) == TEXT


def test_an_empty_body_is_empty_whatever_it_is_called() -> None:
    assert decoded_body(named(b"br"), b"") == b""


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"zstd"])
def test_plain_text_that_is_called_encoded_is_taken_as_it_is(encoding: bytes) -> None:
    assert decoded_body(named(encoding), TEXT) == TEXT
    assert decoded_body(named(encoding), b"event: x\ndata: {}\n\n") == b"event: x\ndata: {}\n\n"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"gzip", gzip.compress(TEXT, mtime=0)),
        (b"deflate", RAW_DEFLATE),
        (b"zstd", ZSTD),
        (b"br", brotli.compress(TEXT)),
    ],
)
def test_every_cut_gives_the_beginning_and_says_it_is_cut_off(encoding: bytes, body: bytes) -> None:
    for cut in range(1, len(body)):
        decoded, trouble = decode(named(encoding), body[:cut])
        assert TEXT.startswith(decoded)
        assert trouble == f"is cut off ({encoding.decode()})"


def test_a_broken_body_gives_what_came_before_the_break() -> None:
    noise = bytes(range(256)) * 64
    body = bytearray(gzip.compress(noise + TEXT, 0, mtime=0))
    body[-5] ^= 255  # the checksum
    decoded, trouble = decode(named(b"gzip"), bytes(body))
    assert (noise + TEXT).startswith(decoded)
    assert len(decoded) > 16_384
    assert trouble == "is broken (gzip)"


@pytest.mark.parametrize("encoding", [b"dcb", b"compress", b"dcz"])
def test_an_encoding_that_is_not_ours_is_said(encoding: bytes) -> None:
    name = encoding.decode()
    assert decode(named(encoding), b"\x8b\x03\x80") == (
        b"",
        f"has a content-encoding that is not decoded here ({name})",
    )


def test_the_error_names_what_is_wrong_and_what_can_be_done() -> None:
    with pytest.raises(UndecodableBodyError, match=r"not decoded here \(dcb\).*can still be read"):
        decoded_body(named(b"dcb"), b"\x8b\x03\x80")


@pytest.mark.parametrize(
    ("encoding", "bomb"),
    [
        (b"gzip", gzip.compress(bytes(DECODED_BYTES_MAX + 1), mtime=0)),
        (b"zstd", zstandard.ZstdCompressor().compress(bytes(DECODED_BYTES_MAX + 1))),
        (b"br", brotli.compress(bytes(DECODED_BYTES_MAX + 1), quality=1)),
    ],
    ids=["gzip", "zstd", "br"],
)
def test_a_bomb_is_stopped_at_the_limit(encoding: bytes, bomb: bytes) -> None:
    decoded, trouble = decode(named(encoding), bomb)
    assert len(decoded) == DECODED_BYTES_MAX
    assert trouble.startswith(f"is longer than {DECODED_BYTES_MAX} bytes when decoded")


def test_brotli_with_something_behind_its_end_is_broken_and_gives_what_came() -> None:
    decoded, trouble = decode(named(b"br"), brotli.compress(TEXT) + b"more")
    assert TEXT.startswith(decoded)
    assert trouble == "is broken (br)"


def test_a_body_just_within_the_limit_is_decoded() -> None:
    assert len(decoded_body(named(b"gzip"), gzip.compress(bytes(DECODED_BYTES_MAX), mtime=0))) == (
        DECODED_BYTES_MAX
    )


def test_more_members_than_the_limit_are_refused() -> None:
    member = gzip.compress(b"x", mtime=0)
    assert decode(named(b"gzip"), member * MEMBERS_MAX) == (b"x" * MEMBERS_MAX, "")
    assert decode(named(b"gzip"), member * (MEMBERS_MAX + 1))[1] == (
        f"has more than {MEMBERS_MAX} members (gzip)"
    )


def test_more_encodings_than_the_limit_are_refused() -> None:
    headers = named(*[b"gzip"] * (ENCODINGS_MAX + 1))
    assert decode(headers, b"\x1f")[1] == f"is encoded more than {ENCODINGS_MAX} times over"
