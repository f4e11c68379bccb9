"""Messages as digests: what counts, what does not, and that sharing changes nothing."""

import pytest

from storage.digests import answered, digest_answered, digest_turns
from storage.trace import Message, Part, ToolCall

USER, ANSWER = Message("user", "What is 2 + 2?"), Message("assistant", "4")


def end(*messages: Message, reasoning: bool = False, seed: bytes = b"") -> bytes:
    return digest_turns(messages, seed=seed, reasoning=reasoning).turns[-1].digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (USER, Message("user", " What  is\n2+2? ")),
        (USER, Message("user", (Part("text", "What is "), Part("text", "2 + 2?")))),
        (USER, Message("user", "What is 2 + 2?", name="ada")),
        (Message("system", "It is 10:31."), Message("developer", "It is 11:02.")),
        (
            Message("assistant", tool_calls=(ToolCall("f", '{"a": 1, "b": 2}', "x"),)),
            Message("assistant", tool_calls=(ToolCall("f", '{"b":2,"a":1}', "y"),)),
        ),
        (
            Message("user", (Part("image", raw={"url": "u", "cache_control": {}}),)),
            Message("user", (Part("image", raw={"url": "u"}),)),
        ),
        (ANSWER, Message("assistant", "4", reasoning="2 and 2")),
    ],
)
def test_what_clients_change_does_not_count(one: Message, other: Message) -> None:
    assert end(one) == end(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (USER, Message("user", "What is 2 + 3?")),
        (USER, Message("tool", "What is 2 + 2?")),
        (Message("user", (Part("image", raw={"url": "u"}),)), Message("user", "")),
        (Message("assistant", "a", refusal="b"), Message("assistant", "a")),
        (
            Message("assistant", tool_calls=(ToolCall("f", "{}"),)),
            Message("assistant", tool_calls=(ToolCall("g", "{}"),)),
        ),
    ],
)
def test_what_a_model_would_see_counts(one: Message, other: Message) -> None:
    assert end(one) != end(other)


def test_reasoning_counts_where_it_is_asked_for() -> None:
    thought = Message("assistant", "4", reasoning="2 and 2")
    assert end(thought, reasoning=True) != end(ANSWER, reasoning=True)
    assert end(thought, reasoning=True) != end(Message("assistant", "42and2"), reasoning=True)


def test_the_seed_counts() -> None:
    assert end(USER) != end(USER, seed=b"other tools")


def test_an_answer_ends_where_a_request_that_repeats_it_goes_on() -> None:
    assert digest_answered(digest_turns((USER,)), ANSWER) == end(USER, ANSWER)


def test_an_answer_goes_on_from_what_the_request_began_of_it() -> None:
    begun = digest_turns((USER, Message("assistant", "The answer")))
    assert digest_answered(begun, Message("assistant", " is 4")) == end(
        USER, Message("assistant", "The answer is 4")
    )


def test_one_message_of_the_assistant_may_be_written_as_two() -> None:
    two = digest_turns((USER, Message("assistant", "4"), Message("assistant", "2"), USER))
    one = digest_turns((USER, Message("assistant", "42"), USER))
    assert [turn.digest for turn in two.turns] == [turn.digest for turn in one.turns]
    assert [turn.last for turn in two.turns] == [0, 2, 3]


def test_sharing_the_beginning_of_another_request_changes_nothing() -> None:
    whole = (Message("system", "Be brief."), USER, ANSWER, Message("assistant", "!"), USER, ANSWER)
    digested = [digest_turns(whole[:length]) for length in range(len(whole) + 1)]
    for like in digested:
        for expected in digested:
            assert digest_turns(expected.messages, like=like) == expected


def test_a_request_with_its_answer_is_what_the_next_request_begins_with() -> None:
    for begun in ((USER,), (USER, ANSWER, USER), (USER, Message("assistant", "The answer"))):
        asked = digest_turns(begun)
        said = answered(asked, ANSWER)
        assert said == digest_turns((*begun, ANSWER))
        assert said.turns[-1].digest == digest_answered(asked, ANSWER)
        for following in ((USER,), (ANSWER, USER), ()):
            whole = (*begun, ANSWER, *following)
            assert digest_turns(whole, like=said) == digest_turns(whole)
        assert digest_turns((*begun, USER), like=said) == digest_turns((*begun, USER))


def test_white_space_does_not_count_whatever_the_script() -> None:
    spaces = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
    for text in ("is it open", "ist es schön"):
        spread = spaces.join(text.split()) if not text.isascii() else "\x1c\t".join(text.split())
        assert end(Message("user", spread)) == end(Message("user", text))
