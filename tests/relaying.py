"""A relay under a real server in a thread, its spool in a directory, for the tests of proxy."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import uvicorn
from prometheus_client import CollectorRegistry

from proxy.access import Access
from proxy.dialling import Address
from proxy.exchange import Exchange
from proxy.metrics import CallMetrics
from proxy.passage import Gate
from proxy.protocol import ClientLimits
from proxy.recording import Recording
from proxy.redact import Redactor
from proxy.redact_bodies import BodyRedactor
from proxy.relay import Receive, Relay, Scope, Send
from proxy.routes import Routes, Upstream
from proxy.upstream import UpstreamPool
from shalt.worker import server_config
from storage.capture import Capture, Dialect, Headers, SystemClock
from storage.counters import Tally, read_tally
from storage.feed import assemble
from storage.replay import Frame, SpoolReader
from storage.segments import writers
from storage.spool import FrameKind, SpoolLimits

WAIT_SECONDS = 60.0  # nothing takes that long, but on a machine that others keep busy

Found = TypeVar("Found")


def wait_until(
    condition: Callable[[], Found], seconds: float = WAIT_SECONDS, *, every_seconds: float = 0.005
) -> Found:
    """Wait for a condition and return what made it true; fail when it takes too long."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(every_seconds)
    return found


def upstream_at(port: int, name: str = "openai", **given: object) -> Upstream:
    """Describe an upstream on loopback; a test that waits for a time-out gives a short one."""
    settings: dict[str, object] = {
        "dialect": Dialect.OPENAI,
        "pool": UpstreamPool(Address("127.0.0.1", port), connections_max=100),
        "host": b"127.0.0.1:%d" % port,
        "base_path": b"/v1",
        "key_header": None,
        "connect_seconds": WAIT_SECONDS,
        "first_byte_seconds": WAIT_SECONDS,
        "idle_seconds": WAIT_SECONDS,
        **given,
    }
    return Upstream(name=name, **settings)  # type: ignore[arg-type]


def recording_at(
    spool: Path,
    *,
    limits: SpoolLimits | None = None,
    sync: Literal["interval", "always"] = "interval",
    body_bytes_max: int = 2**26,
    held_bytes_max: int = 2**28,
    sample_ratio: float = 1.0,
) -> Recording:
    """Make a worker's recording, with the limits of the default settings."""
    redactor = Redactor(b"key")
    return Recording(
        spool,
        limits=limits or SpoolLimits(),
        sync=sync,
        body_bytes_max=body_bytes_max,
        held_bytes_max=held_bytes_max,
        sample_ratio=sample_ratio,
        redactor=redactor,
        bodies=BodyRedactor(redactor),
        metrics=CallMetrics(CollectorRegistry()),
        clock=SystemClock(),
    )


def exchange_in(
    recording: Recording,
    *,
    stop: Callable[[], object],
    watch: Callable[[], None] | None,
    headers: Headers | None = None,
) -> Exchange:
    """Begin a chat completion that nobody carries on."""
    return Exchange(
        recording,
        project="default",
        upstream="openai",
        dialect=Dialect.OPENAI,
        method="POST",
        target=b"/v1/chat/completions",
        headers=headers or [],
        mode=None,
        sampled_by=b"",
        stop=stop,
        watch=watch,
    )


def gate_to(
    upstreams: list[Upstream],
    recording: Recording,
    tasks: asyncio.TaskGroup,
    *,
    access: Access | None = None,
    on_client_gone: Literal["cancel", "drain"] = "cancel",
    refuse_when_full: bool = False,
    open_calls_max: int = 1000,
) -> Gate:
    """Make a gate that asks for no key; the first upstream is the default one."""
    console = upstream_at(1, "console", host=None, base_path=b"")
    return Gate(
        Routes(upstreams, default=upstreams[0].name, console=console),
        access or Access(None, None, allowed_origins=frozenset(), clock=SystemClock()),
        recording,
        tasks,
        default_project="default",
        on_client_gone=on_client_gone,
        refuse_when_full=refuse_when_full,
        open_calls_max=open_calls_max,
    )


