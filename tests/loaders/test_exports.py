"""An export is a directory that trainers read: with configs, and a card that names splits."""

from pathlib import Path

import datasets
import pytest
import yaml

from exporters.dataset import export
from exporters.request import ExportRequest
from exporters.trainers import Method
from storage.trace import Side
from tests.exporters.calls import conversation, record
from tests.exporters.conftest import make_store


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
