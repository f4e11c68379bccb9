"""Texts as a whole: what the classifier and the embeddings say of two windows."""

import numpy as np
import pytest

from exporters.comparison import Comparison
from exporters.text_differences import (
    Embeddings,
    compare_embeddings,
    compare_texts,
    compare_wording,
    varying_texts,
)
from exporters.windows import Window
from tests.exporters.columns_made import compared, made


def answers(count: int, seed: int, longer: float = 0.0, prefix: str = "a") -> Window:
    chance = np.random.default_rng(seed)
    words = [set(chance.zipf(1.3, 20).clip(max=3_000).tolist()) for _ in range(count)]
    fields = [{5_000 + int(chance.integers(3))} for _ in range(count)]
    return made(
        count,
        numbers={"answer_words": chance.normal(100 + longer, 10, count)},
        terms={"answer_terms": words, "answer_fields": fields},
        prefix=prefix,
    )


def test_another_way_to_write_is_told_apart_and_has_examples() -> None:
    both = compared(answers(500, 1), answers(500, 2, longer=10, prefix="b"))
    tested, judged = compare_texts("answer", both, 0.1)
    assert judged is not None
    assert tested.drift
    assert (tested.name, tested.kind) == ("answer_classifier", "classifier")
    assert tested.findings[0].p_adjusted == pytest.approx(10 * judged.p_value)
    assert "tells the answers of now from those of the reference" in tested.findings[0].sentence
    assert all(each.startswith("b") for each in tested.findings[0].example_call_ids)


def test_the_same_texts_are_quiet() -> None:
    tested, _ = compare_texts("answer", compared(answers(300, 1), answers(300, 2)), 0.1)
    assert (tested.drift, tested.findings) == (False, ())


def test_a_small_sample_is_not_judged() -> None:
    tested, judged = compare_texts("answer", compared(answers(300, 1), answers(20, 2)), 0.1)
    assert judged is None
    assert "sample" in tested.note


def test_a_side_without_terms_has_no_texts() -> None:
    both = compared(answers(100, 1), answers(100, 2))
    assert varying_texts("answer", both)
    assert not varying_texts("prompt", both)
    assert not varying_texts("answer", compared(answers(100, 1), answers(0, 2)))


def embedded(both: Comparison, moved: float) -> Embeddings:
    chance = np.random.default_rng(1)
    sides = [
        chance.normal(0, 1, (len(window), 16)).astype(np.float32)
        for window in (both.reference, both.current)
    ]
    sides[1][: round(moved * len(sides[1]))] += 1.5
    return Embeddings(
        sides[0],
        sides[1],
        reference_call_ids=both.reference.call_ids,
        current_call_ids=both.current.call_ids,
    )


def test_embeddings_that_moved_are_found_with_examples() -> None:
    both = compared(made(500), made(500, prefix="b"))
    tested = compare_embeddings(embedded(both, 0.2), both, 0.1)
    assert tested.drift
    rows = [both.current.call_ids.index(each) for each in tested.findings[0].example_call_ids]
    assert max(rows) < 100


def test_embeddings_that_say_nothing_are_not_tested_and_say_why() -> None:
    both = compared(made(300), made(300))
    zeros = np.zeros((300, 8), dtype=np.float32)
    tested = compare_embeddings(Embeddings(zeros, zeros), both, 0.1)
    assert "zeros" in tested.note
    assert (tested.p_adjusted, tested.drift) == (1.0, False)
    none = np.zeros((0, 8), dtype=np.float32)
    assert "no texts" in compare_embeddings(Embeddings(none, zeros), both, 0.1).note


def test_vectors_of_calls_that_are_not_compared_are_left_out() -> None:
    both = compared(made(300), made(300, prefix="b"))
    given = embedded(both, 0.2)
    # Without the first 60 calls, which are those that moved, nothing has.
    fewer = compared(both.reference, made(300, prefix="c"))
    kept = Embeddings(
        given.reference,
        given.current,
        reference_call_ids=given.reference_call_ids,
        current_call_ids=(*("x",) * 60, *fewer.current.call_ids[60:]),
    )
    assert not compare_embeddings(kept, fewer, 0.1).drift


def prompts_of(count: int, seed: int, topic: float, prefix: str = "a") -> Window:
    """Make prompts of which a share `topic` takes some of its words from a range of its own."""
    chance = np.random.default_rng(seed)
    rows = [
        [*chance.integers(0, 2_000, 20), *(chance.integers(3_000, 3_400, 8) if of_topic else ())]
        for of_topic in chance.random(count) < topic
    ]
    hashes = [[int(word) << 12 for word in row] for row in rows]  # as far apart as hashes are
    return made(count, terms={"prompt_terms": hashes}, prefix=prefix)


def test_a_topic_without_a_word_of_its_own_is_found_in_the_sum_of_words() -> None:
    both = compared(prompts_of(800, 1, 0.0), prompts_of(800, 2, 0.3, prefix="b"))
    tested = compare_wording("prompt", both, 0.2)
    (finding,) = tested.findings
    assert tested.drift
    assert (finding.feature, finding.kind, finding.term_hash) == (
        "prompt_wording",
        "embedding",
        None,
    )
    assert "use other words than those of the reference" in finding.sentence
    assert all(each.startswith("b") for each in finding.example_call_ids)


def test_the_same_words_are_quiet_and_few_calls_are_not_tested() -> None:
    both = compared(prompts_of(400, 1, 0.1), prompts_of(400, 2, 0.1))
    assert compare_wording("prompt", both, 0.2).findings == ()
    few = compared(prompts_of(400, 1, 0.1), prompts_of(20, 2, 0.1))
    assert "sample" in compare_wording("prompt", few, 0.2).note
