"""The two sides of a drift comparison: which calls, and one of each group.

A window is written as one of

    DIR              what an export was drawn from: its train side (`reference.jsonl`)
    FROM..TO         calls started in a half-open range of UTC times, ISO 8601; either may be empty
    7d, 36h, 2w      the last so many days, hours, weeks, up to now
    where:SQL        calls the filter matches

Of these, the calls that count are conversations with a complete answer: errors have counters of
their own, a failed call has no answer to measure, and made-up calls (`synthetic`) are no traffic.
Of each group one call counts, the one whose id hashes lowest: turns of one conversation resemble
each other, and counting them as independent raised a false alarm in 34 to 100 % of comparisons of
unchanged traffic (docs/drift.md).

Limits: a window keeps `WINDOW_GROUPS_MAX` groups, those whose ids hash lowest, so memory is
bounded (about 1.5 KB a group) and the same calls give the same sample in any order. Reading a
window reads one row of two tables for each of its calls, never a body.
"""

import hashlib
import heapq
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec

from storage.capture import Clock, Endpoint, Outcome
from storage.features import Features
from storage.rows import CallRow
from storage.store import TraceStore
from storage.trace import Span
from storage.withheld import SYNTHETIC

MANIFEST_FILE = "manifest.json"
REFERENCE_FILE = "reference.jsonl"
# A share is known to 0.3 points at 100,000 groups; more would sharpen nothing above the floors.
WINDOW_GROUPS_MAX = 100_000
# One export's sample. Its own error is shared by every later comparison with it: 0.7 points.
REFERENCE_GROUPS_MAX = 20_000
assert REFERENCE_GROUPS_MAX <= WINDOW_GROUPS_MAX

CONVERSATIONS = frozenset(
    {
        Endpoint.CHAT_COMPLETIONS,
        Endpoint.RESPONSES,
        Endpoint.MESSAGES,
        Endpoint.GENERATE_CONTENT,
    }
)

_DURATION = re.compile(r"([0-9]{1,5})(h|d|w)")
_HOURS = {"h": 1, "d": 24, "w": 168}


class WindowError(Exception):
    """A window was written in a way that means nothing, or what it names cannot be read."""


class Measured(msgspec.Struct, frozen=True):
    """One call of a window, and one line of `reference.jsonl`: nothing here is content."""

    call_id: str
    group_id: str
    request_model: str
    response_model: str
    finish_reason: str
    features: Features


@dataclass(frozen=True)
class Window:
    """`rows`: one call of each group, by call id. `call_count`: calls they were chosen from."""

    label: str
    call_count: int
    rows: tuple[Measured, ...]


@dataclass(frozen=True)
class Exported:
    """What the export in this directory was drawn from."""

    directory: Path


@dataclass(frozen=True)
class Between:
    """Calls started at or after `start` and before `end`; None where open."""

    start: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class Matching:
    """Calls the filter matches."""

    where: str


WindowSpec = Exported | Between | Matching


def parse_window(text: str, clock: Clock) -> WindowSpec:
    """Read a window as a person writes it; raise WindowError, which names the four forms."""
    if text.startswith("where:"):
        return Matching(text.removeprefix("where:"))
    if duration := _DURATION.fullmatch(text):
        now = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC)
        span = timedelta(hours=int(duration[1]) * _HOURS[duration[2]])
        return Between(now - span, now)
    if (bounds := parse_range(text)) is not None:
        return bounds
    if (Path(text) / MANIFEST_FILE).is_file():
        return Exported(Path(text))
    raise WindowError(
        f"{text!r} is not a window: give the directory of an export, a range of UTC times "
        "FROM..TO (2026-10-01..2026-11-01), a duration that ends now (36h, 7d, 2w), or where:SQL"
    )


def parse_range(text: str) -> Between | None:
    """Read FROM..TO; None where it is no such thing, WindowError where it ends before it begins."""
    first, dots, last = text.partition("..")
    if not dots or not (first or last):
        return None
    try:
        bounds = Between(_time(first), _time(last))
    except ValueError:
        return None  # not times on both sides: a path such as ../export
    if bounds.start and bounds.end and bounds.start >= bounds.end:
        raise WindowError(f"the window {text!r} ends before it begins")
    return bounds


def load_window(store: TraceStore, project: str, spec: WindowSpec) -> Window:
    """Read a window's calls, one of each group.

    Raises WindowError where an export cannot be read, and what the store raises (FilterError for
    a filter that is not one).
    """
    match spec:
        case Exported(directory):
            return _read_reference(directory)
        case Between(start, end):
            label = f"{iso_time(start) if start else ''}..{iso_time(end) if end else ''}"
            return _load_matching(store, project, label, _range_filter(start, end))
        case Matching(where):
            return _load_matching(store, project, f"where:{where}", where)


