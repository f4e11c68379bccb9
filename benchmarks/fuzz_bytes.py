"""What the fuzzer of the relay sends, and a parser that frames requests in one way only.

Requests are built around markers: 16 random hex characters that are in nothing else. Bodies hide
whole requests with markers of their own; whoever frames a message otherwise than its sender has
let one out.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

MARKER: Final = re.compile(rb"m[0-9a-f]{16}e")
_REQUEST_LINE: Final = re.compile(rb"[!-~]+ +([^ \r\n]+) +HTTP/1\.[01]")
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,16})([ \t]*;[^\r\n]*)?\r\n")
_PIECES: Final = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"\x0b", b"\xff", b"0\r\n\r\n",
    b"\r\n\r\n", b"chunked", b"5\r\n", b"-1", b"+", b"0x", b"_", b" HTTP/1.1\r\n", b"\r\n ",
)  # fmt: skip
_LINES: Final = (
    b"Content-Length: 3", b"Content-Length: 0", b"Content-Length: 3, 3", b"content-length : 3",
    b"Content-Length:\t7", b"Content-Length: +3", b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: chunked", b"transfer-encoding : chunked", b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding:",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"X: y\nTransfer-Encoding: chunked",
    b"Connection: close", b"Connection: content-length", b"Connection: transfer-encoding, close",
    b"Connection: keep-alive", b"Expect: 100-continue", b"Upgrade: h2c\r\nConnection: upgrade",
    b"Upgrade: websocket\r\nConnection: upgrade", b"Trailer: x", b"TE: trailers", b"Host: other",
    b" folded: line", b"\tfolded", b": nameless", b"Content-Encoding: gzip",
    b"x-shalt-record: none",
)  # fmt: skip


class Ambiguous(Exception):
    """These bytes are no request that all read alike."""


@dataclass(frozen=True)
class Framed:
    """A request as a parser frames it: the markers in its head, its body, the lines of its head."""

    markers: tuple[bytes, ...]
    body: bytes
    lines: tuple[bytes, ...]


def framed(data: bytes) -> Iterator[tuple[Framed, int]]:
    """Yield the requests at the start of these bytes, and where each ends.

    Raises Ambiguous where the next one is none; an incomplete one ends the list.
    """
    at = 0
    while True:
        while data[at : at + 1] in (b"\r", b"\n"):
            at += 1  # as every server does
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            return
        first, *rest = data[at:end].split(b"\r\n")
        line = _REQUEST_LINE.fullmatch(first)
        if line is None:
            raise Ambiguous(f"request line {first!r}")
        found = _body(data, end + 4, list(_headers(rest)))
        if found is None:
            return
        body, at = found
        told = [line[1], *(each for each in rest if each.lower().startswith(b"x-marker:"))]
        yield Framed(tuple(MARKER.findall(b" ".join(told))), body, (first, *rest)), at


def _headers(lines: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for line in lines:
        if line.startswith((b" ", b"\t")):
            continue  # it goes on the line above, which may not be one that frames: see _body
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name) or b"\n" in line or b"\r" in line:
            raise Ambiguous(f"header {line!r}")
        yield name.lower(), value.strip(b" \t")


def _body(data: bytes, at: int, headers: list[tuple[bytes, bytes]]) -> tuple[bytes, int] | None:
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if len(lengths) + bool(codings) > 1:
        raise Ambiguous("framed twice")
    if codings:
        if b",".join(codings).split(b",")[-1].strip(b" \t") != b"chunked":
            raise Ambiguous(f"transfer-encoding {codings!r}")
        return _chunks(data, at)
    length = lengths[0] if lengths else b"0"
    if not re.fullmatch(rb"[0-9]{1,30}", length) or int(length) >= 2**64:
        raise Ambiguous(f"content-length {length!r}")
    end = at + int(length)
    return None if len(data) < end else (data[at:end], end)


def _chunks(data: bytes, at: int) -> tuple[bytes, int] | None:
    body = b""
    while True:
        chunk = _CHUNK.match(data, at)
        if chunk is None:
            if b"\n" in data[at:] or len(data) - at > 20:
                raise Ambiguous(f"chunk {data[at : at + 20]!r}")
            return None
        size, at = int(chunk[1], 16), chunk.end()
        if size == 0:
            break
        body += data[at : at + size]
        at += size
        if len(data) < at + 2:
            return None
        if data[at : at + 2] != b"\r\n":
            raise Ambiguous("a chunk longer than it said")
        at += 2
    end = at - 2 if data.startswith(b"\r\n", at) else data.find(b"\r\n\r\n", at)
    if end < 0:
        return None
    list(_headers(data[at:end].split(b"\r\n") if end > at else []))
    return body, end + 4


class Source:
    """Random requests and answers, the same for the same seed."""

    def __init__(self, seed: int, bodies: Sequence[bytes]) -> None:
        self.random = random.Random(seed)
        self._bodies = bodies

    def marker(self) -> bytes:
        """A marker that nobody else has."""
        return b"m%016xe" % self.random.getrandbits(64)

    def request(self, prefix: bytes, marker: bytes) -> bytes:
        """A valid request, framed in one of several ways; its body often hides another."""
        body = self.random.choice(self._bodies)
        if self.random.random() < 0.5:
            hidden = b"POST %b/%b HTTP/1.1\r\nHost: x\r\n\r\n" % (prefix, self.marker())
            at = self.random.randrange(len(body) + 1)
            body = self.random.choice((hidden, body[:at] + hidden, b"0\r\n\r\n" + hidden))
        head = b"POST %b/%b HTTP/1.1\r\nHost: x\r\nX-Marker: %b\r\n" % (prefix, marker, marker)
        return head + self._frame(body)

    def answer(self, marker: bytes) -> bytes:
        """A valid answer that repeats its marker."""
        version = self.random.choice((b"1.1", b"1.1", b"1.1", b"1.0"))
        status = self.random.choice((b"200 OK", b"200 OK", b"429 Slow down", b"204 No", b"500 x"))
        early = b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n" if self.random.random() < 0.1 else b""
        head = b"HTTP/%b %b\r\nx-marker: %b\r\n" % (version, status, marker)
        if status.startswith(b"204"):
            return early + head + b"\r\n"
        body = b"data: %b\n\n" % marker * self.random.randrange(20)
        if self.random.random() < 0.2:
            body += self.answer(marker)
        return early + head + self._frame(body)

    def _frame(self, body: bytes) -> bytes:
        if self.random.random() < 0.5:
            return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        chunks = b""
        while body:
            size = self.random.randrange(1, len(body) + 1)
            chunks += b"%x\r\n%b\r\n" % (size, body[:size])
            body = body[size:]
        end = self.random.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nx-trailer: 1\r\n\r\n"))
        return b"Transfer-Encoding: chunked\r\n\r\n" + chunks + end

    def mutated(self, data: bytes) -> bytes:
        """Change these bytes in up to three of the ways that confuse parsers."""
        for _ in range(self.random.choice((0, 1, 1, 1, 2, 3))):
            if data:
                data = self.random.choice(_MUTATIONS)(self.random, data)
        return data

    def pieces(self, data: bytes) -> list[bytes]:
        """Cut these bytes as a network might."""
        cuts = sorted(self.random.randrange(len(data) + 1) for _ in range(self.random.randrange(4)))
        ends = [*cuts, len(data)]
        return [data[start:end] for start, end in zip([0, *cuts], ends, strict=True)]


def _insert(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice(_PIECES) + data[at:]


def _insert_line(chance: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    lines.insert(chance.randrange(1, min(len(lines), 6) + 1), chance.choice(_LINES))
    return b"\r\n".join(lines)


def _flip(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _delete(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + data[at + chance.choice((1, 1, 2, 10)) :]


def _repeat(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + data[at : at + chance.choice((1, 2, 40))] + data[at:]


def _cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data)) + 1]


def _swap_lines(chance: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    one, two = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[two] = lines[two], lines[one]
    return b"\r\n".join(lines)


def _change_number(chance: random.Random, data: bytes) -> bytes:
    found = [each for each in re.finditer(rb"[0-9]+", data) if each.end() - each.start() < 8]
    if not found:
        return data
    number = chance.choice(found)
    new = int(number[0]) + chance.choice((-1, 1, 2, -2, 16, 1000))
    return data[: number.start()] + b"%d" % max(new, 0) + data[number.end() :]


_MUTATIONS: Final[tuple[Callable[[random.Random, bytes], bytes], ...]] = (
    _insert, _insert, _insert_line, _insert_line, _insert_line, _flip, _delete, _repeat, _cut,
    _swap_lines, _change_number, _change_number,
)  # fmt: skip
