"""Unchanged traffic is quiet, planted changes are found and named.

How often and how surely is measured in benchmarks/drift_power.py; here are fixed seeds.
"""

import dataclasses
import json
import random

import msgspec
import numpy as np
import pytest
from scipy import stats

from exporters.columns import window_of
from exporters.drift import (
    ALPHA,
    GROUPS_MIN,
    NAMED_MAX,
    FeatureVersionError,
    check_itself,
    compare,
    known_values,
)
from exporters.measures import FEATURES
from exporters.windows import Measured, Window, take
from storage.trace import Choice, Message, Understood
from tests.exporters.calls import Traffic, measured_of, window
from tests.exporters.columns_made import made
from tests.shared import data_set


def test_halves_of_one_population_alarm_no_more_often_than_alpha_allows() -> None:
    population = window(Traffic(), 6_000, 1)
    chance = np.random.default_rng(1)
    alarms = 0
    for _ in range(100):
        drawn = chance.permutation(len(population))[:600]
        halves = take(population, drawn[:300]), take(population, drawn[300:])
        alarms += compare(*halves, alpha=0.05).verdict == "drift"
    # 0.05 of a hundred is five; more than eleven would happen once in a hundred runs.
    assert alarms <= stats.binom.ppf(0.99, 100, 0.05)


def test_a_year_that_a_tenth_of_the_prompts_name_is_found_among_200_calls() -> None:
    report = compare(window(Traffic(), 200, 1), window(Traffic(new_year_ratio=0.1), 200, 2))
    found = report.findings[0]
    assert (report.verdict, found.feature, found.value) == ("drift", "prompt_years", "2024")
    assert found.unseen
    assert found.effect.lower < 0.1 < found.effect.upper


def test_a_finding_says_in_a_sentence_what_changed() -> None:
    report = compare(window(Traffic(), 1000, 1), window(Traffic(new_year_ratio=0.1), 1000, 2))
    share = f"{report.findings[0].current * 100:.1f}".removesuffix(".0")
    assert report.findings[0].sentence == (
        f"{share} % of prompts name the year 2024 now; 0 % in the reference."
    )


def test_the_examples_of_a_finding_have_what_it_says() -> None:
    current = window(Traffic(new_year_ratio=0.1), 500, 2)
    report = compare(window(Traffic(), 500, 1), current)
    years = current.sets["prompt_years"]
    of_rows = np.repeat(np.arange(len(current)), np.diff(years.starts))
    named = of_rows[years.codes == years.values.index("2024")]
    examples = report.findings[0].example_call_ids
    assert len(examples) == 5
    assert set(examples) <= {current.call_ids[row] for row in named}
    assert list(examples) == sorted(examples, reverse=True)


@pytest.mark.parametrize(
    ("changed", "features"),
    [
        (Traffic(new_tool_ratio=0.05), {"tools_hash", "tools_called"}),
        (Traffic(new_model_ratio=0.2), {"request_model", "response_model"}),
        (Traffic(new_template_ratio=0.05), {"template_hash"}),
        (Traffic(longer_by=1.0), {"prompt_words", "prompt_chars"}),
    ],
)
def test_a_planted_change_is_found_where_it_is(changed: Traffic, features: set[str]) -> None:
    report = compare(window(Traffic(), 1000, 3), window(changed, 1000, 4))
    drifted = {outcome.feature for outcome in report.outcomes if outcome.drift}
    assert report.verdict == "drift"
    assert features <= drifted


def test_a_value_that_vanished_is_found_with_examples_of_the_reference() -> None:
    reference = window(Traffic(new_year_ratio=0.1), 500, 1)
    report = compare(reference, window(Traffic(), 500, 2))
    found = report.findings[0]
    assert (found.value, found.current, found.unseen) == ("2024", 0.0, False)
    assert found.effect.upper < 0
    assert set(found.example_call_ids) <= set(reference.call_ids)


