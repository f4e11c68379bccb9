"""Tests of importers.formats."""

import pytest

from importers.formats import FORMATS, recognise
from importers.records import RecordFile
from tests.importers.reading import CORPUS


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_every_file_of_the_corpus_is_recognised_by_its_first_record(path: object) -> None:
    name = str(path).rpartition("/")[2]
    with RecordFile(CORPUS / name) as file:
        first = next(iter(file)).value
    assert first is not None
    found = recognise(first)
    assert found is not None
    assert found.name.replace("-", "_") in name or name.startswith(found.name)


def test_files_that_others_need_are_read_first() -> None:
    context = {
        "openai_batch_input.jsonl": "openai-batch",
        "openai_stored_messages.jsonl": "openai-stored",
        "langfuse_traces.json": "langfuse",
    }
    for path in CORPUS.iterdir():
        with RecordFile(path) as file:
            first = next(iter(file)).value or {}
        found = recognise(first)
        assert found is not None
        assert found.is_context(first) == (path.name in context), path.name


def test_what_is_of_no_format_is_not_recognised() -> None:
    assert recognise({}) is None
    assert recognise({"a": 1, "messages": "none"}) is None


def test_a_format_goes_by_its_name() -> None:
    assert all(name == form.name and form.meaning for name, form in FORMATS.items())
