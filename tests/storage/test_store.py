"""What is stored is stored once, with its checkpoint, or not at all."""

import json
import multiprocessing
import sqlite3
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import msgspec
import pytest

from storage.capture import DropReason
from storage.counters import Tally
from storage.database import RowRejected, StoreUnavailable
from storage.grouping import Group
from storage.rows import Checkpoint, DatasetItem, Recorded
from storage.store import TraceStore
from storage.trace import Side, Tool
from tests.postgres import wait_until
from tests.storage.calls import WRITER, StillClock, ask, at, id_of, recorded, url_of

CHECKOUT = Path(__file__).parents[2]
KILLS = 3


def test_a_call_comes_back_as_it_was(store: TraceStore) -> None:
    call = recorded(1, tags={"task": "intent", "b": "ü"}, session_id="s1")
    store.insert([call], at(100))
    found = store.get(call.span.id)
    assert found is not None
    assert found.capture == call.capture
    assert found.row.tags == {"b": "ü", "task": "intent"}
    assert (found.row.group_id, found.row.group_source) == ("s1", "session")


def test_a_replay_inserts_nothing_twice(store: TraceStore) -> None:
    batch = [recorded(number, tags={"n": str(number)}) for number in range(10)]
    assert store.insert(batch[:7], at(70)) == 7
    assert store.insert(batch, at(100)) == 3
    assert store.insert(batch, at(100)) == 0
    assert store.count("default") == 10
    assert store.writers()[WRITER].stored == 10


def test_the_same_call_twice_in_a_batch_is_stored_once(store: TraceStore) -> None:
    assert store.insert([recorded(1), recorded(1)], at(100)) == 1


def test_the_checkpoint_moves_without_calls_too(store: TraceStore) -> None:
    store.insert([], Checkpoint(WRITER, 3, 500, '{"a": 1}'), poisoned=2)
    known = store.writers()[WRITER]
    assert known.checkpoint == Checkpoint(WRITER, 3, 500, '{"a": 1}')
    assert (known.stored, known.poisoned) == (0, 2)


def test_a_refused_row_stores_nothing_and_moves_no_checkpoint(store: TraceStore) -> None:
    store.insert([recorded(1)], at(100))
    good, poisonous = recorded(2), poison(3)
    with pytest.raises(RowRejected):
        store.insert([good, poisonous], at(300))
    assert store.count("default") == 1
    assert store.checkpoints()[WRITER].offset == 100
    assert store.insert([good], at(200)) == 1


