"""A row is written whatever is in it, and as UTF-8 in every script."""

import json

import pytest

from exporters.formats import FORMATS
from exporters.row_shape import LeftOut, line
from storage.trace import Message, ToolCall
from tests.exporters.rows import ANSWER, USER, calling, example
from tests.shared import data_set

NASTY = 'Ünï 漢字 🙂 \u2028 \x00 \x7f \\ " \t'


@pytest.mark.parametrize("name", FORMATS)
def test_a_text_in_any_script_is_written_as_it_is(name: str) -> None:
    one = example(Message("user", NASTY), Message("assistant", NASTY), rejected=ANSWER)
    wanted = NASTY if name != "text-label" else NASTY.strip()
    written = FORMATS[name].row(one)
    assert "漢字 🙂".encode() in written
    assert b"\n" not in written
    assert texts(json.loads(written)).count(wanted) >= 1


def texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return [value] if isinstance(value, str) else []


def test_half_a_surrogate_pair_is_escaped_and_comes_back() -> None:
    written = line({"text": "\ud83d"})
    assert written == b'{"text":"\\ud83d"}'
    assert json.loads(written) == {"text": "\ud83d"}


def test_numbers_of_any_size_come_back() -> None:
    assert json.loads(line({"n": 10**40})) == {"n": 10**40}


def test_a_second_answer_and_details_are_named() -> None:
    detailed = Message("assistant", "a", extra={"annotations": [1]})
    empty = Message("assistant", "a", extra={"annotations": []})
    for name in ("openai", "trl", "mistral", "parquet"):
        left_out = FORMATS[name].left_out
        assert left_out(example(USER, detailed, choice_count=2)) == {
            LeftOut.DETAILS,
            LeftOut.OTHER_CHOICES,
        }
        assert left_out(example(USER, empty)) == frozenset()


def test_details_of_a_tool_call_are_named() -> None:
    call = ToolCall("f", "{}", "c1", raw={"index": 0, "more": 1})
    assert FORMATS["openai"].left_out(example(USER, calling(call))) == {LeftOut.DETAILS}


@pytest.mark.parametrize("name", ["xquad", "mgsm"])
@pytest.mark.parametrize("format", ["openai", "prompt-completion", "trl", "sharegpt", "parquet"])
def test_every_language_comes_back_byte_for_byte(name: str, format: str) -> None:
    path = data_set(name)
    for text in path.read_text().splitlines():
        asked = json.loads(text)["messages"][0]["content"]
        written = FORMATS[format].row(example(Message("user", asked), Message("assistant", asked)))
        assert texts(json.loads(written)).count(asked) == 2
        assert json.dumps(asked, ensure_ascii=False).encode() in written
