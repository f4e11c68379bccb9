"""An export is whole or nothing, the same every time, and never has a group on two sides."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import datasets
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from sqlalchemy import text

from exporters.dataset import Stage, check_disjoint
from exporters.dataset import export as run
from exporters.guard import GuardError
from exporters.manifest import Manifest
from exporters.request import ExportError, ExportRequest
from exporters.row_lines import IDS_FILE, NEEDS_LABEL_FILE, IdLine
from exporters.selection import Reason, Turns
from exporters.staging import StagingError
from storage.capture import Capture, Outcome
from storage.database import reading, writing
from storage.erasure import Kind, Selection
from storage.filters import FilterError
from storage.receipts import request as request_erasure
from storage.reservation import side_of, u_of
from storage.store import ErasedMeanwhile, TraceStore
from storage.trace import Json, Side
from tests.exporters.calls import SIDE_FILES, chat, conversation, opening, record, said
from tests.exporters.conftest import StillClock, make_store
from tests.shared import data_set

ROOT = Path(__file__).parents[2]


def fill(store: TraceStore, groups: int, turns: int = 3) -> None:
    calls = [
        capture
        for group in range(groups)
        for capture in conversation(100 * group, opening(group), 1 + group % turns)
    ]
    record(store, calls)


def export(
    store: TraceStore,
    project: str,
    directory: Path,
    *,
    format: str = "openai",
    where: str | None = None,
    turns: Turns = Turns.LEAF,
    drop_contaminated: bool = False,
) -> Manifest:
    request = ExportRequest(
        project=project,
        format=format,
        where=where,
        turns=turns,
        accept_bias="it is a test",
        drop_contaminated=drop_contaminated,
    )
    return run(store, request, directory)


def rows(path: Path) -> list[dict[str, Json]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def ids(directory: Path) -> list[IdLine]:
    lines = (directory / IDS_FILE).read_bytes().splitlines()
    return [msgspec.json.decode(line, type=IdLine) for line in lines]


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def test_an_export_loads_with_datasets(store: TraceStore, tmp_path: Path) -> None:
    fill(store, 200)
    out = tmp_path / "out"
    manifest = export(store, "default", out)
    files = {side.value: str(out / name) for side, name in SIDE_FILES.items()}
    loaded = datasets.load_dataset("json", data_files=files, cache_dir=str(tmp_path / "cache"))
    for side, name in SIDE_FILES.items():
        assert [dict(row) for row in loaded[side.value]] == rows(out / name)
        assert len(loaded[side.value]) == manifest.sides[side].rows > 0


def test_every_call_is_counted_once(store: TraceStore, tmp_path: Path) -> None:
    fill(store, 100)
    user = said("user", "x")
    record(
        store,
        [
            chat(10**6, [user], None, outcome=Outcome.UPSTREAM_ERROR),
            chat(10**6 + 1, [user], said("assistant", "half"), finish_reason="length"),
            chat(10**6 + 2, [user], said("assistant", "a"), path="/v1/embeddings"),
        ],
    )
    manifest = export(store, "default", tmp_path / "out")
    assert manifest.calls == store.count("default") == 201 + 1
    for entry in manifest.sides.values():
        assert entry.calls == entry.rows + sum(entry.reasons.values())


def test_what_waits_for_a_label_is_listed_with_its_reason(
    store: TraceStore, tmp_path: Path
) -> None:
    fill(store, 5)
    user = said("user", "x")
    record(store, [chat(10**6, [user], said("assistant", "half"), finish_reason="length")])
    export(store, "default", tmp_path / "out")
    (line,) = rows(tmp_path / "out" / NEEDS_LABEL_FILE)
    assert (line["call"], line["reason"]) == (f"{10**6:032x}", Reason.TOKEN_LIMIT)


def test_the_manifest_holds_the_hash_and_length_of_every_file(
    store: TraceStore, tmp_path: Path
) -> None:
    fill(store, 50)
    manifest = export(store, "default", tmp_path / "out")
    written = contents(tmp_path / "out")
    del written["manifest.json"]
    assert {entry.name for entry in manifest.files} == set(written)
    for entry in manifest.files:
        data = written[entry.name]
        assert entry.sha256 == hashlib.sha256(data).hexdigest()
        assert entry.bytes == len(data)
        is_table = entry.name.endswith(".parquet")
        there = parquet.read_metadata(BytesIO(data)).num_rows if is_table else data.count(b"\n")
        assert entry.rows == there


def test_the_side_of_every_row_can_be_worked_out_from_the_manifest(
    store: TraceStore, tmp_path: Path
) -> None:
    fill(store, 200)
    manifest = export(store, "default", tmp_path / "out")
    policy = manifest.policy
    for line in ids(tmp_path / "out"):
        u = u_of(policy.salt, "default", line.group)
        assert SIDE_FILES[side_of(u, policy.test_ratio, policy.val_ratio)] == line.file


def test_the_same_store_gives_the_same_bytes(store: TraceStore, tmp_path: Path) -> None:
    fill(store, 60)
    for name in ("one", "two"):
        export(store, "default", tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_the_order_of_recording_does_not_show(tmp_path: Path) -> None:
    calls = [c for group in range(60) for c in conversation(100 * group, opening(group), 3)]
    first, second = (make_store(f"sqlite:///{tmp_path / name}.sqlite") for name in ("one", "two"))
    record(first, calls)
    random.Random(1).shuffle(calls)
    for start in range(0, len(calls), 7):
        record(second, calls[start : start + 7], start + 1)
    for name, store in (("one", first), ("two", second)):
        export(store, "default", tmp_path / name)
        store.close()
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_filter_acts_on_train_and_val_and_leaves_test_whole(
    store: TraceStore, tmp_path: Path
) -> None:
    fill(store, 300)
    export(store, "default", tmp_path / "all")
    manifest = export(store, "default", tmp_path / "some", where="substr(id, 32, 1) = '0'")
    every, some = contents(tmp_path / "all"), contents(tmp_path / "some")
    assert some["test.jsonl"] == every["test.jsonl"]
    kept = [line for line in ids(tmp_path / "some") if line.file != "test.jsonl"]
    assert kept
    assert all(line.call.endswith("0") for line in kept)
    assert manifest.sides[Side.TRAIN].reasons[Reason.NOT_MATCHING] > 0
    assert Reason.NOT_MATCHING not in manifest.sides[Side.TEST].reasons


def test_a_turn_that_the_filter_left_out_is_not_trained(store: TraceStore, tmp_path: Path) -> None:
    fill(store, 40)
    export(store, "default", tmp_path / "out", where="substr(id, 32, 1) <> '0'")
    lines = (tmp_path / "out" / "train.jsonl").read_bytes().splitlines()
    untrained = [line for line in lines if b'"weight":0' in line]
    # The first answers of every fourth conversation were left out; what followed was not.
    assert untrained
    assert all(b'"answer 0 to ' in line.split(b',"weight":0')[0] for line in untrained)
    assert all(line.count(b'"weight":0') == 1 for line in untrained)


def test_every_call_that_leaves_is_remembered_by_the_store(
    store: TraceStore, tmp_path: Path
) -> None:
    fill(store, 50)
    manifest = export(store, "default", tmp_path / "out")
    left = {call for line in ids(tmp_path / "out") for call in (line.call, *line.continued)}
    with reading(store.engine) as connection:
        items = set(connection.execute(text("SELECT call_id FROM dataset_item")).scalars())
        (digest,) = connection.execute(text("SELECT manifest_sha256 FROM dataset")).scalars()
    assert items == left
    assert len(items) == manifest.calls
    data = (tmp_path / "out" / "manifest.json").read_bytes()
    assert digest == hashlib.sha256(data).hexdigest()


def test_a_call_that_waits_for_a_label_and_is_erased_meanwhile_stops_the_export(
    store: TraceStore, tmp_path: Path
) -> None:
    fill(store, 30)
    failed = chat(2**20, [said("user", "alone")], None, outcome=Outcome.UPSTREAM_ERROR)
    record(store, [failed], 2)

    def erase(stage: Stage, done: int, total: int) -> None:
        if stage is Stage.WRITE and done == total:
            ids = Selection(Kind.ID, (failed.id,))
            request_erasure(store, "default", ids, reason="", clock=StillClock())

    with pytest.raises(ErasedMeanwhile):
        run(store, ExportRequest(), tmp_path / "out", progress=erase)
    assert list(tmp_path.glob("*out*")) == []


def test_quarantine_is_counted_and_never_leaves(store: TraceStore, tmp_path: Path) -> None:
    fill(store, 50, turns=1)
    _set_side(store, "quarantine", "id < '00000000000000000000000000000400'")
    manifest = export(store, "default", tmp_path / "out")
    quarantined = manifest.sides[Side.QUARANTINE]
    assert (quarantined.calls, quarantined.rows) == (11, 0)
    assert all(line.call >= f"{0x400:032x}" for line in ids(tmp_path / "out"))
    assert any("quarantine" in warning for warning in manifest.warnings)


def _set_side(store: TraceStore, side: str, where: str) -> None:
    with writing(store.engine) as connection:
        connection.execute(text(f"UPDATE call SET side = '{side}' WHERE {where}"))


def test_a_group_on_two_sides_stops_the_export(store: TraceStore, tmp_path: Path) -> None:
    record(store, conversation(0, "hi", 3))
    _set_side(store, "test", "id = '00000000000000000000000000000002'")
    _set_side(store, "train", "id <> '00000000000000000000000000000002'")
    with pytest.raises(GuardError, match="on two sides"):
        export(store, "default", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


@pytest.mark.parametrize(
    "files",
    [("train", "test"), ("test", "train"), ("val", "train"), ("val", "test"), ("train", "val")],
)
def test_the_guard_finds_a_group_in_any_two_files(files: tuple[str, str], tmp_path: Path) -> None:
    lines = [
        IdLine("train.jsonl", 0, "0", "other"),
        *(IdLine(f"{file}.jsonl", 1, file, "group") for file in files),
    ]
    (tmp_path / "ids.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, lines)) + b"\n")
    with pytest.raises(GuardError, match="group is in"):
        check_disjoint(tmp_path / "ids.jsonl")


def test_a_directory_with_something_in_it_is_refused(store: TraceStore, tmp_path: Path) -> None:
    fill(store, 5)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train.jsonl").write_text("mine")
    with pytest.raises(StagingError, match="not an empty directory"):
        export(store, "default", tmp_path / "out")
    assert (tmp_path / "out" / "train.jsonl").read_text() == "mine"


def test_an_unknown_format_and_an_empty_project_are_refused(
    store: TraceStore, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="choose one of openai"):
        export(store, "default", tmp_path / "out", format="stone tablets")
    with pytest.raises(ExportError, match="no calls"):
        export(store, "nobody", tmp_path / "out")


def test_an_empty_file_is_written_and_warned_of(store: TraceStore, tmp_path: Path) -> None:
    record(store, conversation(1, "hi", 1))
    warnings = export(store, "default", tmp_path / "out").warnings
    empty = [name for name in SIDE_FILES.values() if not (tmp_path / "out" / name).read_bytes()]
    assert [text.split()[0] for text in warnings if "is empty" in text] == empty != []


def test_a_bad_filter_leaves_nothing(store: TraceStore, tmp_path: Path) -> None:
    fill(store, 5)
    with pytest.raises(FilterError):
        export(store, "default", tmp_path / "out", where="no_such_column = 1")
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_ctrl_c_leaves_nothing(store: TraceStore, tmp_path: Path) -> None:
    fill(store, 20)

    def interrupt(stage: Stage, done: int, total: int) -> None:
        if stage is Stage.READ and done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(store, ExportRequest(), tmp_path / "out", progress=interrupt)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_progress_goes_up_to_the_number_of_calls(store: TraceStore, tmp_path: Path) -> None:
    fill(store, 20)
    seen: list[tuple[Stage, int, int]] = []
    run(store, ExportRequest(), tmp_path / "out", progress=lambda *all: seen.append(all))
    read = [(done, total) for stage, done, total in seen if stage is Stage.READ]
    assert read == sorted(read)
    assert read[-1] == (store.count("default"),) * 2
    assert list(dict.fromkeys(stage for stage, *_ in seen)) == list(Stage)


KILLED = """
import os, signal, sys
from pathlib import Path
from exporters.dataset import Stage, export
from exporters.request import ExportRequest
from storage.capture import SystemClock
from storage.store import TraceStore

