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
    ready = threading.Event()
    gates: list[Gate] = []
    by_application: list[bytes] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            by_application.append(scope["raw_path"])
            await Relay(gates[0])(scope, receive, send)
            return
        await receive()
        loops.append(asyncio.get_running_loop())
        recording = recording_at(
            spool,
            limits=limits,
            sync=sync,
            body_bytes_max=body_bytes_max,
            held_bytes_max=held_bytes_max,
            sample_ratio=sample_ratio,
        )
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(recording.run())
            gate = gate_to(
                upstreams,
                recording,
                tasks,
                access=access,
                on_client_gone=on_client_gone,
                refuse_when_full=refuse_when_full,
                open_calls_max=open_calls_max,
            )
            gates.append(gate)
            await send({"type": "lifespan.startup.complete"})
            ready.set()
            await receive()
            running.cancel()
        for upstream in upstreams:
            upstream.pool.close()
        recording.close()
        await send({"type": "lifespan.shutdown.complete"})

    def refused(reason: str) -> None:
        gates[0].recording.metrics.refused.labels(reason).inc()

    clients = ClientLimits(header_bytes_max, client_connections_max, refused, head_seconds)
    config = server_config(application, 1, clients, lambda _: gates[0] if direct else None)
    with _serving(config) as port:
        assert ready.wait(WAIT_SECONDS)
        gate = gates[0]
        yield RunningRelay(port, spool, gate.recording, loops[0], gate, by_application)


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
