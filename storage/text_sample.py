"""Of which calls the texts are measured: at least 20,000 a day of each project, by their ids.

A day begins with every call in the sample. Whenever the calls that it has had double beyond twice
CALLS_A_DAY, the sample gets a bit more (storage.terms), so that between one and two times
CALLS_A_DAY of the day's calls would be in a sample of the bits it has by then; those that came
before are in it too. What of a day is measured in all grows with the logarithm of its calls: 84,000
of 336,000, 170,000 of ten million.

Counts are of this recorder: others that write into the same store count their own calls, and a
reader takes the largest bits of them. They are found again at the start, as far as what is stored
tells: the bits of the day's newest sample, or so many calls. What lags then samples more, not less.
"""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Engine, func, select

from storage import database
from storage.capture import Capture
from storage.schema import call, text_feature
from storage.terms import SAMPLE_BITS_MAX, sample_bits_of

CALLS_A_DAY: Final = 21_000  # 20,000, and seven times the standard deviation of a sample of them
DAY_NS: Final = 24 * 3600 * 10**9
DAYS_KNOWN_MAX: Final = 4_096  # of all projects together; an import may bring old ones
SAMPLES_LOOKED_AT: Final = 5_000

_Day = tuple[str, int]  # of a project: its number since 1970


class TextSample:
    """Counts the calls of projects and days, and says of which the texts are measured."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._counts: dict[_Day, int] = {}

    def prepare(self, captures: Iterable[Capture]) -> None:
        """Find out how many calls the days of these calls have had. Two queries a new day.

        Raise StoreUnavailable where trying again later will do.
        """
        for project, day in sorted({_day_of(capture) for capture in captures}):
            if (project, day) not in self._counts:
                if len(self._counts) >= DAYS_KNOWN_MAX:
                    del self._counts[next(iter(self._counts))]
                self._counts[project, day] = self._stored_count(project, day)

    def bits_for(self, capture: Capture) -> int | None:
        """Count a call; return the bits of the sample that it is in, None where it is in none."""
        day = _day_of(capture)
        count = self._counts.get(day, 0)
        self._counts[day] = count + 1
        bits = bits_after(count)
        return bits if bits == 0 or sample_bits_of(capture.id) >= bits else None

    def _stored_count(self, project: str, day: int) -> int:
        """Estimate from below how many calls of a day are stored.

        Primary key of `text_feature`, then index (project, id), both within the day; reads
        SAMPLES_LOOKED_AT rows and 2 * CALLS_A_DAY index entries at most.
        """
        start, end = (f"{number * DAY_NS // 1_000_000:012x}" for number in (day, day + 1))
        ids = text_feature.c.call_id
        newest = (
            select(ids, text_feature.c.sample_bits)
            .where(ids >= start, ids < end)
            .order_by(ids.desc())
            .limit(SAMPLES_LOOKED_AT)
            .subquery()
        )
        bits_there = (
            select(newest.c.sample_bits)
            .join(call, call.c.id == newest.c.call_id)
            .where(call.c.project == project)
            .order_by(newest.c.call_id.desc())
            .limit(1)
        )
        calls = select(call.c.id).where(
            call.c.project == project, call.c.id >= start, call.c.id < end
        )
        with database.reading(self._engine) as connection:
            bits = connection.scalar(bits_there) or 0
            counted = select(func.count()).select_from(calls.limit(2 * CALLS_A_DAY).subquery())
            return max(connection.scalar(counted) or 0, CALLS_A_DAY << bits if bits else 0)


def bits_after(count: int) -> int:
    """Say how many bits the sample has once a day has had so many calls."""
    return min(max((count // CALLS_A_DAY).bit_length() - 1, 0), SAMPLE_BITS_MAX)


def _day_of(capture: Capture) -> _Day:
    return capture.project, capture.started_at_ns // DAY_NS
