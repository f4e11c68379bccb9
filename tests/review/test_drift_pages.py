"""Drift reports as pages: the list, one of them, the button that exports."""

import html
import re
import shlex
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette

from exporters.advice import with_actions
from exporters.drift import DriftReport
from exporters.report import report_json
from exporters.report_drawing import draw
from review.drift_pages import PAGE_REPORTS, ExportRefused
from review.judging import Judging
from review.routes import routes
from storage.drift_reports import NewReport, add_drift_report
from tests.exporters.found import HOSTILE, finding, full_report, report
from tests.review.calls import START_NS
from tests.review.conftest import Clock, Site


@dataclass
class Later(Clock):
    """A clock so many seconds on."""

    seconds: int = 0

    def wall_ns(self) -> int:
        return START_NS + self.seconds * 10**9


@dataclass
class Desk:
    """Takes what is asked for; refuses a name that it has."""

    asked: dict[str, dict[str, object]] = field(default_factory=dict)

    def __call__(self, name: str, request: dict[str, object]) -> None:
        if name in self.asked:
            raise ExportRefused(f"there is a dataset {name}")
        self.asked[name] = request


def keep(
    site: Site,
    seconds: int = 0,
    project: str = "default",
    monitor: str = "live",
    found: DriftReport | None = None,
) -> str:
    """Keep a report, one without charts unless another is given."""
    told = with_actions(found or report(finding()), project=project)
    new = NewReport(project, monitor, "7d", told.verdict, "dataset", report_json(told))
    return add_drift_report(site.store, new, clock=Later(seconds))


@pytest.fixture
def desk(site: Site) -> Desk:
    """The site, with somebody who makes datasets."""
    made = Desk()
    judging = Judging(site.keep, b"a key of the test's own", Clock())
    pages = routes(site.store, "default", Clock(), judging, made, draw_report=draw)
    site.application = Starlette(routes=list(pages))
    return made


def test_reports_are_listed_newest_first_of_a_project_alone(site: Site) -> None:
    first, second = keep(site, 1), keep(site, 2, monitor="")
    keep(site, 3, project="other")
    body = site.get("/review/drift").body.decode()
    assert re.findall(r'href="/review/drift/(\w+)"', body) == [second, first]
    assert "by hand" in body
    assert ">Drift</span>" in body


def test_a_page_without_reports_shows_a_command_that_runs_as_it_is(site: Site) -> None:
    options = shlex.join(["--data-dir", "/srv/our data"])
    shown = routes(site.store, "default", Clock(), options=options)
    site.application = Starlette(routes=list(shown))
    body = html.unescape(site.get("/review/drift?project=it%27s").body.decode())
    (command,) = re.findall("<pre class=.code.>(shalt .*)</pre>", body)
    assert shlex.split(command)[6:] == ["--project", "it's", "--data-dir", "/srv/our data"]


def test_a_page_of_reports_leads_to_the_older_ones(site: Site) -> None:
    ids = [keep(site, number) for number in range(PAGE_REPORTS + 1)]
    page = site.get("/review/drift").body.decode()
    (older,) = re.findall(r'rel="next" href="([^"]+)"', page)
    rest = site.get(older.replace("&amp;", "&")).body.decode()
    assert re.findall(r'href="/review/drift/(\w+)"', rest) == [ids[0]]


def test_without_reports_the_page_says_how_to_make_one(site: Site) -> None:
    answer = site.get("/review/drift", project="nobody")
    assert answer.status == 200
    assert "shalt drift --reference" in answer.body.decode()


def test_a_report_is_shown_in_the_frame_and_leads_to_its_calls(site: Site) -> None:
    answer = site.get(f"/review/drift/{keep(site, found=full_report())}")
    body = answer.body.decode()
    assert answer.status == 200
    assert '<article class="drift">' in body
    assert f'href="/review/calls/{finding().example_call_ids[0]}"' in body
    assert 'href="/review?project=default&amp;where=' in body
    assert "<svg" in body
    assert HOSTILE not in body
    assert "style=" not in body
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "Export this selection" not in body  # nobody here makes datasets


def test_a_report_that_is_not_there_is_a_page(site: Site) -> None:
    keep(site)
    for path in ("/review/drift/" + "f" * 32, "/review/drift/0"):
        answer = site.get(path)
        assert (answer.status, "no drift report" in answer.body.decode()) == (404, True)


def test_a_report_of_another_version_is_a_page_that_says_so(site: Site) -> None:
    new = NewReport("default", "", "7d", "drift", "dataset", b'{"version": 9}')
    answer = site.get(f"/review/drift/{add_drift_report(site.store, new, clock=Later(0))}")
    assert (answer.status, "another version" in answer.body.decode()) == (404, True)


def test_every_page_leads_to_the_reports(site: Site) -> None:
    assert 'href="/review/drift?project=p%201"' in site.get("/review", project="p 1").body.decode()


def button(site: Site, report_id: str) -> dict[str, str]:
    """Read what the first button of a report sends."""
    body = site.get(f"/review/drift/{report_id}").body.decode()
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="(\w+)">', body)[:2])


def test_the_button_exports_what_the_finding_selects(site: Site, desk: Desk) -> None:
    report_id = keep(site)
    form = button(site, report_id)
    assert form["finding"] == "0"
    answer = site.post(f"/review/drift/{report_id}/export", **form)
    name = f"drift-prompt-years-2024-{report_id[-6:]}"
    assert answer.status == 303
    assert answer.headers["location"] == f"/review/drift/{report_id}?asked={name}"
    wanted = desk.asked[name]
    assert wanted["project"] == "default"
    assert str(wanted["where"]).endswith("has(prompt_years, '2024')")
    assert f"/api/datasets/{name}" in site.get(answer.headers["location"]).body.decode()
    again = site.post(f"/review/drift/{report_id}/export", **form)
    assert (again.status, "there is a dataset" in again.body.decode()) == (409, True)


@pytest.mark.parametrize(
    "change",
    [{"token": "0" * 64}, {"token": ""}, {"finding": "99"}, {"finding": "-1"}, {"finding": ""}],
)
def test_a_form_that_is_not_of_the_page_exports_nothing(
    site: Site, desk: Desk, change: dict[str, str]
) -> None:
    report_id = keep(site)
    form = {**button(site, report_id), **change}
    assert site.post(f"/review/drift/{report_id}/export", **form).status == 400
    assert desk.asked == {}


def test_a_page_elsewhere_cannot_export(site: Site, desk: Desk) -> None:
    report_id = keep(site)
    form = button(site, report_id)
    answer = site.post(f"/review/drift/{report_id}/export", site="cross-site", **form)
    assert answer.status == 403
    assert desk.asked == {}


def test_the_name_of_a_dataset_fits_whatever_was_found(site: Site, desk: Desk) -> None:
    long = finding("answer_terms", "x" * 300, kind="term", term_hash=1)
    report_id = keep(site, found=report(long))
    assert site.post(f"/review/drift/{report_id}/export", **button(site, report_id)).status == 303
    (name,) = desk.asked
    assert re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", name)
