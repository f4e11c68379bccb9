"""Legacy completions: a prompt and the text that goes on from it, streamed or not.

Source: https://platform.openai.com/docs/api-reference/completions. Each prompt is a user message,
each text that came back an assistant's: choice `n * prompt + i` goes on from that prompt. Prompts
that are tokens instead of text stay tokens. Some servers take chat messages here, too, and answer
with them; they are read as chat completions, as the answers all are (storage.wire_openai).
"""

from storage.trace import Understood
from storage.wire import (
    Notes,
    Object,
    as_text,
    input_messages,
    join,
    metadata_texts,
    read_object,
    rest,
)
from storage.wire_openai import read_answer, read_request

_REQUEST_KEYS = frozenset({"model", "prompt", "metadata", "user"})


def understand(request: bytes, response: bytes, streamed: bool) -> Understood:
    """Understand a legacy completion from its two bodies, decoded; either may be empty or broken.

    `streamed`: the response is an event stream. Never raises for what the bodies hold.
    """
    notes: Notes = []
    asked = _read_request(read_object(request, "the request", notes), notes)
    answered = read_answer(response, streamed, notes) if response else Understood()
    return join(asked, answered, streamed, notes)


def _read_request(request: Object, notes: Notes) -> Understood:
    prompt = request.get("prompt")
    if prompt is None and request.get("messages") is not None:
        return read_request(request, notes)
    if request and prompt is None:
        notes.append("the request has no prompt")
    return Understood(
        request_model=as_text(request.get("model")),
        messages=input_messages(prompt),
        settings=rest(request, _REQUEST_KEYS) or {},
        metadata=metadata_texts(request.get("metadata")),
        user_id=as_text(request.get("user")),
    )
