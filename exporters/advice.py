"""What to do about a finding: how many calls to add to training, and what selects them.

Of what there is more in the traffic than in the reference, calls are to be added until its share
in the reference is the same: adding n calls that have it to N of which r have it now gives
(rN + n) / (N + n). Where that is fewer than TRAINING_CALLS_MIN it says so many; where it is more
than N, to train on the current traffic instead. Of what there is less, nothing need be added.

What selects the calls is a filter (storage.filters) over what the finding is of, within the current
window. A term whose word is known is a filter over the sample that has terms; a finding that no
filter can say (a classifier's) names its example calls.

The command is for a POSIX shell, every argument quoted, and names the options it is given. It makes
a dataset of its own, to be added to the one that was trained on. Because such a selection is
one-sided on purpose, it says why (`--accept-bias`). Nothing here reads the store.
"""

import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence, Set
from typing import Final

import msgspec

from exporters.drift import DriftReport, WindowSummary
from exporters.findings import Action, Finding, percent, shown
from exporters.measures import FEATURES, SCORE_PREFIX, Number
from exporters.periods import parse_range, range_filter
from exporters.windows import WindowError
from storage.filter_columns import COLUMNS, LISTS
from storage.filter_columns import FEATURES as MEASURED
from storage.filter_syntax import TEXT_CHARS_MAX, FilterError
from storage.filters import compile_filter

# OpenAI's guide to fine-tuning: ten examples at least, improvements from 50 to 100 on.
TRAINING_CALLS_MIN: Final = 50
VALUE_CHARS_MAX: Final = 1_000  # of a value that becomes part of a filter
DEFAULT_PROJECT: Final = "default"

_NUMBER_VALUE = re.compile(r"(>|<=) (-?[0-9.e+-]+)")
_SPREAD = "values that gained"  # of a finding that is of many values at once, joined by commas
_ACTIVE = re.compile(r'["$`\\!]')  # what double quotes do not keep from a shell
_SLUG = re.compile(r"[^a-z0-9]+")
_LIST_OF: Final = {"tools": "tools_offered"}  # where a filter has another name for it


def with_actions(
    report: DriftReport,
    *,
    project: str = DEFAULT_PROJECT,
    where: str = "",
    training_rows: int | None = None,
    options: Sequence[str] = (),
) -> DriftReport:
    """Say of every finding what to do.

    `options`: words that a command of this installation needs, such as a data directory's.

    `where`: what the current window was filtered by beyond what its label says.
    `training_rows`: how many rows of train the reference is a sample of; None: it is the whole.
    """
    size = report.reference.groups if training_rows is None else training_rows
    within = [each for each in dict.fromkeys((window_filter(report.current), where)) if each]
    findings = tuple(
        msgspec.structs.replace(
            finding, action=_action(finding, size, within, _places(project, options))
        )
        for finding in report.findings
    )
    return msgspec.structs.replace(report, findings=findings)


def window_filter(window: WindowSummary) -> str:
    """Say as a filter which calls a window is of; empty where its label does not tell."""
    if window.label.startswith("where:"):
        return window.label.removeprefix("where:")
    try:
        bounds = parse_range(window.label)
    except WindowError:
        return ""
    return (range_filter(bounds) or "") if bounds else ""


def calls_needed(size: int, before: float, now: float) -> int:
    """Say how many calls that all have something bring its share in `size` calls from one to
    another; 0 where it has it already. Shares are 0..1; of 1 it never is, and `size` is said."""
    if now <= before:
        return 0
    return size if now >= 1 else math.ceil(size * (now - before) / (1 - now))


def _places(project: str, options: Sequence[str]) -> tuple[str, ...]:
    """Name the options that say which calls a command is about, wherever it is run."""
    return (*(["--project", project] if project != DEFAULT_PROJECT else []), *options)


