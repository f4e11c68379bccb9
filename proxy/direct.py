"""A call carried by callbacks: what comes on one connection is written to the other at once.

No task, no ASGI messages and no coroutine: a quarter to a third of what a call by `proxy.relay`
costs (benchmarks/RESULTS.md). The call is the same `Passage` with the same `Exchange`: same record,
metrics, limits, headers and errors. A task exists only while there is no idle connection and one
has to be made.

Back-pressure: an upstream is not read while its client does not take what was written; a client is
not read while the upstream does not, or while there is no connection yet. Between the two at most
one read of a socket (256 KiB) is waiting beyond what the transports themselves buffer.

What it does not do: wait for the disk before the last byte (`spool_sync = "always"`), WebSockets,
HTTP/1.0, `Expect`, requests sent ahead of answers. Those go by `proxy.relay`.
"""

import asyncio
import logging
from collections.abc import MutableSet
from typing import Final

from proxy import errors
from proxy.client_side import ClientSide
from proxy.connection import Connection
from proxy.egress import UpstreamUnreachable
from proxy.errors import OwnError
from proxy.passage import FAULT, STOPPED, Admission, Gate, Passage, UpstreamFailure, outcome_of
from proxy.routes import Upstream
from storage.capture import Outcome

log = logging.getLogger(__name__)

# While there is no connection yet, a client that has sent more than this waits.
UNSENT_BYTES_MAX: Final = 64 * 1024


def begin(gate: Gate, client: ClientSide, open_calls: MutableSet[object]) -> "DirectPassage":
    """Begin a call whose request's head is here; it ends at once where it is refused."""
    admission = gate.admit(client.asked.path, client.asked.headers)
    passage = DirectPassage(gate, client, admission, open_calls)
    if admission.refusal is not None:
        passage.refuse(admission.refusal)
    return passage


