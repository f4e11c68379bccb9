"""Calls that continue an answer end in its group and on its side, whatever comes first."""

import threading
from collections.abc import Iterator, Sequence
from itertools import chain, combinations, pairwise, permutations

import msgspec
import pytest
from sqlalchemy import Connection, event

from storage.capture import Endpoint
from storage.rows import Checkpoint, DatasetItem, Recorded
from storage.store import TraceStore
from storage.targeted import create_test_set
from storage.trace import Side
from tests.postgres import TEMPLATE, Server, wait_until
from tests.storage.calls import StillClock, ask, at, id_of, new_store, recorded

RATIOS = {"test_ratio": 0.5, "val_ratio": 0.0}


def chained(number: int, previous: int | None, session_id: str = "") -> Recorded:
    """Call `number`, whose answer is resp_<number>, continuing call `previous`."""
    previous_id = f"resp_{previous}" if previous else ""
    return recorded(
        number, session_id=session_id, provider_id=f"resp_{number}", previous_id=previous_id
    )


def chain_link(number: int, project: int) -> Recorded:
    """Call `number` of a chain of 1, 2, 3, 4 that a project has to itself."""
    return recorded(
        number + 10 * project,
        f"Question {number}?",
        project=f"p{project}",
        provider_id=f"resp_{number}",
        previous_id=f"resp_{number - 1}" if number > 1 else "",
    )


def batchings(order: Sequence[int]) -> Iterator[list[Sequence[int]]]:
    """Cut a sequence into batches in every possible way."""
    inner = range(1, len(order))
    for cuts in chain.from_iterable(combinations(inner, count) for count in range(len(order))):
        yield [order[start:end] for start, end in pairwise((0, *cuts, len(order)))]


def placed(store: TraceStore, numbers: Sequence[int], project: str) -> list[tuple[str, Side]]:
    found = [store.get(id_of(number), project) for number in numbers]
    return [(each.row.group_id, each.row.side) for each in found if each is not None]


def test_a_chain_is_one_group_in_every_order_and_batching(store: TraceStore) -> None:
    project = 0
    for order in permutations((1, 2, 3, 4)):
        for batches in batchings(order):
            project += 1  # a project a run, and ids that no other run has
            if store.engine.dialect.name == "postgresql" and project % 3:
                continue  # the code is the same, and a commit takes five times as long
            calls = {number: chain_link(number, project) for number in order}
            for batch in batches:
                store.insert([calls[number] for number in batch], at(project))
            found = placed(store, [number + 10 * project for number in (1, 2, 3, 4)], f"p{project}")
            assert {group for group, _ in found} == {calls[1].group.id}, batches
            assert len({side for _, side in found}) == 1, batches
    assert project == 24 * 8


def test_a_tree_that_arrives_backwards_is_one_group(store: TraceStore) -> None:
    tree = [chained(1, None), chained(2, 1), chained(3, 1), chained(4, 2), chained(5, 2)]
    for call in reversed(tree):
        store.insert([call], at(1))
    assert {group for group, _ in placed(store, range(1, 6), "default")} == {tree[0].group.id}


def test_a_session_of_its_own_is_stronger_than_the_link(store: TraceStore) -> None:
    store.insert([chained(1, None), chained(2, 1, session_id="mine")], at(1))
    assert placed(store, [2], "default")[0][0] == "mine"


def test_a_later_answer_with_the_same_id_changes_nothing(store: TraceStore) -> None:
    first, child = chained(1, None), chained(3, 1)
    store.insert([first, child], at(1))
    store.insert([recorded(2, provider_id="resp_1")], at(2))
    assert placed(store, [3], "default")[0][0] == first.group.id


def test_an_earlier_answer_with_the_same_id_takes_the_children(store: TraceStore) -> None:
    earlier, later = recorded(1, provider_id="r"), recorded(2, provider_id="r")
    child = recorded(3, previous_id="r")
    store.insert([later, child], at(1))
    store.insert([earlier], at(2))
    assert placed(store, [3], "default")[0][0] == earlier.group.id


def test_answers_that_all_have_one_id_make_no_ring(store: TraceStore) -> None:
    calls = [recorded(number, provider_id="r", previous_id="r") for number in range(1, 9)]
    for call in reversed(calls):
        store.insert([call], at(1))
    assert {group for group, _ in placed(store, range(1, 9), "default")} == {calls[0].group.id}


def test_a_link_does_not_reach_into_another_project(store: TraceStore) -> None:
    child = chained(2, 1)
    store.insert([recorded(1, provider_id="resp_1", project="other"), child], at(1))
    assert placed(store, [2], "default")[0][0] == child.group.id


def test_a_moved_call_takes_the_side_of_its_parent(store_url: str) -> None:
    store, parent, child = store_with_sides(store_url, Side.TEST, Side.TRAIN)
    store.insert([child], at(1))
    store.insert([parent], at(2))
    assert placed(store, [1, 2], "default") == [(parent.group.id, Side.TEST)] * 2
    store.close()


@pytest.mark.parametrize("left", [2, 3])
def test_moved_calls_of_which_one_has_left_in_train_are_quarantined(
    store_url: str, left: int
) -> None:
    store, parent, child = store_with_sides(store_url, Side.TEST, Side.TRAIN)
    store.insert([child, chained(3, 2)], at(1))
    item = DatasetItem(id_of(left), child.group.id, Side.TRAIN)
    store.record_dataset("default", "/tmp/d", "0" * 64, [item])
    store.insert([parent, chained(4, 3)], at(2))
    sides = [side for _, side in placed(store, [1, 2, 3, 4], "default")]
    assert sides == [Side.TEST, Side.QUARANTINE, Side.QUARANTINE, Side.QUARANTINE]
    assert {group for group, _ in placed(store, [1, 2, 3, 4], "default")} == {parent.group.id}
    store.close()


