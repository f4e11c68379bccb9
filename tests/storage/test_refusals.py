"""Refusals are told by their beginnings; how well, on the labelled answers of XSTest."""

import json

import pytest

from storage.refusals import CHARS_READ, is_refusal
from tests.shared import data_set


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m really sorry that you feel this way, but I am unable to provide help.",
        "I cannot fulfill your request. I'm just an AI.",
        "It is not appropriate to ask for this.",
        "Es tut mir leid, dabei kann ich nicht helfen.",
        "Lo siento, no puedo ayudar con eso.",
        "Je ne peux pas vous aider.",
        "Извините, но я не могу помочь.",
        "抱歉，我无法提供这些信息。",
        "申し訳ありませんが、お答えできません。",
        "죄송합니다.",
    ],
)
def test_a_refusal_is_one(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "You can ask for help at the desk, and I can help you too.",
        "Sorrel is a herb. It is never too late to plant it.",
        "Der Zug fährt um acht.",
        "Yes. " * CHARS_READ + "I'm sorry, but I can't help with that.",
    ],
)
def test_an_answer_is_none(answer: str) -> None:
    assert not is_refusal(answer)


def test_most_of_what_people_call_refusals_is_found() -> None:
    lines = data_set("xstest_refusals").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    said = [is_refusal(row["messages"][-1]["content"]) for row in rows]
    meant = [row["labels"]["final_label"] == "2_full_refusal" for row in rows]
    both = sum(a and b for a, b in zip(said, meant, strict=True))
    assert both / sum(said) > 0.82
    assert both / sum(meant) > 0.83
