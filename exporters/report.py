"""Write a DriftReport for a program (JSON) and for a person at a terminal (text).

The JSON is the report's own fields (`exporters.drift.DriftReport`), names and meaning stable
within its `version`; a reader must bear fields that join later. Shares are 0..1, ids are call ids.

The text has no colours and no control characters: what a client sent as a model's name is shown
without them, so it may go to any terminal or log. Limits: `LINES_MAX` findings are shown.
"""

from typing import Final

import msgspec

from exporters.drift import DriftReport, WindowSummary
from exporters.findings import Effect, Finding, Unseen, percent, shown
from exporters.measures import Kind
from exporters.plain_text import WIDTH_MIN, bar, wrapped
from storage.counted import counted

LINES_MAX = 20
UNSEEN_SHOWN_MAX = 3  # of each feature; the JSON lists more

_MEASURES: Final[dict[Kind, str]] = {
    "number": "distance",
    "category": "growth",
    "set": "growth",
    "term": "growth",
    "classifier": "AUC less 0.5",
    "embedding": "distance",
}


def report_json(report: DriftReport) -> bytes:
    """Write the report as one JSON object, indented, ending in a line end."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def report_text(report: DriftReport, width: int = 80) -> str:
    """Write the report for people, in lines of at most `width` characters where words allow."""
    width = max(width, WIDTH_MIN)
    lines = wrapped(f"{report.verdict.upper()}: {report.why}.", width)
    lines += ["", *_window("reference", report.reference), *_window("current", report.current)]
    lines.append(f"{'alpha':<11}{report.alpha:g} for the whole report")
    lines += [line for text in _remarks(report) for line in _remark(text, width)]
    drifted = [finding for finding in report.findings if finding.drift]
    small = [finding for finding in report.findings if not finding.drift]
    lines += _findings("What changed", drifted, width)
    lines += _findings("Beyond chance, but too little to matter", small, width)
    if report.unseen:
        lines += ["", "Never seen in the reference"]
        lines += [line for unseen in report.unseen for line in _unseen(unseen)]
    if drifted:
        lines += _scores(report, width)
    return "\n".join(lines) + "\n"


def _remarks(report: DriftReport) -> list[str]:
    remarks = [report.hours] if report.hours else []
    if report.shared_groups:
        remarks.append(
            f"{counted(report.shared_groups, 'group')} in both, which makes the windows look alike"
        )
    if (check := report.self_check) is not None:
        remarks.append(f"train against test of the reference: {check.verdict}; {check.why}")
    return [*remarks, *report.notes]


def _remark(text: str, width: int) -> list[str]:
    return [f"{'':<11}{line}" for line in wrapped(shown_whole(text), max(width - 11, WIDTH_MIN))]


def _scores(report: DriftReport, width: int) -> list[str]:
    """Say what was said of the answers: drift is not a loss of quality."""
    if not report.scores:
        said = (
            "No score is known of these calls, so this says nothing of how good answers are: "
            "`shalt feedback` adds what people think of them."
        )
        return ["", *wrapped(said, width)]
    lines = ["", f"{'Scores':<24}{'reference':>12}{'now':>12}   difference"]
    for score in report.scores[:LINES_MAX]:
        change = score.difference
        told = "too few" if change is None else f"{change.estimate:+.3g} ({_span(change)})"
        means = [
            f"{mean:.3g}" if calls else "none"
            for mean, calls in (
                (score.reference_mean, score.reference_calls),
                (score.current_mean, score.current_calls),
            )
        ]
        lines.append(f"  {shown(score.name)[:21]:<22}{means[0]:>12}{means[1]:>12}   {told}")
    return lines


def _window(name: str, window: WindowSummary) -> list[str]:
    return [
        f"{name:<11}{shown(window.label)}",
        f"{'':<11}{counted(window.groups, 'group')}, one call of each; "
        f"{counted(window.calls, 'call')}",
    ]


def _findings(title: str, findings: list[Finding], width: int) -> list[str]:
    lines = ["", title] if findings else []
    for finding in findings[:LINES_MAX]:
        lines += wrapped(f"  {shown_whole(finding.sentence)}", width)
        lines.append(f"    {'now':<10}{bar(finding.current)} {percent(finding.current):>16}")
        lines.append(
            f"    {'reference':<10}{bar(finding.reference)} {percent(finding.reference):>16}"
        )
        lines += wrapped(f"    {measured(finding)}", width)
        if finding.also:
            others = "; ".join(shown(each) for each in finding.also)
            lines += wrapped(f"    the same change: {others}", width)
        if finding.example_call_ids:
            lines.append(f"    see {finding.example_call_ids[0]}")
        if finding.drift and finding.action is not None:
            lines += wrapped(f"    {finding.action.advice}", width)
            if finding.action.command:
                lines.append(f"    $ {shown_whole(finding.action.command)}")
    if len(findings) > LINES_MAX:
        lines.append(f"  and {len(findings) - LINES_MAX} more, in the JSON")
    return lines


def measured(finding: Finding) -> str:
    """Say by how much, of what, and how sure that is."""
    effect = finding.effect
    return (
        f"{finding.feature}: {_MEASURES[finding.kind]} {effect.estimate:+.3f} ({_span(effect)}), "
        f"{p_value(finding.p_adjusted)}"
    )


def p_value(p_adjusted: float) -> str:
    """Write a corrected p-value."""
    if p_adjusted == 0:
        return "p below 1e-300"
    return f"p {p_adjusted:.2g}" if p_adjusted >= 0.01 else f"p {p_adjusted:.1e}"


def shown_whole(text: str) -> str:
    """Show a text without what is not seen in it or acts on the text around it."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _span(effect: Effect) -> str:
    return f"{effect.lower:+.3f} to {effect.upper:+.3f}"


def _unseen(unseen: Unseen) -> list[str]:
    listed = unseen.values[:UNSEEN_SHOWN_MAX]
    lines = [
        f"  {unseen.feature:<24} {shown(value.value):<34}{percent(value.ratio):>16}"
        for value in listed
    ]
    if unseen.value_count > len(listed):
        lines.append(f"  {'':<24} and {unseen.value_count - len(listed):,} more")
    return lines
