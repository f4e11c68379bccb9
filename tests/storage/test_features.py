"""What is measured of a call, and that anything that was derived can be measured."""

import json
import random
import string
import time
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import SmallInteger

from storage import schema
from storage.derive import derive
from storage.features import FEATURE_VERSION, Features, features_of, items_of
from storage.parameters import NAMES
from storage.texts import HEAD_CHARS, TAIL_CHARS
from storage.trace import Choice, Json, Message, Part, Tool, ToolCall, Understood
from tests.captures import plain_span
from tests.storage.traffic import capture_of, needs_recordings, recordings


def features_of_prompt(text: str) -> Features:
    return features_of(plain_span(Understood(messages=(Message("user", text),))))


def features_with_system(text: str) -> Features:
    messages = (Message("system", text), Message("user", "hello"))
    return features_of(plain_span(Understood(messages=messages)))


def features_with_tools(*tools: Tool) -> Features:
    return features_of(plain_span(Understood(messages=(Message("user", "x"),), tools=tools)))


def test_a_call_that_was_not_understood_measures_zero() -> None:
    features = features_of(plain_span(Understood(note="not JSON")))
    assert features == Features(FEATURE_VERSION, 0, 0, 0, 0, 0, 0, 0, 0, "", "", "", "", "")


def test_the_prompt_is_the_last_user_message_and_not_the_history() -> None:
    messages = (
        Message("system", "Be brief, it is 1999."),
        Message("user", "a first and much longer question of 2001"),
        Message("assistant", "an answer"),
        Message("user", "two words"),
        Message("tool", "a result", tool_call_id="call_1"),
    )
    features = features_of(plain_span(Understood(messages=messages)))
    assert (features.prompt_chars, features.prompt_words, features.prompt_years) == (9, 2, "")
    assert (features.turn_count, features.message_count) == (2, 5)


def test_the_text_of_parts_is_measured_and_pictures_are_not() -> None:
    parts = (Part("text", "in 2024 "), Part("image", raw={"url": "1999"}), Part("text", "so"))
    features = features_of(plain_span(Understood(messages=(Message("user", parts),))))
    assert (features.prompt_chars, features.prompt_words) == (10, 3)
    assert features.prompt_years == "[2024]"


def test_the_answer_is_the_first_choice() -> None:
    first = Message("assistant", "it was 2023", tool_calls=(ToolCall("b", "{}"), ToolCall("a", "")))
    second = Message("assistant", "no, 1950", tool_calls=(ToolCall("c", "{}"),))
    features = features_of(plain_span(Understood(choices=(Choice(first), Choice(second)))))
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
    assert json.loads(features_of_prompt(text).prompt_years or "[]") == years


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
    settings=st.dictionaries(st.sampled_from(sorted(NAMES)) | st.text(), values),
    fingerprint=st.text(),
)
def test_anything_derived_can_be_measured_and_stored(
    messages: tuple[Message, ...],
    choices: tuple[Choice, ...],
    tools: tuple[Tool, ...],
    settings: dict[str, Json],
    fingerprint: str,
) -> None:
    understood = Understood(
        messages=messages,
        choices=choices,
        tools=tools,
        settings=settings,
        system_fingerprint=fingerprint,
    )
    features = features_of(plain_span(understood))
    assert features == features_of(plain_span(understood))
    for name, value in msgspec.structs.asdict(features).items():
        if isinstance(schema.call.c[name].type, SmallInteger):
            assert 0 <= value < 2**15
        elif isinstance(value, str):
            value.encode()
    for name in ("tools_called", "prompt_years", "answer_years", "prompt_marks", "parameters"):
        json.loads(getattr(features, name) or "[]")


def test_a_year_is_new_where_nothing_in_the_request_names_it() -> None:
    messages = (
        Message("system", "Today is 3 May 2024."),
        Message("assistant", None, tool_calls=(ToolCall("find", '{"from": "2019-01-01"}'),)),
        Message("tool", "found: 1987", tool_call_id="1"),
        Message("user", "And in 2025?"),
    )
    answer = Message("assistant", "Not 2024, 2019, 1987 or 2025, but 2023 and 1999.")
    features = features_of(plain_span(Understood(messages=messages, choices=(Choice(answer),))))
    assert features.answer_new_years == "[1999,2023]"
    assert features.prompt_years == "[2025]"


