"""What a filter does to the training data: a report, and whether it may pass without a word.

Filters act on the train and val sides alone. Whoever keeps "the good calls" keeps the easy ones:
of GSM8K's problems answered by a 6B model, those it solved have 0.33 times their share of five-step
problems. The report shows it before the data leaves, in structural features (exporters.slices):

    funnel        calls, conversations, matching, complete
    slices        the share of each slice among all and among the kept calls; their ratio, the lift
    differences   standardised mean differences of numbers, kept against dropped calls
    tests         Kolmogorov-Smirnov and chi-square, one call of each group, corrected by Holm
    auc           how well a classifier tells kept from dropped calls; 0.5 is not at all

`biased` has a sentence for each slice that expects EXPECTED_MIN kept groups and has a lift below
LIFT_MIN, or a standardised difference of SMD_MAX or more, as a number has. In both cases the 95 %
interval must clear the limit too, and the difference be beyond chance at ALPHA after Holm's
correction over the whole report. The second matters for small samples: with 40 groups the interval
of some slice out of thirty clears the limit in every tenth random filter. What a random filter
does in fact is measured by benchmarks/split_checks.py.

Each group weighs 1, however many calls it has (exporters.two_samples). Limits: see
exporters.selection_sample; a slice below a few in a thousand calls of a large project expects too
few in the sample and is not seen. The language is that of the LANGUAGE_CALLS_MAX sampled calls that
hash lowest, whose bodies are read. What is not here: what the texts say. A classifier of words
told the GSM8K filter from a random one less well than the count of words did.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from exporters import statistics
from exporters.findings import Effect, percent
from exporters.selection_sample import Progress, SelectionSample, sample_selection
from exporters.slices import (
    Numbers,
    Slice,
    Values,
    keyed,
    numbers_of,
    ranged,
    slices_of_numbers,
    slices_of_values,
    values_of,
)
from exporters.statistics import FloatArray
from exporters.two_samples import BoolArray, Difference, Estimate, Samples, separability
from storage.derive import derive
from storage.languages import language_of
from storage.reader import StoreReader

REPORT_VERSION = 1
CONFIDENCE = 0.95
ALPHA = 0.05
LIFT_MIN = 0.5
SMD_MAX = 0.25
EXPECTED_MIN = 20  # groups of a slice that a random filter of this size would keep
GROUPS_MIN = 20  # kept, and dropped: below, no mean is known well enough to say anything
LANGUAGE_CALLS_MAX = 1_000
CLASSIFIED_GROUPS_MAX = 20_000
CLASSIFIED_VALUES_MAX = 40  # slices of categories that the classifier sees, the commonest
SENTENCES_MAX = 20


class Step(msgspec.Struct, frozen=True):
    """A step of the funnel: how many calls and groups are left."""

    name: str
    calls: int
    groups: int


class SliceShare(msgspec.Struct, frozen=True):
    """A slice before and after. `before`, `after`: its share, 0..1, of all and of the kept calls;
    `expected`: groups that a random filter of the same size would keep; `smd`: the standardised
    difference of having the value or not."""

    feature: str
    value: str
    before: float
    after: float
    expected: float
    lift: Effect
    smd: Effect
    p_adjusted: float
    biased: bool


class MeanDifference(msgspec.Struct, frozen=True):
    """A number's means, kept and dropped calls, and their standardised difference."""

    feature: str
    unit: str
    kept: float
    dropped: float
    smd: Effect
    p_adjusted: float
    biased: bool


class SelectionTest(msgspec.Struct, frozen=True):
    """A test of one feature at group level."""

    feature: str
    test: Literal["ks", "chi_square"]
    p_value: float
    p_adjusted: float


class SelectionReport(msgspec.Struct, frozen=True):
    """What a filter does; goes into the manifest as it is. See the module.

    `groups`, `calls`: how many were sampled; `kept_ratio`: the share of the groups' calls that
    matched. `auc` is None where a sample is too small for it. `undecided` says why no verdict could
    be reached, empty if one could.
    """

    version: int
    where: str
    funnel: tuple[Step, ...]
    groups: int
    calls: int
    kept_ratio: float
    slices: tuple[SliceShare, ...]
    differences: tuple[MeanDifference, ...]
    tests: tuple[SelectionTest, ...]
    auc: Effect | None
    biased: tuple[str, ...]
    undecided: str


def selection_report(
    reader: StoreReader, project: str, where: str, progress: Progress = lambda done: None
) -> SelectionReport:
    """Report what `where` selects of a project's train and val sides.

    `reader` should be a snapshot. Raises FilterError for a filter that is none. Reads what
    exporters.selection_sample says, and the bodies of LANGUAGE_CALLS_MAX calls.
    """
    sample = sample_selection(reader, project, where, progress)
    return report_of(sample, where, [*_scores(reader, sample), *_languages(reader, sample)])


