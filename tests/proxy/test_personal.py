"""Tests of proxy.personal: what the rules that come with shalt find, and which are refused."""

import pytest

from proxy.personal import BUILT_IN, CHECKS_MAX, BadRule, Finder, Rule, check, finders_of
from tests.timed import least_seconds


def found(rule: str, text: str) -> list[str]:
    finder = Finder(Rule(rule), b"key")
    data = text.encode()
    values = []
    hit = finder.next(data, 0, len(data))
    while hit is not None:
        values.append(data[hit.first : hit.last].decode())
        hit = finder.next(data, hit.last, len(data), hit.misses)
    return values


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("email", "To: a.b+c@ex-ample.co.uk, <jürgen@bücher.de>.", None),
        ("email", "user@host and @name and a@b.c are none", []),
        ("phone", "+49 151 2345678, (555) 123-4567, 0151 23456789, 0049-89-123456", None),
        ("phone", "2026-11-23 10:20:30, 01-02-2026, 1727281234, v1.2.3, 12,345,678", []),
        ("iban", "DE89 3704 0044 0532 0130 00 or GB82WEST12345698765432", None),
        ("iban", "DE89 3704 0044 0532 0130 01 or AB12 3456 7890 1234", []),
        ("credit_card", "4111 1111 1111 1111, 378282246310005, 5555-5555-5555-4444", None),
        ("credit_card", "4111 1111 1111 1112 and 1234 5678 9012 3456", []),
        ("ssn", "078-05-1120", ["078-05-1120"]),
        ("ssn", "000-12-3456, 666-12-3456, 912-12-3456, 123-00-3456", []),
        ("ipv4", "from 192.168.0.1 to 10.0.0.255", ["192.168.0.1", "10.0.0.255"]),
        ("ipv4", "256.1.1.1 and 1.2.3", []),
        ("ipv6", "2001:db8::8a2e:370:7334 fe80::1", ["2001:db8::8a2e:370:7334", "fe80::1"]),
        ("ipv6", "std::string, 10:20:30, ::1 and ::", []),
    ],
)
def test_what_comes_with_shalt_finds_values_and_no_others(
    rule: str, text: str, expected: list[str] | None
) -> None:
    values = found(rule, text)
    if expected is not None:
        assert values == expected
    else:
        left = text
        for value in values:
            left = left.replace(value, "", 1)
        assert not any(character.isdigit() or character == "@" for character in left), values


def test_an_iban_ends_with_the_last_word_up_to_which_it_has_a_remainder_of_1() -> None:
    def checks(text: str) -> bool:
        compact = text[4:].replace(" ", "") + text[:4]
        return int("".join(str(int(letter, 36)) for letter in compact)) % 97 == 1

    for number in range(2, 99):
        text = f"DE{number:02} 3704 0044 0532 0130 AB12"
        beginnings = (text, text[:24], text[:19])
        assert found("iban", text) == [each for each in beginnings if checks(each)][:1]


def test_a_card_behind_another_number_is_found() -> None:
    assert found("credit_card", "no. 1234 4111 1111 1111 1111") == ["4111 1111 1111 1111"]
    assert found("iban", "DE89370400440532013000 AND MORE") == ["DE89370400440532013000"]


@pytest.mark.parametrize(
    ("rule", "one", "other"),
    [
        ("email", b"Bob@X.de", b"bob@x.de"),
        ("phone", b"+49 (151) 2345678", b"+491512345678"),
        ("iban", b"DE89 3704 0044 0532 0130 00", b"DE89370400440532013000"),
        ("credit_card", b"4111-1111-1111-1111", b"4111111111111111"),
    ],
)
def test_a_value_has_one_token_however_it_is_written(rule: str, one: bytes, other: bytes) -> None:
    finder = Finder(Rule(rule), b"key")
    assert finder.token(one) == finder.token(other)
    assert finder.token(one) != Finder(Rule(rule), b"another").token(one)


def test_the_key_of_the_directory_and_the_project_make_the_token() -> None:
    tokens = {
        finders_of([Rule("email")], project, key)[0].token(b"bob@x.de")
        for project in ("shop", "desk")
        for key in (b"one", b"two")
    }
    assert len(tokens) == 4


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(a", "missing"),
        ("(?=a)b", "invalid perl operator"),
        (r"(a)\1", "invalid escape"),
        ("a*", "finds what is empty"),
        ("((a{100}){10}){100}", "too large|repetition"),
        ("a" * 1001, "more than 1000"),
        ("", "pattern is missing; email"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_and_said_why(pattern: str, message: str) -> None:
    with pytest.raises(BadRule, match=message):
        check(Rule("mine", pattern))


def test_no_pattern_takes_more_than_time_in_proportion() -> None:
    finder = Finder(Rule("mine", "(a+)+b"), b"key")
    assert finder.next(b"a" * 100_000, 0, 100_000) is None
    assert least_seconds(lambda: finder.next(b"a" * 100_000, 0, 100_000)) < 1


def test_a_text_of_nothing_but_misses_is_not_checked_for_ever() -> None:
    text = "4111 1111 1111 1112 " * (CHECKS_MAX + 10)
    assert found("credit_card", text), "beyond the limit everything is hidden"


def test_every_rule_that_comes_with_shalt_can_be_used() -> None:
    for name in BUILT_IN:
        check(Rule(name))
