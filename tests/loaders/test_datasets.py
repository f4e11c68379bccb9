"""`datasets` reads the rows of real conversations exactly as they were written."""

import json
import re
from pathlib import Path

import datasets
import pytest

from exporters.formats import FORMATS
from exporters.row_shape import LeftOut
from exporters.selection import Example
from exporters.trainers import TrainerFacts, card_header
from storage.trace import Message, ToolCall
from tests.exporters.rows import example
from tests.loaders.conversations import DATA_SETS, fitting


@pytest.mark.parametrize("format", ["openai", "trl", "axolotl", "sharegpt", "mistral"])
def test_rows_are_read_as_they_were_written(format: str, tmp_path: Path) -> None:
    rows = [row for data in DATA_SETS for row in fitting(format, data)[0]]
    lines = [line for one, line in rows if not is_beyond(format, one)]
    assert len(lines) > 250
    (tmp_path / "train.jsonl").write_bytes(b"\n".join([*lines, b""]))
    facts = TrainerFacts(format, "train.jsonl", "", max(map(len, lines)))
    (tmp_path / "README.md").write_text(card_header(facts))
    loaded = datasets.load_dataset(
        str(tmp_path), split="train", cache_dir=str(tmp_path / "cache"), chunksize=100_000
    )
    for line, row in zip(lines, loaded, strict=True):
        assert {key: value for key, value in row.items() if value is not None} == json.loads(line)


def is_beyond(format: str, one: Example) -> bool:
    """Say whether `datasets` changes decimals of a row: in arguments, or in schemas."""
    schemas = json.dumps([tool.parameters for tool in one.tools])
    in_schemas = format in ("openai", "mistral") and bool(re.search(r"[0-9]\.[0-9]|e-", schemas))
    return in_schemas or LeftOut.DECIMALS in FORMATS[format].left_out(one)


def test_decimals_that_are_listed_are_those_that_it_changes(tmp_path: Path) -> None:
    call = ToolCall("f", '{"a": 0.3, "b": 8.854e-12, "c": 4}', "c1")
    one = example(Message("user", "?"), Message("assistant", tool_calls=(call,)))
    (tmp_path / "train.jsonl").write_bytes(FORMATS["trl"].row(one) + b"\n")
    (tmp_path / "README.md").write_text(card_header(TrainerFacts("trl", "train.jsonl", "", 1)))
    loaded = datasets.load_dataset(str(tmp_path), split="train", cache_dir=str(tmp_path / "cache"))
    read = loaded[0]["completion"][0]["tool_calls"][0]["function"]["arguments"]
    # Once it reads 0.3 and 8.854e-12, rows need not be listed any more.
    assert read == {"a": 0.30000000000000004, "b": 0.0, "c": 4}
    assert FORMATS["trl"].left_out(one) == {LeftOut.DECIMALS}
