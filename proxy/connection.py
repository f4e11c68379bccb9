"""One connection to an upstream: what goes out as it is, what comes back as llhttp lets it.

It promises: body bytes as they came, transfer-decoded and nothing else; llhttp validates all
framing. Back-pressure both ways: reading stops when READ_BYTES_MAX wait to be taken, `drain` waits
while the peer does not read. The head of an answer has HEAD_BYTES_MAX, what comes before it (1xx)
included, and so has what is sent between two pieces of its body, or behind it.

An answer is waited for (`head`, `read`), or told to a `Receiver` as it comes, which costs no task.

It does not time anything out: whoever waits on a connection is cancelled by its call's deadline.
"""

import asyncio
import os
import select
import socket
from typing import Final, NamedTuple, Protocol, cast

import httptools

READ_BYTES_MAX: Final = 256 * 1024
HEAD_BYTES_MAX: Final = 256 * 1024  # four times what servers let clients send
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)  # Linux only
# So many pieces of an answer are acknowledged at once: as many as Linux does by itself on a new
# connection (TCP_MAX_QUICKACKS). For all of a stream it would cost a twentieth of its chunks.
_QUICKACKS_MAX: Final = 16


class UpstreamCut(Exception):
    """The connection ended before the answer did. `before_first_byte`: nothing came at all."""

    def __init__(self, message: str, *, before_first_byte: bool) -> None:
        super().__init__(message)
        self.before_first_byte = before_first_byte


class UpstreamNotHttp(Exception):
    """What came back is not HTTP."""


class ResponseHead(NamedTuple):
    """Status and headers of an answer: names in lower case, order and repeats as they came."""

    status_code: int
    headers: list[tuple[bytes, bytes]]


class Receiver(Protocol):
    """Who is told of an answer as it comes."""

    def arrived(self) -> None:
        """Something is here: the head, more of the body, its end, or a failure. Never raise."""

    def upstream_is_full(self) -> None:
        """The upstream does not read: send it no more until it does."""

    def upstream_reads_again(self) -> None:
        """It does."""


