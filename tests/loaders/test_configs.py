"""The configs of TRL and LLaMA-Factory are read by their own classes, as far as torch is not asked.

What is made with torch alone (training arguments, models) is compared by the names of its fields.
"""

import ast
import dataclasses
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from exporters.trainers import Method, TrainerFacts, trainer_files

REASON = "requirements-trainers.lock"
transformers = pytest.importorskip("transformers", reason=REASON)


def config(format: str, file: str, method: Method, *, val: bool) -> dict[str, Any]:
    facts = TrainerFacts(format, "train.jsonl", "val.jsonl" if val else "", 9_000, method=method)
    read: dict[str, Any] = yaml.safe_load(trainer_files(facts)[file])
    return read


@pytest.mark.parametrize("val", [True, False])
@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize(
    ("format", "trainer"),
    [("trl", "SFTConfig"), ("trl-messages", "SFTConfig"), ("trl-dpo", "DPOConfig")],
)
def test_trl_reads_its_config(format: str, trainer: str, method: Method, val: bool) -> None:
    scripts = pytest.importorskip("trl.scripts.utils", reason=REASON)
    models = pytest.importorskip("trl.trainer.model_config", reason=REASON)
    module = trainer.removesuffix("Config").lower() + "_config"
    training = getattr(importlib.import_module(f"trl.trainer.{module}"), trainer)
    wanted = config(format, "trl.yml", method, val=val)
    parser = transformers.HfArgumentParser((scripts.ScriptArguments, models.ModelConfig))
    script, model = parser.parse_dict(wanted, allow_extra_keys=True)
    assert script.dataset_name == "."
    assert script.dataset_train_split == "train"
    assert script.dataset_test_split == ("validation" if val else "test")
    assert (wanted["eval_strategy"] == "no") is not val  # then no split is asked for
    assert model.use_peft is (method is not Method.FULL)
    assert model.load_in_4bit is (method is Method.QLORA)
    assert model.use_dora is (method is Method.DORA)
    known = {field.name for one in (script, model, training) for field in dataclasses.fields(one)}
    assert wanted.keys() <= known


@pytest.mark.parametrize("val", [True, False])
@pytest.mark.parametrize("method", Method)
def test_llamafactory_reads_its_config(
    method: Method, val: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec("llamafactory")
    if found is None or not found.submodule_search_locations:
        pytest.skip(REASON)
    root = Path(found.submodule_search_locations[0])
    for name in ("llamafactory", "llamafactory.hparams"):
        package = ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        monkeypatch.setitem(sys.modules, name, package)
    data_args = importlib.import_module("llamafactory.hparams.data_args")
    finetuning = importlib.import_module("llamafactory.hparams.finetuning_args")
    for name in ("data_args", "finetuning_args"):
        monkeypatch.delitem(sys.modules, f"llamafactory.hparams.{name}")
    wanted = config("sharegpt", "llamafactory.yml", method, val=val)
    parser = transformers.HfArgumentParser(
        (data_args.DataArguments, finetuning.FinetuningArguments)
    )
    data, method_read = parser.parse_dict(wanted, allow_extra_keys=True)
    assert data.dataset == ["shalt_train"]
    assert data.eval_dataset == (["shalt_val"] if val else None)
    assert data.val_size == 0
    assert method_read.finetuning_type == ("full" if method is Method.FULL else "lora")
    assert method_read.use_dora is (method is Method.DORA)
    known = {field.name for one in (data, method_read) for field in dataclasses.fields(one)}
    known |= {field.name for field in dataclasses.fields(transformers.TrainingArguments)}
    known |= annotated(root / "hparams" / "model_args.py")
    assert wanted.keys() <= known


def annotated(path: Path) -> set[str]:
    """List the fields of the dataclasses of a module that cannot be imported."""
    return {
        node.target.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
