"""A DriftReport as one self-contained HTML page: no script, nothing loaded, to read or to print.

`fragment` is the report alone, which the review page puts into its frame; `report_html` is a file
of it, with its style inside and a policy that allows nothing else. What a client or a model said is
escaped, and characters that are not seen, or act on the text around them, are shown as "?".

Limits: FINDINGS_SHOWN findings with drift and SMALL_SHOWN without, CHARTS_MAX charts, TABLE_ROWS of
each table: some 250 KB, never a megabyte (REPORT_BYTES_MAX of the store is another matter: the JSON
has everything). Cost: 0.7 s of CPU, half of it for the first chart of a process.
"""

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from exporters.advice import scale_of
from exporters.drift import Classifier, DriftReport, Outcome
from exporters.findings import Finding, percent, shown
from exporters.report import measured, p_value, shown_whole
from exporters.report_charts import bars_svg, line_svg

FINDINGS_SHOWN = 25
SMALL_SHOWN = 10
CHARTS_MAX = 20
TABLE_ROWS = 12
UNSEEN_SHOWN = 8
TEXT_CHARS_MAX = 4_000  # of a sentence or a command; a value has fewer
STYLE: Final = Path(__file__).parent / "templates" / "report.css"
# Which features have a table of their own, in this order, whether they drifted or not.
TABLES: Final = (
    "prompt_years",
    "answer_years",
    "prompt_language",
    "answer_language",
    "template_hash",
    "tools",
    "tools_called",
    "request_model",
    "response_model",
    "system_fingerprint",
    "finish_reason",
    "answer_json",
    "answer_fields",
    "refusal",
    "parameters",
)
_WORDS: Final = {"drift": "Drift", "quiet": "Quiet", "insufficient": "Too few calls"}
_NO_SCORES: Final = (
    "This says that the reference no longer speaks for the traffic, not that answers got worse. No "
    "score is known of these calls: shalt feedback, POST /feedback and the thumbs of the review "
    "page add what people think of answers."
)
_SCORES: Final = (
    "This says that the reference no longer speaks for the traffic, not that answers got worse. "
    "What was said of the answers:"
)


class Row(msgspec.Struct, frozen=True):
    """A value in a table."""

    value: str
    reference: float
    current: float
    is_new: bool


class Table(msgspec.Struct, frozen=True):
    """The commonest values of a feature."""

    feature: str
    rows: tuple[Row, ...]


class Form(msgspec.Struct, frozen=True):
    """Where the button goes that exports a finding's selection, and the token that it sends."""

    address: str
    token: str


def report_html(report: DriftReport, *, links: str | None = None, project: str = "") -> bytes:
    """Write the report as a page of its own. `links`: where a shalt is, for links to its calls."""
    style = STYLE.read_text()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    title = shown_whole(f"{_WORDS[report.verdict]}: {report.current.label}")
    page = Markup(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'sha256-{}'\">\n"
        "<title>{} · shalt drift</title>\n<style>{}</style>\n</head>\n"
        "<body>\n{}\n</body>\n</html>\n"
    )
    body = fragment(report, links=links, project=project)
    return page.format(digest, title, Markup(style), body).encode()


def fragment(
    report: DriftReport, *, links: str | None = None, project: str = "", form: Form | None = None
) -> Markup:
    """Write the report as an element; `links` is None where there is no shalt to lead to.

    With `form`, the selections have buttons, which send the number of the finding.
    """
    drawn = _Charts(report)
    drifted = [finding for finding in report.findings if finding.drift]
    return Markup(
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            links=links,
            form=form,
            number_of={id(each): number for number, each in enumerate(report.findings)},
            id=id,
            words=_WORDS,
            quality=_SCORES if report.scores else _NO_SCORES,
            drifted=drifted,
            small=[finding for finding in report.findings if not finding.drift],
            tested=[outcome for outcome in report.outcomes if not outcome.note],
            skipped=[outcome for outcome in report.outcomes if outcome.note],
            tables=_tables(report),
            shown_max=FINDINGS_SHOWN,
            small_max=SMALL_SHOWN,
            unseen_max=UNSEEN_SHOWN,
            text_max=TEXT_CHARS_MAX,
            charts_of=drawn.of,
            classifier_chart=drawn.of_classifier,
            list_address=lambda where: f"{links}/review?{_query(project, where)}",
        )
    )


