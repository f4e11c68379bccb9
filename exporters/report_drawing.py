"""A kept drift report to what its page shows, drawn by a process of its own (exporters.drawing).

`draw` is what that process does, `draw_report` has it done. Nothing of what draws charts and knows
the statistics is imported here before it is needed. Cost: 1.6 s of CPU, 1.3 of them to load;
whoever shows a page again keeps it.
"""

import msgspec

from exporters.drawing import answer_apart, draw_apart


class Wanted(msgspec.Struct, frozen=True):
    """What to draw: a report's JSON; `address` and `token` as in `report_html.Form`, or empty."""

    report: bytes
    project: str
    address: str = ""
    token: str = ""


class Selection(msgspec.Struct, frozen=True):
    """A finding's calls as a dataset: a name for it, the filter, why it is one-sided."""

    name: str
    where: str
    reason: str


class Drawing(msgspec.Struct, frozen=True):
    """A report as an element of a page, and of each of its findings what a button exports.

    `problem` says why there is none.
    """

    element: str = ""
    selections: tuple[Selection | None, ...] = ()
    problem: str = ""


def draw(wanted: Wanted) -> Drawing:
    """Draw a report in this process. Pure."""
    # A second of imports, which only the process that draws needs.
    from exporters.advice import selection_name, selection_reason  # noqa: PLC0415
    from exporters.drift import DriftReport  # noqa: PLC0415
    from exporters.report_html import Form, fragment  # noqa: PLC0415

    try:
        report = msgspec.json.decode(wanted.report, type=DriftReport)
    except msgspec.MsgspecError:
        return Drawing(problem="it was written by another version of shalt: make it again")
    form = Form(wanted.address, wanted.token) if wanted.address else None
    selections = (
        Selection(selection_name(finding), finding.action.where, selection_reason(finding))
        if finding.action is not None and finding.action.command
        else None
        for finding in report.findings
    )
    element = fragment(report, links="", project=wanted.project, form=form)
    return Drawing(str(element), tuple(selections))


def draw_report(wanted: Wanted) -> Drawing:
    """Draw a report in a process of its own. Raise NotDrawn where that dies or takes too long."""
    return draw_apart("exporters.report_drawing", wanted, Drawing)


if __name__ == "__main__":
    answer_apart(draw, Wanted)
