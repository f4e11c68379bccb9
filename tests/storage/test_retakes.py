"""Regenerations and edits are found, and what only looks like one is not."""

from collections.abc import Callable, Sequence

import msgspec
import pytest

from storage.capture import Capture, Outcome
from storage.derive import derive
from storage.features import features_of
from storage.grouping import group_of
from storage.retakes import (
    CALLS_HELD,
    HELD_BYTES_MAX,
    KEPT_BYTES_MAX,
    NO_RETAKE,
    Retake,
    Retakes,
    compare_all,
    is_named,
    take_of,
)
from storage.rows import Recorded
from storage.trace import Json
from tests.exporters.calls import chat, said
from tests.storage.calls import recorded

Compare = Callable[[Sequence[Recorded]], dict[int, Retake]]
SECOND = 10**9
FIRST = (said("user", "Where?"),)
SECOND_TURN = (*FIRST, said("assistant", "Here."), said("user", "When?"))
EDITED = (*SECOND_TURN[:-1], said("user", "At what time?"))


def call(
    number: int,
    messages: Sequence[dict[str, Json]],
    answer: str = "Here.",
    *,
    session: str = "",
    outcome: Outcome = Outcome.COMPLETE,
    seconds: int | None = None,
) -> Recorded:
    """Record call `number`, a second after the one before it."""
    capture: Capture = chat(
        number,
        tuple(messages),
        said("assistant", answer),
        session=session,
        outcome=outcome,
        started_at_ns=(number if seconds is None else seconds) * SECOND,
    )
    span = derive(capture)
    return Recorded(capture, span, group_of(span, capture), features_of(span))


def compared(calls: Sequence[Recorded]) -> dict[int, Retake]:
    """Compare a group's calls, exactly; call numbers to what they are."""
    takes = [found[0] for each in calls if (found := take_of(each.span)) is not None]
    retakes = compare_all(takes, named=is_named(calls[0].group.source))
    return {int(call_id, 16): retake for call_id, retake in retakes.items()}


def remembered(calls: Sequence[Recorded]) -> dict[int, Retake]:
    """Compare a group's calls as the recorder does."""
    retakes = Retakes()
    found = {
        int(each.span.id, 16): retakes.add(each, each.group.id, named=is_named(each.group.source))
        for each in calls
    }
    return {number: retake for number, retake in found.items() if retake != NO_RETAKE}


def of(number: int) -> str:
    return f"{number:032x}"


@pytest.mark.parametrize("compare", [compared, remembered])
def test_the_same_messages_again_are_a_regeneration(compare: Compare) -> None:
    calls = [call(1, FIRST), call(2, SECOND_TURN, "Now."), call(3, SECOND_TURN, "Later.")]
    assert compare(calls) == {3: Retake(regenerated_from=of(2))}


@pytest.mark.parametrize("compare", [compared, remembered])
def test_another_last_message_is_an_edit(compare: Compare) -> None:
    calls = [call(1, FIRST), call(2, SECOND_TURN), call(3, EDITED), call(4, EDITED)]
    assert compare(calls) == {3: Retake("", of(2)), 4: Retake(of(3))}


@pytest.mark.parametrize("compare", [compared, remembered])
def test_a_conversation_that_goes_on_is_neither(compare: Compare) -> None:
    third = (*SECOND_TURN, said("assistant", "Now."), said("user", "Why?"))
    assert compare([call(1, FIRST), call(2, SECOND_TURN, "Now."), call(3, third)]) == {}


@pytest.mark.parametrize("compare", [compared, remembered])
def test_white_space_is_no_difference(compare: Compare) -> None:
    spaced = (said("user", "Where? "), said("assistant", "Here.\n"), said("user", " When?"))
    calls = [call(1, FIRST), call(2, SECOND_TURN), call(3, spaced)]
    assert compare(calls) == {3: Retake(of(2))}


@pytest.mark.parametrize("compare", [compared, remembered])
def test_equal_first_words_are_of_strangers_unless_a_session_says_otherwise(
    compare: Compare,
) -> None:
    assert compare([call(1, FIRST), call(2, FIRST)]) == {}
    named = [call(1, FIRST, session="s"), call(2, FIRST, session="s")]
    assert compare(named) == {2: Retake(of(1))}


@pytest.mark.parametrize("compare", [compared, remembered])
def test_examples_in_a_prompt_are_no_conversation(compare: Compare) -> None:
    assert compare([call(2, SECOND_TURN), call(3, SECOND_TURN), call(4, EDITED)]) == {}


@pytest.mark.parametrize("compare", [compared, remembered])
def test_a_new_question_in_a_session_is_no_edit(compare: Compare) -> None:
    calls = [
        call(1, FIRST, session="s"),
        call(2, (said("user", "Who?"),), session="s"),
    ]
    assert compare(calls) == {}


