"""Axolotl's loader takes every row that is written for it, and trains what is to be trained."""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from exporters.formats import FORMATS
from exporters.trainers import Method, TrainerFacts, trainer_files
from storage.trace import Message
from tests.exporters.rows import example
from tests.loaders import conversations
from tests.loaders.conversations import DATA_SETS, assert_shown, fitting

REASON = "requirements-trainers.lock"
transformers = pytest.importorskip("transformers", reason=REASON)
tokenizers = pytest.importorskip("tokenizers", reason=REASON)
if importlib.util.find_spec("axolotl") is None:
    pytest.skip(REASON, allow_module_level=True)


class Empty(ModuleType):
    """A module in the place of one that only trains: any name in it is an empty class."""

    __path__: list[str] = []
    __version__ = "2.9.0"

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Find torch and accelerate, and nothing in them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.split(".")[0] in ("torch", "accelerate"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it empty."""


@pytest.fixture(scope="module")
def axolotl() -> Iterator[SimpleNamespace]:
    """Import its schema and its chat templates, which need no torch but ask for its name."""
    finder = Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield SimpleNamespace(
            schema=importlib.import_module("axolotl.utils.schemas.config").AxolotlInputConfig,
            chat=importlib.import_module("axolotl.prompt_strategies.chat_template"),
            options=importlib.import_module("axolotl.utils.dict").DictDefault,
        )
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
            del sys.modules[name]


OURS = ("torch", "accelerate", "axolotl")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Make a tokenizer of bytes, with the chat template of Qwen 3 that TRL ships."""
    trl = pytest.importorskip("trl", reason=REASON)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    pieces = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            vocab={letter: n for n, letter in enumerate(sorted(alphabet))}, merges=[]
        )
    )
    pieces.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = tokenizers.decoders.ByteLevel()
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=pieces, bos_token="<s>", eos_token="<|im_end|>"
    )
    template = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    made.chat_template = template.read_text()
    return made


def config(method: Method = Method.LORA) -> dict[str, Any]:
    facts = TrainerFacts("axolotl", "train.jsonl", "val.jsonl", 60_000, method=method)
    read: dict[str, Any] = yaml.safe_load(trainer_files(facts)["axolotl.yml"])
    return read


@pytest.mark.parametrize("method", Method)
def test_the_schema_takes_the_config(method: Method, axolotl: SimpleNamespace) -> None:
    wanted = config(method)
    read = axolotl.schema(**wanted).model_dump(exclude_unset=True)
    assert wanted.keys() <= axolotl.schema.model_fields.keys()
    assert [dict(one)["path"] for one in read["datasets"]] == ["train.jsonl"]
    assert [dict(one)["path"] for one in read["test_datasets"]] == ["val.jsonl"]


def strategy(axolotl: SimpleNamespace, tokenizer: Any) -> Any:
    options = axolotl.options(config())
    return axolotl.chat.StrategyLoader()(tokenizer, options, options["datasets"][0])


def trained(tokenizer: Any, tokens: dict[str, list[int]]) -> str:
    kept = [label for label in tokens["labels"] if label != -100]
    text: str = tokenizer.decode(kept)
    return text


@pytest.mark.parametrize("data", DATA_SETS)
def test_the_loader_takes_every_row_and_keeps_all_of_it(
    data: str, axolotl: SimpleNamespace, tokenizer: Any
) -> None:
    load = strategy(axolotl, tokenizer)
    rows, unfit = fitting("axolotl", data)
    assert len(rows) >= 50, unfit
    for one, line in rows[: conversations.ENCODED]:
        tokens = load.tokenize_prompt(json.loads(line))
        assert_shown(one, tokenizer.decode(tokens["input_ids"]))
        assert one.messages[-1].text.strip() in trained(tokenizer, tokens)


def test_an_answer_that_is_not_to_be_trained_is_only_read(
    axolotl: SimpleNamespace, tokenizer: Any
) -> None:
    said = (
        Message("user", "first"),
        Message("assistant", "wrong"),
        Message("user", "second"),
        Message("assistant", "right"),
    )
    row = json.loads(FORMATS["axolotl"].row(example(*said, untrained=frozenset({1}))))
    learnt = trained(tokenizer, strategy(axolotl, tokenizer).tokenize_prompt(row))
    assert "right" in learnt
    assert "wrong" not in learnt
    assert "second" not in learnt