def _action(finding: Finding, size: int, within: Sequence[str], options: Sequence[str]) -> Action:
    condition = _condition(finding)
    gone = finding.current < finding.reference
    where = _all([*([] if gone else within), condition]) if condition else ""
    if not _is_filter(where):
        where = _of_ids(finding.example_call_ids)
    if finding.kind in ("classifier", "embedding"):
        return Action("Read the example calls: they are the ones least like the reference.", where)
    if finding.feature.startswith(SCORE_PREFIX):
        return Action("Read these calls, and correct the answers that are wrong.", where)
    if finding.kind == "number" and finding.value == "none" and finding.feature in _LACKING:
        return Action(f"No training helps against this: {_LACKING[finding.feature]}.", where)
    if finding.feature in _NOT_LEARNT:
        return Action(f"No training helps against this: {_NOT_LEARNT[finding.feature]}.", where)
    if gone:
        return Action(
            "Nothing is to be added: the reference has more of it than the traffic. Look at such "
            "calls of the reference, and leave them out of the next dataset if they are obsolete.",
            where,
        )
    needed = calls_needed(size, finding.reference, finding.current)
    if _may_be_wrong(finding):
        count = max(TRAINING_CALLS_MIN, min(needed, size))
        advice = (
            "Read these answers: if they are wrong, training must not learn them. Correct at least "
            f"{TRAINING_CALLS_MIN} of them, and export those that are labelled."
        )
        corrected = _all([where, "labelled"]) if where else ""
        return Action(advice, where, _command(corrected, finding, options), count)
    advice, count = _advice(finding, needed, size)
    return Action(advice, where, _command(where, finding, options), count)


def _advice(finding: Finding, needed: int, size: int) -> tuple[str, int]:
    """Say how many calls to add to `size` rows of train, and why so many."""
    share = percent(finding.current)
    if needed >= size:
        advice = (
            f"Train on the current traffic: {share} of it has this, and more calls than the "
            "reference has in all would have to be added to it."
        )
    elif needed < TRAINING_CALLS_MIN:
        advice = (
            f"Add at least {TRAINING_CALLS_MIN} calls that have it to training: {needed} would "
            "bring its share to that of the traffic, but from so few a trainer learns nothing."
        )
    else:
        advice = (
            f"Add at least {needed:,} calls that have it to training: its share is then {share} "
            "there too."
        )
    if finding.side == "answer":
        advice += " Correct the answers that are wrong first: a model learns what they say."
    if finding.kind == "term":
        advice += " Do so within some days: then words are no longer known of these calls."
    return advice, max(needed, TRAINING_CALLS_MIN)


def _may_be_wrong(finding: Finding) -> bool:
    """Tell whether what there is more of is likely to be a fault of the answers."""
    faults = _FAULTS.get(finding.feature)
    return faults is not None and (not faults or finding.value in faults)


# What answers should not be; of a feature without values, whatever it has more of.
_FAULTS: Final[Mapping[str, Set[str]]] = {
    "refusal": frozenset({"1"}),
    "answer_json": frozenset({"broken"}),
    "finish_reason": frozenset({"length", "max_tokens", "content_filter", "MAX_TOKENS", "SAFETY"}),
    "answer_new_years": frozenset(),
}

# What is no matter of the model's training.
_NOT_LEARNT: Final = {
    "request_model": "the application asks for another model; measure that one before it is relied"
    " on",
    "response_model": "another model answers; run the test set against it",
    "system_fingerprint": "the upstream changed what it runs; run the test set against it",
    "parameters": "the application samples in another way; run the test set with these parameters",
    "duration_ms": "it is the upstream that takes longer, or answers that are longer",
    "time_to_first_token_ms": "it is the upstream that takes longer, or prompts that are longer",
    "cost_usd": "look at the models, and at the lengths of prompts and answers",
}
# The same, where there are more or fewer calls that have no such number at all.
_LACKING: Final = {
    "time_to_first_token_ms": "the application has more of its calls streamed, or fewer",
    "cost_usd": "the price of a model is not known; see `shalt db reprice`",
}


