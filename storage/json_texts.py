"""Texts that are JSON, or were meant to be: what a model answers when it is asked for structure.

A text counts where its first characters are those of an object or of an array, white space and a
fence of Markdown aside; then it is `object`, `array` or, where it cannot be parsed, `broken`: cut
off, or with words behind it. Texts beyond CHARS_MAX are not parsed and count as no JSON.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from storage.trace import Json

CHARS_MAX: Final = 256 * 1024  # 1 ms; longer answers than any model gives
DEPTH_MAX: Final = 8  # of objects within objects, as far as fields are named
FIELDS_MAX: Final = 200  # 0.1 ms to hash
SCALAR_CHARS_MAX: Final = 64
KEYS_HASH_CHARS: Final = 16  # 64 bits of SHA-256 in hex

# `[` opens many things that are no JSON, such as [INST] or [1]; an object's key or end must follow.
_BEGINNING: Final = re.compile(
    r"\s*(?:```(?:json|JSON)?\s*)?(?=\{\s*[\"}]|\{\s*\Z|\[\s*(?:[\[{\"\]]|-?[0-9.]+\s*(?:,|\]\s*\Z)|\Z))"
)
_FENCE: Final = "```"


class JsonText(NamedTuple):
    """What a text is as JSON: '', object, array or broken; and its value, where it has one."""

    kind: str
    value: Json


NO_JSON: Final = JsonText("", None)


def read_json(text: str) -> JsonText:
    """Parse a text that begins like JSON; return NO_JSON for any other."""
    if text[:1] not in _FIRST or len(text) > CHARS_MAX:
        return NO_JSON
    found = _BEGINNING.match(text)
    if found is None:
        return NO_JSON
    fenced = _FENCE in found[0]
    inner = text[found.end() :]
    if fenced:
        inner = inner.partition(_FENCE)[0]
    try:
        value: Json = msgspec.json.decode(inner.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return JsonText("broken", None)
    return JsonText("object" if isinstance(value, dict) else "array", value)


def keys_hash(value: Json) -> str:
    """Hash the names of an object's fields, in whatever order; "" for anything else."""
    if not isinstance(value, dict) or not value:
        return ""
    names = "\0".join(sorted(value))
    return hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest()[:KEYS_HASH_CHARS]


def fields_of(value: Json) -> Iterator[tuple[str, str | None]]:
    """Yield the path of every field, and its value as text where that is a short scalar.

    Paths are keys with dots between; the elements of an array share the path of the array with
    `[]` behind it. At most FIELDS_MAX fields, in the order they were written, no deeper than
    DEPTH_MAX.

        {"a": {"b": 1}, "c": ["x"]}    a, a.b=1, c, c[]=x
    """
    count = 0
    waiting: list[tuple[str, Json, int]] = [("", value, 0)]
    while waiting:
        path, each, depth = waiting.pop()
        if path:
            yield path, _scalar(each)
            count += 1
            if count >= FIELDS_MAX:
                return
        if depth < DEPTH_MAX:
            waiting += reversed([(name, inner, depth + 1) for name, inner in _inner(path, each)])


def _inner(path: str, value: Json) -> Iterable[tuple[str, Json]]:
    if isinstance(value, dict):
        before = f"{path}." if path else ""
        return ((f"{before}{key}", inner) for key, inner in islice(value.items(), FIELDS_MAX))
    if isinstance(value, list):
        return ((f"{path}[]", inner) for inner in value[:FIELDS_MAX])
    return ()


def _scalar(value: Json) -> str | None:
    if isinstance(value, dict | list):
        return None
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= SCALAR_CHARS_MAX else None


_FIRST: Final = frozenset(" \t\r\n{[`")
