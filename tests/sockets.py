"""A fake upstream that speaks WebSocket on loopback, for the tests of proxy.

/v1/realtime  greets, then echoes every message       /v1/refuse   401 with a JSON body
/v1/leave     sends `bye`, closes with code 4321      /v1/cut      sends `half`, then resets
/v1/silent    says nothing                            /v1/hang     never answers the handshake
/v1/raw       101, then echoes bytes, frames or not   /v1/pour     sends 64 MiB
"""

import asyncio
import base64
import hashlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

POURED_MESSAGES = 1024
POURED_BYTES = 64 * 1024
GREETING = '{"type":"session.created"}'


@dataclass
class SocketUpstream:
    """What the upstream has seen."""

    port: int = 0
    raw_port: int = 0
    requests: list[Request] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)  # codes
    heads: list[bytes] = field(default_factory=list)  # of raw handshakes
    poured: int = 0

    async def refuse(self, connection: ServerConnection, request: Request) -> Response | None:
        """Note a handshake, and answer the one that is to be refused."""
        self.requests.append(request)
        if request.path.startswith("/v1/hang"):
            await asyncio.Event().wait()
        if not request.path.startswith("/v1/refuse"):
            return None
        body = b'{"error": {"message": "no key"}}'
        headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body))})
        return Response(401, "Unauthorized", headers, body)

    async def speak(self, connection: ServerConnection) -> None:
        """Do what the path says."""
        assert connection.request is not None
        path = connection.request.path.partition("?")[0]
        try:
            if path == "/v1/leave":
                await connection.send("bye")
                await connection.close(4321, "done")
            elif path == "/v1/cut":
                await connection.send("half")
                connection.transport.abort()
            elif path == "/v1/silent":
                await connection.wait_closed()
            elif path == "/v1/pour":
                for _ in range(POURED_MESSAGES):
                    await connection.send(bytes(POURED_BYTES))
                    self.poured += 1
                await connection.close()
            else:
                await connection.send(GREETING)
                async for message in connection:
                    await connection.send(message)
        finally:
            await connection.wait_closed()
            self.closed.append(connection.close_code or 0)

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take any handshake, then send back whatever comes."""
        with suppress(ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            key = next(
                line.partition(b":")[2].strip()
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"sec-websocket-key:")
            )
            digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            answer += b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
            answer += base64.b64encode(digest) + b"\r\nX-Odd:  a b\r\n\r\nearly"
            writer.write(answer)
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@contextmanager
def running_sockets(
    *, compress: bool = False, tls: ssl.SSLContext | None = None
) -> Iterator[SocketUpstream]:
    """Run the upstream in a thread of its own."""
    seen = SocketUpstream()
    loop = asyncio.new_event_loop()
    started = threading.Event()
    stop = asyncio.Event()

    async def run() -> None:
        compression = "deflate" if compress else None
        raw = await asyncio.start_server(seen.echo, "127.0.0.1", ssl=tls)
        seen.raw_port = raw.sockets[0].getsockname()[1]
        server = await serve(
            seen.speak,
            "127.0.0.1",
            0,
            process_request=seen.refuse,
            compression=compression,
            ssl=tls,
            max_size=None,
            select_subprotocol=lambda _, offered: "realtime" if "realtime" in offered else None,  # type: ignore[arg-type, return-value]
            close_timeout=1,
        )
        seen.port = next(iter(server.sockets)).getsockname()[1]
        started.set()
        await stop.wait()
        raw.close()
        server.close(close_connections=False)
        await asyncio.sleep(0)  # closes what it listens on; nobody waits for the rest
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert started.wait(60)
    try:
        yield seen
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
