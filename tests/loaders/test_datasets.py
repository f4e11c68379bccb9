"""`datasets` reads the rows of real conversations exactly as they were written."""

import json
from pathlib import Path

import datasets
import pytest

from exporters.trainers import TrainerFacts, card_header
from tests.loaders.conversations import DATA_SETS, fitting


@pytest.mark.parametrize("format", ["openai", "trl", "axolotl", "sharegpt", "mistral"])
def test_rows_are_read_as_they_were_written(format: str, tmp_path: Path) -> None:
    lines = [line for data in DATA_SETS for _, line in fitting(format, data)[0]]
    assert len(lines) > 250
    (tmp_path / "train.jsonl").write_bytes(b"\n".join([*lines, b""]))
    facts = TrainerFacts(format, "train.jsonl", "", max(map(len, lines)))
    (tmp_path / "README.md").write_text(card_header(facts))
    loaded = datasets.load_dataset(
        str(tmp_path), split="train", cache_dir=str(tmp_path / "cache"), chunksize=100_000
    )
    for line, row in zip(lines, loaded, strict=True):
        assert {key: value for key, value in row.items() if value is not None} == json.loads(line)
