"""Recorded calls for the tests of the pages: real bodies, derived and stored as the recorder does.

The number of a call is its place in time, one second after the other.
"""

import base64
import json
import struct
import zlib
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import msgspec

from storage.capture import Capture, Outcome
from storage.derive import derive
from storage.features import features_of
from storage.grouping import group_of
from storage.rows import Recorded
from tests.captures import plain_capture

START_NS = 1_790_000_000_000_000_000  # 21 September 2026, 14:13:20 UTC
# What somebody may say to do harm to who reads it.
HOSTILE = (
    "<script>alert(1)</script>",
    "</textarea></title></style><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "javascript:alert(1)",
    "{{ 7*7 }}{% raw %}",
    "\x1b[2J\x1b]0;gone\x07",
    "\u202egpj.exe\u2066",
    "\U000e0049\U000e0067nore",
    "' onmouseover='alert(1)",
    "<!-- </div></article> -->",
    "&lt;b&gt;",
)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checked = kind + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))


# One grey pixel (https://www.w3.org/TR/png-3/), base64.
PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\x00\x80"))
    + _chunk(b"IEND", b"")
).decode()


def id_of(number: int) -> str:
    """An id of the time of its call, as all have, and with its number at the end."""
    return f"{START_NS // 1_000_000 + number * 1_000:012x}7{number:019x}"


def number_of(call_id: str) -> int:
    return int(call_id[13:], 16)


def capture_of(number: int, request: object, response: object, **fields: Any) -> Capture:
    """Capture a call whose bodies are JSON, or bytes as they are."""
    sent, came = (
        body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        for body in (request, response)
    )
    values = {
        "id": id_of(number),
        "started_at_ns": START_NS + number * 1_000_000_000,
        "ended_ns": 12_500_000,
        "overhead_ns": 50_000,
    }
    return plain_capture(sent, came, **values | fields)


def recorded(capture: Capture, **understood: Any) -> Recorded:
    """Make of a capture what the recorder stores."""
    span = derive(capture)
    if understood:
        span = msgspec.structs.replace(
            span, understood=msgspec.structs.replace(span.understood, **understood)
        )
    return Recorded(capture, span, group_of(span, capture), features_of(span))


def chat(
    number: int,
    messages: Sequence[object] = ({"role": "user", "content": "Hello?"},),
    answer: object = None,
    *,
    model: str = "small-1",
    session: str = "",
    tags: dict[str, str] | None = None,
    outcome: Outcome = Outcome.COMPLETE,
    **request: object,
) -> Recorded:
    """Make a chat completion."""
    headers = [(b"x-shalt-session", session.encode())] if session else []
    headers += [(f"x-shalt-tag-{k}".encode(), v.encode()) for k, v in (tags or {}).items()]
    message = answer or {"role": "assistant", "content": "Certainly."}
    response = {
        "id": f"chatcmpl-{number}",
        "model": f"{model}-0613",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1_234, "completion_tokens": 56},
    }
    body = {"model": model, "messages": list(messages), **request}
    return recorded(capture_of(number, body, response, request_headers=headers, outcome=outcome))


class Page(HTMLParser):
    """What a browser would make of a page: its elements with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    def links(self) -> list[str]:
        """Where every link leads."""
        return [attributes["href"] for attributes in self.all("a")]

    def link(self, **wanted: str) -> str:
        """Where the one link with these attributes leads."""
        (found,) = [
            attributes["href"]
            for attributes in self.all("a")
            if wanted.items() <= attributes.items()
        ]
        return found
