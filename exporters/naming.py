"""The words of a report: hashes of terms read out of example calls, and one line for each fact.

A term is found as a hash (storage.terms). Its word is in the bodies of the calls that a finding
names, so those are read and taken apart again; where they are gone, the commonest terms of an
export are in its manifest; else the finding stays, and says so.

One change in the traffic is many terms: "2024", "date 2024" and the year that `prompt_years` found.
Findings say the same where they are of one side and direction, share a word, and their shares lie
close, or one is a pair with a word that is all new or gone; of such a group the plainest is kept,
with the others in its `also`. What lost by as much as one other value of its feature gained is
told with that one: 2023, where 2024 came in its place. And so is what the same calls have that no
call of the reference has: answers that keep to 2023, because prompts name 2024.

Limits: the bodies of EXAMPLES_READ_MAX calls are read, some 3 ms each with taking apart; ALSO_MAX
others are named.
"""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import zip_longest

import msgspec

from exporters.drift import DriftReport, Outcome
from exporters.findings import Distribution, Finding, Unseen, UnseenValue, percent, shown
from exporters.reference_facts import TermNames
from storage.derive import derive
from storage.reader import StoreReader
from storage.terms import terms_of

EXAMPLES_READ_MAX = 60
ALSO_MAX = 12
NAMELESS = "a word whose call is no longer kept"
# Of two shares, by how much of the larger they may differ and still be those of one fact. A word
# is in nearly all calls that hold its pair, and in few others, or the pair were not drifting.
CLOSE_RATIO = 0.25
CLOSE_SHARE = 0.01  # or by so much, where both are small

_WORDS = re.compile(r"\w+")
Names = Mapping[tuple[str, int], str]


def resolve_terms(
    report: DriftReport, store: StoreReader, project: str, known: TermNames | None = None
) -> DriftReport:
    """Put words for the hashes of terms, and findings that say the same together.

    `known`: terms that an export's manifest names, for those that no call names any more.
    """
    terms = [finding for finding in report.findings if finding.term_hash is not None]
    of_manifest = {
        (family, term_hash): text
        for family, by_hash in (known or {}).items()
        for term_hash, text in by_hash.items()
    }
    wanted = {(term.feature, term.term_hash) for term in terms} | set(_bars_of(report))
    names = {**of_manifest, **_read_names(terms, wanted, store, project)}
    findings = tuple(_named(finding, names) for finding in report.findings)
    outcomes = tuple(_with_named_bars(outcome, names) for outcome in report.outcomes)
    findings = beside_unseen(merged(findings), report.unseen)
    return msgspec.structs.replace(report, findings=findings, outcomes=outcomes)


def _bars_of(report: DriftReport) -> Iterator[tuple[str, int]]:
    """List the hashes that label the bars of charts."""
    for outcome in report.outcomes:
        if outcome.kind == "term" and outcome.distribution is not None:
            for label in outcome.distribution.labels:
                yield outcome.feature, int(label, 16)


def _with_named_bars(outcome: Outcome, names: Names) -> Outcome:
    """Put words for the hashes at bars; a bar without one says nothing, and goes."""
    bars = outcome.distribution
    if outcome.kind != "term" or bars is None:
        return outcome
    named = [
        (names[outcome.feature, int(label, 16)], *shares)
        for label, *shares in zip(bars.labels, bars.reference, bars.current, strict=True)
        if (outcome.feature, int(label, 16)) in names
    ]
    columns = tuple(zip(*named, strict=True)) or ((), (), ())
    bars = Distribution(columns[0], (), columns[1], columns[2])
    return msgspec.structs.replace(outcome, distribution=bars)


def _read_names(
    terms: Sequence[Finding],
    wanted: Set[tuple[str, int | None]],
    store: StoreReader,
    project: str,
) -> Names:
    """Take the example calls apart, the first of each finding before any second one."""
    rounds = zip_longest(*(term.example_call_ids for term in terms))
    in_order = dict.fromkeys(call_id for each in rounds for call_id in each if call_id)
    names: dict[tuple[str, int], str] = {}
    for call_id in list(in_order)[:EXAMPLES_READ_MAX]:
        if len(names) == len(wanted):
            break
        call = store.get(call_id, project)
        if call is None or call.capture is None:
            continue
        for family, by_hash in terms_of(derive(call.capture)).items():
            for term_hash, text in by_hash.items():
                if (family, term_hash) in wanted:
                    names[family, term_hash] = text
    return names


