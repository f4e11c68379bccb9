"""Mangled WebSocket frames both ways through the relay: no byte changed, none lost, no key kept.

    python -m benchmarks.socket_fuzz [--minutes 5] [--seed N] [--sockets 16]

Both sides of a socket send frames of all kinds in pieces cut anywhere: whole and in fragments with
control frames between, masked and not whoever sends them, compressed, with lengths written longer
than need be or longer than what comes, reserved bits, unknown kinds, close frames with any code;
and of every second socket the bytes are mutated. Each side must get exactly what the other sent,
and the call must be one record of the same lengths: with the frames that passed, masks undone, or
where a key was among the messages, without it. Prints what was done, and each violation with its
seed; exit code 1 if there is any.
"""

import argparse
import asyncio
import base64
import random
import sys
import tempfile
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from storage.capture import Body, Capture
from storage.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    UNREAD,
    FrameWalk,
    MessageReader,
)
from tests.relaying import running_relay, upstream_at, wait_until
from tests.threads import running_loop

KEY: Final = b"sk-" + b"f0F1u2U3z4Z5y6Y7k8K9"
SOCKET_SECONDS: Final = 30.0
MESSAGES_MAX: Final = 40
VIOLATIONS_MAX: Final = 20
_HANDSHAKE: Final = (
    b"GET /v1/%b HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: %b\r\n\r\n"
)
_SWITCHED: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
)


@dataclass
class Side:
    """What one side says, in pieces; `keyed`: with a key in a message that can be read."""

    pieces: list[bytes]
    keyed: bool

    @property
    def data(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)


