"""Which label takes the place of an answer, and what becomes of its call."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from exporters.dataset import export
from exporters.labelling import DEFAULT_POLICY, LabelPolicy, LabelPolicyError, choose, relabelled
from exporters.request import ExportRequest
from exporters.selection import Reason, Turns, reason_against
from storage.capture import Outcome
from storage.derive import derive
from storage.labels import FIRST_STATUS, Label, LabelSource, Status
from storage.rows import Recorded
from storage.trace import Message, Side
from tests.review.calls import chat
from tests.review.calls import id_of as recorded_id
from tests.storage.calls import at, capture_of, id_of, new_store, span_of, understood_of

START = datetime(2026, 10, 1, tzinfo=UTC)


def label(
    number: int, source: LabelSource, status: Status | None = None, minutes: int | None = None
) -> Label:
    return Label(
        id=f"{number:032x}",
        project="default",
        call_id=id_of(1),
        provider_id="",
        session_id="",
        created_at=START + timedelta(minutes=number if minutes is None else minutes),
        message=Message("assistant", f"Answer {number}."),
        note="",
        source=source,
        author="",
        status=status or FIRST_STATUS[source],
    )


def chosen(policy: str, *labels: Label) -> int:
    """The number of the label that a policy chooses, 0 for the original answer."""
    found = choose(labels, LabelPolicy.parse(policy))
    return int(found.id, 16) if found else 0


def test_the_newest_label_of_the_first_source_wins() -> None:
    labels = [label(1, LabelSource.HUMAN), label(3, LabelSource.MODEL, Status.ACCEPTED)]
    labels.insert(0, label(2, LabelSource.HUMAN))
    assert chosen(DEFAULT_POLICY, *labels) == 2
    assert chosen("accepted model > human", *labels) == 3


def test_labels_of_one_time_are_told_apart_by_their_ids() -> None:
    labels = [label(number, LabelSource.HUMAN, minutes=0) for number in (2, 3, 1)]
    assert chosen("human", *labels) == chosen("human", *reversed(labels)) == 3


def test_a_proposal_counts_only_where_the_policy_says_so() -> None:
    proposed = [label(1, LabelSource.MODEL), label(2, LabelSource.FEEDBACK)]
    assert chosen(DEFAULT_POLICY, *proposed) == 0
    assert chosen("feedback > original", *proposed) == 2
    assert chosen("model", *proposed) == 1
    assert chosen("accepted model", *proposed) == 0


def test_a_rejected_label_never_counts() -> None:
    rejected = [label(n, source, Status.REJECTED) for n, source in enumerate(LabelSource, 1)]
    assert chosen("human > model > feedback > import", *rejected) == 0


def test_feedback_that_somebody_accepted_is_a_human_label() -> None:
    assert chosen(DEFAULT_POLICY, label(1, LabelSource.FEEDBACK, Status.ACCEPTED)) == 1


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("human > robots", "'robots' is none of human, model, feedback, import, original"),
        ("", "'' is none of"),
        ("original > human", "nothing comes after original"),
        ("human > human", "twice"),
        ("accepted original", "'accepted original' is none of"),
    ],
)
def test_what_is_no_policy_is_refused_with_the_reason(text: str, part: str) -> None:
    with pytest.raises(LabelPolicyError, match=part):
        LabelPolicy.parse(text)


def test_a_policy_reads_as_it_was_written() -> None:
    assert str(LabelPolicy.parse()) == DEFAULT_POLICY
    assert str(LabelPolicy.parse("HUMAN>accepted  import")) == "human > accepted import > original"


def test_a_failed_call_with_a_label_is_an_example() -> None:
    capture = msgspec.structs.replace(capture_of(1), outcome=Outcome.UPSTREAM_ERROR)
    span = span_of(capture, understood_of("Q?", choices=(), ended=False))
    assert reason_against(span, Side.TRAIN, True) is Reason.FAILED
    given = label(1, LabelSource.HUMAN)
    better = relabelled(span, given)
    assert reason_against(better, Side.TRAIN, True) is None
    assert better.understood.choices[0].message == given.message
    assert better.understood.messages == span.understood.messages


def test_a_corrected_turn_has_a_row_of_its_own_and_is_untrained_in_the_next(
    tmp_path: Path,
) -> None:
    question = {"role": "user", "content": "Capital of France?"}
    wrong = {"role": "assistant", "content": "Lyon."}
    asked_on = [question, wrong, {"role": "user", "content": "And of Spain?"}]
    madrid = {"role": "assistant", "content": "Madrid."}
    calls = [chat(1, [question], wrong, session="s"), chat(2, asked_on, madrid, session="s")]
    failed = chat(3, [{"role": "user", "content": "Broken?"}], None, session="s")
    calls.append(with_outcome(failed, Outcome.UPSTREAM_ERROR))
    store = new_store(f"sqlite:///{tmp_path / 'shalt.sqlite'}", test_ratio=0.0, val_ratio=0.0)
    human = LabelSource.HUMAN
    said = [
        msgspec.structs.replace(label(7, human), call_id=recorded_id(1)),
        msgspec.structs.replace(label(8, human), call_id=recorded_id(3)),
    ]
    store.insert(calls, at(1), said=said)
    export(store, ExportRequest(turns=Turns.LEAF), tmp_path / "set", processes=1)
    rows = [json.loads(line) for line in _lines(tmp_path, "train.jsonl")]
    said_in = [
        [(m["content"], m.get("weight")) for m in row["messages"] if m["role"] == "assistant"]
        for row in rows
    ]
    assert said_in == [
        [("Answer 7.", None)],
        [("Lyon.", 0), ("Madrid.", None)],
        [("Answer 8.", None)],
    ]
    ids = [json.loads(line) for line in _lines(tmp_path, "ids.jsonl")]
    assert [line.get("answer") for line in ids] == ["human", None, "human"]
    assert ids[0]["label"] == f"{7:032x}"
    assert (tmp_path / "set" / "needs_label.jsonl").read_text() == ""
    store.close()


def with_outcome(call: Recorded, outcome: Outcome) -> Recorded:
    capture = msgspec.structs.replace(call.capture, outcome=outcome)
    return msgspec.structs.replace(call, capture=capture, span=derive(capture))


def _lines(folder: Path, name: str) -> list[str]:
    return (folder / "set" / name).read_text().splitlines()
