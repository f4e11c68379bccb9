"""Together's check of a file, of the last version that has one, passes what is written for it."""

import base64
import json
from pathlib import Path

import pytest

from exporters.formats import FORMATS
from storage.trace import Message
from tests.exporters.rows import example, picture
from tests.loaders.conversations import DATA_SETS, fitting
from tests.shared import data_set

files = pytest.importorskip("together.lib.utils.files", reason="requirements-trainers.lock")


def check(path: Path, lines: list[bytes]) -> str:
    path.write_bytes(b"\n".join([*lines, b""]))
    report = files.check_file(path)
    assert report["is_check_passed"], report
    return str(report["num_samples"])


@pytest.mark.parametrize("data", DATA_SETS)
def test_the_check_passes_every_row(data: str, tmp_path: Path) -> None:
    rows, unfit = fitting("together", data)
    assert len(rows) >= 50, unfit
    assert check(tmp_path / "train.jsonl", [line for _, line in rows]) == str(len(rows))


def test_the_check_passes_images_and_untrained_turns(tmp_path: Path) -> None:
    shown = "data:image/jpeg;base64," + base64.b64encode(b"image").decode()
    said = (
        picture(shown),
        Message("assistant", "a cat"),
        Message("developer", "Be brief."),
        Message("user", "sure?"),
        Message("assistant", "yes"),
    )
    format = FORMATS["together"]
    check(tmp_path / "train.jsonl", [format.row(example(*said, untrained=frozenset({1})))])


@pytest.mark.parametrize("data", ["dpo_en", "dpo_zh"])
def test_the_check_passes_pairs(data: str, tmp_path: Path) -> None:
    path = data_set(data)
    lines = []
    for line in path.read_text().splitlines():
        pair = json.loads(line)
        asked, labels = Message("user", pair["messages"][0]["content"]), pair["labels"]
        chosen, rejected = (Message("assistant", labels[key]) for key in ("chosen", "rejected"))
        lines.append(FORMATS["openai-dpo"].row(example(asked, chosen, rejected=rejected)))
    check(tmp_path / "train.jsonl", lines)


@pytest.mark.parametrize("data", ["gsm8k_models", "xquad"])
def test_the_check_passes_prompts_and_completions(data: str, tmp_path: Path) -> None:
    rows, unfit = fitting("prompt-completion", data)
    assert not unfit
    check(tmp_path / "train.jsonl", [line for _, line in rows])
