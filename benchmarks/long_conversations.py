"""Conversations that go on for longer than a window: what alarms where nothing changed.

    python -m benchmarks.long_conversations [--groups 1500] [--hours 30] [--seed 1] [--scheduled]

So many groups begin each hour, the same in every hour. Seven of ten are one call; three of ten go
on for twelve hours, a turn an hour or so, with words and a tool of their own, and their requests
grow. With `--scheduled` all of them are one call, and besides a tenth as many prompts are sent
again in every hour, without a session, as by a job that runs each hour; one in three of them at
once a second time, as by a client that tries again. What an export of the time before leaves is the
reference; each of twelve later hours is a window of 1 hour, and the day they end a window of a day,
at the default alpha. (Hours have the same traffic: for the cycle of a day see drift_streams.)

Each window is loaded in both ways: `begun` as the product does it, the groups that began in it, and
`every` group that has a call in it, which is what a window of a filter is. Bars: no alarm of
`begun`; and where in the last hour one call in ten names another model, in the middle of long
conversations as in others, that hour alarms. Beside it the CPU time of loading, and their ratio.
Exits with 1 where a bar is not met. At the default size it takes some two minutes of CPU, and so it
does with `--scheduled --groups 300 --hours 280`: such prompts need a reference of ten days, for the
first day of a shorter one has all of them at once.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import insert

from benchmarks.window_limits import columns_of
from exporters.columns import names_of, window_of
from exporters.drift import compare
from exporters.loading import load_window
from exporters.periods import Between, Matching, range_filter
from exporters.reference import BEGINNING_DAYS_MIN, measure
from exporters.reservoir import choose_calls
from exporters.windows import REFERENCE_GROUPS_MAX, Measured, Window
from storage import database
from storage.capture import Outcome, SystemClock
from storage.rows import Values, time_of
from storage.schema import call, text_feature, tool_set
from storage.store import TraceStore
from storage.trace import Choice, Message, Tool, Understood
from tests.exporters.calls import span_of

HOUR_MS: Final = 3_600_000
START_MS: Final = 497_000 * HOUR_MS  # a whole hour of September 2026
LONG_RATIO: Final = 0.3
TURNS: Final = 12
WINDOWS: Final = 12
REPLACED_RATIO: Final = 0.1
SCHEDULED_RATIO: Final = 0.1
RETRIED_RATIO: Final = 1 / 3
KINDS: Final = 300  # texts of each kind of call and turn; the calls repeat them
INSERTED_AT_ONCE: Final = 5_000


class Text:
    """Calls that differ: of one turn, and those of every turn of a long conversation."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        names = [f"{self._chance.choice('bdgklmnprst')}{number:x}" for number in range(6_000)]
        self._words = (names[:4_000], names[2_000:])
        self._weights = [1 / (number + 2) for number in range(4_000)]
        self.short = [self._call(1) for _ in range(KINDS)]
        self.long = [[self._call(turn + 1, 1) for _ in range(KINDS)] for turn in range(TURNS)]

    def _call(self, turns: int, topic: int = 0) -> Measured:
        history = [
            Message(role, self._text(topic))
            for _ in range(turns - 1)
            for role in ("user", "assistant")
        ]
        tools = (Tool("look_up", "Find a customer", {"type": "object"}),) if topic else ()
        return measure(
            "",
            span_of(
                Understood(
                    request_model="tiny-1",
                    response_model="tiny-1-0613",
                    messages=(*history, Message("user", self._text(topic))),
                    tools=tools,
                    choices=(Choice(Message("assistant", self._text(topic)), "stop"),),
                    ended=True,
                )
            ),
        )

    def _text(self, topic: int) -> str:
        count = max(3, round(self._chance.lognormvariate(3, 0.5)))
        return " ".join(self._chance.choices(self._words[topic], self._weights, k=count))


def traffic(groups: int, hours: int, seed: int, *, is_scheduled: bool) -> Iterator[Measured]:
    """Make the calls of so many hours, in no order; the last hour has a model replaced."""
    chance = random.Random(seed)
    last_us = (START_MS + (hours - 1) * HOUR_MS) * 1000
    planned = _scheduled(groups, hours, chance) if is_scheduled else _long(groups, hours, chance)
    for number, at, row in planned:
        if at < START_MS + hours * HOUR_MS:
            row = msgspec.structs.replace(
                row,
                call_id=f"{int(at):012x}{chance.getrandbits(80):020x}",
                group_id=f"{number * 0x9E3779B97F4A7C15:064x}",
                started_at=int(at) * 1000,
            )
            if row.started_at >= last_us and chance.random() < REPLACED_RATIO:
                row = msgspec.structs.replace(row, response_model="tiny-2-0613")
            yield row


