"""One input and its answer, as two texts."""

import pytest

from exporters.formats import FORMATS
from exporters.row_shape import LeftOut, Shape
from exporters.selection import Reason
from exporters.text_rows import LABEL_CHARACTERS_MAX, read_label
from storage.trace import Message, Tool, ToolCall
from tests.exporters.rows import ANSWER, USER, calling, example, refusal, row

SYSTEM = Message("system", "Which intent?")


def test_a_prompt_and_its_completion() -> None:
    assert row("prompt-completion", example(USER, ANSWER)) == {
        "prompt": "hello",
        "completion": "good day",
    }
    assert row("prompt-completion", example(SYSTEM, USER, ANSWER))["prompt"] == (
        "Which intent?\n\nhello"
    )


def test_a_text_and_its_label() -> None:
    one = example(SYSTEM, USER, Message("assistant", " greeting\n"))
    assert row("text-label", one) == {"text": "hello", "label": "greeting"}
    assert FORMATS["text-label"].left_out(one) == {LeftOut.SYSTEM}


@pytest.mark.parametrize(
    ("answer", "field", "label"),
    [
        ('{"intent": "greeting"}', "intent", "greeting"),
        ('{"a": {"b": true}}', "a.b", "true"),
        ('{"n": 3}', "n", "3"),
        ('{"intent": "greeting"}', "other", None),
        ('{"intent": ["greeting"]}', "intent", None),
        ("greeting", "intent", None),
        ("x" * LABEL_CHARACTERS_MAX, "", "x" * LABEL_CHARACTERS_MAX),
        ("x" * LABEL_CHARACTERS_MAX + "x", "", None),
        (" ", "", None),
    ],
)
def test_a_label_is_the_answer_or_a_field_of_it(answer: str, field: str, label: str | None) -> None:
    said = Message("assistant", answer)
    assert read_label(said, field) == label
    reason = None if label else Reason.NO_LABEL
    assert refusal("text-label", USER, said, shape=Shape(label_field=field)) is reason


@pytest.mark.parametrize("name", ["prompt-completion", "text-label"])
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ((USER, ANSWER, USER, ANSWER), Reason.SEVERAL_TURNS),
        ((ANSWER,), Reason.SEVERAL_TURNS),
        ((USER, calling(ToolCall("f", "{}", "c1"))), Reason.TOOLS),
    ],
)
def test_what_two_texts_cannot_say_is_named(
    name: str, said: tuple[Message, ...], reason: Reason
) -> None:
    assert refusal(name, *said) is reason


def test_tools_that_were_not_called_are_listed() -> None:
    one = example(USER, ANSWER, tools=(Tool("f"),))
    assert FORMATS["prompt-completion"].left_out(one) == {LeftOut.TOOLS}
