"""A dataset is drawn by a process of its own, as it would be here."""

from pathlib import Path

from exporters.dataset_drawing import WantedDataset, draw, draw_dataset
from exporters.manifest_reading import MANIFEST_FILE
from exporters.request import ExportRequest
from storage.store import TraceStore
from tests.exporters.forged import exported


def test_a_dataset_is_drawn_apart_as_it_is_drawn_here(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    wanted = ExportRequest(where="request_model = 'tiny'", accept_bias="the small one")
    exported(sqlite_store, tmp_path / "made", 40, wanted)
    manifest = WantedDataset((tmp_path / "made" / MANIFEST_FILE).read_bytes())
    drawn = draw_dataset(manifest)
    assert drawn == draw(manifest)
    assert all(svg.startswith("<svg") for svg in (drawn.funnel, drawn.reasons))


def test_what_no_version_of_ours_wrote_is_a_problem_and_no_drawing() -> None:
    drawn = draw(WantedDataset(b'{"version": 9}'))
    assert (drawn.funnel, "another version" in drawn.problem) == ("", True)
