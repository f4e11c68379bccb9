"""Everybody who joins a state sees that state, whatever is recorded meanwhile."""

import threading
from contextlib import ExitStack

import pytest

from storage.reader import StoreReader
from storage.shared_state import join, share
from storage.store import TraceStore
from tests.exporters.calls import conversation, record


def test_who_joins_sees_what_was_there_and_nothing_later(store: TraceStore) -> None:
    record(store, conversation(0, "hi", 3))
    with ExitStack() as stack:
        joined: list[StoreReader] = []

        def invite(name: str) -> None:
            joined.append(stack.enter_context(join(StoreReader(store.engine), name)))

        shared = stack.enter_context(share(store, invite))
        record(store, conversation(100, "ho", 3), 2)
        assert [reader.count("default") for reader in (shared, *joined)] == [3, 3]
    assert store.count("default") == 6


def test_what_is_recorded_while_others_join_waits_or_is_seen_by_nobody(store: TraceStore) -> None:
    record(store, conversation(0, "hi", 3))
    counts: list[int] = []
    recorder = threading.Thread(target=record, args=(store, conversation(100, "ho", 3), 2))

    def invite(name: str) -> None:
        recorder.start()
        recorder.join(0.2)  # in PostgreSQL it does not wait
        with join(StoreReader(store.engine), name) as reader:
            counts.append(reader.count("default"))

    with share(store, invite) as reader:
        counts.append(reader.count("default"))
    recorder.join(60)
    assert counts == [3, 3]
    assert store.count("default") == 6


def test_an_invitation_that_fails_lets_writers_go_on(store: TraceStore) -> None:
    def invite(name: str) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError), share(store, invite):
        pass
    record(store, conversation(0, "hi", 1))
    assert store.count("default") == 1
