"""The pages' addresses: GET and HEAD only, but for what the forms of a call's page send.

    /review                        the list: project, where, search, before or after an id
    /review/calls/{id}             one call
    /review/calls/{id}/older       redirects to the next older call of the list; newer likewise
    /review/calls/{id}/said        POST: a thumb, a corrected answer, a verdict (review.judging)
    /review/drift                  drift reports, and what becomes of them: review.drift_pages
    /review/datasets               datasets, and what they left out: review.dataset_pages
    /review/static/{name}          style and script
    /api/calls/{id}/request        a recorded body as a file; response likewise; decoded=1

What goes wrong with the store or an address is a page too, and says what to do; for a body, text.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial, wraps
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from exporters import dataset_drawing, report_drawing
from review import addresses
from review.addresses import Selection
from review.assets import PAGE_HEADERS, Assets
from review.bodies import download
from review.bounded import read_body
from review.dataset_pages import DatasetPages, Datasets, DrawDataset, NoSuchDataset
from review.drift_pages import Draw, DriftPages, Exporter, NoSuchReport
from review.judging import (
    FORM_BYTES_MAX,
    FormError,
    Judging,
    id_of_request,
    read_form,
    said_by,
    typed,
)
from review.listing import listing
from review.reading import answer_of, neighbour, reading
from review.refusals import refuse
from storage.capture import Clock
from storage.database import StoreUnavailable
from storage.derive import derive
from storage.filter_syntax import FilterError
from storage.label_rows import known_said
from storage.labels import LabelError, Said
from storage.reader import StoreReader
from storage.rows import StoredCall
from storage.search import SearchNotBuilt
from storage.search_words import SearchError
from storage.trace import Understood

STORED_SECONDS: Final = 2.0
POLL_SECONDS: Final = 0.05

_Endpoint = Callable[[Request], Response]
_Taking = Callable[[Request], Awaitable[Response]]


class _NotFound(Exception):
    """There is no such page; the message says what is missing."""


def routes(
    store: StoreReader,
    project: str,
    clock: Clock,
    judging: Judging | None = None,
    export: Exporter | None = None,
    options: str = "",
    datasets: Datasets | None = None,
    draw_report: Draw = report_drawing.draw_report,
    draw_dataset: DrawDataset = dataset_drawing.draw_dataset,
) -> Sequence[Route]:
    """Make the routes; `project` is shown where an address names none.

    Without `judging`, pages are for reading only; without `export`, nothing is exported from them.
    `options`: what a command that a page shows needs, quoted for a shell. Without `datasets`, none
    are shown. `draw_report` and `draw_dataset` have processes of their own draw, unless other ways
    are given.
    """
    pages = _Pages(
        store, project, clock, judging, Assets(options, has_datasets=datasets is not None)
    )
    drift = DriftPages(store, project, pages.assets, judging, export, draw_report)
    report = addresses.DRIFT + "/{report_id}"
    call = addresses.CALLS + "/{call_id}"
    bodies = addresses.BODIES + "/{call_id}"
    forms = [Route(call + "/said", pages.taking(pages.say), methods=["POST"])] if judging else []
    if judging and export:
        forms.append(Route(report + "/export", pages.taking(drift.export), methods=["POST"]))
    shown = (
        ()
        if datasets is None
        else _of_datasets(DatasetPages(store, datasets, pages.assets, draw_dataset))
    )
    return forms + [
        Route(path, pages.guarded(endpoint), methods=["GET"])
        for path, endpoint in (
            *shown,
            (addresses.LIST, pages.list),
            (call, pages.call),
            (call + "/older", pages.older),
            (call + "/newer", pages.newer),
            (addresses.DRIFT, drift.list),
            (report, drift.report),
            (addresses.STATIC + "/{name}", pages.static),
            (bodies + "/request", pages.request_body),
            (bodies + "/response", pages.response_body),
        )
    ]


def _of_datasets(pages: DatasetPages) -> Sequence[tuple[str, _Endpoint]]:
    one = addresses.DATASETS + "/{name}"
    return (
        (addresses.DATASETS, pages.list),
        (one, pages.dataset),
        (one + "/left-out", pages.left_out),
    )


class _Pages:
    """One method for each address. They block, so Starlette runs them in threads."""

    def __init__(
        self,
        store: StoreReader,
        project: str,
        clock: Clock,
        judging: Judging | None,
        assets: Assets,
    ) -> None:
        self._store = store
        self._project = project
        self._clock = clock
        self._judging = judging
        self.assets = assets

    def guarded(self, endpoint: _Endpoint) -> _Endpoint:
        """Wrap an endpoint so that what goes wrong becomes a page."""

        @wraps(endpoint)
        def answer(request: Request) -> Response:
            try:
                return endpoint(request)
            except FormError as error:
                return self._trouble(request, 400, "This form cannot be taken", str(error))
            except (_NotFound, NoSuchReport, NoSuchDataset) as error:
                return self._trouble(request, 404, "Not found", str(error))
            except (FilterError, SearchError, SearchNotBuilt) as error:
                return self._trouble(request, 400, "This cannot be looked for", str(error))
            except StoreUnavailable as error:
                return self._trouble(request, 503, "The store cannot be read now", str(error))

        return answer

    def taking(self, endpoint: Callable[[bytes, Request], Response]) -> _Taking:
        """Wrap an endpoint that takes a form of ours, which no page elsewhere may send."""

        async def take(request: Request) -> Response:
            if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
                return self._trouble(request, 403, "Not from there", "A page elsewhere sent this.")
            data = await read_body(request, FORM_BYTES_MAX)
            if data is None:
                return self._trouble(request, 413, "Too long", "This is too long for a form.")
            return await run_in_threadpool(self.guarded(partial(endpoint, data)), request)

        return take

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
        return self.assets.page("list.html", status_code, listing=found, host=request.url.netloc)

    def call(self, request: Request) -> Response:
        """Show one call."""
        call = self._found(request)
        selection = Selection.of(request.query_params, call.row.project)
        token = self._judging.token(call.row.id) if self._judging else ""
        shown = reading(self._store, call, selection, token=token)
        return self.assets.page("call.html", reading=shown)

    def say(self, data: bytes, request: Request) -> Response:
        """Take what a form of a call's page says."""
        assert self._judging is not None
        call = self._found(request)
        selection = Selection.of(request.query_params, call.row.project)
        understood = Understood() if call.capture is None else derive(call.capture).understood
        answer = answer_of(understood)
        labels = self._store.labels([call.row.id]).get(call.row.id, ())
        form = read_form(data)
        try:
            said_id = id_of_request(request.headers.get("x-shalt-request", ""), self._judging.clock)
            said = said_by(self._judging, said_id, form, call.row, answer, labels)
            self._judging.keep([said])
        except LabelError as error:
            draft = typed(form, answer, str(error))
            token = self._judging.token(call.row.id)
            shown = reading(self._store, call, selection, token=token, draft=draft)
            return self.assets.page("call.html", 400, reading=shown)
        self._wait_for(said)
        return RedirectResponse(f"{selection.call(call.row.id)}#said", 303, PAGE_HEADERS)

    def _wait_for(self, said: Said) -> None:
        """Wait a moment until it is stored, so that the page shows it; it is kept in any case."""
        until = time.monotonic() + STORED_SECONDS
        while time.monotonic() < until:
            with self._store.reading() as connection:
                if known_said(connection, [said.id]):
                    return
            time.sleep(POLL_SECONDS)

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
        found = self.assets.static(request.path_params["name"])
        if found is None:
            raise _NotFound("There is no such file. Load the page again.")
        return found

    def _lead_on(self, request: Request, direction: str) -> Response:
        row = self._found(request).row
        selection = Selection.of(request.query_params, row.project)
        found = neighbour(self._store, row.id, selection, direction)
        if found is None:
            return self.assets.page("end.html", direction=direction, row=row, selection=selection)
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
            return refuse(status_code, sentence, PAGE_HEADERS)
        return self.assets.page("trouble.html", status_code, title=title, sentence=sentence)


def _is_decoded(request: Request) -> bool:
    return request.query_params.get("decoded", "") in ("1", "true")
