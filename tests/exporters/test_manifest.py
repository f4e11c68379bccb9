"""The manifest reads back, and has the names that scripts rely on."""

import json
from pathlib import Path

import msgspec

from exporters.dataset import export
from exporters.manifest import Manifest, manifest_json
from exporters.request import ExportRequest
from storage.store import TraceStore
from tests.exporters.calls import conversation, record


def test_a_manifest_reads_back_as_it_was_written(store: TraceStore, tmp_path: Path) -> None:
    record(store, conversation(1, "hi", 3))
    manifest = export(store, ExportRequest(), tmp_path / "out")
    assert msgspec.json.decode(manifest_json(manifest), type=Manifest) == manifest
    assert (tmp_path / "out" / "manifest.json").read_bytes() == manifest_json(manifest) + b"\n"


def test_a_manifest_has_the_documented_names(store: TraceStore, tmp_path: Path) -> None:
    record(store, conversation(1, "hi", 3))
    written = json.loads(manifest_json(export(store, ExportRequest(), tmp_path / "out")))
    names = (
        "version shalt_version project format turns tools current_tools_sha256 where labels "
        "time_holdout max_duplicates policy derive_version feature_version calls sides sets "
        "targeted withheld_groups selection overrides guard versions duplicates subsets files "
        "reference reference_test features terms warnings"
    )
    assert list(written) == names.split()
    assert list(written["sides"]) == ["train", "val", "test", "quarantine"]
    names = "calls groups rows random reasons left_out labels synthetic"
    assert list(written["sides"]["train"]) == names.split()
    assert list(written["files"][0]) == ["name", "sha256", "bytes", "rows"]
