"""WebSocket frames (RFC 6455) to messages, whatever the pieces they come in. Pure and total.

Of a socket both directions are recorded as their frames passed, with one difference: the mask of a
client's frames is undone and their masking key is zero. A mask of zeros changes nothing, so what is
recorded is as long as what passed and is itself a stream of frames that any reader can read.

Messages compressed with permessage-deflate (RFC 7692) are told by their first reserved bit and
inflated for reading. What is not frames stays as it came, and `trouble` says so.

Limits: a message of `message_bytes_max`, compressed or not; INFLATED_BYTES_MAX of all compressed
ones together, and INFLATED_RATIO_MAX times what they were; SMALL_FRAMES_MAX frames of a direction,
and one more for each FRAME_BYTES of it. What comes behind cannot be understood, because the next
may refer to it, and is handed out unread.
"""

import zlib
from typing import Final, NamedTuple

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
UNREAD: Final = -1  # in place of an opcode: bytes that could not be read as frames
# An hour of silence, as speech is sent, is 230 MB, and next to nothing when compressed.
INFLATED_BYTES_MAX: Final = 256 * 2**20
INFLATED_RATIO_MAX: Final = 32
# A frame costs 6 us to read, an empty one takes 2 bytes: a megabyte of them would stop a worker for
# seconds. Nobody has said so much in words of their own frames.
SMALL_FRAMES_MAX: Final = 100_000
FRAME_BYTES: Final = 32
_OPCODES: Final = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
_CONTROL_BYTES_MAX: Final = 125
_NO_KEY: Final = bytes(4)
_DEFLATE_TAIL: Final = b"\0\0\xff\xff"  # taken off every compressed message


class FrameHead(NamedTuple):
    """How a frame begins. `raw`: its head as it is recorded, with a masking key of zeros."""

    opcode: int
    final: bool
    compressed: bool
    masked: bool
    raw: bytes


class Piece(NamedTuple):
    """Some bytes of a frame, unmasked. `head` is None where they belong to no frame."""

    head: FrameHead | None
    payload: bytes
    begins: bool
    ends: bool

    @property
    def recorded(self) -> bytes:
        """The bytes that stand for this piece in the record."""
        return self.head.raw + self.payload if self.begins and self.head else self.payload


