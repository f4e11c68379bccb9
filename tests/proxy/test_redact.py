"""Tests of proxy.redact."""

import pytest

from proxy.redact import Redactor


@pytest.mark.parametrize(
    "name",
    [
        b"authorization", b"proxy-authorization", b"x-api-key", b"api-key", b"x-goog-api-key",
        b"cookie", b"set-cookie", b"helicone-auth", b"x-shalt-key", b"x-amz-security-token",
        b"x-auth-token", b"openai-api-key", b"ocp-apim-subscription-key", b"x-custom-secret",
        b"x-litellm-key", b"private-token", b"x-gitlab-token", b"lk-token", b"x-key",
        b"x-datadog-key", b"x-amzn-oidc-data",
        b"sec-websocket-protocol", b"x-portkey-api-key",
        b"cf-access-client-secret",
    ],
)  # fmt: skip
def test_headers_with_a_secret_name_lose_their_value(name: bytes) -> None:
    redacted = Redactor(b"key").headers([(name, b"anything at all")])
    assert redacted[0][0] == name
    assert redacted[0][1].startswith(b"redacted:")


@pytest.mark.parametrize(
    "name",
    [
        b"x-ratelimit-remaining-tokens", b"anthropic-ratelimit-tokens-limit", b"content-type",
        b"access-control-allow-credentials", b"x-request-id", b"x-shalt-tag-author",
        b"openai-organization", b"x-amzn-bedrock-input-token-count", b"idempotency-key",
    ],
)  # fmt: skip
def test_other_headers_keep_theirs(name: bytes) -> None:
    assert Redactor(b"key").headers([(name, b"true")]) == [(name, b"true")]


@pytest.mark.parametrize(
    "value",
    [
        b"sk-proj-abcdefghijkl", b"Bearer abcdefgh", b"gsk_abcdefghijklm", b"hf_abcdefghijklmnopq",
        b"AIzaSyA-abcdefghijklmnopq", b"xai-abcdefghijklmnopq", b"AKIAABCDEFGHIJKLMNOP",
        b"a token like eyJhbGciOiJI.eyJzdWIiOiIx.c2ln inside", b"ghp_abcdefghijklmnopqrstu",
    ],
)  # fmt: skip
def test_what_looks_like_a_key_is_hidden_wherever_it_stands(value: bytes) -> None:
    assert b"redacted:" in Redactor(b"key").headers([(b"x-note", value)])[0][1]
    assert value not in Redactor(b"key").target(b"/v1/x?note=" + value)


def test_one_key_has_one_fingerprint_and_others_have_others() -> None:
    redactor = Redactor(b"key")
    first, again, other = (
        redactor.headers([(b"authorization", value)])[0][1] for value in (b"a", b"a", b"b")
    )
    assert first == again != other
    assert Redactor(b"another").headers([(b"authorization", b"a")])[0][1] != first


@pytest.mark.parametrize(
    ("target", "hidden"),
    [
        (b"/v1/x?key=SECRET", b"SECRET"),
        (b"/v1/x?alt=sse&sig=SECRET&b=1", b"SECRET"),
        (b"/v1/x?api_key=SECRET", b"SECRET"),
        (b"/v1/x?%6bey=SECRET", b"SECRET"),
        (b"/v1/x?key[]=SECRET", b"SECRET"),
        (b"/v1/x?AWSAccessKeyId=SECRET&sas=SECRET", b"SECRET"),
        (b"/v1/x?a=sk_live_abcdefghijkl", b"sk_live_abcdefghijkl"),
        (b"/v1/sk-abcdefghijklmnop/x", b"sk-abcdefghijklmnop"),
        (b"/v1/x?sk-abcdefghijklmnop", b"sk-abcdefghijklmnop"),
    ],
)
def test_secrets_in_path_and_query_are_hidden(target: bytes, hidden: bytes) -> None:
    redacted = Redactor(b"key").target(target)
    assert hidden not in redacted
    assert b"redacted:" in redacted


@pytest.mark.parametrize(
    "target", [b"/v1/chat/completions", b"/v1/x?alt=sse&key=", b"/v1/x?", b"/v1/x?a=%2F&b"]
)
def test_a_target_without_secrets_stays_as_it_is(target: bytes) -> None:
    assert Redactor(b"key").target(target) == target
