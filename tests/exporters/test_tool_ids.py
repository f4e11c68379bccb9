"""Every tool call has an id, and every result the id of its call."""

import re

from exporters.tool_ids import id_of_nine, with_ids, with_ids_of_nine
from storage.trace import Message, ToolCall
from tests.exporters.rows import ANSWER, USER, calling


def test_ids_that_are_there_stay() -> None:
    said = (USER, calling(ToolCall("f", "{}", "a")), Message("tool", "1", tool_call_id="a"), ANSWER)
    assert with_ids(said) == said


def test_calls_without_an_id_get_one_from_their_place_and_results_follow() -> None:
    two = calling(ToolCall("f", "{}"), ToolCall("g", "{}"))
    results = (Message("tool", "1"), Message("tool", "2"))
    _, asked, first, second = with_ids((USER, two, *results))
    assert [call.id for call in asked.tool_calls] == ["call_1_0", "call_1_1"]
    assert (first.tool_call_id, second.tool_call_id) == ("call_1_0", "call_1_1")


def test_a_new_id_has_nine_letters_or_digits_and_is_the_same_every_time() -> None:
    ids = [id_of_nine(f"call_{number}") for number in range(2_000)]
    assert len(set(ids)) == 2_000
    assert all(re.fullmatch("[a-zA-Z0-9]{9}", one) for one in ids)
    assert ids[0] == id_of_nine("call_0") == "W4ZsuDfgn"


def test_an_id_of_nine_is_kept() -> None:
    assert id_of_nine("aB3dE6gH9") == "aB3dE6gH9"
    assert id_of_nine("aB3dE6gH-") != "aB3dE6gH-"


def test_a_result_gets_the_new_id_of_its_call() -> None:
    said = (USER, calling(ToolCall("f", "{}", "a")), Message("tool", "1", tool_call_id="a"), ANSWER)
    _, asked, result, _ = with_ids_of_nine(said)
    assert asked.tool_calls[0].id == result.tool_call_id == id_of_nine("a")
