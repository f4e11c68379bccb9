"""Tests of proxy.texts: escapes, strings and what is between them, pieces of events."""

import json
import random

import pytest

from proxy.texts import (
    Joined,
    TextSpans,
    Unescaped,
    is_json,
    is_member_number,
    last_unfinished,
    undone,
)


@pytest.mark.parametrize("seed", range(5))
def test_escapes_are_undone_and_every_place_is_found_again(seed: int) -> None:
    chance = random.Random(seed)
    letters = ["a", "é", "\n", '"', "\\", "/", "😀", "\t", "@", "\x7f"]
    text = "".join(chance.choices(letters, k=200))
    written = [json.dumps(each)[1:-1] if chance.random() < 0.7 else each for each in text]
    written = ["\\" + each if each in '"\\' else each for each in written]
    data = "".join(written).encode()
    plain = Unescaped(data)
    assert plain.data.decode() == text
    here = there = 0
    for character, as_written in zip(text, written, strict=True):
        assert (plain.back(here), plain.forth(there)) == (there, here)
        here += len(character.encode())
        there += len(as_written.encode())
    assert plain.back(here) == there


@pytest.mark.parametrize("letters", ['aé\n"/😀@', 'a\n"\\/\t@', 'a\n"é\t', "a\\😀", "plain"])
def test_escapes_undone_fast_are_undone_alike(letters: str) -> None:
    text = "".join(random.Random(1).choices(letters, k=300))
    for data in (json.dumps(text).encode(), json.dumps(text, ensure_ascii=False).encode()):
        assert undone(data) in (None, Unescaped(data).data)
    assert undone(rb"a\d \x41 \/") is None
    assert undone(rb"\u12") is None


def spans(data: bytes) -> list[bytes]:
    found, position = [], 0
    texts = TextSpans(data)
    while (around := texts.around(position)) is not None:
        found.append(data[slice(*around)])
        position = around[1]
    return found


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            b'{"a": "b \\" c", "n": [1, -2.5e3, true, null], "": "d"}',
            [b"a", b'b \\" c', b"n", b"d"],
        ),
        (b'data: {"a":491}\n\ndata: [DONE]', [b"data: {", b"a", b"data: [DONE]"]),
        (b'it"s\n{"a": 1}', [b'it"s', b"a"]),
        (b"plain\x00bytes\ntext", [b"text"]),
        (b"", []),
    ],
)
def test_texts_are_strings_and_what_is_not_json(data: bytes, expected: list[bytes]) -> None:
    assert spans(data) == expected


def test_pieces_are_joined_where_they_have_one_name() -> None:
    data = b'{"delta": "a\\n"}\n{"delta":"b"}\n{"text": "c"}\n{"delta": "unfinished'
    joined = Joined(data, data.rfind(b"\n") + 1)
    assert joined.data == b"a\\nb\nc"
    assert [data[slice(*each)] for each in joined.places(1, 6)] == [b"\\n", b"b", b"c"]
    assert joined.holds(data.index(b'b"'))
    assert not joined.holds(1)


def test_a_search_begins_again_behind_white_space() -> None:
    data = b'{"text":"one"}\n{"text":" two "}\n{"text":"thr"}\n{"text":"ee"}\n'
    joined = Joined(data, len(data))
    assert joined.last_before(len(joined.data)) == data.index(b"thr")
    assert joined.last_before(4) == data.index(b"one")
    assert joined.last_before(-1) == 0


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b' {"', True), (b"[1", True), (b"--b\r\n", True), (b"Dear", False), (b" \n", None)],
)
def test_json_is_known_by_its_beginning(data: bytes, expected: bool | None) -> None:
    assert is_json(data) is expected


def test_a_number_of_json_within_a_text_is_told_from_digits_that_people_wrote() -> None:
    assert is_member_number(b'{"tel": 4915}', 8, 12)
    assert not is_member_number(b"tel: 4915", 5, 9)


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b'{"a": "b', 6), (b'{"a": "b"', None), (b'{"a\n: 1', None), (b"plain", -1), (b'"\\"', 0)],
)
def test_the_string_without_an_end_is_found(data: bytes, expected: int | None) -> None:
    assert last_unfinished(data) == expected
