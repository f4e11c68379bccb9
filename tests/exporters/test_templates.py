"""Text that many prompts share."""

import pickle
import random

import numpy as np
import pytest

from exporters.shingles import word_shingles, words_of
from exporters.templates import (
    INPUTS_MIN,
    SAMPLE_GROUPS,
    TABLE_SIZE,
    Templates,
    TemplateSample,
    TemplatesError,
    inputs_needed,
    read_templates,
    templates_json,
)
from storage.trace import Message
from tests.exporters.calls import WORDS

BEFORE = "read the review between the lines and say how the writer felt about it"
AFTER = "answer with one of the words good or bad and with nothing else at all"


def said(chance: random.Random, count: int = 30) -> str:
    return " ".join(chance.choices(WORDS, k=count))


def wrapped(chance: random.Random) -> str:
    return f"{BEFORE} {said(chance)} {AFTER}"


def learnt(texts: list[str]) -> Templates:
    sample = TemplateSample(len(texts))
    for text in texts:
        sample.add([Message("user", text)])
    return sample.templates()


def own_words(templates: Templates, text: str) -> str:
    words = words_of(text)
    template = templates.words(word_shingles(words.hashes))
    return text if template is None else words.only(~template).text


def test_what_many_prompts_share_is_template_before_and_after() -> None:
    chance = random.Random(1)
    templates = learnt([wrapped(chance) for _ in range(100)])
    new = said(chance)
    assert own_words(templates, f"{BEFORE} {new} {AFTER}") == new


def test_a_template_with_a_slip_in_it_is_still_one_around_it() -> None:
    chance = random.Random(2)
    templates = learnt([wrapped(chance) for _ in range(100)])
    slip = BEFORE.replace("lines", "rules", 1)
    left = own_words(templates, f"{slip} one two")
    assert "rules" in left
    assert left.endswith("one two")
    assert "how the writer felt" not in left


def test_text_of_two_groups_is_no_template_nor_are_short_phrases() -> None:
    chance = random.Random(3)
    twice = said(chance)
    phrase = "could you please tell me about"
    templates = learnt([twice, f"{twice} x", *(f"{phrase} {said(chance)}" for _ in range(100))])
    assert own_words(templates, twice) == twice
    assert own_words(templates, f"{phrase} me") == f"{phrase} me"


def test_a_question_that_many_ask_is_no_template() -> None:
    chance = random.Random(4)
    question = said(chance)
    templates = learnt([question] * 50 + [said(chance) for _ in range(50)])
    assert own_words(templates, question) == question


def test_what_more_prompts_share_than_a_byte_can_count_is_template() -> None:
    templates = learnt([f"{BEFORE} {number}" for number in range(260)])
    assert own_words(templates, f"{BEFORE} me") == "me"


@pytest.mark.parametrize(("count", "is_learnt"), [(2, False), (3, True)])
def test_of_few_prompts_three_must_share_a_template(count: int, is_learnt: bool) -> None:
    chance = random.Random(5)
    templates = learnt([wrapped(chance) for _ in range(count)])
    assert (templates.common is not None) is is_learnt


def test_of_many_prompts_ten_must_share_a_template() -> None:
    chance = random.Random(6)
    others = [said(chance) for _ in range(100)]
    few, enough = (
        learnt([*others, *(wrapped(chance) for _ in range(count))])
        for count in (INPUTS_MIN - 1, INPUTS_MIN)
    )
    assert own_words(few, BEFORE) == BEFORE
    assert own_words(enough, BEFORE) == ""


@pytest.mark.parametrize(
    ("inputs", "needed"), [(0, 3), (15, 3), (20, 5), (40, 10), (4_000, 10), (10_000, 25)]
)
def test_the_more_prompts_there_are_the_more_must_share_a_template(
    inputs: int, needed: int
) -> None:
    assert inputs_needed(inputs) == needed


def test_what_is_learnt_does_not_depend_on_the_order_and_can_be_sent_to_a_process() -> None:
    chance = random.Random(7)
    texts = [wrapped(chance) for _ in range(50)]
    first, second = learnt(texts), learnt(texts[::-1])
    again = pickle.loads(pickle.dumps(first))
    assert first.common is not None
    assert np.array_equal(first.common, again.common)
    assert second.common is not None
    assert np.array_equal(first.common, second.common)


def test_about_so_many_groups_are_in_the_sample() -> None:
    groups = [f"{number:032x}" for number in range(50_000)]
    sample = TemplateSample(len(groups))
    assert sum(map(sample.wants, groups)) == pytest.approx(SAMPLE_GROUPS, rel=0.05)
    assert all(map(TemplateSample(5_000).wants, groups[:5_000]))


def test_without_a_sample_nothing_is_template() -> None:
    assert TemplateSample(0).templates().words(word_shingles(words_of(BEFORE).hashes)) is None


def test_templates_are_written_down_and_read_again() -> None:
    chance = random.Random(8)
    templates = learnt([wrapped(chance) for _ in range(50)])
    again = read_templates(templates_json(templates))
    assert templates.common is not None
    assert again.common is not None
    assert np.array_equal(again.common, templates.common)
    assert read_templates(templates_json(Templates())) == Templates()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "cannot be read"),
        ('{"shingle_words": 4, "table_bits": 23, "places": []}', "not known here"),
        ('{"shingle_words": 5, "table_bits": 23, "places": [8388608]}', "not in the table"),
        ('{"shingle_words": 5, "table_bits": 23, "places": [-1]}', "not in the table"),
    ],
)
def test_what_is_no_file_of_templates_is_refused(text: str, says: str) -> None:
    with pytest.raises(TemplatesError, match=says):
        read_templates(text.encode())


def test_templates_that_hide_nearly_everything_are_refused() -> None:
    most = Templates(np.arange(TABLE_SIZE) % 7 == 0)
    with pytest.raises(TemplatesError, match="nearly every text"):
        read_templates(templates_json(most))
