"""Hashed terms: counted exactly, found where they are rare, named by a call that has them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from exporters.measures import FEATURES, Term
from exporters.term_differences import (
    SAMPLED_MIN,
    calls_with,
    compare_terms,
    count_terms,
    varying_terms,
)
from tests.exporters.columns_made import compared, made, terms_of

PROMPTS = next(each for each in FEATURES if isinstance(each, Term) and each.name == "prompt_terms")
NEW = 4_000_000_000  # beyond 31 bits: a hash has no sign

ROWS = st.lists(st.sets(st.integers(0, 2**32 - 1) | st.integers(0, 5), max_size=6), max_size=12)


@given(ROWS, ROWS)
def test_terms_are_counted_once_for_each_call(
    before: list[set[int]], after: list[set[int]]
) -> None:
    counts = count_terms(terms_of(before), terms_of(after))
    every = sorted({term for row in before + after for term in row})
    assert counts.hashes.tolist() == every
    assert counts.reference.tolist() == [sum(term in row for row in before) for term in every]
    assert counts.current.tolist() == [sum(term in row for row in after) for term in every]


def calls(count: int, seed: int) -> list[set[int]]:
    chance = np.random.default_rng(seed)
    return [set(chance.zipf(1.3, 20).clip(max=5_000).tolist()) for _ in range(count)]


def test_a_word_that_two_per_cent_say_is_found_and_its_call_named() -> None:
    after = calls(1_000, 2)
    for row in after[100:120]:
        row.add(NEW)
    both = compared(
        made(1_000, terms={"prompt_terms": calls(1_000, 1)}),
        made(1_000, terms={"prompt_terms": after}, prefix="b"),
        alpha=0.05,
    )
    tested = compare_terms(PROMPTS, both, 0.2)
    finding = tested.findings[0]
    assert (finding.term_hash, finding.value) == (NEW, f"{NEW:08x}")
    assert (finding.reference, finding.current) == (0.0, 0.02)
    assert finding.example_call_ids[0] == both.current.call_ids[119]
    assert finding.drift


def test_a_word_that_every_call_says_now_is_found() -> None:
    after = [row | {NEW} for row in calls(300, 2)]
    both = compared(
        made(300, terms={"prompt_terms": calls(300, 1)}), made(300, terms={"prompt_terms": after})
    )
    assert compare_terms(PROMPTS, both, 0.2).findings[0].current == 1.0


def test_the_same_traffic_has_no_finding() -> None:
    both = compared(
        made(1_000, terms={"prompt_terms": calls(1_000, 1)}),
        made(1_000, terms={"prompt_terms": calls(1_000, 2)}),
    )
    tested = compare_terms(PROMPTS, both, 0.2)
    assert (tested.findings, tested.distribution) == ((), None)
    assert tested.effect is not None


def test_too_small_a_sample_is_not_tested() -> None:
    window = made(SAMPLED_MIN - 1, terms={"prompt_terms": calls(SAMPLED_MIN - 1, 1)})
    assert "in the sample" in compare_terms(PROMPTS, compared(window, window), 1.0).note


def test_calls_without_any_terms_do_not_vary() -> None:
    empty = made(200, terms={"prompt_terms": [set[int]()] * 200})
    assert not varying_terms(PROMPTS, compared(empty, empty))
    assert not varying_terms(PROMPTS, compared(made(200), made(200)))
    some = made(200, terms={"prompt_terms": [{1}] * 200})
    assert varying_terms(PROMPTS, compared(empty, some))
    assert compare_terms(PROMPTS, compared(empty, some), 1.0).drift
    assert compare_terms(PROMPTS, compared(empty, empty), 1.0).p_adjusted == 1.0


def test_the_calls_with_a_term_are_found_behind_calls_without_any() -> None:
    window = made(4, terms={"prompt_terms": [{1, 7}, set[int](), {7}, {2}]})
    assert calls_with(window, "prompt_terms", 7).tolist() == [0, 2]
    assert calls_with(window, "prompt_terms", 2).tolist() == [3]