def _named(finding: Finding, names: Names) -> Finding:
    if finding.term_hash is None:
        return finding
    text = names.get((finding.feature, finding.term_hash))
    if text is None:
        sentence = finding.sentence.replace(finding.value, NAMELESS)
        return msgspec.structs.replace(finding, sentence=sentence)
    sentence = finding.sentence.replace(finding.value, f"“{shown(text)}”")
    return msgspec.structs.replace(finding, value=text, sentence=sentence)


def merged(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Keep of findings that say the same the plainest one, where the first of them stood.

    Plain is what is no term at all, then the fewest words, then what came first.
    """
    group_of = list(range(len(findings)))
    for later, finding in enumerate(findings):
        for earlier in range(later):
            if group_of[earlier] != group_of[later] and _say_the_same(findings[earlier], finding):
                old, new = group_of[later], group_of[earlier]
                group_of = [new if group == old else group for group in group_of]
    kept: list[Finding] = []
    for group in dict.fromkeys(group_of):
        members = [finding for at, finding in enumerate(findings) if group_of[at] == group]
        plainest = min(members, key=_plainness)
        others = dict.fromkeys(each.value for each in members if each.value != plainest.value)
        also = tuple(dict.fromkeys((*plainest.also, *others)))[:ALSO_MAX]
        kept.append(msgspec.structs.replace(plainest, also=also))
    return _with_losses(kept)


def _with_losses(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Tell of a value that lost its share to another one with that one."""
    told: dict[int, Finding] = dict(enumerate(findings))
    for at, lost in enumerate(findings):
        if lost.effect.estimate >= 0 or lost.kind not in ("category", "set"):
            continue
        gained = [
            other
            for other, each in told.items()
            if (each.feature, each.drift) == (lost.feature, lost.drift)
            and _near(each.effect.estimate, -lost.effect.estimate)
            and each.effect.estimate > 0
        ]
        if len(gained) == 1:
            taker = told[gained[0]]
            shares = f"{percent(lost.reference)} before, {percent(lost.current)} now"
            says = f"{shown(lost.value)}: {shares}"
            told[gained[0]] = msgspec.structs.replace(taker, also=(*taker.also, says))
            del told[at]
    return tuple(told.values())


def beside_unseen(findings: Sequence[Finding], unseen: Sequence[Unseen]) -> tuple[Finding, ...]:
    """Tell with what is new the unseen values of other features that the same calls have.

    The same calls: as many, as far as one can see, and half of the examples or more.
    """
    told = {(finding.feature, finding.value) for finding in findings}
    values = [
        (each.feature, value)
        for each in unseen
        for value in each.values
        if (each.feature, value.value) not in told
    ]
    return tuple(
        msgspec.structs.replace(finding, also=(*finding.also, *_beside(finding, values)))
        for finding in findings
    )


def _beside(finding: Finding, values: Sequence[tuple[str, UnseenValue]]) -> Iterator[str]:
    examples = set(finding.example_call_ids)
    is_new_value = finding.effect.estimate > 0 and finding.kind in ("category", "set", "term")
    if not (is_new_value and examples):
        return
    for feature, value in values:
        if feature == finding.feature or not _near(finding.current, value.ratio):
            continue
        if 2 * len(examples.intersection(value.example_call_ids)) >= len(examples):
            yield f"{shown(value.value)} in {feature}, new"


def _say_the_same(one: Finding, other: Finding) -> bool:
    if one.side != other.side or one.drift != other.drift or not _is_named(one, other):
        return False
    if (one.effect.estimate > 0) != (other.effect.estimate > 0):
        return False
    if _follows(one, other) or _follows(other, one):
        return True
    if not (_near(one.reference, other.reference) and _near(one.current, other.current)):
        return False
    return not _words(one).isdisjoint(_words(other))


def _follows(word: Finding, pair: Finding) -> bool:
    """Tell whether a pair can only be new, or gone, because a word of it is."""
    if not _words(word) < _words(pair):
        return False
    is_new = word.reference <= CLOSE_SHARE and pair.current <= word.current + CLOSE_SHARE
    is_gone = word.current <= CLOSE_SHARE and pair.reference <= word.reference + CLOSE_SHARE
    return is_new or is_gone


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= max(CLOSE_RATIO * max(one, other), CLOSE_SHARE)


def _is_named(one: Finding, other: Finding) -> bool:
    """Tell whether both are values and at least one a term: values of features differ anyway."""
    kinds = {one.kind, other.kind}
    return "term" in kinds and kinds <= {"term", "set"}


def _words(finding: Finding) -> set[str]:
    return set(_WORDS.findall(finding.value.casefold()))


def _plainness(finding: Finding) -> tuple[bool, int]:
    return finding.kind == "term", len(_words(finding))
