"""The command `forward`: stored calls to an OpenTelemetry collector, as they come.

Each call is sent at least once, oldest first; the collector sees the same span id whenever one is
sent again (after a crash between the answer and the note of it). How far it has come stands in the
data directory, `forward/<hash of URL and project>`, so a restart goes on there.

A call gets its id when it starts and is stored when it ends, so ids come out of order: those of the
last LATE_SECONDS are looked through again and again, and what has been sent of them is remembered.
A call that took longer than that, or was imported with an older time, is sent with --since only.

What the collector cannot take now (429, 502, 503, 504, no answer) is sent again, with growing
pauses of up to PAUSE_SECONDS_MAX or what it asks for. A batch that it refuses for good is halved
until the call at fault is alone; that one is counted and passed over. Anything else that it says
no with (401, 404, …) ends the command: it needs a person.
"""

import fcntl
import gzip
import hashlib
import logging
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import unquote, urlsplit

import httpx2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from exporters.otlp import request_of
from importers.fields import time_ns
from shalt.child import set_up_process
from shalt.places import DataDirError, Places
from shalt.recording import open_store
from shalt.settings import Settings
from shalt.terminal import print_line
from storage.capture import Clock, SystemClock
from storage.counted import counted
from storage.known import ids_after
from storage.rows import StoredCall
from storage.store import TraceStore

log = logging.getLogger(__name__)

BATCH_CALLS: Final = 100
BATCH_BYTES: Final = 4 * 2**20  # collectors take 20 MiB, gRPC behind them 4
PAGE_IDS: Final = 5_000
LATE_SECONDS: Final = 3_600
POLL_SECONDS: Final = 1.0
LOOK_RATIO: Final = 20  # after a look that took so long, a pause of so many times that
PAUSE_SECONDS: Final = 0.5  # doubled with every try
PAUSE_SECONDS_MAX: Final = 60.0
SEND_SECONDS: Final = 30.0

_AGAIN = frozenset({408, 429, 502, 503, 504})
_AT_FAULT = frozenset({400, 413, 422})  # something in the batch, not the collector


class CollectorRefused(Exception):
    """The collector says no in a way that waiting will not mend."""


class BadForward(Exception):
    """The URL, the headers or the time given cannot be used."""


def forward(
    settings: Settings,
    *,
    url: str,
    headers: str,
    since: str | None,
    content: bool,
    once: bool,
) -> int:
    """Send calls until told to end, or with `once` until there are none left; return the exit code.

    `headers` is `name=value,name=value`, values URL-encoded, as OTEL_EXPORTER_OTLP_HEADERS has it.
    Raise BadForward, CollectorRefused, DataDirError where another forwards the same already, and
    StoreError.
    """
    set_up_process(settings, "forward")
    target = _traces_url(url)
    since_ns = time_ns(since) if since else None
    if since and since_ns is None:
        raise BadForward(f"--since {since}: write a time like 2026-09-21T14:00:00Z")
    clock = SystemClock()
    with closing(open_store(settings)) as store, closing(_Stop()) as stop:
        store.check(wait_seconds=5.0)
        key = hashlib.sha256(f"{target}\0{settings.project}".encode()).hexdigest()[:16]
        with (
            closing(
                _Progress(Places(settings.data_dir).forward / key, clock, since_ns)
            ) as progress,
            httpx2.Client(headers=_headers(headers), timeout=SEND_SECONDS) as client,
        ):
            run = _Forwarding(store, settings.project, progress, client, target, content, stop)
            while not stop.asked:
                began = time.monotonic()
                sent = run.look(clock)
                if once and not sent:
                    break
                if not sent:
                    stop.wait(max(POLL_SECONDS, LOOK_RATIO * (time.monotonic() - began)))
        print_line(f"{counted(run.sent_count, 'call')} sent, {run.refused_count:,} refused")
    return 1 if run.refused_count else 0


