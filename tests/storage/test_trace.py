"""The vocabulary: what a message's text and a span's finish reason are."""

import msgspec

from storage.derive import derive
from storage.trace import Choice, Message, Part, Understood
from tests.storage.traffic import capture


def test_the_text_of_a_message_is_that_of_its_text_parts() -> None:
    parts = (Part("text", "a"), Part("image", raw={"type": "image_url"}), Part("text", "b"))
    assert Message("user", parts).text == "ab"
    assert Message("user", "c").text == "c"
    assert Message("assistant", None, reasoning="why", refusal="no").text == ""


def test_the_finish_reason_of_a_span_is_that_of_its_first_choice() -> None:
    choices = (Choice(Message("assistant"), "stop"), Choice(Message("assistant"), "length", 1))
    span = derive(capture())
    assert span.finish_reason == ""
    understood = Understood(choices=choices)
    assert msgspec.structs.replace(span, understood=understood).finish_reason == "stop"
