"""Words for hashes, and one line for each fact."""

import msgspec

from exporters.findings import Finding, Unseen, UnseenValue
from exporters.naming import NAMELESS, beside_unseen, merged, resolve_terms
from storage.store import TraceStore
from storage.words import pair_hash, word_hash
from tests.exporters.calls import chat, record, said
from tests.exporters.found import bars, finding, outcome, report, term


def hashed(term_hash: int, number: int) -> Finding:
    """Make the finding of a term as a comparison has it, with one example."""
    text = f"{term_hash:08x}"
    sentence = f"10 % of prompts say {text} now; 0 % in the reference."
    examples = (f"{number:032x}",)
    found = term(text, sentence=sentence, example_call_ids=examples)
    return msgspec.structs.replace(found, term_hash=term_hash)


def test_the_words_of_terms_are_read_from_their_example_calls(sqlite_store: TraceStore) -> None:
    answer = said("assistant", "It closes at nine.")
    record(sqlite_store, [chat(1, [said("user", "The Zebra house, when?")], answer)])
    zebra = word_hash("zebra")
    pair = pair_hash(word_hash("closes"), word_hash("at"))
    in_answer = msgspec.structs.replace(hashed(pair, 1), feature="answer_terms", side="answer")
    resolved = resolve_terms(report(hashed(zebra, 1), in_answer), sqlite_store, "default")
    assert [each.value for each in resolved.findings] == ["zebra", "closes at"]
    assert resolved.findings[0].sentence == (
        "10 % of prompts say “zebra” now; 0 % in the reference."
    )


def test_the_bars_of_terms_are_named_and_those_without_a_name_go(sqlite_store: TraceStore) -> None:
    record(sqlite_store, [chat(1, [said("user", "zebra")], said("assistant", "yes"))])
    zebra = word_hash("zebra")
    chart = outcome("prompt_terms", bars(f"{zebra:08x}", "00000007"), kind="term")
    resolved = resolve_terms(report(hashed(zebra, 1), outcomes=(chart,)), sqlite_store, "default")
    (told,) = resolved.outcomes
    assert told.distribution is not None
    assert told.distribution.labels == ("zebra",)
    assert told.distribution.current == (0.5,)


def test_a_term_whose_calls_are_gone_stays_and_says_so(sqlite_store: TraceStore) -> None:
    resolved = resolve_terms(report(hashed(7, 1)), sqlite_store, "default")
    assert resolved.findings[0].sentence.startswith(f"10 % of prompts say {NAMELESS} now")
    assert resolved.findings[0].value == "00000007"


def test_a_term_that_no_call_names_any_more_is_named_by_the_manifest(
    sqlite_store: TraceStore,
) -> None:
    resolved = resolve_terms(
        report(hashed(7, 1)), sqlite_store, "default", {"prompt_terms": {7: "old"}}
    )
    assert resolved.findings[0].value == "old"


def test_a_call_of_another_project_names_nothing(sqlite_store: TraceStore) -> None:
    record(sqlite_store, [chat(1, [said("user", "zebra")], said("assistant", "yes"))])
    resolved = resolve_terms(report(hashed(word_hash("zebra"), 1)), sqlite_store, "other")
    assert NAMELESS in resolved.findings[0].sentence


def test_terms_that_say_the_same_become_one_line_under_the_plainest() -> None:
    found = merged([term("date 2024"), term("2024 at"), finding(), term("2024", now=0.11)])
    assert [(each.feature, each.value) for each in found] == [("prompt_years", "2024")]
    assert found[0].also == ("date 2024", "2024 at")


def test_pairs_that_chain_are_one_line() -> None:
    found = merged([term("dates in"), term("in iso"), term("iso form")])
    assert [each.also for each in found] == [("in iso", "iso form")]


def test_a_pair_goes_with_the_word_that_made_it_new_or_that_is_gone() -> None:
    new = merged([finding(now=0.49), term("on 2024", now=0.12)])
    assert [(each.value, each.also) for each in new] == [("2024", ("on 2024",))]
    gone = merged([term("on 2023", 0.12, 0.0), term("2023", 0.47, 0.0)])
    assert [(each.value, each.also) for each in gone] == [("2023", ("on 2023",))]


def test_what_says_something_else_stays_apart() -> None:
    apart = [
        term("hotel", 0.02),
        term("hotel room", 0.02, now=0.05),  # of half as many calls, and no word is new
        term("hotel", 0.2, 0.1),  # fewer than before
        finding("answer_terms", "hotel", now=0.1, kind="term", term_hash=7),
        term("hotel", drift=False),
        term("flight"),
    ]
    assert merged(apart) == tuple(apart)


def test_what_lost_to_another_value_is_told_with_it() -> None:
    found = merged([finding(now=0.49), finding("prompt_years", "2023", 0.47, 0.0)])
    assert [each.value for each in found] == ["2024"]
    assert found[0].also == ("2023: 47 % before, 0 % now",)


def test_a_loss_to_several_values_stays_a_line_of_its_own() -> None:
    several = [finding(now=0.3), finding("prompt_years", "2025", 0, 0.3)]
    lost = finding("prompt_years", "2023", 0.3, 0.0)
    assert merged([*several, lost]) == (*several, lost)


def unseen(feature: str, value: str, ratio: float, *examples: str) -> Unseen:
    return Unseen(feature, "prompt", 1, (UnseenValue(value, ratio, examples),), ratio)


def test_answers_that_keep_to_a_year_are_told_with_the_new_year_of_their_prompts() -> None:
    kept = finding("answer_new_years", "2023", 0.0, 0.012)
    year = unseen("prompt_years", "2024", 0.013, *kept.example_call_ids)
    (told,) = beside_unseen([kept], [year])
    assert told.also == ("2024 in prompt_years, new",)


def test_an_unseen_value_of_other_calls_of_more_calls_or_told_already_is_not_told_beside() -> None:
    kept = finding("answer_new_years", "2023", 0.0, 0.1)
    year = finding("prompt_years", "2024", 0.0, 0.1)
    same = kept.example_call_ids
    for findings, values in (
        ([kept], unseen("prompt_years", "2024", 0.1, "f" * 32)),
        ([kept], unseen("prompt_years", "2024", 0.9, *same)),
        ([kept, year], unseen("prompt_years", "2024", 0.1, *same)),
    ):
        assert [each.also for each in beside_unseen(findings, [values])] == [()] * len(findings)
