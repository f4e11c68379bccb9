"""What is the same for every call, whoever carries its bytes: who may pass, where to, and the end.

A `Gate` decides over requests and holds what calls share. A `Passage` is one call: its exchange,
its connection to the upstream, the heads it sends both ways, what its failures mean, and what the
client is told of them. Who carries it is `proxy.relay` (a task of its own, under any ASGI server)
or `proxy.direct` (callbacks between two connections); both derive from it.

Everything a client is told here is either the upstream's answer or one of `proxy.errors`. An answer
that breaks off after it began is broken off for the client too: there is nothing true to add.
"""

import asyncio
from collections.abc import Callable
from typing import Literal, NamedTuple

from proxy import errors
from proxy.access import Access, Denied, without_keys
from proxy.connection import Connection, Receiver, ResponseHead, UpstreamCut, UpstreamNotHttp
from proxy.context import Wanted, read_context
from proxy.egress import UpstreamUnreachable
from proxy.errors import OwnError
from proxy.exchange import Exchange
from proxy.recording import Recording
from proxy.routes import FEEDBACK_PATH, Route, Routes, climbs, request_head, response_headers
from storage.capture import Dialect, Headers, Outcome, endpoint_of

UpstreamFailure = UpstreamUnreachable | UpstreamCut | UpstreamNotHttp
STOPPED = "shalt was stopped before the call ended"
FAULT = "a fault in shalt"


class Asked(NamedTuple):
    """A request as the client sent it, without its body; names of headers in lower case."""

    method: str
    path: bytes
    query: bytes
    headers: Headers


class Admission(NamedTuple):
    """What becomes of a request: where it goes, with which headers, or why it does not.

    `headers` are those for the upstream: access keys are not among them. `key_project` is that of
    the access key.
    """

    route: Route
    wanted: Wanted
    headers: Headers
    refusal: OwnError | None
    key_project: str = ""


class Gate:
    """Decides over every request. `tasks` owns what a call starts beside itself."""

    def __init__(
        self,
        routes: Routes,
        access: Access,
        recording: Recording,
        tasks: asyncio.TaskGroup,
        *,
        default_project: str,
        on_client_gone: Literal["cancel", "drain"],
        refuse_when_full: bool,
        open_calls_max: int,
    ) -> None:
        self.recording = recording
        self.tasks = tasks
        self.drain = on_client_gone == "drain"
        self._routes = routes
        self._access = access
        self._default_project = default_project
        self._refuse_when_full = refuse_when_full
        self._open_calls_max = open_calls_max

    def admit(self, path: bytes, headers: Headers) -> Admission:
        """Say what becomes of a request. To be asked once: access keys have rate limits."""
        route = self._routes.find(path)
        upstream = route.upstream
        console = route.mode == "unrecorded"
        holds_key = upstream is not None and upstream.key_header is not None
        admitted = self._access.admit(
            headers,
            console=console,
            holds_key=holds_key,
            says_of_calls=path == FEEDBACK_PATH,
        )
        if isinstance(admitted, Denied):
            # No call is recorded: whoever is refused must not fill our disk.
            self.recording.metrics.refused.labels(admitted.code).inc()
            refusal = errors.denied(admitted, console=console)
            return Admission(route, Wanted("", "unrecorded"), headers, refusal)
        wanted = read_context(
            headers, own_project=admitted.project, default_project=self._default_project
        )
        return Admission(
            route,
            wanted,
            without_keys(headers, admitted),
            self._refusal(route, wanted),
            admitted.project,
        )

    def _refusal(self, route: Route, wanted: Wanted) -> OwnError | None:
        if route.upstream is None:
            return errors.unknown_upstream(self._routes.names)
        if route.upstream.key_header is not None and climbs(route.path):
            return errors.climbing_path()
        if route.mode != "unrecorded":
            if self._refuse_when_full and self.recording.full:
                return errors.spool_full()
            if self.recording.open_count >= self._open_calls_max:
                return errors.too_many_calls(self._open_calls_max)
        return wanted.refusal


