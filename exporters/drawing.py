"""A kept drift report to what its page shows, drawn by a process of its own.

What draws charts and what knows the statistics take 170 MB and a second to load. A console that
shows a report now and then would keep that for good, so a process of its own draws each: `draw` is
what it does, `draw_apart` starts it, hands over the report and takes the element that comes back.
Nothing of either is imported here before it is needed.

Limits: DRAWING_SECONDS_MAX for one; its memory goes back to the machine with it. Cost: 1.6 s of
CPU, 1.3 of them to load; whoever shows a page again keeps it.
"""

import logging
import subprocess
import sys
from typing import Final

import msgspec

log = logging.getLogger(__name__)

DRAWING_SECONDS_MAX: Final = 60.0  # of a machine that is busy; an idle one takes two


class NotDrawn(Exception):
    """A report could not be drawn; the message says why."""


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


def draw_apart(wanted: Wanted) -> Drawing:
    """Draw a report in a process of its own. Raise NotDrawn where that dies or takes too long."""
    try:
        run = subprocess.run(
            [sys.executable, "-m", "exporters.drawing"],
            input=msgspec.json.encode(wanted),
            stdout=subprocess.PIPE,
            timeout=DRAWING_SECONDS_MAX,
            check=True,
        )
        return msgspec.json.decode(run.stdout, type=Drawing)
    except subprocess.TimeoutExpired:
        problem = f"drawing it took longer than {DRAWING_SECONDS_MAX:g} seconds"
    except (OSError, subprocess.CalledProcessError, msgspec.MsgspecError) as error:
        problem = f"the process that draws it failed: {error}"
    log.warning("drift report not drawn error=%s", problem)
    raise NotDrawn(problem)


if __name__ == "__main__":
    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=Wanted)
    sys.stdout.buffer.write(msgspec.json.encode(draw(orders)))
