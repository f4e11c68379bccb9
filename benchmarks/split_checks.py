"""What the split's and the selection's checks let pass, and what they stop: four figures.

    python -m benchmarks.split_checks [DIRECTORY] [--salts 400] [--draws 200] [--seed 1]

DIRECTORY holds conversation sets (JSON lines with `group` and `messages`) and `gsm8k_models.jsonl`
with graded answers; it lies beside the checkout by default. Each line has its bar behind it.

    fair splits      of so many salts over the real conversations, how many the verifier rejects;
                     the bar is the 99 % point of a binomial at the rate that the verifier states
    bad test sets    rows drawn without regard to conversations, the longest tenth by hand, a fair
                     one filtered like the training data, one thinned out: how many it rejects
    kept correct     the selection report on "keep the correct answers" of all four models: in how
                     many of 50 projects (salts, which hold back 10 % for test) it stops it; with
                     the answers to one question as a group, as recorded, or each a group
    random filter    of the same size: how many draws pass
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
import numpy as np
from scipy import stats

from exporters.checks import State
from exporters.group_facts import GroupFacts
from exporters.representative import FALSE_ALARM_RATE, Groups, fairness
from exporters.row_lines import IdLine
from exporters.row_reading import RowError, read_row
from exporters.selection_report import SelectionReport, report_of
from exporters.selection_sample import STEPS, Counts, SelectionSample
from exporters.slices import facts_of
from exporters.statistics import FloatArray
from exporters.two_samples import BoolArray
from exporters.verifying_draw import check_draw
from storage.capture import SystemClock
from storage.reservation import VAL_RATIO, Policy, u_of
from storage.store import TraceStore
from storage.trace import Json
from tests.exporters.calls import chat, record

SETS: Final = Path(__file__).parents[2] / "shared" / "data" / "datasets"
CONVERSATIONS: Final = (
    "sgd",
    "taskmaster4",
    "glaive_toolcall_en",
    "glaive_toolcall_zh",
    "gpteacher",
    "clinc150",
    "alpaca_demo_en",
    "gsm8k_models",
)
SET_GROUPS_MAX: Final = 300  # of each set: a project of many kinds, none of which drowns the others
TEST_RATIO: Final = 0.10
PROJECTS: Final = 50
POLICY: Final = Policy(1, "", TEST_RATIO, VAL_RATIO)

Line = dict[str, Json]


def main() -> None:
    """Print the figures."""
    arguments = argparse.ArgumentParser(description="What the checks let pass, what they stop.")
    arguments.add_argument("directory", type=Path, nargs="?", default=SETS)
    arguments.add_argument("--salts", type=int, default=400)
    arguments.add_argument("--draws", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    began = time.process_time()
    print_splits(given.directory, given.salts)
    print_selections(given.directory, given.draws, np.random.default_rng(given.seed))
    print(f"{'CPU seconds':<58}{time.process_time() - began:>10.0f}")


def print_splits(directory: Path, salts: int) -> None:
    """Judge fair splits of real conversations, and bad ones."""
    names, groups = conversations(directory)
    lengths = groups.numbers["characters of the answer"]
    longest = lengths >= np.quantile(lengths, 0.9)
    short = lengths < np.median(lengths)
    fair, filtered, picked, thinned = 0, 0, 0, 0
    for number in range(salts):
        u = np.array([u_of(f"{number:032x}", "default", name) for name in names])
        fair += rejects(u, replace(groups, test=u < TEST_RATIO))
        kept = (u >= TEST_RATIO) | short
        filtered += rejects(u[kept], among(replace(groups, test=u < TEST_RATIO), kept))
        picked += rejects(u, replace(groups, test=longest))
        # Evenly: every other group of test, so that neither `u` nor what is in it leans anywhere.
        kept = (u >= TEST_RATIO) | (np.cumsum(u < TEST_RATIO) % 2 == 0)
        thinned += rejects(u[kept], among(replace(groups, test=u < TEST_RATIO), kept))
    # Either of two families of tests, the draw's and fairness's, may raise an alarm.
    bar = int(stats.binom.isf(0.01, salts, 2 * FALSE_ALARM_RATE))
    print(f"{len(names):,} groups of real conversations, {salts} salts")
    print_line("fair splits rejected", fair, salts, f"at most {bar}")
    print_line("the longest tenth for test rejected", picked, salts, "all")
    print_line("test without its longer half rejected", filtered, salts, "all")
    print_line("test without every other group rejected", thinned, salts, "all")
    print_row_split(directory)


def print_row_split(directory: Path) -> None:
    """Count the conversations whose turns, drawn one by one, are on both sides."""
    random = np.random.default_rng(1)
    turns = [
        group
        for group, messages in read_lines(directory, "sgd")
        for message in messages
        if message.get("role") == "assistant"
    ]
    test = random.random(len(turns)) < TEST_RATIO
    sides = [{turn for turn, side in zip(turns, test, strict=True) if side is wanted}
             for wanted in (np.True_, np.False_)]  # fmt: skip
    shared, held = len(sides[0] & sides[1]), len(sides[0])
    print_line("row split: conversations of test that train has", shared, held, "0 holds, no more")


def rejects(u: FloatArray, groups: Groups) -> bool:
    """Say whether the verifier's tests of chance reject a split."""
    found = fairness(groups)
    assert found is not None, "there are groups enough"
    return check_draw(u, POLICY, "").state is State.FAILED or bool(found.failed)


