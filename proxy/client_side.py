"""The client's side of one call that is carried directly: what it sends, and HTTP/1.1 back to it.

uvicorn's protocol takes it for one of its own cycles (the attributes in the first lines), so that
keep-alive, requests sent ahead and shutdown go on as they do; what a client reads is byte for byte
what uvicorn would have written. The head of an answer and what comes with it are one write.

It promises nothing about what passes: names and values of headers are those that llhttp let in from
the upstream, or ours.
"""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from proxy.passage import Asked
from storage.capture import Headers


class ClientSide:
    """One request on a client's connection, and the answer to it.

    `over` is called when the answer is complete and the connection stays open or ends in order.
    """

    __slots__ = (
        "_bodyless", "_chunked", "_flow", "_over", "_paused", "_pieces", "_transport", "asked",
        "keep_alive", "more_body", "response_complete", "response_started",
    )  # fmt: skip

    def __init__(
        self,
        asked: Asked,
        transport: asyncio.Transport,
        flow: FlowControl,
        *,
        keep_alive: bool,
        over: Callable[[], None],
    ) -> None:
        self.keep_alive = keep_alive
        self.more_body = True
        self.response_started = self.response_complete = False
        self.asked = asked
        self._transport = transport
        self._flow = flow
        self._over = over
        self._pieces: list[bytes] = []
        self._bodyless = self._chunked = self._paused = False

    # What it sends.

    def came(self, data: bytes) -> None:
        """Keep a piece of the request's body until it is taken."""
        self._pieces.append(data)

    def take(self) -> bytes:
        """Return what came since it was last asked."""
        pieces = self._pieces
        if not pieces:
            return b""
        self._pieces = []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def pause_reading(self) -> None:
        """Let the client wait with more of its body."""
        if not self._transport.is_closing():
            self._paused = True
            self._flow.pause_reading()

    def resume_reading(self) -> None:
        """Take more of its body, if it was told to wait."""
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._flow.resume_reading()

    # What it gets.

    def answer(self, status_code: int, headers: Headers, data: bytes, *, last: bool) -> None:
        """Write the head of the answer with what there is of its body; `last`: that is all."""
        self.response_started = True
        lines = [STATUS_LINE.get(status_code) or b"HTTP/1.1 %d \r\n" % status_code]
        chunked = True
        for name, value in headers:
            if name == b"content-length":
                chunked = False
            lines += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        self._bodyless = self.asked.method == "HEAD"
        self._chunked = chunked and not self._bodyless and status_code not in (204, 304)
        if self._chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        self._frame(lines, data, last)
        self._write(b"".join(lines))
        if last:
            self._complete()

    def pass_on(self, data: bytes, *, last: bool) -> None:
        """Write more of the answer's body; `last`: that is all."""
        if self._chunked and data and not last:  # as are most pieces there are
            if not self._transport.is_closing():
                self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
            return
        pieces: list[bytes] = []
        self._frame(pieces, data, last)
        if pieces:
            self._write(b"".join(pieces))
        if last:
            self._complete()

    def break_off(self) -> None:
        """End the connection in the middle of the answer, when what was written has gone."""
        self._transport.close()

    def _frame(self, pieces: list[bytes], data: bytes, last: bool) -> None:
        if self._chunked:
            if data:
                pieces += (b"%x\r\n" % len(data), data, b"\r\n")
            if last:
                pieces.append(b"0\r\n\r\n")
        elif data and not self._bodyless:
            pieces.append(data)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def _complete(self) -> None:
        self.response_complete = True
        if not self.keep_alive:
            self._transport.close()
        self._over()