class FrameWalk:
    """Walks along one direction of a socket. Holds nothing but an unfinished head of a frame."""

    __slots__ = (
        "_credit", "_head", "_key", "_left", "_offset", "closing", "flooded", "trouble",
        "unfinished",
    )  # fmt: skip

    def __init__(self) -> None:
        self.trouble = ""  # why what comes now is not read as frames
        self.flooded = False  # … because there are too many
        self.closing = False  # a close frame has begun to pass
        self.unfinished = b""  # the first bytes of a head
        self._head: FrameHead | None = None
        self._key = _NO_KEY
        self._left = 0  # of the frame's payload
        self._offset = 0  # in it
        self._credit = SMALL_FRAMES_MAX * FRAME_BYTES

    @property
    def between_frames(self) -> bool:
        """Whether a frame of somebody else's could be put here."""
        return self._head is None and not self.unfinished and not self.trouble

    def feed(self, data: bytes) -> list[Piece]:
        """Take in the next bytes; return them as pieces of frames."""
        pieces: list[Piece] = []
        self._credit += len(data)
        data, self.unfinished = self.unfinished + data, b""
        at = 0
        while at < len(data):
            begins = self._head is None
            if begins and not self.trouble:
                length = self._begin(data, at)
                if length == 0 and not self.trouble:
                    self.unfinished = data[at:]
                    break
                at += length
            if self._head is None:
                pieces.append(Piece(None, data[at:], False, False))
                break
            payload = data[at : at + self._left]
            at += len(payload)
            self._left -= len(payload)
            ends = self._left == 0
            pieces.append(Piece(self._head, self._unmask(payload), begins, ends))
            if ends:
                self._head = None
        return pieces

    def _begin(self, data: bytes, at: int) -> int:
        """Read the head of a frame; return its length, 0 where it is not whole or none."""
        if len(data) - at < 2:
            return 0
        first, second = data[at], data[at + 1]
        opcode, length = first & 15, second & 127
        masked = second >= 128
        control = opcode >= CLOSE
        if opcode not in _OPCODES or first & 0x30 or (control and first & 0x40):
            return self._give_up("a frame of no known kind")
        if control and (length > _CONTROL_BYTES_MAX or first < 128):
            return self._give_up("a control frame that is too long or in pieces")
        key_at = at + 2 + {126: 2, 127: 8}.get(length, 0)
        end = key_at + 4 * masked
        if len(data) < end:
            return 0
        if length >= 126:
            length = int.from_bytes(data[at + 2 : key_at])
            if length >= 2**63:
                return self._give_up("a frame of no possible length")
        self._credit -= FRAME_BYTES
        if self._credit < 0:
            self.flooded = True
            return self._give_up(f"more than {SMALL_FRAMES_MAX} small frames")
        self._key = data[key_at:end] if masked else _NO_KEY
        raw = data[at:key_at] + (_NO_KEY if masked else b"")
        self._head = FrameHead(opcode, first >= 128, bool(first & 0x40), masked, raw)
        self._left, self._offset = length, 0
        self.closing |= opcode == CLOSE
        return end - at

    def _give_up(self, trouble: str) -> int:
        self.trouble = trouble
        return 0

    def _unmask(self, payload: bytes) -> bytes:
        if self._key == _NO_KEY or not payload:
            return payload
        shift = self._offset % 4
        self._offset += len(payload)
        key = self._key[shift:] + self._key[:shift]
        length = len(payload)
        mask = (key * (length // 4 + 1))[:length]
        return (int.from_bytes(payload) ^ int.from_bytes(mask)).to_bytes(length)


class SocketMessage(NamedTuple):
    """A message of one direction, or a control frame, or (UNREAD) what is neither.

    `recorded`: the bytes that stand for it in the record. `whole`: its last frame ended.
    """

    opcode: int
    payload: bytes
    recorded: bytes
    masked: bool = False
    compressed: bool = False
    whole: bool = True


class MessageReader:
    """Puts one direction's messages together. A control frame between two frames comes before."""

    def __init__(self, message_bytes_max: int) -> None:
        self.trouble = ""  # what is in the way of reading more, as words that follow "there is"
        self.too_long = False
        self.frame_count = 0
        self._walk = FrameWalk()
        self._bytes_max = message_bytes_max
        self._opcode = UNREAD
        self._compressed = False
        self._message = _Pieces()
        self._control = _Pieces()
        self._inflater = _Inflater()
        self._inflated_left = INFLATED_BYTES_MAX

    def feed(self, data: bytes) -> list[SocketMessage]:
        """Take in the next bytes; return the messages that are whole now."""
        messages: list[SocketMessage] = []
        for piece in self._walk.feed(data):
            if piece.head is None:
                self.trouble = self.trouble or self._walk.trouble
                self.too_long = self.too_long or self._walk.flooded
                messages += self._broken_off()  # which came before
                messages.append(SocketMessage(UNREAD, piece.payload, piece.payload))
            elif piece.head.opcode >= CLOSE:
                self._add_control(piece, piece.head, messages)
            else:
                self._add(piece, piece.head, messages)
        return messages

    def rest(self) -> list[SocketMessage]:
        """Return what is left where no more bytes come: a message that broke off."""
        messages = self._broken_off()
        if self._walk.unfinished:
            data, self._walk.unfinished = self._walk.unfinished, b""
            messages.append(SocketMessage(UNREAD, data, data, whole=False))
        return messages

    def _broken_off(self) -> list[SocketMessage]:
        """Take what there is of a message, and of a control frame, that does not go on."""
        messages = []
        if self._message.recorded:
            recorded, payload, masked = self._message.take()
            if self._compressed:
                payload = self._inflate(payload)
            messages.append(
                SocketMessage(self._opcode, payload, recorded, masked, self._compressed, False)
            )
        if self._control.recorded:
            recorded, payload, masked = self._control.take()
            messages.append(SocketMessage(UNREAD, payload, recorded, masked, whole=False))
        return messages

    def _add_control(self, piece: Piece, head: FrameHead, messages: list[SocketMessage]) -> None:
        self._control.add(piece)
        if piece.ends:
            self.frame_count += 1
            recorded, payload, masked = self._control.take()
            messages.append(SocketMessage(head.opcode, payload, recorded, masked))

    def _add(self, piece: Piece, head: FrameHead, messages: list[SocketMessage]) -> None:
        if piece.begins and head.opcode != CONTINUATION:
            self._opcode, self._compressed = head.opcode, head.compressed
        self._message.add(piece)
        if self._message.length > self._bytes_max:
            self._refuse()
        if self.too_long:
            recorded, _, masked = self._message.take()
            messages.append(SocketMessage(UNREAD, b"", recorded, masked))
            self.frame_count += piece.ends
        elif piece.ends:
            self.frame_count += 1
            if head.final:
                messages.append(self._finish())

    def _finish(self) -> SocketMessage:
        recorded, payload, masked = self._message.take()
        if self._compressed:
            payload = self._inflate(payload + _DEFLATE_TAIL)
        opcode = UNREAD if self.too_long else self._opcode
        return SocketMessage(opcode, payload, recorded, masked, self._compressed)

    def _inflate(self, payload: bytes) -> bytes:
        self._inflated_left += INFLATED_RATIO_MAX * len(payload)
        try:
            plain = self._inflater.inflate(payload, min(self._bytes_max, self._inflated_left))
            self._inflated_left -= len(plain)
            return plain
        except zlib.error:
            self.trouble = "a compressed message that is broken"
        except _TooLongError:
            self._refuse()
            if self._inflated_left < self._bytes_max:
                self.trouble = f"more than {INFLATED_BYTES_MAX} bytes of compressed messages"
        return b""

    def _refuse(self) -> None:
        self.too_long = True
        self.trouble = f"a message of more than {self._bytes_max} bytes"


class _Pieces:
    """The pieces of a message so far."""

    __slots__ = ("_masked", "_payloads", "_recorded", "length")

    def __init__(self) -> None:
        self.length = 0
        self._masked = False
        self._payloads: list[bytes] = []
        self._recorded: list[bytes] = []

    @property
    def recorded(self) -> bool:
        return bool(self._recorded)

    def add(self, piece: Piece) -> None:
        self.length += len(piece.payload)
        self._payloads.append(piece.payload)
        self._recorded.append(piece.recorded)
        self._masked = piece.head is not None and piece.head.masked

    def take(self) -> tuple[bytes, bytes, bool]:
        recorded, payload = b"".join(self._recorded), b"".join(self._payloads)
        self._recorded, self._payloads, self.length = [], [], 0
        return recorded, payload, self._masked


class _TooLongError(Exception):
    """A compressed message is too long when inflated."""


class _Inflater:
    """Undoes permessage-deflate. One history for all messages also reads senders that keep none."""

    def __init__(self) -> None:
        self._machine = zlib.decompressobj(wbits=-zlib.MAX_WBITS)

    def inflate(self, data: bytes, bytes_max: int) -> bytes:
        plain = self._machine.decompress(data, bytes_max + 1)
        if len(plain) > bytes_max:
            raise _TooLongError
        if self._machine.eof:  # a sender may end the stream with a message
            self._machine = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        return plain


def frame_of(opcode: int, payload: bytes, *, masked: bool, key: bytes = _NO_KEY) -> bytes:
    """Write a message as one frame; one that is masked with a key of four bytes, zeros or others.

    >>> frame_of(CLOSE, b"", masked=False)
    b'\\x88\\x00'
    """
    length = len(payload)
    mark = 128 if masked else 0
    if length < 126:
        head = bytes((128 | opcode, mark | length))
    elif length < 2**16:
        head = bytes((128 | opcode, mark | 126)) + length.to_bytes(2)
    else:
        head = bytes((128 | opcode, mark | 127)) + length.to_bytes(8)
    if not masked:
        return head + payload
    mask = (key * (length // 4 + 1))[:length]
    body = (int.from_bytes(payload) ^ int.from_bytes(mask)).to_bytes(length)
    return head + key + body
