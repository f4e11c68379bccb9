"""Erasing, from the request to the last byte, on both databases; with a spool and without."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from storage import database
from storage.eraser import Eraser
from storage.erasure import Kind, Selection
from storage.feed import Undigested
from storage.hour_files import HourFiles, path_of
from storage.labels import Said
from storage.poison import PoisonDirectory, undigested
from storage.receipts import Receipt, receipt, request
from storage.replay import kind_of
from storage.rows import Checkpoint, DatasetItem, Recorded
from storage.spool import FrameKind, SpoolLimits, SpoolWriter
from storage.store import ErasedMeanwhile, TraceStore
from storage.trace import Tool
from tests.postgres import TEMPLATE, Server
from tests.storage.calls import START_NS, WRITER, StillClock, ask, at, id_of, new_store, recorded
from tests.storage.planted import find_planted
from tests.storage.saying import label, score

LATER_NS = START_NS + 10**15
PLANTED = "a-secret-nobody-else-said"
SAID = PLANTED.encode()


@dataclass
class Desk:
    """A store, a data directory, and the eraser of both."""

    store: TraceStore
    directory: Path
    clock: StillClock

    def __post_init__(self) -> None:
        self.spool = self.directory / "spool"
        self.poison = self.directory / "poison"
        self.spool.mkdir()
        self.poison.mkdir()
        self.eraser = self.new_eraser()

    def new_eraser(self) -> Eraser:
        return Eraser(self.store, spool=self.spool, poison=self.poison, clock=self.clock)

    def ask_for(self, selection: Selection) -> str:
        made = request(self.store, "default", selection, reason="", clock=self.clock)
        return made.id

    def receipt(self, erasure_id: str) -> Receipt:
        found = receipt(self.store, erasure_id)
        assert found is not None
        return found

    def delete(self, erasure_id: str) -> Receipt:
        """Step until rows and frames are gone; the process that overwrites pages is not started."""
        self.step_until(lambda: self.is_deleted(erasure_id) and not self.eraser._waiting)
        return self.receipt(erasure_id)

    def is_deleted(self, erasure_id: str) -> bool:
        return self.receipt(erasure_id).deleted_at is not None

    def run(self, erasure_id: str) -> Receipt:
        """Step until all of it is done."""
        self.step_until(lambda: self.receipt(erasure_id).scrubbed_at is not None)
        return self.receipt(erasure_id)

    def step_until(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until, "it was not done in time"
            if not self.eraser.step():
                time.sleep(0.02)


@pytest.fixture
def desk(store: TraceStore, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(store, tmp_path, StillClock(LATER_NS))
    yield made
    made.eraser.close()


@pytest.fixture
def sqlite_desk(sqlite_store: TraceStore, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(sqlite_store, tmp_path, StillClock(LATER_NS))
    yield made
    made.eraser.close()


def of_user(number: int, user: str, **options: Any) -> Recorded:
    call = recorded(number, **options)
    return msgspec.structs.replace(call, span=msgspec.structs.replace(call.span, user_id=user))


SELECTIONS = [
    Selection(Kind.ID, ids=(id_of(1), id_of(3))),
    Selection(Kind.USER, value="alice"),
    Selection(Kind.SESSION, value="s1"),
    Selection(Kind.TAG, key="who", value="alice"),
    Selection(Kind.TIME, since=START_NS // 1000 + 1_000_000, until=START_NS // 1000 + 4_000_000),
    Selection(Kind.WHERE, value="user_id = 'alice' or finish_reason = 'never'"),
]


def fill(store: TraceStore) -> None:
    """Calls 1 and 3 are alice's; 2 lies between them only where time is what selects."""
    alice: dict[str, Any] = {"session_id": "s1", "tags": {"who": "alice"}}
    calls = [of_user(0, "bob"), of_user(1, "alice", **alice), of_user(3, "alice", **alice)]
    store.insert([*calls, of_user(9, "")], at(1))


@pytest.mark.parametrize("selection", SELECTIONS, ids=lambda each: each.kind)
def test_what_is_asked_for_is_hidden_at_once_and_then_gone(
    desk: Desk, selection: Selection
) -> None:
    fill(desk.store)
    erasure_id = desk.ask_for(selection)
    for _ in range(2):  # hidden, and then deleted
        assert [row.id for row in desk.store.list("default", limit=9)] == [id_of(9), id_of(0)]
        assert desk.store.get(id_of(1)) is None
        assert desk.store.count("default") == 2
        assert [each.row.id for each in desk.store.scan("default")] == [id_of(0), id_of(9)]
        assert sum(len(page) for page in desk.store.features("default")) == 2
        assert sum(side.calls for side in desk.store.sides("default").values()) == 2
        done = desk.delete(erasure_id)
    assert (done.calls, done.deleted_at is not None) == (2, True)
    for table in ("call", "body"):
        assert ask(desk.store, f"SELECT count(*) FROM {table}") == [(2,)]
    assert ask(desk.store, "SELECT count(*) FROM tag") == [(0,)]


