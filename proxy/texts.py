"""Where the texts of a body are, for patterns that must find what people wrote and nothing else.

A pattern is run once over all of a body, its JSON escapes undone (`Unescaped`): `bob\\u0040x.de` is
found as `bob@x.de`. What it finds counts where it lies within one text (`TextSpans`): a string of
JSON, without its quotes; or a line, or a piece of one, that is not JSON at all, as in multipart
forms. Numbers, `true`, `null` and the punctuation of JSON are no text, so JSON stays JSON whatever
is put in place of what was found. A line break ends whatever the quotes before it began, so broken
JSON, streams of events and JSON lines need no parser.

The texts that the events of a stream bring in pieces are joined (`Joined`), to be searched as one.
Pieces of several answers that arrive by turns (`n` above 1) are joined as they come.
"""

import re
from bisect import bisect_right
from typing import Final

_STRING: Final = re.compile(
    rb'"[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+"'
)  # possessive: no way back, so no body can make it slow
_ESCAPE: Final = re.compile(
    rb"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))",
    re.DOTALL,
)
_PLAIN: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}
_SIMPLE: Final = (
    (b"\\n", b"\n"), (b'\\"', b'"'), (b"\\t", b"\t"), (b"\\r", b"\r"), (b"\\/", b"/"),
    (b"\\b", b"\b"), (b"\\f", b"\f"),
)  # fmt: skip
_ODD_ESCAPE: Final = re.compile(rb'\\[^"\\bfnrtu]')
_NO_TEXT: Final = re.compile(
    rb"(?:[\s,:\[\]{}]++|(?:true|false|null|-?[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)"
    rb"(?=[\s,:\[\]{}]|$))*+"
)
# The texts of which a stream's events bring the pieces, in every dialect; what they are called.
_PIECE: Final = re.compile(
    rb'"(content|text|arguments|delta|partial_json|thinking|reasoning_content|reasoning|refusal)"'
    rb'\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
)
_NUMBER_BEFORE: Final = re.compile(rb'"\s{0,4}:\s{0,4}$')


