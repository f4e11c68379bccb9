"""Columns hold what other rows cannot."""

from exporters.formats import FORMATS
from storage.trace import Message, Part, Tool, ToolCall
from tests.exporters.rows import PIXEL, USER, calling, example, picture, row


def test_a_row_holds_every_part_of_an_example() -> None:
    called = calling(ToolCall("find", "not JSON", "c1", kind="custom"), content="see")
    last = Message("assistant", "42", reasoning="6 * 7", name="bot")
    tool = Tool("find", "Find it", {"type": "object"}, kind="web_search")
    heard = Message("user", (Part("audio", raw={"data": "UklG"}),))
    one = example(USER, called, picture(), heard, last, tools=(tool,), untrained=frozenset({1}))
    written = row("parquet", one)
    assert written["messages"] == [
        {**BARE, "role": "user", "content": "hello"},
        {
            **BARE,
            "role": "assistant",
            "content": "see",
            "tool_calls": [{"id": "c1", "kind": "custom", "name": "find", "arguments": "not JSON"}],
        },
        {
            **BARE,
            "role": "user",
            "parts": [
                {"kind": "text", "text": "what is it?", "url": None, "raw": None},
                {"kind": "image", "text": None, "url": PIXEL, "raw": None},
            ],
        },
        {
            **BARE,
            "role": "user",
            "parts": [{"kind": "audio", "text": None, "url": None, "raw": '{"data":"UklG"}'}],
        },
        {
            **BARE,
            "role": "assistant",
            "trained": True,
            "content": "42",
            "reasoning": "6 * 7",
            "name": "bot",
        },
    ]
    assert written["tools"] == [
        {
            "name": "find",
            "kind": "web_search",
            "description": "Find it",
            "parameters": '{"type":"object"}',
        }
    ]
    assert FORMATS["parquet"].left_out(one) == frozenset()


BARE = {
    "trained": False,
    "content": None,
    "parts": None,
    "name": None,
    "reasoning": None,
    "refusal": None,
    "tool_calls": None,
    "tool_call_id": None,
}


def test_a_role_that_no_dialect_has_is_kept() -> None:
    odd = Message("user", "1", extra={"role": "function"})
    messages = row("parquet", example(odd, Message("assistant", "a")))["messages"]
    assert isinstance(messages, list)
    assert isinstance(messages[0], dict)
    assert messages[0]["role"] == "function"
