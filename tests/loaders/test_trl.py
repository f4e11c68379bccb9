"""TRL's chat templates show every text, tool and argument of the rows that are written for it."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from exporters.formats import FORMATS
from exporters.selection import Example, Reason
from storage.trace import Message, Tool
from tests.exporters.rows import example
from tests.loaders.conversations import DATA_SETS, assert_shown, fitting
from tests.shared import data_set

transformers = pytest.importorskip("transformers", reason="requirements-trainers.lock")
trl = pytest.importorskip("trl", reason="requirements-trainers.lock")
data_utils = pytest.importorskip("trl.data_utils", reason="requirements-trainers.lock")
tokenizers = pytest.importorskip("tokenizers", reason="requirements-trainers.lock")

TEMPLATES = ("qwen2_5", "qwen3", "llama3_1", "gptoss", "gemma4")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Make a tokenizer of bytes: what is rendered does not depend on it."""
    pieces = tokenizers.Tokenizer(tokenizers.models.BPE())
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=pieces, bos_token="<s>", eos_token="</s>"
    )


def template(name: str) -> str:
    return (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text()


def render(tokenizer: Any, name: str, messages: Any, tools: str | None) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        rendered: str = tokenizer.apply_chat_template(
            messages,
            tools=json.loads(tools) if tools else None,
            chat_template=template(name),
            tokenize=False,
        )
    return rendered


def is_beyond(name: str, one: Example) -> bool:
    """Say what a template itself cannot show: several tool calls in a turn, an odd default."""
    if name == "gptoss" and any(map(has_odd_default, one.tools)):
        return True
    return name in ("llama3_1", "gptoss") and any(len(m.tool_calls) > 1 for m in one.messages)


def has_odd_default(tool: Tool) -> bool:
    """Say whether a choice has a default that is no text: gpt-oss' template fails on it."""
    parameters: Any = tool.parameters or {}
    return any(
        "enum" in property and not isinstance(property.get("default", ""), str)
        for property in parameters.get("properties", {}).values()
    )


@pytest.mark.parametrize("data", DATA_SETS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_show_all_of_a_row(name: str, data: str, tokenizer: Any) -> None:
    rows, unfit = fitting("trl", data)
    assert set(unfit) <= {Reason.TOOL_RESULTS}  # three of the Chinese calls
    shown = 0
    for one, line in rows:
        row = json.loads(line)
        assert data_utils.is_conversational(row)
        if is_beyond(name, one):
            continue
        rendered = render(tokenizer, name, row["prompt"] + row["completion"], row.get("tools"))
        # A text beside tool calls: llama 3.1 has no place for it; gpt-oss has it as analysis, which
        # it drops once an answer follows.
        assert_shown(one, rendered, texts=name not in ("llama3_1", "gptoss"))
        shown += 1
    assert shown >= 20


@pytest.mark.parametrize("name", ["qwen3", "gptoss"])
def test_reasoning_is_shown_once(name: str, tokenizer: Any) -> None:
    said = Message("assistant", "42", reasoning="six times seven")
    row = json.loads(FORMATS["trl"].row(example(Message("user", "6 * 7?"), said)))
    rendered = render(tokenizer, name, row["prompt"] + row["completion"], None)
    assert rendered.count("six times seven") == 1


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("data", ["dpo_en", "dpo_zh"])
def test_templates_show_both_answers_of_a_pair(name: str, data: str, tokenizer: Any) -> None:
    path = data_set(data)
    for line in path.read_text().splitlines()[:50]:
        pair = json.loads(line)
        asked, labels = Message("user", pair["messages"][0]["content"]), pair["labels"]
        chosen, rejected = (Message("assistant", labels[key]) for key in ("chosen", "rejected"))
        row = json.loads(FORMATS["trl-dpo"].row(example(asked, chosen, rejected=rejected)))
        assert data_utils.is_conversational(row)
        for answer in (chosen, rejected):
            key = "chosen" if answer is chosen else "rejected"
            rendered = render(tokenizer, name, row["prompt"] + row[key], None)
            assert_shown(example(asked, answer), rendered)
