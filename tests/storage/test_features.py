"""What is measured of a call, and that anything that was derived can be measured."""

import json
import random
import string
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import schema
from storage.capture import Dialect, Endpoint, Outcome
from storage.features import (
    FEATURE_VERSION,
    HEAD_CHARS,
    TAIL_CHARS,
    Features,
    features_of,
)
from storage.trace import Choice, Message, Part, Span, Tool, ToolCall, Understood


def span_of(understood: Understood) -> Span:
    return Span(
        id="0" * 32,
        project="default",
        upstream="openai",
        dialect=Dialect.OPENAI,
        endpoint=Endpoint.CHAT_COMPLETIONS,
        method="POST",
        path="/v1/chat/completions",
        started_at_ns=0,
        duration_ms=1.0,
        time_to_first_token_ms=None,
        outcome=Outcome.COMPLETE,
        status_code=200,
        error="",
        session_id="",
        trace_id="0" * 32,
        user_id="",
        tags={},
        redacted=False,
        truncated=False,
        understood=understood,
    )


def features_of_prompt(text: str) -> Features:
    return features_of(span_of(Understood(messages=(Message("user", text),))))


def features_with_system(text: str) -> Features:
    messages = (Message("system", text), Message("user", "hello"))
    return features_of(span_of(Understood(messages=messages)))


def features_with_tools(*tools: Tool) -> Features:
    return features_of(span_of(Understood(messages=(Message("user", "x"),), tools=tools)))


def test_the_fields_are_the_columns_of_the_table() -> None:
    columns = [column.name for column in schema.feature.columns if column.name != "call_id"]
    assert [field.name for field in msgspec.structs.fields(Features)] == columns


def test_a_call_that_was_not_understood_measures_zero() -> None:
    features = features_of(span_of(Understood(note="not JSON")))
    assert features == Features(FEATURE_VERSION, 0, 0, 0, 0, 0, 0, 0, 0, "", "", "[]", "[]", "[]")


def test_the_prompt_is_the_last_user_message_and_not_the_history() -> None:
    messages = (
        Message("system", "Be brief, it is 1999."),
        Message("user", "a first and much longer question of 2001"),
        Message("assistant", "an answer"),
        Message("user", "two words"),
        Message("tool", "a result", tool_call_id="call_1"),
    )
    features = features_of(span_of(Understood(messages=messages)))
    assert (features.prompt_chars, features.prompt_words, features.prompt_years) == (9, 2, "[]")
    assert (features.turn_count, features.message_count) == (2, 5)


def test_the_text_of_parts_is_measured_and_pictures_are_not() -> None:
    parts = (Part("text", "in 2024 "), Part("image", raw={"url": "1999"}), Part("text", "so"))
    features = features_of(span_of(Understood(messages=(Message("user", parts),))))
    assert (features.prompt_chars, features.prompt_words) == (10, 3)
    assert features.prompt_years == "[2024]"


def test_the_answer_is_the_first_choice() -> None:
    first = Message("assistant", "it was 2023", tool_calls=(ToolCall("b", "{}"), ToolCall("a", "")))
    second = Message("assistant", "no, 1950", tool_calls=(ToolCall("c", "{}"),))
    features = features_of(span_of(Understood(choices=(Choice(first), Choice(second)))))
    assert (features.answer_chars, features.answer_words) == (11, 3)
    assert (features.tools_called, features.tool_call_count) == ('["a","b"]', 2)
    assert features.answer_years == "[2023]"


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("2024-03-03 and 03.03.2023, again 2024", [2023, 2024]),
        ("FY2021, 2022年, (1900) 2099.", [1900, 2021, 2022, 2099]),
        ("120245 20245 1899 2100 199 02024", []),
        ("", []),
    ],
)
def test_years_are_whole_numbers_of_two_centuries(text: str, years: list[int]) -> None:
    assert json.loads(features_of_prompt(text).prompt_years) == years


@given(st.text(max_size=200) | st.text("a1 \t\n\x0b\x1c\x1f\x00.", max_size=200))
def test_words_are_what_white_space_of_any_kind_separates(text: str) -> None:
    assert features_of_prompt(text).prompt_words == len(text.split())


def test_a_long_text_is_read_at_its_head_and_its_tail_only() -> None:
    middle = " 1999" * 10_000
    text = "2023 " + "x" * HEAD_CHARS + middle + "y" * TAIL_CHARS + " 2024"
    features = features_of_prompt(text)
    assert features.prompt_years == "[2023,2024]"
    assert (features.prompt_chars, features.prompt_words) == (len(text), 4)


def test_a_clock_in_the_system_message_does_not_change_the_template() -> None:
    one = features_with_system("You are Ada. Today is Monday, 5 May 2025, 10:31.")
    other = features_with_system("You are Ada. Today is Friday, 10 October 2025, 9:02.")
    changed = features_with_system("You are Ada. Answer in JSON. Today is Monday, 5 May 2025.")
    assert one.template_hash == other.template_hash != changed.template_hash
    assert features_of_prompt("hello").template_hash == ""


def test_tools_are_the_same_set_in_any_order_and_another_when_a_schema_changes() -> None:
    find = Tool("find", "Find it", {"type": "object", "properties": {"a": {}, "b": {}}})
    turned = Tool("find", "Find it", {"properties": {"b": {}, "a": {}}, "type": "object"})
    stop = Tool("stop")
    hashes = [
        features_with_tools(*tools).tools_hash
        for tools in [(find, stop), (stop, turned), (find,), (find, Tool("stop", "Stop it"))]
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_a_tool_that_is_no_function_is_known_by_what_was_sent() -> None:
    sizes = [
        features_with_tools(Tool("web_search", kind="web_search", raw={"size": size})).tools_hash
        for size in ("low", "high")
    ]
    assert sizes[0] != sizes[1]


message = st.builds(
    Message,
    role=st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
    content=st.none() | st.text() | st.builds(lambda text: (Part("text", text),), st.text()),
    tool_calls=st.lists(st.builds(ToolCall, st.text(), st.text()), max_size=3).map(tuple),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    messages=st.lists(message, max_size=5).map(tuple),
    choices=st.lists(st.builds(Choice, message), max_size=2).map(tuple),
    tools=st.lists(st.builds(Tool, st.text(), st.text(), values), max_size=3).map(tuple),
)
def test_anything_derived_can_be_measured_and_stored(
    messages: tuple[Message, ...], choices: tuple[Choice, ...], tools: tuple[Tool, ...]
) -> None:
    understood = Understood(messages=messages, choices=choices, tools=tools)
    features = features_of(span_of(understood))
    assert features == features_of(span_of(understood))
    for text in (features.tools_called, features.prompt_years, features.answer_years):
        assert isinstance(json.loads(text), list)
        text.encode()


def test_a_call_of_a_kilobyte_is_measured_within_fifty_microseconds() -> None:
    words = random.Random(1)
    prompt = " ".join("".join(words.choices(string.ascii_lowercase, k=5)) for _ in range(150))
    understood = Understood(
        messages=(Message("system", "You are helpful. " * 5), Message("user", prompt)),
        choices=(Choice(Message("assistant", "It was in 2024.")),),
    )
    span = span_of(understood)
    seconds = []
    for _ in range(200):
        started = time.process_time()
        for _ in range(10):
            features_of(span)
        seconds.append((time.process_time() - started) / 10)
    assert min(seconds) < 50e-6
