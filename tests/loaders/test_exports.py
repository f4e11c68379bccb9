"""An export is a directory that trainers read: with configs, and a card that names splits."""

import json
from datetime import UTC, datetime
from pathlib import Path

import datasets
import pytest
import yaml

from exporters.dataset import export
from exporters.request import ExportRequest
from exporters.row_rules import validate_row
from exporters.selection import Reason
from exporters.trainers import Method
from storage.labels import Label, LabelSource, Said, Score, ScoreSource, Status
from storage.rows import Checkpoint
from storage.trace import Message, Side
from tests.exporters.calls import chat, conversation, record, said
from tests.exporters.conftest import make_store

SAID_AT = datetime(2026, 10, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("format", "files"),
    [
        ("trl", ["trl.yml"]),
        ("axolotl", ["axolotl.yml"]),
        ("sharegpt", ["dataset_info.json", "llamafactory.yml"]),
        ("openai", []),
    ],
)
def test_an_export_has_configs_and_loads_as_a_directory(
    format: str, files: list[str], tmp_path: Path
) -> None:
    store = make_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    turns = (conversation(100 * group, f"question {group}", 1 + group % 3) for group in range(120))
    record(store, (call for group in turns for call in group))
    out = tmp_path / "out"
    manifest = export(store, ExportRequest(format=format, method=Method.QLORA), out, processes=1)
    store.close()
    configs = [one.name for one in manifest.files if one.name.endswith((".yml", "info.json"))]
    assert configs == files
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    rows = {split: len(loaded[split]) for split in loaded}
    assert rows == {
        "train": manifest.sides[Side.TRAIN].rows,
        "validation": manifest.sides[Side.VAL].rows,
    }
    for name in files:
        assert "test.jsonl" not in (out / name).read_text()
    longest = max(map(len, (out / "train.jsonl").read_bytes().splitlines()))
    if format == "trl":
        config = yaml.safe_load((out / "trl.yml").read_text())
        assert config["load_in_4bit"] is True
        assert config["max_length"] == 512 > longest // 3


@pytest.mark.parametrize("format", ["trl", "parquet"])
def test_a_later_export_of_the_same_name_is_not_taken_for_the_one_before(
    format: str, tmp_path: Path
) -> None:
    store = make_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    loaded = []
    for day in range(2):  # each with 60 more conversations
        numbers = range(60 * day, 60 * (day + 1))
        calls = [call for n in numbers for call in conversation(100 * n, f"question {n}", 1)]
        record(store, calls, offset=1 + day)
        manifest = export(store, ExportRequest(format=format), tmp_path / str(day) / "set")
        found = datasets.load_dataset(
            str(tmp_path / str(day) / "set"), split="train", cache_dir=str(tmp_path / "cache")
        )
        assert len(found) == manifest.sides[Side.TRAIN].rows
        loaded.append(len(found))
    store.close()
    assert loaded[0] < loaded[1]


@pytest.mark.parametrize("format", ["openai-dpo", "trl-dpo"])
def test_an_export_of_pairs_has_those_of_labels_and_scores(format: str, tmp_path: Path) -> None:
    store = make_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    record(store, (call for n in range(80) for call in conversation(100 * n, f"q {n}", 1)))
    asked = [said("user", "which of two?")]
    record(store, (chat(9_000 + n, asked, said("assistant", f"answer {n}")) for n in range(2)))
    given: list[Said] = [
        *(label(100 * n) for n in range(60)),
        score(9_000, False),
        score(9_001, True),
    ]
    store.insert([], Checkpoint("e" * 32, 0, 1), said=given)
    out = tmp_path / "out"
    manifest = export(store, ExportRequest(format=format), out, processes=1)
    store.close()
    lines = [line for side in Side for line in rows_of(out, side.value)]
    assert all(validate_row(format, line) is None for line in lines)
    ids = [json.loads(line) for line in (out / "ids.jsonl").read_bytes().splitlines()]
    # Of the two, one lost: it is a row, and the other is held by it.
    assert sorted(one["pair"] for one in ids) == [*["label"] * 60, "score"]
    assert [one["continued"] for one in ids if one["pair"] == "score"] == [[f"{9_001:032x}"]]
    for entry in manifest.sides.values():
        assert entry.calls == entry.rows + sum(entry.reasons.values())
    reasons = [entry.reasons.get(Reason.NO_PAIR, 0) for entry in manifest.sides.values()]
    assert sum(reasons) == 20


def label(number: int) -> Label:
    corrected = Message("assistant", f"better {number}")
    return Label(
        id=f"{number:031x}f",
        project="default",
        call_id=f"{number:032x}",
        provider_id="",
        session_id="",
        created_at=SAID_AT,
        message=corrected,
        note="",
        source=LabelSource.HUMAN,
        author="someone",
        status=Status.ACCEPTED,
    )


def score(number: int, value: bool) -> Score:
    return Score(
        id=f"{number:031x}e",
        project="default",
        call_id=f"{number:032x}",
        provider_id="",
        session_id="",
        created_at=SAID_AT,
        name="thumbs",
        value=value,
        comment="",
        source=ScoreSource.FEEDBACK,
        author="",
    )


def rows_of(directory: Path, name: str) -> list[bytes]:
    path = directory / f"{name}.jsonl"
    return path.read_bytes().splitlines() if path.exists() else []
