"""Values that a reference never had, seen within seconds and without a test.

Between two evaluations of a monitor the calls recorded since are looked at, their columns only: the
first with a new tool, template, model or year raises the share of its feature. The share of a
window is that of its last evaluation and of what came since together, a group counted once, so it
is exact after each evaluation.

Ids begin with the time a call started, and a call is stored when it has ended: so each look reads
again the ids of the last LATE_SECONDS and takes those it has not looked at. A call that takes
longer is seen by the next evaluation; so is one before a restart that was stored after it.

Limits: IDS_MAX ids are read at a look; with more calls than that the time shrinks. CALLS_MAX calls
are looked at, the newest; the others are not counted until the next evaluation. Nor are groups
beyond GROUPS_MAX: their share is known by then.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from exporters.windows import counts_for_drift
from shalt.monitor_state import WindowState
from shalt.monitors import Monitor
from storage.choosing import read_measured
from storage.features import items_of
from storage.measured import read_tool_sets
from storage.rows import MeasuredCall
from storage.store import TraceStore

log = logging.getLogger(__name__)

LATE_SECONDS: Final = 900.0
LATE_SECONDS_MIN: Final = 10.0
IDS_MAX: Final = 100_000
CALLS_MAX: Final = 5_000
GROUPS_MAX: Final = 200_000
VALUES_MAX: Final = 10_000  # of a feature with more, a new value says nothing

Known = Mapping[str, frozenset[str]]


# Features of exporters.measures whose unseen values are watched: categories and sets.
_OF_CALL: Final = ("request_model", "response_model", "finish_reason")
_CATEGORIES: Final = (
    "template_hash",
    "tools_hash",
    "system_fingerprint",
    "answer_keys",
    "roles",
    "prompt_json",
    "answer_json",
)
_SETS: Final = (
    "tools_called",
    "parameters",
    "prompt_years",
    "answer_years",
    "answer_new_years",
    "prompt_dates",
    "answer_dates",
    "prompt_scripts",
    "answer_scripts",
)
_TOOLS: Final = "tools"  # by the set of tools that a call offers
WATCHED: Final = (*_OF_CALL, *_CATEGORIES, *_SETS, _TOOLS)

_Tools = dict[str, str]  # of the hash of a set of tools, its JSON


def _values(call: MeasuredCall, tools: _Tools) -> Iterator[tuple[str, Sequence[str]]]:
    """Read every watched feature of a call, as exporters.columns does."""
    for name in _OF_CALL:
        yield name, (getattr(call.row, name),)
    for name in _CATEGORIES:
        yield name, (getattr(call.features, name),)
    for name in _SETS:
        yield name, items_of(getattr(call.features, name))
    yield _TOOLS, items_of(tools.get(call.features.tools_hash, ""))


class Unseen:
    """Watches one monitor's calls for values that are not among the known ones."""

    def __init__(self, monitor: Monitor, known: Known, feature_version: int, since: float) -> None:
        """`since`: when the last evaluation's windows ended, seconds since 1970."""
        self._monitor = monitor
        self._known = {
            feature: values
            for feature, values in known.items()
            if feature in WATCHED and len(values) <= VALUES_MAX
        }
        self._feature_version = feature_version
        self._since = since
        self._late_seconds = LATE_SECONDS
        self._looked: set[str] = set()
        self._marked: set[str] = set()
        self._groups: set[str] = set()
        self._groups_with: dict[str, set[str]] = {feature: set() for feature in self._known}

    def mark(self) -> None:
        """Remember what has been looked at: an evaluation begins, and will have seen that too."""
        self._marked = self._looked

    def follow(self, before: "Unseen") -> None:
        """Go on from the watch before this evaluation: what was late for both is not lost."""
        first = _id_at(self._since)
        self._looked = {call_id for call_id in before._marked if call_id < first}
        self._since = min(self._since, before._since)

    def look(self, store: TraceStore, now: float) -> None:
        """Look at the calls stored since the last look. Raises StoreUnavailable, FilterError.

        Index (project, id); primary keys for each new call and set of tools.
        """
        if not self._known:
            return
        first = _id_at(max(self._since, now - self._late_seconds))
        ids = store.ids(self._monitor.project, self._monitor.where or None, first=first)
        if len(ids) > IDS_MAX:
            self._late_seconds = max(self._late_seconds / 2, LATE_SECONDS_MIN)
        fresh = [call_id for call_id in ids if call_id not in self._looked]
        self._looked = set(ids)
        if len(fresh) > CALLS_MAX:
            log.warning("calls not looked at for unseen values count=%d", len(fresh) - CALLS_MAX)
        found = read_measured(store, fresh[-CALLS_MAX:])
        calls = [call for call in found if counts_for_drift(call.row)]
        hashes = {call.features.tools_hash for call in calls}
        with store.reading() as connection:
            tools = read_tool_sets(connection, [*hashes])
        for call in calls:
            self._take(call, tools)

    def ratios(self, windows: Mapping[str, WindowState]) -> dict[str, dict[str, float]]:
        """Say of each window and watched feature which share of the groups has an unseen value."""
        shares: dict[str, dict[str, float]] = {}
        for name, state in windows.items():
            shares[name] = dict(state.unseen)
            total = state.current_groups + len(self._groups)
            for feature, groups in self._groups_with.items():
                before = state.unseen.get(feature, 0.0) * state.current_groups
                shares[name][feature] = (before + len(groups)) / total if total else 0.0
        return shares

    def _take(self, call: MeasuredCall, tools: _Tools) -> None:
        group = call.row.group_id
        if call.features.feature_version != self._feature_version:
            return
        if group not in self._groups and len(self._groups) >= GROUPS_MAX:
            return
        self._groups.add(group)
        for feature, values in _values(call, tools):
            if feature in self._known and not self._known[feature].issuperset(values):
                self._groups_with[feature].add(group)


def _id_at(seconds: float) -> str:
    """Begin the ids of calls that started at a time or later."""
    return f"{max(int(seconds * 1000), 0):012x}"
