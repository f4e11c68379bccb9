"""What we say when there is no answer to pass on, in the envelope the client's SDK understands.

Every answer of our own carries the header `x-shalt-error` with its code, so that nobody takes it
for the upstream's.
"""

import json
from dataclasses import dataclass

from storage.capture import Dialect, Endpoint, Headers, Outcome


@dataclass(frozen=True)
class OwnError:
    """An answer of shalt's own: HTTP status, a code from the closed list below, a sentence."""

    status_code: int
    code: str
    message: str


_BY_OUTCOME = {
    Outcome.UPSTREAM_UNREACHABLE: (502, "upstream_unreachable"),
    Outcome.UPSTREAM_CUT: (502, "upstream_cut"),
    Outcome.UPSTREAM_ERROR: (502, "upstream_not_http"),
    Outcome.UPSTREAM_TIMEOUT: (504, "upstream_timeout"),
}


def error_of(outcome: Outcome, message: str) -> OwnError:
    """Say that a call failed at the upstream in the way of `outcome`."""
    status_code, code = _BY_OUTCOME[outcome]
    return OwnError(status_code, code, message)


def unknown_upstream(known: list[str]) -> OwnError:
    """Say that no upstream has the name in the path, which may be a key and is not repeated."""
    upstreams = ", ".join(f"/u/{each}/" for each in known)
    message = f"shalt has no upstream of that name; it has {upstreams} (see `shalt config`)"
    return OwnError(404, "unknown_upstream", message)


def bad_header(name: str, rule: str) -> OwnError:
    """Say that a header meant for shalt cannot be understood."""
    return OwnError(400, "bad_header", f"the header {name} must be {rule}")


def spool_full() -> OwnError:
    """Say that nothing more can be recorded, where that is a reason to refuse."""
    message = 'the spool has reached spool_bytes_max and spool_full is "refuse"'
    return OwnError(503, "spool_full", message)


def too_many_calls(limit: int) -> OwnError:
    """Say that this worker carries as many calls as it may."""
    message = f"{limit} calls are in flight, which is open_calls_max: try again, or raise it"
    return OwnError(503, "too_many_calls", message)


def render(
    error: OwnError, dialect: Dialect, endpoint: Endpoint, call_id: str
) -> tuple[Headers, bytes]:
    """Return the headers and the body of the answer."""
    if dialect is Dialect.ANTHROPIC or endpoint is Endpoint.MESSAGES:
        kind = "api_error" if error.status_code >= 500 else "invalid_request_error"
        envelope: dict[str, object] = {
            "type": "error",
            "error": {"type": kind, "message": error.message},
        }
    elif dialect is Dialect.GEMINI:
        status = "UNAVAILABLE" if error.status_code >= 500 else "INVALID_ARGUMENT"
        envelope = {
            "error": {"code": error.status_code, "message": error.message, "status": status}
        }
    else:
        envelope = {
            "error": {
                "message": error.message,
                "type": "proxy_error",
                "param": None,
                "code": error.code,
            }
        }
    body = json.dumps(envelope).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-shalt-error", error.code.encode()),
        (b"x-shalt-call-id", call_id.encode()),
    ]
    return headers, body
