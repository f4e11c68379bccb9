"""Responses events add up to the response their last event holds."""

import pytest

from storage.items import TERMINALS, assemble
from storage.trace import Json
from storage.wire import Notes, Object, as_array, as_object, as_text, read_stream
from tests.storage.traffic import STREAMS, body_of, needs_recordings, recordings

Events = list[tuple[str, Object]]


def events_of(data: bytes) -> Events:
    return read_stream(data, []).objects


def output(answer: Object) -> list[Object]:
    return [as_object(item) for item in as_array(answer["output"])]


def test_the_terminal_event_is_the_response() -> None:
    events = events_of(STREAMS["responses_mixed"])
    answer, ended = assemble(events, [])
    assert ended
    assert answer is events[-1][1]["response"]


def test_without_the_terminal_event_the_items_add_up_to_the_same() -> None:
    events = events_of(STREAMS["responses_mixed"])
    whole, _ = assemble(events, [])
    reduced, ended = assemble(events[:-1], [])
    assert not ended
    texts = [as_object(as_array(item.get("content"))[0])["text"] for item in output(reduced)[1:2]]
    assert texts == ["High water at 04:10."]
    assert output(reduced)[0] == output(whole)[0]
    assert output(reduced)[2] == output(whole)[2]
    assert output(reduced)[1]["content"] == output(whole)[1]["content"]


def test_a_done_event_outweighs_the_deltas_before_it() -> None:
    place: Object = {"output_index": 0, "content_index": 0}
    events: Events = [
        ("response.output_text.delta", {**place, "delta": "Hel"}),
        ("response.output_text.done", {**place, "text": "Hello"}),
    ]
    assert output(assemble(events, [])[0]) == [
        {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]},
    ]


def test_an_output_the_terminal_event_left_out_is_put_together() -> None:
    events = events_of(STREAMS["responses_incomplete_without_output"])
    answer, ended = assemble(events, [])
    search, custom, refused, code, thought = output(answer)
    assert ended
    assert answer["status"] == "incomplete"
    assert search["status"] == "completed"
    assert custom["input"] == "ls -l"
    assert refused["content"] == [{"type": "refusal", "refusal": "I will not."}]
    assert code["code"] == "print(1)"
    assert thought["content"] == [{"type": "reasoning_text", "text": "So"}]
    assert (answer["audio"], answer["audio.transcript"]) == ("AAAA", "So")


def test_an_error_event_is_the_error_and_no_end() -> None:
    answer, ended = assemble([("error", {"type": "error", "code": "x", "message": "No"})], [])
    assert as_object(answer["error"])["message"] == "No"
    assert not ended


def test_logprobs_of_deltas_are_concatenated() -> None:
    place: Object = {"output_index": 0, "content_index": 0}
    events: Events = [
        ("response.output_text.delta", {**place, "delta": t, "logprobs": [{"token": t}]})
        for t in ("a", "b")
    ]
    part = as_object(as_array(output(assemble(events, [])[0])[0]["content"])[0])
    assert part["logprobs"] == [{"token": "a"}, {"token": "b"}]


def test_text_of_a_new_kind_of_delta_is_kept_under_its_name() -> None:
    events: Events = [("response.shell_call_command.delta", {"output_index": 3, "delta": "ls"})]
    assert output(assemble(events, [])[0]) == [{"shell_call_command": "ls"}]


def test_a_second_response_in_a_stream_is_noted() -> None:
    notes: Notes = []
    events = events_of(STREAMS["responses_mixed"])
    assert assemble(events + events, notes) == assemble(events, [])
    assert notes == ["the stream holds 2 responses, the last is understood"]


def test_an_event_that_belongs_nowhere_is_noted() -> None:
    notes: Notes = []
    assemble([("response.new_thing.started", {}), ("keepalive", {})], notes)
    assert notes == ["the stream holds events of no known kind"]


@pytest.mark.parametrize("key", ["output_index", "content_index", "summary_index"])
@pytest.mark.parametrize("index", [-1, 10**12, None, "x", 1.5, [0], True])
def test_odd_indexes_are_survived(key: str, index: object) -> None:
    event = {"output_index": 0, "delta": "x", key: index}
    kinds = ["output_text.delta", "reasoning_summary_text.delta", "content_part.added"]
    assemble([(f"response.{kind}", event) for kind in kinds], [])  # type: ignore[misc]


Essence = list[tuple[Json, list[str], list[Json]]]


def essence(answer: Object) -> Essence:
    """Of each item its type, its texts (also reasoning and refusals) and its call."""
    found: Essence = []
    for item in output(answer):
        pieces = [*as_array(item.get("content")), *as_array(item.get("summary"))]
        texts = [as_text(as_object(p).get("text", as_object(p).get("refusal"))) for p in pieces]
        call = [item.get(key) for key in ("call_id", "name", "arguments", "input", "code")]
        found.append((item.get("type"), [text for text in texts if text], call))
    return found


def recorded_streams() -> dict[Json, Events]:
    """Recorded streams with a last event that holds an output."""
    streams = {
        record["id"]: events_of(body_of(record, "response"))
        for record in recordings()
        if record["endpoint"] == "responses" and record["streaming"]
    }
    # Three responses after one another, put into one file by whoever recorded them.
    del streams["a5b3d081fb199153"], streams["45e3309bb78ca488"]
    return {
        call_id: events
        for call_id, events in streams.items()
        if assemble(events, [])[1] and assemble(events, [])[0].get("output")
    }


@needs_recordings
def test_recorded_streams_without_their_last_event_add_up_to_it() -> None:
    streams = recorded_streams()
    assert len(streams) == 115
    for call_id, events in streams.items():
        reduced, _ = assemble([(k, e) for k, e in events if k not in TERMINALS], [])
        assert essence(reduced) == essence(assemble(events, [])[0]), call_id


@needs_recordings
def test_recorded_streams_add_up_from_what_was_there_before_anything_was_done() -> None:
    streams = recorded_streams()
    del streams["e69a0ca3d00f7570"]  # whoever recorded it left out most of its deltas
    for call_id, events in streams.items():
        undone = [(k, e) for k, e in events if k not in TERMINALS and not k.endswith(".done")]
        texts = [texts for _, texts, _ in essence(assemble(undone, [])[0])]
        assert texts == [texts for _, texts, _ in essence(assemble(events, [])[0])], call_id
