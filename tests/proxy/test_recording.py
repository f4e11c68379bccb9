"""Tests of proxy.recording: the worker's way to the spool, on a running event loop."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from proxy.metrics import CallMetrics, Phases
from proxy.recording import Recording
from proxy.redact import Redactor
from proxy.redact_bodies import BodyRedactor
from storage.capture import Endpoint, Outcome, SystemClock
from storage.counters import read_tally
from storage.replay import SpoolReader
from storage.segments import writers
from storage.spool import FrameKind, SpoolLimits
from tests.storage.calls import capture_of


class Watched:
    """A call that only notes when it is looked at, and recorded as `record` says."""

    def __init__(
        self,
        held_bytes: int = 0,
        id: str = "0123456789abcdef" * 2,
        record: Callable[[], None] = lambda: None,
    ) -> None:
        self.id = id
        self.due_ns = 0
        self.sweeps: list[int] = []
        self.held_bytes = held_bytes
        self.record = record

    def sweep(self, now_ns: int) -> None:
        self.sweeps.append(now_ns)

    def relieve(self) -> None:
        self.held_bytes = 0


def recording_in(spool: Path) -> Recording:
    return Recording(
        spool,
        limits=SpoolLimits(),
        sync="always",
        sample_ratio=1.0,
        bodies=BodyRedactor(Redactor(b"key")),
        body_bytes_max=100,
        held_bytes_max=2**20,
        redactor=Redactor(b"key"),
        metrics=CallMetrics(CollectorRegistry()),
        clock=SystemClock(),
    )


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


def test_a_frame_is_on_disk_after_this_turn_of_the_loop(tmp_path: Path) -> None:
    async def scenario() -> None:
        recording = recording_in(tmp_path)
        recording.append(FrameKind.CALL, capture_of(1))
        recording.append(FrameKind.CALL, capture_of(2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        directory = tmp_path / writers(tmp_path)[0]
        assert len(SpoolReader(directory).read(10, 10**6)) == 2
        recording.close()

    asyncio.run(scenario())


def test_a_call_is_recorded_behind_the_turn_in_which_it_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        recording, recorded = recording_in(tmp_path), list[int]()
        recording.ended(Watched(record=lambda: recorded.append(1)))
        recording.ended(Watched(record=lambda: recorded.append(2)))
        recording.ended(Watched(record=lambda: recorded.append(3)), recorded=False)
        assert recorded == []
        await asyncio.sleep(0)
        assert recorded == [1, 2]
        recording.ended(Watched(record=lambda: recorded.append(4)))
        recording.close()
        assert recorded == [1, 2, 4]

    asyncio.run(scenario())


def test_a_call_that_cannot_be_recorded_costs_no_other_its_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        recording, kept = recording_in(tmp_path), capture_of(1)

        def fail() -> None:
            raise ValueError

        def keep() -> None:
            recording.append(FrameKind.CALL, kept)

        recording.ended(Watched(record=fail))
        recording.ended(Watched(record=keep))
        recording.flush()
        frames = SpoolReader(tmp_path / writers(tmp_path)[0]).read(10, 10**6)
        assert [frame.payload for frame in frames] == [kept]
        recording.close()

    asyncio.run(scenario())
    assert "could not be recorded" in caplog.text


def test_open_calls_are_looked_at_until_they_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        recording, call = recording_in(tmp_path), Watched()
        recording.opened(call, counted=True)
        await until(lambda: len(call.sweeps) >= 2)
        recording.ended(call)
        seen = len(call.sweeps)
        await asyncio.sleep(0.05)
        assert len(call.sweeps) == seen
        assert read_tally(tmp_path / writers(tmp_path)[0]).accepted == 1
        recording.close()

    asyncio.run(scenario())


def test_calls_that_have_ended_are_counted_soon_and_at_the_latest_at_the_end(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        recording, call = recording_in(tmp_path), Watched()
        calls = recording.metrics.calls.labels("openai", Endpoint.OTHER, Outcome.COMPLETE)

        def counted() -> float:
            return next(iter(calls.collect())).samples[0].value

        def end_one() -> None:
            recording.opened(call, counted=True)
            recording.ended(call)
            recording.metrics.observe(
                "openai",
                Endpoint.OTHER,
                Outcome.COMPLETE,
                phases=Phases(0, 0, 0, 0),
                duration_seconds=1,
                first_token_seconds=None,
            )

        end_one()
        assert counted() == 0
        await until(lambda: counted() == 1)
        end_one()
        recording.close()
        assert counted() == 2

    asyncio.run(scenario())


def test_durable_waits_for_the_sync(tmp_path: Path) -> None:
    async def scenario() -> None:
        recording = recording_in(tmp_path)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(recording.run())
            recording.append(FrameKind.CALL, capture_of(1))
            async with asyncio.timeout(60):
                await asyncio.gather(*(recording.durable() for _ in range(10)))
            assert read_tally(tmp_path / writers(tmp_path)[0]).spooled == 1
            running.cancel()
        recording.close()

    asyncio.run(scenario())


def test_beyond_the_limit_the_largest_calls_are_relieved(tmp_path: Path) -> None:
    async def scenario() -> None:
        recording = recording_in(tmp_path)
        sizes = (100_000, 700_000, 300_000, 200_000)
        calls = [Watched(size, f"{number:032x}") for number, size in enumerate(sizes)]
        for call in calls:
            recording.opened(call, counted=True)
        await until(lambda: not calls[1].held_bytes)
        assert [call.held_bytes for call in calls] == [100_000, 0, 300_000, 200_000]
        for call in calls:
            recording.ended(call)
        recording.close()

    asyncio.run(scenario())
