"""What becomes of a call in a dataset: its label, its parts, its row and where that is from."""

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from exporters import turns as turns_module
from exporters.dataset import export
from exporters.manifest import Manifest
from exporters.request import ExportRequest
from exporters.row_lines import IDS_FILE, NEEDS_LABEL_FILE, UNFIT_FILE, IdLine
from exporters.selection import Reason, Turns
from storage.capture import Capture, Outcome
from storage.labels import Label, LabelSource, Status
from storage.rows import Checkpoint
from storage.store import TraceStore
from storage.targeted import create_test_set
from storage.trace import Json, Message, Side
from tests.exporters.calls import chat, conversation, opening, record, said
from tests.exporters.conftest import StillClock

DAY_NS = 86_400 * 10**9


def id_of(number: int) -> str:
    return f"{number:032x}"


def label(store: TraceStore, number: int, text: str, source: LabelSource) -> None:
    """Let somebody say what a call should have answered."""
    given = Label(
        id=f"{number:031x}f",
        project="default",
        call_id=id_of(number),
        provider_id="",
        session_id="",
        created_at=datetime(2026, 10, 1, tzinfo=UTC),
        message=Message("assistant", text),
        note="",
        source=source,
        author="someone",
        status=Status.ACCEPTED,
    )
    store.insert([], Checkpoint("e" * 32, 0, number + 1), said=[given])


def fill(store: TraceStore, groups: int = 60) -> None:
    record(store, [c for g in range(groups) for c in conversation(100 * g, opening(g), 2)])


def lines(directory: Path, name: str = IDS_FILE) -> list[IdLine]:
    return [
        msgspec.json.decode(line, type=IdLine)
        for line in (directory / name).read_bytes().splitlines()
    ]


def made(store: TraceStore, out: Path, **asked: object) -> Manifest:
    return export(store, msgspec.convert(asked, ExportRequest), out)


def one_question(number: int, **more: object) -> Capture:
    answer = said("assistant", "fine")
    return chat(number, [said("user", opening(number))], answer, **more)  # type: ignore[arg-type]


def test_a_label_takes_the_place_of_the_answer_and_the_row_says_so(
    store: TraceStore, tmp_path: Path
) -> None:
    record(store, [one_question(number) for number in range(1, 40)])
    label(store, 7, "better", LabelSource.HUMAN)
    made(store, tmp_path / "out")
    (line,) = [line for line in lines(tmp_path / "out") if line.label]
    assert (line.call, line.answer, line.label) == (id_of(7), "human", f"{7:031x}f")
    row = json.loads((tmp_path / "out" / line.file).read_text().splitlines()[line.row])
    assert row["messages"][-1] == {"role": "assistant", "content": "better"}


def test_a_policy_without_labels_leaves_the_original(store: TraceStore, tmp_path: Path) -> None:
    record(store, [one_question(number) for number in range(1, 20)])
    label(store, 7, "better", LabelSource.HUMAN)
    made(store, tmp_path / "out", labels="original")
    assert not [line for line in lines(tmp_path / "out") if line.label]


def test_a_failed_call_that_has_a_label_is_a_row_and_waits_no_longer(
    store: TraceStore, tmp_path: Path
) -> None:
    record(store, [one_question(number) for number in range(1, 20)])
    failed = [
        chat(n, [said("user", opening(n))], None, outcome=Outcome.CLIENT_GONE) for n in (50, 51)
    ]
    record(store, failed, 2)
    label(store, 50, "an answer", LabelSource.HUMAN)
    made(store, tmp_path / "out")
    assert id_of(50) in [line.call for line in lines(tmp_path / "out")]
    waiting = (tmp_path / "out" / NEEDS_LABEL_FILE).read_text()
    assert id_of(51) in waiting
    assert id_of(50) not in waiting