def report_of(
    sample: SelectionSample, where: str, further: Sequence[Values] = ()
) -> SelectionReport:
    """Make the report of a sample; `further` features have values for each of its calls. Pure."""
    slices: list[SliceShare] = []
    differences: list[MeanDifference] = []
    tests: list[SelectionTest] = []
    sentences: tuple[str, ...] = ()
    auc: Effect | None = None
    samples = Samples(sample.groups, sample.chosen)
    undecided = _undecided(samples)
    if samples.chosen_groups and samples.other_groups:
        numbers, values = numbers_of(sample.calls), [*values_of(sample.calls), *further]
        effects = _effects(sample, samples, numbers, values)
        slices, differences, sentences = _judged(effects, decided=not undecided)
        tests = _tests(sample, numbers, values)
        auc = _auc(sample, numbers, values)
    return SelectionReport(
        version=REPORT_VERSION,
        where=where,
        funnel=tuple(Step(name, each.calls, each.groups) for name, each in sample.funnel.items()),
        groups=samples.group_count,
        calls=len(sample.calls),
        kept_ratio=samples.chosen_ratio,
        slices=tuple(slices),
        differences=tuple(differences),
        tests=tuple(tests),
        auc=auc,
        biased=sentences,
        undecided=undecided,
    )


@dataclass(frozen=True)
class _Effect:
    """A slice with its lift, or a number without one; and the difference of both."""

    subject: Slice | Numbers
    expected: float
    shares: tuple[float, float]
    lift: Estimate | None
    difference: Difference


def _undecided(samples: Samples) -> str:
    if samples.group_count == 0:
        return "there are no conversations to choose from"
    if samples.other_groups == 0:
        return ""  # everything is kept
    for count, name in ((samples.chosen_groups, "kept"), (samples.other_groups, "dropped")):
        if count < GROUPS_MIN:
            return f"{count:.0f} groups are {name}, fewer than {GROUPS_MIN}: too few to compare"
    return ""


def _effects(
    sample: SelectionSample, samples: Samples, numbers: Sequence[Numbers], values: Sequence[Values]
) -> Iterator[_Effect]:
    for number in numbers:
        difference = samples.difference(number.values, CONFIDENCE)
        yield _Effect(number, 0.0, (0.0, 0.0), None, difference)
        for each in slices_of_numbers(number):
            yield from _slice_effect(each, samples, each.has)
    for column in values:
        among, known = samples, column.known
        if known is not None:
            _, groups = np.unique(sample.groups[known], return_inverse=True)
            among = Samples(groups.astype(np.int64), sample.chosen[known])
            if not (among.chosen_groups and among.other_groups):
                continue
        for each in slices_of_values(column):
            yield from _slice_effect(each, among, each.has if known is None else each.has[known])


def _slice_effect(each: Slice, samples: Samples, has: BoolArray) -> Iterator[_Effect]:
    expected = samples.expected(has)
    if expected >= EXPECTED_MIN and not has.all():
        lift = samples.lift(has, CONFIDENCE)
        difference = samples.difference(has.astype(np.float64), CONFIDENCE)
        yield _Effect(each, expected, samples.share(has), lift, difference)


def _judged(
    effects: Iterable[_Effect], decided: bool
) -> tuple[list[SliceShare], list[MeanDifference], tuple[str, ...]]:
    """Correct all effects together; return them, and sentences on those that pass a limit."""
    found = list(effects)
    p_values = [(each.lift or each.difference.standardised).p_value for each in found]
    corrected = statistics.holm(np.array(p_values, dtype=np.float64)).tolist()
    slices: list[SliceShare] = []
    differences: list[MeanDifference] = []
    sentences: list[tuple[float, str]] = []  # by how far they pass
    for each, p_adjusted in zip(found, corrected, strict=True):
        smd = _effect_of(each.difference.standardised)
        lift = _effect_of(each.lift) if each.lift else None
        real = decided and p_adjusted < ALPHA
        lacks = real and lift is not None and lift.upper < LIFT_MIN
        biased = lacks or (real and smd.bound > SMD_MAX)
        subject = each.subject
        if isinstance(subject, Slice):
            assert lift is not None, "a slice has a lift"
            share = SliceShare(
                subject.feature, subject.value, *each.shares, each.expected, lift, smd, p_adjusted,
                biased,
            )  # fmt: skip
            slices.append(share)
            says = f"{subject.says}: {percent(share.before)} of all, {percent(share.after)} of the"
            says += f" kept: {lift.estimate:.2f} times their share"
        else:
            difference = MeanDifference(
                subject.name, subject.unit, each.difference.chosen, each.difference.others, smd,
                p_adjusted, biased,
            )  # fmt: skip
            differences.append(difference)
            says = f"{subject.unit}: {difference.kept:,.1f} on average where kept, "
            says += f"{difference.dropped:,.1f} where dropped: {smd.estimate:+.2f} standard"
            says += " deviations apart"
        if biased:
            sentences.append((max(smd.bound, LIFT_MIN - lift.upper if lift else 0), says))
    sentences.sort(key=lambda pair: -pair[0])
    return slices, differences, tuple(says for _, says in sentences[:SENTENCES_MAX])


