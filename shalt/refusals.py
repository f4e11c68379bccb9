"""What goes wrong in the console becomes an answer: `{"error": "one sentence"}`, of every route.

What a route raises on purpose keeps its status and headers. What cannot be read of a request is 400
and names the place; so is a parameter that a route of the API does not take, for without `project`
spelt right it would answer for another project. A fault of ours is 500 and stands in the log, not
in the answer.
"""

from typing import Final

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from review.refusals import refuse
from storage.database import StoreUnavailable
from storage.fate import CallIdError
from storage.filter_syntax import FilterError
from storage.search_words import SearchError

_PLACES: Final = ("query", "path", "body")
_STRICT: Final = ("/api/", "/feedback")  # Prometheus may send /metrics what it likes


class Refusal(BaseModel):
    """An answer whose status is 400 or more."""

    error: str = Field(description="What is wrong, in a sentence.")


def add_refusals(application: FastAPI) -> None:
    """Have `application` answer all that goes wrong in one shape, and its schema say so."""
    # Routes that are added afterwards take it over: it stands in place of FastAPI's own 422.
    application.router.responses["default"] = {"model": Refusal, "description": "Refused"}
    application.router.dependencies.append(Depends(_refuse_unknown_parameters))

    @application.exception_handler(HTTPException)
    def _refused(request: Request, error: HTTPException) -> Response:
        return refuse(error.status_code, _sentence(request, error), error.headers)

    @application.exception_handler(RequestValidationError)
    def _cannot_be_read(_: Request, error: RequestValidationError) -> Response:
        return refuse(400, "; ".join(map(_mistake, error.errors())))

    @application.exception_handler(FilterError)
    @application.exception_handler(CallIdError)
    @application.exception_handler(SearchError)
    def _wrong_question(_: Request, error: FilterError | CallIdError | SearchError) -> Response:
        return refuse(400, str(error))

    @application.exception_handler(StoreUnavailable)
    def _store_unavailable(_: Request, error: StoreUnavailable) -> Response:
        return refuse(503, str(error))

    @application.exception_handler(Exception)
    def _failed(_: Request, __: Exception) -> Response:
        return refuse(500, "shalt failed to answer this; its log says why")


def _refuse_unknown_parameters(request: Request) -> None:
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    if not route.path.startswith(_STRICT):
        return
    taken = [field.alias for field in route.dependant.query_params]
    for name in request.query_params:
        if name not in taken:
            takes = ", ".join(taken) or "none"
            raise HTTPException(400, f"{name}: no such parameter; {route.path} takes {takes}")


def _sentence(request: Request, error: HTTPException) -> str:
    """Say what a route says; what no route was asked is named."""
    if error.detail == "Not Found":
        return f"there is nothing at {request.url.path}; / says what is here"
    if error.detail == "Method Not Allowed":
        return f"{request.url.path} does not take {request.method}"
    return error.detail


def _mistake(mistake: dict[str, object]) -> str:
    """Name the place in a request, and what is wrong there."""
    location = mistake["loc"]
    assert isinstance(location, tuple)
    names = [str(part) for part in location if part not in _PLACES]
    said = str(mistake["msg"]).removeprefix("Value error, ")
    return f"{'.'.join(names)}: {said}" if names else said