@pytest.mark.parametrize("compare", [compared, remembered])
def test_of_two_at_once_neither_is_asked_for_again(compare: Compare) -> None:
    calls = [call(1, FIRST), call(2, SECOND_TURN), call(3, SECOND_TURN, seconds=2)]
    assert compare(calls) == {}


@pytest.mark.parametrize("compare", [compared, remembered])
def test_what_failed_was_no_answer(compare: Compare) -> None:
    failed = call(2, SECOND_TURN, outcome=Outcome.UPSTREAM_ERROR)
    assert compare([call(1, FIRST), failed, call(3, SECOND_TURN)]) == {}


@pytest.mark.parametrize("compare", [compared, remembered])
def test_a_step_of_an_agent_is_regenerated_but_never_edited(compare: Compare) -> None:
    called: dict[str, Json] = {
        **said("assistant", None),
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    }
    step = (*FIRST, called, said("tool", "42", tool_call_id="c"))
    other = (*FIRST, called, said("tool", "43", tool_call_id="c"))
    capture = chat(1, FIRST, called, started_at_ns=SECOND)
    span = derive(capture)
    first = Recorded(capture, span, group_of(span, capture), features_of(span))
    found = compare([first, call(2, step), call(3, other), call(4, step)])
    assert found == {4: Retake(of(2))}


def test_whole_groups_are_exact_in_any_order() -> None:
    calls = [call(1, SECOND_TURN), call(2, FIRST), call(3, SECOND_TURN)]
    assert compared(calls) == {3: Retake(of(1))}
    assert compared(list(reversed(calls))) == {3: Retake(of(1))}


def test_the_recorder_remembers_a_few_calls_of_a_group() -> None:
    history = list(FIRST)
    calls = [call(1, history)]
    for number in range(2, CALLS_HELD + 3):
        history += [said("assistant", "Here."), said("user", f"And {number}?")]
        calls.append(call(number, history))
    again = call(99, SECOND_TURN[:2] + (said("user", "And 2?"),))
    assert compared([*calls, again]) == {99: Retake(of(2))}
    assert remembered([*calls, again]) == {}


def test_a_chain_kept_upstream_is_told_by_the_answer_it_continues() -> None:
    first = recorded(1, "Where?", provider_id="r1")
    second = recorded(2, "When?", provider_id="r2", previous_id="r1")
    again = recorded(3, "When?", provider_id="r3", previous_id="r1")
    other = recorded(4, "When?", provider_id="r4", previous_id="r2")
    edited = recorded(5, "Why?", provider_id="r5", previous_id="r1")
    takes = [
        found[0]
        for each in (first, second, again, other, edited)
        if (found := take_of(each.span)) is not None
    ]
    assert compare_all(takes, named=False) == {
        again.span.id: Retake(regenerated_from=second.span.id),
        edited.span.id: Retake(edited_from=again.span.id),
    }


def test_calls_are_compared_by_what_the_spool_had_of_them() -> None:
    calls = [call(1, FIRST), call(2, SECOND_TURN), call(3, EDITED)]
    as_read = [
        msgspec.structs.replace(each, encoded=msgspec.msgpack.encode(each.capture))
        for each in calls
    ]
    assert remembered(as_read) == {3: Retake(edited_from=of(2))}


def test_what_the_recorder_has_forgotten_is_not_found() -> None:
    retakes = Retakes()
    for each in (call(1, FIRST), call(2, SECOND_TURN)):
        retakes.add(each, each.group.id, named=False)
    retakes.forget()
    again = call(3, SECOND_TURN)
    assert retakes.add(again, again.group.id, named=False) == NO_RETAKE


def test_what_is_remembered_is_bounded_in_bytes_whatever_they_are_of() -> None:
    retakes = Retakes()
    long = call(1, FIRST, "Here. " * (KEPT_BYTES_MAX // 8))
    count = HELD_BYTES_MAX // len(long.capture.response_body.data) + 1
    for number in range(count):
        retakes.add(long, f"group {number}", named=True)
    again = call(99, FIRST)
    assert retakes.add(again, "group 0", named=True) == NO_RETAKE
    last = retakes.add(again, f"group {count - 1}", named=True)
    assert last == Retake(regenerated_from=of(1))


def test_a_call_that_is_too_long_to_be_kept_is_compared_all_the_same() -> None:
    longer = call(1, FIRST, "Here. " * (KEPT_BYTES_MAX // 6 + 1), session="s")
    assert remembered([longer, call(2, FIRST, session="s")]) == {2: Retake(of(1))}
