"""Tests of proxy.redact_bodies: whole bodies, and bodies cut at every byte."""

import gzip
import hashlib
import random
import zlib
from pathlib import Path

import brotli
import pytest
import zstandard

from proxy.body_copy import BodyCopy
from proxy.redact import Redactor
from proxy.redact_bodies import (
    DECODED_BYTES_MAX,
    DECODED_RATIO_MAX,
    ENCODED_BYTES_MAX,
    BodyRedactor,
    Strainer,
    Unsearchable,
)
from proxy.secrets import LITERAL_BYTES_MAX
from storage.capture import Headers
from storage.encoding import decode
from tests.client import request
from tests.relaying import running_relay, upstream_at
from tests.upstream import running_upstream

KEY = ("sk-" + "proj-a1B2c3D4e5F6g7H8i9J0").encode()  # in two, for scanners of repositories
JSON: Headers = [(b"content-type", b"application/json")]
EVENTS: Headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
PLAIN = b'{"messages": [{"role": "user", "content": "a risk, a task: %b\\nand %b"}]}' % (KEY, KEY)


@pytest.fixture
def bodies() -> BodyRedactor:
    return BodyRedactor(Redactor(b"k" * 32))


def events(*texts: bytes) -> bytes:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
    return b"".join(event % text for text in texts) + b"data: [DONE]\n\n"


def stood_for(bodies: BodyRedactor) -> bytes:
    found = bodies.whole(KEY, JSON)
    assert found is not None
    return found


def test_a_body_without_a_secret_is_not_touched(bodies: BodyRedactor) -> None:
    assert bodies.whole(b'{"content": "task-based"}', JSON) is None
    assert bodies.whole(b"", JSON) is None


def test_the_same_secret_is_replaced_by_the_same_text(bodies: BodyRedactor) -> None:
    mark = stood_for(bodies)
    assert mark.startswith(b"redacted:")
    assert bodies.whole(PLAIN, JSON) == PLAIN.replace(KEY, mark)


@pytest.mark.parametrize(
    ("encoding", "encoded"),
    [
        (b"gzip", gzip.compress(PLAIN, mtime=0)),
        (b"deflate", zlib.compress(PLAIN)),
        (b"br", brotli.compress(PLAIN)),
        (b"zstd", zstandard.compress(PLAIN)),
    ],
    ids=["gzip", "deflate", "br", "zstd"],
)
def test_a_secret_in_an_encoded_body_is_found_and_the_body_kept_decoded(
    bodies: BodyRedactor, encoding: bytes, encoded: bytes
) -> None:
    headers = [*JSON, (b"content-encoding", encoding)]
    clean = bodies.whole(encoded, headers)
    assert clean == PLAIN.replace(KEY, stood_for(bodies))
    assert decode(headers, clean) == (clean, "")  # which is how it is read again
    strainer = Strainer(bodies, headers)
    pieces = [strainer.strain(encoded[at : at + 7]) for at in range(0, len(encoded), 7)]
    assert b"".join([*pieces, strainer.strain(b"", last=True)]) == clean
    assert (strainer.redacted, strainer.kept) == (True, len(clean))


