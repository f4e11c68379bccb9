"""`shalt tail`: every call once, whatever the order of their rows."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shalt.recording import open_store
from shalt.settings import Settings
from shalt.tailing import LATE_SECONDS, Follower
from storage.store import TraceStore
from tests.storage.calls import START_NS, StillClock, at, id_of, recorded
from tests.stores import laid

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TraceStore]:
    with closing(open_store(laid(Settings(data_dir=tmp_path)))) as store:
        store.upgrade()
        yield store


def follow(store: TraceStore, where: str | None = None) -> tuple[Follower, StillClock]:
    clock = StillClock(START_NS + 60 * 10**9)
    return Follower(store, "default", where, clock), clock


def test_it_begins_with_the_newest_oldest_first(store: TraceStore) -> None:
    store.insert([recorded(number) for number in range(5)], at(1))
    follower, _ = follow(store)
    assert [row.id for row in follower.begin(3)] == [id_of(2), id_of(3), id_of(4)]
    assert follower.look() == []


def test_what_comes_is_seen_once_even_if_it_is_late(store: TraceStore) -> None:
    follower, clock = follow(store)
    assert follower.begin(0) == []
    seen = []
    for batch in ([10, 11], [4], [], [12, 5], [3]):
        store.insert([recorded(number) for number in batch], at(1))
        seen.append([int(row.id[-20:], 16) for row in follower.look()])
        clock.now_ns += 10**9
    assert seen == [[10, 11], [4], [], [5, 12], [3]]


def test_calls_of_the_filter_and_the_project_alone_are_seen(store: TraceStore) -> None:
    follower, _ = follow(store, "tags['a'] = 'yes'")
    follower.begin(0)
    calls = [recorded(number, tags={"a": "yes" if number % 2 else "no"}) for number in range(4)]
    store.insert([*calls, recorded(9, project="other", tags={"a": "yes"})], at(1))
    assert [row.id for row in follower.look()] == [id_of(1), id_of(3)]


def test_a_call_is_late_only_for_so_long(store: TraceStore) -> None:
    follower, clock = follow(store)
    follower.begin(0)
    clock.now_ns = START_NS + (LATE_SECONDS + 200) * 10**9
    store.insert([recorded(1), recorded(300)], at(1))
    assert [row.id for row in follower.look()] == [id_of(300)]
    clock.now_ns = START_NS  # set back: what was passed stays passed
    assert follower.look() == []


def test_it_prints_until_ctrl_c(tmp_path: Path, store: TraceStore) -> None:
    store.insert([recorded(number) for number in range(3)], at(1))
    command = [sys.executable, "-m", "shalt", "tail", "--json", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        ids = [json.loads(process.stdout.readline())["id"] for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert ids == [id_of(number) for number in range(3)]
