"""Answers of the application with which their connection ends, written as uvicorn's cycle writes.

Each of these wraps the application for one request. Nothing of what passes is changed but how the
answer says where it ends.
"""

from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn._types import ASGISendEvent as Event
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


def without_chunks(app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
    """Let an answer of unknown length end with its connection, which is closed after it anyway.

    A client that speaks HTTP/1.0 knows no chunks; what it gets looks whole where it was cut (RFC
    1945 has no more to offer).
    """

    async def answer(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        sized = True

        async def send_plain(message: Event) -> None:
            nonlocal sized
            if message["type"] == "http.response.start":
                sized = any(name.lower() == b"content-length" for name, _ in message["headers"])
                cycle.chunked_encoding = None if sized else False
            elif message["type"] == "http.response.body" and not sized:
                cycle.expected_content_length = len(message["body"])  # as much as there is
            await send(message)

        await app(scope, receive, send_plain)

    return answer


def last_answer(app: ASGI3Application) -> ASGI3Application:
    """Let an answer say that its connection ends with it."""

    async def answer(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        async def send_last(message: Event) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await app(scope, receive, send_last)

    return answer
