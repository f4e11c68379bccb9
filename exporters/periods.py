"""Which calls a window is of, as a person writes it.

DIR              what an export was drawn from: its train side
FROM..TO         calls started in a half-open range of UTC times, ISO 8601; either may be empty
7d, 36h, 2w      the last so many days, hours, weeks, up to now
previous         a span as long as the other window's, and just before it
where:SQL        calls the filter matches
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from exporters.manifest_reading import MANIFEST_FILE
from exporters.windows import WindowError
from storage.capture import Clock

PREVIOUS = "previous"

_DURATION = re.compile(r"([1-9][0-9]{0,4})(h|d|w)")
_HOURS = {"h": 1, "d": 24, "w": 168}


@dataclass(frozen=True)
class Exported:
    """What the export in this directory was drawn from."""

    directory: Path


@dataclass(frozen=True)
class Between:
    """Calls started at or after `start` and before `end`, None where open, that a filter matches.

    Of groups that began in that time: `where` is what their first call matches, too. Empty: any.
    """

    start: datetime | None
    end: datetime | None
    where: str = ""


@dataclass(frozen=True)
class Matching:
    """Calls the filter matches."""

    where: str


@dataclass(frozen=True)
class Previous:
    """As long a time as that of the window it is compared with, ending where that begins."""


WindowSpec = Exported | Between | Matching | Previous


def parse_window(text: str, clock: Clock) -> WindowSpec:
    """Read a window as a person writes it; raise WindowError, which names the forms."""
    if text == PREVIOUS:
        return Previous()
    if text.startswith("where:"):
        return Matching(text.removeprefix("where:"))
    if duration := _DURATION.fullmatch(text):
        now = datetime.fromtimestamp(-(-clock.wall_ns() // 10**9), UTC)  # no call of now is after
        span = timedelta(hours=int(duration[1]) * _HOURS[duration[2]])
        return Between(now - span, now)
    if (bounds := parse_range(text)) is not None:
        return bounds
    if (Path(text) / MANIFEST_FILE).is_file():
        return Exported(Path(text))
    if text.strip(".") and Path(text).is_dir():
        raise WindowError(f"{text!r} holds no export: it has no {MANIFEST_FILE}")
    raise WindowError(
        f"{text!r} is not a window: there is no such directory; give that of an export, a range of "
        "UTC times FROM..TO (2026-10-01..2026-11-01), a duration that ends now (36h, 7d, 2w), "
        "previous, or where:SQL"
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


def before(current: WindowSpec) -> Between:
    """Return the time before a window, as long as it; WindowError if that is no range of time."""
    if not isinstance(current, Between) or current.start is None or current.end is None:
        raise WindowError(
            f"{PREVIOUS!r} is as long as the window it stands before: give that a beginning and an "
            "end, such as 7d or 2026-10-01..2026-11-01"
        )
    return Between(current.start - (current.end - current.start), current.start)


def range_text(bounds: Between) -> str:
    """Write the times of a range as `parse_range` reads them."""
    return "..".join(iso_time(time) if time else "" for time in (bounds.start, bounds.end))


def range_filter(bounds: Between) -> str | None:
    """Write a range of times and its filter as a filter; None if it is open and has none."""
    ends = [(">=", bounds.start), ("<", bounds.end)]
    said = [f"started_at {sign} '{iso_time(time)}'" for sign, time in ends if time]
    if bounds.where:
        said.append(f"({bounds.where})")
    return " and ".join(said) or None


def iso_time(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def _time(text: str) -> datetime | None:
    """Read an ISO 8601 time, UTC where it does not say; None for an empty text."""
    if not text:
        return None
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
