"""What was asked in a conversation."""

from exporters.inputs import NOTHING, input_of, seen
from storage.trace import Json, Message, Part
from tests.exporters.rows import ANSWER, PIXEL, USER, picture


def test_an_input_is_what_users_and_tools_said_the_last_words_first() -> None:
    found = Message("tool", "sunny", tool_call_id="call_1")
    asked = input_of([USER, ANSWER, Message("user", "and now?"), found, ANSWER])
    assert (asked.said, asked.last) == (["hello", "and now?", "sunny"], 1)
    assert asked.text == "and now?\nhello\nsunny"
    assert (asked.system, asked.attached) == (NOTHING, NOTHING)


def test_an_input_without_a_user_has_what_tools_said() -> None:
    assert input_of([Message("tool", "sunny"), ANSWER]).text.split() == ["sunny"]


def test_answers_are_no_input() -> None:
    assert input_of([USER, ANSWER]) == input_of([USER, Message("assistant", "go away")])


def test_a_system_message_counts_with_its_numbers_masked() -> None:
    at_nine = input_of([Message("system", "It is 9:00. Be kind."), USER])
    at_ten = input_of([Message("developer", "It is 10:15. Be kind."), USER])
    other = input_of([Message("system", "Be short."), USER])
    assert at_nine == at_ten
    assert at_nine.system not in (other.system, NOTHING)


def test_a_very_long_system_message_counts_too() -> None:
    one, two = (input_of([Message("system", letter * 200_000), USER]) for letter in "ab")
    assert one.system != two.system


def test_images_count_by_what_is_seen_whatever_the_dialect() -> None:
    source: Json = {"type": "base64", "media_type": "image/png", "data": PIXEL.partition(",")[2]}
    cached = Part("image", raw={"source": source, "cache_control": {"type": "ephemeral"}})
    text = Part("text", "what is it?")
    assert input_of([picture()]) == input_of([Message("user", (text, cached))])
    assert input_of([picture()]) != input_of([picture("https://example.com/a.png")])
    assert input_of([picture()]) != input_of([Message("user", "what is it?")])


def test_other_parts_count_without_their_cache_mark() -> None:
    plain = Part("file", raw={"file": {"file_id": "a"}})
    marked = Part("file", raw={"file": {"file_id": "a"}, "cache_control": {"type": "ephemeral"}})
    assert seen(plain) == seen(marked) != seen(Part("file", raw={"file": {"file_id": "b"}}))
