"""Configs name train and val, never the test set, and are what the method asks for."""

import json
from pathlib import Path

import datasets
import pytest
import yaml

from exporters.formats import FORMATS
from exporters.trainers import BASE_MODEL, Method, TrainerFacts, card_header, trainer_files
from storage.trace import Json, Message, Tool, ToolCall
from tests.exporters.rows import ANSWER, USER, calling, example

LOCAL = ["axolotl", "sharegpt", "trl", "trl-messages", "trl-dpo", "prompt-completion"]
CONFIGS = {"axolotl": "axolotl.yml", "sharegpt": "llamafactory.yml"}


def facts(format: str, *, val: bool = True, method: Method = Method.LORA) -> TrainerFacts:
    return TrainerFacts(format, "train.jsonl", "val.jsonl" if val else "", 4_000, method=method)


def config(one: TrainerFacts) -> dict[str, Json]:
    written = trainer_files(one)[CONFIGS.get(one.format, "trl.yml")]
    read: dict[str, Json] = yaml.safe_load(written)
    return read


@pytest.mark.parametrize("name", FORMATS)
def test_formats_for_trainers_of_ones_own_have_a_config(name: str) -> None:
    assert bool(trainer_files(facts(name))) is (name in LOCAL)


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("val", [True, False])
@pytest.mark.parametrize("method", Method)
def test_no_config_names_the_test_set(name: str, val: bool, method: Method) -> None:
    files = trainer_files(facts(name, val=val, method=method))
    text = b"".join(files.values()).decode() + card_header(facts(name, val=val))
    assert "test.jsonl" not in text
    assert "train.jsonl" in text
    assert ("val.jsonl" in text) is val
    assert BASE_MODEL in text


def test_axolotl_takes_no_part_of_train_for_evaluation() -> None:
    read = config(facts("axolotl"))
    assert read["val_set_size"] == 0
    assert isinstance(read["test_datasets"], list)
    assert [part["path"] for part in read["test_datasets"] if isinstance(part, dict)] == [
        "val.jsonl"
    ]
    assert "test_datasets" not in config(facts("axolotl", val=False))


@pytest.mark.parametrize(
    ("name", "method", "wanted"),
    [
        ("axolotl", Method.LORA, {"adapter": "lora", "lora_r": 16}),
        ("axolotl", Method.QLORA, {"adapter": "qlora", "load_in_4bit": True}),
        ("axolotl", Method.DORA, {"adapter": "lora", "peft_use_dora": True}),
        ("axolotl", Method.FULL, {"adapter": None, "lora_r": None}),
        ("sharegpt", Method.LORA, {"finetuning_type": "lora", "quantization_bit": None}),
        ("sharegpt", Method.QLORA, {"finetuning_type": "lora", "quantization_bit": 4}),
        ("sharegpt", Method.DORA, {"finetuning_type": "lora", "use_dora": True}),
        ("sharegpt", Method.FULL, {"finetuning_type": "full", "lora_rank": None}),
        ("trl", Method.LORA, {"use_peft": True, "load_in_4bit": None}),
        ("trl", Method.QLORA, {"use_peft": True, "load_in_4bit": True}),
        ("trl", Method.DORA, {"use_peft": True, "use_dora": True}),
        ("trl", Method.FULL, {"use_peft": None, "lora_r": None}),
    ],
)
def test_the_method_is_said_in_the_trainers_words(
    name: str, method: Method, wanted: dict[str, Json]
) -> None:
    read = config(facts(name, method=method))
    assert {key: read.get(key) for key in wanted} == wanted


def test_an_export_of_last_answers_tells_its_trainer() -> None:
    last = TrainerFacts("sharegpt", "train.jsonl", "", 1, last_only=True)
    assert config(last)["mask_history"] is True
    assert config(facts("sharegpt"))["mask_history"] is False
    assert config(facts("trl"))["assistant_only_loss"] is True
    last = TrainerFacts("trl", "train.jsonl", "", 1, last_only=True)
    assert "assistant_only_loss" not in config(last)


@pytest.mark.parametrize(
    ("longest", "length"), [(0, 512), (3_000, 1_024), (3_100, 1_280), (10**9, 131_072)]
)
def test_the_length_is_that_of_the_longest_row_rounded_up(longest: int, length: int) -> None:
    assert TrainerFacts("trl", "train.jsonl", "", longest).length == length


@pytest.mark.parametrize(
    "name", [name for name in FORMATS if name not in ("openai-dpo", "parquet")]
)
def test_a_directory_with_the_header_loads_with_its_columns(name: str, tmp_path: Path) -> None:
    call = ToolCall("f", '{"a": 1, "deep": {"b": null}}', "c1")
    tool = Tool("f", parameters={"type": "object", "properties": {"a": {"type": "number"}}})
    plain = example(USER, ANSWER, rejected=Message("assistant", "no"))
    called = example(USER, calling(call), tools=(tool,), rejected=ANSWER)
    is_text = name in ("prompt-completion", "text-label")
    lines = [FORMATS[name].row(one) for one in ([plain] if is_text else [plain] * 9 + [called])]
    for file in ("train.jsonl", "val.jsonl", "test.jsonl"):
        (tmp_path / file).write_bytes(b"\n".join([*lines, b""]))
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "README.md").write_text(card_header(facts(name)) + "# Data\n")
    # Blocks so small that the first tool call comes after the one that types are taken from.
    loaded = datasets.load_dataset(
        str(tmp_path), cache_dir=str(tmp_path / "cache"), chunksize=len(lines[0])
    )
    assert set(loaded) == {"train", "validation"}
    for line, row in zip(lines, loaded["train"], strict=True):
        assert {key: value for key, value in row.items() if value is not None} == json.loads(line)


def test_an_export_without_rows_has_no_header() -> None:
    assert card_header(TrainerFacts("trl", "", "", 0)) == ""