def rows_of_models(shares: list[float], count: int, seed: int) -> Window:
    chance = np.random.default_rng(seed)
    models = chance.choice(len(shares), count, p=shares)
    named = made(count, categories={"request_model": [f"model-{each}" for each in models]})
    ids = tuple(f"{seed:016x}{number:016x}" for number in range(count))
    return dataclasses.replace(named, call_ids=ids, group_ids=ids)


def test_many_small_moves_between_values_are_found_together() -> None:
    # Of a hundred models half gain 0.4 points each and half lose them: 20 % of the traffic.
    moved = [0.014 if number % 2 else 0.006 for number in range(100)]
    report = compare(rows_of_models([0.01] * 100, 20_000, 1), rows_of_models(moved, 20_000, 2))
    (found,) = [finding for finding in report.findings if finding.drift]
    assert found.feature == "request_model"
    assert found.effect.lower < 0.2 < found.effect.upper
    assert len(found.value.split(",")) == 20


def test_a_change_below_the_floor_is_reported_and_is_no_drift() -> None:
    # 0.8 points of a common value: certain with 200,000 calls, and of no consequence.
    before, after = (
        made(200_000, categories={"request_model": ["a"] * count + ["b"] * (200_000 - count)})
        for count in (100_000, 101_600)
    )
    report = compare(before, after)
    assert report.verdict == "quiet"
    assert report.findings
    assert not any(finding.drift for finding in report.findings)


def test_a_new_value_is_listed_although_no_test_can_see_it() -> None:
    current = made(501, categories={"request_model": ["model-0"] * 500 + ["new"]})
    report = compare(rows_of_models([1.0], 500, 1), current)
    (unseen,) = report.unseen
    assert report.verdict == "quiet"
    assert (unseen.feature, unseen.value_count) == ("request_model", 1)
    assert (unseen.values[0].value, unseen.values[0].example_call_ids) == (
        "new",
        (current.call_ids[-1],),
    )


def test_too_few_groups_are_insufficient_and_not_quiet() -> None:
    few = window(Traffic(new_year_ratio=1.0), GROUPS_MIN - 1, 2)
    report = compare(window(Traffic(), 1000, 1), few)
    assert (report.verdict, report.outcomes, report.findings) == ("insufficient", (), ())
    assert any(unseen.feature == "prompt_years" for unseen in report.unseen)


def test_empty_windows_are_insufficient() -> None:
    empty = window_of((), "")
    assert compare(empty, empty).verdict == "insufficient"


def test_features_of_two_versions_are_refused() -> None:
    old = window(Traffic(), 10, 1)
    version = old.feature_version
    with pytest.raises(FeatureVersionError, match=rf"\[0, {version}\]"):
        compare(old, dataclasses.replace(old, feature_version=0))


def test_a_constant_feature_is_not_tested_and_says_so() -> None:
    report = compare(rows_of_models([0.5, 0.5], 300, 1), rows_of_models([0.5, 0.5], 300, 2))
    tested = [outcome.feature for outcome in report.outcomes if not outcome.note]
    assert tested == ["request_model"]


def test_groups_in_both_windows_are_counted() -> None:
    both = window(Traffic(), 300, 1)
    assert compare(both, both).shared_groups == 300


def rows_of_set(name: str, project: str) -> list[Measured]:
    """Read a labelled set as chat calls: the system prompt, the text, the label as answer."""
    path = data_set(name)
    rows = []
    for number, line in enumerate(path.read_text().splitlines()):
        user, assistant = json.loads(line)["messages"]
        understood = Understood(
            messages=(Message("user", user["content"]),),
            choices=(Choice(Message("assistant", assistant["content"]), "stop"),),
        )
        rows.append(measured_of(understood, f"{project}{number:031x}"))
    return rows


def test_another_data_set_is_drift() -> None:
    clinc, banking = rows_of_set("clinc150", "a"), rows_of_set("banking77", "b")
    report = compare(
        window_of(clinc, "clinc150"),
        window_of(banking, "banking77"),
    )
    assert report.verdict == "drift"


