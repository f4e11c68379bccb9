"""uvicorn's server for a worker: it says when it listens, and can be told to retire.

A worker that retires accepts no new connections, for another one listens beside it. What is open
may end: calls, streams, WebSockets, for `reload_seconds` at most. A connection that is kept open
between calls takes one more, whose answer says that it is the last; one that stays idle is closed
after the time that any idle connection is. What is still open at the end of the time, or when
SIGTERM comes, ends as SIGTERM has it: WebSockets are told to go, calls have `shutdown_seconds`.
"""

import asyncio
from collections.abc import Callable
from socket import socket
from types import FrameType
from typing import Final

import uvicorn

from proxy.protocol import ClientProtocol

LOOK_SECONDS: Final = 0.1


class WorkerServer(uvicorn.Server):
    """Serves connections of `protocol`. `ready` is called once it accepts them."""

    def __init__(
        self,
        config: uvicorn.Config,
        protocol: type[ClientProtocol],
        *,
        retire_seconds: float,
        shutdown_seconds: float,
        ready: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._protocol = protocol
        self._retire_seconds = retire_seconds
        self._shutdown_seconds = shutdown_seconds
        self._ready = ready
        self._retire_asked = self._end_asked = False

    def ask_to_retire(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Begin to retire within LOOK_SECONDS; a signal handler."""
        self._retire_asked = True

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        if self._retire_asked and not self.should_exit:
            self._protocol.retiring = True
            self.config.timeout_graceful_shutdown = None  # the time is kept here
            return True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        if not self._protocol.retiring:
            await super().shutdown(sockets)
            return
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(self._end_in_time())
            await super().shutdown(sockets)
            watch.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._end_asked = True
        super().handle_exit(sig, frame)

    async def _end_in_time(self) -> None:
        """Wait until the time is over or SIGTERM comes; ended by the end of the last connection."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._retire_seconds
        while not self._end_asked and loop.time() < until:
            await asyncio.sleep(LOOK_SECONDS)
        self._protocol.retiring = False
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(self._shutdown_seconds)
        for task in list(self.server_state.tasks):
            task.cancel()
