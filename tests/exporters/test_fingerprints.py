"""A row as bytes that tell what it asks and what it is."""

import random
import time
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from exporters.fingerprints import (
    CHAR_WORDS_END,
    FINGERPRINT,
    WORDS_MIN,
    Conversation,
    fingerprint_of,
    fingerprints,
    other_numbers,
    read_fingerprints,
    similarity,
)
from exporters.selection import Example
from exporters.shingles import word_shingles, words_of
from exporters.templates import Templates, TemplateSample
from storage.trace import Message, Tool, ToolCall
from tests.exporters.rows import ANSWER, USER, calling, example, picture

NONE = Templates()


def fingerprint(one: Example, templates: Templates) -> bytes:
    return fingerprint_of(one.messages, one.tools, one.call_id, templates)


def read(one: Example, templates: Templates = NONE) -> np.void:
    found: np.void = np.frombuffer(fingerprint(one, templates), dtype=FINGERPRINT)[0]
    return found


def asking(text: str, *, system: str = "", answer: str = "good day") -> Example:
    instructions = (Message("system", system),) if system else ()
    return example(*instructions, Message("user", text), Message("assistant", answer))


def text_of(count: int, seed: int = 0) -> str:
    chance = random.Random(seed)
    return " ".join(f"w{chance.randrange(10**9)}" for _ in range(count))


def estimated(one: Example, other: Example, name: str = "word_sketch") -> float:
    share = (read(one)[name] == read(other)[name]).mean(keepdims=True)
    return float(similarity(share)[0])


def test_every_fingerprint_has_the_same_length() -> None:
    for text in ("", "hi", text_of(22), text_of(1_000), "你好" * 1_000):
        assert len(fingerprint(asking(text), NONE)) == FINGERPRINT.itemsize == 624


def test_a_fingerprint_is_the_same_alone_and_among_others() -> None:
    sample = TemplateSample(100)
    shared = text_of(30, seed=99)
    for seed in range(40):
        sample.add(asking(f"{shared} {text_of(9, seed)}").messages)
    texts = ["", "hi 7", "你好" * 9, text_of(22), "été… oui", f"{shared} {text_of(60)}", " ... "]
    rows = [asking(text) for text in texts]
    rows += [
        example(USER, ANSWER, Message("user", text_of(40)), Message("tool", "«x»"), ANSWER),
        example(Message("tool", "sunny"), ANSWER),
        example(picture(), ANSWER),
        asking(shared, system="Be kind."),
    ]
    batch = [Conversation(row.messages, row.tools, row.call_id) for row in rows]
    for templates in (NONE, sample.templates()):
        alone = [fingerprint(row, templates) for row in rows]
        assert len(set(alone)) == len(rows)
        assert fingerprints(batch, templates) == alone
        assert fingerprints(batch[::-1], templates) == alone[::-1]
    assert fingerprints((), NONE) == []


def test_an_input_is_the_same_whatever_its_case_white_space_and_answer() -> None:
    one = read(asking("Is it\n open?", system="It is 9:00."))
    same = read(asking("is it open?  ", system="It is 10:00.", answer="no"))
    other = read(asking("is it open?", system="It is late."))
    assert one["input"] == same["input"] != other["input"]
    assert one["row"] != same["row"]


def test_the_last_words_of_a_user_count_where_they_are_many() -> None:
    long, short = text_of(WORDS_MIN), text_of(WORDS_MIN - 1)
    alone, later = (
        read(example(*before, Message("user", long), ANSWER)) for before in ((), (USER, ANSWER))
    )
    assert alone["last"] == later["last"] != 0
    assert alone["input"] != later["input"]
    assert read(asking(short))["last"] == 0
    after_long = example(Message("user", long), ANSWER, Message("user", short), ANSWER)
    assert read(after_long)["last"] == 0


def test_a_row_is_equal_to_another_but_for_its_ids() -> None:
    tool = Tool("look_up", "Find it", {"type": "object"})
    first, second = (
        example(USER, calling(ToolCall("look_up", "{}", id=name)), tools=(tool,)) for name in "ab"
    )
    second = replace(second, call_id="1" * 32)
    assert read(first)["row"] == read(second)["row"]
    assert read(first)["order"] != read(second)["order"]
    changed = [
        replace(first, tools=()),
        example(USER, calling(ToolCall("look_up", "[]")), tools=(tool,)),
        example(USER, ANSWER, tools=(tool,)),
        example(Message("assistant", "hello"), ANSWER, tools=(tool,)),
    ]
    assert len({int(read(one)["row"]) for one in (first, *changed)}) == 5


