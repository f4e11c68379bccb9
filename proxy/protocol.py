"""uvicorn's HTTP protocol, with the limits it lacks: connections, and bytes of a request's head.

Both are refused before there is a call: such a request is not in the ledger, but it is counted
(`shalt_proxy_refused_total`), and the client is told which setting refused it.

The head of a request that comes in one piece may be as long as what one read of the socket brings
(256 KiB), and is refused after it was parsed; one that comes in pieces is refused as soon as the
pieces exceed the limit. It costs a request 0.3 us.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol


@dataclass(frozen=True)
class ClientLimits:
    """What clients may take of one worker. `refused` is called with the code of every refusal."""

    head_bytes_max: int
    connections_max: int
    refused: Callable[[str], None]


def limited(limits: ClientLimits) -> type[HttpToolsProtocol]:
    """Make the protocol class for uvicorn's `http` setting."""

    class LimitedProtocol(HttpToolsProtocol):
        """One connection of a client."""

        _in_head = False
        _head_bytes = 0  # of a head that is not complete yet, as far as it came
        _piece_bytes = 0  # of what is being parsed

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections_max:
                self._refuse(503, "too_many_connections", "client_connections_max")

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                return
            self._piece_bytes = len(data)
            super().data_received(data)
            if self._in_head:
                self._head_bytes += len(data)
                if self._head_bytes > limits.head_bytes_max:
                    self._refuse_head()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_head = True
            self._head_bytes = 0

        def on_headers_complete(self) -> None:
            self._in_head = False
            if self._head_bytes + self._piece_bytes > limits.head_bytes_max and self._is_long():
                self._refuse_head()
                return
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            if not self.transport.is_closing():
                super().on_body(body)

        def on_message_complete(self) -> None:
            if not self.transport.is_closing():
                super().on_message_complete()

        def _is_long(self) -> bool:
            length = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            return length > limits.head_bytes_max

        def _refuse_head(self) -> None:
            self._refuse(431, "head_too_long", "header_bytes_max")

        def _refuse(self, status_code: int, code: str, setting: str) -> None:
            """Answer and close. No dialect is known here: OpenAI's envelope, as most read it."""
            limits.refused(code)
            if self.cycle is not None and not self.cycle.response_complete:
                self.transport.close()  # in the middle of another answer there is nothing to say
                return
            message = f"refused by shalt's limit {setting}"
            error = {"message": message, "type": "proxy_error", "param": None, "code": code}
            body = json.dumps({"error": error}).encode()
            head = b"content-type: application/json\r\nx-shalt-error: %b\r\ncontent-length: %d\r\n"
            head = head % (code.encode(), len(body)) + b"connection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status_code] + head + body)
            self.transport.close()

    return LimitedProtocol
