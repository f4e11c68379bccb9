"""Moderations: texts are messages, verdicts are kept as they came."""

import json

from storage.trace import Json, Message, Part, Understood
from storage.wire_moderations import understand


def exchanged(given: Json, answer: dict[str, Json]) -> Understood:
    request = {"model": "judge-1", "input": given}
    return understand(json.dumps(request).encode(), json.dumps(answer).encode(), False)


def test_texts_are_messages_and_verdicts_are_kept() -> None:
    verdict: Json = {"flagged": True, "categories": {"violence": True}}
    understood = exchanged(["a", "b"], {"id": "modr-1", "model": "judge-1b", "results": [verdict]})
    assert understood.messages == (Message("user", "a"), Message("user", "b"))
    assert understood.extra == {"results": [verdict]}
    assert (understood.provider_id, understood.response_model) == ("modr-1", "judge-1b")
    assert (understood.ended, understood.note) == (True, "")


def test_a_list_of_parts_is_one_message() -> None:
    image: dict[str, Json] = {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}
    (message,) = exchanged([{"type": "text", "text": "a"}, image], {}).messages
    assert message.content == (Part("text", "a"), Part("image", raw=image))


def test_what_is_missing_is_noted() -> None:
    assert (
        exchanged(None, {"id": "x"}).note == "the request has no input; the answer has no results"
    )