def test_the_ledger_still_counts_erased_calls_as_stored(desk: Desk) -> None:
    fill(desk.store)
    desk.delete(desk.ask_for(SELECTIONS[1]))
    assert desk.store.ledger_totals().stored == 4


def test_a_filter_that_is_null_for_a_call_does_not_hide_it(desk: Desk) -> None:
    fill(desk.store)
    desk.ask_for(Selection(Kind.WHERE, value="tags['who'] = 'alice'"))
    assert desk.store.count("default") == 2


def test_a_call_that_began_before_is_refused_when_it_comes_and_one_after_is_not(desk: Desk) -> None:
    fill(desk.store)
    erasure_id = desk.ask_for(Selection(Kind.USER, value="alice"))
    desk.run(erasure_id)
    late = msgspec.structs.replace(of_user(20, "alice"))
    span = msgspec.structs.replace(of_user(21, "alice").span, started_at_ns=LATER_NS + 1_000_000)
    returned = msgspec.structs.replace(of_user(21, "alice"), span=span)
    desk.store.insert([late, returned], at(2))
    assert [row.id for row in desk.store.list("default", limit=2)] == [id_of(21), id_of(9)]
    assert desk.store.ledger_totals().stored == 6
    assert desk.receipt(erasure_id).scrubbed_at is None  # the spool still has its bytes
    assert desk.run(erasure_id).calls == 3


def test_an_erased_id_is_refused_for_ever_and_a_replay_counts_it_once(desk: Desk) -> None:
    fill(desk.store)
    desk.delete(desk.ask_for(SELECTIONS[0]))
    for _ in range(2):
        desk.store.insert([of_user(1, "alice")], at(7))
    assert desk.store.get(id_of(1)) is None
    assert desk.store.ledger_totals().stored == 5


def test_a_killed_eraser_leaves_the_rest_to_the_next(desk: Desk) -> None:
    desk.store.insert([of_user(number, "alice") for number in range(450)], at(1))
    erasure_id = desk.ask_for(Selection(Kind.USER, value="alice"))
    desk.eraser.step()
    part = desk.receipt(erasure_id).calls
    assert 0 < part < 450
    desk.eraser = desk.new_eraser()
    assert desk.run(erasure_id).calls == 450


def test_the_receipt_names_datasets_and_no_person(desk: Desk) -> None:
    fill(desk.store)
    rows = desk.store.rows([id_of(number) for number in (1, 3, 9)])
    items = [DatasetItem(row.id, row.group_id, row.side) for row in rows]
    dataset_id = desk.store.record_dataset("default", "/exports/one", "0" * 64, items)
    done = desk.delete(desk.ask_for(Selection(Kind.TAG, key="who", value="alice")))
    assert [(each.id, each.directory, each.calls) for each in done.datasets] == [
        (dataset_id, "/exports/one", 2)
    ]
    assert done.selector.hashed
    assert "alice" not in str(ask(desk.store, "SELECT * FROM erasure"))


def test_a_group_named_by_a_person_loses_its_name_and_keeps_its_side(desk: Desk) -> None:
    fill(desk.store)
    row = desk.store.list("default", "session_id = 's1'", limit=1)[0]
    desk.store.record_dataset("default", "/x", "0" * 64, [DatasetItem(row.id, "s1", row.side)])
    desk.delete(desk.ask_for(Selection(Kind.SESSION, value="s1")))
    for table in ("reservation", "dataset_item"):
        assert "s1" not in {name for (name,) in ask(desk.store, f"SELECT group_id FROM {table}")}
    before = ask(desk.store, "SELECT count(*) FROM reservation")
    desk.store.change_policy("default", 0.98, 0.01)
    after = msgspec.structs.replace(
        recorded(30, session_id="s1").span, started_at_ns=LATER_NS + 10**9
    )
    desk.store.insert([msgspec.structs.replace(recorded(30, session_id="s1"), span=after)], at(3))
    returned = desk.store.get(id_of(30))
    assert returned is not None
    assert (returned.row.side, returned.row.group_id) == (row.side, "s1")
    assert ask(desk.store, "SELECT count(*) FROM reservation") == before


