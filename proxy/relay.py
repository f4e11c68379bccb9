"""The ASGI application: client on one side, upstream on the other, bytes unchanged in between.

Pure ASGI, under any server. A call is one task; a second one exists only while a body is uploaded
in pieces, or to notice that the client has left, and only for calls that live long enough to care.
Time-outs and lost clients cancel the call's task, which then knows from its `Exchange` why.

Everything a client is told here is either the upstream's answer or one of `proxy.errors`. An answer
that breaks off after it began is broken off for the client too: there is nothing true to add.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, Final, Literal

from proxy import errors
from proxy.access import Access, Denied, without_keys
from proxy.connection import Connection, ResponseHead, UpstreamCut, UpstreamNotHttp
from proxy.context import Wanted, read_context
from proxy.egress import UpstreamUnreachable
from proxy.errors import OwnError
from proxy.exchange import Exchange
from proxy.recording import Recording
from proxy.routes import Route, Routes, Upstream, request_head, response_headers
from proxy.websocket import ClientGone, Upgrade, join
from storage.capture import Dialect, Headers, Outcome, endpoint_of

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Where the scope of a request for a WebSocket has the client's connection (proxy.protocol). Under a
# server without it such a request goes on as any other, without what asks for the WebSocket.
UPGRADE: Final = "shalt.upgrade"


class Relay:
    """Hands every request to its upstream. `tasks` owns what a call starts beside itself."""

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay one request. WebSockets come as requests (`UPGRADE`); ASGI's own are refused."""
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1011})
            return
        route = self._routes.find(scope["raw_path"])
        headers: Headers = scope["headers"]
        upstream = route.upstream
        console = route.mode == "unrecorded"
        holds_key = upstream is not None and upstream.key_header is not None
        admitted = self._access.admit(headers, console=console, holds_key=holds_key)
        if isinstance(admitted, Denied):
            await self._deny(admitted, scope, receive, send, route)
            return
        wanted = read_context(
            headers, own_project=admitted.project, default_project=self._default_project
        )
        refusal = wanted.refusal
        if upstream is None:
            refusal = errors.unknown_upstream(self._routes.names)
        elif self._refuse_when_full and self.recording.full and not console:
            refusal = errors.spool_full()
        elif self.recording.open_count >= self._open_calls_max and not console:
            refusal = errors.too_many_calls(self._open_calls_max)
        passage = _Passage(self, scope, receive, send, route, wanted)
        if refusal is None:
            await passage.run(without_keys(headers, admitted))
        else:
            await passage.refuse(refusal)

    async def _deny(
        self, denial: Denied, scope: Scope, receive: Receive, send: Send, route: Route
    ) -> None:
        """Refuse a stranger. No call is recorded: whoever is refused must not fill our disk."""
        self.recording.metrics.refused.labels(denial.code).inc()
        stranger = _Passage(self, scope, receive, send, route, Wanted("", "unrecorded"))
        await stranger.refuse(errors.denied(denial, console=route.mode == "unrecorded"))


