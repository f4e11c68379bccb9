"""Write a SelectionReport for a person at a terminal, and in a dataset's card: text, no colours.

What a client sent, a model's name or a tag, is shown without control characters. Limits: LINES_MAX
slices and LINES_MAX numbers are shown, those that changed most beyond chance; the manifest has all.
"""

from exporters.findings import percent, shown
from exporters.plain_text import WIDTH_MIN, bar, wrapped
from exporters.selection_report import ALPHA, MeanDifference, SelectionReport, SliceShare
from storage.counted import counted

LINES_MAX = 8
_STEPS = {
    "calls": "calls of train and val",
    "conversations": "are conversations",
    "matching": "match the filter",
    "complete": "of these are complete",
}


def selection_text(report: SelectionReport, width: int = 80) -> str:
    """Write the report in lines of at most `width` characters where words allow."""
    width = max(width, WIDTH_MIN)
    lines = wrapped(f"selection  {shown(report.where)}", width)
    for step in report.funnel:
        lines.append(f"{step.calls:>12,}  {_STEPS[step.name]}, in {counted(step.groups, 'group')}")
    moved = [each for each in report.slices if each.p_adjusted < ALPHA]
    moved.sort(key=lambda each: -each.smd.bound)
    differing = [each for each in report.differences if each.p_adjusted < ALPHA]
    differing.sort(key=lambda each: -each.smd.bound)
    if moved:
        lines += ["", f"{'slices':<31}{'of all':>10}{'of kept':>10}{'lift':>7}"]
        lines += map(_slice, moved[:LINES_MAX])
    if differing:
        lines += ["", f"{'means':<31}{'kept':>10}{'dropped':>10}{'apart':>7}"]
        lines += map(_number, differing[:LINES_MAX])
    lines += ["", *wrapped(_verdict(report), width)]
    for sentence in report.biased:
        lines += wrapped(f"  {sentence}", width)
    return "\n".join(lines) + "\n"


def _verdict(report: SelectionReport) -> str:
    told = ""
    if report.auc is not None:
        told = (
            f" Kept and dropped calls can be told apart with an AUC of {report.auc.estimate:.2f} "
            f"({report.auc.lower:.2f} to {report.auc.upper:.2f}; 0.5 is not at all)."
        )
    if report.undecided:
        return f"No verdict: {report.undecided}.{told}"
    if report.biased:
        return f"BIASED: what is kept is not like what was recorded.{told}"
    return f"Nothing kept or dropped stands out.{told}"


def _slice(each: SliceShare) -> str:
    name = f"{each.feature} {shown(each.value)}"
    shares = f"{percent(each.before):>10}{percent(each.after):>10}"
    lift = each.lift.estimate
    return f"  {_short(name):<29}{shares}{lift:>7.2f}  {bar(min(1.0, lift / 2))}"


def _number(each: MeanDifference) -> str:
    means = f"{each.kept:>10,.1f}{each.dropped:>10,.1f}"
    return f"  {_short(each.unit):<29}{means}{each.smd.estimate:>+7.2f}"


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:27]}…"
