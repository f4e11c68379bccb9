"""What the recorder promises under strain, measured on real processes.

    python -m benchmarks.recorder_limits [--minutes 1] [--rate 200] [--how renamed|locked]

Memory: a spool of 64 MiB of small calls, and one of a single call with 64 MiB of small events, are
stored by a recorder of its own; its memory at most (limit 250 MB).

Store away: `shalt serve` under `--rate` calls a second of 20 KB each. The store is taken away for
so many minutes and given back. Meanwhile the ledger is read ten times a second and must add up
each time, no counter may go back, and every call is answered. Then: by how much each process grew
at most (limit 100 MB), how long until the backlog was 0, and how many calls the store lacks.
"""

import argparse
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Final, Literal

import msgspec

from storage.capture import Body, Capture, SystemClock, new_id
from storage.ledger import Ledger, is_balanced
from storage.segments import spool_bytes
from storage.spool import FrameKind, Part, SpoolLimits, SpoolWriter
from tests.captures import plain_capture
from tests.serving import Shalt, running_shalt
from tests.upstream import running_upstream

MEMORY_BYTES: Final = 64 * 2**20
CALL_BYTES: Final = 20_000
CLIENTS: Final = 8
# Before memory is compared. What the recorder remembers is bounded, and not all of it full by then:
# 48 MB of calls to compare are, 16,000 groups to encode bodies against, of short calls 17 MB, not.
WARM_SECONDS: Final = 30.0
DRAIN_SECONDS_MAX: Final = 1_800.0
MODULES: Final = ("shalt.worker", "shalt.recording", "shalt.console")
EVENT: Final = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'
)