@dataclass
class RunningRelay:
    """A relay that serves: its port, and what it has recorded."""

    port: int
    spool: Path
    recording: Recording
    loop: asyncio.AbstractEventLoop
    gate: Gate
    by_application: list[bytes]  # paths of requests that were not carried directly

    def tally(self) -> Tally:
        """Read the worker's counters."""
        return read_tally(self.spool / writers(self.spool)[0])

    def calls(self, count: int) -> list[Capture]:
        """Wait for so many ended calls in the spool and return them, the first to end first."""
        wait_until(lambda: len(self._ended()) >= count)
        return self._ended()

    def frames(self) -> list[FrameKind]:
        """List the kinds of the frames in the spool, in order."""
        return [FrameKind(frame.kind) for frame in self._read()]

    def _ended(self) -> list[Capture]:
        """Put calls together as the recorder does: on a busy machine any call is a long one."""
        frames: dict[str, list[Frame]] = {}
        ended = []
        for frame in self._read():
            assert frame.payload is not None
            frames.setdefault(frame.payload.id, []).append(frame)
            if frame.kind in (FrameKind.CALL, FrameKind.END):
                whole = assemble(frames[frame.payload.id])
                assert whole is not None
                ended.append(whole)
        return ended

    def _read(self) -> list[Frame]:
        return SpoolReader(self.spool / writers(self.spool)[0]).read(10_000, 2**30)


@contextmanager
def running_relay(
    spool: Path,
    upstreams: list[Upstream],
    *,
    body_bytes_max: int = 2**26,
    held_bytes_max: int = 2**28,
    on_client_gone: Literal["cancel", "drain"] = "cancel",
    sync: Literal["interval", "always"] = "interval",
    limits: SpoolLimits | None = None,
    refuse_when_full: bool = False,
    open_calls_max: int = 1000,
    header_bytes_max: int = 64 * 1024,
    client_connections_max: int = 1000,
    head_seconds: float = 60.0,
    access: Access | None = None,
    sample_ratio: float = 1.0,
    direct: bool = True,
) -> Iterator[RunningRelay]:
    """Serve a relay over the upstreams, the first of them the default one.

    `direct`: plain calls are carried without the application, as a worker does it.
    """
    application = _Application(
        upstreams,
        lambda: recording_at(
            spool,
            limits=limits,
            sync=sync,
            body_bytes_max=body_bytes_max,
            held_bytes_max=held_bytes_max,
            sample_ratio=sample_ratio,
        ),
        lambda recording, tasks: gate_to(
            upstreams,
            recording,
            tasks,
            access=access,
            on_client_gone=on_client_gone,
            refuse_when_full=refuse_when_full,
            open_calls_max=open_calls_max,
        ),
    )
    clients = ClientLimits(
        header_bytes_max, client_connections_max, application.refused, head_seconds
    )
    config = server_config(application, 1, clients, lambda _: application.gate if direct else None)
    with _serving(config) as port:
        assert application.ready.wait(WAIT_SECONDS)
        yield application.served_at(port, spool)


class _Application:
    """The application of a relay that serves: what it is made of is made when its loop runs."""

    def __init__(
        self,
        upstreams: list[Upstream],
        recording: Callable[[], Recording],
        gate: Callable[[Recording, asyncio.TaskGroup], Gate],
    ) -> None:
        self.ready = threading.Event()
        self.gate: Gate
        self._upstreams = upstreams
        self._make_recording = recording
        self._make_gate = gate
        self._loop: asyncio.AbstractEventLoop
        self._by_application: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            self._by_application.append(scope["raw_path"])
            await Relay(self.gate)(scope, receive, send)

    def refused(self, reason: str) -> None:
        """Count what was turned away before it was a call."""
        self.gate.recording.metrics.refused.labels(reason).inc()

    def served_at(self, port: int, spool: Path) -> RunningRelay:
        """Describe what serves."""
        gate, by_application = self.gate, self._by_application
        return RunningRelay(port, spool, gate.recording, self._loop, gate, by_application)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._loop = asyncio.get_running_loop()
        recording = self._make_recording()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(recording.run())
            self.gate = self._make_gate(recording, tasks)
            await send({"type": "lifespan.startup.complete"})
            self.ready.set()
            await receive()
            running.cancel()
        for upstream in self._upstreams:
            upstream.pool.close()
        recording.close()
        await send({"type": "lifespan.shutdown.complete"})


@contextmanager
def _serving(config: uvicorn.Config) -> Iterator[int]:
    """Run a server in a thread of its own; yield its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
