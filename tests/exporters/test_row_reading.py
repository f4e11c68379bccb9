"""What every format writes is read back: who said what, which tools were offered and called."""

import json

import pytest

from exporters.formats import FORMATS
from exporters.row_reading import RowError, read_row
from exporters.row_shape import PLAIN, Shape
from storage.trace import Message, Part, Tool, ToolCall
from tests.exporters.rows import ANSWER, PIXEL, USER, calling, example, picture

CALL = ToolCall("look_up", '{"name":"Ada"}', "call_12345")
TOOLS = (Tool("look_up", "Find", {"type": "object", "properties": {}}),)
TEXT_FORMATS = ("prompt-completion", "text-label")
CHAT_FORMATS = sorted(FORMATS.keys() - set(TEXT_FORMATS))


def written(name: str, *messages: Message, tools: tuple[Tool, ...] = ()) -> bytes:
    one = example(*messages, tools=tools, rejected=Message("assistant", "no"))
    return FORMATS[name].row(one, Shape(last_only=True) if name == "sharegpt" else PLAIN)


@pytest.mark.parametrize("name", CHAT_FORMATS)
def test_what_was_said_is_read_back(name: str) -> None:
    row = read_row(written(name, Message("system", "Be kind."), USER, ANSWER))
    said = [(message.role, message.text) for message in row.messages]
    assert said == [("system", "Be kind."), ("user", "hello"), ("assistant", "good day")]


@pytest.mark.parametrize("name", CHAT_FORMATS)
def test_tools_and_their_calls_are_read_back(name: str) -> None:
    result = Message("tool", "42", tool_call_id=CALL.id)
    row = read_row(written(name, USER, calling(CALL), result, ANSWER, tools=TOOLS))
    (call,) = [call for message in row.messages for call in message.tool_calls]
    assert (call.name, json.loads(call.arguments)) == ("look_up", {"name": "Ada"})
    assert [tool.name for tool in row.tools] == ["look_up"]
    assert [message.text for message in row.messages] == ["hello", "", "42", "good day"]


@pytest.mark.parametrize("name", ["openai", "parquet", "fireworks", "together"])
def test_an_image_is_a_part(name: str) -> None:
    row = read_row(written(name, picture(), ANSWER))
    content = row.messages[0].content
    assert isinstance(content, tuple)
    assert [part.kind for part in content] == ["text", "image"]
    image = (content[1].raw or {})["image_url"]
    assert image == PIXEL or image == {"url": PIXEL}


@pytest.mark.parametrize("name", TEXT_FORMATS)
def test_two_texts_are_a_question_and_its_answer(name: str) -> None:
    row = read_row(written(name, USER, ANSWER))
    assert row.messages == (Message("user", "hello"), Message("assistant", "good day"))


def test_text_in_parts_is_joined_as_it_was() -> None:
    parts = (Part("text", "one "), Part("text", "two"))
    row = read_row(written("openai", Message("user", parts), ANSWER))
    assert row.messages[0].text == "one two"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b'{"answer":1}', "its keys are answer"),
        (b'{"messages":[]}', "holds no conversation"),
        (b'{"messages":[3,{"role":7}]}', "holds no conversation"),
        (b"\xff", "is not JSON"),
    ],
)
def test_what_is_no_row_says_so(line: bytes, says: str) -> None:
    with pytest.raises(RowError, match=says):
        read_row(line)