def test_a_dataset_that_was_being_made_is_not_published(desk: Desk) -> None:
    fill(desk.store)
    (row,) = desk.store.rows([id_of(1)])
    items = [DatasetItem(row.id, row.group_id, row.side)]
    erasure_id = desk.ask_for(SELECTIONS[1])
    for _ in range(2):
        with pytest.raises(ErasedMeanwhile):
            desk.store.record_dataset("default", "/exports/one", "0" * 64, items)
        with pytest.raises(ErasedMeanwhile):  # no row, but in a list or a sample
            desk.store.record_dataset("default", "/exports/one", "0" * 64, (), [row.id])
        desk.delete(erasure_id)
    assert ask(desk.store, "SELECT count(*) FROM dataset") == [(0,)]


def test_frames_of_erased_calls_are_blanked_once_the_recorder_has_passed_them(desk: Desk) -> None:
    writer = SpoolWriter(desk.spool, limits=SpoolLimits(), clock=desk.clock)
    calls = [secret_call(1), recorded(2)]
    for call in calls:
        writer.append(FrameKind.CALL, call.capture)
    writer.flush()
    (segment,) = writer.directory.glob("*.segment")
    fill_at(desk.store, [secret_call(1)], Checkpoint(writer.id, 1, 12))
    erasure_id = desk.ask_for(Selection(Kind.ID, ids=(id_of(1),)))
    desk.step_until(lambda: desk.is_deleted(erasure_id))
    assert not desk.eraser.step()  # the recorder has not read what is there
    assert SAID in segment.read_bytes()
    fill_at(desk.store, [recorded(2)], Checkpoint(writer.id, 1, segment.stat().st_size))
    desk.delete(erasure_id)
    assert SAID not in segment.read_bytes()
    assert b'"answer": "2"' in segment.read_bytes()
    writer.close()


def test_what_was_said_of_erased_calls_goes_with_them(desk: Desk) -> None:
    writer = SpoolWriter(desk.spool, limits=SpoolLimits(), clock=desk.clock)
    said: list[Said] = [
        score(2, 1, comment=PLANTED),
        label(3, 1, PLANTED),
        score(4, session_id="s1", value=PLANTED),  # of call 3 when that is here
        score(5, 9, comment="kept"),
        score(6, session_id="s2", comment="kept"),
    ]
    for each in said:
        writer.append(kind_of(each), each)
    writer.flush()
    (segment,) = writer.directory.glob("*.segment")
    desk.store.insert([], Checkpoint(writer.id, 1, segment.stat().st_size), said=said)
    fill(desk.store)
    desk.delete(desk.ask_for(Selection(Kind.SESSION, value="s1")))
    assert SAID not in segment.read_bytes()
    assert segment.read_bytes().count(b"kept") == 2
    texts = ask(desk.store, "SELECT comment FROM score UNION ALL SELECT message FROM label")
    assert texts == [("kept",), ("kept",)]
    desk.store.insert([], at(2), said=[said[2], msgspec.structs.replace(said[0], id="7" * 32)])
    assert ask(desk.store, "SELECT count(*) FROM score") == [(2,)]
    writer.close()


def test_poison_of_erased_calls_is_deleted_understood_or_not(desk: Desk) -> None:
    poison = PoisonDirectory(desk.poison)
    said = [of_user(1, PLANTED), recorded(4)]
    unreadable = [Undigested("", [(FrameKind.CALL, b"..." + text)], "") for text in (SAID, b"")]
    unreadable.append(undigested(score(2, 1), ValueError()))
    for call in (*(undigested(each.capture, ValueError()) for each in said), *unreadable):
        poison.put(call, WRITER, desk.clock)
    desk.delete(desk.ask_for(Selection(Kind.ID, ids=(id_of(1),))))
    desk.delete(desk.ask_for(Selection(Kind.USER, value=PLANTED)))
    left = [known.call_id for known in poison.list()]
    assert left[0] == id_of(4)
    assert len(left) == 2


def test_no_byte_of_an_erased_call_is_left_in_the_file(sqlite_desk: Desk) -> None:
    store, directory = sqlite_desk.store, sqlite_desk.directory
    for first in range(0, 2_000, 200):
        store.insert([one_of_many(first + number) for number in range(200)], at(first + 1))
    assert find_planted(directory.glob("shalt.sqlite*"), [SAID])
    sqlite_desk.run(sqlite_desk.ask_for(Selection(Kind.USER, value=PLANTED)))
    assert find_planted(directory.glob("shalt.sqlite*"), [SAID]) == []
    assert ask(store, "PRAGMA integrity_check") == [("ok",)]


