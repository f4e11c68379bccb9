"""Windows judged again and again over time: streams of batches, and weeks with a rhythm.

A stream is 48 batches of 500 calls against one reference of 5,000; after each batch the last 4 are
judged together, and the last 16, each window with half of alpha. A window of one batch would spend
its share in vain: 25 calls of a near topic are not to be seen in 500. In a stream with a step 5 %
of the calls are of a near topic from the 13th batch on. An alarm before the step is false.

The weeks: eight of traffic that repeats itself, after four that are the reference. By day it is ten
times as much as by night, weekends bring a third of it, and each hour has a mix of its own: another
template and longer prompts at weekends, another model at night, another tool by day. The default
monitor looks every hour, at an hour, a day and a week. In a ninth week a share of the prompts names
a new year.
"""

import functools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from benchmarks.drift_calls import Call
from benchmarks.drift_pools import IntArray, Pool, cached, measured, pool_of, whole_window
from exporters.drift import ALPHA, compare
from exporters.windows import REFERENCE_GROUPS_MAX, Measured, Window, take
from tests.exporters.calls import Traffic

REFERENCE: Final = 5_000
BATCHES: Final = 48
BATCH: Final = 500
STEP_AT: Final = 12
STEP_RATIO: Final = 0.05
POOLED: Final = (4, 16)
STREAM_ALPHA: Final = 0.002  # of each time that all windows are judged

REFERENCE_WEEKS: Final = 4
WEEKS: Final = 8
DRIFT_RATIO: Final = 0.05
CALLS_AT_NOON: Final = 300
HOURS: Final = 168
HOUR_MICROSECONDS: Final = 3_600_000_000
MONDAY: Final = 1_767_571_200 * 1_000_000  # 2026-01-05, 0:00 UTC
WINDOWS: Final = {"1h": 1, "1d": 24, "7d": HOURS}  # those of a monitor, in hours


@dataclass(frozen=True)
class Stream:
    """The first batch that alarmed, from 0; None where none did."""

    stepped: bool
    alarm_at: int | None

    @property
    def found(self) -> bool:
        return self.stepped and self.alarm_at is not None and self.alarm_at >= STEP_AT

    @property
    def false(self) -> bool:
        return self.alarm_at is not None and not (self.stepped and self.alarm_at >= STEP_AT)


def run_streams(stepped: bool, seed: int, scratch: Path, numbers: range) -> list[Stream]:
    """Run some of the streams, each until it alarms."""
    pool = pool_of("requests", scratch)
    return [run_stream(pool, stepped, seed, number) for number in numbers]


def run_stream(pool: Pool, stepped: bool, seed: int, number: int) -> Stream:
    """Judge the batches of one stream of requests until one alarms."""
    chance = np.random.default_rng([seed, number, stepped])
    base = chance.permutation(pool.members["requests"])
    near = chance.permutation(pool.members["near"])
    reference = take(pool.window, base[:REFERENCE], "reference")
    batches: list[IntArray] = []
    at, near_at = REFERENCE, 0
    for batch in range(BATCHES):
        planted = chance.binomial(BATCH, STEP_RATIO) if stepped and batch >= STEP_AT else 0
        rows = (base[at : at + BATCH - planted], near[near_at : near_at + planted])
        at, near_at = at + BATCH - planted, near_at + planted
        batches.append(np.concatenate(rows))
        for pooled in POOLED:
            if len(batches) < pooled:
                continue
            current = take(pool.window, np.concatenate(batches[-pooled:]), "current")
            if compare(reference, current, alpha=STREAM_ALPHA / len(POOLED)).verdict == "drift":
                return Stream(stepped, batch)
    return Stream(stepped, None)


@dataclass(frozen=True)
class Hour:
    """One hour of the monitor: which of its windows alarmed."""

    number: int
    alarmed: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Timeline:
    """Thirteen weeks of calls in order of time. `starts[hour]`: the first row of an hour."""

    window: Window
    starts: IntArray


def run_hours(hours: range, seed: int, scratch: Path, part: range) -> list[Hour]:
    """Judge the windows that end with each of some hours, counted from the reference's end."""
    timeline = load_timeline(seed, scratch)
    first = REFERENCE_WEEKS * HOURS
    chance = np.random.default_rng([seed, first])
    kept = chance.permutation(timeline.starts[first])[:REFERENCE_GROUPS_MAX]
    reference = take(timeline.window, kept, "reference")
    judged = []
    for hour in (hours[each] for each in part):
        alarmed = []
        for name, length in WINDOWS.items():
            # Windows begin where the reference ends: what was before is the reference itself.
            begin = first + max(0, hour + 1 - length)
            rows = np.arange(timeline.starts[begin], timeline.starts[first + hour + 1])
            current = take(timeline.window, rows, name)
            if compare(reference, current, alpha=ALPHA / len(WINDOWS)).verdict == "drift":
                alarmed.append(name)
        judged.append(Hour(hour, tuple(alarmed)))
    return judged


def episodes(hours: Sequence[Hour]) -> int:
    """Count the alarms: a window that alarms hour after hour is one."""
    count = 0
    before: tuple[str, ...] = ()
    for hour in hours:
        count += sum(name not in before for name in hour.alarmed)
        before = hour.alarmed
    return count


@functools.lru_cache(maxsize=1)
def load_timeline(seed: int, scratch: Path) -> Timeline:
    """Return thirteen weeks of made traffic; the last has a new year in it."""
    return cached(f"weeks-{seed}", scratch, lambda: _make_timeline(seed))


def _make_timeline(seed: int) -> Timeline:
    chance = random.Random(seed)
    hours = (REFERENCE_WEEKS + WEEKS + 1) * HOURS
    rows: list[Measured] = []
    starts = [0]
    for hour in range(hours):
        rows += _hour(hour, len(rows), chance)
        starts.append(len(rows))
    return Timeline(whole_window(rows, "weeks"), np.array(starts))


def _hour(hour: int, first: int, chance: random.Random) -> Iterator[Measured]:
    of_day, weekend = hour % 24, hour % HOURS >= 5 * 24
    by_day = math.exp(-(((of_day - 13) / 4.5) ** 2))
    mean = CALLS_AT_NOON * (0.1 + 0.9 * by_day) * (0.33 if weekend else 1)
    traffic = Traffic(
        new_year_ratio=DRIFT_RATIO if hour >= (REFERENCE_WEEKS + WEEKS) * HOURS else 0,
        new_tool_ratio=0.15 * by_day,
        new_model_ratio=0.3 * (1 - by_day),
        new_template_ratio=0.4 if weekend else 0.05,
        longer_by=0.4 if weekend else 0,
    )
    for number in range(round(max(0, chance.gauss(mean, math.sqrt(mean))))):
        call = Call("", 0, traffic.understood(chance))
        row = measured(call, f"{first + number:032x}", chance)
        at = MONDAY + hour * HOUR_MICROSECONDS + chance.randrange(HOUR_MICROSECONDS)
        yield msgspec.structs.replace(row, started_at=at)
