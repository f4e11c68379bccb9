"""A filter that selects is stopped, one that draws by chance passes, and both say why."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from exporters.selection_report import (
    GROUPS_MIN,
    SelectionReport,
    report_of,
    selection_report,
)
from exporters.selection_sample import SelectionSample, sample_selection
from exporters.slices import Values
from storage.capture import Outcome
from storage.rows import Checkpoint
from storage.store import TraceStore
from tests.exporters.calls import WORDS, chat, conversation, record, said
from tests.exporters.conftest import make_store
from tests.storage.saying import score

EVERYTHING = "id <> ''"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SelectionSample]:
    """One call of each of 500 groups: lengths, models and tasks that have nothing to do with
    each other."""
    path: Path = tmp_path_factory.mktemp("store") / "store.sqlite"
    store = make_store(f"sqlite:///{path}")
    chance = random.Random(1)
    calls = [
        chat(
            number,
            [said("user", " ".join(chance.choices(WORDS, k=chance.randint(1, 60))))],
            said("assistant", " ".join(chance.choices(WORDS, k=chance.randint(1, 20)))),
            model=chance.choice(("tiny", "tiny", "large")),
            metadata={"task": chance.choice("abcd")},
        )
        for number in range(1, 601)
    ]
    record(store, calls)
    yield sample_selection(store, "default", EVERYTHING)
    store.close()


def chosen(sample: SelectionSample, ratios: Sequence[float], seed: int = 1) -> SelectionReport:
    """Report on a choice by chance, with these ratios for the calls."""
    draws = np.random.default_rng(seed).random(len(sample.calls))
    return report_of(replace(sample, chosen=draws < np.array(ratios)), "drawn")


def test_a_filter_by_length_is_biased_and_says_so(sample: SelectionSample) -> None:
    report = chosen(sample, [0.7 if call.numbers[2] < 30 else 0.1 for call in sample.calls])
    assert any("words in the prompt: " in sentence for sentence in report.biased)
    assert any("times their share" in sentence for sentence in report.biased)
    (words,) = [each for each in report.differences if each.feature == "prompt_words"]
    assert words.biased
    assert words.kept < words.dropped
    assert words.smd.upper < -0.25
    assert report.auc is not None
    assert report.auc.lower > 0.7


def test_a_filter_that_drops_a_model_is_biased(sample: SelectionSample) -> None:
    report = chosen(sample, [0.02 if "large" in call.values[0] else 0.6 for call in sample.calls])
    (large,) = [
        each for each in report.slices if (each.feature, each.value) == ("request_model", "large")
    ]
    assert large.biased
    assert large.lift.upper < 0.5
    (sentence,) = [each for each in report.biased if each.startswith("calls that ask for large")]
    assert sentence.endswith(f"{large.lift.estimate:.2f} times their share")


def test_a_filter_by_a_tag_is_biased(sample: SelectionSample) -> None:
    report = chosen(sample, [0.9 if call.tags["task"] == "a" else 0.3 for call in sample.calls])
    assert any("have tag task a" in sentence for sentence in report.biased)


def test_random_filters_pass_in_at_least_48_of_50_draws(sample: SelectionSample) -> None:
    reports = [chosen(sample, [0.22] * len(sample.calls), seed) for seed in range(30)]
    small = [chosen(sample, [0.05] * len(sample.calls), seed) for seed in range(20)]
    assert sum(bool(report.biased) for report in reports + small) <= 2


def test_a_random_filter_cannot_be_told_from_none(sample: SelectionSample) -> None:
    report = chosen(sample, [0.5] * len(sample.calls))
    assert report.auc is not None
    assert report.auc.lower < 0.5 < report.auc.upper
    assert all(test.p_adjusted > 0.001 for test in report.tests)


def test_a_language_that_is_dropped_is_noticed(sample: SelectionSample) -> None:
    languages = [("de" if index % 3 == 0 else "en",) for index in range(len(sample.calls))]
    known = np.arange(len(sample.calls)) % 5 != 0
    keeps = np.array([language != ("de",) for language in languages])
    column = Values("language", "are in", languages, known)
    report = report_of(replace(sample, chosen=keeps), "drawn", [column])
    (german,) = [each for each in report.slices if each.value == "de"]
    assert (german.after, german.lift.estimate, german.biased) == (0.0, 0.0, True)


def test_too_few_groups_are_too_few_for_a_verdict(sample: SelectionSample) -> None:
    few = np.arange(len(sample.calls)) < GROUPS_MIN - 1
    report = report_of(replace(sample, chosen=few), "few")
    assert report.biased == ()
    assert report.undecided.endswith(
        f"groups are kept, fewer than {GROUPS_MIN}: too few to compare"
    )


def test_a_filter_that_keeps_everything_has_nothing_to_compare(sample: SelectionSample) -> None:
    report = chosen(sample, [1.0] * len(sample.calls))
    assert (report.slices, report.biased, report.undecided) == ((), (), "")
    assert report.kept_ratio == 1.0


def test_the_report_of_a_store_detects_languages(store: TraceStore) -> None:
    german = "Wo ist denn nur mein Paket geblieben, Nummer"
    english = "Where on earth has my parcel gone, number"
    calls = [
        chat(
            2 * number + (number % 2),
            [said("user", f"{english if number % 2 else german} {number}?")],
            said("assistant", "soon"),
            outcome=Outcome.COMPLETE,
        )
        for number in range(150)
    ]
    record(store, calls)
    odd = " or ".join(f"substr(id, 32, 1) = '{digit}'" for digit in "13579bdf")
    with store.snapshot() as reader:
        report = selection_report(reader, "default", odd)
    (german_slice,) = [each for each in report.slices if each.value == "de"]
    assert german_slice.biased
    assert any(sentence.startswith("calls that are in de") for sentence in report.biased)


def test_a_report_survives_json(store: TraceStore) -> None:
    calls = [call for n in range(80) for call in conversation(10 * n, f"question {n}", 1 + n % 3)]
    record(store, calls)
    report = selection_report(store, "default", "substr(id, 32, 1) < '8'")
    again = msgspec.json.decode(msgspec.json.encode(report), type=SelectionReport)
    assert again == report
    assert [step.name for step in report.funnel] == [
        "calls",
        "conversations",
        "matching",
        "complete",
    ]


def test_a_store_without_conversations_gives_no_verdict(store: TraceStore) -> None:
    report = selection_report(store, "default", EVERYTHING)
    assert (report.calls, report.undecided) == (0, "there are no conversations to choose from")


def test_a_filter_by_a_score_is_biased(store: TraceStore) -> None:
    chance = random.Random(3)
    calls = [
        chat(number, [said("user", " ".join(chance.choices(WORDS, k=9)))], said("assistant", "a"))
        for number in range(1, 201)
    ]
    record(store, calls)
    judged = [
        score(1_000 + number, value=float(number % 4), call_id=f"{number:032x}")
        for number in range(1, 201)
    ]
    store.insert([], Checkpoint("f" * 32, 0, 2), said=judged)
    report = selection_report(store, "default", f"scores['{judged[0].name}'] >= 2")
    assert any(f"have score {judged[0].name} 0" in sentence for sentence in report.biased)