def test_a_locked_database_is_unavailable_and_nothing_is_wrong_with_the_row(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    store = sqlite_store
    impatient = TraceStore(f"{url_of(tmp_path)}?timeout=0", clock=StillClock())
    holder = sqlite3.connect(tmp_path / "shalt.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreUnavailable, match="locked"):
            impatient.insert([recorded(1)], at(100))
    finally:
        holder.close()
        impatient.close()
    assert store.insert([recorded(1)], at(100)) == 1


def test_a_reader_sees_whole_batches_while_one_is_written(store: TraceStore) -> None:
    store.insert([], at(0))
    batches = [[recorded(10 * b + n) for n in range(10)] for b in range(30)]
    writer = threading.Thread(target=lambda: [store.insert(each, at(1)) for each in batches])
    writer.start()
    counts: list[int] = []
    while writer.is_alive():
        counts.append(store.count("default"))
    writer.join()
    assert store.count("default") == 300
    assert counts == sorted(counts)
    assert all(count % 10 == 0 for count in counts)


def test_a_kill_leaves_rows_and_checkpoint_in_agreement(store: TraceStore, store_url: str) -> None:
    for _ in range(KILLS):
        before = store.count("default")
        child = subprocess.Popen(
            [sys.executable, "-c", INSERT_FOR_EVER, store_url],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        for _ in range(7):
            child.stdout.readline()  # one line a batch: it is in the middle of the next one
        child.kill()
        child.wait()
        child.stdout.close()
        wait_until(partial(is_settled, store))  # PostgreSQL ends what it had begun
        assert store.count("default") >= before + 7 * 20
    if store_url.startswith("sqlite"):
        assert ask(store, "PRAGMA integrity_check") == [("ok",)]
    for table in ("body", "tag"):
        assert ask(store, f"SELECT count(*) FROM {table}") == [(store.count("default"),)]


def is_settled(store: TraceStore) -> bool:
    with store.snapshot() as snapshot:
        totals, checkpoints = snapshot.ledger_totals(), snapshot.checkpoints()
        assert snapshot.count("default") == totals.stored == checkpoints[WRITER].offset
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND xact_start"
    return "sqlite" in str(store._engine.url) or not ask(store, waiting + " < now()")


def test_several_hosts_that_store_the_same_calls_store_each_once(
    store: TraceStore, store_url: str
) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        new = pool.starmap(store_hundreds, [(store_url, f"{host}" * 32) for host in range(3)])
    assert sum(new) == 600 == store.count("default") == store.ledger_totals().stored
    for table in ("body", "tag"):
        assert ask(store, f"SELECT count(*) FROM {table}") == [(600,)]


def store_hundreds(url: str, writer: str) -> int:
    """Store 600 calls, each writer in batches of its own size; return how many were new."""
    host = TraceStore(url, clock=StillClock())
    calls = [recorded(number, f"Question {number % 50}?", tags={"n": "1"}) for number in range(600)]
    size = 20 + int(writer[0])
    batches = [calls[start : start + size] for start in range(0, 600, size)]
    new = sum(host.insert(batch, Checkpoint(writer, 1, n)) for n, batch in enumerate(batches))
    host.close()
    return new


def test_a_commit_that_was_not_heard_of_counts_its_poison_once(store: TraceStore) -> None:
    for _ in range(2):
        store.insert([recorded(1)], at(100), poisoned=2)
    assert (store.writers()[WRITER].stored, store.writers()[WRITER].poisoned) == (1, 2)
    store.insert([], at(200), poisoned=1)
    assert store.writers()[WRITER].poisoned == 3


def test_a_changed_policy_leaves_reserved_groups_where_they_are(store: TraceStore) -> None:
    store.insert([recorded(number) for number in range(100)], at(100))
    before = {row.group_id: row.side for row in store.list("default", limit=100)}
    changed = store.change_policy("default", 0.9, 0.05)
    assert changed.version == 2
    store.insert([recorded(200 + n, text=f"Question {n}?") for n in range(100)], at(200))
    store.insert([recorded(400 + n, text=f"New question {n}?") for n in range(100)], at(300))
    rows = store.list("default", limit=300)
    assert {row.group_id: row.side for row in rows if row.group_id in before} == before
    new_sides = [row.side for row in rows if row.group_id not in before]
    assert new_sides.count(Side.TEST) > 75


def test_projects_have_policies_and_groups_of_their_own(store: TraceStore) -> None:
    store.insert([recorded(1, "Hello"), recorded(2, "Hello", project="other")], at(100))
    mine, other = store.policy("default"), store.policy("other")
    assert mine is not None
    assert other is not None
    assert mine.salt != other.salt
    assert store.count("other") == 1
    assert store.get(id_of(1), "other") is None


def test_a_published_dataset_is_remembered_call_by_call(store: TraceStore) -> None:
    items = [DatasetItem(id_of(number), f"g{number}", Side.TRAIN) for number in range(12_000)]
    dataset_id = store.record_dataset("default", "/tmp/d", "0" * 64, iter(items))
    found = ask(store, "SELECT dataset_id, count(*) FROM dataset_item GROUP BY 1")
    assert found == [(dataset_id, 12_000)]


def test_a_closed_writer_counts_in_the_totals(store: TraceStore) -> None:
    store.insert([recorded(1)], at(100), poisoned=1)
    tally = Tally(5, 2, 1, 0, {DropReason.WORKER_DIED: 2})
    store.close_writer(WRITER, tally)
    store.close_writer(WRITER, tally)
    totals = store.ledger_totals()
    assert (totals.stored, totals.poisoned, totals.closed.accepted) == (1, 1, 5)
    assert totals.closed.dropped[DropReason.WORKER_DIED] == 2


def test_a_writer_that_never_stored_a_call_can_be_closed(store: TraceStore) -> None:
    store.close_writer(WRITER, Tally(3, 0, 0, 0, {DropReason.SPOOL_FULL: 3}))
    assert store.ledger_totals().closed.accepted == 3
    assert store.writers()[WRITER].closed_at is not None


def poison(number: int) -> Recorded:
    """A call that SQLite cannot take: a number beyond 64 bits."""
    call = recorded(number)
    span = msgspec.structs.replace(call.span, status_code=2**70)
    return Recorded(call.capture, span, Group(id_of(number), "root"), call.features)


INSERT_FOR_EVER = """
import sys
from storage.store import TraceStore
from tests.postgres import wait_until
from tests.storage.calls import StillClock, at, recorded
store = TraceStore(sys.argv[1], clock=StillClock())
number = store.count("default")
while True:
    batch = [recorded(number + n, tags={"n": str(n)}) for n in range(20)]
    number += 20
    assert store.insert(batch, at(number)) == 20
    print(number, flush=True)
"""


def test_a_set_of_tools_is_written_down_once_with_the_hash_of_each(store: TraceStore) -> None:
    sets = [(Tool("find"), Tool("stop")), (Tool("stop"), Tool("find")), (), (Tool("stop"),)]
    for number, tools in enumerate(sets):
        store.insert([recorded(number, tools=tools)], at(number + 1))
    rows = ask(store, "SELECT tools_hash, tools FROM tool_set")
    listed = sorted([each.partition("@")[0] for each in json.loads(tools)] for _, tools in rows)
    assert listed == [["find", "stop"], ["stop"]]
    offered = {hash for (hash,) in ask(store, "SELECT tools_hash FROM call") if hash}
    assert offered == {hash for hash, _ in rows}


def test_text_features_are_stored_as_they_were_measured(store: TraceStore) -> None:
    calls = [recorded(number, f"Frage {number}, eins zwei", sampled=True) for number in (1, 2)]
    store.insert([*calls, recorded(3)], at(1))
    rows = ask(store, "SELECT * FROM text_feature ORDER BY call_id")
    found = [(row[0], *map(_plain, row[1:])) for row in rows]
    texts = [(each.span.id, each.texts) for each in calls if each.texts is not None]
    assert found == [(id, *msgspec.structs.astuple(measured)) for id, measured in texts]
    assert [len(measured.prompt_terms) for _, measured in texts] == [4 * 7, 4 * 7]


def _plain(value: object) -> object:
    return bytes(value) if isinstance(value, memoryview) else value
