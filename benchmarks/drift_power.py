"""How often unchanged traffic alarms, and how surely planted changes are found.

    python -m benchmarks.drift_power [--repeats 400] [--seed 1]

Windows are drawn without replacement from pools of calls of our own generator, so two windows of
one pool are exactly the null hypothesis. Each line gives the share of comparisons with verdict
`drift`, its 95 % interval (Wilson), and what it is to be held against: the nominal alpha for
unchanged traffic, the bar for a planted change. `p only` counts the comparisons in which some
corrected p-value was below alpha, before the floors had their say.
Windows of 10,000 calls are repeated a tenth as often.
"""

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from exporters import columns
from exporters.drift import ALPHA, compare
from exporters.reservoir import Reservoir
from exporters.statistics import wilson
from exporters.windows import Measured, Window
from tests.exporters.calls import Traffic, window

POOL_COUNT: Final = 40_000
CHANGED_COUNT: Final = 4_000
RESENDS: Final = 5
CALLS_PER_REPEAT_MAX: Final = 10_000  # beyond this many calls a side, repeat a tenth as often

Draw = Callable[[random.Random], tuple[Window, Window]]


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    name: str
    count: int  # calls a side
    alpha: float
    bar: str
    draw: Draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, pool of {POOL_COUNT:,} calls")
    print(f"{'case':<44}{'calls':>7}{'alpha':>7}{'drift':>12}{'interval':>17}{'p only':>8}  bar")
    for case in cases(arguments.seed):
        repeats = arguments.repeats
        if case.count >= CALLS_PER_REPEAT_MAX:
            repeats = max(1, repeats // 10)
        run(case, repeats, arguments.seed)
    time_comparison(arguments.seed)


def run(case: Case, repeats: int, seed: int) -> None:
    """Repeat a comparison and print the share that found drift."""
    chance = random.Random(f"{case.name} {case.count} {seed}")
    found = significant = 0
    for _ in range(repeats):
        report = compare(*case.draw(chance), alpha=case.alpha)
        found += report.verdict == "drift"
        significant += any(outcome.p_adjusted < case.alpha for outcome in report.outcomes)
    interval = wilson(found, repeats, 0.95)
    print(
        f"{case.name:<44}{case.count:>7,}{case.alpha:>7g}{f'{found}/{repeats}':>12}"
        f"{f'{interval.lower:.1%} to {interval.upper:.1%}':>17}{significant:>8}  {case.bar}",
        flush=True,
    )


def cases(seed: int) -> list[Case]:
    """List the unchanged windows first, then the planted changes of the drift targets."""
    pool = list(window(Traffic(), POOL_COUNT, seed).rows)
    listed = [
        Case("unchanged", count, alpha, f"<= {alpha:g}", null_draw(pool, count))
        for alpha in (0.05, ALPHA)
        for count in (200, 1_000, 10_000)
    ]
    resent = resent_draw(pool, 1_000)
    listed += [
        Case("unchanged, resent 5 times, one call a group", 1_000, 0.05, "<= 0.05", resent(True)),
        Case("unchanged, resent 5 times, every call", 1_000, 0.05, "(for contrast)", resent(False)),
    ]
    planted = [
        ("year 2023 to 2024 on 10 %", Traffic(new_year_ratio=1), 0.10, 200, ">= 95 %"),
        ("year 2023 to 2024 on 2 %", Traffic(new_year_ratio=1), 0.02, 1_000, ">= 95 %"),
        ("template sentence on 5 %", Traffic(new_template_ratio=1), 0.05, 1_000, ">= 95 %"),
        ("new tool schema on 1 %", Traffic(new_tool_ratio=1), 0.01, 10_000, ">= 95 %"),
        ("response model changed on 5 %", Traffic(new_model_ratio=1), 0.05, 1_000, "(none set)"),
        ("prompts longer by 0.3 sd, all", Traffic(longer_by=0.3), 1.0, 1_000, "(none set)"),
        ("prompts longer by 0.5 sd, all", Traffic(longer_by=0.5), 1.0, 1_000, "(none set)"),
        ("prompts longer by 0.3 sd, all", Traffic(longer_by=0.3), 1.0, 10_000, "(none set)"),
    ]
    for name, traffic, ratio, count, bar in planted:
        changed_count = max(CHANGED_COUNT, int(ratio * count) * 2)
        changed = list(window(traffic, changed_count, seed + 1).rows)
        listed.append(Case(name, count, ALPHA, bar, planted_draw(pool, changed, ratio, count)))
    return listed


def null_draw(pool: Sequence[Measured], count: int) -> Draw:
    def draw(chance: random.Random) -> tuple[Window, Window]:
        rows = chance.sample(pool, 2 * count)
        return window_of(rows[:count]), window_of(rows[count:])

    return draw


def planted_draw(
    pool: Sequence[Measured], changed: Sequence[Measured], ratio: float, count: int
) -> Draw:
    def draw(chance: random.Random) -> tuple[Window, Window]:
        planted = round(ratio * count)
        rows = chance.sample(pool, 2 * count - planted)
        current = rows[count:] + chance.sample(changed, planted)
        return window_of(rows[:count]), window_of(current)

    return draw


def resent_draw(pool: Sequence[Measured], count: int) -> Callable[[bool], Draw]:
    """Draw conversations each of whose calls was sent RESENDS times under a group of its own."""

    def resend(rows: Sequence[Measured], one_per_group: bool) -> Window:
        reservoir = Reservoir(POOL_COUNT)
        for row in rows:
            for time_sent in range(RESENDS):
                group_id = row.call_id if one_per_group else f"{row.call_id} {time_sent}"
                sent = msgspec.structs.replace(
                    row, call_id=f"{row.call_id[1:]}{time_sent}", group_id=group_id
                )
                reservoir.offer(group_id, sent.call_id, lambda sent=sent: sent)  # type: ignore[misc]
        return columns.window_of(reservoir.rows(), "", reservoir.call_count)

    def choose(one_per_group: bool) -> Draw:
        def draw(chance: random.Random) -> tuple[Window, Window]:
            rows = chance.sample(pool, 2 * count)
            return resend(rows[:count], one_per_group), resend(rows[count:], one_per_group)

        return draw

    return choose


def window_of(rows: Sequence[Measured]) -> Window:
    return columns.window_of(rows, "")


def time_comparison(seed: int) -> None:
    """Print the CPU seconds of comparing windows whose features are in memory."""
    for count in (10_000, 100_000):
        reference = window(Traffic(), count, seed)
        current = window(Traffic(new_year_ratio=0.1), count, seed + 1)
        started = time.process_time()
        compare(reference, current)
        print(f"{count:,} against {count:,} groups: {time.process_time() - started:.2f} s CPU")


if __name__ == "__main__":
    main()
