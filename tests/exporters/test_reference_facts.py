"""What a manifest says of a sample: how features are distributed, what common terms are."""

from collections import Counter

import msgspec
import numpy as np
import pytest

from exporters import reference_facts
from exporters.columns import window_of
from exporters.reference_facts import (
    TERM_GROUPS_MIN,
    NumberFacts,
    ValueFacts,
    commonest,
    facts_of,
    name_terms,
    places_of,
)
from exporters.windows import Measured, Terms, Window
from storage.derive import derive
from storage.features import features_of
from storage.store import TraceStore
from storage.terms import text_features_of
from storage.words import word_hash
from tests.exporters.calls import chat, record, said


def stored(store: TraceStore, texts: list[str]) -> Window:
    """Record calls with these prompts, and measure them."""
    rows: list[Measured] = []
    captures = [
        chat(number, [said("user", text)], said("assistant", "yes"))
        for number, text in enumerate(texts, 1)
    ]
    record(store, captures)
    for capture in captures:
        span = derive(capture)
        row = Measured(span.id, span.id, "m", "m", "stop", features_of(span))
        text = text_features_of(span)
        rows.append(msgspec.structs.replace(row, text=text, input_tokens=len(rows)))
    return window_of(rows, "")


def test_numbers_have_quantiles_and_values_their_counts(sqlite_store: TraceStore) -> None:
    facts = facts_of(stored(sqlite_store, ["in 2023", "in 2024", "in 2024", "never"]))
    tokens, years, models = facts["input_tokens"], facts["prompt_years"], facts["request_model"]
    assert isinstance(tokens, NumberFacts)
    assert tokens.calls == 4
    assert tokens.quantiles == pytest.approx((0, 0.15, 0.75, 1.5, 2.25, 2.85, 3))
    assert years == ValueFacts(4, 2, {"2024": 2, "2023": 1})
    assert models == ValueFacts(4, 1, {"m": 4})
    assert facts["cost_usd"] == NumberFacts(0, ())
    assert list(facts) == sorted(facts)


def test_the_commonest_terms_are_named_from_the_calls_that_have_them(
    sqlite_store: TraceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_facts, "TERM_GROUPS_MIN", 2)
    window = stored(sqlite_store, ["refund please", "refund now", "cancel now", "unique"])
    names = name_terms(sqlite_store, window)
    assert set(names["prompt_terms"].values()) == {"refund", "now"}
    assert names["prompt_terms"][word_hash("refund")] == "refund"
    assert set(names["answer_fields"].values()) == {"=yes"}


def test_no_more_calls_are_read_than_the_limit(
    sqlite_store: TraceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_facts, "TERM_GROUPS_MIN", 1)
    monkeypatch.setattr(reference_facts, "NAMED_CALLS_MAX", 1)
    names = name_terms(sqlite_store, stored(sqlite_store, ["one", "two", "three"]))
    assert len(names["prompt_terms"]) == 1


def test_the_commonest_terms_are_those_of_most_rows_ties_by_their_hash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = np.random.default_rng(7)
    rows = [np.unique(chance.zipf(1.3, 60) % 4_000).astype(np.uint32) for _ in range(300)]
    starts = np.cumsum([0, *map(len, rows)])
    terms = Terms(np.arange(300, dtype=np.int32), starts, np.concatenate(rows))
    counts = Counter(terms.hashes.tolist())
    often = sorted((-count, value) for value, count in counts.items() if count >= TERM_GROUPS_MIN)
    assert len(often) > 10
    for most in (3, 10, 500):
        monkeypatch.setattr(reference_facts, "TERMS_MAX", most)
        assert commonest(terms) == {value for _, value in often[:most]}
    monkeypatch.setattr(reference_facts, "ROWS_AT_ONCE", 7)
    wanted = np.array(sorted(value for _, value in often), dtype=np.uint32)
    places, codes = places_of(terms, wanted)
    found = [(row, value) for row, of_row in enumerate(rows) for value in of_row if value in wanted]
    assert list(zip(places.tolist(), wanted[codes].tolist(), strict=True)) == found
