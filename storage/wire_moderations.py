"""Moderations: texts and images in, what is wrong with them out.

Source: https://platform.openai.com/docs/api-reference/moderations. Each text of the input is a user
message; a list of parts is one message. The verdicts are in `extra["results"]` as they came.
"""

from storage.trace import Message, Understood
from storage.wire import (
    Notes,
    as_text,
    content_of,
    input_messages,
    input_part,
    join,
    read_object,
    read_outcome,
    rest,
)

_REQUEST_KEYS = frozenset({"model", "input"})


def understand(request: bytes, response: bytes, streamed: bool) -> Understood:
    """Understand a moderation from its two bodies, decoded; either may be empty or broken.

    Never raises for what the bodies hold. `streamed` is for all wire formats alike.
    """
    notes: Notes = []
    asked = read_object(request, "the request", notes)
    given = asked.get("input")
    if asked and given is None:
        notes.append("the request has no input")
    messages: tuple[Message, ...]
    if isinstance(given, list) and any(isinstance(piece, dict) for piece in given):
        messages = (Message("user", content_of([input_part(piece) for piece in given])),)
    else:
        messages = input_messages(given)
    said = Understood(
        request_model=as_text(asked.get("model")),
        messages=messages,
        settings=rest(asked, _REQUEST_KEYS) or {},
    )
    answer = read_object(response, "the answer", notes)
    return join(said, read_outcome(answer, frozenset(), "results", notes), streamed, notes)
