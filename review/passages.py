"""A text of a call on its way to a page: cut at a limit, laid out, nothing in it invisible.

What a person, a program or a model said is text and stays text: the templates escape it, and
`visible` is the one place here that makes markup, of nothing but escaped pieces and its own marks.
Characters that a browser would not show, or would let act on the text around them, are shown by
their escapes (storage.invisible).

Limits: TEXT_CHARS_MAX of one text, PAGE_CHARS_MAX of all texts of a page; JSON longer than
JSON_CHARS_MAX is not laid out. What is left out is counted, and is in the recorded bytes.
"""

import json
import re

import msgspec
from markupsafe import Markup, escape

from storage.invisible import INVISIBLE, made_visible

TEXT_CHARS_MAX = 20_000  # ten pages of print: who reads more of one text wants the file
PAGE_CHARS_MAX = 600_000  # a browser lays this out in half a second
JSON_CHARS_MAX = 200_000
LINE_CHARS_MAX = 160

_JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_JSON_BEGINNINGS = ("{", "[")


class Passage(msgspec.Struct, frozen=True):
    """A text as it is shown, and how many characters of it are not."""

    text: str
    left_out: int = 0
    is_json: bool = False


class Room:
    """The characters that a page still takes. Whoever asks first gets most."""

    def __init__(self, chars: int = PAGE_CHARS_MAX) -> None:
        self._left = chars

    def take(self, text: str, *, as_json: bool = True) -> Passage:
        """Take a text as far as there is room for it, laid out if it is JSON."""
        laid_out = _laid_out(text) if as_json else None
        shown = text if laid_out is None else laid_out
        kept = shown[: min(TEXT_CHARS_MAX, self._left)]
        self._left -= len(kept)
        return Passage(kept, len(shown) - len(kept), laid_out is not None)


def first_line(text: str) -> str:
    """Say what a text begins with, white space as single spaces, in LINE_CHARS_MAX characters."""
    line = " ".join(text[: 4 * LINE_CHARS_MAX].split())
    return line if len(line) <= LINE_CHARS_MAX else line[: LINE_CHARS_MAX - 1] + "…"


def visible(text: str) -> Markup:
    """Escape a text for a page; what would not be seen in it becomes a mark that can be."""
    if text.isascii() and text.isprintable():
        return escape(text)
    pieces: list[Markup] = []
    end = 0
    for found in INVISIBLE.finditer(text.replace("\r\n", "\n")):
        pieces += (escape(found.string[end : found.start()]), _mark(found[0]))
        end = found.end()
    pieces.append(escape(text.replace("\r\n", "\n")[end:]))
    return Markup("").join(pieces)


def is_seen(text: str) -> bool:
    """Tell whether everything in a text would be seen in a field of a form."""
    return INVISIBLE.search(text) is None


def plain(text: str) -> str:
    """Make the same visible where there can be no markup: in a title, an attribute."""
    return made_visible(text)


def _mark(char: str) -> Markup:
    return Markup('<span class="invisible">{}</span>').format(ascii(char)[1:-1])


def _laid_out(text: str) -> str | None:
    """Lay out a JSON object or array; None where the text is no such thing.

    Numbers, the order of keys and repeated keys stay as they were written; `\\u00e9` is read out.
    """
    if not text.lstrip()[:1].startswith(_JSON_BEGINNINGS) or len(text) > JSON_CHARS_MAX:
        return None
    try:
        # Whether it is JSON at all: what is only laid out is not checked.
        json.loads(text, parse_int=str, parse_float=str)
        laid_out = msgspec.json.format(text, indent=2)
    except (ValueError, RecursionError):
        return None
    return _JSON_TEXT.sub(_read_out, laid_out) if "\\u" in laid_out else laid_out


def _read_out(found: re.Match[str]) -> str:
    """Write a JSON string without escapes, but for those of what is not seen."""
    if "\\u" not in found[0]:
        return found[0]
    value = json.dumps(json.loads(found[0]), ensure_ascii=False)
    return found[0] if INVISIBLE.search(value) else value
