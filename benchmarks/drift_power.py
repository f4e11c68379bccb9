"""How often unchanged traffic alarms, and how surely planted changes are found; Evidently beside.

    python -m benchmarks.drift_power [--rival PYTHON] [--quick] [--seed 1] [--processes 2]
                                     [--only TEXT] [--scratch DIRECTORY]

The bars are those of docs/drift.md. Each line gives the share of comparisons with verdict `drift`
and its 95 % interval (Wilson), against its bar; `at .001` is the share that would have alarmed at
the default alpha too, `p only` the share in which a corrected p-value was below alpha, before the
floors had their say. Windows are drawn without replacement from pools of real texts where
../shared/data lies beside the checkout, and from our own generator (lines with `made`) always: two
windows of one mix are exactly the null hypothesis. Then streams, weeks, conversations sent again,
the first call of a kind, and what it all costs.

`--rival` is a Python with `evidently<0.8 pandas<3`: Evidently judges the first windows of the same
draws by its defaults, a text column with ten numeric descriptors, or the categories in question.
`text`, `number` and `category` say whether any such column drifted, `dataset` whether half did; the
ratio is ours over theirs in the column marked with a star.

Everything takes some two hours of CPU, half of it the streams; `--quick` a tenth of the repeats.
Exits with 1 where a bar is not met. Pools and the rival's verdicts stay in the scratch directory
for the next run.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from threadpoolctl import threadpool_limits

from benchmarks import drift_costs, drift_resent, drift_streams
from benchmarks.drift_calls import POOL, kinds
from benchmarks.drift_cases import Case, cases
from benchmarks.drift_pools import pool_of
from benchmarks.drift_streams import WEEKS, run_hours, run_streams
from benchmarks.drift_trials import (
    Trial,
    first_call_is_unseen,
    run_rival,
    run_trials,
)
from exporters.statistics import wilson

STREAMS: Final = (200, 100)  # without a step, with one
STREAM_BAR: Final = 0.80
RESENT_REPEATS: Final = 400
FIRST_CALLS: Final = 100
CHUNK: Final = 10  # repeats that a process does before it takes others

T = TypeVar("T")
failures: list[str] = []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rival", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="lines and parts whose names hold this text")
    parser.add_argument(
        "--scratch", type=Path, default=Path(tempfile.gettempdir()) / "shalt-drift-power"
    )
    arguments = parser.parse_args()
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    print(f"seed {arguments.seed}, real texts: {POOL.exists()}")
    with ProcessPoolExecutor(
        arguments.processes, initializer=threadpool_limits, initargs=(1,)
    ) as pool:
        bench = Bench(
            pool, arguments.seed, arguments.scratch, arguments.rival, 10 if arguments.quick else 1
        )
        list(pool.map(_measure, kinds(), [arguments.scratch] * len(kinds())))
        for case in cases(real=POOL.exists()):
            if arguments.only in case.title:
                bench.run(case)
        for name, part in (
            ("first call", bench.run_first_calls),
            ("resent", bench.run_resent),
            ("streams", bench.run_streams),
            ("weeks", bench.run_weeks),
            ("costs", bench.run_costs),
        ):
            if arguments.only in name:
                part()
    for failure in failures:
        print(f"not met: {failure}")
    sys.exit(bool(failures))


class Bench:
    """What every part of a run shares. `thin`: by how much the numbers of repeats are divided."""

    def __init__(
        self, pool: Executor, seed: int, scratch: Path, rival: Path | None, thin: int
    ) -> None:
        self._pool = pool
        self._seed = seed
        self._scratch = scratch
        self._rival = rival
        self._thin = thin

    def run(self, case: Case) -> None:
        """Print the line of a case, and what the rival says of its windows."""
        repeats = max(10, case.repeats // self._thin)
        trials = self._spread(repeats, run_trials, case, self._seed, self._scratch)
        found = sum(trial.drift for trial in trials)
        line = _line(case.title, found, repeats, case.bar, unchanged=case.unchanged)
        sure = sum(trial.sure for trial in trials) / repeats
        chance = sum(trial.chance for trial in trials) / repeats
        _print(f"{line}  at .001 {sure:4.0%}  p only {chance:4.0%}")
        features = Counter(name for trial in trials for name in trial.features)
        if features:
            _print("    by " + ", ".join(f"{name} {n}" for name, n in features.most_common(6)))
        if case.year:
            _line_check(f"{case.title}: terms name {case.year}", trials)
        if self._rival and case.rival:
            self._run_rival(case, self._rival, found / repeats)

    def _run_rival(self, case: Case, python: Path, ours: float) -> None:
        assert case.rival
        repeats = max(5, case.rival.repeats // self._thin)
        judged = self._pool.submit(
            run_rival, case, case.rival, self._seed, repeats, self._scratch, python
        ).result()
        shares = {
            name: sum(getattr(trial, name) for trial in judged) / repeats
            for name in ("text", "number", "category", "dataset")
        }
        said = "  ".join(
            f"{name}{'*' if name == case.rival.against else ''} {share:.0%}"
            for name, share in shares.items()
        )
        theirs = shares[case.rival.against]
        ratio = f"{ours / theirs:.2g}" if theirs else "-"
        seconds = sum(trial.seconds for trial in judged) / repeats
        _print(f"    Evidently, {repeats}: {said}; ratio {ratio}; {seconds:.1f} s CPU each")

    def run_first_calls(self) -> None:
        if not POOL.exists():
            return
        repeats = max(10, FIRST_CALLS // self._thin)
        seen = self._spread(repeats, first_call_is_unseen, self._seed, self._scratch)
        _print(_line("one call with a new tool set is unseen", sum(seen), repeats, 1.0))

    def run_resent(self) -> None:
        repeats = max(10, RESENT_REPEATS // self._thin)
        kind = "requests" if POOL.exists() else "made"
        calls = pool_of(kind, self._scratch).calls[: 4 * drift_resent.CONVERSATIONS]
        alarms = self._spread(repeats, drift_resent.run_resent, calls, self._seed)
        title = f"{kind} resent {drift_resent.RESENDS} times, n = {drift_resent.CONVERSATIONS:,}"
        one_each, every = (sum(each) for each in zip(*alarms, strict=True))
        _print(_line(f"{title}, one call a group", one_each, repeats, 0.05, unchanged=True))
        _print(_line(f"{title}, every call", every, repeats, None))

    def run_streams(self) -> None:
        if not POOL.exists():
            return
        unchanged, stepped = (max(10, count // self._thin) for count in STREAMS)
        null = self._spread(unchanged, run_streams, False, self._seed, self._scratch)
        alarmed = sum(stream.false for stream in null)
        _print(_line("48-batch streams, unchanged", alarmed, unchanged, 0.05, unchanged=True))
        step = self._spread(stepped, run_streams, True, self._seed, self._scratch)
        found = sum(stream.found for stream in step)
        delays = sorted(
            stream.alarm_at - drift_streams.STEP_AT + 1
            for stream in step
            if stream.found and stream.alarm_at is not None
        )
        median = delays[len(delays) // 2] if delays else 0
        line = _line("48-batch streams, 5 % step", found, stepped, STREAM_BAR)
        _print(f"{line}  after {median} batches (median)")

    def run_weeks(self) -> None:
        hours = range(0, (WEEKS + 1) * drift_streams.HOURS, 1 if self._thin == 1 else 6)
        judged = self._spread(len(hours), run_hours, hours, self._seed, self._scratch)
        weeks, ninth = (
            [hour for hour in judged if (hour.number < WEEKS * drift_streams.HOURS) is before]
            for before in (True, False)
        )
        alarms = drift_streams.episodes(weeks)
        windows = Counter(name for hour in weeks for name in hour.alarmed)
        _print(
            f"{WEEKS} weeks with a rhythm, {len(weeks)} evaluations: {alarms} alarms "
            f"(bar: at most 1), windows {dict(windows)}"
        )
        if alarms > 1:
            failures.append(f"{alarms} alarms in {WEEKS} weeks of unchanged traffic")
        first = next((hour.number for hour in ninth if hour.alarmed), None)
        begun = WEEKS * drift_streams.HOURS
        after = "never" if first is None else f"after {first - begun + 1} hours"
        _print(
            f"the ninth week, {drift_streams.DRIFT_RATIO:.0%} of prompts name a new year: {after}"
        )

    def run_costs(self) -> None:
        timeline = self._pool.submit(
            drift_streams.load_timeline, self._seed, self._scratch
        ).result()
        for cost in drift_costs.measure(timeline.window, pool_of("made", self._scratch)):
            _print(f"{cost.name}: {cost.value:.3g} {cost.unit} (bar {cost.bar:g})")
            if cost.value > cost.bar:
                failures.append(f"{cost.name}: {cost.value:.3g} {cost.unit}, bar {cost.bar:g}")

    def _spread(self, count: int, run: Callable[..., list[T]], *arguments: object) -> list[T]:
        """Run `run(*arguments, part)` for parts of the range; its last parameter takes the part."""
        parts = [range(at, min(at + CHUNK, count)) for at in range(0, count, CHUNK)]
        futures = [self._pool.submit(_run_part, run, arguments, part) for part in parts]
        return [each for future in futures for each in future.result()]


def _run_part(run: Callable[..., list[T]], arguments: Sequence[object], part: range) -> list[T]:
    return run(*arguments, part)


def _measure(kind: str, scratch: Path) -> None:
    """Measure a pool before it is needed, so that two processes never measure the same one."""
    pool_of(kind, scratch)


def _line(name: str, found: int, count: int, bar: float | None, *, unchanged: bool = False) -> str:
    """Write one line, and keep it in mind where its bar is not met."""
    share, interval = found / count, wilson(found, count, 0.95)
    between = f"{interval.lower:.1%} to {interval.upper:.1%}"
    said = f"{name:<52}{found:>4}/{count:<4}{share:>7.1%}  {between}"
    if bar is None:
        return f"{said:<94}"
    if share > bar if unchanged else share < bar:
        failures.append(said)
    return f"{said:<94}bar {'<=' if unchanged else '>='} {bar:.1%}"


def _line_check(name: str, trials: Sequence[Trial]) -> None:
    found = [trial for trial in trials if trial.drift]
    _print(_line(f"    {name}", sum(trial.named for trial in found), max(1, len(found)), 0.95))


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
