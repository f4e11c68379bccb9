"""Streams at the same time, each marked: no byte of one in another's answer or row.

    python -m benchmarks.isolation [--streams 200] [--rounds 50] [--workers 2]

Every call has a marker of its own, in its path, headers and body; the upstream repeats it in each
event, in random pieces at random times. One call in eight is left by its client half-way, one in
eight is cut by the upstream, one in four is no stream. A client must get exactly what was meant
for it, and the store must hold one row for each call, with exactly the bytes that passed. Prints
what was checked, and each violation; exit code 1 if there is any.
"""

import argparse
import asyncio
import random
import re
import sys
import tempfile
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from shalt.recording import open_store
from shalt.settings import load
from storage.capture import Capture, Outcome
from tests.relaying import wait_until
from tests.serving import running_shalt

MARKER: Final = re.compile(rb"m[0-9a-f]{16}e")
EVENT_COUNT: Final = 12
CALL_SECONDS: Final = 60.0  # the machine may be busy with 200 of them


@dataclass(frozen=True)
class Call:
    """One call: its marker, and how it goes: whole, plain (no stream), left or cut."""

    marker: bytes
    way: str

    @property
    def event(self) -> bytes:
        return b"data: {%b}\n\n" % (b" ".join([self.marker] * 5))

    @property
    def answer(self) -> bytes:
        return self.event * EVENT_COUNT


@dataclass
class Checked:
    """What was checked, and what was wrong."""

    calls: dict[bytes, Call] = field(default_factory=dict)
    row_count: int = 0
    violations: list[str] = field(default_factory=list)


async def answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
) -> None:
    """Serve one connection of the upstream."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            marker = MARKER.findall(body)[0]
            call = Call(marker, head.split(b" ")[1].decode().rsplit("/", 2)[1])
            if not await _answer_one(call, writer, chance):
                return
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def _answer_one(call: Call, writer: asyncio.StreamWriter, chance: random.Random) -> bool:
    if call.way == "plain":
        await asyncio.sleep(chance.random() / 50)
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nx-marker: %b\r\n\r\n%b"
            % (len(call.answer), call.marker, call.answer)
        )
        return True
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
        b"x-marker: %b\r\n\r\n" % call.marker
    )
    rest = call.answer
    while rest:
        piece, rest = _cut(rest, chance)
        if call.way == "cut" and len(rest) < len(call.answer) // 2:
            return False
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(chance.random() / 50)
    writer.write(b"0\r\n\r\n")
    return True


def _cut(data: bytes, chance: random.Random) -> tuple[bytes, bytes]:
    at = chance.randrange(1, 200)
    return data[:at], data[at:]


async def make(call: Call, port: int) -> bytes:
    """Make one call and return everything that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b'{"stream": true, "messages": [{"role": "user", "content": "%b"}]}' % call.marker
    writer.write(
        b"POST /v1/%b/%b HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-marker: %b\r\n"
        b"content-length: %d\r\n\r\n%b"
        % (call.way.encode(), call.marker, call.marker, len(body), body)
    )
    received = b""
    try:
        async with asyncio.timeout(CALL_SECONDS):
            while data := await reader.read(65536):
                received += data
                if call.way == "left" and len(received) > len(call.answer) // 2:
                    break
    except ConnectionResetError:
        pass
    finally:
        writer.close()
    return received


def check_answer(call: Call, received: bytes) -> str:
    """Say what is wrong with what a client got; nothing if nothing is."""
    strange = {found for found in MARKER.findall(received) if found != call.marker}
    if strange:
        return f"{call}: got {strange}"
    head, _, body = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 ") or b"x-marker: " + call.marker not in head:
        return f"{call}: got {head!r}"
    if call.way == "plain":
        return "" if body == call.answer else f"{call}: got {body!r}"
    decoded, whole = _dechunked(body)
    if call.way == "left" and decoded == call.answer:
        return ""  # all of it was here before the client could leave
    meant = decoded == call.answer if call.way == "whole" else call.answer.startswith(decoded)
    if not meant or whole != (call.way == "whole"):
        return f"{call}: got {decoded!r}"
    return ""


def _dechunked(body: bytes) -> tuple[bytes, bool]:
    """Take the chunks of a body apart; tell whether its end was there."""
    decoded = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        if size == b"0":
            return decoded, True
        length = int(size, 16) if size and rest else 0
        decoded += rest[:length]
        body = rest[length + 2 :]
    return decoded, False


def check_rows(checked: Checked, captures: Iterable[Capture]) -> None:
    """See that each call is one row, with the bytes of nobody else."""
    outcomes = {
        "whole": Outcome.COMPLETE, "plain": Outcome.COMPLETE, "cut": Outcome.UPSTREAM_CUT,
        "left": Outcome.CLIENT_GONE,
    }  # fmt: skip
    left = dict(checked.calls)
    for capture in captures:
        checked.row_count += 1
        everything = b"".join(
            (
                capture.target.encode(), repr(capture.request_headers).encode(),
                repr(capture.response_headers).encode(), capture.request_body.data,
                capture.response_body.data,
            )
        )  # fmt: skip
        markers = set(MARKER.findall(everything))
        call = left.pop(next(iter(markers), b""), None)
        if call is None or len(markers) != 1:
            checked.violations.append(f"row {capture.id}: {call}, {markers}")
            continue
        data = capture.response_body.data
        is_whole = data == call.answer
        meant = is_whole if call.way in ("whole", "plain") else call.answer.startswith(data)
        outcome = outcomes[call.way]
        if call.way == "left" and is_whole and capture.outcome is Outcome.COMPLETE:
            outcome = Outcome.COMPLETE  # the client was slow to leave
        if not meant or capture.outcome is not outcome:
            checked.violations.append(f"row {capture.id}: {call}, {capture.outcome}, {data!r}")
    checked.violations += [f"{call}: no row" for call in left.values()]


async def _run(checked: Checked, streams: int, rounds: int, workers: int, folder: Path) -> None:
    chance = random.Random(1)
    server = await asyncio.start_server(
        lambda reader, writer: answer(reader, writer, chance), "127.0.0.1"
    )
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    with running_shalt(folder / "data", url, "--workers", str(workers)) as shalt:
        for _ in range(rounds):
            ways = ["whole", "whole", "whole", "whole", "plain", "plain", "left", "cut"]
            calls = [
                Call(b"m%016xe" % chance.getrandbits(64), ways[number % len(ways)])
                for number in range(streams)
            ]
            answers = await asyncio.gather(*(make(call, shalt.port) for call in calls))
            for call, received in zip(calls, answers, strict=True):
                checked.calls[call.marker] = call
                if wrong := check_answer(call, received):
                    checked.violations.append(wrong)
        await asyncio.to_thread(wait_until, shalt.settled, 60)
        server.close()
        with closing(open_store(load(data_dir=shalt.data_dir))) as store:
            rows = (call.capture for call in store.scan("default") if call.capture is not None)
            check_rows(checked, rows)


def run(*, streams: int, rounds: int, workers: int, folder: Path) -> Checked:
    """Make `streams` calls at once, `rounds` times, and check answers and rows."""
    checked = Checked()
    asyncio.run(_run(checked, streams, rounds, workers, folder))
    return checked


def main() -> int:
    """Check, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checked = run(
            streams=given.streams, rounds=given.rounds, workers=given.workers, folder=Path(folder)
        )
    print(f"{len(checked.calls)} calls, {checked.row_count} rows")
    print(f"{len(checked.violations)} violations")
    print("\n".join(checked.violations[:20]))
    return 1 if checked.violations else 0


if __name__ == "__main__":
    sys.exit(main())
