"""LLaMA-Factory's converter takes every row that is written for it, and keeps all of it."""

import importlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from exporters.trainers import TrainerFacts, trainer_files
from tests.loaders.conversations import DATA_SETS, assert_shown, fitting

if importlib.util.find_spec("llamafactory") is None:
    pytest.skip("requirements-trainers.lock", allow_module_level=True)


@pytest.fixture(scope="module")
def factory() -> Iterator[SimpleNamespace]:
    """Import its converter, formatter and parser, which need no torch, without the rest."""
    found = importlib.util.find_spec("llamafactory")
    assert found is not None
    assert found.submodule_search_locations
    root = Path(found.submodule_search_locations[0])
    with pytest.MonkeyPatch.context() as patch:
        for name in ("llamafactory", "llamafactory.data", "llamafactory.extras"):
            package = ModuleType(name)
            package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
            patch.setitem(sys.modules, name, package)
        stubs: dict[str, dict[str, Any]] = {
            "llamafactory.extras.logging": {"get_logger": lambda name: Refusing()},
            "llamafactory.extras.constants": {"DATA_CONFIG": "dataset_info.json"},
            "llamafactory.extras.misc": {
                "use_modelscope": lambda: False,
                "use_openmind": lambda: False,
            },
        }
        for name, attributes in stubs.items():
            stub = ModuleType(name)
            vars(stub).update(attributes)
            patch.setitem(sys.modules, name, stub)
            setattr(sys.modules["llamafactory.extras"], name.rpartition(".")[2], stub)
        yield SimpleNamespace(
            converter=importlib.import_module("llamafactory.data.converter"),
            formatter=importlib.import_module("llamafactory.data.formatter"),
            parser=importlib.import_module("llamafactory.data.parser"),
        )
        for name in [name for name in sys.modules if name.startswith("llamafactory")]:
            patch.delitem(sys.modules, name)


class Refusing:
    """A logger that takes a warning for a failure: it is how rows are skipped."""

    def warning_rank0(self, message: str) -> None:
        raise AssertionError(message)


@pytest.mark.parametrize("data", DATA_SETS)
def test_the_converter_keeps_all_of_a_row(
    data: str, factory: SimpleNamespace, tmp_path: Path
) -> None:
    facts = TrainerFacts("sharegpt", "train.jsonl", "val.jsonl", 1)
    (tmp_path / "dataset_info.json").write_bytes(trainer_files(facts)["dataset_info.json"])
    (attributes,) = factory.parser.get_dataset_list(["shalt_train"], str(tmp_path))
    convert = factory.converter.SharegptDatasetConverter(attributes, SimpleNamespace(media_dir="."))
    calls = factory.formatter.FunctionFormatter(slots=["{{content}}"], tool_format="qwen")
    tools = factory.formatter.ToolFormatter(tool_format="qwen")
    rows, unfit = fitting("sharegpt", data)
    assert len(rows) >= 20, unfit
    for one, line in rows:
        converted = convert(json.loads(line))
        assert len(converted["_response"]) == 1
        rendered = [converted["_system"]]
        if converted["_tools"]:  # as its template does
            rendered += tools.apply(content=converted["_tools"])
        for message in converted["_prompt"] + converted["_response"]:
            is_call = message["role"] == "function"
            rendered += calls.apply(content=message["content"]) if is_call else [message["content"]]
        assert_shown(one, "\n".join(map(str, rendered)))
