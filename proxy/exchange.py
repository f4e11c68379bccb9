"""One call: its copy, its clock and its end. Knows neither ASGI nor sockets.

The relay tells an `Exchange` what passes; the exchange keeps a bounded copy and turns it into the
frames of the spool. A short call becomes one frame at its end. A call that outlives
LONG_CALL_NS or of which more than HELD_BYTES_MAX is held is begun at once and continued as it goes,
so that neither memory nor a killed worker loses it.
"""

from collections.abc import Callable
from typing import Final

from proxy.body_copy import HELD_BYTES_MAX, BodyCopy, why_cut
from proxy.context import RecordMode, is_sampled
from proxy.metrics import Phases
from proxy.recording import Recording
from proxy.redact_bodies import BodyRedactor, Strainer
from proxy.redact_frames import FrameStrainer
from proxy.redact_personal import LineSearch
from storage.capture import (
    Body,
    Capture,
    Dialect,
    Headers,
    LeftOut,
    Outcome,
    endpoint_of,
    new_id,
)
from storage.spool import FrameKind, Part, ResponseHead

LONG_CALL_NS: Final = 50_000_000
# A long call is continued in the spool this often: what a killed worker may lack of one.
CONTINUE_NS: Final = 500_000_000
# A lost client is watched for once a call is this old: a watcher costs a task.
WATCH_AFTER_NS: Final = 5_000_000
# What waits to be searched is given up from here on, where all calls together hold too much.
RELIEVED_BYTES_MIN: Final = 16 * 2**10


