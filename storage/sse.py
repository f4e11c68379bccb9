"""Bytes to server-sent events, whatever the chunk boundaries.

Framing as the HTML standard has it (https://html.spec.whatwg.org/multipage/server-sent-events.html):
lines end in `\\n`, `\\r` or `\\r\\n`, also where that pair is cut in two; a byte order mark at the
very start is skipped; lines that begin with a colon are comments; several `data` lines make one
event, joined by `\\n`; an event without a `data` line is none. Two things are ours: the data stays
bytes, for whoever reads it to decode, and an event that the stream's end cut off is delivered,
marked as not terminated, because a record must hold what was sent.

Limits: none of its own. A decoder holds the bytes of one event, `events` a list of all of them;
who feeds them sets the bound. `retry` fields are not kept: nobody here reconnects.

    for event in events(b"event: ping\\ndata: {}\\n\\n"):
        event.name, event.data  # "ping", b"{}"
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

SLICE_BYTES: Final = 256 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event. A NamedTuple: made in a quarter of the time of a frozen dataclass.

    `name` is empty where the stream gave none; `id` is the last one the stream gave.
    """

    data: bytes
    name: str = ""
    id: str = ""
    terminated: bool = True


def events(data: bytes) -> list[Event]:
    """Read a whole stream. An unfinished last event is delivered too, `terminated` False."""
    plain = _plain_events(data)
    if plain is not None:
        return plain
    decoder = Decoder()
    return decoder.feed(data) + decoder.close()


def _plain_events(data: bytes) -> list[Event] | None:
    """Read a stream of nothing but `data: …` and blank lines, as most are, in half the time.

    None for any other: it is counted whether each event begins so and has no more line ends.
    """
    if b"\r" in data or not (data.startswith(b"data: ") and data.endswith(b"\n\n")):
        return None
    count = data.count(b"\n\ndata: ") + 1
    if data.count(b"\n") != 2 * count:
        return None
    return [Event(each) for each in data[6:-2].split(b"\n\ndata: ")]


def iterate_events(data: bytes) -> Iterator[Event]:
    """Read a whole stream event by event: as `events`, in the memory of SLICE_BYTES of it."""
    if len(data) <= SLICE_BYTES:
        yield from events(data)
        return
    decoder = Decoder()
    for start in range(0, len(data), SLICE_BYTES):
        yield from decoder.feed(data[start : start + SLICE_BYTES])
    yield from decoder.close()


class Decoder:
    """Reads a stream as it comes: any cut of the bytes gives the same events."""

    def __init__(self) -> None:
        self._tail: list[bytes] = []  # of a line not ended yet; joined once, so cost is linear
        self._after_return = False  # the last byte was `\r`: a `\n` to come belongs to it
        self._at_start = True
        self._data: list[bytes] = []
        self._name = ""
        self._id = ""

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes and return the events they complete."""
        if self._after_return and chunk:
            self._after_return = False
            if chunk[0] == 0x0A:
                chunk = chunk[1:]
        if b"\n" not in chunk and b"\r" not in chunk:
            if chunk:
                self._tail.append(chunk)
            return []
        if self._tail:
            self._tail.append(chunk)
            chunk = b"".join(self._tail)
            self._tail = []
        if chunk[-1] == 0x0D:
            self._after_return = True
        lines = chunk.splitlines()  # of bytes: splits at \n, \r and \r\n only
        if chunk[-1] != 0x0A and chunk[-1] != 0x0D:
            self._tail.append(lines.pop())
        return self._take(lines)

    def close(self) -> list[Event]:
        """End the stream and return the event it left unfinished, if there is one."""
        found: list[Event] = []
        if self._tail:
            found = self._take([b"".join(self._tail)])
            self._tail = []
        if self._data:
            found.append(Event(b"\n".join(self._data), self._name, self._id, False))
            self._data = []
        return found

    def _take(self, lines: list[bytes]) -> list[Event]:
        found: list[Event] = []
        if self._at_start and lines:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        for line in lines:
            if line.startswith(b"data: "):  # nearly every line that matters
                self._data.append(line[6:])
            elif line:
                self._field(line)
            else:
                if self._data:
                    data = self._data
                    whole = data[0] if len(data) == 1 else b"\n".join(data)
                    found.append(Event(whole, self._name, self._id))
                    self._data = []
                self._name = ""
        return found

    def _field(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
