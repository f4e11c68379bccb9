"""Which path goes to which upstream, and with which headers.

    /v1/*             the default upstream: base_url + what follows /v1
    /u/<upstream>/*   that upstream: base_url + what follows the name
    a mount of one    that upstream: base_url + the whole path; the longest mount that fits, first
    anything else     the console, unrecorded

A client names a path, never an address: where a call goes is decided here from the settings, and
`Host`, absolute request lines and anything in the body have no say in it.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from proxy.context import RecordMode
from proxy.egress import Egress
from proxy.judged_names import JudgedNames
from proxy.upstream import UpstreamPool
from storage.capture import Dialect, Headers

# Concern one connection only (RFC 9110, section 7.6.1), or are ours to write. `expect` is answered
# by the server in front of us.
_REQUEST_HOP_HEADERS: Final = frozenset(
    (
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
        b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect",
        b"host",
    )
)  # fmt: skip
_RESPONSE_HOP_HEADERS: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
# Keys to other gateways, from applications that spoke to one: no business of a provider.
_GATEWAY_KEY_HEADERS: Final = frozenset(
    (b"helicone-auth", b"x-litellm-api-key", b"x-portkey-api-key")
)
_LEFT_OUT_HEADERS: Final = _REQUEST_HOP_HEADERS | _GATEWAY_KEY_HEADERS
_FRAMING_HEADERS: Final = frozenset((b"content-length", b"transfer-encoding", b"host"))
# What asks for a WebSocket: it goes on to the upstream, as the answer to it goes back.
_UPGRADE_HEADERS: Final = frozenset((b"connection", b"upgrade"))
_PROTOCOL_HEADER: Final = b"sec-websocket-protocol"
_KEY_PROTOCOL: Final = b"openai-insecure-api-key."  # of pages, which can set no other header
FEEDBACK_PATH: Final = b"/feedback"
# Of whose calls a key may speak, to the console alone. Nobody can send it: it has our prefix.
KEY_PROJECT_HEADER: Final = b"x-shalt-key-project"
REQUEST_ID_HEADER: Final = b"x-shalt-request"  # to the console alone
_OUR_PREFIX: Final = b"x-shalt-"
_CLIENT_KEY_HEADERS: Final = frozenset((b"authorization", b"x-api-key", b"api-key"))

# Headers that pass on as they are, whatever the upstream: most are.
_is_ordinary: Final = JudgedNames(
    lambda name: (
        name not in _LEFT_OUT_HEADERS | _CLIENT_KEY_HEADERS | {_PROTOCOL_HEADER}
        and not name.startswith(_OUR_PREFIX)
    )
)


@dataclass(frozen=True)
class Upstream:
    """An upstream as the settings describe it, its connections included.

    `host` is what to put in the Host header, None for the client's own; `base_path` is the path of
    the base URL without a final slash; `key_header` is the header with the key shalt holds for it,
    or None when the client's own key passes through. `egress` is the proxy that gets the requests
    of a plain http upstream; `base_path` is then the whole base URL, for that is the form it takes.
    `is_gateway`: it gets the keys of gateways, too. `mounts`: paths it serves besides those below
    its name.
    """

    name: str
    dialect: Dialect
    pool: UpstreamPool
    host: bytes | None
    base_path: bytes
    key_header: tuple[bytes, bytes] | None
    connect_seconds: float
    first_byte_seconds: float
    idle_seconds: float
    egress: Egress | None = None
    is_gateway: bool = False
    mounts: tuple[bytes, ...] = ()


class Route(NamedTuple):
    """Where a request goes: to `path` at `upstream`. None: there is no upstream of that name."""

    upstream: Upstream | None
    path: bytes
    mode: RecordMode


class Routes:
    """The upstreams by name, the default one, and the console."""

    def __init__(self, upstreams: list[Upstream], *, default: str, console: Upstream) -> None:
        self._by_name = {upstream.name.encode(): upstream for upstream in upstreams}
        self._default = self._by_name[default.encode()]
        mounts = [(mount, upstream) for upstream in upstreams for mount in upstream.mounts]
        self._mounts = sorted(mounts, key=lambda mount: -len(mount[0]))
        self._console = console

    @property
    def names(self) -> list[str]:
        """The names of the upstreams."""
        return [name.decode() for name in self._by_name]

    def find(self, path: bytes) -> Route:
        """Say where a path goes; `path` is as the client sent it, without the query."""
        for mount, upstream in self._mounts:
            if path.startswith(mount) and path[len(mount) : len(mount) + 1] in (b"", b"/"):
                return Route(upstream, upstream.base_path + path, "full")
        if path.startswith(b"/v1/") or path == b"/v1":
            return Route(self._default, self._default.base_path + path[3:], "full")
        if path.startswith(b"/u/"):
            name, slash, rest = path[3:].partition(b"/")
            named = self._by_name.get(name)
            if named is None:
                return Route(None, path, "full")
            return Route(named, named.base_path + slash + rest, "full")
        return Route(self._console, path, "unrecorded")


def climbs(path: bytes) -> bool:
    """Tell whether a path has a segment `..`, however it is written: the upstream may follow it.

    Segments end at a backslash, too, and after escapes are undone, for some servers read them so.
    """
    if b".." not in path and b"%" not in path:
        return False
    return b".." in unquote_to_bytes(path).replace(b"\\", b"/").split(b"/")


def request_head(
    upstream: Upstream,
    method: str,
    path: bytes,
    query: bytes,
    headers: Headers,
    request_id: bytes = b"",
    upgrade: bool = False,
    key_project: bytes = b"",
) -> tuple[bytes, bool]:
    """Write the head of the request for the upstream; tell whether its body goes out chunked.

    Headers keep their order and repeats; hop-by-hop ones, ours and the keys of other gateways are
    left out, `host` is the upstream's and stands where the client's stood. With a `request_id` it
    is told that, too: the console must know a request that comes again because its connection was
    stale; and the project of the access key, `key_project`. `upgrade`: it asks for a WebSocket, and
    the headers that say so stay. A TRACE is answered with what it was, so it gets no key of ours
    (RFC 9110, section 9.3.8).
    """
    named = _named_by_connection(headers)
    lines = [method.encode("ascii"), b" ", path or b"/"]
    if query:
        lines += (b"?", query)
    lines.append(b" HTTP/1.1\r\n")
    hosted = upstream.host is not None and not any(name == b"host" for name, _ in headers)
    if hosted and upstream.host is not None:
        lines += (b"host: ", upstream.host, b"\r\n")
    chunked = False
    left_out = _REQUEST_HOP_HEADERS if upstream.is_gateway else _LEFT_OUT_HEADERS
    for name, value in headers:
        if _is_ordinary[name] and name not in named:
            lines += (name, b": ", value, b"\r\n")
            continue
        if (name in left_out or name in named) and not (upgrade and name in _UPGRADE_HEADERS):
            if name == b"host":
                if not hosted:  # one host, whatever came
                    lines += (b"host: ", upstream.host or value, b"\r\n")
                hosted = True
            elif name == b"transfer-encoding":
                chunked = True
            continue
        if name.startswith(_OUR_PREFIX):
            continue
        if upstream.key_header is not None:
            if name in _CLIENT_KEY_HEADERS:
                continue
            if upgrade and name == _PROTOCOL_HEADER:
                value = _without_key(value)
                if not value:
                    continue
        lines += (name, b": ", value, b"\r\n")
    if upstream.key_header is not None and method != "TRACE":
        lines += (upstream.key_header[0], b": ", upstream.key_header[1], b"\r\n")
    if upstream.egress is not None and method != "TRACE":
        lines.append(upstream.egress.headers)
    if chunked:
        lines.append(b"transfer-encoding: chunked\r\n")
    if request_id:
        lines += (REQUEST_ID_HEADER, b": ", request_id, b"\r\n")
        if key_project:
            lines += (KEY_PROJECT_HEADER, b": ", key_project, b"\r\n")
    lines.append(b"\r\n")
    return b"".join(lines), chunked


def response_headers(status_code: int, headers: Headers, call_id: bytes) -> Headers:
    """Choose the headers of the answer for the client: all but hop-by-hop ones, and the call's id.

    `content-length` of an answer that can have no body (204, 304) is left out, because servers
    refuse to send it. What an upstream says under our prefix would be taken for ours, so it is left
    out where the answer gets an id; the console's answers get none and keep theirs.
    """
    named = _named_by_connection(headers)
    kept = []
    for name, value in headers:
        if name in _RESPONSE_HOP_HEADERS or name in named:
            continue
        if call_id and name.startswith(_OUR_PREFIX):
            continue
        if name == b"content-length" and status_code in (204, 304):
            continue
        kept.append((name, value))
    if call_id:
        kept.append((b"x-shalt-call-id", call_id))
    return kept


def switching_head(headers: Headers, call_id: bytes) -> bytes:
    """Write the answer by which an upstream takes a WebSocket, as it came, with the call's id."""
    lines = [b"HTTP/1.1 101 Switching Protocols\r\n"]
    for name, value in headers:
        if not name.startswith(_OUR_PREFIX):
            lines += (name, b": ", value, b"\r\n")
    lines += (b"x-shalt-call-id: ", call_id, b"\r\n\r\n")
    return b"".join(lines)


def _without_key(protocols: bytes) -> bytes:
    """Take the client's key from among the subprotocols it offers."""
    if _KEY_PROTOCOL not in protocols:
        return protocols
    kept = [each.strip() for each in protocols.split(b",")]
    return b", ".join(each for each in kept if not each.startswith(_KEY_PROTOCOL))


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    """The further headers that `Connection` declares to be hop-by-hop.

    What frames the message is never among them, whatever a client declares: a body sent without
    its length would be read as the next request on a connection that others use.
    """
    named: set[bytes] = set()
    for name, value in headers:
        if name == b"connection":
            lower = value.lower()
            if lower not in (b"keep-alive", b"close"):
                named.update(token.strip() for token in lower.split(b","))
    return frozenset(named - _FRAMING_HEADERS) if named else frozenset()
