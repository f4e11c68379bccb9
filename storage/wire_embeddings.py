"""Embeddings: texts in, vectors out, as OpenAI and its imitators send them.

Source: https://platform.openai.com/docs/api-reference/embeddings. Each text of the input is a user
message. Vectors are no messages and not kept here: `extra` counts them, and how many dimensions
the first has (of Base64 only where floats of 32 bits were asked for; others pack differently).
"""

from collections.abc import Sequence

import msgspec

from storage.trace import Json, Understood
from storage.usage import openai_usage
from storage.wire import (
    Notes,
    Object,
    as_array,
    as_object,
    as_text,
    input_messages,
    join,
    metadata_texts,
    read_object,
    read_outcome,
    rest,
)

_REQUEST_KEYS = frozenset({"model", "input", "metadata", "user"})
_ANSWER_KEYS = frozenset({"object", "data"})
_FLOAT_BYTES = 4


def understand(request: bytes, response: bytes, streamed: bool) -> Understood:
    """Understand an embeddings call from its two bodies, decoded; either may be empty or broken.

    Never raises for what the bodies hold. `streamed` is for all wire formats alike: no embeddings
    are.
    """
    notes: Notes = []
    asked = read_object(request, "the request", notes)
    if asked and asked.get("input") is None:
        notes.append("the request has no input")
    said = Understood(
        request_model=as_text(asked.get("model")),
        messages=input_messages(asked.get("input")),
        settings=rest(asked, _REQUEST_KEYS) or {},
        metadata=metadata_texts(asked.get("metadata")),
        user_id=as_text(asked.get("user")),
    )
    answer = read_object(response, "the answer", notes)
    return join(said, _read_answer(answer, asked, notes), streamed, notes)


def _read_answer(answer: Object, asked: Object, notes: Notes) -> Understood:
    outcome = read_outcome(answer, _ANSWER_KEYS, "data", notes)
    vectors = [as_object(each).get("embedding") for each in as_array(answer.get("data"))]
    packed = asked.get("encoding_format") == "base64"
    return msgspec.structs.replace(
        outcome,
        usage=openai_usage(as_object(answer.get("usage"))),
        extra=with_vectors(outcome.extra, vectors, packed),
    )


def with_vectors(extra: Object | None, vectors: Sequence[Json], packed: bool) -> Object | None:
    """Add to `extra` how many vectors came and of how many dimensions; `packed`: in Base64."""
    if not vectors:
        return extra
    counted: Object = {**(extra or {}), "vectors": len(vectors)}
    first = vectors[0]
    if isinstance(first, list):
        counted["dimensions"] = len(first)
    elif isinstance(first, str) and packed:
        counted["dimensions"] = len(first.rstrip("=")) * 3 // 4 // _FLOAT_BYTES
    return counted
