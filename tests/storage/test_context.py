"""Tests of storage.context: our headers, and those of the gateways people come from."""

import pytest

from storage.capture import Headers
from storage.context import Context, context_of


@pytest.mark.parametrize(
    ("headers", "context"),
    [
        ([(b"content-type", b"application/json")], Context()),
        ([(b"x-shalt-session", b"s1")], Context(session_id="s1")),
        ([(b"helicone-session-id", b"s2")], Context(session_id="s2")),
        ([(b"x-litellm-session-id", b"s3")], Context(session_id="s3")),
        ([(b"helicone-user-id", b"ana")], Context(user_id="ana")),
        ([(b"x-litellm-end-user-id", b"ana")], Context(user_id="ana")),
        ([(b"x-litellm-customer-id", b"ana")], Context(user_id="ana")),
        ([(b"x-shalt-tag-env", b"prod")], Context(tags=(("env", "prod"),))),
        ([(b"helicone-property-env", b"prod")], Context(tags=(("env", "prod"),))),
        ([(b"op-tags", b'{"env": "prod", "n": 1}')], Context(tags=(("env", "prod"), ("n", "1")))),
        (
            [(b"x-litellm-spend-logs-metadata", b'{"a": {"b": [1]}}')],
            Context(tags=(("a", '{"b":[1]}'),)),
        ),
        ([(b"x-litellm-tags", b"one, two ,")], Context(tags=(("one", "true"), ("two", "true")))),
    ],
)
def test_each_gateways_words_mean_ours(headers: Headers, context: Context) -> None:
    assert context_of(headers) == context


def test_our_own_word_wins() -> None:
    headers = [
        (b"helicone-session-id", b"theirs"),
        (b"helicone-property-env", b"theirs"),
        (b"x-shalt-session", b"ours"),
        (b"x-shalt-tag-env", b"ours"),
    ]
    found = context_of(headers)
    assert found.session_id == "ours"
    assert found.tags[0] == ("env", "ours")


@pytest.mark.parametrize("odd", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_what_cannot_be_read_is_passed_over(odd: bytes) -> None:
    assert context_of([(b"op-tags", odd), (b"x-shalt-tag-a", b"b")]).tags == (("a", "b"),)


def test_the_first_of_a_repeated_header_counts() -> None:
    assert context_of([(b"x-shalt-session", b"1"), (b"x-shalt-session", b"2")]).session_id == "1"