class Unescaped:
    """A text with its JSON escapes undone, which knows where each of its bytes came from."""

    __slots__ = ("_here", "_there", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._here: list[int] = [0]  # positions in `data`, each behind an escape
        self._there: list[int] = [0]  # and where that is in what was given
        if b"\\" in data:
            self._undo(data)

    def back(self, position: int) -> int:
        """Say where a position was in what was given."""
        at = bisect_right(self._here, position) - 1
        return self._there[at] + position - self._here[at]

    def forth(self, position: int) -> int:
        """Say where a position of what was given is now; it is not within an escape."""
        at = bisect_right(self._there, position) - 1
        return self._here[at] + position - self._there[at]

    def _undo(self, data: bytes) -> None:
        pieces: list[bytes] = []
        length = end = 0
        for found in _ESCAPE.finditer(data):
            start = found.start()
            plain = _plain(found)
            pieces += (data[end:start], plain)
            length += start - end + len(plain)
            end = found.end()
            self._here.append(length)
            self._there.append(end)
        pieces.append(data[end:])
        self.data = b"".join(pieces)


def undone(data: bytes) -> bytes | None:
    """Undo the JSON escapes of a text as fast as can be; None where `Unescaped` must do it.

    Most bodies have nothing to be found in them, and then nobody asks where it came from.
    """
    if b"\\" not in data:
        return data
    if data.isascii():
        if _ODD_ESCAPE.search(data):
            return None
        try:
            text = data.decode("unicode_escape")  # Python's escapes, among them all of JSON's but /
        except UnicodeDecodeError:
            return None
        if b"\\u" in data:  # perhaps of both halves of a character
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text.encode()
    if b"\\\\" in data or b"\\u" in data:
        return None
    for escape, plain in _SIMPLE:
        data = data.replace(escape, plain)
    return data


class TextSpans:
    """The texts of a body that has JSON in it: spans in order, apart from each other."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, data: bytes) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        end = 0
        for found in _STRING.finditer(data):
            start, string_end = found.span()
            self._add_between(data, end, start)
            self._add(start + 1, string_end - 1)
            end = string_end
        self._add_between(data, end, len(data))

    def around(self, position: int) -> tuple[int, int] | None:
        """Return the text that a position is in, else the next one; None behind the last."""
        at = bisect_right(self._starts, position) - 1
        if at < 0 or position >= self._ends[at]:
            at += 1
        return (self._starts[at], self._ends[at]) if at < len(self._starts) else None

    def _add(self, start: int, end: int) -> None:
        if start < end:
            self._starts.append(start)
            self._ends.append(end)

    def _add_between(self, data: bytes, start: int, end: int) -> None:
        """Add what is between two strings where it is not JSON's own, line by line."""
        if _NO_TEXT.fullmatch(data, start, end):
            return
        while start < end:
            line_end = data.find(b"\n", start, end)
            line_end = end if line_end < 0 else line_end
            # A zero byte is in no text: sounds and pictures are left alone.
            binary = data.find(b"\0", start, line_end) >= 0
            if not binary and not _NO_TEXT.fullmatch(data, start, line_end):
                self._add(start, line_end)
            start = line_end + 1


class Joined:
    """The texts of a stream's events as one; a line break stands where they change their name."""

    __slots__ = ("_ends", "_here", "_there", "data")

    def __init__(self, data: bytes, end: int) -> None:
        """Join the pieces in `data` up to `end`, the end of a line."""
        self._here: list[int] = []  # where each piece begins in the joined text
        self._there: list[int] = []  # and in what was given
        self._ends: list[int] = []
        pieces: list[bytes] = []
        length = 0
        name = b""
        for found in _PIECE.finditer(data, 0, end):
            if name not in (b"", found[1]):
                pieces.append(b"\n")
                length += 1
            name, piece = found[1], found[2]
            self._here.append(length)
            self._there.append(found.start(2))
            self._ends.append(found.end(2))
            pieces.append(piece)
            length += len(piece)
        self.data = b"".join(pieces)

    def holds(self, position: int) -> bool:
        """Tell whether a position of what was given is in one of the pieces."""
        at = bisect_right(self._there, position) - 1
        return at >= 0 and position < self._ends[at]

    def places(self, start: int, end: int) -> list[tuple[int, int]]:
        """Say where a stretch of the joined text stands in what was given, piece by piece."""
        found = []
        at = bisect_right(self._here, start) - 1
        while at < len(self._here) and self._here[at] < end:
            here, there = self._here[at], self._there[at]
            first = max(start - here, 0)
            last = min(end - here, self._ends[at] - there)
            if first < last:
                found.append((there + first, there + last))
            at += 1
        return found

    def last_before(self, position: int) -> int:
        """Say where a piece begins, in what was given, with which a new search may begin.

        It is the last one that begins at or before a position of the joined text, better one behind
        white space, so that no word is cut. 0 where there is none.
        """
        last = bisect_right(self._here, position) - 1
        for at in range(last, max(last - _PIECES_TRIED_MAX, -1), -1):
            here = self._here[at]
            if here == 0 or self.data[here - 1 : here].isspace():
                return self._there[at]
        return self._there[last] if last >= 0 else 0


_PIECES_TRIED_MAX: Final = 64


def is_json(text: bytes) -> bool | None:
    """Say whether a body is JSON, or has JSON in it, by its beginning; None where it has none."""
    first = text[:256].lstrip()[:2]
    return first[:1] in (b"{", b"[", b'"') or first == b"--" if first else None


def is_member_number(text: bytes, start: int, end: int) -> bool:
    """Tell whether a stretch of text is the number of a member of JSON that stands in the text."""
    digits = text[start:end]
    return digits.isdigit() and bool(_NUMBER_BEFORE.search(text, max(start - 10, 0), start))


def last_unfinished(text: bytes) -> int | None:
    """Say where the string begins that does not end in `text`; else None, or -1 in plain text."""
    start = text.rfind(b"\n") + 1
    for found in _STRING.finditer(text, start):
        start = found.end()
    quote = text.find(b'"', start)
    if quote >= 0:
        return quote
    return None if _NO_TEXT.fullmatch(text, start) else -1


def _plain(found: re.Match[bytes]) -> bytes:
    high, low, unit, letter = found.groups()
    if letter is not None:
        return _PLAIN.get(letter, letter)
    if high is not None:
        point = 0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF)
    else:
        point = int(unit, 16)
    return chr(point).encode("utf-8", "replace")
