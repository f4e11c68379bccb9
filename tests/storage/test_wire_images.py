"""Images: the prompt asks, each image is a choice, what is sent along is named."""

import json

from storage.trace import Json, Message, Part, Understood, Usage
from storage.wire_images import understand
from tests.storage.traffic import STREAMS

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="image[]"; filename="a.png"\r\n'
    b"Content-Type: image/png\r\n\r\n\x89PNG\r\n"
    b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nGreener.\r\n'
    b'--b\r\nContent-Disposition: form-data; name="n"\r\n\r\n2\r\n--b--\r\n'
)


def exchanged(request: dict[str, Json], answer: dict[str, Json]) -> Understood:
    return understand(json.dumps(request).encode(), json.dumps(answer).encode(), False)


def test_each_image_is_a_choice() -> None:
    image: dict[str, Json] = {"b64_json": "iVBO", "revised_prompt": "A tern, flying."}
    counts: Json = {
        "input_tokens": 9,
        "output_tokens": 272,
        "total_tokens": 281,
        "input_tokens_details": {"text_tokens": 9, "image_tokens": 0},
    }
    understood = exchanged(
        {"model": "brush-1", "prompt": "A tern.", "n": 2, "user": "u"},
        {"created": 1, "data": [image, {"url": "https://x.example/b.png"}], "usage": counts},
    )
    assert understood.messages == (Message("user", "A tern."),)
    assert [choice.index for choice in understood.choices] == [0, 1]
    assert understood.choices[0].message.content == (Part("image", raw=image),)
    assert (understood.usage, understood.ended) == (Usage(9, 272), True)
    assert (understood.user_id, understood.settings) == ("u", {"n": 2})


def test_a_form_names_its_images() -> None:
    understood = understand(FORM, b"", False)
    named: dict[str, Json] = {
        "field": "image[]",
        "filename": "a.png",
        "content_type": "image/png",
        "length": 4,
    }
    assert understood.messages == (
        Message("user", (Part("text", "Greener."), Part("image", raw=named))),
    )
    assert understood.settings == {"n": "2"}


def test_images_sent_as_json_are_parts() -> None:
    link: dict[str, Json] = {"image_url": "https://x.example/a.png"}
    (message,) = exchanged({"prompt": "Greener.", "images": [link], "mask": "file-1"}, {}).messages
    assert message.content == (
        Part("text", "Greener."),
        Part("image", raw=link),
        Part("image", raw={"mask": "file-1"}),
    )


def test_of_a_stream_the_finished_image_is_the_answer() -> None:
    understood = understand(b'{"prompt": "A tern."}', STREAMS["images_partial"], True)
    (choice,) = understood.choices
    assert choice.message.content == (
        Part("image", raw={"b64_json": "iVBORw0KGgo=", "size": "1024x1024", "quality": "low"}),
    )
    assert (understood.usage, understood.ended, understood.note) == (Usage(9, 272), True, "")


def test_a_stream_without_a_finished_image_broke_off() -> None:
    data = STREAMS["images_partial"]
    for cut in range(1, data.index(b'"b64_json":"iVBO')):
        understood = understand(b'{"prompt": "A tern."}', data[:cut], True)
        assert "the stream broke off before its end" in understood.note
        assert (understood.choices, understood.ended) == ((), False)


def test_an_error_in_a_stream_is_read_as_one() -> None:
    data = b'event: error\ndata: {"type": "error", "error": {"code": "moderation_blocked"}}\n\n'
    assert understand(b'{"prompt": "x"}', data, True).error_code == "moderation_blocked"
