"""The relaying application: one process, as many calls at once as its core can carry.

A `FastAPI` with health and readiness; everything else goes straight to `proxy.relay`, which is pure
ASGI, before any router or middleware could cost a call something; plain calls do not come here at
all, but go from connection to connection (proxy.protocol, proxy.direct).
"""

import asyncio
import gc
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http import httptools_impl

from proxy.access import KEYS_MAX, Access
from proxy.dialling import Address
from proxy.metrics import CallMetrics
from proxy.passage import Gate
from proxy.protocol import ClientLimits, ClientProtocol, GateOf, limited
from proxy.rates import Rates
from proxy.recording import Recording
from proxy.redact import Redactor
from proxy.relay import Relay
from proxy.routes import Routes, Upstream
from proxy.upstream import UpstreamPool
from shalt import settings as settings_module
from shalt.child import RETIRE_SIGNAL, Orders, listen_to_signals, receive_orders, say_ready
from shalt.places import Places
from shalt.redacting import build_bodies
from shalt.worker_server import WorkerServer
from storage.capture import Dialect, SystemClock
from storage.spool import SpoolLimits

# Longer than clients keep an idle connection (httpx 5 s, Go 90 s): whoever closes first while the
# other begins to send spoils a call, and it must not be us.
KEEP_ALIVE_SECONDS: Final = 120
_OWN_PATHS: Final = frozenset((b"/healthz", b"/readyz"))


class Worker(FastAPI):
    """The ASGI application of a worker."""

    def __init__(self, orders: Orders) -> None:
        super().__init__(lifespan=_lifespan, openapi_url=None)
        self.orders = orders
        self.gate: Gate
        self.add_api_route("/healthz", self._health)
        self.add_api_route("/readyz", self._readiness)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay the request, unless it asks after the worker itself."""
        if scope["type"] == "lifespan" or scope["raw_path"] in _OWN_PATHS:
            await super().__call__(scope, receive, send)
        else:
            await Relay(self.gate)(scope, receive, send)

    def gate_of(self, path: bytes) -> Gate | None:
        """Say which gate a plain request passes; None where it asks after the worker itself."""
        return None if path in _OWN_PATHS else self.gate

    def refused(self, reason: str) -> None:
        """Count what was turned away before it was a call."""
        self.gate.recording.metrics.refused.labels(reason).inc()

    async def _health(self) -> dict[str, str]:
        return {"status": "ok"}

    async def _readiness(self) -> dict[str, str]:
        # Ready as long as calls can pass, recorded or not: taking the worker out of rotation
        # would harm the application more than a gap in the record does.
        recording = "ok" if self.gate.recording.healthy else "failing: calls pass unrecorded"
        return {"status": "ok", "recording": recording}


class _Over(Exception):
    """The worker has been told to end, and all its calls have."""


@asynccontextmanager
async def _lifespan(worker: FastAPI) -> AsyncIterator[None]:
    assert isinstance(worker, Worker)
    orders = worker.orders
    settings = orders.settings
    recording = build_recording(settings)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(recording.run())
            worker.gate = Gate(
                build_routes(orders),
                build_access(orders),
                recording,
                tasks,
                default_project=settings.project,
                on_client_gone=settings.on_client_gone,
                refuse_when_full=settings.spool_full == "refuse",
                open_calls_max=settings.open_calls_max,
            )
            yield
            raise _Over
    except* _Over:  # which has cancelled all tasks of the group
        pass
    finally:
        recording.close()


def build_recording(settings: settings_module.Settings) -> Recording:
    """Open this worker's way to the spool."""
    places = Places(settings.data_dir)
    limits = SpoolLimits(
        spool_bytes=settings.spool_bytes_max,
        segment_bytes=settings.spool_segment_bytes,
        segment_seconds=settings.spool_segment_seconds,
    )
    redactor = Redactor(places.read_fingerprint_key())
    return Recording(
        places.spool,
        limits=limits,
        sync=settings.spool_sync,
        body_bytes_max=settings.body_bytes_max,
        held_bytes_max=settings.held_bytes_max,
        sample_ratio=settings.sample_ratio,
        redactor=redactor,
        bodies=build_bodies(settings, redactor),
        metrics=CallMetrics(CollectorRegistry()),
        clock=SystemClock(),
    )


