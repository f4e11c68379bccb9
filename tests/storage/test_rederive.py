"""Stored calls understood and priced again: what has changed is written, told, and nothing else."""

import json

import msgspec
import pytest

from storage import database, search
from storage import rederive as module
from storage.derive import derive
from storage.features import Features, features_of
from storage.filters import FilterError
from storage.grouping import group_of
from storage.rederive import CALLS_AT_ONCE, rederive, reprice
from storage.rows import CallRow, Recorded
from storage.search_words import Entry
from storage.store import TraceStore
from storage.terms import sample_bits_of, text_features_of
from storage.trace import DERIVE_VERSION, Json, Span, Understood, Usage
from tests.storage.calls import ask, at, capture_of, id_of

ANSWER = {
    "model": "gpt-4o",
    "choices": [{"message": {"content": "At four."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1_000, "completion_tokens": 100},
}


def misunderstood(number: int, **request: Json) -> Recorded:
    """A call as a version 1 would have stored it that understood nothing of it."""
    asked = {"messages": [{"role": "user", "content": f"High water {number}?"}], **request}
    answer = json.dumps(ANSWER).encode()
    made = capture_of(number, request=json.dumps(asked).encode())
    body = msgspec.structs.replace(made.response_body, data=answer, length=len(answer))
    capture = msgspec.structs.replace(made, response_body=body)
    whole = derive(capture)
    span = msgspec.structs.replace(
        whole, understood=Understood(note="not understood"), tags={"old": "1"}, derive_version=1
    )
    return Recorded(capture, span, group_of(whole, capture), features_of(span))


def insert(store: TraceStore, *calls: Recorded) -> None:
    store.insert(calls, at(1))


def row(store: TraceStore, number: int) -> CallRow:
    found = store.get(id_of(number))
    assert found is not None
    return found.row


def features(store: TraceStore) -> dict[str, Features]:
    return {call.row.id: call.features for page in store.features("default") for call in page}


def test_a_call_of_an_older_version_is_understood_again(store: TraceStore) -> None:
    insert(store, misunderstood(1, metadata={"app": "tides"}))
    report = rederive(store, "default")
    again = row(store, 1)
    assert (again.response_model, again.finish_reason) == ("gpt-4o", "stop")
    assert (again.input_tokens, again.note, again.derive_version) == (1_000, "", DERIVE_VERSION)
    assert again.cost_usd == pytest.approx(0.0035)
    assert again.tags == {"app": "tides"}
    assert features(store)[id_of(1)].answer_words == 2
    assert (report.calls, report.changed) == (1, 1)


def test_words_that_are_in_an_index_are_those_understood_now(store: TraceStore) -> None:
    insert(store, misunderstood(1), misunderstood(2))
    with database.writing(store.engine) as connection:
        search.create(connection)
        search.add(connection, [Entry(id_of(1), "default", ["mistaken"], [])])
    rederive(store, "default")
    assert [each.id for each in store.list("default", limit=9, search="four")] == [id_of(1)]
    assert store.list("default", limit=9, search="mistaken") == []


def test_the_report_says_what_was_and_what_has_become(store: TraceStore) -> None:
    insert(store, *(misunderstood(number) for number in range(1, 6)))
    columns = rederive(store, "default").columns
    assert columns["response_model"].calls == 5
    assert [each.call_id for each in columns["note"].examples] == [id_of(1), id_of(2), id_of(3)]
    assert (columns["note"].examples[0].before, columns["note"].examples[0].after) == (
        "not understood",
        "",
    )
    assert columns["feature.answer_chars"].examples[0].after == len("At four.")
    assert columns["tags"].examples[0].before == '{"old":"1"}'
    assert "duration_ms" not in columns


def test_group_and_side_stay_as_they_were(store: TraceStore) -> None:
    strange = misunderstood(1)
    insert(store, msgspec.structs.replace(strange, group=group_of(strange.span, strange.capture)))
    before = row(store, 1)
    rederive(store, "default")
    after = row(store, 1)
    assert (after.group_id, after.group_source, after.side) == (
        *(before.group_id, before.group_source, before.side),
    )


def test_what_is_done_is_not_done_again(store: TraceStore) -> None:
    insert(store, misunderstood(1))
    rederive(store, "default")
    assert rederive(store, "default").calls == 0


def test_a_dry_run_reports_and_writes_nothing(store: TraceStore) -> None:
    insert(store, misunderstood(1))
    before = row(store, 1)
    assert rederive(store, "default", dry_run=True).changed == 1
    assert row(store, 1) == before


def test_only_calls_of_the_filter_and_project_are_read(store: TraceStore) -> None:
    insert(store, misunderstood(1), misunderstood(2))
    assert rederive(store, "other").calls == 0
    report = rederive(store, "default", f"id = '{id_of(2)}' or id = '{id_of(9)}'")
    assert (report.calls, row(store, 1).derive_version) == (1, 1)


@pytest.mark.parametrize("where", ["1 = 1) or (1 = 1", "outcm = 'x'"])
def test_a_wrong_filter_is_refused(store: TraceStore, where: str) -> None:
    with pytest.raises(FilterError):
        rederive(store, "default", where)


def test_more_calls_than_a_page_are_all_read_and_told_of(store: TraceStore) -> None:
    count = 2 * CALLS_AT_ONCE + 1
    insert(store, *(misunderstood(number) for number in range(1, count + 1)))
    told: list[tuple[int, int]] = []
    rederive(store, "default", progress=lambda done, total: told.append((done, total)))
    assert told == [(CALLS_AT_ONCE, count), (2 * CALLS_AT_ONCE, count), (count, count)]
    assert store.count("default", f"derive_version = {DERIVE_VERSION}") == count


def test_large_bodies_make_small_pages(store: TraceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES_AT_ONCE", 1)
    insert(store, misunderstood(1), misunderstood(2))
    told: list[int] = []
    rederive(store, "default", progress=lambda done, _: told.append(done))
    assert told == [1, 2]


def test_stopped_in_the_middle_it_goes_on_where_it_was(
    store: TraceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CALLS_AT_ONCE", 1)
    insert(store, misunderstood(1), misunderstood(2))

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rederive(store, "default", progress=stop)
    assert rederive(store, "default").calls == 1


def test_prices_are_reckoned_again_from_the_columns_alone(store: TraceStore) -> None:
    insert(store, misunderstood(1))
    rederive(store, "default")
    ask(store, "UPDATE call SET cost_usd = 7, price_version = 'old' WHERE 1 = 1")
    report = reprice(store, "default")
    assert row(store, 1).cost_usd == pytest.approx(0.0035)
    assert (report.calls, report.changed, report.columns["cost_usd"].calls) == (1, 1, 1)
    assert report.columns["price_version"].examples[0].before == "old"
    assert reprice(store, "default").changed == 0


def test_a_price_no_longer_known_becomes_none(store: TraceStore) -> None:
    insert(store, misunderstood(1))
    ask(store, "UPDATE call SET cost_usd = 7, price_version = 'old' WHERE 1 = 1")
    assert reprice(store, "default", dry_run=True).changed == 1
    reprice(store, "default")
    assert (row(store, 1).cost_usd, row(store, 1).price_version) == (None, "")


def test_a_span_costs_the_same_as_its_row(store: TraceStore) -> None:
    call = misunderstood(1, service_tier="flex")
    span: Span = derive(call.capture)
    counted = msgspec.structs.replace(
        span.understood, usage=Usage(9_000, 800, 500, 30, 400, 20, 10, 100), service_tier="flex"
    )
    whole = msgspec.structs.replace(span, understood=counted)
    insert(store, Recorded(call.capture, whole, call.group, call.features))
    assert row(store, 1).cost_usd is not None
    assert reprice(store, "default").changed == 0


def measured_by_version_1(number: int) -> Recorded:
    """A call that was understood as today, and measured by the first version."""
    made = misunderstood(number, tools=[{"type": "function", "function": {"name": "find"}}])
    span = derive(made.capture)
    older = msgspec.structs.replace(
        features_of(span), feature_version=1, roles="", parameters="", tools_hash="0" * 32
    )
    return Recorded(made.capture, span, made.group, older)


def test_what_an_older_version_measured_is_measured_again(store: TraceStore) -> None:
    call = measured_by_version_1(1)
    insert(store, call)
    ask(store, "DELETE FROM tool_set")
    report = rederive(store, "default", texts_from="")
    assert features(store)[id_of(1)] == features_of(call.span)
    assert report.columns["feature.roles"].calls == 1
    assert report.texts == 1
    expected = text_features_of(call.span)
    rows = ask(store, "SELECT call_id, sample_bits, prompt_terms FROM text_feature")
    assert [(*row[:2], bytes(row[2])) for row in rows] == [(id_of(1), 0, expected.prompt_terms)]
    assert [row[0][:7] for row in ask(store, "SELECT tools FROM tool_set")] == ['["find@']
    assert rederive(store, "default", texts_from="").calls == 0


def test_texts_are_measured_of_calls_that_are_young_enough(store: TraceStore) -> None:
    insert(store, *map(measured_by_version_1, (1, 2)))
    assert rederive(store, "default", dry_run=True, texts_from=id_of(2)).texts == 1
    assert rederive(store, "default", texts_from=id_of(2)).texts == 1
    assert ask(store, "SELECT call_id FROM text_feature") == [(id_of(2),)]


def test_of_a_busy_day_only_the_sample_is_measured(
    store: TraceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.text_sample.CALLS_A_DAY", 4)
    calls = [measured_by_version_1(number) for number in range(40)]
    insert(store, *calls)
    rederive(store, "default", texts_from="")
    rows = ask(store, "SELECT call_id, sample_bits FROM text_feature")
    expected = {id_of(number) for number in range(40) if sample_bits_of(id_of(number)) >= 3}
    assert {call_id for call_id, _ in rows} == expected != set()
    assert {bits for _, bits in rows} == {3}
