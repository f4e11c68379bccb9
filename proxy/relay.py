"""The ASGI application: client on one side, upstream on the other, bytes unchanged in between.

Pure ASGI, under any server. A call is one task; a second one exists only while a body is uploaded
in pieces, or to notice that the client has left, and only for calls that live long enough to care.
Time-outs and lost clients cancel the call's task, which then knows from its `Exchange` why.

Under uvicorn most calls never come here, because `proxy.direct` carries them for less; here are
those that it leaves: WebSockets, clients of HTTP/1.0, requests sent ahead of answers.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, Final

from proxy import errors
from proxy.connection import ResponseHead, UpstreamCut, UpstreamNotHttp
from proxy.egress import UpstreamUnreachable
from proxy.errors import OwnError
from proxy.passage import FAULT, STOPPED, Admission, Asked, Gate, Passage, outcome_of
from proxy.routes import Upstream
from proxy.websocket import ClientGone, Upgrade, join
from storage.capture import Outcome

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Where the scope of a request for a WebSocket has the client's connection (proxy.protocol). Under a
# server without it such a request goes on as any other, without what asks for the WebSocket.
UPGRADE: Final = "shalt.upgrade"


class Relay:
    """Hands every request that passes the gate to its upstream."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay one request. WebSockets come as requests (`UPGRADE`); ASGI's own are refused."""
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1011})
            return
        headers = scope["headers"]
        asked = Asked(scope["method"], scope["raw_path"], scope["query_string"], headers)
        admission = self.gate.admit(asked.path, headers)
        passage = _TaskPassage(self.gate, asked, admission, scope, receive, send)
        if admission.refusal is None:
            await passage.run()
        else:
            await passage.refuse(admission.refusal)


