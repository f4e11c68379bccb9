"""Bodies that share what they have in common are small, come back exactly, and can be let go of."""

import base64
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import delete, func, select

from storage import bodies, database
from storage.bodies import BodyReader, BodyWriter
from storage.capture import Capture
from storage.dictionary import SAMPLES_MIN
from storage.packing import CODEC_BASED, CODEC_PACKED
from storage.rows import Recorded
from storage.schema import body, body_part, dictionary, part
from storage.store import TraceStore
from tests.storage.calls import at, capture_of, recorded

IMAGE = base64.b64encode(random.Random(3).randbytes(60_000)).decode()


def conversation(first: int, turns: int, session: str, image: str = "") -> list[Recorded]:
    """Make the calls of a conversation in which each turn sends all before it again."""
    chance = random.Random(session)
    messages: list[dict[str, str]] = [{"role": "user", "content": image}] if image else []
    calls = []
    for number in range(first, first + turns):
        messages.append({"role": "user", "content": chance.randbytes(300).hex()})
        request = json.dumps({"model": "m", "messages": messages}).encode()
        calls.append(recorded(number, f"{session} {number}", session_id=session, request=request))
    return calls


def codecs(store: TraceStore) -> list[int]:
    with database.reading(store._engine) as connection:
        return list(connection.scalars(select(body.c.codec).order_by(body.c.call_id)))


def rows_in(store: TraceStore, *tables: str) -> list[int]:
    names = {each.name: each for each in (body, body_part, part, dictionary)}
    with database.reading(store._engine) as connection:
        return [
            connection.scalar(select(func.count()).select_from(names[name])) or 0 for name in tables
        ]


def captures(store: TraceStore, ids: Sequence[str]) -> dict[str, Capture]:
    with database.reading(store._engine) as connection:
        return dict(BodyReader(connection).captures(ids))


def release(store: TraceStore, calls: Sequence[Recorded]) -> None:
    with database.writing(store._engine) as connection:
        bodies.release(connection, [each.span.id for each in calls])


def test_a_conversation_is_written_against_itself_and_comes_back(store: TraceStore) -> None:
    calls = conversation(1, 40, "s")
    store.insert(calls[:15], at(1))
    store.insert(calls[15:], at(2))
    assert codecs(store) == [CODEC_PACKED] + [CODEC_BASED] * 39
    stored = captures(store, [each.span.id for each in calls])
    assert [stored[each.span.id] for each in calls] == [each.capture for each in calls]
    with database.reading(store._engine) as connection:
        total = connection.scalar(select(func.sum(func.length(body.c.capture))))
    assert total is not None
    unique = len(calls[-1].capture.request_body.data)
    assert total < 3 * unique
    assert store.get(calls[-1].span.id) is not None


def test_calls_of_different_groups_know_nothing_of_each_other(store: TraceStore) -> None:
    one, two = conversation(1, 2, "one"), conversation(11, 2, "two")
    store.insert([one[0], two[0], one[1], two[1]], at(1))
    with database.reading(store._engine) as connection:
        links = dict(
            iter(
                connection.execute(
                    select(body.c.call_id, body.c.base_id).where(body.c.base_id.is_not(None))
                )
            )
        )
    assert links == {one[1].span.id: one[0].span.id, two[1].span.id: two[0].span.id}


def test_an_image_sent_with_every_turn_is_stored_once(store: TraceStore) -> None:
    calls = conversation(1, 5, "a", IMAGE) + conversation(11, 5, "b", IMAGE)
    store.insert(calls, at(1))
    assert rows_in(store, "part", "body_part") == [1, 10]
    for each in calls:
        found = store.get(each.span.id)
        assert found is not None
        assert found.capture == each.capture


