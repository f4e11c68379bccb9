"""Mangled requests and mangled answers against the whole of shalt: no crash, no hang, no smuggling.

    python -m benchmarks.relay_fuzz [--minutes 15] [--seed N] [--clients 8]

Clients send requests that were cut, mixed and mutated to a strict upstream, which must see only
what a strict parser finds in what they sent (benchmarks/fuzz_bytes.py), each once; and valid
requests to a hostile upstream, which answers with mutated bytes: nobody may see a marker of
somebody else's. Every connection must be answered or closed in time; the worker must be the same
process at the end, have logged no error, hold no more sockets than before, and have accounted for
every call. Prints what was done, and each violation with the bytes that led to it; exit code 1 if
there is any.
"""

import argparse
import asyncio
import contextlib
import os
import re
import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from benchmarks.fuzz_bytes import MARKER, Ambiguous, Framed, Source, framed
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt
from tests.storage.traffic import body_of, recordings

ANSWER_SECONDS: Final = 8.0  # shalt's own time-outs are 1 s here; the rest is a busy machine
QUIET_SECONDS: Final = 0.1
VIOLATIONS_MAX: Final = 20
_STATUS: Final = re.compile(rb"HTTP/1\.1 [0-9]{3} ")


@dataclass
class Fuzzing:
    """What has been done, and what was wrong with it."""

    source: Source
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    issued: set[bytes] = field(default_factory=set)  # the markers of hostile answers
    seen: dict[bytes, list[Framed]] = field(default_factory=dict)
    attacks: deque[tuple[float, bytes, list[Framed]]] = field(default_factory=deque)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def wrong(self, what: str, sent: object = b"") -> None:
        """Note a violation."""
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(f"{what}\n    {sent!r}")

    # The upstreams.

    async def serve_strictly(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer requests one after the other; note each, and whatever is none."""
        self.writers.add(writer)
        data = b""
        try:
            while piece := await reader.read(65536):
                data += piece
                taken = 0
                for request, end in framed(data):
                    taken = end
                    self.counts["upstream requests"] += 1
                    if request.markers:
                        self.seen.setdefault(request.markers[0], []).append(request)
                    else:
                        self.counts["requests whose marker was lost"] += 1
                    if sum(line.lower().startswith(b"host:") for line in request.lines) != 1:
                        self.wrong("not one Host", request.lines)
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                data = data[taken:]
        except Ambiguous as error:
            self.wrong(f"the upstream got what is no request: {error}", data)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def serve_hostilely(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer each request with the mutated answer that its marker stands for."""
        self.writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                marker = MARKER.findall(head)[0]
                answer = self.source.mutated(self.source.answer(marker))
                writer.write(answer)
                await writer.drain()
                if self.source.random.random() < 0.3:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    # The clients.

    async def attack(self, port: int) -> None:
        """Send one to four mangled requests, for `judge` to see what came of them."""
        source = self.source
        count = source.random.choice((1, 1, 2, 4))
        whole = [source.request(b"/v1", source.marker()) for _ in range(count)]
        sent = b"".join(source.mutated(request) for request in whole)
        meant: list[Framed] = []
        with contextlib.suppress(Ambiguous):  # what comes before that may pass
            meant.extend(request for request, _ in framed(sent))
        received = await self._exchange(port, source.pieces(sent), len(meant))
        if len(_STATUS.findall(received)) < len(meant):
            self.counts["connections that ended early"] += 1
        self.counts["attacks"] += 1
        self.attacks.append((time.monotonic(), sent, meant))

    def judge(self, before: float) -> None:
        """Compare what arrived of the attacks that ended before a time with what was framed."""
        while self.attacks and self.attacks[0][0] < before:
            _, sent, meant = self.attacks.popleft()
            markers = set(MARKER.findall(sent))
            for arrived in (request for each in markers for request in self.seen.pop(each, [])):
                same = [each for each in meant if _same(each, arrived)]
                if same:
                    meant.remove(same[0])
                    self.counts["requests that passed"] += 1
                else:
                    self.wrong("the upstream saw what nobody framed", (arrived, sent))

    async def be_answered(self, port: int) -> None:
        """Send a valid request to the hostile upstream; see nothing of anybody else's answer."""
        marker = self.source.marker()
        self.issued.add(marker)
        sent = b"POST /u/hostile/%b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" % marker
        received = await self._exchange(port, [sent], 1)
        self.counts["hostile answers"] += 1
        if not _STATUS.match(received):
            self.wrong("no answer", (sent, received))
        for found in MARKER.findall(received):
            if found != marker and found in self.issued:
                self.wrong("somebody else's answer", (sent, received))

    async def _exchange(self, port: int, pieces: list[bytes], expected: int) -> bytes:
        """Send the pieces, read until so many answers are here or it is quiet, and hang up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        received = b""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                for piece in pieces:
                    writer.write(piece)
                    await asyncio.sleep(0)
                closed = False
                while not closed:
                    enough = len(_STATUS.findall(received)) >= expected
                    try:
                        async with asyncio.timeout(QUIET_SECONDS if enough else None):
                            data = await reader.read(65536)
                    except TimeoutError:
                        if enough:
                            break
                        raise
                    received += data
                    closed = not data
                if not closed:
                    writer.write_eof()
                    while data := await reader.read(65536):
                        received += data
        except TimeoutError:
            self.wrong("neither answered nor closed", (pieces, received))
        except ConnectionError:
            pass
        finally:
            writer.close()
        return received


def _same(sent: Framed, arrived: Framed) -> bool:
    """Whether a request arrived as it was framed: by whom, and with the same body."""
    return sent.markers == arrived.markers and sent.body == arrived.body


def bodies() -> list[bytes]:
    """Bodies of recorded requests, where they are; a few made up ones at least."""
    made = [b"{}", b"", b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}' * 9]
    with contextlib.suppress(OSError):
        made += [body_of(record, "request")[:4096] for record in recordings()[:200]]
    return made


def run(*, seconds: float, seed: int, clients: int, folder: Path) -> Fuzzing:
    """Fuzz for so long and return what was found."""
    fuzzing = Fuzzing(Source(seed, bodies()))
    log = folder / "log"
    with log.open("w") as file:
        asyncio.run(_run(fuzzing, seconds, clients, folder, file))
    for line in log.read_text().splitlines():
        if " ERROR " in line or "Traceback" in line:
            fuzzing.wrong("logged", line)
    return fuzzing


async def _run(fuzzing: Fuzzing, seconds: float, clients: int, folder: Path, log: IO[str]) -> None:
    strict = await asyncio.start_server(fuzzing.serve_strictly, "127.0.0.1")
    hostile = await asyncio.start_server(fuzzing.serve_hostilely, "127.0.0.1")
    limits = "first_byte_seconds = 1\nidle_seconds = 1\n"
    config = folder / "shalt.toml"
    config.write_text(
        f'[upstreams.strict]\nbase_url = "http://127.0.0.1:{_port(strict)}/v1"\n'
        f"default = true\n{limits}"
        f'[upstreams.hostile]\nbase_url = "http://127.0.0.1:{_port(hostile)}"\n{limits}'
    )
    with running_shalt(folder / "data", "", "--config", str(config), log=log) as shalt:
        worker = shalt.child("shalt.worker")
        sockets = _sockets(worker)
        until = time.monotonic() + seconds
        await asyncio.gather(
            *(_client(fuzzing, shalt.port, number, until) for number in range(clients))
        )
        for writer in fuzzing.writers:
            writer.close()
        await asyncio.to_thread(_check_process, fuzzing, shalt, worker, sockets)
    for server in (strict, hostile):
        server.close()
        await server.wait_closed()
    fuzzing.judge(time.monotonic())
    for requests in fuzzing.seen.values():
        fuzzing.wrong("the upstream saw what nobody sent", requests)


async def _client(fuzzing: Fuzzing, port: int, number: int, until: float) -> None:
    while time.monotonic() < until and len(fuzzing.violations) < VIOLATIONS_MAX:
        if number % 4 == 3:
            await fuzzing.be_answered(port)
        else:
            await fuzzing.attack(port)
            fuzzing.judge(time.monotonic() - ANSWER_SECONDS)


def _check_process(fuzzing: Fuzzing, shalt: Shalt, worker: int, sockets: int) -> None:
    """See that the worker lives, holds nothing, and has accounted for every call."""
    try:
        wait_until(shalt.settled, 60)
        # Half a head is waited for a minute; on a busy machine its client's end may come late.
        wait_until(lambda: _sockets(worker) <= sockets, 75)
    except (AssertionError, OSError) as error:
        fuzzing.wrong(f"something is left behind: {error}", (shalt.status(), _sockets(worker)))
    if shalt.child("shalt.worker") != worker:
        fuzzing.wrong("the worker died")
    status = shalt.status()
    fuzzing.counts["calls accepted"] = status["accepted"]
    fuzzing.counts["calls stored"] = status["stored"]
    left_out = status["opted_out"] + status["sampled_out"]
    if status["accepted"] != status["stored"] + left_out:
        fuzzing.wrong("the ledger does not hold", status)


def _sockets(process: int) -> int:
    """How many sockets a process has open, those of the request that asks included."""
    found = 0
    for entry in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(entry).startswith("socket:")
    return found


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


def main() -> int:
    """Fuzz, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--clients", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fuzzing = run(
            seconds=given.minutes * 60, seed=given.seed, clients=given.clients, folder=Path(folder)
        )
    print(f"seed {given.seed}")
    for name, count in sorted(fuzzing.counts.items()):
        print(f"{count:10} {name}")
    print(f"{len(fuzzing.violations):10} violations")
    print("\n".join(fuzzing.violations))
    return 1 if fuzzing.violations else 0


if __name__ == "__main__":
    sys.exit(main())