def _long(groups: int, hours: int, chance: random.Random) -> Iterator[tuple[int, float, Measured]]:
    text = Text(chance)
    for number in range(groups * hours):
        at = float(START_MS + number * HOUR_MS // groups)
        for kinds in text.long if chance.random() < LONG_RATIO else [text.short]:
            yield number, at, chance.choice(kinds)
            at += HOUR_MS * chance.uniform(0.6, 1.4)


def _scheduled(
    groups: int, hours: int, chance: random.Random
) -> Iterator[tuple[int, float, Measured]]:
    text = Text(chance)
    for number in range(groups * hours):
        yield number, START_MS + number * HOUR_MS / groups, chance.choice(text.short)
    for job in range(round(groups * SCHEDULED_RATIO)):
        row, minute = chance.choice(text.long[0]), chance.random()
        for hour in range(hours):
            at = START_MS + (hour + minute) * HOUR_MS
            yield groups * hours + job, at, row
            if chance.random() < RETRIED_RATIO:
                yield groups * hours + job, at + 2_000, row


def fill(store: TraceStore, rows: list[Measured]) -> None:
    """Write what windows read, as the recorder does."""
    empty: Values = {column.name: "" if column.type.python_type is str else 0 for column in call.c}
    same = {
        "project": "default",
        "endpoint": "chat_completions",
        "outcome": Outcome.COMPLETE.value,
        "group_source": "root",
        "side": "train",
        "source": "relay",
    }
    sets = {row.features.tools_hash: row.tools for row in rows}
    with database.writing(store.engine) as connection:
        offered = [{"tools_hash": each, "tools": tools} for each, tools in sets.items()]
        connection.execute(insert(tool_set), offered)
    for start in range(0, len(rows), INSERTED_AT_ONCE):
        part = rows[start : start + INSERTED_AT_ONCE]
        calls = [
            {
                **empty,
                **same,
                **{name: getattr(row, name) for name in names_of("call")},
                "id": row.call_id,
                "group_id": row.group_id,
                "started_at": row.started_at,
                **msgspec.structs.asdict(row.features),
            }
            for row in part
        ]
        with database.writing(store.engine) as connection:
            connection.execute(insert(call), calls)
            texts = [columns_of(row.call_id, row.text) for row in part if row.text is not None]
            connection.execute(insert(text_feature), texts)


def reference_of(rows: list[Measured]) -> Window:
    """Choose calls as an export does for the sample it leaves."""
    offered = [(row.call_id, row.group_id, row.started_at) for row in rows]
    times = [row.started_at for row in rows]
    day_us = 24 * HOUR_MS * 1000
    is_long = max(times) - min(times) >= BEGINNING_DAYS_MIN * day_us
    went_on = {row.group_id for row in rows if is_long and row.started_at < min(times) + day_us}
    chosen, call_count = choose_calls([offered], REFERENCE_GROUPS_MAX, went_on.intersection)
    by_id = {row.call_id: row for row in rows}
    return window_of([by_id[call_id] for call_id in chosen], "reference", call_count)


def span(first: int, last: int) -> Between:
    start, end = (time_of((START_MS + hour * HOUR_MS) * 1000) for hour in (first, last))
    return Between(start, end)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=1_500)
    parser.add_argument("--hours", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scheduled", action="store_true")
    given = parser.parse_args()
    hours = given.hours
    rows = list(traffic(given.groups, hours, given.seed, is_scheduled=given.scheduled))
    before = (START_MS + (hours - WINDOWS - 1) * HOUR_MS) * 1000
    reference = reference_of([row for row in rows if row.started_at < before])
    print(f"seed {given.seed}: {len(rows):,} calls, {given.groups:,} groups begin each hour")
    with tempfile.TemporaryDirectory() as name:
        store = TraceStore(f"sqlite:///{Path(name) / 'store.sqlite'}", clock=SystemClock())
        store.upgrade()
        fill(store, rows)
        failed = run(store, reference, hours)
        store.close()
    sys.exit(failed)


def run(store: TraceStore, reference: Window, hours: int) -> bool:
    """Compare every window in both ways; say whether a bar is not met."""
    spans = [span(hour, hour + 1) for hour in range(hours - WINDOWS - 1, hours - 1)]
    spans += [span(hours - 1 - 24, hours - 1), span(hours - 1, hours)]
    alarms = {"begun": 0, "every": 0}
    seconds = dict.fromkeys(alarms, 0.0)
    found = ""
    for each in spans:
        for way in alarms:
            spec = each if way == "begun" else Matching(range_filter(each) or "")
            began = time.process_time()
            window = load_window(store, "default", spec)
            seconds[way] += time.process_time() - began
            report = compare(reference, window)
            says = f"{len(window):,} groups, {report.verdict}: {report.why}"
            print(f"{each.start:%d %H:%M} {way}: {says}")
            if each is not spans[-1]:
                alarms[way] += report.verdict == "drift"
            elif way == "begun":
                found = report.why if report.verdict == "drift" else ""
    count = len(spans) - 1
    ratio = seconds["begun"] / seconds["every"]
    print(f"alarms: begun {alarms['begun']} of {count}, every {alarms['every']} of {count}")
    print(f"loading: {seconds['begun']:.2f} s against {seconds['every']:.2f} s, ratio {ratio:.2f}")
    print(f"a model replaced on {REPLACED_RATIO:.0%}: {'found' if found else 'missed'}")
    return alarms["begun"] > 0 or "response_model" not in found


if __name__ == "__main__":
    main()