def test_large_bodies_come_back_and_share_their_images(
    store: TraceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.packing.LARGE_BYTES_MIN", 60_000)
    calls = conversation(1, 3, "a", IMAGE)
    store.insert(calls, at(1))
    assert codecs(store) == [CODEC_PACKED] * 3
    assert rows_in(store, "part", "body_part") == [1, 3]
    stored = captures(store, [each.span.id for each in calls])
    assert [stored[each.span.id] for each in calls] == [each.capture for each in calls]


def test_of_many_conversations_the_last_are_remembered(
    store: TraceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "CHAINS_MAX", 2)
    one, two, three = (conversation(start, 2, f"s{start}") for start in (1, 11, 21))
    store.insert([one[0], two[0], three[0]], at(1))
    store.insert([one[1], three[1]], at(2))
    assert codecs(store) == [CODEC_PACKED, CODEC_PACKED, CODEC_PACKED, CODEC_PACKED, CODEC_BASED]


def test_what_a_released_call_shared_stays_as_long_as_it_is_needed(store: TraceStore) -> None:
    one, two = conversation(1, 5, "a", IMAGE), conversation(11, 5, "b", IMAGE)
    store.insert(one + two, at(1))
    release(store, one)
    assert rows_in(store, "body", "body_part", "part") == [5, 5, 1]
    assert captures(store, [each.span.id for each in two]) == {
        each.span.id: each.capture for each in two
    }
    release(store, two)
    assert rows_in(store, "body", "body_part", "part") == [0, 0, 0]


@pytest.mark.parametrize("going", [[0], [3], [0, 1, 2], [1, 4, 7], [19], list(range(0, 20, 2))])
def test_the_rest_of_a_conversation_outlives_the_bases_it_had(
    store: TraceStore, going: list[int]
) -> None:
    calls = conversation(1, 20, "s")
    store.insert(calls, at(1))
    gone = [calls[number] for number in going]
    release(store, gone)
    stored = captures(store, [each.span.id for each in calls])
    assert stored == {each.span.id: each.capture for each in calls if each not in gone}


def test_a_call_whose_base_was_erased_meanwhile_is_written_without(store: TraceStore) -> None:
    calls = conversation(1, 6, "s")
    store.insert(calls[:3], at(1))
    release(store, calls[:3])
    store.insert(calls[3:], at(2))
    stored = captures(store, [each.span.id for each in calls])
    assert stored == {each.span.id: each.capture for each in calls[3:]}


def test_after_a_failed_batch_nothing_is_written_against_it(store: TraceStore) -> None:
    calls = conversation(1, 4, "s")
    refused = msgspec.structs.replace(
        calls[1], span=msgspec.structs.replace(calls[1].span, status_code=2**70)
    )
    with pytest.raises(database.RowRejected):
        store.insert([calls[0], refused], at(1))
    for number in (0, 2, 3):
        store.insert([calls[number]], at(number + 2))
    stored = captures(store, [each.span.id for each in calls])
    assert stored == {calls[n].span.id: calls[n].capture for n in (0, 2, 3)}


def test_another_process_reads_what_this_one_wrote(store: TraceStore) -> None:
    calls = conversation(1, 30, "s", IMAGE)
    store.insert(calls, at(1))
    store.close()
    assert [each.capture for each in store.scan("default")] == [each.capture for each in calls]
    assert len(list(store.scan("default", by_group=True))) == 30


def prompts(first: int, count: int) -> Iterator[Recorded]:
    """Make calls of groups of their own with a long prompt in common."""
    rules = " ".join(f'"rule {n}: {random.Random(n).randbytes(20).hex()}"' for n in range(40))
    for number in range(first, first + count):
        request = json.dumps({"model": "m", "system": rules, "user": f"question {number}"})
        yield recorded(number, f"question {number}", request=request.encode())


def test_what_recurs_becomes_a_dictionary_and_old_bodies_stay_readable(store: TraceStore) -> None:
    calls = list(prompts(1, SAMPLES_MIN))
    for start in range(0, len(calls), 250):
        store.insert(calls[start : start + 250], at(start + 1))
    later = list(prompts(20_001, 3))
    store.insert(later[:1], at(1_000_001))  # begins the training
    store._bodies._thread.submit(int).result()  # its turn comes after the training
    store.insert(later[1:], at(1_000_002))
    assert rows_in(store, "dictionary") == [1]
    with database.reading(store._engine) as connection:
        sizes = dict(iter(connection.execute(select(body.c.call_id, func.length(body.c.capture)))))
    assert sizes[later[1].span.id] < sizes[calls[0].span.id] / 2
    some = [calls[0], later[0], later[2]]
    stored = captures(store, [each.span.id for each in some])
    assert stored == {each.span.id: each.capture for each in some}
    with database.writing(store._engine) as connection:
        connection.execute(delete(dictionary))  # it was read, and is not asked for again
    assert captures(store, [each.span.id for each in some]) == stored


def test_a_second_store_goes_on_with_the_dictionary_of_the_first(
    store: TraceStore, tmp_path: Path
) -> None:
    with database.writing(store._engine) as connection:
        writer = BodyWriter()
        writer.load(connection)
        assert writer.encode([recorded(1)])[recorded(1).span.id].codec == CODEC_PACKED


def test_bodies_of_the_first_schema_are_read(store: TraceStore) -> None:
    capture = capture_of(5)
    call = recorded(5)
    store.insert([call], at(1))
    with database.writing(store._engine) as connection:
        connection.execute(body.update().values(codec=0, capture=msgspec.msgpack.encode(capture)))
    assert captures(store, [capture.id]) == {capture.id: capture}
