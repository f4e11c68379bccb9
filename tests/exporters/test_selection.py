"""Which calls become examples, and how turns become rows."""

from collections.abc import Callable

import msgspec
import pytest

from exporters import selection
from exporters.selection import (
    NEEDS_LABEL,
    Conversations,
    Example,
    Reason,
    Turns,
    reason_against,
)
from storage.capture import Body, Capture, Dialect, Outcome
from storage.derive import derive
from storage.trace import Json, Side, Span
from tests.exporters.calls import capture, chat, conversation, said

USER, ANSWER = said("user", "hello"), said("assistant", "good day")


def never(call_id: str) -> Span:
    raise AssertionError(f"{call_id} was read again")


def examples(captures: list[Capture], turns: Turns = Turns.LEAF) -> list[Example]:
    conversations = Conversations(turns, never)
    for recorded in captures:
        span = derive(recorded)
        conversations.add(span, reason_against(span, Side.TRAIN, True))
    return list(conversations.examples())


def numbers(found: list[Example]) -> list[int]:
    return [int(example.call_id, 16) for example in found]


@pytest.mark.parametrize(
    ("recorded", "reason"),
    [
        (chat(1, [USER], ANSWER), None),
        (chat(1, [USER], said("assistant", None, tool_calls=[{"function": {}}])), None),
        (chat(1, [USER], ANSWER, path="/v1/embeddings"), Reason.NOT_A_CONVERSATION),
        (chat(1, [], ANSWER), Reason.NOT_UNDERSTOOD),
        (chat(1, [USER], ANSWER, outcome=Outcome.UPSTREAM_ERROR), Reason.FAILED),
        (chat(1, [USER], ANSWER, outcome=Outcome.CLIENT_GONE), Reason.FAILED),
        (chat(1, [USER], None), Reason.NO_ANSWER),
        (chat(1, [USER], said("assistant", "")), Reason.NO_ANSWER),
        (chat(1, [USER], ANSWER, finish_reason="length"), Reason.TOKEN_LIMIT),
        (chat(1, [USER], ANSWER, finish_reason="content_filter"), Reason.REFUSED),
        (chat(1, [USER], said("assistant", None, refusal="No.")), Reason.REFUSED),
    ],
)
def test_a_call_is_an_example_or_has_one_reason_against_it(
    recorded: Capture, reason: Reason | None
) -> None:
    assert reason_against(derive(recorded), Side.TRAIN, True) is reason


def test_a_record_that_is_not_whole_is_no_example() -> None:
    whole = chat(1, [USER], ANSWER)
    cut = Body(b"{", 2**30, "0" * 64, truncated=True)
    span = derive(msgspec.structs.replace(whole, response_body=cut))
    assert reason_against(span, Side.TRAIN, True) is Reason.BODY_CUT


def test_the_filter_does_not_act_on_test() -> None:
    span = derive(chat(1, [USER], ANSWER))
    assert reason_against(span, Side.TRAIN, False) is Reason.NOT_MATCHING
    assert reason_against(span, Side.VAL, False) is Reason.NOT_MATCHING
    assert reason_against(span, Side.TEST, False) is None


def test_quarantine_is_never_an_example() -> None:
    span = derive(chat(1, [USER], ANSWER))
    assert reason_against(span, Side.QUARANTINE, True) is Reason.QUARANTINE
    assert Reason.QUARANTINE not in NEEDS_LABEL


def test_the_longest_call_of_a_conversation_is_its_row() -> None:
    (found,) = examples(conversation(1, "hi", 4))
    assert int(found.call_id, 16) == 4
    assert [int(call_id, 16) for call_id in found.continued] == [1, 2, 3]
    assert found.untrained == frozenset()
    assert len(found.messages) == 1 + 4 * 2


def test_each_branch_of_a_conversation_is_a_row() -> None:
    trunk = conversation(1, "hi", 2)
    history = [said("system", "Be brief."), said("user", "hi"), said("assistant", "answer 0 to hi")]
    edited = chat(3, [*history, said("user", "no, rather this")], ANSWER)
    regenerated = chat(4, [*history, said("user", "hi, question 1")], ANSWER)
    found = examples([*trunk, edited, regenerated])
    assert numbers(found) == [2, 3, 4]
    assert all([int(call_id, 16) for call_id in example.continued] == [1] for example in found)


def test_equal_calls_stay_as_frequent_as_they_were() -> None:
    # Three users open alike; one of them goes on.
    alike = [chat(number, [USER], ANSWER) for number in (1, 2, 3)]
    longer = chat(4, [USER, ANSWER, said("user", "more")], ANSWER)
    assert numbers(examples([*alike, longer])) == [2, 3, 4]