def test_what_the_planner_has_sampled_of_an_erased_call_goes_too(
    postgres: Server, tmp_path: Path
) -> None:
    url = postgres.url(postgres.create(TEMPLATE))
    store = new_store(url)
    desk = Desk(store, tmp_path, StillClock(LATER_NS))
    store.insert([one_of_many(number) for number in range(200)], at(1))
    with database.writing(store.engine) as connection:
        connection.exec_driver_sql("ANALYZE")
    assert find_planted(planner_files(store, postgres), [SAID])
    desk.run(desk.ask_for(Selection(Kind.USER, value=PLANTED)))
    assert find_planted(planner_files(store, postgres), [SAID]) == []
    assert ask(store, "SELECT count(*) FROM pg_stats WHERE attname = 'user_id'") > [(0,)]
    store.close()
    postgres.drop(url)


def planner_files(store: TraceStore, server: Server) -> list[Path]:
    """Say where PostgreSQL keeps what it has sampled, written back to the files."""
    with database.writing(store.engine) as connection:
        connection.exec_driver_sql("CHECKPOINT")
        query = (
            "SELECT pg_relation_filepath(oid), pg_relation_filepath(reltoastrelid)"
            " FROM pg_class WHERE relname = 'pg_statistic'"
        )
        names = connection.exec_driver_sql(query).one()
    return [server.directory / "data" / name for name in names]


def test_a_reader_in_the_log_delays_the_end_and_loses_nothing(sqlite_desk: Desk) -> None:
    store = sqlite_desk.store
    fill(store)
    with store.snapshot() as reader:
        assert reader.count("default") == 4
        erasure_id = sqlite_desk.ask_for(SELECTIONS[1])
        sqlite_desk.step_until(lambda: sqlite_desk.eraser._scrub is not None)
        assert reader.count("default") == 4
        assert sqlite_desk.receipt(erasure_id).scrubbed_at is None
    assert sqlite_desk.run(erasure_id).scrubbed_at is not None


def one_of_many(number: int) -> Recorded:
    """Every fortieth call is of the one who is to be forgotten."""
    user = f"user-{number % 97}" if number % 40 else PLANTED
    return of_user(number, user, request=b'{"said": "%s, %d"}' % (user.encode(), number))


def secret_call(number: int) -> Recorded:
    return recorded(number, request=f'{{"said": "{PLANTED}"}}'.encode())


def fill_at(store: TraceStore, batch: list[Recorded], checkpoint: Checkpoint) -> None:
    store.insert(batch, checkpoint)


def test_no_hash_of_a_word_and_no_name_of_a_tool_of_an_erased_call_is_left(
    sqlite_desk: Desk,
) -> None:
    store, directory = sqlite_desk.store, sqlite_desk.directory
    kept = [recorded(number, tools=(Tool("kept"),), sampled=True) for number in range(2, 300)]
    secret = of_user(1, PLANTED, text="zyxa qwvb", tools=(Tool(PLANTED),), sampled=True)
    assert secret.texts is not None
    hashes = secret.texts.prompt_terms
    store.insert([secret, *kept], at(1))
    assert len(find_planted(directory.glob("shalt.sqlite*"), [hashes, SAID])) > 1
    sqlite_desk.run(sqlite_desk.ask_for(Selection(Kind.USER, value=PLANTED)))
    assert find_planted(directory.glob("shalt.sqlite*"), [hashes, SAID]) == []
    assert ask(store, "SELECT count(*) FROM tool_set") == [(1,)]


def test_files_made_of_the_hour_of_a_call_go_with_it(store: TraceStore, tmp_path: Path) -> None:
    desk = Desk(store, tmp_path, StillClock(LATER_NS))
    store.insert([recorded(1), recorded(2)], at(1))
    hours = tmp_path / "hours"
    (hours / "key").mkdir(parents=True)
    hour = START_NS // 3_600_000_000_000
    there = [path_of(hours / "key", each, 1, has_terms=True) for each in (hour, hour + 9)]
    for path in there:
        path.write_bytes(b"")
    desk.eraser = Eraser(
        store, spool=desk.spool, poison=desk.poison, clock=desk.clock, hours=HourFiles(hours)
    )
    desk.delete(desk.ask_for(Selection(Kind.ID, ids=(id_of(1),))))
    assert [path.exists() for path in there] == [False, True]
