"""Span to group: explicit session, else the masked root of the conversation.

A group is what must not be divided between train and test. It is a function of one call, so it
is the same whatever the order, batch or restart; only `Group.linked_to` asks the store for more.

The root is what all turns of a conversation have in common: its messages before the first
assistant reply, which is the first assistant message after a user's (a greeting is not a reply).
System and developer messages count with numbers, dates and ids masked, for many an application
writes the time of day into them. Ids, names, white space and cache marks do not count.

Equal beginnings share a group, although they may be different conversations: over-merging is the
safe side. Few-shot prompts whose examples are assistant messages all begin alike; such an
application should send a session. What is not done: similar beginnings are not brought together.
"""

import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache

import msgspec

from storage.capture import Capture
from storage.trace import Json, Message, Part, Span

GROUP_BY = ("session", "root")
GROUP_WORDS = ("session", "root", "trace", "user")
TAG_PREFIX = "tag:"

# A key of an index: PostgreSQL refuses more than 2,704 bytes. Longer ids are hashed.
GROUP_ID_CHARS_MAX = 512
# System messages recur, and masking one of 20 KB takes 0.5 ms. In ASCII, 64 of the longest and
# their masks are 16 MB.
MASKED_CACHE_SIZE = 64
MASKED_CACHE_CHARS_MAX = 128 * 1024

# From a digit on: 7, 2026-10-01T12:30:00Z, 1,024.50. What stands before it is found backwards
# from here, because a pattern that begins with letters is tried at every word: five times slower.
_NUMBER = re.compile(r"\d\w*(?:[-+:./,]\w+)*")
_CALENDAR = re.compile(
    r"(?=[JFMASONDTW])(?<!\w)(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?"
    r"|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?"
    r"|(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?)\b"
)
_AM_PM = re.compile(r"#\s*[apAP]\.?[mM]\b\.?")

# Between the pieces of what is hashed; str.split() counts both as white space, so no piece has one.
_FIELD = "\x1f"
_MESSAGE = "\x1e"

_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class GroupByError(ValueError):
    """A setting of `group_by` names something one cannot group by."""


class Group(msgspec.Struct, frozen=True):
    """What a call must stay together with.

    `source` is the word of `group_by` that applied. `linked_to`: the upstream's id of the answer
    this call continues, where that takes precedence; the store joins the two when both are there.
    """

    id: str
    source: str
    linked_to: str = ""


def group_of(span: Span, capture: Capture, group_by: tuple[str, ...] = GROUP_BY) -> Group:
    """Name the group of a call: the first word of `group_by` that applies, else its root.

    `session`: the session id of the request, else the conversation of the Responses API, else the
    group of the call it continues (left to the store). `root`: see the module. `trace`: the W3C
    trace id. `user`: the user id. `tag:<key>`: the value of that tag. The id is the value's text,
    of a root the SHA-256 in hex. Pure; `group_by` must have passed `validate_group_by`.
    """
    understood = span.understood
    linked_to = ""
    for word in group_by:
        if word == "session":
            value = span.session_id or understood.conversation_id
            linked_to = "" if value else understood.previous_id
        elif word == "trace":
            value = span.trace_id
        elif word == "user":
            value = span.user_id
        elif word == "root":
            break
        else:
            value = span.tags.get(word.removeprefix(TAG_PREFIX), "")
        if value:
            return Group(_bounded(value), word, linked_to)
    return Group(_root(span, capture), "root", linked_to)


def validate_group_by(group_by: tuple[str, ...]) -> None:
    """Raise GroupByError unless every word is one to group by, and there is one at all."""
    if not group_by:
        raise GroupByError('group_by is empty: write at least ["root"]')
    for word in group_by:
        is_tag = word.startswith(TAG_PREFIX) and len(word) > len(TAG_PREFIX)
        if word not in GROUP_WORDS and not is_tag:
            raise GroupByError(
                f"group_by: {word!r} is nothing to group by: "
                f"write one of {', '.join(GROUP_WORDS)} or {TAG_PREFIX}<key>"
            )


def masked(text: str) -> str:
    """Replace numbers, dates, times and ids by `#`, and white space by single spaces.

    Two fillings of one template become one text: `Today is Monday, 5 May 2025.` and
    `Today is Friday, 10 October 2025.` are both `Today is #, # # #.` Months and days are known
    by their English names.
    """
    return _masked_cached(text) if len(text) <= MASKED_CACHE_CHARS_MAX else _masked(text)


def _masked(text: str) -> str:
    text = " ".join(text.split())
    pieces: list[str] = []
    end = 0
    for match in _NUMBER.finditer(text):
        start = match.start()
        while start > end and (text[start - 1].isalnum() or text[start - 1] in "-_"):
            start -= 1
        pieces += (text[end:start], "#")
        end = match.end()
    pieces.append(text[end:])
    return _AM_PM.sub("#", _CALENDAR.sub("#", "".join(pieces)))


_masked_cached = lru_cache(maxsize=MASKED_CACHE_SIZE)(_masked)


def _bounded(value: str) -> str:
    if len(value) <= GROUP_ID_CHARS_MAX:
        return value
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def _root(span: Span, capture: Capture) -> str:
    """Hash what every turn of the conversation begins with; without messages, the request."""
    beginning = _MESSAGE.join(_beginning(span.understood.messages))
    if beginning:
        return hashlib.sha256(beginning.encode("utf-8", "surrogatepass")).hexdigest()
    return hashlib.sha256(_normalised_body(span, capture)).hexdigest()


def _beginning(messages: tuple[Message, ...]) -> Iterator[str]:
    """Yield the messages before the first assistant reply as text; empty ones do not count."""
    user_spoke = False
    for message in messages:
        if message.role == "assistant" and user_spoke:
            return
        user_spoke = user_spoke or message.role == "user"
        instructs = message.role in ("system", "developer")
        fields = [field for field in _fields(message, instructs) if field]
        if fields:
            # Both are the instructions; libraries write one or the other, depending on the model.
            role = "system" if instructs else message.role
            yield _FIELD.join([role, *fields])


def _fields(message: Message, instructs: bool) -> Iterator[str]:
    content = message.content
    if isinstance(content, tuple):
        # A text in one piece or in several is the same text.
        yield _normalised(message.text, instructs)
        yield from (_canonical_part(part) for part in content if part.kind != "text")
    else:
        yield _normalised(content or "", instructs)
    for tool_call in message.tool_calls:
        yield _canonical_json(tool_call.arguments.encode("utf-8", "surrogatepass")).decode()


def _normalised(text: str, instructs: bool) -> str:
    return masked(text) if instructs else " ".join(text.split())


def _canonical_part(part: Part) -> str:
    """Hash an image, audio or file; where the client caches its prompt is not part of it."""
    raw: dict[str, Json] = {
        key: value for key, value in (part.raw or {}).items() if key != "cache_control"
    }
    return hashlib.sha256(_encode_sorted([part.kind, part.text, raw])).hexdigest()


def _normalised_body(span: Span, capture: Capture) -> bytes:
    """Return what stands for a request that has no messages, such as one for embeddings."""
    body = capture.request_body
    if body.truncated:
        return body.sha256.encode()
    if not body.data:
        return f"{span.method} {span.path}".encode("utf-8", "surrogatepass")
    return _canonical_json(body.data)


def _canonical_json(data: bytes) -> bytes:
    """Write JSON with sorted keys and without white space; return anything else as it is."""
    try:
        return _encode_sorted(msgspec.json.decode(data))
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError, ValueError):
        return data
