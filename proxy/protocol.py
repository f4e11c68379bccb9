"""uvicorn's HTTP protocol, with what it lacks: limits, HTTP/1.0, and connections that are handed
over where the upstream takes a WebSocket.

Too many connections, a head that is too long or too slow, and what is not HTTP are refused before
there is a call: such a request is not in the ledger, but it is counted
(`shalt_proxy_refused_total`), and the client is told why. What comes behind a whole request and
cannot be read never spoils that one's answer; the connection ends with it. Requests sent ahead of
answers wait, PIPELINED_MAX of them.

The head of a request that comes in one piece may be as long as what one read of the socket brings
(256 KiB), and is refused after it was parsed; one that comes in pieces is refused as soon as the
pieces exceed the limit. As long may be what is sent between two pieces of a body, behind it, or
before the next request: extensions of chunks, trailers, empty lines. It costs a request 0.3 us.

A request for a WebSocket becomes a call like any other, with this connection in its scope
(`UPGRADE`), so that the relay may take it over; what the client sends meanwhile waits, and the
connection is read no further once EARLY_BYTES_MAX do. Where it is refused, the connection ends with
the answer: what follows a handshake is not to be read as a request. Any other protocol that a
request offers to switch to is ignored (RFC 9110, section 7.8), as it is by uvicorn; but the parser
would take such a request for one without a body, so it gets it a second time without the offer.

A plain call is carried from here without the application (proxy.direct); every other request goes
to it, as under any server.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from proxy.client_side import ClientSide
from proxy.closing_answers import last_answer, without_chunks
from proxy.direct import DirectPassage, begin
from proxy.held_head import HeldHead
from proxy.passage import Asked, Gate
from proxy.relay import UPGRADE
from proxy.websocket import ClientGone, Tunnel

EARLY_BYTES_MAX: Final = 64 * 1024
PIPELINED_MAX: Final = 64  # each costs some 5 KB before it is a call


@dataclass(frozen=True)
class ClientLimits:
    """What clients may take of one worker. `refused` is called with the code of every refusal.

    `head_seconds`: from the first byte of a request's head to its last.
    """

    head_bytes_max: int
    connections_max: int
    refused: Callable[[str], None]
    head_seconds: float = 60.0


GateOf = Callable[[bytes], Gate | None]


def limited(limits: ClientLimits, gate_of: GateOf) -> type[HttpToolsProtocol]:
    """Make the protocol class for uvicorn's `http` setting.

    `gate_of` says of a path which gate a plain request passes; None: it is the application's.
    """
    settings = {"limits": limits, "gate_of": staticmethod(gate_of)}
    return type("LimitedProtocol", (ClientProtocol,), settings)


class ClientProtocol(HttpToolsProtocol):
    """One connection of a client."""

    limits: ClientLimits
    gate_of: GateOf
    retiring = False  # of all connections: another worker takes new ones, see `shutdown`

    _in_head = False
    _head_bytes = 0  # of a head that is not complete yet, as far as it came
    _piece_bytes = 0  # of what is being parsed
    _framing_bytes = 0  # since the last piece of a body: heads, chunks' extensions, trailers
    _early: bytes | None = None  # what came behind a request for a WebSocket
    _tunnel: Tunnel | None = None
    _retold: bytes | None = None  # the head of a request that is to be parsed without its offer
    _offers: tuple[tuple[int, bytes], ...] = ()  # the `upgrade` headers left out of it
    # What is answered now; uvicorn's `cycle` is the last that came.
    _answering: RequestResponseCycle | ClientSide | None = None
    _gate: Gate | None = None  # that of the call that is carried directly, as long as it is
    _passage: DirectPassage | None = None  # that call, once it has begun
    _head_timer: asyncio.TimerHandle | None = None  # while a head is not complete
    _deaf = False  # what comes is no HTTP, and the connection ends with the answer under way

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections_max:
            self._refuse_limit(503, "too_many_connections", "client_connections_max")
        elif self.timeout_keep_alive_task is None:  # who asks nothing may stay as long as between
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def connection_lost(self, exc: Exception | None) -> None:
        answering = self._answering
        if isinstance(answering, ClientSide):
            if self._passage is not None:
                self._passage.client_lost()
            if isinstance(cast(object, self.cycle), ClientSide):
                self.cycle = None  # type: ignore[assignment]  # uvicorn has its own way to tell
        elif answering is not None and not answering.response_complete:
            answering.disconnected = True  # which uvicorn tells only the last request that came
            answering.message_event.set()
        self._answering = self._gate = self._passage = None  # which refer to this
        self._unset_keepalive_if_required()
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing() or self._deaf:
            return
        if self._early is not None:
            self._hold(data)
            return
        self._piece_bytes = len(data)
        self._framing_bytes += len(data)
        self._parse(data)
        if self._in_head:
            if self._head_timer is None:
                seconds = self.limits.head_seconds
                self._head_timer = self.loop.call_later(seconds, self._head_is_late)
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.head_bytes_max:
                self._refuse_head()
        elif self._framing_bytes > self.limits.head_bytes_max:
            self._refuse_head()
        if self._gate is not None:
            self._carry(self._gate)

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._framing_bytes = 0
        if self._head_timer is not None:
            self._stop_head_timer()
        if self._deaf or self.transport.is_closing():
            return
        if len(self.pipeline) >= PIPELINED_MAX:
            self._refuse(503, "too_many_requests", f"{PIPELINED_MAX} requests wait for answers")
            return
        if self.parser.get_http_version() not in ("1.1", "1.0"):
            self._refuse(400, "not_http", "the request's version of HTTP is not 1.1 or 1.0")
            return
        if self._head_bytes + self._piece_bytes > self.limits.head_bytes_max and self._is_long():
            self._refuse_head()
            return
        offered = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        upgrade = offered and self._wants_websocket()
        if offered and not upgrade:
            self._retell()
            return
        for index, value in self._offers:
            self.headers.insert(index, (b"upgrade", value))
        self._offers = ()
        if upgrade or not self._is_plain():
            self._begin_scope()
            if upgrade:
                self._early = b""
                self.scope[UPGRADE] = self  # type: ignore[typeddict-unknown-key]
            super().on_headers_complete()
            if upgrade:
                self.cycle.keep_alive = False
            elif self._gate is not None:  # it waits for a call that nobody watches but by reading
                self.flow.resume_reading()
        self.headers = []  # of trailers, which would come among the request's headers

    def on_body(self, body: bytes) -> None:
        self._framing_bytes = 0
        if self._deaf or self.transport.is_closing():
            return
        cycle: object = self.cycle
        if not isinstance(cycle, ClientSide):
            super().on_body(body)
        elif not cycle.response_complete:
            cycle.came(body)

    def on_message_complete(self) -> None:
        self._framing_bytes = 0
        if self._retold is not None or self._deaf or self.transport.is_closing():
            return
        if not self.parser.should_keep_alive():
            # Trailers may say so, too, and the parser reads nothing behind such a request.
            self.cycle.keep_alive = False
            if self.cycle.response_complete:
                self.transport.close()
        cycle: object = self.cycle
        if isinstance(cycle, ClientSide):
            cycle.more_body = False
        else:
            super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._passage is not None:
            self._passage.client_is_full()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._passage is not None:
            self._passage.client_reads_again()

    def switch(self, tunnel: Tunnel) -> tuple[asyncio.Transport, bytes]:
        """Hand the connection over to a tunnel; see proxy.websocket.Upgrade."""
        cycle, early = self.cycle, self._early or b""
        if cycle.disconnected or self.transport.is_closing():
            raise ClientGone
        cycle.response_started = cycle.response_complete = True
        self._tunnel, self._early = tunnel, b""
        tunnel.client.connection_was_lost = self.connection_lost
        self.flow.resume_writing()
        self.transport.set_protocol(tunnel.client)
        return self.transport, early

    def shutdown(self) -> None:
        """Let the connection end with what is under way on it; while retiring, do nothing.

        To close one that is idle might spoil a request that is just being sent. So it stays, and
        its next answer says that it is the last one.
        """
        if self.retiring:
            return
        if self._tunnel is None:
            super().shutdown()
        else:
            self._tunnel.go_away()

    def _parse(self, data: bytes) -> None:
        """Do as uvicorn does, but go on with a request that offered to switch protocols."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            what = "the request is not HTTP, or could be read in two ways"
            self._refuse(400, "not_http", what)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if self._early is not None:
                self._hold(rest)
            elif self._retold is not None:
                head, self._retold = self._retold, None
                # Another parser: this one may hold that the connection ends with the request.
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                self._parse(head + rest)

    # Calls that are carried directly.

    def _is_plain(self) -> bool:
        """Tell whether a request is carried directly; if so, it is the one that is answered now."""
        cycle = self.cycle
        if self.expect_100_continue or (cycle is not None and not cycle.response_complete):
            return False
        method = self.parser.get_method()
        if self.parser.get_http_version() != "1.1" or method == b"CONNECT":
            return False
        url = httptools.parse_url(self.url)
        path = url.path
        if path is None or not path.isascii():
            return False
        gate = self.gate_of(path)
        if gate is None or gate.recording.always_sync:
            return False
        self._gate = gate
        keep_alive = self.parser.should_keep_alive() and not self.retiring
        asked = Asked(method.decode("ascii"), path, url.query or b"", self.headers)
        side = ClientSide(
            asked, self.transport, self.flow, keep_alive=keep_alive, over=self._is_answered
        )
        self.cycle = self._answering = side  # type: ignore[assignment]
        return True

    def _carry(self, gate: Gate) -> None:
        """Go on with the call that is carried directly: something came."""
        passage = self._passage
        if passage is None:
            client = self._answering
            assert isinstance(client, ClientSide)
            passage = begin(gate, client, cast(set[object], self.tasks))
            if client.response_complete:
                return
            self._passage = passage
        if self.transport.is_closing():
            passage.client_lost()
        else:
            passage.proceed()

    def _is_answered(self) -> None:
        self._gate = self._passage = None
        self.on_response_complete()

    def _begin_scope(self) -> None:
        """Have uvicorn make the scope, which a call that is carried directly does without."""
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers += headers  # the list that is in the scope

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        cycle.transport = HeldHead(cycle, self.loop)  # type: ignore[assignment]
        if cycle.scope["http_version"] == "1.0":
            cycle.waiting_for_100_continue = False  # which it does not know either
            app = without_chunks(app, cycle)
        elif self.retiring:
            app = last_answer(app)
        super()._start_asgi_task(cycle, app)

    def _retell(self) -> None:
        """Write the head again without its offer, which is put back once it has been parsed."""
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method(), b" ", self.url, b" HTTP/", version, b"\r\n"]
        for name, value in self.headers:
            if name != b"upgrade":
                lines += (name, b": ", value, b"\r\n")
        named = enumerate(self.headers)
        self._offers = tuple((index, value) for index, (name, value) in named if name == b"upgrade")
        self._retold = b"".join(lines) + b"\r\n"

    def _hold(self, data: bytes) -> None:
        self._early = (self._early or b"") + data
        if len(self._early) > EARLY_BYTES_MAX:
            self.flow.pause_reading()

    def _wants_websocket(self) -> bool:
        """Tell whether a request that offers to switch protocols is a WebSocket's handshake."""
        if self.parser.get_method() != b"GET" or self.parser.get_http_version() != "1.1":
            return False
        offered = False
        for name, value in self.headers:
            if name in (b"content-length", b"transfer-encoding"):
                return False
            offered |= name == b"upgrade" and value.strip().lower() == b"websocket"
        return offered

    def _is_long(self) -> bool:
        length = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        return length > self.limits.head_bytes_max

    def _refuse_head(self) -> None:
        self._refuse_limit(431, "head_too_long", "header_bytes_max")

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            seconds = self.limits.head_seconds
            self._refuse(408, "head_too_slow", f"no whole head within {seconds:g} s")

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse_limit(self, status_code: int, code: str, setting: str) -> None:
        self._refuse(status_code, code, f"refused by shalt's limit {setting}")

    def _refuse(self, status_code: int, code: str, message: str) -> None:
        """Answer and close. No dialect is known here: OpenAI's envelope, as most read it.

        Where whole requests wait for answers, they get them first, and nothing more is read. In
        the middle of a request that is being answered there is nothing to say.
        """
        self.limits.refused(code)
        cycle = self.cycle
        if cycle is not None and not (cycle.response_complete or cycle.more_body):
            cycle.keep_alive = False
            self._deaf = True
            return
        if cycle is not None and cycle.more_body:
            if cycle is not self._answering or cycle.response_started:
                self.transport.close()
                return
        error = {"message": message, "type": "proxy_error", "param": None, "code": code}
        body = json.dumps({"error": error}).encode()
        head = b"content-type: application/json\r\nx-shalt-error: %b\r\ncontent-length: %d\r\n"
        head = head % (code.encode(), len(body)) + b"connection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status_code] + head + body)
        self.transport.close()
