"""Tests of proxy.body_copy: however a body comes and is taken, its description is the same."""

import hashlib
import random

import pytest

from proxy.body_copy import HELD_BYTES_MAX, BodyCopy, why_cut
from storage.capture import Body


def test_a_short_body_is_taken_whole_and_not_hashed() -> None:
    copy = BodyCopy(100, resend=True)
    copy.add(b"one ")
    copy.add(b"two")
    assert copy.whole == b"one two"
    assert copy.take_whole(None, []) == Body(b"one two", 7)


def test_what_was_taken_can_be_sent_again_until_it_is_let_go() -> None:
    copy = BodyCopy(100, resend=True)
    copy.add(b"one ")
    assert copy.take() == b"one "
    copy.add(b"two")
    assert copy.whole == b"one two"
    copy.let_go()
    assert copy.whole is None


def test_what_is_kept_to_be_sent_again_is_bounded() -> None:
    copy = BodyCopy(2 * HELD_BYTES_MAX, resend=True)
    copy.add(b"x" * (HELD_BYTES_MAX + 1))
    copy.take()
    assert copy.whole is None


@pytest.mark.parametrize("kept_bytes_max", [0, 1, 500, 999, 1000, 2000])
def test_however_it_is_taken_the_description_is_the_same(kept_bytes_max: int) -> None:
    data = random.Random(1).randbytes(1000)
    copy, kept = BodyCopy(kept_bytes_max), b""
    chance = random.Random(kept_bytes_max)
    for start in range(0, 1000, 10):
        copy.add(data[start : start + 10])
        if chance.random() < 0.3:
            kept += copy.take()
    kept += copy.take()
    truncated = kept_bytes_max < 1000
    digest = hashlib.sha256(data).hexdigest() if truncated else ""
    assert kept == data[:kept_bytes_max]
    assert copy.describe(b"") == Body(b"", 1000, digest, truncated)


def test_a_body_beyond_its_limit_says_so() -> None:
    assert why_cut(Body(b"kept", 9, "", True), None) == "body_bytes_max"
    assert why_cut(Body(b"", 9, "", True, 0), None) == "not_searchable"
