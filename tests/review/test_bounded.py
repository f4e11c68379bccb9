"""Tests of review.bounded: bodies that come in pieces."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from starlette.requests import Request

from review.bounded import read_body


@pytest.mark.parametrize(
    ("pieces", "body"),
    [([], b""), ([b"ab", b"cd"], b"abcd"), ([b"abcd", b"e"], None), ([b"abcde"], None)],
)
def test_a_body_is_read_to_its_limit_and_not_beyond(
    pieces: list[bytes], body: bytes | None
) -> None:
    coming = [{"type": "http.request", "body": each, "more_body": True} for each in pieces]
    coming.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> MutableMapping[str, Any]:
        return coming.pop(0)

    assert asyncio.run(read_body(Request({"type": "http"}, receive), 4)) == body