class Script:
    """What both sides of a socket say: all of it follows from the seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._machine = zlib.compressobj(wbits=-15)
        mutated, keyed = self._chance.random() < 0.5, self._chance.random() < 0.3
        self.client = self._side(mutated, keyed and not mutated, usually_masked=True)
        self._machine = zlib.compressobj(wbits=-15)
        self.upstream = self._side(mutated, keyed and not mutated, usually_masked=False)

    def _side(self, mutated: bool, keyed: bool, *, usually_masked: bool) -> Side:
        chance = self._chance
        data = b""
        count = chance.randrange(MESSAGES_MAX)
        key_at = chance.randrange(count) if keyed and count else -1
        for number in range(count):
            masked = usually_masked is (chance.random() < 0.95)
            data += self._message(masked, with_key=number == key_at)
        if chance.random() < 0.5:
            code = chance.choice((1000, 1001, 1006, 4321, 0, 65535)).to_bytes(2)
            payload = chance.choice((b"", code, code + b"bye", b"\1", code + b"\xff" * 123))
            data += self._frame(CLOSE, payload, usually_masked)
        if chance.random() < 0.2:  # longer than what comes
            data += self._frame(BINARY, b"x" * 300, usually_masked)[: chance.randrange(1, 200)]
        if mutated:
            data = self._mutated(data)
        return Side(self._cut(data), key_at >= 0)

    def _message(self, masked: bool, *, with_key: bool) -> bytes:
        chance = self._chance
        text = (
            b'{"type": "x", "delta": "%b"}' % chance.randbytes(chance.randrange(60)).hex().encode()
        )
        if with_key:
            text = b'{"text": "a %b b"}' % KEY
        elif chance.random() < 0.1:
            text = chance.randbytes(chance.choice((0, 125, 126, 65535, 65536, 100_000)))
        compressed = chance.random() < 0.3
        if compressed:
            text = self._machine.compress(text) + self._machine.flush(zlib.Z_SYNC_FLUSH)
            text = text.removesuffix(b"\0\0\xff\xff")
        fragments = chance.choice((1, 1, 1, 2, 5))
        cuts = sorted(chance.randrange(len(text) + 1) for _ in range(fragments - 1))
        frames = []
        for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(text)], strict=True)):
            opcode = chance.choice((TEXT, BINARY)) if number == 0 else CONTINUATION
            final = number == fragments - 1
            head = (0x80 * final) | (0x40 if compressed and number == 0 else 0)
            frames.append(self._frame(opcode, text[start:end], masked, head))
            if chance.random() < 0.2:
                ping = chance.choice((PING, PONG))
                frames.append(self._frame(ping, chance.randbytes(chance.randrange(126)), masked))
        return b"".join(frames)

    def _frame(self, opcode: int, payload: bytes, masked: bool, head: int = 0x80) -> bytes:
        """Write a frame, its length in more bytes than it takes now and then."""
        wide = self._chance.random() < 0.1 and opcode < CLOSE
        length, mark = len(payload), 0x80 * masked
        if length < 126 and not wide:
            written = bytes((head | opcode, mark | length))
        elif length < 2**16 and not (wide and self._chance.random() < 0.5):
            written = bytes((head | opcode, mark | 126)) + length.to_bytes(2)
        else:
            written = bytes((head | opcode, mark | 127)) + length.to_bytes(8)
        if not masked:
            return written + payload
        key = self._chance.randbytes(4)
        mask = (key * (length // 4 + 1))[:length]
        body = (int.from_bytes(payload) ^ int.from_bytes(mask)).to_bytes(length)
        return written + key + body

    def _mutated(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._chance.randrange(1, 6)):
            at = self._chance.randrange(len(changed) + 1)
            match self._chance.randrange(3):
                case 0:
                    changed[at : at + 1] = self._chance.randbytes(1)
                case 1:
                    changed[at:at] = self._chance.randbytes(self._chance.randrange(20))
                case _:
                    del changed[at : at + self._chance.randrange(20)]
        return bytes(changed)

    def _cut(self, data: bytes) -> list[bytes]:
        pieces, at = [], 0
        small = len(data) < 2000 and self._chance.random() < 0.3
        while at < len(data):
            size = 1 if small else self._chance.choice((1, 2, 7, 100, 4000, 70_000))
            pieces.append(data[at : at + size])
            at += size
        return pieces


@dataclass
class Fuzzing:
    """What was done, and what was wrong."""

    port: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    got: dict[int, bytes] = field(default_factory=dict)  # by the upstream

    def wrong(self, seed: int, what: str) -> None:
        """Note a violation."""
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(f"seed {seed}: {what}")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Be the upstream of one socket: say its part, note what comes."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            seed = int(head.split(b" ")[1].rpartition(b"/")[2])
            writer.write(_SWITCHED)
            saying = asyncio.create_task(say(writer, Script(seed).upstream))
            self.got[seed] = await reader.read(-1)
            await saying
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def socket(self, port: int, seed: int) -> None:
        """Be the client of one socket, and compare what passed."""
        script = Script(seed)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(SOCKET_SECONDS):
                key = base64.b64encode(bytes(16))
                writer.write(_HANDSHAKE % (b"%d" % seed, key))
                await reader.readuntil(b"\r\n\r\n")
                saying = asyncio.create_task(say(writer, script.client))
                got = await reader.read(-1)
                await saying
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError) as error:
            self.wrong(seed, f"the socket did not come to its end: {error!r}")
            return
        finally:
            writer.close()
        self.counts["sockets"] += 1
        self.counts["bytes"] += len(got) + len(script.client.data)
        if got != script.upstream.data:
            self.wrong(seed, "the client did not get what the upstream sent")

    def check(self, call: Capture) -> None:
        """Compare the record of a socket with what was said."""
        seed = int(call.target.rpartition("/")[2])
        script = Script(seed)
        if self.got.get(seed) != script.client.data:
            self.wrong(seed, "the upstream did not get what the client sent")
        for name, side, body in (
            ("client", script.client, call.request_body),
            ("upstream", script.upstream, call.response_body),
        ):
            self.counts["directions with a key"] += side.keyed
            self.counts["directions"] += 1
            what = wrong_with(side, body)
            if what:
                self.wrong(seed, f"{name}: {what}")


async def say(writer: asyncio.StreamWriter, side: Side) -> None:
    """Send the pieces, with a breath now and then, and the end."""
    for number, piece in enumerate(side.pieces):
        writer.write(piece)
        if number % 16 == 0:
            await asyncio.sleep(0)
            await writer.drain()
    writer.write_eof()


def wrong_with(side: Side, body: Body) -> str:
    """Say what is wrong with the record of a direction, if anything is."""
    if body.length != len(side.data):
        return f"{len(side.data)} bytes passed, {body.length} are recorded"
    if side.keyed:
        reader = MessageReader(2**26)
        messages = [*reader.feed(body.data), *reader.rest()]
        if KEY in body.data or any(KEY in message.payload for message in messages):
            return "a key is in the record"
        return "" if body.kept is not None else "a key was taken out, and nothing says so"
    passed, recorded = messages_of(side.data), messages_of(body.data)
    if body.truncated:  # what could not be inflated is not kept
        return "" if passed[: len(recorded)] == recorded else "other messages are recorded"
    if body.kept is None and len(body.data) != body.length:
        return "not all bytes are recorded"
    return "" if passed == recorded else "other messages are recorded"


def messages_of(data: bytes) -> list[tuple[int, bytes]]:
    """Read a direction: kinds and payloads; what is not read as frames as one, masks undone."""
    walk, reader = FrameWalk(), MessageReader(2**26)
    unmasked = b"".join(piece.recorded for piece in walk.feed(data)) + walk.unfinished
    messages = [*reader.feed(unmasked), *reader.rest()]
    read = [(each.opcode, each.payload) for each in messages if each.opcode != UNREAD]
    unread = b"".join(each.recorded for each in messages if each.opcode == UNREAD)
    return [*read, (UNREAD, unread)] if unread else read


def run(*, seconds: float, seed: int, sockets: int, folder: Path) -> Fuzzing:
    """Open sockets for a while, so many at a time."""
    fuzzing = Fuzzing()

    async def start() -> asyncio.Server:
        server = await asyncio.start_server(fuzzing.serve, "127.0.0.1")
        fuzzing.port = server.sockets[0].getsockname()[1]
        return server

    async def one_after_the_other(port: int, first: int) -> None:
        until = time.monotonic() + seconds
        number = first
        while time.monotonic() < until:
            await fuzzing.socket(port, number)
            number += sockets

    async def all_at_once(port: int) -> None:
        await asyncio.gather(*(one_after_the_other(port, seed + each) for each in range(sockets)))

    with (
        running_loop(start),
        running_relay(folder, [upstream_at(fuzzing.port, base_path=b"")]) as relay,
    ):
        asyncio.run(all_at_once(relay.port))
        wait_until(lambda: relay.recording.open_count == 0)
        calls = relay.calls(fuzzing.counts["sockets"])
    for call in calls:
        fuzzing.check(call)
    if len(calls) != len({call.target for call in calls}):
        fuzzing.wrong(seed, "a socket has more than one record")
    return fuzzing


def main() -> int:
    """Fuzz, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--sockets", type=int, default=16)
    given = parser.parse_args()
    print(f"seed {given.seed}")
    with tempfile.TemporaryDirectory() as folder:
        fuzzing = run(
            seconds=60 * given.minutes,
            seed=given.seed,
            sockets=given.sockets,
            folder=Path(folder),
        )
    for what, count in sorted(fuzzing.counts.items()):
        print(f"{what}: {count}")
    for violation in fuzzing.violations:
        print(violation)
    print(f"violations: {len(fuzzing.violations)}")
    return 1 if fuzzing.violations else 0


if __name__ == "__main__":
    sys.exit(main())