@pytest.mark.parametrize("name", ["clinc150", "banking77"])
@pytest.mark.parametrize("seed", range(10))
def test_random_halves_of_a_data_set_are_quiet(name: str, seed: int) -> None:
    rows = rows_of_set(name, "a")
    random.Random(seed).shuffle(rows)
    half = len(rows) // 2
    report = compare(window_of(rows[:half], ""), window_of(rows[half:], ""))
    assert report.verdict == "quiet"
    assert report.alpha == ALPHA


def test_a_monday_is_compared_with_the_mondays_of_the_reference() -> None:
    chance = np.random.default_rng(1)
    hour = 3_600_000_000
    monday = 96 * hour  # 1970 began on a Thursday
    weeks = np.sort(monday + chance.integers(0, 8 * 168, 8_000) * hour)
    models = ["night" if at // hour % 24 < 8 else "day" for at in weeks.tolist()]
    reference = made(8_000, categories={"request_model": models}, started_at=weeks)
    # Nothing but nights, as they always were.
    nights = np.sort(monday + chance.integers(0, 8, 400) * hour)
    current = made(
        400, categories={"request_model": ["night"] * 400}, started_at=nights, prefix="b"
    )
    report = compare(reference, current)
    assert report.verdict == "quiet"
    assert "Like hours" in report.hours
    assert (report.reference.groups, report.current.groups) == (8_000, 400)
    assert 400 <= report.reference.compared < 3_000
    assert 360 <= report.current.compared <= 400


def test_what_is_known_of_a_reference_leaves_out_languages() -> None:
    reference = made(3, categories={"request_model": ["a", "b", "b"]})
    known = known_values(reference)
    assert known["request_model"] == {"a", "b"}
    assert "prompt_language" not in known  # one short text is no language


def test_train_and_test_of_one_population_check_each_other() -> None:
    check = check_itself(window(Traffic(), 400, 1), window(Traffic(), 300, 2))
    assert (check.verdict, check.train_groups, check.test_groups) == ("quiet", 400, 300)
    other = check_itself(window(Traffic(), 400, 1), window(Traffic(new_year_ratio=1), 300, 2))
    assert other.verdict == "drift"


def test_notes_and_the_self_check_are_in_the_report() -> None:
    same = window(Traffic(), 250, 1)
    check = check_itself(same, same)
    report = compare(same, same, self_check=check, notes=("Prompts were not embedded.",))
    assert (report.self_check, report.notes) == (check, ("Prompts were not embedded.",))


def test_columns_that_say_nothing_leave_a_report_quiet() -> None:
    count = 300
    nothing = made(
        count,
        numbers={"prompt_words": np.full(count, np.nan), "turn_count": np.ones(count)},
        categories={"request_model": [None] * count, "roles": [""] * count},
        sets={"prompt_years": [[] for _ in range(count)]},
        terms={"prompt_terms": [[] for _ in range(count)]},
    )
    report = compare(nothing, nothing)
    assert report.verdict == "quiet"
    assert all(outcome.p_adjusted == 1.0 for outcome in report.outcomes)
    assert all(outcome.note for outcome in report.outcomes)


def test_all_of_a_report_is_json() -> None:
    report = compare(window(Traffic(), 300, 1), window(Traffic(new_year_ratio=0.3), 300, 2))
    assert msgspec.json.decode(msgspec.json.encode(report), type=type(report)) == report


def test_a_verdict_names_some_features_and_counts_the_others() -> None:
    names = [each.name for each in FEATURES if each.kind == "category"][: NAMED_MAX + 2]
    sides = (
        made(400, categories={name: [value] * 400 for name in names}, prefix=value)
        for value in "ab"
    )
    report = compare(*sides)
    assert report.why.startswith(f"{NAMED_MAX + 2} of ")
    assert report.why.endswith(f"{names[NAMED_MAX - 1]} and 2 more")
