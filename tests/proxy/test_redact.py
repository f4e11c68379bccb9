"""Tests of proxy.redact."""

import re

import pytest

from proxy.personal import Rule
from proxy.redact import Redactor
from proxy.redact_bodies import BodyRedactor
from proxy.redact_personal import LineSearch, PersonalRules
from tests.timed import least_seconds


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


def test_targets_that_come_again_are_hidden_again_however_many_there_are() -> None:
    redactor = Redactor(b"key")
    targets = [b"/v1/%d?key=SECRET" % number for number in range(1100)]
    first = [redactor.target(target) for target in targets]
    assert [redactor.target(target) for target in targets] == first
    assert len(set(first)) == len(targets)
    assert not any(b"SECRET" in target for target in first)


@pytest.mark.parametrize(
    "target", [b"/v1/chat/completions", b"/v1/x?alt=sse&key=", b"/v1/x?", b"/v1/x?a=%2F&b"]
)
def test_a_target_without_secrets_stays_as_it_is(target: bytes) -> None:
    assert Redactor(b"key").target(target) == target


@pytest.mark.parametrize(
    "value",
    [
        b'{"api_key": "no form at all"}', b'{"a": "{\\"client_secret\\": \\"no form at all\\"}"}',
        b"ek_0123456789abcdef", b"shalt-01234567-" + b"a" * 43, b"SK-ABCDEFGHIJKLM",
    ],
)  # fmt: skip
def test_a_value_with_a_secret_in_it_is_hidden(value: bytes) -> None:
    assert Redactor(b"key").headers([(b"x-note", value)])[0][1].startswith(b"redacted:")


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/sk%2Dabcdefghijklmnop/x", b"/v1/x?a=sk%2Dabcdefghijklmnop", b"/?sk%2dabcdefghijklm",
        b"/v1/x?a=%7B%22api_key%22%3A%22abcdefghijklm%22%7D", b"/v1/x?a=Bearer+abcdefghijklm",
    ],
)  # fmt: skip
def test_escapes_of_an_address_hide_no_key(target: bytes) -> None:
    redacted = Redactor(b"key").target(target)
    assert b"abcdefghijklm" not in redacted
    assert b"redacted:" in redacted


def personal(*rules: Rule) -> LineSearch:
    found = PersonalRules(rules or [Rule("email"), Rule("phone"), Rule("ipv6")], b"key").lines("p")
    assert found is not None
    return found


def test_personal_data_is_replaced_in_values_and_the_same_is_the_same() -> None:
    headers = [(b"x-user", b"bob@example.org"), (b"from", b"Bob <bob@example.org>"), (b"x", b"1")]
    kept = Redactor(b"key").headers(headers, personal())
    token = kept[0][1]
    assert token.startswith(b"<email:")
    assert kept == [(b"x-user", token), (b"from", b"Bob <%b>" % token), (b"x", b"1")]


def test_json_in_a_header_is_searched_as_a_body_is() -> None:
    value = b'{"to": "bob\\u0040example.org", "since": 49151234567}'
    kept = Redactor(b"key").headers([(b"x-metadata", value)], personal())[0][1]
    assert kept.startswith(b'{"to": "<email:')
    assert kept.endswith(b'>", "since": 49151234567}')


def test_what_only_http_and_tracing_write_is_left_alone() -> None:
    headers = [
        (b"date", b"Mon, 23 Nov 2026 08:11:08 GMT"), (b"host", b"[fd00::1]:8400"),
        (b"traceparent", b"00-00000000000000000000000000000001-0000000000000001-01"),
        (b"x-request-id", b"0151 23456789"), (b"content-type", b"a/b; boundary=+4915123456789"),
    ]  # fmt: skip
    assert Redactor(b"key").headers(headers, personal()) == headers


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        (b"/v1/users/bob%40example.org/x", rb"/v1/users/<email:\w+>/x"),
        (b"/v1/x?user=bob@example.org&a=1", rb"/v1/x\?user=<email:\w+>&a=1"),
        (b"/v1/x?bob@example.org=1", rb"/v1/x\?<email:\w+>=1"),
        (b"/v1/x?tel=%2B49+151+2345678&a=b%26c", rb"/v1/x\?tel=<phone:\w+>&a=b%26c"),
        (b"/v1/x?q=a%26b%20%2F+(bob%40example.org)", rb"/v1/x\?q=a%26b%20%2F%2B\(<email:\w+>\)"),
        (b"/v1/a+b?c=d+e%20f&g", rb"/v1/a\+b\?c=d\+e%20f&g"),
    ],
)
def test_personal_data_is_replaced_in_addresses_and_the_rest_stays(
    target: bytes, kept: bytes
) -> None:
    assert re.fullmatch(kept, Redactor(b"key").target(target, personal()))


def test_tokens_of_headers_addresses_and_bodies_are_the_same() -> None:
    rules = PersonalRules([Rule("email")], b"key")
    bodies = BodyRedactor(Redactor(b"key"), rules).of("p")
    lines = bodies.lines()
    token = Redactor(b"key").headers([(b"x", b"bob@example.org")], lines)[0][1]
    assert bodies.whole(b'{"a": "bob@example.org"}', []) == b'{"a": "%b"}' % token
    assert Redactor(b"key").target(b"/x?y=Bob%40example.org", lines) == b"/x?y=" + token


def test_a_rule_is_searched_for_in_each_value_by_itself() -> None:
    for pattern in ("^C[0-9]+$", r"\AC[0-9]+\z", "(?-m)^C[0-9]+$"):
        search = personal(Rule("customer", pattern, replace="mask"))
        headers = [(b"a", b"x C12"), (b"b", b"C34"), (b"c", b"y")]
        for _ in range(2):  # of values that are known, too
            kept = Redactor(b"key").headers(headers, search)
            assert [value for _, value in kept] == [b"x C12", b"<customer>", b"y"]


def test_no_value_is_missed_because_others_were_clean() -> None:
    redactor, search = Redactor(b"key"), personal()
    for number in range(3000):
        clean = [(b"x-count", b"n%d" % number), (b"x-same", b"same")]
        assert redactor.headers(clean, search) == clean
        if number % 500 == 0:
            kept = redactor.headers([*clean, (b"x-user", b"b%d@example.org" % number)], search)
            assert kept[-1][1].startswith(b"<email:")


def test_without_a_rule_for_the_project_nothing_is_searched() -> None:
    rules = PersonalRules([Rule("email", projects=("other",))], b"key")
    assert rules.lines("p") is None
    assert BodyRedactor(Redactor(b"key")).lines() is None


@pytest.mark.parametrize("unit", [b"eyJ", b"eyJa.", b"api_key", b"Bearer ", b"sk-", b"&key="])
def test_no_head_takes_long_whatever_it_repeats(unit: bytes) -> None:
    value = unit * (60_000 // len(unit))
    made = Redactor(b"key")
    assert least_seconds(lambda: made.headers([(b"x", value), (value, b"x")])) < 0.5
    assert least_seconds(lambda: made.target(b"/" + value + b"?" + value)) < 0.5
