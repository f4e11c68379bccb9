"""Turns that the upstream kept, put before the calls that go on from them."""

from itertools import permutations
from pathlib import Path

import msgspec
import pytest

from exporters import stitching
from exporters.dataset import export
from exporters.request import ExportRequest
from exporters.selection import Reason, reason_against
from exporters.stitching import Histories
from storage.capture import Capture, Outcome
from storage.derive import derive
from storage.store import TraceStore
from storage.trace import Json, Side, Span
from tests.exporters.calls import capture, chat, record, said

SECOND_NS = 1_000_000_000


def responses(
    number: int,
    given: Json,
    answer: str = "",
    *,
    outcome: Outcome = Outcome.COMPLETE,
    status: str = "completed",
    tokens: int | None = 20,
    started_at_ns: int | None = None,
    **request: Json,
) -> Capture:
    """Capture a call of the Responses API whose answer has the id `resp_<number>`."""
    body = {"model": "tiny-1", "input": given, **request}
    message: Json = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": answer or f"answer {number}"}],
    }
    response: dict[str, Json] = {
        "id": f"resp_{number}",
        "status": status,
        "output": [message],
        "usage": {"input_tokens": tokens, "output_tokens": 3} if tokens is not None else None,
    }
    return capture(
        number,
        msgspec.json.encode(body),
        msgspec.json.encode(response),
        path="/v1/responses",
        outcome=outcome,
        started_at_ns=number * SECOND_NS if started_at_ns is None else started_at_ns,
    )


def whole(captures: list[Capture], stored: list[Capture] | None = None) -> dict[int, Span]:
    """Give every call its history, by number; `stored` are those that can be read again."""
    spans = {span.id: span for span in map(derive, captures if stored is None else stored)}
    histories = Histories(spans.get)
    found = list(histories.whole((one.id, derive(one)) for one in captures))
    assert all(tag == span.id for tag, span in found)
    return {int(span.id, 16): span for _, span in found}


def texts(span: Span) -> list[str]:
    return [message.text for message in span.understood.messages]


def is_example(span: Span) -> bool:
    return reason_against(span, Side.TRAIN, True) is None


CHAIN = [
    responses(1, "one", instructions="Be brief."),
    responses(2, "two", previous_response_id="resp_1", instructions="Be kind."),
    responses(3, "three", previous_response_id="resp_2"),
]


def test_a_call_gets_the_turns_it_goes_on_from_and_its_own_instructions() -> None:
    found = whole(CHAIN)
    assert texts(found[1]) == ["Be brief.", "one"]
    assert texts(found[2]) == ["Be kind.", "one", "answer 1", "two"]
    assert texts(found[3]) == ["one", "answer 1", "two", "answer 2", "three"]
    assert all(map(is_example, found.values()))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_of_the_calls_does_not_matter(order: tuple[int, ...]) -> None:
    assert whole([CHAIN[place] for place in order]) == whole(CHAIN)


def test_calls_that_are_no_longer_held_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = whole(CHAIN)
    monkeypatch.setattr(stitching, "SPANS_HELD_MAX", 1)
    assert whole(CHAIN) == expected


def test_a_call_gets_the_same_history_when_it_is_read_again() -> None:
    histories = Histories({span.id: span for span in map(derive, CHAIN)}.get)
    first = [span for _, span in histories.whole((None, derive(one)) for one in CHAIN)]
    assert [histories.again(derive(one)) for one in CHAIN] == first


@pytest.mark.parametrize(
    "parent",
    [
        responses(9, "another"),
        responses(1, "one", outcome=Outcome.UPSTREAM_CUT),
        responses(1, "one", status="in_progress"),
        responses(1, "one", previous_response_id="resp_0"),
        responses(1, "one", prompt={"id": "pmpt_1"}),
    ],
)
def test_a_call_whose_history_is_not_known_stays_as_it_was(parent: Capture) -> None:
    child = responses(10, "two", previous_response_id="resp_1")
    grandchild = responses(11, "three", previous_response_id="resp_10")
    found = whole([parent, child, grandchild])
    assert (found[10], found[11]) == (derive(child), derive(grandchild))
    assert reason_against(found[11], Side.TRAIN, True) is Reason.HISTORY_ELSEWHERE


