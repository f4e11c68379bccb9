"""Tests of review.dialogue."""

from review.dialogue import BEGINNING_MESSAGES, MESSAGES_MAX, dialogue_of
from review.passages import PAGE_CHARS_MAX, TEXT_CHARS_MAX
from storage.trace import Choice, Message, Part, Tool, ToolCall, Understood

ANSWER = Choice(Message("assistant", "Certainly."), "stop")


def test_instructions_are_folded_and_say_how_they_begin() -> None:
    shown = dialogue_of(Understood(messages=(Message("system", "Be kind.\nBe brief."),)))
    (message,) = shown.rest
    assert (message.folded, message.beginning, message.length) == (True, "Be kind. Be brief.", 18)


def test_a_result_names_the_last_call_before_it_that_has_its_id() -> None:
    asked = Message("assistant", None, tool_calls=(ToolCall("look_up", "{}", "call_1"),))
    again = Message("assistant", None, tool_calls=(ToolCall("refund", "{}", "call_1"),))
    result = Message("tool", "done", tool_call_id="call_1")
    shown = dialogue_of(Understood(messages=(asked, result, again, result)))
    assert [message.title for message in shown.rest[1::2]] == [
        "tool result · look_up",
        "tool result · refund",
    ]
    assert [message.answers for message in shown.rest[1::2]] == [
        "message-1-call-1",
        "message-3-call-1",
    ]


def test_a_result_of_a_call_nobody_made_stands_for_itself() -> None:
    shown = dialogue_of(Understood(messages=(Message("tool", "x", tool_call_id="none"),)))
    assert (shown.rest[0].title, shown.rest[0].answers) == ("tool result", "")


def test_arguments_are_laid_out_if_they_are_json_and_kept_if_not() -> None:
    calls = (ToolCall("a", '{"b":1}', "1"), ToolCall("c", '{"b":', "2"))
    shown = dialogue_of(Understood(choices=(Choice(Message("assistant", tool_calls=calls)),)))
    first, second = shown.answers[0].calls
    assert (first.arguments.text, first.arguments.is_json) == ('{\n  "b": 1\n}', True)
    assert (second.arguments.text, second.arguments.is_json) == ('{"b":', False)


def test_parts_reasoning_and_refusal_are_blocks_in_the_order_they_are_read() -> None:
    parts = (
        Part("text", "Look:"),
        Part("image", raw={"image_url": "https://example.com/a.png"}),
        Part("other", raw={"type": "web_search_call", "id": "ws_1"}),
    )
    message = Message("assistant", parts, reasoning="Hm.", refusal="No.")
    (shown,) = dialogue_of(Understood(choices=(Choice(message),))).answers
    assert [block.kind for block in shown.blocks] == [
        "reasoning", "text", "named", "other", "refusal"
    ]  # fmt: skip
    assert [block.name for block in shown.blocks[2:4]] == [
        "image, https://example.com/a.png",
        "web_search_call",
    ]


def test_of_a_long_conversation_the_beginning_and_the_end_are_shown() -> None:
    messages = tuple(Message("user", f"number {number}") for number in range(1_000))
    shown = dialogue_of(Understood(messages=messages))
    assert shown.left_out == 1_000 - MESSAGES_MAX
    assert [len(shown.beginning), len(shown.rest)] == [BEGINNING_MESSAGES, 280]
    assert (shown.rest[0].beginning, shown.rest[-1].beginning) == ("number 720", "number 999")


def test_the_answer_and_the_newest_messages_have_their_room_first() -> None:
    count = PAGE_CHARS_MAX // TEXT_CHARS_MAX + 10
    messages = tuple(Message("user", "x" * TEXT_CHARS_MAX) for _ in range(count))
    shown = dialogue_of(Understood(messages=messages, choices=(ANSWER,)))
    assert shown.answers[0].blocks[0].passage.text == "Certainly."
    assert shown.rest[-1].blocks[0].passage.left_out == 0
    assert shown.rest[0].blocks[0].passage.left_out == TEXT_CHARS_MAX


def test_several_answers_are_numbered_and_say_why_they_end() -> None:
    choices = (ANSWER, Choice(Message("assistant", "Or not."), "", 1))
    shown = dialogue_of(Understood(choices=choices))
    assert [answer.title for answer in shown.answers] == [
        "answer 1 of 2 · stop",
        "answer 2 of 2 · unfinished",
    ]


def test_tools_settings_and_the_upstreams_error_are_shown() -> None:
    tool = Tool("look_up", "Finds an order.", {"type": "object"})
    shown = dialogue_of(
        Understood(
            tools=(tool,),
            settings={"temperature": 0.5},
            error_code="rate_limit",
            error_message="Slow down.",
        )
    )
    assert shown.tools[0].parameters.text == '{\n  "type": "object"\n}'
    assert shown.settings is not None
    assert shown.settings.text == '{\n  "temperature": 0.5\n}'
    assert shown.error is not None
    assert shown.error.text == "rate_limit: Slow down."


def test_a_role_that_is_none_of_ours_is_shown_as_it_was_sent() -> None:
    message = Message("user", "x", extra={"role": "critic"})
    assert dialogue_of(Understood(messages=(message,))).rest[0].title == "critic"