class Connection(asyncio.Protocol):
    """One connection to an upstream, used for one call at a time.

    `failure`: what became of an answer that did not come whole, once all that came is taken.
    `answer_head`: the head of the answer, once it is here.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.closed = False
        self.used_before = False
        self.idle_since = 0.0
        self._loop = loop
        self._transport: asyncio.Transport
        self._socket: socket.socket | None = None
        self._poll: select.poll | None = None
        self._reader_waits: asyncio.Future[None] | None = None
        self._writer_waits: asyncio.Future[None] | None = None
        self._write_paused = False
        self._busy = False
        self._receiver: Receiver | None = None
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self.answer_head: ResponseHead | None = None
        self._chunks: list[bytes] = []
        self._chunk_bytes = 0
        self._head_bytes = 0
        self._quickacks = 0
        self._read_paused = False
        self._complete = False
        self._keep_alive = False
        self._bodyless = False
        self._upgrade = self._switched = False
        self._got_bytes = False
        self.failure: UpstreamCut | UpstreamNotHttp | None = None

    # What a call does with it.

    def start(
        self,
        data: bytes,
        *,
        bodyless: bool,
        upgrade: bool = False,
        receiver: Receiver | None = None,
    ) -> None:
        """Send the head of a request, and as much of its body as there is.

        `bodyless`: the answer has no body whatever its headers say (the request is a HEAD).
        `upgrade`: the answer may be 101; then the connection waits, unread, for `switch`.
        `receiver`: who takes the answer as it comes; without one, it is waited for.
        """
        self._busy = True
        self._receiver = receiver
        self._bodyless = bodyless
        self._upgrade = upgrade
        self._transport.write(data)

    def write(self, data: bytes) -> None:
        """Send more of the body; to nobody if the upstream has left, whose answer tells."""
        if not self.closed:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the upstream has taken most of what was written."""
        while self._write_paused and not self.closed:
            self._writer_waits = self._loop.create_future()
            await self._writer_waits

    async def head(self) -> ResponseHead:
        """Wait for the head of the answer; 1xx are skipped.

        Raises UpstreamCut and UpstreamNotHttp.
        """
        while self.answer_head is None:
            if self.failure is not None:
                raise self.failure
            await self._more()
        return self.answer_head

    async def read(self) -> bytes:
        """Wait for more of the body and return all that is here; empty at its end.

        Raises UpstreamCut and UpstreamNotHttp after everything that came has been returned.
        """
        while not self._chunks:
            if self._complete:
                return b""
            if self.failure is not None:
                raise self.failure
            await self._more()
        data, _ = self.take()
        if self._read_paused:
            self.resume_reading()
        return data

    def take(self) -> tuple[bytes, bool]:
        """Return what is here of the body, and whether that is the end of it."""
        chunks = self._chunks
        if not chunks:
            return b"", self._complete
        self._chunks = []
        self._chunk_bytes = 0
        return chunks[0] if len(chunks) == 1 else b"".join(chunks), self._complete

    def pause_reading(self) -> None:
        """Read no more of the answer for now: what is here cannot be passed on."""
        if not (self._read_paused or self.closed):
            self._read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._read_paused = False
        if not self.closed:
            self._transport.resume_reading()

    def switch(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]:
        """Hand over the connection after a 101, and what came behind that."""
        self._release_socket()
        self._transport.set_protocol(protocol)
        return self._transport, b"".join(self._chunks)

    @property
    def complete(self) -> bool:
        """The whole answer is here and has been read."""
        return self._complete and not self._chunks

    @property
    def reusable(self) -> bool:
        """The answer is over and both sides keep the connection."""
        return self.complete and self._keep_alive and not self.closed and self.failure is None

    @property
    def quiet(self) -> bool:
        """Nothing has come while the connection was idle, neither its end nor bytes unasked for.

        Asks the socket itself, for the event loop may not have got to it yet: 0.3 us.
        """
        return not self.closed and (self._poll is None or not self._poll.poll(0))

    def abort(self) -> None:
        """Close at once; what the upstream still sends is of no interest."""
        self._busy = False
        self._receiver = None
        self._transport.abort()

    def give_up(self) -> None:
        """Nobody waits for this attempt to connect any more, which is being cancelled.

        uvloop may still say that the connection is made, and will not say that it is lost.
        """
        self.closed = True
        self._release_socket()

    def rest(self) -> None:
        """Get ready for the next call."""
        self._busy = False
        self._receiver = None
        self.used_before = True
        self.idle_since = self._loop.time()
        self._reset()

    async def _more(self) -> None:
        self._reader_waits = self._loop.create_future()
        try:
            await self._reader_waits
        finally:
            self._reader_waits = None

    def _wake(self) -> None:
        if self._receiver is not None:
            self._receiver.arrived()
            return
        waiting = self._reader_waits
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _fail(self, failure: UpstreamCut | UpstreamNotHttp) -> None:
        if self.failure is None and not self._complete:
            self.failure = failure

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.closed:
            return
        given = transport.get_extra_info("socket")
        if given is not None:
            self._poll = select.poll()
            self._poll.register(given.fileno(), select.POLLIN)
        if _QUICKACK is not None and given is not None and given.family != socket.AF_UNIX:
            self._socket = socket.socket(fileno=os.dup(given.fileno()))

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            self._transport.abort()  # bytes nobody asked for: never give them to the next call
            return
        self._got_bytes = True
        if self._switched:
            self._chunks.append(data)
            return
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self._switched:
                self._fail(UpstreamNotHttp("the upstream switched protocols unasked"))
            else:
                self._transport.pause_reading()
                self._chunks.append(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._fail(UpstreamNotHttp(f"the upstream's answer is not HTTP: {error}"))
            self._transport.abort()
        if self._head_bytes > HEAD_BYTES_MAX and not self._complete:
            what = "head is" if self.answer_head is None else "chunks have extensions, or trailers,"
            self._fail(UpstreamNotHttp(_too_long(what)))
            self._transport.abort()
        unfinished = not self._complete
        receiver = self._receiver
        if receiver is not None:
            receiver.arrived()
        else:
            self._wake()
        if unfinished and self._quickacks < _QUICKACKS_MAX:
            self._acknowledge()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._release_socket()
        if self._busy and not self._complete:
            if error is None and self.answer_head is not None and self._ends_with_connection():
                self._complete = True
            else:
                what = f"the upstream closed the connection: {error or 'end of stream'}"
                self._fail(UpstreamCut(what, before_first_byte=not self._got_bytes))
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._write_paused = True
        if self._receiver is not None:
            self._receiver.upstream_is_full()

    def resume_writing(self) -> None:
        if self._write_paused and self._receiver is not None:
            self._receiver.upstream_reads_again()
        self._write_paused = False
        waiting = self._writer_waits
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _release_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _acknowledge(self) -> None:
        """Acknowledge what came, now.

        A server that writes head and body apart without TCP_NODELAY sends the second piece only
        when the first is acknowledged, which Linux delays by 40 ms on a connection that is used
        again. The client would not have waited, on a connection of its own.
        """
        if self._socket is not None and _QUICKACK is not None:
            self._quickacks += 1
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _ends_with_connection(self) -> bool:
        """Tell whether the answer has no framing of its own (RFC 9112, section 6.3)."""
        codings = [value for name, value in self._headers if name == b"transfer-encoding"]
        if codings:  # whose last one frames the body, or nothing does
            return codings[-1].rpartition(b",")[2].strip().lower() != b"chunked"
        return all(name != b"content-length" for name, _ in self._headers)

    # httptools callbacks

    def on_message_begin(self) -> None:
        if self._complete:
            # A second answer to one request: never to be mistaken for the next call's.
            self.failure = UpstreamNotHttp("the upstream answered twice")
            self._keep_alive = False
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.answer_head is None:  # later ones are trailers, which ASGI cannot carry
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status_code = self._parser.get_status_code()
        if status_code < 100:  # three digits, as the grammar has it, but no status there is
            self._fail(UpstreamNotHttp(f"the upstream's answer has the status {status_code:03}"))
        switches = status_code == 101 and self._upgrade and self._parser.should_upgrade()
        if (status_code < 200 and not switches) or self.answer_head is not None:
            return
        if self._head_bytes > HEAD_BYTES_MAX:  # or it came with as much of the body
            length = sum(len(name) + len(value) for name, value in self._headers)
            if length > HEAD_BYTES_MAX:
                self._fail(UpstreamNotHttp(_too_long("head is")))
                return
        self._keep_alive = self._parser.should_keep_alive() and not switches
        self._switched = switches
        self.answer_head = ResponseHead(status_code, self._headers)
        if self._bodyless:
            self._complete = True
            self._keep_alive = False  # llhttp waits for a body that will not come

    def on_body(self, data: bytes) -> None:
        if self._bodyless or self._complete:
            return
        self._head_bytes = 0
        self._chunks.append(data)
        if self._receiver is None:  # who would take it at once
            self._chunk_bytes += len(data)
            if self._chunk_bytes > READ_BYTES_MAX:
                self.pause_reading()

    def on_message_complete(self) -> None:
        if self.answer_head is not None:
            self._complete = True


def _too_long(what: str) -> str:
    return f"the answer's {what} longer than {HEAD_BYTES_MAX} bytes"