def test_sides_are_not_compared_in_rows_that_only_a_label_made(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    record(sqlite_store, [one_question(number) for number in range(1, 20)])
    failed = chat(50, [said("user", opening(50))], None, outcome=Outcome.CLIENT_GONE)
    record(sqlite_store, [failed], 2)
    label(sqlite_store, 7, "better", LabelSource.HUMAN)
    label(sqlite_store, 50, "an answer", LabelSource.HUMAN)
    made(sqlite_store, tmp_path / "out")
    assert [line.call for line in lines(tmp_path / "out") if not line.selected] == [id_of(50)]


def test_the_calls_of_a_targeted_set_are_a_row_each_and_nothing_of_them_is_trained(
    store: TraceStore, tmp_path: Path
) -> None:
    fill(store)
    where = "id < '" + id_of(500) + "'"  # both turns of five conversations
    create_test_set(store, "default", "hard", where, clock=StillClock())
    manifest = made(store, tmp_path / "out")
    chosen = [line for line in lines(tmp_path / "out") if line.file == "targeted-hard.jsonl"]
    assert len(chosen) == 10
    trained = [
        line for line in lines(tmp_path / "out") if line.file in ("train.jsonl", "val.jsonl")
    ]
    assert {line.group for line in trained}.isdisjoint({line.group for line in chosen})
    entry = manifest.sets["targeted-hard"]
    assert (entry.rows, entry.calls, entry.random) == (10, 10, False)
    withheld = manifest.sides[Side.TRAIN].reasons[Reason.TARGETED]
    assert withheld + manifest.sides[Side.VAL].reasons.get(Reason.TARGETED, 0) > 0
    assert sum(manifest.withheld_groups.values()) <= 5


def test_what_began_in_the_time_held_out_is_a_set_of_its_own(
    store: TraceStore, tmp_path: Path
) -> None:
    record(store, [one_question(n, started_at_ns=n * DAY_NS) for n in range(1, 61)])
    manifest = made(store, tmp_path / "out", time_holdout="1970-02-10..")
    found = lines(tmp_path / "out")
    late = {id_of(number) for number in range(40, 61)}
    assert {line.call for line in found if line.file == "time_holdout.jsonl"} <= late
    assert not {line.call for line in found if line.file == "train.jsonl"} & late
    assert manifest.sets["time_holdout"].rows > 10
    assert manifest.sides[Side.TEST].rows > 0


def test_made_up_calls_are_trained_on_and_never_held_out(store: TraceStore, tmp_path: Path) -> None:
    calls = [one_question(number) for number in range(1, 80)]
    record(store, [msgspec.structs.replace(call, source="synthetic") for call in calls])
    manifest = made(store, tmp_path / "out")
    assert manifest.sides[Side.TRAIN].synthetic == manifest.sides[Side.TRAIN].rows > 0
    for side in (Side.VAL, Side.TEST):
        entry = manifest.sides[side]
        assert entry.rows == 0
        assert entry.reasons == {Reason.SYNTHETIC: entry.calls}
    assert manifest.reference.calls == 0
    assert all(line.synthetic for line in lines(tmp_path / "out"))


def test_every_call_is_counted_once_in_each_of_its_parts(store: TraceStore, tmp_path: Path) -> None:
    fill(store)
    create_test_set(store, "default", "hard", "id < '" + id_of(500) + "'", clock=StillClock())
    for turns in Turns:
        manifest = made(store, tmp_path / turns, turns=turns, time_holdout="..1970-01-02")
        for entry in (*manifest.sides.values(), *manifest.sets.values()):
            assert entry.calls == entry.rows + sum(entry.reasons.values())
        assert manifest.calls == 120


def test_what_a_format_cannot_carry_is_listed_call_by_call(
    store: TraceStore, tmp_path: Path
) -> None:
    tools: Json = [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    ]
    called: Json = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = said("assistant", None, tool_calls=[called])
    record(store, [one_question(number) for number in range(1, 20)])
    record(store, [chat(50, [said("user", opening(50))], answer, tools=tools)], 2)
    made(store, tmp_path / "out", format="prompt-completion")
    (line,) = (tmp_path / "out" / UNFIT_FILE).read_text().splitlines()
    found = json.loads(line)
    assert (found["call"], found["reason"]) == (id_of(50), "tools")


def test_a_conversation_too_long_to_be_held_is_read_again_with_its_labels(
    sqlite_store: TraceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns_module, "CALLS_HELD_MAX", 100)  # a thousand take ten seconds to make
    record(sqlite_store, [*conversation(0, "long", 150), one_question(5_000)])
    label(sqlite_store, 140, "better", LabelSource.HUMAN)
    made(sqlite_store, tmp_path / "out", turns="last")
    found = [line for line in lines(tmp_path / "out") if line.label]
    assert [line.call for line in found] == [id_of(140)]
    row = (tmp_path / "out" / found[0].file).read_text().splitlines()[found[0].row]
    assert json.loads(row)["messages"][-1]["content"] == "better"


def test_calls_of_a_row_that_a_format_refuses_are_refused_with_it(
    store: TraceStore, tmp_path: Path
) -> None:
    example = [said("user", "for example"), said("assistant", "like this")]  # never a call
    for group in range(40):
        first = [*example, said("user", opening(group))]
        answer = said("assistant", opening(900 + group))
        record(store, [chat(2 * group, first, answer, session=f"s{group}")], offset=2 * group + 1)
        longer = [*first, answer, said("user", "and then")]
        later = chat(2 * group + 1, longer, said("assistant", "so"), session=f"s{group}")
        record(store, [later], offset=2 * group + 2)
    manifest = made(store, tmp_path / "out", format="sharegpt")
    for entry in manifest.sides.values():
        assert entry.reasons == ({Reason.UNTRAINED_TURN: entry.calls} if entry.calls else {})
    unfit = (tmp_path / "out" / UNFIT_FILE).read_bytes().splitlines()
    assert len({msgspec.json.decode(line)["call"] for line in unfit}) == len(unfit) == 80