class _Forwarding:
    """Calls on their way to one collector."""

    def __init__(
        self,
        store: TraceStore,
        project: str,
        progress: "_Progress",
        client: httpx2.Client,
        url: str,
        content: bool,
        stop: "_Stop",
    ) -> None:
        self._store = store
        self._project = project
        self._progress = progress
        self._client = client
        self._url = url
        self._content = content
        self._stop = stop
        self._version = version("shalt")
        self.sent_count = 0
        self.refused_count = 0

    def look(self, clock: Clock) -> int:
        """Send what has come; return how many calls that was."""
        before = self.sent_count + self.refused_count
        place = self._progress.after
        while not self._stop.asked:
            page = ids_after(self._store, self._project, place, limit=PAGE_IDS)
            if not page:
                break
            waiting = [id for id in page if id not in self._progress.sent]
            for batch in self._batches(waiting):
                self._send(batch)
            if self._stop.asked:
                break
            place = page[-1]
            late_ms = clock.wall_ns() // 1_000_000 - LATE_SECONDS * 1_000
            self._progress.advance(min(place, _id_at(late_ms)))
        return self.sent_count + self.refused_count - before

    def _batches(self, ids: Sequence[str]) -> Iterator[list[StoredCall]]:
        batch: list[StoredCall] = []
        length = 0
        for id in ids:
            call = self._store.get(id, self._project)
            if call is None:  # to be forgotten
                continue
            batch.append(call)
            length += (call.row.request_bytes + call.row.response_bytes) if self._content else 0
            if len(batch) >= BATCH_CALLS or length >= BATCH_BYTES:
                yield batch
                batch, length = [], 0
        if batch:
            yield batch

    def _send(self, batch: Sequence[StoredCall]) -> None:
        """Send a batch until it is taken; halve it where something in it is refused."""
        data = gzip.compress(
            request_of(batch, content=self._content, version=self._version), compresslevel=4
        )
        pause = PAUSE_SECONDS
        while not self._stop.asked:
            answer = self._post(data)
            if answer is not None and answer.is_success:
                self._note_partial(answer)
                self.sent_count += len(batch)
                self._progress.note([call.row.id for call in batch])
                return
            if answer is not None and answer.status_code not in _AGAIN:
                self._refused(batch, answer)
                return
            asked = answer.headers.get("retry-after", "") if answer is not None else ""
            wanted = float(asked) if asked.isdecimal() else pause
            self._stop.wait(min(wanted, PAUSE_SECONDS_MAX))
            pause = min(2 * pause, PAUSE_SECONDS_MAX)

    def _post(self, data: bytes) -> httpx2.Response | None:
        headers = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
        try:
            answer = self._client.post(self._url, content=data, headers=headers)
        except httpx2.TransportError as error:
            log.warning("collector not reached, trying again error=%s", type(error).__name__)
            return None
        if answer.status_code in _AGAIN:
            log.warning("collector busy, trying again status=%d", answer.status_code)
        return answer

    def _refused(self, batch: Sequence[StoredCall], answer: httpx2.Response) -> None:
        if answer.status_code not in _AT_FAULT:
            raise CollectorRefused(
                f"{self._url} answers {answer.status_code}: see that the URL and the headers are "
                "right; what has not been sent stays to be sent"
            )
        if len(batch) > 1:
            middle = len(batch) // 2
            self._send(batch[:middle])
            self._send(batch[middle:])
            return
        call_id = batch[0].row.id
        log.warning("collector refused a call id=%s status=%d", call_id, answer.status_code)
        self.refused_count += 1
        self._progress.note([call_id])

    def _note_partial(self, answer: httpx2.Response) -> None:
        if "protobuf" not in answer.headers.get("content-type", ""):
            return
        said = ExportTraceServiceResponse.FromString(answer.content).partial_success
        if said.rejected_spans:
            log.warning("collector rejected spans count=%d", said.rejected_spans)


class _Progress:
    """How far forwarding has come, in a file: `after ID`, then an id a line of those sent since.

    Lines are added after each batch; the file is written anew when it is opened and when the place
    has moved past many of its ids. A torn last line is a call that is sent again.
    """

    def __init__(self, path: Path, clock: Clock, since_ns: int | None) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._lock = open(path.with_suffix(".lock"), "ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise DataDirError("another shalt forwards this project there already") from None
        self.after = ""
        self.sent: set[str] = set()
        if since_ns is not None:
            self.after = _id_at(since_ns // 1_000_000)
        elif path.exists():
            first, *rest = path.read_text().splitlines() or [""]
            self.after = first.removeprefix("after ")
            self.sent = {id for id in rest if len(id) == 32 and id > self.after}
        if not self.after:
            self.after = _id_at(clock.wall_ns() // 1_000_000)
        self._file = self._write_anew()
        self._line_count = len(self.sent)

    def note(self, ids: Sequence[str]) -> None:
        """These have been sent."""
        self.sent.update(ids)
        self._line_count += len(ids)
        self._file.write("".join(f"{id}\n" for id in ids))
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def advance(self, place: str) -> None:
        """Everything up to this id has been dealt with for good."""
        if place <= self.after:
            return
        self.after = place
        self.sent = {id for id in self.sent if id > place}
        if self._line_count > 2 * len(self.sent) + PAGE_IDS:
            self._file.close()
            self._file = self._write_anew()
            self._line_count = len(self.sent)

    def close(self) -> None:
        """Write the place, and let others forward."""
        self._file.close()
        self._write_anew().close()
        self._lock.close()

    def _write_anew(self) -> TextIO:
        aside = self._path.with_suffix(".new")
        file = open(aside, "w")
        file.write(f"after {self.after}\n" + "".join(f"{id}\n" for id in sorted(self.sent)))
        file.flush()
        os.fsync(file.fileno())
        aside.rename(self._path)
        return file


class _Stop:
    """Whether SIGTERM or SIGINT has come; waits no longer than until one does."""

    def __init__(self) -> None:
        self.asked = False
        self._before = {
            number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)
        }

    def wait(self, seconds: float) -> None:
        """Wait so long, or until a signal comes."""
        until = time.monotonic() + seconds
        while not self.asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    def close(self) -> None:
        """Leave the signals as they were."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, _number: int, _frame: object) -> None:
        self.asked = True


def _traces_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadForward(f"--otlp {url}: write a URL like http://127.0.0.1:4318")
    if "@" in parts.netloc:
        raise BadForward(
            "--otlp must not hold credentials: give them with OTEL_EXPORTER_OTLP_HEADERS"
        )
    if parts.path.endswith("/v1/traces"):
        return url
    path = parts.path.rstrip("/") + "/v1/traces"
    return parts._replace(path=path).geturl()


def _headers(text: str) -> Mapping[str, str]:
    headers = {}
    for pair in filter(None, (each.strip() for each in text.split(","))):
        name, equals, value = pair.partition("=")
        if not (name.strip() and equals):
            raise BadForward("headers are written name=value,name=value; one has no =")
        headers[name.strip()] = unquote(value.strip())
    return headers


def _id_at(milliseconds: int) -> str:
    """Return what sorts before every id of that millisecond, and after all before it."""
    return f"{max(milliseconds, 0):012x}"
