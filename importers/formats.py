"""The formats that can be imported: their names, how each is recognised, how it is read."""

from collections.abc import Callable
from typing import NamedTuple

from importers import batch, fine_tuning, langfuse, litellm, otlp, stored_completions
from importers.imported import Reader
from storage.wire import Object


class Format(NamedTuple):
    """A format. `reader` makes what reads one import's files, in their order.

    `is_context` tells of a file's first record whether the file is to be read before the others,
    for it holds what their records need.
    """

    name: str
    meaning: str
    recognise: Callable[[Object], bool]
    reader: Callable[[], Reader]
    is_context: Callable[[Object], bool] = lambda _: False


# In the order in which they are tried: those with the most particular fields first.
FORMATS = {
    form.name: form
    for form in (
        Format("otlp", "OTLP JSON of GenAI spans", otlp.recognise, lambda: otlp.read),
        Format(
            "openai-batch",
            "input and output of OpenAI's Batch API",
            batch.recognise,
            batch.Reader,
            batch.is_context,
        ),
        Format("litellm", "LiteLLM spend logs", litellm.recognise, lambda: litellm.read),
        Format(
            "langfuse",
            "Langfuse observations and traces",
            langfuse.recognise,
            langfuse.Reader,
            langfuse.is_context,
        ),
        Format(
            "openai-stored",
            "chat completions stored by OpenAI",
            stored_completions.recognise,
            stored_completions.Reader,
            stored_completions.is_context,
        ),
        Format(
            "openai-chat",
            "OpenAI chat fine-tuning JSONL",
            fine_tuning.recognise,
            lambda: fine_tuning.read,
        ),
    )
}


def recognise(record: Object) -> Format | None:
    """Find the format that a record is of, None where it is of none."""
    return next((form for form in FORMATS.values() if form.recognise(record)), None)
