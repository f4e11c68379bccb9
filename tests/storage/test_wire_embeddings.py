"""Embeddings: texts are messages, vectors are counted."""

import base64
import json

import pytest

from storage.trace import Json, Message, Part, Understood, Usage
from storage.wire_embeddings import understand


def exchanged(request: dict[str, Json], answer: dict[str, Json]) -> Understood:
    return understand(json.dumps(request).encode(), json.dumps(answer).encode(), False)


def test_each_text_is_a_user_message() -> None:
    understood = exchanged({"model": "e", "input": ["a", "b"], "dimensions": 3, "user": "u"}, {})
    assert understood.messages == (Message("user", "a"), Message("user", "b"))
    assert (understood.request_model, understood.user_id) == ("e", "u")
    assert understood.settings == {"dimensions": 3}


@pytest.mark.parametrize(
    ("given", "content"),
    [
        ("a", "a"),
        ([1, 2], (Part("other", raw={"tokens": [1, 2]}),)),
        ([{"content": [{"type": "text", "text": "a"}]}], "a"),
        (
            [{"content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": "x"}]}],
            (Part("text", "a"), Part("image", raw={"type": "image_url", "image_url": "x"})),
        ),
    ],
)
def test_an_input_may_be_tokens_or_parts(given: Json, content: object) -> None:
    (message,) = exchanged({"input": given}, {}).messages
    assert message.content == content


def test_vectors_are_counted_and_not_kept() -> None:
    data: list[Json] = [{"index": n, "embedding": [0.5] * 4} for n in range(2)]
    understood = exchanged(
        {"input": "a"},
        {"data": data, "model": "e-2", "usage": {"prompt_tokens": 2, "total_tokens": 2}},
    )
    assert understood.extra is not None
    assert (understood.extra["vectors"], understood.extra["dimensions"]) == (2, 4)
    assert "data" not in understood.extra
    assert (understood.usage, understood.response_model) == (Usage(2), "e-2")
    assert (understood.choices, understood.ended, understood.note) == ((), True, "")


@pytest.mark.parametrize("count", [1, 2, 3, 1536])
def test_packed_vectors_have_dimensions_where_floats_were_asked_for(count: int) -> None:
    packed = base64.b64encode(bytes(4 * count)).decode()
    answer: dict[str, Json] = {"data": [{"embedding": packed}]}
    floats = exchanged({"input": "a", "encoding_format": "base64"}, answer)
    assert floats.extra == {"vectors": 1, "dimensions": count}
    assert exchanged({"input": "a"}, answer).extra == {"vectors": 1}


def test_an_error_is_read_as_one() -> None:
    understood = exchanged({"input": "a"}, {"error": {"message": "No.", "code": "nope"}})
    assert (understood.error_code, understood.error_message) == ("nope", "No.")


def test_what_is_missing_is_noted() -> None:
    assert exchanged({"model": "e"}, {"object": "list"}).note == (
        "the request has no input; the answer has no data"
    )
