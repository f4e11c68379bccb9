"""A recorded body as a file to download: the bytes, and headers under which nothing executes.

Whatever a model or a client sent, a browser saves it and does not run it: it comes as an
attachment, as plain text or as bytes, may not be sniffed for another type, and may load nothing.
"""

from starlette.responses import Response

from review.refusals import refuse
from storage.capture import Headers
from storage.encoding import UndecodableBodyError, decoded_body
from storage.rows import StoredCall

_HEADERS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def download(call: StoredCall, half: str, *, decoded: bool) -> Response:
    """Answer with the `request` or `response` body as recorded, or with its encoding undone.

    A body that cannot be decoded is answered with 422 and the reason, one that is deleted with 410.
    """
    capture = call.capture
    if capture is None:
        return refuse(410, "the bodies of this call are deleted", _HEADERS)
    headers = capture.request_headers if half == "request" else capture.response_headers
    body = capture.request_body if half == "request" else capture.response_body
    try:
        data = decoded_body(headers, body.data) if decoded else body.data
    except UndecodableBodyError as error:
        return refuse(422, str(error), _HEADERS)
    is_text = _is_text(data)
    kept = "" if not body.truncated else "-beginning"
    ending = _ending(headers) if is_text else "bin"
    name = f"{call.row.id}-{half}{kept}.{ending}"
    return Response(
        data,
        headers={**_HEADERS, "content-disposition": f'attachment; filename="{name}"'},
        media_type="text/plain; charset=utf-8" if is_text else "application/octet-stream",
    )


def _is_text(data: bytes) -> bool:
    if b"\0" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _ending(headers: Headers) -> str:
    named = next((value for name, value in headers if name == b"content-type"), b"")
    return "json" if named.lower().startswith(b"application/json") else "txt"