def test_a_prompt_kept_upstream_keeps_a_call_out_although_its_history_is_known() -> None:
    found = whole(
        [CHAIN[0], responses(2, "two", previous_response_id="resp_1", prompt={"id": "p"})]
    )
    assert reason_against(found[2], Side.TRAIN, True) is Reason.HISTORY_ELSEWHERE


def test_a_call_whose_body_is_gone_is_no_history() -> None:
    found = whole(CHAIN[1:], stored=CHAIN[1:])
    assert found[3] == derive(CHAIN[2])


def test_of_answers_with_one_id_the_earliest_is_continued() -> None:
    twin = msgspec.structs.replace(responses(1, "another"), id=f"{4:032x}")
    assert texts(whole([*CHAIN[:1], twin, CHAIN[1]])[2])[1] == "one"


def test_calls_that_go_on_from_each_other_are_left_as_they_are() -> None:
    ring = [
        responses(1, "one", previous_response_id="resp_2"),
        responses(2, "two", previous_response_id="resp_1"),
    ]
    assert whole(ring) == {1: derive(ring[0]), 2: derive(ring[1])}


def test_results_of_tools_follow_the_calls_that_the_upstream_kept() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}"}
    asked = responses(1, "find it")
    answer = msgspec.json.encode({"id": "resp_1", "status": "completed", "output": [call]})
    asked = msgspec.structs.replace(
        asked, response_body=msgspec.structs.replace(asked.response_body, data=answer)
    )
    output: list[Json] = [{"type": "function_call_output", "call_id": "c1", "output": "found"}]
    found = whole([asked, responses(2, output, previous_response_id="resp_1")])[2]
    assert [message.role for message in found.understood.messages] == ["user", "assistant", "tool"]
    assert found.understood.messages[1].tool_calls[0].name == "find"


def test_a_conversation_is_the_calls_before_in_order() -> None:
    kept = [responses(number, f"say {number}", conversation="conv_1") for number in (1, 2, 3)]
    found = whole(kept)
    assert texts(found[3]) == ["say 1", "answer 1", "say 2", "answer 2", "say 3"]
    assert all(map(is_example, found.values()))


def test_a_call_that_the_upstream_refused_adds_nothing_to_a_conversation() -> None:
    first, last = (responses(number, "say", conversation="conv_1") for number in (1, 3))
    refused = chat(
        2,
        [],
        None,
        path="/v1/responses",
        outcome=Outcome.UPSTREAM_ERROR,
        input="say",
        conversation="conv_1",
    )
    assert texts(whole([first, refused, last])[3]) == ["say", "answer 1", "say"]


@pytest.mark.parametrize(
    "second",
    [
        responses(2, "two", conversation="conv_1", tokens=5_000),  # something is there unseen
        responses(2, "two", conversation="conv_1", tokens=None),
        responses(2, "two", conversation="conv_1", started_at_ns=SECOND_NS),  # both at once
        responses(2, "two", conversation="conv_1", previous_response_id="resp_1"),
    ],
)
def test_a_conversation_that_may_hold_more_is_left_as_it_is(second: Capture) -> None:
    first = responses(1, "one", conversation="conv_1")
    assert whole([first, second])[2] == derive(second)


def test_calls_of_other_dialects_pass() -> None:
    one = chat(1, [said("user", "hello")], said("assistant", "good day"))
    assert whole([one]) == {1: derive(one)}


def test_an_export_holds_the_turns_that_the_upstream_kept(
    store: TraceStore, tmp_path: Path
) -> None:
    for offset, kept in enumerate(reversed(CHAIN)):  # the last call arrives first
        record(store, [kept], offset=offset + 1)
    manifest = export(store, ExportRequest(), tmp_path / "out")
    (rows,) = (entry.rows for entry in manifest.sides.values() if entry.calls)
    assert rows == 3  # each has instructions of its own
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").glob("t*.jsonl"))
    written += (tmp_path / "out" / "val.jsonl").read_bytes()
    contents = [
        [message["content"] for message in msgspec.json.decode(line)["messages"]]
        for line in written.splitlines()
    ]
    assert ["one", "answer 1", "two", "answer 2", "three", "answer 3"] in contents
