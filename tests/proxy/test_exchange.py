"""Tests of proxy.exchange: how calls end. Whole calls are tested through the relay."""

import asyncio
from pathlib import Path

from proxy.exchange import LONG_CALL_NS, RELIEVED_BYTES_MIN, Exchange
from proxy.recording import Recording
from storage.capture import Capture, Outcome
from storage.feed import assemble
from storage.replay import SpoolReader
from storage.segments import writers
from storage.spool import Part, ResponseHead
from tests.relaying import exchange_in, recording_at


async def opened(spool: Path) -> tuple[Recording, Exchange]:
    """Begin a call that nobody carries on."""
    recording = recording_at(spool, body_bytes_max=2**20, held_bytes_max=2**20)
    task = asyncio.current_task()
    assert task is not None
    return recording, exchange_in(recording, stop=task.cancel, watch=lambda: None)


def test_only_the_first_end_of_a_call_counts(tmp_path: Path) -> None:
    async def check() -> None:
        recording, exchange = await opened(tmp_path)
        assert recording.open_count == 1
        exchange.end(Outcome.COMPLETE)
        exchange.end(Outcome.UPSTREAM_CUT)
        assert (recording.open_count, exchange.abandoned) == (0, None)
        exchange.abandon(Outcome.CLIENT_GONE)
        assert exchange.abandoned is None
        recording.close()

    asyncio.run(check())


def test_a_deadline_that_has_passed_abandons_the_call(tmp_path: Path) -> None:
    async def check() -> None:
        recording, exchange = await opened(tmp_path)
        since_ns = exchange.wait_for_upstream(0.001)
        exchange.sweep(since_ns + 999_999)
        assert exchange.abandoned is None
        exchange.sweep(since_ns + 1_000_001)
        assert exchange.abandoned is Outcome.UPSTREAM_TIMEOUT
        recording.close()
        try:
            await asyncio.Event().wait()  # cancelled by the call
        except asyncio.CancelledError:
            exchange.end(exchange.abandoned)
            raise

    try:
        asyncio.run(check())
    except asyncio.CancelledError:
        return
    raise AssertionError("the task of the call was not cancelled")


def test_nothing_is_due_before_it_is_said_to_be(tmp_path: Path) -> None:
    async def check() -> None:
        recording, exchange = await opened(tmp_path)
        now_ns = exchange.wait_for_upstream(600)
        assert now_ns < exchange.due_ns < now_ns + LONG_CALL_NS  # somebody is to be watched for
        exchange.sweep(exchange.due_ns + 1)
        assert now_ns < exchange.due_ns <= now_ns + LONG_CALL_NS  # it is to be begun in the spool
        exchange.sweep(exchange.due_ns + 1)
        since_ns = exchange.wait_for_upstream(0.001)
        assert exchange.due_ns == since_ns + 1_000_000
        exchange.wait_for_client()
        exchange.sweep(since_ns + 1_000_001)
        assert exchange.abandoned is None
        exchange.end(Outcome.COMPLETE)
        recording.close()

    asyncio.run(check())


def test_a_piece_of_a_stream_counts_as_its_parts_would(tmp_path: Path) -> None:
    async def check() -> None:
        recording, exchange = await opened(tmp_path)
        since_ns = exchange.now_ns()
        waits_from_ns = exchange.response_went_on(b"one", since_ns, since_ns + 5, 1_000_000)
        assert exchange.deadline_ns == exchange.due_ns == waits_from_ns + 1_000_000
        exchange.response_went_on(b"two", waits_from_ns, waits_from_ns + 5, 0)
        assert (exchange.deadline_ns, exchange.response.length) == (0, 6)
        exchange.end(Outcome.COMPLETE)
        recording.close()
        (frame,) = SpoolReader(tmp_path / writers(tmp_path)[0]).read(10, 10**6)
        assert isinstance(frame.payload, Capture)
        assert frame.payload.response_body.data == b"onetwo"
        assert frame.payload.ended_ns - frame.payload.overhead_ns == 10

    asyncio.run(check())


def test_a_request_that_is_over_when_its_call_is_begun_is_spooled_once(tmp_path: Path) -> None:
    async def check() -> None:
        recording, exchange = await opened(tmp_path)
        exchange.request_ended = True
        exchange.request_passed(b"asked: sk-")  # which nothing can make a key any more
        exchange.sweep(exchange.now_ns() + LONG_CALL_NS)
        exchange.response_started(200, [(b"set-cookie", b"secret"), (b"x-request-id", b"1")])
        exchange.response_passed(b"answered")
        exchange.end(Outcome.COMPLETE)
        recording.close()
        begin, head, part, end = SpoolReader(tmp_path / writers(tmp_path)[0]).read(10, 10**6)
        assert isinstance(begin.payload, Capture)
        assert isinstance(end.payload, Capture)
        assert begin.payload.request_body.data == b"asked: sk-"
        assert isinstance(part.payload, Part)
        assert part.payload.data == b"answered"
        assert isinstance(head.payload, ResponseHead)
        assert end.payload.response_headers == head.payload.headers != []
        assert b"secret" not in dict(head.payload.headers).values()

    asyncio.run(check())


def test_a_call_that_holds_too_much_keeps_its_record_to_the_spool(tmp_path: Path) -> None:
    async def check() -> None:
        recording, exchange = await opened(tmp_path)
        exchange.request_passed(b"asked")
        exchange.relieve()
        assert exchange.request.memory_bytes == 0
        exchange.response_started(200, [(b"content-encoding", b"gzip")])
        exchange.response_passed(bytes(2 * RELIEVED_BYTES_MIN))  # not searched before its end
        exchange.sweep(recording.clock.monotonic_ns() + 10**9)
        assert exchange.held_bytes > 0
        exchange.relieve()
        assert exchange.held_bytes < RELIEVED_BYTES_MIN
        exchange.response_passed(b"and more")
        exchange.end(Outcome.COMPLETE)
        recording.close()
        frames = SpoolReader(tmp_path / writers(tmp_path)[0]).read(10, 10**6)
        last = assemble(frames)
        assert last is not None
        assert last.request_body.data == b"asked"
        assert (last.request_body.truncated, last.response_body.truncated) == (False, True)
        cut = recording.metrics.cut.labels("held_bytes_max")
        assert next(iter(cut.collect())).samples[0].value >= 1

    asyncio.run(check())
