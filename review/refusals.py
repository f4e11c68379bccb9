"""An answer of the console that is an error: always `{"error": "one sentence"}`, as JSON.

Pages say what is wrong as pages; everything else that is not as asked is said in this one shape,
whatever the route and the status. The sentence is for people; programs go by the status.
"""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response


def refuse(status_code: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """Answer that something is not as asked; `headers` join the answer's own.

    >>> refuse(404, "no call has the id 00").body
    b'{"error":"no call has the id 00"}'
    """
    body = msgspec.json.encode({"error": sentence.encode(errors="replace").decode()})
    return Response(body, status_code, headers, "application/json")
