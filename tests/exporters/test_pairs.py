"""Which of two answers is better is said by somebody, or it is no pair."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from exporters.formats import FORMATS
from exporters.labelling import LabelPolicy
from exporters.pairs import CALLS_HELD_MAX, Pairs
from exporters.selection import Example
from storage.derive import derive
from storage.labels import Label, LabelSource, Score, ScoreSource, Status, Value
from storage.trace import Json, Message
from tests.exporters.calls import chat, said
from tests.shared import data_set

START = datetime(2026, 10, 1, tzinfo=UTC)


def label(number: int, text: str, source: LabelSource = LabelSource.HUMAN) -> Label:
    status = Status.ACCEPTED if source is LabelSource.HUMAN else Status.PROPOSED
    message = Message("assistant", text)
    return Label(
        f"l{number}", "default", f"{number:032x}", "", "", START, message, "", source, "", status
    )


def score(number: int, name: str, value: Value, minute: int = 0) -> Score:
    at = START + timedelta(minutes=minute)
    source = ScoreSource.FEEDBACK
    return Score("s", "default", f"{number:032x}", "", "", at, name, value, "", source, "")


def add(
    pairs: Pairs,
    number: int,
    answer: str,
    *scores: Score,
    asked: str = "hello",
    labels: tuple[Label, ...] = (),
    regenerates: int = 0,
) -> None:
    span = derive(chat(number, [said("user", asked)], said("assistant", answer)))
    pairs.add(
        span,
        labels=labels,
        scores=scores,
        regenerated_from=f"{regenerates:032x}" if regenerates else "",
    )


def new(*, with_regenerations: bool = False) -> Pairs:
    return Pairs(LabelPolicy.parse(), with_regenerations=with_regenerations)


def shown(pairs: Pairs) -> list[tuple[int, str, str, str]]:
    return [
        (
            int(one.call_id, 16),
            one.messages[-1].text,
            one.rejected.text if one.rejected else "",
            one.pair_source,
        )
        for one in pairs.examples()
    ]


def test_a_correction_is_preferred_to_what_it_corrects() -> None:
    pairs = new()
    add(pairs, 1, "worse", labels=(label(1, "better"),))
    (one,) = pairs.examples()
    assert (one.messages[-1].text, one.rejected, one.pair_source) == (
        "better",
        Message("assistant", "worse"),
        "label",
    )
    assert (one.answer_source, one.label_id, one.continued) == ("human", "l1", ())


def test_a_number_that_no_machine_has_in_a_tool_is_no_obstacle() -> None:
    pairs = new()
    function: Json = {"name": "pay", "parameters": {"type": "integer", "maximum": 10**30}}
    asked = [said("user", "pay it")]
    tools: Json = [{"type": "function", "function": function}]
    span = derive(chat(1, asked, said("assistant", "worse"), tools=tools))
    pairs.add(span, labels=(label(1, "better"),))
    assert shown(pairs) == [(1, "better", "worse", "label")]


def test_a_proposal_that_the_policy_does_not_take_is_no_pair() -> None:
    pairs = new()
    add(pairs, 1, "worse", labels=(label(1, "better", LabelSource.MODEL),))
    assert shown(pairs) == []
    assert pairs.unpaired_count == 1


def test_of_the_same_request_the_higher_score_is_preferred() -> None:
    pairs = new()
    add(pairs, 1, "bad", score(1, "thumbs", False))
    add(pairs, 2, "good", score(2, "thumbs", True))
    add(pairs, 3, "other", score(3, "thumbs", True), asked="something else")
    (one,) = pairs.examples()
    assert (one.messages[-1].text, one.pair_source) == ("good", "score")
    assert one.continued == (f"{2:032x}",)
    assert (pairs.continued_count, pairs.unpaired_count) == (1, 1)


def test_each_call_that_loses_loses_to_the_best() -> None:
    pairs = new()
    for number, value in enumerate([0.2, 0.9, 0.5], 1):
        add(pairs, number, f"answer {value}", score(number, "judge", value))
    assert shown(pairs) == [
        (1, "answer 0.9", "answer 0.2", "score"),
        (3, "answer 0.9", "answer 0.5", "score"),
    ]


def test_scores_that_disagree_or_are_texts_or_equal_are_no_pair() -> None:
    pairs = new()
    add(pairs, 1, "a", score(1, "short", 1), score(1, "right", 0), score(1, "tone", "rude"))
    add(pairs, 2, "b", score(2, "short", 0), score(2, "right", 1), score(2, "tone", "kind"))
    add(pairs, 3, "c", score(3, "elsewhere", 5))
    assert shown(pairs) == []
    assert pairs.unpaired_count == 3


def test_the_newest_score_of_a_name_counts() -> None:
    pairs = new()
    add(pairs, 1, "a", score(1, "thumbs", True), score(1, "thumbs", False, minute=1))
    add(pairs, 2, "b", score(2, "thumbs", True))
    assert shown(pairs) == [(1, "b", "a", "score")]


def test_answers_that_say_the_same_are_no_pair() -> None:
    pairs = new()
    add(pairs, 1, "good day", score(1, "thumbs", False), labels=(label(1, "good  day\n"),))
    add(pairs, 2, "good\nday", score(2, "thumbs", True))
    assert shown(pairs) == []


def test_a_regeneration_counts_only_if_asked_for_and_after_all_else() -> None:
    for wanted in (False, True):
        pairs = new(with_regenerations=wanted)
        add(pairs, 1, "first", asked="hello")
        add(pairs, 2, "second", asked="hello ", regenerates=1)
        add(pairs, 3, "third", asked="hello", labels=(label(3, "fourth"),), regenerates=2)
        weak = [(1, "third", "first", "regeneration"), (2, "third", "second", "regeneration")]
        assert shown(pairs) == [*(weak if wanted else []), (3, "fourth", "third", "label")]


def test_equal_calls_that_nobody_regenerated_are_no_regenerations() -> None:
    pairs = new(with_regenerations=True)
    add(pairs, 1, "first")
    add(pairs, 2, "second")
    assert shown(pairs) == []


def test_the_pairs_are_the_same_in_any_order_of_scores() -> None:
    found = []
    for scores in ([0, 1], [1, 0]):
        pairs = new()
        names = ["x", "y"]
        add(pairs, 1, "a", *(score(1, names[i], 0) for i in scores))
        add(pairs, 2, "b", *(score(2, names[i], 1) for i in scores))
        found.append(shown(pairs))
    assert found[0] == found[1] != []


def test_calls_beyond_the_limit_are_counted() -> None:
    pairs = new()
    for number in range(1, CALLS_HELD_MAX + 3):
        add(pairs, number, "a")
    assert shown(pairs) == []
    assert pairs.unpaired_count == CALLS_HELD_MAX + 2


@pytest.mark.parametrize("name", ["dpo_en", "dpo_zh"])
def test_pairs_of_the_data_sets_are_rows_of_both_formats(name: str) -> None:
    path = data_set(name)
    found: list[Example] = []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for number, row in enumerate(rows, 1):
        pairs = new()
        labels = (label(number, row["labels"]["chosen"]),)
        asked = row["messages"][0]["content"]
        add(pairs, number, row["labels"]["rejected"], asked=asked, labels=labels)
        found += pairs.examples()
    assert len(found) == len(rows)
    for format in ("openai-dpo", "trl-dpo"):
        for one in found:
            assert FORMATS[format].unfit_row(one) is None
            assert json.loads(FORMATS[format].row(one))
