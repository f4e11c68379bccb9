"""The body of a request, of a bounded length: what is longer is not gathered."""

from starlette.requests import Request


async def read_body(request: Request, bytes_max: int) -> bytes | None:
    """Read the body; None as soon as it is longer than `bytes_max`."""
    pieces: list[bytes] = []
    length = 0
    async for piece in request.stream():
        length += len(piece)
        if length > bytes_max:
            return None
        pieces.append(piece)
    return b"".join(pieces)
