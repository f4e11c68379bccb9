"""Tests of importers.genai: every convention says the same things."""

import pytest

from storage.trace import Span
from tests.importers.reading import read


@pytest.fixture(name="spans", scope="module")
def _spans() -> dict[str, Span]:
    """The spans of the corpus, by what they show."""
    names = "newest details events_2024 events_2025 openllmetry openinference wire failed embedding"
    return dict(zip(names.split(), read("otlp", "otlp.jsonl").spans, strict=True))


@pytest.mark.parametrize(
    ("name", "asked", "answered"),
    [
        ("newest", ["Be brief.", "Weather?", "", "Graz"], ""),
        ("details", ["Structured?"], "Yes."),
        ("events_2024", ["Old prompt?"], "Old answer."),
        ("events_2025", ["Be brief.", "Event?", "", "7"], "Event answer."),
        ("openllmetry", ["Be brief.", "Flat?"], ""),
        ("openinference", ["Inferred?"], "Yes."),
        ("wire", ["Verbatim?"], "Verbatim."),
    ],
)
def test_messages_and_answers_are_read_of_each_convention(
    spans: dict[str, Span], name: str, asked: list[str], answered: str
) -> None:
    understood = spans[name].understood
    assert [message.text for message in understood.messages] == asked
    assert understood.choices[0].message.text == answered
    assert understood.note == ""


def test_parts_of_the_newest_convention_keep_their_kinds(spans: dict[str, Span]) -> None:
    understood = spans["newest"].understood
    _, image, called, result = understood.messages
    assert isinstance(image.content, tuple)
    assert [part.kind for part in image.content] == ["text", "image"]
    assert called.tool_calls[0].name == "where"
    assert (result.role, result.tool_call_id) == ("tool", "call_0")
    answer = understood.choices[0]
    assert answer.message.reasoning == "Ask the tool."
    assert answer.message.tool_calls[0].arguments == '{"city":"Graz"}'
    assert answer.finish_reason == "tool_calls"
    assert understood.tools[0].description == "The weather of a city"


def test_models_tokens_and_settings_of_the_newest_convention_are_kept(
    spans: dict[str, Span],
) -> None:
    understood = spans["newest"].understood
    assert (understood.request_model, understood.response_model) == ("gpt-4", "gpt-4-0613")
    assert understood.provider_id == "chatcmpl-o1"
    usage = understood.usage
    assert (usage.input_tokens, usage.output_tokens) == (52, 47)
    assert (usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (20, 3, 9)
    assert understood.settings == {"temperature": 0.5, "max_tokens": 200, "stream": True}


def test_tools_calls_and_tokens_of_the_flattened_conventions_are_kept(
    spans: dict[str, Span],
) -> None:
    for name, tokens in (("openllmetry", (8, 4)), ("openinference", (7, 3))):
        understood = spans[name].understood
        assert [tool.name for tool in understood.tools] == ["get_weather"]
        assert len(understood.choices[0].message.tool_calls) == 1
        assert (understood.usage.input_tokens, understood.usage.output_tokens) == tokens
    assert spans["openinference"].understood.usage.cached_tokens == 2
    assert spans["openinference"].understood.settings == {"temperature": 0.1}


def test_an_event_a_message_keeps_calls_and_results(spans: dict[str, Span]) -> None:
    _, _, called, result = spans["events_2025"].understood.messages
    assert called.tool_calls[0].id == result.tool_call_id == "call_7"


def test_a_request_in_input_value_is_the_request(spans: dict[str, Span]) -> None:
    understood = spans["wire"].understood
    assert understood.settings == {"temperature": 0.3}
    assert (understood.provider_id, understood.response_model) == ("chatcmpl-v1", "gpt-4o-v")
    assert (understood.usage.input_tokens, understood.usage.output_tokens) == (1, 2)


def test_a_failure_says_why(spans: dict[str, Span]) -> None:
    understood = spans["failed"].understood
    assert (understood.error_code, understood.error_message) == ("429", "too many")
    assert understood.choices == ()


def test_embeddings_keep_their_texts_and_tokens(spans: dict[str, Span]) -> None:
    understood = spans["embedding"].understood
    assert understood.request_model == "text-embedding-3-small"
