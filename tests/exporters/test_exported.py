"""The reference of an export is read back as it was drawn, or refused with what to do."""

from pathlib import Path

import msgspec
import pytest

from exporters.dataset import export
from exporters.exported import load_reference
from exporters.loading import load_window
from exporters.manifest_reading import MANIFEST_FILE
from exporters.periods import Matching
from exporters.request import ExportRequest
from exporters.windows import REFERENCE_FILE, REFERENCE_TEST_FILE, WindowError
from storage.store import TraceStore
from tests.exporters.calls import conversation, record


@pytest.fixture
def exported(sqlite_store: TraceStore, tmp_path: Path) -> Path:
    for number in range(60):
        record(sqlite_store, conversation(100 * number, f"q {number}", 2), number + 1)
    export(sqlite_store, ExportRequest(), tmp_path / "out")
    return tmp_path / "out"


def test_train_and_test_are_windows_of_their_sides(
    sqlite_store: TraceStore, exported: Path
) -> None:
    reference = load_reference(exported)
    for side, window in (("train", reference.train), ("test", reference.test)):
        of_the_store = load_window(sqlite_store, "default", Matching(f"side = '{side}'"))
        assert window.call_ids == of_the_store.call_ids
        assert window.group_ids == of_the_store.group_ids
        assert window.call_count == of_the_store.call_count
        for name in ("prompt_chars", "output_tokens", "duration_ms"):
            assert window.numbers[name].tolist() == pytest.approx(
                of_the_store.numbers[name].tolist(), nan_ok=True
            )
        assert len(window.terms["prompt_terms"].rows) == len(window)
    assert len(reference.train) > 30
    assert len(reference.test) > 0
    assert reference.train.label == str(exported)


def test_the_manifest_says_what_it_is_a_reference_of(exported: Path) -> None:
    reference = load_reference(exported)
    assert (reference.project, reference.where) == ("default", None)
    assert reference.started_from == "1970-01-01T00:00:00Z"
    assert "prompt_chars" in reference.facts
    assert "brief" not in reference.terms["prompt_terms"].values()
    assert "answer" in reference.terms["answer_terms"].values()


@pytest.mark.parametrize("name", [REFERENCE_FILE, REFERENCE_TEST_FILE])
def test_a_file_that_was_changed_or_lost_is_refused(exported: Path, name: str) -> None:
    path = exported / name
    path.write_bytes(path.read_bytes().replace(b"stop", b"skip"))
    with pytest.raises(WindowError, match="changed since the export"):
        load_reference(exported)
    path.unlink()
    with pytest.raises(WindowError, match="not a whole export"):
        load_reference(exported)


def test_an_export_of_an_earlier_version_says_to_export_again(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_bytes(msgspec.json.encode({"version": 2}))
    with pytest.raises(WindowError, match="export it again"):
        load_reference(tmp_path)


@pytest.mark.parametrize("manifest", [b"{}", b"", b"[]", b'{"version": 3}'])
def test_a_manifest_of_something_else_is_refused(tmp_path: Path, manifest: bytes) -> None:
    (tmp_path / MANIFEST_FILE).write_bytes(manifest)
    with pytest.raises(WindowError):
        load_reference(tmp_path)
    with pytest.raises(WindowError, match="not a whole export"):
        load_reference(tmp_path / "nowhere")
