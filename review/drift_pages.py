"""Drift reports as pages: those that are kept, and one of them, with buttons that export.

    /review/drift                     the list: project, before an id
    /review/drift/{id}                one report
    /review/drift/{id}/export         POST: the selection that a finding names, as a dataset

A report is written by what writes it as a file (exporters.report_html), within the frame of the
other pages, by a process of its own (exporters.report_drawing): 1.6 s of CPU and no memory that
stays. One of the CACHED last takes nothing. They are written one at a time.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol
from urllib.parse import quote

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from exporters.drawing import NotDrawn
from exporters.report_drawing import Drawing, Wanted, draw_report
from review import addresses
from review.assets import PAGE_HEADERS, Assets
from review.judging import FormError, Judging, read_form
from review.remembered import Remembered
from storage.drift_reports import (
    KeptReport,
    ListedReport,
    find_drift_report,
    list_drift_reports,
)
from storage.reader import StoreReader

Draw = Callable[[Wanted], Drawing]

PAGE_REPORTS: Final = 50
CACHED: Final = 16  # of some 250 KB, a megabyte at most
WORDS: Final = {"drift": "Drift", "quiet": "Quiet", "insufficient": "Too few calls"}


class NoSuchReport(Exception):
    """There is no such report that can be shown; the message says why."""


class ExportRefused(Exception):
    """A dataset cannot be asked for; the message says why."""


class Exporter(Protocol):
    """Asks for a dataset: a name, and the fields of an export request. Raises ExportRefused."""

    def __call__(self, name: str, request: dict[str, object]) -> None: ...


class DriftPages:
    """One method for each address. They block, so Starlette runs them in threads."""

    def __init__(
        self,
        store: StoreReader,
        project: str,
        assets: Assets,
        judging: Judging | None,
        export: Exporter | None,
        draw: Draw = draw_report,
    ) -> None:
        self._store = store
        self._project = project
        self._assets = assets
        self._judging = judging
        self._export = export
        self._draw = draw
        self._drawn = Remembered[tuple[str, bytes], Drawing](CACHED)

    def list(self, request: Request) -> Response:
        """Show the reports of a project, newest first."""
        query = request.query_params
        project = query.get("project", "").strip() or self._project
        found: Sequence[ListedReport] = list_drift_reports(
            self._store, project, limit=PAGE_REPORTS + 1, before=query.get("before", "")
        )
        shown = found[:PAGE_REPORTS]
        last = shown[-1].id if len(found) > PAGE_REPORTS else ""
        return self._assets.page(
            "drift.html",
            project=project,
            reports=shown,
            words=WORDS,
            address=addresses.drift_report,
            older=addresses.drift(project, before=last) if last else "",
        )

    def report(self, request: Request) -> Response:
        """Show one report."""
        return self._page(self._found(request), asked=request.query_params.get("asked", "")[:64])

    def export(self, data: bytes, request: Request) -> Response:
        """Ask for the dataset of a finding's selection, as the form of a report's page says."""
        assert self._judging is not None
        assert self._export is not None
        kept = self._found(request)
        form = read_form(data)
        if not self._judging.is_token(form.get("token", ""), kept.listed.id):
            raise FormError("This form is not of this page, or the page is old. Load it again.")
        name, wanted = self._wanted(kept, form.get("finding", ""))
        try:
            self._export(name, wanted)
        except ExportRefused as error:
            return self._page(kept, 409, problem=str(error))
        address = addresses.drift_report(kept.listed.id, asked=name)
        return RedirectResponse(address, 303, PAGE_HEADERS)

    def _page(
        self, kept: KeptReport, status_code: int = 200, *, asked: str = "", problem: str = ""
    ) -> Response:
        return self._assets.page(
            "drift_report.html",
            status_code,
            listed=kept.listed,
            report=Markup(self._drawing_of(kept).element),
            back=addresses.drift(kept.listed.project),
            asked=asked,
            asked_address=f"/api/datasets/{quote(asked, safe='')}",
            problem=problem,
        )

    def _found(self, request: Request) -> KeptReport:
        report_id = request.path_params["report_id"]
        kept = find_drift_report(self._store, report_id)
        if kept is None or kept.listed.id != report_id:
            raise NoSuchReport(
                f"There is no drift report {report_id[:64]}. Of each monitor the newest are kept."
            )
        return kept

    def _drawing_of(self, kept: KeptReport) -> Drawing:
        """Draw a report; what its calls said may have been erased since, so the text decides."""
        key = kept.listed.id, kept.report
        return self._drawn.get(key, lambda: self._drawn_now(kept))

    def _drawn_now(self, kept: KeptReport) -> Drawing:
        report_id, project = kept.listed.id, kept.listed.project
        wanted = Wanted(kept.report, project)
        if self._judging is not None and self._export is not None:
            address = addresses.drift_report(report_id) + "/export"
            wanted = Wanted(kept.report, project, address, self._judging.token(report_id))
        try:
            found = self._draw(wanted)
        except NotDrawn as error:
            found = Drawing(problem=str(error))
        if found.problem:
            raise NoSuchReport(f"Drift report {report_id} cannot be shown: {found.problem}.")
        return found

    def _wanted(self, kept: KeptReport, number: str) -> tuple[str, dict[str, object]]:
        """Make the request for what a finding's action selects; raise FormError for none."""
        selections = self._drawing_of(kept).selections
        place = int(number) if number.isdecimal() and len(number) < 6 else len(selections)
        selection = selections[place] if place < len(selections) else None
        if selection is None:
            raise FormError("This finding has no selection to export.")
        return f"{selection.name}-{kept.listed.id[-6:]}", {
            "project": kept.listed.project,
            "where": selection.where,
            "accept_bias": selection.reason,
        }