@pytest.mark.parametrize(
    "change",
    [
        lambda said_before: {**said_before, "content": " Good\n day "},
        lambda said_before: {**said_before, "name": "ada"},
        lambda said_before: {**said_before, "content": [{"type": "text", "text": "Good day"}]},
    ],
)
def test_what_a_client_changes_on_the_way_back_does_not_break_the_chain(
    change: Callable[[dict[str, Json]], dict[str, Json]],
) -> None:
    answer = said("assistant", "Good day")
    first = chat(1, [said("system", "It is 10:31."), USER], answer)
    second = chat(
        2, [said("system", "It is 10:32."), USER, change(answer), said("user", "more")], ANSWER
    )
    assert numbers(examples([first, second])) == [2]


def test_tool_calls_are_compared_by_name_and_arguments_and_not_by_id() -> None:
    def call(call_id: str, arguments: str) -> dict[str, Json]:
        function: dict[str, Json] = {"name": "find", "arguments": arguments}
        calls: list[Json] = [{"id": call_id, "type": "function", "function": function}]
        return said("assistant", None, tool_calls=calls)

    first = chat(1, [USER], call("a", '{"x": 1, "y": 2}'), finish_reason="tool_calls")
    result = said("tool", "found", tool_call_id="b")
    same = chat(2, [USER, call("b", '{"y":2,"x":1}'), result], ANSWER)
    other = chat(3, [USER, call("b", '{"x": 3}'), result], ANSWER)
    assert numbers(examples([first, same])) == [2]
    assert numbers(examples([first, other])) == [1, 3]


def test_an_answer_that_was_left_out_is_not_trained_in_a_longer_row() -> None:
    cut = chat(1, [USER], said("assistant", "half of an"), finish_reason="length")
    history = [USER, said("assistant", "half of an"), said("user", "go on")]
    (found,) = examples([cut, chat(2, history, ANSWER)])
    assert found.untrained == {1}
    assert found.continued == ()


def test_an_answer_that_was_accepted_once_is_trained_although_its_twin_was_not() -> None:
    conversations = Conversations(Turns.LEAF, never)
    conversations.add(derive(chat(1, [USER], ANSWER)), Reason.NOT_MATCHING)
    conversations.add(derive(chat(2, [USER], ANSWER)), None)
    conversations.add(derive(chat(3, [USER, ANSWER, USER], ANSWER)), None)
    (found,) = conversations.examples()
    assert (found.untrained, conversations.continued_count) == (frozenset(), 1)


def test_last_gives_every_call_a_row_and_trains_its_own_answer() -> None:
    found = examples(conversation(1, "hi", 3), Turns.LAST)
    assert numbers(found) == [1, 2, 3]
    assert [sorted(example.untrained) for example in found] == [[], [2], [2, 4]]


def test_chain_gives_every_call_as_it_is() -> None:
    found = examples(conversation(1, "hi", 3), Turns.CHAIN)
    assert numbers(found) == [1, 2, 3]
    assert all(example.untrained == frozenset() for example in found)
    assert all(example.continued == () for example in found)


def test_calls_that_are_no_longer_held_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "CALLS_HELD_MAX", 2)
    spans = {
        span.id: span
        for span in (
            derive(chat(number, [said("user", str(number))], ANSWER)) for number in range(5)
        )
    }
    conversations = Conversations(Turns.LEAF, spans.__getitem__)
    for span in spans.values():
        conversations.add(span, None)
    assert numbers(list(conversations.examples())) == [0, 1, 2, 3, 4]


def test_a_call_whose_history_the_upstream_keeps_is_no_example() -> None:
    asked = chat(
        1, [], ANSWER, path="/v1/responses", input="and now?", previous_response_id="resp_1"
    )
    span = derive(asked)
    assert reason_against(span, Side.TRAIN, True) is Reason.HISTORY_ELSEWHERE


def test_an_anthropic_conversation_is_chained_like_any_other() -> None:
    def call(number: int, messages: list[Json], text: str) -> Capture:
        request: dict[str, Json] = {"model": "claude", "system": "Be brief.", "messages": messages}
        return _anthropic(number, request, text)

    opening: list[Json] = [said("user", "hi")]
    longer = [*opening, said("assistant", [{"type": "text", "text": "hello"}]), said("user", "go")]
    found = examples([call(1, opening, "hello"), call(2, longer, "gone")])
    assert numbers(found) == [2]


def _anthropic(number: int, request: dict[str, Json], text: str) -> Capture:
    response = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
    }
    return capture(
        number,
        msgspec.json.encode(request),
        msgspec.json.encode(response),
        path="/v1/messages",
        dialect=Dialect.ANTHROPIC,
    )