def test_an_answer_is_known_by_its_fields_and_not_by_their_values() -> None:
    def answering(text: str) -> Features:
        answer = Choice(Message("assistant", text))
        return features_of(plain_span(Understood(choices=(answer,))))

    one, other = answering('{"a": 1, "b": 2}'), answering('```json\n{"b": 3, "a": null}\n```')
    assert one.answer_json == other.answer_json == "object"
    assert one.answer_keys == other.answer_keys != ""
    assert answering('{"a": 1}').answer_keys != one.answer_keys
    assert (answering('{"a": 1,').answer_json, answering('{"a": 1,').answer_keys) == ("broken", "")


def test_who_speaks_and_what_is_said_to_the_model_are_known_apart() -> None:
    one = features_with_system("You are Ada. Today is 5 May 2025.")
    other = features_with_system("You are Ada. Today is 6 May 2025.")
    assert one.roles == "system,user"
    assert one.template_hash == other.template_hash
    assert one.system_hash != other.system_hash
    assert len(one.system_hash) == 16


def test_values_measured_by_hand() -> None:
    features = features_of_prompt("Find 12 flats, PLEASE! Any?\n- near the sea\n- from 1.2.2024")
    assert features.prompt_sentences == 2
    assert features.prompt_lines == 3
    assert features.prompt_words == 12
    assert features.prompt_word_length == 391  # 47 characters that are no spaces
    assert features.prompt_digits_permille == 8 * 1000 // 58
    assert features.prompt_uppercase_permille == 8 * 1000 // 58
    assert features.prompt_punctuation_permille == 7 * 1000 // 58
    assert features.prompt_unique_words_permille == 916  # "-" stands there twice
    assert features.prompt_scripts == '["latin"]'
    assert features.prompt_marks == '["list"]'
    assert features.prompt_dates == '["dot"]'
    assert features.prompt_years == "[2024]"


@needs_recordings
def test_recorded_traffic_of_all_dialects_can_be_measured() -> None:
    measured = [features_of(derive(capture_of(record))) for record in recordings()]
    assert {each.feature_version for each in measured} == {FEATURE_VERSION}
    assert sum(each.prompt_words > 0 for each in measured) > len(measured) * 0.8
    assert sum(bool(each.parameters) for each in measured) > len(measured) * 0.3
    assert sum(each.answer_json == "object" for each in measured) > 50


def test_a_call_of_a_kilobyte_is_measured_in_the_time_of_eight_counts_of_its_words() -> None:
    """How long that is, benchmarks/feature_limits.py says: here the machine is one that is busy."""
    words = random.Random(1)
    prompt = " ".join("".join(words.choices(string.ascii_lowercase, k=5)) for _ in range(150))
    understood = Understood(
        messages=(Message("system", "You are helpful. " * 5), Message("user", prompt)),
        choices=(Choice(Message("assistant", "It was in 2024.")),),
    )
    span = plain_span(understood)
    least = {"measured": float("inf"), "counted": float("inf")}
    for _ in range(100):
        for name, work in (
            ("measured", lambda: features_of(span)),
            ("counted", lambda: Counter(word.lower() for word in prompt.split())),
        ):
            started = time.thread_time()
            for _ in range(5):
                work()
            least[name] = min(least[name], time.thread_time() - started)
    assert least["measured"] < 8 * least["counted"]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("", []),
        ('["a","b=c"]', ["a", "b=c"]),
        ("[2023,2024]", ["2023", "2024"]),
        ('{"stop":["x"],"temperature":0.5}', ['stop=["x"]', "temperature=0.5"]),
        ("7", []),
    ],
)
def test_lists_are_read_as_they_were_written(text: str, items: list[str]) -> None:
    assert items_of(text) == items
