"""Tests of storage.capture."""

import uuid

import msgspec
import pytest

from storage.capture import Capture, Endpoint, SystemClock, endpoint_of, new_id
from tests.storage.calls import StillClock, capture_of


def test_an_id_is_a_version_7_uuid_in_hex() -> None:
    minted = new_id(SystemClock())
    parsed = uuid.UUID(minted)
    assert (len(minted), parsed.version, parsed.hex) == (32, 7, minted)


def test_ids_sort_by_time_within_a_millisecond() -> None:
    clock = StillClock()
    ids = []
    for _ in range(100):
        clock.now_ns += 1_000
        ids.append(new_id(clock))
    assert ids == sorted(ids)


def test_ids_of_one_moment_differ() -> None:
    clock = StillClock()
    assert len({new_id(clock) for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize(
    ("method", "target", "endpoint"),
    [
        ("POST", "/v1/chat/completions", Endpoint.CHAT_COMPLETIONS),
        ("POST", "/u/azure/openai/deployments/x/chat/completions?v=1", Endpoint.CHAT_COMPLETIONS),
        ("POST", "/v1/completions/", Endpoint.COMPLETIONS),
        ("POST", "/v1/messages", Endpoint.MESSAGES),
        ("POST", "/v1/messages/count_tokens", Endpoint.OTHER),
        ("GET", "/v1/responses/resp_1", Endpoint.OTHER),
        ("GET", "/v1/chat/completions", Endpoint.OTHER),
        ("GET", "/v1/models", Endpoint.MODELS),
        ("POST", "/v1/audio/speech", Endpoint.AUDIO),
        ("POST", "/v1/images/edits", Endpoint.IMAGES),
        ("POST", "/v1/edits", Endpoint.OTHER),
        ("POST", "/v1beta/models/g:generateContent?key=1", Endpoint.GENERATE_CONTENT),
        ("POST", "/v1/models/g:streamGenerateContent?alt=sse", Endpoint.GENERATE_CONTENT),
        ("POST", "/v1beta/models/g:batchEmbedContents", Endpoint.EMBEDDINGS),
        ("POST", "/v1beta/models/g:countTokens", Endpoint.OTHER),
        ("POST", "/v1/models", Endpoint.OTHER),
    ],
)
def test_the_end_of_the_path_names_the_endpoint(
    method: str, target: str, endpoint: Endpoint
) -> None:
    assert endpoint_of(method, target) is endpoint


def test_a_capture_survives_the_wire() -> None:
    capture = capture_of(1, request=b"\x00\xff")
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(capture), type=Capture)
    assert again == capture


def test_ids_ascend_where_the_clock_is_put_right_and_follow_one_that_was_wrong() -> None:
    clock = StillClock()
    clock.now_ns += 10**18  # later than any other test's
    first = [new_id(clock) for _ in range(100)]
    clock.now_ns -= 59 * 10**9
    later = [new_id(clock) for _ in range(100)]
    assert first + later == sorted(first + later)
    clock.now_ns -= 3600 * 10**9
    assert new_id(clock) < first[0]
