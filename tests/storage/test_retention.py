"""Deleting by age, on both databases."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from storage.erasure import Kind
from storage.hour_files import HourFiles, path_of
from storage.labels import Said
from storage.retention import BODIES_ID, CALLS_ID, CHUNK_CALLS, DAY_NS, Due, Policy, Retention
from storage.rows import Recorded
from storage.store import TraceStore
from storage.store_errors import StoreUnavailable
from storage.terms import text_features_of
from tests.storage.calls import StillClock, ask, at, recorded
from tests.storage.saying import label, score

DAY_MS = DAY_NS // 1_000_000


def aged(days: int, number: int = 0) -> str:
    """The id of a call that began so many days after 1 January 2026."""
    return f"{1_767_225_600_000 + days * DAY_MS + number:012x}7000800000000000000f"


def call_of(days: int, number: int = 0) -> Recorded:
    """A call with such an id."""
    made = recorded(days * 1000 + number)
    id = aged(days, number)
    return msgspec.structs.replace(
        made,
        capture=msgspec.structs.replace(made.capture, id=id),
        span=msgspec.structs.replace(made.span, id=id),
    )


def retention(store: TraceStore, policy: Policy, days: int) -> Retention:
    clock = StillClock((1_767_225_600_000 + days * DAY_MS) * 1_000_000)
    return Retention(store, policy, clock=clock)


def run(job: Retention) -> None:
    while job.step():
        pass


def test_bodies_go_first_and_calls_after(store: TraceStore) -> None:
    store.insert([call_of(days) for days in (0, 10, 20)], at(1))
    job = retention(store, Policy(bodies_days=5, calls_days=15), 21)
    assert job.due() == Due(bodies=2, calls=1)
    run(job)
    kept = [(each.row.id, each.capture is None) for each in store.scan("default")]
    assert kept == [(aged(10), True), (aged(20), False)]
    found = store.get(aged(10))
    assert found is not None
    assert found.capture is None
    assert len(store.list("default", limit=9)) == 2
    assert sum(len(page) for page in store.features("default")) == 2
    assert (job.bodies_count, job.calls_count) == (1, 1)


def test_nothing_is_deleted_unless_an_age_is_set(store: TraceStore) -> None:
    store.insert([call_of(0)], at(1))
    job = retention(store, Policy(0, 0), 9_000)
    assert not job.step()
    assert job.due() == Due(0, 0)
    assert store.count("default") == 1


def test_it_goes_on_where_another_was_killed_and_writes_down_how_far(store: TraceStore) -> None:
    store.insert([call_of(0, number) for number in range(2 * CHUNK_CALLS)], at(1))
    policy = Policy(0, 5)
    assert retention(store, policy, 9).step()
    assert store.count("default") == CHUNK_CALLS
    run(retention(store, policy, 9))
    assert store.count("default") == 0
    rows = ask(store, "SELECT id, kind, call_count, deleted_at IS NULL FROM erasure")
    assert [tuple(row[:3]) for row in rows] == [(CALLS_ID, Kind.RETENTION, 2 * CHUNK_CALLS)]
    assert not rows[0][3]


def test_calls_that_are_younger_keep_bodies_that_were_written_against_older(
    store: TraceStore,
) -> None:
    calls = one_conversation([call_of(days) for days in range(4)])
    store.insert(calls, at(1))
    assert ask(store, "SELECT count(*) FROM body WHERE base_id IS NOT NULL") > [(0,)]
    run(retention(store, Policy(bodies_days=2, calls_days=0), 4))
    left = [each.capture for each in store.scan("default")]
    assert left == [None, None, calls[2].capture, calls[3].capture]
    assert ask(store, f"SELECT bodies_only FROM erasure WHERE id = '{BODIES_ID}'") == [(1,)]


def one_conversation(calls: Sequence[Recorded]) -> list[Recorded]:
    """Let calls be of one group and say the same, so that they are encoded against another."""
    history = b'{"messages": "%s"}' % (b"a long history that is sent again with each turn " * 40)
    return [
        msgspec.structs.replace(
            each,
            group=calls[0].group,
            capture=msgspec.structs.replace(
                each.capture,
                request_body=msgspec.structs.replace(
                    each.capture.request_body, data=history, length=len(history)
                ),
            ),
        )
        for each in calls
    ]


def test_what_is_encoded_against_a_call_goes_with_it_if_it_is_as_old(store: TraceStore) -> None:
    others = [call_of(0, number) for number in range(1, CHUNK_CALLS + 50)]
    turns = one_conversation([call_of(0), call_of(1), call_of(2), call_of(7)])
    store.insert([*others, *turns], at(1))
    assert retention(store, Policy(0, 5), 9).step()
    left = {each.row.id: each.capture for each in store.scan("default")}
    assert len(left) == 53
    assert [each.span.id in left for each in turns] == [False, False, False, True]
    assert left[turns[3].span.id] == turns[3].capture


def test_an_empty_week_of_postgres_goes(store: TraceStore) -> None:
    store.insert([call_of(0), call_of(30)], at(1))
    if store.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no partitions")
    weeks = "SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass('call')"
    before = ask(store, weeks)
    run(retention(store, Policy(0, 20), 31))
    assert ask(store, weeks)[0][0] < before[0][0]
    with pytest.raises(StoreUnavailable):  # the recorder tries again
        store.insert([call_of(1)], at(2))
    store.insert([call_of(1)], at(2))  # what comes late makes the week again
    assert [row.id for row in store.list("default", limit=9)] == [aged(30), aged(1)]


def test_what_was_said_goes_with_its_call_or_after_a_week_without_one(store: TraceStore) -> None:
    texts: list[Said] = [score(1, comment="rude", call_id=aged(0)), label(2, call_id=aged(0))]
    kept = score(3, call_id=aged(20))
    lost = score(4, session_id="nobody's", created_at=time_of(aged(13)))
    young = score(5, None, 0.5, session_id="nobody's", created_at=time_of(aged(15)))
    store.insert([call_of(0), call_of(20)], at(1), said=[*texts, kept, lost, young])
    job = retention(store, Policy(bodies_days=5, calls_days=0), 21)
    run(job)
    assert job.expired_count == 1
    assert ask(store, "SELECT comment FROM score ORDER BY id") == [("",)] * 3
    assert ask(store, "SELECT count(*) FROM label") == [(0,)]
    run(retention(store, Policy(bodies_days=0, calls_days=10), 21))
    assert list(store.scores([aged(0), aged(20)])) == [aged(20)]
    assert ask(store, "SELECT count(*) FROM score") == [(2,)]


def time_of(call_id: str) -> datetime:
    return datetime.fromtimestamp(int(call_id[:12], 16) / 1000, UTC)


def test_hashed_words_have_an_age_of_their_own(store: TraceStore) -> None:
    def sampled(days: int) -> Recorded:
        made = call_of(days)
        return msgspec.structs.replace(made, texts=text_features_of(made.span))

    store.insert([sampled(days) for days in (0, 10, 20)], at(1))
    job = retention(store, Policy(0, 0, terms_days=5), 21)
    run(job)
    assert ask(store, "SELECT call_id FROM text_feature") == [(aged(20),)]
    assert job.terms_count == 2
    run(retention(store, Policy(0, 0, terms_days=0), 21))
    assert ask(store, "SELECT count(*) FROM text_feature") == [(0,)]
    assert len(list(store.scan("default"))) == 3


@pytest.mark.parametrize(
    ("policy", "left"),
    [
        (Policy(0, 0, 8), {"young", "young terms", "old"}),
        (Policy(3, 0, 8), {"young", "old"}),
        (Policy(0, 15, 8), {"young", "young terms"}),
    ],
)
def test_files_made_of_calls_and_of_words_go_by_their_age(
    sqlite_store: TraceStore, tmp_path: Path, policy: Policy, left: set[str]
) -> None:
    (tmp_path / "key").mkdir()
    paths = {}
    for name, days in (("young", 16), ("young terms", 15), ("old", 2), ("old terms", 1)):
        hour = (1_767_225_600_000 + days * DAY_MS) // 3_600_000
        paths[name] = path_of(tmp_path / "key", hour, 1, has_terms=name.endswith("terms"))
        paths[name].write_bytes(b"")
    clock = StillClock((1_767_225_600_000 + 20 * DAY_MS) * 1_000_000)
    run(Retention(sqlite_store, policy, clock=clock, hours=HourFiles(tmp_path)))
    assert {name for name, path in paths.items() if path.exists()} == left
