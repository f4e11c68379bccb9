"""Tests of review.facts."""

import msgspec
import pytest

from review import facts
from storage.capture import Endpoint, Outcome
from storage.filters import compile_filter
from storage.rows import CallRow
from tests.review.calls import chat
from tests.review.conftest import Site


@pytest.fixture
def row(site: Site) -> CallRow:
    site.record(chat(1, session="it's", tags={"app": "web"}))
    return site.store.list("default", limit=1)[0]


def test_every_fact_of_a_call_finds_it_again(row: CallRow, site: Site) -> None:
    for fact in facts.facts(row):
        if fact.condition:
            compile_filter(fact.condition)
            assert site.store.count("default", fact.condition) == 1, fact


def test_a_call_that_was_asked_for_again_names_the_other(row: CallRow) -> None:
    again = msgspec.structs.replace(row, regenerated_from="a" * 32, edited_from="b" * 32)
    told = {fact.name: (fact.value, fact.condition) for fact in facts.facts(again)}
    assert told["regenerated from"] == ("a" * 32, f"id = '{'a' * 32}'")
    assert told["edited from"] == ("b" * 32, f"id = '{'b' * 32}'")
    assert "edited from" not in {fact.name for fact in facts.facts(row)}


def test_facts_say_what_was_asked_and_what_answered(row: CallRow) -> None:
    values = {fact.name: fact.value for fact in facts.facts(row)}
    assert values["model asked"] == "small-1"
    assert values["model answered"] == "small-1-0613"
    assert (values["tokens in"], values["tokens out"]) == ("1,234", "56")
    assert values["cost"] == "not known"
    assert facts.model(row) == "small-1 → small-1-0613"


def test_parts_of_the_tokens_and_their_source_are_told(row: CallRow) -> None:
    row = msgspec.structs.replace(row, cached_tokens=1_000, usage_estimated=True)
    fact = next(fact for fact in facts.facts(row) if fact.name == "tokens in")
    assert fact.value == "1,234 (of these 1,000 cached)"
    assert "counted by shalt" in fact.hint
    assert facts.tokens(row) == "≈ 1,234 → 56"


def test_an_error_is_told_with_its_status_and_an_odd_call_by_its_path(row: CallRow) -> None:
    row = msgspec.structs.replace(
        row, outcome=Outcome.UPSTREAM_ERROR, status_code=429, endpoint=Endpoint.OTHER
    )
    assert facts.outcome(row) == "upstream error 429"
    assert facts.endpoint(row) == "POST /v1/chat/completions"


@pytest.mark.parametrize(
    ("cost", "shown"),
    [
        (None, ""),
        (0.0, "$0.00"),
        (12.5, "$12.50"),
        (0.25, "$0.25"),
        (0.0012, "$0.0012"),
        (0.000123456, "$0.000123"),
        (0.00006171, "$0.000062"),  # rounded up it would be a half more than it was
        (0.0008625, "$0.00086"),
        (0.999, "$1.00"),
    ],
)
def test_a_price_shows_the_figures_that_count(cost: float | None, shown: str) -> None:
    assert facts.dollars(cost) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [(None, ""), (0.05, "0.05 ms"), (12.5, "12 ms"), (1500, "1.50 s"), (754_000, "12 min 34 s")],
)
def test_a_duration_has_the_unit_that_reads_best(milliseconds: float | None, shown: str) -> None:
    assert facts.duration(milliseconds) == shown