class _TaskPassage(Passage):
    """A call that is carried by the task it is made in."""

    __slots__ = ("_receive", "_send", "_tunnelled", "_upgrade", "_watch_is_due")

    def __init__(
        self,
        gate: Gate,
        asked: Asked,
        admission: Admission,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        is_page = admission.route.mode == "unrecorded"
        self._upgrade: Upgrade | None = None if is_page else scope.get(UPGRADE)
        self._receive = receive
        self._send = send
        self._tunnelled = False
        self._watch_is_due = False
        super().__init__(
            gate,
            asked,
            admission,
            stop=task.cancel,
            watch=self._start_watching,
            upgrades=self._upgrade is not None,
        )

    async def run(self) -> None:
        """Relay the call to its end, whatever that is."""
        exchange, upstream = self.exchange, self.upstream
        assert upstream is not None
        try:
            await self._pass(upstream)
        except asyncio.CancelledError:
            if exchange.abandoned is None:
                exchange.end(Outcome.INTERRUPTED, STOPPED)
                raise
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            await self._fail(exchange.abandoned, self.why_abandoned())
        except ClientGone:
            exchange.end(Outcome.CLIENT_GONE)
        except (UpstreamUnreachable, UpstreamCut, UpstreamNotHttp) as failure:
            await self._fail(outcome_of(failure), str(failure))
        finally:
            self.give_back()
            exchange.end(Outcome.INTERRUPTED, FAULT)  # unless it has ended, as it has

    async def refuse(self, error: OwnError) -> None:
        """Answer ourselves. What the client still sends is not read."""
        await self._answer(error)
        self.exchange.end(Outcome.REFUSED, error.message)

    # The way there.

    async def _pass(self, upstream: Upstream) -> None:
        exchange = self.exchange
        since_ns = exchange.wait_for_client()
        message = await self._receive()
        exchange.waited(since_ns)
        if message["type"] == "http.disconnect":
            raise ClientGone
        body = self._take_body(message)
        if self._watch_is_due and not self.more_body:
            self._start_watching()
        if self._upgrade is not None:
            await self._pass_handshake(upstream, self._upgrade)
            return
        await self._start(upstream, body)
        if self.more_body:
            exchange.stop_watch()
            self.gate.tasks.create_task(self._beside(self._upload(upstream)))
        try:
            head = await self._wait_for_head(upstream)
        except UpstreamCut as cut:
            if not self.must_send_again(cut):
                raise
            await self._start(upstream, None)
            head = await self._wait_for_head(upstream)
        await self._pass_answer(upstream, head)

    async def _start(self, upstream: Upstream, body: bytes | None) -> None:
        """Connect and send what there is of the request; None: on a new connection, all again."""
        exchange = self.exchange
        since_ns = exchange.wait_for_upstream(upstream.connect_seconds)
        connection = await upstream.pool.acquire(fresh=body is None)
        exchange.connected(since_ns)
        self.connection = connection
        if body is None:
            # Taken only now: while we connected, an upload may have brought more.
            body = exchange.request.whole
            if body is None:
                what = "the upstream closed the connection, and the request was too long to repeat"
                raise UpstreamCut(what, before_first_byte=True)
        self.send(connection, body)

    async def _pass_handshake(self, upstream: Upstream, upgrade: Upgrade) -> None:
        """Pass on a request for a WebSocket, and where it is granted all that follows."""
        await self._start(upstream, None)
        head = await self._wait_for_head(upstream)
        if head.status_code != 101:
            await self._pass_answer(upstream, head)
            return
        connection = self.connection
        assert connection is not None
        if connection.closed:
            raise UpstreamCut("the upstream left after the handshake", before_first_byte=False)
        self.response_begun = self._tunnelled = True
        await join(self.exchange, upgrade, connection, head.headers)

    async def _wait_for_head(self, upstream: Upstream) -> ResponseHead:
        assert self.connection is not None
        since_ns = self.exchange.wait_for_upstream(upstream.first_byte_seconds)
        head = await self.connection.head()
        self.exchange.waited(since_ns)
        self.check(head)
        return head

    async def _upload(self, upstream: Upstream) -> None:
        """Pass on the rest of the request's body, then watch for the client's leaving."""
        exchange = self.exchange
        while self.more_body:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._client_is_gone()
                return
            data = self._take_body(message)
            connection = self.connection
            if connection is None:
                continue  # between two connections: the next one starts with all that came
            connection.write(self.framed(data))
            await connection.drain()
            if exchange.status_code is None:
                exchange.wait_for_upstream(upstream.first_byte_seconds)
        await self._watch()

    def _take_body(self, message: Message) -> bytes:
        data: bytes = message.get("body", b"")
        self.more_body = message.get("more_body", False)
        if not self.more_body:
            self.exchange.request_ended = True
        if data:
            self.exchange.request_passed(data)
        return data

    # The way back.

    async def _pass_answer(self, upstream: Upstream, head: ResponseHead) -> None:
        exchange, connection, send = self.exchange, self.connection, self._send
        assert connection is not None
        headers = self.answer(head)
        await send({"type": "http.response.start", "status": head.status_code, "headers": headers})
        last = False
        while not last:
            since_ns = exchange.wait_for_upstream(upstream.idle_seconds)
            data = await connection.read()
            exchange.waited(since_ns)
            if data:
                exchange.response_passed(data)
            last = connection.complete
            if last and self.gate.recording.always_sync:
                self.end()
                await self.gate.recording.durable()
            since_ns = exchange.wait_for_client()
            await send({"type": "http.response.body", "body": data, "more_body": not last})
            exchange.waited(since_ns)
        self.end()

    async def _fail(self, outcome: Outcome, message: str) -> None:
        if outcome is not Outcome.CLIENT_GONE and not self.response_begun:
            await self._answer(errors.error_of(outcome, message))
        # Otherwise returning without the end of the answer makes the server break it off.
        self.exchange.end(outcome, message)

    async def _answer(self, error: OwnError) -> None:
        headers, body = self.answer_ourselves(error)
        status = error.status_code
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    # The client's leaving.

    def _start_watching(self) -> None:
        """Look out for the client's leaving, from when on nothing else can come from it.

        Of a body that is not whole a watcher would take a piece. Who takes the body sees a client
        that leaves; while there is no connection for it yet, nobody does.
        """
        if self.more_body:
            self._watch_is_due = True
        else:
            self.gate.tasks.create_task(self._beside(self._watch()))

    async def _beside(self, work: Coroutine[None, None, None]) -> None:
        """Do what goes on beside the call's own task; a fault there costs this call alone."""
        try:
            await work
        except Exception:  # the tasks of all calls are in one group, which it would end
            log.exception("call failed in a task beside its own id=%s", self.exchange.id)
            self.exchange.abandon(Outcome.INTERRUPTED)

    async def _watch(self) -> None:
        message = await self._receive()  # ends with the request: the server sees to that
        if message["type"] == "http.disconnect":
            self._client_is_gone()

    def _client_is_gone(self) -> None:
        if self.gate.drain and not self.more_body:
            self.client_left = True
        elif not self._tunnelled:  # whose own ends tell
            self.exchange.abandon(Outcome.CLIENT_GONE)