class _Passage:
    """One call on its way through."""

    __slots__ = (
        "_chunked", "_client_left", "_connection", "_exchange", "_head", "_is_console",
        "_more_body", "_path", "_receive", "_relay", "_response_begun", "_scope", "_send",
        "_tunnelled", "_upgrade", "_timing", "_upstream",
    )  # fmt: skip

    def __init__(
        self,
        relay: Relay,
        scope: Scope,
        receive: Receive,
        send: Send,
        route: Route,
        wanted: Wanted,
    ) -> None:
        self._relay = relay
        self._scope = scope
        self._receive = receive
        self._send = send
        self._path = route.path
        self._upstream = route.upstream
        self._is_console = route.mode == "unrecorded"
        self._timing = wanted.timing
        self._connection: Connection | None = None
        self._client_left = False
        self._response_begun = False
        self._more_body = True
        self._tunnelled = False
        self._upgrade: Upgrade | None = None if self._is_console else scope.get(UPGRADE)
        query: bytes = scope["query_string"]
        task = asyncio.current_task()
        assert task is not None
        self._exchange = Exchange(
            relay.recording,
            project=wanted.project,
            upstream=route.upstream.name if route.upstream else "",
            dialect=route.upstream.dialect if route.upstream else Dialect.OPENAI,
            method=scope["method"],
            target=scope["raw_path"] + b"?" + query if query else scope["raw_path"],
            headers=scope["headers"],
            mode="unrecorded" if route.mode == "unrecorded" else wanted.mode,
            sampled_by=wanted.sampled_by,
            task=task,
            watch=self._start_watching,
        )

    async def run(self, headers: Headers) -> None:
        """Relay the call to its end, whatever that is. `headers`: those for the upstream."""
        exchange, upstream = self._exchange, self._upstream
        assert upstream is not None
        try:
            await self._pass(upstream, headers)
        except asyncio.CancelledError:
            if exchange.abandoned is None:
                exchange.end(Outcome.INTERRUPTED, "shalt was stopped before the call ended")
                raise
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            await self._fail(exchange.abandoned, self._why_abandoned(upstream))
        except ClientGone:
            exchange.end(Outcome.CLIENT_GONE)
        except UpstreamUnreachable as error:
            await self._fail(Outcome.UPSTREAM_UNREACHABLE, str(error))
        except UpstreamCut as error:
            silent = error.before_first_byte
            outcome = Outcome.UPSTREAM_UNREACHABLE if silent else Outcome.UPSTREAM_CUT
            await self._fail(outcome, str(error))
        except UpstreamNotHttp as error:
            await self._fail(Outcome.UPSTREAM_ERROR, str(error))
        finally:
            self._give_back(upstream)
            exchange.end(Outcome.INTERRUPTED, "a fault in shalt")  # unless it has ended, as it has

    async def refuse(self, error: OwnError) -> None:
        """Answer ourselves. What the client still sends is not read."""
        await self._answer(error)
        self._exchange.end(Outcome.REFUSED, error.message)

    # The way there.

    async def _pass(self, upstream: Upstream, headers: Headers) -> None:
        exchange = self._exchange
        scope = self._scope
        request_id = exchange.id.encode() if self._is_console else b""
        self._head, self._chunked = request_head(
            upstream,
            scope["method"],
            self._path,
            scope["query_string"],
            headers,
            request_id,
            self._upgrade is not None,
        )
        since_ns = exchange.wait_for_client()
        message = await self._receive()
        exchange.waited(since_ns)
        if message["type"] == "http.disconnect":
            raise ClientGone
        body = self._take_body(message)
        if self._upgrade is not None:
            await self._pass_handshake(upstream, self._upgrade)
            return
        await self._start(upstream, body)
        if self._more_body:
            exchange.stop_watch()
            self._relay.tasks.create_task(self._beside(self._upload(upstream)))
        try:
            head = await self._wait_for_head(upstream)
        except UpstreamCut as cut:
            assert self._connection is not None
            stale = cut.before_first_byte and self._connection.used_before
            if not stale or exchange.request.whole is None:
                raise
            # The upstream had closed an idle connection just as we used it again. Nothing came
            # back, so this once the request is sent again, on a connection of its own.
            upstream.pool.discard(self._connection)
            self._connection = None
            await self._start(upstream, None)
            head = await self._wait_for_head(upstream)
        await self._pass_answer(upstream, head)

    async def _start(self, upstream: Upstream, body: bytes | None) -> None:
        """Connect and send what there is of the request; None: on a new connection, all again."""
        exchange = self._exchange
        since_ns = exchange.wait_for_upstream(upstream.connect_seconds)
        connection = await upstream.pool.acquire(fresh=body is None)
        exchange.connected(since_ns)
        self._connection = connection
        if body is None:
            # Taken only now: while we connected, an upload may have brought more.
            body = exchange.request.whole
            if body is None:
                what = "the upstream closed the connection, and the request was too long to repeat"
                raise UpstreamCut(what, before_first_byte=True)
        data = self._head + self._framed(body)
        if self._chunked and not self._more_body:
            data += b"0\r\n\r\n"
        bodyless = self._scope["method"] == "HEAD"
        connection.start(data, bodyless=bodyless, upgrade=self._upgrade is not None)
        exchange.forwarded()

    async def _pass_handshake(self, upstream: Upstream, upgrade: Upgrade) -> None:
        """Pass on a request for a WebSocket, and where it is granted all that follows."""
        exchange = self._exchange
        await self._start(upstream, None)
        head = await self._wait_for_head(upstream)
        if head.status_code != 101:
            await self._pass_answer(upstream, head)
            return
        connection = self._connection
        assert connection is not None
        if connection.closed:
            raise UpstreamCut("the upstream left after the handshake", before_first_byte=False)
        self._response_begun = self._tunnelled = True
        await join(exchange, upgrade, connection, head.headers)

    async def _wait_for_head(self, upstream: Upstream) -> ResponseHead:
        assert self._connection is not None
        since_ns = self._exchange.wait_for_upstream(upstream.first_byte_seconds)
        head = await self._connection.head()
        self._exchange.waited(since_ns)
        if head.status_code == 407 and upstream.egress is not None:
            raise upstream.egress.refused(407)  # meant for us, as its credentials are ours
        return head

    async def _upload(self, upstream: Upstream) -> None:
        """Pass on the rest of the request's body, then watch for the client's leaving."""
        exchange = self._exchange
        while self._more_body:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._client_is_gone()
                return
            data = self._take_body(message)
            connection = self._connection
            if connection is None:
                continue  # between two connections: the next one starts with all that came
            last = b"0\r\n\r\n" if self._chunked and not self._more_body else b""
            connection.write(self._framed(data) + last)
            await connection.drain()
            if exchange.status_code is None:
                exchange.wait_for_upstream(upstream.first_byte_seconds)
        await self._watch()

    def _take_body(self, message: Message) -> bytes:
        data: bytes = message.get("body", b"")
        self._more_body = message.get("more_body", False)
        if data:
            self._exchange.request_passed(data)
        return data

    def _framed(self, data: bytes) -> bytes:
        if not self._chunked or not data:
            return data
        return b"%x\r\n%b\r\n" % (len(data), data)

    # The way back.

    async def _pass_answer(self, upstream: Upstream, head: ResponseHead) -> None:
        exchange, connection, send = self._exchange, self._connection, self._send
        assert connection is not None
        exchange.response_started(head.status_code, head.headers)
        self._response_begun = True
        call_id = exchange.id.encode() if exchange.recorded else b""
        headers = response_headers(head.status_code, head.headers, call_id)
        if self._timing:
            headers.append((b"server-timing", exchange.timing()))
        await send({"type": "http.response.start", "status": head.status_code, "headers": headers})
        last = False
        while not last:
            since_ns = exchange.wait_for_upstream(upstream.idle_seconds)
            data = await connection.read()
            exchange.waited(since_ns)
            if data:
                exchange.response_passed(data)
            last = connection.complete
            if last and self._relay.recording.always_sync:
                self._end()
                await self._relay.recording.durable()
            since_ns = exchange.wait_for_client()
            await send({"type": "http.response.body", "body": data, "more_body": not last})
            exchange.waited(since_ns)
        self._end()

    def _end(self) -> None:
        exchange = self._exchange
        if self._client_left:
            exchange.end(Outcome.CLIENT_GONE)
        elif (exchange.status_code or 0) >= 400 or self._upgrade is not None:
            exchange.end(Outcome.UPSTREAM_ERROR)
        else:
            exchange.end(Outcome.COMPLETE)

    async def _fail(self, outcome: Outcome, message: str) -> None:
        if outcome is not Outcome.CLIENT_GONE and not self._response_begun:
            await self._answer(errors.error_of(outcome, message))
        # Otherwise returning without the end of the answer makes the server break it off.
        self._exchange.end(outcome, message)

    async def _answer(self, error: OwnError) -> None:
        exchange = self._exchange
        endpoint = endpoint_of(exchange.method, self._scope["path"])
        call_id = exchange.id if exchange.recorded else ""
        headers, body = errors.render(error, exchange.dialect, endpoint, call_id)
        exchange.response_started(error.status_code, headers)
        exchange.response_passed(body)
        exchange.wait_for_client()
        status = error.status_code
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _why_abandoned(self, upstream: Upstream) -> str:
        abandoned = self._exchange.abandoned
        if abandoned is not Outcome.UPSTREAM_TIMEOUT:
            return "a fault in shalt" if abandoned is Outcome.INTERRUPTED else ""
        if self._connection is None:
            return f"no connection to the upstream within {upstream.connect_seconds:g} s"
        if self._exchange.status_code is None:
            return f"no answer from the upstream within {upstream.first_byte_seconds:g} s"
        return f"nothing more from the upstream for {upstream.idle_seconds:g} s"

    def _give_back(self, upstream: Upstream) -> None:
        connection = self._connection
        if connection is None:
            return
        self._connection = None
        pool = upstream.pool  # an answer before the end of the request spoils the connection
        (pool.discard if self._more_body else pool.release)(connection)

    # The client's leaving.

    def _start_watching(self) -> None:
        self._relay.tasks.create_task(self._beside(self._watch()))

    async def _beside(self, work: Coroutine[None, None, None]) -> None:
        """Do what goes on beside the call's own task; a fault there costs this call alone."""
        try:
            await work
        except Exception:  # the tasks of all calls are in one group, which it would end
            log.exception("call failed in a task beside its own id=%s", self._exchange.id)
            self._exchange.abandon(Outcome.INTERRUPTED)

    async def _watch(self) -> None:
        message = await self._receive()  # ends with the request: the server sees to that
        if message["type"] == "http.disconnect":
            self._client_is_gone()

    def _client_is_gone(self) -> None:
        if self._relay.drain and not self._more_body:
            self._client_left = True
        elif not self._tunnelled:  # whose own ends tell
            self._exchange.abandon(Outcome.CLIENT_GONE)
