"""The application for people, scripts and Prometheus, behind the workers.

It listens on a Unix socket of the supervisor; workers pass on to it what is not a call, so a slow
page never holds up the loop that carries calls: `/review`, `/metrics`, `/api`, `/feedback`, `/otlp`
and so on.

Where no access keys are asked for, it answers only requests that name this machine as the host:
a web page elsewhere cannot read it through the visitor's browser by pointing its own name here.
"""

import hashlib
import ipaddress
import shlex
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import Annotated

import msgspec
import uvicorn
from fastapi import FastAPI, HTTPException, Query, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from review.drift_pages import ExportRefused
from review.judging import Judging
from review.refusals import refuse
from review.routes import routes
from shalt import dataset_routes, erasure_routes, feedback, monitor_routes, otlp_routes
from shalt.acceptance import Acceptance
from shalt.child import Orders, listen_to_signals, receive_orders
from shalt.dataset_jobs import BadName, DatasetJobs, NameTaken, NotNoted, TooManyWaiting
from shalt.drift_metrics import DriftCollector
from shalt.intake import Intake
from shalt.invocation import options_of
from shalt.metrics import LimitCollector, RestartCollector
from shalt.monitor_list import MonitorList
from shalt.places import Places
from shalt.recording import open_store
from shalt.refusals import add_refusals
from shalt.settings import Settings
from storage.capture import SystemClock
from storage.fate import CallIdError, State, parse_call_id
from storage.ledger import LedgerReader
from storage.metrics import SpoolCollector
from storage.store import TraceStore
from storage.tracing import explain, whole_id

LIST_LIMIT_MAX = 1000
COUNTS_SPAN = timedelta(days=3)  # what is counted by hour unless a request says otherwise