def _tests(
    sample: SelectionSample, numbers: Sequence[Numbers], values: Sequence[Values]
) -> list[SelectionTest]:
    """Test each feature on one call of each group, which makes the calls independent."""
    first = _first_of_groups(sample)
    chosen = sample.chosen & first
    others = ~sample.chosen & first
    found: list[tuple[str, Literal["ks", "chi_square"], float]] = []
    if not chosen.any() or not others.any():
        return []
    for number in numbers:
        result = statistics.ks_two_sample(number.values[chosen], number.values[others], CONFIDENCE)
        found.append((number.name, "ks", result.p_value))
    for column in values:
        known = np.ones(len(first), dtype=np.bool_) if column.known is None else column.known
        counts = [
            Counter(
                value
                for index in np.flatnonzero(side & known).tolist()
                for value in column.values[index]
            )
            for side in (chosen, others)
        ]
        every = sorted(counts[0] | counts[1])
        table = [np.array([count[value] for value in every], dtype=np.int64) for count in counts]
        if len(every) > 1 and column.name != "tools_called":  # of which a call has any number
            found.append((column.name, "chi_square", statistics.chi_square(*table)))
    corrected = statistics.holm(np.array([p_value for _, _, p_value in found])).tolist()
    return [
        SelectionTest(*each, p_adjusted) for each, p_adjusted in zip(found, corrected, strict=True)
    ]


def _auc(
    sample: SelectionSample, numbers: Sequence[Numbers], values: Sequence[Values]
) -> Effect | None:
    first = np.flatnonzero(_first_of_groups(sample))[:CLASSIFIED_GROUPS_MAX]
    chosen = sample.chosen[first]
    if min(int(chosen.sum()), int((~chosen).sum())) < GROUPS_MIN:
        return None
    columns: list[FloatArray] = [np.log1p(number.values[first]) for number in numbers]
    slices = [
        each for column in values if column.known is None for each in slices_of_values(column)
    ]
    slices.sort(key=lambda each: -int(each.has.sum()))
    columns += [each.has[first].astype(np.float64) for each in slices[:CLASSIFIED_VALUES_MAX]]
    return _effect_of(separability(np.column_stack(columns), chosen, CONFIDENCE))


def _first_of_groups(sample: SelectionSample) -> BoolArray:
    first = np.ones(len(sample.groups), dtype=np.bool_)
    first[1:] = sample.groups[1:] != sample.groups[:-1]
    return first


def _languages(reader: StoreReader, sample: SelectionSample) -> list[Values]:
    """Detect the language of some calls, one of each group, spread over all groups."""
    first = np.flatnonzero(_first_of_groups(sample))
    step = max(1, math.ceil(len(first) / LANGUAGE_CALLS_MAX))
    values: list[tuple[str, ...]] = [()] * len(sample.calls)
    known = np.zeros(len(sample.calls), dtype=np.bool_)
    for index in first[::step]:
        call = reader.get(sample.calls[index].call_id)
        if call is not None and call.capture is not None:
            messages = derive(call.capture).understood.messages
            said = [message.text for message in messages if message.role == "user"]
            values[index] = (language_of(said[-1] if said else ""),)
            known[index] = True
    return [Values("language", "are in", values, known)] if known.any() else []


def _scores(reader: StoreReader, sample: SelectionSample) -> Iterator[Values]:
    """Make a feature of each score: what a filter is about is often only there."""
    given = reader.scores([call.call_id for call in sample.calls])
    newest: list[dict[str, str | float]] = [
        {
            score.name: str(score.value).lower() if isinstance(score.value, bool) else score.value
            for score in given.get(call.call_id, ())  # oldest first
        }
        for call in sample.calls
    ]
    return keyed("score", ranged(newest))


def _effect_of(estimate: Estimate) -> Effect:
    return Effect(estimate.interval.estimate, estimate.interval.lower, estimate.interval.upper)
