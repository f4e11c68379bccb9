"""mistral-common takes every row that is written for it, and its tokens say all of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.loaders import conversations
from tests.loaders.conversations import DATA_SETS, assert_shown, fitting

REASON = "requirements-trainers.lock"
mistral = pytest.importorskip("mistral_common.tokens.tokenizers.mistral", reason=REASON)
tokens = pytest.importorskip("mistral_common.tokens.tokenizers.base", reason=REASON)
tekken = pytest.importorskip("mistral_common.tokens.tokenizers.tekken", reason=REASON)
validator = pytest.importorskip("mistral_common.protocol.instruct.validator", reason=REASON)
request = pytest.importorskip("mistral_common.protocol.instruct.request", reason=REASON)
pytest.importorskip("sentencepiece", reason=REASON)

VERSIONS = ("v3", "v7", "v11")
FILES = {
    "v3": "mistral_instruct_tokenizer_240323.model.v3",
    "v7": "mistral_instruct_tokenizer_241114.model.v7",
    "v11": "tekken_240911.json",
}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Load a tokenizer of each version, as a fine-tune does."""
    directory = Path(mistral.__file__).parents[2] / "data"
    paths = {version: directory / name for version, name in FILES.items()}
    # No tokenizer of version 11 is in the package: it is that of 3 with two more special tokens.
    made = json.loads(paths["v11"].read_text())
    special = [dict(token) for token in tekken.Tekkenizer.DEPRECATED_SPECIAL_TOKENS]
    for text in ("[ARGS]", "[CALL_ID]"):
        special.append({"rank": len(special), "token_str": text, "is_control": True})
    made["config"]["version"], made["special_tokens"] = "v11", special
    paths["v11"] = tmp_path_factory.mktemp("tekken") / "tekken.json"
    paths["v11"].write_text(json.dumps(made))
    mode = validator.ValidationMode.finetuning
    return {
        version: mistral.MistralTokenizer.from_file(str(path), mode=mode)
        for version, path in paths.items()
    }


@pytest.mark.parametrize("data", DATA_SETS)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_row_is_taken_and_said_in_tokens(
    version: str, data: str, encoders: dict[str, Any]
) -> None:
    rows, unfit = fitting("mistral", data)
    assert len(rows) >= 20, unfit
    policy = tokens.SpecialTokenPolicy.IGNORE
    for one, line in rows[: conversations.ENCODED]:
        row = json.loads(line)
        asked = request.ChatCompletionRequest.from_openai(
            messages=row["messages"], tools=row.get("tools")
        )
        encoded = encoders[version].encode_chat_completion(asked)
        assert_shown(one, encoders[version].decode(encoded.tokens, policy))
