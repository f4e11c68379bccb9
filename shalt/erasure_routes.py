"""The API that erases: the only routes of the console that change anything.

    DELETE /api/calls/{id}       forget one call: 202 with the receipt, 404, 410 where it is erased
    POST   /api/erasures         forget many, said as JSON: 202 with the receipt, 404 where none is
    GET    /api/erasures/{id}    the receipt as it is now, 404

202: nobody can see the calls from then on; the recorder does the rest, `scrubbed_at` tells when.
A page elsewhere cannot ask: a browser says where a request comes from, and sends no JSON to another
origin without asking first, which is never granted.
"""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Body, Depends, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field

from shalt.other_pages import refuse_other_pages
from shalt.selecting import BadSelection, select, with_whole_ids
from storage.capture import Clock
from storage.erasure import IDS_MAX, Kind, Selection
from storage.fate import CallIdError
from storage.receipts import (
    AlreadyErased,
    NothingToErase,
    Receipt,
    preview,
    project_of,
    receipt,
    request,
)
from storage.store import TraceStore
from storage.tracing import whole_id


class Wanted(BaseModel):
    """What is to be forgotten: one of ids, user, session, tag, from and to, where."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    project: str | None = None
    ids: Annotated[list[str], Field(max_length=IDS_MAX)] = []
    user: str | None = None
    session: str | None = None
    tag: str | None = None
    since: Annotated[str | None, Field(alias="from")] = None
    until: Annotated[str | None, Field(alias="to")] = None
    where: str | None = None
    reason: str = ""


def routes(store: TraceStore, project: str, clock: Clock) -> APIRouter:
    """Make the routes; `project` is that of requests that name none."""
    router = APIRouter()

    def erase(of_project: str, selection: Selection, reason: str) -> Response:
        selection = with_whole_ids(selection, store)
        try:
            preview(store, of_project, selection, clock=clock)
        except AlreadyErased as error:
            raise HTTPException(410, str(error)) from None
        except NothingToErase as error:
            raise HTTPException(404, str(error)) from None
        return _json(request(store, of_project, selection, reason=reason, clock=clock), 202)

    @router.delete("/api/calls/{call_id}", dependencies=[Depends(refuse_other_pages)])
    def erase_call(call_id: str) -> Response:
        """Forget one call."""
        try:
            whole = whole_id(call_id, store)
        except CallIdError as error:
            raise HTTPException(404, str(error)) from None
        known = project_of(store, whole) or project
        return erase(known, Selection(Kind.ID, ids=(whole,)), "")

    @router.post("/api/erasures", dependencies=[Depends(refuse_other_pages)])
    def erase_calls(wanted: Annotated[Wanted, Body()]) -> Response:
        """Forget calls by id, user, session, tag, time or filter."""
        try:
            selection = select(
                ids=wanted.ids,
                user=wanted.user,
                session=wanted.session,
                tag=wanted.tag,
                since=wanted.since,
                until=wanted.until,
                where=wanted.where,
            )
        except BadSelection as error:
            raise HTTPException(400, str(error)) from None
        return erase(wanted.project or project, selection, wanted.reason)

    @router.get("/api/erasures/{erasure_id}")
    def one_receipt(erasure_id: str) -> Response:
        """The receipt of an erasure."""
        found = receipt(store, erasure_id)
        if found is None:
            raise HTTPException(404, f"no erasure has the id {erasure_id}")
        return _json(found, 200)

    return router


def _json(value: Receipt, status_code: int) -> Response:
    return Response(msgspec.json.encode(value), status_code, media_type="application/json")