def among(groups: Groups, kept: BoolArray) -> Groups:
    """Take some groups away."""
    return Groups(
        groups.test[kept],
        {name: numbers[kept] for name, numbers in groups.numbers.items()},
        {
            name: [value for value, is_kept in zip(values, kept, strict=True) if is_kept]
            for name, values in groups.categories.items()
        },
    )


def conversations(directory: Path) -> tuple[Sequence[str], Groups]:
    """Read what the verifier would know of the groups, in an order that is chance."""
    facts, names = GroupFacts(), list[str]()
    for name in CONVERSATIONS:
        known: set[str] = set()
        for group, messages in read_lines(directory, name):
            if group in known or len(known) == SET_GROUPS_MAX:
                continue
            try:
                row = read_row(msgspec.json.encode({"messages": messages}))
            except RowError:
                continue
            known.add(group)
            # Ranks in the order of reading keep names and facts together.
            facts.add(len(names), row, IdLine("", 0, "", group, model=name), is_test=False)
            names.append(group)
    order = np.random.default_rng(1).permutation(len(names))
    groups = facts.groups()
    shuffled = Groups(
        groups.test[order],
        {name: numbers[order] for name, numbers in groups.numbers.items()},
        {name: [values[place] for place in order] for name, values in groups.categories.items()},
    )
    return [names[place] for place in order], shuffled


def read_lines(directory: Path, name: str) -> Iterator[tuple[str, list[Line]]]:
    """Yield the group and the messages of each row of a set."""
    for line in (directory / f"{name}.jsonl").read_bytes().splitlines():
        row = msgspec.json.decode(line)
        if row.get("messages"):
            yield str(row["group"]), row["messages"]


def print_selections(directory: Path, draws: int, random: np.random.Generator) -> None:
    """Judge a filter for correct answers, and random ones of the same size."""
    for name, by_question in (("a question a group", True), ("an answer a group", False)):
        sample, correct = graded(directory, by_question)
        stopped = 0
        for number in range(PROJECTS):
            salt = f"{number:032x}"
            u = np.array([u_of(salt, "default", str(group)) for group in sample.groups])
            stopped += bool(report(sample, correct, u >= TEST_RATIO).biased)
        everything = np.ones(len(correct), dtype=np.bool_)
        passed = sum(
            not report(sample, random.permutation(correct), everything).biased for _ in range(draws)
        )
        print(f"GSM8K, {len(correct):,} graded answers of four models, {name}")
        print_line("keep correct: projects in which it is stopped", stopped, PROJECTS, "all")
        print_line("random filters of the same size that pass", passed, draws, "at least 95 %")
        print_report(report(sample, correct, everything))


def print_report(found: SelectionReport) -> None:
    """Show what stops the filter, and how far it tells."""
    for sentence in found.biased:
        print(f"    {sentence}")
    if found.auc is not None:
        auc = found.auc
        print(f"    AUC {auc.estimate:.2f} ({auc.lower:.2f} to {auc.upper:.2f})")


def report(sample: SelectionSample, chosen: BoolArray, among: BoolArray) -> SelectionReport:
    """Report on a choice among some calls of a sample."""
    _, groups = np.unique(sample.groups[among], return_inverse=True)
    part = SelectionSample(
        tuple(call for call, is_among in zip(sample.calls, among, strict=True) if is_among),
        groups.astype(np.int64),
        chosen[among],
        sample.funnel,
    )
    return report_of(part, "correct")


def graded(directory: Path, by_question: bool) -> tuple[SelectionSample, BoolArray]:
    """Read the graded answers, and which of them are right."""
    lines = [
        msgspec.json.decode(line)
        for line in (directory / "gsm8k_models.jsonl").read_bytes().splitlines()
    ]
    lines = [line for line in lines if line.get("labels")]
    lines.sort(key=lambda line: str(line["group"]))  # each question's answers together
    questions: dict[str, int] = {}
    groups = [questions.setdefault(line["group"], len(questions)) for line in lines]
    with TemporaryDirectory() as place:
        store = TraceStore(f"sqlite:///{place}/store.sqlite", clock=SystemClock())
        store.upgrade()
        record(
            store,
            [
                chat(number, line["messages"][:1], line["messages"][1], model=line["model"])
                for number, line in enumerate(lines)
            ],
        )
        calls = [facts_of(call) for page in store.features("default") for call in page]
        store.close()
    count = len(lines)
    sample = SelectionSample(
        calls=tuple(calls),
        groups=np.array(groups if by_question else range(count), dtype=np.int64),
        chosen=np.zeros(count, dtype=np.bool_),
        funnel={step: Counts(count, len(questions)) for step in STEPS},
    )
    return sample, np.array([line["labels"]["correct"] for line in lines], dtype=np.bool_)


def print_line(name: str, count: int, total: int, bar: str) -> None:
    """Print a count with its share, and its bar."""
    print(f"  {name:<56}{count:>6,} of {total:>6,}  {count / total:>7.1%}  ({bar})")


if __name__ == "__main__":
    main()
