"""The tools a call offers, by hashes: of the whole set, and of each tool with its name.

What the model is told of a tool is hashed: its kind, name, description and schema, written in one
way only, so neither the order of tools nor that of keys counts. The same tools are offered call
after call: CACHED_SETS are remembered, which spares 10 microseconds a tool.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from storage.trace import Json, Tool

CACHED_SETS: Final = 256
CACHED_BYTES_MAX: Final = 64 * 1024
HASH_CHARS: Final = 16  # 64 bits of SHA-256 in hex: a project's few thousand sets will not meet
NAME_CHARS_MAX: Final = 128  # of a tool, as it is listed

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


class ToolSet(NamedTuple):
    """A set of tools: its hash, and a JSON list of name@hash, sorted. Both empty without tools."""

    hash: str
    tools: str


NO_TOOLS: Final = ToolSet("", "")


def tool_set_of(tools: Sequence[Tool]) -> ToolSet:
    """Hash the tools offered, in whatever order."""
    if not tools:
        return NO_TOOLS
    told: list[Json] = [_told(tool) for tool in tools]
    try:
        written = _encode(told)
    except (UnicodeEncodeError, OverflowError):
        return _of_told(told)
    return _of_written(written) if len(written) <= CACHED_BYTES_MAX else _of_told(told)


def _told(tool: Tool) -> list[Json]:
    # A tool that is no function (a web search, a computer) is all in what was sent.
    schema = tool.parameters if tool.kind == "function" else tool.raw
    return [tool.kind, tool.name, tool.description, schema]


@lru_cache(maxsize=CACHED_SETS)
def _of_written(written: bytes) -> ToolSet:
    return _of_told(_decode(written))


def _of_told(told: list[Json]) -> ToolSet:
    """Hash each tool written in one way only.

    ASCII, so that what cannot be encoded cannot fail either.
    """
    written = sorted(
        (json.dumps(each, sort_keys=True, separators=(",", ":")), _name(each)) for each in told
    )
    named = sorted({f"{name}@{_hash(text)}" for text, name in written})
    return ToolSet(_hash("\n".join(text for text, _ in written)), _as_list(named))


def _name(told: Json) -> str:
    """Take the name of a tool; one without a name goes by its kind."""
    assert isinstance(told, list)
    kind, name = told[0], told[1]
    return str(name or kind)[:NAME_CHARS_MAX].replace("\0", "\ufffd")


def _as_list(named: Sequence[str]) -> str:
    return json.dumps(named, separators=(",", ":"))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_CHARS]
