"""What a request says to shalt in its headers, read before its call begins.

    x-shalt-project   the project, 1 to 64 letters, digits, `.`, `_` or `-`, and no key
    x-shalt-record    full, metadata or none: what is kept of the call
    x-shalt-timing    1: the answer says in `server-timing` where the time went until it began

and what means the same in other gateways' words (storage.context has the table):
`helicone-omit-request`, `helicone-omit-response` and `x-litellm-enable-message-redaction` keep no
body, `op-log-request: false` keeps nothing. A word of ours wins. A transfer coding but `chunked` is
refused here, too: it ends at whoever takes the request, and we neither undo it nor may pass it on.

Sampling: of calls that do not say what is to be kept, `sample_ratio` are. Which is decided by a
hash of the session, else of the trace, else of the call's own id, so that a conversation is kept
whole or not at all, whatever worker carries it and however often one asks.
"""

import re
import zlib
from typing import Final, Literal, NamedTuple

from proxy import errors
from proxy.errors import OwnError
from proxy.judged_names import JudgedNames
from proxy.redact import looks_like_key
from storage.capture import PROJECT_PATTERN, Headers

# What is kept of a call: all of it; no bodies; nothing, but it is counted. `unrecorded` is for what
# is not a call of an upstream at all (the console's pages): not even counted.
RecordMode = Literal["full", "metadata", "none", "unrecorded"]

_PROJECT: Final = re.compile(PROJECT_PATTERN.encode())
_RECORD_MODES: Final[dict[bytes, RecordMode]] = {
    b"full": "full",
    b"metadata": "metadata",
    b"none": "none",
}
_CODING: Final = b"transfer-encoding"
_PREFIXES: Final = (
    b"x-shalt-",
    b"helicone-",
    b"x-litellm-",
    b"op-log-request",
    b"traceparent",
    _CODING,
)
_is_asked: Final = JudgedNames(lambda name: name.startswith(_PREFIXES))
_KEEPING_NO_BODY: Final = (
    b"helicone-omit-request",
    b"helicone-omit-response",
    b"x-litellm-enable-message-redaction",
)
_SESSIONS: Final = (b"x-shalt-session", b"helicone-session-id", b"x-litellm-session-id")
_TRACE_ID: Final = slice(3, 35)  # of a traceparent
_HASHES: Final = 2**32


class Wanted(NamedTuple):
    """What a request asks of shalt. `refusal`: why it is refused, if it is.

    `mode` is None where it does not say what is to be kept: then sampling decides, by `sampled_by`
    (its session, or its trace), which is empty where its own id does.
    """

    project: str
    mode: RecordMode | None = None
    sampled_by: bytes = b""
    timing: bool = False
    refusal: OwnError | None = None


def read_context(headers: Headers, *, own_project: str, default_project: str) -> Wanted:
    """Read what a request asks for. `own_project`: that of its access key, if it has one."""
    said = {name: value for name, value in reversed(headers) if _is_asked[name]}
    project = own_project or default_project
    if not said:
        return Wanted(project)
    named = said.get(b"x-shalt-project")
    if named is not None:
        if not _PROJECT.fullmatch(named) or looks_like_key(named):
            rule = "1 to 64 letters, digits, '.', '_' or '-'"
            return Wanted(project, refusal=errors.bad_header("x-shalt-project", rule))
        project = named.decode("ascii")
        if own_project and project != own_project:
            return Wanted(own_project, "metadata", refusal=errors.wrong_project(own_project))
    record = said.get(b"x-shalt-record")
    mode = _mode_by_aliases(said) if record is None else _RECORD_MODES.get(record.strip().lower())
    if mode is None and record is not None:
        refusal = errors.bad_header("x-shalt-record", "full, metadata or none")
        return Wanted(project, "metadata", refusal=refusal)
    return Wanted(
        project,
        mode,
        _sampled_by(said),
        said.get(b"x-shalt-timing") == b"1",
        None if said.get(_CODING, b"chunked").lower() == b"chunked" else errors.unknown_coding(),
    )


def is_sampled(key: bytes, ratio: float) -> bool:
    """Say whether calls of this session, trace or id are kept when `ratio` of them are."""
    return zlib.crc32(key) < ratio * _HASHES


def _mode_by_aliases(said: dict[bytes, bytes]) -> RecordMode | None:
    if said.get(b"op-log-request", b"").strip().lower() == b"false":
        return "none"
    omitted = any(said.get(name, b"").strip().lower() == b"true" for name in _KEEPING_NO_BODY)
    return "metadata" if omitted else None


def _sampled_by(said: dict[bytes, bytes]) -> bytes:
    session = next((value for name in _SESSIONS if (value := said.get(name, b"").strip())), b"")
    return session or said.get(b"traceparent", b"")[_TRACE_ID]
