"""What we say when there is no answer to pass on, in the envelope the client's SDK understands.

Every answer of our own carries the header `x-shalt-error` with its code, so that nobody takes it
for the upstream's.
"""

import json
from dataclasses import dataclass

from proxy.access import Denied
from storage.capture import Dialect, Endpoint, Headers, Outcome


@dataclass(frozen=True)
class OwnError:
    """An answer of shalt's own: HTTP status, a code from the closed list below, a sentence."""

    status_code: int
    code: str
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


_BY_OUTCOME = {
    Outcome.UPSTREAM_UNREACHABLE: (502, "upstream_unreachable"),
    Outcome.UPSTREAM_CUT: (502, "upstream_cut"),
    Outcome.UPSTREAM_ERROR: (502, "upstream_not_http"),
    Outcome.UPSTREAM_TIMEOUT: (504, "upstream_timeout"),
    Outcome.INTERRUPTED: (500, "shalt_fault"),
}


_ANTHROPIC_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_GEMINI_STATUSES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
}


def error_of(outcome: Outcome, message: str) -> OwnError:
    """Say that a call failed in the way of `outcome`: at the upstream, or for a fault of ours."""
    status_code, code = _BY_OUTCOME[outcome]
    return OwnError(status_code, code, message)


def unknown_upstream(known: list[str]) -> OwnError:
    """Say that no upstream has the name in the path, which may be a key and is not repeated."""
    upstreams = ", ".join(f"/u/{each}/" for each in known)
    message = f"shalt has no upstream of that name; it has {upstreams} (see `shalt config`)"
    return OwnError(404, "unknown_upstream", message)


def climbing_path() -> OwnError:
    """Say that a path leads out of the base URL that our key is meant for."""
    message = "the path has a segment .., and with a key that shalt holds nobody leaves base_url"
    return OwnError(400, "climbing_path", message)


def bad_header(name: str, rule: str) -> OwnError:
    """Say that a header meant for shalt cannot be understood."""
    return OwnError(400, "bad_header", f"the header {name} must be {rule}")


def unknown_coding() -> OwnError:
    """Say that a body comes in a transfer coding that is not undone (RFC 9112, section 6.1)."""
    message = "of transfer codings chunked alone is understood: say content-encoding for gzip"
    return OwnError(501, "unknown_coding", message)


def spool_full() -> OwnError:
    """Say that nothing more can be recorded, where that is a reason to refuse."""
    message = 'the spool has reached spool_bytes_max and spool_full is "refuse"'
    return OwnError(503, "spool_full", message)


def too_many_calls(limit: int) -> OwnError:
    """Say that this worker carries as many calls as it may."""
    message = f"{limit} calls are in flight, which is open_calls_max: try again, or raise it"
    return OwnError(503, "too_many_calls", message)


def denied(denial: Denied, *, console: bool) -> OwnError:
    """Say that who calls may not, and how one may; a browser asks its user for the key then."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if denial.retry_seconds:
        headers = ((b"retry-after", str(denial.retry_seconds).encode()),)
    elif console and denial.status_code == 401:
        headers = ((b"www-authenticate", b'Basic realm="shalt: any name, an access key"'),)
    return OwnError(denial.status_code, denial.code, denial.message, headers)


def wrong_project(project: str) -> OwnError:
    """Say that a key of one project named another one."""
    message = f"the access key is of the project {project}, and x-shalt-project names another"
    return OwnError(403, "wrong_project", message)


def render(
    error: OwnError,
    dialect: Dialect,
    endpoint: Endpoint,
    call_id: str,
    *,
    console: bool = False,
) -> tuple[Headers, bytes]:
    """Return the headers and the body of the answer. `call_id` is empty where there is no call.

    In front of the console it is what the console itself says: `{"error": "one sentence"}`.
    """
    if console:
        envelope: dict[str, object] = {"error": error.message}
    elif dialect is Dialect.ANTHROPIC or endpoint is Endpoint.MESSAGES:
        kind = _ANTHROPIC_KINDS.get(error.status_code, "invalid_request_error")
        kind = "api_error" if error.status_code >= 500 else kind
        envelope = {
            "type": "error",
            "error": {"type": kind, "message": error.message},
        }
    elif dialect is Dialect.GEMINI:
        status = _GEMINI_STATUSES.get(error.status_code, "INVALID_ARGUMENT")
        status = "UNAVAILABLE" if error.status_code >= 500 else status
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
        *error.headers,
    ]
    if call_id:
        headers.append((b"x-shalt-call-id", call_id.encode()))
    return headers, body
