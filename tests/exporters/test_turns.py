"""How the calls of a group become rows."""

from collections.abc import Callable

import msgspec
import pytest

from exporters import turns as turns_module
from exporters.selection import Example, Reason, Turns, reason_against
from exporters.turns import Conversations
from storage.capture import Capture, Dialect
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


def test_of_a_long_conversation_one_call_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "CALLS_HELD_MAX", 2)
    assert numbers(examples(conversation(1, "hi", 20), Turns.AUTO)) == [20]


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


def test_auto_trains_a_turn_only_where_its_own_call_had_the_same_beginning() -> None:
    history = [said("system", "Be brief."), USER, said("assistant", "an example of a reply")]
    (found,) = examples([chat(1, [*history, USER], ANSWER)], Turns.AUTO)
    assert found.untrained == {2}
    assert examples([chat(1, [*history, USER], ANSWER)], Turns.LEAF)[0].untrained == frozenset()


@pytest.mark.parametrize("source", ["import:openai-chat", "synthetic"])
def test_all_answers_of_a_fine_tuning_line_are_trained_but_those_of_no_weight(source: str) -> None:
    history = [USER, said("assistant", "yes"), USER, said("assistant", "no", weight=0), USER]
    line = msgspec.structs.replace(chat(1, history, ANSWER), source=source)
    for turns in (Turns.AUTO, Turns.LEAF):
        assert examples([line], turns)[0].untrained == {3}


def test_auto_makes_one_row_of_a_linear_conversation() -> None:
    (found,) = examples(conversation(1, "hi", 4), Turns.AUTO)
    assert (int(found.call_id, 16), len(found.continued), found.untrained) == (4, 3, frozenset())


def test_a_compacted_history_begins_a_row_of_its_own() -> None:
    before = conversation(1, "hi", 2)
    kept = [said("system", "Be brief."), said("user", "In short: we met."), ANSWER]
    after = [
        chat(3, [*kept, said("user", "on")], said("assistant", "yes")),
        chat(
            4,
            [*kept, said("user", "on"), said("assistant", "yes"), said("user", "and")],
            said("assistant", "no"),
        ),
    ]
    found = examples([*before, *after], Turns.AUTO)
    assert [(int(row.call_id, 16), sorted(row.untrained)) for row in found] == [(2, []), (4, [2])]


def reasoned(text: str, reasoning: str) -> dict[str, Json]:
    return said("assistant", text, reasoning_content=reasoning)


def test_an_answer_whose_reasoning_was_not_sent_back_is_trained_in_its_own_row() -> None:
    first = chat(1, [USER], reasoned("4", "2 and 2"))
    history = [USER, said("assistant", "4"), said("user", "plus 1?")]
    found = examples([first, chat(2, history, reasoned("5", "4 and 1"))], Turns.AUTO)
    assert [sorted(row.untrained) for row in found] == [[], [1]]
    assert [row.messages[-1].reasoning for row in found] == ["2 and 2", "4 and 1"]


def test_an_answer_whose_reasoning_was_sent_back_is_trained_in_the_later_row() -> None:
    first = chat(1, [USER], reasoned("4", "2 and 2"))
    history = [USER, reasoned("4", "2 and 2"), said("user", "plus 1?")]
    (found,) = examples([first, chat(2, history, reasoned("5", "4 and 1"))], Turns.AUTO)
    assert [message.reasoning for message in found.messages] == ["", "2 and 2", "", "4 and 1"]


def tool(name: str) -> dict[str, Json]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def test_a_turn_that_was_offered_other_tools_is_trained_in_its_own_row() -> None:
    first = chat(1, [USER], ANSWER, tools=[tool("find"), tool("open")])
    same = chat(2, [USER, ANSWER, USER], ANSWER, tools=[tool("open"), tool("find")])
    other = chat(3, [USER, ANSWER, USER, ANSWER, USER], ANSWER, tools=[tool("close")])
    assert numbers(examples([first, same], Turns.AUTO)) == [2]
    found = examples([first, same, other], Turns.AUTO)
    assert [sorted(row.untrained) for row in found] == [[], [1, 3]]
    assert numbers(examples([first, same, other], Turns.LEAF)) == [3]


def test_chain_gives_a_run_with_every_answer_as_it_was_received() -> None:
    first = chat(1, [USER], reasoned("4", "2 and 2"))
    second = chat(2, [USER, said("assistant", "4"), USER], reasoned("5", "4 and 1"))
    (found,) = examples([first, second], Turns.CHAIN)
    assert [message.reasoning for message in found.messages] == ["", "2 and 2", "", "4 and 1"]
    assert [int(one, 16) for one in found.continued] == [1]
    assert found.untrained == frozenset()


