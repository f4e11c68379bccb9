"""Tests of importers.batch."""

from storage.capture import Outcome
from tests.importers.reading import read

FILES = ("openai_batch_input.jsonl", "openai_batch_output.jsonl")


def test_an_answer_finds_its_request() -> None:
    span = read("openai-batch", *FILES).spans[0]
    assert [message.content for message in span.understood.messages] == ["One?"]
    assert span.understood.choices[0].message.content == "One."
    assert span.understood.settings == {"max_tokens": 9}
    assert span.started_at_ns == 1_790_000_300 * 10**9
    assert span.tags == {"custom_id": "r-1"}


def test_a_refused_request_is_a_call_with_the_error() -> None:
    span = read("openai-batch", *FILES).spans[1]
    assert (span.outcome, span.status_code) == (Outcome.UPSTREAM_ERROR, 400)
    assert span.understood.error_code == "bad_model"


def test_an_answer_without_its_request_is_reported() -> None:
    found = read("openai-batch", *FILES)
    assert len(found.spans) == 2
    assert found.troubles == [
        "3: the request of 'r-3' was not read: give the batch's input file, too"
    ]
