"""Scores and labels as rows: what is written is read, of calls that can be seen."""

import pytest

from storage.erasure import Kind, Selection
from storage.label_rows import count_waiting, known_said, read_verdicts, score_names
from storage.labels import LabelSource, Said, Status, Value
from storage.receipts import request
from storage.store import TraceStore
from tests.storage.calls import StillClock, at, id_of, recorded
from tests.storage.saying import label, said_id, score, verdict


@pytest.mark.parametrize("value", [True, False, 4.0, -0.25, "wrong\ttone"])
def test_a_score_comes_back_as_it_was_given(store: TraceStore, value: Value) -> None:
    given = score(2, 1, value, comment="naïve 日本", author="ada")
    store.insert([recorded(1)], at(1), said=[given])
    (read,) = store.scores([id_of(1)])[id_of(1)]
    assert read == given
    assert type(read.value) is type(value)


def test_scores_and_labels_come_oldest_first(store: TraceStore) -> None:
    said: list[Said] = [score(3, 1), label(5, 1), score(2, 1, 0.0), label(4, 1, "Other.")]
    store.insert([recorded(1), recorded(2)], at(1), said=said)
    assert [each.id for each in store.scores([id_of(1)])[id_of(1)]] == [said_id(2), said_id(3)]
    assert [each.id for each in store.labels([id_of(1)])[id_of(1)]] == [said_id(4), said_id(5)]
    assert store.labels([id_of(2)]) == {}


def test_the_newest_verdict_is_the_status_of_a_label(store: TraceStore) -> None:
    proposed = label(2, 1, source=LabelSource.MODEL)
    store.insert([recorded(1)], at(1), said=[proposed, label(3, 1)])
    assert [each.status for each in store.labels([id_of(1)])[id_of(1)]] == [
        Status.PROPOSED,
        Status.ACCEPTED,
    ]
    store.insert([], at(2), said=[verdict(4, 1, on=2), verdict(5, 1, 3, Status.REJECTED)])
    store.insert([], at(3), said=[verdict(6, 1, 2, Status.REJECTED), verdict(7, 1, on=2)])
    assert [each.status for each in store.labels([id_of(1)])[id_of(1)]] == [
        Status.ACCEPTED,
        Status.REJECTED,
    ]
    with store.reading() as connection:
        assert len(read_verdicts(connection, id_of(1))) == 4


def test_what_was_said_of_a_hidden_call_is_not_seen(store: TraceStore) -> None:
    store.insert([recorded(1), recorded(2)], at(1), said=[score(3, 1), score(4, 2), label(5, 1)])
    clock = StillClock()
    request(store, "default", Selection(Kind.ID, ids=(id_of(1),)), reason="", clock=clock)
    ids = [id_of(1), id_of(2)]
    assert list(store.scores(ids)) == [id_of(2)]
    assert store.labels(ids) == {}


def test_what_waits_is_counted_and_names_are_listed(store: TraceStore) -> None:
    said: list[Said] = [
        score(2, 1),
        score(3, 9, name="tone"),
        label(4, None, provider_id="chatcmpl-9"),
    ]
    store.insert([recorded(1)], at(1), said=said)
    with store.reading() as connection:
        assert count_waiting(connection) == 2
        assert score_names(connection, "default") == {"good", "tone"}
        assert score_names(connection, "other") == set()
        assert known_said(connection, [said_id(2), said_id(4), said_id(8)]) == {
            said_id(2),
            said_id(4),
        }
