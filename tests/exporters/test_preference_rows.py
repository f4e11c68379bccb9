"""Rows of pairs say what was asked once, and both answers."""

import pytest

from exporters.formats import FORMATS
from exporters.row_shape import LeftOut
from exporters.selection import Reason
from storage.trace import Message, Tool, ToolCall
from tests.exporters.rows import ANSWER, USER, calling, example, picture, row

OTHER = Message("assistant", "go away")
SAID = {
    "user": {"role": "user", "content": "hello"},
    "better": {"role": "assistant", "content": "good day"},
    "worse": {"role": "assistant", "content": "go away"},
}


def test_a_pair_for_openai() -> None:
    one = example(
        USER, ANSWER, rejected=OTHER, untrained=frozenset({1}), tools=(Tool("f"),), choice_count=2
    )
    assert row("openai-dpo", one) == {
        "input": {
            "messages": [SAID["user"]],
            "tools": [{"type": "function", "function": {"name": "f"}}],
        },
        "preferred_output": [SAID["better"]],
        "non_preferred_output": [SAID["worse"]],
    }
    assert LeftOut.OTHER_CHOICES not in FORMATS["openai-dpo"].left_out(one)


def test_a_pair_for_trl() -> None:
    assert row("trl-dpo", example(USER, ANSWER, rejected=OTHER)) == {
        "prompt": [SAID["user"]],
        "chosen": [SAID["better"]],
        "rejected": [SAID["worse"]],
    }


def test_an_answer_of_tool_calls_alone_has_no_empty_content() -> None:
    one = example(USER, calling(ToolCall("f", "{}", "c1")), rejected=OTHER)
    preferred = row("openai-dpo", one)["preferred_output"]
    assert isinstance(preferred, list)
    assert isinstance(preferred[0], dict)
    assert set(preferred[0]) == {"role", "tool_calls"}


@pytest.mark.parametrize("name", ["openai-dpo", "trl-dpo"])
def test_what_has_no_pair_is_no_row(name: str) -> None:
    assert FORMATS[name].is_preference
    assert FORMATS[name].unfit_row(example(USER, ANSWER)) is Reason.NO_PAIR
    assert FORMATS[name].unfit_row(example(USER, ANSWER, rejected=OTHER)) is None


def test_the_other_answer_must_fit_too() -> None:
    odd = example(USER, ANSWER, rejected=calling(ToolCall("f", "London", "c1")))
    assert FORMATS["trl-dpo"].unfit_row(odd) is Reason.ARGUMENTS
    assert FORMATS["openai-dpo"].unfit_row(odd) is None
    shown = example(USER, ANSWER, rejected=picture())
    assert FORMATS["openai-dpo"].unfit_row(shown) is Reason.IMAGE
