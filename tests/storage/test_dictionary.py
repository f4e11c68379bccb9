"""A dictionary holds what many groups have in common, and nothing that is one's own."""

import random
from functools import cache

import pytest

from storage.dictionary import (
    OWNERS_MIN,
    SAMPLES_MAX,
    SAMPLES_MIN,
    Dictionary,
    Sample,
    Sampler,
    dictionary_of,
    train,
)

SECRET = b"Theodora Winterbottom of Larkspur Lane"


def body(number: int, private: bytes = b"") -> bytes:
    """Make a body of one of ten templates around words of its own."""
    template = random.Random(number % 10)
    rules = b"".join(
        b'{"rule": "answer with the clause %s"}' % template.randbytes(20).hex().encode()
        for _ in range(20)
    )
    own = random.Random(number).randbytes(40).hex().encode()
    return rules + b'"' + own + b'"' + private + b'"'


def samples_of(bodies: list[bytes]) -> list[Sample]:
    return [Sample(("default", f"user {number}"), body) for number, body in enumerate(bodies)]


@cache
def trained() -> Dictionary:
    bodies = [body(number, SECRET if number < OWNERS_MIN - 1 else b"") for number in range(1_500)]
    dictionary = train(samples_of(bodies), None)
    assert dictionary is not None
    return dictionary


def test_what_recurs_is_compressed_away() -> None:
    fresh = body(9_999)
    compressed = trained().compress(fresh)
    assert len(compressed) < len(fresh) / 4
    assert trained().decompress(compressed) == fresh
    assert dictionary_of(compressed) == trained().id


def test_the_same_bodies_leave_the_same_pieces_in_every_version() -> None:
    assert trained().id == 1_090_749_957  # the number is a hash of the pieces, in their order


def test_what_fewer_groups_have_is_not_in_it() -> None:
    content = trained().content
    assert b"answer with the clause" in content
    assert not any(word in content for word in SECRET.split() if len(word) > 3)


def test_what_one_user_says_in_many_groups_is_not_in_it() -> None:
    sampler = Sampler()
    for number in range(1_500):
        user, private = ("theodora", SECRET) if number % 5 == 0 else (f"user {number}", b"")
        sampler.add("default", f"group {number}", user, body(number, private))
    samples = sampler.take()
    assert samples is not None
    dictionary = train(samples, None)
    assert dictionary is not None
    assert b"answer with the clause" in dictionary.content
    assert not any(word in dictionary.content for word in SECRET.split() if len(word) > 3)


def test_what_is_read_back_from_the_database_is_the_same_dictionary() -> None:
    again = Dictionary(trained().content)
    assert again.id == trained().id
    assert again.decompress(trained().compress(b"some text")) == b"some text"


def test_a_dictionary_that_saves_nothing_over_the_one_in_use_is_not_taken() -> None:
    bodies = [body(number) for number in range(5_000, 6_500)]
    assert train(samples_of(bodies), trained()) is None


@pytest.mark.parametrize("bodies", [[], [b"x"] * 30, [bytes([n]) * 40 for n in range(100)]])
def test_too_little_gives_none(bodies: list[bytes]) -> None:
    assert train(samples_of(bodies), None) is None


def test_a_group_counts_once_and_training_grows_seldom() -> None:
    sampler = Sampler()
    for _ in range(2 * SAMPLES_MIN):
        sampler.add("default", "one group", "", b"body")
    assert sampler.take() is None
    for number in range(2 * SAMPLES_MAX):
        sampler.add("default", f"group {number}", "", b"body")
    samples = sampler.take()
    assert samples is not None
    assert len(samples) == SAMPLES_MAX
    assert sampler.take() is None
