"""The input of a conversation: what is compared to tell whether two rows ask the same.

The input is what users and tools said. The answers are not part of it: another answer to a
question of the test set, sampled or corrected, still gives the question away. Nor are the
system and developer messages, which all rows of an application share; of them, `system` is a hash,
with numbers, dates and ids masked. An image, audio or file is a hash, too (`attached`).
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from exporters.images import read_image
from storage.grouping import masked
from storage.trace import Json, Message, Part

# System messages recur; in ASCII, 64 of 128 KB are 8 MB.
_SYSTEM_CACHE_SIZE = 64
_SYSTEM_CACHE_CHARS_MAX = 128 * 1024

NOTHING = bytes(16)

_FIELD = "\x1f"

_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class Input(NamedTuple):
    """What was asked. `said`: every message of users and tools, in order; `last`: the place of what
    the user said last, -1 where no user speaks. `system` and `attached` are hashes of 16 bytes,
    NOTHING where there is none."""

    said: list[str]
    last: int
    system: bytes
    attached: bytes

    @property
    def text(self) -> str:
        """All of it; what was said last comes first."""
        return joined(self.said, self.last)


def input_of(messages: Sequence[Message]) -> Input:
    """Find the input among the messages of a conversation."""
    texts: list[str] = []
    system: list[str] = []
    attached: list[str] = []
    last = -1
    for message in messages:
        if message.role == "assistant":
            continue
        if message.role in ("system", "developer"):
            system.append(message.text)
            continue
        if message.role == "user":
            last = len(texts)
        texts.append(message.text)
        if isinstance(message.content, tuple):
            attached += [seen(part) for part in message.content if part.kind != "text"]
    return Input(
        said=texts,
        last=last,
        system=_system_digest("\n".join(system)) if system else NOTHING,
        attached=digest(_FIELD.join(attached)) if attached else NOTHING,
    )


def joined(said: Sequence[str], last: int) -> str:
    """Write what was said as one text, a line each; what was said last comes first."""
    if last < 0:
        return "\n".join(("", *said))
    return "\n".join((said[last], *said[:last], *said[last + 1 :]))


def seen(part: Part) -> str:
    """Return what a model sees of a part, without what dialects and clients add to it."""
    if image := read_image(part):
        return image.url
    raw: dict[str, Json] = {
        key: value for key, value in (part.raw or {}).items() if key != "cache_control"
    }
    return _encode_sorted([part.kind, part.text, raw]).decode()


def digest(text: str) -> bytes:
    """Hash a text to 16 bytes."""
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=16).digest()


def _system_digest(text: str) -> bytes:
    if len(text) > _SYSTEM_CACHE_CHARS_MAX:
        return digest(masked(text))
    return _system_digest_cached(text)


@lru_cache(maxsize=_SYSTEM_CACHE_SIZE)
def _system_digest_cached(text: str) -> bytes:
    return digest(masked(text))
