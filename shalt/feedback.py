"""The API of scores and labels: `POST /feedback`, and what was said of a call.

    POST /feedback                   {"id" or "provider_id" or "session", "name", "value", …}
    GET /api/calls/{id}/scores       oldest first
    GET /api/calls/{id}/labels       oldest first, rejected ones too; `status` says which

Feedback is answered when it would survive a power cut: 200 where its call is stored, 202 where it
waits for it, 404 for an id of ours that is of no call, 410 where that was erased, 503 where it
cannot be kept now and may be sent again. With the same `idempotency_key`, the first one counts.

A page of another site cannot send it through a visitor's browser (shalt.other_pages). Limits:
BODY_BYTES_MAX; REQUESTS_AT_ONCE are worked on at once, in threads, others wait.
"""

import asyncio
from typing import Final

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool

from review.bounded import read_body
from review.refusals import refuse
from shalt.acceptance import Acceptance, CallErased, CallNotKnown, Feedback, OtherProject
from shalt.intake import SpoolFull, SpoolRefused
from shalt.other_pages import refuse_other_pages
from storage.fate import CallIdError
from storage.labels import MESSAGE_BYTES_MAX, Label, LabelError, Score
from storage.reader import StoreReader
from storage.tracing import whole_id

BODY_BYTES_MAX: Final = MESSAGE_BYTES_MAX + 2**16
REQUESTS_AT_ONCE: Final = 4
RETRY_AFTER_SECONDS: Final = 2

_RETRY: Final = {"retry-after": str(RETRY_AFTER_SECONDS)}
_decode = msgspec.json.Decoder(dict[str, object]).decode
_STATUS_CODES: Final = {
    LabelError: 400,
    CallIdError: 400,
    OtherProject: 403,
    CallNotKnown: 404,
    CallErased: 410,
    SpoolFull: 503,
    SpoolRefused: 503,
}


def routes(store: StoreReader, acceptance: Acceptance, project: str) -> APIRouter:
    """Make the routes; `project` is that of feedback that names none."""
    router = APIRouter()
    slots = asyncio.Semaphore(REQUESTS_AT_ONCE)

    def take(data: bytes, request_id: str, only: str) -> Response:
        try:
            kept = acceptance.take(_read(data), project, request_id, only)
        except tuple(_STATUS_CODES) as error:
            status_code = _STATUS_CODES[type(error)]
            return refuse(status_code, str(error), _RETRY if status_code == 503 else None)
        return _json(kept, 202 if kept.waiting else 200)

    @router.post("/feedback", dependencies=[Depends(refuse_other_pages)])
    async def feedback(asked: Request) -> Response:
        """Score a call, or correct its answer: by our id, the provider's, or its session."""
        data = await read_body(asked, BODY_BYTES_MAX)
        if data is None:
            raise HTTPException(413, f"feedback has at most {BODY_BYTES_MAX} bytes")
        async with slots:
            # A worker sends it again where its connection was stale: it is one request still.
            request_id = asked.headers.get("x-shalt-request", "")
            only = asked.headers.get("x-shalt-key-project", "")
            return await run_in_threadpool(take, data, request_id, only)

    @router.get("/api/calls/{call_id}/scores")
    def scores(call_id: str) -> Response:
        """What was said of a call: its scores."""
        found = _known(store, call_id)
        return _json([*map(as_object, store.scores([found]).get(found, ()))], 200)

    @router.get("/api/calls/{call_id}/labels")
    def labels(call_id: str) -> Response:
        """Corrected answers of a call."""
        found = _known(store, call_id)
        return _json([*map(as_object, store.labels([found]).get(found, ()))], 200)

    return router


def as_object(said: Score | Label) -> dict[str, object]:
    """Name the fields of a score or a label."""
    return msgspec.structs.asdict(said)


def _known(store: StoreReader, given: str) -> str:
    call_id = whole_id(given, store)
    if not store.rows([call_id]):
        raise HTTPException(404, f"no call has the id {given}")
    return call_id


def _read(data: bytes) -> Feedback:
    try:
        return msgspec.convert(_decode(data), Feedback)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise LabelError(f"the feedback cannot be read: {error}") from None


def _json(value: object, status_code: int) -> Response:
    return Response(msgspec.json.encode(value), status_code, media_type="application/json")