def _condition(finding: Finding) -> str:
    """Say as a filter what a finding is of; empty where no filter can."""
    name, value = finding.feature, finding.value
    if len(value) > VALUE_CHARS_MAX or not value.isprintable():
        return ""  # nobody can copy from a page what is not seen on it
    match finding.kind:
        case "number":
            return _number_condition(name, value)
        case "category" if _SPREAD in finding.sentence:
            values = ", ".join(map(_text, value.split(",")))
            return f"{_column(name)} in ({values})" if _column(name) and name != "roles" else ""
        case "category":
            return _category_condition(name, value)
        case "set" if name == "parameters":
            return _parameter_condition(value)
        case "set":
            name = _LIST_OF.get(name, name)
            return f"has({name}, {_text(value)})" if name in LISTS else ""
        case "term":
            return f"has({name}, {_text(value)})" if name in LISTS else ""
    return ""


def scale_of(name: str) -> float:
    """Say times what a number is shown: a share of a thousand as one of a hundred."""
    of_name = (each.scale for each in FEATURES if isinstance(each, Number) and each.name == name)
    return next(of_name, 1.0)


def _number_condition(name: str, value: str) -> str:
    found = _NUMBER_VALUE.fullmatch(value.replace(",", ""))
    column = _column(name)
    if value == "none" and column:
        return f"{column} is null"
    if found is None or not column:
        return ""
    return f"{column} {found[1]} {float(found[2]) / scale_of(name):.12g}"


def _category_condition(name: str, value: str) -> str:
    if name == "refusal":
        return f"refusal = {value}" if value in ("0", "1") else ""
    column = _column(name)
    return f"{column} = {_text(value)}" if column else ""


def _parameter_condition(value: str) -> str:
    """Find `temperature=0.2` in the JSON of the parameters; the mark behind it ends the number."""
    name, _, setting = value.partition("=")
    entry = f"{json.dumps(name)}:{setting}".replace("\\", "\\\\")
    entry = entry.replace("%", "\\%").replace("_", "\\_")
    return " or ".join(f"parameters like {_text(f'%{entry}{end}')}" for end in (",%", "}"))


def _column(name: str) -> str:
    if name.startswith(SCORE_PREFIX):
        return f"scores[{_text(name.removeprefix(SCORE_PREFIX))}]"
    return name if name in COLUMNS or (name in MEASURED and name not in LISTS) else ""


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _all(conditions: Sequence[str]) -> str:
    if len(conditions) == 1:
        return conditions[0]
    return " and ".join(f"({each})" if " or " in each.lower() else each for each in conditions)


def _of_ids(call_ids: Sequence[str]) -> str:
    return f"id in ({', '.join(map(_text, call_ids))})" if call_ids else ""


def _is_filter(where: str) -> bool:
    """Tell whether it can be asked for: a value may hold what no filter may."""
    if not where or len(where) > TEXT_CHARS_MAX:
        return False
    try:
        compile_filter(where)
    except FilterError:
        return False
    return True


def selection_name(finding: Finding) -> str:
    """Name the dataset of a finding's selection: drift-prompt-years-2024."""
    slug = _SLUG.sub("-", f"{finding.feature} {finding.value}".casefold())
    return f"drift-{slug[:40].strip('-')}"


def selection_reason(finding: Finding) -> str:
    """Say why such a selection is one-sided."""
    return f"drift: {finding.feature} {shown(finding.value)}"


def _command(where: str, finding: Finding, options: Sequence[str]) -> str:
    if not where:
        return ""
    words = ["shalt", "export", selection_name(finding), "--where", where]
    words += ["--accept-bias", selection_reason(finding)]
    return " ".join(map(_quoted, [*words, *options]))


def _quoted(word: str) -> str:
    """Quote a word for a shell; a filter, which is full of single quotes, in double ones."""
    if "'" in word and not _ACTIVE.search(word):
        return f'"{word}"'
    return shlex.quote(word)
