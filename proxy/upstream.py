"""The connections to one upstream: a pool, by which a call costs no handshake.

It promises: no header added, no cookie kept, no redirect followed; one address, the configured one,
by way of the egress proxy if the settings name one. With proxy.connection and proxy.dialling it is
the one place where a library would cost the user a factor of three or more (design: hot path), so
it is ours, on httptools.

It does not time anything out: whoever waits on a connection is cancelled by its call's deadline.
"""

import asyncio
from collections import deque
from typing import Final

from proxy.connection import Connection
from proxy.dialling import Address, Dialler

# An idle connection older than this is not used again: many servers close at 60 s or more, and a
# connection that dies under a request costs a retry.
IDLE_SECONDS_MAX: Final = 55.0


class UpstreamPool:
    """The connections to one address. Never more than `connections_max`, idle ones included."""

    def __init__(self, address: Address, *, connections_max: int) -> None:
        self._dialler = Dialler(address)
        self._connections_max = connections_max
        self._count = 0
        self._idle: deque[Connection] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def busy_count(self) -> int:
        """How many connections serve a call, or are being made for one."""
        return self._count - len(self._idle)

    @property
    def idle_count(self) -> int:
        """How many connections wait for a call."""
        return len(self._idle)

    async def acquire(self, *, fresh: bool = False) -> Connection:
        """Take an idle connection, or make one; wait while there are `connections_max`.

        `fresh`: make one even if some are idle. Raises UpstreamUnreachable.
        """
        while True:
            idle = None if fresh else self.take_idle()
            if idle is not None:
                return idle
            if self._count < self._connections_max:
                break
            if self._idle:
                self._let_go(self._idle.popleft())
                continue
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake_one()  # the turn came too late for us: pass it on
                raise
        self._count += 1
        loop = asyncio.get_running_loop()
        attempts: list[Connection] = []

        def attempt() -> Connection:
            attempts.append(Connection(loop))
            return attempts[-1]

        try:
            connection = await self._dialler.dial(attempt)
            attempts.remove(connection)
            return connection
        except BaseException:
            self._count -= 1
            self._wake_one()
            raise
        finally:
            for other in attempts:
                other.give_up()

    def take_idle(self) -> Connection | None:
        """Take an idle connection, None where there is none that can be used."""
        while self._idle:
            connection = self._idle.pop()
            if self._usable(connection):
                return connection
            self._let_go(connection)
        return None

    def release(self, connection: Connection) -> None:
        """Give a connection back: kept if it can serve again, else closed."""
        if connection.reusable:
            connection.rest()
            self._idle.append(connection)
            self._wake_one()
            # The newest is used first, so after a burst the others would lie here for ever.
            oldest = self._idle[0]
            if oldest.closed or connection.idle_since - oldest.idle_since > IDLE_SECONDS_MAX:
                self._let_go(self._idle.popleft())
        else:
            self._let_go(connection)

    def discard(self, connection: Connection) -> None:
        """Close a connection in the middle of whatever it does."""
        self._let_go(connection)

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._let_go(self._idle.popleft())

    def _usable(self, connection: Connection) -> bool:
        idle_seconds = asyncio.get_running_loop().time() - connection.idle_since
        return idle_seconds < IDLE_SECONDS_MAX and connection.quiet

    def _let_go(self, connection: Connection) -> None:
        connection.abort()
        self._count -= 1
        self._wake_one()

    def _wake_one(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