def build_access(orders: Orders) -> Access:
    """Make what decides who may call."""
    settings, clock = orders.settings, SystemClock()
    origins = frozenset(origin.encode() for origin in settings.allowed_origins)
    if not settings.access_keys:
        return Access(None, None, allowed_origins=origins, clock=clock)
    path = Places(settings.data_dir).rates
    # Workers that are replaced and those that replace them have places of their own in it.
    rates = Rates(path, slots=KEYS_MAX, worker=orders.worker, workers=2 * settings.workers)
    return Access(settings.access_path, rates, allowed_origins=origins, clock=clock)


def build_routes(orders: Orders) -> Routes:
    """Make the upstreams of the settings, and the console behind its socket."""
    settings = orders.settings
    upstreams = [_build_upstream(name, given) for name, given in settings.upstreams.items()]
    console = Upstream(
        name="console",
        dialect=Dialect.RAW,
        pool=UpstreamPool(
            Address("console", 0, unix_path=orders.console_socket), connections_max=100
        ),
        host=None,
        base_path=b"",
        key_header=None,
        connect_seconds=5,
        first_byte_seconds=120,
        idle_seconds=120,
    )
    return Routes(upstreams, default=settings.default_upstream, console=console)


def _build_upstream(name: str, given: settings_module.Upstream) -> Upstream:
    parts = urlsplit(given.base_url)
    host = parts.hostname or ""
    tls = None
    if parts.scheme == "https":
        tls = _trusting(given.ca_file)
    egress, egress_tls = given.egress, None
    if egress is not None and egress.scheme == "https":
        egress_tls = _trusting(given.proxy_ca_file)
    port = parts.port or (443 if tls else 80)
    address = Address(host, port, tls, egress=egress, egress_tls=egress_tls)
    named = parts.netloc.encode("idna" if not parts.netloc.isascii() else "ascii")
    # To a proxy that is handed the requests themselves, and wants whole URLs.
    handed_on = egress is not None and egress.speaks_http and tls is None
    return Upstream(
        name=name,
        dialect=given.dialect,
        pool=UpstreamPool(address, connections_max=given.connections_max),
        host=named,
        base_path=(b"http://" + named if handed_on else b"") + parts.path.encode("ascii"),
        key_header=_key_header(given),
        connect_seconds=given.connect_seconds,
        first_byte_seconds=given.first_byte_seconds,
        idle_seconds=given.idle_seconds,
        mounts=tuple(mount.encode("ascii") for mount in given.mounts),
        egress=egress if handed_on else None,
        is_gateway=given.gateway,
    )


def _trusting(authorities: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authorities) if authorities else None)


def _key_header(given: settings_module.Upstream) -> tuple[bytes, bytes] | None:
    if given.secret is None:
        return None
    key = given.secret.get_secret_value().encode("ascii")
    names: Mapping[Dialect, bytes] = {
        Dialect.ANTHROPIC: b"x-api-key",
        Dialect.GEMINI: b"x-goog-api-key",
    }
    name = names.get(given.dialect)
    return (b"authorization", b"Bearer " + key) if name is None else (name, key)


def server_config(
    application: ASGIApp, shutdown_seconds: int, limits: ClientLimits, gate_of: GateOf
) -> uvicorn.Config:
    """Configure the server: nothing added to what passes, nothing refused that an upstream says."""
    # uvicorn knows the status lines of registered codes only and drops the connection on others
    # (529, 777).
    for code in range(100, 1000):
        httptools_impl.STATUS_LINE.setdefault(code, b"HTTP/1.1 %d \r\n" % code)
    return uvicorn.Config(
        application,
        loop="uvloop",
        http=limited(limits, gate_of),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=shutdown_seconds,
    )


def serve(orders: Orders) -> None:
    """Serve until SIGTERM or RETIRE_SIGNAL, then let the calls in flight end."""
    assert orders.listen_fd is not None
    settings, worker = orders.settings, Worker(orders)
    limits = ClientLimits(
        settings.header_bytes_max, settings.client_connections_max, worker.refused
    )
    config = server_config(worker, int(settings.shutdown_seconds), limits, worker.gate_of)
    protocol = config.http
    assert isinstance(protocol, type)
    assert issubclass(protocol, ClientProtocol)
    server = WorkerServer(
        config,
        protocol,
        retire_seconds=settings.reload_seconds,
        shutdown_seconds=settings.shutdown_seconds,
        ready=lambda: say_ready(orders),
    )
    signal.signal(RETIRE_SIGNAL, server.ask_to_retire)
    gc.freeze()  # 60,000 objects of modules: to go through them held up all calls for 25 ms
    server.run(sockets=[socket.socket(fileno=orders.listen_fd)])


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor passes it on as SIGTERM
    received = receive_orders(int(sys.argv[1]), "worker")
    listen_to_signals()
    serve(received)
