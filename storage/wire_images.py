"""Images made, edited and varied: JSON or a form in, JSON or a stream out.

Source: https://platform.openai.com/docs/api-reference/images. The prompt is a user message, images
sent with it are parts of that: of a form's files what is said of them, not their bytes. Each image
that came back is a choice. In a stream the pictures on the way (`partial_image`) are left out.
"""

import msgspec

from storage.multipart import FormFile, read_fields
from storage.trace import Choice, Message, Part, Understood
from storage.usage import openai_usage
from storage.wire import (
    Notes,
    Object,
    as_array,
    as_object,
    as_text,
    content_of,
    join,
    read_object,
    read_outcome,
    read_stream,
    rest,
)

_REQUEST_KEYS = frozenset({"model", "prompt", "user", "image", "images", "mask"})
_ANSWER_KEYS = frozenset({"data"})
_EVENT_KEYS = frozenset({"type", "usage"})


def understand(request: bytes, response: bytes, streamed: bool) -> Understood:
    """Understand an images call from its two bodies, decoded; either may be empty or broken.

    `streamed`: the response is an event stream. Never raises for what the bodies hold.
    """
    notes: Notes = []
    asked = _read_request(*read_fields(request, notes))
    if streamed:
        answer = _assemble(response, notes)
    else:
        answer = read_object(response, "the answer", notes)
    return join(asked, _read_answer(answer, notes), streamed, notes)


def _read_request(request: Object, files: list[FormFile]) -> Understood:
    parts: list[Part] = []
    if request.get("prompt") is not None:
        parts.append(Part("text", as_text(request["prompt"])))
    for name in ("image", "images", "mask"):
        given = request.get(name)
        for image in given if isinstance(given, list) else [given]:
            if image is not None:
                raw: Object = image if isinstance(image, dict) else {name: image}
                parts.append(Part("image", raw=raw))
    parts += [Part("image", raw=file.raw) for file in files]
    return Understood(
        request_model=as_text(request.get("model")),
        messages=(Message("user", content_of(parts)),) if parts else (),
        settings=rest(request, _REQUEST_KEYS) or {},
        user_id=as_text(request.get("user")),
    )


def _assemble(response: bytes, notes: Notes) -> Object:
    """Assemble a stream to the answer it would have been without streaming."""
    answer: Object = {}
    images: list[Object] = []
    for kind, event in read_stream(response, notes):
        if "error" in event:
            answer["error"] = event["error"]
        elif kind.endswith(".completed"):
            images.append(rest(event, _EVENT_KEYS) or {})
            if event.get("usage") is not None:
                answer["usage"] = event["usage"]
    if images:
        answer["data"] = [*images]
    elif "error" not in answer:
        notes.append("the stream broke off before its end")
    return answer


def _read_answer(answer: Object, notes: Notes) -> Understood:
    choices = tuple(
        Choice(Message("assistant", (Part("image", raw=as_object(image)),)), index=index)
        for index, image in enumerate(as_array(answer.get("data")))
    )
    return msgspec.structs.replace(
        read_outcome(answer, _ANSWER_KEYS, "data", notes),
        choices=choices,
        usage=openai_usage(as_object(answer.get("usage"))),
    )