class DirectPassage(Passage):
    """One call between a client's connection and an upstream's.

    `open_calls` has it while it is open, so that whoever shuts down can wait for it, and `cancel`
    it as it cancels tasks. The methods up to `cancel` are called by the client's protocol.
    """

    __slots__ = (
        "_client", "_dialling", "_idle_ns", "_is_full", "_open_calls", "_since_ns", "_unsent",
    )  # fmt: skip

    def __init__(
        self,
        gate: Gate,
        client: ClientSide,
        admission: Admission,
        open_calls: MutableSet[object],
    ) -> None:
        super().__init__(gate, client.asked, admission, stop=self._abandoned, watch=None)
        self._client = client
        self._open_calls = open_calls
        self._dialling: asyncio.Task[None] | None = None
        self._unsent: list[bytes] = []  # of the request, while there is no connection
        self._is_full = False  # the client does not take more, so the upstream is not read
        self._since_ns = self.exchange.wait_for_client()
        open_calls.add(self)

    def proceed(self) -> None:
        """Go on with what came of the request. Never raise."""
        if not self.more_body or self.exchange.ended:
            return
        try:
            self._pass_request()
        except Exception:  # noqa: BLE001  # it would end the client's connection
            self._fault()

    def refuse(self, error: OwnError) -> None:
        """Answer ourselves. What the client still sends is not read."""
        self._finish(Outcome.REFUSED, error.message, error)

    def client_lost(self) -> None:
        """The client's connection has ended."""
        if self.gate.drain and not self.more_body:
            self.client_left = True
            self.client_reads_again()  # whoever it is
        else:
            self.exchange.abandon(Outcome.CLIENT_GONE)

    def client_is_full(self) -> None:
        """The client does not take what was written: read no more for it."""
        if self.connection is not None and self.response_begun:
            self._is_full = True
            self.connection.pause_reading()
            self.exchange.wait_for_client()

    def client_reads_again(self) -> None:
        """It does."""
        if self._is_full and self.connection is not None and self.upstream is not None:
            self._is_full = False
            self.exchange.wait_for_upstream(self.upstream.idle_seconds)
            self.connection.resume_reading()

    def cancel(self, msg: object = None) -> None:
        """Shalt is being stopped: end the call as it is, soon, as a task that is cancelled ends."""
        asyncio.get_running_loop().call_soon(self._finish, Outcome.INTERRUPTED, STOPPED)

    # proxy.connection.Receiver

    def arrived(self) -> None:
        """Pass on what is here of the answer."""
        connection = self.connection
        assert connection is not None
        try:
            if self.response_begun:
                self._pass_body(connection)
            else:
                self._pass_head(connection)
        except UpstreamUnreachable as failure:
            self._finish(outcome_of(failure), str(failure))
        except Exception:  # noqa: BLE001  # it would end the upstream's connection, and the call hang
            self._fault()

    def upstream_is_full(self) -> None:
        """Let the client wait with what it still sends."""
        if self.more_body:
            self._client.pause_reading()

    def upstream_reads_again(self) -> None:
        """Let it go on."""
        self._client.resume_reading()

    # The way there.

    def _pass_request(self) -> None:
        exchange, client, connection = self.exchange, self._client, self.connection
        data = client.take()
        self.more_body = client.more_body
        if not self.more_body:
            exchange.request_ended = True
        if data:
            exchange.request_passed(data)
        elif self.more_body:
            return  # that was the head alone
        if connection is None:
            self._unsent.append(data)
            if self._dialling is None:
                exchange.waited(self._since_ns)
                self._connect()
            elif exchange.request.length > UNSENT_BYTES_MAX:
                client.pause_reading()
            return
        assert self.upstream is not None
        connection.write(self.framed(data))
        if exchange.status_code is None:
            exchange.wait_for_upstream(self.upstream.first_byte_seconds)

    def _connect(self, *, again: bool = False) -> None:
        """Send the request on an idle connection, or make one; `again`: make one in any case."""
        upstream = self.upstream
        assert upstream is not None
        self._since_ns = self.exchange.wait_for_upstream(upstream.connect_seconds)
        connection = None if again else upstream.pool.take_idle()
        if connection is None:
            self._dialling = self.gate.tasks.create_task(self._dial(upstream, again))
        else:
            self._start(upstream, connection)

    async def _dial(self, upstream: Upstream, again: bool) -> None:
        """Make a connection; cancelled with the call."""
        try:
            connection = await upstream.pool.acquire(fresh=again)
            self._dialling = None
            self._start(upstream, connection)
            self._client.resume_reading()
        except UpstreamUnreachable as failure:
            self._dialling = None
            self._finish(outcome_of(failure), str(failure))
        except Exception:  # noqa: BLE001  # all tasks are in one group, which it would end
            self._dialling = None
            self._fault()

    def _start(self, upstream: Upstream, connection: Connection) -> None:
        exchange = self.exchange
        exchange.connected(self._since_ns)
        body, self._unsent = b"".join(self._unsent), []
        self.send(connection, body, receiver=self)
        self._since_ns = exchange.wait_for_upstream(upstream.first_byte_seconds)

    # The way back.

    def _pass_head(self, connection: Connection) -> None:
        """Pass on the head of the answer, if it is here, with what is there of the body."""
        head = connection.answer_head
        if head is None:
            if connection.failure is not None:
                self.exchange.waited(self._since_ns)
                self._fail(connection.failure)
            return
        exchange = self.exchange
        exchange.waited(self._since_ns)
        self.check(head)
        headers = self.answer(head)
        data, last = connection.take()
        if data:
            exchange.response_passed(data)
        self._client.answer(head.status_code, headers, data, last=last)
        assert self.upstream is not None
        self._idle_ns = int(self.upstream.idle_seconds * 1e9)
        self._go_on(connection, last)

    def _pass_body(self, connection: Connection) -> None:
        """Pass on what is here of the body."""
        exchange = self.exchange
        came_ns = exchange.now_ns()
        data, last = connection.take()
        if not (data or last or connection.failure):
            return
        self._client.pass_on(data, last=last)
        if data:
            wait_ns = 0 if self._is_full else self._idle_ns
            self._since_ns = exchange.response_went_on(data, self._since_ns, came_ns, wait_ns)
        else:
            exchange.waited(self._since_ns)
        if last or connection.failure:
            self._go_on(connection, last)

    def _go_on(self, connection: Connection, last: bool) -> None:
        """Wait for more of the answer, or end the call."""
        if last:
            self.end()
            self._let_go()
        elif connection.failure is not None:
            self._fail(connection.failure)
        elif self._is_full:
            self._since_ns = self.exchange.wait_for_client()
        else:
            assert self.upstream is not None
            self._since_ns = self.exchange.wait_for_upstream(self.upstream.idle_seconds)

    # The end.

    def _fail(self, failure: UpstreamFailure) -> None:
        whole = self.exchange.request.whole
        if whole is not None and self.must_send_again(failure):
            self._unsent = [whole]
            self._connect(again=True)
        else:
            self._finish(outcome_of(failure), str(failure))

    def _abandoned(self) -> None:
        assert self.exchange.abandoned is not None
        self._finish(self.exchange.abandoned, self.why_abandoned())

    def _fault(self) -> None:
        """Log the exception that is being handled: it costs this call alone."""
        log.exception("call failed id=%s", self.exchange.id)
        self._finish(Outcome.INTERRUPTED, FAULT)

    def _finish(self, outcome: Outcome, message: str, error: OwnError | None = None) -> None:
        """End the call without the end of its answer: by one of ours, if none has begun."""
        exchange, client = self.exchange, self._client
        if exchange.ended:
            self._let_go()  # as it may not have been, where its end failed
            return
        if self._dialling is not None:
            self._dialling.cancel()
        if error is None and not (self.response_begun or outcome is Outcome.CLIENT_GONE):
            error = errors.error_of(outcome, message)
        if error is None:
            client.break_off()
        else:
            headers, body = self.answer_ourselves(error)
            client.answer(error.status_code, headers, body, last=True)
        exchange.end(outcome, message)
        self._let_go()

    def _let_go(self) -> None:
        self.give_back()
        self._open_calls.discard(self)
