"""Copies of test rows among real conversations: no export lets one of them out."""

import random
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import msgspec
import pytest

from benchmarks.guard_limits import DATASETS, Conversation, near_copy, read_groups
from exporters.dataset import export
from exporters.guard import GuardError
from exporters.manifest import Manifest
from exporters.request import ExportRequest
from exporters.row_lines import IDS_FILE, IdLine
from storage.capture import Capture
from storage.derive import derive
from storage.grouping import group_of
from storage.reservation import side_of, u_of
from storage.store import TraceStore
from storage.trace import Side
from tests.exporters.calls import chat, record, said
from tests.exporters.conftest import make_store
from tests.stores import SALT

NAMES = ("sgd", "clinc150", "glaive_toolcall_en", "gsm8k_models")
ROWS = 800
PLANTED = 20

pytestmark = pytest.mark.skipif(
    not DATASETS.is_dir(), reason="the data sets are not beside this checkout"
)


def call(number: int, row: Conversation, session: str = "") -> Capture:
    messages = [said(message.role, message.text) for message in row]
    return chat(number, messages[:-1], messages[-1], session=session)


def side(group_id: str) -> Side:
    return side_of(u_of(SALT, "default", group_id), 0.10, 0.05)


def session_of_train(number: int) -> str:
    """Name a session that lies in train: an equal beginning would lie where the original does."""
    names = (f"copy {number} {attempt}" for attempt in count())
    return next(name for name in names if side(name) is Side.TRAIN)


def conversations() -> Sequence[Conversation]:
    """Choose conversations that are rows of every format: without tools."""
    rows = [
        row
        for row in read_groups(NAMES).values()
        if {message.role for message in row} == {"user", "assistant"}
        and row[-1].role == "assistant"
        and row[-1].text
    ]
    return random.Random(1).sample(rows, ROWS)


def lines(directory: Path) -> Sequence[IdLine]:
    data = (directory / IDS_FILE).read_bytes().splitlines()
    return [msgspec.json.decode(line, type=IdLine) for line in data]


def exported(store: TraceStore, directory: Path, *, drop: bool) -> Manifest:
    return export(store, ExportRequest(drop_contaminated=drop), directory)


def test_twenty_copies_and_twenty_near_copies_do_not_leave(tmp_path: Path) -> None:
    chance = random.Random(2)
    rows = conversations()
    words = sorted({word for row in rows for word in row[0].text.split()})
    calls = [call(number, row) for number, row in enumerate(rows)]
    groups = [group_of(derive(one), one).id for one in calls]
    tests = [row for row, group in zip(rows, groups, strict=True) if side(group) is Side.TEST]
    near = filter(None, (near_copy(row, words, chance) for row in tests[PLANTED:]))
    copies = [*tests[:PLANTED], *(row for row, _ in zip(near, range(PLANTED), strict=False))]
    store = make_store(f"sqlite:///{tmp_path / 'calls.sqlite'}")
    record(store, calls)
    before = exported(store, tmp_path / "before", drop=True)
    planted = [call(ROWS + n, row, session_of_train(n)) for n, row in enumerate(copies)]
    record(store, planted, offset=2)

    with pytest.raises(GuardError, match="rows for training give away rows that are held out"):
        exported(store, tmp_path / "refused", drop=False)
    assert not (tmp_path / "refused").exists()

    after = exported(store, tmp_path / "after", drop=True)
    left = {line.call for line in lines(tmp_path / "after")}
    assert len(planted) == 2 * PLANTED
    assert left.isdisjoint(one.id for one in planted)
    dropped = [sum(one.guard.dropped.get("train.jsonl", {}).values()) for one in (before, after)]
    assert dropped[1] - dropped[0] == 2 * PLANTED
    store.close()