def test_chain_keeps_the_ids_that_results_go_by() -> None:
    function: dict[str, Json] = {"name": "find", "arguments": "{}"}

    def call(call_id: str) -> dict[str, Json]:
        return said("assistant", None, tool_calls=[{"id": call_id, "function": function}])

    sent_back = [USER, call("mine"), said("tool", "found", tool_call_id="mine")]
    (found,) = examples([chat(1, [USER], call("theirs")), chat(2, sent_back, ANSWER)], Turns.CHAIN)
    assert found.messages[1].tool_calls[0].id == found.messages[2].tool_call_id == "mine"


def test_chain_keeps_a_sub_agent_and_another_run_apart() -> None:
    def traced(recorded: Capture, trace: str) -> Capture:
        header = (b"traceparent", f"00-{trace * 32}-{'1' * 16}-01".encode())
        return msgspec.structs.replace(
            recorded, request_headers=[*recorded.request_headers, header]
        )

    first, second, third = conversation(1, "hi", 3)
    agent = chat(4, [said("system", "You look things up."), USER], ANSWER)
    run = [traced(first, "a"), traced(second, "a"), traced(agent, "a"), traced(third, "b")]
    found = examples(run, Turns.CHAIN)
    rows = [(int(row.call_id, 16), sorted(row.untrained)) for row in found]
    assert rows == [(2, []), (3, [2, 4]), (4, [])]


def test_a_relabelled_answer_has_a_row_of_its_own_and_the_old_one_is_not_trained() -> None:
    for turns in (Turns.AUTO, Turns.LEAF):
        conversations = Conversations(turns, never)
        first, second = map(derive, conversation(1, "hi", 2))
        choice = first.understood.choices[0]
        better = msgspec.structs.replace(choice.message, content="better")
        choices = (msgspec.structs.replace(choice, message=better),)
        understood = msgspec.structs.replace(first.understood, choices=choices)
        labelled = msgspec.structs.replace(first, understood=understood)
        conversations.add(
            labelled, None, recorded=choice.message, answer_source="human", label_id="l1"
        )
        conversations.add(second, None)
        found = list(conversations.examples())
        assert numbers(found) == [1, 2]
        assert (found[0].messages[-1].text, found[0].answer_source) == ("better", "human")
        assert found[0].label_id == "l1"
        assert found[1].untrained == {2}


THINKING: Json = {"type": "thinking", "thinking": "2 and 2", "signature": "c2ln"}
THOUGHT: Json = {"text": "2 and 2", "thought": True, "thoughtSignature": "c2ln"}
ENCRYPTED: Json = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "2 and 2"}],
    "encrypted_content": "c2ln",
}
DETAILS: list[Json] = [{"type": "reasoning.text", "text": "2 and 2", "signature": "c2ln"}]
CHOICE = {"finish_reason": "stop", "index": 0}


@pytest.mark.parametrize(
    ("path", "dialect", "request_body", "answer", "kept"),
    [
        (
            "/v1/chat/completions",
            Dialect.OPENAI,
            {"messages": [USER]},
            {"choices": [{**CHOICE, "message": reasoned("4", "2 and 2")}]},
            None,
        ),
        (
            "/v1/chat/completions",
            Dialect.OPENAI,
            {"messages": [USER]},
            {
                "choices": [
                    {
                        **CHOICE,
                        "message": said(
                            "assistant", "4", reasoning="2 and 2", reasoning_details=DETAILS
                        ),
                    }
                ]
            },
            {"reasoning_details": DETAILS},
        ),
        (
            "/v1/responses",
            Dialect.OPENAI,
            {"input": "2 + 2?"},
            {
                "status": "completed",
                "output": [ENCRYPTED, {"type": "message", "role": "assistant", "content": "4"}],
            },
            {"items": [ENCRYPTED, {"type": "message", "role": "assistant", "content": "4"}]},
        ),
        (
            "/v1/messages",
            Dialect.ANTHROPIC,
            {"messages": [USER]},
            {
                "type": "message",
                "role": "assistant",
                "content": [THINKING, {"type": "text", "text": "4"}],
                "stop_reason": "end_turn",
            },
            {"blocks": [THINKING, {"type": "text", "text": "4"}]},
        ),
        (
            "/v1beta/models/gemini:generateContent",
            Dialect.GEMINI,
            {"contents": [{"role": "user", "parts": [{"text": "2 + 2?"}]}]},
            {
                "candidates": [
                    {"content": {"role": "model", "parts": [THOUGHT, {"text": "4"}]}}
                    | {"finishReason": "STOP"}
                ]
            },
            {"parts": [THOUGHT, {"text": "4"}]},
        ),
    ],
)
def test_reasoning_is_kept_as_it_was_received(
    path: str, dialect: Dialect, request_body: Json, answer: Json, kept: Json
) -> None:
    bodies = msgspec.json.encode(request_body), msgspec.json.encode(answer)
    (found,) = examples([capture(1, *bodies, path=path, dialect=dialect)], Turns.AUTO)
    assert (found.messages[-1].text, found.messages[-1].reasoning) == ("4", "2 and 2")
    assert found.messages[-1].extra == kept


def test_calls_that_are_no_longer_held_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "CALLS_HELD_MAX", 2)
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
