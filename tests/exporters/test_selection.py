"""Which calls become examples, and which reason stands against the others."""

import msgspec
import pytest

from exporters.selection import NEEDS_LABEL, Reason, reason_against
from storage.capture import Body, Capture, Outcome
from storage.derive import derive
from storage.trace import Side
from tests.exporters.calls import chat, said

USER, ANSWER = said("user", "hello"), said("assistant", "good day")


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


def test_a_call_whose_history_the_upstream_keeps_is_no_example() -> None:
    asked = chat(
        1, [], ANSWER, path="/v1/responses", input="and now?", previous_response_id="resp_1"
    )
    span = derive(asked)
    assert reason_against(span, Side.TRAIN, True) is Reason.HISTORY_ELSEWHERE
