"""Tests of proxy.secrets: keys of every provider, and what only looks like one."""

import pytest

from proxy.secrets import (
    LITERAL_BYTES_MAX,
    across_events,
    could_begin,
    could_begin_across,
    find,
)
from tests.timed import least_seconds

# Put together here, so that no scanner of repositories takes them for real ones.
KEYS = [
    "sk-" + "proj-a1B2c3D4e5F6g7H8i9J0",
    "sk-" + "ant-api03-a1B2c3D4e5F6g7H8",
    "sk_" + "live_a1B2c3D4e5F6g7H8i9",
    "ek_" + "a1B2c3D4e5F6g7H8i9J0",
    "gsk_" + "a1B2c3D4e5F6g7H8i9J0",
    "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
    "ya29." + "a0AfH6SMBx1y2z3a4b5c6d7",
    "xai-" + "a1B2c3D4e5F6g7H8i9J0",
    "hf_" + "a1B2c3D4e5F6g7H8i9J0",
    "r8_" + "a1B2c3D4e5F6g7H8i9J0",
    "pplx-" + "a1B2c3D4e5F6g7H8i9J0",
    "fw_" + "a1B2c3D4e5F6g7H8i9J0",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1",
    "github_pat_" + "a1B2c3D4e5F6g7H8i9J0k1",
    "glpat-" + "a1B2c3D4e5F6g7H8",
    "xoxb-" + "123456789012-abcdef",
    "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0In0.abc_DEF-123",
    "shalt-" + "0a1b2c3d-" + "x" * 43,
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:5])
@pytest.mark.parametrize("around", ["{}", 'say "{}" to him', "key={}&x=1", "\\n{}\\n", "Bearer {}"])
def test_a_key_is_found_wherever_it_stands(key: str, around: str) -> None:
    data = around.format(key).encode()
    assert [data[found.start : found.end] for found in find(data)] == [key.encode()]


@pytest.mark.parametrize("count", [1, 16, 17])
@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:5])
def test_a_key_is_found_behind_others_that_only_begin(key: str, count: int) -> None:
    begun = ".".join(other[:4] for other in KEYS)
    data = f'{begun * count} {begun * count}"{key}"'.encode()
    assert [data[found.start : found.end] for found in find(data)] == [key.encode()]


@pytest.mark.parametrize("name", ["client_secret_access_key", "x_api_keyapi_key", "sk_api_key"])
def test_a_name_within_a_name_is_one(name: str) -> None:
    data = b'{"%b": "1234abcdef"}' % name.encode()
    assert [found.secret for found in find(data)] == [b"1234abcdef"]


@pytest.mark.parametrize(
    "text",
    [
        "task-based-on-1234567890123456",
        "sk-fading-circle-container",
        "desk-lamps-and-2-risk-1",
        "eyJhbGciOiJIUzI1NiJ9 alone is a header",
        "AKIA is a town",
        '{"api_key": {"type": "string", "description": "the key of the service"}}',
        '{"properties": ["api_key", "authorization"]}',
        "my api_key is a secret",
        '{"authorization": ""}',
        '{"authorization": "<redacted>", "access_token": "ACCESS_TOKEN", "api_key": "${MY_KEY_1}"}',
    ],
)
def test_what_only_looks_like_a_key_is_left_alone(text: str) -> None:
    assert find(text.encode()) == []


@pytest.mark.parametrize(
    "text",
    [
        '{"api_key": "hunter-two", "x": 1}',
        '{"apiKey":"hunter-two"}',
        '{"headers": {"Authorization" : "hunter-two"}}',
        '{"arguments": "{\\"api_key\\": \\"hunter-two\\", \\"x\\": \\"y\\"}"}',
        '{"a": "{\\\\\\"client_secret\\\\\\":\\\\\\"hunter-two\\\\\\"}"}',
        '{"aws_secret_access_key": "hunter-two"}',
    ],
)
def test_what_is_called_a_key_is_one(text: str) -> None:
    data = text.encode()
    assert [data[found.start : found.end] for found in find(data)] == [b"hunter-two"]


def events(*texts: str) -> bytes:
    event = 'data: {{"choices":[{{"index":0,"delta":{{"content":"{}"}}}}]}}\n\n'
    return "".join(event.format(text) for text in texts).encode()


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:5])
def test_a_key_in_pieces_is_found_at_every_cut(key: str) -> None:
    for cut in range(1, len(key)):
        data = events("take ", key[:cut], key[cut:] + " now", "!")
        pieces = across_events(data)
        assert len(pieces) == 1, cut
        assert b"".join(data[piece.start : piece.end] for piece in pieces[0]) == key.encode()
        assert [piece.secret for piece in pieces[0]] == [key.encode(), b""]


def test_a_key_within_one_event_is_not_across() -> None:
    assert across_events(events("a", f"b {KEYS[0]} c", "d")) == []
    assert across_events(b"") == []


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:5])
def test_the_beginning_of_a_key_waits_for_the_rest(key: str) -> None:
    said = "say this: "
    text = said + key
    first = len(events(*said)) + events("?").index(b"?")  # of the key, where each byte is an event
    for cut in range(len(said) + 1, len(text) + 1):
        assert could_begin(text[:cut].encode()) <= len(said), cut
        assert could_begin_across(events(*text[:cut])) <= first, cut


def test_an_event_with_the_end_of_a_line_in_it_is_not_whole() -> None:
    whole = events("of one line, and longer than what begins any key")
    for torn in (b'data: {"content":"of two\nli', b'data: {"content":"of two\nlines"}'):
        assert could_begin_across(whole + torn) == could_begin_across(whole), torn
    assert could_begin_across(whole) < len(whole)


def test_what_can_begin_nothing_waits_for_little() -> None:
    text = b"a risk-averse person asks about tasks and desks, of which there are many, " * 100
    assert len(text) - could_begin(text) <= LITERAL_BYTES_MAX


@pytest.mark.parametrize(
    "unit",
    [b"api_key", b"api_key" + b"\\" * 999 + b'":' + b"\\" * 999, b'"api_key":"', b"eyJ", b"sk-"],
)
def test_no_body_takes_long_whatever_it_repeats(unit: bytes) -> None:
    data = unit * (300_000 // len(unit))
    assert least_seconds(lambda: find(data)) < 0.5
