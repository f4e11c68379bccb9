"""What came out of the last evaluations of the monitors, in one small file.

Whoever watches writes it, whole or not at all; the console reads it for a page, for a script, and
at every scrape: nothing is computed then. It outlives restarts, so counters go on and a monitor is
not evaluated again before its time.

Limits: MONITORS_MAX monitors of WINDOWS_MAX windows with some 60 features: 1 MB at worst, 20 KB for
one monitor. A file that cannot be understood counts as none: the next evaluation makes it anew.
"""

import hashlib
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

import msgspec

from shalt.monitors import Monitor

STATE_VERSION: Final = 1


class Reason(StrEnum):
    """Why an evaluation failed."""

    REFERENCE = "reference"  # it is not there, or cannot be read
    FILTER = "filter"
    VERSIONS = "versions"  # calls of the two sides were measured differently
    STORE = "store"
    MEMORY = "memory"
    TIME = "time"
    DIED = "died"
    ERROR = "error"


# As exporters.drift has them, which is not loaded here: the console stays small.
Verdict = Literal["quiet", "drift", "insufficient"]
Side = Literal["prompt", "answer", "call"]


class FeatureState(msgspec.Struct, frozen=True):
    """One feature: its effect and the least that its interval allows, both 0..1."""

    side: Side
    feature: str
    effect: float
    lower: float
    drift: bool


class ClassifierState(msgspec.Struct, frozen=True):
    """How well one side is told from the reference, and the share of it that is surely new."""

    side: Side
    auc: float
    novel: float


class WindowState(msgspec.Struct, frozen=True):
    """The last evaluation of one window. Times are seconds since 1970; `until` ends the window."""

    verdict: Verdict
    why: str
    alpha: float
    until: float
    finished_at: float
    seconds: float
    reference_groups: int
    current_groups: int
    features: tuple[FeatureState, ...]
    classifiers: tuple[ClassifierState, ...]
    unseen: dict[str, float]  # feature -> share of the window's calls with a value never seen
    report_id: str = ""


class ReferenceState(msgspec.Struct, frozen=True):
    """What is compared with; `dataset` is the name of an export's directory, or the range.

    `created_at`: when its newest call started, 0 where there is none. A manifest holds no time of
    the export, so that equal exports are equal bytes.
    """

    dataset: str
    created_at: float
    manifest_sha256: str
    feature_version: int


class Evaluated(msgspec.Struct, frozen=True):
    """What one run for a monitor gave: of each window its state, or why there is none.

    `known`: of the features whose unseen values are watched, every value that the reference has.
    `failed` is empty where a window was not asked for; `failure` is of the whole run.
    """

    reference: ReferenceState | None = None
    known: dict[str, tuple[str, ...]] = {}
    windows: dict[str, WindowState] = {}
    failed: dict[str, "Failure"] = {}
    failure: "Failure | None" = None


class Failure(msgspec.Struct, frozen=True):
    """Why an evaluation failed, in one word and in a sentence."""

    reason: Reason
    message: str


class Tally(msgspec.Struct):
    """Evaluations of one window that ended well, those that did not, and what was said last."""

    evaluations: int = 0
    failures: dict[Reason, int] = {}
    last_error: str = ""

    def fail(self, failure: Failure) -> None:
        """Count a failure."""
        self.failures[failure.reason] = self.failures.get(failure.reason, 0) + 1
        self.last_error = failure.message


class MonitorState(msgspec.Struct):
    """One monitor. `definition` tells when another monitor took its name; `due_at`: seconds."""

    definition: str
    due_at: float = 0.0
    reference: ReferenceState | None = None
    windows: dict[str, WindowState] = {}
    tallies: dict[str, Tally] = {}
    unseen: dict[str, dict[str, float]] = {}  # window -> feature -> share, as of the last look


class WatchState(msgspec.Struct):
    """All monitors, by name."""

    version: Literal[1] = STATE_VERSION
    monitors: dict[str, MonitorState] = {}


_decode = msgspec.json.Decoder(WatchState).decode


def read_state(path: Path) -> WatchState:
    """Read the state; an empty one where there is none, or none that this version understands."""
    try:
        return _decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return WatchState()


encode_state = msgspec.json.Encoder().encode


def new_state(monitor: Monitor) -> MonitorState:
    """Begin the state of a monitor: each of its windows has a tally, all zero."""
    return MonitorState(definition_of(monitor), tallies={each: Tally() for each in monitor.windows})


def definition_of(monitor: Monitor) -> str:
    """Hash what a monitor is: one of the same name that compares otherwise is another."""
    return hashlib.sha256(monitor.model_dump_json().encode()).hexdigest()[:16]
