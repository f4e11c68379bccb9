"""Tests of proxy.exchange: how calls end. Whole calls are tested through the relay."""

import asyncio
from pathlib import Path

from prometheus_client import CollectorRegistry

from proxy.exchange import Exchange
from proxy.metrics import CallMetrics
from proxy.recording import Recording
from proxy.redact import Redactor
from proxy.redact_bodies import BodyRedactor
from storage.capture import Dialect, Outcome, SystemClock
from storage.spool import SpoolLimits


async def opened(spool: Path) -> tuple[Recording, Exchange]:
    """Begin a call that nobody carries on."""
    recording = Recording(
        spool,
        limits=SpoolLimits(),
        sync="interval",
        body_bytes_max=1000,
        sample_ratio=1.0,
        redactor=Redactor(b"key"),
        bodies=BodyRedactor(Redactor(b"key")),
        metrics=CallMetrics(CollectorRegistry()),
        clock=SystemClock(),
    )
    task = asyncio.current_task()
    assert task is not None
    exchange = Exchange(
        recording,
        project="p",
        upstream="openai",
        dialect=Dialect.OPENAI,
        method="POST",
        target=b"/v1/chat/completions",
        headers=[],
        mode=None,
        sampled_by=b"",
        task=task,
        watch=lambda: None,
    )
    return recording, exchange


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