class Passage:
    """One call on its way through.

    `stop` ends it early, when its exchange is abandoned; `watch` starts looking out for the
    client's leaving, None where that needs nobody. `more_body`: the client is still sending.
    """

    __slots__ = (
        "_asked", "_chunked", "_head", "_is_console", "_timing", "_upgrades", "client_left",
        "connection", "exchange", "gate", "more_body", "response_begun", "upstream",
    )  # fmt: skip

    def __init__(
        self,
        gate: Gate,
        asked: Asked,
        admission: Admission,
        *,
        stop: Callable[[], object],
        watch: Callable[[], None] | None,
        upgrades: bool = False,
    ) -> None:
        route, wanted = admission.route, admission.wanted
        upstream = route.upstream
        self.gate = gate
        self.upstream = upstream
        self.connection: Connection | None = None
        self.client_left = False
        self.response_begun = False
        self.more_body = True
        self._asked = asked
        self._is_console = route.mode == "unrecorded"
        self._timing = wanted.timing
        self._upgrades = upgrades
        self.exchange = Exchange(
            gate.recording,
            project=wanted.project,
            upstream=upstream.name if upstream else "",
            dialect=upstream.dialect if upstream else Dialect.OPENAI,
            method=asked.method,
            target=asked.path + b"?" + asked.query if asked.query else asked.path,
            headers=asked.headers,
            mode="unrecorded" if self._is_console else wanted.mode,
            sampled_by=wanted.sampled_by,
            stop=stop,
            watch=watch,
        )
        if upstream is not None and admission.refusal is None:
            self._head, self._chunked = request_head(
                upstream,
                asked.method,
                route.path,
                asked.query,
                admission.headers,
                self.exchange.id.encode() if self._is_console else b"",
                upgrades,
                admission.key_project.encode(),
            )

    # The way there.

    def send(
        self, connection: Connection, body: bytes, *, receiver: Receiver | None = None
    ) -> None:
        """Send the request, as far as it is here, on a connection that is its own from now on."""
        self.connection = connection
        connection.start(
            self._head + self.framed(body),
            bodyless=self._asked.method == "HEAD",
            upgrade=self._upgrades,
            receiver=receiver,
        )
        self.exchange.forwarded()

    def framed(self, data: bytes) -> bytes:
        """Frame a piece of the request's body for the upstream; with `more_body` False its last."""
        if not self._chunked:
            return data
        piece = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return piece if self.more_body else piece + b"0\r\n\r\n"

    def must_send_again(self, failure: UpstreamFailure) -> bool:
        """Tell whether the request is to be sent again, on a new connection.

        It is where the upstream had closed an idle connection just as it was used again: nothing
        came back. If so, let go of the connection. A new one fails for good.
        """
        connection, upstream = self.connection, self.upstream
        if not (isinstance(failure, UpstreamCut) and failure.before_first_byte):
            return False
        if connection is None or not connection.used_before or self.exchange.request.whole is None:
            return False
        assert upstream is not None
        upstream.pool.discard(connection)
        self.connection = None
        return True

    # The way back.

    def check(self, head: ResponseHead) -> None:
        """Raise UpstreamUnreachable where an answer is not the upstream's, but its proxy's."""
        assert self.upstream is not None
        egress = self.upstream.egress
        if head.status_code == 407 and egress is not None:
            raise egress.refused(407)  # meant for us, as its credentials are ours

    def answer(self, head: ResponseHead) -> Headers:
        """Take note that the answer begins; return its headers for the client."""
        exchange = self.exchange
        exchange.response_started(head.status_code, head.headers)
        self.response_begun = True
        call_id = exchange.id.encode() if exchange.recorded else b""
        headers = response_headers(head.status_code, head.headers, call_id)
        if self._timing:
            headers.append((b"server-timing", exchange.timing()))
        return headers

    def answer_ourselves(self, error: OwnError) -> tuple[Headers, bytes]:
        """Take note that we answer; return the headers and the body of that."""
        exchange = self.exchange
        endpoint = endpoint_of(exchange.method, self._asked.path.decode("latin-1"))
        call_id = exchange.id if exchange.recorded else ""
        headers, body = errors.render(
            error, exchange.dialect, endpoint, call_id, console=self._is_console
        )
        exchange.response_started(error.status_code, headers)
        exchange.response_passed(body)
        exchange.wait_for_client()
        return headers, body

    # The end.

    def end(self) -> None:
        """The whole answer has passed."""
        exchange = self.exchange
        if self.client_left:
            exchange.end(Outcome.CLIENT_GONE)
        elif (exchange.status_code or 0) >= 400 or self._upgrades:
            exchange.end(Outcome.UPSTREAM_ERROR)
        else:
            exchange.end(Outcome.COMPLETE)

    def why_abandoned(self) -> str:
        """Say in words why the exchange was abandoned."""
        abandoned, upstream = self.exchange.abandoned, self.upstream
        if abandoned is not Outcome.UPSTREAM_TIMEOUT or upstream is None:
            return FAULT if abandoned is Outcome.INTERRUPTED else ""
        if self.connection is None:
            return f"no connection to the upstream within {upstream.connect_seconds:g} s"
        if self.exchange.status_code is None:
            return f"no answer from the upstream within {upstream.first_byte_seconds:g} s"
        return f"nothing more from the upstream for {upstream.idle_seconds:g} s"

    def give_back(self) -> None:
        """Let go of the connection, if there is one: another call may have it, or nobody."""
        connection = self.connection
        if connection is None:
            return
        assert self.upstream is not None
        self.connection = None
        pool = self.upstream.pool  # an answer before the end of the request spoils the connection
        (pool.discard if self.more_body else pool.release)(connection)


def outcome_of(failure: UpstreamFailure) -> Outcome:
    """Say what a failure on the side of the upstream makes of a call."""
    if isinstance(failure, UpstreamNotHttp):
        return Outcome.UPSTREAM_ERROR
    if isinstance(failure, UpstreamCut) and not failure.before_first_byte:
        return Outcome.UPSTREAM_CUT
    return Outcome.UPSTREAM_UNREACHABLE
