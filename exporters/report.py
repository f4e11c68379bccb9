"""Write a DriftReport for a program (JSON) and for a person at a terminal (text).

The JSON is the report's own fields (`exporters.drift.DriftReport`), names and meaning stable
within its `version`; a reader must bear fields that join later. Shares are 0..1, ids are call ids.

The text has no colours and no control characters: what a client sent as a model's name is shown
without them, so it may go to any terminal or log. Limits: `LINES_MAX` findings are shown.
"""

import textwrap

import msgspec

from exporters.drift import DriftReport, WindowSummary
from exporters.findings import Finding, Unseen, percent, shown

LINES_MAX = 20
UNSEEN_SHOWN_MAX = 3  # of each feature; the JSON lists more
BAR_WIDTH = 20
WIDTH_MIN = 40

_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def report_json(report: DriftReport) -> bytes:
    """Write the report as one JSON object, indented, ending in a line end."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def report_text(report: DriftReport, width: int = 80) -> str:
    """Write the report for people, in lines of at most `width` characters where words allow."""
    width = max(width, WIDTH_MIN)
    lines = wrapped(f"{report.verdict.upper()}: {report.why}.", width)
    lines += ["", *_window("reference", report.reference), *_window("current", report.current)]
    lines.append(f"{'alpha':<11}{report.alpha:g} for the whole report")
    if report.shared_groups:
        shared = f"{report.shared_groups:,} groups are in both, which makes the windows look alike"
        lines += wrapped(f"{'':<11}{shared}", width)
    drifted = [finding for finding in report.findings if finding.drift]
    small = [finding for finding in report.findings if not finding.drift]
    lines += _findings("What changed", drifted, width)
    lines += _findings("Beyond chance, but too little to matter", small, width)
    if report.unseen:
        lines += ["", "Never seen in the reference"]
        lines += [line for unseen in report.unseen for line in _unseen(unseen)]
    return "\n".join(lines) + "\n"


def _window(name: str, window: WindowSummary) -> list[str]:
    return [
        f"{name:<11}{shown(window.label)}",
        f"{'':<11}{window.groups:,} groups, one call of each; {window.calls:,} calls",
    ]


def _findings(title: str, findings: list[Finding], width: int) -> list[str]:
    lines = ["", title] if findings else []
    for finding in findings[:LINES_MAX]:
        lines += wrapped(f"  {finding.sentence}", width)
        lines.append(f"    {'now':<10}{bar(finding.current)} {percent(finding.current):>16}")
        lines.append(
            f"    {'reference':<10}{bar(finding.reference)} {percent(finding.reference):>16}"
        )
        effect = finding.effect
        measure = "distance" if finding.kind == "number" else "growth"
        lines.append(
            f"    {finding.feature}: {measure} {effect.estimate:+.3f} "
            f"({effect.lower:+.3f} to {effect.upper:+.3f}), {_p_value(finding.p_adjusted)}"
        )
        if finding.example_call_ids:
            lines.append(f"    see {finding.example_call_ids[0]}")
    if len(findings) > LINES_MAX:
        lines.append(f"  and {len(findings) - LINES_MAX} more, in the JSON")
    return lines


def _unseen(unseen: Unseen) -> list[str]:
    listed = unseen.values[:UNSEEN_SHOWN_MAX]
    lines = [
        f"  {unseen.feature:<15}{shown(value.value):<34}{percent(value.ratio):>16}"
        for value in listed
    ]
    if unseen.value_count > len(listed):
        lines.append(f"  {'':<15}and {unseen.value_count - len(listed):,} more")
    return lines


def _p_value(p_adjusted: float) -> str:
    return f"p {p_adjusted:.1e}" if p_adjusted > 0 else "p below 1e-300"


def bar(share: float) -> str:
    """Draw a share, 0..1, in eighths of a character; what is not nought shows at least one."""
    eighths = round(share * BAR_WIDTH * 8)
    if share > 0:
        eighths = max(1, eighths)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + _EIGHTHS[rest]).ljust(BAR_WIDTH, "·")


def wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines at words; what follows the first is indented like it."""
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(
        text.strip(),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
