"""What was said of a call, in order, with what labels change."""

from review.history import DIFF_WORDS_MAX, history
from storage.labels import LabelSource, Status
from storage.trace import Message, ToolCall
from tests.storage.saying import label, score, verdict


def test_everything_is_told_in_the_order_of_its_time() -> None:
    entries = history(
        Message("assistant", "One two three."),
        [score(5, 1, 4.0), score(2, 1, True, comment="so so")],
        [label(3, 1, "One two four.", source=LabelSource.FEEDBACK)],
        [verdict(4, 1, 3, Status.REJECTED)],
    )
    assert [entry.title for entry in entries] == [
        "good = true",
        "corrected answer",
        "label rejected",
        "good = 4",
    ]
    assert entries[0].note.text == "so so"
    assert entries[1].by == "feedback · ada"
    assert (entries[1].may_be_accepted, entries[1].may_be_rejected) == (True, True)
    assert not entries[0].may_be_accepted


def test_a_change_is_told_word_by_word() -> None:
    (entry,) = history(Message("assistant", "It is Lyon."), [], [label(1, 1, "It is Paris.")], [])
    assert [(change.kind, change.text) for change in entry.changes] == [
        ("same", "It is "),
        ("removed", "Lyon"),
        ("added", "Paris"),
        ("same", "."),
    ]
    assert entry.passage.text == ""


def test_a_label_of_no_answer_or_a_long_one_is_shown_whole() -> None:
    long = "word " * DIFF_WORDS_MAX
    for original in (None, Message("assistant"), Message("assistant", long)):
        (entry,) = history(original, [], [label(1, 1, "Better.")], [])
        assert (entry.changes, entry.passage.text) == ((), "Better.")


def test_tool_calls_of_a_label_are_shown() -> None:
    message = Message("assistant", None, (ToolCall("find", '{"city":"Paris"}'),))
    (entry,) = history(None, [], [label(1, 1, message=message)], [])
    assert [(call.name, call.arguments.is_json) for call in entry.calls] == [("find", True)]
