"""Rows for training that give away rows held out."""

import random
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pytest

import exporters.guard
from exporters.fingerprints import fingerprint_of
from exporters.guard import Finding, Match, MatchKind, contaminated, refusal
from exporters.templates import Templates, TemplateSample
from storage.trace import Message
from tests.exporters.rows import ANSWER

Conversation = Sequence[Message]


def text_of(count: int, seed: int) -> str:
    chance = random.Random(seed)
    return " ".join(f"w{chance.randrange(10**6)}" for _ in range(count))


def asking(text: str) -> Conversation:
    return (Message("user", text), ANSWER)


def edited(text: str, changes: int, seed: int) -> str:
    """Change words, far enough from each other that each changes five shingles."""
    words = text.split()
    step = len(words) // changes
    for number in range(changes):
        words[number * step + step // 2] = f"x{seed}"
    return " ".join(words)


def written(path: Path, rows: Sequence[Conversation], templates: Templates | None = None) -> Path:
    templates = templates or Templates()
    path.write_bytes(b"".join(fingerprint_of(row, (), str(row), templates) for row in rows))
    return path


def found(
    tmp_path: Path, candidates: Sequence[Conversation], *held_out: Sequence[Conversation]
) -> Sequence[Match]:
    files = [written(tmp_path / str(number), rows) for number, rows in enumerate(held_out)]
    return list(contaminated(written(tmp_path / "candidates", candidates), files))


def test_planted_copies_are_all_found_and_nothing_else_is(tmp_path: Path) -> None:
    held_out = [asking(text_of(20 + number % 300, number)) for number in range(1_000)]
    clean = [asking(text_of(20 + number % 300, 10_000 + number)) for number in range(3_000)]
    copies = [asking(row[0].text.upper()) for row in held_out[:20]]
    long = [row[0].text for row in held_out if len(row[0].text.split()) >= 200][:20]
    near = [asking(edited(text, max(1, len(text.split()) // 100), 1)) for text in long]
    matches = found(tmp_path, [*clean[:1_500], *copies, *near, *clean[1_500:]], held_out)
    assert [match.row for match in matches] == list(range(1_500, 1_540))
    assert [match.kind for match in matches[:20]] == [MatchKind.CONTENT] * 20
    assert [match.kind for match in matches[20:]] == [MatchKind.NEAR_DUPLICATE] * 20
    assert [match.held_out_row for match in matches[:20]] == list(range(20))
    assert all(0.8 < match.similarity < 0.99 for match in matches[20:])


def test_a_conversation_that_goes_on_from_a_test_row_is_found(tmp_path: Path) -> None:
    """As where only the later calls of a conversation name their session."""
    first = asking("I ordered the Tarn tent on 30 May and it never came")
    second = (*first, Message("user", "It is FN-3"))
    third = (*second, ANSWER, Message("user", "Thanks"), ANSWER)
    (match,) = found(tmp_path, [third], [first])
    assert match == Match(0, 0, 0, MatchKind.EARLIER_TURN, 1.0)
    (match,) = found(tmp_path, [third], [(*second, ANSWER)])
    assert match.kind is MatchKind.EARLIER_TURN
    assert found(tmp_path, [first], [third]) == []


def test_a_greeting_in_common_is_no_conversation_in_common(tmp_path: Path) -> None:
    long = (*asking("Hello!"), Message("user", "Where is order 17?"), ANSWER)
    assert found(tmp_path, [long], [asking("Hello!")]) == []


def test_a_turn_under_other_instructions_is_another(tmp_path: Path) -> None:
    text = "I ordered the Tarn tent on 30 May and it never came"
    long = (Message("system", "Be terse."), *asking(text), Message("user", "Well?"), ANSWER)
    assert found(tmp_path, [long], [(Message("system", "Translate."), *asking(text))]) == []


def test_another_answer_to_the_same_question_is_found(tmp_path: Path) -> None:
    other = (Message("user", "When do you open?"), Message("assistant", "never"))
    (match,) = found(tmp_path, [other], [asking("when do you open?")])
    assert match == Match(0, 0, 0, MatchKind.CONTENT, 1.0)


@pytest.mark.parametrize("count", [6, 19, 20, 24])
def test_short_questions_are_compared_by_characters(tmp_path: Path, count: int) -> None:
    """One word more makes most of five words in a row new, up to where one is long enough."""
    text = text_of(count, seed=1)
    (match,) = found(tmp_path, [asking(f"Hm, {text}")], [asking(text)])
    assert match.kind is MatchKind.NEAR_DUPLICATE
    assert found(tmp_path, [asking(text_of(count, seed=2))], [asking(text)]) == []


def test_a_short_question_with_another_number_is_another_question(tmp_path: Path) -> None:
    question = "please tell me where in the world my order 17 is now"
    for asked, count in (
        (question.replace("17", "18"), 0),
        (question.replace("order", "orders"), 1),
        (question.replace(" 17", ""), 1),
    ):
        assert len(found(tmp_path, [asking(asked)], [asking(question)])) == count


def test_inputs_of_twenty_words_and_more_are_compared_by_words_alone(tmp_path: Path) -> None:
    text = text_of(24, seed=1)
    changed = text.replace(text.split()[12], "x")
    assert found(tmp_path, [asking(changed)], [asking(text)]) == []


def test_a_last_message_of_many_words_is_found_in_another_conversation(tmp_path: Path) -> None:
    last = Message("user", text_of(30, seed=1))
    one, other = ((Message("user", text_of(300, seed)), ANSWER, last, ANSWER) for seed in (2, 3))
    (match,) = found(tmp_path, [one], [other])
    assert match.kind is MatchKind.LAST_TURN


def test_the_nearest_of_several_rows_is_named(tmp_path: Path) -> None:
    text = text_of(300, seed=1)
    rows = [asking(edited(text, changes, 2)) for changes in (6, 2, 4)]
    (match,) = found(tmp_path, [asking(text)], rows[:1], rows)
    assert (match.held_out, match.held_out_row) == (1, 1)
    (match,) = found(tmp_path, [asking(text)], rows, [asking("hi"), asking(text)])
    assert (match.held_out, match.held_out_row, match.similarity) == (1, 1, 1.0)


def test_many_rows_held_out_are_looked_at_part_by_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [asking(text_of(40, seed)) for seed in range(100)]
    whole = found(tmp_path, rows[20:80], rows)
    monkeypatch.setattr(exporters.guard, "HELD_OUT_AT_ONCE", 7)
    monkeypatch.setattr(exporters.guard, "CANDIDATES_AT_ONCE", 9)
    assert found(tmp_path, rows[20:80], rows) == whole
    assert [match.held_out_row for match in whole] == list(range(20, 80))


def test_nothing_is_found_where_nothing_is_held_out(tmp_path: Path) -> None:
    assert found(tmp_path, [asking("hi")], [], []) == []
    assert found(tmp_path, [], [asking("hi")]) == []


def test_questions_in_one_template_are_not_alike(tmp_path: Path) -> None:
    template = text_of(200, seed=1)
    rows = [asking(f"{template} {text_of(25, seed)}") for seed in range(2, 102)]
    assert len(found(tmp_path, rows[:50], rows[50:])) == 50
    sample = TemplateSample(len(rows))
    for row in rows:
        sample.add(row)
    templates = sample.templates()
    candidates = written(tmp_path / "candidates", rows[:50], templates)
    assert not list(contaminated(candidates, [written(tmp_path / "0", rows[50:], templates)]))


def test_a_refusal_names_the_first_rows_and_says_what_to_do() -> None:
    findings = [
        Finding("train.jsonl", row, f"a{row}", "test.jsonl", 7, "b", kind, similarity)
        for row, kind, similarity in chain(
            [(1, MatchKind.CONTENT, 1.0), (2, MatchKind.NEAR_DUPLICATE, 0.9)],
            [(row, MatchKind.LAST_TURN, 1.0) for row in range(3, 20)],
        )
    ]
    lines = str(refusal(findings, 19)).splitlines()
    assert lines[0].startswith("19 rows for training")
    assert lines[1].strip() == (
        "train.jsonl row 1 (call a1) and test.jsonl row 7 (call b): the same input"
    )
    assert lines[2].endswith("nearly the same input, similarity 0.90")
    assert lines[11] == "  and 9 more"
    assert "--drop-contaminated" in lines[12]
    assert len(str(refusal(findings[:2], 2)).splitlines()) == 4
