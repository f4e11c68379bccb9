"""Every turn of a conversation has the same group, and only its own turns if they can be told."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from storage.capture import Body
from storage.grouping import (
    GROUP_ID_CHARS_MAX,
    Group,
    GroupByError,
    group_of,
    masked,
    validate_group_by,
)
from storage.reservation import side_of, u_of
from storage.trace import Json, Message, Part, Side, ToolCall, Understood
from tests.storage.calls import capture_of, span_of, understood_of

DATASETS = Path(__file__).parents[3] / "shared" / "data" / "datasets"
needs_datasets = pytest.mark.skipif(
    not DATASETS.exists(), reason="the data sets are not beside this checkout"
)
SALT = "00112233445566778899aabbccddeeff"

system = Message("system", "You are a clerk. Today is Monday, 5 October 2026.")
hello = Message("user", "Where is my parcel?")
reply = Message("assistant", "Which one?")


def root(*messages: Message, **fields: Any) -> str:
    understood = Understood(messages=messages)
    group = group_of(span_of(capture_of(1), understood, **fields), capture_of(1))
    assert group.source == "root"
    return group.id


def group(group_by: tuple[str, ...] = ("session", "root"), **fields: Any) -> Group:
    understood = fields.pop("understood", understood_of("Hello"))
    return group_of(span_of(capture_of(1), understood, **fields), capture_of(1), group_by)


def test_every_turn_has_the_root_of_the_first() -> None:
    first = root(system, hello)
    assert len(first) == 64
    assert root(system, hello, reply, Message("user", "The red one.")) == first
    assert root(system, hello, Message("assistant", None, (ToolCall("f", "{}"),))) == first


def test_another_question_is_another_root() -> None:
    assert root(system, hello) != root(system, Message("user", "Where is my refund?"))


def test_the_numbers_of_a_user_count() -> None:
    assert root(Message("user", "Order 12?")) != root(Message("user", "Order 13?"))


def test_dates_in_the_system_message_do_not_count() -> None:
    later = Message("developer", "You are a clerk.\n\nToday is Friday, 16 January 2027.")
    assert root(system, hello) == root(later, hello)


def test_a_system_message_that_comes_later_does_not_count() -> None:
    reminder = Message("system", "Be brief.")
    assert root(system, hello, reply, reminder, hello) == root(system, hello)


def test_a_greeting_is_not_a_reply() -> None:
    greeting = Message("assistant", "Welcome!")
    assert root(system, greeting, hello) != root(system, greeting, Message("user", "Bye"))
    assert root(system, greeting, hello) == root(system, greeting, hello, reply, hello)


def test_white_space_names_ids_and_empty_messages_do_not_count() -> None:
    plain = root(system, hello)
    assert root(system, Message("user", " Where  is\nmy parcel?\n", name="ann")) == plain
    assert root(Message("system", ""), system, hello) == plain


def test_a_text_in_parts_is_the_text() -> None:
    parts = (Part("text", "Where is "), Part("text", "my parcel?"))
    assert root(system, Message("user", parts)) == root(system, hello)


def test_an_image_counts_but_not_where_the_client_caches() -> None:
    def picture(**raw: Json) -> str:
        return root(Message("user", (Part("text", "What is it?"), Part("image", raw=raw))))

    assert picture(url="a") != picture(url="b")
    assert picture(url="a", cache_control={"type": "ephemeral"}) == picture(url="a")


def test_pieces_cannot_be_pushed_from_one_message_into_another() -> None:
    assert root(Message("user", "a"), Message("user", "b")) != root(Message("user", "a b"))
    smuggled = Message("user", "a\x1euser\x1fb")
    assert root(smuggled) != root(Message("user", "a"), Message("user", "b"))


def test_a_session_is_stronger_than_the_root() -> None:
    assert group(session_id="s1") == Group("s1", "session")
    conversation = understood_of("Hello", conversation_id="conv_1")
    assert group(understood=conversation) == Group("conv_1", "session")


def test_a_continued_answer_is_left_to_the_store_unless_a_session_is_named() -> None:
    continuing = understood_of("Hello", previous_id="resp_1")
    assert group(understood=continuing).linked_to == "resp_1"
    assert group(understood=continuing, session_id="s1").linked_to == ""
    assert group(("root",), understood=continuing).linked_to == ""
    assert group(("user", "session"), understood=continuing, user_id="u").linked_to == ""


def test_the_first_word_that_applies_decides() -> None:
    order = ("tag:thread", "user", "trace")
    assert group(order, tags={"thread": "t"}, user_id="u") == Group("t", "tag:thread")
    assert group(order, user_id="u") == Group("u", "user")
    assert group(order) == Group(capture_of(1).id, "trace")
    assert group(("user",)).source == "root"


def test_a_long_session_id_is_hashed_to_fit_an_index() -> None:
    assert len(group(session_id="x" * (GROUP_ID_CHARS_MAX + 1)).id) == 64
    assert len(group(session_id="x" * GROUP_ID_CHARS_MAX).id) == GROUP_ID_CHARS_MAX


def test_a_request_without_messages_is_grouped_by_its_body() -> None:
    def of(data: bytes, **body: Any) -> str:
        capture = msgspec.structs.replace(capture_of(1), request_body=Body(data, len(data), **body))
        return group_of(span_of(capture, Understood()), capture).id

    assert of(b'{"input": "a", "model": "m"}') == of(b'{"model":"m","input":"a"}')
    assert of(b'{"input": "a"}') != of(b'{"input": "b"}')
    assert of(b"\xff not JSON") != of(b"\xfe not JSON")
    assert of(b"[" * 100_000) == of(b"[" * 100_000)
    assert of(b"cut", truncated=True, sha256="1" * 64) != of(b"cut", truncated=True, sha256="2")
    assert len(of(b"")) == 64


def test_lone_surrogates_are_grouped_and_not_choked_on() -> None:
    assert len(root(Message("user", "\ud800"))) == 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Today is Monday, 5 May 2025.", "Today is #, # # #."),
        ("It is 3:45 PM", "It is #"),
        ("at 2026-10-01T12:30:00Z, req_8f3a", "at #, #"),
        ("id 1b4e28ba-2fa1-11d2-883f-0016d3cca427!", "id #!"),
        ("id abcdefab-cdef-abcd-efab-cdefabcdefa1!", "id #!"),
        ("costs $1,024.50 (v1.2.3)", "costs $# (#)"),
        ("You may march on.  Mayor Marchand", "You may march on. Mayor Marchand"),
        ("", ""),
    ],
)
def test_numbers_dates_times_and_ids_are_masked(text: str, expected: str) -> None:
    assert masked(text) == expected
    assert masked(expected) == expected


@pytest.mark.parametrize("words", [(), ("sesion",), ("tag:",), ("session", "Root")])
def test_an_unknown_word_to_group_by_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(GroupByError, match="write"):
        validate_group_by(words)


def test_all_known_words_to_group_by_pass() -> None:
    validate_group_by(("tag:thread", "session", "user", "trace", "root"))


def message_of(sent: dict[str, Any]) -> Message:
    calls = [call["function"] for call in sent.get("tool_calls") or ()]
    tool_calls = tuple(ToolCall(call["name"], call["arguments"]) for call in calls)
    return Message(sent["role"], sent.get("content"), tool_calls)


def beginnings(name: str) -> Iterator[tuple[str, str, str]]:
    """Group every assistant turn of a data set as if it had been a call.

    Yield the dialogue, its root by this turn, and what stands before its first reply, literally.
    """
    with (DATASETS / f"{name}.jsonl").open(encoding="utf-8") as lines:
        dialogues = [json.loads(line) for line in lines]
    for dialogue in dialogues:
        messages = tuple(message_of(sent) for sent in dialogue.get("messages") or ())
        first = None
        for turn, message in enumerate(messages):
            if message.role == "assistant" and any(m.role == "user" for m in messages[:turn]):
                first = first or turn
                literally = repr([(m.role, m.content) for m in messages[:first]])
                yield dialogue["group"], root(*messages[:turn]), literally


@needs_datasets
@pytest.mark.parametrize(
    ("name", "merged"),
    # Dialogues that begin with literally the same words as another; no other may be merged.
    [("sgd", 8), ("taskmaster4", 1), ("glaive_toolcall_en", 58)],
)
def test_every_dialogue_has_one_root_and_one_side(name: str, merged: int) -> None:
    turns = list(beginnings(name))
    dialogues = {dialogue for dialogue, _, _ in turns}
    groups = {group_id for _, group_id, _ in turns}
    assert len({(dialogue, group_id) for dialogue, group_id, _ in turns}) == len(dialogues)
    assert len(groups) == len({literally for _, _, literally in turns}) == len(dialogues) - merged
    sides = [side_of(u_of(SALT, "default", group_id), 0.10, 0.05) for group_id in groups]
    for side, ratio in ((Side.TEST, 0.10), (Side.VAL, 0.05)):
        deviation = (len(groups) * ratio * (1 - ratio)) ** 0.5
        assert abs(sides.count(side) - ratio * len(groups)) < 4 * deviation
