"""Capture to bytes and back, exactly; runs of base64 are found wherever they stand."""

import base64
import random
import tracemalloc

import msgspec
import pytest
import zstandard

from storage.capture import Body, Capture
from storage.packing import (
    CHAIN_MAX,
    CUT_BYTES_MIN,
    DEPTH_MAX,
    LARGE_BYTES_MIN,
    ZSTD_LEVEL,
    base_of,
    bases_of,
    compress_against,
    compress_large,
    decompress_against,
    is_large,
    pack,
    unpack,
)
from tests.storage.calls import capture_of


def image(size: int, seed: int = 1) -> bytes:
    return base64.b64encode(random.Random(seed).randbytes(size))


def with_bodies(request: bytes, response: bytes = b"{}") -> Capture:
    capture = capture_of(1, request=request)
    response_body = Body(response, len(response) + 5, "ab" * 32, truncated=True)
    return type(capture)(
        **{name: getattr(capture, name) for name in capture.__struct_fields__}
        | {"response_body": response_body}
    )


@pytest.mark.parametrize("request_body", [b"{}", b'{"url": "' + image(40_000) + b'"}'])
def test_a_capture_is_packed_the_same_when_its_bytes_are_at_hand(request_body: bytes) -> None:
    capture = with_bodies(request_body)
    assert pack(capture, msgspec.msgpack.encode(capture)) == pack(capture)


def test_a_capture_without_images_is_packed_whole() -> None:
    capture = with_bodies(b'{"text": "' + b"some words " * 5_000 + b'"}', b"\xff\x00")
    packed, parts = pack(capture)
    assert parts == {}
    assert unpack(packed, lambda hashes: {}) == capture


@pytest.mark.parametrize("size", [CUT_BYTES_MIN * 3 // 4, 20_000, 100_001, 1_000_000])
@pytest.mark.parametrize("before", [0, 1, 4_095, 4_096, 10_000])
def test_an_image_is_taken_out_and_put_back(size: int, before: int) -> None:
    text = b"a word " * (before // 7)
    request = b'{"a": "' + text + b'", "url": "data:image/png;base64,' + image(size) + b'"}'
    capture = with_bodies(request)
    packed, parts = pack(capture)
    assert list(parts.values()) == [image(size)]
    assert len(packed) < before + 1_500
    assert unpack(packed, lambda hashes: parts) == capture


def test_images_in_both_bodies_and_twice_in_one_are_stored_once() -> None:
    one, two = image(30_000, 1), image(40_000, 2)
    capture = with_bodies(b'["' + one + b'", "' + two + b'", "' + one + b'"]', b'{"b": "' + one)
    packed, parts = pack(capture)
    assert sorted(parts.values()) == sorted((one, two))
    assert unpack(packed, lambda hashes: parts) == capture


def test_a_run_shorter_than_the_limit_stays_where_it_is() -> None:
    capture = with_bodies(b'{"a": "' + b"A" * (CUT_BYTES_MIN - 1) + b'"' + b" " * CUT_BYTES_MIN)
    assert pack(capture)[1] == {}


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_body_it_comes_back(seed: int) -> None:
    chance = random.Random(seed)
    pieces = [
        chance.choice((b'"', b",", b"'", b"\\n", b" x ", image(chance.randrange(40_000), seed)))
        for _ in range(30)
    ]
    capture = with_bodies(b"".join(pieces), b"".join(reversed(pieces)))
    packed, parts = pack(capture)
    assert unpack(packed, lambda hashes: parts) == capture


@pytest.mark.parametrize("size", [0, 2**16 - 1, 2**16, 2**18])
def test_a_large_call_is_compressed_to_what_it_would_be_packed_to(size: int) -> None:
    capture = with_bodies(b"{" + b" " * size, b'{"a": "' + image(size) + b'"}')
    packed, parts = pack(capture)
    compressed, same_parts = compress_large(capture, zstandard.ZstdCompressor(level=ZSTD_LEVEL))
    assert zstandard.decompress(compressed) == packed
    assert same_parts == parts


def test_a_large_call_is_compressed_without_a_copy_of_it() -> None:
    capture = with_bodies(b"a few words " * (LARGE_BYTES_MIN // 12 + 1))
    assert is_large(capture)
    tracemalloc.start()
    compress_large(capture, zstandard.ZstdCompressor(level=ZSTD_LEVEL))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < LARGE_BYTES_MIN / 4


def test_what_is_compressed_against_a_base_is_small_and_comes_back() -> None:
    base = random.Random(1).randbytes(50_000)
    data = base[:30_000] + b"something new" + base[30_000:]
    compressed = compress_against(base, data)
    assert len(compressed) < 300
    assert decompress_against(base, compressed, zstandard.ZstdDecompressor()) == data


@pytest.mark.parametrize("size", [2**17 - 1, 2**17, 2**17 + 1, 2**20])
def test_a_base_of_any_size_is_known_to_what_is_compressed_against_it(size: int) -> None:
    base = random.Random(2).randbytes(size)
    data = base[size // 2 :] + base
    compressed = compress_against(base, data)
    assert len(compressed) < size
    assert decompress_against(base, compressed, zstandard.ZstdDecompressor()) == data


def test_one_decompressor_serves_bodies_of_several_bases() -> None:
    decompressor = zstandard.ZstdDecompressor()
    for number in range(3):
        base = random.Random(number).randbytes(1_000)
        compressed = compress_against(base, base + b"new")
        assert decompress_against(base, compressed, decompressor) == base + b"new"
        assert decompressor.decompress(zstandard.compress(b"alone")) == b"alone"


def test_the_bases_of_a_call_are_few_and_lead_to_the_first() -> None:
    for position in range(1, CHAIN_MAX):
        chain = list(bases_of(position))
        assert chain[-1] == 0
        assert len(chain) <= DEPTH_MAX
        assert [position, *chain] == sorted({position, *chain}, reverse=True)


def test_the_next_base_is_always_one_of_those_that_are_kept() -> None:
    for position in range(CHAIN_MAX - 1):
        assert base_of(position + 1) in {position, *bases_of(position)}
