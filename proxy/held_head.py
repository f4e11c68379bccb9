"""The head of an answer, written together with what follows at once.

uvicorn writes the head of an answer and its body one after the other: two system calls, and two
packets that wake the client twice. A head that is held goes out with the first piece of the body,
or at the end of this turn of the event loop where none has come: a stream's head waits for nothing.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class HeldHead:
    """A client's transport for one answer, as far as uvicorn's cycle uses one."""

    __slots__ = ("_cycle", "_head", "_loop", "_transport")

    def __init__(self, cycle: RequestResponseCycle, loop: asyncio.AbstractEventLoop) -> None:
        self._cycle = cycle
        self._loop = loop
        self._transport = cycle.transport
        self._head: bytes | None = b""  # empty before it is written, None after

    def write(self, data: bytes) -> None:
        """Write a piece of the answer; what comes before its head is none of it."""
        if self._head is None:
            self._transport.write(data)
        elif self._head:
            head, self._head = self._head, None
            self._transport.writelines((head, data))
        elif self._cycle.response_started:
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)  # 100 Continue

    def is_closing(self) -> bool:
        """Tell whether the connection ends."""
        return self._transport.is_closing()

    def close(self) -> None:
        """End the connection, when all is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, None
            self._transport.write(head)