class Exchange:
    """One call, from the first byte of its request to the last of its answer.

    `mode` is None where the request did not say what is to be kept: sampling decides then.
    `stop` is called when the call is abandoned: whoever relays it shall end it. `watch` starts
    looking out for the client's leaving; it is called once, when the call has become old enough,
    and None where that needs nobody. `request_ended`: all of the request's body has passed.
    """

    __slots__ = (
        "_begun", "_connect_ns", "_ended_ns", "_error", "_first_byte_ns", "_forwarded_ns",
        "_headers", "_left_out", "_mode", "_outcome", "_receive_ns", "_recording",
        "_redacted_headers", "_response_headers", "_response_started_ns", "_spool_at_ns",
        "_started_at_ns", "_started_ns", "_stop", "_strainers", "_waited_ns", "_watch",
        "abandoned", "deadline_ns", "dialect", "due_ns", "ended", "id", "method", "now_ns",
        "project", "request", "request_ended", "response", "status_code", "target", "upstream",
    )  # fmt: skip

    def __init__(
        self,
        recording: Recording,
        *,
        project: str,
        upstream: str,
        dialect: Dialect,
        method: str,
        target: bytes,
        headers: Headers,
        mode: RecordMode | None,
        sampled_by: bytes,
        stop: Callable[[], object],
        watch: Callable[[], None] | None,
    ) -> None:
        clock = recording.clock
        self.id = new_id(clock)
        self.project = project
        self.upstream = upstream
        self.dialect = dialect
        self.method = method
        self.target = target
        self.status_code: int | None = None
        self.ended = False
        self.abandoned: Outcome | None = None
        self.deadline_ns = 0  # 0: none
        self._left_out = LeftOut.OPTED_OUT
        if mode is None:  # nothing was asked for
            mode = "full"
            ratio = recording.sample_ratio
            if ratio < 1 and not is_sampled(sampled_by or self.id.encode(), ratio):
                mode, self._left_out = "none", LeftOut.SAMPLED_OUT
        kept_bytes_max = recording.body_bytes_max if mode == "full" else 0
        self.request = BodyCopy(kept_bytes_max, resend=True)
        self.response = BodyCopy(kept_bytes_max)
        self._recording = recording
        self._mode = mode
        self._stop: Callable[[], object] | None = stop
        self._watch = watch
        self._begun = self.request_ended = False
        self._redacted_headers: Headers = []  # both messages', of a call that has begun
        self._strainers: dict[bool, Strainer | FrameStrainer] = {}
        self._headers = headers
        self._response_headers: Headers = []
        self._started_at_ns = clock.wall_ns()
        self.now_ns = clock.monotonic_ns
        self._started_ns = self.now_ns()
        self._forwarded_ns: int | None = None
        self._response_started_ns: int | None = None
        self._first_byte_ns: int | None = None
        self._waited_ns = self._connect_ns = self._receive_ns = 0
        self._spool_at_ns = self._started_ns + LONG_CALL_NS
        self.due_ns = self._started_ns + (LONG_CALL_NS if watch is None else WATCH_AFTER_NS)
        recording.opened(self, counted=mode != "unrecorded")

    # What the relay tells.

    def request_passed(self, data: bytes) -> None:
        """More of the request's body came from the client."""
        if self.request.add(data) > HELD_BYTES_MAX:
            self._spool_what_came()

    def connected(self, since_ns: int) -> None:
        """There is a connection to the upstream, waited for since then."""
        waited_ns = self.now_ns() - since_ns
        self._waited_ns += waited_ns
        self._connect_ns += waited_ns

    def forwarded(self) -> None:
        """The request's head has been handed to an upstream connection."""
        self._forwarded_ns = self._elapsed_ns()
        self._receive_ns = max(self._forwarded_ns - self._waited_ns, 0)

    def response_started(self, status_code: int, headers: Headers) -> None:
        """The head of the answer is here."""
        self.request.let_go()
        self.status_code = status_code
        self._response_headers = headers
        self._response_started_ns = self._elapsed_ns()
        if self._begun:
            redacted = self._redact(headers)
            self._redacted_headers += redacted
            head = ResponseHead(self.id, self._response_started_ns, status_code, redacted)
            self._recording.append(FrameKind.RESPONSE, head)

    def switched(self) -> None:
        """What passes now are the frames of a WebSocket, which may be open for long: begin it."""
        self.request_ended = False  # the messages of the client continue it
        bodies = self._bodies()
        if bodies is not None:
            self._strainers = {False: FrameStrainer(bodies), True: FrameStrainer(bodies)}
        self._spool_what_came()

    def response_passed(self, data: bytes) -> None:
        """More of the answer's body is here."""
        if self._first_byte_ns is None:
            self._first_byte_ns = self._elapsed_ns()
        if self.response.add(data) > HELD_BYTES_MAX:
            self._spool_what_came()

    def response_went_on(self, data: bytes, since_ns: int, came_ns: int, wait_ns: int) -> int:
        """Do at once what `waited`, `response_passed` and `wait_for_upstream` do.

        More of the answer's body came at `came_ns`, waited for since `since_ns`, and has been
        passed on; now we wait for the next, `wait_ns` at most, or for the client where that is 0.
        """
        self._waited_ns += came_ns - since_ns
        if self._first_byte_ns is None:
            self._first_byte_ns = came_ns - self._started_ns
        if self.response.add(data) > HELD_BYTES_MAX:
            self._spool_what_came()
        now_ns = self.now_ns()
        self.deadline_ns = deadline_ns = now_ns + wait_ns if wait_ns else 0
        if 0 < deadline_ns < self.due_ns:
            self.due_ns = deadline_ns
        return now_ns

    def wait_for_upstream(self, seconds: float) -> int:
        """Note that we wait for the upstream now, and for how long at most; hand out the time."""
        now_ns = self.now_ns()
        self.deadline_ns = deadline_ns = now_ns + int(seconds * 1e9)
        if deadline_ns < self.due_ns:
            self.due_ns = deadline_ns
        return now_ns

    def wait_for_client(self) -> int:
        """Note that we wait for the client now, which has no limit of ours; hand out the time."""
        self.deadline_ns = 0
        return self.now_ns()

    def waited(self, since_ns: int) -> None:
        """The wait that began at `since_ns` is over; what it took was not our time."""
        self._waited_ns += self.now_ns() - since_ns

    @property
    def recorded(self) -> bool:
        """Whether this is a call of an upstream, with an id of its own, and not our own page."""
        return self._mode != "unrecorded"

    def stop_watch(self) -> None:
        """Somebody else looks out for the client's leaving."""
        self._watch = None

    def abandon(self, outcome: Outcome) -> None:
        """Have whoever relays the call end it, who will see in `abandoned` why."""
        if self._stop is not None and self.abandoned is None:
            self.abandoned = outcome
            self._stop()

    def end(self, outcome: Outcome, error: str = "") -> None:
        """The call is over: have it recorded within this turn of the loop. The first end counts."""
        if self.ended:
            return
        self.ended = True
        self._stop = self._watch = None  # which refer to whoever refers to this
        self._outcome, self._error = outcome, error
        self._ended_ns = self._elapsed_ns()
        self._recording.ended(self, recorded=self.recorded)

    def record(self) -> None:
        """Hand the record of the call, which has ended, to the spool."""
        began_ns = self.now_ns()
        overhead_ns = max(self._ended_ns - self._waited_ns, 0)
        if self._mode == "none":
            self._recording.left_out(self, self._left_out)
        else:
            self._record(overhead_ns)
        self._measure(overhead_ns, self.now_ns() - began_ns)

    def timing(self) -> bytes:
        """Say as `server-timing` does, in milliseconds, where the time went until the answer."""
        receive_ns, since_ns = self._receive_ns, self._forwarded_ns or 0
        upstream_ns = (self._response_started_ns or since_ns) - since_ns
        named = (("receive", receive_ns), ("connect", self._connect_ns), ("upstream", upstream_ns))
        return ", ".join(f"{name};dur={value / 1e6:.3f}" for name, value in named).encode()

    def sweep(self, now_ns: int) -> None:
        """Do what is due: see `proxy.recording.OpenCall`."""
        watch_at_ns = self._started_ns + WATCH_AFTER_NS
        if self._watch is not None and now_ns > watch_at_ns:
            watch, self._watch = self._watch, None
            watch()
        if now_ns > self._spool_at_ns:
            self._spool_at_ns = now_ns + CONTINUE_NS
            self._spool_what_came()
        if 0 < self.deadline_ns < now_ns:
            self.abandon(Outcome.UPSTREAM_TIMEOUT)
        self.due_ns = min(
            self._spool_at_ns,
            self.deadline_ns or self._spool_at_ns,
            self._spool_at_ns if self._watch is None else watch_at_ns,
        )

    @property
    def held_bytes(self) -> int:
        """How much is held of this call: see `proxy.recording.OpenCall`."""
        waiting = sum(strainer.held_bytes for strainer in self._strainers.values())
        return self.request.memory_bytes + self.response.memory_bytes + waiting

    def relieve(self) -> None:
        """Spool what came; of what waits to be searched, keep no more."""
        if self.ended:
            return
        self._spool_what_came()
        self.request.relieve()
        for strainer in self._strainers.values():
            if strainer.held_bytes > RELIEVED_BYTES_MIN:
                strainer.relieve()

    def _measure(self, overhead_ns: int, record_ns: int) -> None:
        receive_ns = min(self._receive_ns, overhead_ns)
        phases = Phases(
            receive_ns / 1e9,
            self._connect_ns / 1e9,
            (overhead_ns - receive_ns) / 1e9,
            record_ns / 1e9,
        )
        kind = dict(self._response_headers).get(b"content-type", b"")
        streamed = self._first_byte_ns is not None and kind.startswith(b"text/event-stream")
        self._recording.metrics.observe(
            self.upstream,
            endpoint_of(self.method, self.target.decode("latin-1")),
            self._outcome,
            phases=phases,
            duration_seconds=self._ended_ns / 1e9,
            first_token_seconds=(self._first_byte_ns or 0) / 1e9 if streamed else None,
        )

    # How it gets to the spool.

    def _record(self, overhead_ns: int) -> None:
        if self._begun:
            self._spool_parts(last=True)
            request = self.request.describe(b"", self._strainers.get(False))
            response = self.response.describe(b"", self._strainers.get(True))
            kind = FrameKind.END
        else:
            bodies = self._bodies()
            request = self.request.take_whole(bodies, self._headers)
            response = self.response.take_whole(bodies, self._response_headers)
            kind = FrameKind.CALL
        for body, strainer in (
            (request, self._strainers.get(False)),
            (response, self._strainers.get(True)),
        ):
            if body.truncated and self._mode == "full":
                self._recording.metrics.cut.labels(why_cut(body, strainer)).inc()
        outcome, error = self._outcome, self._error
        capture = self._capture(request, response, outcome, error, self._ended_ns, overhead_ns)
        self._recording.append(kind, capture)

    def _spool_what_came(self) -> None:
        """Begin the call in the spool, or continue it."""
        if self._mode in ("none", "unrecorded"):
            self.request.take()
            self.response.take()
        elif self._begun:
            self._spool_parts()
        else:
            self._begun = True
            request = Body(self._strain(False), self.request.length)
            response = Body(self._strain(True), self.response.length)
            elapsed_ns = self._elapsed_ns()
            capture = self._capture(request, response, Outcome.INTERRUPTED, "", elapsed_ns, 0)
            self._recording.append(FrameKind.BEGIN, capture)

    def _spool_parts(self, *, last: bool = False) -> None:
        elapsed_ns = self._elapsed_ns()
        for of_response, copy in ((False, self.request), (True, self.response)):
            if copy.held_bytes or last:
                kept = self._strain(of_response, last=last)
                if kept:
                    part = Part(self.id, elapsed_ns, of_response, kept)
                    self._recording.append(FrameKind.PART, part)

    def _strain(self, of_response: bool, *, last: bool = False) -> bytes:
        """Take what has come of a body, and return what of it may be kept."""
        copy = self.response if of_response else self.request
        data = copy.take() if copy.held_bytes else b""
        bodies = self._bodies()
        if bodies is None:
            return data
        strainer = self._strainers.get(of_response)
        if strainer is None:
            if not data:
                return b""
            headers = self._response_headers if of_response else self._headers
            strainer = self._strainers[of_response] = Strainer(bodies, headers)
        return strainer.strain(data, last=last or (self.request_ended and not of_response))

    def _bodies(self) -> BodyRedactor | None:
        """Return what takes secrets out of the bodies of this call's project."""
        bodies = self._recording.bodies
        return None if bodies is None else bodies.of(self.project)

    def _capture(
        self,
        request: Body,
        response: Body,
        outcome: Outcome,
        error: str,
        ended_ns: int,
        overhead_ns: int,
    ) -> Capture:
        count = len(self._headers)
        headers = self._redacted_headers
        if not headers:  # at once, which costs less
            headers = self._redact(self._headers + self._response_headers)
            if self._begun:
                self._redacted_headers = headers
        return Capture(  # by position: by name it takes 0.5 us more
            self.id,
            self.project,
            self.upstream,
            self.dialect,
            self.method,
            self._recording.redactor.target(self.target, self._personal()).decode("latin-1"),
            headers[:count],
            request,
            self.status_code,
            headers[count:],
            response,
            outcome,
            error,
            self._started_at_ns,
            self._forwarded_ns,
            self._response_started_ns,
            self._first_byte_ns,
            ended_ns,
            overhead_ns,
            request.kept is not None or response.kept is not None,
        )

    def _redact(self, headers: Headers) -> Headers:
        return self._recording.redactor.headers(headers, self._personal())

    def _personal(self) -> LineSearch | None:
        """Return what finds personal data in the heads of this call's project."""
        bodies = self._bodies()
        return None if bodies is None else bodies.lines()

    def _elapsed_ns(self) -> int:
        return self.now_ns() - self._started_ns