def test_an_encoding_that_is_not_known_is_kept_as_it_is(bodies: BodyRedactor) -> None:
    assert bodies.whole(b"\x93\x01\x02", [(b"content-encoding", b"dcb")]) is None


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (PLAIN, JSON),
        (b'{"api_key": "hunter-two", "x": "y"}', JSON),
        (events(b"take ", KEY[:1], KEY[1:9], KEY[9:20], KEY[20:], b" now"), EVENTS),
        (events(b"take " + KEY + b" now", b" and then"), EVENTS),
        (events(b'it is in {\\"api_', b'key\\": \\"hunter', b'-two\\"} ok'), EVENTS),
        (events(*[b"t"] * 40, b"ask-", b"force ", *[b"x"] * 40), EVENTS),
    ],
    ids=["text", "member", "across events", "in an event", "member across", "nothing"],
)
def test_however_a_body_is_cut_the_same_is_kept(
    bodies: BodyRedactor, data: bytes, headers: Headers
) -> None:
    whole = bodies.whole(data, headers)
    expected = data if whole is None else whole
    for secret in (KEY, b"hunter-two", b"-two"):
        assert secret not in expected
    for size in (1, 3, 50, 1000):
        strainer = Strainer(bodies, headers)
        pieces = [strainer.strain(data[at : at + size]) for at in range(0, len(data), size)]
        assert b"".join([*pieces, strainer.strain(b"", last=True)]) == expected, size
        assert strainer.redacted is (whole is not None)
    for cut in range(len(data)):
        strainer = Strainer(bodies, headers)
        kept = strainer.strain(data[:cut]) + strainer.strain(data[cut:])
        assert kept + strainer.strain(b"", last=True) == expected, cut


def test_what_is_not_a_secret_hardly_waits(bodies: BodyRedactor) -> None:
    strainer = Strainer(bodies, JSON)
    text = b"of tasks and risks and desks there is no end, " * 100
    assert len(text) - len(strainer.strain(text)) <= LITERAL_BYTES_MAX


def test_a_long_encoded_body_is_kept_as_far_as_it_can_be_searched(bodies: BodyRedactor) -> None:
    strainer = Strainer(bodies, [(b"content-encoding", b"gzip")])
    assert strainer.strain(bytes(ENCODED_BYTES_MAX)) == b""
    assert strainer.strain(b"1") == b""
    assert strainer.strain(b"2", last=True) == b""
    assert (strainer.cut, strainer.kept) == (True, 0)


@pytest.mark.parametrize("path", ["/v1/echo", "/v1/late-echo"])
def test_a_secret_passes_and_is_not_recorded(tmp_path: Path, path: str) -> None:
    body = gzip.compress(PLAIN, mtime=0)
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        for sent, headers in ((PLAIN, {}), (body, {"content-encoding": "gzip"})):
            answer = request(relay.port, path, sent, headers=headers)
            assert answer.body.endswith(sent), "the wire is never touched"
        plain, encoded = relay.calls(2)
        assert plain.redacted
        assert encoded.redacted
        assert KEY not in plain.request_body.data + plain.response_body.data
        assert encoded.request_body.data == plain.request_body.data
        assert encoded.request_body.sha256 == hashlib.sha256(body).hexdigest()
        assert encoded.request_body.length == len(body)
        assert not encoded.request_body.truncated
    for written in tmp_path.rglob("*"):
        assert written.is_dir() or KEY not in written.read_bytes()


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_a_body_out_of_all_proportion_is_not_kept(bodies: BodyRedactor, encoding: str) -> None:
    encode = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.compress}[encoding]
    headers: Headers = [(b"content-encoding", encoding.encode())]
    bomb = encode(b" " * (DECODED_BYTES_MAX + 2**21) + KEY)
    assert len(bomb) * DECODED_RATIO_MAX < 2**21
    with pytest.raises(Unsearchable):
        bodies.whole(bomb, headers)
    strainer = Strainer(bodies, headers)
    assert strainer.strain(bomb, last=True) == b""
    assert strainer.cut
    body = BodyCopy(2**30)
    body.add(bomb)
    taken = body.take_whole(bodies, headers)
    assert (taken.data, taken.truncated, taken.kept) == (b"", True, 0)
    assert taken.sha256 == hashlib.sha256(bomb).hexdigest()


def test_what_is_in_proportion_is_searched_whatever_its_length(bodies: BodyRedactor) -> None:
    text = random.Random(1).randbytes(2**20).hex().encode() * 5 + b" " + KEY
    found = bodies.whole(gzip.compress(text, 1), [(b"content-encoding", b"gzip")])
    assert found is not None
    assert found.endswith(stood_for(bodies))
