"""What an application says of a call in its headers, in our words or another gateway's.

    ours                        Helicone                   LiteLLM                        OpenPipe
    x-shalt-session             Helicone-Session-Id        x-litellm-session-id
    (body: user)                Helicone-User-Id           x-litellm-end-user-id,
                                                           x-litellm-customer-id
    x-shalt-tag-<key>           Helicone-Property-<key>    x-litellm-spend-logs-metadata  op-tags
                                                           x-litellm-tags
    x-shalt-record: metadata    Helicone-Omit-Request,     x-litellm-enable-message-
                                Helicone-Omit-Response     redaction
    x-shalt-record: none                                                    op-log-request: false

so that an application which spoke to one of those needs another base URL and nothing else. Our own
word wins over theirs. `x-litellm-spend-logs-metadata` and `op-tags` are JSON objects;
`x-litellm-tags` is a list of words, each of which becomes a tag with the value `true`. What cannot
be read is passed over: it is a hint, and no reason to refuse a call. A header that begins like ours
and is none, a misspelt one, is named, so that the record says why nothing came of it.

`proxy.context` reads what decides whether a call is recorded, before it is; everything else is read
here, afterwards.
"""

import msgspec

from storage.capture import Headers

_OURS = b"x-shalt-tag-"
_OURS_ALL = b"x-shalt-"
_KNOWN = frozenset(
    _OURS_ALL + word for word in (b"session", b"record", b"project", b"key", b"timing")
)
_HELICONE = b"helicone-property-"
_PREFIXES = (_OURS_ALL, b"helicone-", b"x-litellm-", b"op-tags")
_BEGINNING_BYTES = 4  # few other names begin like these, and looking them up is faster
_BEGINNINGS = frozenset(prefix[:_BEGINNING_BYTES] for prefix in _PREFIXES)
_SESSIONS = (b"x-shalt-session", b"helicone-session-id", b"x-litellm-session-id")
_USERS = (b"helicone-user-id", b"x-litellm-end-user-id", b"x-litellm-customer-id")
_JSON_TAGS = (b"x-litellm-spend-logs-metadata", b"op-tags")
_WORD_TAGS = b"x-litellm-tags"

_decode_object = msgspec.json.Decoder(dict[str, object]).decode


class Context(msgspec.Struct, frozen=True):
    """What the headers said. `tags` in order of precedence; a key may come twice. `unknown`: names
    of headers that begin like ours."""

    session_id: str = ""
    user_id: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    unknown: tuple[str, ...] = ()


_NONE = Context()


def context_of(headers: Headers) -> Context:
    """Read the context of a call from the headers of its request, names in lower case."""
    said = [
        (name, header_text(value))
        for name, value in headers
        if name[:_BEGINNING_BYTES] in _BEGINNINGS and name.startswith(_PREFIXES)
    ]
    if not said:
        return _NONE
    named = dict(reversed(said))
    tags = [(_rest(name, _OURS), text) for name, text in said if name.startswith(_OURS)]
    unknown: tuple[str, ...] = ()
    if len(tags) < len(said):
        others = (name for name in named if name.startswith(_OURS_ALL) and name not in _KNOWN)
        unknown = tuple(header_text(name) for name in others if not name.startswith(_OURS))
        theirs = [each for each in said if each[0].startswith(_HELICONE)]
        tags += [(_rest(name, _HELICONE), text) for name, text in theirs]
    for name in _JSON_TAGS:
        if text := named.get(name):
            tags += _object(text)
    if text := named.get(_WORD_TAGS):
        tags += [(word, "true") for word in _words(text)]
    return Context(_first(named, _SESSIONS), _first(named, _USERS), tuple(tags), unknown)


def header_text(value: bytes) -> str:
    """Read a header's value. HTTP says latin-1, applications send UTF-8; hardly any latin-1 text
    is valid UTF-8."""
    try:
        return value.decode().strip()
    except UnicodeDecodeError:
        return value.decode("latin-1").strip()


def _rest(name: bytes, prefix: bytes) -> str:
    return header_text(name.removeprefix(prefix))


def _first(named: dict[bytes, str], names: tuple[bytes, ...]) -> str:
    for name in names:
        if text := named.get(name):
            return text
    return ""


def _words(text: str) -> list[str]:
    return [word for piece in text.split(",") if (word := piece.strip())]


def _object(text: str) -> list[tuple[str, str]]:
    """Read a JSON object of tags; texts as they are, anything else as JSON."""
    try:
        found = _decode_object(text)
    except (msgspec.MsgspecError, RecursionError):
        return []
    return [
        (key, value if isinstance(value, str) else msgspec.json.encode(value).decode())
        for key, value in found.items()
    ]
