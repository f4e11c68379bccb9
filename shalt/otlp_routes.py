"""`POST /otlp/v1/traces`: GenAI spans of OpenTelemetry become recorded calls.

The protocol is OTLP/HTTP (https://opentelemetry.io/docs/specs/otlp/#otlphttp), protobuf or JSON by
content-type, plain or gzip. The answer comes when the calls would survive a power cut. Spans that
asked no model are not kept: their number is in the answer's partial success. What cannot be kept
now is answered 503 and may be sent again: ids come from trace and span, so it is stored once.

`?project=NAME` chooses the project. A page elsewhere cannot send spans through a visitor's browser:
neither content-type is one that a browser sends without asking first.

Limits: a body has at most BODY_BYTES_MAX, compressed and not (413); REQUESTS_AT_ONCE are worked on
at once, in threads, so that a large one does not keep pages waiting.
"""

import asyncio
import re
import zlib
from collections.abc import Iterator
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from importers import otlp
from importers.imported import Identities, capture_of
from importers.otlp_spans import OtlpSpan, SpansError, decode_json, decode_protobuf
from review.bounded import read_body
from shalt.intake import Intake, SpoolFull, SpoolRefused
from shalt.settings import Settings
from storage.capture import PROJECT_PATTERN, Capture, Clock
from storage.wire import write_json

BODY_BYTES_MAX: Final = 16 * 2**20
REQUESTS_AT_ONCE: Final = 4
RETRY_AFTER_SECONDS: Final = 2
SOURCE: Final = "otlp"

_PROTOBUF = "application/x-protobuf"
_JSON = "application/json"


class _Refusal(Exception):
    """An answer that is an error: its status, and what to say."""

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status_code


def routes(settings: Settings, intake: Intake, clock: Clock) -> list[Route]:
    """Make the route; what it takes goes into `intake`."""
    receiver = _Receiver(settings, intake, clock)
    return [Route("/otlp/v1/traces", receiver.receive, methods=["POST"])]


class _Receiver:
    def __init__(self, settings: Settings, intake: Intake, clock: Clock) -> None:
        self._settings = settings
        self._intake = intake
        self._clock = clock
        self._slots = asyncio.Semaphore(REQUESTS_AT_ONCE)

    async def receive(self, request: Request) -> Response:
        """Answer one export."""
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            if media_type not in (_PROTOBUF, _JSON):
                raise _Refusal(415, f"send {_PROTOBUF} or {_JSON}")
            project = request.query_params.get("project", self._settings.project)
            if not re.fullmatch(PROJECT_PATTERN, project):
                raise _Refusal(400, "project: 1 to 64 letters, digits, dots, dashes, underscores")
            encoding = request.headers.get("content-encoding", "").strip().lower()
            data = await read_body(request, BODY_BYTES_MAX)
            if data is None:
                raise _Refusal(413, f"the body is longer than {BODY_BYTES_MAX} bytes")
            async with self._slots:
                return await run_in_threadpool(self._take, data, encoding, media_type, project)
        except _Refusal as refusal:
            return _refusal(refusal, media_type)

    def _take(self, data: bytes, encoding: str, media_type: str, project: str) -> Response:
        plain = _decoded(data, encoding)
        read = decode_protobuf if media_type == _PROTOBUF else decode_json
        try:
            spans = list(read(plain))
        except SpansError as error:
            raise _Refusal(400, str(error)) from None
        captures = list(self._captures(spans, project))
        try:
            self._intake.put(captures)
        except (SpoolFull, SpoolRefused) as error:
            raise _Refusal(503, str(error)) from None
        return _answer(len(spans) - len(captures), len(spans), media_type)

    def _captures(self, spans: list[OtlpSpan], project: str) -> Iterator[Capture]:
        identities = Identities(project, otlp.FORMAT)
        for span in spans:
            call = otlp.call_of(span)
            if call is not None:
                started_ns = call.started_at_ns or self._clock.wall_ns()
                yield capture_of(
                    call,
                    id=identities.id_of(call, {}, started_ns),
                    project=project,
                    source=SOURCE,
                    started_at_ns=started_ns,
                    tags={},
                    body_bytes_max=int(self._settings.body_bytes_max),
                )


def _decoded(data: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return data
    if encoding != "gzip":
        raise _Refusal(415, "the content-encoding must be gzip, or none")
    machine = zlib.decompressobj(wbits=31)
    try:
        plain = machine.decompress(data, BODY_BYTES_MAX + 1)
    except zlib.error:
        raise _Refusal(400, "the body is not gzip") from None
    if len(plain) > BODY_BYTES_MAX:
        raise _Refusal(413, f"the body is longer than {BODY_BYTES_MAX} bytes when decompressed")
    if not machine.eof:
        raise _Refusal(400, "the body is cut off (gzip)")
    return plain


def _answer(rejected_count: int, span_count: int, media_type: str) -> Response:
    answer = ExportTraceServiceResponse()
    message = ""
    if rejected_count:
        message = f"{rejected_count} of {span_count} spans asked no model and were not kept"
        answer.partial_success.rejected_spans = rejected_count
        answer.partial_success.error_message = message
    if media_type == _PROTOBUF:
        return Response(answer.SerializeToString(), media_type=_PROTOBUF)
    if not rejected_count:
        return Response("{}", media_type=_JSON)
    said = write_json(
        {"partialSuccess": {"rejectedSpans": str(rejected_count), "errorMessage": message}}
    )
    return Response(said, media_type=_JSON)


def _refusal(refusal: _Refusal, media_type: str) -> Response:
    """Say no with google.rpc.Status, of which only the message is of use over HTTP."""
    message = str(refusal)
    headers = {}
    if refusal.status_code == 503:
        headers["retry-after"] = str(RETRY_AFTER_SECONDS)
    if media_type != _PROTOBUF:
        body = write_json({"message": message}).encode()
        return Response(body, refusal.status_code, headers, _JSON)
    text = message.encode()
    length = bytearray()
    rest = len(text)
    while rest > 127:
        length.append(rest & 127 | 128)
        rest >>= 7
    length.append(rest)
    # Field 2, a string: https://github.com/googleapis/googleapis/blob/master/google/rpc/status.proto
    return Response(b"\x12" + bytes(length) + text, refusal.status_code, headers, _PROTOBUF)