@pytest.mark.parametrize(
    ("words", "by_word", "by_char"),
    [(0, False, False), (WORDS_MIN - 1, False, True), (WORDS_MIN, True, True)]
    + [(CHAR_WORDS_END - 1, True, True), (CHAR_WORDS_END, True, False)],
)
def test_a_short_input_has_a_sketch_of_characters_a_long_one_of_words(
    words: int, by_word: bool, by_char: bool
) -> None:
    found = read(asking(text_of(words)))
    assert found["words"] == words
    assert bool(found["word_sketch"].any()) is by_word
    assert bool(found["char_sketch"].any()) is by_char


@pytest.mark.parametrize("count", [60, 300, 2_000])
def test_a_sketch_estimates_the_similarity(count: int) -> None:
    words = text_of(count).split()
    changed = [*words[: count * 17 // 20], *text_of(count * 3 // 20, seed=1).split()]
    first, second = (
        set(word_shingles(words_of(" ".join(text)).hashes).tolist()) for text in (words, changed)
    )
    exact = len(first & second) / len(first | second)
    found = estimated(asking(" ".join(words)), asking(" ".join(changed)))
    assert found == pytest.approx(exact, abs=4 * 0.03)


def test_sketches_of_long_unlike_texts_agree_in_nothing() -> None:
    one, other = (asking(text_of(20_000, seed)) for seed in (1, 2))
    assert estimated(one, other) < 0.05


def test_short_inputs_are_alike_only_under_one_system_message() -> None:
    one, same, other = (
        asking("Yes, please do", system=system) for system in ("Book.", "Book.", "Cancel.")
    )
    assert estimated(one, same, "char_sketch") == 1
    assert estimated(one, other, "char_sketch") < 0.1


def test_a_word_of_megabytes_takes_no_longer_than_as_many_words() -> None:
    started = time.process_time()
    assert read(asking("a" * 2_000_000))["numbers"] == 0
    assert time.process_time() - started < 20  # the square of its length would be hours


def test_other_numbers_are_as_many_and_not_the_same() -> None:
    one, same, other, fewer = (
        read(asking(text))["numbers"] for text in ("go to a17 now", "go to A17", "go to 18", "go")
    )
    assert not other_numbers(one, same)
    assert other_numbers(one, other)
    assert not other_numbers(one, fewer)
    assert not other_numbers(fewer, fewer)


def test_long_inputs_are_alike_under_any_system_message_but_not_with_other_images() -> None:
    long = text_of(100)
    one, other = (asking(long, system=system) for system in ("Book.", "Cancel."))
    assert estimated(one, other) == 1
    with_image = example(picture(), ANSWER, Message("user", long), ANSWER)
    assert estimated(one, with_image) < 0.1


def test_what_is_template_makes_no_two_inputs_alike() -> None:
    sample = TemplateSample(20)
    template = text_of(100, seed=1)
    for seed in range(2, 22):
        sample.add([Message("user", f"{template} {text_of(30, seed)}")])
    templates = sample.templates()
    one, other = (
        read(asking(f"{template} {text_of(count, seed)}"), templates)
        for count, seed in ((30, 30), (10, 31))
    )
    assert [int(row["words"]) for row in (one, other)] == [30, 10]
    assert other["last"] == 0
    bare = read(asking(text_of(30, 30)), templates)
    assert (one["word_sketch"] == bare["word_sketch"]).all()


def test_a_short_input_in_another_template_is_another_input() -> None:
    sample = TemplateSample(40)
    first, second = text_of(20, seed=1), text_of(20, seed=2)
    for seed in range(3, 23):
        sample.add([Message("user", f"{first} {text_of(5, seed)}")])
        sample.add([Message("user", f"{second} {text_of(5, seed)}")])
    templates = sample.templates()
    one, same, other = (
        read(asking(f"{template} red green blue"), templates)["char_sketch"]
        for template in (first, first, second)
    )
    assert (one == same).all()
    assert (one == other).mean() < 0.1


def test_fingerprints_are_read_from_a_file_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "fingerprints"
    path.write_bytes(b"")
    assert list(read_fingerprints(path, 2)) == []
    texts = ("a", "b c", "d e f")
    path.write_bytes(b"".join(fingerprint(asking(text), NONE) for text in texts))
    assert [part["words"].tolist() for part in read_fingerprints(path, 2)] == [[1, 2], [3]]
