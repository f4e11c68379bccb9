"""The pages' addresses: GET and HEAD only, nothing here changes anything.

    /review                        the list: project, where, search, before or after an id
    /review/calls/{id}             one call
    /review/calls/{id}/older       redirects to the next older call of the list; newer likewise
    /review/static/{name}          style and script
    /api/calls/{id}/request        a recorded body as a file; response likewise; decoded=1

What goes wrong with the store or an address is a page too, and says what to do; for a body, text.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from review import addresses
from review.addresses import Selection
from review.assets import PAGE_HEADERS, Assets
from review.bodies import download
from review.listing import listing
from review.reading import neighbour, reading
from storage.capture import Clock
from storage.database import StoreUnavailable
from storage.filter_syntax import FilterError
from storage.reader import StoreReader
from storage.rows import StoredCall
from storage.search import SearchNotBuilt
from storage.search_words import SearchError

_Endpoint = Callable[[Request], Response]


class _NotFound(Exception):
    """There is no such page; the message says what is missing."""


def routes(store: StoreReader, project: str, clock: Clock) -> Sequence[Route]:
    """Make the routes; `project` is shown where an address names none."""
    pages = _Pages(store, project, clock)
    call = addresses.CALLS + "/{call_id}"
    bodies = addresses.BODIES + "/{call_id}"
    return [
        Route(path, pages.guarded(endpoint), methods=["GET"])
        for path, endpoint in (
            (addresses.LIST, pages.list),
            (call, pages.call),
            (call + "/older", pages.older),
            (call + "/newer", pages.newer),
            (addresses.STATIC + "/{name}", pages.static),
            (bodies + "/request", pages.request_body),
            (bodies + "/response", pages.response_body),
        )
    ]


class _Pages:
    """One method for each address. They block, so Starlette runs them in threads."""

    def __init__(self, store: StoreReader, project: str, clock: Clock) -> None:
        self._store = store
        self._project = project
        self._clock = clock
        self._assets = Assets()

    def guarded(self, endpoint: _Endpoint) -> _Endpoint:
        """Wrap an endpoint so that what goes wrong becomes a page."""

        @wraps(endpoint)
        def answer(request: Request) -> Response:
            try:
                return endpoint(request)
            except _NotFound as error:
                return self._trouble(request, 404, "Not found", str(error))
            except (FilterError, SearchError, SearchNotBuilt) as error:
                return self._trouble(request, 400, "This cannot be looked for", str(error))
            except StoreUnavailable as error:
                return self._trouble(request, 503, "The store cannot be read now", str(error))

        return answer

    def list(self, request: Request) -> Response:
        """Show a page of calls."""
        query = request.query_params
        now = datetime.fromtimestamp(self._clock.wall_ns() / 1e9, UTC)
        found = listing(
            self._store,
            Selection.of(query, self._project),
            now,
            before=query.get("before", ""),
            after=query.get("after", ""),
        )
        status_code = 200 if found.problem is None else 400
        return self._assets.page("list.html", status_code, listing=found, host=request.url.netloc)

    def call(self, request: Request) -> Response:
        """Show one call."""
        call = self._found(request)
        selection = Selection.of(request.query_params, call.row.project)
        return self._assets.page("call.html", reading=reading(self._store, call, selection))

    def older(self, request: Request) -> Response:
        """Lead on to the next older call."""
        return self._lead_on(request, "older")

    def newer(self, request: Request) -> Response:
        """Lead on to the next newer call."""
        return self._lead_on(request, "newer")

    def request_body(self, request: Request) -> Response:
        """Hand out a recorded request body."""
        return download(self._found(request), "request", decoded=_is_decoded(request))

    def response_body(self, request: Request) -> Response:
        """Hand out a recorded response body."""
        return download(self._found(request), "response", decoded=_is_decoded(request))

    def static(self, request: Request) -> Response:
        """Hand out style or script."""
        found = self._assets.static(request.path_params["name"])
        if found is None:
            raise _NotFound("There is no such file. Load the page again.")
        return found

    def _lead_on(self, request: Request, direction: str) -> Response:
        row = self._found(request).row
        selection = Selection.of(request.query_params, row.project)
        found = neighbour(self._store, row.id, selection, direction)
        if found is None:
            return self._assets.page("end.html", direction=direction, row=row, selection=selection)
        return RedirectResponse(selection.call(found), 303, PAGE_HEADERS)

    def _found(self, request: Request) -> StoredCall:
        call_id = request.path_params["call_id"]
        call = self._store.get(call_id)
        if call is None:
            raise _NotFound(
                f"There is no call {call_id[:64]}. One that has just ended needs a moment to be "
                "stored; one that was erased is gone."
            )
        return call

    def _trouble(self, request: Request, status_code: int, title: str, sentence: str) -> Response:
        if request.url.path.startswith(addresses.BODIES):  # asked for by scripts too
            return Response(f"{sentence}\n", status_code, PAGE_HEADERS, "text/plain; charset=utf-8")
        return self._assets.page("trouble.html", status_code, title=title, sentence=sentence)


def _is_decoded(request: Request) -> bool:
    return request.query_params.get("decoded", "") in ("1", "true")
