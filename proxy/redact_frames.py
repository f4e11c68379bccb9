"""No secret in the WebSocket messages that are recorded: as proxy.redact_bodies, by the message.

What comes in are the frames of one direction with their masks undone (storage.frames). A message in
which nothing is found is kept in the frames it passed in, compressed ones too. One with a secret is
kept as a single frame that is not compressed, and so is every compressed message after it: those
refer to what was taken out. Keys that come in pieces, a piece in each event, are found as well, so
the last events that bring pieces of a text wait for the next.

What cannot be inflated cannot be searched, and is not kept, nor is what follows a message of more
than MESSAGE_BYTES_MAX, or of more than the other limits of storage.frames. Bytes that are no frames
are searched as text.
"""

from typing import Final

from proxy import secrets
from proxy.redact_bodies import HELD_BYTES_MAX, BodyRedactor
from proxy.secrets import Found
from storage.frames import UNREAD, MessageReader, SocketMessage, frame_of

MESSAGE_BYTES_MAX: Final = 16 * 2**20  # OpenAI takes 15 MiB in one message


class FrameStrainer:
    """One direction, searched message by message. `kept` counts the bytes handed out so far."""

    __slots__ = (
        "_bodies", "_held", "_inflated", "_reader", "_search", "_waiting", "cut", "kept",
        "redacted", "relieved",
    )  # fmt: skip

    def __init__(self, bodies: BodyRedactor) -> None:
        self.redacted = False
        self.cut = False  # something was not kept because it could not be searched
        self.relieved = False  # … because it took too much room
        self.kept = 0
        self._bodies = bodies
        self._search = bodies.search(True)
        self._reader = MessageReader(MESSAGE_BYTES_MAX)
        self._waiting: list[SocketMessage] = []
        self._held = 0  # bytes of frames that came and were not handed out
        self._inflated = False  # messages are stored inflated from now on

    @property
    def held_bytes(self) -> int:
        """How much waits for what follows: of each message the frames and what was in them."""
        return 2 * self._held

    def relieve(self) -> None:
        """Keep no more of this direction: what waits must not be kept unsearched."""
        self.cut = self.relieved = True
        self._let_go()

    def strain(self, data: bytes, *, last: bool = False) -> bytes:
        """Take in the next bytes of frames; return those of what is searched and can be kept."""
        if self.cut:
            return b""
        self._held += len(data)
        for message in self._reader.feed(data):
            self._take(message)
        if last:
            for message in self._reader.rest():
                self._take(message)
        kept = self._release(last=last or self.cut)
        self.kept += len(kept)
        if self.cut:
            self._let_go()
        return kept

    def _let_go(self) -> None:
        self._held = 0
        self._waiting.clear()
        self._reader = MessageReader(MESSAGE_BYTES_MAX)

    def _take(self, message: SocketMessage) -> None:
        unsearchable = message.recorded and not message.payload and self._reader.trouble
        if self._reader.too_long or (unsearchable and message.compressed):
            self.cut = True
        if not self.cut:
            self._waiting.append(message)

    def _release(self, *, last: bool) -> bytes:
        """Search all that waits, and let go of the messages nothing can be added to."""
        texts = [_text_of(message) for message in self._waiting]
        text = b"".join(texts)
        if not text:
            return b""
        found = self._bodies.find(text, True, self._search)
        until = len(text) if last else self._until(text, found)
        places = sorted(place for each in found for place in each)
        released: list[bytes] = []
        start = count = 0
        for message, own in zip(self._waiting, texts, strict=True):
            end = start + len(own)
            if end > until:
                break
            inside = [_within(p, start, end) for p in places if p.start < end and p.end > start]
            released.append(self._write(message, inside))
            self._held -= len(message.recorded)
            start = end
            count += 1
        del self._waiting[:count]
        return b"".join(released)

    def _until(self, text: bytes, found: list[tuple[Found, ...]]) -> int:
        """Say up to where no secret is cut, and none can go on in what is still to come."""
        until = secrets.could_begin_across(text)
        if self._reader.trouble:
            until = min(until, secrets.could_begin(text))
        if self._search is not None:
            until = min(until, self._search.undecided(text))
        for each in sorted(found, reverse=True):
            if each[0].begin < until < each[-1].end:
                until = each[0].begin
        return until if len(text) - until <= HELD_BYTES_MAX else len(text)

    def _write(self, message: SocketMessage, found: list[Found]) -> bytes:
        if not found and not (message.compressed and self._inflated):
            return message.recorded
        payload = message.payload
        if found:
            self.redacted = True
            self._inflated |= message.compressed
            payload = self._bodies.put(payload, [(place,) for place in found])
        if message.opcode == UNREAD:
            return payload
        return frame_of(message.opcode, payload, masked=message.masked)


def _text_of(message: SocketMessage) -> bytes:
    # Each message is a line, as the events of a stream are; a key does not go on in the next line.
    return message.payload if message.opcode == UNREAD else message.payload + b"\n"


def _within(place: Found, start: int, end: int) -> Found:
    """Cut a found secret to one message; what it says counts where it begins."""
    secret = place.secret if place.start >= start else b""
    first, last = max(place.start, start) - start, min(place.end, end) - start
    return Found(first, last, secret, 0, place.token)