def test_of_two_sides_the_one_further_held_out_is_for_both(store_url: str) -> None:
    store, parent, child = store_with_sides(store_url, Side.TRAIN, Side.TEST)
    store.insert([child], at(1))
    store.insert([parent, chained(4, 1)], at(2))
    assert {side for _, side in placed(store, [1, 2, 4], "default")} == {Side.TEST}
    group = parent.group.id
    ledger = f"SELECT side, reason FROM reservation_change WHERE group_id = '{group}'"
    assert ask(store, ledger) == [("test", "joined")]
    probes = store.list("default", f"group_id = '{group}'", limit=9)
    assert {probe.side for probe in probes} == {Side.TEST}
    store.close()


def test_held_out_calls_that_join_a_group_that_was_trained_on_are_quarantined(
    store_url: str,
) -> None:
    store, parent, child = store_with_sides(store_url, Side.TRAIN, Side.TEST)
    trained = store.list("default", f"group_id = '{parent.group.id}'", limit=1)[0]
    item = DatasetItem(trained.id, trained.group_id, Side.TRAIN)
    store.record_dataset("default", "/tmp/d", "0" * 64, [item])
    store.insert([child], at(1))
    store.insert([parent], at(2))
    sides = [side for _, side in placed(store, [1, 2], "default")]
    assert sides == [Side.TRAIN, Side.QUARANTINE]
    ledger = "SELECT side, reason FROM reservation_change"
    assert ask(store, ledger) == [("train", "quarantine")]
    store.close()


def test_a_group_that_a_targeted_call_joins_is_withheld(store_url: str) -> None:
    store, parent, child = store_with_sides(store_url, Side.TRAIN, Side.TRAIN)
    store.insert([child], at(1))
    create_test_set(store, "default", "hard", f"id = '{id_of(2)}'", clock=StillClock())
    store.insert([parent], at(2))
    ledger = f"SELECT side, reason FROM reservation_change WHERE group_id = '{parent.group.id}'"
    assert ask(store, ledger) == [("train", "targeted")]
    store.close()


def test_moved_calls_that_left_on_the_same_side_stay_on_it(store_url: str) -> None:
    store, parent, child = store_with_sides(store_url, Side.TRAIN, Side.TRAIN)
    store.insert([child], at(1))
    item = DatasetItem(id_of(2), child.group.id, Side.TRAIN)
    store.record_dataset("default", "/tmp/d", "0" * 64, [item])
    store.insert([parent], at(2))
    assert placed(store, [1, 2], "default") == [(parent.group.id, Side.TRAIN)] * 2
    store.close()


def test_a_long_chain_that_arrives_backwards_is_joined(store: TraceStore) -> None:
    calls = [chained(number, number - 1 or None) for number in range(1, 401)]
    for start in range(350, -1, -50):
        store.insert(calls[start : start + 50], at(1))
    (group,) = store.largest_groups("default", 2)
    assert (group.group_id, group.calls) == (calls[0].group.id, 400)


@pytest.mark.parametrize("first", [1, 2])
def test_the_ends_of_a_link_may_come_from_two_hosts_at_once(postgres: Server, first: int) -> None:
    """The second host stores its end while the first is about to commit the other."""
    url = postgres.url(postgres.create(TEMPLATE))
    calls = {1: response(1, None), 2: response(2, 1)}
    one, other = new_store(url), new_store(url)
    one.insert([recorded(9)], at(0))  # the project's policy would make them wait, too
    about_to_commit, go_on = threading.Event(), threading.Event()

    def pause(connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            about_to_commit.set()
            assert go_on.wait(60)

    event.listen(one._engine, "commit", pause)
    hosts = [
        threading.Thread(target=one.insert, args=([calls[first]], at(1))),
        threading.Thread(
            target=other.insert, args=([calls[3 - first]], Checkpoint("0" * 32, 1, 1))
        ),
    ]
    hosts[0].start()
    assert about_to_commit.wait(60)
    hosts[1].start()
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    wait_until(lambda: bool(ask(url, waiting)) or not hosts[1].is_alive())
    go_on.set()
    for host in hosts:
        host.join()
    assert {group for group, _ in placed(one, [1, 2], "default")} == {calls[1].group.id}
    one.close()
    other.close()
    postgres.drop(url)


def response(number: int, previous: int | None) -> Recorded:
    """A call as `chained` makes it, of the Responses API."""
    call = chained(number, previous)
    return Recorded(
        call.capture,
        msgspec.structs.replace(call.span, endpoint=Endpoint.RESPONSES),
        call.group,
        call.features,
    )


def store_with_sides(
    url: str, parent_side: Side, child_side: Side
) -> tuple[TraceStore, Recorded, Recorded]:
    """Make a store, call 1 and a call 2 that continues it, of groups on the wanted sides."""
    store = new_store(url, **RATIOS)
    texts = [f"Probe {number}?" for number in range(40)]
    probes = [recorded(1000 + number, text) for number, text in enumerate(texts)]
    store.insert(probes, at(0))
    sides = {row.id: row.side for row in store.list("default", limit=40)}
    of_side = {
        side: [
            text for text, probe in zip(texts, probes, strict=True) if sides[probe.span.id] is side
        ]
        for side in Side
    }
    parent = recorded(1, of_side[parent_side][0], provider_id="resp_1")
    child = recorded(2, of_side[child_side][-1], provider_id="resp_2", previous_id="resp_1")
    return store, parent, child