class Reservoir:
    """Keep one call of each group, and of many groups those that hash lowest.

    What is kept depends only on the set of calls offered, not on their order: the call of a group
    whose id hashes lowest, and the `groups_max` groups whose ids hash lowest. `rank_max`: groups
    that rank behind are passed over, because another reservoir has no room for them.
    """

    def __init__(self, groups_max: int, rank_max: int | None = None) -> None:
        self.call_count = 0
        self._groups_max = groups_max
        self._rank_max = rank_max
        self._kept: dict[str, tuple[tuple[int, str], Measured]] = {}
        self._worst: list[tuple[int, str]] = []  # a heap of (-rank, group id)

    def offer(self, group_id: str, call_id: str, measure: Callable[[], Measured]) -> None:
        """Count a call, and keep it if it ranks; only then is it measured."""
        self.call_count += 1
        kept = self._kept.get(group_id)
        if kept is None and not self._admit(group_id):
            return
        rank = (_rank(call_id), call_id)
        if kept is None or rank < kept[0]:
            self._kept[group_id] = (rank, measure())

    def rows(self) -> tuple[Measured, ...]:
        return tuple(sorted((row for _, row in self._kept.values()), key=lambda row: row.call_id))

    def add(self, rows: Iterable[Measured], call_count: int) -> None:
        """Take in what another reservoir of other groups has kept."""
        for row in rows:
            self.offer(row.group_id, row.call_id, partial(_same, row))
            self.call_count -= 1
        self.call_count += call_count

    @property
    def rank_max(self) -> int | None:
        """The rank behind which no group gets in any more, None while there is room."""
        return -self._worst[0][0] if len(self._worst) == self._groups_max else None

    def _admit(self, group_id: str) -> bool:
        rank = _rank(group_id)
        if self._rank_max is not None and rank > self._rank_max:
            return False
        entry = (-rank, group_id)
        if len(self._worst) < self._groups_max:
            heapq.heappush(self._worst, entry)
            return True
        if entry <= self._worst[0]:
            return False
        _, evicted = heapq.heapreplace(self._worst, entry)
        del self._kept[evicted]
        return True


def measured(row: CallRow, features: Features) -> Measured:
    """Take of a stored call what a window keeps."""
    return Measured(
        row.id,
        row.group_id,
        # Ten thousand calls name the same two models: one text of each is enough.
        sys.intern(row.request_model),
        sys.intern(row.response_model),
        sys.intern(row.finish_reason),
        features,
    )


def counts_for_drift(row: CallRow | Span) -> bool:
    """Say whether a call is a conversation with a whole answer, which is what windows hold.

    One that nobody made (`synthetic`) is no traffic.
    """
    is_whole = row.outcome is Outcome.COMPLETE and row.endpoint in CONVERSATIONS
    return is_whole and row.source != SYNTHETIC


def _load_matching(store: TraceStore, project: str, label: str, where: str | None) -> Window:
    """Scan the calls a filter matches; see TraceStore.features for the index it uses."""
    reservoir = Reservoir(WINDOW_GROUPS_MAX)
    for page in store.features(project, where):
        for call in page:
            row = call.row
            if counts_for_drift(row):
                reservoir.offer(row.group_id, row.id, partial(measured, row, call.features))
    return Window(label, reservoir.call_count, reservoir.rows())


def _read_reference(directory: Path) -> Window:
    """Read the sample an export left of its train side, proved by the manifest's hash."""
    manifest_path, path = directory / MANIFEST_FILE, directory / REFERENCE_FILE
    try:
        manifest = msgspec.json.decode(manifest_path.read_bytes(), type=_Manifest)
        lines = path.read_bytes()
        rows = tuple(map(_decode_line, lines.splitlines()))
    except OSError as error:
        raise WindowError(f"{directory} is not a whole export: {error}") from error
    except msgspec.MsgspecError as error:
        raise WindowError(f"{directory} was not written by this version: {error}") from error
    if hashlib.sha256(lines).hexdigest() != manifest.reference.sha256:
        raise WindowError(f"{path} was changed since the export: its SHA-256 is not the manifest's")
    return Window(str(directory), manifest.reference.calls, rows)


class _Reference(msgspec.Struct, frozen=True):
    sha256: str
    calls: int


class _Manifest(msgspec.Struct, frozen=True):
    """The part of a manifest that a window needs; exporters.dataset writes the whole."""

    reference: _Reference


_decode_line = msgspec.json.Decoder(Measured).decode


def _time(text: str) -> datetime | None:
    """Read an ISO 8601 time, UTC where it does not say; None for an empty text."""
    if not text:
        return None
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _range_filter(start: datetime | None, end: datetime | None) -> str:
    bounds = [(">=", start), ("<", end)]
    return " and ".join(f"started_at {sign} '{iso_time(time)}'" for sign, time in bounds if time)


def iso_time(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def _same(row: Measured) -> Measured:
    return row


def _rank(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8])