How = Literal["renamed", "locked"]


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in use now, 0 when it has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def memory_of(fill: Callable[[SpoolWriter], None]) -> tuple[float, float, float]:
    """Let a recorder store a spool; return its memory at most and at first, in MB, and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        writer = SpoolWriter(
            data_dir / "spool", limits=SpoolLimits(spool_bytes=2**34), clock=SystemClock()
        )
        fill(writer)
        writer.close()
        started = time.monotonic()
        command = [sys.executable, "-m", "shalt", "record", "--data-dir", str(data_dir)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as recorder:
            first = most = 0
            while any((data_dir / "spool").iterdir()):
                now = resident_bytes(recorder.pid)
                first = first or (now if (data_dir / "shalt.sqlite").exists() else 0)
                most = max(most, now)
                time.sleep(0.005)
            seconds = time.monotonic() - started
            recorder.terminate()
    return most / 1e6, first / 1e6, seconds


def fill_with_small_calls(writer: SpoolWriter) -> None:
    """Write MEMORY_BYTES of calls that answer with ten small events."""
    byte_count = 0
    while byte_count < MEMORY_BYTES:
        call = _call(EVENT * 10 + b"data: [DONE]\n\n")
        byte_count += len(msgspec.msgpack.encode(call))
        writer.append(FrameKind.CALL, call)
        if byte_count % 50 == 0:
            writer.flush()
    writer.flush()


def fill_with_one_stream(writer: SpoolWriter) -> None:
    """Write one long call of MEMORY_BYTES of small events."""
    call = _call(b"")
    part = EVENT * (2**20 // len(EVENT))
    count = MEMORY_BYTES // len(part)
    writer.counters.add("accepted")
    writer.append(FrameKind.BEGIN, call)
    for number in range(count):
        writer.append(FrameKind.PART, Part(call.id, number + 1, True, part))
        writer.flush()
    ended = msgspec.structs.replace(
        call,
        request_body=Body(b"", call.request_body.length),
        response_body=Body(b"", count * len(part)),
    )
    writer.append(FrameKind.END, ended)
    writer.flush()


def _call(answer: bytes) -> Capture:
    clock = SystemClock()
    asked = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]}'
    return plain_capture(
        asked,
        answer,
        id=new_id(clock),
        response_headers=[(b"content-type", b"text/event-stream")],
        started_at_ns=clock.wall_ns(),
    )


@dataclass
class Watch:
    """What is seen of a running shalt while it is under load."""

    shalt: Shalt
    first: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    readings: int = 0
    unbalanced: int = 0
    went_back: int = 0
    backlog_max: int = 0
    accepted: int = 0

    def look(self) -> Ledger:
        """Read the ledger and the memory of every process."""
        ledger = Ledger(**msgspec.json.decode(self.shalt.get("/api/status")))
        self.readings += 1
        self.unbalanced += not is_balanced(ledger)
        self.went_back += ledger.accepted < self.accepted
        self.accepted = ledger.accepted
        self.backlog_max = max(self.backlog_max, ledger.backlog)
        for module in MODULES:
            now = resident_bytes(self.shalt.child(module))
            self.first.setdefault(module, now)
            self.most[module] = max(self.most.get(module, 0), now)
        return ledger


@contextmanager
def store_away(path: Path, how: How) -> Iterator[None]:
    """Take a SQLite store away: its file has another name, or another has locked it."""
    if how == "renamed":
        aside = path.with_suffix(".away")
        path.rename(aside)
        yield
        aside.rename(path)
        return
    database = sqlite3.connect(path, isolation_level=None, timeout=60)
    try:
        database.execute("BEGIN IMMEDIATE")
        yield
    finally:
        database.close()


def run_without_store(minutes: float, rate: float, how: How) -> bool:
    """Measure all that `Store away` promises; print it and tell whether it holds."""
    failures: list[str] = []
    sent = [0] * CLIENTS
    stop = threading.Event()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_upstream() as upstream,
        running_shalt(Path(folder, "data"), f"{upstream.url}/v1") as shalt,
    ):
        clients = [
            threading.Thread(
                target=_send, args=(shalt.port, rate / CLIENTS, stop, sent, number, failures)
            )
            for number in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        watch = Watch(shalt)
        _watch(watch, WARM_SECONDS)
        watch.first.clear()
        with store_away(shalt.data_dir / "shalt.sqlite", how):
            _watch(watch, minutes * 60)
            spooled = spool_bytes(shalt.data_dir / "spool")
        back = time.monotonic()
        while watch.look().backlog > 2 * rate and time.monotonic() < back + DRAIN_SECONDS_MAX:
            time.sleep(0.1)
        drained = time.monotonic() - back
        stop.set()
        for client in clients:
            client.join()
        while (ledger := watch.look()).backlog + ledger.in_flight:
            time.sleep(0.1)
        rows = shalt.rows("select count(*) from call")[0][0]
    growth = {name: (watch.most[name] - watch.first[name]) / 1e6 for name in MODULES}
    print(
        f"store {how} for {minutes:g} minutes at {rate:g}/s x {CALL_BYTES} bytes: "
        f"sent {sum(sent):,}, "
        f"failed {len(failures)}, stored {rows:,}; backlog at most {watch.backlog_max:,} calls, "
        f"{spooled / 1e6:,.0f} MB; {drained:.0f} s to store it; ledger read {watch.readings:,} "
        f"times, unbalanced {watch.unbalanced}, went back {watch.went_back}; growth in MB: "
        + ", ".join(f"{name} {grown:.0f}" for name, grown in growth.items())
        + f"; the recorder {watch.most['shalt.recording'] / 1e6:.0f} MB at most"
    )
    return (
        not failures
        and rows == sum(sent)
        and watch.unbalanced == watch.went_back == 0
        and max(growth.values()) < 100
    )


def _watch(watch: Watch, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        watch.look()
        time.sleep(0.1)


def _send(
    port: int, rate: float, stop: threading.Event, sent: list[int], number: int, failures: list[str]
) -> None:
    """Send calls on one connection, at a steady rate, until told to stop."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    asked = b'{"model":"m","messages":[{"role":"user","content":"%b"}]}'
    due = time.monotonic()
    while not stop.is_set():
        body = asked % os.urandom(CALL_BYTES // 2).hex().encode()
        connection.request("POST", "/v1/plain", body)
        answer = connection.getresponse()
        answer.read()
        sent[number] += 1
        if answer.status != 200:
            failures.append(f"{answer.status} {answer.getheader('x-shalt-error')}")
        due = max(due + 1 / rate, time.monotonic() - 1)
        stop.wait(max(due - time.monotonic(), 0))
    connection.close()


def main() -> int:
    """Measure both and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--how", choices=("renamed", "locked"), default="renamed")
    given = parser.parse_args()
    holds = True
    for what, fill in (
        ("small calls", fill_with_small_calls),
        ("one stream", fill_with_one_stream),
    ):
        most, first, seconds = memory_of(fill)
        holds &= most < 250
        print(f"64 MiB, {what}: {most:.0f} MB at most, {first:.0f} at first, {seconds:.1f} s")
    holds &= run_without_store(given.minutes, given.rate, given.how)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
