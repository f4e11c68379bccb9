"""Two ends of a WebSocket joined: bytes pass as they come, both ways, until both ends have ended.

It promises: what comes from one side is handed to the other before anything else is done with it;
nothing is changed, held back or answered, pings and compression included. Back-pressure both ways:
one side is not read while the other does not take. An end of one side (the end of its bytes, or of
its connection) becomes the same end of the other, after all that came before it.

The copy for the record has the masks of the client's frames undone (storage.frames), so that it can
be searched for secrets. There is no limit on silence: a socket may say nothing for hours. Once one
side has ended, the other has LINGER_SECONDS to do so, too.

The one thing it says itself: when shalt is stopped, both sides get a close frame with code 1001
between two frames, if such a place comes within GOING_AWAY_SECONDS; then the connections end.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Final, Protocol

from proxy.connection import Connection
from proxy.exchange import Exchange
from proxy.routes import switching_head
from storage.capture import Headers, Outcome
from storage.frames import CLOSE, FrameWalk, frame_of

LINGER_SECONDS: Final = 30.0
GOING_AWAY_SECONDS: Final = 0.5
_GOING_AWAY: Final = (1001).to_bytes(2)


class ClientGone(Exception):
    """The client left before its request was here, or before it could be answered."""


class Upgrade(Protocol):
    """A client that asked for a WebSocket, and waits: what a server hands to the relay."""

    def switch(self, tunnel: "Tunnel") -> tuple[asyncio.Transport, bytes]:
        """Speak HTTP no longer: give the connection to the tunnel, and what came on it since.

        Raises ClientGone.
        """


async def join(
    exchange: Exchange, upgrade: Upgrade, connection: Connection, headers: Headers
) -> None:
    """Answer the client's handshake with the upstream's answer, and carry the call to its end.

    `connection` has got a 101 with these headers. Raises ClientGone.
    """
    tunnel = Tunnel(exchange.request_passed, exchange.response_passed)
    tunnel.client.transport, client_sent = upgrade.switch(tunnel)
    tunnel.upstream.transport, upstream_sent = connection.switch(tunnel.upstream)
    exchange.response_started(101, headers)
    exchange.switched()
    since_ns = exchange.wait_for_client()
    tunnel.client.transport.write(switching_head(headers, exchange.id.encode()))
    outcome, error = await tunnel.run(client_sent, upstream_sent)
    exchange.waited(since_ns)
    exchange.end(outcome, error)


class Tunnel:
    """A client and an upstream after the handshake.

    `from_client` and `from_upstream` are told what passed, as it is to be recorded.
    """

    def __init__(
        self, from_client: Callable[[bytes], None], from_upstream: Callable[[bytes], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._first: End | None = None  # to end
        self._going_away = False
        self._interrupted = False  # by us, before a side had closed the socket
        self._timer: asyncio.TimerHandle | None = None
        self.client = End(self, from_client)
        self.upstream = End(self, from_upstream)
        self.client.other, self.upstream.other = self.upstream, self.client

    async def run(self, client_sent: bytes, upstream_sent: bytes) -> tuple[Outcome, str]:
        """Pass bytes until both ends have ended; say how, and what was wrong.

        Both transports have been set. What the sides sent before now goes first.
        """
        try:
            for end, sent in ((self.client, client_sent), (self.upstream, upstream_sent)):
                if sent:
                    end.data_received(sent)
                if not end.transport.is_closing():
                    end.transport.resume_reading()
            await self._over  # ends with both connections; go_away and _end_soon see to that
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for end in (self.client, self.upstream):
                end.flush()
                end.transport.abort()
        return self._outcome()

    def go_away(self) -> None:
        """Shalt is being stopped: say so to both sides, and end."""
        self._going_away = True
        self._interrupted = not (self.client.walk.closing or self.upstream.walk.closing)
        for end in (self.client, self.upstream):
            end.say_goodbye()
        self._end_soon(GOING_AWAY_SECONDS)

    @property
    def going_away(self) -> bool:
        """Whether the sides are being told to leave."""
        return self._going_away

    def ended(self, end: "End") -> None:
        """One side sends no more, or its connection is lost."""
        if self._first is None:
            self._first = end
            self._end_soon(LINGER_SECONDS)
        if self.client.lost and self.upstream.lost and not self._over.done():
            self._over.set_result(None)

    def said_goodbye(self) -> None:
        """A side has sent a close frame: if both have, we need not wait to go away."""
        if self.client.walk.closing and self.upstream.walk.closing:
            for end in (self.client, self.upstream):
                end.transport.close()

    def _end_soon(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._abort)

    def _abort(self) -> None:
        for end in (self.client, self.upstream):
            end.transport.abort()

    def _outcome(self) -> tuple[Outcome, str]:
        by_client, by_upstream = self.client.walk.closing, self.upstream.walk.closing
        if self._interrupted:
            return Outcome.INTERRUPTED, "shalt was stopped while the socket was open"
        if by_upstream or (by_client and self._first is self.upstream):
            return Outcome.COMPLETE, ""
        if self._first is self.upstream:
            return Outcome.UPSTREAM_CUT, "the upstream left without a close frame"
        return Outcome.CLIENT_GONE, ""


class End(asyncio.Protocol):
    """One end of a tunnel. `transport` is its connection, set before anything can come.

    `connection_was_lost` is told so, too: it is whoever spoke HTTP on it.
    """

    transport: asyncio.Transport
    other: "End"
    connection_was_lost: Callable[[Exception | None], None] | None = None

    def __init__(self, tunnel: Tunnel, passed: Callable[[bytes], None]) -> None:
        self.walk = FrameWalk()
        self.lost = False
        self._at_end = False  # no more will come
        self._dismissed = False  # what still comes is not passed on: its other side was told to go
        self._tunnel = tunnel
        self._passed = passed

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, then take note of them."""
        other = self.other.transport
        if not self._dismissed and not other.is_closing():
            other.write(data)
        pieces = self.walk.feed(data)
        if not self._dismissed and pieces:
            recorded = [piece.recorded for piece in pieces]
            self._passed(recorded[0] if len(recorded) == 1 else b"".join(recorded))
        if self._tunnel.going_away:
            self.say_goodbye()
            if self.walk.closing:
                self._tunnel.said_goodbye()

    def eof_received(self) -> bool:
        """Pass the end of the bytes on; tell whether the connection still serves to write."""
        self._at_end = True
        self._tunnel.ended(self)
        other = self.other.transport
        if not other.is_closing():
            if other.can_write_eof() and not self.other._at_end:
                other.write_eof()
            else:
                other.close()
        return not self.other._at_end

    def connection_lost(self, error: Exception | None) -> None:
        """Let the other side's connection end, after all that it is still to get."""
        self.lost = True
        if self.connection_was_lost is not None:
            self.connection_was_lost(error)
        self.other.transport.close()
        self._tunnel.ended(self)

    def pause_writing(self) -> None:
        """This side does not take: do not read the other."""
        if not (self.other.transport.is_closing() or self.other._at_end):
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """This side takes again."""
        if not (self.other.transport.is_closing() or self.other._at_end):
            self.other.transport.resume_reading()

    def say_goodbye(self) -> None:
        """Close the other side's socket with code 1001, if here is a place between two frames."""
        other = self.other
        if self._dismissed or self.walk.closing or not self.walk.between_frames:
            return
        self._dismissed = True
        if not (other.transport.is_closing() or self._at_end):
            masked = other is self._tunnel.upstream
            key = os.urandom(4) if masked else b""
            other.transport.write(frame_of(CLOSE, _GOING_AWAY, masked=masked, key=key))

    def flush(self) -> None:
        """Take note of the beginning of a frame that did not come."""
        if self.walk.unfinished:
            self._passed(self.walk.unfinished)
            self.walk.unfinished = b""
