"""The demo's upstream: OpenAI chat completions on loopback, from prepared answers.

It finds an answer by the bytes of the request, which shalt passes unchanged. To anything else it
says who it is, so a newcomer's own SDK gets an answer too. Limits: a request of at most 16 MiB; no
TLS, no other endpoint. It is a stage prop: nothing of the product imports it.
"""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from hashlib import sha256
from http import HTTPStatus
from types import TracebackType
from typing import Self

from shalt.demo_calls import SMALL_MODEL, Answer, DemoCall, Json

REQUEST_BYTES_MAX = 16 * 1024 * 1024
STARTED_AT = 1_700_000_000  # `created` of every answer
THINKING_SECONDS = 0.004  # before the first byte
PIECE_SECONDS = 0.0005  # between two pieces of a stream
PIECE_CHARS = 12
GREETING = "I am the upstream of `shalt demo`: I have no model, but your call was recorded."


class DemoUpstream:
    """A server in a thread of its own. Use it as a context manager; `base_url` is where it is."""

    def __init__(self, calls: Iterable[DemoCall]) -> None:
        self._answers: dict[bytes, deque[Answer]] = {}
        for call in calls:
            self._answers.setdefault(sha256(call.body).digest(), deque()).append(call.answer)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server
        self.base_url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0, limit=REQUEST_BYTES_MAX)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(timeout=5)
        port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}/v1"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(timeout=5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await _read_head(reader):
                body = await reader.readexactly(_content_length(head))
                await asyncio.sleep(THINKING_SECONDS)
                await self._answer(body, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the other side has left, or the demo ends
        finally:
            writer.close()

    async def _answer(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        answer, request = self._find(body), _parse(body)
        if answer.status >= 400:
            error = {"message": answer.error, "type": "demo", "param": None, "code": None}
            writer.write(_whole(answer.status, {"error": error}))
        elif request.get("stream"):
            writer.write(_STREAM_HEAD)
            for piece in _stream(request, answer):
                data = f"data: {piece}\n\n".encode()
                writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                await writer.drain()
                await asyncio.sleep(PIECE_SECONDS)
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(_whole(200, _completion(request, answer)))
        await writer.drain()

    def _find(self, body: bytes) -> Answer:
        prepared = self._answers.get(sha256(body).digest())
        if not prepared:
            return Answer({"role": "assistant", "content": GREETING})
        return prepared.popleft() if len(prepared) > 1 else prepared[0]


_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    """Read a request's head; nothing, when the connection has ended between two requests."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return min(int(value), REQUEST_BYTES_MAX)
    return 0


def _parse(body: bytes) -> Json:
    try:
        request = json.loads(body)
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}


def _whole(status: int, answer: Json) -> bytes:
    body = json.dumps(answer, ensure_ascii=False).encode()
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
    return head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body


def _envelope(request: Json, answer: Answer, kind: str) -> Json:
    number = sha256(json.dumps([request, answer.message]).encode()).hexdigest()[:24]
    model = request.get("model", SMALL_MODEL)
    return {"id": f"chatcmpl-{number}", "object": kind, "created": STARTED_AT, "model": model}


def _completion(request: Json, answer: Answer) -> Json:
    message = {"refusal": None, **answer.message}
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
    usage = _usage(request, answer)
    return {**_envelope(request, answer, "chat.completion"), "choices": [choice], "usage": usage}


def _stream(request: Json, answer: Answer) -> Iterator[str]:
    """Cut an answer into the chunks of a stream, the last one `[DONE]`."""
    envelope = _envelope(request, answer, "chat.completion.chunk")

    def chunk(delta: Json, finish_reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return json.dumps({**envelope, "choices": [choice]}, ensure_ascii=False)

    yield chunk({"role": "assistant", "content": ""})
    for key in ("content", "refusal"):
        for piece in _pieces(answer.message.get(key)):
            yield chunk({key: piece})
    calls = answer.message.get("tool_calls", [])
    assert isinstance(calls, list)
    for index, call in enumerate(calls):
        function = call["function"]
        opened = {**call, "index": index, "function": {**function, "arguments": ""}}
        yield chunk({"tool_calls": [opened]})
        for piece in _pieces(function["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, answer.finish_reason)
    options = request.get("stream_options")
    if isinstance(options, dict) and options.get("include_usage"):
        yield json.dumps({**envelope, "choices": [], "usage": _usage(request, answer)})
    yield "[DONE]"


def _pieces(text: object) -> Iterator[str]:
    if isinstance(text, str):
        for start in range(0, len(text), PIECE_CHARS):
            yield text[start : start + PIECE_CHARS]


def _usage(request: Json, answer: Answer) -> Json:
    """Count tokens the way a stage prop does: four characters each."""
    asked = len(json.dumps(request.get("messages", []))) // 4
    said = len(json.dumps(answer.message)) // 4
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
