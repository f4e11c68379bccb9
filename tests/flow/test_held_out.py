"""Whatever happens in whatever order, nothing that was trained on is ever tested with.

A model test: calls come in, some of them before what they continue; ratios change, test is topped
up, targeted sets are made, sessions are erased and come back, and exports read one state of the
store and publish another, later one.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from storage import database
from storage.deletion import delete_calls
from storage.departures import ChangedMeanwhile
from storage.ratios import change_ratios, top_up
from storage.rows import CallRow, DatasetItem, time_of
from storage.sides import TRAINED
from storage.store import TraceStore
from storage.targeted import TestSetError, create_test_set
from storage.trace import Apart, Side
from tests.storage.calls import START_NS, StillClock, at, new_store, recorded, url_of
from tests.stores import lay_salt

CLOCK = StillClock()
SESSIONS = st.sampled_from([f"s{number}" for number in range(12)])
RATIOS = st.sampled_from([0.0, 0.1, 0.25, 0.4, 0.6])
MANY = 100_000
MEMORY = Path("/dev/shm")  # for a thousand commits that nobody needs on a disk


@dataclass(frozen=True)
class Range:
    """A time hold-out, half-open."""

    start: datetime | None
    end: datetime | None


class Held(RuleBasedStateMachine):
    """A store, what has ever left of it for training, and an export that is on its way."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        shutil.copyfile(self.template, self.directory / "shalt.sqlite")
        self.store = TraceStore(url_of(self.directory), clock=CLOCK)
        self.number = 0
        self.sets = 0
        self.waiting: list[tuple[int, str]] = []  # calls that are yet to be stored, their sessions
        self.trained_ids: set[str] = set()
        self.trained_groups: set[str] = set()
        self.apart_ids: set[str] = set()
        self.tested_ids: set[str] = set()
        self.pending: list[DatasetItem] | None = None

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)

    def rows(self, where: str | None = None) -> Sequence[CallRow]:
        return self.store.list("default", where, limit=MANY)

    @initialize(salt=st.integers(0, 7))
    def begin(self, salt: int) -> None:
        """Take one of some salts: with a random one no failure could be made again."""
        lay_salt(self.store.engine, f"{salt:032x}", test_ratio=0.2, val_ratio=0.1)
        self.ingest([f"s{number}" for number in range(6)])

    @rule(sessions=st.lists(SESSIONS, min_size=1, max_size=4))
    def ingest(self, sessions: list[str]) -> None:
        batch = []
        for session in sessions:
            self.number += 1
            batch.append(recorded(self.number, session_id=session))
        self.store.insert(batch, at(self.number))

    @rule(session=SESSIONS)
    def answer_late(self, session: str) -> None:
        """Store a call that continues another, which is not there yet."""
        parent, child = self.number + 1, self.number + 2
        self.number = child
        call = recorded(child, provider_id=f"r{child}", previous_id=f"r{parent}")
        self.store.insert([call], at(child))
        self.waiting.append((parent, session))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def store_what_was_continued(self, data: st.DataObject) -> None:
        parent, session = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        self.store_call(parent, session)

    def store_call(self, parent: int, session: str) -> None:
        call = recorded(parent, session_id=session, provider_id=f"r{parent}")
        self.store.insert([call], at(self.number, segment=2))

    @rule(test=RATIOS, val=st.sampled_from([0.0, 0.1, 0.3]))
    def change(self, test: float, val: float) -> None:
        change_ratios(self.store, "default", test, val, clock=CLOCK)

    @rule(groups=st.integers(1, 6))
    def reserve(self, groups: int) -> None:
        top_up(self.store, "default", groups, clock=CLOCK)

    @rule(session=SESSIONS)
    def choose(self, session: str) -> None:
        self.sets += 1
        where = f"session_id = '{session}'"
        try:
            create_test_set(self.store, "default", f"set{self.sets}", where, clock=CLOCK)
        except TestSetError:
            return
        self.apart_ids.update(self.store.test_set_calls("default", f"set{self.sets}"))

    @rule(session=SESSIONS)
    def erase(self, session: str) -> None:
        ids = [row.id for row in self.rows(f"session_id = '{session}'")]
        with database.writing(self.store.engine) as connection:
            delete_calls(connection, ids)

    @rule(sessions=st.sets(SESSIONS), holdout=st.booleans())
    def read_for_an_export(self, sessions: set[str], holdout: bool) -> None:
        """Decide what leaves, as an export does: filters are for train and val alone."""
        middle = time_of(START_NS // 1000) + timedelta(seconds=self.number // 2)
        time = Range(middle, None) if holdout else None
        with self.store.snapshot() as reader:
            withheld = reader.withheld("default", time)
            rows = reader.list("default", limit=MANY)
            chosen = {
                call_id
                for each in reader.test_sets("default")
                for call_id in reader.test_set_calls("default", each.name)
            }
        items: list[DatasetItem] = []
        for row in rows:
            held = row.side in TRAINED and withheld.of(row.group_id) is not None
            if row.side is Side.TEST or (
                row.side in TRAINED and not held and row.session_id not in sessions
            ):
                items.append(DatasetItem(row.id, row.group_id, row.side))
            if row.side is Side.QUARANTINE:
                continue
            in_time = row.group_id in withheld.held_by_time - withheld.left_before
            if row.id in chosen and row.side is not Side.TEST:
                items.append(DatasetItem(row.id, row.group_id, Apart.TARGETED))
            elif in_time and row.side in TRAINED:
                items.append(DatasetItem(row.id, row.group_id, Apart.TIME_HOLDOUT))
        self.pending = items

    @rule(sessions=st.sets(SESSIONS, max_size=3), holdout=st.booleans())
    def export(self, sessions: set[str], holdout: bool) -> None:
        """Read and publish at once, as most exports do."""
        self.read_for_an_export(sessions, holdout)
        self.publish()

    @rule(session=SESSIONS, ratio=RATIOS)
    def export_between_an_answer_and_what_it_continues(self, session: str, ratio: float) -> None:
        """The worst moment to join two groups: when one of them has left."""
        self.answer_late(session)
        self.export(set(), holdout=False)
        self.change(ratio, 0.05)
        parent, session = self.waiting.pop()
        self.store_call(parent, session)

    @precondition(lambda self: self.pending is not None)
    @rule()
    def publish(self) -> None:
        """Tell the store what leaves; it may refuse, and then nothing does."""
        items = list({item.call_id: item for item in self.pending or ()}.values())
        self.pending = None
        there = {row.id for row in self.rows()}
        items = [item for item in items if item.call_id in there]
        try:
            self.store.record_dataset("default", "/tmp/d", "0" * 64, items)
        except ChangedMeanwhile:
            return
        for item in items:
            if item.side in TRAINED:
                self.trained_ids.add(item.call_id)
                self.trained_groups.add(item.group_id)
            elif item.side is Side.TEST:
                self.tested_ids.add(item.call_id)
            else:
                self.apart_ids.add(item.call_id)

    @invariant()
    def nothing_trained_on_is_tested_with(self) -> None:
        for row in self.rows("side = 'test'"):
            assert row.id not in self.trained_ids, row
            assert row.group_id not in self.trained_groups, row

    @invariant()
    def what_leaves_apart_or_as_test_never_left_for_training(self) -> None:
        assert not self.apart_ids & self.trained_ids
        assert not self.tested_ids & self.trained_ids

    @invariant()
    def what_was_held_out_never_comes_back(self) -> None:
        sides = {row.id: row.side for row in self.rows()}
        back = [each for each in self.tested_ids & sides.keys() if sides[each] in TRAINED]
        assert not back


def test_no_sequence_of_events_tests_with_what_was_trained_on(tmp_path: Path) -> None:
    """Also: what was held out stays so, and targeted calls were never trained on."""
    store = new_store(url_of(tmp_path))
    store.close()
    Held.template = tmp_path / "shalt.sqlite"
    run_state_machine_as_test(
        Held,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