class _Charts:
    """Draws the charts of a report, CHARTS_MAX at most, one distribution once."""

    def __init__(self, report: DriftReport) -> None:
        self._outcomes = {outcome.feature: outcome for outcome in report.outcomes}
        self._drawn: set[str] = set()
        self._left = CHARTS_MAX
        self._made: dict[int, list[tuple[str, Markup]]] = {}

    def of(self, finding: Finding) -> list[tuple[str, Markup]]:
        """Draw what there is to see of a finding: captions and pictures."""
        if id(finding) not in self._made:
            self._made[id(finding)] = list(self._draw(finding))
        return self._made[id(finding)]

    def of_classifier(self, classifier: Classifier) -> Markup:
        """Draw how the scores of a classifier are distributed."""
        return Markup(bars_svg(classifier.scores))

    def _draw(self, finding: Finding) -> list[tuple[str, Markup]]:
        pictures: list[tuple[str, Callable[[], str]]] = []
        outcome = self._outcomes.get(finding.feature)
        if finding.kind == "number" and finding.feature not in self._drawn and outcome:
            distribution = outcome.distribution
            if distribution is not None and distribution.edges:
                self._drawn.add(finding.feature)
                scale = scale_of(finding.feature)
                caption = f"{title_of(finding.feature)}: share of the calls in each bar"
                pictures.append((caption, lambda: bars_svg(distribution, scale)))
        if finding.drift and len(finding.over_time) > 1:
            pictures.append(
                (
                    "Share over time, UTC; dashed: in the reference",
                    lambda: line_svg(finding.over_time, finding.reference),
                )
            )
        chosen = pictures[: self._left]
        self._left -= len(chosen)
        return [(caption, Markup(draw())) for caption, draw in chosen]


def _tables(report: DriftReport) -> list[Table]:
    outcomes = {outcome.feature: outcome for outcome in report.outcomes}
    unseen = {each.feature: {value.value for value in each.values} for each in report.unseen}
    found = (_table(outcomes[name], unseen.get(name, set())) for name in TABLES if name in outcomes)
    return [table for table in found if table is not None]


def _table(outcome: Outcome, unseen: set[str]) -> Table | None:
    """Make a table of a feature; None where it has one value or none, and nothing is new."""
    bars = outcome.distribution
    if bars is None or not bars.labels or (len(bars.labels) == 1 and not unseen):
        return None
    rows = zip(bars.labels, bars.reference, bars.current, strict=True)
    return Table(
        outcome.feature,
        tuple(
            Row(value, before, now, value in unseen)
            for value, before, now in list(rows)[:TABLE_ROWS]
        ),
    )


def title_of(feature: str) -> str:
    """Write the name of a feature for people."""
    return shown_whole(feature.replace("_", " ").replace(":", ": "))


def _query(project: str, where: str) -> str:
    return urlencode(
        {name: value for name, value in (("project", project), ("where", where)) if value}
    )


def _moment(microseconds: int) -> str:
    time = datetime.fromtimestamp(microseconds / 1e6, UTC)
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _width(share: float) -> str:
    """Write a share as the width of a bar; what is not nought is seen."""
    return f"{min(100.0, max(share * 100, 0.6 if share > 0 else 0.0)):.4g}"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(STYLE.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["seen"] = lambda text: shown_whole(text[:TEXT_CHARS_MAX])
    environment.filters["short"] = shown
    environment.globals.update(
        percent=percent,
        width=_width,
        moment=_moment,
        measure=measured,
        title=title_of,
        p_value=p_value,
        amount=lambda number: f"{number:.3g}",
    )
    return environment