def die(stage, done, total):
    if stage.name == sys.argv[3] and done >= total / 2:
        os.kill(os.getpid(), signal.SIGKILL)

class Store(TraceStore):
    def record_dataset(self, *all):
        super().record_dataset(*all)
        os.kill(os.getpid(), signal.SIGKILL)

store = Store(sys.argv[1], clock=SystemClock())
export(store, ExportRequest(), Path(sys.argv[2]), progress=die)
"""


@pytest.mark.parametrize(
    ("stage", "store_url"),
    [
        ("READ", "sqlite"),
        ("WRITE", "sqlite"),
        ("written down", "sqlite"),
        ("written down", "postgresql"),
    ],
    indirect=["store_url"],
)
def test_kill_9_leaves_no_dataset_and_the_next_export_is_whole(
    stage: str, store: TraceStore, store_url: str, tmp_path: Path
) -> None:
    fill(store, 30)
    out = tmp_path / "out"
    child = subprocess.run(
        [sys.executable, "-c", KILLED, store_url, str(out), stage],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=60,
    )
    assert child.returncode == -signal.SIGKILL
    assert not out.exists()
    export(store, "default", out)
    export(store, "default", tmp_path / "again")
    assert contents(out) == contents(tmp_path / "again")
    assert not (tmp_path / ".out.partial").exists()


@st.composite
def stores(draw: st.DrawFn) -> list[Capture]:
    """Draw conversations that overlap, branch, fail and share openings and sessions."""
    captures: list[Capture] = []
    for number in range(draw(st.integers(1, 12))):
        asked = draw(st.sampled_from(["hi", "ho", "ha", f"q {number}"]))
        session = draw(st.sampled_from(["", "", "s 1", f"s {number}"]))
        captures += conversation(1000 * number, asked, draw(st.integers(1, 4)), session=session)
        if draw(st.booleans()):
            captures.append(
                chat(
                    1000 * number + 500,
                    [said("user", asked)],
                    said("assistant", "cut"),
                    finish_reason=draw(st.sampled_from(["stop", "length", "content_filter"])),
                    session=session,
                )
            )
    return captures


@settings(max_examples=25)
@given(captures=stores(), turns=st.sampled_from(list(Turns)), seed=st.integers(0, 10))
def test_no_group_is_ever_on_two_sides_and_no_call_is_lost(
    captures: list[Capture], turns: Turns, seed: int
) -> None:
    random.Random(seed).shuffle(captures)
    with tempfile.TemporaryDirectory() as directory:
        store = make_store(f"sqlite:///{directory}/s.sqlite")
        for start in range(0, len(captures), 5):
            record(store, captures[start : start + 5], start + 1)
        manifest = export(
            store, "default", Path(directory) / "out", turns=turns, drop_contaminated=True
        )
        store.close()
        lines = ids(Path(directory) / "out")
    files: dict[str, set[str]] = {}
    for line in lines:
        files.setdefault(line.group, set()).add(line.file)
    assert all(len(names) == 1 for names in files.values())
    assert manifest.calls == len(captures)
    continued = {call for line in lines for call in line.continued}
    reasons = [entry.reasons.get(Reason.CONTINUED, 0) for entry in manifest.sides.values()]
    assert sum(reasons) == len(continued)
    assert continued.isdisjoint({line.call for line in lines})
    for entry in manifest.sides.values():
        assert entry.calls == entry.rows + sum(entry.reasons.values())


def dialogue_calls(name: str, first: int) -> Iterator[tuple[str, Capture]]:
    """Make a call of every assistant turn of a data set, with the dialogue it is of."""
    path = data_set(name)
    for line in path.read_text().splitlines():
        row = json.loads(line)
        messages = row.get("messages") or []
        for index, message in enumerate(messages):
            if message["role"] == "assistant" and any(
                m["role"] == "user" for m in messages[:index]
            ):
                tools = {"tools": row["tools"]} if row.get("tools") else {}
                finish = "tool_calls" if message.get("tool_calls") else "stop"
                yield (
                    row["group"],
                    chat(first, messages[:index], message, finish_reason=finish, **tools),
                )
                first += 1


def test_no_dialogue_of_the_data_sets_is_on_two_sides(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    store = sqlite_store  # tests/flow/test_both_stores.py: the other gives the same bytes
    dialogues: dict[str, str] = {}
    captures = []
    for position, name in enumerate(("sgd", "taskmaster4", "glaive_toolcall_en")):
        for dialogue, capture in dialogue_calls(name, 10**6 * position):
            dialogues[capture.id] = dialogue
            captures.append(capture)
    random.Random(1).shuffle(captures)
    for start in range(0, len(captures), 500):
        record(store, captures[start : start + 500], start + 1)
    export(store, "default", tmp_path / "out")
    files: dict[str, set[str]] = {}
    for line in ids(tmp_path / "out"):
        for call_id in (line.call, *line.continued):
            files.setdefault(dialogues[call_id], set()).add(line.file)
    assert set(files) == set(dialogues.values())
    assert all(len(names) == 1 for names in files.values())
