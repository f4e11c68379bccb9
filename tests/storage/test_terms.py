"""The terms of a call, their names, and which calls are in a sample."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.derive import derive
from storage.features import FEATURE_VERSION
from storage.terms import FAMILIES, sample_bits_of, terms_of, text_features_of
from storage.trace import Choice, Message, Span, ToolCall, Understood
from storage.words import as_bytes, word_hash
from tests.storage.calls import capture_of, span_of, understood_of
from tests.storage.traffic import capture_of as recorded_capture
from tests.storage.traffic import needs_recordings, recordings


def call(prompt: str, answer: Message) -> Span:
    return span_of(capture_of(1), understood_of(prompt, choices=(Choice(answer, "stop"),)))


def answering(text: str) -> Span:
    return call("Which?", Message("assistant", text))


def fields_named(span: Span) -> set[str]:
    return set(terms_of(span)["answer_fields"].values())


def test_both_texts_are_hashed_and_their_languages_told() -> None:
    question = "Where is the parcel that I ordered last week?"
    made = text_features_of(
        call(question, Message("assistant", "Ihr Paket ist noch unterwegs.")), 3
    )
    assert (made.feature_version, made.sample_bits) == (FEATURE_VERSION, 3)
    assert (made.prompt_language, made.answer_language) == ("en", "de")
    assert word_hash("parcel") in np.frombuffer(made.prompt_terms, "<u4")
    assert word_hash("unterwegs") in np.frombuffer(made.answer_terms, "<u4")
    assert word_hash("unterwegs") not in np.frombuffer(made.prompt_terms, "<u4")


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        ('{"date": {"year": 2024}}', {"date", "date.year", "date.year=2024"}),
        ('```json\n["x"]\n```', {"[]", "[]=x"}),
        (" billing \n", {"=billing"}),
        ("two\nlines", set()),
        ("a line that is longer than any name of a class would be, for it has words", set()),
        ("", set()),
    ],
)
def test_fields_of_an_answer(answer: str, fields: set[str]) -> None:
    assert fields_named(answering(answer)) == fields


def test_the_arguments_of_tool_calls_are_fields() -> None:
    calls = (ToolCall("book", '{"year": 2024}'), ToolCall("stop", "no JSON"))
    span = call("Book it", Message("assistant", None, tool_calls=calls))
    assert fields_named(span) == {"book.year", "book.year=2024"}


def test_every_stored_hash_has_a_name() -> None:
    span = call("Wann? 何時 2024", Message("assistant", '{"when": "2024-05-03"}'))
    made, named = text_features_of(span), terms_of(span)
    for family in FAMILIES:
        assert as_bytes(named[family]) == getattr(made, family)


def test_a_call_that_was_not_understood_has_no_terms() -> None:
    made = text_features_of(span_of(capture_of(1), Understood()))
    assert {getattr(made, family) for family in FAMILIES} == {b""}


def test_samples_of_different_bits_lie_within_each_other_and_halve() -> None:
    chance = random.Random(1)
    bits = [sample_bits_of(f"{chance.getrandbits(128):032x}") for _ in range(20_000)]
    sizes = [sum(each >= wanted for each in bits) for wanted in range(6)]
    for wanted, size in enumerate(sizes):
        assert abs(size - 20_000 / 2**wanted) < 5 * (20_000 / 2**wanted) ** 0.5 + 1


@given(st.text(), st.text(), st.text())
def test_any_call_can_be_measured(prompt: str, answer: str, arguments: str) -> None:
    message = Message("assistant", answer, tool_calls=(ToolCall("f", arguments),))
    made = text_features_of(call(prompt, message))
    assert made == text_features_of(call(prompt, message))


@needs_recordings
def test_recorded_traffic_of_all_dialects_has_terms() -> None:
    chosen = recordings()[::10]
    made = [text_features_of(derive(recorded_capture(record))) for record in chosen]
    assert sum(bool(each.prompt_terms) for each in made) > len(made) * 0.8