class KnownHosts:
    """Refuses requests whose Host is neither an address nor this machine's name for itself."""

    def __init__(self, application: ASGIApp, allowed: frozenset[str]) -> None:
        self._application = application
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_known(scope):
            sentence = "the console does not go by that host name: ask for it by its address"
            await refuse(421, sentence)(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        name = host.decode("latin-1").rsplit("]", 1)[0].lstrip("[").lower()
        if name.count(":") == 1:
            name = name.partition(":")[0]
        if name in self._allowed:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def build(settings: Settings) -> FastAPI:
    """Make the application."""
    store = open_store(settings)
    places = Places(settings.data_dir)
    intake = Intake(settings, store, SystemClock())
    # A writer of its own: what is said of calls does not wait behind spans.
    said = Intake(settings, store, SystemClock())
    acceptance = Acceptance(places, store, said, SystemClock())

    jobs = DatasetJobs(settings, places.datasets)
    monitors = MonitorList(settings, places.monitors)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        intake.close()
        jobs.close()
        said.close()

    application = FastAPI(
        lifespan=lifespan,
        title="shalt",
        version=version("shalt"),
        docs_url=None,  # FastAPI's page runs scripts of a content network beside our data
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    registry = _registry(settings, places, store, monitors)
    allowed = frozenset(("localhost", settings.host.lower()))
    # With keys, a page of a name that was made to lead here has none to show.
    if not (settings.insecure or settings.access_keys):
        application.add_middleware(KnownHosts, allowed=allowed)

    add_refusals(application)

    @application.get("/")
    def index() -> dict[str, str]:
        """Say what is here."""
        return {
            "shalt": application.version,
            "review": "/review",
            "calls": "/api/calls",
            "counts": "/api/counts",
            "datasets": "/api/datasets",
            "monitors": "/api/monitors",
            "status": "/api/status",
            "metrics": "/metrics",
            "api": "/api/openapi.json",
        }

    @application.get("/metrics")
    def metrics() -> Response:
        """Everything for Prometheus, all processes added up."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    _add_api(application, settings, store, places)
    application.router.routes.extend(_pages(settings, store, acceptance, jobs))
    application.router.routes.extend(otlp_routes.routes(settings, intake, SystemClock()))
    application.include_router(feedback.routes(store, acceptance, settings.project))
    application.include_router(erasure_routes.routes(store, settings.project, SystemClock()))
    application.include_router(dataset_routes.routes(jobs, settings.project, SystemClock()))
    application.include_router(monitor_routes.routes(monitors, places.watch_state))
    return application


def _pages(
    settings: Settings, store: TraceStore, acceptance: Acceptance, jobs: DatasetJobs
) -> Sequence[Route]:
    """Make the pages for people, whose forms are signed with the data directory's key."""
    key = Places(settings.data_dir).read_fingerprint_key()
    return routes(
        store,
        settings.project,
        SystemClock(),
        Judging(acceptance.keep_or_refuse, hashlib.sha256(b"review" + key).digest(), SystemClock()),
        partial(_export, jobs),
        shlex.join(options_of(settings)),
        datasets=jobs,
    )


def _export(jobs: DatasetJobs, name: str, request: dict[str, object]) -> None:
    """Ask for a dataset on behalf of a page; raise ExportRefused."""
    try:
        jobs.ask(name, request)
    except (BadName, NameTaken, NotNoted, TooManyWaiting) as error:
        raise ExportRefused(str(error)) from None


def _registry(
    settings: Settings, places: Places, store: TraceStore, monitors: MonitorList
) -> CollectorRegistry:
    """Gather what all processes count."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(places.metrics))  # type: ignore[no-untyped-call]
    registry.register(SpoolCollector(places.spool, store))
    registry.register(RestartCollector(places.restarts))
    registry.register(LimitCollector(settings))
    registry.register(DriftCollector(monitors, places.watch_state))
    return registry


def _add_api(application: FastAPI, settings: Settings, store: TraceStore, places: Places) -> None:
    """Add what scripts ask."""

    ledger = LedgerReader(places.spool, store)

    @application.get("/api/status")
    def status() -> Response:
        """The ledger: what became of every accepted call."""
        return _json(ledger.read()._asdict())

    @application.get("/api/calls")
    def calls(
        where: str | None = None,
        project: str = settings.project,
        limit: Annotated[int, Query(ge=1, le=LIST_LIMIT_MAX)] = 50,
        before: str | None = None,
        search: str | None = None,
    ) -> Response:
        """The newest calls first; `before` is the id of the last one of the page before.

        `search` is for words: `word "a phrase" -not`. It needs the setting search.
        """
        before = parse_call_id(before) if before else None
        return _json(store.list(project, where, limit=limit, before=before, search=search))

    @application.get("/api/counts")
    def counts(
        where: str | None = None,
        project: str = settings.project,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Response:
        """Calls by the hour they started in, those not complete too; hours without are left out."""
        end = _utc(until or datetime.now(UTC))
        start = _utc(since) if since else end - COUNTS_SPAN
        return _json(store.counts_over_time(project, where, since=start, until=end))

    @application.get("/api/why/{call_id}")
    def why(call_id: str) -> Response:
        """What became of a call; 404 where nobody knows its id."""
        fate = explain(call_id, store=store, spool=places.spool, poison=places.poison)
        return _json(fate, 404 if fate.state is State.UNKNOWN else 200)

    @application.get("/api/calls/{call_id}")
    def one_call(call_id: str) -> Response:
        """One call's row, scores and labels; its bodies are for `shalt show`."""
        try:
            call_id = whole_id(call_id, store)
        except CallIdError as error:
            raise HTTPException(404, str(error)) from None
        found = store.get(call_id)
        if found is None:
            raise HTTPException(404, f"no call has the id {call_id}")
        said = {
            "scores": [*map(feedback.as_object, store.scores([call_id]).get(call_id, ()))],
            "labels": [*map(feedback.as_object, store.labels([call_id]).get(call_id, ()))],
        }
        return _json({**msgspec.structs.asdict(found.row), **said})


def serve(orders: Orders) -> None:
    """Serve until SIGTERM."""
    assert orders.listen_fd is not None
    config = uvicorn.Config(
        build(orders.settings),
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=orders.listen_fd)])


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _json(value: object, status_code: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code, media_type="application/json")


if __name__ == "__main__":
    received = receive_orders(int(sys.argv[1]), "console")
    listen_to_signals()
    serve(received)
